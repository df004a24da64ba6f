"""Portraits with masks made of photographs with landmarks, or of CelebAMask-HQ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_onnx.portrait.folders import (
    MASKS,
    PICTURES,
    PORTRAIT_FRAME,
    PortraitFile,
    is_celebamask,
    list_portraits,
    read_portrait,
    write_people,
)
from deep_onnx.portrait.labels import painted, write_mask
from deep_onnx.portrait.landmarks import moved_points, portrait_mask, resized_mask
from deep_onnx.portrait.windows import face_problem, window_sizes
from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.data.crops import read_all
from pixelreg.data.layouts import scan
from pixelreg.data.photos import Photo, Problem
from pixelreg.errors import (
    DataError,
    InvalidArrayError,
    MissingExtraError,
    PixelregError,
    need,
)
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import PUPILS, read_points
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode, read_file
from pixelreg.pictures.sheet import contact_sheet


def overlay(image: Pixels, mask: Array) -> Pixels:
    """A picture (H, W, 3) uint8 with half of its mask's colours, (H, W) labels."""
    colours = painted(mask)
    if image.shape != colours.shape:
        raise InvalidArrayError(
            f"a mask of {colours.shape[:2]} does not fit a picture of {image.shape}"
        )
    return np.rint(0.5 * image + 0.5 * colours).astype(np.uint8)


def mask_sheet(
    images: Sequence[Pixels] | Pixels,
    masks: Sequence[Array] | Array,
    names: Sequence[str] = (),
    cell: int | None = None,
) -> Pixels:
    """Portraits in rows: the picture, its mask in the palette's colours, and both together.

    images : N pictures (S, S, 3) uint8.
    masks : their masks, (S, S) labels each.
    names : a label for every row, or none at all.
    cell : side of a cell in pixels, or None for the first picture's.

    Returns: (H, W, 3) uint8.
    """
    if len(images) != len(masks):
        raise InvalidArrayError(f"{len(images)} pictures with {len(masks)} masks make no sheet")
    pairs = list(zip(images, masks, strict=True))
    columns = [
        ("portrait", [image for image, _ in pairs]),
        ("mask", [painted(mask) for _, mask in pairs]),
        ("both", [overlay(image, mask) for image, mask in pairs]),
    ]
    return contact_sheet(columns, names, cell)


DRAWN = 512  # side at which masks are drawn, and hair is told from skin

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """What was made of a folder.

    people : the person of every portrait written, by the portrait's name.
    problems : the photographs left out, and why.
    """

    people: dict[str, str]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Job:
    """One portrait to be made: ``cut`` gives its picture and mask at a size."""

    name: str
    person: str
    file: Path
    cut: Callable[[int], tuple[Pixels, Pixels]]


def _copied(file: PortraitFile) -> _Job:
    """A portrait that has a mask already, of another layout."""
    return _Job(file.name, file.person, file.image, lambda size: read_portrait(file, size)[:2])


def _drawn(photo: Photo, guide: Photo) -> _Job:
    """A photograph whose landmarks are ``guide``'s, its own where that is the same photo."""

    def cut(size: int) -> tuple[Pixels, Pixels]:
        assert guide.landmarks is not None
        points = read_points(guide.landmarks)
        pixels = read_file(photo.path).pixels
        if guide is not photo:
            eyes = Locator().faces(pixels)[0].eyes
            points = moved_points(read_file(guide.path).pixels, points, pixels, eyes)
        return cut_portrait(pixels, points, size)

    return _Job(photo.path.stem, photo.person, photo.path, cut)


def cut_portrait(pixels: Pixels, points: Float64, size: int) -> tuple[Pixels, Pixels]:
    """A photograph's portrait (S, S, 3) and its mask (S, S) from its 189 landmarks.

    pixels : (H, W, 3) uint8, a face before a plain light backdrop.
    points : (189, 2), (x, y) in its pixels.
    size : side of the results in pixels, a multiple of 16.
    """
    window_sizes(size)
    eyes = points[list(PUPILS)]
    large = similarity_from_eyes(eyes, PORTRAIT_FRAME, DRAWN)
    drawn = portrait_mask(crop(pixels, large, DRAWN), large.to_crop(points))
    mask = resized_mask(drawn, size)
    reason = face_problem(mask)
    if reason:
        raise DataError(reason)
    return crop(pixels, similarity_from_eyes(eyes, PORTRAIT_FRAME, size), size), mask


def make_portraits(
    root: Path,
    out: Path,
    size: int = 128,
    neutral_only: bool = False,
    progress: Progress | None = None,
) -> Made:
    """Write portraits and their masks into ``out``, in the layout of `deep_onnx.portrait.folders`.

    Photographs without landmarks take those of another photograph of the same person, carried
    over by optical flow.

    root : the London set or a folder laid out like it, or CelebAMask-HQ.
    out : the folder to write ``images/``, ``masks/`` and ``people.csv`` to.
    size : side of the portraits in pixels, a multiple of 16.
    progress : called with (done, total) after every photograph.
    """
    window_sizes(size)
    jobs, problems = _jobs(Path(root), neutral_only)
    people: dict[str, str] = {}
    for done, (job, outcome) in enumerate(read_all(jobs, lambda job: job.cut(size)), 1):
        if isinstance(outcome, MissingExtraError):
            raise outcome
        if isinstance(outcome, PixelregError):
            problems.append(Problem(job.file, str(outcome)))
        else:
            image, mask = outcome
            write_bytes(out / PICTURES / f"{job.name}.png", encode(Picture(image), "PNG"))
            write_mask(out / MASKS / f"{job.name}.png", mask)
            people[job.name] = job.person
        if progress is not None:
            progress(done, len(jobs))
    if not people:
        first = problems[-1]
        raise DataError(
            f"none of the {len(jobs)} photographs in {root} can be used; "
            f"the last reason: {first.path.name}: {first.reason}"
        )
    write_people(out, people)
    return Made(people, tuple(problems))


def _is_marked(photo: Photo) -> bool:
    """Whether points lie beside a photograph that tell where all of a face's parts are."""
    return photo.landmarks is not None and photo.landmarks.suffix.lower() == ".tem"


def _jobs(root: Path, neutral_only: bool) -> tuple[list[_Job], list[Problem]]:
    if is_celebamask(root):
        files, problems = list_portraits(root)
        return [_copied(file) for file in files], list(problems)
    listing = scan(root)
    guides = {photo.person: photo for photo in listing.photos if _is_marked(photo)}
    if not guides:
        raise DataError(
            f"no photograph in {root} has a landmark file NAME.tem beside it, as in the London "
            "set, nor is this CelebAMask-HQ"
        )
    jobs, found = [], list(listing.problems)
    for photo in listing.photos:
        if _is_marked(photo):
            jobs.append(_drawn(photo, photo))
        elif photo.person not in guides:
            found.append(Problem(photo.path, "no landmarks of this person"))
        elif not neutral_only:
            need(
                *("cv2", "OpenCV", "align"),
                "masks of photos without landmarks (others: --neutral-only)",
            )
            jobs.append(_drawn(photo, guides[photo.person]))
    return jobs, found
