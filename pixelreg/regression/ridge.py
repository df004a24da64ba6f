"""Pixel-RR: one ridge regression per pixel (Pixel-based Facial Expression Synthesis, Eq. 3-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend
from pixelreg.errors import UnknownNameError
from pixelreg.models.plans import AffinePlan, Shape, plan_array
from pixelreg.models.sums import PixelSums
from pixelreg.regression.estimator import ALPHAS, Estimator, Pairs, Score, check_positive
from pixelreg.regression.samples import as_unit, check_pairs

PRIORS = ("zero", "identity")
SUM_WORK = 2  # operations on every value of the training pairs, see `get_backend`


def is_identity(prior: Any) -> bool:
    """Whether ``prior`` is the identity, of `PRIORS`."""
    if prior not in PRIORS:
        raise UnknownNameError("prior", str(prior), PRIORS)
    return bool(prior == "identity")


def leave_one_out(X: Array, T: Array, alphas: Sequence[float], prior: str = "zero") -> list[Score]:
    """Exact leave-one-out mean squared error for every alpha, without refitting.

    A left-out residual is the residual divided by 1 - h, where h = z A^-1 z with z = (x, 1) and
    A the matrix of Eq. 6. X and T are (n_samples, n_pixels), uint8 or float in [0, 1].
    """
    backend = get_backend("numpy")
    inputs, targets = check_pairs(X, T)
    sums = backend.pixel_sums(inputs, targets)
    x, t = as_unit(inputs), as_unit(targets)
    n, s, ss = sums.count, sums.x / sums.scale, sums.xx / sums.scale**2
    scores = []
    for alpha in alphas:
        check_positive("alpha", alpha)
        weight, bias = backend.solve_ridge(sums, alpha, is_identity(prior))
        determinant = (ss + alpha) * (n + alpha) - s * s
        leverage = ((n + alpha) * x * x - 2 * s * x + ss + alpha) / determinant
        residual = (t - (weight * x + bias)) / (1 - leverage)
        scores.append(Score({"alpha": alpha}, float(np.mean(residual**2))))
    return scores


@dataclass(eq=False, repr=False)
class PixelRidge(Estimator):
    """Pixel-RR: y = w x + b per pixel, by ridge regression (Eq. 3-6).

    Parameters
    ----------
    alpha : lambda of Eq. 3; the paper cross-validated 0.4. Above 0.
    prior : ``"zero"`` is the paper's penalty w^2 + b^2; ``"identity"`` is (w - 1)^2 + b^2, which
        keeps what the training pairs say nothing about.
    backend : what sums and solves: auto, numpy, numba or cupy; auto decides by the work.
    threads : how many threads Numba may use; None for one a core.
    scale : the value of white where X and y are no bytes, see `Estimator`.

    Attributes
    ----------
    coef_, intercept_ : (n_pixels,) float64, w and b on the [0, 1] scale.
    sums_ : the `PixelSums` so far.
    backend_ : the name of the backend that was taken last.
    n_features_in_ : number of pixels.

    Notes
    -----
    For uint8 data the sums are integers: neither the order of the samples nor the chunking of
    ``partial_fit`` changes a bit of the result.
    """

    sums = PixelSums
    options: ClassVar[Mapping[str, str]] = {"alpha": "--lambda", "prior": "--prior"}

    alpha: float = 0.4
    prior: str = "zero"
    backend: str = "auto"
    threads: int | None = None
    scale: float = 1.0

    def fit(self, X: Any, y: Any) -> PixelRidge:
        """Learn from X and y, (n_samples, n_pixels) uint8 or numbers.

        A y of one column is learnt by every pixel; predictions are then the pixels' mean.

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or hold anything but finite values in range.
        UsageError
            If a parameter is out of range.
        """
        pairs = self._pairs(X, y)
        return self._learn(pairs)._note(pairs.facts)

    def partial_fit(self, X: Any, y: Any) -> PixelRidge:
        """Learn from more pairs; see `fit`."""
        pairs = self._pairs(X, y, more=hasattr(self, "sums_"))
        return self._learn(pairs, getattr(self, "sums_", None))._note(pairs.facts)

    def merge(self, other: PixelRidge) -> PixelRidge:
        """Take in what ``other`` has learnt: the same as one fit on the pairs of both."""
        self._require_fitted("sums_")
        other._require_fitted("sums_")
        sums, facts = self.sums_ + other.sums_, self._joined_facts(other._facts())
        made = self._solve(get_backend(self.backend, sums.x.size, self.threads), sums)
        return made._note(facts)

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): float64 on [0, 1], unclipped; see `Estimator`."""
        inputs = self._inputs(X, "coef_")
        return self._outputs(as_unit(inputs) * self.coef_ + self.intercept_)

    def to_plan(self, shape: Shape) -> AffinePlan:
        """The fitted model as a plan for pictures of ``shape`` (H, W, C)."""
        self._require_pictures("coef_")
        return AffinePlan(
            plan_array(self.coef_.reshape(shape)), plan_array(self.intercept_.reshape(shape))
        )

    @classmethod
    def preference(cls, photographs: bool) -> int:
        return 1

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any]:
        """Lambda is 0.4, cross-validated."""
        return {"alpha": 0.4}

    @classmethod
    def leave_one_out(cls, X: Any, T: Any, params: Mapping[str, Any]) -> list[Score]:
        return leave_one_out(X, T, ALPHAS, params["prior"])

    def from_sums(self, sums: Any, backend: ArrayBackend) -> PixelRidge:
        return self._solve(backend, sums)

    def _learn(self, pairs: Pairs, before: PixelSums | None = None) -> PixelRidge:
        work = SUM_WORK * pairs.inputs.size
        backend = get_backend(self.backend, work, self.threads, exact=True)
        sums = backend.pixel_sums(pairs.inputs, pairs.targets)
        sums = sums if before is None else backend.to_device(before) + sums
        return self._solve(get_backend(self.backend, work, self.threads), sums)

    def _solve(self, backend: ArrayBackend, sums: PixelSums) -> PixelRidge:
        alpha, identity = check_positive("alpha", self.alpha), is_identity(self.prior)
        solution = backend.solve_ridge(backend.to_device(sums), alpha, identity)
        self.coef_, self.intercept_ = map(backend.to_host, solution)
        self.sums_, self.backend_ = backend.to_host(sums), backend.name
        self.n_features_in_ = self.coef_.size
        return self
