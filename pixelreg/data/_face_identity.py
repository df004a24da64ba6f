"""Drawn people: the numbers that make one, and drawing them by lot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.errors import UnknownNameError, UsageError

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


@dataclass(frozen=True)
class Identity:
    """What makes one drawn person; lengths are fractions of the picture's side.

    Raises UsageError for an index outside its table (the tables are in this file).

    Attributes
    ----------
    head_width, chin, jaw, taper : half width at the cheeks, height of the chin, squareness of the
        jaw (exponent, 2 is an ellipse), narrowing towards the chin (0..0.3).
    skin, warmth, blush, freckles : place on a scale from light to dark (0..1), undertone (-1..1),
        redness of the cheeks (0..1), strength of the freckles (0 for none).
    hair_style, hair_colour, hair_light, hair_volume, hairline : index into ``HAIR_STYLES``, index
        into ``HAIR_COLOURS``, brightness factor, thickness over the skull, height of the hairline.
    brow_height, brow_length, brow_thickness, brow_arch : gap above the pupil, half length, ...
    eye_spacing, eye_width, eye_open, eye_slant, iris, eye_colour, lashes : distance between the
        pupils, half width, height of the upper lid, slant of the corners, radius of the iris, index
        into ``EYE_COLOURS``, thickness of the lash line.
    nose_height, nose_width : height of the tip, half width.
    mouth_height, mouth_width, lip_upper, lip_lower, lip_colour : position, half width, thicknesses,
        strength of the lips' own colour (0..1).
    ear_size : half height of the ears.
    glasses, glasses_width : index into ``GLASSES``, half width of a lens.
    beard : index into ``BEARDS``.
    light_angle, light_strength : where the light comes from (radians, 0 above, positive from the
        right), how much of the shade it makes (0..1).
    background, background_light, shirt : hue (0..1), lightness (0..1), hue (0..1).
    expressiveness : factor on the strength of every expression.
    tilt, shift_x, shift_y : rotation of the head (radians) and its displacement.
    pattern : seeds the strands of the hair and the freckles.
    """

    head_width: float = 0.295
    chin: float = 0.885
    jaw: float = 2.5
    taper: float = 0.12
    skin: float = 0.2
    warmth: float = 0.0
    blush: float = 0.5
    freckles: float = 0.0
    hair_style: int = 0
    hair_colour: int = 2
    hair_light: float = 1.0
    hair_volume: float = 0.04
    hairline: float = 0.2
    brow_height: float = 0.088
    brow_length: float = 0.075
    brow_thickness: float = 0.018
    brow_arch: float = 0.016
    eye_spacing: float = 0.28
    eye_width: float = 0.064
    eye_open: float = 0.036
    eye_slant: float = 0.0
    iris: float = 0.031
    eye_colour: int = 0
    lashes: float = 0.008
    nose_height: float = 0.575
    nose_width: float = 0.043
    mouth_height: float = 0.705
    mouth_width: float = 0.092
    lip_upper: float = 0.016
    lip_lower: float = 0.021
    lip_colour: float = 0.5
    ear_size: float = 0.065
    glasses: int = 0
    glasses_width: float = 0.098
    beard: int = 0
    light_angle: float = -0.6
    light_strength: float = 0.5
    background: float = 0.55
    background_light: float = 0.75
    shirt: float = 0.6
    expressiveness: float = 1.0
    tilt: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    pattern: int = 0

    def __post_init__(self) -> None:
        choices = {
            "hair_style": HAIR_STYLES,
            "hair_colour": HAIR_COLOURS,
            "eye_colour": EYE_COLOURS,
            "glasses": GLASSES,
            "beard": BEARDS,
        }
        for name, table in choices.items():
            if not 0 <= getattr(self, name) < len(table):
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 to {len(table) - 1}")


def random_identity(seed: int, sex: str | None = None) -> Identity:
    """One person; the same seed always gives the same one.

    Parameters
    ----------
    seed : whole number, 0 or more; the only source of chance.
    sex : ``"F"`` or ``"M"`` for the proportions and hair that are likelier there; None draws it.

    Raises UsageError for a negative seed and UnknownNameError for another letter.
    """
    rng = np.random.default_rng(whole("seed", seed, 0))
    female = bool(rng.integers(2))
    if sex is not None:
        if sex not in ("F", "M"):
            raise UnknownNameError("sex", sex, ("F", "M"))
        female = sex == "F"
    skin = float(rng.beta(0.9, 1.3))
    return Identity(**_bones(rng, female), **_features(rng, female), **_colours(rng, female, skin))


def _bones(rng: np.random.Generator, female: bool) -> dict[str, Any]:
    u = rng.uniform
    return {
        "head_width": u(0.268, 0.305) + (0.0 if female else 0.008),
        "chin": u(0.855, 0.89) + (0.0 if female else 0.012),
        "jaw": u(2.0, 2.5) if female else u(2.3, 3.3),
        "taper": u(0.1, 0.24) if female else u(0.02, 0.16),
        "brow_height": u(0.082, 0.1) if female else u(0.074, 0.09),
        "brow_length": u(0.066, 0.08),
        "brow_thickness": u(0.009, 0.016) if female else u(0.015, 0.025),
        "brow_arch": u(0.010, 0.021) if female else u(0.004, 0.016),
        "eye_spacing": u(0.268, 0.292),
        "eye_width": u(0.063, 0.072),
        "eye_open": u(0.039, 0.049) if female else u(0.034, 0.043),
        "eye_slant": u(-0.006, 0.012),
        "iris": u(0.031, 0.036),
        "lashes": u(0.010, 0.015) if female else u(0.006, 0.008),
        "nose_height": u(0.555, 0.595),
        "nose_width": u(0.032, 0.046) if female else u(0.036, 0.055),
        "mouth_height": u(0.69, 0.72),
        "mouth_width": u(0.078, 0.098),
        "lip_upper": u(0.011, 0.022) if female else u(0.008, 0.017),
        "lip_lower": u(0.017, 0.028) if female else u(0.013, 0.024),
        "ear_size": u(0.055, 0.078),
    }


def _features(rng: np.random.Generator, female: bool) -> dict[str, Any]:
    u = rng.uniform
    styles = FEMALE_STYLES if female else MALE_STYLES
    return {
        "hair_style": HAIR_STYLES.index(str(rng.choice(styles))),
        "hair_volume": u(0.03, 0.055),
        "hairline": u(0.175, 0.225),
        "glasses": int(rng.choice(3, p=(0.8, 0.1, 0.1))),
        "glasses_width": u(0.09, 0.104),
        "beard": 0 if female else int(rng.choice(5, p=(0.52, 0.18, 0.14, 0.08, 0.08))),
        "freckles": u(0.3, 0.8) if rng.random() < 0.18 else 0.0,
        "expressiveness": u(0.9, 1.08),
        "pattern": int(rng.integers(2**31)),
    }


def _colours(rng: np.random.Generator, female: bool, skin: float) -> dict[str, Any]:
    u = rng.uniform
    # Dark skin mostly comes with dark hair and brown eyes; the palettes run from dark to light.
    reach = 1.0 - 0.75 * min(1.0, skin / 0.55)
    grey = rng.random() < 0.1
    hair = int(rng.integers(max(2, round(NATURAL_COLOURS * reach))))
    return {
        "skin": skin,
        "warmth": u(-1.0, 1.0),
        "blush": u(0.3, 1.0) if female else u(0.1, 0.6),
        "hair_colour": int(rng.integers(NATURAL_COLOURS, len(HAIR_COLOURS))) if grey else hair,
        "hair_light": u(0.85, 1.15),
        "eye_colour": int(rng.integers(max(2, round(len(EYE_COLOURS) * reach)))),
        "lip_colour": u(0.5, 1.0) if female else u(0.15, 0.4),
        "light_angle": u(-1.1, 1.1),
        "light_strength": u(0.3, 0.8),
        "background": u(0.0, 1.0),
        "background_light": u(0.45, 0.9),
        "shirt": u(0.0, 1.0),
    }


def whole(what: str, value: int, least: int) -> int:
    """``value`` if it is a whole number of ``least`` or more; UsageError says ``what`` if not."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{what} is {value!r}; give a whole number, {least} or more")
    return int(value)
