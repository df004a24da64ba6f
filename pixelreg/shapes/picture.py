"""What each component does: a sheet of drawings at -1, 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import InvalidArrayError
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.pictures.warp import fetch_linear
from pixelreg.shapes.components import FLOW, MESH, Blendshapes
from pixelreg.shapes.flow import dense_flow

VALUES = (-1.0, 0.0, 1.0)
CELL = 224
FINER = 3  # drawn this many times larger, then averaged
MARGIN = 0.06
PAPER, STILL, EYE = (255, 255, 255), (205, 205, 205), (120, 120, 120)
HOT = np.array([(70, 90, 150), (200, 40, 40)], float)  # a little and the most movement


def component_sheet(
    shapes: Blendshapes,
    values: Sequence[float] = VALUES,
    face: Pixels | None = None,
    cell: int = CELL,
) -> Pixels:
    """Every component at some values, one a row.

    A mesh is drawn from the front, landmarks as points, each with a line from its resting place. Of
    flow, an arrow leads from where a point of the neutral face is to where it goes.

    values : the values of each component, the others 0.
    face : (S, S, 3) uint8, an aligned crop that components of kind flow are shown on; None draws.
    cell : side of a drawing in pixels.

    Returns: (H, W, 3) uint8.
    """
    unit = "" if shapes.kind == MESH else " px"
    labels = [f"{n} {r:.3g}{unit}" for n, r in zip(shapes.names, shapes.ranges, strict=True)]
    columns = []
    for value in values:
        rows = value * np.eye(shapes.count)
        if face is None:
            pictures = [draw(shapes, p, cell) for p in rows]
        else:
            pictures = [moved_face(shapes, p, face) for p in rows]
        columns.append((f"{value:g}", pictures))
    return contact_sheet(columns, labels, cell)


def moved_face(shapes: Blendshapes, p: Float64, face: Pixels) -> Pixels:
    """A neutral crop moved by the flow of p: (S, S, 3) uint8. Nothing changes its colour."""
    flow = dense_flow(shapes, p)
    if face.shape != (shapes.size, shapes.size, 3) or face.dtype != np.uint8:
        raise InvalidArrayError(f"the face must be ({shapes.size}, {shapes.size}, 3) uint8")
    rows, columns = np.indices(flow.shape[:2])
    moved = fetch_linear(face, columns + flow[..., 0], rows + flow[..., 1])
    return np.rint(np.clip(moved, 0, 255)).astype(np.uint8)


def draw(shapes: Blendshapes, p: Float64, cell: int = CELL) -> Pixels:
    """A drawing of S(p): (cell, cell, 3) uint8."""
    side = cell * FINER
    scale, shift = _fit(shapes, side)
    still = _flat(shapes.mean.astype(np.float64)) * scale + shift
    moved = _flat(shapes.shape(p)) * scale + shift
    far = np.linalg.norm(shapes.shape(p) - shapes.mean, axis=1) / float(shapes.ranges.max())
    if shapes.kind == FLOW:
        still, moved = moved, still  # it says where a point comes from
    image = Image.new("RGB", (side, side), PAPER)
    pen = ImageDraw.Draw(image)
    for a, b in _edges(shapes):
        pen.line([*moved[a], *moved[b]], STILL if not far[[a, b]].any() else _colour(far[a]), 1)
    if shapes.frame is not None:
        for eye in np.array(shapes.frame.eyes) * shapes.size * scale + shift:
            pen.ellipse([*(eye - side / 60), *(eye + side / 60)], outline=EYE, width=FINER)
    for start, end, share in sorted(zip(still, moved, far, strict=True), key=lambda one: one[2]):
        colour = _colour(share) if share > 0.02 else STILL
        if share > 0.02:
            pen.line([*start, *end], colour, 2 * FINER)
        if share > 0.02 or not len(shapes.faces):
            _dot(pen, end, (1.2 if share <= 0.02 else 2.0) * FINER, colour)
    pen.rectangle([0, 0, side - 1, side - 1], outline=STILL, width=FINER)
    return np.asarray(image.resize((cell, cell), Image.Resampling.BOX))


def _flat(vertices: Float64) -> Float64:
    """(n, 2): a mesh seen from the front, y upwards; pictures as they are."""
    return vertices if vertices.shape[1] == 2 else vertices[:, :2] * np.array([1.0, -1.0])


def _fit(shapes: Blendshapes, side: int) -> tuple[float, Float64]:
    """What takes the vertices into a square: a scale, and a shift."""
    if shapes.kind != MESH:
        return side / shapes.size, np.zeros(2)
    points = _flat(shapes.mean.astype(np.float64))
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float(np.max(high - low)) or 1.0
    scale = side * (1 - 2 * MARGIN) / reach
    return scale, side / 2 - scale * (low + high) / 2


def _edges(shapes: Blendshapes) -> list[tuple[int, int]]:
    a, b, c = shapes.faces.T
    pairs = np.sort(np.stack([np.r_[a, b, c], np.r_[b, c, a]], axis=1), axis=1)
    return [(int(i), int(j)) for i, j in np.unique(pairs, axis=0)]


def _colour(share: float) -> tuple[int, int, int]:
    red, green, blue = HOT[0] + (HOT[1] - HOT[0]) * min(float(share), 1.0)
    return round(red), round(green), round(blue)


def _dot(pen: ImageDraw.ImageDraw, at: Any, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = at
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], colour)
