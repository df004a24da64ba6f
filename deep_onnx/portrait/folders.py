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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_onnx.portrait.labels import LABELS, read_mask
from deep_onnx.portrait.landmarks import resized_mask
from deep_onnx.portrait.windows import Centres, face_problem, window_centres, window_sizes
from pixelreg.arrays import Array, Pixels
from pixelreg.data.crops import read_all
from pixelreg.data.layouts.reading import walk
from pixelreg.data.photos import Problem
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import crop, similarity_from_square
from pixelreg.files import write_bytes
from pixelreg.models.model import Frame
from pixelreg.pictures.image import read_file

# Hair belongs to a portrait, so the frame is wider than the one in which expressions are learnt.
# These eyes stand about where those of CelebA-HQ do, so that windows of the sizes that Mask-Guided
# Portrait Editing gives for 256 x 256 hold an eye with its lids and a laughing mouth; on the
# London set heads fit with their hair, only the highest crests are cut.
PORTRAIT_FRAME = Frame((0.38, 0.49), (0.62, 0.49))


IMAGES = "CelebA-HQ-img"
# Both spellings are about.
ANNOTATIONS = ("CelebAMask-HQ-mask-anno", "CelebAMaskHQ-mask-anno")
FOLDED = 2000  # portraits to a folder of parts

# In the order in which the set's authors merge them: where parts overlap, the later one is seen.
# Glasses are painted over the skin and under the eyes. What the eleven labels do not know is skin
# where it lies on the face (ears, glasses) and background where it does not (hats, jewellery,
# neck, clothes).
MERGED = (
    ("skin", "skin"),
    ("nose", "nose"),
    ("eye_g", "skin"),
    ("l_eye", "left-eye"),
    ("r_eye", "right-eye"),
    ("l_brow", "left-eyebrow"),
    ("r_brow", "right-eyebrow"),
    ("l_ear", "skin"),
    ("r_ear", "skin"),
    ("mouth", "mouth"),
    ("u_lip", "upper-lip"),
    ("l_lip", "lower-lip"),
    ("hair", "hair"),
    ("hat", "background"),
    ("ear_r", "background"),
    ("neck_l", "background"),
    ("neck", "background"),
    ("cloth", "background"),
)
_PAIRS = (("left-eye", "right-eye"), ("left-eyebrow", "right-eyebrow"))


def annotations_folder(root: Path) -> Path | None:
    """The folder of parts under ``root``, or None where there is none."""
    return next((root / name for name in ANNOTATIONS if (root / name).is_dir()), None)


def is_celebamask(root: Path) -> bool:
    """Whether ``root`` is laid out like CelebAMask-HQ."""
    return (root / IMAGES).is_dir() and annotations_folder(root) is not None


def read_merged(annotations: Path, number: int) -> Pixels:
    """The merged mask of portrait ``number``, in its parts' own size.

    annotations : the folder ``CelebAMask-HQ-mask-anno``.

    Returns: (H, W) uint8 labels; left and right are the picture's, whichever the files mean.
    """
    folder = annotations / str(number // FOLDED)
    mask: Pixels | None = None
    for part, label in MERGED:
        path = folder / f"{number:05d}_{part}.png"
        if not path.is_file():
            continue
        inside = read_file(path).pixels[..., 0] > 127
        if mask is None:
            mask = np.zeros(inside.shape, np.uint8)
        if inside.shape != mask.shape:
            raise DataError(
                f"{path} is {_extent(inside)}, but other parts of this portrait are {_extent(mask)}"
            )
        mask[inside] = LABELS.index(label)
    if mask is None:
        raise DataError(f"no parts {number:05d}_*.png in {folder}")
    return _picture_sides(mask)


def _picture_sides(mask: Pixels) -> Pixels:
    """Exchange left and right parts where the left ones are on the right of the picture."""
    for pair in _PAIRS:
        left, right = (np.flatnonzero((mask == LABELS.index(n)).any(axis=0)) for n in pair)
        if len(left) and len(right):
            break
    else:
        return mask
    if left.mean() <= right.mean():
        return mask
    exchange = np.arange(len(LABELS), dtype=np.uint8)
    for names in _PAIRS:
        one, other = (LABELS.index(name) for name in names)
        exchange[[one, other]] = other, one
    return exchange[mask]


def _extent(array: Array) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


PICTURES, MASKS, PEOPLE = "images", "masks", "people.csv"
_LOOKED_FOR = (
    f"looked for {PICTURES}/NAME.png with {MASKS}/NAME.png, and for {IMAGES}/0.jpg with "
    "CelebAMask-HQ-mask-anno/0/00000_skin.png"
)


@dataclass(frozen=True)
class PortraitFile:
    """One portrait of a folder.

    name, person : what it is called, and whom it shows.
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
) -> PortraitStack:
    """Read a folder of portraits with masks; a bad one is left out and reported.

    root : a folder of our layout, or CelebAMask-HQ's.
    size : side of the portraits in pixels, a multiple of 16.
    progress : called with (done, total) after every portrait.
    """
    window_sizes(size)
    files, problems = list_portraits(root)
    found = list(problems)
    kept: list[PortraitFile] = []
    # Filled in place: tens of thousands of portraits must not be in memory twice.
    images = np.empty((len(files), size, size, 3), np.uint8)
    masks = np.empty((len(files), size, size), np.uint8)
    centres = np.empty((len(files), 6), np.int64)
    for done, (file, outcome) in enumerate(
        read_all(files, lambda file: read_portrait(file, size)), 1
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
    pictures = _by_name(root / PICTURES)
    masks = {name: path for name, path in _by_name(root / MASKS) if path.suffix.lower() == ".png"}
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


def _by_name(folder: Path) -> list[tuple[str, Path]]:
    paths = map(Path, walk(folder).pictures)
    return [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths]


def _celebamask(images: Path, annotations: Path) -> tuple[list[PortraitFile], list[Problem]]:
    files, problems = [], []
    for path in map(Path, walk(images).pictures):
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
