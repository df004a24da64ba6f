"""Dense landmarks as files: webmorph's template, 51 points of ibug's mark-up, JSON, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import FaceError
from pixelreg.faces.dense import PARTS, POINTS, DenseFace
from pixelreg.faces.landmarks import text_of_points

# Lines through the points, by their numbers in the London template, as that draws them.
CONTOURS: tuple[tuple[int, ...], ...] = (
    *((18, 19, 20, 21, 22), (18, 28, 29, 30, 22), (23, 24, 25, 26, 27), (23, 31, 32, 33, 27)),
    *((71, 72, 73, 74, 75, 76), (71, 83, 84, 76), (77, 78, 79, 80, 81, 82), (77, 85, 86, 82)),
    *((51, 53, 54, 55), (57, 59, 60, 55), (61, 62, 63, 64, 65), (66, 67, 68, 69, 70)),
    *((87, 88, 89, 90, 91, 92, 93), (87, 94, 95, 96, 97, 98, 93)),
    *((87, 99, 100, 101, 102, 103, 93), (87, 104, 105, 106, 107, 108, 93)),
    tuple(range(125, 134)),
)
# The points 17 to 67 of the 68-point mark-up (Sagonas et al., "300 Faces in-the-Wild Challenge",
# 2013), each the mean of these. Its first 17, from ear to ear, go higher than our jaw does.
_IBUG: tuple[tuple[int, ...], ...] = (
    *((71,), (72,), (73,), (74,), (75,), (78,), (79,), (80,), (81,), (82,)),
    *((51, 57), (51, 57, 53, 59), (53, 59), (54, 55, 60)),
    *((64,), (64, 55), (55,), (55, 69), (69,)),
    *((18,), (19,), (21,), (22,), (30,), (28,), (23,), (24,), (26,), (27,), (33,), (31,)),
    *((87,), (88,), (89,), (90,), (91,), (92,), (93,), (108,), (107,), (106,), (105,), (104,)),
    *((87, 87, 94, 99), (95,), (96,), (97,), (93, 93, 98, 103), (102,), (101,), (100,)),
)
SIDE = 1200  # pixels of the longer side of the picture, about
MARGIN = 0.35  # eye distances around the points
LARGEST_ZOOM = 8.0
DOT, LINE, INK, PAPER = (0, 255, 120), (0, 140, 255), (255, 255, 0), (0, 0, 0)


@dataclass(frozen=True, eq=False)
class Marked:
    """One face of a photo, for a file.

    photo : the name of the photo's file.
    size : its width and height in pixels.
    face : the landmarks.
    """

    photo: str
    size: tuple[int, int]
    face: DenseFace


def tem_text(marked: Marked) -> str:
    """A webmorph template of the 82 points, with lines through them."""
    rows = [f"{x:.2f}\t{y:.2f}" for x, y in marked.face.points]
    lines = [str(len(CONTOURS))]
    for contour in CONTOURS:
        numbers = " ".join(str(POINTS.index(number)) for number in contour)
        lines += ["0", str(len(contour)), numbers]
    return "\n".join([str(len(rows)), *rows, *lines]) + "\n"


def pts_text(marked: Marked) -> str:
    """The 51 points that the 68-point mark-up has inside the face."""
    places = ([POINTS.index(number) for number in numbers] for numbers in _IBUG)
    return text_of_points(np.array([marked.face.points[some].mean(axis=0) for some in places]))


def json_text(marked: Marked) -> str:
    """All points with their numbers and parts, and how sure they are."""
    face = marked.face
    facts: dict[str, Any] = {
        "photo": marked.photo,
        "width": marked.size[0],
        "height": marked.size[1],
        "source": face.source,
        "doubt": round(face.doubt, 5),
        "eye_distance": round(float(np.hypot(*(face.points[17] - face.points[0]))), 3),
    }
    part_of = {k: part for part, where in PARTS.items() for k in range(82)[where]}
    points = [
        {"number": number, "part": part_of[k], "x": round(float(x), 3), "y": round(float(y), 3)}
        for k, (number, (x, y)) in enumerate(zip(POINTS, face.points, strict=True))
    ]
    return json.dumps({**facts, "points": points}, indent=1, ensure_ascii=False) + "\n"


# format -> what makes its text; the suffix is the format's name.
FORMATS: dict[str, Callable[[Marked], str]] = {
    "tem": tem_text,
    "pts": pts_text,
    "json": json_text,
}


def picture_of(pixels: Pixels, points: Float64) -> Pixels:
    """The part of a photo (H, W, 3) with a face, and its numbered points drawn upon it."""
    image, moved = _enlarged(pixels, points)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(9, max(image.size) // 100))
    thick = max(1, max(image.size) // 600)
    for contour in CONTOURS:
        ends = [tuple(moved[POINTS.index(number)]) for number in contour]
        draw.line(ends, LINE, thick)
    radius = 1.5 * thick
    for number, (x, y) in zip(POINTS, moved, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), DOT)
        place = (x + radius, y + radius)
        draw.text(place, str(number), INK, font, stroke_width=thick, stroke_fill=PAPER)
    return np.asarray(image)


def _enlarged(pixels: Pixels, points: Float64) -> tuple[Image.Image, Float64]:
    """The surroundings of the points at a size to be read, and the points in them."""
    height, width = pixels.shape[:2]
    if not ((points >= 0) & (points <= [width, height])).all(axis=1).any():
        raise FaceError(f"the landmarks lie outside the picture, which is {width}x{height} pixels")
    margin = MARGIN * float(np.hypot(*(points[17] - points[0])))
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin), low + 1, [width, height]).astype(int)
    part = Image.fromarray(pixels[low[1] : high[1], low[0] : high[0]])
    zoom = min(LARGEST_ZOOM, SIDE / max(part.size))
    size = max(1, round(part.width * zoom)), max(1, round(part.height * zoom))
    scale = np.array(size) / part.size
    moved: Float64 = (points - low) * scale
    return part.resize(size, Image.Resampling.LANCZOS), moved
