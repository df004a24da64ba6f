"""Masks of photographs with the 189 landmarks of the Face Research Lab London Set.

Eyes, brows, nose, lips, face and ears are outlines through landmarks. Where hair, shoulders and
backdrop begin is found by colour (see `deep_onnx.portrait.hair`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from deep_onnx.portrait.hair import Head, find_hair, opened
from deep_onnx.portrait.labels import LABELS
from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.errors import DataError, FaceError, InvalidArrayError
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import PUPILS
from pixelreg.models.model import Frame
from pixelreg.pictures.warp import fetch_linear

POINTS = 189
JAW = (109, 185, 110, 186, 111, *range(125, 134), 114, 188, 113, 187, 112)  # ear to ear
LOWER_JAW = tuple(range(125, 134))
HAIRLINE = tuple(range(134, 145))  # the left ear to the right one
FACE = (*JAW, *reversed(HAIRLINE))
LEFT_EAR = (109, 115, 116, 117, 118, 119, 111, 186, 110, 185)
RIGHT_EAR = (112, 120, 121, 122, 123, 124, 114, 188, 113, 187)
EAR_TOPS, EAR_LOBES, MOUTH_CORNERS, CHIN = (109, 112), (111, 114), (87, 93), 129
BROWS = tuple(range(71, 87))
UPPER_LIP = tuple(range(88, 93)), tuple(range(94, 99))  # outer and inner edge, left to right
LOWER_LIP = tuple(range(104, 109)), tuple(range(99, 104))

# In the order in which they are drawn; brows are drawn under the hair, the others over it.
OUTLINES = (
    ("nose", (50, 51, 52, 61, 62, 63, 64, 55, 69, 68, 67, 66, 58, 57, 56)),
    ("left-eyebrow", (71, 72, 73, 74, 75, 76, 84, 83)),
    ("right-eyebrow", (77, 78, 79, 80, 81, 82, 86, 85)),
    ("left-eye", (18, 19, 20, 21, 22, 30, 29, 28)),
    ("right-eye", (23, 24, 25, 26, 27, 33, 32, 31)),
    ("upper-lip", (87, *UPPER_LIP[0], 93, *reversed(UPPER_LIP[1]))),
    ("lower-lip", (87, *LOWER_LIP[1], 93, *reversed(LOWER_LIP[0]))),
    ("mouth", (87, *UPPER_LIP[1], 93, *reversed(LOWER_LIP[1]))),
)
SMALLEST_EYE_DISTANCE = 16.0  # pixels; outlines of a smaller face are but a few pixels


def portrait_mask(pixels: Pixels, points: Array) -> Pixels:
    """The mask of a portrait before a plain backdrop, from its 189 landmarks.

    pixels : (S, S, 3) uint8; 512 is a good size, other sizes are made from it.
    points : (189, 2), (x, y) in its pixels.

    Returns: (S, S) uint8 labels. Where the lips are shut there is no mouth between them.
    """
    if pixels.ndim != 3 or pixels.shape[0] != pixels.shape[1] or pixels.shape[2] != 3:
        raise InvalidArrayError(f"a portrait must be (S, S, 3), not {pixels.shape}")
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise InvalidArrayError(f"{POINTS} points (x, y) are needed, not {points.shape}")
    size = len(pixels)
    head = head_of(points, size)
    person, hair = find_hair(pixels, head)
    above = np.arange(size)[:, None] < head.ear_top
    scalp = opened(person & above & ~hair, head.pixels(0.05))
    skin = head.face | (head.ears & person) | scalp
    skin &= person | ~above  # a hairline drawn beyond the head
    mask = np.zeros((size, size), np.uint8)
    mask[skin] = LABELS.index("skin")
    mask[hair] = LABELS.index("hair")
    for name, outline in OUTLINES:
        part = filled(points[list(outline)], size)
        mask[part & ~hair if name.endswith("brow") else part] = LABELS.index(name)
    return mask


def head_of(points: Array, size: int) -> Head:
    """What 189 landmarks say about a head in a picture of ``size`` x ``size``."""
    distance = float(np.hypot(*(points[PUPILS[1]] - points[PUPILS[0]])))
    if distance < SMALLEST_EYE_DISTANCE:
        raise DataError(f"the eyes are only {distance:.0f} pixels apart")
    rows = points[:, 1]
    jaw = points[list(LOWER_JAW)]
    jaw = jaw[np.argsort(jaw[:, 0])]
    columns = np.arange(size) + 0.5
    features = np.zeros((size, size), dtype=bool)
    for name, outline in OUTLINES:
        if name != "nose":
            features |= filled(points[list(outline)], size)
    return Head(
        face=filled(points[list(FACE)], size),
        ears=filled(points[list(LEFT_EAR)], size) | filled(points[list(RIGHT_EAR)], size),
        features=features,
        jaw=np.interp(columns, jaw[:, 0], jaw[:, 1], left=np.inf, right=np.inf),
        eye_distance=distance,
        brow_top=float(rows[list(BROWS)].min()),
        brow_bottom=float(rows[list(BROWS)].max()),
        ear_top=float(rows[list(EAR_TOPS)].mean()),
        ear_bottom=float(rows[list(EAR_LOBES)].mean()),
        mouth=float(rows[list(MOUTH_CORNERS)].mean()),
        chin=float(rows[CHIN]),
    )


def filled(outline: Array, size: int) -> Array:
    """The inside of an outline (n, 2) in (x, y): (size, size) bool, its edge included."""
    canvas = Image.new("L", (size, size))
    corners = [(float(x) - 0.5, float(y) - 0.5) for x, y in outline]
    ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
    return np.asarray(canvas) > 0


def resized_mask(mask: Pixels, size: int) -> Pixels:
    """A square mask at another size: every pixel takes the label that has most of it.

    mask : (S, S) uint8 labels.

    Returns: (size, size) uint8.
    """
    if len(mask) == size:
        return mask
    labels = np.unique(mask)
    shares = [
        np.asarray(
            Image.fromarray((mask == label).astype(np.float32)).resize(
                (size, size), Image.Resampling.BOX
            )
        )
        for label in labels
    ]
    return labels[np.argmax(shares, axis=0)]


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

    source, target : photos of one person, (H, W, 3) uint8.
    points : (189, 2), (x, y) in ``source``.
    eyes : (2, 2), the pupils in ``target``.

    Returns: (189, 2) float64, in ``target``.
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
