"""What the algorithms that learn without pairs ask of their pictures, and of held-out pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deep_onnx.training.algorithm import to_tensor
from deep_onnx.training.examples import Examples
from pixelreg.arrays import Pixels
from pixelreg.data.expressions import CANONICAL, in_order
from pixelreg.errors import DataError, UsageError

JUDGED = 32  # held-out pairs a target, at most, that a validation looks at
SHOWN = 6  # rows of a contact sheet
AT_ONCE = 8  # pictures
COUNTS = ("width", "batch", "layers", "critic_steps")  # arguments that must not be 0


def labels(examples: Examples) -> tuple[str, ...]:
    """What the pictures show, canonical expressions first."""
    return tuple(in_order(set(examples.labels)))


def showing(examples: Examples, label: str) -> Pixels:
    """The pictures with a label, (K, S, S, 3) uint8."""
    pictures = examples.showing(label)
    if not len(pictures):
        known = ", ".join(labels(examples)) or "nothing"
        raise DataError(f"no picture to learn from shows {label!r}; they show {known}")
    return pictures


def check(arguments: Any, multiple: int, smallest: int) -> None:
    """Refuse arguments that no network can be made with.

    Parameters
    ----------
    arguments : an algorithm's.
    multiple : what the networks halve and double must be divisible by this.
    smallest : side of the pictures.
    """
    size = arguments.size
    if size % multiple or size < smallest:
        raise UsageError(
            f"pictures of {size} pixels do not suit this architecture; choose a --size that is a "
            f"multiple of {multiple}, {smallest} at the least"
        )
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        least = 1 if field.name in COUNTS else 0
        if field.name == "seed" or isinstance(value, (str, bool)):
            continue
        if not least <= value < math.inf:
            option = field.name.replace("_", "-")
            raise UsageError(f"--{option} is {value:g}; it must be {least} or more")


def target_kind(names: Iterable[str]) -> str:
    """What labels stand for, for a card."""
    return "expression" if set(names) <= set(CANONICAL) else "domain"


class Judged(NamedTuple):
    """Held-out pairs of one target, (N, S, S, 3) uint8."""

    target: str
    sources: Pixels
    truths: Pixels


def judged(held_out: Examples, targets: Iterable[str]) -> list[Judged]:
    """The first held-out pairs of each target that has some."""
    stacks = {name: held_out.stacks[name] for name in targets if name in held_out.stacks}
    return [
        Judged(name, stack.sources[:JUDGED], stack.targets[:JUDGED])
        for name, stack in stacks.items()
        if len(stack.sources)
    ]


def tensor_for(network: nn.Module, pictures: Pixels) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) on [-1, 1], where the network is."""
    return to_tensor(pictures).to(next(network.parameters()).device)


def in_parts(function: Callable[..., Tensor], *stacks: Tensor) -> Tensor:
    """``function(*stacks)`` a few rows at a time, without gradients."""
    starts = range(0, len(stacks[0]), AT_ONCE)
    with torch.no_grad():
        return torch.cat([function(*(stack[k : k + AT_ONCE] for stack in stacks)) for k in starts])
