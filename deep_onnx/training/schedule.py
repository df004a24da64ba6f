"""How long a training goes on, and in which order it sees its items."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from pixelreg.errors import UsageError

DEFAULT_MINUTES = 10.0


@dataclass(frozen=True)
class Schedule:
    """When to stop: exactly one of three.

    Only ``steps`` and ``epochs`` make runs repeatable; how many steps fit into minutes depends on
    the machine.

    Attributes
    ----------
    steps : of the algorithm.
    epochs : times that every item is seen.
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

    Parameters
    ----------
    items : how many there are.
    batch : items a step.
    seed : with the epoch's number it gives the permutation.
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
