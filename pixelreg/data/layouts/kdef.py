"""KDEF and AKDEF: the Karolinska Directed Emotional Faces and their averages.

``AF01NES.JPG`` is session (A, B), sex (F, M), number, expression (AF AN DI HA NE SA SU) and angle
(FL HL S HR FR: full left to full right, S for straight). ``AF01`` and ``BF01`` are two sittings of
one person. ``FHAS.JPG`` of AKDEF is the average of all women, happy, straight.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.expressions import canonical
from pixelreg.data.layouts.reading import Reading, Skip, Tree, picture_size, read_by_name
from pixelreg.data.photos import Photo, Problem

_ENDING = r"(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)"
_KDEF = re.compile(rf"([AB])([FM]\d\d){_ENDING}", re.IGNORECASE)
_AKDEF = re.compile(rf"([FM]){_ENDING}", re.IGNORECASE)
_SIDE = Skip("not a straight view")

# The set holds a few all-black files. A black JPEG of its 562x762 pixels takes less than 10 kB, a
# photograph several times as much, so that only files under this size need a look inside.
_BLACK_BYTES = 20_000
_BLACK_PIXELS = 4_000_000  # the set has 428,244; a small file may hide far more


def read_kdef(tree: Tree) -> Reading:
    """Straight views of KDEF; person is sex and number, session is A or B."""
    return read_by_name(tree, _kdef, "AF01/AF01NES.JPG")


def read_akdef(tree: Tree) -> Reading:
    """Straight views of AKDEF; the two "people" are F and M."""
    return read_by_name(tree, _akdef, "FHAS.JPG")


def _kdef(path: Path, relative: Path) -> Photo | Skip | Problem | None:
    match = _KDEF.fullmatch(relative.stem)
    if match is None:
        return Skip("an average face of AKDEF") if _AKDEF.fullmatch(relative.stem) else None
    session, person, expression, angle = match.groups()
    if angle.upper() != "S":
        return _SIDE
    if _is_black(path):
        return Problem(path, "all black")
    return Photo(person.upper(), canonical(expression), path, session.upper())


def _akdef(path: Path, relative: Path) -> Photo | Skip | None:
    match = _AKDEF.fullmatch(relative.stem)
    if match is None:
        return None
    sex, expression, angle = match.groups()
    return Photo(sex.upper(), canonical(expression), path) if angle.upper() == "S" else _SIDE


def _is_black(path: Path) -> bool:
    """Whether a small file decodes to nothing but black; a damaged file is not judged here."""
    from PIL import Image

    try:
        if path.stat().st_size > _BLACK_BYTES:
            return False
        width, height = picture_size(path) or (0, 0)
        if not 0 < width * height <= _BLACK_PIXELS:
            return False
        with Image.open(path) as picture:
            brightest = picture.convert("L").getextrema()[1]
    except (OSError, ValueError, SyntaxError):
        return False
    # JPEG may leave a level or two of noise on black.
    return isinstance(brightest, int) and brightest <= 2
