"""The painter behind ``synthetic``: a whole face, back to front."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.data._face_canvas import (
    CENTRE,
    EYES,
    SHADOW,
    SKULL,
    WIDEST,
    Canvas,
    Field,
    Window,
    bump,
)
from pixelreg.data._face_features import (
    Mouth,
    nose_tip,
    paint_brow,
    paint_eye,
    paint_mouth,
    paint_nose,
)
from pixelreg.data._face_hair import (
    paint_glasses,
    paint_hair_behind,
    paint_hair_in_front,
    strands,
)
from pixelreg.data._face_identity import HAIR_STYLES, Identity
from pixelreg.data._face_pose import Pose


def paint(identity: Identity, pose: Pose, size: int) -> Field:
    """The whole picture: (size, size, 3) float32, near [0, 1] but not clipped."""
    canvas = Canvas(identity, size)
    _background(canvas)
    paint_hair_behind(canvas)
    _body(canvas)
    _head(canvas, pose)
    _cheeks(canvas, pose)
    _beard(canvas, pose)
    for side in (-1, 1):
        paint_eye(canvas, pose, side)
        paint_brow(canvas, pose, side)
    paint_nose(canvas, pose)
    paint_mouth(canvas, pose)
    paint_hair_in_front(canvas)
    paint_glasses(canvas)
    return canvas.pixels


def landmarks(identity: Identity, pose: Pose) -> Float64:
    """Pupils, tip of the nose, corners of the mouth: (5, 2) fractions of the side."""
    half = identity.eye_spacing / 2
    mouth = Mouth(identity, pose)
    points = np.array(
        [
            (CENTRE - half, EYES),
            (CENTRE + half, EYES),
            (CENTRE, nose_tip(identity, pose)),
            (CENTRE - mouth.half, mouth.corner),
            (CENTRE + mouth.half, mouth.corner),
        ]
    )
    sine, cosine = math.sin(identity.tilt), math.cos(identity.tilt)
    turned = (points - CENTRE) @ np.array([(cosine, sine), (-sine, cosine)])
    placed: Float64 = turned + CENTRE + (identity.shift_x, identity.shift_y)
    return placed


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
    top, bottom = nose_tip(one, pose) - 0.005, mouth.corner + 0.012
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
        lambda t: mouth.upper(t) - 0.030 * bump((t - CENTRE) / (mouth.half + 0.022), 0.6) - 0.004,
        lambda t: mouth.upper(t) + 0.020 * np.abs((t - CENTRE) / mouth.half) + 0.001,
        CENTRE - mouth.half - 0.022,
        CENTRE + mouth.half + 0.022,
    )
    grown = np.maximum(grown, moustache)
    soft, alpha = (0.05, 0.38) if one.beard == 1 else (0.018, 0.92)
    colour = canvas.lit(canvas.hair * 0.92 + 0.04 * canvas.skin, window)
    window.fill(window.mask(grown, soft) * inside, colour * strands(window, one, 0.07), alpha)
