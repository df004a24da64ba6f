"""Improved Penguin Optimisation: its equations, its promises, and SciPy beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deep_onnx.architectures.penguin import (
    Result,
    breathe,
    eat,
    membership,
    minimise,
    opposite,
    swim,
)
from pixelreg.errors import InvalidArrayError, UsageError

ROOT = Path(__file__).resolve().parents[1]
CENTRE = 1.3  # not the middle of the bounds, in which Eq. 8 mirrors
SIZES = st.integers(1, 6)
BOX = [(-5.0, 5.0)]


def sphere(x: np.ndarray) -> float:
    return float(((x - CENTRE) ** 2).sum())


def rastrigin(x: np.ndarray) -> float:
    y = x - CENTRE
    return float((y**2 - 10 * np.cos(2 * np.pi * y) + 10).sum())


def rosenbrock(x: np.ndarray) -> float:
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def evolution(function: Callable, bounds: list, evaluations: int, seed: int) -> float:
    """The best value that SciPy's differential evolution sees in that many evaluations."""
    from scipy.optimize import differential_evolution

    seen: list[float] = []

    def noted(x: np.ndarray) -> float:
        seen.append(function(x))
        return seen[-1]

    differential_evolution(
        noted, bounds, maxiter=10**6, tol=0, polish=False, seed=seed,
        callback=lambda *_, **__: len(seen) >= evaluations,
    )  # fmt: skip
    assert len(seen) >= evaluations
    return min(seen[:evaluations])


def median(function: Callable, bounds: list, evaluations: int) -> tuple[float, float]:
    """Medians of five seeds: the penguins', and differential evolution's."""
    ours = [minimise(function, bounds, evaluations=evaluations, seed=s).fun for s in range(5)]
    theirs = [evolution(function, bounds, evaluations, s) for s in range(5)]
    return float(np.median(ours)), float(np.median(theirs))


# ---------------------------------------------------------------- equations


@given(st.data(), SIZES)
def test_opposition_is_a_mirror_inside_the_bounds(data: st.DataObject, d: int) -> None:
    number = st.floats(-1e6, 1e6)
    ends = data.draw(arrays(np.float64, (2, d), elements=number))
    low, high = ends.min(axis=0), ends.max(axis=0)
    share = data.draw(arrays(np.float64, (3, d), elements=st.floats(0, 1)))
    places = low + share * (high - low)
    mirrored = opposite(places, low, high)
    np.testing.assert_allclose(opposite(mirrored, low, high), places, atol=1e-9, rtol=1e-9)
    middles = (places + mirrored) / 2
    np.testing.assert_allclose(middles, np.tile((low + high) / 2, (3, 1)), atol=1e-9, rtol=1e-9)
    assert ((low <= mirrored) & (mirrored <= high)).all()
    np.testing.assert_allclose(opposite(low, low, high), high, atol=1e-9, rtol=1e-9)


def test_swimming_by_hand() -> None:
    places, best = np.array([[0.0, 4.0], [2.0, 2.0]]), np.array([[10.0, 0.0], [2.0, 2.0]])
    rand = np.array([[0.5, 1.0], [0.3, 0.9]])
    made = swim(places, np.array([1.0, 3.0]), rand, best)
    np.testing.assert_allclose(made, [[5.0, 0.0], [2.0, 2.0]])  # the best one stays
    made = swim(places, np.array([2.0, 3.0]), rand, best)
    np.testing.assert_allclose(made[0], [10.0, -4.0])  # much oxygen leads beyond


def test_oxygen_and_food_by_hand() -> None:
    reserves = np.array([1.0, 1.0, 0.2, 2.9, 1.0])
    gain, distance = np.array([0.5, -0.5, -1.0, 1.0, 1.0]), np.array([0.4, 0.4, 1.0, 1.0, 0.0])
    after = breathe(reserves, gain, distance)
    np.testing.assert_allclose(after, [1.2, 0.8, 0.0, 3.0, 1.0])
    food = eat(np.array([2.0, 0.1, 5.0]), after - reserves, np.array([0, 0, 1, 0, 0]))
    np.testing.assert_allclose(food, [2.1, 1e-3, 5.0])  # never nothing: Eq. 14 divides by it
    np.testing.assert_allclose(membership(np.array([1.0, 3.0])), [0.25, 0.75])


# ---------------------------------------------------------------- promises


def test_same_seed_same_bits_other_seed_other_path() -> None:
    one, same, other = (minimise(rastrigin, BOX * 4, iterations=30, seed=s) for s in (3, 3, 4))
    for field in ("x", "history"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert (one.fun, one.evaluations) == (same.fun, same.evaluations)
    assert (one.x != other.x).any()


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 200))
@example(2202, 1, 2, 52)  # the budget ends while penguins surface
def test_bounds_budget_and_history(seed: int, d: int, groups: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.normal(size=(d, 2)) * 10.0 ** rng.integers(-3, 4), axis=1)
    ends[0, 1] = ends[0, 0] if seed % 5 == 0 else ends[0, 1]  # a coordinate that cannot move
    seen: list[np.ndarray] = []
    values: list[float] = []

    def watched(x: np.ndarray) -> float:
        seen.append(x.copy())
        values.append(float(np.sin(7 * x).sum() + x.sum()))
        return values[-1]

    budget = 16 + more
    made = minimise(watched, ends, groups=groups, penguins=8, evaluations=budget, seed=seed)
    assert made.evaluations == len(seen) <= budget
    assert len(seen) > budget - 8
    assert all((ends[:, 0] <= x).all() and (x <= ends[:, 1]).all() for x in seen)
    assert made.fun == min(values) == values[[(made.x == x).all() for x in seen].index(True)]
    used, best = made.history.T
    assert used[0] == 16
    assert (np.diff(used) > 0).all()
    assert (np.diff(best) <= 0).all()
    assert [min(values[: int(n)]) for n in used] == best.tolist()


def test_callback_sees_every_iteration_and_stops() -> None:
    calls: list[tuple[np.ndarray, float, int]] = []

    def note(x: np.ndarray, fun: float, evaluations: int) -> bool:
        calls.append((x.copy(), fun, evaluations))
        x[:] = np.nan  # a copy: nothing of the search is lost
        return len(calls) == 7

    made = minimise(sphere, BOX * 3, iterations=50, callback=note)
    assert len(calls) == 7
    assert len(made.history) == 8
    assert [(e, f) for _, f, e in calls] == [tuple(row) for row in made.history[1:].tolist()]
    assert sphere(made.x) == made.fun


def test_known_solutions_are_never_lost() -> None:
    start = np.full(6, CENTRE) + 0.01
    made = minimise(sphere, BOX * 6, iterations=0, start=start)
    np.testing.assert_array_equal(made.x, start)
    better = minimise(sphere, BOX * 6, iterations=60, start=np.stack([start, -start]))
    assert better.fun < 0.1 * made.fun


def test_values_that_are_not_finite_are_the_worst() -> None:
    def holes(x: np.ndarray) -> float:
        return float("nan") if x[0] < 0 else float("inf") if x[1] < 0 else sphere(x)

    made = minimise(holes, BOX * 2, evaluations=3000)
    assert made.fun < 1e-6
    nowhere = minimise(lambda x: np.nan, BOX * 2, iterations=5)
    assert nowhere.fun == np.inf
    assert np.isfinite(nowhere.x).all()


def test_groups_give_and_take_but_never_die(monkeypatch: pytest.MonkeyPatch) -> None:
    from deep_onnx.architectures import penguin

    sizes = []
    migrate = penguin._Colony.migrate

    def watched(colony: penguin._Colony) -> None:
        migrate(colony)
        share = penguin.membership(colony.food)
        present = np.bincount(colony.group, minlength=5)
        assert np.abs(present - 1 - share * (20 - 5)).max() < 1  # Eq. 14, in whole penguins
        sizes.append(present)

    monkeypatch.setattr(penguin._Colony, "migrate", watched)
    penguin.minimise(rastrigin, BOX * 4, groups=5, penguins=20, iterations=80)
    assert np.array(sizes).sum(axis=1).tolist() == [20] * 80
    assert np.array(sizes).min() >= 1
    assert len({tuple(s) for s in sizes}) > 5  # they do move


def test_a_function_that_is_flat() -> None:
    made = minimise(lambda x: 0.0, BOX * 2, iterations=50)
    assert isinstance(made, Result)
    assert made.fun == 0


# ---------------------------------------------------------------- beside SciPy


def test_sphere_converges() -> None:
    ours, theirs = median(sphere, BOX * 5, 8000)
    assert ours < 1e-8
    assert theirs < ours  # differential evolution is the quicker one here
    made = minimise(sphere, BOX * 5, evaluations=8000)
    np.testing.assert_allclose(made.x, CENTRE, atol=1e-4)


def test_in_five_dimensions_evolution_wins_on_rosenbrock() -> None:
    ours, theirs = median(rosenbrock, [(-2.0, 2.0)] * 5, 8000)
    assert theirs < 1e-2 < ours < 2  # in the valley, but slow along it


@pytest.mark.parametrize(
    ("function", "reach"), [(sphere, 5.0), (rastrigin, 5.12), (rosenbrock, 2.0)]
)
def test_in_thirty_dimensions_a_short_search_beats_evolution(
    function: Callable, reach: float
) -> None:
    # As it comes, differential evolution has 450 members here, which is few generations.
    ours, theirs = median(function, [(-reach, reach)] * 30, 6000)
    assert ours < 0.6 * theirs


def test_far_better_than_chance_on_rastrigin() -> None:
    made = minimise(rastrigin, [(-5.12, 5.12)] * 10, evaluations=5000).fun
    rng = np.random.default_rng(0)
    chance = min(rastrigin(x) for x in rng.uniform(-5.12, 5.12, (5000, 10)))
    assert made < 0.35 * chance


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"penguins": 1}, "penguins must be a whole number from 2 up"),
        ({"penguins": 4.0}, "penguins must be"),
        ({"groups": 0}, "groups must be 1 to 16"),
        ({"groups": 17}, "groups must be 1 to 16"),
        ({"iterations": -1}, "iterations must be"),
        ({"evaluations": 63}, "evaluations must be 64 or more"),
        ({"start": np.zeros((33, 2))}, "33 solutions for 32"),
    ],
)
def test_bad_options(options: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        minimise(sphere, BOX * 2, **options)


@pytest.mark.parametrize(
    ("bounds", "start", "reason"),
    [
        ([], None, r"bounds must be \(d, 2\)"),
        ([1.0, 2.0], None, r"bounds must be \(d, 2\)"),
        ([(0, 1), (3, 2)], None, "coordinate 1 goes from 3.0 to 2.0"),
        ([(0, np.inf)], None, "bounds must be finite"),
        ([("low", "high")], None, "bounds must be an array of numbers"),
        ([(0, 1)], [0.1, 0.2], "start must be"),
        ([(0, 1)], [2.0], "outside the bounds"),
        ([(0, 1)], [np.nan], "start must be finite"),
    ],
)
def test_bad_arrays(bounds: list, start: list | None, reason: str) -> None:
    with pytest.raises(InvalidArrayError, match=reason):
        minimise(sphere, bounds, start=start)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, deep_onnx.architectures.penguin\n"
        "assert not {'torch', 'scipy'} & set(sys.modules), 'too much'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
