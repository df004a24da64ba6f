"""What is measured, on whom: the models, the people to learn from, and those who are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.bench.models import Contender, contenders
from pixelreg.data.crops import Progress, Stack, load_stack
from pixelreg.data.pairs import Pair, grouped_folds, no_pairs, pair, targets
from pixelreg.data.photos import Listing
from pixelreg.data.pools import scan_all
from pixelreg.data.synthetic import synthesise
from pixelreg.errors import DataError
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import choose_frame, choose_held_out, choose_pairings
from pixelreg.models.model import Frame

FOLDS = 4
DRAWN = 256  # side of drawn faces in pixels
# Scores (N,) of pictures made, of what they should be and of what they were made from.
Judge = Callable[[Pixels, Pixels, Pixels], Any]

Meant = tuple[tuple[Contender, ...], tuple[str, ...]]  # models, and why some of ``all`` are none


def _still(done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What is measured, on whom.

    data : folders of pairs; none for faces drawn into ``scratch``.
    models : what takes part: kinds that are fitted here, files, names of what comes along, ``all``.
    people : how many faces are drawn where there are no folders.
    holdout : the share of people whom ``fit`` and ``train`` hold out with this seed, who are then
        judged; 0 for folds of the house's own.
    quick : one split of the people instead of four, and fewer rounds.
    outside : pictures of others, without a truth; none for the composite that comes along.
    judges : further scores by name.
    features : name -> (N, D): of made pictures by their model, of true ones as ``truth``.
    provider : what runs ONNX models.
    portraits : a folder of portraits with masks; None makes them of the first folder.
    steps : of every network that a table trains; None for the tables' own numbers.
    networks : whether the papers' networks are timed as well, with random weights.
    """

    scratch: Path
    data: tuple[Path, ...] = ()
    models: tuple[str, ...] = ("all",)
    target: str = "happy"
    source: str | None = None
    layout: str = "auto"
    views: tuple[str, ...] = ()
    size: int = 128
    people: int = 40
    holdout: float = 0.0
    quick: bool = False
    seed: int = 0
    outside: tuple[Path, ...] = ()
    judges: Mapping[str, Judge] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    provider: str = "auto"
    networks: bool = False
    steps: int | None = None
    portraits: Path | None = None
    locator: Locator = field(default_factory=Locator)
    update: Progress = _still
    kept: dict[Any, Stack] = field(default_factory=dict, repr=False)
    known: dict[Any, Meant] = field(default_factory=dict, repr=False)
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def listing(self) -> Listing:
        """The pictures of the folders, or drawn ones."""
        if self.data:
            return scan_all(self.data, self.layout, views=self.views)
        faces = self.scratch / "faces"
        synthesise(faces, self.people, ("neutral", self.target), DRAWN, self.seed)
        return scan_all((faces,), "kdef")

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs from the source to the target."""
        source = self.source or self.listing.source
        found = pair(self.listing, source, self.target).pairs
        needed = 2 if self.holdout else FOLDS
        if len({one.person for one in found}) < needed:
            if not found:
                raise no_pairs(self.listing, source, self.target)
            raise DataError(f"{self.listing.root}: {needed} people with pairs are needed to judge")
        return found

    @cached_property
    def frame(self) -> Frame | None:
        """Where the eyes stand in crops; None where there are no faces to be found."""
        return choose_frame(self.listing, self.pairs, self.locator)

    @cached_property
    def contenders(self) -> Meant:
        """The models that take part; and why others do not."""
        found: dict[str, Contender] = {}
        absent: list[str] = []
        for word in self.models:
            made, lines = self.meant(word)
            absent += lines
            for one in made:
                found.setdefault(one.name, one)
        return tuple(found.values()), tuple(absent)

    def miss(self, model: str, error: Exception) -> str:
        """Remember why a model's row is not there; what a table says of it."""
        self.missing[model] = str(error)
        return f"{model} could not be judged: {error}"

    def meant(self, word: str) -> Meant:
        """The models that a word means, each made once, with what it learns; see `contenders`."""
        key = word, self.size, self.frame, self.target, self.provider
        if key not in self.known:
            self.known[key] = contenders(word, self.size, self.frame, self.target, self.provider)
        return self.known[key]

    @property
    def taking_part(self) -> tuple[Contender, ...]:
        """The models that take part."""
        return self.contenders[0]

    @property
    def absent(self) -> tuple[str, ...]:
        """Which models do not take part, and why; a line each."""
        return self.contenders[1]

    def stack(self, size: int, frame: Frame | None) -> Stack:
        """All pairs at a size, in a frame; read once."""
        if (size, frame) not in self.kept:
            self.kept[size, frame] = load_stack(
                self.pairs, size, frame, self.locator, self.update, 2
            )
        return self.kept[size, frame]

    def folds(self, all_of_them: bool = False) -> list[frozenset[str]]:
        """The people who are judged in turn, by person: one group if quick, else four."""
        if self.holdout:
            return [self.held_out]
        names = sorted({one.person for one in self.pairs})
        found = grouped_folds(names, FOLDS, self.seed)
        return found if all_of_them or not self.quick else found[:1]

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Whom ``fit`` and ``train`` of all expressions hold out."""
        pairings = choose_pairings(self.listing, self.source or self.listing.source, ())
        people = [pair.person for pairing in pairings.values() for pair in pairing.pairs]
        return choose_held_out(people, self.holdout, self.seed)

    @property
    def targets(self) -> tuple[str, ...]:
        """All expressions that there are pairs for."""
        return targets(self.listing, self.source or self.listing.source)

    def split(self, judged: frozenset[str], size: int, frame: Frame | None) -> tuple[Stack, Stack]:
        """Those to learn from, and those who are judged."""
        stack = self.stack(size, frame)
        learning = stack.select(frozenset(stack.people) - judged)
        held_out = stack.select(judged)
        if not (learning.pairs and held_out.pairs):
            raise DataError(f"{self.listing.root}: too few pictures could be read to judge")
        return learning, held_out

    def learning(self) -> Stack:
        """Those to learn from in the first split, at the setting's own size and frame."""
        return self.split(self.folds()[0], self.size, self.frame)[0]

    def judged(self) -> Stack:
        """Those who are judged in the first split."""
        return self.split(self.folds()[0], self.size, self.frame)[1]

    def told(self) -> str:
        """Whom it was measured on, in words."""
        count = len({one.person for one in self.pairs})
        who = (
            "drawn people"
            if not self.data
            else "people of " + ", ".join(path.name or str(path) for path in self.data)
        )
        how = "one split" if self.quick or self.holdout else f"{FOLDS} folds"
        judged = int(np.sum([len(fold) for fold in self.folds()]))
        if self.holdout:
            how = f"those whom fit and train leave out by --holdout {self.holdout:g}"
        return (
            f"{count} {who}, {self.pairs[0].source.expression} to {self.target}; "
            f"{judged} judged who were not learnt from ({how} by person, seed {self.seed})"
        )
