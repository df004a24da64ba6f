"""RaFD, the Radboud Faces Database: ``Rafd090_28_Caucasian_male_angry_frontal.jpg``.

The parts are the camera angle (090 is from the front), the person's number, group, sex,
expression and gaze.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts.reading import Reading, Skip, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(
    r"Rafd(\d{3})_(\d+)_[A-Za-z]+_(?:fe)?male_([A-Za-z]+)_(frontal|left|right)", re.IGNORECASE
)


def read(tree: Tree) -> Reading:
    """The pictures from the front with the gaze to the front."""
    return read_by_name(tree, _parse, "Rafd090_28_Caucasian_male_angry_frontal.jpg")


def _parse(path: Path, relative: Path) -> Photo | Skip | None:
    match = _NAME.fullmatch(relative.stem)
    if match is None or canonical(match[3]) not in CANONICAL:
        return None
    angle, person, expression, gaze = match.groups()
    if angle != "090":
        return Skip("not from the frontal camera")
    if gaze.lower() != "frontal":
        return Skip("gaze to the side")
    return Photo(person, canonical(expression), path)
