"""Choosing lambda and sigma: exact leave-one-out, and K-fold grouped by person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import DataError, InvalidArrayError
from pixelreg.regression.estimator import Estimator, as_unit, check_pairs, check_positive
from pixelreg.regression.kernel import leave_one_out_dense, leave_one_out_levels, level_features
from pixelreg.regression.ridge import leave_one_out as leave_one_out_ridge

ALPHAS = (0.001, 0.01, 0.04, 0.1, 0.4, 1.0, 2.0, 4.0, 10.0)
SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Score:
    """Mean squared error on [0, 1] of held-out pairs under some parameters."""

    params: dict[str, float]
    error: float


def leave_one_out_ridge_scores(
    X: Any, T: Any, alphas: Sequence[float] = ALPHAS, prior: str = "zero"
) -> list[Score]:
    """Exact leave-one-out scores of `PixelRidge`; X, T (n_samples, n_pixels)."""
    errors = leave_one_out_ridge(X, T, list(alphas), prior)
    return [Score({"alpha": alpha}, error) for alpha, error in errors.items()]


def leave_one_out_kernel_scores(
    X: Any, T: Any, alphas: Sequence[float] = ALPHAS, sigmas: Sequence[float] = SIGMAS
) -> list[Score]:
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


def grouped_scores(
    make: Callable[..., Estimator],
    grid: Iterable[dict[str, float]],
    X: Any,
    T: Any,
    groups: Sequence[str],
    folds: Sequence[Iterable[str]],
) -> list[Score]:
    """K-fold scores of any estimator, no group on both sides of a fold.

    Parameters
    ----------
    make : the estimator's class, or a function of its parameters.
    grid : the parameters to try.
    X, T : (n_samples, n_pixels), uint8 or float in [0, 1].
    groups : who is in each sample, such as the person's name.
    folds : the groups held out in each fold.

    Raises
    ------
    DataError
        If there is no fold, or one leaves nothing to learn from or nothing to judge.
    InvalidArrayError
        If the arrays and the groups do not fit each other.
    """
    inputs, targets = check_pairs(X, T)
    if len(groups) != len(inputs):
        raise InvalidArrayError(f"X has {len(inputs)} samples but groups has {len(groups)}")
    if not folds:
        raise DataError("there is no fold to judge by")
    masks = [_held_out(groups, fold) for fold in folds]
    scores = []
    for params in grid:
        total = sum(_fold_error(make(**params), inputs, targets, mask) for mask in masks)
        judged = sum(int(mask.sum()) for mask in masks) * targets.shape[1]
        scores.append(Score(dict(params), total / judged))
    return scores


def best(scores: Sequence[Score]) -> Score:
    """The score with the smallest error."""
    return min(scores, key=lambda score: score.error)


def _held_out(groups: Sequence[str], fold: Iterable[str]) -> Array:
    mask = np.isin(np.asarray(groups), sorted(fold))
    if mask.all() or not mask.any():
        raise DataError("a fold holds out everybody or nobody; use fewer folds or more people")
    return mask


def _fold_error(model: Any, inputs: Array, targets: Array, mask: Array) -> float:
    model.fit(inputs[~mask], targets[~mask])
    residual = model.predict(inputs[mask]) - as_unit(targets[mask])
    return float(np.sum(residual**2))
