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
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pixelreg.data.expressions import CANONICAL, LONGEST_CODE, canonical, words_of
from pixelreg.data.layouts.reading import ASKED, PICTURES, Layout, Reading, Tree, picture_size
from pixelreg.data.names import key, one_spelling, without_words
from pixelreg.data.photos import Photo, Problem

_SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
_AB = re.compile(r"(train|test|val)_?([AB])", re.IGNORECASE)
_KINDS = ("photo", "sketch")
# A frame of CK+, as its copies by expression keep it: person, sequence, number in it.
_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.IGNORECASE)


def _without_wrapper(tree: Tree) -> list[tuple[Path, tuple[str, ...]]]:
    """Each picture's path and the parts of its place, less the folders that all share.

    The folder that holds the pictures themselves is never taken off: one lonely expression
    folder is still an expression folder. Nor are the names of splits.
    """
    places = [relative.parts for _, relative in tree.pictures]
    shared = 0
    while places and all(
        len(parts) > shared + 2
        and parts[shared] == places[0][shared]
        and parts[shared].lower() not in _SPLITS
        for parts in places
    ):
        shared += 1
    return [(path, parts[shared:]) for (path, _), parts in zip(tree.pictures, places, strict=True)]


def _fill_folders(tree: Tree, reading: Reading) -> None:
    """One folder for each expression; the person is the file's name without its suffix."""
    for path, parts in _without_wrapper(tree):
        if len(parts) < 2 or parts[0].lower() in _SPLITS:
            reading.strange(path)
        else:
            reading.photos.append(_shown(_stem(parts[1:]), parts[0], path))
    _finish(reading)


def _fill_people(tree: Tree, reading: Reading) -> None:
    """One folder for each person; the file's name without its suffix says what is shown.

    The name may hold the person's as well, before or after, and a number of the take:
    ``ana/ana_happy_2.jpg``.
    """
    for path, parts in _without_wrapper(tree):
        if len(parts) < 2 or parts[0].lower() in _SPLITS:
            reading.strange(path)
        else:
            name = without_words(path.stem, [parts[-2]])
            shown, take = canonical(name), ""
            numbered = re.fullmatch(r"(.*?)[\s_.-]*(\d+)", name)
            if numbered and shown not in CANONICAL and canonical(numbered[1]) in CANONICAL:
                shown, take = canonical(numbered[1]), numbered[2]
            reading.photos.append(Photo("/".join(parts[:-1]), shown, path, take))
    # Folders that are called after expressions hold people, and codes may be initials.
    known = {
        key(photo.person)
        for photo in reading.photos
        if photo.expression in CANONICAL
        and canonical(photo.path.parent.name) not in CANONICAL
        and re.search(rf"[^\W\d_]{{{LONGEST_CODE + 1}}}", photo.path.stem)
    }
    people: dict[str, set[str]] = defaultdict(set)
    for photo in reading.photos:
        people[photo.expression].add(key(photo.person))
    reading.recognised = sum(
        key(photo.person) in known
        and (photo.expression in CANONICAL or len(people[photo.expression]) > 1)
        for photo in reading.photos
    )
    reading.start_from_what_is_there()


def _fill_flat(tree: Tree, reading: Reading) -> None:
    """Every picture shows one person of its own."""
    for path, parts in _without_wrapper(tree):
        reading.photos.append(Photo(_stem(parts), "photo", path))


def _shown(name: str, folder: str, path: Path) -> Photo:
    frame = _FRAME.fullmatch(name)
    if frame is None:
        return Photo(name, canonical(folder), path)
    return Photo(frame[1].upper(), canonical(folder), path, f"{frame[2]}-{frame[3]}")


def _fill_stargan(tree: Tree, reading: Reading) -> None:
    """One folder for each expression inside each split.

    The split is part of the person's name: numbering often starts anew in every split.
    """
    for path, parts in _without_wrapper(tree):
        if len(parts) < 3 or parts[0].lower() not in _SPLITS:
            reading.strange(path)
        else:
            photo = _shown(_stem(parts[2:]), parts[1], path)
            reading.photos.append(replace(photo, person=f"{parts[0].lower()}/{photo.person}"))
    _finish(reading)


def _fill_ab(tree: Tree, reading: Reading) -> None:
    """Two folders for each split, paired by file name and taken as aligned."""
    for path, parts in _without_wrapper(tree):
        match = _AB.fullmatch(parts[0])
        if match is None or len(parts) < 2:
            reading.strange(path)
        else:
            person = f"{match[1].lower()}/{_stem(parts[1:])}"
            reading.photos.append(Photo(person, match[2].upper(), path))
    reading.recognised = len(reading.photos)


def _stem(parts: tuple[str, ...]) -> str:
    return Path(*parts).with_suffix("").as_posix()


def _finish(reading: Reading) -> None:
    """Count as recognised what a folder's name or a partner of the same name confirms.

    Any folder of folders would fit otherwise, and win over the sets with names of their own.
    Files that repeat their folder's word, ``happy/ana_happy.png``, have partners without it.
    """
    bare = [
        replace(p, person=without_words(p.person, words_of(p.expression))) for p in reading.photos
    ]
    reading.photos = max(map(one_spelling, (reading.photos, bare)), key=_partnered)
    people = _expressions(reading.photos)
    reading.recognised = sum(
        photo.expression in CANONICAL or len(people[photo.person]) > 1 for photo in reading.photos
    )
    reading.start_from_what_is_there()


def _expressions(photos: list[Photo]) -> dict[str, set[str]]:
    """What every person shows."""
    people: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        people[photo.person].add(photo.expression)
    return people


def _partnered(photos: list[Photo]) -> int:
    return sum(len(shown) > 1 for shown in _expressions(photos).values())


def _fill_pix2pix(tree: Tree, reading: Reading) -> None:
    """Both halves of every picture that is exactly twice as wide as high; only headers are read."""
    for path, parts in _without_wrapper(tree):
        size = picture_size(path)
        if size is None:
            reading.problems.append(Problem(path, "cannot be read as a picture"))
        elif size[0] != 2 * size[1]:
            shape = f"{size[0]}x{size[1]}"
            reading.problems.append(Problem(path, f"{shape} is not twice as wide as high"))
        else:
            reading.photos.append(Photo(_stem(parts), "A", path, half="left"))
            reading.photos.append(Photo(_stem(parts), "B", path, half="right"))
            reading.recognised += 1


def _fill_sketches(tree: Tree, reading: Reading) -> None:
    """Both pictures of every take; aligned if the two of each pair are of one size."""
    places = _without_wrapper(tree)
    if not {parts[0] for _, parts in places if len(parts) > 1} >= set(_KINDS):
        return
    pairs: dict[tuple[str, ...], list[Photo]] = defaultdict(list)
    for path, parts in places:
        if parts[0] not in _KINDS or len(parts) < 2:
            reading.strange(path)
        else:
            photo = _take(path, parts)
            reading.photos.append(photo)
            pairs[photo.person, photo.session].append(photo)
    complete = [photos for photos in pairs.values() if len(photos) == len(_KINDS)]
    reading.recognised = sum(map(len, complete))
    reading.aligned = all(
        picture_size(photos[0].path) == picture_size(photos[1].path) for photos in complete
    )


def _take(path: Path, parts: tuple[str, ...]) -> Photo:
    kind, *folders, _ = parts
    if not folders:
        return Photo(path.stem, kind, path)
    return Photo("/".join(folders), kind, path, path.stem)


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
