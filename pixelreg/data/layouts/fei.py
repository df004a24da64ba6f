"""FEI, frontal part: ``12a.jpg`` is person 12 neutral, ``12b.jpg`` the same person smiling."""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.layouts.reading import Reading, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"(\d{1,3})([ab])", re.IGNORECASE)


def read(tree: Tree) -> Reading:
    """Every frontal picture."""
    return read_by_name(tree, _parse, "12a.jpg")


def _parse(path: Path, relative: Path) -> Photo | None:
    match = _NAME.fullmatch(relative.stem)
    return match and Photo(match[1], "neutral" if match[2].lower() == "a" else "happy", path)
