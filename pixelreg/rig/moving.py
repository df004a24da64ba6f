"""One face of a video on the rig: followed closely, changed steadily.

Where lids and lips are is taken from every frame. What of the face's own expression lasts is let go
of, or kept, as in a photo; what passes, such as a blink or a word, goes on as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.faces.align import Similarity
from pixelreg.faces.dense import POINTS, DenseFinder
from pixelreg.faces.densecascade import STEADY
from pixelreg.faces.followed import Followed, Laid, View
from pixelreg.faces.landmarks import Face
from pixelreg.faces.steady import OneEuro, SteadyPoints
from pixelreg.models.plans import Change
from pixelreg.rig.motion import Look, Rig, change
from pixelreg.rig.shown import read_names, shown_weights, turn_of
from pixelreg.rig.sitter import Lit, Sitter, fit_sitter
from pixelreg.rig.teeth import Palette

LARGEST = 240.0  # pixels between the eyes above which a face is drawn smaller, by a whole number
# Eye distances around the middle of the eyes that the head and its skirt cover.
REACH = ((-2.0, -1.95), (2.0, 2.9))
SMALLEST = 16  # pixels of a window
# Degrees as `turn_of` tells them, which for a head turned by 45 are about 28; in a video the change
# fades out over the last of them.
MOST_TURNED, FADING = 30.0, 6.0
PUPILS = POINTS.index(0), POINTS.index(1)
# Hz at rest, Hz for every eye distance or whole weight a second, and Hz for the speed itself: a
# blink that lasts five frames is followed, and weights at rest tremble a third of what is read.
POINT_FILTER = 1.0, 30.0, 5.0
WEIGHT_FILTER = 0.7, 5.0, 5.0
MOST = 1.0  # weight to which what lasts and what passes add up
LASTING = 1.0  # seconds in which an expression becomes one that lasts
RELIT = 0.25  # seconds between two looks at the light
LIGHT_LASTS = 0.5  # seconds in which a new light comes

Weights = Mapping[str, float]
Box = tuple[int, int, int, int]


def window_of(eyes: Array, size: tuple[int, int], times: int) -> Box:
    """Left, top, right and bottom of what is around a face, whole multiples of ``times`` apart.

    eyes : (2, 2), pixels.
    size : width and height of the picture.
    """
    across = eyes[1] - eyes[0]
    down = np.array([-across[1], across[0]])
    corners = np.array(
        [[x, y] for x in (REACH[0][0], REACH[1][0]) for y in (REACH[0][1], REACH[1][1])]
    )
    reach = eyes.mean(axis=0) + corners @ np.stack([across, down])
    left, top = np.clip(np.floor(reach.min(axis=0)), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(reach.max(axis=0)), 0, size).astype(int)
    right, bottom = right - max(right - left, 0) % times, bottom - max(bottom - top, 0) % times
    return int(left), int(top), int(right), int(bottom)


def is_none(box: Box, times: int = 1) -> bool:
    """Whether so little is in a box that no face can be seen."""
    left, top, right, bottom = box
    return min(right - left, bottom - top) < SMALLEST * times


def times_smaller(eye_distance: float) -> int:
    """How many times smaller a face is drawn."""
    return max(1, math.ceil(eye_distance / LARGEST))


def smaller(window: Pixels, times: int) -> Pixels:
    """Means of ``times`` x ``times`` pixels."""
    return window if times == 1 else np.asarray(Image.fromarray(window).reduce(times))


class FaceReader:
    """Dense landmarks and shown weights of one face from frame to frame, both held steady."""

    def __init__(self, rig: Rig, finder: DenseFinder) -> None:
        self.rig = rig
        self.finder = finder
        self._names = read_names(rig.mesh)
        self._points = SteadyPoints(STEADY, OneEuro(*POINT_FILTER), PUPILS)
        self._weights = OneEuro(*WEIGHT_FILTER)

    def read(
        self, frame: View, face: Face, step: float, weigh: Callable[..., Weights] = shown_weights
    ) -> dict[str, float] | None:
        """The weights of a face in a frame; None where it is not inside.

        weigh : from the mesh and points to weights.
        """
        box = window_of(face.eyes, frame.size, 1)
        if is_none(box):
            return None
        points = self.points(frame.cut(*box), np.array(box[:2]), face, step)
        return self.shown(points, step, weigh)

    def points(self, window: Pixels, corner: Array, face: Face, step: float) -> Float64:
        """(82, 2) in pixels of the frame, of which the window shows what begins at ``corner``."""
        here = replace(face, points=face.points - corner)
        found = self.finder.find(window, here, twice=False)
        return self._points(found.points + corner, step)

    def shown(
        self, points: Array, step: float, weigh: Callable[..., Weights] = shown_weights
    ) -> dict[str, float]:
        """The weights that steady points show."""
        read = weigh(self.rig.mesh, points)
        now = np.array([read.get(name, 0.0) for name in self._names])
        steady = self._weights(now, step).tolist()
        return {n: w for n, w in zip(self._names, steady, strict=True) if w > 0}


class SteadyLight:
    """The light on one face over time: looked at now and then, and changed slowly."""

    def __init__(self) -> None:
        self._now: Array | None = None
        self._goal: Array = np.zeros(0)
        self._since = 0.0

    def __call__(self, fit: Callable[[Lit | None], Sitter], step: float) -> Sitter:
        """A sitter in this light; ``fit`` makes it in a given one, or finds the light itself."""
        self._since += step
        if self._now is None or self._since >= RELIT:
            sitter, self._since = fit(None), 0.0
            self._goal = np.r_[
                sitter.light, sitter.palette.tooth, sitter.palette.skin, sitter.palette.tint
            ]
        else:
            sitter = fit(_lit_of(self._now))
        before = self._goal if self._now is None else self._now
        self._now = before + min(step / LIGHT_LASTS, 1.0) * (self._goal - before)
        light, palette = _lit_of(self._now)
        return replace(sitter, light=light, palette=palette)


def _lit_of(numbers: Array) -> Lit:
    light, tooth, skin, tint = np.split(numbers.astype(np.float32), [9, 10, 11])
    return Lit(light, Palette(float(tooth[0]), float(skin[0]), tint))


class MovingFace:
    """Changes one face of a video, frame after frame.

    towards : from what a face shows and a strength to weights.
    """

    def __init__(
        self,
        rig: Rig,
        finder: DenseFinder,
        towards: Callable[[Weights, float], Weights],
        look: Look,
    ) -> None:
        self._rig = rig
        self._towards = towards
        self._look = look
        self._reader = FaceReader(rig, finder)
        self._lasting: dict[str, float] | None = None
        self._light = SteadyLight()

    def __call__(self, seen: Followed) -> Callable[[], Laid | None]:
        """What makes what is laid on a frame; that is None where there is nothing to see."""
        times = times_smaller(seen.face.eye_distance)
        box = left, top, _, _ = window_of(seen.face.eyes, seen.frame.size, times)
        if is_none(box, times):
            return lambda: None
        window = seen.frame.cut(*box)
        place = Similarity(float(times), 0.0, float(left), float(top))
        points = self._reader.points(window, np.array([left, top]), seen.face, seen.step)
        here = place.to_crop(points)
        shown = self._reader.shown(here, seen.step)

        strength = seen.strength * self._facing(here)

        def laid() -> Laid | None:
            if strength == 0:
                return None
            small = smaller(window, times)
            weights = self._weights(shown, seen.step, strength)
            return Laid(self._change(small, here, shown, weights, seen.step), place, 1.0)

        return laid

    def _facing(self, points: Array) -> float:
        """1 for a face that can be changed, 0 for one that is turned too far to the side."""
        left = MOST_TURNED - turn_of(self._rig.mesh, points)
        return min(max(left / FADING, 0.0), 1.0)

    def _change(
        self, window: Pixels, points: Array, shown: Weights, weights: Weights, step: float
    ) -> Change:
        mesh = self._rig.mesh
        sitter = self._light(lambda lit: fit_sitter(mesh, window, points, shown, lit), step)
        return change(self._rig, sitter, weights, self._look)

    def _weights(self, shown: Weights, step: float, strength: float) -> dict[str, float]:
        """What lasts of an expression is changed, what passes stays upon it."""
        calm = self._calm(shown, step)
        weights = dict(self._towards(calm, strength))
        for name, weight in weights.items():
            lively = shown.get(name, 0.0) - calm.get(name, 0.0)
            blink = min(shown.get("eyeBlink" + name[-2:], 0.0), 1.0)
            if name.startswith("eye"):  # shut eyes stay shut
                weight = calm.get(name, 0.0) + (1 - blink) * (weight - calm.get(name, 0.0))
            weights[name] = min(weight + lively, max(MOST, weight, shown.get(name, 0.0)))
        return {**{n: w for n, w in shown.items() if n not in weights}, **weights}

    def _calm(self, shown: Weights, step: float) -> dict[str, float]:
        """As much of each weight as has been there for a while and is there now."""
        if self._lasting is None:
            self._lasting = dict(shown)
        share = min(step / LASTING, 1.0)
        for name in dict.fromkeys((*shown, *self._lasting)):
            before = self._lasting.get(name, 0.0)
            self._lasting[name] = before + share * (shown.get(name, 0.0) - before)
        both = {n: min(w, shown.get(n, 0.0)) for n, w in self._lasting.items()}
        return {n: w for n, w in both.items() if w > 0 and not n.startswith("eyeBlink")}
