"""From pairs of photo files to stacks of aligned crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo, Problem
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import (
    Pixels,
    Similarity,
    crop,
    similarity_from_eyes,
    similarity_from_square,
)
from pixelreg.faces.landmarks import read_landmarks
from pixelreg.faces.locate import Locator
from pixelreg.image import read_file
from pixelreg.model import Frame

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Stack:
    """Aligned crops of pairs.

    Attributes
    ----------
    pairs : the N pairs that could be read.
    sources, targets : (N, S, S, 3) uint8.
    problems : the pairs that could not be read, by their file, and why.
    """

    pairs: tuple[Pair, ...]
    sources: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    problems: tuple[Problem, ...] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Who is in each pair, length N."""
        return tuple(pair.person for pair in self.pairs)

    def select(self, people: frozenset[str]) -> Stack:
        """The pairs of some people only."""
        mask = np.array([person in people for person in self.people], dtype=bool)
        pairs = tuple(pair for pair, kept in zip(self.pairs, mask, strict=True) if kept)
        return replace(self, pairs=pairs, sources=self.sources[mask], targets=self.targets[mask])

    def rows(self) -> tuple[Any, Any]:
        """Sources and targets as estimators take them: (N, S S 3) uint8."""
        count = len(self.sources)
        return self.sources.reshape(count, -1), self.targets.reshape(count, -1)


def load_stack(
    pairs: Sequence[Pair],
    size: int,
    frame: Frame | None,
    locator: Locator,
    progress: Progress | None = None,
    workers: int = 2,
) -> Stack:
    """Read, align and crop pairs; a bad picture leaves its pair out and is reported.

    Parameters
    ----------
    pairs : what to read.
    size : side of the crops in pixels.
    frame : where the eyes go, or None to take centre squares.
    locator : how eyes are found.
    progress : called with (done, total) after every pair.
    workers : threads; decoding and resizing release Python's lock.

    Raises
    ------
    DataError
        If no pair is left.
    """
    kept: list[Pair] = []
    crops: list[tuple[Pixels, Pixels]] = []
    problems: list[Problem] = []
    for pair, outcome in _read_all(pairs, partial(_read_pair, size, frame, locator), workers):
        if isinstance(outcome, PixelregError):
            problems.append(Problem(pair.target.path, str(outcome)))
        else:
            kept.append(pair)
            crops.append(outcome)
        if progress is not None:
            progress(len(kept) + len(problems), len(pairs))
    if not kept:
        reason = f"; the first reason: {problems[0].reason}" if problems else ""
        raise DataError(f"none of the {len(pairs)} pairs can be used{reason}")
    sources, targets = (np.stack(side) for side in zip(*crops, strict=True))
    return Stack(tuple(kept), sources, targets, tuple(problems))


def read_photo(photo: Photo) -> Pixels:
    """The photo's pixels, (H, W, 3) uint8, or those of its half.

    Raises
    ------
    ImageError
        If the file cannot be read.
    DataError
        If the picture is black all over.
    """
    pixels = read_file(photo.path).pixels
    if not pixels.any():
        raise DataError(f"{photo.path} is black all over")
    middle = pixels.shape[1] // 2
    if photo.half == "left":
        return pixels[:, :middle]
    return pixels[:, middle:] if photo.half == "right" else pixels


def _read_all(
    pairs: Sequence[Pair], work: Callable[[Pair], Any], workers: int
) -> Iterator[tuple[Pair, Any]]:
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        yield from zip(pairs, pool.map(partial(_or_error, work), pairs), strict=True)
    finally:
        # An interrupt must not wait for hundreds of pictures.
        pool.shutdown(wait=True, cancel_futures=True)


def _or_error(work: Callable[[Pair], Any], pair: Pair) -> Any:
    try:
        return work(pair)
    except PixelregError as error:
        return error


def _read_pair(
    size: int, frame: Frame | None, locator: Locator, pair: Pair
) -> tuple[Pixels, Pixels]:
    source, target = read_photo(pair.source), read_photo(pair.target)
    if frame is None:
        if source.shape != target.shape:
            raise DataError(
                f"{pair.source.path.name} is {_extent(source)} but {pair.target.path.name} is "
                f"{_extent(target)}: pictures that are not aligned by faces must be of one size"
            )
        height, width = source.shape[:2]
        square = similarity_from_square(width, height, size)
        return crop(source, square, size), crop(target, square, size)
    return (
        crop(source, _by_eyes(source, pair.source, frame, size, locator), size),
        crop(target, _by_eyes(target, pair.target, frame, size, locator), size),
    )


def _by_eyes(pixels: Pixels, photo: Photo, frame: Frame, size: int, locator: Locator) -> Similarity:
    try:
        face = (
            read_landmarks(photo.landmarks)
            if photo.landmarks is not None
            else locator.faces(pixels)[0]
        )
        return similarity_from_eyes(face.eyes, frame, size)
    except PixelregError as error:
        raise DataError(f"{photo.path}: {error}") from error


def _extent(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
