"""Drawn faces: seeded people with the seven expressions of KDEF, for demonstrations and tests.

A person is an :class:`Identity`, a handful of numbers; an expression is a set of offsets that grows
linearly with its intensity. The picture is painted in one pass with analytic edges, so that a
small change of any number is a small change of the picture. Coordinates are fractions of the
square picture, x to the right and y down, in the canonical frame: pupils near (0.36, 0.39) and
(0.64, 0.39).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pixelreg.arrays import Float64, Pixels
from pixelreg.data._face_drawing import landmarks, paint
from pixelreg.data._face_identity import Identity, random_identity, whole
from pixelreg.data._face_pose import POSES, known, posed
from pixelreg.data.expressions import canonical
from pixelreg.errors import DataError, UsageError

__all__ = [
    "EXPRESSIONS",
    "KDEF_CODES",
    "Identity",
    "draw_face",
    "face_points",
    "pairs_array",
    "random_identity",
    "synthesise",
]

EXPRESSIONS = tuple(POSES)
#: Expression names with the codes that KDEF uses for them.
KDEF_CODES = {canonical(code): code for code in ("NE", "HA", "SA", "AN", "AF", "DI", "SU")}
SMALLEST, LARGEST = 16, 2048
MOST_PEOPLE = 2 * 99  # KDEF numbers women and men with two digits each


def draw_face(
    identity: Identity,
    expression: str = "neutral",
    intensity: float = 1.0,
    size: int = 128,
    noise: float = 0.0,
    seed: int = 0,
) -> Pixels:
    """Draw a person with an expression.

    Parameters
    ----------
    identity : the person.
    expression : one of ``EXPRESSIONS``, or a synonym of one such as ``"smile"``.
    intensity : 0 (the neutral face, to the bit) to 1 (the full expression), continuous.
    size : side of the square picture in pixels, 16 to 2048.
    noise : standard deviation of camera-like noise on the scale [0, 1]; 0.01 looks like a photo.
    seed : seeds the noise and nothing else.

    Returns
    -------
    (size, size, 3) uint8 sRGB.

    Raises UnknownNameError for an unknown expression and UsageError for numbers out of range.
    """
    pose = posed(identity, expression, intensity)
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
    levels: Pixels = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels


def face_points(
    identity: Identity, expression: str = "neutral", intensity: float = 1.0, size: int = 128
) -> Float64:
    """Where the five landmarks lie in the picture that :func:`draw_face` draws.

    Returns (5, 2) float64 pixels (x, y), pixel centres at i + 0.5: pupil on the left of the
    picture, pupil on the right, tip of the nose, corner of the mouth on the left, on the right.
    Raises as :func:`draw_face` does.
    """
    return landmarks(identity, posed(identity, expression, intensity)) * _size(size)


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

    Parameters
    ----------
    folder : where the folder ``KDEF`` goes; made if it is absent.
    people : how many, 1 to 198.
    expressions : names out of ``EXPRESSIONS``, or synonyms of them such as ``"HA"``.
    size : side of the pictures in pixels, 16 to 2048.
    seed : seeds people and second takes.
    sessions : 1 (A) or 2 (A and B).
    progress : called with (pictures written, pictures in all) after each.

    Returns
    -------
    How many pictures were written.

    Raises UsageError for requests out of range and DataError where a file cannot be written.
    """
    wanted = [expressions] if isinstance(expressions, str) else expressions
    names = list(dict.fromkeys(map(known, wanted)))
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
                _save(place / f"{session}{code}{KDEF_CODES[name]}S.JPG", picture)
                done += 1
                if progress is not None:
                    progress(done, total)
    return done


def _take(
    identity: Identity, session: str, expression: str, size: int, key: tuple[int, int]
) -> Pixels:
    if session == "A":
        return draw_face(identity, expression, 1.0, size)
    rng = np.random.default_rng((*key, EXPRESSIONS.index(expression)))
    tilt, x, y = rng.normal(0.0, (0.012, 0.003, 0.003))
    moved = replace(identity, tilt=float(tilt), shift_x=float(x), shift_y=float(y))
    intensity = float(rng.uniform(0.85, 1.0))
    return draw_face(moved, expression, intensity, size, 0.008, int(rng.integers(2**31)))


def _save(path: Path, picture: Pixels) -> None:
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
    entropy = np.random.SeedSequence((whole("seed", seed, 0), index))
    identity = random_identity(int(entropy.generate_state(1)[0]), sex)
    return f"{sex}{index // 2 + 1:02d}", identity


def _size(size: int) -> int:
    if whole("size", size, SMALLEST) > LARGEST:
        raise UsageError(f"size is {size}; give {SMALLEST} to {LARGEST} pixels")
    return int(size)
