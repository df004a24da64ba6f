"""Ridge regression from all pixels to all pixels.

Eq. 1-2 of Pixel-based Facial Expression Synthesis, the baseline that Pixel-RR prunes: it has no
bias term and D x K weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.models.plans import FactoredPlan, Shape, plan_array
from pixelreg.regression.estimator import Estimator, check_positive
from pixelreg.regression.samples import as_unit


@dataclass(eq=False, repr=False)
class FullRidge(Estimator):
    """W = [(X^T X + alpha I)^-1 X^T T]^T (Eq. 2), without ever holding D x K numbers.

    With fewer samples than pixels the dual form T^T (X X^T + alpha I)^-1 X is solved, which is
    the same W.

    Parameters
    ----------
    alpha : lambda of Eq. 1. Above 0.
    scale : the value of white where X and y are no bytes, see `Estimator`.

    Attributes
    ----------
    form_ : ``"primal"`` or ``"dual"``, whichever system is smaller.
    basis_ : (r, n_pixels) float64, and
    coef_basis_ : (r, n_targets) float64, with W = coef_basis_.T @ basis_, r = min(N, D).
    n_features_in_ : number of input pixels, D.
    """

    same_width = False

    alpha: float = 0.4
    scale: float = 1.0

    def fit(self, X: Any, y: Any) -> FullRidge:
        """Learn from X (n_samples, n_pixels) and y (n_samples, n_targets), uint8 or numbers.

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or hold anything but finite values in range.
        UsageError
            If alpha is not above 0.
        """
        inputs, targets, facts = self._pairs(X, y)
        alpha = check_positive("alpha", self.alpha)
        x, t = as_unit(inputs), as_unit(targets)
        samples, pixels = x.shape
        self.form_ = "primal" if pixels <= samples else "dual"
        if self.form_ == "primal":
            self.basis_ = np.eye(pixels)
            gram = x.T @ x
            moment = x.T @ t
        else:
            self.basis_ = x
            gram = x @ x.T
            moment = t
        gram[np.diag_indices_from(gram)] += alpha
        self.coef_basis_ = _solve_positive(gram, moment)
        self.n_features_in_ = pixels
        return self._note(facts)

    @property
    def coef_(self) -> Float64:
        """W of Eq. 2, (n_targets, n_pixels) float64; multiplied out when asked for."""
        self._require_fitted("basis_")
        return self.coef_basis_.T @ self.basis_

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): (n_samples, n_targets) float64, unclipped."""
        inputs = self._inputs(X, "basis_")
        return self._outputs((as_unit(inputs) @ self.basis_.T) @ self.coef_basis_)

    def to_plan(self, shape: Shape) -> FactoredPlan:
        """The fitted model as a plan for pictures of ``shape`` (H, W, C)."""
        self._require_pictures("basis_")
        # Faces are alike, so the dual's coefficients are large and cancel. An orthonormal basis of
        # the same span gives the same W with numbers that survive float32 and shorter types.
        basis, mixing = np.linalg.qr(self.basis_.T)
        coefficients = mixing @ self.coef_basis_
        return FactoredPlan(plan_array(basis.T), plan_array(coefficients.reshape(-1, *shape)))

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any]:
        """What Pixel-RR has; the paper gives none of this baseline's own."""
        return {"alpha": 0.4}


def _solve_positive(gram: Float64, moment: Float64) -> Float64:
    """Solve a symmetric positive definite system by Cholesky."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    result: Float64
    try:
        result = cho_solve(cho_factor(gram), moment)
    except LinAlgError:  # rounding made it singular: alpha is far below what the samples span
        result = np.asarray(np.linalg.lstsq(gram, moment, rcond=None)[0], np.float64)
    return result
