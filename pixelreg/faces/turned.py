"""Heads at any roll: detectors know upright ones, so the picture is turned until they find some."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from pixelreg.arrays import Float64, Pixels
from pixelreg.faces.bundled import apart
from pixelreg.faces.detect import Detector
from pixelreg.faces.landmarks import Face, face_from_points

# Degrees to the left; upright ones are found up to about 25 either way without.
TURNS = (45, -45, 90, -90, 135, -135, 180)
LOOKED_AT = 640  # longest side in pixels
# Seven more looks have seven times as many chances of taking something else for a face.
SURE = 0.9


def turned_faces(detector: Detector, pixels: Pixels, largest: bool = False) -> list[Face]:
    """The faces of a picture (H, W, 3) uint8 that are not upright, and sure, largest first.

    largest : only the largest is wanted, so that others may be left out.
    """
    height, width = pixels.shape[:2]
    times = max(1, math.ceil(max(height, width) / LOOKED_AT))
    small = Image.fromarray(np.ascontiguousarray(pixels)).reduce(times)
    found = []
    for degrees in TURNS:
        image = small.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        for face in detector.detect(np.asarray(image), largest):
            points = _turned_back(face.points, degrees, image.size, small.size) * times
            found.append(face_from_points(points, face.score))
    limits = np.array([width, height])
    inside = [f for f in found if (f.eyes >= 0).all() and (f.eyes <= limits).all()]
    sure = [face for face in apart(inside) if face.score >= SURE]
    return sorted(sure, key=lambda face: -face.eye_distance)


def _turned_back(
    points: Float64, degrees: float, turned: tuple[int, int], size: tuple[int, int]
) -> Float64:
    """Points (n, 2) of a picture that was turned to the left about its middle, in the original."""
    angle = math.radians(degrees)
    x, y = (points - np.array(turned) / 2).T
    back = np.stack([x * math.cos(angle) - y * math.sin(angle),
                     x * math.sin(angle) + y * math.cos(angle)], axis=1)  # fmt: skip
    return back + np.array(size) / 2
