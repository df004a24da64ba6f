"""Dense landmarks: 82 of the London template's 189 points, read from a file or found in a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.backends import exact_loops
from pixelreg.errors import UnknownNameError, UnknownTemplateError
from pixelreg.faces.landmarks import Face, read_points
from pixelreg.faces.locate import Locator

_LEFT_EYE = (0, 18, 19, 20, 21, 22, 28, 29, 30, 71, 72, 73, 74, 75, 76, 83, 84)
_RIGHT_EYE = (1, 27, 26, 25, 24, 23, 33, 32, 31, 82, 81, 80, 79, 78, 77, 86, 85)
_NOSE = (51, 57, 53, 59, 54, 60, 55, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70)
# Numbers in the template: an eye with its brow and first its pupil, as the picture shows them left
# and right; the mouth; the nose; the jaw.
POINTS = (*_LEFT_EYE, *_RIGHT_EYE, *range(87, 109), *_NOSE, *range(125, 134))
PARTS = {
    "left eye": slice(0, 17),
    "right eye": slice(17, 34),
    "mouth": slice(34, 56),
    "nose": slice(56, 73),
    "jaw": slice(73, 82),
}
# Which points a mirrored picture swaps, beside the eyes and those on the middle line.
_SWAPPED = (
    *((87, 93), (88, 92), (89, 91), (94, 98), (95, 97), (99, 103), (100, 102), (104, 108)),
    *((105, 107), (51, 57), (53, 59), (54, 60), (61, 66), (62, 67), (63, 68), (64, 69), (65, 70)),
    *((125, 133), (126, 132), (127, 131), (128, 130)),
)
# The five landmarks of a detector as means of dense ones.
FIVE = tuple(
    tuple(POINTS.index(number) for number in numbers)
    for numbers in ((0,), (1,), (54, 55, 60), (87,), (93,))
)
# Templates that hold all 82: the London set's, and the 82 alone.
TEMPLATE = 189
WHOLE = {".tem": (TEMPLATE, len(POINTS))}

# Eye distances between two finders: at most .061 at eyes and .073 at mouths of 80 people with six
# expressions each, at least .09 under drawn sunglasses, masks and hands (`docs/landmarks.md`).
COVERED = 0.085

METHODS = {
    "cascade": "pixelreg.faces.densecascade:DenseCascade",
    "facemesh": "pixelreg.faces.facemesh:FaceMeshFinder",
}
AUTO = "pixelreg.faces.secondlook:SecondLook"  # both, as far as they agree


@dataclass(frozen=True, eq=False)
class DenseFace:
    """The dense landmarks of one face.

    points : (82, 2) float64, (x, y) in pixels of the photo, pixel centres at i + 0.5; `POINTS`.
    doubt : how far two looks at the face disagree, in eye distances; 0 for points from a file.
    source : what found them: a method's name, or a file's.
    parts : the same doubt for each of `PARTS`, where it is known.
    """

    points: Float64
    doubt: float
    source: str
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def covered(self) -> str | None:
        """What of the face seems to be covered, as by sunglasses or a mask: eyes, mouth, or None.

        Finders guess at what they cannot see, and guess apart.
        """
        if not self.parts:
            return None
        if (self.parts["left eye"] + self.parts["right eye"]) / 2 > COVERED:
            return "eyes"
        return "mouth" if max(self.parts["mouth"], self.parts["nose"]) > COVERED else None


class DenseMethod(Protocol):
    """A way to find dense landmarks.

    unsure : the doubt, in eye distances, above which its landmarks should be looked at.
    """

    unsure: ClassVar[float]

    def find(self, pixels: Pixels, face: Face, twice: bool = True) -> DenseFace:
        """The landmarks of a face; ``twice`` looks at the mirrored picture as well."""


@dataclass(frozen=True)
class DenseFinder:
    """Finds the dense landmarks of faces that are found already.

    method : ``"auto"`` or one of `METHODS`; ``"auto"`` takes what is known already where a file
        beside a photo says it.
    given : the landmarks, where nothing is to be found.
    backend : what computes: auto, numpy or numba. The bits are the same; Numba is quicker once it
        is compiled.
    """

    method: str = "auto"
    given: DenseFace | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in ("auto", *METHODS):
            raise UnknownNameError("landmark finder", self.method, ("auto", *METHODS))

    def find(self, pixels: Pixels, face: Face, twice: bool = True) -> DenseFace:
        """The dense landmarks of a face.

        pixels : (H, W, 3) uint8.
        face : its eyes, and nose and mouth where they are known.
        twice : look at the mirrored picture as well and take the mean, which costs as much again.
        """
        return self.given or self._made.find(pixels, face, twice)

    @property
    def beside(self) -> bool:
        """Whether landmarks that lie beside a photo are taken instead."""
        return self.method == "auto" and self.given is None

    @property
    def unsure(self) -> float:
        """The doubt above which landmarks should be looked at: each method has its own."""
        return self._made.unsure

    @cached_property
    def _made(self) -> DenseMethod:
        module, _, attribute = METHODS.get(self.method, AUTO).partition(":")
        return getattr(import_module(module), attribute)(loops=exact_loops(self.backend))


def find_dense(
    finder: DenseFinder, locator: Locator, pixels: Pixels, face: Face, path: Path | None = None
) -> DenseFace:
    """The dense landmarks of a face that ``locator`` found in a photo, or those of its file."""
    marked = locator.marked(path)
    points = read_dense(marked[0]) if marked and finder.beside else None
    if marked is None or points is None:
        return finder.find(pixels, face)
    return DenseFace(points, 0.0, str(marked[0]))


def of_two_looks(points: Float64, mirrored: Float64, unit: float) -> tuple[Float64, float]:
    """The mean of what two looks find, and how far they disagree, in eye distances of ``unit``."""
    doubt = float(np.linalg.norm(mirrored - points, axis=1).mean() / unit)
    return (points + mirrored) / 2, doubt


def mirror() -> list[int]:
    """For each of the 82 points the one that takes its place in a mirrored picture."""
    pairs = [*zip(_LEFT_EYE, _RIGHT_EYE, strict=True), *_SWAPPED]
    other = dict(pairs) | {b: a for a, b in pairs}
    return [POINTS.index(other.get(number, number)) for number in POINTS]


def five_of(points: Float64) -> Float64:
    """(..., 5, 2) the landmarks of a detector, of (..., 82, 2) dense ones."""
    return np.stack([points[..., which, :].mean(axis=-2) for which in FIVE], axis=-2)


def read_dense(path: Path) -> Float64 | None:
    """(82, 2) points of a landmark file; None for templates that hold too few of them."""
    try:
        points = read_points(path, WHOLE)
    except UnknownTemplateError:
        return None
    return points[list(POINTS)] if len(points) == TEMPLATE else points
