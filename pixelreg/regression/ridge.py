"""Pixel-RR: one ridge regression per pixel (Pixel-based Facial Expression Synthesis, Eq. 3-6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.errors import UnknownNameError
from pixelreg.plan import AffinePlan, Shape, plan_array
from pixelreg.regression.estimator import (
    Array,
    Estimator,
    Float64,
    as_unit,
    check_pairs,
    check_positive,
    check_samples,
)
from pixelreg.regression.sums import PixelSums, pixel_sums

PRIORS = ("zero", "identity")


def solve_ridge(sums: PixelSums, alpha: float, prior: str = "zero") -> tuple[Float64, Float64]:
    """Solve Eq. 6 for all pixels at once.

    The determinant of Eq. 6 is (N xx - x x) + alpha (xx + N + alpha): for 8-bit pictures the
    bracket is taken in integers, so nothing is lost where a pixel is nearly constant.

    Parameters
    ----------
    sums : the five sums.
    alpha : lambda of Eq. 3, above 0.
    prior : ``"zero"`` shrinks (w, b) to (0, 0) as in Eq. 3; ``"identity"`` to (1, 0), which is
        Eq. 6 on t - x.

    Returns
    -------
    w, b : (n_pixels,) float64 on the [0, 1] scale.

    Raises
    ------
    UnknownNameError
        If the prior is neither.
    """
    if prior not in PRIORS:
        raise UnknownNameError("prior", str(prior), PRIORS)
    identity = prior == "identity"
    t = sums.t - sums.x if identity else sums.t
    xt = sums.xt - sums.xx if identity else sums.xt
    n, unit = sums.count, sums.scale
    spread = (n * sums.xx - sums.x * sums.x) / unit**2
    covariance = (n * xt - sums.x * t) / unit**2
    determinant = spread + alpha * (sums.xx / unit**2 + n + alpha)
    weight = (covariance + alpha * xt / unit**2) / determinant
    bias = (t / unit - weight * (sums.x / unit)) / (n + alpha)  # Eq. 5
    return weight + float(identity), bias


def leave_one_out(
    X: Array, T: Array, alphas: list[float], prior: str = "zero"
) -> dict[float, float]:
    """Exact leave-one-out mean squared error for every alpha, without refitting.

    A left-out residual is the residual divided by 1 - h, where h = z A^-1 z with z = (x, 1) and
    A the matrix of Eq. 6.

    Parameters
    ----------
    X, T : (n_samples, n_pixels), uint8 or float in [0, 1].

    Returns
    -------
    The error on the [0, 1] scale, averaged over samples and pixels, by alpha.
    """
    inputs, targets = check_pairs(X, T)
    sums = pixel_sums(inputs, targets)
    x, t = as_unit(inputs), as_unit(targets)
    n, s, ss = sums.count, sums.x / sums.scale, sums.xx / sums.scale**2
    errors = {}
    for alpha in alphas:
        weight, bias = solve_ridge(sums, check_positive("alpha", alpha), prior)
        determinant = (ss + alpha) * (n + alpha) - s * s
        leverage = ((n + alpha) * x * x - 2 * s * x + ss + alpha) / determinant
        residual = (t - (weight * x + bias)) / (1 - leverage)
        errors[alpha] = float(np.mean(residual**2))
    return errors


class PixelRidge(Estimator):
    """Pixel-RR: y = w x + b per pixel, by ridge regression (Eq. 3-6).

    Parameters
    ----------
    alpha : lambda of Eq. 3; the paper cross-validated 0.4. Above 0.
    prior : ``"zero"`` is the paper's penalty w^2 + b^2; ``"identity"`` is (w - 1)^2 + b^2, which
        keeps what the training pairs say nothing about.

    Attributes
    ----------
    coef_, intercept_ : (n_pixels,) float64, w and b on the [0, 1] scale.
    sums_ : the `PixelSums` so far.
    n_features_in_ : number of pixels.

    Notes
    -----
    For uint8 data the sums are integers: neither the order of the samples nor the chunking of
    ``partial_fit`` changes a bit of the result.
    """

    def __init__(self, alpha: float = 0.4, prior: str = "zero") -> None:
        self.alpha = alpha
        self.prior = prior

    def fit(self, X: Any, T: Any) -> PixelRidge:
        """Learn from X and T, (n_samples, n_pixels) uint8 or float in [0, 1].

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or hold anything but finite values in range.
        UsageError
            If a parameter is out of range.
        """
        return self._learn(pixel_sums(*check_pairs(X, T)))

    def partial_fit(self, X: Any, T: Any) -> PixelRidge:
        """Learn from more pairs; see `fit`."""
        inputs, targets = check_pairs(X, T)
        self._check_width(inputs.shape[1])
        sums = pixel_sums(inputs, targets)
        return self._learn(self.sums_ + sums if hasattr(self, "sums_") else sums)

    def merge(self, other: PixelRidge) -> PixelRidge:
        """Take in what ``other`` has learnt: the same as one fit on the pairs of both."""
        self._require_fitted("sums_")
        other._require_fitted("sums_")
        return self._learn(self.sums_ + other.sums_)

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): float64 on [0, 1], unclipped."""
        self._require_fitted("coef_")
        inputs = check_samples(X)
        self._check_width(inputs.shape[1])
        result: Float64 = as_unit(inputs) * self.coef_ + self.intercept_
        return result

    def to_plan(self, shape: Shape) -> AffinePlan:
        """The fitted model as a plan for pictures of ``shape`` (H, W, C)."""
        self._require_fitted("coef_")
        return AffinePlan(
            plan_array(self.coef_.reshape(shape)), plan_array(self.intercept_.reshape(shape))
        )

    def _learn(self, sums: PixelSums) -> PixelRidge:
        self.coef_, self.intercept_ = solve_ridge(
            sums, check_positive("alpha", self.alpha), self.prior
        )
        self.sums_ = sums
        self.n_features_in_ = sums.x.size
        return self
