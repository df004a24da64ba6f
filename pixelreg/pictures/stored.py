"""What a file or an array holds where that is more than models are given.

Models see 8 bits of sRGB, or floats, over a plain background. Wide colours, inks, more bits and
opacity stay here, and a change is carried over to them: what is not changed keeps every bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.pictures.colour import Profile

LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601
WHITE = (255, 255, 255)
_ROWS = 256  # at a time, so that floats of a large picture never lie there all at once


def grey_of(values: Array) -> Array:
    """(..., 3) -> (...): equal channels as they are, others by their luma."""
    if values.dtype == np.uint8 and (values[..., 1:] == values[..., :1]).all():
        return values[..., 0]  # three floats a pixel would be several times the picture
    luma = values.astype(np.float64) @ LUMA
    luma = luma if np.issubdtype(values.dtype, np.floating) else np.rint(luma)
    return np.where((values == values[..., :1]).all(axis=-1), values[..., 0], luma)


def as_bytes(unit: Array) -> Pixels:
    """Values on [0, 1] -> uint8."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def three_channels(array: Array) -> Array:
    """(H, W), (H, W, 1) or (H, W, 3 and more) -> (H, W, 3)."""
    array = array[..., None] if array.ndim == 2 else array
    return np.repeat(array, 3, axis=2) if array.shape[2] < 3 else array[..., :3]


def composed(seen: Array, alpha: Array, background: tuple[int, int, int]) -> Array:
    """Colours over a background, so that those under full transparency do not show.

    seen : (H, W, 3) uint8, or float on [0, 1].
    alpha : (H, W) opacity on [0, 1].
    """
    made = np.empty_like(seen)
    for first in range(0, len(seen), _ROWS):
        rows = slice(first, first + _ROWS)
        made[rows] = _composed(seen[rows], alpha[rows], background)
    return made


def _composed(seen: Array, alpha: Array, background: tuple[int, int, int]) -> Array:
    share = alpha[..., None].astype(np.float32)
    if seen.dtype != np.uint8:
        behind = np.array(background, seen.dtype) / 255
        return np.asarray(seen * share + behind * (1 - share), seen.dtype)
    mixed = seen * share + np.array(background, np.float32) * (1 - share)
    return np.rint(mixed).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Stored:
    """Values as they came.

    values : (H, W, C), C = 1 grey, 3 colours, 4 inks; uint8, uint16, int32 or float.
    seen : what models are given of it, (H, W, 3) uint8, or float on [0, 1]; sRGB.
    white : what white is in ``values``.
    alpha : (H, W) of the same type, or None.
    profile : what the values mean; None for sRGB.
    """

    values: Array
    seen: Array
    white: float
    alpha: Array | None = None
    profile: Profile | None = None

    @property
    def deep(self) -> bool:
        """Whether there are more than 8 bits."""
        return bool(self.values.dtype != np.uint8)

    @property
    def inks(self) -> bool:
        """Whether the values are of cyan, magenta, yellow and black."""
        return len(self.values[0, 0]) == 4

    def changed(self, now: Array) -> Array:
        """``values`` where ``now`` is what was seen, and the change carried over elsewhere."""
        seen = self.seen
        if now is seen:
            return self.values
        if now.dtype == np.uint8 and seen.dtype != np.uint8:
            seen = as_bytes(seen)
        touched = (now != seen).any(axis=2)
        rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
        if not rows.size:
            return self.values
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        result: Array = self.values.copy()
        moved = self._moved(self.values[part], seen[part], now[part])
        result[part] = np.where(touched[part][..., None], moved, self.values[part])
        return result

    def eight_bits(self, values: Array) -> Pixels:
        """``values`` on the scale of 8 bits."""
        return as_bytes(values / np.float32(self.white)) if self.deep else values

    def _moved(self, values: Array, seen: Array, now: Array) -> Array:
        after = self._own(now)
        low, high = min(0.0, float(values.min())), max(self.white, float(values.max()))
        if self.profile is None and self.alpha is None and (low, high) == (0.0, self.white):
            moved = after * self.white
        else:
            # The difference alone: what cannot be seen, such as colours beyond sRGB, stays.
            moved = values + (after - self._own(seen)) * self.white
        moved = np.clip(moved, low, high)
        return np.asarray(moved if values.dtype.kind == "f" else np.rint(moved))

    def _own(self, srgb: Array) -> Floats | Float64:
        """sRGB as the values' own kind of colour, (..., C) on [0, 1]."""
        channels = self.values.shape[2]
        if self.profile is not None:
            if srgb.dtype != np.uint8 and self.profile.curves is not None:
                return self.profile.curves.back(srgb)[..., :channels]
            own = self.profile.back(srgb if srgb.dtype == np.uint8 else as_bytes(srgb))
            if own is not None:
                return np.asarray(own / np.float32(255))
        unit: Array = np.asarray(srgb / np.float32(255) if srgb.dtype == np.uint8 else srgb)
        if channels == 1:
            return grey_of(unit)[..., None]
        if channels == 4:
            inks = np.asarray(Image.fromarray(as_bytes(unit)).convert("CMYK"))
            return np.asarray(inks / np.float32(255))
        return unit
