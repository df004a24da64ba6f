"""Pairs of photographs of one person, and ways to hold people out."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from pixelreg.data.expressions import canonical
from pixelreg.data.photos import Listing, Photo
from pixelreg.errors import DataError, UnknownNameError, UsageError

SHOWN = 3  # names that a message lists

_DIGITS = 1000  # of a number that counts by value; Python reads no endless ones


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos of one person: what is given and what is wanted.

    ``session`` is the session of both, or both joined by ``+`` where they differ.
    """

    person: str
    session: str
    source: Photo
    target: Photo


@dataclass(frozen=True)
class Pairing:
    """The pairs, and every photo of the two expressions that found no partner."""

    pairs: tuple[Pair, ...]
    unpaired: tuple[Photo, ...]


def pair(listing: Listing, source: str, target: str) -> Pairing:
    """Pair up the photos of two expressions, person by person.

    Takes of one session are paired first, in the sorted order of their paths (numbers by value:
    take 2 before take 10); what is left of a person is then paired across sessions, sessions in
    sorted order. Every photo of the two expressions is in exactly one pair or in ``unpaired``.

    listing : what :func:`pixelreg.data.layouts.scan` found.
    source, target : two different expressions, by canonical name, code or synonym.
    """
    wanted = [_known(listing, name) for name in (source, target)]
    if wanted[0] == wanted[1]:
        raise UsageError(f"source and target are both {wanted[0]!r}; choose two expressions")
    pairs: list[Pair] = []
    unpaired: list[Photo] = []
    photos = [photo for photo in listing.photos if photo.expression in wanted]
    photos.sort(key=lambda photo: _natural(photo.person))
    for person, theirs in groupby(photos, attrgetter("person")):
        found, left = _pair_person(person, sorted(theirs, key=_take), wanted[0])
        pairs += found
        unpaired += left
    return Pairing(tuple(pairs), tuple(unpaired))


def no_pairs(listing: Listing, source: str, target: str = "") -> DataError:
    """Why a listing has no pairs, of one target or of any, and what can be done."""
    start, wanted = canonical(source), canonical(target) if target else "another expression"
    both = f"{start!r} and {wanted!r}" if target else f"{start!r} and {wanted}"
    said = f"{listing.root} has no person with both {both}"
    people: dict[str, list[str]] = defaultdict(list)
    for photo in listing.photos:
        if photo.person not in people[photo.expression]:
            people[photo.expression].append(photo.person)
    if start not in people:
        known = ", ".join(listing.expressions)
        return DataError(f"{said}: nobody is shown {start!r}; choose with --from: {known}")
    others = [target] if target else [name for name in listing.expressions if name != start]
    if not others:
        return DataError(f"{said}: all pictures show {start!r}; add pictures that show more")
    shown = "; ".join(f"{name} shows {_some(people[name])}" for name in [start, *others][:SHOWN])
    return DataError(
        f"{said}: {shown}. Name the pictures of one person alike (neutral/ana.png, happy/ana.png), "
        "or list them in a CSV table person,expression,path"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def targets(listing: Listing, source: str) -> tuple[str, ...]:
    """The expressions for which at least one pair exists, in the order of the listing."""
    start = _known(listing, source)
    people = {photo.person for photo in listing.photos if photo.expression == start}
    reachable = {photo.expression for photo in listing.photos if photo.person in people}
    return tuple(name for name in listing.expressions if name in reachable - {start})


def grouped_holdout(
    people: Sequence[str], fraction: float, seed: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Split people into a training and a test set.

    people : names; repeated names count once and their order does not matter.
    fraction : share of the people to test on, in (0, 1), rounded to whole people and kept to at
        least one person on each side.
    seed : equal seeds give equal splits, on every machine.

    Returns: (train, test) : two disjoint sets that together hold everybody.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"the held-out fraction must lie between 0 and 1, not {fraction}")
    order = _shuffled(people, seed)
    if len(order) < 2:
        raise DataError(
            f"holding out needs at least two people, and there is {len(order) or 'none'}; "
            "add photographs of others, or train without a held-out set"
        )
    count = min(max(round(fraction * len(order)), 1), len(order) - 1)
    return frozenset(order[count:]), frozenset(order[:count])


def grouped_folds(people: Sequence[str], k: int, seed: int) -> list[frozenset[str]]:
    """The ``k`` test sets of a cross-validation by person.

    They are disjoint, hold everybody, and their sizes differ by one person at most. ``people``
    and ``seed`` are as in :func:`grouped_holdout`.
    """
    if k < 2:
        raise UsageError(f"cross-validation needs at least two folds, not {k}")
    order = _shuffled(people, seed)
    if len(order) < k:
        raise DataError(f"{k} folds need at least {k} people, and there are {len(order)}")
    return [frozenset(order[fold::k]) for fold in range(k)]


def _known(listing: Listing, name: str) -> str:
    expression = canonical(name)
    if expression not in listing.expressions:
        raise UnknownNameError("expression", name, listing.expressions)
    return expression


def _pair_person(
    person: str, photos: Iterable[Photo], source: str
) -> tuple[list[Pair], list[Photo]]:
    """One person's pairs and leftovers, from photos in the order of their takes."""
    by_session: dict[str, tuple[list[Photo], list[Photo]]] = defaultdict(lambda: ([], []))
    for photo in photos:
        by_session[photo.session][photo.expression != source].append(photo)
    couples: list[tuple[Photo, Photo]] = []
    left: tuple[list[Photo], list[Photo]] = ([], [])
    for session in sorted(by_session, key=_natural):
        ours, theirs = by_session[session]
        couples += zip(ours, theirs, strict=False)
        left[0].extend(ours[len(theirs) :])
        left[1].extend(theirs[len(ours) :])
    couples += zip(*left, strict=False)
    matched = min(map(len, left))
    pairs = [Pair(person, _joint_session(a, b), a, b) for a, b in couples]
    return pairs, [*left[0][matched:], *left[1][matched:]]


def _joint_session(source: Photo, target: Photo) -> str:
    same = source.session == target.session
    return source.session if same else f"{source.session}+{target.session}"


def _take(photo: Photo) -> tuple[str, str, str]:
    return (_natural(photo.session), _natural(photo.file.replace(os.sep, "/")), photo.half or "")


def _natural(text: str) -> str:
    """A sorting key by which numbers in a text count by value: before them their length stands.

    It is one text, as there may be a hundred thousand.
    """
    return "".join(map(_counted, re.split(r"(\d+)", text)))


def _counted(part: str) -> str:
    if not part.isdecimal():
        return f"{part}\0"
    value = str(int(part)) if len(part) < _DIGITS else ""
    return f"{chr(len(value) + 1)}{value}\0{part}\0"


def _shuffled(people: Sequence[str], seed: int) -> list[str]:
    """Each name once, in an order that depends on the names and the seed alone.

    Names are sorted by a hash rather than by a random generator: the order stays the same for
    every version of Python, and one person more leaves that of the others as it was.
    """

    def rank(person: str) -> bytes:
        return hashlib.sha256(f"{seed}:{person}".encode("utf-8", "surrogateescape")).digest()

    return sorted(set(people), key=rank)
