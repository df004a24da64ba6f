"""Looking pixels up between the pixels: bilinear, and a cubic that keeps skin sharp.

Coordinates are indices (x, y) of pixels: (0, 0) is the centre of the first one. What lies outside
a picture repeats its border.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, Floats

# Keys' cubic convolution with a = -0.5 takes a sixth of the finest detail (Laplacian variance)
# from a moved face, bilinear almost half; a steeper kernel makes up for it. Whole-pixel moves are
# exact for every a.
KEYS = -1.15
PLACES = 1 << 14  # places looked up at once, so that the temporaries stay in the cache
BORDER = 3  # pixels


def fetch_linear(values: Array, x: Array, y: Array, xp: Any = np) -> Floats:
    """Bilinear look-up.

    values : (H, W, C), any real type.
    x, y : (h, w) coordinates.

    Returns: (h, w, C) float32.
    """
    return _fetch(values, x, y, lambda share: (0, [1 - share, share]), xp)


def fetch_cubic(values: Array, x: Array, y: Array, xp: Any = np, steepness: float = KEYS) -> Floats:
    """Cubic look-up, slightly sharpening; see `fetch_linear`.

    steepness : Keys' a; the lower, the sharper.
    """
    if xp is not np:
        return _fetch(values, x, y, partial(_cubic_taps, steepness=steepness), xp)
    result: Floats = np.empty((x.size, values.shape[2]), np.float32)
    if x.size:
        rows_of_taps = RowsOfTaps.around(values, x, y)
        flat_x, flat_y = x.reshape(-1), y.reshape(-1)
        for first in range(0, x.size, PLACES):
            some = slice(first, first + PLACES)
            result[some] = rows_of_taps.fetch(flat_x[some], flat_y[some], steepness).T
    return result.reshape(*x.shape, -1)


TAPS = 4  # of a row
RECORDS = {1: np.uint32, 4: np.complex128}  # what is as wide as the taps of a row


@dataclass(frozen=True)
class RowsOfTaps:
    """A part of a picture from which a row of taps is taken as one number: a quarter of the
    look-ups.

    records : (C, n), from every value the four of its row that begin there, as bytes or float32.
    left, top : of the part, less `BORDER`.
    high, wide : of the part with its border.
    kind : of the values.
    """

    records: Array
    left: int
    top: int
    high: int
    wide: int
    kind: Any

    @classmethod
    def around(cls, values: Array, x: Array, y: Array) -> RowsOfTaps:
        """Of (H, W, C), what look-ups at these places read."""
        columns, rows = _needed(x, values.shape[1]), _needed(y, values.shape[0])
        kind = np.dtype(np.uint8 if values.dtype == np.uint8 else np.float32)
        planes = _bordered(values[slice(*rows), slice(*columns)], np, kind)
        count, high, wide = planes.shape
        shape, steps = (count, high * wide - TAPS + 1), (planes.strides[0], kind.itemsize)
        each = np.ndarray(shape, RECORDS[kind.itemsize], planes, strides=steps)
        return cls(each.copy(), columns[0] - BORDER, rows[0] - BORDER, high, wide, kind)

    def fetch(self, x: Array, y: Array, steepness: float) -> Floats:
        """(C, n) float32 of n places, whose taps are summed down each column, then across."""
        left, top = np.floor(x), np.floor(y)
        count = len(x)
        across = np.empty((count, TAPS), np.float32)
        _, shares = _cubic_taps((x - left).astype(np.float32), steepness)
        for k, share in enumerate(shares):
            across[:, k] = share
        _, shares = _cubic_taps((y - top).astype(np.float32), steepness)
        down = np.empty((TAPS, count, TAPS), np.float32)
        for weights, share in zip(down, shares, strict=True):
            for k in range(TAPS):
                weights[:, k] = share
        # Two pixels beyond the border all taps see the border's.
        start = np.clip(top.astype(np.intp) - self.top, 1, self.high - BORDER) - 1
        start *= self.wide
        start += np.clip(left.astype(np.intp) - self.left, 1, self.wide - BORDER) - 1
        starts = [start + row * self.wide for row in range(TAPS)]
        seen = np.empty(count, self.records.dtype)
        values = seen.view(self.kind).reshape(count, TAPS)
        total, line = np.empty((2, count, TAPS), np.float32)
        pairs = line.view(np.complex64)
        out = np.empty((len(self.records), count), np.float32)
        for record, found in zip(self.records, out, strict=True):
            for row, weights in enumerate(down):
                record.take(starts[row], mode="clip", out=seen)
                np.copyto(line, values)
                np.multiply(line, weights, out=line if row else total)
                if row:
                    total += line
            np.multiply(total, across, out=line)
            half = pairs[:, 0] + pairs[:, 1]
            np.add(half.real, half.imag, out=found)
        return out


def gaussian_blur(picture: Array, sigma: float, xp: Any = np) -> Array:
    """A Gaussian low-pass of an (H, W, C) picture, cut off at three sigma, its border repeated."""
    weights = blur_weights(sigma)
    reach = len(weights) // 2
    if reach < 1:
        return picture
    for axis in (0, 1):
        around = [(reach, reach) if k == axis else (0, 0) for k in range(picture.ndim)]
        padded = xp.pad(picture, around, mode="edge")
        length = picture.shape[axis]
        picture = sum(
            np.float32(weight) * padded.take(xp.arange(k, k + length), axis)
            for k, weight in enumerate(weights)
        )
    return picture


def blur_weights(sigma: float) -> Float64:
    """The low-pass's weights, at most three sigma to both sides; a single 1 for almost none."""
    reach = round(3 * sigma)
    if reach < 1:
        return np.ones(1)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def _cubic_taps(share: Floats, steepness: float) -> tuple[int, list[Floats]]:
    """First offset and the four weights of Keys' kernel at 1 + f, f, 1 - f, 2 - f."""
    a = np.float32(steepness)

    def near(d: Floats) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Floats) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return -1, [far(1 + share), near(share), near(1 - share), far(2 - share)]


def _fetch(values: Array, x: Array, y: Array, taps: Any, xp: Any) -> Floats:
    shape = (*x.shape, values.shape[2])
    result: Floats = xp.empty((x.size, values.shape[2]), np.float32)
    if x.size:
        left, right = _needed(x, values.shape[1])
        top, bottom = _needed(y, values.shape[0])
        planes = _bordered(values[top:bottom, left:right], xp)
        x, y = x.reshape(-1), y.reshape(-1)
        for first in range(0, len(x), PLACES):
            some = slice(first, first + PLACES)
            _fetch_some(planes, x[some] - left, y[some] - top, taps, result[some])
    return result.reshape(shape)


def _needed(positions: Array, length: int) -> tuple[int, int]:
    """First and last + 1 of the pixels in a row that any of the taps reads."""
    first = min(max(int(np.floor(positions.min())) - 1, 0), length - 1)
    last = min(max(int(np.floor(positions.max())) + 3, first + 1), length)
    return first, last


def _bordered(part: Array, xp: Any, kind: Any = np.float32) -> Array:
    """(C, H + 2 B, W + 2 B): planes, which numpy looks up several times as fast as triples, with
    B = `BORDER` more pixels around, so that no tap falls outside.
    """
    around = (BORDER, BORDER)
    padded = xp.pad(part, (around, around, (0, 0)), mode="edge")
    return xp.ascontiguousarray(xp.moveaxis(padded, 2, 0), dtype=kind)


def _fetch_some(planes: Floats, x: Array, y: Array, taps: Any, out: Floats) -> None:
    _, high, wide = planes.shape
    left, top = np.floor(x), np.floor(y)
    first, across = taps((x - left).astype(np.float32))
    _, down = taps((y - top).astype(np.float32))
    # Two pixels beyond the border all taps see the border's.
    column = np.clip(left.astype(np.intp) + BORDER, 1, wide - BORDER)
    row = np.clip(top.astype(np.intp) + BORDER, 1, high - BORDER)
    start = (row + first) * wide + (column + first)
    for channel, plane in enumerate(planes.reshape(len(planes), -1)):
        total = np.zeros_like(across[0])
        for j, weight in enumerate(down):
            line = np.zeros_like(total)
            for k, share in enumerate(across):
                seen = plane[j * wide + k :][start]
                seen *= share
                line += seen
            line *= weight
            total += line
        out[:, channel] = total
