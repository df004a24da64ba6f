"""Sets of folders, where folders say what is shown and the file name says who.

- ``by-person``: ``NAME/neutral.jpg``, ``NAME/happy.jpg``;
- ``folders``: ``neutral/NAME.png``, ``happy/NAME.png``, or ``happy/NAME_happy.png``;
- ``stargan``: ``train/happy/NAME.jpg``, ``test/happy/NAME.jpg``;
- ``ab-folders``: ``trainA/NAME.jpg``, ``trainB/NAME.jpg`` (and ``testA``, ``testB``);
- ``sketches``: ``photo/PERSON/TAKE.png``, ``sketch/PERSON/TAKE.png``;
- ``pix2pix``: ``train/1.jpg``, both pictures side by side;
- ``flat``: pictures in a folder, each of somebody else, that have no partners.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pixelreg.data.expressions import CANONICAL, LONGEST_CODE, canonical, words_of
from pixelreg.data.layouts.reading import (
    ASKED,
    PICTURES,
    Layout,
    Reading,
    Tree,
    folder_of,
    picture_size,
    stem_of,
)
from pixelreg.data.names import key, one_spelling, without_words
from pixelreg.data.photos import Photo

_SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
_AB = re.compile(r"(train|test|val)_?([AB])", re.IGNORECASE)
_KINDS = ("photo", "sketch")
# A frame of CK+, as its copies by expression keep it: person, sequence, number in it.
_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.IGNORECASE)


def _without_wrapper(tree: Tree) -> Iterator[tuple[str, list[str]]]:
    """Each picture's file and the parts of its place, less the folders that all share.

    The folder that holds the pictures themselves is never taken off: one lonely expression
    folder is still an expression folder. Nor are the names of splits.
    """
    shared = 0
    first = tree.parts(tree.pictures[0]) if tree.pictures else []
    while shared + 2 < len(first) and first[shared].lower() not in _SPLITS:
        places = map(tree.parts, tree.pictures)
        if not all(len(p) > shared + 2 and p[shared] == first[shared] for p in places):
            break
        shared += 1
    return ((file, tree.parts(file)[shared:]) for file in tree.pictures)


def _fill_folders(tree: Tree, reading: Reading) -> None:
    """One folder for each expression; the person is the file's name without its suffix."""
    for file, parts in _without_wrapper(tree):
        if len(parts) < 2 or parts[0].lower() in _SPLITS:
            reading.strange(file)
        else:
            reading.photos.append(_shown(_stem(parts[1:]), parts[0], file))
    _finish(reading)


def _fill_people(tree: Tree, reading: Reading) -> None:
    """One folder for each person; the file's name without its suffix says what is shown.

    The name may hold the person's as well, before or after, and a number of the take:
    ``ana/ana_happy_2.jpg``.
    """
    for file, parts in _without_wrapper(tree):
        if len(parts) < 2 or parts[0].lower() in _SPLITS:
            reading.strange(file)
        else:
            name = without_words(_stem(parts[-1:]), [parts[-2]])
            shown, take = canonical(name), ""
            numbered = re.fullmatch(r"(.*?)[\s_.-]*(\d+)", name)
            if numbered and shown not in CANONICAL and canonical(numbered[1]) in CANONICAL:
                shown, take = canonical(numbered[1]), numbered[2]
            reading.photos.append(Photo("/".join(parts[:-1]), shown, file, take))
    # Folders that are called after expressions hold people, and codes may be initials.
    known = {
        key(photo.person)
        for photo in reading.photos
        if photo.expression in CANONICAL
        and canonical(folder_of(photo.file)) not in CANONICAL
        and re.search(rf"[^\W\d_]{{{LONGEST_CODE + 1}}}", stem_of(photo.file))
    }
    if known:  # what every expression is shown by
        shared = _several((photo.expression, key(photo.person)) for photo in reading.photos)
        reading.recognised = sum(
            key(photo.person) in known
            and (photo.expression in CANONICAL or photo.expression in shared)
            for photo in reading.photos
        )
    reading.start_from_what_is_there()


def _fill_flat(tree: Tree, reading: Reading) -> None:
    """Every picture shows one person of its own."""
    for file, parts in _without_wrapper(tree):
        reading.photos.append(Photo(_stem(parts), "photo", file))


def _shown(name: str, folder: str, file: str) -> Photo:
    frame, expression = _FRAME.fullmatch(name), sys.intern(canonical(folder))
    if frame is None:
        return Photo(name, expression, file)
    return Photo(frame[1].upper(), expression, file, f"{frame[2]}-{frame[3]}")


def _fill_stargan(tree: Tree, reading: Reading) -> None:
    """One folder for each expression inside each split.

    The split is part of the person's name: numbering often starts anew in every split.
    """
    for file, parts in _without_wrapper(tree):
        if len(parts) < 3 or parts[0].lower() not in _SPLITS:
            reading.strange(file)
        else:
            photo = _shown(_stem(parts[2:]), parts[1], file)
            reading.photos.append(replace(photo, person=f"{parts[0].lower()}/{photo.person}"))
    _finish(reading)


def _fill_ab(tree: Tree, reading: Reading) -> None:
    """Two folders for each split, paired by file name and taken as aligned."""
    for file, parts in _without_wrapper(tree):
        match = _AB.fullmatch(parts[0])
        if match is None or len(parts) < 2:
            reading.strange(file)
        else:
            person = f"{match[1].lower()}/{_stem(parts[1:])}"
            reading.photos.append(Photo(person, match[2].upper(), file))
    reading.recognised = len(reading.photos)


def _stem(parts: list[str]) -> str:
    return "/".join(parts).rpartition(".")[0]


def _finish(reading: Reading) -> None:
    """Count as recognised what a folder's name or a partner of the same name confirms.

    Any folder of folders would fit otherwise, and win over the sets with names of their own.
    Files that repeat their folder's word, ``happy/ana_happy.png``, have partners without it.
    """
    words = {shown: words_of(shown) for shown in {photo.expression for photo in reading.photos}}
    bare = [_renamed(p, without_words(p.person, words[p.expression])) for p in reading.photos]
    if any(one is not other for one, other in zip(bare, reading.photos, strict=True)):
        reading.photos = max(map(one_spelling, (reading.photos, bare)), key=_partnered)
    else:
        reading.photos = one_spelling(bare)
    partnered = _several((photo.person, photo.expression) for photo in reading.photos)
    reading.recognised = sum(
        photo.expression in CANONICAL or photo.person in partnered for photo in reading.photos
    )
    reading.start_from_what_is_there()


def _renamed(photo: Photo, person: str) -> Photo:
    return photo if person == photo.person else replace(photo, person=person)


def _several(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The first of pairs that come with more than one second."""
    seconds: dict[str, str] = {}
    return frozenset(
        first for first, second in pairs if seconds.setdefault(first, second) != second
    )


def _partnered(photos: list[Photo]) -> int:
    return len(_several((photo.person, photo.expression) for photo in photos))


def _fill_pix2pix(tree: Tree, reading: Reading) -> None:
    """Both halves of every picture that is exactly twice as wide as high; only headers are read."""
    for file, parts in _without_wrapper(tree):
        size = picture_size(file)
        if size is None:
            reading.problems.append((file, "cannot be read as a picture"))
        elif size[0] != 2 * size[1]:
            shape = f"{size[0]}x{size[1]}"
            reading.problems.append((file, f"{shape} is not twice as wide as high"))
        else:
            reading.photos.append(Photo(_stem(parts), "A", file, half="left"))
            reading.photos.append(Photo(_stem(parts), "B", file, half="right"))
            reading.recognised += 1


def _fill_sketches(tree: Tree, reading: Reading) -> None:
    """Both pictures of every take; aligned if the two of each pair are of one size."""
    if not {p[0] for _, p in _without_wrapper(tree) if len(p) > 1} >= set(_KINDS):
        return
    pairs: dict[tuple[str, ...], list[Photo]] = defaultdict(list)
    for file, parts in _without_wrapper(tree):
        if parts[0] not in _KINDS or len(parts) < 2:
            reading.strange(file)
        else:
            photo = _take(file, parts)
            reading.photos.append(photo)
            pairs[photo.person, photo.session].append(photo)
    complete = [photos for photos in pairs.values() if len(photos) == len(_KINDS)]
    reading.recognised = sum(map(len, complete))
    reading.aligned = all(
        picture_size(photos[0].file) == picture_size(photos[1].file) for photos in complete
    )


def _take(file: str, parts: list[str]) -> Photo:
    kind, *folders, name = parts
    if not folders:
        return Photo(_stem([name]), kind, file)
    return Photo("/".join(folders), kind, file, _stem([name]))


SETS = {
    "ab-folders": Layout(
        "trainA/NAME.jpg with trainB/NAME.jpg", _fill_ab, source="A", aligned=True
    ),
    "stargan": Layout("train/happy/NAME.jpg", _fill_stargan),
    "sketches": Layout(
        "photo/PERSON/TAKE.png with sketch/PERSON/TAKE.png",
        _fill_sketches,
        source="photo",
        aligned=True,
    ),
    "by-person": Layout("NAME/neutral.jpg with NAME/happy.jpg", _fill_people),
    "folders": Layout("neutral/NAME.png with happy/NAME.png", _fill_folders),
    "pix2pix": Layout(
        "train/1.jpg twice as wide as high", _fill_pix2pix, source="A", aligned=True, turn=PICTURES
    ),
    "flat": Layout("NAME.jpg, any pictures", _fill_flat, source="photo", turn=ASKED, paired=False),
}
