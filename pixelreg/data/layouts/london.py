"""Face Research Lab London Set: ``neutral_front/001_03.jpg``, ``smiling_front/001_08.jpg``.

The parts are the person and the view. A WebMorph template ``001_03.tem`` with 189 landmarks may
lie beside a picture.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.layouts.reading import Reading, Skip, Tree, read_by_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"(\d{3})_(\d\d)")
_FOLDER = re.compile(r"(neutral|smiling)_\w+", re.IGNORECASE)
_FRONT = {"03": "neutral", "08": "happy"}


def read(tree: Tree) -> Reading:
    """The pictures from the front, with their templates."""
    templates = {path for path in tree.others if path.suffix.lower() == ".tem"}

    def parse(path: Path, relative: Path) -> Photo | Skip | None:
        match = _NAME.fullmatch(relative.stem)
        if match is None or not _FOLDER.fullmatch(path.parent.name):
            return None
        person, view = match.groups()
        if view not in _FRONT:
            return Skip("not a frontal view")
        template = relative.with_suffix(".tem")
        landmarks = tree.root / template if template in templates else None
        return Photo(person, _FRONT[view], path, landmarks=landmarks)

    return read_by_name(tree, parse, "neutral_front/001_03.jpg")
