"""What closed-form models keep of their training pairs: a few sums per pixel.

For 8-bit pictures they are integers, so they are exact: any order, any chunking and any merging
of parts gives the same bits, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import InvalidArrayError


@dataclass(frozen=True, eq=False)
class PixelSums:
    """Sums over the pairs, per pixel: the entries of Eq. 6, all that Pixel-RR needs.

    Attributes
    ----------
    count : number of pairs, N.
    x, xx, t, xt : (n_pixels,) int64 in grey levels for 8-bit data, else float64 on [0, 1].
    """

    count: int
    x: Array
    xx: Array
    t: Array
    xt: Array

    @property
    def scale(self) -> float:
        """How many units of these sums make 1.0: 255 for grey levels, 1 for floats."""
        return 255.0 if np.issubdtype(self.x.dtype, np.integer) else 1.0

    def __add__(self, other: PixelSums) -> PixelSums:
        if self.x.shape != other.x.shape:
            raise InvalidArrayError(f"cannot merge sums of {self.x.size} and {other.x.size} pixels")
        if self.scale != other.scale:
            raise InvalidArrayError("cannot merge sums of 8-bit pictures with sums of floats")
        return PixelSums(
            self.count + other.count,
            self.x + other.x,
            self.xx + other.xx,
            self.t + other.t,
            self.xt + other.xt,
        )


@dataclass(frozen=True, eq=False)
class LevelSums:
    """Histograms over the pairs, per pixel: all that Pixel-KR needs of 8-bit pictures.

    Attributes
    ----------
    count : number of pairs, N.
    inputs : (n_pixels, 256) uint32, how often each grey level was the input.
    targets : (n_pixels, 256) uint32, the sum of the targets (grey levels) at each input level.
    """

    count: int
    inputs: Array
    targets: Array

    def __add__(self, other: LevelSums) -> LevelSums:
        if self.inputs.shape != other.inputs.shape:
            raise InvalidArrayError(
                f"cannot merge sums of {len(self.inputs)} and {len(other.inputs)} pixels"
            )
        return LevelSums(
            self.count + other.count, self.inputs + other.inputs, self.targets + other.targets
        )
