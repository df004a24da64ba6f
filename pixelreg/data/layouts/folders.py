"""Sets of folders, where the folder says what is shown and the file name says who.

- ``folders``: ``neutral/NAME.png``, ``happy/NAME.png``;
- ``stargan``: ``train/happy/NAME.jpg``, ``test/happy/NAME.jpg``;
- ``ab-folders``: ``trainA/NAME.jpg``, ``trainB/NAME.jpg`` (and ``testA``, ``testB``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts.reading import Reading, Tree, default_source, picture_size, strange_name
from pixelreg.data.photos import Photo, Problem

SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
_AB = re.compile(r"(train|test|val)_?([AB])", re.IGNORECASE)


def without_wrapper(tree: Tree) -> list[tuple[Path, tuple[str, ...]]]:
    """Each picture's path and the parts of its place, less the folders that all share.

    The folder that holds the pictures themselves is never taken off: one lonely expression
    folder is still an expression folder. Nor are the names of splits.
    """
    places = [relative.parts for _, relative in tree.pictures]
    shared = 0
    while places and all(
        len(parts) > shared + 2
        and parts[shared] == places[0][shared]
        and parts[shared].lower() not in SPLITS
        for parts in places
    ):
        shared += 1
    return [(path, parts[shared:]) for (path, _), parts in zip(tree.pictures, places, strict=True)]


def read_folders(tree: Tree) -> Reading:
    """One folder for each expression; the person is the file's name without its suffix."""
    reading = Reading()
    for path, parts in without_wrapper(tree):
        if len(parts) < 2 or parts[0].lower() in SPLITS:
            reading.problems.append(strange_name(path, "neutral/NAME.png with happy/NAME.png"))
        else:
            reading.photos.append(Photo(_stem(parts[1:]), canonical(parts[0]), path))
    return _finish(reading)


def read_stargan(tree: Tree) -> Reading:
    """One folder for each expression inside each split.

    The split is part of the person's name: numbering often starts anew in every split.
    """
    reading = Reading()
    for path, parts in without_wrapper(tree):
        if len(parts) < 3 or parts[0].lower() not in SPLITS:
            reading.problems.append(strange_name(path, "train/happy/NAME.jpg"))
        else:
            person = f"{parts[0].lower()}/{_stem(parts[2:])}"
            reading.photos.append(Photo(person, canonical(parts[1]), path))
    return _finish(reading)


def read_ab(tree: Tree) -> Reading:
    """Two folders for each split, paired by file name and taken as aligned."""
    reading = Reading(source="A", aligned=True)
    for path, parts in without_wrapper(tree):
        match = _AB.fullmatch(parts[0])
        if match is None or len(parts) < 2:
            reading.problems.append(strange_name(path, "trainA/NAME.jpg with trainB/NAME.jpg"))
        else:
            person = f"{match[1].lower()}/{_stem(parts[1:])}"
            reading.photos.append(Photo(person, match[2].upper(), path))
    reading.recognised = len(reading.photos)
    return reading


def _stem(parts: tuple[str, ...]) -> str:
    return Path(*parts).with_suffix("").as_posix()


def _finish(reading: Reading) -> Reading:
    """Count as recognised what a folder's name or a partner of the same name confirms.

    Any folder of folders would fit otherwise, and win over the sets with names of their own.
    """
    shown: dict[str, set[str]] = defaultdict(set)
    for photo in reading.photos:
        shown[photo.person].add(photo.expression)
    reading.recognised = sum(
        photo.expression in CANONICAL or len(shown[photo.person]) > 1 for photo in reading.photos
    )
    reading.source = default_source(photo.expression for photo in reading.photos)
    return reading


def read_pix2pix(tree: Tree) -> Reading:
    """Both halves of every picture that is exactly twice as wide as high; only headers are read."""
    reading = Reading(source="A", aligned=True)
    for path, parts in without_wrapper(tree):
        size = picture_size(path)
        if size is None:
            reading.problems.append(Problem(path, "cannot be read as a picture"))
        elif size[0] != 2 * size[1]:
            shape = f"{size[0]}x{size[1]}"
            reading.problems.append(Problem(path, f"{shape} is not twice as wide as high"))
        else:
            person = Path(*parts).with_suffix("").as_posix()
            reading.photos.append(Photo(person, "A", path, half="left"))
            reading.photos.append(Photo(person, "B", path, half="right"))
            reading.recognised += 1
    return reading


KINDS = ("photo", "sketch")
EXAMPLE = "photo/PERSON/TAKE.png with sketch/PERSON/TAKE.png"


def read_sketches(tree: Tree) -> Reading:
    """Both pictures of every take; aligned if the two of each pair are of one size."""
    reading = Reading(source="photo", aligned=True)
    places = without_wrapper(tree)
    if {parts[0] for _, parts in places if len(parts) > 1} >= set(KINDS):
        pairs: dict[tuple[str, ...], list[Photo]] = {}
        for path, parts in places:
            if parts[0] not in KINDS or len(parts) < 2:
                reading.problems.append(strange_name(path, EXAMPLE))
                continue
            photo = _photo(path, parts)
            reading.photos.append(photo)
            pairs.setdefault((photo.person, photo.session), []).append(photo)
        complete = [photos for photos in pairs.values() if len(photos) == len(KINDS)]
        reading.recognised = sum(map(len, complete))
        reading.aligned = all(
            picture_size(photos[0].path) == picture_size(photos[1].path) for photos in complete
        )
    return reading


def _photo(path: Path, parts: tuple[str, ...]) -> Photo:
    kind, *folders, _ = parts
    if not folders:
        return Photo(path.stem, kind, path)
    return Photo("/".join(folders), kind, path, path.stem)
