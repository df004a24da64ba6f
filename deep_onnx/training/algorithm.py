"""What every algorithm offers to the loop that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deep_onnx.card import Card
from deep_onnx.training.data import Examples, Learns
from deep_onnx.training.tools import (
    augment,
    chunks,
    evaluating,
    frozen,
    placement,
    to_pixels,
    to_tensor,
)
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Stack
from pixelreg.data.expressions import CANONICAL
from pixelreg.errors import DataError, UsageError


def argument(default: Any, help: str, **metadata: Any) -> Any:
    """A field of `Arguments`: its default, its help on the command line, perhaps ``choices``."""
    return field(default=default, metadata={"help": help, **metadata})


def papers(**options: Any) -> Mapping[str, Any]:
    """What a paper chose, by the names of the options of ``pixelreg train``."""
    return MappingProxyType(options)


@dataclass(frozen=True)
class Arguments:
    """What every algorithm can be told; algorithms add their own.

    Each field becomes an option of ``pixelreg train``, ``learning_rate`` as ``--learning-rate``.
    """

    size: int = argument(128, "Side of the pictures in pixels.")
    width: int = argument(64, "Channels of the first layer; the papers' is the default.")
    batch: int = argument(1, "Pictures a step.")
    learning_rate: float = argument(2e-4, "Step size of Adam.")
    augment: bool = argument(True, "Mirror and shift the training pictures at random.")
    seed: int = argument(0, "Decides weights, order, and who is held out.")


@dataclass(frozen=True, eq=False)
class Export:
    """One network to be written as ONNX.

    module : in evaluation mode; takes ``inputs`` in order and returns one tensor.
    card : what the file says of itself; parameters and provenance are filled in by the exporter.
    inputs : name -> example, float32, batch first; their names are the graph's inputs.
    suffix : added to the model file's stem: ``""`` for the main one, ``"-back"``, and so on.
    """

    module: nn.Module
    card: Card
    inputs: Mapping[str, Tensor]
    suffix: str = ""


class Algorithm(ABC):
    """One way to train: networks, losses, and what to show and export.

    A subclass is made as ``cls(arguments, examples)``, after the seed was set, and must set
    ``networks`` and ``optimisers``. A step may draw random numbers from torch's global generator
    only: the loop seeds it by (seed, step), so that a resumed run draws the same ones.

    examples_of_use : what --help shows, after ``pixelreg train NAME --data DIR``.
    keep : which networks are exported by default: the ``"best"`` on held-out people, or the
        ``"last"`` where the nearest to the truth are those that learnt to copy.
    sample_every : steps between sample sheets by default; None as held-out people are looked at.
    range : what 0 and 255 become for the networks.
    aligned : whether faces are looked for and aligned unless somebody says otherwise.
    paper : options of ``pixelreg train`` as the paper chose them, where it says so.
    networks : everything learnt, by name; the one that makes pictures first.
    optimisers : what learns, by name.
    """

    Arguments: ClassVar[type[Any]] = Arguments
    learns: ClassVar[Learns] = Learns.PAIRS
    examples_of_use: ClassVar[tuple[str, ...]] = ()
    keep: ClassVar[str] = "best"
    sample_every: ClassVar[int | None] = None
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    aligned: ClassVar[bool] = True
    paper: ClassVar[Mapping[str, Any]] = papers()
    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def __init__(self, arguments: Any, examples: Examples) -> None:
        self.arguments = arguments
        self.examples = examples

    @property
    @abstractmethod
    def items(self) -> int:
        """How many training items an epoch has; `step` is given numbers below it."""

    @abstractmethod
    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """Learn from some items, once; ``progress`` goes from 0 to 1 over the training.

        Returns: The losses by name; the same names every time.
        """

    def finish(self) -> None:  # noqa: B027
        """Called once, after the last step of a training that came to its end."""

    @abstractmethod
    def validate(self, held_out: Examples) -> dict[str, float]:
        """Losses on people who are not learnt from, by name. The first one, where lower is
        better, decides which checkpoint is the best."""

    @abstractmethod
    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Columns of a contact sheet: (label, pictures (H, W, 3) uint8) each."""

    @abstractmethod
    def exports(self) -> list[Export]:
        """The networks to be written as ONNX, the main one first."""

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(next(iter(self.networks.values())).parameters()).device

    def tensor(self, pictures: Pixels) -> Tensor:
        """(N, S, S, 3) uint8 -> (N, 3, S, S) as the networks take them, where they are."""
        return to_tensor(pictures, *self.range).to(self.device)

    def adam(self, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        """Give every network an Adam of its own, at the arguments' learning rate."""
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), self.arguments.learning_rate, betas)
            for name, network in self.networks.items()
        }

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of an optimiser."""
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[name].step()

    def card(self, architecture: str, **facts: Any) -> Card:
        """What a file says of itself: the facts, and what the arguments and examples tell."""
        frame = self.examples.frame
        told = {
            "source": self.examples.source,
            "size": self.arguments.size,
            "value_range": self.range,
            "placement": placement(frame, facts.get("dynamic", False)),
            "frame": frame,
        }
        return Card(architecture, **{**told, **facts})

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold besides networks and optimisers."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if tensors:
            raise ValueError(f"unknown state: {', '.join(sorted(tensors))}")


ROWS = 6  # of a sample sheet
CHUNK = 8  # pictures at a time where nothing is learnt


class PairedAlgorithm(Algorithm):
    """Learns from pairs of the one target that the examples have.

    A subclass sets ``networks`` and ``optimisers``, the network that translates under
    ``"generator"``, and has `judge`.

    target, stack : what is learnt, and its pairs.
    """

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
        size = self.arguments.size
        card = self.card(
            architecture,
            target_kind="expression" if self.target in CANONICAL else "domain",
            targets={self.target: ()},
            dynamic=multiple > 0,
            multiple=multiple or size,
            notes=notes,
        )
        # Two pictures: an exporter takes a dimension of length one for a constant.
        pictures = torch.linspace(-1.0, 1.0, 2 * 3 * size * size).reshape(2, 3, size, size)
        return Export(frozen(self.networks["generator"]), card, {"image": pictures})


def only_target(examples: Examples) -> tuple[str, Stack]:
    """The one target and its pairs."""
    if len(examples.stacks) != 1:
        names = ", ".join(examples.stacks) or "none"
        raise UsageError(f"this architecture learns one target, not {names}; give it with --expr")
    return next(iter(examples.stacks.items()))
