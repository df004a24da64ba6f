"""Bosphorus: ``bs000/bs000_E_HAPPY_0.png``, ``bs000/bs000_N_N_0.png``.

The parts are the person, the kind of picture (N neutral, E expression; action units, poses and
occlusions have other letters), its name and the number of the take.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts.reading import Reading, Skip, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"(bs\d{3})_([A-Z]+)_(\w+)_(\d+)", re.IGNORECASE)


def read(tree: Tree) -> Reading:
    """Neutral and expression pictures; the take is the session."""
    return read_by_name(tree, _parse, "bs000/bs000_E_HAPPY_0.png")


def _parse(path: Path, relative: Path) -> Photo | Skip | None:
    match = _NAME.fullmatch(relative.stem)
    if match is None:
        return None
    person, kind, name, take = match.groups()
    if kind.upper() not in ("N", "E"):
        return Skip("action unit, pose or occlusion")
    expression = "neutral" if kind.upper() == "N" else canonical(name)
    return Photo(person.lower(), expression, path, take) if expression in CANONICAL else None
