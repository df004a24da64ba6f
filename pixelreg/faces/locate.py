"""Where the model's crop lies in a photo: by landmarks, by hand, by a detector, or not at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import FaceError
from pixelreg.faces.align import Similarity, similarity_from_eyes, similarity_from_square
from pixelreg.faces.detect import Detector, choose_faces, make_detector
from pixelreg.faces.landmarks import (
    Face,
    face_from_box,
    face_from_eyes,
    landmarks_beside,
    read_landmarks,
)
from pixelreg.models.model import Frame

SMALLEST_EYE_DISTANCE = 8.0  # photo pixels; below this there is no face to speak of


@dataclass(frozen=True)
class Placement:
    """One crop of a photo.

    face : the face that it was aligned to, or None for a crop without a face.
    """

    similarity: Similarity
    face: Face | None = None


@dataclass(frozen=True)
class Locator:
    """How to find the faces of a photo.

    detector : one of the names in `pixelreg.faces.detect.DETECTORS`, or ``"auto"``.
    detector_file : the detector's own model file, or None for the usual place.
    which : ``"largest"``, ``"all"``, or a number from 1 counting from the largest.
    eyes : x1, y1, x2, y2 of the pupils in photo pixels, or None to look for them.
    box : x, y, width, height of the face in photo pixels, or None to look for it.
    align : False takes the photo as a crop already: its centre square, resized.
    """

    detector: str = "auto"
    detector_file: Path | None = None
    which: str = "largest"
    eyes: tuple[float, float, float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    align: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Locks and detectors stay in their process; another one makes its own.
        asked = (self.detector, self.detector_file, self.which, self.eyes, self.box, self.align)
        return _arrived, asked

    def placements(
        self, pixels: Pixels, frame: Frame | None, size: int, path: Path | None = None
    ) -> list[Placement]:
        """The crops of a photo that a model with ``frame`` and ``size`` wants, largest face first.

        A photo of the model's own size is taken as a crop already.

        pixels : (H, W, 3) uint8.
        path : the photo's file, beside which a landmark file may lie.
        """
        height, width = pixels.shape[:2]
        by_hand = self.eyes is not None or self.box is not None
        is_crop = (height, width) == (size, size) and not by_hand
        if frame is None or not self.align or is_crop:
            return [Placement(similarity_from_square(width, height, size))]
        return [
            Placement(similarity_from_eyes(face.eyes, frame, size), face)
            for face in self.faces(pixels, path)
        ]

    def faces(self, pixels: Pixels, path: Path | None = None) -> list[Face]:
        """The wanted faces of a photo; see `placements`."""
        if self.eyes is not None:
            face = face_from_eyes(self.eyes)
            _check_inside("--eyes", face.eyes, pixels)
            return [face]
        if self.box is not None:
            face = face_from_box(self.box)
            x, y, width, height = self.box
            _check_inside("--box", np.array([[x + width / 2, y + height / 2]]), pixels)
            return [face]
        # A landmark file tells of one face only.
        beside = landmarks_beside(path) if path and self.which == "largest" else None
        if beside is not None:
            return [read_landmarks(beside)]
        chosen = choose_faces(self.detector_.detect(pixels), self.which)
        usable = [face for face in chosen if face.eye_distance >= SMALLEST_EYE_DISTANCE]
        if not usable:
            raise FaceError(
                f"the face is too small: its eyes are {chosen[0].eye_distance:.0f} pixels "
                f"apart, at least {SMALLEST_EYE_DISTANCE:.0f} are needed"
            )
        return usable

    @property
    def detector_(self) -> Detector:
        """The detector in use, made when first needed, once for all threads."""
        with self._lock:
            return self._made

    @property
    def detector_used(self) -> str | None:
        """The name of the detector that has looked for faces so far, if any has."""
        made = self.__dict__.get("_made")
        return None if made is None else str(made.name)

    @cached_property
    def _made(self) -> Detector:
        return make_detector(self.detector, self.detector_file)


@lru_cache(maxsize=4)
def _arrived(*asked: Any) -> Locator:
    """The locator that came from another process: one for all that are equal, and one detector."""
    return Locator(*asked)


def _check_inside(option: str, points: Float64, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    if not ((points >= 0).all() and (points <= [width, height]).all()):
        raise FaceError(f"{option} lies outside the picture, which is {width}x{height} pixels")
