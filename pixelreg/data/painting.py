"""How drawn faces are painted: shapes as signed distances, laid over each other, back to front.

Every shape is a field that is positive inside and measured in pixels near its edge, so one clip
gives an anti-aliased mask at any size, and a small change of any number is a small change of the
picture. Lengths are fractions of the picture's side, x to the right and y down.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Float64

if TYPE_CHECKING:
    from pixelreg.data.synthetic import Identity

Field = NDArray[np.floating[Any]]
Curve = Callable[[Field], Field]
Pose = Mapping[str, float]

SKIN_TONES = np.array(
    [(0.99, 0.87, 0.79), (0.88, 0.68, 0.53), (0.60, 0.41, 0.29), (0.37, 0.24, 0.18)],
    np.float32,
)
HAIR_COLOURS = np.array(
    [(0.10, 0.085, 0.09), (0.31, 0.20, 0.13), (0.48, 0.22, 0.11), (0.82, 0.66, 0.42)], np.float32
)
EYE_COLOURS = np.array([(0.26, 0.15, 0.08), (0.50, 0.38, 0.16), (0.24, 0.47, 0.62)], np.float32)
HAIR_STYLES = ("short", "long", "bob", "curly")
CENTRE, WIDEST, SKULL, EYES = 0.5, 0.43, 0.055, 0.39
SHADOW = (0.78, 0.66, 0.64)


def paint(identity: Identity, pose: Pose, size: int) -> Field:
    """The whole picture: (size, size, 3) float32, near [0, 1] but not clipped."""
    canvas = Canvas(identity, size)
    canvas.background()
    _hair_behind(canvas)
    _body(canvas)
    _head(canvas, pose)
    for side in (-1, 1):
        _eye(canvas, pose, side)
        _brow(canvas, pose, side)
    _nose(canvas)
    _mouth(canvas, pose)
    _hair_in_front(canvas)
    if identity.glasses:
        _glasses(canvas)
    return canvas.pixels


def landmarks(identity: Identity, pose: Pose) -> Float64:
    """Pupils, tip of the nose, corners of the mouth: (5, 2) fractions of the side."""
    half, mouth = identity.eye_spacing / 2, Mouth(identity, pose)
    points = np.array(
        [
            *[(CENTRE - half, EYES), (CENTRE + half, EYES), (CENTRE, identity.nose_height)],
            *[(CENTRE - mouth.half, mouth.corner), (CENTRE + mouth.half, mouth.corner)],
        ]
    )
    sine, cosine = math.sin(identity.tilt), math.cos(identity.tilt)
    turned = (points - CENTRE) @ np.array([(cosine, sine), (-sine, cosine)])
    return turned + CENTRE + (identity.shift_x, identity.shift_y)


class Canvas:
    """Pixels, the person, and the head's own coordinates (turned and shifted with the head)."""

    def __init__(self, one: Identity, size: int) -> None:
        self.one, self.size = one, size
        self.pixels = np.empty((size, size, 3), np.float32)
        tone = float(np.clip(one.skin, 0.0, 1.0)) * (len(SKIN_TONES) - 1)
        low = min(int(tone), len(SKIN_TONES) - 2)
        self.skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
        self.hair = HAIR_COLOURS[one.hair_colour]
        self.plain = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        x, y = (self.plain - one.shift_x)[None, :], (self.plain - one.shift_y)[:, None]
        sine, cosine = math.sin(one.tilt), math.cos(one.tilt)
        if one.tilt:
            x, y = cosine * x + sine * y, cosine * y - sine * x
        self.x, self.y = x + CENTRE, y + CENTRE
        across, down = x / 0.42, (y + 0.02) / 0.6
        depth = np.sqrt(np.maximum(0.05, 1.0 - across**2 - down**2))
        lit = 0.55 * math.sin(one.light_angle) * across - 0.4 * math.cos(one.light_angle) * down
        self.light: Field = one.light_strength * (lit + 0.55 * depth - 0.42)

    def background(self) -> None:
        """A wall, which stays where it is when the head moves."""
        colour = colorsys.hls_to_rgb(self.one.background % 1.0, self.one.background_light, 0.32)
        fall = self.plain[:, None] ** 2 + self.plain[None, :] ** 2
        self.pixels[:] = (1.06 - 0.35 * fall)[..., None] * np.array(colour, np.float32)

    def part(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """The rectangle around a box in head coordinates, to paint in quickly."""
        one, part = self.one, copy(self)
        sine, cosine = math.sin(one.tilt), math.cos(one.tilt)
        corners = [(x - CENTRE, y - CENTRE) for x in (left, right) for y in (top, bottom)]
        columns = self._span([cosine * x - sine * y + one.shift_x for x, y in corners])
        rows = self._span([sine * x + cosine * y + one.shift_y for x, y in corners])
        part.pixels, part.light = self.pixels[rows, columns], self.light[rows, columns]
        part.x = self.x[rows if len(self.x) > 1 else slice(None), columns]
        part.y = self.y[rows, columns if self.y.shape[1] > 1 else slice(None)]
        return part

    def _span(self, values: list[float]) -> slice:
        low, high = ((value + CENTRE) * self.size for value in (min(values), max(values)))
        return slice(max(math.floor(low) - 1, 0), max(math.ceil(high) + 1, 0))

    def lit(self, colour: Any) -> Field:
        """A colour under the light; shade falls more on blue, so skin stays warm."""
        return colour * (1.0 + self.light[..., None] * np.array((0.75, 0.95, 1.05), np.float32))

    def mask(self, distance: Field, soft: float = 0.0) -> Field:
        """Coverage of a field of distances, fading over one pixel or over ``soft``."""
        covered: Field = np.clip(distance / max(soft, 1.0 / self.size) + 0.5, 0.0, 1.0)
        return covered * covered * (3.0 - 2.0 * covered) if soft * self.size > 2.0 else covered

    def ellipse(self, x: float, y: float, wide: float, high: float) -> Field:
        """Distance into an ellipse, first order in the distance to its edge."""
        across, down = (self.x - x) / wide, (self.y - y) / high
        reach = np.sqrt(across**2 + down**2)
        slope = np.sqrt((across / wide) ** 2 + (down / high) ** 2) + 1e-6
        return (1.0 - reach) * np.maximum(reach, 0.1) / slope

    def band(self, top: Curve, bottom: Curve, left: float, right: float) -> Field:
        """Distance into the region between two curves y(x) and two verticals."""
        x, step, edges = self.x, 1e-3, []
        for curve, sign in ((top, 1.0), (bottom, -1.0)):
            # Curves may end upright; a bounded slope keeps their ends from smearing along y.
            slope = np.clip((curve(x + step) - curve(x - step)) / (2 * step), -3.0, 3.0)
            edges.append(sign * (self.y - curve(x)) / np.sqrt(1.0 + slope * slope))
        # The third term keeps the coverage of a band thinner than a pixel equal to its thickness.
        inner = np.minimum(np.minimum(*edges), edges[0] + edges[1] - 0.5 / self.size)
        return np.minimum(inner, np.minimum(x - left, right - x))

    def edge(self, field: Field) -> Field:
        """Distance into the region where any smooth field is positive."""
        down, across = np.gradient(field)
        return field / (np.sqrt(down * down + across * across) + 1e-5) / self.size

    def fill(self, mask: Field, colour: Any, alpha: float = 1.0) -> None:
        """Lay a colour over what is there."""
        self.pixels += (alpha * mask)[..., None] * (np.asarray(colour, np.float32) - self.pixels)

    def shade(self, mask: Field, tint: Any = SHADOW, alpha: float = 1.0) -> None:
        """Multiply what is there by a tint."""
        self.pixels *= 1.0 + (alpha * mask)[..., None] * (np.asarray(tint, np.float32) - 1.0)


class Mouth:
    """The four curves of the lips for a person and a pose; all are functions y(x)."""

    def __init__(self, one: Identity, pose: Pose) -> None:
        self.half = one.mouth_width + pose["mouth_wide"]
        self.curve = pose["mouth_curve"] + 0.004
        self.middle = one.mouth_height - pose["mouth_lift"] + 0.012 * pose["jaw"]
        self.corner = self.middle - 0.6 * self.curve
        self.gap = pose["mouth_open"]
        # A smile hangs from the upper lip, a gasp opens both ways.
        self.share = 0.42 - 7.0 * min(max(pose["mouth_curve"], 0.0), 0.05)
        self.power = 1.0 - 0.55 * pose["mouth_round"]
        self.lip_upper, self.lip_lower = one.lip_upper, one.lip_lower

    def line(self, t: Field) -> Field:
        """Where closed lips meet."""
        return self.middle + self.curve * (0.4 - np.minimum(1.0, self._u(t) ** 2))

    def top(self, t: Field) -> Field:
        """The upper edge of the opening."""
        return self.line(t) - self.share * self.gap * bump(self._u(t), self.power)

    def bottom(self, t: Field) -> Field:
        """The lower edge of the opening."""
        return self.line(t) + (1.0 - self.share) * self.gap * bump(self._u(t), self.power)

    def upper(self, t: Field) -> Field:
        """The upper edge of the upper lip, with Cupid's bow."""
        u = self._u(t)
        bow: Field = 1.0 - 0.25 * np.maximum(0.0, 1.0 - (u / 0.22) ** 2)
        return self.top(t) - self.lip_upper * bow * bump(u, 0.8)

    def lower(self, t: Field) -> Field:
        """The lower edge of the lower lip."""
        return self.bottom(t) + self.lip_lower * bump(self._u(t), 0.6)

    def _u(self, t: Field) -> Field:
        return (t - CENTRE) / self.half


def bump(u: Field, power: float = 1.0) -> Field:
    """(1 - u^2)^power inside [-1, 1], 0 outside."""
    return np.maximum(0.0, 1.0 - u * u) ** power


def _body(canvas: Canvas) -> None:
    one, canvas = canvas.one, canvas.part(0.0, 0.58, 1.0, 1.1)
    neck = 0.12 + 0.35 * (one.head_width - 0.27)
    sides = np.minimum(canvas.y - 0.6, neck - np.abs(canvas.x - CENTRE))
    throat = canvas.mask(sides)
    canvas.fill(throat, canvas.lit(canvas.skin * 0.93))
    canvas.shade(throat * canvas.mask(canvas.ellipse(0.5, one.chin, 0.2, 0.085), 0.06), alpha=0.75)
    shirt = np.array(colorsys.hls_to_rgb(one.shirt % 1.0, 0.42, 0.38))
    collar = canvas.ellipse(0.5, 0.93, neck * 1.1, 0.062)
    shoulders = np.minimum(canvas.ellipse(0.5, 1.16, 0.47, 0.215), -collar)
    canvas.fill(canvas.mask(shoulders), canvas.lit(shirt))


def _head(canvas: Canvas, pose: Pose) -> None:
    one = canvas.one
    for side in (-1, 1):
        x, y = CENTRE + side * (one.head_width + 0.002), EYES + 0.06
        canvas.fill(canvas.mask(canvas.ellipse(x, y, 0.036, 0.065)), canvas.lit(canvas.skin * 0.95))
        canvas.shade(
            canvas.mask(canvas.ellipse(x + side * 0.006, y, 0.018, 0.04), 0.015), alpha=0.7
        )
    down = canvas.y - WIDEST
    above = np.maximum(0.0, -down) / (WIDEST - SKULL)
    below = np.maximum(0.0, down) / (one.chin + 0.035 * pose["jaw"] - WIDEST)
    across = (canvas.x - CENTRE) / (one.head_width * (1.0 - one.taper * below * below))
    field = 1.0 - across * across - above**2.3 - below**one.jaw
    mask = canvas.mask(canvas.edge(field))
    canvas.fill(mask, canvas.lit(canvas.skin))
    # A darker rim turns the flat shape into a round one.
    canvas.shade(mask * np.clip(1.0 - field / 0.3, 0.0, 1.0) ** 2, alpha=0.5)
    for side in (-1, 1):
        cheek = canvas.ellipse(CENTRE + side * 0.165, 0.565 - 0.018 * pose["cheek"], 0.07, 0.055)
        flush = min(1.0, 0.5 * one.blush + 0.4 * pose["cheek"])
        canvas.shade(canvas.mask(cheek, 0.11), (1.02, 0.80, 0.78), flush)


def _eye(canvas: Canvas, pose: Pose, side: int) -> None:
    one, half = canvas.one, canvas.one.eye_width
    x = CENTRE + side * one.eye_spacing / 2
    canvas = canvas.part(x - 0.12, EYES - 0.1, x + 0.12, EYES + 0.1)
    high = one.eye_open * (1.0 + pose["lid_upper"])
    low = one.eye_open * 0.68 * (1.0 - 0.8 * pose["lid_lower"])

    def upper(t: Field) -> Field:
        u = (t - x) * (side / half)  # -1 at the nose, 1 at the temple
        tilted: Field = 1.0 + pose["lid_tilt"] * np.clip(u, -1.0, 1.0)
        return EYES + 0.004 - one.eye_slant * u - high * tilted * bump(u, 0.72)

    def lower(t: Field) -> Field:
        u = (t - x) * (side / half)
        return EYES + 0.004 - one.eye_slant * u + low * bump(u, 0.9)

    canvas.shade(canvas.mask(canvas.ellipse(x, EYES - 0.008, half * 1.1, 0.04), 0.06), alpha=0.35)
    crease = canvas.band(lambda t: upper(t) - 0.021, lambda t: upper(t) - 0.016, x - half, x + half)
    canvas.shade(canvas.mask(crease, 0.007), alpha=0.75)
    opening = canvas.mask(canvas.band(upper, lower, x - half, x + half))
    canvas.fill(opening, (0.965, 0.955, 0.945))
    reach = np.sqrt((canvas.x - x) ** 2 + (canvas.y - EYES) ** 2)
    glow = np.clip(0.85 + 9.0 * (canvas.y - EYES) - 0.5 * (reach / one.iris) ** 4, 0.25, 1.6)
    iris = opening * canvas.mask(one.iris - reach)
    canvas.fill(iris, glow[..., None] * EYE_COLOURS[one.eye_colour])
    pupil = one.iris * 0.47 * (1.0 + pose["pupil"])
    canvas.fill(opening * canvas.mask(pupil - reach), (0.03, 0.025, 0.03))
    aside = 0.011 * math.copysign(1.0, one.light_angle)
    for dx, dy, radius, alpha in ((aside, -0.012, 0.0085, 0.95), (-aside, 0.012, 0.005, 0.4)):
        spark = canvas.mask(canvas.ellipse(x + dx, EYES + dy, radius, radius))
        canvas.fill(opening * spark, (1.0, 1.0, 1.0), alpha)
    canvas.shade(opening * canvas.mask(upper(canvas.x) + 0.01 - canvas.y, 0.02), (0.6,) * 3, 0.6)
    lash = canvas.band(
        lambda t: upper(t) - one.lashes,
        lambda t: upper(t) + 0.003,
        x - 1.07 * half,
        x + 1.07 * half,
    )
    canvas.fill(canvas.mask(lash), canvas.hair * 0.25 + 0.03, 0.92)


def _brow(canvas: Canvas, pose: Pose, side: int) -> None:
    one, half = canvas.one, canvas.one.brow_length
    x = CENTRE + side * (one.eye_spacing / 2 + 0.004 - pose["brow_squeeze"])
    canvas = canvas.part(x - 0.11, EYES - 0.2, x + 0.11, EYES)

    def middle(t: Field) -> Field:
        u = (t - x) * (side / half)
        inner, outer = np.clip((1.0 - u) / 2, 0.0, 1.0), np.clip((1.0 + u) / 2, 0.0, 1.0)
        arch = one.brow_arch * bump((u - 0.15) / 1.25)
        rise: Field = arch + pose["brow_inner"] * inner**1.4 + pose["brow_outer"] * outer
        return EYES - one.brow_height + 0.008 - rise

    def thick(t: Field) -> Field:
        return 0.5 * one.brow_thickness * bump(((t - x) * (side / half) + 0.25) / 1.3, 0.5)

    hair = canvas.band(
        lambda t: middle(t) - thick(t), lambda t: middle(t) + thick(t), x - half, x + half
    )
    canvas.fill(canvas.mask(hair, 0.009), 0.78 * canvas.hair + 0.06 * canvas.skin, 0.9)


def _nose(canvas: Canvas) -> None:
    one, tip, half = canvas.one, canvas.one.nose_height, canvas.one.nose_width
    canvas = canvas.part(0.36, 0.34, 0.64, tip + 0.08)
    dark = -math.copysign(1.0, one.light_angle)
    flank = canvas.ellipse(0.5 + dark * 0.028, 0.475, 0.014, 0.1)
    canvas.shade(canvas.mask(flank, 0.035), alpha=0.25 + 0.25 * one.light_strength)
    ridge = canvas.ellipse(0.5 - dark * 0.004, 0.49, 0.008, 0.085)
    canvas.fill(canvas.mask(ridge, 0.03), canvas.skin * 1.12, 0.35)
    canvas.shade(canvas.mask(canvas.ellipse(0.5, tip + 0.033, half * 1.05, 0.01), 0.022), alpha=0.8)
    for wing in (-1, 1):
        x = 0.5 + wing * (half - 0.010)
        inside = canvas.ellipse(x - wing * 0.005, tip + 0.006, 0.017, 0.021)
        crescent = np.minimum(canvas.ellipse(x, tip + 0.008, 0.017, 0.021), -inside)
        canvas.shade(canvas.mask(crescent, 0.008), alpha=0.9)
        hole = canvas.ellipse(0.5 + wing * half * 0.46, tip + 0.023, half * 0.26, 0.0065)
        canvas.shade(canvas.mask(hole, 0.006), (0.35, 0.24, 0.24), 0.8)


def _mouth(canvas: Canvas, pose: Pose) -> None:
    mouth, one = Mouth(canvas.one, pose), canvas.one
    left, right = CENTRE - mouth.half, CENTRE + mouth.half
    canvas = canvas.part(left - 0.04, mouth.middle - 0.12, right + 0.04, mouth.middle + 0.16)
    red = canvas.skin * np.array((0.93, 0.62, 0.62))
    colour = red + one.lip_colour * (np.array((0.72, 0.25, 0.28)) - red) * 0.6
    lips = ((mouth.upper, mouth.line, 0.86), (mouth.line, mouth.lower, 1.0))
    for upper, lower, tint in lips:
        canvas.fill(canvas.mask(canvas.band(upper, lower, left, right)), canvas.lit(colour * tint))
    opening = canvas.mask(canvas.band(mouth.top, mouth.bottom, left, right))
    opening = opening * np.clip(mouth.gap / 0.004, 0.0, 1.0)
    canvas.fill(opening, (0.30, 0.08, 0.09))
    floor = mouth.middle + 0.4 * mouth.curve + (1.0 - mouth.share) * mouth.gap
    tongue = canvas.ellipse(0.5, floor + 0.002, mouth.half * 0.62, 0.32 * mouth.gap + 1e-4)
    canvas.fill(opening * canvas.mask(tongue, 0.012), (0.78, 0.38, 0.38))
    top, bottom = mouth.top(canvas.x), mouth.bottom(canvas.x)
    # Teeth grow with the opening, in the proportion that the full expression shows.
    above = canvas.mask(top + pose["teeth_upper"] * (bottom - top) - canvas.y)
    below = canvas.mask(canvas.y - bottom + pose["teeth_lower"] * (bottom - top))
    shown = np.clip(np.array((pose["teeth_upper"], pose["teeth_lower"])) / 0.05, 0.0, 1.0)
    canvas.fill(opening * np.maximum(above * shown[0], below * shown[1]), (0.965, 0.95, 0.925))
    seam = canvas.band(
        lambda t: mouth.top(t) - 0.002, lambda t: mouth.top(t) + 0.003, left - 0.006, right + 0.006
    )
    canvas.shade(canvas.mask(seam, 0.006), (0.45, 0.28, 0.28), 0.9)
    for x in (left, right):
        canvas.shade(canvas.mask(canvas.ellipse(x, mouth.corner, 0.007, 0.007), 0.014), alpha=0.8)


def _hair_behind(canvas: Canvas) -> None:
    one, style = canvas.one, HAIR_STYLES[canvas.one.hair_style]
    length = {"long": 1.2, "bob": 0.80}.get(style)
    if style == "curly":
        _lay_hair(canvas, _curls(canvas), 0.72)
    elif length is not None:
        flare = 0.06 * np.clip((canvas.y - 0.4) / 0.5, 0.0, 1.0)
        across = np.abs(canvas.x - 0.5) / (one.head_width + one.hair_volume + 0.005 + flare)
        over = np.maximum(0.0, 0.42 - canvas.y) / (0.42 - SKULL + one.hair_volume)
        ends = np.maximum(0.0, canvas.y - length + 0.14) / 0.14
        _lay_hair(canvas, canvas.edge(1.0 - across**2 - over**2.2 - ends**2), 0.72)


def _hair_in_front(canvas: Canvas) -> None:
    one, x, y = canvas.one, canvas.x, canvas.y
    style = HAIR_STYLES[one.hair_style]
    across = (x - 0.5) / (one.head_width + 0.45 * one.hair_volume + 0.004)
    over = np.maximum(0.0, WIDEST - y) / (WIDEST - SKULL + one.hair_volume)
    under = np.maximum(0.0, y - WIDEST) / 0.5
    skull = canvas.edge(1.0 - across * across - over**2.3 - under**2.5)
    side = np.abs(x - 0.5) / one.head_width
    drop = {
        "short": lambda: 0.04 * side**2 + 0.4 * np.maximum(0.0, side - 0.74),
        "long": lambda: 0.22 * side**1.8 + 0.7 * np.clip((side - 0.84) / 0.1, 0.0, 1.0) - 0.05,
        "bob": lambda: 0.075 + 0.03 * side**2 + 0.46 * np.clip((side - 0.80) / 0.08, 0.0, 1.0),
        "curly": lambda: 0.01 + 0.06 * side**2 + 0.5 * np.maximum(0.0, side - 0.66) ** 1.2,
    }[style]()
    line = one.hairline + drop
    slope = np.abs(np.gradient(line, axis=-1)) * canvas.size
    front = (line - y) / np.sqrt(1.0 + np.minimum(slope, 8.0) ** 2)
    canvas.shade(canvas.mask(np.minimum(skull, front + 0.02), 0.03), alpha=0.45)
    _lay_hair(canvas, np.minimum(_curls(canvas) if style == "curly" else skull, front), 1.0)


def _curls(canvas: Canvas) -> Field:
    wide = canvas.one.head_width + canvas.one.hair_volume + 0.045
    across, down = (canvas.x - 0.5) / wide, (canvas.y - 0.40) / 0.42
    bumps = 0.030 * np.abs(np.sin(np.arctan2(across, -down) * 9.0 + canvas.one.pattern % 5))
    return canvas.edge(1.0 + bumps - np.sqrt(across**2 + down**2))


def _lay_hair(canvas: Canvas, distance: Field, dark: float) -> None:
    """Combed hair: rays from a point far below, and a gleam around the crown."""
    phase = (canvas.one.pattern % 997) / 997 * 6.28
    angle = np.arctan2(canvas.x - CENTRE, 1.05 - canvas.y)
    waves = 1.0 + 0.05 * (np.sin(angle * 61.0 + phase) + np.sin(angle * 143.0 - 2.0 * phase))
    crown = np.sqrt((canvas.x - 0.5) ** 2 + (canvas.y - 0.42) ** 2)
    gleam = 0.15 * dark * np.clip(1.0 - np.abs(crown - 0.30) / 0.05, 0.0, 1.0) ** 2
    colour = canvas.lit(canvas.hair * dark) * waves[..., None]
    canvas.fill(canvas.mask(distance), colour + gleam[..., None] * (0.35 + canvas.hair))


def _glasses(canvas: Canvas) -> None:
    one, y, half = canvas.one, EYES + 0.016, 0.098
    canvas = canvas.part(0.1, 0.25, 0.9, 0.55)
    power, high = (2.0, 0.086) if one.glasses == 1 else (4.5, 0.068)
    for side in (-1, 1):
        x = 0.5 + side * (one.eye_spacing / 2 + 0.003)
        across, down = np.abs(canvas.x - x) / half, np.abs(canvas.y - y) / high
        lens = canvas.edge(1.0 - (across**power + down**power) ** (1.0 / power))
        arm = np.minimum(0.005 - np.abs(canvas.y - y + 0.02), side * (canvas.x - x) - half + 0.004)
        arm = np.minimum(arm, one.head_width + 0.008 - side * (canvas.x - 0.5))
        frame = np.maximum(0.0055 - np.abs(lens), arm)
        canvas.fill(canvas.mask(frame), (0.20, 0.13, 0.10))
    gap = one.eye_spacing / 2 + 0.003 - half
    bridge = 0.005 - np.hypot(canvas.y - y + 0.03, np.maximum(np.abs(canvas.x - 0.5) - gap, 0.0))
    canvas.fill(canvas.mask(bridge), (0.20, 0.13, 0.10))
