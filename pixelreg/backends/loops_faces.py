"""Compiled loops for finding faces, their landmarks, and for pasting changes: the reference's bits.

What they compute is written down in `pixelreg.faces.cascade`, `pixelreg.faces.facemesh` and
`pixelreg.faces.paste`; sums are taken in the same order, so that the bits are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.backends import cores
from pixelreg.backends.loops import compiled_in_order, spread

ZERO, HALF, TINY = np.float32(0), np.float32(0.5), np.float32(1 / 16)
DIAGONAL, NINTH = np.float32(np.sqrt(0.5)), np.float32(1 / 9)
CELL, CHANNELS = 4, 8
LARGE = 1_000_000  # bytes of a picture from which threads are worth it
ONE, TWO, WHITE = np.float32(1), np.float32(2), np.float32(255)


def grey(picture: Pixels, times: int, out: Pixels) -> None:
    """See `_grey`; by all cores."""
    spread(_grey, len(out), cores() if picture.size > LARGE else 1, picture, times, out)


@compiled_in_order
def _grey(first: int, last: int, picture: Pixels, times: int, out: Pixels) -> None:
    """Luminance, and means of ``times`` x ``times`` pixels of it, as Pillow rounds both.

    picture : (H, W, 3) uint8. out : (h, w) uint8, rounded up: the last blocks may be smaller.
    """
    height, width, _ = picture.shape
    sums = np.empty(width, np.uint32)
    for row in range(first, last):
        top, bottom = row * times, min(row * times + times, height)
        sums[:] = 0
        for y in range(top, bottom):
            line = picture[y].reshape(-1)
            for x in range(width):
                mixed = np.uint32(line[3 * x]) * np.uint32(19595)
                mixed += np.uint32(line[3 * x + 1]) * np.uint32(38470)
                mixed += np.uint32(line[3 * x + 2]) * np.uint32(7471)
                sums[x] += (mixed + np.uint32(0x8000)) >> np.uint32(16)
        for column in range(out.shape[1]):
            left, right = column * times, min(column * times + times, width)
            total, count = 0, (right - left) * (bottom - top)
            for x in range(left, right):
                total += sums[x]
            out[row, column] = ((total + count // 2) * ((1 << 24) // count)) >> 24


@compiled_in_order
def sample(
    level: Floats,
    which: Array,
    origin: Float64,
    axis: Float64,
    centres: Float64,
    lattice: Float64,
    flip: Float64,
    octave: Any,
    out: Floats,
) -> None:
    """Bilinear samples of pictures (N, H, W) of two rows and columns or more; the border repeats.

    They are taken at (centre + lattice) flip of each pose; see `pixelreg.faces.cascade.Pyramid`.

    which : (m,) intp. origin, axis : (m, 2) float64. centres : (m, P, 2). lattice : (K, 2).
    octave : float64, 2 ** the level's number. out : (m, P K) float32.
    """
    _, height, width = level.shape
    count = len(lattice)
    for m in range(len(centres)):
        plane = level[which[m]]
        for k in range(out.shape[1]):
            p, q = np.uint32(k) // np.uint32(count), np.uint32(k) % np.uint32(count)
            across = (centres[m, p, 0] + lattice[q, 0]) * flip[0]
            down = (centres[m, p, 1] + lattice[q, 1]) * flip[1]
            u = (axis[m, 0] * across - axis[m, 1] * down) + origin[m, 0]
            v = (axis[m, 1] * across + axis[m, 0] * down) + origin[m, 1]
            x = np.float32(min(max(u / octave - 0.5, 0.0), width - 1.0))
            y = np.float32(min(max(v / octave - 0.5, 0.0), height - 1.0))
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
    fields: Floats,
    across: Floats,
    more_x: Floats,
    more_y: Floats,
    down: Floats,
    begins: tuple[int, int, int, int, int],
    box: tuple[int, int, int, int],
    steepness: Any,
    out: Pixels,
) -> None:
    """A change laid on a strip of a photo; see `pixelreg.faces.paste`.

    values : (H, W, 3) uint8, the photo. out : like it, a copy that is written to.
    fields : (k, h, w) float32 at the strip's pixels; or finer ones to be read, where there are
        places.
    across, more_y : (w,) float32, and more_x, down : (h,), places; or all empty.
    begins : of the displacement, the gain, the colour and the layer among the fields, or -1; and k.
    box : left, top, right and bottom of the strip. steepness : float32, of the kernel.

    All arrays lie in C order, so that one loop serves them all.
    """
    moves, gains, adds, covers, count = begins
    alone = adds == 0 and count == 3  # on [0, 1]
    left, top, right, bottom = box
    width = right - left
    here, moved = np.empty((len(fields), width), np.float32), np.empty((3, width), np.float32)
    taps, places = np.empty((8, width), np.float32), np.empty((2, width), np.int64)
    sums = np.empty(5 * values.shape[2] + 1, np.float32)
    for y in range(bottom - top):
        if len(across):
            _read(fields, across, more_x[y], more_y, down[y], here)
        else:
            here[:] = fields[:, y]
        line, made = values[top + y], out[top + y]
        if moves >= 0:
            _places(here[moves], left, 1, steepness, taps[:4], places[0])
            _places(here[moves + 1], top + y, 0, steepness, taps[4:], places[1])
            _cubic(values, places, taps, sums, moved)
        else:
            for x in range(width):
                for k in range(3):
                    moved[k, x] = np.float32(line[left + x, k])
        for k in range(3):
            found = moved[k]
            if gains >= 0:
                gain = here[gains]
                for x in range(width):
                    found[x] *= gain[x] + ONE
            if adds >= 0:
                colour = here[adds + k]
                for x in range(width):
                    found[x] = (
                        (found[x] / WHITE + colour[x]) * WHITE if alone else found[x] + colour[x]
                    )
            if covers >= 0:
                layer, cover = here[covers + k], here[covers + 3]
                for x in range(width):
                    found[x] = found[x] * (ONE - cover[x]) + layer[x]
            for x in range(width):
                made[left + x, k] = np.uint8(np.int32(np.rint(min(max(found[x], ZERO), WHITE))))


@compiled_in_order
def _read(
    fine: Floats, across: Floats, more_x: Any, more_y: Floats, down: Any, out: Floats
) -> None:
    """Fields of one row, (k, w), 0 outside the crop; see `pixelreg.faces.paste`."""
    count, high, wide = fine.shape
    right, bottom = np.float32(wide) - HALF - ONE, np.float32(high) - HALF - ONE
    flat = fine.reshape(-1)
    for column in range(len(across)):
        x, y = across[column] + more_x, more_y[column] + down
        if not (x >= HALF and x < right and y >= HALF and y < bottom):
            for k in range(count):
                out[k, column] = ZERO
            continue
        left, top = np.floor(x), np.floor(y)
        x, y = x - left, y - top
        p = np.uint64(np.int64(top) * wide + np.int64(left))
        for k in range(count):
            a, c = flat[p], flat[p + np.uint64(wide)]
            a += x * (flat[p + np.uint64(1)] - a)
            c += x * (flat[p + np.uint64(wide + 1)] - c)
            out[k, column] = a + y * (c - a)
            p += np.uint64(high * wide)


@compiled_in_order
def _places(steps: Floats, start: int, each: Any, a: Any, taps: Floats, places: Array) -> None:
    """The first of four taps of every pixel of a row, and their weights (4, w), on one axis.

    start : of the row, and by how much it grows with each pixel.
    """
    first, second, third, fourth = taps[0], taps[1], taps[2], taps[3]
    for x in range(len(steps)):
        at = steps[x] + np.float32(start + each * x)
        low = np.floor(at)
        places[x] = np.int64(low) - 1
        first[x], second[x], third[x], fourth[x] = cubic_weights(at - low, a)


@compiled_in_order
def _cubic(values: Pixels, places: Array, taps: Floats, sums: Floats, out: Floats) -> None:
    """See `pixelreg.pictures.warp.RowsOfTaps`: a row, (3, w), on [0, 255].

    sums : (16,), room for a row of taps, and one more colour.
    """
    height, width, _ = values.shape
    flat, wide = values.reshape(-1), np.uint64(3 * width)
    # Taken from the shape, the length stays a loop for the compiler, which makes it two operations.
    length = np.uint64(len(sums))
    for x in range(out.shape[1]):
        j, i = places[0, x], places[1, x]
        d0, d1, d2, d3 = taps[4, x], taps[5, x], taps[6, x], taps[7, x]
        if j >= 0 and j < width - 5 and i >= 0 and i < height - 3:
            p0 = np.uint64(3) * np.uint64(i * width + j)
            p1 = p0 + wide
            p2 = p1 + wide
            p3 = p2 + wide
            row0, row1 = flat[p0 : p0 + length], flat[p1 : p1 + length]
            row2, row3 = flat[p2 : p2 + length], flat[p3 : p3 + length]
            for c in range(len(row0)):
                above = d0 * np.float32(row0[c]) + d1 * np.float32(row1[c])
                sums[c] = (above + d2 * np.float32(row2[c])) + d3 * np.float32(row3[c])
        else:
            i0, i1 = min(max(i, 0), height - 1), min(max(i + 1, 0), height - 1)
            i2, i3 = min(max(i + 2, 0), height - 1), min(max(i + 3, 0), height - 1)
            for k in range(4):
                column = min(max(j + k, 0), width - 1)
                for c in range(3):
                    above = d0 * np.float32(values[i0, column, c])
                    above += d1 * np.float32(values[i1, column, c])
                    above += d2 * np.float32(values[i2, column, c])
                    sums[3 * k + c] = above + d3 * np.float32(values[i3, column, c])
        a0, a1, a2, a3 = taps[0, x], taps[1, x], taps[2, x], taps[3, x]
        out[0, x] = (sums[0] * a0 + sums[6] * a2) + (sums[3] * a1 + sums[9] * a3)
        out[1, x] = (sums[1] * a0 + sums[7] * a2) + (sums[4] * a1 + sums[10] * a3)
        out[2, x] = (sums[2] * a0 + sums[8] * a2) + (sums[5] * a1 + sums[11] * a3)


@compiled_in_order
def cubic_weights(share: Any, a: Any) -> tuple[Any, Any, Any, Any]:
    """Of Keys' kernel at 1 + share, share, 1 - share and 2 - share, float32."""
    return _far(ONE + share, a), _near(share, a), _near(ONE - share, a), _far(TWO - share, a)


@compiled_in_order
def _near(d: Any, a: Any) -> Any:
    return ((a + TWO) * d - (a + np.float32(3))) * d * d + ONE


@compiled_in_order
def _far(d: Any, a: Any) -> Any:
    return ((a * d - np.float32(5) * a) * d + np.float32(8) * a) * d - np.float32(4) * a
