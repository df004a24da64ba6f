"""CUHK face sketch FERET database: artists' sketches, and the FERET photographs drawn from.

Sketches are numbered as FERET numbers people: ``original_sketch/00001.jpg``. The photographs come
with FERET and keep its names: ``photo/00001fb010_930831.tif`` of the grey edition,
``00001_930831_fb.ppm`` of the coloured one. Where the whole of FERET lies there, the list
``names_of_photos_used_for_drawing_sketches.txt`` that comes with the sketches says which to take.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.layouts.reading import Reading, Tree, strange_name
from pixelreg.data.photos import Photo

LIST = "names_of_photos_used_for_drawing_sketches.txt"
_SKETCH = re.compile(r"\d{5}")
_GREY = re.compile(r"(\d{5})(f[ab])\d{3}[a-z]?_(\d{6})", re.IGNORECASE)
_COLOURED = re.compile(r"(\d{5})_(\d{6})_(f[ab])(?:_[a-z])?", re.IGNORECASE)
_EXAMPLE = "original_sketch/00001.jpg with photo/00001fb010_930831.tif"

_View = tuple[str, str, str]  # person, date, which of the two frontal views


def read(tree: Tree) -> Reading:
    """Photographs and sketches; cropped sketches are left out beside the original ones."""
    reading = Reading(source="photo")
    used = _used(tree)
    has_originals = any(_is_sketch(p) and _folder(p) == "original_sketch" for p, _ in tree.pictures)
    for path, _ in tree.pictures:
        view = _view(path.stem)
        if _is_sketch(path):
            if has_originals and _folder(path) == "cropped_sketch":
                reading.skipped["cropped sketch beside the original one"] += 1
            else:
                reading.photos.append(Photo(path.stem, "sketch", path))
        elif view is None:
            reading.problems.append(strange_name(path, _EXAMPLE))
        elif used and view not in used:
            reading.skipped["photograph that no sketch was drawn from"] += 1
        else:
            reading.photos.append(Photo(view[0], "photo", path))
    shown = [{p.person for p in reading.photos if p.expression == k} for k in ("photo", "sketch")]
    if shown[0] & shown[1]:  # numbered pictures alone may be anything
        reading.recognised = len(reading.photos) + reading.skipped.total()
    return reading


def _is_sketch(path: Path) -> bool:
    return "sketch" in _folder(path) and _SKETCH.fullmatch(path.stem) is not None


def _folder(path: Path) -> str:
    return path.parent.name.lower()


def _view(name: str) -> _View | None:
    if grey := _GREY.fullmatch(name):
        return grey[1], grey[3], grey[2].lower()
    if coloured := _COLOURED.fullmatch(name):
        return coloured[1], coloured[2], coloured[3].lower()
    return None


def _used(tree: Tree) -> set[_View]:
    """The views that the list names; empty where there is no list."""
    views: set[_View] = set()
    for relative in tree.others:
        if relative.name.lower() == LIST:
            try:
                text = (tree.root / relative).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # every photograph is taken then
            for line in text.splitlines():
                name = line.strip().replace("\\", "/").rpartition("/")[2]
                view = _view(name.partition(".")[0])
                if view is not None:
                    views.add(view)
    return views
