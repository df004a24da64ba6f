"""Folders of portraits with masks: ours, and CelebAMask-HQ.

Ours is ``images/NAME.png`` (or any other kind of picture) with ``masks/NAME.png`` in the palette of
`deep_onnx.portrait.labels`, and a table ``people.csv`` of name,person where several portraits
show one person.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deep_onnx.portrait.celebamask import IMAGES, annotations_folder, is_celebamask, read_merged
from deep_onnx.portrait.each import each
from deep_onnx.portrait.labels import read_mask
from deep_onnx.portrait.landmarks import resized_mask
from deep_onnx.portrait.windows import Centres, face_problem, window_centres, window_sizes
from pixelreg.arrays import Pixels
from pixelreg.data.layouts.reading import walk
from pixelreg.data.photos import Problem
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import crop, similarity_from_square
from pixelreg.files import write_bytes
from pixelreg.pictures.image import read_file

PICTURES, MASKS, PEOPLE = "images", "masks", "people.csv"
_LOOKED_FOR = (
    f"looked for {PICTURES}/NAME.png with {MASKS}/NAME.png, and for {IMAGES}/0.jpg with "
    "CelebAMask-HQ-mask-anno/0/00000_skin.png"
)


@dataclass(frozen=True)
class PortraitFile:
    """One portrait of a folder.

    Attributes
    ----------
    name, person : what it is called, and whom it shows.
    image : the picture's file.
    mask : the mask's file, or CelebAMask-HQ's folder of parts.
    number : its number in CelebAMask-HQ; None for portraits with a mask of their own.
    """

    name: str
    person: str
    image: Path
    mask: Path
    number: int | None = None


@dataclass(frozen=True, eq=False)
class PortraitStack:
    """Portraits of one size, ready for learning.

    Attributes
    ----------
    images : (N, S, S, 3) uint8.
    masks : (N, S, S) uint8 labels.
    centres : (N, 6) int64, clamped centres of the windows (see `deep_onnx.portrait.windows`).
    names, people : of every portrait, length N.
    problems : the portraits that were left out, and why.
    """

    images: Pixels
    masks: Pixels
    centres: Centres
    names: tuple[str, ...]
    people: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """Side of the portraits in pixels."""
        return int(self.images.shape[1])

    def select(self, people: frozenset[str]) -> PortraitStack:
        """The portraits of some people only."""
        kept = [index for index, person in enumerate(self.people) if person in people]
        return replace(
            self,
            images=self.images[kept],
            masks=self.masks[kept],
            centres=self.centres[kept],
            names=tuple(self.names[index] for index in kept),
            people=tuple(self.people[index] for index in kept),
        )


def list_portraits(root: Path) -> tuple[tuple[PortraitFile, ...], tuple[Problem, ...]]:
    """The portraits of a folder, sorted, and the files that are none."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give a folder of portraits with masks")
    annotations = annotations_folder(root)
    if is_celebamask(root) and annotations is not None:
        files, problems = _celebamask(root / IMAGES, annotations)
    elif (root / PICTURES).is_dir() and (root / MASKS).is_dir():
        files, problems = _ours(root)
    else:
        raise DataError(f"no portraits with masks in {root}; {_LOOKED_FOR}")
    if not files:
        reason = (
            f"; the first problem: {problems[0].path}: {problems[0].reason}" if problems else ""
        )
        raise DataError(f"no portraits with masks in {root}{reason}; {_LOOKED_FOR}")
    return tuple(files), tuple(problems)


def read_portrait(file: PortraitFile, size: int) -> tuple[Pixels, Pixels, Centres]:
    """A portrait's picture (S, S, 3), its mask (S, S) and the centres of its windows (6,).

    A picture that is not square gives its centre square.
    """
    window_sizes(size)
    pixels = read_file(file.image).pixels
    mask = read_mask(file.mask) if file.number is None else read_merged(file.mask, file.number)
    height, width = pixels.shape[:2]
    if mask.shape[0] * width != mask.shape[1] * height or (
        file.number is None and mask.shape != (height, width)
    ):
        raise DataError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}, but its picture {width}x{height}"
        )
    small = resized_mask(_centre_square(mask), size)
    reason = face_problem(small)
    if reason:
        raise DataError(reason)
    image = crop(pixels, similarity_from_square(width, height, size), size)
    return image, small, window_centres(small)


def load_portraits(
    root: Path,
    size: int,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    limit: int | None = None,
) -> PortraitStack:
    """Read a folder of portraits with masks; a bad one is left out and reported.

    Parameters
    ----------
    root : a folder of our layout, or CelebAMask-HQ's.
    size : side of the portraits in pixels, a multiple of 16.
    progress : called with (done, total) after every portrait.
    workers : threads.
    limit : read the first so many only.
    """
    window_sizes(size)
    files, problems = list_portraits(root)
    files = files[:limit]
    found = list(problems)
    kept: list[PortraitFile] = []
    # Filled in place: tens of thousands of portraits must not be in memory twice.
    images = np.empty((len(files), size, size, 3), np.uint8)
    masks = np.empty((len(files), size, size), np.uint8)
    centres = np.empty((len(files), 6), np.int64)
    for done, (file, outcome) in enumerate(
        each(lambda file: read_portrait(file, size), files, workers), 1
    ):
        if isinstance(outcome, PixelregError):
            found.append(Problem(file.image, str(outcome)))
        else:
            index = len(kept)
            images[index], masks[index], centres[index] = outcome
            kept.append(file)
        if progress is not None:
            progress(done, len(files))
    if not kept:
        raise DataError(
            f"none of the {len(files)} portraits in {root} can be used; "
            f"the first reason: {found[-1].path.name}: {found[-1].reason}"
        )
    count = len(kept)
    return PortraitStack(
        images[:count],
        masks[:count],
        centres[:count],
        tuple(file.name for file in kept),
        tuple(file.person for file in kept),
        tuple(found),
    )


def write_people(root: Path, people: Mapping[str, str]) -> None:
    """Write the table of people of our layout: portrait's name to person."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "person"))
    writer.writerows(sorted(people.items()))
    write_bytes(root / PEOPLE, text.getvalue().encode())


def _read_people(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from error
    if not rows or [name.strip() for name in rows[0]] != ["name", "person"]:
        raise DataError(f"{path}: line 1 must be name,person")
    people = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2 or not all(value.strip() for value in row):
            raise DataError(f"{path}: line {number} must be a name and a person")
        people[row[0].strip()] = row[1].strip()
    return people


def _ours(root: Path) -> tuple[list[PortraitFile], list[Problem]]:
    people = _read_people(root / PEOPLE)
    masks = {
        relative.with_suffix("").as_posix(): path
        for path, relative in walk(root / MASKS).pictures
        if relative.suffix.lower() == ".png"
    }
    pictures = [
        (relative.with_suffix("").as_posix(), path)
        for path, relative in walk(root / PICTURES).pictures
    ]
    counts = Counter(name for name, _ in pictures)
    files, problems = [], []
    for name, path in pictures:
        if counts[name] > 1:
            problems.append(Problem(path, f"{counts[name]} pictures are called {name}"))
        elif name not in masks:
            problems.append(Problem(path, f"no mask {MASKS}/{name}.png"))
        else:
            files.append(PortraitFile(name, people.get(name, name), path, masks[name]))
    problems += [
        Problem(path, f"no picture {PICTURES}/{name}.*")
        for name, path in masks.items()
        if name not in counts
    ]
    return sorted(files, key=lambda file: file.name), problems


def _celebamask(images: Path, annotations: Path) -> tuple[list[PortraitFile], list[Problem]]:
    files, problems = [], []
    for path, _ in walk(images).pictures:
        if path.stem.isascii() and path.stem.isdigit():
            number = int(path.stem)
            name = f"{number:05d}"
            files.append(PortraitFile(name, name, path, annotations, number))
        else:
            problems.append(Problem(path, "name not understood (one of this layout: 0.jpg)"))
    return sorted(files, key=lambda file: file.name), problems


def _centre_square(mask: Pixels) -> Pixels:
    height, width = mask.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return mask[top : top + side, left : left + side]
