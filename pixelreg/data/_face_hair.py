"""Hair and glasses of drawn faces."""

from __future__ import annotations

import math

import numpy as np

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
from pixelreg.data._face_identity import HAIR_STYLES, Identity


def strands(window: Window, one: Identity, depth: float, origin: float = 1.05) -> Field:
    """Brightness of combed hair: rays from a point far below, (h, w, 1)."""
    phase = (one.pattern % 997) / 997 * 6.28
    angle = np.arctan2(window.x - CENTRE, origin - window.y) * (origin - 0.2) / 0.85
    reach = (window.x - CENTRE) ** 2 + (window.y - 0.5) ** 2
    waves = np.sin(angle * 61.0 + phase + 5.0 * reach) + np.sin(angle * 143.0 - 2.0 * phase)
    return (1.0 + depth * waves)[..., None]


def _lay_hair(canvas: Canvas, window: Window, mask: Field, behind: bool = False) -> None:
    one, dark, origin = canvas.identity, 0.72 if behind else 1.0, 2.6 if behind else 1.05
    colour = canvas.lit(canvas.hair * dark, window, 1.2) * strands(window, one, 0.05, origin)
    # The gleam follows the round of the skull and leans to the light.
    lean = 0.12 * math.sin(one.light_angle)
    crown = np.sqrt((window.x - 0.5 - lean) ** 2 + (window.y - 0.42) ** 2)
    gleam = np.clip(1.0 - np.abs(crown - 0.30) / 0.05, 0.0, 1.0) ** 2
    colour = colour + (0.10 + 0.12 * one.light_strength) * dark * gleam[..., None] * (
        0.35 + canvas.hair
    )
    window.fill(mask, colour)


def paint_hair_behind(canvas: Canvas) -> None:
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


def paint_hair_in_front(canvas: Canvas) -> None:
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


def paint_glasses(canvas: Canvas) -> None:
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
        lambda t: y - 0.030 - 0.012 * bump((t - 0.5) / gap),
        lambda t: y - 0.020 - 0.012 * bump((t - 0.5) / gap),
        0.5 - gap,
        0.5 + gap,
    )
    window.fill(window.mask(bridge), frame)
