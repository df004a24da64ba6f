"""Compiled loops for finding faces, their landmarks, and for pasting changes: the reference's bits.

What they compute is written down in `pixelreg.faces.cascade`, `pixelreg.faces.facemesh` and
`pixelreg.faces.paste`; sums are taken in the same order, so that the bits are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.backends.loops import compiled_in_order

ZERO, HALF, TINY = np.float32(0), np.float32(0.5), np.float32(1 / 16)
DIAGONAL, NINTH = np.float32(np.sqrt(0.5)), np.float32(1 / 9)
CELL, CHANNELS = 4, 8
ONE, TWO, WHITE = np.float32(1), np.float32(2), np.float32(255)


@compiled_in_order
def sample(level: Floats, which: Array, points: Float64, octave: Any, out: Floats) -> None:
    """Bilinear samples of pictures (N, H, W); the border repeats.

    which : (m,) intp, the picture of each set of points. points : (m, K, 2) float64 pixels at the
    first level. octave : float64, 2 ** the level's number. out : (m, K) float32.
    """
    _, height, width = level.shape
    for m in range(len(points)):
        plane = level[which[m]]
        for k in range(points.shape[1]):
            x = np.float32(min(max(points[m, k, 0] / octave - 0.5, 0.0), width - 1.0))
            y = np.float32(min(max(points[m, k, 1] / octave - 0.5, 0.0), height - 1.0))
            left = max(min(np.intp(x), width - 2), 0)  # never beside it, whatever is asked
            top = max(min(np.intp(y), height - 2), 0)
            fx, fy = np.float64(x) - left, np.float64(y) - top
            a, b = plane[top, left], plane[top, left + 1]
            c, d = plane[top + 1, left], plane[top + 1, left + 1]
            upper = np.float64(a) + fx * np.float64(b - a)
            lower = np.float64(c) + fx * np.float64(d - c)
            out[m, k] = np.float32(upper + fy * (lower - upper))


@compiled_in_order
def cells(grey: Floats, flat: Any, out: Floats) -> None:
    """See `pixelreg.faces.cascade.cell_features`.

    grey : (N, H, W) float32, H and W whole cells. flat : float32. out : (N, H / 4, W / 4, 8).
    """
    count, height, width = grey.shape
    rows, columns = height // CELL, width // CELL
    root = np.empty((height, width), np.float32)
    signed, absolute = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    energy = np.empty((rows, columns), np.float32)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                root[y, x] = np.sqrt(grey[n, y, x])
        for row in range(rows):
            _directions(root, row, signed, absolute)
            for column in range(columns):
                _gathered(signed, absolute, column, out[n, row, column])
                e = out[n, row, column]
                energy[row, column] = (
                    ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7]))
                )  # fmt: skip
        _evened(energy, flat, out[n])


@compiled_in_order
def _directions(root: Floats, row: int, signed: Floats, absolute: Floats) -> None:
    """Gradients along four directions, and their sizes, summed over a row of cells: (4, W)."""
    height, width = root.shape
    for y in range(CELL * row, CELL * row + CELL):
        above, below = root[max(y - 1, 0)], root[min(y + 1, height - 1)]
        here, start = root[y], y == CELL * row
        for x in range(width):
            right = here[min(x + 1, width - 1)] - here[max(x - 1, 0)]
            down = below[x] - above[x]
            rising, falling = (right + down) * DIAGONAL, (down - right) * DIAGONAL
            if start:
                signed[0, x], absolute[0, x] = right, abs(right)
                signed[1, x], absolute[1, x] = rising, abs(rising)
                signed[2, x], absolute[2, x] = down, abs(down)
                signed[3, x], absolute[3, x] = falling, abs(falling)
            else:
                signed[0, x] += right
                absolute[0, x] += abs(right)
                signed[1, x] += rising
                absolute[1, x] += abs(rising)
                signed[2, x] += down
                absolute[2, x] += abs(down)
                signed[3, x] += falling
                absolute[3, x] += abs(falling)


@compiled_in_order
def _gathered(signed: Floats, absolute: Floats, column: int, cell: Floats) -> None:
    """One cell of sums over its rows: the positive and the negative part of each direction."""
    x = CELL * column
    for k in range(4):
        s = (((signed[k, x] + signed[k, x + 1]) + signed[k, x + 2]) + signed[k, x + 3]) * TINY
        a = absolute[k, x] + absolute[k, x + 1]
        a = ((a + absolute[k, x + 2]) + absolute[k, x + 3]) * TINY
        cell[k], cell[k + 4] = (a + s) * HALF, (a - s) * HALF


@compiled_in_order
def _evened(energy: Floats, flat: Any, out: Floats) -> None:
    """Cells (r, c, 8) over the mean energy around them, and the root of that."""
    rows, columns = energy.shape
    down = np.empty(columns, np.float32)
    for row in range(rows):
        above, below = energy[max(row - 1, 0)], energy[min(row + 1, rows - 1)]
        for column in range(columns):
            down[column] = (above[column] + energy[row, column]) + below[column]
        for column in range(columns):
            left, right = down[max(column - 1, 0)], down[min(column + 1, columns - 1)]
            mean = ((left + down[column]) + right) * NINTH + flat
            for k in range(CHANNELS):
                out[row, column, k] = np.sqrt(max(out[row, column, k] / mean, ZERO))


@compiled_in_order
def depthwise(padded: Floats, weight: Floats, step: int, out: Floats) -> None:
    """A 3 x 3 convolution of each channel; see `pixelreg.faces.facemesh`.

    padded : (H, W, C). weight : (3, 3, C). out : (h, w, C), at most (H - 2) / step rows.
    """
    for i in range(out.shape[0]):
        above, here, below = padded[i * step], padded[i * step + 1], padded[i * step + 2]
        for j in range(out.shape[1]):
            k = j * step
            for c in range(out.shape[2]):
                total = above[k, c] * weight[0, 0, c]
                total += above[k + 1, c] * weight[0, 1, c]
                total += above[k + 2, c] * weight[0, 2, c]
                total += here[k, c] * weight[1, 0, c]
                total += here[k + 1, c] * weight[1, 1, c]
                total += here[k + 2, c] * weight[1, 2, c]
                total += below[k, c] * weight[2, 0, c]
                total += below[k + 1, c] * weight[2, 1, c]
                total += below[k + 2, c] * weight[2, 2, c]
                out[i, j, c] = total


@compiled_in_order
def finish(y: Floats, offset: Floats, x: Floats, step: int, slope: Floats) -> None:
    """Offset, what went round the block, and PReLU, in place.

    y : (h, w, D). offset, slope : (D,). x : (h step, w step, C), C at most D; of four, the largest.
    """
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            line = y[i, j]
            for k in range(len(line)):
                line[k] += offset[k]
            for k in range(x.shape[2]):
                kept = x[i * step, j * step, k]
                if step > 1:
                    kept = max(
                        max(kept, x[i * 2 + 1, j * 2, k]),
                        max(x[i * 2, j * 2 + 1, k], x[i * 2 + 1, j * 2 + 1, k]),
                    )
                line[k] += kept
            for k in range(len(line)):
                line[k] += min(line[k], ZERO) * (slope[k] - np.float32(1))


@compiled_in_order
def lay(
    values: Pixels,
    steps: Floats,
    gain: Floats,
    colour: Floats,
    layer: Floats,
    turn: tuple[Any, Any],
    corner: tuple[int, int],
    steepness: Any,
    out: Pixels,
) -> None:
    """A change laid on a strip of a photo; see `pixelreg.faces.paste`.

    values : (H, W, 3) uint8, the photo. out : (h, w, 3) uint8, the strip of a copy of it.
    steps, gain, colour, layer : (h, w, 2), (h, w, 1), (h, w, 3) and (h, w, 4) float32; without any
        rows where there is none.
    turn : a and b of the similarity, float32. corner : of the strip, its column and row.
    steepness : float32, of the kernel.
    """
    moves, gains, adds, covers = len(steps) > 0, len(gain) > 0, len(colour) > 0, len(layer) > 0
    pixel = np.empty(3, np.float32)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            row, column = corner[1] + y, corner[0] + x
            across, down = (steps[y, x, 0], steps[y, x, 1]) if moves else (ZERO, ZERO)
            still = across == 0 and down == 0
            more = gain[y, x, 0] if gains else ONE
            laid_on = (adds and _any(colour, y, x)) or (covers and _any(layer, y, x))
            if still and more == ONE and not laid_on:
                continue
            if not still:
                u = np.float32(column) + (turn[0] * across - turn[1] * down)
                v = np.float32(row) + (turn[1] * across + turn[0] * down)
                _cubic(values, u, v, steepness, pixel)
            else:
                for k in range(3):
                    pixel[k] = np.float32(values[row, column, k])
            for k in range(3):
                one = pixel[k] / WHITE * more
                if adds:
                    one = one + colour[y, x, k]
                if covers:
                    one = one * (ONE - layer[y, x, 3]) + layer[y, x, k]
                out[y, x, k] = np.uint8(min(max(np.rint(one * WHITE), ZERO), WHITE))


@compiled_in_order
def _any(field: Floats, y: int, x: int) -> bool:
    """Whether a field has anything at a pixel."""
    found = False
    for k in range(field.shape[2]):
        found = found or field[y, x, k] != 0
    return found


@compiled_in_order
def _cubic(values: Pixels, u: Any, v: Any, steepness: Any, out: Floats) -> None:
    """See `pixelreg.pictures.warp.fetch_cubic`: one place, the colours on [0, 255]."""
    height, width, _ = values.shape
    left, top = np.floor(u), np.floor(v)
    a, d = _taps(np.float32(u - left), steepness), _taps(np.float32(v - top), steepness)
    i, j = np.intp(top) - 1, np.intp(left) - 1
    j0, j1 = min(max(j, 0), width - 1), min(max(j + 1, 0), width - 1)
    j2, j3 = min(max(j + 2, 0), width - 1), min(max(j + 3, 0), width - 1)
    r, g, b = ZERO, ZERO, ZERO
    for k in range(4):
        row = min(max(i + k, 0), height - 1)
        line = np.float32(values[row, j0, 0]) * a[0] + np.float32(values[row, j1, 0]) * a[1]
        line = line + np.float32(values[row, j2, 0]) * a[2]
        r += (line + np.float32(values[row, j3, 0]) * a[3]) * d[k]
        line = np.float32(values[row, j0, 1]) * a[0] + np.float32(values[row, j1, 1]) * a[1]
        line = line + np.float32(values[row, j2, 1]) * a[2]
        g += (line + np.float32(values[row, j3, 1]) * a[3]) * d[k]
        line = np.float32(values[row, j0, 2]) * a[0] + np.float32(values[row, j1, 2]) * a[1]
        line = line + np.float32(values[row, j2, 2]) * a[2]
        b += (line + np.float32(values[row, j3, 2]) * a[3]) * d[k]
    out[0], out[1], out[2] = r, g, b


@compiled_in_order
def _taps(share: Any, a: Any) -> tuple[Any, Any, Any, Any]:
    """Of Keys' kernel at 1 + share, share, 1 - share and 2 - share."""
    return _far(ONE + share, a), _near(share, a), _near(ONE - share, a), _far(TWO - share, a)


@compiled_in_order
def _near(d: Any, a: Any) -> Any:
    return ((a + TWO) * d - (a + np.float32(3))) * d * d + ONE


@compiled_in_order
def _far(d: Any, a: Any) -> Any:
    return ((a * d - np.float32(5) * a) * d + np.float32(8) * a) * d - np.float32(4) * a
