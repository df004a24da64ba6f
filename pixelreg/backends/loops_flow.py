"""Compiled loops that run flow plans on RGB bytes.

What they compute is written down in `FlowPlan` and in `pixelreg.pictures.warp`. The bytes get a
border and a fourth byte a pixel, so that a row of taps is one load, and its taps and colours are
weighted side by side. Loops with ``first`` and ``last`` do the rows between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.backends.loops import compiled
from pixelreg.pictures.warp import KEYS

A = np.float32(KEYS)
ONE = np.float32(1)
BORDER = 4  # a look-up further out than this finds nothing but the border
BLOCK = 256  # look-ups whose intermediate numbers stay in the innermost cache
ROOM = 9  # of these intermediate numbers for every look-up
PIXEL = 4  # bytes of a packed pixel
SLAB = 64  # rows between which nothing leaves the cache
# Displacement, the blur's taps, weight and bias, and the plan's spans.
Fields = tuple[Floats, Floats, Floats, Floats, Array]


@compiled
def pack(first: int, last: int, picture: Array, packed: Pixels) -> None:
    """Rows of (H, W, 3) uint8 into (H + 2 BORDER, W + 2 BORDER, 4) uint8, borders repeated."""
    height, width, _ = picture.shape
    for i in range(first, last):
        source = picture[min(max(i - BORDER, 0), height - 1)].reshape(-1)
        line = packed[i].reshape(-1)
        inside = line[PIXEL * BORDER : PIXEL * (BORDER + width)]
        for j in range(width):
            inside[4 * j], inside[4 * j + 1] = source[3 * j], source[3 * j + 1]
            inside[4 * j + 2], inside[4 * j + 3] = source[3 * j + 2], np.uint8(0)
        for j in range(PIXEL * BORDER):
            line[j] = inside[j % PIXEL]
            line[len(line) - 1 - j] = inside[len(inside) - 1 - j % PIXEL]


@compiled
def linear_packed(packed: Pixels, x: Floats, y: Floats, room: Floats, out: Floats) -> None:
    """Bilinear look-up at x, y (n,), n <= BLOCK: out (3 n,) on grey levels."""
    flat, wide = packed.reshape(-1), np.uint64(packed.shape[1] * packed.shape[2])
    across, down, sums, places = room[0], room[1], room[8], np.empty(BLOCK, np.int32)
    _places(packed, x, y, places, across, down, BORDER)
    # Taken from the shape, the length stays a loop for the compiler, which makes it one operation;
    # a row of two taps would be too short for that.
    length = np.uint64(4 * packed.shape[2])
    for j in range(len(x)):
        p = np.uint64(places[j])
        upper, lower = flat[p : p + length], flat[p + wide : p + wide + length]
        d1, a1 = down[j], across[j]
        d0, a0 = ONE - d1, ONE - a1
        for c in range(len(upper)):
            sums[c] = d0 * np.float32(upper[c]) + d1 * np.float32(lower[c])
        out[3 * j] = a0 * sums[0] + a1 * sums[4]
        out[3 * j + 1] = a0 * sums[1] + a1 * sums[5]
        out[3 * j + 2] = a0 * sums[2] + a1 * sums[6]


@compiled
def cubic_packed(packed: Pixels, x: Floats, y: Floats, room: Floats, out: Floats) -> None:
    """Cubic look-up at x, y (n,), n <= BLOCK: out (3 n,) on grey levels."""
    flat, wide = packed.reshape(-1), np.uint64(packed.shape[1] * packed.shape[2])
    a0, a1, a2, a3 = room[0], room[1], room[2], room[3]
    d0, d1, d2, d3 = room[4], room[5], room[6], room[7]
    s, places = room[8], np.empty(BLOCK, np.int32)
    _places(packed, x, y, places, a0, d0, BORDER - 1)
    for j in range(len(x)):
        fx, fy = a0[j], d0[j]
        a0[j], a1[j], a2[j], a3[j] = _cubic_weights(fx)
        d0[j], d1[j], d2[j], d3[j] = _cubic_weights(fy)
    length = np.uint64(4 * packed.shape[2])  # see `linear_packed`
    for j in range(len(x)):
        p0 = np.uint64(places[j])
        p1 = p0 + wide
        p2 = p1 + wide
        p3 = p2 + wide
        row0, row1 = flat[p0 : p0 + length], flat[p1 : p1 + length]
        row2, row3 = flat[p2 : p2 + length], flat[p3 : p3 + length]
        y0, y1, y2, y3 = d0[j], d1[j], d2[j], d3[j]
        for c in range(len(row0)):
            above = y0 * np.float32(row0[c]) + y1 * np.float32(row1[c])
            s[c] = above + y2 * np.float32(row2[c]) + y3 * np.float32(row3[c])
        x0, x1, x2, x3 = a0[j], a1[j], a2[j], a3[j]
        out[3 * j] = x0 * s[0] + x1 * s[4] + x2 * s[8] + x3 * s[12]
        out[3 * j + 1] = x0 * s[1] + x1 * s[5] + x2 * s[9] + x3 * s[13]
        out[3 * j + 2] = x0 * s[2] + x1 * s[6] + x2 * s[10] + x3 * s[14]


@compiled
def _places(
    packed: Pixels, x: Floats, y: Floats, places: Array, across: Floats, down: Floats, step: int
) -> None:
    """Where each look-up's first tap lies in a flattened packed picture, and its fractions."""
    height, width, size = packed.shape
    most_x, most_y = np.float32(width - 2 * BORDER + 1), np.float32(height - 2 * BORDER + 1)
    for j in range(len(x)):
        u = min(max(np.float32(x[j]), np.float32(-3)), most_x)
        v = min(max(np.float32(y[j]), np.float32(-3)), most_y)
        left, top = np.floor(u), np.floor(v)
        across[j], down[j] = u - left, v - top
        row = np.int32(top) + np.int32(step)
        places[j] = np.int32(size) * (row * np.int32(width) + np.int32(left) + np.int32(step))


@compiled
def _cubic_weights(share: Any) -> tuple[Any, Any, Any, Any]:
    rest = ONE - share
    return _far(ONE + share), _near(share), _near(rest), _far(ONE + rest)


@compiled
def _near(d: Any) -> Any:
    return ((A + np.float32(2)) * d - (A + np.float32(3))) * d * d + ONE


@compiled
def _far(d: Any) -> Any:
    return ((A * d - np.float32(5) * A) * d + np.float32(8) * A) * d - np.float32(4) * A


@compiled
def change_flow(
    first: int, last: int, picture: Pixels, packed: Pixels, plan: Fields, colour: Floats
) -> None:
    """w blurred(moved picture) + b, on [0, 1], at strength 1."""
    low = _room_for(plan)
    for begin in range(first, last, SLAB):
        end = min(begin + SLAB, last)
        top = _move_around(begin, end, picture, packed, plan, low)
        change_rows(begin, end, low, top, plan, colour[begin:end])


@compiled
def apply_flow(
    first: int, last: int, picture: Pixels, packed: Pixels, plan: Fields, share: float, out: Pixels
) -> None:
    """The picture moved and changed by ``share``, rounded and clipped."""
    low, colour = _room_for(plan), np.empty((SLAB, *plan[2].shape[1:]), np.float32)
    for begin in range(first, last, SLAB):
        end = min(begin + SLAB, last)
        top = _move_around(begin, end, picture, packed, plan, low)
        change_rows(begin, end, low, top, plan, colour)
        blend_rows(begin, end, picture, packed, plan, colour, share, out)


@compiled
def _room_for(plan: Fields) -> Floats:
    taps, weight = plan[1], plan[2]
    rows = min(SLAB + len(taps) - 1, len(weight))
    return np.empty((rows, *weight.shape[1:]), np.float32)


@compiled
def _move_around(
    begin: int, end: int, picture: Pixels, packed: Pixels, plan: Fields, low: Floats
) -> int:
    """Fill ``low`` with what the low-pass of rows begin to end reads; the first row of it."""
    taps, spans = plan[1], plan[4]
    reach = len(taps) // 2
    top, left, right = max(0, begin - reach), picture.shape[1], 0
    for i in range(begin, end):
        if spans[i, 2] < spans[i, 3]:
            left, right = min(left, spans[i, 2] - reach), max(right, spans[i, 3] + reach)
    if left < right:
        bottom = min(len(picture), end + reach)
        move_rows(top, bottom, max(left, 0), right, picture, packed, plan, low)
    return top


@compiled
def move_rows(
    first: int,
    last: int,
    left: int,
    right: int,
    picture: Pixels,
    packed: Pixels,
    plan: Fields,
    low: Floats,
) -> None:
    """Rows first to last, from left to right, moved by the displacement, bilinearly, on [0, 1]."""
    displacement, _, _, _, spans = plan
    right = min(right, picture.shape[1])
    line, room = np.empty(picture[0].size, np.float32), np.zeros((ROOM, BLOCK), np.float32)
    x, y = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for i in range(first, last):
        source, target = picture[i].reshape(-1), low[i - first].reshape(-1)
        still, until = max(left, spans[i, 0]), min(right, spans[i, 1])
        _as_they_are(source, left, right, still, until, line)
        for begin in range(still, until, BLOCK):
            end = min(begin + BLOCK, until)
            _from(displacement[i, begin:end], begin, i, 1.0, x, y)
            n = end - begin
            linear_packed(packed, x[:n], y[:n], room, line[3 * begin : 3 * end])
        for p in range(3 * left, 3 * right):
            target[p] = np.float32(1 / 255) * line[p]


@compiled
def change_rows(
    first: int,
    last: int,
    low: Floats,
    top: int,
    plan: Fields,
    colour: Floats,
) -> None:
    """w blurred(low) + b of rows first to last; low begins at row ``top``, colour at ``first``."""
    _, taps, weight, bias, spans = plan
    height, width, channels = weight.shape
    reach = len(taps) // 2
    line = np.empty((width + 2 * reach) * channels, np.float32)
    for i in range(first, last):
        w, b, out = weight[i].reshape(-1), bias[i].reshape(-1), colour[i - first].reshape(-1)
        out[:] = np.float32(0)
        left, right = spans[i, 2], spans[i, 3]
        if left >= right:
            continue
        begin, end = max(0, left - reach), min(width, right + reach)
        inside = line[(begin + reach) * channels : (end + reach) * channels]
        _weighted_rows(i, low, top, height, taps, begin * channels, inside)
        if begin == 0:
            for p in range(reach * channels):
                line[p] = line[reach * channels + p % channels]
        if end == width:
            for p in range(reach * channels):
                line[(reach + width) * channels + p] = line[
                    (reach + width - 1) * channels + p % channels
                ]
        part = out[left * channels : right * channels]
        middle, tap = line[(left + reach) * channels : (right + reach) * channels], taps[reach]
        for p in range(len(part)):
            part[p] = tap * middle[p]
        for k in range(reach):  # the two taps of a distance are alike
            far, tap = left + 2 * reach - k, taps[k]
            before = line[(left + k) * channels : (right + k) * channels]
            after = line[far * channels : (far + right - left) * channels]
            for p in range(len(part)):
                part[p] += tap * (before[p] + after[p])
        w, b = w[left * channels : right * channels], b[left * channels : right * channels]
        for p in range(len(part)):
            part[p] = w[p] * part[p] + b[p]


@compiled
def _weighted_rows(
    row: int, low: Floats, top: int, height: int, taps: Floats, begin: int, out: Floats
) -> None:
    """The low-pass down the columns: rows around one, from the value ``begin`` on."""
    reach, end = len(taps) // 2, begin + len(out)
    middle, tap = low[row - top].reshape(-1)[begin:end], taps[reach]
    for p in range(len(out)):
        out[p] = tap * middle[p]
    for k in range(reach):
        above, below = max(row + k - reach, 0), min(row + reach - k, height - 1)
        upper, lower = (
            low[above - top].reshape(-1)[begin:end],
            low[below - top].reshape(-1)[begin:end],
        )
        tap = taps[k]
        for p in range(len(out)):
            out[p] += tap * (upper[p] + lower[p])


@compiled
def blend_rows(
    first: int,
    last: int,
    picture: Pixels,
    packed: Pixels,
    plan: Fields,
    colour: Floats,
    share: float,
    out: Pixels,
) -> None:
    """Rows first to last moved and changed by ``share``; colour begins at row ``first``."""
    displacement, _, _, _, spans = plan
    s = np.float32(255 * share)
    line, room = np.empty(picture[0].size, np.float32), np.zeros((ROOM, BLOCK), np.float32)
    x, y = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for i in range(first, last):
        source, made = picture[i].reshape(-1), out[i].reshape(-1)
        change = colour[i - first].reshape(-1)
        still, until = spans[i, 0], spans[i, 1]
        left, right = _either(still, until, spans[i, 2], spans[i, 3])
        made[: 3 * left], made[3 * right :] = source[: 3 * left], source[3 * right :]
        _as_they_are(source, left, right, still, until, line)
        for begin in range(still, until, BLOCK):
            end = min(begin + BLOCK, until)
            _from(displacement[i, begin:end], begin, i, share, x, y)
            n = end - begin
            cubic_packed(packed, x[:n], y[:n], room, line[3 * begin : 3 * end])
        for p in range(3 * left, 3 * right):
            moved = np.rint(line[p] + s * change[p])
            made[p] = np.uint8(np.int32(min(max(moved, np.float32(0)), np.float32(255))))


@compiled
def _either(first: int, last: int, other: int, until: int) -> tuple[int, int]:
    """The least span that holds two; one that is empty counts for nothing."""
    if first >= last:
        return other, until
    return (first, last) if other >= until else (min(first, other), max(last, until))


@compiled
def _as_they_are(
    source: Pixels, left: int, right: int, still: int, until: int, line: Floats
) -> None:
    """The values of a row from left to right but for those from still to until, which move."""
    for p in range(3 * left, 3 * min(still, right) if still < until else 3 * right):
        line[p] = np.float32(source[p])
    for p in range(3 * max(until, left) if still < until else 3 * right, 3 * right):
        line[p] = np.float32(source[p])


@compiled
def _from(steps: Floats, column: int, row: int, share: float, x: Floats, y: Floats) -> None:
    """Where the pixels of a row from ``column`` on come from."""
    s = np.float32(share)
    for j in range(len(steps)):
        x[j] = np.float32(column + j) + s * steps[j, 0]
        y[j] = np.float32(row) + s * steps[j, 1]
