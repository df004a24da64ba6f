"""What closed-form models keep of their training pairs: a few sums per pixel.

For 8-bit pictures they are integers, so they are exact: any order, any chunking and any merging
of parts gives the same bits, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from pixelreg.arrays import Array, Pixels
from pixelreg.errors import InvalidArrayError

GREY_LEVELS = 256
MAX_PAIRS = 11_900_000  # N * sum of squares still fits 64 bits

S = TypeVar("S", bound="Sums")


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the pairs; ``count`` is their number, N."""

    count: int

    @classmethod
    def empty(cls: type[S], pixels: int) -> S:
        """The sums of no 8-bit pair of so many pixels."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Array]:
        """The sums by field name."""
        return {item.name: getattr(self, item.name) for item in fields(self)[1:]}

    def taking(self: S, sources: Pixels, targets: Pixels) -> S:
        """These sums with crops added, (n, ...) uint8, in the same memory."""
        for source, target in zip(sources, targets, strict=True):
            self._add(source.reshape(-1), target.reshape(-1))
        return replace(self, count=self.count + len(sources))

    def absorbing(self: S, other: S) -> S:
        """These sums and others, in the memory of these."""
        for name, array in self.arrays().items():
            array += getattr(other, name)
        return replace(self, count=self.count + other.count)

    def __add__(self: S, other: S) -> S:
        self._check_alike(other)
        more = other.arrays()
        sums = {name: array + more[name] for name, array in self.arrays().items()}
        return type(self)(self.count + other.count, **sums)

    def possible(self) -> bool:
        """Whether ``count`` 8-bit pairs can have these sums."""
        raise NotImplementedError

    def _add(self, x: Pixels, t: Pixels) -> None:
        raise NotImplementedError

    def _check_alike(self: S, other: S) -> None:
        one, another = (len(next(iter(sums.arrays().values()))) for sums in (self, other))
        if one != another:
            raise InvalidArrayError(f"cannot merge sums of {one} and {another} pixels")


@dataclass(frozen=True, eq=False)
class PixelSums(Sums):
    """Sums over the pairs, per pixel: the entries of Eq. 6, all that Pixel-RR needs.

    ``x``, ``xx``, ``t``, ``xt`` are (n_pixels,) int64 in grey levels for 8-bit data, else float64
    on [0, 1].
    """

    x: Array
    xx: Array
    t: Array
    xt: Array

    @classmethod
    def empty(cls, pixels: int) -> PixelSums:
        return cls(0, *(np.zeros(pixels, np.int64) for _ in range(4)))

    @classmethod
    def of_levels(cls, sums: LevelSums) -> PixelSums:
        """The sums that histograms hold: both are of the same grey levels."""
        level = np.arange(GREY_LEVELS, dtype=np.int64)
        x, xx = (np.einsum("pg,g->p", sums.inputs, power) for power in (level, level**2))
        xt = np.einsum("pg,g->p", sums.targets, level)
        return cls(sums.count, x, xx, sums.targets.sum(axis=1, dtype=np.int64), xt)

    @property
    def scale(self) -> float:
        """How many units of these sums make 1.0: 255 for grey levels, 1 for floats."""
        return 255.0 if np.issubdtype(self.x.dtype, np.integer) else 1.0

    def possible(self) -> bool:
        n = self.count
        largest = {"x": 255 * n, "xx": 255**2 * n, "t": 255 * n, "xt": 255**2 * n}
        inside = all(
            (array >= 0).all() and (array <= largest[name]).all()
            for name, array in self.arrays().items()
        )
        # N times the sum of squares is never below the square of the sum.
        return inside and bool((n * self.xx >= self.x * self.x).all())

    def _add(self, x: Pixels, t: Pixels) -> None:
        wide = x.astype(np.uint16)  # 255 * 255 still fits
        np.add(self.x, x, out=self.x)
        np.add(self.t, t, out=self.t)
        np.add(self.xx, wide * x, out=self.xx)
        np.add(self.xt, wide * t, out=self.xt)

    def _check_alike(self, other: PixelSums) -> None:
        super()._check_alike(other)
        if self.scale != other.scale:
            raise InvalidArrayError("cannot merge sums of 8-bit pictures with sums of floats")


@dataclass(frozen=True, eq=False)
class LevelSums(Sums):
    """Histograms over the pairs, per pixel: all that Pixel-KR needs of 8-bit pictures.

    ``inputs`` (n_pixels, 256) uint32 counts how often each grey level was the input; ``targets``,
    alike, sums the targets (grey levels) at each input level.
    """

    inputs: Array
    targets: Array

    @classmethod
    def empty(cls, pixels: int) -> LevelSums:
        return cls(0, *(np.zeros((pixels, GREY_LEVELS), np.uint32) for _ in range(2)))

    def possible(self) -> bool:
        counted = (self.inputs.sum(axis=1, dtype=np.int64) == self.count).all()
        return bool(counted and (self.targets <= 255 * self.inputs.astype(np.int64)).all())

    def _add(self, x: Pixels, t: Pixels) -> None:
        cell = np.arange(0, GREY_LEVELS * x.size, GREY_LEVELS) + x  # a cell a pixel: none repeats
        self.inputs.reshape(-1)[cell] += 1
        self.targets.reshape(-1)[cell] += t
