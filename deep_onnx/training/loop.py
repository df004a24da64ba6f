"""The loop that trains every algorithm: seeded, watched, validated, saved, and resumable.

Whatever a step does depends on the seed, its number, the networks, the optimisers and the
algorithm's state, all of which a checkpoint holds. So a training that was killed and resumed ends
with the same weights, bit for bit, as one that was not, on one machine's CPU with one number of
threads, if its length is given in steps or epochs.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from deep_onnx.training import checkpoint
from deep_onnx.training.algorithm import Algorithm
from deep_onnx.training.checkpoint import Progress
from deep_onnx.training.data import Examples
from deep_onnx.training.losses_file import History
from pixelreg.errors import DataError, ModelFileError, UsageError
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode
from pixelreg.pictures.sheet import contact_sheet

DEFAULT_MINUTES = 10.0


@dataclass(frozen=True)
class Schedule:
    """When to stop: exactly one of three.

    Only ``steps`` and ``epochs`` make runs repeatable; how many steps fit into minutes depends on
    the machine.

    minutes : of training, interruptions not counted.
    """

    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.epochs, self.minutes) if value is not None]
        if len(given) != 1:
            raise UsageError("give one of steps, epochs and minutes")
        if not 0 < given[0] < float("inf"):
            raise UsageError(f"the length of a training must be above 0, not {given[0]}")

    def total(self, steps_an_epoch: int) -> int | None:
        """How many steps there will be, or None where only the clock knows."""
        if self.epochs is not None:
            return self.epochs * steps_an_epoch
        return self.steps

    def progress(self, step: int, seconds: float, steps_an_epoch: int) -> float:
        """The share of the training that is over, 0 to 1."""
        total = self.total(steps_an_epoch)
        if total is not None:
            return min(step / total, 1.0)
        assert self.minutes is not None
        return min(seconds / (60 * self.minutes), 1.0)

    def __str__(self) -> str:
        if self.minutes is not None:
            return f"{self.minutes:g} minutes"
        return f"{self.steps} steps" if self.steps is not None else f"{self.epochs} epochs"


class Order:
    """Which items are learnt from at a step: every epoch is another permutation.

    An epoch's last items are left out where they fill no batch, unless there are fewer items than
    that altogether.
    """

    def __init__(self, items: int, batch: int, seed: int) -> None:
        self.batch = min(batch, items)
        self.steps_an_epoch = items // self.batch
        self._items, self._seed = items, seed
        self._epoch, self._permutation = -1, list[int]()

    def at(self, step: int) -> list[int]:
        """The items of a step, counted from 0."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_of(self._seed, "epoch", epoch))
            self._permutation = torch.randperm(self._items, generator=generator).tolist()
            self._epoch = epoch
        return self._permutation[place * self.batch : (place + 1) * self.batch]


def seed_of(seed: int, what: str, number: int = 0) -> int:
    """A seed of 63 bits for one part of a training, such as a step."""
    digest = hashlib.sha256(f"{seed} {what} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """The same bits every time, if wanted, as far as torch offers them."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has asked to stop; a second SIGINT stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals reach the main thread only
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


SECONDS = 30.0  # between two checkpoints, at the least
SHARE = 20  # and this many times as long as writing one takes
CURVE_SECONDS = 20.0  # between two drawings of the curves
VALIDATED_AT_MOST = 50  # times in a training of known length, and not more than once an epoch
STEPS_BETWEEN = 200  # validations, at the least, in one of unknown length


@dataclass(frozen=True)
class Moment:
    """What the loop tells whoever watches it, after every step.

    step : steps done; total : how many there will be, or None.
    progress : 0 to 1.
    train : the step's losses; validation : the held-out people's, if they were measured now.
    """

    step: int
    total: int | None
    progress: float
    train: Mapping[str, float]
    validation: Mapping[str, float] | None


@dataclass(frozen=True, eq=False)
class Run:
    """Where a training goes, how long, and who watches.

    folder : of ``last.safetensors``, ``best.safetensors``, ``losses.csv``, ``losses.png`` and
        ``samples/step-NNNNNN.png``.
    resume : go on from ``last.safetensors``.
    validate_every, sample_every : steps; None validates about once an epoch, and samples whenever
        it has validated.
    checkpoint_seconds : between two checkpoints; they take a twentieth of the time at most.
    device : what torch computes on. Only ``"cpu"`` gives the same bits every time.
    """

    folder: Path
    schedule: Schedule
    name: str = ""
    resume: bool = False
    validate_every: int | None = None
    sample_every: int | None = None
    checkpoint_seconds: float = SECONDS
    device: str = "cpu"
    watch: Callable[[Moment], object] = lambda moment: None

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """The networks that validated best."""
        return self.folder / "best.safetensors"


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training left.

    progress : how far it came; ``finished`` is False where a signal stopped it.
    """

    algorithm: Algorithm
    progress: Progress
    losses: History
    fingerprint: str


def train(
    algorithm_class: type[Algorithm],
    arguments: Any,
    examples: Examples,
    held_out: Examples,
    run: Run,
) -> Trained:
    """Train until the schedule ends, or SIGINT or SIGTERM asks to stop.

    arguments : an instance of its ``Arguments``.
    held_out : the people to validate on; may be nobody.
    run : where, how long, who watches.
    """
    _check_folder(run)
    with deterministic(run.device == "cpu"):
        torch.manual_seed(seed_of(arguments.seed, "weights"))
        algorithm = algorithm_class(arguments, examples)
        if algorithm.items < 1:
            raise DataError(f"{run.name or algorithm_class.__name__} finds nothing to learn from")
        for network in algorithm.networks.values():
            network.to(run.device)
        mark = checkpoint.fingerprint(run.name, arguments, examples, held_out)
        return _Loop(algorithm, held_out, run, mark).go()


def load_best(trained: Trained, run: Run) -> int:
    """Put the networks that validated best into the algorithm; returns their step.

    They stay the last ones where nobody was held out.
    """
    if trained.progress.best is None:
        return trained.progress.step
    return checkpoint.load_networks(run.best, trained.algorithm, trained.fingerprint)


class _Loop:
    """One training under way."""

    def __init__(self, algorithm: Algorithm, held_out: Examples, run: Run, mark: str) -> None:
        self.algorithm, self.held_out, self.run, self.mark = algorithm, held_out, run, mark
        self.seed = int(algorithm.arguments.seed)
        self.order = Order(algorithm.items, int(algorithm.arguments.batch), self.seed)
        self.total = run.schedule.total(self.order.steps_an_epoch)
        self.losses = History(run.folder / "losses.csv")
        self.step, self.seconds = 0, 0.0
        self.best: float | None = None
        self.best_step = 0
        self._curves_due = time.monotonic() + CURVE_SECONDS

    def go(self) -> Trained:
        """Train, and leave a last checkpoint behind whatever ends it."""
        if self.run.resume:
            self._resume()
        else:
            _clear(self.run)
            self._measure(None)
            self._save()  # so that a training killed at any moment can be resumed
        with stopping() as asked:
            self._steps(asked)
        progress = self._save(finished=self._share() >= 1)
        self._draw(due=True)
        return Trained(self.algorithm, progress, self.losses, self.mark)

    def _steps(self, asked: Callable[[], bool]) -> None:
        before, due = time.monotonic() - self.seconds, time.monotonic()
        due += self.run.checkpoint_seconds
        while not asked() and (share := self._share()) < 1:
            torch.manual_seed(seed_of(self.seed, "step", self.step))
            losses = self.algorithm.step(self.order.at(self.step), share)
            self.step += 1
            self.seconds = time.monotonic() - before
            if self._share() >= 1:
                torch.manual_seed(seed_of(self.seed, "finish"))
                self.algorithm.finish()
            self._measure(losses)
            if time.monotonic() >= due:
                started = time.monotonic()
                self._save()
                now = time.monotonic()
                due = now + max(self.run.checkpoint_seconds, SHARE * (now - started))
            self.seconds = time.monotonic() - before

    def _share(self) -> float:
        return self.run.schedule.progress(self.step, self.seconds, self.order.steps_an_epoch)

    def _measure(self, losses: Mapping[str, float] | None) -> None:
        """Validate and draw samples where it is time for that, and tell all."""
        ends = self._share() >= 1
        validates = ends or self.step % self._validate_every() == 0
        validation = self._validate() if validates else None
        self.losses.add(self.step, losses, validation)
        every = self.run.sample_every
        if validates if every is None else ends or self.step % every == 0:
            self._sample()
        if validates:
            self._draw()
        if losses is not None:
            moment = Moment(self.step, self.total, self._share(), losses, validation)
            self.run.watch(moment)

    def _validate_every(self) -> int:
        if self.run.validate_every is not None:
            return self.run.validate_every
        seldom = STEPS_BETWEEN if self.total is None else -(-self.total // VALIDATED_AT_MOST)
        return max(self.order.steps_an_epoch, seldom)

    def _validate(self) -> dict[str, float] | None:
        if not len(self.held_out.pictures):
            return None
        torch.manual_seed(seed_of(self.seed, "validation"))
        found = self.algorithm.validate(self.held_out)
        first = next(iter(found.values()), None)
        if self.step and first is not None and (self.best is None or first < self.best):
            self.best, self.best_step = first, self.step
            checkpoint.save(self.run.best, self.algorithm, self._progress(), self.mark, False)
        return found

    def _sample(self) -> None:
        torch.manual_seed(seed_of(self.seed, "sample"))
        shown = self.held_out if len(self.held_out.pictures) else self.algorithm.examples
        columns = self.algorithm.sample(shown)
        if columns and len(columns[0][1]):
            path = self.run.folder / "samples" / f"step-{self.step:06d}.png"
            write_bytes(path, encode(Picture(contact_sheet(columns)), "PNG"))

    def _draw(self, due: bool = False) -> None:
        if find_spec("matplotlib") is None or not self.losses.names["train"]:
            return
        now = time.monotonic()
        if due or now >= self._curves_due:
            from deep_onnx.training.losses_file import draw

            write_bytes(self.run.folder / "losses.png", draw(self.losses))
            self._curves_due = now + CURVE_SECONDS

    def _progress(self, finished: bool = False, losses: bool = False) -> Progress:
        kept = self.losses.arrays() if losses else {}
        names = {part: list(names) for part, names in self.losses.names.items()}
        return Progress(self.step, self.seconds, finished, self.best, self.best_step, kept, names)

    def _save(self, finished: bool = False) -> Progress:
        progress = self._progress(finished, losses=True)
        checkpoint.save(self.run.last, self.algorithm, progress, self.mark)
        return progress

    def _resume(self) -> None:
        found = checkpoint.load(self.run.last, self.algorithm, self.mark)
        try:
            self.losses.restore(found.names, found.losses)
        except checkpoint.DAMAGE as error:
            raise ModelFileError(f"{self.run.last} is damaged ({error}); start anew") from error
        self.step, self.seconds = found.step, found.seconds
        self.best, self.best_step = found.best, found.best_step


def _check_folder(run: Run) -> None:
    if run.resume or not run.last.exists():
        return
    try:
        step, finished = checkpoint.peek(run.last)
    except ModelFileError:
        return  # no training can go on from it
    if not finished:
        raise UsageError(
            f"{run.folder} holds an unfinished training ({step} steps): "
            "add --resume to go on, or remove that folder to start anew"
        )


def _clear(run: Run) -> None:
    """Remove what an earlier training left, so that nothing of two trainings is mixed."""
    names = (run.last, run.best, run.folder / "losses.csv", run.folder / "losses.png")
    for path in (*names, *(run.folder / "samples").glob("step-*.png")):
        path.unlink(missing_ok=True)
