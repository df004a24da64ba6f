"""Choosing lambda and sigma: exact leave-one-out, and K-fold grouped by person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import DataError, InvalidArrayError
from pixelreg.regression.estimator import Estimator, Score
from pixelreg.regression.samples import as_unit, check_pairs


def grouped_scores(
    make: Callable[..., Estimator],
    grid: Iterable[Mapping[str, float]],
    X: Any,
    T: Any,
    groups: Sequence[str],
    folds: Sequence[Iterable[str]],
) -> list[Score]:
    """K-fold scores of any estimator, no group on both sides of a fold.

    make : the estimator's class, or a function of its parameters.
    grid : the parameters to try.
    X, T : (n_samples, n_pixels), uint8 or float in [0, 1].
    groups : who is in each sample, such as the person's name.
    folds : the groups held out in each fold.
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
