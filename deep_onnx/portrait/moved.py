"""Landmarks of one photograph carried over to another of the same person.

The London set's smiling photographs have no landmarks. The optical flow between both faces says
where those of the neutral one have gone.
"""

from __future__ import annotations

import numpy as np

from deep_onnx.portrait.landmarks import LOWER_LIP, MOUTH_CORNERS, POINTS, UPPER_LIP
from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.errors import FaceError, InvalidArrayError
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import PUPILS
from pixelreg.models.model import Frame
from pixelreg.pictures.warp import fetch_linear

FOLLOWED = 256  # side of the crops between which the flow is found
# Lips that part leave no flow where they met, so their inner edges are moved like what lies this
# far on the way to the outer ones.
OUTWARD = 0.8
# A mouth that opens this many eye distances wide stretches its lips to this part of their height.
WIDE, STRETCHED = 0.1, 0.75
# How much the outline of the lips may be drawn out anywhere; the widest true smile of the London
# set reaches 1.5, the one face that the flow loses 2.0.
MOST_STRAIN = 1.75


def moved_points(source: Pixels, points: Array, target: Pixels, eyes: Array) -> Float64:
    """The 189 landmarks of ``source`` in ``target``.

    Faces are aligned by their eyes; what moved besides, the flow tells.

    Parameters
    ----------
    source, target : photos of one person, (H, W, 3) uint8.
    points : (189, 2), (x, y) in ``source``.
    eyes : (2, 2), the pupils in ``target``.

    Returns
    -------
    (189, 2) float64, in ``target``.
    """
    from pixelreg.regression.flow import training_flows

    points = np.asarray(points, dtype=np.float64)
    if points.shape != (POINTS, 2):
        raise InvalidArrayError(f"{POINTS} points (x, y) are needed, not {points.shape}")
    here = similarity_from_eyes(points[list(PUPILS)], Frame(), FOLLOWED)
    there = similarity_from_eyes(eyes, Frame(), FOLLOWED)
    before = crop(source, here, FOLLOWED)[None] / 255.0
    after = crop(target, there, FOLLOWED)[None] / 255.0
    flow = training_flows(after, before)[0]
    inside = here.to_crop(points)
    # The flow ends at zero long before the crop does; points outside it follow the eyes alone.
    column, row = np.clip(_sampled(inside) - 0.5, 0, FOLLOWED - 1).T
    shift = np.asarray(fetch_linear(flow, column[None], row[None])[0], dtype=np.float64)
    if _strain(inside, shift) > MOST_STRAIN:
        raise FaceError("the mouth is lost on the way from the photo that has landmarks")
    return there.to_photo(_parted(inside + shift))


def _sampled(points: Float64) -> Float64:
    """Where every point's movement is read."""
    sampled: Float64 = points.copy()
    for outer, inner in (UPPER_LIP, LOWER_LIP):
        edge, met = points[list(outer)], points[list(inner)]
        sampled[list(inner)] = met + OUTWARD * (edge - met)
    return sampled


def _strain(points: Float64, shift: Float64) -> float:
    """The most that any piece of the lips' outline is drawn out or turned."""
    left, right = MOUTH_CORNERS
    ring = [left, *UPPER_LIP[0], right, *reversed(LOWER_LIP[0]), left]
    changed, length = (np.hypot(*np.diff(values[ring], axis=0).T) for values in (shift, points))
    return float((changed / np.maximum(length, 1.0)).max())


def _parted(points: Float64) -> Float64:
    """Lips closed where their edges crossed, and thinner where the mouth is open."""
    moved: Float64 = points.copy()
    (upper, above), (lower, below) = ((list(o), list(i)) for o, i in (UPPER_LIP, LOWER_LIP))
    gap = points[below, 1] - points[above, 1]
    crossed = (gap < 0)[:, None]
    middle = (points[above] + points[below]) / 2
    wide = np.hypot(*(points[PUPILS[1]] - points[PUPILS[0]])) * WIDE
    kept = 1.0 - (1.0 - STRETCHED) * np.clip(gap / wide, 0.0, 1.0)[:, None]
    for outer, inner in ((upper, above), (lower, below)):
        thinner = points[outer] + kept * (points[inner] - points[outer])
        moved[inner] = np.where(crossed, middle, thinner)
    return moved
