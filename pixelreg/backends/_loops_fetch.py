"""Compiled look-ups between the pixels; `pixelreg.pictures.warp` says what they compute.

RGB bytes are packed into one number a pixel, with a border, so that a tap is one load and many
look-ups go side by side; other pictures are looked up value by value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats
from pixelreg.backends.loops import compiled
from pixelreg.pictures.warp import KEYS

A = np.float32(KEYS)
ONE = np.float32(1)
BORDER = 4  # a look-up further out than this finds nothing but the border
BLOCK = 256  # look-ups whose intermediate numbers stay in the innermost cache
ROOM = 12  # of these intermediate numbers for every look-up


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
def fetch_packed(
    first: int, last: int, packed: Array, x: Array, y: Array, cubic: bool, out: Floats
) -> None:
    """Look up rows first to last of x, y (h, w) in a packed picture: out (h, w, 3)."""
    columns = x.shape[1]
    room = np.zeros((ROOM, BLOCK), np.float32)
    for i in range(first, last):
        made = out[i].reshape(-1)
        for low in range(0, columns, BLOCK):
            high = min(low + BLOCK, columns)
            if cubic:
                cubic_packed(packed, x[i, low:high], y[i, low:high], room, made[3 * low : 3 * high])
            else:
                linear_packed(
                    packed, x[i, low:high], y[i, low:high], room, made[3 * low : 3 * high]
                )


@compiled
def fetch_each(
    first: int, last: int, values: Array, x: Array, y: Array, cubic: bool, out: Floats
) -> None:
    """Look up rows first to last of x, y (h, w) in any values (H, W, C): out (h, w, C)."""
    height, width, channels = values.shape
    flat, made = values.reshape(-1), out.reshape(-1)
    columns = x.shape[1]
    sums = np.empty(12, np.float32)
    for i in range(first, last):
        for j in range(columns):
            place = (i * columns + j) * channels
            if cubic:
                _cubic_at(flat, height, width, channels, x[i, j], y[i, j], sums, made, place)
            else:
                _linear_at(flat, height, width, channels, x[i, j], y[i, j], made, place)


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
def _linear_at(
    flat: Array,
    height: int,
    width: int,
    channels: int,
    x: float,
    y: float,
    out: Floats,
    place: int,
) -> None:
    """One bilinear look-up in a flattened picture, written to out[place:]."""
    left, top = np.int64(np.floor(x)), np.int64(np.floor(y))
    across, down = np.float32(x - left), np.float32(y - top)
    l0, l1 = min(max(left, 0), width - 1), min(max(left + 1, 0), width - 1)
    t0, t1 = min(max(top, 0), height - 1) * width, min(max(top + 1, 0), height - 1) * width
    a, b = np.uint64((t0 + l0) * channels), np.uint64((t0 + l1) * channels)
    c, d = np.uint64((t1 + l0) * channels), np.uint64((t1 + l1) * channels)
    target = np.uint64(place)
    for k in range(channels):
        m = np.uint64(k)
        upper = (ONE - across) * flat[a + m] + across * flat[b + m]
        lower = (ONE - across) * flat[c + m] + across * flat[d + m]
        out[target + m] = (ONE - down) * upper + down * lower


@compiled
def _cubic_at(
    flat: Array,
    height: int,
    width: int,
    channels: int,
    x: float,
    y: float,
    sums: Floats,
    out: Floats,
    place: int,
) -> None:
    """One cubic look-up in a flattened picture, written to out[place:].

    ``sums`` (12,) is room for four columns of three channels.
    """
    left, top = np.int64(np.floor(x)), np.int64(np.floor(y))
    fx, fy = np.float32(x - left), np.float32(y - top)
    a0, a1, a2, a3 = _cubic_weights(fx)
    d0, d1, d2, d3 = _cubic_weights(fy)
    target = np.uint64(place)
    if channels == 3 and 1 <= left < width - 2 and 1 <= top < height - 2:
        # The twelve values of a row of four pixels lie side by side.
        line = np.uint64(3 * width)
        p = np.uint64(3 * ((top - 1) * width + left - 1))
        for k in range(12):
            n = p + np.uint64(k)
            sums[k] = (d0 * flat[n] + d1 * flat[n + line]) + (
                d2 * flat[n + line + line] + d3 * flat[n + line + line + line]
            )
        for c in range(3):
            near = a0 * sums[c] + a1 * sums[3 + c]
            out[target + np.uint64(c)] = near + (a2 * sums[6 + c] + a3 * sums[9 + c])
        return
    for c in range(channels):
        total = np.float32(0)
        for k in range(4):
            row = min(max(top + k - 1, 0), height - 1) * width
            part = np.float32(0)
            for m in range(4):
                column = min(max(left + m - 1, 0), width - 1)
                share = a0 if m == 0 else a1 if m == 1 else a2 if m == 2 else a3
                part += share * flat[np.uint64((row + column) * channels + c)]
            total += (d0 if k == 0 else d1 if k == 1 else d2 if k == 2 else d3) * part
        out[target + np.uint64(c)] = total
