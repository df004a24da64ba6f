"""Compiled loops for faces that move: triangles to pixels, and pixels of one plane looked up.

What they compute is written down in `pixelreg.rig.raster` and in `pixelreg.pictures.warp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.backends import cores
from pixelreg.backends import loops as threads
from pixelreg.backends.loops import compiled

ZERO, HALF, ONE, WHITE = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
FLAT = np.float32(1e-9)  # twice the area of a triangle that is none


@compiled
def draw(
    points: Floats,
    depth: Floats,
    corners: Array,
    planes: Floats,
    crack: Any,
    nearest: Floats,
    shown: Array,
) -> None:
    """The nearest triangle of every pixel.

    points : (n, 2) float32. depth : (n,) float32. corners : (t, 3) int32.
    planes : (t, 2, 3) float32, see `pixelreg.rig.raster.Seen`.
    crack : float32, pixels by which spans reach over their edges.
    nearest : (H, W) float32, the depth of what is drawn already; written to.
    shown : (H, W) int32, the number of the triangle; written to.
    """
    height, width = shown.shape
    x, y = np.empty(3, np.float32), np.empty(3, np.float32)
    for t in range(len(corners)):
        for k in range(3):
            x[k], y[k] = points[corners[t, k], 0], points[corners[t, k], 1]
        area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
        if abs(area) < FLAT:
            continue
        a = depth[corners[t, 0]]
        ab, ac = depth[corners[t, 1]] - a, depth[corners[t, 2]] - a
        across = ab * planes[t, 0, 0] + ac * planes[t, 1, 0]
        down = ab * planes[t, 0, 1] + ac * planes[t, 1, 1]
        start = a + ab * planes[t, 0, 2] + ac * planes[t, 1, 2]
        top = max(np.int32(np.ceil(min(y[0], y[1], y[2]) - HALF)), np.int32(0))
        bottom = min(np.int32(np.floor(max(y[0], y[1], y[2]) - HALF)), np.int32(height - 1))
        for row in range(top, bottom + 1):
            at = np.float32(row) + HALF
            first, last = _span(x, y, area, at, crack, width)
            z = start + down * at + across * (np.float32(first) + HALF)
            for column in range(first, last + 1):
                if z > nearest[row, column]:
                    nearest[row, column] = z
                    shown[row, column] = t
                z += across


@compiled
def _span(x: Floats, y: Floats, area: Any, at: Any, crack: Any, width: int) -> tuple[int, int]:
    """The first and the last pixel of a row inside a triangle."""
    left, right = np.float32(-1), np.float32(width)
    for k in range(3):
        n = (k + 1) % 3
        dy = y[n] - y[k]
        if dy == 0:
            continue
        cut = x[k] + (x[n] - x[k]) / dy * (at - y[k])
        if (dy > 0) != (area < 0):
            right = min(right, cut)
        else:
            left = max(left, cut)
    first = max(np.int32(np.ceil(left - HALF - crack)), np.int32(0))
    last = min(np.int32(np.floor(right - HALF + crack)), np.int32(width - 1))
    return first, last


@compiled
def _shares(planes: Floats, t: int, row: int, column: int) -> tuple[Any, Any]:
    """How far a pixel's centre is from the first corner of a triangle towards the others."""
    x, y = np.float32(column) + HALF, np.float32(row) + HALF
    u = planes[t, 0, 0] * x + planes[t, 0, 1] * y + planes[t, 0, 2]
    v = planes[t, 1, 0] * x + planes[t, 1, 1] * y + planes[t, 1, 2]
    return u, v


@compiled
def fill(
    shown: Array, corners: Array, planes: Floats, values: Floats, rest: Floats, out: Floats
) -> None:
    """Values (n, 3) of vertices, linear over the triangles: out (3, H, W); ``rest`` elsewhere."""
    rates = np.empty((len(corners), 3, 3), np.float32)
    for t in range(len(corners)):
        for k in range(3):
            start = values[corners[t, 0], k]
            b, c = values[corners[t, 1], k] - start, values[corners[t, 2], k] - start
            for part in range(3):
                rates[t, k, part] = planes[t, 0, part] * b + planes[t, 1, part] * c
            rates[t, k, 2] += start
    for row in range(shown.shape[0]):
        y = np.float32(row) + HALF
        for column in range(shown.shape[1]):
            t = shown[row, column]
            x = np.float32(column) + HALF
            for k in range(3):
                out[k, row, column] = (
                    rest[k] if t < 0
                    else rates[t, k, 0] * x + rates[t, k, 1] * y + rates[t, k, 2]
                )  # fmt: skip


@compiled
def fold(
    shown: Array,
    corners: Array,
    planes: Floats,
    creased: Array,
    rest: Floats,
    folds: Floats,
    frame: Floats,
    gain: Floats,
) -> None:
    """What wrinkles do to brightness: gain (H, W) is multiplied.

    creased : (t,) bool, triangles on which there are any. rest : (n, 2) float32, cm of vertices.
    folds : (h, w) float32, of the head. frame : its left and top border in cm, its pixels a cm, and
    how deep wrinkles are, float32.
    """
    height, width = folds.shape
    for row in range(shown.shape[0]):
        for column in range(shown.shape[1]):
            t = shown[row, column]
            if t < 0 or not creased[t]:
                continue
            u, v = _shares(planes, t, row, column)
            a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
            x = rest[a, 0] + u * (rest[b, 0] - rest[a, 0]) + v * (rest[c, 0] - rest[a, 0])
            y = rest[a, 1] + u * (rest[b, 1] - rest[a, 1]) + v * (rest[c, 1] - rest[a, 1])
            across, down = (x - frame[0]) * frame[2] - HALF, (frame[1] - y) * frame[2] - HALF
            left, top = np.floor(across), np.floor(down)
            i, j = np.int32(top), np.int32(left)
            if i < 0 or j < 0 or i >= height - 1 or j >= width - 1:
                continue
            p, q = across - left, down - top
            above = folds[i, j] * (ONE - p) + folds[i, j + 1] * p
            below = folds[i + 1, j] * (ONE - p) + folds[i + 1, j + 1] * p
            deep = above * (ONE - q) + below * q
            if deep != ZERO:
                gain[row, column] *= np.exp(frame[3] * deep)


@compiled
def cracks(covered: Array, seam: int, out: Array) -> None:
    """Pixels that are not covered, (H, W) bool, where most of those ``seam`` around them are.

    Means are rounded to bytes across, then down, as Pillow's box blur does.
    """
    height, width = covered.shape
    side = 2 * seam + 1
    share, middle = (1 << 24) // side, 1 << 23
    across, down = np.empty((height, width), np.int32), np.zeros(width, np.int64)
    for row in range(height):
        line = covered[row]
        count = 0
        for column in range(-seam, seam):
            count += line[min(max(column, 0), width - 1)]
        for column in range(width):
            count += line[min(column + seam, width - 1)]
            across[row, column] = (255 * count * share + middle) >> 24
            count -= line[max(column - seam, 0)]
    for row in range(-seam, seam):
        for column in range(width):
            down[column] += across[min(max(row, 0), height - 1), column]
    for row in range(height):
        enters, leaves = across[min(row + seam, height - 1)], across[max(row - seam, 0)]
        for column in range(width):
            down[column] += enters[column]
            mean = (down[column] * share + middle) >> 24
            out[row, column] = mean > 127 and not covered[row, column]
            down[column] -= leaves[column]


@compiled
def sew(torn: Array, seam: int, fields: Floats) -> None:
    """Where ``torn`` (h, w), the mean of motion and shading, (3, h, w), of what is not, around."""
    height, width = torn.shape
    for row in range(height):
        for column in range(width):
            if not torn[row, column]:
                continue
            a, b, c, count = ZERO, ZERO, ZERO, ZERO
            for i in range(max(row - seam, 0), min(row + seam + 1, height)):
                for j in range(max(column - seam, 0), min(column + seam + 1, width)):
                    if not torn[i, j]:
                        a += fields[0, i, j]
                        b += fields[1, i, j]
                        c += fields[2, i, j]
                        count += ONE
            count = max(count, ONE)
            fields[0, row, column], fields[1, row, column] = a / count, b / count
            fields[2, row, column] = max(c / count, HALF)


@compiled
def move(
    plane: Array,
    pixels: Array,
    x: Floats,
    y: Floats,
    left: int,
    top: int,
    steepness: Any,
    out: Floats,
) -> None:
    """Cubic look-up in a plane; the border repeats.

    plane : (H, W), any real type.
    pixels : (p,) the numbers of pixels of a window (h, w) whose corner is at ``left``, ``top``.
    x, y : (h, w) float32, how far from each of them its value is fetched.
    steepness : float32, of the kernel.
    out : (h, w) float32.
    """
    height, width = plane.shape
    flat_x, flat_y, flat = x.reshape(-1), y.reshape(-1), out.reshape(-1)
    for p in pixels:
        u = flat_x[p] + np.float32(p % out.shape[1] + left)
        v = flat_y[p] + np.float32(p // out.shape[1] + top)
        column, row = np.floor(u), np.floor(v)
        a0, a1, a2, a3 = _weights(np.float32(u - column), steepness)
        d = _weights(np.float32(v - row), steepness)
        i, j = np.int32(row), np.int32(column)
        j0, j1 = min(max(j - 1, 0), width - 1), min(max(j, 0), width - 1)
        j2, j3 = min(max(j + 1, 0), width - 1), min(max(j + 2, 0), width - 1)
        total = np.float32(0)
        for k in range(4):
            line = plane[min(max(i - 1 + k, 0), height - 1)]
            total += d[k] * (
                a0 * np.float32(line[j0]) + a1 * np.float32(line[j1])
                + a2 * np.float32(line[j2]) + a3 * np.float32(line[j3])
            )  # fmt: skip
        flat[p] = total


def lay(rows: int, *work: Any) -> None:
    """A change laid on a window of that many rows, by all cores; see `_lay`."""
    threads.spread(_lay, rows, cores(), *work)


@compiled
def _lay(
    first: int,
    last: int,
    values: Pixels,
    across: Floats,
    down: Floats,
    gain: Floats,
    layer: Floats,
    turn: tuple[Any, Any],
    corner: tuple[int, int],
    steepness: Any,
    out: Pixels,
) -> None:
    """A change laid on some rows of a window of a photo, as `pixelreg.faces.paste` has it.

    values : (H, W, 3) uint8, the photo. out : like it, a copy that is written to.
    across, down : (h, w) float32, how many crop pixels away each colour is fetched.
    gain : (h, w) float32. layer : (h, w, 4) float32, or without any rows.
    turn : a and b of the similarity, float32. corner : of the window, its column and row.
    """
    for y in range(first, last):
        for x in range(across.shape[1]):
            sx, sy, more = across[y, x], down[y, x], gain[y, x]
            cover = layer[y, x, 3] if y < layer.shape[0] else ZERO
            row, column = corner[1] + y, corner[0] + x
            if sx != 0 or sy != 0:
                u = np.float32(column) + (turn[0] * sx - turn[1] * sy)
                v = np.float32(row) + (turn[1] * sx + turn[0] * sy)
                r, g, b = _fetch(values, u, v, steepness)
            elif more != ONE or cover != 0:
                r, g = np.float32(values[row, column, 0]), np.float32(values[row, column, 1])
                b = np.float32(values[row, column, 2])
            else:
                continue
            r, g, b = r / WHITE * more, g / WHITE * more, b / WHITE * more
            if cover != 0:
                r = r * (ONE - cover) + layer[y, x, 0]
                g = g * (ONE - cover) + layer[y, x, 1]
                b = b * (ONE - cover) + layer[y, x, 2]
            out[row, column, 0], out[row, column, 1] = _byte(r), _byte(g)
            out[row, column, 2] = _byte(b)


@compiled
def _byte(value: Any) -> Any:
    return np.uint8(min(max(np.rint(value * WHITE), ZERO), WHITE))


@compiled
def _fetch(values: Pixels, u: Any, v: Any, steepness: Any) -> tuple[Any, Any, Any]:
    """Cubic look-up of one pixel at column u, row v; the border repeats."""
    height, width, _ = values.shape
    left, top = np.floor(u), np.floor(v)
    a = _weights(np.float32(u - left), steepness)
    d = _weights(np.float32(v - top), steepness)
    i, j = np.int32(top), np.int32(left)
    j0, j1 = min(max(j - 1, 0), width - 1), min(max(j, 0), width - 1)
    j2, j3 = min(max(j + 1, 0), width - 1), min(max(j + 2, 0), width - 1)
    r, g, b = ZERO, ZERO, ZERO
    for k in range(4):
        row = min(max(i - 1 + k, 0), height - 1)
        w, x, y, z = d[k] * a[0], d[k] * a[1], d[k] * a[2], d[k] * a[3]
        # Numbers one by one: a view of them would be counted as it comes and goes.
        r += w * np.float32(values[row, j0, 0]) + x * np.float32(values[row, j1, 0])
        r += y * np.float32(values[row, j2, 0]) + z * np.float32(values[row, j3, 0])
        g += w * np.float32(values[row, j0, 1]) + x * np.float32(values[row, j1, 1])
        g += y * np.float32(values[row, j2, 1]) + z * np.float32(values[row, j3, 1])
        b += w * np.float32(values[row, j0, 2]) + x * np.float32(values[row, j1, 2])
        b += y * np.float32(values[row, j2, 2]) + z * np.float32(values[row, j3, 2])
    return r, g, b


@compiled
def _weights(share: Any, a: Any) -> tuple[Any, Any, Any, Any]:
    """Of Keys' kernel at 1 + share, share, 1 - share and 2 - share."""
    rest = ONE - share
    return _far(ONE + share, a), _near(share, a), _near(rest, a), _far(ONE + rest, a)


@compiled
def _near(d: Any, a: Any) -> Any:
    return ((a + np.float32(2)) * d - (a + np.float32(3))) * d * d + ONE


@compiled
def _far(d: Any, a: Any) -> Any:
    return ((a * d - np.float32(5) * a) * d + np.float32(8) * a) * d - np.float32(4) * a
