"""Whether the card computes what NumPy does: every kind of plan, all sums and solvers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.card import Card, Sizes
from benchmarks.plans import plans, small_plans, training_pairs
from pixelreg.models.plans import PLAN_CLASSES
from pixelreg.regression.kernel import level_features

SOLVED = 1e-10  # float64, after solving well-posed systems
FLOATS = 2e-5  # float32 on [0, 1]: a rounding of sums of some forty numbers
LEVEL = 1  # a rounding the other way
SHARE = 1e-3  # of values may round the other way
ALPHAS = (0.4, 50.0)
SIGMAS = (0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Check:
    """One comparison.

    most : the largest difference; allowed : what it may be; share : of values that differ at all.
    """

    what: str
    most: float
    allowed: float
    share: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within what it may be."""
        within = self.most <= self.allowed  # NaN fails
        return within and (self.allowed != LEVEL or self.share <= SHARE)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {**asdict(self), "holds": self.holds}


def compared(what: str, ours: Any, reference: Any, allowed: float) -> Check:
    """Two arrays, as a `Check`."""
    a, b = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape:
        return Check(f"{what}: shapes {a.shape} and {b.shape}", float("inf"), allowed, 1.0)
    apart = np.abs(a - b)
    return Check(what, float(apart.max()), allowed, float((apart > 0).mean()))


def parity(card: Card, sizes: Sizes) -> Iterator[Check]:
    """Everything, on pairs that a rounding tells apart."""
    values = sizes.side * sizes.side * 3
    X, T = training_pairs(min(sizes.pairs, 60), values)
    yield from _sums(card, X, T)
    yield from _solves(card, X, T)
    yield from _plans(card, sizes)


def _sums(card: Card, X: Any, T: Any) -> Iterator[Check]:
    for name in ("pixel_sums", "level_sums"):
        ours = card.backend.to_host(getattr(card.backend, name)(X, T))
        theirs = getattr(card.reference, name)(X, T)
        for field, array in vars(theirs).items():
            yield compared(f"{name}.{field}", getattr(ours, field), array, 0)


def _solves(card: Card, X: Any, T: Any) -> Iterator[Check]:
    pixel = card.reference.pixel_sums(X, T)
    for identity in (False, True):
        for alpha in ALPHAS:
            ours = card.backend.solve_ridge(card.backend.to_device(pixel), alpha, identity)
            theirs = card.reference.solve_ridge(pixel, alpha, identity)
            for part, a, b in zip("wb", ours, theirs, strict=True):
                what = f"solve_ridge {part}, alpha {alpha:g}, identity {identity}"
                yield compared(what, card.backend.to_host(a), b, SOLVED)
    levels = card.reference.level_sums(X, T)
    for sigma in SIGMAS:
        table = level_features(sigma).table
        solved = [
            backend.to_host(backend.solve_levels(backend.to_device(levels), table, ALPHAS[0]))
            for backend in (card.backend, card.reference)
        ]
        # What coefficients make of grey levels: they themselves may differ along what is not seen.
        ours, theirs = (table @ each.T for each in solved)
        yield compared(f"solve_levels, sigma {sigma:g}", ours, theirs, SOLVED)
    few = np.s_[:, :: max(1, X.shape[1] // 500)]
    x, t = X[few] / 255.0, T[few] / 255.0
    for sigma in SIGMAS:
        made = []
        for backend in (card.backend, card.reference):
            solution = backend.solve_dense(x, t, sigma, ALPHAS[0])
            made.append(backend.to_host(backend.predict_dense(x, x, solution, sigma)))
        yield compared(f"solve_dense and predict_dense, sigma {sigma:g}", *made, SOLVED)


def _plans(card: Card, sizes: Sizes) -> Iterator[Check]:
    rng = np.random.default_rng(5)
    every: Mapping[str, Any] = {
        **plans((sizes.side, sizes.side, 3)),
        **small_plans(min(sizes.side, 32)),
    }
    kinds = {type(plan) for plan in every.values()}
    assert kinds == set(PLAN_CLASSES.values()), "a kind of plan is not compared"
    for name, plan in every.items():
        pictures = rng.integers(0, 256, (3, *plan.shape), dtype=np.uint8)
        ours = card.backend.predict(plan, pictures)
        yield compared(f"predict {name}", ours, card.reference.predict(plan, pictures), FLOATS)
        for strength in (1.0, 0.6):
            made = card.backend.apply(plan, pictures, strength)
            theirs = card.reference.apply(plan, pictures, strength)
            yield compared(f"apply {name}, strength {strength:g}", made, theirs, LEVEL)
        unchanged = card.backend.apply(plan, pictures, 0.0)
        yield compared(f"apply {name}, strength 0", unchanged, pictures, 0)
