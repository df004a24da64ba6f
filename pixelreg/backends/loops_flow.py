"""Compiled loops that run flow plans on RGB bytes.

What they compute is written down in `FlowPlan` and in `pixelreg.pictures.warp`. The bytes are
packed into one number a pixel, with a border, so that a tap is one load and many look-ups go side
by side. Loops with ``first`` and ``last`` do the rows between them.
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
ROOM = 12  # of these intermediate numbers for every look-up
SLAB = 64  # rows between which nothing leaves the cache
Fields = tuple[Floats, Floats, Floats, Floats]  # displacement, the blur's taps, weight and bias


@compiled
def pack(first: int, last: int, picture: Array, packed: Array) -> None:
    """Rows of (H, W, 3) uint8 into (H + 2 BORDER, W + 2 BORDER) uint32, borders repeated."""
    height, width, _ = picture.shape
    for i in range(first, last):
        source = picture[min(max(i - BORDER, 0), height - 1)].reshape(-1)
        inside = packed[i, BORDER : BORDER + width]
        for j in range(width):
            green, blue = np.uint32(source[3 * j + 1]), np.uint32(source[3 * j + 2])
            inside[j] = source[3 * j] | (green << np.uint32(8)) | (blue << np.uint32(16))
        for j in range(BORDER):
            packed[i, j] = inside[0]
            packed[i, BORDER + width + j] = inside[width - 1]


@compiled
def linear_packed(packed: Array, x: Floats, y: Floats, room: Floats, out: Floats) -> None:
    """Bilinear look-up at x, y (n,), n <= BLOCK: out (3 n,) on grey levels."""
    count = len(x)
    flat, base = packed.reshape(-1), np.empty(BLOCK, np.int32)
    across, down, red, green, blue = room[0], room[1], room[8], room[9], room[10]
    _places(packed, x, y, base, across, down, BORDER)
    for k in range(2):
        start = np.uint32(k * packed.shape[1])
        for j in range(count):
            p = np.uint32(base[j]) + start
            d = down[j] if k == 1 else ONE - down[j]
            r0, g0, b0 = _unpacked(flat[p])
            r1, g1, b1 = _unpacked(flat[p + np.uint32(1)])
            w1 = d * across[j]
            w0 = d - w1
            red[j] = w0 * r0 + w1 * r1 + (red[j] if k else np.float32(0))
            green[j] = w0 * g0 + w1 * g1 + (green[j] if k else np.float32(0))
            blue[j] = w0 * b0 + w1 * b1 + (blue[j] if k else np.float32(0))
    _woven(red, green, blue, out)


@compiled
def cubic_packed(packed: Array, x: Floats, y: Floats, room: Floats, out: Floats) -> None:
    """Cubic look-up at x, y (n,), n <= BLOCK: out (3 n,) on grey levels."""
    count = len(x)
    flat, base = packed.reshape(-1), np.empty(BLOCK, np.int32)
    a0, a1, a2, a3 = room[0], room[1], room[2], room[3]
    d0, d1, d2, d3 = room[4], room[5], room[6], room[7]
    red, green, blue = room[8], room[9], room[10]
    _places(packed, x, y, base, a0, d0, BORDER - 1)
    for j in range(count):
        fx, fy = a0[j], d0[j]
        a0[j], a1[j], a2[j], a3[j] = _cubic_weights(fx)
        d0[j], d1[j], d2[j], d3[j] = _cubic_weights(fy)
    for k in range(4):
        down, start = room[4 + k], np.uint32(k * packed.shape[1])
        for j in range(count):
            p = np.uint32(base[j]) + start
            r0, g0, b0 = _unpacked(flat[p])
            r1, g1, b1 = _unpacked(flat[p + np.uint32(1)])
            r2, g2, b2 = _unpacked(flat[p + np.uint32(2)])
            r3, g3, b3 = _unpacked(flat[p + np.uint32(3)])
            w0, w1, w2, w3 = down[j] * a0[j], down[j] * a1[j], down[j] * a2[j], down[j] * a3[j]
            before = np.float32(0) if k == 0 else ONE
            red[j] = before * red[j] + w0 * r0 + w1 * r1 + w2 * r2 + w3 * r3
            green[j] = before * green[j] + w0 * g0 + w1 * g1 + w2 * g2 + w3 * g3
            blue[j] = before * blue[j] + w0 * b0 + w1 * b1 + w2 * b2 + w3 * b3
    _woven(red, green, blue, out)


@compiled
def _places(
    packed: Array, x: Floats, y: Floats, base: Array, across: Floats, down: Floats, step: int
) -> None:
    """Where each look-up's first tap lies in a flattened packed picture, and its fractions."""
    height, width = packed.shape
    most_x, most_y = np.float32(width - 2 * BORDER + 1), np.float32(height - 2 * BORDER + 1)
    for j in range(len(x)):
        u = min(max(np.float32(x[j]), np.float32(-3)), most_x)
        v = min(max(np.float32(y[j]), np.float32(-3)), most_y)
        left, top = np.floor(u), np.floor(v)
        across[j], down[j] = u - left, v - top
        row = np.int32(top) + np.int32(step)
        base[j] = row * np.int32(width) + np.int32(left) + np.int32(step)


@compiled
def _unpacked(pixel: int) -> tuple[float, float, float]:
    low = np.uint32(255)
    red, green = np.int32(pixel & low), np.int32((pixel >> np.uint32(8)) & low)
    return np.float32(red), np.float32(green), np.float32(np.int32(pixel >> np.uint32(16)))


@compiled
def _woven(red: Floats, green: Floats, blue: Floats, out: Floats) -> None:
    for j in range(len(out) // 3):
        out[3 * j], out[3 * j + 1], out[3 * j + 2] = red[j], green[j], blue[j]


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
    first: int, last: int, picture: Pixels, packed: Array, plan: Fields, colour: Floats
) -> None:
    """w blurred(moved picture) + b, on [0, 1], at strength 1."""
    displacement, taps, weight, bias = plan
    low = _room_for(taps, weight)
    for begin in range(first, last, SLAB):
        end = min(begin + SLAB, last)
        top = _move_around(begin, end, picture, packed, displacement, taps, low)
        change_rows(begin, end, low, top, taps, weight, bias, colour[begin:end])


@compiled
def apply_flow(
    first: int, last: int, picture: Pixels, packed: Array, plan: Fields, share: float, out: Pixels
) -> None:
    """The picture moved and changed by ``share``, rounded and clipped."""
    displacement, taps, weight, bias = plan
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
        source, made = picture[i].reshape(-1), out[i].reshape(-1)
        change = colour[i - first].reshape(-1)
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
