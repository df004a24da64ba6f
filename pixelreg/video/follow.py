"""Faces followed from frame to frame: a detector now and then, landmarks in between.

Between two runs of the detector, the bundled cascade of ridge regressions moves each face's
landmarks from where they were in the frame before to where they are now. It also says whether that
is a face at all, so that a lost one is looked for at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Floats, Pixels
from pixelreg.backends import EXACT, compiled_loops, exact_loops
from pixelreg.errors import FaceError
from pixelreg.faces.align import Similarity, similarity_from_eyes
from pixelreg.faces.bundled import align
from pixelreg.faces.cascade import PATCH_UNIT, DetectorWeights, Pyramid, fit_poses, load_weights
from pixelreg.faces.landmarks import Face
from pixelreg.faces.locate import Locator
from pixelreg.faces.steady import SteadySimilarity
from pixelreg.models.model import Frame

LOOK = 0.5  # seconds between two looks for faces while all goes well
LOOK_AGAIN = 0.1  # seconds between two looks while there is no face
FADE = 0.2  # seconds in which the change comes and goes with a face
SURE = 0.5  # score from which landmarks that were moved on are believed
SAME = 0.5  # eye distances within which two faces are one
LARGER = 1.3  # how much larger another face must be to be the largest one from now on
CUT = 30.0  # mean difference of grey levels between two frames that is a new scene
SAMPLED = 16  # every so many pixels are looked at for that
REACH = 2.2  # eye distances around a face's landmarks that the cascade sees


@dataclass
class Track:
    """One face over time.

    face : its landmarks in the newest frame, unsmoothed.
    presence : how much of the change it is given, 0 to 1.
    similarity : from crop to frame, smoothed.
    kept : what a model keeps of the face from frame to frame.
    """

    face: Face
    steady: SteadySimilarity
    presence: float
    found: bool = True
    wanted: bool = True
    similarity: Similarity = field(default=Similarity(1.0, 0.0, 0.0, 0.0))
    kept: Any = None

    def advance(self, frame: Frame, size: int, step: float) -> None:
        """Take the newest landmarks, ``step`` seconds after the last ones."""
        if self.found:
            self.similarity = self.steady(similarity_from_eyes(self.face.eyes, frame, size), step)
        change = step / FADE
        self.presence += change if self.found and self.wanted else -change
        self.presence = min(max(self.presence, 0.0), 1.0)


class Follower:
    """The faces of a video, frame by frame.

    locator : how faces are found, and which of them are wanted.
    """

    def __init__(self, locator: Locator, frame: Frame, size: int) -> None:
        self.locator = locator
        self.frame = frame
        self.size = size
        self.tracks: list[Track] = []
        self._weights: DetectorWeights = load_weights()
        if locator.backend == "auto":
            compiled_loops(EXACT)  # of the same bits: many frames are worth their import
        self._loops = exact_loops(locator.backend)
        self._looked = -np.inf
        self._time: float | None = None
        self.step = FADE  # seconds between the newest frame and the one before
        self._sample: NDArray[np.int16] | None = None

    def __call__(
        self, luma: Pixels, time: float, faces: Callable[[Locator], list[Face]]
    ) -> list[Track]:
        """The faces that are to be changed in the next frame, each with its crop and presence.

        luma : (H, W) uint8.
        time : of the frame, in seconds.
        faces : finds faces in the frame by a locator; it is called when it is time to look.
        """
        first = self._time is None
        step = self.step = max(time - self._time, 1e-3) if self._time is not None else FADE
        self._time = time
        if self._is_cut(luma):
            self.tracks, first = [], True
        for track in self.tracks:
            moved = moved_on(self._weights, luma, track.face, self._loops)
            track.found = moved is not None
            track.face = moved or track.face
        if first or self._is_time(time):
            self._looked = time
            self._look(luma, faces, first)
        for track in self.tracks:
            track.advance(self.frame, self.size, step)
        self.tracks = [track for track in self.tracks if track.presence > 0]
        return self.tracks

    def _is_cut(self, luma: Pixels) -> bool:
        sample = luma[::SAMPLED, ::SAMPLED].astype(np.int16)
        before, self._sample = self._sample, sample
        return before is not None and bool(np.abs(sample - before).mean() > CUT)

    def _is_time(self, time: float) -> bool:
        if not all(track.found for track in self.tracks):
            return True
        # Half a frame's worth of rounding must not put a look off by one frame.
        return time - self._looked >= (LOOK if self.tracks else LOOK_AGAIN) - 1e-6

    def _look(self, luma: Pixels, faces: Callable[[Locator], list[Face]], first: bool) -> None:
        try:
            seen = faces(self.locator)
        except FaceError:
            return
        for face in seen:
            # Landmarks by the same hand as in the frames to come, or they would jump now.
            face = moved_on(self._weights, luma, face, self._loops) or face
            track = next((t for t in self.tracks if _same(t.face, face)), None)
            if track is None:
                self._begin(face, first)
            elif not track.found:
                track.face, track.found = face, True

    def _begin(self, face: Face, first: bool) -> None:
        """Follow a new face, if it is wanted beside those that are followed already."""
        if self.locator.which != "all":
            kept = [track for track in self.tracks if track.wanted and track.found]
            largest = self.locator.which == "largest"
            if any(not largest or _size(face) < LARGER * _size(t.face) for t in kept):
                return
            for track in self.tracks:
                track.wanted = False
        left, right = np.asarray(self.frame.eyes) * self.size
        steady = SteadySimilarity(self.size, float(np.hypot(*(right - left))))
        self.tracks.append(Track(face, steady, 1.0 if first else 0.0))


def moved_on(weights: DetectorWeights, luma: Pixels, face: Face, loops: Any = None) -> Face | None:
    """A face's landmarks in this picture, started from where they were in another one.

    luma : (H, W) uint8.
    loops : `pixelreg.backends.loops_faces`, which are quicker and give the same bits, or None.

    Returns: The face, or None where there is none.
    """
    height, width = luma.shape
    reach = REACH * face.eye_distance
    low = np.maximum(np.floor(face.points.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(face.points.max(axis=0) + reach, [width, height]).astype(int)
    factor = max(1, int(face.eye_distance / PATCH_UNIT))
    high -= (high - low) % factor
    if not (np.isfinite(face.points).all() and (high - low >= 16 * factor).all()):
        return None
    window = luma[low[1] : high[1], low[0] : high[0]]
    pyramid = Pyramid.of(_shrunk(window, factor)[None] / np.float32(255), loops=loops)
    poses = fit_poses((face.points[None] - low) / factor)
    points, scores = align(weights, pyramid, poses)
    if scores[0] < SURE:
        return None
    points = points[0] * factor + low
    if not ((points[:2] >= 0) & (points[:2] <= [width, height])).all():
        return None
    return replace(face, points=points, score=float(scores[0]))


def _shrunk(window: Pixels, factor: int) -> Floats:
    """Means of ``factor`` x ``factor`` pixels."""
    if factor == 1:
        return window.astype(np.float32)
    rows = sum(window[k::factor].astype(np.uint16) for k in range(factor))
    total = sum(np.asarray(rows)[:, k::factor].astype(np.float32) for k in range(factor))
    return np.asarray(total / np.float32(factor**2), np.float32)


def _size(face: Face) -> float:
    return face.eye_distance


def _same(one: Face, other: Face) -> bool:
    apart = np.hypot(*(one.eyes.mean(axis=0) - other.eyes.mean(axis=0)))
    return bool(apart < SAME * max(_size(one), _size(other)))
