"""Pixel-KR on 256 grey levels: exact kernel ridge regression through a few shared features.

An 8-bit pixel takes 256 values, so the kernel matrices K_p of all pixels are drawn from one
256 x 256 matrix G with G[g, h] = k(g/255, h/255). With G = F F^T, ridge regression on the rows
of F *is* kernel ridge regression on the levels (the representer theorem of Eq. 9 read backwards),
and a smooth kernel leaves F only a few columns. The sums needed are two histograms per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends import get_backend
from pixelreg.backends.solvers import gaussian_kernel, normal_equations
from pixelreg.models.plans import GREY_LEVELS
from pixelreg.models.sums import LevelSums

# At 1e-12 a set of nearly equal pixels comes 1.5e-8 away from the dense solve (sigma 0.3,
# alpha 0.01); at 1e-13 the worst found is 4e-10, and the decomposition is still well above noise.
SMALLEST_EIGENVALUE = 1e-13


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
        result: Float64 = gaussian_kernel(np, values[..., None], grey_levels(), self.sigma)
        return result @ self.inverse


def grey_levels() -> Float64:
    """The 256 grey levels on [0, 1]."""
    return np.arange(GREY_LEVELS) / 255.0


def level_features(sigma: float) -> LevelFeatures:
    """Factor the grid kernel G = F F^T, keeping what is above rounding error."""
    levels = grey_levels()
    values, vectors = np.linalg.eigh(gaussian_kernel(np, levels[:, None], levels, sigma))
    kept = values > SMALLEST_EIGENVALUE * values[-1]
    roots = np.sqrt(values[kept][::-1])
    basis = vectors[:, kept][:, ::-1]
    return LevelFeatures(sigma, basis * roots, basis / roots)


def level_sums(X: Array, T: Array) -> LevelSums:
    """Sum pairs X and T, (n_samples, n_pixels) uint8, with the reference backend."""
    return get_backend("numpy").level_sums(X, T)


def leave_one_out_levels(
    X: Array, T: Array, features: LevelFeatures, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error on [0, 1] for every alpha, without refitting.

    X and T are (n_samples, n_pixels) uint8. One eigendecomposition a pixel serves all alphas.
    """
    totals = dict.fromkeys(alphas, 0.0)
    for block, gram, moment in normal_equations(np, level_sums(X, T), features.table):
        gram, moment = gram.transpose(2, 0, 1), moment.T
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
