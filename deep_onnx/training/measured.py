"""Networks taught to be measured: equal lengths, the last step's networks, people held apart.

What ``pixelreg train`` writes is judged on people who chose the step; here nobody chooses, so that
what stands in a table flatters no row.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from deep_onnx.registry import ARCHITECTURES
from deep_onnx.training.algorithm import Algorithm, Export
from deep_onnx.training.data import Choice, Examples, Learns, choose, load_examples
from deep_onnx.training.loop import Order, Run, Schedule, Trained, train
from deep_onnx.training.losses_file import History
from deep_onnx.training.tools import in_parts, to_pixels, to_tensor
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Stack
from pixelreg.data.photos import Listing
from pixelreg.errors import DataError
from pixelreg.faces.locate import Locator

LOOKS, APART = 20, 5  # at held-out people in a training, and steps between two at the least
Curve = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Learnt:
    """Networks at the end of a training, or on the way.

    epochs : how often every item was learnt from; seconds : of processor time so far.
    judged : held-out pairs; made : what became of their sources, (N, S, S, 3) uint8.
    back : what became of their targets, where the same training learns that.
    curves : ``"training NAME"`` and ``"validation NAME"`` -> (epoch, loss).
    """

    algorithm: Algorithm
    held_out: Examples
    steps: int
    epochs: float
    seconds: float
    judged: Stack
    made: Pixels
    back: Pixels | None
    curves: Mapping[str, Curve]

    @property
    def parameters(self) -> int:
        """Learnt numbers of the network that makes pictures."""
        module = self.algorithm.exports()[0].module
        return sum(each.numel() for each in module.parameters())

    def at(self, height: int, width: int) -> Callable[[], object]:
        """What makes one picture of another size."""
        export = self.algorithm.exports()[0]
        inputs = [
            torch.zeros(1, 3, height, width) if value.ndim == 4 else value[:1]
            for value in export.inputs.values()
        ]

        def run() -> object:
            with torch.no_grad():
                return export.module(*inputs)

        return run


@dataclass(frozen=True, eq=False)
class Classroom:
    """Pictures to learn from, and people who are judged.

    judged : who is held out.
    size : side of the crops in pixels.
    folder : for checkpoints, which nobody needs afterwards.
    """

    listing: Listing
    source: str
    judged: frozenset[str]
    size: int
    folder: Path
    locator: Locator
    update: Callable[[int, int], Any]
    kept: dict[Any, tuple[Examples, Examples]] = field(default_factory=dict, repr=False)
    read: dict[Any, tuple[Examples, Examples]] = field(default_factory=dict, repr=False)

    def examples(self, learns: Learns, source: str, target: str) -> tuple[Examples, Examples]:
        """Those to learn from, and those who are judged; the same pictures are read once."""
        key = learns, source, target
        if key not in self.kept:
            self.kept[key] = self._read(choose(learns, self.listing, source, (target,)), target)
        return self.kept[key]

    def _read(self, choice: Choice, target: str) -> tuple[Examples, Examples]:
        pairs = tuple((name, each.pairs) for name, each in choice.pairings.items())
        paired = {photo for _, some in pairs for one in some for photo in (one.source, one.target)}
        key = choice.source, pairs, tuple(one for one in choice.singles if one not in paired)
        if key not in self.read:
            whole = load_examples(self.listing, choice, self.size, self.locator).examples
            people = frozenset(whole.people)
            learning, held_out = whole.only(people - self.judged), whole.only(self.judged)
            if not (learning.pictures.size and held_out.stacks[target].pairs):
                raise DataError(f"{self.listing.root}: too few pictures could be read to judge")
            self.read[key] = learning, held_out
        return self.read[key]

    def teach(
        self,
        name: str,
        steps: Sequence[int],
        target: str,
        source: str | None = None,
        **settings: Any,
    ) -> list[Learnt]:
        """Train an architecture once, and look at it after some numbers of steps."""
        algorithm = architecture(name)
        learning, held_out = self.examples(algorithm.learns, source or self.source, target)
        arguments = algorithm.Arguments(size=self.size, **settings)
        folder = Path(mkdtemp(prefix=name, dir=self.folder))
        started = time.process_time()
        found: list[Learnt] = []
        for length in steps:
            run = Run(
                folder,
                Schedule(steps=length),
                name,
                resume=bool(found),
                validate_every=max(APART, steps[-1] // LOOKS),
                pictures=False,
                watch=lambda moment: self.update(moment.step, steps[-1]),
            )
            trained = train(algorithm, arguments, learning, held_out, run)
            if not trained.progress.finished:
                raise KeyboardInterrupt  # the loop heard it, and saved; the table hears it too
            seconds = time.process_time() - started
            found.append(_learnt(trained, held_out, target, seconds))
        shutil.rmtree(folder)
        return found


def architecture(name: str) -> type[Algorithm]:
    """The algorithm of an architecture's name."""
    module, _, attribute = ARCHITECTURES[name].home.partition(":")
    return getattr(import_module(module), attribute)


def _learnt(trained: Trained, held_out: Examples, target: str, seconds: float) -> Learnt:
    algorithm, stack = trained.algorithm, held_out.stacks[target]
    chosen, step = algorithm.arguments, trained.progress.step
    epoch = Order(algorithm.items, chosen.batch, chosen.seed).steps_an_epoch
    exports = [each for each in algorithm.exports() if each.card.does.changes]
    back = _made(exports[1], stack.targets, held_out.source) if len(exports) > 1 else None
    made = _made(exports[0], stack.sources, target)
    curves = _curves(trained.losses, epoch)
    return Learnt(algorithm, held_out, step, step / epoch, seconds, stack, made, back, curves)


def _made(export: Export, pictures: Pixels, target: str) -> Pixels:
    """What an exported network makes of pictures, by PyTorch."""
    card, module = export.card, export.module
    values = to_tensor(pictures, *card.value_range)
    given = [values]
    if card.condition_input:
        given.append(torch.tensor(card.targets[target]).expand(len(values), -1))
    return to_pixels(in_parts(module, *given), *card.value_range)


def _curves(losses: History, epoch: int) -> dict[str, Curve]:
    """Losses by epoch; those of training are means since the last look at held-out people."""
    found: dict[str, Curve] = {}
    looks = losses.arrays()["validation"][:, 0]
    for name in losses.names["validation"]:
        steps, values = losses.series("validation", name)
        found[f"validation {name}"] = list(zip(steps / epoch, values, strict=True))
    for name in losses.names["train"]:
        steps, values = losses.series("train", name)
        parts = np.searchsorted(looks, steps)
        found[f"training {name}"] = [
            (float(looks[part] / epoch), float(values[parts == part].mean()))
            for part in np.unique(parts[parts < len(looks)])
        ]
    return found
