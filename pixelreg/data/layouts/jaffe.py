"""JAFFE, Japanese Female Facial Expression: ``KA.AN1.39.tiff``.

The parts are the person, the expression (AN DI FE HA NE SA SU) with the number of the take, and
the picture's number in the whole set.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.expressions import canonical
from pixelreg.data.layouts.reading import Reading, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)(\d)\.(\d+)", re.IGNORECASE)


def read(tree: Tree) -> Reading:
    """Every picture; the take is the session."""
    return read_by_name(tree, _parse, "KA.AN1.39.tiff")


def _parse(path: Path, relative: Path) -> Photo | None:
    match = _NAME.fullmatch(relative.stem)
    return match and Photo(match[1].upper(), canonical(match[2]), path, match[3])
