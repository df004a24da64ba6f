"""Fitting from a stream: pairs become crops in worker processes, crops become sums, and go.

Pixel-RR and Pixel-KR need sums of their pairs and nothing else, so the pictures held at any time
do not grow with their number. Sums of held-out people are kept apart: without them a plan is
fitted, and judged in a second pass over these people only; added, they make the final model. The
sums are integers, so neither chunks nor workers nor an interruption change a bit of the result.
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
from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend
from pixelreg.data.crops import Cutter, Progress
from pixelreg.data.pairs import Pair, Pairing
from pixelreg.errors import DataError, PixelregError
from pixelreg.evaluation.comparison import UNTOUCHED, Scores
from pixelreg.evaluation.metrics import mae, psnr, ssim
from pixelreg.fitting.checkpoint import Checkpoint
from pixelreg.fitting.recipe import Fitted, Judged, Recipe
from pixelreg.fitting.solving import solve_sums
from pixelreg.fitting.sumsfile import MAX_PAIRS, Sums
from pixelreg.fitting.tally import Crops, Part, Step, Tally
from pixelreg.fitting.workers import cores, in_order, pool
from pixelreg.models.plans import Plan

CHUNK = 8  # pairs that a worker reads at a time
CHUNK_BYTES = 8_000_000  # of crops, at the most, unless one pair is more
SMALL = 64  # pairs that threads have read before processes have started
KEPT_BYTES = 16_000_000  # of crops of held-out pairs, which are then not read once more
SHOWN = 8  # held-out pairs of each target whose crops are kept, for the contact sheet


@dataclass(frozen=True, eq=False)
class Verdict:
    """Some held-out pairs, judged.

    Attributes
    ----------
    values : (n, 2, 3) float64: PSNR, SSIM and MAE of the untouched input and of what was made.
    shown : the first of them.
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

    Parameters
    ----------
    cutter : how pairs become crops.
    executor : a pool; see `pixelreg.fitting.workers.pool`.
    count : how many workers it has.
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


def fit_streamed(
    parts: Sequence[Part],
    recipes: Mapping[str, Recipe],
    workers: Workers,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    backend: ArrayBackend | None = None,
) -> tuple[dict[str, Fitted], dict[str, Sums]]:
    """Fit and judge every target, without ever holding its pairs.

    Parameters
    ----------
    parts : of `make_parts`.
    recipes : what to fit, by target; all of one kind, rr or kr.
    workers : what reads the pairs.
    checkpoint : where the sums are kept from time to time; ``resume`` goes on from it.
    progress : called with (done, total) pairs.
    backend : what solves; NumPy where it is None.

    Returns
    -------
    What was fitted, and the sums of all pairs, by target.
    """
    recipe = next(iter(recipes.values()))
    tally = Tally(parts, recipe.kind, recipe.size)
    if checkpoint is not None and resume:
        checkpoint.load(tally)
    for number, step in workers.read(tally):
        tally.add(number, step)
        if checkpoint is not None and tally.read < tally.total:
            checkpoint.save_if_due(tally)
        if progress is not None:
            progress(tally.read, tally.total)
    solver = backend or get_backend("numpy")
    fitted, sums = {}, {}
    for target, recipe in recipes.items():
        fitted[target], sums[target] = _fit_target(target, tally, recipe, workers, solver)
    return fitted, sums


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
    made = get_backend("numpy").apply(plan, crops.sources)
    values = [
        np.stack([metric(tried, crops.targets) for metric in (psnr, ssim, mae)], axis=-1)
        for tried in (crops.sources, made)
    ]
    people = [pair.person for pair in pairs[:show]]
    rows = zip(people, crops.sources, made, crops.targets, strict=False)
    return Verdict(np.stack(values, axis=1), tuple(Judged(*row) for row in rows))


@contextmanager
def local_workers(cutter: Cutter, pairs: int) -> Iterator[LocalWorkers]:
    """Workers of this machine: threads for a small set, else a process a core."""
    count = max(2, cores())
    with pool(count, processes=pairs >= SMALL) as executor:
        yield LocalWorkers(cutter, executor, count)


def _fit_target(
    target: str, tally: Tally, recipe: Recipe, workers: Workers, backend: ArrayBackend
) -> tuple[Fitted, Sums]:
    learning, judged = (
        next(
            number
            for number, part in enumerate(tally.parts)
            if part.target == target and part.held_out == side
        )
        for side in (False, True)
    )
    numbers = (learning, judged)
    problems = tuple(problem for number in numbers for problem in tally.reasons(number))
    pairs = tuple(pair for number in numbers for pair in tally.usable(number))
    if not pairs:
        reason = f"; the first reason: {problems[0].reason}" if problems else ""
        raise DataError(f"none of the {len(problems)} pairs can be used{reason}")
    if not tally.sums(learning).count:
        raise DataError(f"{target}: no pair is left to learn from; use a smaller --holdout")
    scores: Sequence[Scores] = ()
    shown: tuple[Judged, ...] = ()
    total = tally.begun(learning)
    if tally.sums(judged).count:
        plan = solve_sums(total.sums, recipe.parameters(), recipe.size, backend)
        scores, shown = _judge(target, recipe.kind, workers.judge(plan, tally.usable(judged)))
        total.add(tally.sums(judged))
    plan = solve_sums(total.sums, recipe.parameters(), recipe.size, backend)
    return Fitted(plan, recipe, pairs, scores, shown, problems=problems), total.sums


def _judge(
    target: str, kind: str, verdicts: Iterator[Verdict]
) -> tuple[list[Scores], tuple[Judged, ...]]:
    values = []
    shown: list[Judged] = []
    for verdict in verdicts:
        values.append(verdict.values)
        shown += verdict.shown[: SHOWN - len(shown)]
    every = np.concatenate(values)
    means = every.mean(axis=0).tolist()
    names = (UNTOUCHED, f"pixelreg {kind}")
    rows = zip(names, means, strict=True)
    return [Scores(target, name, len(every), *row) for name, row in rows], tuple(shown)
