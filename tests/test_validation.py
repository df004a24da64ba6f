"""Leave-one-out in closed form against refitting, and folds that keep people together."""

from __future__ import annotations

import numpy as np
import pytest

from pixelreg.data.pairs import grouped_folds
from pixelreg.errors import DataError, InvalidArrayError, UnknownNameError, UsageError
from pixelreg.regression import FullRidge, MaskedRidge, PixelKernelRidge, PixelRidge
from pixelreg.regression.estimator import Score
from pixelreg.regression.kernel import SIGMAS
from pixelreg.regression.kernel import leave_one_out as leave_one_out_kernel_scores
from pixelreg.regression.ridge import leave_one_out as leave_one_out_ridge_scores
from pixelreg.regression.validation import best, grouped_scores

ALPHAS = (0.01, 0.4, 4.0)


def stack(samples: int = 12, pixels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    X = rng.integers(0, 256, (samples, pixels), dtype=np.uint8)
    X[:, 0] = 90  # constant
    X[:, 1] = rng.integers(60, 80, samples)
    X[: samples // 2, 2] = X[samples // 2 : samples // 2 * 2, 2]  # duplicates
    T = np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)
    return X, T


def refitted(make, X: np.ndarray, T: np.ndarray) -> float:
    """Mean squared error of every sample under a model fitted on the others."""
    truth = T / 255 if T.dtype == np.uint8 else T
    squares = []
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        found = make().fit(X[rest], T[rest]).predict(X[i : i + 1])
        squares.append((found - truth[i]) ** 2)
    return float(np.mean(squares))


@pytest.mark.parametrize("as_float", [False, True])
@pytest.mark.parametrize("prior", ["zero", "identity"])
def test_ridge_leave_one_out_equals_refitting(prior, as_float) -> None:
    X, T = (a / 255 if as_float else a for a in stack())
    scores = leave_one_out_ridge_scores(X, T, ALPHAS, prior)
    assert [s.params for s in scores] == [{"alpha": a} for a in ALPHAS]
    for score in scores:
        alpha = score.params["alpha"]
        expected = refitted(lambda a=alpha: PixelRidge(a, prior), X, T)
        assert score.error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("as_float", [False, True], ids=["levels", "dense"])
def test_kernel_leave_one_out_equals_refitting(as_float) -> None:
    X, T = (a / 255 if as_float else a for a in stack())
    sigmas = (0.1, 1.0, 10.0)
    scores = leave_one_out_kernel_scores(X, T, ALPHAS, sigmas)
    assert [(s.params["sigma"], s.params["alpha"]) for s in scores] == [
        (s, a) for s in sigmas for a in ALPHAS
    ]
    for score in scores:
        expected = refitted(lambda p=score.params: PixelKernelRidge(**p), X, T)
        assert score.error == pytest.approx(expected, rel=1e-7)


def test_both_kernel_forms_give_one_score() -> None:
    X, T = stack(30)
    levels = leave_one_out_kernel_scores(X, T, ALPHAS, SIGMAS)
    dense = leave_one_out_kernel_scores(X / 255, T / 255, ALPHAS, SIGMAS)
    for a, b in zip(levels, dense, strict=True):
        assert a.params == b.params
        assert a.error == pytest.approx(b.error, rel=1e-7)


def test_a_parameter_given_twice_is_not_counted_twice() -> None:
    X, T = stack()
    for make in (
        lambda alphas: leave_one_out_ridge_scores(X, T, alphas),
        lambda alphas: leave_one_out_kernel_scores(X, T, alphas, [1.0]),
        lambda alphas: leave_one_out_kernel_scores(X / 255, T / 255, alphas, [1.0]),
    ):
        once, twice = make([0.4]), make([0.4, 0.4])
        assert {s.error for s in twice} == {s.error for s in once}


def test_leave_one_out_refuses_bad_parameters() -> None:
    X, T = stack()
    with pytest.raises(UsageError, match="alpha"):
        leave_one_out_ridge_scores(X, T, [0.0])
    with pytest.raises(UnknownNameError, match="prior"):
        leave_one_out_ridge_scores(X, T, ALPHAS, "one")
    for x, t in ((X, T), (X / 255, T / 255)):
        with pytest.raises(UsageError, match="sigma"):
            leave_one_out_kernel_scores(x, t, ALPHAS, [-1.0])
        with pytest.raises(UsageError, match="alpha"):
            leave_one_out_kernel_scores(x, t, [-1.0], [1.0])


class Watcher:
    """An estimator that records which samples it is shown, by their first pixel."""

    seen: list[tuple[set[int], set[int]]]

    def __init__(self, seen, offset: float = 0.0) -> None:
        self.seen, self.offset = seen, offset

    def fit(self, X, T):
        self.train = set(X[:, 0].tolist())
        return self

    def predict(self, X):
        self.seen.append((self.train, set(X[:, 0].tolist())))
        return X / 255 + self.offset


@pytest.mark.parametrize("seed", range(5))
def test_no_person_is_on_both_sides_of_a_fold(seed) -> None:
    rng = np.random.default_rng(seed)
    people = [f"p{i}" for i in rng.integers(0, 9, 40)]
    X = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 3, axis=1)
    seen: list[tuple[set[int], set[int]]] = []
    folds = grouped_folds(people, 4, seed)
    grid = [{"offset": 0.0}, {"offset": 0.1}]
    scores = grouped_scores(lambda offset: Watcher(seen, offset), grid, X, X, people, folds)
    assert len(seen) == 8
    for train, test in seen:
        assert not {people[i] for i in train} & {people[i] for i in test}
        assert train | test == set(range(40))
    judged = [i for _, test in seen[:4] for i in test]
    assert sorted(judged) == list(range(40))
    assert [s.error for s in scores] == pytest.approx([0.0, 0.01])
    assert best(scores).params == {"offset": 0.0}


@pytest.mark.parametrize("make", [PixelRidge, PixelKernelRidge, MaskedRidge, FullRidge])
def test_folds_of_one_sample_are_leave_one_out(make) -> None:
    X, T = stack(8, 9)
    people = [f"p{i}" for i in range(8)]
    folds = [[person] for person in people]
    (score,) = grouped_scores(make, [{"alpha": 0.4}], X, T, people, folds)
    assert score.error == pytest.approx(refitted(lambda: make(alpha=0.4), X, T), rel=1e-12)


def test_uneven_folds_weigh_every_sample_alike() -> None:
    X, T = stack(10)
    people = list("aabbbbbbcc")
    (score,) = grouped_scores(PixelRidge, [{}], X, T, people, [{"a"}, {"b"}, {"c"}])
    squares = []
    for person in "abc":
        out = np.array(people) == person
        model = PixelRidge().fit(X[~out], T[~out])
        squares.append((model.predict(X[out]) - T[out] / 255) ** 2)
    assert score.error == pytest.approx(float(np.concatenate(squares).mean()), rel=1e-12)


def test_folds_that_cannot_judge_are_refused() -> None:
    X, T = stack(4)
    people = list("abcd")
    for folds in ([people], [{"nobody"}], [[]], []):
        with pytest.raises(DataError, match="fold"):
            grouped_scores(PixelRidge, [{}], X, T, people, folds)
    with pytest.raises(InvalidArrayError, match="groups has 3"):
        grouped_scores(PixelRidge, [{}], X, T, people[:3], [{"a"}])


def test_best_takes_the_smallest_error() -> None:
    scores = [Score({"alpha": a}, e) for a, e in ((0.1, 3.0), (0.4, 1.0), (4.0, 2.0))]
    assert best(scores).params == {"alpha": 0.4}
