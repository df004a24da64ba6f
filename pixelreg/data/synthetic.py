"""Drawn faces: seeded people with the seven expressions of KDEF, for demonstrations and tests.

A person is an :class:`Identity`, a handful of numbers; an expression is a set of offsets that grows
linearly with its intensity. The picture is painted in one pass with analytic edges (see
``_face_drawing``), so that a small change of any number is a small change of the picture.
Coordinates are fractions of the square picture, x to the right and y down, in the canonical frame:
pupils near (0.36, 0.39) and (0.64, 0.39).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pixelreg.data import _face_drawing as drawing
from pixelreg.errors import DataError, UnknownNameError, UsageError

#: Expression names with the codes that KDEF uses for them.
KDEF_CODES = {
    "neutral": "NE",
    "happy": "HA",
    "sad": "SA",
    "angry": "AN",
    "afraid": "AF",
    "disgusted": "DI",
    "surprised": "SU",
}
EXPRESSIONS = tuple(KDEF_CODES)
SMALLEST, LARGEST = 16, 2048
MOST_PEOPLE = 2 * 9999


@dataclass(frozen=True)
class Identity:
    """What makes one drawn person; lengths are fractions of the picture's side.

    Raises UsageError for an index outside its table (the tables are in ``_face_drawing``).

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
            "hair_style": drawing.HAIR_STYLES,
            "hair_colour": drawing.HAIR_COLOURS,
            "eye_colour": drawing.EYE_COLOURS,
            "glasses": drawing.GLASSES,
            "beard": drawing.BEARDS,
        }
        for name, table in choices.items():
            if not 0 <= getattr(self, name) < len(table):
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 to {len(table) - 1}")


@dataclass(frozen=True)
class Pose:
    """What an expression changes, as offsets from the neutral face; lengths as in Identity.

    The unit-free numbers (``lid_*``, ``mouth_round``, ``cheek``, ``wrinkle``, ``fold``, ``jaw``,
    ``pupil``) are 0 at rest and near 1 at their strongest.
    """

    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_squeeze: float = 0.0
    lid_upper: float = 0.0
    lid_lower: float = 0.0
    lid_tilt: float = 0.0
    pupil: float = 0.0
    cheek: float = 0.0
    wrinkle: float = 0.0
    fold: float = 0.0
    jaw: float = 0.0
    mouth_curve: float = 0.0
    mouth_wide: float = 0.0
    mouth_lift: float = 0.0
    mouth_open: float = 0.0
    mouth_round: float = 0.0
    mouth_press: float = 0.0
    teeth_upper: float = 0.0
    teeth_lower: float = 0.0


# The directions follow the facial muscles that each expression is known by: raised or lowered
# brows, opened or tightened lids, raised cheeks, wrinkled nose, pulled corners of the mouth.
_POSES = {
    "neutral": Pose(),
    "happy": Pose(
        brow_inner=0.004, brow_outer=0.008, lid_upper=-0.12, lid_lower=0.75, cheek=1.0, fold=0.9,
        jaw=0.3, mouth_curve=0.044, mouth_wide=0.034, mouth_lift=0.008, mouth_open=0.056,
        mouth_round=0.25, teeth_upper=0.62,
    ),
    "sad": Pose(
        brow_inner=0.036, brow_outer=-0.016, brow_squeeze=0.010, lid_upper=-0.26, lid_lower=0.1,
        lid_tilt=-0.34, mouth_curve=-0.034, mouth_wide=-0.008, mouth_lift=-0.004, fold=0.35,
    ),
    "angry": Pose(
        brow_inner=-0.042, brow_outer=0.016, brow_squeeze=0.018, lid_upper=-0.12, lid_lower=0.45,
        lid_tilt=0.42, pupil=-0.12, wrinkle=0.15, fold=0.35, jaw=0.1, mouth_curve=-0.012,
        mouth_wide=0.004, mouth_press=0.8, mouth_open=0.044, mouth_round=1.1, teeth_upper=0.5,
        teeth_lower=0.5,
    ),
    "afraid": Pose(
        brow_inner=0.052, brow_outer=0.008, brow_squeeze=0.012, lid_upper=0.42, lid_lower=-0.1,
        lid_tilt=-0.12, pupil=-0.3, jaw=0.55, mouth_curve=-0.026, mouth_wide=0.012,
        mouth_open=0.066, mouth_round=0.6, teeth_lower=0.3, teeth_upper=0.0,
    ),
    "disgusted": Pose(
        brow_inner=-0.026, brow_outer=-0.008, brow_squeeze=0.008, lid_upper=-0.42, lid_lower=0.95,
        lid_tilt=0.1, cheek=0.6, wrinkle=1.0, fold=1.0, mouth_curve=-0.030, mouth_wide=0.0,
        mouth_lift=0.020, mouth_open=0.034, mouth_round=0.1, teeth_upper=0.8,
    ),
    "surprised": Pose(
        brow_inner=0.046, brow_outer=0.046, lid_upper=0.55, lid_lower=-0.3, pupil=-0.1, jaw=1.0,
        mouth_curve=0.0, mouth_wide=-0.028, mouth_lift=-0.002, mouth_open=0.112, mouth_round=1.0,
        teeth_upper=0.12,
    ),
}  # fmt: skip


def random_identity(seed: int, sex: str | None = None) -> Identity:
    """One person; the same seed always gives the same one.

    Parameters
    ----------
    seed : whole number, 0 or more; the only source of chance.
    sex : ``"F"`` or ``"M"`` for the proportions and hair that are likelier there; None draws it.

    Raises UsageError for a negative seed and UnknownNameError for another letter.
    """
    rng = np.random.default_rng(_whole("seed", seed, 0))
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
    styles = drawing.FEMALE_STYLES if female else drawing.MALE_STYLES
    return {
        "hair_style": drawing.HAIR_STYLES.index(str(rng.choice(styles))),
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
    hair = int(rng.integers(max(2, round(drawing.NATURAL_COLOURS * reach))))
    return {
        "skin": skin,
        "warmth": u(-1.0, 1.0),
        "blush": u(0.3, 1.0) if female else u(0.1, 0.6),
        "hair_colour": int(rng.integers(drawing.NATURAL_COLOURS, len(drawing.HAIR_COLOURS)))
        if grey
        else hair,
        "hair_light": u(0.85, 1.15),
        "eye_colour": int(rng.integers(max(2, round(len(drawing.EYE_COLOURS) * reach)))),
        "lip_colour": u(0.5, 1.0) if female else u(0.15, 0.4),
        "light_angle": u(-1.1, 1.1),
        "light_strength": u(0.3, 0.8),
        "background": u(0.0, 1.0),
        "background_light": u(0.45, 0.9),
        "shirt": u(0.0, 1.0),
    }


def draw_face(
    identity: Identity,
    expression: str = "neutral",
    intensity: float = 1.0,
    size: int = 128,
    noise: float = 0.0,
    seed: int = 0,
) -> npt.NDArray[np.uint8]:
    """Draw a person with an expression.

    Parameters
    ----------
    identity : the person.
    expression : one of ``EXPRESSIONS``.
    intensity : 0 (the neutral face, to the bit) to 1 (the full expression), continuous.
    size : side of the square picture in pixels, 16 to 2048.
    noise : standard deviation of camera-like noise on the scale [0, 1]; 0.01 looks like a photo.
    seed : seeds the noise and nothing else.

    Returns
    -------
    (size, size, 3) uint8 sRGB.

    Raises UnknownNameError for an unknown expression and UsageError for numbers out of range.
    """
    pose = _pose(identity, expression, intensity)
    size = _size(size)
    if not 0.0 <= noise <= 1.0:
        raise UsageError(f"noise is {noise}; give a standard deviation from 0 to 1")
    seed = _whole("seed", seed, 0)
    picture = drawing.paint(identity, pose, size)
    if noise > 0.0:
        rng = np.random.default_rng(seed)
        # Most of a sensor's noise is shared by the channels after demosaicing.
        picture += noise * 0.9 * rng.standard_normal((size, size, 1), dtype=np.float32)
        picture += noise * 0.44 * rng.standard_normal((size, size, 3), dtype=np.float32)
    levels: npt.NDArray[np.uint8] = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels


def face_points(
    identity: Identity, expression: str = "neutral", intensity: float = 1.0, size: int = 128
) -> npt.NDArray[np.float64]:
    """Where the five landmarks lie in the picture that :func:`draw_face` draws.

    Returns (5, 2) float64 pixels (x, y), pixel centres at i + 0.5: pupil on the left of the
    picture, pupil on the right, tip of the nose, corner of the mouth on the left, on the right.
    Raises as :func:`draw_face` does.
    """
    return drawing.landmarks(identity, _pose(identity, expression, intensity)) * _size(size)


def pairs_array(
    people: int, expression: str, size: int = 128, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Neutral faces and the same people with an expression, in memory.

    Returns two (people, size, size, 3) uint8 stacks; the people are those that
    :func:`synthesise` writes for the same seed. Raises as :func:`draw_face` does.
    """
    known = [_person(seed, index)[1] for index in range(_people(people))]
    source = np.stack([draw_face(one, "neutral", size=size) for one in known])
    target = np.stack([draw_face(one, expression, size=size) for one in known])
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

    Parameters
    ----------
    folder : where the folder ``KDEF`` goes; made if it is absent.
    people : how many, 1 to 19998; up to 198 keep KDEF's two-digit numbers.
    expressions : names out of ``EXPRESSIONS``.
    size : side of the pictures in pixels, 16 to 2048.
    seed : seeds people and second takes.
    sessions : 1 (A) or 2 (A and B).
    progress : called with (pictures written, pictures in all) after each.

    Returns
    -------
    How many pictures were written.

    Raises UsageError for requests out of range and DataError where a file cannot be written.
    """
    names = list(dict.fromkeys([expressions] if isinstance(expressions, str) else expressions))
    for name in names:
        _known(name)
    if not names:
        raise UsageError(f"no expression to draw; choose from: {', '.join(EXPRESSIONS)}")
    if _whole("sessions", sessions, 1) > 2:
        raise UsageError(f"sessions is {sessions}; KDEF's layout has two, A and B")
    total = _people(people) * len(names) * sessions
    size = _size(size)
    done = 0
    for index in range(people):
        code, identity = _person(seed, index)
        for session in "AB"[:sessions]:
            for name in names:
                picture = _take(identity, session, name, size, (seed, index))
                place = folder / "KDEF" / f"{session}{code}"
                _save(place / f"{session}{code}{KDEF_CODES[name]}S.JPG", picture)
                done += 1
                if progress is not None:
                    progress(done, total)
    return done


def _take(
    identity: Identity, session: str, expression: str, size: int, key: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    if session == "A":
        return draw_face(identity, expression, 1.0, size)
    rng = np.random.default_rng((*key, EXPRESSIONS.index(expression)))
    tilt, x, y = rng.normal(0.0, (0.012, 0.003, 0.003))
    moved = replace(identity, tilt=float(tilt), shift_x=float(x), shift_y=float(y))
    intensity = float(rng.uniform(0.85, 1.0))
    return draw_face(moved, expression, intensity, size, 0.008, int(rng.integers(2**31)))


def _save(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(buffer.getvalue())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}; choose a folder with room") from error


def _person(seed: int, index: int) -> tuple[str, Identity]:
    """Code such as ``F01`` and identity of the person at an index."""
    sex = "FM"[index % 2]
    entropy = np.random.SeedSequence((_whole("seed", seed, 0), index))
    identity = random_identity(int(entropy.generate_state(1)[0]), sex)
    return f"{sex}{index // 2 + 1:02d}", identity


def _pose(identity: Identity, expression: str, intensity: float) -> Pose:
    _known(expression)
    if not (isinstance(intensity, (int, float, np.number)) and 0.0 <= intensity <= 1.0):
        raise UsageError(f"intensity is {intensity}; give a number from 0 to 1")
    factor = float(intensity) * identity.expressiveness
    return Pose(*(factor * value for value in astuple(_POSES[expression])))


def _known(expression: str) -> None:
    if expression not in KDEF_CODES:
        raise UnknownNameError("expression", expression, EXPRESSIONS)


def _people(people: int) -> int:
    if _whole("people", people, 1) > MOST_PEOPLE:
        raise UsageError(f"people is {people}; at most {MOST_PEOPLE} fit the naming of KDEF")
    return people


def _size(size: int) -> int:
    if _whole("size", size, SMALLEST) > LARGEST:
        raise UsageError(f"size is {size}; give {SMALLEST} to {LARGEST} pixels")
    return int(size)


def _whole(what: str, value: int, least: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{what} is {value!r}; give a whole number, {least} or more")
    return int(value)
