"""From a folder of pictures to examples: pairs, and single pictures where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.data.crops import Cutter, Progress, Stack, load_stack, read_all
from pixelreg.data.expressions import canonical
from pixelreg.data.pairs import Pair, Pairing, pair, targets
from pixelreg.data.photos import Listing, Photo, Problem, first_reason
from pixelreg.errors import DataError, PixelregError, UnknownNameError, UsageError
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import choose_frame, choose_held_out, choose_pairings, provenance
from pixelreg.models.model import Frame, Provenance


@dataclass(frozen=True, eq=False)
class Examples:
    """Aligned pictures of one size.

    stacks : target -> its pairs; row n of sources and of targets show one person. May be empty.
    pictures : (M, S, S, 3) uint8, every picture once.
    labels : what each picture shows, length M.
    people : who is in each picture, length M.
    frame : where the eyes stand, or None for pictures that are not aligned by faces.
    provenance : the training data, for the models' cards.
    """

    source: str
    stacks: Mapping[str, Stack]
    pictures: Pixels
    labels: tuple[str, ...]
    people: tuple[str, ...]
    frame: Frame | None
    provenance: Provenance

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.pictures.shape[1])

    def only(self, people: frozenset[str]) -> Examples:
        """The pictures of some people."""
        mask = np.array([person in people for person in self.people], dtype=bool)
        keep = np.flatnonzero(mask)
        return Examples(
            self.source,
            {name: stack.select(people) for name, stack in self.stacks.items()},
            self.pictures[mask],
            tuple(self.labels[k] for k in keep),
            tuple(self.people[k] for k in keep),
            self.frame,
            self.provenance,
        )

    def showing(self, label: str) -> Pixels:
        """The pictures with a label, (K, S, S, 3) uint8."""
        return self.pictures[[k for k, shown in enumerate(self.labels) if shown == label]]


WORKERS = 2


class Learns(Enum):
    """What an architecture learns from."""

    PAIRS = "pairs of one target"
    SEVERAL = "pairs of any number of targets"
    UNPAIRED = "pictures of the source and of one target, whose pairs only serve to judge it"
    LABELS = "pictures of any number of expressions"
    PICTURES = "pictures, whatever they show"
    MASKS = "portraits with masks; see deep_onnx.portrait.portraits"


@dataclass(frozen=True)
class Choice:
    """Which pictures to learn from.

    pairings : target -> its pairs; may be empty.
    """

    source: str
    pairings: Mapping[str, Pairing]
    singles: tuple[Photo, ...] = ()


def choose(
    learns: Learns,
    listing: Listing,
    source: str | None = None,
    wanted: Sequence[str] = (),
    name: str = "this architecture",
) -> Choice:
    """The pictures that an architecture learns from; its ``name`` is for messages.

    ``source`` is the expression to start from, None for the listing's; ``wanted`` the expressions
    to learn, all where it is empty.
    """
    if learns is Learns.PICTURES:
        shown = [_known(listing, name) for name in wanted] or list(listing.expressions)
        return Choice(source or listing.source, {}, _showing(listing, shown))
    start = _known(listing, source or listing.source)
    names = list(dict.fromkeys(_known(listing, each) for each in wanted))  # once, however often
    if learns in (Learns.UNPAIRED, Learns.LABELS):
        names = names or [name for name in listing.expressions if name != start]
        if learns is Learns.UNPAIRED or not names:
            _check_one(name, listing, names)
        found = {name: pair(listing, start, name) for name in names}
        pairings = {name: pairing for name, pairing in found.items() if pairing.pairs}
        return Choice(start, pairings, _showing(listing, [start, *names]))
    names = names or list(targets(listing, start))
    if names and learns is Learns.PAIRS:
        _check_one(name, listing, names)
    return Choice(start, choose_pairings(listing, start, names))


def _check_one(architecture: str, listing: Listing, names: Sequence[str]) -> None:
    if not names:
        raise DataError(f"all pictures in {listing.root} show the same: there is nothing to learn")
    if len(names) > 1:
        raise UsageError(
            f"{architecture} learns one expression; choose it with --expr: {', '.join(names)}"
        )


def _known(listing: Listing, name: str) -> str:
    expression = canonical(name)
    if expression not in listing.expressions:
        raise UnknownNameError("expression", name, listing.expressions)
    return expression


def _showing(listing: Listing, names: Sequence[str]) -> tuple[Photo, ...]:
    return tuple(photo for photo in listing.photos if photo.expression in names)


@dataclass(frozen=True, eq=False)
class Loaded:
    """Examples, and what could not be read.

    problems : pictures left out, and why.
    """

    examples: Examples
    problems: tuple[Problem, ...]


def load_examples(
    listing: Listing,
    choice: Choice,
    size: int,
    locator: Locator,
    progress: Progress | None = None,
) -> Loaded:
    """Read, align and crop pictures; bad ones are left out and reported.

    size : side of the crops in pixels.
    progress : called with (done, total) after every pair and every single picture.
    """
    pairs = [each for pairing in choice.pairings.values() for each in pairing.pairs]
    paired = {photo for each in pairs for photo in (each.source, each.target)}
    alone = [photo for photo in choice.singles if photo not in paired]
    sampled = pairs or [Pair(photo.person, photo.session, photo, photo) for photo in alone]
    cutter = Cutter(size, choose_frame(listing, sampled, locator), locator)
    done, total = 0, len(pairs) + len(alone)

    def advance(count: int, _: int = 0) -> None:
        if progress is not None:
            progress(done + count, total)

    stacks: dict[str, Stack] = {}
    crops: dict[Photo, Pixels] = {}
    problems: list[Problem] = []
    for target, pairing in choice.pairings.items():
        stacks[target] = stack = load_stack(
            pairing.pairs, size, cutter.frame, locator, advance, WORKERS
        )
        done += len(pairing.pairs)
        problems += stack.problems
        for each, before, after in zip(stack.pairs, stack.sources, stack.targets, strict=True):
            crops[each.source], crops[each.target] = before, after
    for count, (photo, outcome) in enumerate(read_all(alone, cutter.single), start=1):
        if isinstance(outcome, PixelregError):
            problems.append(Problem(photo.path, str(outcome)))
        else:
            crops[photo] = outcome
        advance(count)
    if not crops:
        raise DataError(
            f"none of the {total} pictures in {listing.root} can be used{first_reason(problems)}"
        )
    used = [each for stack in stacks.values() for each in stack.pairs]
    examples = Examples(
        choice.source,
        stacks,
        np.stack(list(crops.values())),
        tuple(photo.expression for photo in crops),
        tuple(photo.person for photo in crops),
        cutter.frame,
        provenance(listing, used),
    )
    return Loaded(examples, tuple(problems))


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """The people to learn from, and those to judge on: a share of them, or nobody for 0.

    They are the same as for ``pixelreg fit``: drawn from the people who have pairs, if any have.
    """
    paired = [person for stack in examples.stacks.values() for person in stack.people]
    chosen = choose_held_out(paired or examples.people, share, seed)
    learning = examples.only(frozenset(examples.people) - chosen)
    pairs = sum(len(stack.pairs) for stack in learning.stacks.values())
    people = len(set(learning.people))
    source = replace(examples.provenance, people=people, pairs=pairs)
    return replace(learning, provenance=source), examples.only(chosen)
