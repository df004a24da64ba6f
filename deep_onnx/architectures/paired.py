"""What the algorithms share that learn one translation from pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deep_onnx.card import Card
from deep_onnx.training.algorithm import Algorithm, Export, to_pixels, to_tensor
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import augment
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Stack
from pixelreg.data.expressions import CANONICAL
from pixelreg.errors import DataError, UsageError
from pixelreg.models.model import Frame

ROWS = 6  # of a sample sheet
CHUNK = 8  # pictures at a time where nothing is learnt


class PairedAlgorithm(Algorithm):
    """Learns from pairs of the one target that the examples have.

    A subclass sets ``networks`` and ``optimisers``, the network that translates under
    ``"generator"``, and has `judge`.

    Attributes
    ----------
    range : what 0 and 255 become for the networks.
    target, stack : what is learnt, and its pairs.
    """

    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, arguments: Any, examples: Examples) -> None:
        super().__init__(arguments, examples)
        self.target, self.stack = only_target(examples)
        if not self.stack.pairs:
            raise DataError(f"nobody to learn from has {examples.source!r} and {self.target!r}")

    @property
    def items(self) -> int:
        """The pairs."""
        return len(self.stack.pairs)

    @abstractmethod
    def judge(self, source: Tensor, target: Tensor) -> dict[str, float]:
        """The losses on (N, 3, S, S) pictures, in evaluation mode; the decisive one first."""

    def draw(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Sources and targets of some pairs, (N, 3, S, S) each, both changed alike at random."""
        pictures: Sequence[Pixels] = [
            side[list(items)] for side in (self.stack.sources, self.stack.targets)
        ]
        if self.arguments.augment:
            pictures = augment(pictures)
        source, target = map(self.tensor, pictures)
        return source, target

    def tensor(self, pictures: Pixels) -> Tensor:
        """Pictures as the networks take them, where the networks are."""
        where = next(self.networks["generator"].parameters()).device
        return to_tensor(pictures, *self.range).to(where)

    def validate(self, held_out: Examples) -> dict[str, float]:
        """`judge` on other people's pairs, if any, in evaluation mode, without augmentation."""
        _, stack = only_target(held_out)
        sums: dict[str, float] = {}
        with evaluating(self.networks.values()):
            for part in chunks(len(stack.pairs)):
                losses = self.judge(*map(self.tensor, (stack.sources[part], stack.targets[part])))
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value * (part.stop - part.start)
        return {name: total / len(stack.pairs) for name, total in sums.items()}

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """What is given, what is made of it, and what it should be."""
        _, stack = only_target(held_out)
        sources, targets = stack.sources[:ROWS], stack.targets[:ROWS]
        if not stack.pairs:
            return []
        with evaluating(self.networks.values()):
            made = self.networks["generator"](self.tensor(sources))
        return [
            (held_out.source, list(sources)),
            ("made", list(to_pixels(made.cpu(), *self.range))),
            (self.target, list(targets)),
        ]

    def export(self, architecture: str, multiple: int, **notes: Any) -> Export:
        """The generator; ``multiple`` is what sides must be multiples of, 0 for a fixed size."""
        size, frame = self.arguments.size, self.examples.frame
        card = Card(
            architecture,
            target_kind="expression" if self.target in CANONICAL else "domain",
            targets={self.target: ()},
            source=self.examples.source,
            size=size,
            dynamic=multiple > 0,
            multiple=multiple or size,
            value_range=self.range,
            placement=placement(frame, multiple > 0),
            frame=frame,
            notes=notes,
        )
        return Export(frozen(self.networks["generator"]), card, {"image": _example(size)})


def only_target(examples: Examples) -> tuple[str, Stack]:
    """The one target and its pairs."""
    if len(examples.stacks) != 1:
        names = ", ".join(examples.stacks) or "none"
        raise UsageError(f"this architecture learns one target, not {names}; give it with --expr")
    return next(iter(examples.stacks.items()))


def placement(frame: Frame | None, dynamic: bool) -> str:
    """Which part of a photograph a model takes."""
    if frame is not None:
        return "face"
    return "whole" if dynamic else "square"


def chunks(count: int) -> Iterator[slice]:
    """0 … count, a few at a time."""
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


@contextmanager
def evaluating(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Networks in evaluation mode, nothing learnt; afterwards in the mode that they were in."""
    before = [(network, network.training) for network in networks]
    try:
        for network, _ in before:
            network.eval()
        with torch.no_grad():
            yield
    finally:
        for network, training in before:
            network.train(training)


def frozen(network: nn.Module) -> nn.Module:
    """A copy on the CPU in evaluation mode, which further training does not change."""
    from copy import deepcopy

    return deepcopy(network).cpu().eval().requires_grad_(False)


def _example(size: int) -> Tensor:
    # Two pictures: an exporter takes a dimension of length one for a constant.
    return torch.linspace(-1.0, 1.0, 2 * 3 * size * size).reshape(2, 3, size, size)
