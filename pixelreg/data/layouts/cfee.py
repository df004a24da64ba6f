"""CFEE, Compound Facial Expressions of Emotion: ``Images1/01_126_3963.jpg``.

The parts are the category, the person and the number of the shot. Categories 01 to 07 are the
plain expressions; 08 to 26 are compound ones and are named ``compound-08`` and so on.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.layouts.reading import Reading, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"(\d\d)_(\d{3})(?:_\d+)?")  # a few files lack the shot
_PLAIN = ("neutral", "happy", "sad", "afraid", "angry", "surprised", "disgusted")
_CATEGORIES = 26


def read(tree: Tree) -> Reading:
    """Every category; the person is the second number."""
    return read_by_name(tree, _parse, "Images1/01_126_3963.jpg")


def _parse(path: Path, relative: Path) -> Photo | None:
    match = _NAME.fullmatch(relative.stem)
    if match is None or not 1 <= int(match[1]) <= _CATEGORIES:
        return None
    category = int(match[1])
    plain = category <= len(_PLAIN)
    return Photo(match[2], _PLAIN[category - 1] if plain else f"compound-{category:02}", path)
