"""Sets of folders, where folders say what is shown and the file name says who.

- ``folders``: ``neutral/NAME.png``, ``happy/NAME.png``;
- ``stargan``: ``train/happy/NAME.jpg``, ``test/happy/NAME.jpg``;
- ``ab-folders``: ``trainA/NAME.jpg``, ``trainB/NAME.jpg`` (and ``testA``, ``testB``);
- ``sketches``: ``photo/PERSON/TAKE.png``, ``sketch/PERSON/TAKE.png``;
- ``pix2pix``: ``train/1.jpg``, both pictures side by side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts.reading import PICTURES, Layout, Reading, Tree, picture_size
from pixelreg.data.photos import Photo, Problem

_SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
_AB = re.compile(r"(train|test|val)_?([AB])", re.IGNORECASE)
_KINDS = ("photo", "sketch")


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
            reading.photos.append(Photo(_stem(parts[1:]), canonical(parts[0]), path))
    _finish(reading)


def _fill_stargan(tree: Tree, reading: Reading) -> None:
    """One folder for each expression inside each split.

    The split is part of the person's name: numbering often starts anew in every split.
    """
    for path, parts in _without_wrapper(tree):
        if len(parts) < 3 or parts[0].lower() not in _SPLITS:
            reading.strange(path)
        else:
            person = f"{parts[0].lower()}/{_stem(parts[2:])}"
            reading.photos.append(Photo(person, canonical(parts[1]), path))
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
    """
    shown: dict[str, set[str]] = defaultdict(set)
    for photo in reading.photos:
        shown[photo.person].add(photo.expression)
    reading.recognised = sum(
        photo.expression in CANONICAL or len(shown[photo.person]) > 1 for photo in reading.photos
    )
    reading.start_from_what_is_there()


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
    "folders": Layout("neutral/NAME.png with happy/NAME.png", _fill_folders),
    "pix2pix": Layout(
        "train/1.jpg twice as wide as high", _fill_pix2pix, source="A", aligned=True, turn=PICTURES
    ),
}
