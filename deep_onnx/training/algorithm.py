"""What every algorithm offers to the loop that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from deep_onnx.card import Card
from deep_onnx.training.data import Examples
from pixelreg.arrays import Pixels


def argument(default: Any, help: str, **metadata: Any) -> Any:
    """A field of `Arguments`: its default, its help on the command line, perhaps ``choices``."""
    return field(default=default, metadata={"help": help, **metadata})


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

    Attributes
    ----------
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

    Attributes
    ----------
    networks : everything learnt, by name.
    optimisers : what learns, by name.
    """

    Arguments: ClassVar[type[Any]] = Arguments
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

        Returns
        -------
        The losses by name; the same names every time.
        """

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

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold besides networks and optimisers."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if tensors:
            raise ValueError(f"unknown state: {', '.join(sorted(tensors))}")


def to_tensor(pictures: Pixels, low: float = -1.0, high: float = 1.0) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 on [low, high]."""
    values = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    return values.float() * ((high - low) / 255.0) + low


def to_pixels(values: Tensor, low: float = -1.0, high: float = 1.0) -> Pixels:
    """(N, 3, H, W) on [low, high] -> (N, H, W, 3) uint8, clipped."""
    scaled = (values.detach() - low) * (255.0 / (high - low))
    made: Pixels = scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return made
