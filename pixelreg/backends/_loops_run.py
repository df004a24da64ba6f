"""Compiled loops that run plans without motion on 8-bit pictures.

Each public loop does the values ``first`` to ``last`` of N flattened pictures X (N, n) uint8;
``share`` is the strength. What they compute is written down in `pixelreg.backends.plans`.
"""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.backends._jit import compiled, compiled_in_order

LONG = 8  # numbers that fill a vector
STRETCH = 4096  # predictions that are kept in the innermost cache before they are rounded


@compiled
def apply_affine(
    first: int, last: int, weight: Floats, bias: Floats, X: Pixels, share: float, out: Pixels
) -> None:
    """Pixel-RR, on grey levels: x + s (w x + 255 b - x)."""
    s = np.float32(share)
    w, b = weight[first:last], bias[first:last]  # counted from 0, the loop becomes vector code
    for n in range(len(X)):
        x, y = X[n, first:last], out[n, first:last]
        for p in range(len(x)):
            v = np.float32(x[p])
            moved = v + s * (w[p] * v + np.float32(255) * b[p] - v)
            # By way of a signed number: that conversion is one instruction for many values.
            y[p] = np.uint8(np.int32(min(max(np.rint(moved), np.float32(0)), np.float32(255))))


@compiled
def apply_kernel(
    first: int, last: int, table: Floats, coefficients: Floats, X: Pixels, share: float, out: Pixels
) -> None:
    """Pixel-KR with table (256, r) and coefficients (n, r)."""
    y = np.empty(STRETCH, np.float32)
    for low in range(first, last, STRETCH):
        high = min(low + STRETCH, last)
        for n in range(len(X)):
            _kernel_at(table, coefficients[low:high], X[n, low:high], y)
            blend(X[n, low:high], y, share, out[n, low:high])


@compiled
def predict_kernel(
    first: int, last: int, table: Floats, coefficients: Floats, X: Pixels, out: Floats
) -> None:
    """Pixel-KR, unclipped on [0, 1]."""
    for n in range(len(X)):
        _kernel_at(table, coefficients[first:last], X[n, first:last], out[n, first:last])


@compiled
def apply_sparse(
    first: int,
    last: int,
    offsets: Array,
    weights: Floats,
    bias: Floats,
    X: Pixels,
    share: float,
    out: Pixels,
) -> None:
    """Masked regression of rows first to last; X and out (N, H, W, C)."""
    y = np.empty(bias[0].size, np.float32)
    for row in range(first, last):
        for n in range(len(X)):
            _sparse_row(row, offsets, weights, bias, X[n], y)
            blend(X[n, row].reshape(-1), y, share, out[n, row].reshape(-1))


@compiled
def predict_sparse(
    first: int, last: int, offsets: Array, weights: Floats, bias: Floats, X: Pixels, out: Floats
) -> None:
    """Masked regression of rows first to last, unclipped on [0, 1]; X and out (N, H, W, C)."""
    for row in range(first, last):
        for n in range(len(X)):
            _sparse_row(row, offsets, weights, bias, X[n], out[n, row].reshape(-1))


@compiled
def blend(x: Pixels, y: Floats, share: float, out: Pixels) -> None:
    """x + s (255 y - x), rounded and clipped; x and y flat."""
    s = np.float32(share)
    for p in range(len(x)):
        v = np.float32(x[p])
        moved = v + s * (np.float32(255) * y[p] - v)
        out[p] = np.uint8(np.int32(min(max(np.rint(moved), np.float32(0)), np.float32(255))))


@compiled
def _kernel_at(table: Floats, coefficients: Floats, x: Pixels, y: Floats) -> None:
    if table.shape[1] < LONG:
        _short_products(table, coefficients, x, y)
    else:
        _long_products(table, coefficients, x, y)


def _products(table: Floats, coefficients: Floats, x: Pixels, y: Floats) -> None:
    rank = table.shape[1]
    for p in range(len(x)):
        level = np.uint64(x[p])
        total = np.float32(0)
        for k in range(rank):
            total += table[level, k] * coefficients[p, k]
        y[p] = total


_short_products = compiled_in_order(_products)
_long_products = compiled(_products)


@compiled
def _sparse_row(
    row: int, offsets: Array, weights: Floats, bias: Floats, x: Pixels, y: Floats
) -> None:
    height, width, channels = bias.shape
    y[:] = bias[row].reshape(-1)
    for k in range(len(offsets)):
        there, step = row + offsets[k, 0], np.int64(offsets[k, 1])
        if there < 0 or there >= height or abs(step) >= width:
            continue
        low, high = max(0, -step) * channels, min(width, width - step) * channels
        share = weights[k, row].reshape(-1)[low:high]
        source = x[there].reshape(-1)[low + step * channels : high + step * channels]
        part = y[low:high]
        for p in range(high - low):
            part[p] += share[p] * (np.float32(source[p]) * np.float32(1 / 255))
