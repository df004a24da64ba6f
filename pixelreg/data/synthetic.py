"""Drawn faces: seeded people with the seven expressions of KDEF, for demonstrations and tests.

A person is an :class:`Identity`, a handful of numbers; an expression is a set of offsets that grows
linearly with its intensity. `pixelreg.data.painting` paints both. The canonical frame holds:
pupils near (0.36, 0.39) and (0.64, 0.39) of the square picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pixelreg.arrays import Float64, Pixels
from pixelreg.data.expressions import canonical
from pixelreg.data.painting import (
    EYE_COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    Pose,
    landmarks,
    paint,
)
from pixelreg.errors import DataError, PixelregError, UnknownNameError, UsageError
from pixelreg.faces.landmarks import text_of_points
from pixelreg.files import write_bytes

SMALLEST, LARGEST = 16, 2048
MOST_PEOPLE = 2 * 99  # KDEF numbers women and men with two digits each

# What each expression moves, after the facial muscles that it is known by; lengths are fractions of
# the picture's side, the others are 0 at rest and near 1 at their strongest.
POSES: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {
        "brow_inner": 0.004, "brow_outer": 0.008, "lid_upper": -0.12, "lid_lower": 0.75,
        "cheek": 1.0, "jaw": 0.3, "mouth_curve": 0.044, "mouth_wide": 0.034, "mouth_lift": 0.008,
        "mouth_open": 0.056, "mouth_round": 0.25, "teeth_upper": 0.62,
    },
    "sad": {
        "brow_inner": 0.036, "brow_outer": -0.016, "brow_squeeze": 0.010, "lid_upper": -0.26,
        "lid_lower": 0.1, "lid_tilt": -0.34, "mouth_curve": -0.034, "mouth_wide": -0.008,
        "mouth_lift": -0.004,
    },
    "angry": {
        "brow_inner": -0.042, "brow_outer": 0.016, "brow_squeeze": 0.018, "lid_upper": -0.12,
        "lid_lower": 0.45, "lid_tilt": 0.42, "pupil": -0.12, "jaw": 0.1, "mouth_curve": -0.012,
        "mouth_wide": 0.004, "mouth_open": 0.044, "mouth_round": 1.1, "teeth_upper": 0.5,
        "teeth_lower": 0.5,
    },
    "afraid": {
        "brow_inner": 0.052, "brow_outer": 0.008, "brow_squeeze": 0.012, "lid_upper": 0.42,
        "lid_lower": -0.1, "lid_tilt": -0.12, "pupil": -0.3, "jaw": 0.55, "mouth_curve": -0.026,
        "mouth_wide": 0.012, "mouth_open": 0.066, "mouth_round": 0.6, "teeth_lower": 0.3,
    },
    "disgusted": {
        "brow_inner": -0.026, "brow_outer": -0.008, "brow_squeeze": 0.008, "lid_upper": -0.42,
        "lid_lower": 0.95, "lid_tilt": 0.1, "cheek": 0.6, "mouth_curve": -0.030,
        "mouth_lift": 0.020, "mouth_open": 0.034, "mouth_round": 0.1, "teeth_upper": 0.8,
    },
    "surprised": {
        "brow_inner": 0.046, "brow_outer": 0.046, "lid_upper": 0.55, "lid_lower": -0.3,
        "pupil": -0.1, "jaw": 1.0, "mouth_wide": -0.028, "mouth_lift": -0.002,
        "mouth_open": 0.112, "mouth_round": 1.0, "teeth_upper": 0.12,
    },
}  # fmt: skip
EXPRESSIONS = tuple(POSES)
#: Expression names with the codes that KDEF uses for them.
KDEF_CODES = {canonical(code): code for code in ("NE", "HA", "SA", "AN", "AF", "DI", "SU")}


@dataclass(frozen=True)
class Identity:
    """What makes one drawn person; lengths are fractions of the picture's side.

    Raises UsageError for an index outside its table.

    head_width, chin, jaw, taper : half width at the cheeks, height of the chin, squareness of the
        jaw (exponent, 2 is an ellipse), narrowing towards the chin (0..0.3).
    skin, blush : place on a scale from light to dark (0..1), redness of the cheeks (0..1).
    hair_style, hair_colour, hair_volume, hairline : two indices into `painting`'s tables, thickness
        over the skull, height of the hairline.
    brow_height, brow_length, brow_thickness, brow_arch : gap above the pupil, half length, ...
    eye_spacing, eye_width, eye_open, eye_slant, iris, eye_colour, lashes : distance between the
        pupils, half width, height of the upper lid, slant of the corners, radius of the iris, index
        of a colour, thickness of the lash line.
    nose_height, nose_width : height of the tip, half width.
    mouth_height, mouth_width, lip_upper, lip_lower, lip_colour : position, half width, thicknesses,
        strength of the lips' own colour (0..1).
    glasses : 0 none, 1 round, 2 rectangular.
    light_angle, light_strength : where the light comes from (radians, 0 above, positive from the
        right), how much of the shade it makes (0..1).
    background, background_light, shirt : hue (0..1), lightness (0..1), hue (0..1).
    tilt, shift_x, shift_y : rotation of the head (radians) and its displacement.
    """

    head_width: float = 0.295
    chin: float = 0.885
    jaw: float = 2.5
    taper: float = 0.12
    skin: float = 0.2
    blush: float = 0.5
    hair_style: int = 0
    hair_colour: int = 1
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
    glasses: int = 0
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
        for name, count in _TABLES.items():
            if not 0 <= getattr(self, name) < count:
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 to {count - 1}")


_TABLES = {
    "hair_style": len(HAIR_STYLES),
    "hair_colour": len(HAIR_COLOURS),
    "eye_colour": len(EYE_COLOURS),
    "glasses": 3,
}
# Ranges to draw from, of women and of men.
_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    **{name: (span, span) for name, span in {
        "brow_length": (0.066, 0.08), "eye_spacing": (0.268, 0.292), "eye_width": (0.063, 0.072),
        "eye_slant": (-0.006, 0.012), "iris": (0.031, 0.036), "nose_height": (0.555, 0.595),
        "mouth_height": (0.69, 0.72), "mouth_width": (0.078, 0.098), "hair_volume": (0.03, 0.055),
        "hairline": (0.175, 0.225), "expressiveness": (0.9, 1.08), "light_angle": (-1.1, 1.1),
        "light_strength": (0.3, 0.8), "background": (0.0, 1.0), "background_light": (0.45, 0.9),
        "shirt": (0.0, 1.0),
    }.items()},
    "head_width": ((0.268, 0.305), (0.276, 0.313)),
    "chin": ((0.855, 0.89), (0.867, 0.902)),
    "jaw": ((2.0, 2.5), (2.3, 3.3)),
    "taper": ((0.1, 0.24), (0.02, 0.16)),
    "blush": ((0.3, 1.0), (0.1, 0.6)),
    "brow_height": ((0.082, 0.1), (0.074, 0.09)),
    "brow_thickness": ((0.009, 0.016), (0.015, 0.025)),
    "brow_arch": ((0.010, 0.021), (0.004, 0.016)),
    "eye_open": ((0.039, 0.049), (0.034, 0.043)),
    "lashes": ((0.007, 0.011), (0.004, 0.006)),
    "nose_width": ((0.032, 0.046), (0.036, 0.055)),
    "lip_upper": ((0.011, 0.022), (0.008, 0.017)),
    "lip_lower": ((0.017, 0.028), (0.013, 0.024)),
    "lip_colour": ((0.5, 1.0), (0.15, 0.4)),
}  # fmt: skip


def random_identity(seed: int, sex: str | None = None) -> Identity:
    """One person; the same seed always gives the same one.

    seed : whole number, 0 or more; the only source of chance.
    sex : ``"F"`` or ``"M"`` for the proportions and hair that are likelier there; None draws it.
    """
    rng = np.random.default_rng(whole("seed", seed, 0))
    male = int(rng.integers(2))
    if sex is not None:
        if sex not in ("F", "M"):
            raise UnknownNameError("sex", sex, ("F", "M"))
        male = "FM".index(sex)
    numbers = {name: float(rng.uniform(*spans[male])) for name, spans in _RANGES.items()}
    skin = float(rng.beta(0.9, 1.3))
    # Dark skin mostly comes with dark hair and brown eyes; the palettes run from dark to light.
    reach = 1.0 - 0.75 * min(1.0, skin / 0.55)
    hair, eyes = (
        int(rng.integers(max(1, round(reach * len(table)))))
        for table in (HAIR_COLOURS, EYE_COLOURS)
    )
    style = rng.choice(len(HAIR_STYLES), p=((0.0, 0.5, 0.1, 0.4), (0.4, 0.0, 0.0, 0.6))[male])
    return Identity(
        **numbers,
        skin=skin,
        hair_style=int(style),
        hair_colour=hair,
        eye_colour=eyes,
        glasses=int(rng.choice(3, p=(0.8, 0.1, 0.1))),
        pattern=int(rng.integers(2**31)),
    )


def draw_face(
    identity: Identity,
    expression: str = "neutral",
    intensity: float = 1.0,
    size: int = 128,
    noise: float = 0.0,
    seed: int = 0,
) -> Pixels:
    """Draw a person with an expression.

    expression : one of ``EXPRESSIONS``, or a synonym of one such as ``"smile"``.
    intensity : 0 (the neutral face, to the bit) to 1 (the full expression), continuous.
    size : side of the square picture in pixels, 16 to 2048.
    noise : standard deviation of camera-like noise on the scale [0, 1]; 0.01 looks like a photo.
    seed : seeds the noise and nothing else.

    Returns: (size, size, 3) uint8 sRGB.
    """
    pose = _posed(identity, expression, intensity)
    size = _size(size)
    if not 0.0 <= noise <= 1.0:
        raise UsageError(f"noise is {noise}; give a standard deviation from 0 to 1")
    seed = whole("seed", seed, 0)
    picture = paint(identity, pose, size)
    if noise > 0.0:
        rng = np.random.default_rng(seed)
        # Most of a sensor's noise is shared by the channels after demosaicing.
        picture += noise * 0.9 * rng.standard_normal((size, size, 1), dtype=np.float32)
        picture += noise * 0.44 * rng.standard_normal((size, size, 3), dtype=np.float32)
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def face_points(
    identity: Identity, expression: str = "neutral", intensity: float = 1.0, size: int = 128
) -> Float64:
    """Where the five landmarks lie in the picture that :func:`draw_face` draws.

    Returns (5, 2) float64 pixels (x, y), pixel centres at i + 0.5: pupil on the left of the
    picture, pupil on the right, tip of the nose, corner of the mouth on the left, on the right.
    Raises as :func:`draw_face` does.
    """
    return landmarks(identity, _posed(identity, expression, intensity)) * _size(size)


def pairs_array(
    people: int, expression: str, size: int = 128, seed: int = 0
) -> tuple[Pixels, Pixels]:
    """Neutral faces and the same people with an expression, in memory.

    Returns two (people, size, size, 3) uint8 stacks; the people are those that
    :func:`synthesise` writes for the same seed. Raises as :func:`draw_face` does.
    """
    drawn = [_person(seed, index)[1] for index in range(whole("people", people, 1))]
    source = np.stack([draw_face(one, "neutral", size=size) for one in drawn])
    target = np.stack([draw_face(one, expression, size=size) for one in drawn])
    return source, target


def synthesise(
    folder: Path,
    people: int = 40,
    expressions: Sequence[str] = EXPRESSIONS,
    size: int = 256,
    seed: int = 0,
    sessions: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write drawn people as the KDEF does: ``KDEF/AF01/AF01NES.JPG``.

    Women and men take turns: AF01, AM01, AF02, ... A second session (B) shows the same people with
    the head slightly moved, a slightly weaker expression and some noise. Files of the same names
    are replaced, others are left alone.

    folder : where the folder ``KDEF`` goes; made if it is absent.
    people : how many, 1 to 198.
    expressions : names out of ``EXPRESSIONS``, or synonyms of them such as ``"HA"``.
    size : side of the pictures in pixels, 16 to 2048.
    seed : seeds people and second takes.
    sessions : 1 (A) or 2 (A and B).
    progress : called with (pictures written, pictures in all) after each.

    Returns: How many pictures were written.

    Raises UsageError for requests out of range and DataError where a file cannot be written.
    """
    wanted = [expressions] if isinstance(expressions, str) else expressions
    names = list(dict.fromkeys(map(_known, wanted)))
    if not names:
        raise UsageError(f"no expression to draw; choose from: {', '.join(EXPRESSIONS)}")
    if whole("sessions", sessions, 1) > 2:
        raise UsageError(f"sessions is {sessions}; KDEF's layout has two, A and B")
    if whole("people", people, 1) > MOST_PEOPLE:
        raise UsageError(f"people is {people}; at most {MOST_PEOPLE} fit the naming of KDEF")
    total = people * len(names) * sessions
    size = _size(size)
    done = 0
    for index in range(people):
        code, identity = _person(seed, index)
        for session in "AB"[:sessions]:
            for name in names:
                picture = _take(identity, session, name, size, (seed, index))
                place = folder / "KDEF" / f"{session}{code}"
                _save(place / f"{session}{code}{KDEF_CODES[name]}S", *picture)
                done += 1
                if progress is not None:
                    progress(done, total)
    return done


def _take(
    identity: Identity, session: str, expression: str, size: int, key: tuple[int, int]
) -> tuple[Pixels, Float64]:
    """A picture and its five landmarks."""
    if session == "A":
        drawn = draw_face(identity, expression, 1.0, size)
        return drawn, face_points(identity, expression, 1.0, size)
    rng = np.random.default_rng((*key, EXPRESSIONS.index(expression)))
    tilt, x, y = rng.normal(0.0, (0.012, 0.003, 0.003))
    moved = replace(identity, tilt=float(tilt), shift_x=float(x), shift_y=float(y))
    intensity = float(rng.uniform(0.85, 1.0))
    drawn = draw_face(moved, expression, intensity, size, 0.008, int(rng.integers(2**31)))
    return drawn, face_points(moved, expression, intensity, size)


def _save(path: Path, picture: Pixels, points: Float64) -> None:
    """The picture, and its landmarks beside it, as detectors are made for photographs."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    try:
        write_bytes(path.with_suffix(".JPG"), buffer.getvalue())
        write_bytes(path.with_suffix(".pts"), text_of_points(points).encode())
    except PixelregError as error:
        raise DataError(f"{error}; choose a folder with room") from error


def _person(seed: int, index: int) -> tuple[str, Identity]:
    """Code such as ``F01`` and identity of the person at an index."""
    sex = "FM"[index % 2]
    entropy = np.random.SeedSequence((whole("seed", seed, 0), index))
    identity = random_identity(int(entropy.generate_state(1)[0]), sex)
    return f"{sex}{index // 2 + 1:02d}", identity


def _known(expression: str) -> str:
    """The canonical name of an expression that can be drawn."""
    name = canonical(expression)
    if name not in POSES:
        raise UnknownNameError("expression", expression, POSES)
    return name


def _posed(identity: Identity, expression: str, intensity: float) -> Pose:
    """A person's pose for an expression at an intensity of 0 to 1; 0 for what is not moved."""
    full = POSES[_known(expression)]
    if not (isinstance(intensity, (int, float, np.number)) and 0.0 <= intensity <= 1.0):
        raise UsageError(f"intensity is {intensity}; give a number from 0 to 1")
    factor = float(intensity) * identity.expressiveness
    return defaultdict(float, {name: factor * value for name, value in full.items()})


def _size(size: int) -> int:
    if whole("size", size, SMALLEST) > LARGEST:
        raise UsageError(f"size is {size}; give {SMALLEST} to {LARGEST} pixels")
    return int(size)


def whole(what: str, value: int, least: int) -> int:
    """``value`` if it is a whole number of ``least`` or more; UsageError says ``what`` if not."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{what} is {value!r}; give a whole number, {least} or more")
    return int(value)
