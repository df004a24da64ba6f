"""The painter behind ``synthetic``: shapes as signed distances, blended back to front.

Every shape is a field that is positive inside and measured in pixels near its edge, so one clip
gives an anti-aliased mask at any size. Lengths are fractions of the picture's side.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pixelreg.data.synthetic import Identity, Pose

Field = npt.NDArray[np.floating[Any]]
Curve = Callable[[Field], Field]

HAIR_STYLES = ("shaved", "short", "parted", "quiff", "long", "bob", "curly", "ponytail", "waves")
FEMALE_STYLES = ("long", "bob", "curly", "ponytail", "waves", "parted", "long", "waves")
MALE_STYLES = ("shaved", "short", "parted", "quiff", "short", "quiff", "curly", "waves")
HAIR_COLOURS = (
    (0.10, 0.085, 0.09), (0.19, 0.13, 0.10), (0.31, 0.20, 0.13), (0.45, 0.29, 0.17),
    (0.48, 0.20, 0.11), (0.75, 0.38, 0.15), (0.74, 0.56, 0.33), (0.88, 0.75, 0.50),
    (0.52, 0.51, 0.51), (0.72, 0.71, 0.69),
)  # fmt: skip
NATURAL_COLOURS = 8  # the rest of the table is grey and white
EYE_COLOURS = (
    (0.26, 0.15, 0.08), (0.40, 0.24, 0.11), (0.50, 0.38, 0.16),
    (0.30, 0.45, 0.25), (0.24, 0.47, 0.62), (0.45, 0.52, 0.56),
)  # fmt: skip
GLASSES = ("none", "round", "rectangular")
BEARDS = ("none", "stubble", "full", "goatee", "moustache")
SKIN_TONES = np.array(
    [
        (0.99, 0.87, 0.79), (0.95, 0.79, 0.67), (0.88, 0.68, 0.53), (0.75, 0.54, 0.39),
        (0.60, 0.41, 0.29), (0.47, 0.31, 0.225), (0.37, 0.24, 0.18),
    ]
)  # fmt: skip
CENTRE, WIDEST, SKULL, EYES = 0.5, 0.43, 0.055, 0.39
SHADOW = (0.78, 0.66, 0.64)


def paint(identity: Identity, pose: Pose, size: int) -> Field:
    """The whole picture: (size, size, 3) float32, near [0, 1] but not clipped."""
    canvas = Canvas(identity, size)
    _background(canvas)
    _hair_behind(canvas)
    _body(canvas)
    _head(canvas, pose)
    _cheeks(canvas, pose)
    _beard(canvas, pose)
    for side in (-1, 1):
        _eye(canvas, pose, side)
        _brow(canvas, pose, side)
    _nose(canvas, pose)
    _mouth(canvas, pose)
    _hair_in_front(canvas)
    _glasses(canvas)
    return canvas.pixels


def landmarks(identity: Identity, pose: Pose) -> npt.NDArray[np.float64]:
    """Pupils, tip of the nose, corners of the mouth: (5, 2) fractions of the side."""
    half = identity.eye_spacing / 2
    mouth = Mouth(identity, pose)
    points = np.array(
        [
            (CENTRE - half, EYES),
            (CENTRE + half, EYES),
            (CENTRE, _nose_tip(identity, pose)),
            (CENTRE - mouth.half, mouth.corner),
            (CENTRE + mouth.half, mouth.corner),
        ]
    )
    sine, cosine = math.sin(identity.tilt), math.cos(identity.tilt)
    turned = (points - CENTRE) @ np.array([(cosine, sine), (-sine, cosine)])
    placed: npt.NDArray[np.float64] = turned + CENTRE + (identity.shift_x, identity.shift_y)
    return placed


class Canvas:
    """Pixels, the person, and the head's own coordinates (turned and shifted with the head)."""

    def __init__(self, identity: Identity, size: int) -> None:
        self.identity = identity
        self.size = size
        self.pixels = np.empty((size, size, 3), np.float32)
        self.skin = np.array(_skin(identity), np.float32)
        self.hair = np.array(_hair(identity), np.float32)
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


def _skin(identity: Identity) -> npt.NDArray[np.float64]:
    place = np.clip(identity.skin, 0.0, 1.0) * (len(SKIN_TONES) - 1)
    low = min(int(place), len(SKIN_TONES) - 2)
    tone = SKIN_TONES[low] + (place - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    return np.asarray(tone * (1.0 + identity.warmth * np.array((0.012, 0.0, -0.04))))


def _hair(identity: Identity) -> list[float]:
    return [min(0.9, identity.hair_light * part) for part in HAIR_COLOURS[identity.hair_colour]]


def _nose_tip(identity: Identity, pose: Pose) -> float:
    return identity.nose_height - 0.010 * pose.wrinkle


def _bump(u: Field, power: float = 1.0) -> Field:
    """(1 - u^2)^power inside [-1, 1], 0 outside."""
    inside = np.maximum(0.0, 1.0 - u * u)
    bump: Field = inside if power == 1.0 else inside**power
    return bump


# ---------------------------------------------------------------- background, body and head


def _background(canvas: Canvas) -> None:
    one, size = canvas.identity, canvas.size
    colour = colorsys.hls_to_rgb(one.background % 1.0, one.background_light, 0.32)
    # The wall stays where it is when the head moves.
    plain = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    fall = plain[:, None] ** 2 + plain[None, :] ** 2
    lean = one.light_strength * math.sin(one.light_angle)
    shade = 1.06 - 0.35 * fall + 0.12 * lean * plain[None, :]
    canvas.pixels[:] = shade[..., None] * np.array(colour, np.float32)


def _body(canvas: Canvas) -> None:
    one = canvas.identity
    neck = 0.125 + 0.35 * (one.head_width - 0.27) + 0.012 * (one.jaw - 2.0)
    window = canvas.window(0.0, 0.7, 1.0, 1.1)
    sides = window.band(lambda x: 0.0 * x + 0.6, lambda x: 0.0 * x + 1.2, 0.5 - neck, 0.5 + neck)
    throat = window.mask(sides)
    window.fill(throat, canvas.lit(canvas.skin * 0.93, window))
    # The shadow under the chin sits still, or the shirt would change with the mouth.
    shadow = window.mask(window.ellipse(0.5, one.chin, 0.2, 0.085), 0.06)
    window.shade(throat * shadow, SHADOW, 0.75)
    shirt = np.array(colorsys.hls_to_rgb(one.shirt % 1.0, 0.42, 0.38), np.float32)
    shoulders = window.ellipse(0.5, 1.16, 0.47, 0.215)
    collar = window.ellipse(0.5, 0.93, neck * 1.1, 0.062)
    window.fill(window.mask(np.minimum(shoulders, -collar)), canvas.lit(shirt, window, 0.8))


def _head_field(window: Window, one: Identity, chin: float) -> Field:
    down = window.y - WIDEST
    above = np.maximum(0.0, -down) / (WIDEST - SKULL)
    below = np.maximum(0.0, down) / (chin - WIDEST)
    width = one.head_width * (1.0 - one.taper * below * below)
    across = (window.x - CENTRE) / width
    return 1.0 - across * across - above**2.3 - below**one.jaw


def _head(canvas: Canvas, pose: Pose) -> None:
    one = canvas.identity
    covered = HAIR_STYLES[one.hair_style] in ("long", "bob", "waves", "curly")
    for side in () if covered else (-1, 1):
        x, y, tall = CENTRE + side * (one.head_width + 0.002), EYES + 0.06, one.ear_size
        window = canvas.window(x - 0.06, y - 0.1, x + 0.06, y + 0.1)
        colour = canvas.lit(canvas.skin * np.float32(0.97), window)
        window.fill(window.mask(window.ellipse(x, y, 0.036, tall)), colour)
        hollow = window.mask(window.ellipse(x + side * 0.006, y, 0.018, tall * 0.62), 0.015)
        window.shade(hollow, SHADOW, 0.7)
    window = canvas.window(0.12, 0.0, 0.88, 0.99)
    field = _head_field(window, one, one.chin + 0.035 * pose.jaw)
    mask = window.mask(window.edge(field))
    window.fill(mask, canvas.lit(canvas.skin, window))
    # A darker rim turns the flat shape into a round one.
    window.shade(mask * np.clip(1.0 - field / 0.3, 0.0, 1.0) ** 2, SHADOW, 0.5)


def _cheeks(canvas: Canvas, pose: Pose) -> None:
    one = canvas.identity
    for side in (-1, 1):
        x, y = CENTRE + side * 0.165, 0.565 - 0.018 * pose.cheek
        window = canvas.window(x - 0.13, y - 0.13, x + 0.13, y + 0.13)
        flush = window.mask(window.ellipse(x, y, 0.07, 0.055), 0.11)
        window.shade(flush, (1.02, 0.80, 0.78), min(1.0, 0.55 * one.blush + 0.3 * pose.cheek))
        glow = window.mask(window.ellipse(x, y - 0.02, 0.03, 0.018), 0.06)
        window.fill(glow, canvas.skin * 1.1, 0.12 + 0.3 * pose.cheek)
        _fold(canvas, pose, side)
    if one.freckles > 0.0:
        _freckles(canvas, one)


def _fold(canvas: Canvas, pose: Pose, side: int) -> None:
    """The line from the wing of the nose to the corner of the mouth."""
    one, mouth = canvas.identity, Mouth(canvas.identity, pose)
    top, bottom = _nose_tip(one, pose) - 0.005, mouth.corner + 0.012
    inner, outer = one.nose_width + 0.012, mouth.half + 0.020
    window = canvas.window(0.5 - 0.2, top - 0.02, 0.5 + 0.2, bottom + 0.02)
    along = np.clip((window.y - top) / (bottom - top), 0.0, 1.0)
    fade = 4.0 * along * (1.0 - along)
    line = inner + (outer - inner) * along**0.8 + 0.012 * fade
    away = side * (window.x - CENTRE) - line
    # Sharp towards the mouth, soft towards the cheek, as the cheek bulges over it.
    ridge = np.clip(1.0 + away / 0.007, 0.0, 1.0) * np.clip(1.0 - away / 0.028, 0.0, 1.0) ** 2
    window.shade(ridge * fade, SHADOW, 0.1 + 0.5 * pose.fold)


def _freckles(canvas: Canvas, one: Identity) -> None:
    rng = np.random.default_rng(one.pattern)
    for x, y, r in rng.uniform((-0.2, 0.48, 0.0035), (0.2, 0.6, 0.0065), (34, 3)):
        window = canvas.window(CENTRE + x - 0.01, y - 0.01, CENTRE + x + 0.01, y + 0.01)
        spot = window.mask(window.ellipse(CENTRE + x, y, r, r), 0.006)
        window.shade(spot, (0.80, 0.62, 0.50), one.freckles)


def _beard(canvas: Canvas, pose: Pose) -> None:
    one = canvas.identity
    if one.beard == 0:
        return
    mouth = Mouth(one, pose)
    window = canvas.window(0.14, 0.4, 0.86, 0.99)
    x, y = window.x, window.y
    side = np.abs(x - CENTRE)
    head = _head_field(window, one, one.chin + 0.035 * pose.jaw + 0.006)
    inside = window.mask(window.edge(head))
    if one.beard in (1, 2):  # from the ears along the jaw, around the mouth
        reach = np.clip(side / one.head_width, 0.0, 1.0)
        level = 0.765 if one.beard == 1 else 0.735
        grown = (y - level + 0.70 * np.maximum(0.0, reach - 0.30) ** 2) * 0.8
    elif one.beard == 3:
        chin = window.ellipse(0.5, mouth.middle + 0.125, 0.08, 0.09)
        grown = np.minimum(chin, y - mouth.middle)
    else:
        grown = np.full_like(side * y, -1.0)
    moustache = window.band(
        lambda t: mouth.upper(t) - 0.030 * _bump((t - CENTRE) / (mouth.half + 0.022), 0.6) - 0.004,
        lambda t: mouth.upper(t) + 0.020 * np.abs((t - CENTRE) / mouth.half) + 0.001,
        CENTRE - mouth.half - 0.022,
        CENTRE + mouth.half + 0.022,
    )
    grown = np.maximum(grown, moustache)
    soft, alpha = (0.05, 0.38) if one.beard == 1 else (0.018, 0.92)
    colour = canvas.lit(canvas.hair * 0.92 + 0.04 * canvas.skin, window)
    window.fill(window.mask(grown, soft) * inside, colour * _strands(window, one, 0.07), alpha)


# ---------------------------------------------------------------- eyes, brows, nose and mouth


def _eye(canvas: Canvas, pose: Pose, side: int) -> None:
    one = canvas.identity
    x, half = CENTRE + side * one.eye_spacing / 2, one.eye_width
    window = canvas.window(x - 0.11, EYES - 0.085, x + 0.11, EYES + 0.085)
    high = one.eye_open * (1.0 + pose.lid_upper)
    low = one.eye_open * 0.68 * (1.0 - 0.8 * pose.lid_lower)

    def along(t: Field) -> Field:  # -1 at the nose, 1 at the temple
        return (t - x) * (side / half)

    def upper(t: Field) -> Field:
        u = along(t)
        tilted = 1.0 + pose.lid_tilt * np.clip(u, -1.0, 1.0)
        return EYES + 0.004 - one.eye_slant * u - high * tilted * _bump(u, 0.72)

    def lower(t: Field) -> Field:
        u = along(t)
        return EYES + 0.004 - one.eye_slant * u + low * _bump(u - 0.08 * _bump(u), 0.9)

    socket = window.mask(window.ellipse(x, EYES - 0.008, half * 1.1, 0.04), 0.06)
    window.shade(socket, SHADOW, 0.35)
    crease = window.band(lambda t: upper(t) - 0.021, lambda t: upper(t) - 0.016, x - half, x + half)
    window.shade(window.mask(crease, 0.007), SHADOW, 0.75)
    bag = window.band(lambda t: lower(t) + 0.010, lambda t: lower(t) + 0.014, x - half, x + half)
    window.shade(window.mask(bag, 0.01), SHADOW, 0.2 + 0.5 * max(0.0, pose.lid_lower))
    opening = window.mask(window.band(upper, lower, x - half, x + half))
    window.fill(opening, (0.965, 0.955, 0.945))
    _iris(canvas, window, pose, x, opening)
    window.shade(opening * window.mask(upper(window.x) + 0.010 - window.y, 0.02), (0.6,) * 3, 0.6)

    def thick(t: Field) -> Field:
        return one.lashes * (0.55 + 0.45 * np.clip(along(t), -1.0, 1.1))

    wing = half * 1.07
    line = window.band(
        lambda t: upper(t) - thick(t), lambda t: upper(t) + 0.003, x - wing, x + wing
    )
    window.fill(window.mask(line), canvas.hair * 0.25 + 0.03, 0.92)
    rim = window.band(lower, lambda t: lower(t) + 0.004, x - half, x + half)
    window.fill(window.mask(rim, 0.008), canvas.skin * 0.55, 0.5)


def _iris(canvas: Canvas, window: Window, pose: Pose, x: float, opening: Field) -> None:
    one = canvas.identity
    colour = np.array(EYE_COLOURS[one.eye_colour], np.float32)
    reach = np.sqrt((window.x - x) ** 2 + (window.y - EYES) ** 2)
    # Brighter below, as light falls in from above; a dark ring around.
    glow = 0.85 + 9.0 * (window.y - EYES) - 0.5 * (reach / one.iris) ** 4
    ring = opening * window.mask(one.iris - reach)
    window.fill(ring, np.clip(glow, 0.25, 1.6)[..., None] * colour)
    pupil = one.iris * 0.47 * (1.0 + pose.pupil)
    window.fill(opening * window.mask(pupil - reach), (0.03, 0.025, 0.03))
    aside = 0.011 * math.copysign(1.0, one.light_angle)
    for dx, dy, radius, alpha in ((aside, -0.012, 0.0085, 0.95), (-aside, 0.012, 0.005, 0.4)):
        spark = window.ellipse(x + dx, EYES + dy, radius, radius)
        window.fill(opening * window.mask(spark), (1.0, 1.0, 1.0), alpha)


def _brow(canvas: Canvas, pose: Pose, side: int) -> None:
    one = canvas.identity
    half = one.brow_length
    x = CENTRE + side * (one.eye_spacing / 2 + 0.004 - pose.brow_squeeze)
    y = EYES - one.brow_height

    def along(t: Field) -> Field:
        return (t - x) * (side / half)

    def middle(t: Field) -> Field:
        u = along(t)
        arch = one.brow_arch * _bump((u - 0.15) / 1.25) - 0.007 * np.clip(u, 0.0, 1.0) ** 2
        inner, outer = np.clip((1.0 - u) / 2, 0.0, 1.0), np.clip((1.0 + u) / 2, 0.0, 1.0)
        return y + 0.008 - arch - pose.brow_inner * inner**1.4 - pose.brow_outer * outer

    def thick(t: Field) -> Field:
        return 0.5 * one.brow_thickness * _bump((along(t) + 0.25) / 1.3, 0.5)

    window = canvas.window(x - 0.11, y - 0.09, x + 0.11, y + 0.09)
    hair = window.band(
        lambda t: middle(t) - thick(t), lambda t: middle(t) + thick(t), x - half, x + half
    )
    colour = 0.78 * canvas.hair + 0.06 * canvas.skin
    window.fill(window.mask(hair, 0.009), colour, 0.9)
    frown = max(0.0, pose.brow_squeeze) / 0.018  # upright lines between the brows
    if frown > 0.0:
        line = window.ellipse(CENTRE + side * 0.024, y + 0.018, 0.0035, 0.034)
        window.shade(window.mask(line, 0.009), SHADOW, min(1.0, 0.7 * frown))


def _nose(canvas: Canvas, pose: Pose) -> None:
    one, tip = canvas.identity, _nose_tip(canvas.identity, pose)
    half = one.nose_width * (1.0 + 0.10 * pose.wrinkle)
    window = canvas.window(0.36, 0.36, 0.64, tip + 0.07)
    dark = -math.copysign(1.0, one.light_angle)
    side = window.mask(window.ellipse(0.5 + dark * 0.028, 0.475, 0.014, 0.1), 0.035)
    window.shade(side, SHADOW, 0.25 + 0.25 * one.light_strength)
    ridge = window.mask(window.ellipse(0.5 - dark * 0.004, 0.49, 0.008, 0.085), 0.03)
    window.fill(ridge, canvas.skin * 1.12, 0.35)
    ball = window.mask(window.ellipse(0.5, tip + 0.004, half, 0.03), 0.03)
    window.shade(ball, (1.0, 0.86, 0.83), 0.5)
    under = window.mask(window.ellipse(0.5, tip + 0.033, half * 1.05, 0.010), 0.022)
    window.shade(under, SHADOW, 0.8)
    for wing in (-1, 1):
        crescent = np.minimum(
            window.ellipse(0.5 + wing * (half - 0.010), tip + 0.008, 0.017, 0.021),
            -window.ellipse(0.5 + wing * (half - 0.015), tip + 0.006, 0.017, 0.021),
        )
        window.shade(window.mask(crescent, 0.008), SHADOW, 0.9)
        hole = window.ellipse(0.5 + wing * half * 0.46, tip + 0.023, half * 0.26, 0.0065)
        window.shade(window.mask(hole, 0.006), (0.35, 0.24, 0.24), 0.8)
        _bridge_lines(window, pose, wing)
    shine = window.ellipse(0.5 - dark * 0.007, tip - 0.004, 0.009, 0.008)
    window.fill(window.mask(shine, 0.012), (1.0, 0.97, 0.94), 0.35)


def _bridge_lines(window: Window, pose: Pose, wing: int) -> None:
    """Slanted wrinkles beside the bridge of a wrinkled nose."""
    if pose.wrinkle <= 0.0:
        return
    for step in range(2):
        inner, outer = 0.002 + 0.005 * step, 0.040 + 0.010 * step
        along = (wing * (window.x - CENTRE) - inner) / (outer - inner)
        level = 0.428 + 0.030 * step + 0.018 * along * along
        line = np.clip(1.0 - np.abs(window.y - level) / 0.011, 0.0, 1.0)
        window.shade(line * _bump(2.0 * along - 1.0), SHADOW, min(1.0, 0.6 * pose.wrinkle))


class Mouth:
    """The four curves of the lips for a person and a pose; all are functions y(x)."""

    def __init__(self, one: Identity, pose: Pose) -> None:
        self.half = one.mouth_width + pose.mouth_wide
        self.curve = pose.mouth_curve + 0.004
        self.middle = one.mouth_height - pose.mouth_lift + 0.012 * pose.jaw
        self.corner = self.middle - 0.6 * self.curve
        self.gap = pose.mouth_open
        # A smile hangs from the upper lip, a gasp opens both ways.
        self.share = 0.42 if pose.mouth_curve <= 0.0 else 0.42 - 7.0 * min(pose.mouth_curve, 0.05)
        self.power = 1.0 - 0.55 * pose.mouth_round
        self.upper_lip = one.lip_upper * (1.0 - 0.45 * pose.mouth_press)
        self.lower_lip = one.lip_lower * (1.0 - 0.45 * pose.mouth_press)

    def _u(self, t: Field) -> Field:
        return (t - CENTRE) / self.half

    def line(self, t: Field) -> Field:
        """Where closed lips meet."""
        return self.middle + self.curve * (0.4 - np.minimum(1.0, self._u(t) ** 2))

    def top(self, t: Field) -> Field:
        """The upper edge of the opening."""
        return self.line(t) - self.share * self.gap * _bump(self._u(t), self.power)

    def bottom(self, t: Field) -> Field:
        """The lower edge of the opening."""
        return self.line(t) + (1.0 - self.share) * self.gap * _bump(self._u(t), self.power)

    def upper(self, t: Field) -> Field:
        """The upper edge of the upper lip, with Cupid's bow."""
        u = self._u(t)
        bow: Field = 1.0 - 0.3 * np.exp(-((u / 0.16) ** 2))
        return self.top(t) - self.upper_lip * bow * _bump(u, 0.8)

    def lower(self, t: Field) -> Field:
        """The lower edge of the lower lip."""
        return self.bottom(t) + self.lower_lip * _bump(self._u(t), 0.7)


def _mouth(canvas: Canvas, pose: Pose) -> None:
    one, mouth = canvas.identity, Mouth(canvas.identity, pose)
    left, right = CENTRE - mouth.half, CENTRE + mouth.half
    window = canvas.window(left - 0.04, mouth.middle - 0.12, right + 0.04, mouth.middle + 0.16)
    below = float(mouth.lower(np.array([CENTRE], np.float32))[0])
    under = window.mask(window.ellipse(0.5, below + 0.016, mouth.half * 0.55, 0.006), 0.024)
    window.shade(under, SHADOW, 0.55)
    ink = np.array((0.80, 0.30, 0.32), np.float32) * (0.55 + 0.45 * float(canvas.skin.mean()))
    lips = canvas.skin * np.array((0.90, 0.66, 0.64), np.float32)
    lips = lips + 0.55 * one.lip_colour * (ink - lips)
    window.fill(
        window.mask(window.band(mouth.upper, mouth.lower, left, right)), canvas.lit(lips, window)
    )
    upper = window.band(mouth.upper, mouth.top, left, right)
    window.shade(window.mask(upper), (0.86, 0.80, 0.80))
    gloss = window.ellipse(0.5, below - 0.45 * mouth.lower_lip, mouth.half * 0.4, 0.003)
    window.fill(window.mask(gloss, 0.010), (1.0, 0.92, 0.9), 0.28)
    if mouth.gap > 0.0:
        _inside(window, mouth, pose, left, right)
    seam = window.band(
        lambda t: mouth.top(t) - 0.002, lambda t: mouth.top(t) + 0.003, left - 0.006, right + 0.006
    )
    window.shade(window.mask(seam, 0.006), (0.45, 0.28, 0.28), 0.9)
    for x in (left, right):
        dimple = window.mask(window.ellipse(x, mouth.corner, 0.007, 0.007), 0.014)
        window.shade(dimple, SHADOW, 0.8)


def _inside(window: Window, mouth: Mouth, pose: Pose, left: float, right: float) -> None:
    """The cavity of an open mouth with tongue and teeth."""
    opening = window.mask(window.band(mouth.top, mouth.bottom, left, right))
    window.fill(opening, (0.30, 0.08, 0.09))
    floor = mouth.middle + 0.4 * mouth.curve + (1.0 - mouth.share) * mouth.gap
    tongue = window.ellipse(0.5, floor + 0.002, mouth.half * 0.62, 0.32 * mouth.gap + 1e-4)
    window.fill(opening * window.mask(tongue, 0.012), (0.78, 0.38, 0.38))
    teeth = np.zeros_like(opening)
    top, bottom = mouth.top(window.x), mouth.bottom(window.x)
    # Teeth grow with the opening, in the proportion that the full expression shows.
    if pose.teeth_upper > 0.0:
        teeth = window.mask(top + pose.teeth_upper * (bottom - top) - window.y)
    if pose.teeth_lower > 0.0:
        teeth = np.maximum(
            teeth, window.mask(window.y - bottom + pose.teeth_lower * (bottom - top))
        )
    window.fill(opening * teeth, (0.965, 0.95, 0.925))
    gaps = np.abs(np.sin((window.x - CENTRE) * (math.pi / 0.026)))
    window.shade(opening * teeth * np.clip(1.0 - 5.0 * gaps, 0.0, 1.0), (0.85, 0.82, 0.8), 0.5)
    clench = max(0.0, pose.teeth_upper + pose.teeth_lower - 0.75) * 4.0
    if clench > 0.0:  # the line where clenched teeth meet
        meet = top + 0.5 * (bottom - top) - window.y
        line = window.mask(0.0015 - np.abs(meet), 0.004)
        window.shade(opening * line, (0.6, 0.5, 0.5), min(1.0, clench))
    window.shade(opening * window.mask(top + 0.006 - window.y, 0.014), (0.55, 0.45, 0.45), 0.7)


# ---------------------------------------------------------------- hair and glasses


def _strands(window: Window, one: Identity, depth: float, origin: float = 1.05) -> Field:
    """Brightness of combed hair: rays from a point far below, (h, w, 1)."""
    phase = (one.pattern % 997) / 997 * 6.28
    angle = np.arctan2(window.x - CENTRE, origin - window.y) * (origin - 0.2) / 0.85
    reach = (window.x - CENTRE) ** 2 + (window.y - 0.5) ** 2
    waves = np.sin(angle * 61.0 + phase + 5.0 * reach) + np.sin(angle * 143.0 - 2.0 * phase)
    return (1.0 + depth * waves)[..., None]


def _lay_hair(canvas: Canvas, window: Window, mask: Field, behind: bool = False) -> None:
    one, dark, origin = canvas.identity, 0.72 if behind else 1.0, 2.6 if behind else 1.05
    colour = canvas.lit(canvas.hair * dark, window, 1.2) * _strands(window, one, 0.05, origin)
    # The gleam follows the round of the skull and leans to the light.
    lean = 0.12 * math.sin(one.light_angle)
    crown = np.sqrt((window.x - 0.5 - lean) ** 2 + (window.y - 0.42) ** 2)
    gleam = np.clip(1.0 - np.abs(crown - 0.30) / 0.05, 0.0, 1.0) ** 2
    colour = colour + (0.10 + 0.12 * one.light_strength) * dark * gleam[..., None] * (
        0.35 + canvas.hair
    )
    window.fill(mask, colour)


def _hair_behind(canvas: Canvas) -> None:
    one = canvas.identity
    style = HAIR_STYLES[one.hair_style]
    if style not in ("long", "bob", "waves", "curly", "ponytail"):
        return
    window = canvas.window(0.0, 0.0, 1.0, 1.1)
    wide = one.head_width + one.hair_volume + 0.005
    if style == "ponytail":
        shape = window.ellipse(0.27 if one.pattern % 2 else 0.73, 0.83, 0.085, 0.26)
    elif style == "curly":
        shape = _curls(window, one, wide + 0.045, 0.40, 0.42)
    else:
        length = {"long": 1.2, "bob": 0.80, "waves": 0.98}[style]
        wave = 0.014 * np.sin(window.y * 34.0 + one.pattern % 7) if style == "waves" else 0.0
        flare = 0.06 * np.clip((window.y - 0.4) / 0.5, 0.0, 1.0)
        across = np.abs(window.x - 0.5) / (wide + flare + wave)
        over = np.maximum(0.0, 0.42 - window.y) / (0.42 - SKULL + one.hair_volume)
        ends = np.maximum(0.0, window.y - length + 0.14) / 0.14
        shape = window.edge(1.0 - across**2 - over**2.2 - ends**2)
    _lay_hair(canvas, window, window.mask(shape), behind=True)


def _curls(window: Window, one: Identity, wide: float, y: float, high: float) -> Field:
    across, down = (window.x - 0.5) / wide, (window.y - y) / high
    angle = np.arctan2(across, -down)
    bumps = 0.030 * np.abs(np.sin(angle * 9.0 + one.pattern % 5)) + 0.012 * np.sin(angle * 31.0)
    return window.edge(1.0 + bumps - np.sqrt(across**2 + down**2))


def _hair_in_front(canvas: Canvas) -> None:
    one = canvas.identity
    style = HAIR_STYLES[one.hair_style]
    window = canvas.window(0.0, 0.0, 1.0, 1.1)
    x, y = window.x, window.y
    volume = {"shaved": 0.002, "quiff": 0.75 * one.hair_volume}.get(style, one.hair_volume)
    across = (x - 0.5) / (one.head_width + 0.45 * volume + 0.004)
    over = np.maximum(0.0, WIDEST - y) / (WIDEST - SKULL + volume)
    under = np.maximum(0.0, y - WIDEST) / 0.5
    skull = window.edge(1.0 - across * across - over**2.3 - under**2.5)
    line = _hairline(style, one, x)
    slope = np.abs(np.gradient(line, axis=-1)) * window.size
    front = (line - y) / np.sqrt(1.0 + np.minimum(slope, 8.0) ** 2)
    shape = np.minimum(skull, front)
    if style == "quiff":
        lean = 0.03 if one.pattern % 2 else -0.03
        crest = window.ellipse(0.5 + lean, 0.105, 0.225, 0.095) + 0.007 * np.sin((x - y) * 60.0)
        shape = np.maximum(shape, np.minimum(crest, line + 0.008 - y))
    if style == "curly":
        curls = _curls(window, one, one.head_width + one.hair_volume + 0.045, 0.40, 0.42)
        scallop = 0.008 * np.abs(np.sin((x - 0.5) * 52.0))
        shape = np.minimum(curls, front - scallop)
    if style == "shaved":
        colour = canvas.lit(0.55 * canvas.hair + 0.25 * canvas.skin, window)
        window.fill(window.mask(skull) * window.mask(front, 0.03), colour, 0.72)
        return
    # A soft shadow of the fringe on the forehead.
    window.shade(window.mask(np.minimum(skull + 0.0, front + 0.02), 0.03), SHADOW, 0.45)
    _lay_hair(canvas, window, window.mask(shape))


def _hairline(style: str, one: Identity, x: Field) -> Field:
    """The lower edge of the hair on the forehead and the temples, y(x)."""
    side = np.abs(x - 0.5) / one.head_width
    square: Field = side * side
    temple: Field = 0.30 * np.clip((side - 0.74) / 0.26, 0.0, 1.0)
    if style == "curly":
        drop = 0.01 + 0.06 * square + 0.5 * np.maximum(0.0, side - 0.66) ** 1.2
    elif style == "bob":  # a full fringe, then curtains to the jaw
        drop = 0.075 + 0.03 * square + 0.46 * np.clip((side - 0.80) / 0.08, 0.0, 1.0)
    elif style == "ponytail":
        drop = 0.06 * square + 0.6 * temple - 0.01
    elif style == "parted":  # swept over from one side
        part = (x - 0.5 + 0.13) / one.head_width
        sweep = 0.11 * np.clip(part, 0.0, 1.3) ** 0.8 + 0.24 * np.clip(-part, 0.0, 1.0)
        drop = sweep + 0.6 * temple - 0.015
    elif style in ("long", "waves"):  # parted in the middle
        drop = 0.22 * side**1.8 + 0.7 * np.clip((side - 0.84) / 0.10, 0.0, 1.0) - 0.05
    else:
        drop = 0.012 * np.cos((x - 0.5) * 22.0) + 0.04 * square + 0.75 * temple
    line: Field = one.hairline + drop
    return line


def _glasses(canvas: Canvas) -> None:
    one = canvas.identity
    if one.glasses == 0:
        return
    frame = (0.10, 0.09, 0.10) if one.pattern % 2 else (0.36, 0.20, 0.12)
    half, y = one.glasses_width, EYES + 0.016
    power, high = (2.0, 0.086) if one.glasses == 1 else (4.5, 0.068)
    window = canvas.window(0.1, 0.25, 0.9, 0.55)
    for side in (-1, 1):
        x = 0.5 + side * (one.eye_spacing / 2 + 0.003)
        across, down = np.abs(window.x - x) / half, np.abs(window.y - y) / high
        lens = window.edge(1.0 - (across**power + down**power) ** (1.0 / power))
        window.fill(window.mask(lens) * np.clip(0.9 - 4.0 * (window.y - 0.3), 0, 1), (1, 1, 1), 0.1)
        ring = 0.0055 - np.abs(lens)
        arm = np.minimum(0.005 - np.abs(window.y - y + 0.02), side * (window.x - x) - half + 0.004)
        arm = np.minimum(arm, one.head_width + 0.008 - side * (window.x - 0.5))
        window.fill(window.mask(np.maximum(ring, arm)), frame)
    gap = one.eye_spacing / 2 + 0.003 - half
    bridge = window.band(
        lambda t: y - 0.030 - 0.012 * _bump((t - 0.5) / gap),
        lambda t: y - 0.020 - 0.012 * _bump((t - 0.5) / gap),
        0.5 - gap,
        0.5 + gap,
    )
    window.fill(window.mask(bridge), frame)
