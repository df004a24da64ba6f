"""From pairs of photo files to stacks of aligned crops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo, Problem, first_reason
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import Similarity, crop, similarity_from_eyes, similarity_from_square
from pixelreg.faces.locate import Locator
from pixelreg.models.model import Frame
from pixelreg.pictures.image import read_reduced

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]

SPARE = 2.0  # pixels of a picture, each way, that make one of a crop, at the least
SEARCHED = 640  # longest side at which faces are looked for first


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of some pairs, (n, S, S, 3) uint8 each side."""

    sources: Pixels
    targets: Pixels


@dataclass(frozen=True, eq=False)
class Stack:
    """Aligned crops of pairs.

    sources, targets : (N, S, S, 3) uint8.
    problems : the pairs that could not be read, by their file, and why.
    """

    pairs: tuple[Pair, ...]
    sources: Pixels
    targets: Pixels
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

    size : side of the crops in pixels.
    frame : where the eyes go, or None to take centre squares.
    progress : called with (done, total) after every pair.
    workers : threads; decoding and resizing release Python's lock.
    """
    kept: list[Pair] = []
    crops: list[tuple[Pixels, Pixels]] = []
    problems: list[Problem] = []
    for pair, outcome in read_all(pairs, Cutter(size, frame, locator).cut, workers):
        if isinstance(outcome, PixelregError):
            problems.append(Problem(pair.target.path, str(outcome)))
        else:
            kept.append(pair)
            crops.append(outcome)
        if progress is not None:
            progress(len(kept) + len(problems), len(pairs))
    if not kept:
        raise DataError(f"none of the {len(pairs)} pairs can be used{first_reason(problems)}")
    sources, targets = (np.stack(side) for side in zip(*crops, strict=True))
    return Stack(tuple(kept), sources, targets, tuple(problems))


def read_all(
    items: Iterable[T], work: Callable[[T], R], workers: int = 2
) -> Generator[tuple[T, R | PixelregError], None, None]:
    """The one loop past bad files: every item with what ``work`` made of it, or why it could not.

    Results come in order, and few are under way; an interrupt waits for those alone.
    """
    with ThreadPoolExecutor(workers) as pool:
        running: deque[tuple[T, Future[R]]] = deque()
        try:
            for item in items:
                running.append((item, pool.submit(work, item)))
                if len(running) > 2 * workers:
                    item, future = running.popleft()
                    yield item, _outcome(future)
            while running:
                item, future = running.popleft()
                yield item, _outcome(future)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result()
    except PixelregError as error:
        return error
    except OSError as error:  # a name that is too long, a folder that has gone
        return DataError(f"cannot read or write {error.filename or 'a file'}: {error.strerror}")
    except MemoryError:
        return DataError("it takes more memory than there is")


def read_photo(photo: Photo) -> Pixels:
    """The photo's pixels, (H, W, 3) uint8, or those of its half."""
    return _read(photo, lambda width, height: 1.0)[0]


@dataclass(frozen=True)
class Cutter:
    """How pairs become crops. It can be sent to other processes.

    A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as two of its pixels or more
    make one of the crop, and enough for finding the face: this depends on the picture alone.

    size : side of the crops in pixels.
    frame : where the eyes go, or None to take centre squares.
    """

    size: int
    frame: Frame | None
    locator: Locator

    def cut(self, pair: Pair) -> tuple[Pixels, Pixels]:
        """The crops of both photos, (S, S, 3) uint8."""
        if self.frame is not None:
            return self._face(pair.source, self.frame), self._face(pair.target, self.frame)
        (source, by), (target, other) = map(self._square, (pair.source, pair.target))
        if _extent(source, by) != _extent(target, other):
            raise DataError(
                f"{pair.source.path.name} is {_extent(source, by)} but {pair.target.path.name} is "
                f"{_extent(target, other)}: pictures that are not aligned by faces must be of one "
                "size"
            )
        return self._centre(source, by), self._centre(target, other)

    def single(self, photo: Photo) -> Pixels:
        """The crop of one photo that needs no partner, (S, S, 3) uint8; raises as `cut` does."""
        if self.frame is not None:
            return self._face(photo, self.frame)
        return self._centre(*self._square(photo))

    def _square(self, photo: Photo) -> tuple[Pixels, int]:
        return _read(photo, lambda width, height: min(width, height) / (SPARE * self.size))

    def _centre(self, pixels: Pixels, reduced: int) -> Pixels:
        height, width = pixels.shape[:2]
        square = similarity_from_square(width, height, self.size)
        return crop(pixels, square, self.size, reduced)

    def _face(self, photo: Photo, frame: Frame) -> Pixels:
        with _about(photo):
            marked = self.locator.read(photo.landmarks) if photo.landmarks else None
        if marked is None:
            return self._found(photo, frame)
        with _about(photo):
            whole = similarity_from_eyes(marked[1].eyes, frame, self.size)
        pixels, by = _read(photo, lambda width, height: whole.scale / SPARE)
        similarity = Similarity(whole.a / by, whole.b / by, whole.c / by, whole.d / by)
        return crop(pixels, similarity, self.size, by)

    def _found(self, photo: Photo, frame: Frame) -> Pixels:
        pixels, by = _read(photo, self._searchable)
        if by > 1:
            with suppress(PixelregError):
                similarity = self._find(pixels, frame)
                if similarity.scale >= SPARE:
                    return crop(pixels, similarity, self.size, by)
            pixels = read_photo(photo)  # a small face in a large picture needs all of its pixels
        with _about(photo):
            similarity = self._find(pixels, frame)
        return crop(pixels, similarity, self.size)

    def _searchable(self, width: int, height: int) -> float:
        by_hand = self.locator.eyes is not None or self.locator.box is not None
        return 1.0 if by_hand else max(width, height) / SEARCHED

    def _find(self, pixels: Pixels, frame: Frame) -> Similarity:
        return similarity_from_eyes(self.locator.faces(pixels)[0].eyes, frame, self.size)


def _read(photo: Photo, most: Callable[[int, int], float]) -> tuple[Pixels, int]:
    """The photo's pixels, and how many times smaller they are than the file's."""
    whole = photo.half is None  # the middle of a reduced file may lie between two pixels
    pixels, by = read_reduced(photo.path, most if whole else lambda width, height: 1.0)
    if not pixels.any():
        raise DataError(f"{photo.path} is black all over")
    middle = pixels.shape[1] // 2
    if photo.half == "left":
        pixels = pixels[:, :middle]
    return pixels[:, middle:] if photo.half == "right" else pixels, by


@contextmanager
def _about(photo: Photo) -> Iterator[None]:
    try:
        yield
    except PixelregError as error:
        raise DataError(f"{photo.path}: {error}") from error


def _extent(pixels: Pixels, by: int) -> str:
    return f"{by * pixels.shape[1]}x{by * pixels.shape[0]}"
