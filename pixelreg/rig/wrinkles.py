"""Wrinkles that expressions fold into skin, drawn by formula: curves on the face at rest.

Lengths are in cm on the rig's head; curves are of one half and mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Array, Floats

LEFT, TOP, WIDTH, HEIGHT = -7.0, 11.0, 14.0, 17.0
FINE = 14  # map pixels a cm
MOST = 1.2  # a wrinkle at this drive deepens no further
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A quadratic curve through two points towards a third, its width and its strength."""

    start: Point
    towards: Point
    end: Point
    width: float
    strength: float


@dataclass(frozen=True)
class Wrinkle:
    """Lines that shapes drive together: the weights of the shapes (bare names) and the lines."""

    drive: Mapping[str, float]
    lines: tuple[Line, ...]


def _across(y: float, strength: float) -> Line:
    return Line((0, y), (2.2, y + 0.25), (4.0, y - 0.35), 0.15, strength)


WRINKLES: Mapping[str, Wrinkle] = {
    "frown": Wrinkle(
        {"browDown": 1.0},
        (
            Line((0.75, 4.9), (0.72, 5.6), (1.05, 6.3), 0.13, 1.0),
            Line((0.28, 5.0), (0.25, 5.4), (0.3, 5.9), 0.1, 0.35),
        ),
    ),
    "forehead": Wrinkle(
        {"browInnerUp": 0.6, "browOuterUp": 0.6},
        (_across(7.6, 0.8), _across(8.5, 1.0), _across(9.35, 0.7)),
    ),
    "fold": Wrinkle(
        {
            **{"mouthSmile": 0.8, "noseSneer": 0.7, "mouthUpperUp": 0.7},
            **{"mouthStretch": 0.3, "mouthFrown": 0.15},
        },
        (Line((1.75, -0.35), (2.7, -1.2), (3.2, -3.2), 0.2, 1.0),),
    ),
    "nose": Wrinkle(
        {"noseSneer": 1.0},
        (
            Line((0.35, 3.7), (0.75, 3.3), (1.15, 2.9), 0.1, 0.7),
            Line((0.35, 3.1), (0.8, 2.7), (1.2, 2.2), 0.1, 0.6),
        ),
    ),
    "crow": Wrinkle(
        {"eyeSquint": 0.5, "cheekSquint": 0.6},
        (
            Line((4.9, 3.4), (5.4, 3.5), (5.9, 3.75), 0.09, 0.5),
            Line((4.85, 3.05), (5.3, 2.9), (5.8, 2.75), 0.09, 0.5),
            Line((2.2, 2.45), (3.3, 2.0), (4.6, 2.5), 0.14, 0.7),
        ),
    ),
}


def draw_wrinkles() -> dict[str, Floats]:
    """The map of every wrinkle of the half with x > 0, (h, w) float32, below 0 where it is dark."""
    return {
        name: np.sum([_drawn(line) for line in wrinkle.lines], axis=0)
        for name, wrinkle in WRINKLES.items()
    }


def folded(maps: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats | None:
    """What wrinkles add to the logarithm of the skin's brightness, (h, w); None for nothing."""
    total = None
    for name, wrinkle in WRINKLES.items():
        for side in ("_L", "_R"):
            drive = sum(
                share * (weights.get(shape, 0) + weights.get(shape + side, 0))
                for shape, share in wrinkle.drive.items()
            )
            if drive > 0:
                total = np.zeros_like(maps[name]) if total is None else total
                drawn = maps[name] if side == "_L" else maps[name][:, ::-1]
                total += np.float32(min(drive, MOST)) * drawn
    return total


def look_up(total: Floats, x: Floats, y: Floats) -> Floats:
    """Bilinear values of a map at places of the face at rest, 0 outside."""
    across, down = (x - LEFT) * FINE - 0.5, (TOP - y) * FINE - 0.5
    left, top = np.floor(across).astype(np.intp), np.floor(down).astype(np.intp)
    height, width = total.shape
    inside = (left >= 0) & (top >= 0) & (left < width - 1) & (top < height - 1)
    left, top = np.where(inside, left, 0), np.where(inside, top, 0)
    u, v = (across - left).astype(np.float32), (down - top).astype(np.float32)
    flat, at = total.reshape(-1), top * width + left
    above = flat[at] * (1 - u) + flat[at + 1] * u
    below = flat[at + width] * (1 - u) + flat[at + width + 1] * u
    return np.where(inside, above * (1 - v) + below * v, 0)


def _drawn(line: Line) -> Floats:
    t = np.linspace(0, 1, 60)[:, None]
    start, towards, end = (np.array(p) for p in (line.start, line.towards, line.end))
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * towards + t**2 * end
    along = t[:, 0]
    # A line that crosses the middle is whole there; others fade out at both ends.
    deep = (
        np.cos(along * np.pi / 2) if start[0] == 0 else np.sin(np.pi * (along * 0.92 + 0.04)) ** 0.7
    )
    tangents = np.gradient(curve, axis=0)
    out = np.zeros((round(HEIGHT * FINE), round(WIDTH * FINE)), np.float32)
    reach = 5 * line.width
    low, high = curve.min(axis=0) - reach, curve.max(axis=0) + reach
    columns = slice(max(0, int((low[0] - LEFT) * FINE)), int((high[0] - LEFT) * FINE) + 1)
    rows = slice(max(0, int((TOP - high[1]) * FINE)), int((TOP - low[1]) * FINE) + 1)
    x = LEFT + (np.arange(out.shape[1])[columns] + 0.5) / FINE
    y = TOP - (np.arange(out.shape[0])[rows] + 0.5) / FINE
    dx, dy = x[None, :, None] - curve[:, 0], y[:, None, None] - curve[:, 1]
    squares = dx * dx + dy * dy
    nearest = squares.argmin(axis=-1)[..., None]
    side = np.sign(dy * tangents[:, 0] - dx * tangents[:, 1])
    far = np.sqrt(np.take_along_axis(squares, nearest, -1)) * np.take_along_axis(side, nearest, -1)
    far, width = far[..., 0], line.width
    groove = -np.exp(-(far**2) / (2 * width**2))
    ridge = 0.55 * np.exp(-((far - 1.9 * width) ** 2) / (2 * (1.3 * width) ** 2))
    out[rows, columns] = line.strength * deep[nearest[..., 0]] * (groove + ridge)
    return out


def wrinkled(maps: Mapping[str, Floats], rest: Floats) -> Array:
    """Which vertices at rest lie where any wrinkle is drawn, (n,) bool."""
    anywhere = sum(np.abs(m) + np.abs(m[:, ::-1]) for m in maps.values())
    return look_up(anywhere, rest[:, 0], rest[:, 1]) > 1e-3  # type: ignore[arg-type]
