"""Looking pixels up between the pixels: bilinear, and a cubic that keeps skin sharp.

Coordinates are indices (x, y) of pixels: (0, 0) is the centre of the first one. What lies outside
a picture repeats its border.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, Floats

# Keys' cubic convolution with a = -0.5 takes a sixth of the finest detail (Laplacian variance)
# from a moved face, bilinear almost half; a steeper kernel makes up for it. Whole-pixel moves are
# exact for every a.
KEYS = -1.15
ROWS = 64  # rows looked up at once, so that the temporaries stay in the cache


def fetch_linear(values: Array, x: Array, y: Array, xp: Any = np) -> Floats:
    """Bilinear look-up.

    values : (H, W, C), any real type.
    x, y : (h, w) coordinates.

    Returns: (h, w, C) float32.
    """
    return _fetch(values, x, y, _linear_taps, xp)


def fetch_cubic(values: Array, x: Array, y: Array, xp: Any = np, steepness: float = KEYS) -> Floats:
    """Cubic look-up, slightly sharpening; see `fetch_linear`.

    steepness : Keys' a; the lower, the sharper.
    """
    return _fetch(values, x, y, partial(_cubic_taps, steepness=steepness), xp)


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
    result: Float64 = weights / weights.sum()
    return result


def _linear_taps(share: Floats) -> tuple[int, list[Floats]]:
    return 0, [1 - share, share]


def _cubic_taps(share: Floats, steepness: float) -> tuple[int, list[Floats]]:
    """First offset and the four weights of Keys' kernel at 1 + f, f, 1 - f, 2 - f."""
    a = np.float32(steepness)

    def near(d: Floats) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Floats) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return -1, [far(1 + share), near(share), near(1 - share), far(2 - share)]


def _fetch(values: Array, x: Array, y: Array, taps: Any, xp: Any) -> Floats:
    result: Floats = xp.empty((*x.shape, values.shape[2]), np.float32)
    if not x.size:
        return result
    left, right = _needed(x, values.shape[1])
    top, bottom = _needed(y, values.shape[0])
    part = values[top:bottom, left:right]
    # One plane at a time: numbers side by side are looked up several times as fast as triples.
    planes = xp.ascontiguousarray(xp.moveaxis(part, 2, 0)).reshape(values.shape[2], -1)
    for first in range(0, len(x), ROWS):
        rows = slice(first, first + ROWS)
        _fetch_rows(planes, part.shape[:2], x[rows] - left, y[rows] - top, taps, result[rows])
    return result


def _needed(positions: Array, length: int) -> tuple[int, int]:
    """First and last + 1 of the pixels in a row that any of the taps reads."""
    first = min(max(int(np.floor(positions.min())) - 1, 0), length - 1)
    last = min(max(int(np.floor(positions.max())) + 3, first + 1), length)
    return first, last


def _fetch_rows(
    planes: Array, shape: tuple[int, ...], x: Array, y: Array, taps: Any, out: Floats
) -> None:
    height, width = shape
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    first, across = taps((x - left).astype(np.float32))
    _, down = taps((y - top).astype(np.float32))
    columns = [np.clip(left + (first + k), 0, width - 1) for k in range(len(across))]
    starts = [np.clip(top + (first + k), 0, height - 1) * np.int32(width) for k in range(len(down))]
    for channel, plane in enumerate(planes):
        total = np.zeros_like(across[0])
        for start, weight in zip(starts, down, strict=True):
            line = np.zeros_like(total)
            for column, share in zip(columns, across, strict=True):
                line += share * plane[start + column]
            total += weight * line
        out[..., channel] = total
