"""Frames that are stored turned: between them as they are shown and as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.faces.align import Similarity


@dataclass(frozen=True)
class Turn:
    """A picture of ``width`` x ``height`` pixels that is shown turned.

    Attributes
    ----------
    quarters : quarter turns to the left that make the stored picture upright, 0 to 3.
    width, height : of the picture as it is stored.
    """

    quarters: int
    width: int
    height: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the picture as it is shown."""
        turned = self.quarters % 2
        return (self.height, self.width) if turned else (self.width, self.height)

    def upright(self, pixels: Array) -> Array:
        """The stored picture, (H, W, C), as it is shown."""
        return np.ascontiguousarray(np.rot90(pixels, self.quarters))

    def points(self, upright: Array) -> Float64:
        """Points (..., 2) of the picture as it is shown, in the stored one."""
        stored = self._factor * (upright[..., 0] + 1j * upright[..., 1]) + self._origin
        return np.stack([stored.real, stored.imag], axis=-1)

    def similarity(self, upright: Similarity) -> Similarity:
        """A similarity to the picture as it is shown, led on to the stored one."""
        turn = self._factor * complex(upright.a, upright.b)
        shift = self._factor * complex(upright.c, upright.d) + self._origin
        return Similarity(turn.real, turn.imag, shift.real, shift.imag)

    @property
    def _factor(self) -> complex:
        return (1, 1j, -1, -1j)[self.quarters]

    @property
    def _origin(self) -> complex:
        width, height = self.width, self.height
        return (0, complex(width, 0), complex(width, height), complex(0, height))[self.quarters]
