"""What a fit has read so far, and kept: sums of the pairs, or their crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from pixelreg.data.crops import Crops
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Problem
from pixelreg.models.sums import Sums


@dataclass(frozen=True)
class Part:
    """The pairs of one target that are kept together: those to learn from, or those held out."""

    target: str
    held_out: bool
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """What reading some pairs in a row gave.

    problems : those that could not be used: place among the pairs, and the reason.
    content : crops or sums of the others; None where there are none.
    """

    pairs: int
    problems: tuple[tuple[int, str], ...]
    content: Union[Crops, Sums, None]


class KeptSums:
    """Sums that grow in place, so that a large one is never copied."""

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    @property
    def count(self) -> int:
        """How many pairs were added."""
        return self.sums.count

    def add(self, content: Crops | Sums) -> None:
        """Add crops, or sums of the same kind."""
        if isinstance(content, Crops):
            self.sums = self.sums.taking(content.sources, content.targets)
        else:
            self.sums = self.sums.absorbing(content)


@dataclass(eq=False)
class KeptCrops:
    """Crops in the order in which they were read."""

    chunks: list[Crops] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many pairs were added."""
        return sum(len(chunk.sources) for chunk in self.chunks)

    def add(self, content: Crops | Sums) -> None:
        """Add crops."""
        assert isinstance(content, Crops)
        self.chunks.append(content)


class Tally:
    """What is kept of every part, and how far each was read.

    keep : the class of the sums to be kept, or None for the crops themselves.
    size : side of the crops in pixels.

    problems : (part, place in it, reason) of pairs that could not be used.
    """

    def __init__(self, parts: Sequence[Part], keep: type[Sums] | None, size: int) -> None:
        self.parts = tuple(parts)
        self.keep, self.size = keep, size
        self.kept: dict[int, Any] = {}
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
            self.of(part).add(step.content)
        first = self.done[part]
        self.problems += [(part, first + place, reason) for place, reason in step.problems]
        self.done[part] += step.pairs

    def of(self, part: int) -> Any:
        """What is kept of a part: `KeptSums` or `KeptCrops`, empty where it was not begun."""
        if part not in self.kept:
            pixels = self.size * self.size * 3
            self.kept[part] = KeptSums(self.keep.empty(pixels)) if self.keep else KeptCrops()
        return self.kept[part]

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
