"""Compiled loops: sums, solvers and plans without flow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar, cast

import numba
import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` compiled on its first call, kept on disk for the next process.

    Loops release Python's lock, so that plain threads run them side by side: Numba's own threads
    need a library that bears calls from several threads at once, which is not there everywhere.
    Rounding may differ in the last bit from what was written, since products are summed in
    whatever order is quickest.
    """
    return _compiled(function, set(FAST))


def compiled_in_order(function: F) -> F:
    """`compiled`, but with sums taken in the order written: quicker where they are short."""
    return _compiled(function, False)


def _compiled(function: F, fastmath: Any) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        loop = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the compiled code can be written to
        return cast(F, numba.njit(**options)(function))
    if hasattr(loop, "_cache"):
        loop._cache = _Forgiving(loop._cache)
    return cast(F, loop)


class _Forgiving:
    """Numba's cache of a function, whose failures only cost the time to compile again.

    A full disk or a damaged file would end the run otherwise.
    """

    def __init__(self, cache: Any) -> None:
        self._inner = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load_overload(self, *args: Any) -> Any:
        """The compiled code, or None where there is none that can be read."""
        try:
            return self._inner.load_overload(*args)
        except Exception:
            return None

    def save_overload(self, *args: Any) -> None:
        """Keep the compiled code if that is possible."""
        with suppress(Exception):
            self._inner.save_overload(*args)


# All but nnan and ninf: what is not finite must stay so, to be noticed.
FAST = ("nsz", "arcp", "contract", "afn", "reassoc")


def spread(
    work: Callable[..., Any], items: int, threads: int, *args: Any, multiple: int = 1
) -> None:
    """``work(first, last, *args)`` for ranges that cover 0 to ``items``, one a thread.

    Ranges begin at multiples of ``multiple``.
    """
    if threads == 1:
        work(0, items, *args)
        return
    parts = max(1, min(threads, items // multiple))
    edges = [*(items * k // parts // multiple * multiple for k in range(parts)), items]
    with ThreadPoolExecutor(max(1, parts - 1)) as pool:
        others = [pool.submit(work, first, last, *args) for first, last in pairwise(edges[1:])]
        work(edges[0], edges[1], *args)
        for other in others:
            other.result()


SUMS_BLOCK = 2048  # pixels whose four sums stay in the innermost cache
LEVELS_BLOCK = 64  # pixels whose histograms do
SAFE_SAMPLES = 65_536  # 255^2 times this many still fit 32 bits, with room for the last four


@compiled
def add_pixel_sums(
    first: int, last: int, X: Array, T: Array, x: Array, xx: Array, t: Array, xt: Array
) -> None:
    """Add the sums of pixels first to last of X, T (n, p) uint8 to x, xx, t, xt (p,) int64."""
    samples = len(X)
    part = np.empty((4, SUMS_BLOCK), np.uint32)
    for low in range(first, last, SUMS_BLOCK):
        high = min(low + SUMS_BLOCK, last)
        for start in range(0, samples, SAFE_SAMPLES):
            stop = min(start + SAFE_SAMPLES, samples)
            _block_sums(X[start:stop, low:high], T[start:stop, low:high], part)
            for j in range(high - low):
                x[low + j] += part[0, j]
                xx[low + j] += part[1, j]
                t[low + j] += part[2, j]
                xt[low + j] += part[3, j]


@compiled
def _block_sums(X: Array, T: Array, part: Array) -> None:
    samples, pixels = X.shape
    part[:] = 0
    sx, sxx, st, sxt = part[0], part[1], part[2], part[3]
    fours = samples // 4 * 4
    for i in range(0, fours, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        t0, t1, t2, t3 = T[i], T[i + 1], T[i + 2], T[i + 3]
        for j in range(pixels):
            a, b, c, d = np.uint32(x0[j]), np.uint32(x1[j]), np.uint32(x2[j]), np.uint32(x3[j])
            e, f, g, h = np.uint32(t0[j]), np.uint32(t1[j]), np.uint32(t2[j]), np.uint32(t3[j])
            sx[j] += a + b + c + d
            sxx[j] += a * a + b * b + c * c + d * d
            st[j] += e + f + g + h
            sxt[j] += a * e + b * f + c * g + d * h
    for i in range(fours, samples):
        for j in range(pixels):
            a, e = np.uint32(X[i, j]), np.uint32(T[i, j])
            sx[j] += a
            sxx[j] += a * a
            st[j] += e
            sxt[j] += a * e


@compiled
def fill_level_sums(
    first: int, last: int, X: Array, T: Array, inputs: Array, targets: Array
) -> None:
    """Write the histograms of pixels first to last of X, T (n, p) uint8, (p, 256) uint32 each."""
    # Count and sum share one number, so that a sample costs one addition.
    both = np.empty((LEVELS_BLOCK, 256), np.uint64)
    one = np.uint64(1) << np.uint64(32)
    lower = np.uint64(0xFFFFFFFF)
    for low in range(first, last, LEVELS_BLOCK):
        pixels = min(LEVELS_BLOCK, last - low)
        both[:] = np.uint64(0)
        for i in range(len(X)):
            x, t = X[i, low : low + pixels], T[i, low : low + pixels]
            for j in range(pixels):
                both[j, x[j]] += one + np.uint64(t[j])
        for j in range(pixels):
            for level in range(256):
                inputs[low + j, level] = np.uint32(both[j, level] >> np.uint64(32))
                targets[low + j, level] = np.uint32(both[j, level] & lower)


@compiled
def fill_ridge(
    first: int,
    last: int,
    count: int,
    x: Array,
    xx: Array,
    t: Array,
    xt: Array,
    unit: float,
    alpha: float,
    identity: bool,
    weight: Float64,
    bias: Float64,
) -> None:
    """Solve Eq. 6 for pixels first to last; see `ArrayBackend.solve_ridge`."""
    square = unit * unit
    for p in range(first, last):
        st = t[p] - x[p] if identity else t[p]
        sxt = xt[p] - xx[p] if identity else xt[p]
        spread = (count * xx[p] - x[p] * x[p]) / square
        covariance = (count * sxt - x[p] * st) / square
        determinant = spread + alpha * (xx[p] / square + count + alpha)
        w = (covariance + alpha * sxt / square) / determinant
        bias[p] = (st / unit - w * (x[p] / unit)) / (count + alpha)
        weight[p] = w + 1.0 if identity else w


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
