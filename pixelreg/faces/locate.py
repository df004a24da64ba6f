"""Where the model's crop lies in a photo: by landmarks, by hand, by a detector, or not at all."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.backends import exact_loops
from pixelreg.errors import FaceError, UnknownTemplateError
from pixelreg.faces.align import Similarity, similarity_from_eyes, similarity_from_square
from pixelreg.faces.detect import Detector, choose_faces, make_detector
from pixelreg.faces.landmarks import (
    Face,
    face_from_box,
    face_from_eyes,
    landmarks_beside,
    read_landmarks,
)
from pixelreg.faces.turned import SURE, turned_faces
from pixelreg.models.model import Frame

Say = Callable[[str], None]
OF_A_CROP = 0.08  # of a picture's side; so far from the frame's, eyes are still those of a crop
LEAST_SEEN = 12.0  # pixels between two eyes, below which a picture is too small to tell
SMALLEST_EYE_DISTANCE = 8.0  # photo pixels; below this there is no face to speak of
UPSIDE_DOWN = 135.0  # degrees of roll, from which eyes are suspected to be in the other order
LEAST_BELOW = 0.3  # eye distances from the eyes down to the mouth of a landmark file; of faces 1.1
SAME_EYE = 0.35  # eye distances between an eye that is given and where it is seen


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
    backend : what computes: auto, numpy or numba. The bits are the same; Numba is quicker once it
        is compiled.
    say : is told of landmark files that are passed over, and of eyes in the other order; None warns
        as Python does.
    """

    detector: str = "auto"
    detector_file: Path | None = None
    which: str = "largest"
    eyes: tuple[float, float, float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    align: bool = True
    backend: str = "auto"
    say: Say | None = field(default=None, repr=False, compare=False)
    _told: set[str] = field(default_factory=set, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Locks and detectors stay in their process; another one makes its own.
        asked = (self.detector, self.detector_file, self.which, self.eyes, self.box, self.align)
        return _arrived, (*asked, self.backend, self.say)

    def placements(
        self, pixels: Pixels, frame: Frame | None, size: int, path: Path | None = None
    ) -> list[Placement]:
        """The crops of a photo that a model with ``frame`` and ``size`` wants, largest face first.

        A photo of the model's own size is taken as a crop already, unless a face is seen in it
        elsewhere than a crop has it.

        pixels : (H, W, 3) uint8.
        path : the photo's file, beside which a landmark file may lie.
        """
        height, width = pixels.shape[:2]
        by_hand = self.eyes is not None or self.box is not None
        own = (height, width) == (size, size) and not by_hand
        if frame is None or not self.align or (own and self._shows_crop(pixels, frame, path)):
            return [Placement(similarity_from_square(width, height, size))]
        return [
            Placement(similarity_from_eyes(face.eyes, frame, size), face)
            for face in self.faces(pixels, path)
        ]

    def _shows_crop(self, pixels: Pixels, frame: Frame, path: Path | None) -> bool:
        """Whether eyes that are seen in a square picture are where a crop has them."""
        size, marked = len(pixels), self.marked(path)
        faces = [marked[1]] if marked else self.detector_.detect(pixels, largest=True)
        sure = [face for face in faces if face.score >= SURE and face.eye_distance >= LEAST_SEEN]
        away = [np.abs(face.eyes / size - np.asarray(frame.eyes)).max() for face in sure[:1]]
        return not away or bool(away[0] < OF_A_CROP)

    def anywhere(self) -> Locator:
        """One that looks for the largest face of other pictures by the same detector."""
        return replace(self, which="largest", eyes=None, box=None)

    def faces(self, pixels: Pixels, path: Path | None = None, turned: bool = True) -> list[Face]:
        """The wanted faces of a photo; see `placements`.

        turned : look for heads at any roll where none is upright for sure, which takes half a
            second.
        """
        if not self.align:
            return [_face_of_crop(*pixels.shape[:2])]
        if self.eyes is not None:
            face = face_from_eyes(self.eyes)
            _check_inside("an eye that was given", face.eyes, pixels)
            return [face if abs(face.angle) < UPSIDE_DOWN else self._ordered(face, pixels)]
        if self.box is not None:
            face = face_from_box(self.box)
            x, y, width, height = self.box
            _check_inside("--box", np.array([[x + width / 2, y + height / 2]]), pixels)
            return [face]
        marked = self.marked(path)
        if marked is not None:
            return [marked[1]]
        largest = self.which == "largest"
        found = self.detector_.detect(pixels, largest)
        if turned and not any(face.score >= SURE for face in found):
            found = turned_faces(self.detector_, pixels, largest) or found
        chosen = choose_faces(found, self.which)
        usable = [face for face in chosen if face.eye_distance >= SMALLEST_EYE_DISTANCE]
        if not usable:
            raise FaceError(
                f"the face is too small: its eyes are {chosen[0].eye_distance:.0f} pixels "
                f"apart, at least {SMALLEST_EYE_DISTANCE:.0f} are needed"
            )
        return usable

    def _ordered(self, face: Face, pixels: Pixels) -> Face:
        """A face whose eyes say that it is upside down; upright, unless such a head is seen there.

        Far more often than a head is upside down, its eyes are given in the other order.
        """
        for seen in turned_faces(self.detector_, pixels):
            if np.abs(seen.eyes - face.eyes).max() < SAME_EYE * face.eye_distance:
                return face
        upright = face_from_eyes(face.eyes[::-1])
        x1, y1, x2, y2 = upright.eyes.ravel()
        note = (
            f"the eyes are taken as those of an upright head, {x1:g},{y1:g},{x2:g},{y2:g}: "
            "the image-left one comes first, and no head is seen there upside down"
        )
        self._tell(note, note)
        return upright

    def marked(self, path: Path | None) -> tuple[Path, Face] | None:
        """The landmark file beside a photo and the face that it tells of, where it is to be taken.

        One of an unknown template is passed over, and told of.
        """
        by_hand = self.eyes is not None or self.box is not None
        if path is None or by_hand or self.which != "largest":
            return None  # a landmark file tells of one face only
        beside = landmarks_beside(path)
        return None if beside is None else self.read(beside)

    def read(self, file: Path) -> tuple[Path, Face] | None:
        """A landmark file and its face; None, which is told, where it is of an unknown template
        or its points cannot be a face's.
        """
        try:
            face = read_landmarks(file)
        except UnknownTemplateError as error:
            self._pass_over(file, str(error))
            return None
        if _mouth_below(face) > LEAST_BELOW:
            return file, face
        self._pass_over(file, f"{file}: its mouth is not below its eyes")
        return None

    def _pass_over(self, file: Path, reason: str) -> None:
        """Tell of a file that is passed over; of others with as many points no more."""
        note = f"{reason}; it is passed over, as all such files, and the face looked for"
        self._tell(reason.removeprefix(f"{file}: "), note)

    def _tell(self, kind: str, note: str) -> None:
        """Tell something once."""
        with self._lock:
            new = kind not in self._told
            self._told.add(kind)
        if new:
            (self.say or _warn)(note)

    @property
    def detector_(self) -> Detector:
        """The detector in use, made when first needed, once for all threads."""
        with self._lock:
            return self._made

    @property
    def detector_used(self) -> str | None:
        """The name of the detector that has found faces so far, if any has."""
        made = None if self.eyes is not None else self.__dict__.get("_made")
        return None if made is None else str(made.name)

    @cached_property
    def _made(self) -> Detector:
        return make_detector(self.detector, self.detector_file, exact_loops(self.backend))


def _mouth_below(face: Face) -> float:
    """How far the mouth lies below the line of the eyes, in eye distances."""
    across, middle = np.diff(face.eyes, axis=0)[0], face.eyes.mean(axis=0)
    x, y = face.points[3:].mean(axis=0) - middle
    return float((across[0] * y - across[1] * x) / face.eye_distance**2)


def _warn(note: str) -> None:
    warnings.warn(note, UserWarning, stacklevel=5)


@lru_cache(maxsize=4)
def _arrived(*asked: Any) -> Locator:
    """The locator that came from another process: one for all that are equal, and one detector."""
    return Locator(*asked)


def _face_of_crop(height: int, width: int) -> Face:
    """The face of a picture that is a crop already: where the usual frame has its eyes."""
    square = similarity_from_square(width, height, 1)
    return face_from_eyes(square.to_photo(np.asarray(Frame().eyes)))


def _check_inside(option: str, points: Float64, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    if not ((points >= 0).all() and (points <= [width, height]).all()):
        raise FaceError(f"{option} lies outside the picture, which is {width}x{height} pixels")
