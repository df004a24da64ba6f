"""Fitting: one loop reads pairs, keeps what the estimator wants of them, judges it and solves.

Estimators that need sums of 8-bit pairs and nothing else (Pixel-RR and Pixel-KR) hold few pictures
at any time, whatever their number; others, and cross-validation, keep the crops. What is kept of
held-out people is kept apart: without it a plan is fitted, and judged on these people; with it, the
final plan. Sums are integers, so neither chunks nor workers nor an interruption change a bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.backends import cores, get_backend
from pixelreg.data.crops import Crops, Cutter, Progress, Stack
from pixelreg.data.pairs import Pair, Pairing
from pixelreg.data.photos import first_reason
from pixelreg.errors import DataError, PixelregError
from pixelreg.evaluation.comparison import UNTOUCHED, Scores
from pixelreg.evaluation.metrics import mae, psnr, ssim
from pixelreg.fitting.checkpoint import Checkpoint
from pixelreg.fitting.recipe import Fitted, Judged, Recipe, cross_validate
from pixelreg.fitting.tally import KeptCrops, Part, Step, Tally
from pixelreg.fitting.workers import in_order, pool
from pixelreg.models.plans import Plan
from pixelreg.models.sums import MAX_PAIRS
from pixelreg.regression.estimator import Score
from pixelreg.regression.validation import best

CHUNK = 8  # pairs that a worker reads at a time
CHUNK_BYTES = 8_000_000  # of crops, at the most, unless one pair is more
SMALL = 64  # pairs that threads have read before processes have started
KEPT_BYTES = 16_000_000  # of crops of held-out pairs, which are then not read once more
SHOWN = 8  # held-out pairs of each target whose crops are kept, for the contact sheet


def learn(
    pairings: Mapping[str, Pairing],
    recipes: Mapping[str, Recipe],
    held_out: frozenset[str],
    workers: Workers,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    cv_seed: int | None = None,
) -> dict[str, Fitted]:
    """Fit and judge every target: the whole of fitting, to be read first.

    pairings : the pairs, by target.
    recipes : what to fit, by target; all of one kind and size.
    held_out : people to judge on; nobody is judged where it is empty.
    checkpoint : where sums are kept from time to time; what it holds already is gone on from.
    progress : called with (done, total) pairs.
    cv_seed : seed of the cross-validation that chooses the parameters, or None for none.
    """
    recipe = next(iter(recipes.values()))
    keep = None if cv_seed is not None else recipe.sums
    tally = Tally(make_parts(pairings, held_out), keep, recipe.size)
    if checkpoint is not None:
        checkpoint.load(tally)
    for number, step in workers.read(tally):
        tally.add(number, step)
        if checkpoint is not None and tally.read < tally.total:
            checkpoint.save_if_due(tally)
        if progress is not None:
            progress(tally.read, tally.total)
    return {
        target: fit_target(target, _kept(target, tally, workers, pairings[target]), each, cv_seed)
        for target, each in recipes.items()
    }


def fit_target(
    target: str, kept: SumsOf | CropsOf, recipe: Recipe, cv_seed: int | None = None
) -> Fitted:
    """Fit one target: once without the held-out people to judge it, then on everybody."""
    if not kept.learning:
        raise DataError(f"{target}: no pair is left to learn from; use a smaller --holdout")
    tried: Sequence[Score] = ()
    if cv_seed is not None:
        tried = kept.tried(recipe, cv_seed)
        recipe = recipe.tuned(best(tried))
    scores: Sequence[Scores] = ()
    shown: tuple[Judged, ...] = ()
    if kept.judging:
        plan, _ = kept.solve(recipe, everybody=False)
        scores, shown = _judged(target, recipe.kind, kept.judge(plan))
    plan, backend = kept.solve(recipe, everybody=True)
    rest: dict[str, Any] = {"tried": tried, "backend": backend, "sums": kept.sums}
    return Fitted(plan, recipe, kept.pairs, scores, shown, problems=kept.problems, **rest)


@dataclass(eq=False)
class SumsOf:
    """One target's sums: ``solve`` without everybody must come before ``solve`` with them.

    tally, parts : the sums, and the numbers of the two parts, to learn from and held out.
    """

    tally: Tally
    parts: tuple[int, int]
    workers: Workers
    sums: Any = None

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs that could be used."""
        return tuple(pair for part in self.parts for pair in self.tally.usable(part))

    @property
    def problems(self) -> tuple[Any, ...]:
        """The pairs that could not be used, and why."""
        return tuple(problem for part in self.parts for problem in self.tally.reasons(part))

    @property
    def learning(self) -> int:
        """How many pairs there are to learn from."""
        return int(self.tally.of(self.parts[0]).count)

    @property
    def judging(self) -> int:
        """How many pairs there are to judge on."""
        return int(self.tally.of(self.parts[1]).count)

    def solve(self, recipe: Recipe, everybody: bool) -> tuple[Plan, str]:
        """The plan of the pairs to learn from, or of all; and the backend that solved it."""
        kept = self.tally.of(self.parts[0])
        if everybody and self.judging:
            kept.add(self.tally.of(self.parts[1]).sums)  # in place: sums may be large
        self.sums = kept.sums
        return recipe.solved(kept.sums)

    def judge(self, plan: Plan) -> Iterator[Verdict]:
        """The verdicts on a plan."""
        return self.workers.judge(plan, self.tally.usable(self.parts[1]))

    def tried(self, recipe: Recipe, seed: int) -> Sequence[Score]:
        """Sums do not hold what cross-validation needs."""
        raise NotImplementedError


@dataclass(eq=False)
class CropsOf:
    """One target's crops."""

    stack: Stack
    held_out: frozenset[str]
    sums: None = None

    def __post_init__(self) -> None:
        self.pairs, self.problems = self.stack.pairs, self.stack.problems
        self._judged = self.stack.select(self.held_out)
        self._learnt = self.stack.select(frozenset(self.stack.people) - self.held_out)
        self.learning, self.judging = len(self._learnt.pairs), len(self._judged.pairs)

    def solve(self, recipe: Recipe, everybody: bool) -> tuple[Plan, str]:
        """See `SumsOf`."""
        return recipe.fitted(self.stack if everybody else self._learnt)

    def judge(self, plan: Plan) -> Iterator[Verdict]:
        """See `SumsOf`; everybody is shown."""
        crops = Crops(self._judged.sources, self._judged.targets)
        yield verdict(plan, self._judged.pairs, crops, len(self._judged.pairs))

    def tried(self, recipe: Recipe, seed: int) -> Sequence[Score]:
        """The scores of cross-validation on the pairs to learn from."""
        return cross_validate(recipe, self._learnt, seed)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Some held-out pairs, judged.

    values : (n, 2, 3) float64: PSNR, SSIM and MAE of the untouched input and of what was made.
    """

    values: Float64
    shown: tuple[Judged, ...]


class Workers(Protocol):
    """What reads and judges pairs, here or elsewhere."""

    def read(self, tally: Tally) -> Iterator[tuple[int, Step]]:
        """What is left to read, in order: the number of a part, and its next pairs."""

    def judge(self, plan: Plan, pairs: Sequence[Pair]) -> Iterator[Verdict]:
        """The verdicts on a plan, in the order of the pairs."""


class LocalWorkers:
    """Workers of this machine.

    executor : a pool; see `pixelreg.fitting.workers.pool`.
    keep_bytes : crops of held-out pairs that stay in memory, so that small sets are read once.
    """

    def __init__(
        self, cutter: Cutter, executor: Executor, count: int, keep_bytes: int = KEPT_BYTES
    ) -> None:
        self.cutter, self.executor = cutter, executor
        self.window = 2 * count
        self.room = keep_bytes
        self._kept: list[tuple[tuple[Pair, ...], Crops]] = []

    def read(self, tally: Tally) -> Iterator[tuple[int, Step]]:
        """See `Workers`."""
        for number, part in enumerate(tally.parts):
            left = chunks(part.pairs[tally.done[number] :], self.cutter.size)
            calls = ((self.cutter, pairs) for pairs in left)
            steps = in_order(self.executor, read_pairs, calls, self.window)
            for pairs, step in zip(left, steps, strict=True):
                if part.held_out:
                    self._remember(pairs, step)
                yield number, step

    def judge(self, plan: Plan, pairs: Sequence[Pair]) -> Iterator[Verdict]:
        """See `Workers`."""
        calls = self._calls(plan, pairs)
        yield from in_order(self.executor, judge_pairs, calls, self.window)

    def _calls(self, plan: Plan, pairs: Sequence[Pair]) -> Iterator[tuple[Any, ...]]:
        """Arguments of `judge_pairs`, row by row: some as they were kept, some to be read."""
        kept = {row[0]: (row, crops) for row, crops in self._kept}
        step = chunk_length(self.cutter.size)
        first = 0
        while first < len(pairs):
            row, crops = kept.get(pairs[first], (None, None))
            if row is None:
                later = pairs[first : first + step]
                row = tuple(takewhile(lambda pair: pair not in kept, later))
            yield self.cutter, plan, row, max(0, SHOWN - first), crops
            first += len(row)

    def _remember(self, pairs: Sequence[Pair], step: Step) -> None:
        crops = step.content
        if isinstance(crops, Crops) and 2 * crops.sources.nbytes <= self.room:
            bad = {place for place, _ in step.problems}
            good = tuple(pair for place, pair in enumerate(pairs) if place not in bad)
            self._kept.append((good, crops))
            self.room -= 2 * crops.sources.nbytes


@contextmanager
def local_workers(cutter: Cutter, pairs: int) -> Iterator[LocalWorkers]:
    """Workers of this machine: threads for a small set, else a process a core."""
    count = max(2, cores())
    with pool(count, pairs >= SMALL, 2 * pairs // count) as executor:
        yield LocalWorkers(cutter, executor, count)


def make_parts(pairings: Mapping[str, Pairing], held_out: frozenset[str]) -> list[Part]:
    """The pairs of every target in two parts: those to learn from, and those held out."""
    parts = []
    for target, pairing in pairings.items():
        if len(pairing.pairs) > MAX_PAIRS:
            raise DataError(f"{target} has more pairs than the {MAX_PAIRS:,} that sums can hold")
        for side in (False, True):
            pairs = tuple(pair for pair in pairing.pairs if (pair.person in held_out) == side)
            parts.append(Part(target, side, pairs))
    return parts


def chunk_length(size: int) -> int:
    """How many pairs of crops ``size`` x ``size`` a worker holds at a time."""
    return max(1, min(CHUNK, CHUNK_BYTES // (6 * size * size)))


def chunks(pairs: Sequence[Pair], size: int) -> list[Sequence[Pair]]:
    """Pairs in rows of `chunk_length`."""
    step = chunk_length(size)
    return [pairs[first : first + step] for first in range(0, len(pairs), step)]


def read_pairs(cutter: Cutter, pairs: Sequence[Pair]) -> Step:
    """Crops of pairs, (n, S, S, 3) uint8, and the pairs that could not be used."""
    crops, problems = [], []
    for place, pair in enumerate(pairs):
        try:
            crops.append(cutter.cut(pair))
        except PixelregError as error:
            problems.append((place, str(error)))
    content = None
    if crops:
        content = Crops(*(np.stack(side) for side in zip(*crops, strict=True)))
    return Step(len(pairs), tuple(problems), content)


def judge_pairs(
    cutter: Cutter, plan: Plan, pairs: Sequence[Pair], show: int, crops: Crops | None = None
) -> Verdict:
    """Judge a plan on held-out pairs, read once more unless their crops are given.

    The first ``show`` are kept to be shown.
    """
    if crops is None:
        step = read_pairs(cutter, pairs)
        if step.problems or not isinstance(step.content, Crops):
            reason = f": {step.problems[0][1]}" if step.problems else ""
            raise DataError(f"a picture changed while the model was fitted{reason}")
        crops = step.content
    return verdict(plan, pairs, crops, show)


def verdict(plan: Plan, pairs: Sequence[Pair], crops: Crops, show: int) -> Verdict:
    """What a plan makes of crops, against the truth."""
    made = get_backend("numpy").apply(plan, crops.sources)
    values = [
        np.stack([metric(tried, crops.targets) for metric in (psnr, ssim, mae)], axis=-1)
        for tried in (crops.sources, made)
    ]
    people = [pair.person for pair in pairs[:show]]
    rows = zip(people, crops.sources, made, crops.targets, strict=False)
    return Verdict(np.stack(values, axis=1), tuple(Judged(*row) for row in rows))


def _kept(target: str, tally: Tally, workers: Workers, pairing: Pairing) -> SumsOf | CropsOf:
    """What was kept of one target, or an error where no pair can be used."""
    learning, judged = (n for n, part in enumerate(tally.parts) if part.target == target)
    kept = SumsOf(tally, (learning, judged), workers)
    if not kept.pairs:
        reason = first_reason(kept.problems)
        raise DataError(f"none of the {len(kept.problems)} pairs can be used{reason}")
    if tally.keep is not None:
        return kept
    # Taken out, so that a target's crops are gone once it is fitted.
    crops = [chunk for n in kept.parts for chunk in tally.kept.pop(n, KeptCrops()).chunks]
    sources = [picture for chunk in crops for picture in chunk.sources]
    targets = [picture for chunk in crops for picture in chunk.targets]
    place = {pair: number for number, pair in enumerate(pairing.pairs)}
    pairs = kept.pairs
    order = sorted(range(len(pairs)), key=lambda number: place[pairs[number]])
    stack = Stack(
        tuple(pairs[number] for number in order),
        np.stack([sources[number] for number in order]),
        np.stack([targets[number] for number in order]),
        kept.problems,
    )
    held_out = frozenset(pair.person for pair in tally.parts[judged].pairs)
    return CropsOf(stack, held_out)


def _judged(
    target: str, kind: str, verdicts: Iterator[Verdict]
) -> tuple[list[Scores], tuple[Judged, ...]]:
    some = list(verdicts)
    every = np.concatenate([each.values for each in some])
    shown = tuple(judged for each in some for judged in each.shown)
    rows = []
    for place, name in enumerate((UNTOUCHED, f"pixelreg {kind}")):
        means = (float(np.mean(every[:, place, metric])) for metric in range(3))
        rows.append(Scores(target, name, len(every), *means))
    return rows, shown
