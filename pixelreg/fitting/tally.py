"""What a fit has read and summed so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from pixelreg.arrays import Array, Pixels
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Problem
from pixelreg.fitting.sumsfile import Sums, no_sums
from pixelreg.models.plans import GREY_LEVELS
from pixelreg.models.sums import LevelSums, PixelSums


@dataclass(frozen=True)
class Part:
    """The pairs of one target that are summed together: those to learn from, or those held out."""

    target: str
    held_out: bool
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of some pairs, (n, S, S, 3) uint8 each side."""

    sources: Pixels
    targets: Pixels


@dataclass(frozen=True, eq=False)
class Step:
    """What reading some pairs in a row gave.

    Attributes
    ----------
    pairs : how many pairs were read.
    problems : those that could not be used: place among the pairs, and the reason.
    content : crops or sums of the others; None where there are none.
    """

    pairs: int
    problems: tuple[tuple[int, str], ...]
    content: Union[Crops, Sums, None]


class Running:
    """Sums that grow in place, so that a large one is never copied."""

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    def add(self, content: Crops | Sums | None) -> None:
        """Add crops, or sums of the same kind."""
        if isinstance(content, Crops):
            self._add_crops(content)
        elif content is not None:
            for name, array in _arrays(self.sums).items():
                array += getattr(content, name)
            self._count(content.count)

    def _add_crops(self, crops: Crops) -> None:
        sums = self.sums
        for source, target in zip(crops.sources, crops.targets, strict=True):
            x, t = source.reshape(-1), target.reshape(-1)
            if isinstance(sums, PixelSums):
                _add_products(sums, x, t)
            else:
                _add_levels(sums, x, t)
        self._count(len(crops.sources))

    def _count(self, more: int) -> None:
        cls: Any = type(self.sums)
        self.sums = cls(self.sums.count + more, **_arrays(self.sums))


class Tally:
    """The sums of every part, and how far each was read.

    Attributes
    ----------
    parts : what is to be read.
    running : the sums so far, of the parts that were begun.
    done : how many pairs of each part were read.
    problems : (part, place in it, reason) of pairs that could not be used.
    """

    def __init__(self, parts: Sequence[Part], kind: str, size: int) -> None:
        self.parts = tuple(parts)
        self.kind, self.size = kind, size
        self.running: dict[int, Running] = {}
        self.done = [0] * len(self.parts)
        self.problems: list[tuple[int, int, str]] = []

    @property
    def read(self) -> int:
        """Pairs read so far."""
        return sum(self.done)

    @property
    def total(self) -> int:
        """Pairs to be read in all."""
        return sum(len(part.pairs) for part in self.parts)

    def add(self, part: int, step: Step) -> None:
        """Take in the next pairs of a part."""
        if step.content is not None:
            self.begun(part).add(step.content)
        first = self.done[part]
        self.problems += [(part, first + place, reason) for place, reason in step.problems]
        self.done[part] += step.pairs

    def begun(self, part: int) -> Running:
        """The sums of a part, zero where it has none yet."""
        if part not in self.running:
            self.running[part] = Running(no_sums(self.kind, self.size))
        return self.running[part]

    def sums(self, part: int) -> Sums:
        """The sums of a part."""
        return self.begun(part).sums

    def usable(self, part: int) -> tuple[Pair, ...]:
        """The pairs of a part that could be read."""
        bad = {place for number, place, _ in self.problems if number == part}
        return tuple(pair for i, pair in enumerate(self.parts[part].pairs) if i not in bad)

    def reasons(self, part: int) -> tuple[Problem, ...]:
        """The pairs of a part that could not be used, by their target's file."""
        pairs = self.parts[part].pairs
        return tuple(
            Problem(pairs[place].target.path, reason)
            for number, place, reason in self.problems
            if number == part
        )


def _arrays(sums: Sums) -> dict[str, Array]:
    return {name: value for name, value in vars(sums).items() if name != "count"}


def _add_products(sums: PixelSums, x: Pixels, t: Pixels) -> None:
    wide = x.astype(np.uint16)  # 255 * 255 still fits
    np.add(sums.x, x, out=sums.x)
    np.add(sums.t, t, out=sums.t)
    np.add(sums.xx, wide * x, out=sums.xx)
    np.add(sums.xt, wide * t, out=sums.xt)


def _add_levels(sums: LevelSums, x: Pixels, t: Pixels) -> None:
    cell = np.arange(0, GREY_LEVELS * x.size, GREY_LEVELS) + x  # a cell a pixel: none repeats
    sums.inputs.reshape(-1)[cell] += 1
    sums.targets.reshape(-1)[cell] += t
