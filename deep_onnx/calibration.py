"""Real pictures to measure a network's values on, and others to judge the result by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_onnx.card import Card
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Progress, read_photo
from pixelreg.data.layouts import scan
from pixelreg.data.layouts.reading import walk
from pixelreg.data.photos import Photo, Problem
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import crop
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import choose_held_out

JUDGED = 1 / 3  # share of the people whose pictures are kept apart


@dataclass(frozen=True, eq=False)
class Calibration:
    """Crops as a model takes them.

    Attributes
    ----------
    measured, judged : (N, S, S, 3) uint8, of different people.
    problems : pictures that could not be used, and why.
    """

    measured: Pixels
    judged: Pixels
    problems: tuple[Problem, ...] = ()


def read_pictures(
    data: Path,
    card: Card,
    locator: Locator,
    count: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Read and crop pictures as the model's card says.

    Parameters
    ----------
    data : a folder of pictures, or a data set of a known layout; of a data set, pictures of what
        the model starts from are taken where there are any.
    card : of the model.
    locator : how faces are found.
    count : pictures to take at the most, chosen by ``seed``.
    progress : called with (done, total).
    """
    photos = _photos(data, card.source)
    order = np.random.default_rng(seed).permutation(len(photos))
    crops: list[Pixels] = []
    people: list[str] = []
    problems: list[Problem] = []
    for index in order:
        photo = photos[index]
        try:
            crops.append(_cut(photo, card, locator))
            people.append(photo.person)
        except PixelregError as error:
            problems.append(Problem(photo.path, str(error)))
        if progress is not None:
            progress(len(crops), count)
        if len(crops) == count:
            break
    if len(set(people)) < 2:
        reason = f"; the first reason: {problems[0].reason}" if problems else ""
        raise DataError(
            f"{data} has {len(crops)} usable pictures of {len(set(people))} people; two people "
            f"are needed, to measure on and to judge by{reason}"
        )
    kept_apart = choose_held_out(people, JUDGED, seed)
    apart = np.array([person in kept_apart for person in people])
    stack = np.stack(crops)
    return Calibration(stack[~apart], stack[apart], tuple(problems))


def _photos(data: Path, source: str) -> list[Photo]:
    try:
        photos = scan(data).photos
    except DataError:
        if not data.is_dir():
            raise
        found = [path for path, _ in walk(data).pictures]
        if not found:
            raise DataError(f"no picture in {data}") from None
        return [Photo(str(path), "", path) for path in found]
    shown = [photo for photo in photos if photo.expression == source]
    return shown or list(photos)


def _cut(photo: Photo, card: Card, locator: Locator) -> Pixels:
    pixels = read_photo(photo)

    place = locator.placements(pixels, card.frame, card.size, photo.path)[0]
    return crop(pixels, place.similarity, card.size)
