"""The inside of a mouth that opens: dark, with upper teeth that stay and lower ones that follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pixelreg.arrays import Array, Floats
from pixelreg.pictures.warp import fetch_cubic

BOX = (-3.2, -2.0, 6.4, 4.8)  # left, top, width, height of the sprites in cm, y up
SHAPE = (96, 128)  # pixels of a sprite
LEVEL = 200.0  # of a sprite's byte for a brightness of 1
LOWERED = 0.12  # cm that teeth sit lower than the 3D face's

# Colours as shares of the skin's brightness; those of teeth of the brightness of a white eye.
TOOTH = np.array([1.275, 1.25, 1.175], np.float32)
GUM = np.array([0.9975, 0.589, 0.551], np.float32)
DARK = np.array([0.20, 0.09, 0.08], np.float32)
LOWER_SHARE = np.float32(0.85)  # lower teeth lie deeper and are darker


class Palette(NamedTuple):
    """How bright a photo's teeth and skin are.

    tooth, skin : luminance on grey levels.
    tint : (3,) the skin's colour over its luminance.
    """

    tooth: float
    skin: float
    tint: Floats


def inside(
    sprites: Array, palette: Palette, places: Floats, jaw: Floats, rows: tuple[int, ...] = (1, 0)
) -> Floats:
    """The mouth's inside at places of the face, (h, w, 3) float32 on grey levels.

    sprites : (2, H, W, 3) uint8, upper and lower: tooth, gum and cover.
    places : (h, w, 2) cm on the head at rest, y up, less where this person's teeth are.
    jaw : (2,) cm, how far the jaw has taken the lower teeth.
    rows : which teeth are drawn, in order: 1 the lower ones, 0 the upper ones.
    """
    made = np.broadcast_to(DARK, (*places.shape[:2], 3)).copy()
    tooth = TOOTH * (palette.tooth / palette.skin) * (0.7 + 0.3 * palette.tint)
    for part in rows:
        moved, share = (jaw, LOWER_SHARE) if part else (np.zeros(2), np.float32(1))
        drawn = _sprite(sprites[part], places - moved.astype(np.float32))
        made *= 1 - np.minimum(drawn[..., 2:], 1)
        made += drawn[..., :1] * tooth * share + drawn[..., 1:2] * GUM
    return made * np.float32(palette.skin)


def _sprite(sprite: Array, places: Floats) -> Floats:
    left, top, width, height = BOX
    x = (places[..., 0] - left) / width * SHAPE[1] - 0.5
    y = (top - places[..., 1]) / height * SHAPE[0] - 0.5
    there = (x > -1) & (y > -1) & (x < SHAPE[1]) & (y < SHAPE[0])
    drawn = np.clip(fetch_cubic(sprite, x, y) / np.float32(LEVEL), 0, 1.3)
    return drawn * there[..., None]
