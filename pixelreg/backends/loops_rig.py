"""Compiled loops for faces that move: triangles to pixels, and pixels of one plane looked up.

What they compute is written down in `pixelreg.rig.raster` and in `pixelreg.pictures.warp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
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
def spread(
    pixels: Array, triangles: Array, corners: Array, planes: Floats, width: int, values: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Values (n, k) of vertices, linear over the triangles, at pixels: out (p, k)."""
    for p in range(len(pixels)):
        t = triangles[p]
        x = np.float32(pixels[p] % width) + HALF
        y = np.float32(pixels[p] // width) + HALF
        u = planes[t, 0, 0] * x + planes[t, 0, 1] * y + planes[t, 0, 2]
        v = planes[t, 1, 0] * x + planes[t, 1, 1] * y + planes[t, 1, 2]
        a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
        for k in range(values.shape[1]):
            start = values[a, k]
            out[p, k] = start + u * (values[b, k] - start) + v * (values[c, k] - start)


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


@compiled
def lay(
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
    """A change laid on a window of a photo; what is computed is that of `pixelreg.faces.paste`.

    values : (H, W, 3) uint8, the photo. out : like it, a copy that is written to.
    across, down : (h, w) float32, how many crop pixels away each colour is fetched.
    gain : (h, w) float32. layer : (h, w, 4) float32, or without any rows.
    turn : a and b of the similarity, float32. corner : of the window, its column and row.
    """
    height, width, _ = values.shape
    for y in range(across.shape[0]):
        for x in range(across.shape[1]):
            sx, sy, more = across[y, x], down[y, x], gain[y, x]
            cover = layer[y, x, 3] if y < layer.shape[0] else np.float32(0)
            still = sx == 0 and sy == 0
            if still and more == ONE and cover == 0:
                continue
            row, column = corner[1] + y, corner[0] + x
            u = np.float32(column) + (turn[0] * sx - turn[1] * sy)
            v = np.float32(row) + (turn[1] * sx + turn[0] * sy)
            left, top = np.floor(u), np.floor(v)
            a0, a1, a2, a3 = _weights(np.float32(u - left), steepness)
            d = _weights(np.float32(v - top), steepness)
            i, j = np.int32(top), np.int32(left)
            j0, j1 = min(max(j - 1, 0), width - 1), min(max(j, 0), width - 1)
            j2, j3 = min(max(j + 1, 0), width - 1), min(max(j + 2, 0), width - 1)
            for c in range(3):
                total = np.float32(0)
                if still:
                    total = np.float32(values[row, column, c])
                else:
                    for k in range(4):
                        line = values[min(max(i - 1 + k, 0), height - 1)]
                        total += d[k] * (
                            a0 * np.float32(line[j0, c]) + a1 * np.float32(line[j1, c])
                            + a2 * np.float32(line[j2, c]) + a3 * np.float32(line[j3, c])
                        )  # fmt: skip
                total = total / WHITE * more
                if cover != 0:
                    total = total * (ONE - cover) + layer[y, x, c]
                out[row, column, c] = np.uint8(min(max(np.rint(total * WHITE), ZERO), WHITE))


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
