"""Triangles to pixels: which triangle every pixel shows, and what varies linearly over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats

CRACK = np.float32(1e-3)  # pixels by which spans reach over their edges, so that no seam stays open
NEARER = 1e-3  # cm
PIXELS = 1 << 14  # worked on at once, so that the temporaries stay in the cache


@dataclass(frozen=True, eq=False)
class Seen:
    """The pixels that a mesh covers.

    shown : (H, W) int32, the triangle that each pixel shows, -1 for none.
    corners : (t, 3) int, the vertices of the triangles.
    planes : (t, 2, 3) float32, for the corners b and c of each triangle the shares of x, y and 1.
    loops : `pixelreg.backends.loops_rig`, or None.
    """

    shown: Array
    corners: Array
    planes: Floats
    loops: Any = None

    @cached_property
    def pixels(self) -> Array:
        """(p,) int, row * width + column of what is covered."""
        return np.flatnonzero(self.shown >= 0)

    def filled(self, values: Floats, elsewhere: Sequence[float]) -> Floats:
        """(k, H, W) float32: ``values`` (n, k) of vertices, linear over the triangles."""
        out = np.empty((len(elsewhere), *self.shown.shape), np.float32)
        if self.loops is not None:
            rest = np.asarray(elsewhere, np.float32)
            self.loops.fill(self.shown, self.corners, self.planes, _single(values), rest, out)
            return out
        spread = self.spread(values, self.pixels)
        for plane, line, value in zip(out, spread.T, elsewhere, strict=True):
            plane.fill(value)
            np.put(plane, self.pixels, line)
        return out

    def spread(self, values: Floats, pixels: Array) -> Floats:
        """(p, k): ``values`` (n, k) of vertices at pixels (p,) that are covered."""
        triangles = self.shown.reshape(-1)[pixels]
        a, b, c = (values[self.corners[:, k]] for k in range(3))
        ab, ac = (b - a)[:, None], (c - a)[:, None]
        # value = a + u (b - a) + v (c - a), and u and v are linear in x and y.
        rates = ab * self.planes[:, 0, :, None] + ac * self.planes[:, 1, :, None]
        rates[:, 2] += a
        rates = np.ascontiguousarray(rates.transpose(2, 1, 0), np.float32)
        out: Floats = np.empty((len(rates), len(pixels)), np.float32)
        width = self.shown.shape[1]
        for first in range(0, len(pixels), PIXELS):
            some = slice(first, first + PIXELS)
            which = triangles[some].astype(np.intp)
            rows = pixels[some] // width
            x = (pixels[some] - rows * width).astype(np.float32) + 0.5
            y = rows.astype(np.float32) + 0.5
            for (across, down, start), line in zip(rates, out, strict=True):
                line[some] = across[which] * x
                line[some] += down[which] * y
                line[some] += start[which]
        return out.T


def rasterise(
    points: Floats, depth: Floats, corners: Array, shape: tuple[int, int], loops: Any = None
) -> Seen:
    """What is seen of a mesh at pixel centres.

    points : (n, 2) float32, (x, y) in pixels, pixel centres at i + 0.5.
    depth : (n,) float32, the larger the nearer.
    corners : (t, 3) int, triangles either way round.
    loops : `pixelreg.backends.loops_rig`, which are quicker, or None.
    """
    if loops is not None:
        return _drawn(points, depth, corners, shape, loops)
    order = np.argsort(depth[corners].sum(axis=1), kind="stable")  # far ones first
    x, y = points[:, 0][corners[order]], points[:, 1][corners[order]]
    spans, rows, first, last = _spans(x, y, shape)
    lengths = last - first + 1
    ends = np.cumsum(lengths)
    start = (rows * shape[1] + first) - (ends - lengths)
    pixels = np.repeat(start, lengths) + np.arange(ends[-1] if len(ends) else 0)
    triangles = np.repeat(order[spans], lengths)
    planes = _planes(points, corners)
    shown = np.full(shape[0] * shape[1], -1, np.int32)
    shown[pixels] = triangles  # of several, the nearest by its middle, which was written last
    _mend(shown, pixels, triangles, depth, corners, planes, shape[1])
    return Seen(shown.reshape(shape), corners, planes)


def _drawn(
    points: Floats, depth: Floats, corners: Array, shape: tuple[int, int], loops: Any
) -> Seen:
    planes = _planes(points, corners)
    nearest, shown = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
    loops.draw(_single(points), _single(depth), corners, planes, CRACK, nearest, shown)
    return Seen(shown, corners, planes, loops)


def _single(values: Floats) -> Floats:
    return values.astype(np.float32, copy=False)


def _spans(x: Floats, y: Floats, shape: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Triangle, row, first and last column of every run of pixels."""
    height, width = shape
    top = np.maximum(np.ceil(y.min(axis=1) - 0.5), 0).astype(np.int32)
    bottom = np.minimum(np.floor(y.max(axis=1) - 0.5), height - 1).astype(np.int32)
    counts = np.maximum(bottom - top + 1, 0)
    triangles = np.repeat(np.arange(len(x), dtype=np.int32), counts)
    ends = np.cumsum(counts)
    rows = np.arange(len(triangles), dtype=np.int32) + np.repeat(top - (ends - counts), counts)
    at = rows.astype(np.float32) + np.float32(0.5)
    left = np.full(len(rows), -np.inf, np.float32)
    right = np.full(len(rows), np.inf, np.float32)
    turn = _twice_area(x, y) < 0
    for k in range(3):
        dx, dy = x[:, k - 2] - x[:, k], y[:, k - 2] - y[:, k]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = dx / dy
        cut = x[:, k][triangles] + slope[triangles] * (at - y[:, k][triangles])
        rises = ((dy > 0) ^ turn)[triangles]
        level = (dy == 0)[triangles]
        np.minimum(right, cut, out=right, where=rises & ~level)
        np.maximum(left, cut, out=left, where=~rises & ~level)
    first = np.maximum(np.ceil(left - 0.5 - CRACK), 0)
    last = np.minimum(np.floor(right - 0.5 + CRACK), width - 1)
    some = (first <= last) & np.isfinite(left) & np.isfinite(right)
    whole = first[some].astype(np.int32), last[some].astype(np.int32)
    return triangles[some], rows[some], *whole


def _twice_area(x: Floats, y: Floats) -> Floats:
    area: Floats = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0])
    area -= (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    return area


def _planes(points: Floats, corners: Array) -> Floats:
    """See `Seen`: the barycentric shares of b and c as a x + b y + c."""
    x, y = points[:, 0][corners], points[:, 1][corners]
    area = _twice_area(x, y)
    area = np.where(np.abs(area) < 1e-9, np.float32(np.inf), area)
    u = np.stack([y[:, 2] - y[:, 0], x[:, 0] - x[:, 2]], axis=1) / area[:, None]
    v = np.stack([y[:, 0] - y[:, 1], x[:, 1] - x[:, 0]], axis=1) / area[:, None]
    both = np.stack([u, v], axis=1)
    offset = -(both[..., 0] * x[:, :1] + both[..., 1] * y[:, :1])
    return np.concatenate([both, offset[..., None]], axis=2)


def _mend(
    shown: Array,
    pixels: Array,
    drawn: Array,
    depth: Floats,
    corners: Array,
    planes: Floats,
    width: int,
) -> None:
    """Where triangles cut through each other, the nearer one at the pixel itself."""
    covered = shown[pixels] != drawn
    pixels, drawn = pixels[covered], drawn[covered]
    heights = _heights(pixels, drawn, depth, corners, planes, width)
    shown_heights = _heights(pixels, shown[pixels], depth, corners, planes, width)
    nearer = np.flatnonzero(heights > shown_heights + NEARER)
    nearer = nearer[np.argsort(heights[nearer], kind="stable")]
    shown[pixels[nearer]] = drawn[nearer]


def _heights(
    pixels: Array, drawn: Array, depth: Floats, corners: Array, planes: Floats, width: int
) -> Floats:
    rows, columns = np.divmod(pixels, width)
    place = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1).astype(np.float32)
    shares = np.einsum("pk,pjk->pj", place, planes[drawn])
    a, b, c = depth[corners[drawn]].T
    return a + shares[:, 0] * (b - a) + shares[:, 1] * (c - a)
