"""Compiled loops that run flow plans on RGB bytes.

Each public loop does rows ``first`` to ``last``. What they compute is written down in
`pixelreg.backends.plans`; packed pictures come from `_loops_fetch.pack`.
"""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.backends._loops_fetch import BLOCK, ROOM, cubic_packed, linear_packed
from pixelreg.backends.loops import compiled

SLAB = 64  # rows between which nothing leaves the cache


@compiled
def change_flow(
    first: int,
    last: int,
    picture: Pixels,
    packed: Array,
    displacement: Floats,
    taps: Floats,
    weight: Floats,
    bias: Floats,
    colour: Floats,
) -> None:
    """w blurred(moved picture) + b, on [0, 1], at strength 1."""
    low = _room_for(taps, weight)
    for begin in range(first, last, SLAB):
        end = min(begin + SLAB, last)
        top = _move_around(begin, end, picture, packed, displacement, taps, low)
        change_rows(begin, end, low, top, taps, weight, bias, colour[begin:end])


@compiled
def apply_flow(
    first: int,
    last: int,
    picture: Pixels,
    packed: Array,
    displacement: Floats,
    taps: Floats,
    weight: Floats,
    bias: Floats,
    share: float,
    out: Pixels,
) -> None:
    """The picture moved and changed by ``share``, rounded and clipped."""
    low, colour = _room_for(taps, weight), np.empty((SLAB, *weight.shape[1:]), np.float32)
    for begin in range(first, last, SLAB):
        end = min(begin + SLAB, last)
        top = _move_around(begin, end, picture, packed, displacement, taps, low)
        change_rows(begin, end, low, top, taps, weight, bias, colour)
        blend_rows(begin, end, picture, packed, displacement, colour, share, out)


@compiled
def _room_for(taps: Floats, weight: Floats) -> Floats:
    rows = min(SLAB + len(taps) - 1, len(weight))
    return np.empty((rows, *weight.shape[1:]), np.float32)


@compiled
def _move_around(
    begin: int,
    end: int,
    picture: Pixels,
    packed: Array,
    displacement: Floats,
    taps: Floats,
    low: Floats,
) -> int:
    """Fill ``low`` with what the low-pass of rows begin to end reads; the first row of it."""
    reach = len(taps) // 2
    top = max(0, begin - reach)
    move_rows(top, min(len(picture), end + reach), picture, packed, displacement, low)
    return top


@compiled
def move_rows(
    first: int, last: int, picture: Pixels, packed: Array, displacement: Floats, low: Floats
) -> None:
    """Rows first to last of the picture moved by the displacement, bilinearly, on [0, 1]."""
    width = picture.shape[1]
    line, room = np.empty(3 * width, np.float32), np.zeros((ROOM, BLOCK), np.float32)
    x, y = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for i in range(first, last):
        source, target = picture[i].reshape(-1), low[i - first].reshape(-1)
        for p in range(len(source)):
            line[p] = np.float32(source[p])
        left, right = _moving(displacement[i])
        for begin in range(left, right, BLOCK):
            end = min(begin + BLOCK, right)
            _from(displacement[i, begin:end], begin, i, 1.0, x, y)
            n = end - begin
            linear_packed(packed, x[:n], y[:n], room, line[3 * begin : 3 * end])
        for p in range(len(line)):
            target[p] = np.float32(1 / 255) * line[p]


@compiled
def change_rows(
    first: int,
    last: int,
    low: Floats,
    top: int,
    taps: Floats,
    weight: Floats,
    bias: Floats,
    colour: Floats,
) -> None:
    """w blurred(low) + b of rows first to last; low begins at row ``top``, colour at ``first``."""
    height, width, channels = weight.shape
    reach = len(taps) // 2
    line = np.empty((width + 2 * reach) * channels, np.float32)
    for i in range(first, last):
        w, b, out = weight[i].reshape(-1), bias[i].reshape(-1), colour[i - first].reshape(-1)
        out[:] = np.float32(0)
        left, right = _span(w, b, channels)
        if left >= right:
            continue
        begin, end = max(0, left - reach), min(width, right + reach)
        inside = line[(begin + reach) * channels : (end + reach) * channels]
        inside[:] = np.float32(0)
        for k in range(len(taps)):
            row = min(max(i + k - reach, 0), height - 1)
            source, tap = low[row - top].reshape(-1)[begin * channels : end * channels], taps[k]
            for p in range(len(inside)):
                inside[p] += tap * source[p]
        if begin == 0:
            for p in range(reach * channels):
                line[p] = line[reach * channels + p % channels]
        if end == width:
            for p in range(reach * channels):
                line[(reach + width) * channels + p] = line[
                    (reach + width - 1) * channels + p % channels
                ]
        part = out[left * channels : right * channels]
        for k in range(len(taps)):
            source, tap = line[(left + k) * channels : (right + k) * channels], taps[k]
            for p in range(len(part)):
                part[p] += tap * source[p]
        w, b = w[left * channels : right * channels], b[left * channels : right * channels]
        for p in range(len(part)):
            part[p] = w[p] * part[p] + b[p]


@compiled
def blend_rows(
    first: int,
    last: int,
    picture: Pixels,
    packed: Array,
    displacement: Floats,
    colour: Floats,
    share: float,
    out: Pixels,
) -> None:
    """Rows first to last moved and changed by ``share``; colour begins at row ``first``."""
    s = np.float32(255 * share)
    width = picture.shape[1]
    line, room = np.empty(3 * width, np.float32), np.zeros((ROOM, BLOCK), np.float32)
    x, y = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for i in range(first, last):
        source, change, made = (
            picture[i].reshape(-1),
            colour[i - first].reshape(-1),
            out[i].reshape(-1),
        )
        for p in range(len(source)):
            line[p] = np.float32(source[p])
        left, right = _moving(displacement[i])
        for begin in range(left, right, BLOCK):
            end = min(begin + BLOCK, right)
            _from(displacement[i, begin:end], begin, i, share, x, y)
            n = end - begin
            cubic_packed(packed, x[:n], y[:n], room, line[3 * begin : 3 * end])
        for p in range(len(line)):
            moved = np.rint(line[p] + s * change[p])
            made[p] = np.uint8(np.int32(min(max(moved, np.float32(0)), np.float32(255))))


@compiled
def _from(steps: Floats, column: int, row: int, share: float, x: Floats, y: Floats) -> None:
    """Where the pixels of a row from ``column`` on come from."""
    s = np.float32(share)
    for j in range(len(steps)):
        x[j] = np.float32(column + j) + s * steps[j, 0]
        y[j] = np.float32(row) + s * steps[j, 1]


@compiled
def _moving(steps: Floats) -> tuple[int, int]:
    """The first and the last + 1 of a row's pixels that move."""
    left, right = 0, len(steps)
    while left < right and steps[left, 0] == 0 and steps[left, 1] == 0:
        left += 1
    while right > left and steps[right - 1, 0] == 0 and steps[right - 1, 1] == 0:
        right -= 1
    return left, right


@compiled
def _span(w: Floats, b: Floats, channels: int) -> tuple[int, int]:
    """The first and the last + 1 of a row's pixels that the change touches."""
    left, right = 0, len(w)
    while left < right and w[left] == 0 and b[left] == 0:
        left += 1
    while right > left and w[right - 1] == 0 and b[right - 1] == 0:
        right -= 1
    return left // channels, (right + channels - 1) // channels
