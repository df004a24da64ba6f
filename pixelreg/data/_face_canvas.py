"""What drawn faces are painted with: shapes as signed distances, laid over each other.

Every shape is a field that is positive inside and measured in pixels near its edge, so one clip
gives an anti-aliased mask at any size. Lengths are fractions of the picture's side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Float64
from pixelreg.data._face_identity import HAIR_COLOURS, Identity

Field = NDArray[np.floating[Any]]
Curve = Callable[[Field], Field]

SKIN_TONES = np.array(
    [
        (0.99, 0.87, 0.79), (0.95, 0.79, 0.67), (0.88, 0.68, 0.53), (0.75, 0.54, 0.39),
        (0.60, 0.41, 0.29), (0.47, 0.31, 0.225), (0.37, 0.24, 0.18),
    ]
)  # fmt: skip
CENTRE, WIDEST, SKULL, EYES = 0.5, 0.43, 0.055, 0.39
SHADOW = (0.78, 0.66, 0.64)


class Canvas:
    """Pixels, the person, and the head's own coordinates (turned and shifted with the head)."""

    def __init__(self, identity: Identity, size: int) -> None:
        self.identity = identity
        self.size = size
        self.pixels = np.empty((size, size, 3), np.float32)
        self.skin = np.array(skin_colour(identity), np.float32)
        self.hair = np.array(hair_colour(identity), np.float32)
        centres = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        self.x = (centres - identity.shift_x)[None, :]
        self.y = (centres - identity.shift_y)[:, None]
        if identity.tilt:
            sine, cosine = math.sin(identity.tilt), math.cos(identity.tilt)
            self.x, self.y = cosine * self.x + sine * self.y, cosine * self.y - sine * self.x
        self.x, self.y = self.x + CENTRE, self.y + CENTRE
        self.light = self._light()

    def _light(self) -> Field:
        """Shade of an egg-shaped head on [-1, 1]; 0 is the plain colour."""
        one = self.identity
        across, down = (self.x - CENTRE) / 0.42, (self.y - 0.48) / 0.6
        depth = np.sqrt(np.maximum(0.05, 1.0 - across**2 - down**2))
        lit = 0.55 * math.sin(one.light_angle) * across - 0.4 * math.cos(one.light_angle) * down
        shade: Field = one.light_strength * (lit + 0.55 * depth - 0.42)
        return shade

    def window(self, left: float, top: float, right: float, bottom: float) -> Window:
        """The part of the canvas around a box in head coordinates."""
        one = self.identity
        sine, cosine = math.sin(one.tilt), math.cos(one.tilt)
        corners = [(x - CENTRE, y - CENTRE) for x in (left, right) for y in (top, bottom)]
        xs = [cosine * x - sine * y + CENTRE + one.shift_x for x, y in corners]
        ys = [sine * x + cosine * y + CENTRE + one.shift_y for x, y in corners]
        return Window(self, self._span(ys), self._span(xs))

    def _span(self, values: list[float]) -> slice:
        low, high = math.floor(min(values) * self.size) - 1, math.ceil(max(values) * self.size) + 1
        return slice(min(max(low, 0), self.size), min(max(high, 0), self.size))

    def lit(self, colour: Field, window: Window, contrast: float = 1.0) -> Field:
        """A colour under the light: (h, w, 3); shade falls more on blue, so skin stays warm."""
        shade = contrast * self.light[window.rows, window.columns, None]
        return colour * (1.0 + shade * np.array((0.75, 0.95, 1.05), np.float32))


class Window:
    """A rectangle of the canvas to paint in, with its coordinates."""

    def __init__(self, canvas: Canvas, rows: slice, columns: slice) -> None:
        self.rows, self.columns, self.size = rows, columns, canvas.size
        self.pixels = canvas.pixels[rows, columns]
        flat = canvas.x.shape[0] == 1
        self.x = canvas.x[:, columns] if flat else canvas.x[rows, columns]
        self.y = canvas.y[rows] if flat else canvas.y[rows, columns]

    def mask(self, distance: Field, soft: float = 0.0) -> Field:
        """Coverage of a field of distances, fading over one pixel or over ``soft``."""
        covered: Field = np.clip(distance / max(soft, 1.0 / self.size) + 0.5, 0.0, 1.0)
        if soft * self.size > 2.0:
            covered = covered * covered * (3.0 - 2.0 * covered)
        return covered

    def band(self, top: Curve, bottom: Curve, left: float, right: float) -> Field:
        """Distance into the region between two curves y(x) and two verticals."""
        x, y, step = self.x, self.y, 1e-3
        edges = []
        for curve, sign in ((top, 1.0), (bottom, -1.0)):
            height = curve(x)
            # Curves may end upright; a bounded slope keeps their ends from smearing along y.
            slope = np.clip((curve(x + step) - curve(x - step)) / (2 * step), -3.0, 3.0)
            edges.append(sign * (y - height) / np.sqrt(1.0 + slope * slope))
        # The third term keeps the coverage of a band thinner than a pixel equal to its thickness.
        inner = np.minimum(np.minimum(edges[0], edges[1]), edges[0] + edges[1] - 0.5 / self.size)
        return np.minimum(inner, np.minimum(x - left, right - x))

    def ellipse(self, x: float, y: float, wide: float, high: float) -> Field:
        """Distance into an ellipse, first order in the distance to its edge."""
        across, down = (self.x - x) / wide, (self.y - y) / high
        reach = np.sqrt(across**2 + down**2)
        slope = np.sqrt((across / wide) ** 2 + (down / high) ** 2) + 1e-6
        distance: Field = (1.0 - reach) * np.maximum(reach, 0.1) / slope
        return distance

    def edge(self, field: Field) -> Field:
        """Distance into the region where any smooth field is positive."""
        down, across = np.gradient(field)
        distance: Field = field / (np.sqrt(down * down + across * across) + 1e-5) / self.size
        return distance

    def fill(self, mask: Field, colour: Field | tuple[float, ...], alpha: float = 1.0) -> None:
        """Lay a colour over what is there."""
        pixels = self.pixels
        pixels += (alpha * mask)[..., None] * (np.asarray(colour, np.float32) - pixels)

    def shade(self, mask: Field, tint: tuple[float, ...], alpha: float = 1.0) -> None:
        """Multiply what is there by a tint."""
        change = np.asarray(tint, np.float32) - np.float32(1.0)
        self.pixels *= 1.0 + (alpha * mask)[..., None] * change


def skin_colour(identity: Identity) -> Float64:
    place = np.clip(identity.skin, 0.0, 1.0) * (len(SKIN_TONES) - 1)
    low = min(int(place), len(SKIN_TONES) - 2)
    tone = SKIN_TONES[low] + (place - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    return np.asarray(tone * (1.0 + identity.warmth * np.array((0.012, 0.0, -0.04))))


def hair_colour(identity: Identity) -> list[float]:
    return [min(0.9, identity.hair_light * part) for part in HAIR_COLOURS[identity.hair_colour]]


def bump(u: Field, power: float = 1.0) -> Field:
    """(1 - u^2)^power inside [-1, 1], 0 outside."""
    inside = np.maximum(0.0, 1.0 - u * u)
    bump: Field = inside if power == 1.0 else inside**power
    return bump
