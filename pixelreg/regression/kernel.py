"""Pixel-KR: one Gaussian kernel ridge regression per pixel (Eq. 7-16).

The paper's sigma is meant on some pixel scale that it does not name; with values up to 5 or 10
and results between blurred and broken, only [0, 1] fits, and that is the scale here. At
sigma = 3 the kernel of two pixels is then never below exp(-1/18) = 0.95. The paper also leaves
unsaid that Eq. 8 has no bias term: predictions shrink towards 0, not towards the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend, gaussian_kernel, kernel_blocks, normal_equations
from pixelreg.errors import InvalidArrayError, UnknownNameError, UsageError
from pixelreg.models.plans import KernelPlan, Shape, plan_array
from pixelreg.models.sums import GREY_LEVELS, LevelSums
from pixelreg.regression.estimator import ALPHAS, Estimator, Score, check_positive
from pixelreg.regression.samples import as_unit, check_pairs

# At 1e-12 a set of nearly equal pixels comes 1.5e-8 away from the dense solve (sigma 0.3,
# alpha 0.01); at 1e-13 the worst found is 4e-10, and the decomposition is still well above noise.
SMALLEST_EIGENVALUE = 1e-13
ROUNDING, TINY = np.finfo(np.float64).eps, np.finfo(np.float64).tiny
ORTHOGONAL, MOST_SWEEPS = 1e-14, 30  # of two rows, as a cosine; under 10 sweeps are taken
SIGMAS = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)  # those of Fig. 5, and 10


@dataclass(frozen=True, eq=False)
class LevelFeatures:
    """Features whose inner products are the Gaussian kernel of Eq. 12 on the grey levels.

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
    """Factor the grid kernel G = F F^T, keeping what is above rounding error.

    F is G's eigenvectors times the roots of its eigenvalues: a pivoted Cholesky factor, whose rows
    are turned until they are orthogonal (Demmel and Veselic, 1992). LAPACK's eigenvectors, which
    are no more exact, differ in their last bits with the number of threads.
    """
    levels = grey_levels()
    rows = _orthogonal(_cholesky(gaussian_kernel(np, levels[:, None], levels, sigma)))
    values = np.einsum("rg,rg->r", rows, rows)
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > SMALLEST_EIGENVALUE * values[order[0]]]
    table = np.ascontiguousarray(rows[order].T)
    return LevelFeatures(sigma, table, table / values[order])


def _cholesky(matrix: Float64) -> Float64:
    """Rows (r, n) with rows.T @ rows equal to a positive matrix (n, n), the largest pivots first.

    What rounding hides in ``matrix``, whose diagonal is 1, is left out.
    """
    left = matrix.copy()
    rows: list[Float64] = []
    diagonal = np.einsum("kk->k", left)
    while len(rows) < len(matrix):
        pivot = int(diagonal.argmax())
        if diagonal[pivot] < 2 * ROUNDING:
            break
        rows.append(left[pivot] / np.sqrt(diagonal[pivot]))
        left -= rows[-1][:, None] * rows[-1]
    return np.array(rows)


def _orthogonal(rows: Float64) -> Float64:
    """``rows`` (r, n), turned in pairs until all are orthogonal: one-sided Jacobi.

    A round turns half of the pairs at once; after r - 1 of them each has met every other.
    """
    rows = np.pad(rows, ((0, len(rows) % 2), (0, 0)))
    order, half = np.arange(len(rows)), len(rows) // 2
    for _ in range(MOST_SWEEPS):
        worst = 0.0
        for _ in range(len(rows) - 1):
            first, second = order[:half], order[half:][::-1]
            x, y = rows[first], rows[second]
            xx, yy, xy = (np.einsum("pg,pg->p", *pair) for pair in ((x, x), (y, y), (x, y)))
            cosines = np.abs(xy) / np.maximum(np.sqrt(xx * yy), TINY)
            worst = max(worst, float(cosines.max()))
            turned = cosines > ROUNDING
            slope = (yy - xx) / np.where(turned, 2 * xy, 1.0)
            tangent = np.where(slope < 0, -1.0, 1.0) / (np.abs(slope) + np.hypot(1.0, slope))
            tangent = np.where(turned, tangent, 0.0)[:, None]
            cosine = 1.0 / np.hypot(1.0, tangent)
            sine = cosine * tangent
            rows[first], rows[second] = cosine * x - sine * y, sine * x + cosine * y
            order[1:] = np.roll(order[1:], 1)
        if worst < ORTHOGONAL:
            break
    return rows


def leave_one_out_levels(
    X: Array, T: Array, features: LevelFeatures, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error on [0, 1] for every alpha, without refitting.

    X and T are (n_samples, n_pixels) uint8. One eigendecomposition a pixel serves all alphas.
    """
    totals = dict.fromkeys(alphas, 0.0)
    sums = get_backend("numpy").level_sums(X, T)
    for block, gram, moment in normal_equations(np, sums, features.table):
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


def leave_one_out_dense(
    x: Float64, t: Float64, sigma: float, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error for every alpha: c / diag((K + alpha I)^-1)."""
    totals = dict.fromkeys(alphas, 0.0)
    for block, kernels in kernel_blocks(np, x, x, sigma):
        values, vectors = np.linalg.eigh(kernels)
        rotated = np.einsum("pns,np->ps", vectors, t[:, block])
        for alpha in totals:
            shrunk = 1.0 / (np.maximum(values, 0.0) + alpha)
            coefficients = np.einsum("pns,ps->pn", vectors, shrunk * rotated)
            diagonal = np.einsum("pns,ps->pn", vectors**2, shrunk)
            totals[alpha] += float(np.sum((coefficients / diagonal) ** 2))
    return {alpha: total / t.size for alpha, total in totals.items()}


def leave_one_out(X: Any, T: Any, alphas: Sequence[float], sigmas: Sequence[float]) -> list[Score]:
    """Exact leave-one-out scores of `PixelKernelRidge`; X, T (n_samples, n_pixels)."""
    inputs, targets = check_pairs(X, T)
    for alpha in alphas:
        check_positive("alpha", alpha)
    scores = []
    for sigma in sigmas:
        check_positive("sigma", sigma)
        if inputs.dtype == np.uint8:
            errors = leave_one_out_levels(inputs, targets, level_features(sigma), list(alphas))
        else:
            errors = leave_one_out_dense(inputs, targets, sigma, list(alphas))
        scores += [Score({"alpha": a, "sigma": sigma}, error) for a, error in errors.items()]
    return scores


SOLVERS = ("auto", "dense", "levels")
COUNT_WORK = 8  # operations on every value of the training pairs, see `get_backend`


def dense_work(samples: int, pixels: int) -> float:
    """Multiply-adds of the dense solver: a kernel matrix, about 10 a number, and its factors."""
    return float(pixels * (samples**3 / 3 + 10 * samples**2))


class PixelKernelRidge(Estimator):
    """Pixel-KR: kernel ridge regression per pixel with a Gaussian kernel (Eq. 7-16).

    Parameters
    ----------
    alpha : lambda of Eq. 8; the paper cross-validated 0.4. Above 0.
    sigma : of Eq. 12, on the [0, 1] pixel scale; the paper takes 3 for neutral to happy and 10
        for the other expressions. Above 0.
    solver : ``"dense"`` solves the paper's N x N system for every pixel, for any input;
        ``"levels"`` is the exact reduction on the 256 grey levels (see
        `pixelreg.regression.kernel`), for uint8 only; ``"auto"`` takes levels for uint8.
    backend : what sums and solves: auto, numpy, numba or cupy; auto decides by the work.
    threads : how many threads Numba may use; None for one a core.
    scale : the value of white where X and y are no bytes, see `Estimator`.

    Attributes
    ----------
    solver_ : the solver that was taken.
    backend_ : the name of the backend that was taken last.
    coef_ : (n_pixels, r) float64, the levels solver's coefficients.
    features_ : the levels solver's `LevelFeatures`.
    sums_ : the levels solver's `LevelSums`.
    dual_coef_ : (n_samples, n_pixels) float64, the dense solver's c_p of Eq. 14 in its columns.
    X_fit_ : (n_samples, n_pixels) float64, the dense solver's training inputs.
    n_features_in_ : number of pixels.
    """

    sums = LevelSums
    options: ClassVar[Mapping[str, str]] = {"alpha": "--lambda", "sigma": "--sigma"}
    grid = tuple({"alpha": alpha, "sigma": sigma} for alpha in ALPHAS for sigma in SIGMAS)

    def __init__(
        self,
        alpha: float = 0.4,
        sigma: float = 3.0,
        solver: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
        scale: float = 1.0,
    ) -> None:
        self.alpha = alpha
        self.sigma = sigma
        self.solver = solver
        self.backend = backend
        self.threads = threads
        self.scale = scale

    def fit(self, X: Any, y: Any) -> PixelKernelRidge:
        """Learn from X and y, (n_samples, n_pixels) uint8 or numbers.

        A y of one column is learnt by every pixel; predictions are then the pixels' mean.

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or hold anything but finite values in range.
        UsageError
            If a parameter is out of range, or the levels solver is asked for floats.
        """
        inputs, targets, facts = self._pairs(X, y)
        solver = self._choose(inputs)
        self._forget()
        self.solver_ = solver
        if self.solver_ == "levels":
            return self._learn_levels(inputs, targets)._note(facts)
        alpha, sigma = self._parameters()
        # For LAPACK, Numba gains nothing.
        backend = get_backend(self.backend, 0, self.threads, dense_work(*inputs.shape))
        self.X_fit_ = as_unit(inputs)
        solution = backend.solve_dense(self.X_fit_, as_unit(targets), sigma, alpha)
        self.dual_coef_, self.backend_ = backend.to_host(solution), backend.name
        self.n_features_in_ = inputs.shape[1]
        return self._note(facts)

    def partial_fit(self, X: Any, y: Any) -> PixelKernelRidge:
        """Learn from more pairs, with the levels solver; see `fit`."""
        inputs, targets, facts = self._pairs(X, y, more=hasattr(self, "sums_"))
        self._check_width(inputs.shape[1])
        if self._choose(inputs) != "levels" or hasattr(self, "dual_coef_"):
            raise UsageError("partial_fit needs solver='levels' and uint8 pictures; use fit")
        self.solver_ = "levels"
        return self._learn_levels(inputs, targets, getattr(self, "sums_", None))._note(facts)

    def merge(self, other: PixelKernelRidge) -> PixelKernelRidge:
        """Take in what ``other`` has learnt: the same as one fit on the pairs of both."""
        for model in (self, other):
            model._require_fitted("solver_")
            if model.solver_ != "levels":
                raise UsageError("merge needs models fitted by the levels solver")
        sums, facts = self.sums_ + other.sums_, self._joined_facts(other._facts())
        backend = get_backend(self.backend, 0, self.threads, self.solving(sums))
        made = self._solve_levels(backend, sums)
        return made._note(facts)

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): float64 on [0, 1], unclipped (Eq. 15).

        Values that are no pictures come back in their own unit, see `Estimator`.
        """
        inputs = self._inputs(X, "n_features_in_")
        if self.solver_ == "dense":
            return self._outputs(self._predict_dense(as_unit(inputs)))
        result: Float64 = np.empty(inputs.shape)
        for row, sample in zip(result, inputs, strict=True):
            row[:] = np.einsum("pr,pr->p", self.features_.of(sample), self.coef_)
        return self._outputs(result)

    def to_plan(self, shape: Shape) -> KernelPlan:
        """The fitted model as a plan for pictures of ``shape`` (H, W, C), on grey levels."""
        self._require_pictures("n_features_in_")
        features, coefficients = self._on_levels()
        rank = features.table.shape[1]
        return KernelPlan(
            plan_array(features.table), plan_array(coefficients.reshape(*shape, rank))
        )

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any]:
        """Lambda is 0.4; sigma is 3 for happy and 10 for the other expressions."""
        return {"alpha": 0.4, "sigma": 3.0 if target == "happy" else 10.0}

    @classmethod
    def thinning(cls, size: int) -> int:
        """Every fourth pixel is enough of pictures from 64 x 64 up."""
        return 2 if size >= 64 else 1

    @classmethod
    def leave_one_out(cls, X: Any, T: Any, params: Mapping[str, Any]) -> list[Score]:
        """Exact leave-one-out scores of the grid, by the solver that suits the pictures."""
        return leave_one_out(X, T, ALPHAS, SIGMAS)

    def from_sums(self, sums: Any, backend: ArrayBackend) -> PixelKernelRidge:
        """See `Estimator`."""
        self._forget()
        self.solver_ = "levels"
        return self._solve_levels(backend, sums)

    def solving(self, sums: Any) -> float:
        """See `Estimator`."""
        return self._level_work(len(sums.inputs))

    def _level_work(self, pixels: int) -> float:
        rank = min(GREY_LEVELS, 6 + 2.5 / self._parameters()[1])  # about: 31 to 4 are kept
        return float(pixels * (GREY_LEVELS * rank * (rank + 5) / 2 + rank**3 / 3))

    def _on_levels(self) -> tuple[Any, Array]:
        if self.solver_ == "levels":
            return self.features_, self.coef_
        features = level_features(self.sigma_)
        levels = np.repeat(grey_levels()[:, None], self.n_features_in_, axis=1)
        return features, (features.inverse.T @ self._predict_dense(levels)).T

    def _predict_dense(self, new: Float64) -> Float64:
        backend = get_backend("numpy")
        return backend.predict_dense(new, self.X_fit_, self.dual_coef_, self.sigma_)

    def _forget(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_")]:
            del self.__dict__[name]

    def _choose(self, inputs: Array) -> str:
        if self.solver not in SOLVERS:
            raise UnknownNameError("solver", str(self.solver), SOLVERS)
        eight_bit = inputs.dtype == np.uint8
        if self.solver == "levels" and not eight_bit:
            raise InvalidArrayError("solver='levels' takes uint8 pictures; use 'dense' for floats")
        if self.solver == "auto":
            return "levels" if eight_bit else "dense"
        return self.solver

    def _parameters(self) -> tuple[float, float]:
        alpha = check_positive("alpha", self.alpha)
        self.sigma_ = check_positive("sigma", self.sigma)
        return alpha, self.sigma_

    def _learn_levels(
        self, inputs: Array, targets: Array, before: LevelSums | None = None
    ) -> PixelKernelRidge:
        work, solving = COUNT_WORK * inputs.size, self._level_work(inputs.shape[1])
        backend = get_backend(self.backend, work, self.threads, solving, exact=True)
        sums = backend.level_sums(inputs, targets)
        if before is not None:
            sums = backend.to_device(before) + sums
        return self._solve_levels(get_backend(self.backend, work, self.threads), sums)

    def _solve_levels(self, backend: ArrayBackend, sums: LevelSums) -> PixelKernelRidge:
        alpha, sigma = self._parameters()
        features = level_features(sigma)
        solution = backend.solve_levels(backend.to_device(sums), features.table, alpha)
        self.coef_ = backend.to_host(solution)
        self.features_, self.backend_ = features, backend.name
        self.sums_ = backend.to_host(sums)
        self.n_features_in_ = len(self.coef_)
        return self
