"""Improved Penguin Optimisation: a general minimiser that needs nothing but function values.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model*,
Eq. 7-14. Penguins (solutions) live in groups, swim towards the best place of their group with a
step that grows with their oxygen reserve, and move to groups that eat more. The printed equations
leave much open; what is decided here:

- **Sign.** The paper maximises a fitness F (Eq. 9); F = -f here, and f is minimised. A value that
  is not finite is the worst of all.
- **Eq. 8** doubles the initial solutions; the better half of both together is kept.
- **Eq. 11** scales the step by a letter X that Eq. 12 calls O: both are the oxygen reserve, as in
  the penguin search that the paper improves. Rand() is drawn anew for every coordinate, else a
  penguin could never leave the line to its group's best place. That place is remembered, so it is
  not lost when its finder swims on. New places are clipped to the bounds.
- **Eq. 12** prints the distance swum as |P(t+1) + P(t)|, which depends on where zero is; it is
  taken as |P(t+1) - P(t)|. Both factors have units, and the reserve must not: the gain in F is
  divided by the standard deviation of F over all penguins (and kept within [-1, 1]), the distance
  by the mean distance of the penguins from their groups' best places. A reserve starts at 1 and
  stays in [0, 3]: above 3, steps of Eq. 11 lead away from the best place on average.
- **Dives end.** Under Eq. 11 alone all penguins of a group end up at one place, and the equations
  never bring them away. A dive therefore ends where the reserve is used up or the swum distance
  vanishes; the penguin surfaces, takes breath, and dives at a new initial solution, the better of
  a random one and its opposite (Eq. 8 again). Without this, all runs stall early.
- **Eq. 13** begins at the number of the group's penguins, which is the sum of their reserves, and
  cannot fall to 0. Taking breath is no food.
- **Eq. 14** gives the share of all penguins that each group is to have; it reads the abundance
  that has just been updated. Groups that are too large give up their worst penguins; no group
  loses its last one, so none dies out.
- **Step 8** stops where the "best sunflower" is found, which nobody can know: here after a number
  of iterations or of evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pixelreg.arrays import Array, Float64
from pixelreg.errors import InvalidArrayError, UsageError

Function = Callable[[Float64], float]
Callback = Callable[[Float64, float, int], object]

FULL_RESERVE = 1.0
LARGEST_RESERVE = 3.0
LEAST_FOOD = 1e-3
STANDSTILL = 1e-12  # root mean square step, as a share of the bounds, at which a dive is over
ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class Result:
    """What a minimisation found.

    x : (d,) float64, the best place.
    fun : the function there; inf if it was finite nowhere.
    history : (m, 2) float64, after the start and after every iteration: evaluations so far, and
        the best value so far.
    """

    x: Float64
    fun: float
    evaluations: int
    history: Float64


# ---------------------------------------------------------------- the equations


def opposite(places: Float64, low: Float64, high: Float64) -> Float64:
    """Eq. 8: a + b - S, the places mirrored in the middle of the bounds; (..., d)."""
    return np.clip(low + high - places, low, high)  # rounding may lead outside


def swim(places: Float64, reserves: Float64, rand: Float64, best: Float64) -> Float64:
    """Eq. 11: P + O Rand() (P_localbest - P).

    places, best : (n, d), each penguin's place and its group's best one.
    reserves : (n,) oxygen.
    rand : (n, d) in [0, 1].
    """
    return places + reserves[:, None] * rand * (best - places)


def breathe(reserves: Float64, gain: Float64, distance: Float64) -> Float64:
    """Eq. 12: O + (F(P(t+1)) - F(P(t))) |P(t+1) - P(t)|, within [0, 3]; all (n,)."""
    return np.clip(reserves + gain * distance, 0.0, LARGEST_RESERVE)


def eat(food: Float64, change: Float64, group: Array) -> Float64:
    """Eq. 13: QEF + sum over the group's penguins of O(t+1) - O(t).

    food : (k,) of every group.
    change : (n,) of every penguin's reserve.
    group : (n,) int, which group each penguin is in.
    """
    return np.maximum(food + np.bincount(group, change, minlength=len(food)), LEAST_FOOD)


def membership(food: Float64) -> Float64:
    """Eq. 14: each group's share of all food, (k,); they add up to 1."""
    shares: Float64 = food / food.sum()
    return shares


# ---------------------------------------------------------------- the algorithm


def minimise(
    function: Function,
    bounds: ArrayLike,
    *,
    groups: int = 4,
    penguins: int = 32,
    iterations: int | None = None,
    evaluations: int | None = None,
    seed: int = 0,
    start: ArrayLike | None = None,
    callback: Callback | None = None,
) -> Result:
    """Search the minimum of a function of d numbers within bounds.

    An iteration calls the function once for each penguin, and twice for each that dives anew. The
    state is about six arrays of (penguins, d) float64.

    function : takes (d,) float64, which it must not keep, and gives a number.
    bounds : (d, 2), the lowest and the highest value of every coordinate.
    groups : number of groups, at most half as many as penguins.
    penguins : number of solutions, in all groups together.
    iterations, evaluations : when to stop, whichever comes first; 100 iterations if neither is
        given. ``evaluations`` is never exceeded; the start takes two for each penguin.
    seed : equal seeds give equal results, bit for bit.
    start : (d,) or (m, d), known solutions to begin with, in place of random ones.
    callback : called after every iteration with the best place (a copy), its value and the
        evaluations so far; anything true stops the search.
    """
    low, high = _bounds(bounds)
    known = _start(start, low, high)
    _check(groups, penguins, iterations, evaluations, len(known))
    if iterations is None and evaluations is None:
        iterations = ITERATIONS
    most = math.inf if evaluations is None else evaluations
    colony = _Colony(function, low, high, groups, penguins, np.random.default_rng(seed), known)
    history = [colony.record()]
    done = 0
    while (iterations is None or done < iterations) and colony.used + penguins <= most:
        colony.dive()
        colony.migrate()
        colony.surface(most)
        history.append(colony.record())
        done += 1
        if callback is not None and callback(colony.x.copy(), colony.fun, colony.used):
            break
    return Result(colony.x.copy(), colony.fun, colony.used, np.array(history))


class _Colony:
    """All penguins of a search, and what they know."""

    def __init__(
        self,
        function: Function,
        low: Float64,
        high: Float64,
        groups: int,
        penguins: int,
        rng: np.random.Generator,
        known: Float64,
    ) -> None:
        self.function, self.low, self.high, self.rng = function, low, high, rng
        self.used = 0
        first = low + rng.random((penguins, len(low))) * (high - low)  # Eq. 7
        first[: len(known)] = known
        both = np.concatenate([first, opposite(first, low, high)])
        fitness = self._fitness(both)
        kept = rng.permutation(np.argsort(-fitness, kind="stable")[:penguins])
        self.places, self.fitness = both[kept], fitness[kept]
        self.group = np.arange(penguins) % groups
        self.reserves = np.full(penguins, FULL_RESERVE)
        self.still = np.zeros(penguins, bool)
        self.food = eat(np.zeros(groups), self.reserves, self.group)
        self.best = np.empty((groups, len(low)))
        self.best_fitness = np.full(groups, -np.inf)
        for i in range(groups):
            self.best[i] = self.places[i]  # a place even where no value is finite
        self._remember()

    @property
    def x(self) -> Float64:
        """The best place of all groups."""
        place: Float64 = self.best[self.best_fitness.argmax()]
        return place

    @property
    def fun(self) -> float:
        """The function there."""
        return -float(self.best_fitness.max())

    def record(self) -> tuple[float, float]:
        """A row of the history."""
        return float(self.used), self.fun

    def dive(self) -> None:
        """Steps 3 to 6: everybody swims once, breathes and eats."""
        local = self.best[self.group]
        rand = self.rng.random(self.places.shape)
        places = np.clip(swim(self.places, self.reserves, rand, local), self.low, self.high)
        fitness = self._fitness(places)
        swum = self._distance(places, self.places)
        apart = self._distance(self.places, local).mean()
        gain = _relative_gain(fitness, self.fitness)
        reserves = breathe(self.reserves, gain, swum / apart if apart > 0 else swum)
        self.food = eat(self.food, reserves - self.reserves, self.group)
        self.places, self.fitness, self.reserves = places, fitness, reserves
        self.still = (swum < STANDSTILL) | (reserves <= 0)
        self._remember()

    def migrate(self) -> None:
        """Step 7: groups that eat little send their worst penguins to groups that eat much."""
        groups = len(self.food)
        wanted = _whole_numbers(membership(self.food), len(self.group))
        present = np.bincount(self.group, minlength=groups)
        leaving: list[int] = []
        for i in np.flatnonzero(present > wanted):
            members = np.flatnonzero(self.group == i)
            worst = members[np.argsort(self.fitness[members], kind="stable")]
            leaving.extend(worst[: present[i] - wanted[i]])
        homes = np.repeat(np.arange(groups), np.maximum(wanted - present, 0))
        self.group[leaving] = self.rng.permutation(homes)

    def surface(self, most: float) -> None:
        """Penguins whose dive is over begin another elsewhere, if evaluations are left."""
        for j in np.flatnonzero(self.still):
            if self.used + 2 > most:
                break  # those that have surfaced are still to be remembered
            place = self.low + self.rng.random(len(self.low)) * (self.high - self.low)
            both = np.stack([place, opposite(place, self.low, self.high)])
            fitness = self._fitness(both)
            better = int(fitness.argmax())
            self.places[j], self.fitness[j] = both[better], fitness[better]
            self.reserves[j] = FULL_RESERVE
        self._remember()

    def _remember(self) -> None:
        for i in range(len(self.best)):
            members = np.flatnonzero(self.group == i)
            if len(members):
                j = members[self.fitness[members].argmax()]
                if self.fitness[j] > self.best_fitness[i]:
                    self.best[i], self.best_fitness[i] = self.places[j], self.fitness[j]

    def _fitness(self, places: Float64) -> Float64:
        self.used += len(places)
        values = np.array([-float(self.function(place)) for place in places])
        return np.where(np.isfinite(values), values, -np.inf)

    def _distance(self, some: Float64, others: Float64) -> Float64:
        """Root mean square over the coordinates, as a share of the bounds' widths; (n,)."""
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        distance: Float64 = np.sqrt(np.mean(((some - others) / width) ** 2, axis=1))
        return distance


def _relative_gain(new: Float64, old: Float64) -> Float64:
    """F(P(t+1)) - F(P(t)) in standard deviations of F, within [-1, 1]."""
    finite = old[np.isfinite(old)]
    spread = float(finite.std()) if len(finite) else 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # from one infinite value to another
        gain = (new - old) / (spread or 1.0)
    return np.clip(np.nan_to_num(gain, nan=0.0), -1.0, 1.0)


def _whole_numbers(shares: Float64, total: int) -> Array:
    """``total`` dealt out by ``shares``, whole and at least 1 each, by largest remainders."""
    exact = shares * (total - len(shares))
    numbers = np.floor(exact).astype(int)
    rest = total - len(shares) - int(numbers.sum())
    numbers[np.argsort(numbers - exact, kind="stable")[:rest]] += 1
    return numbers + 1


def _bounds(bounds: ArrayLike) -> tuple[Float64, Float64]:
    array = _numbers("bounds", bounds)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise InvalidArrayError(f"bounds must be (d, 2): low and high each; not {array.shape}")
    if (array[:, 0] > array[:, 1]).any():
        k = int(np.argmax(array[:, 0] > array[:, 1]))
        raise InvalidArrayError(f"bounds: coordinate {k} goes from {array[k, 0]} to {array[k, 1]}")
    return array[:, 0].copy(), array[:, 1].copy()


def _start(start: ArrayLike | None, low: Float64, high: Float64) -> Float64:
    if start is None:
        return np.empty((0, len(low)))
    array = np.atleast_2d(_numbers("start", start))
    if array.ndim != 2 or array.shape[1] != len(low):
        raise InvalidArrayError(f"start must be ({len(low)},) or (m, {len(low)}); {array.shape}")
    if (array < low).any() or (array > high).any():
        raise InvalidArrayError("start lies outside the bounds; widen them or clip it first")
    return array


def _numbers(name: str, values: ArrayLike) -> Float64:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArrayError(f"{name} must be an array of numbers: {error}") from error
    if not np.isfinite(array).all():
        raise InvalidArrayError(f"{name} must be finite")
    return array


def _check(groups: Any, penguins: Any, iterations: Any, evaluations: Any, known: int) -> None:
    if type(penguins) is not int or penguins < 2:
        raise UsageError(f"penguins must be a whole number from 2 up, not {penguins!r}")
    if type(groups) is not int or not 1 <= groups <= penguins // 2:
        raise UsageError(f"groups must be 1 to {penguins // 2} for {penguins}, not {groups!r}")
    if iterations is not None and (type(iterations) is not int or iterations < 0):
        raise UsageError(f"iterations must be a whole number from 0 up, not {iterations!r}")
    if evaluations is not None and (type(evaluations) is not int or evaluations < 2 * penguins):
        raise UsageError(
            f"evaluations must be {2 * penguins} or more for {penguins} penguins: "
            f"the start takes two each; not {evaluations!r}"
        )
    if known > penguins:
        raise UsageError(f"start has {known} solutions for {penguins} penguins; use more penguins")
