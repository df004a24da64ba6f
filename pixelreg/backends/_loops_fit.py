"""Compiled loops over training pairs: sums, histograms and ridge regression."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends._jit import compiled

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
    """Solve Eq. 6 for pixels first to last; see `pixelreg.backends.solvers.solve_ridge`."""
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
