"""Pixel-KR on 256 grey levels: exact kernel ridge regression through a few shared features.

An 8-bit pixel takes 256 values, so the kernel matrices K_p of all pixels are drawn from one
256 x 256 matrix G with G[g, h] = k(g/255, h/255). With G = F F^T, ridge regression on the rows
of F *is* kernel ridge regression on the levels (the representer theorem of Eq. 9 read backwards),
and a smooth kernel leaves F only a few columns. The sums needed are two histograms per pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.errors import InvalidArrayError
from pixelreg.plan import GREY_LEVELS

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# At 1e-12 a set of nearly equal pixels comes 1.5e-8 away from the dense solve (sigma 0.3,
# alpha 0.01); at 1e-13 the worst found is 4e-10, and the decomposition is still well above noise.
SMALLEST_EIGENVALUE = 1e-13
BLOCK_NUMBERS = 4_000_000  # numbers held at once while solving: 32 MB of float64


@dataclass(frozen=True, eq=False)
class LevelFeatures:
    """Features whose inner products are the Gaussian kernel of Eq. 12 on the grey levels.

    Attributes
    ----------
    sigma : of Eq. 12, on the [0, 1] pixel scale.
    table : (256, r) float64; table @ table.T is G.
    inverse : (256, r) float64; k(x, levels) @ inverse are the features of any x in [0, 1].
    """

    sigma: float
    table: Float64
    inverse: Float64

    def of(self, values: Array) -> Float64:
        """Features (..., r) of values, uint8 or float in [0, 1]."""
        if values.dtype == np.uint8:
            return self.table[values]
        result: Float64 = gaussian_kernel(values[..., None], grey_levels(), self.sigma)
        return result @ self.inverse


@dataclass(frozen=True, eq=False)
class LevelSums:
    """Histograms over the pairs, per pixel.

    Attributes
    ----------
    count : number of pairs, N.
    inputs : (n_pixels, 256) uint32, how often each grey level was the input.
    targets : (n_pixels, 256) uint32, the sum of the targets (grey levels) at each input level.
    """

    count: int
    inputs: Array
    targets: Array

    def __add__(self, other: LevelSums) -> LevelSums:
        if self.inputs.shape != other.inputs.shape:
            raise InvalidArrayError(
                f"cannot merge sums of {len(self.inputs)} and {len(other.inputs)} pixels"
            )
        return LevelSums(
            self.count + other.count, self.inputs + other.inputs, self.targets + other.targets
        )


def grey_levels() -> Float64:
    """The 256 grey levels on [0, 1]."""
    return np.arange(GREY_LEVELS) / 255.0


def gaussian_kernel(x: Array, y: Array, sigma: float) -> Float64:
    """k(x, y) of Eq. 12, broadcast; x, y and sigma on the [0, 1] pixel scale."""
    result: Float64 = np.exp(-((x - y) ** 2) / (2.0 * sigma**2))
    return result


def level_features(sigma: float) -> LevelFeatures:
    """Factor the grid kernel G = F F^T, keeping what is above rounding error."""
    levels = grey_levels()
    values, vectors = np.linalg.eigh(gaussian_kernel(levels[:, None], levels, sigma))
    kept = values > SMALLEST_EIGENVALUE * values[-1]
    roots = np.sqrt(values[kept][::-1])
    basis = vectors[:, kept][:, ::-1]
    return LevelFeatures(sigma, basis * roots, basis / roots)


def level_sums(X: Array, T: Array) -> LevelSums:
    """Sum pairs X and T, (n_samples, n_pixels) uint8."""
    pixels = X.shape[1]
    inputs = np.zeros(pixels * GREY_LEVELS, np.uint32)
    targets = np.zeros(pixels * GREY_LEVELS, np.uint32)
    start = np.arange(pixels) * GREY_LEVELS
    for x, t in zip(X, T, strict=True):
        cell = start + x  # one cell a pixel, so no index repeats
        inputs[cell] += 1
        targets[cell] += t
    shape = (pixels, GREY_LEVELS)
    return LevelSums(len(X), inputs.reshape(shape), targets.reshape(shape))


def solve_levels(sums: LevelSums, features: LevelFeatures, alpha: float) -> Float64:
    """Ridge regression on the features for every pixel: coefficients (n_pixels, r)."""
    rank = features.table.shape[1]
    coefficients = np.empty((len(sums.inputs), rank))
    ridge = alpha * np.eye(rank)
    for block, gram, moment in _normal_equations(sums, features):
        coefficients[block] = np.linalg.solve(gram + ridge, moment[..., None])[..., 0]
    return coefficients


def leave_one_out_levels(
    X: Array, T: Array, features: LevelFeatures, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error on [0, 1] for every alpha, without refitting.

    X and T are (n_samples, n_pixels) uint8. One eigendecomposition a pixel serves all alphas.
    """
    totals = dict.fromkeys(alphas, 0.0)
    for block, gram, moment in _normal_equations(level_sums(X, T), features):
        values, vectors = np.linalg.eigh(gram)
        rotated = np.einsum("gr,prs->pgs", features.table, vectors)
        target = np.einsum("prs,pr->ps", vectors, moment)
        pixel = np.arange(len(gram))
        t = T[:, block] / 255.0
        for alpha in totals:
            shrunk = 1.0 / (np.maximum(values, 0.0) + alpha)
            fitted = np.einsum("pgs,ps->pg", rotated, shrunk * target)
            leverage = np.einsum("pgs,ps->pg", rotated**2, shrunk)
            x = X[:, block]
            left_out = (t - fitted[pixel, x]) / (1.0 - leverage[pixel, x])
            totals[alpha] += float(np.sum(left_out**2))
    return {alpha: total / T.size for alpha, total in totals.items()}


def _normal_equations(
    sums: LevelSums, features: LevelFeatures
) -> Iterator[tuple[slice, Float64, Float64]]:
    """Blocks of pixels with their Gram matrices (p, r, r) and moments (p, r)."""
    table = features.table
    rank = table.shape[1]
    products = np.einsum("gr,gs->grs", table, table).reshape(GREY_LEVELS, rank * rank)
    pixels = len(sums.inputs)
    step = max(1, BLOCK_NUMBERS // max(rank * rank, GREY_LEVELS))
    for first in range(0, pixels, step):
        block = slice(first, min(first + step, pixels))
        gram = sums.inputs[block].astype(np.float64) @ products
        moment = (sums.targets[block] / 255.0) @ table
        yield block, gram.reshape(-1, rank, rank), moment
