"""Photographs and the sketches that were drawn after them: CUHK and CUFSF."""

from __future__ import annotations

import re
from pathlib import Path

from pixelreg.data.layouts.reading import Layout, Reading, Tree, folder_of, name_of, stem_of
from pixelreg.data.photos import Photo

_NAME = re.compile(r"([fm])(\d?)-(\d{3})-(\d\d)(-sz\d)?", re.IGNORECASE)


def _fill_cuhk(tree: Tree, reading: Reading) -> None:
    """Photos and sketches; a sketch of series 2 is matched to a photo without a series number."""
    matches = [_NAME.fullmatch(stem_of(file)) for file in tree.pictures]
    photographed = {_person(m) for m in matches if m is not None and not m[5]}
    for file, match in zip(tree.pictures, matches, strict=True):
        if match is None:
            reading.strange(file)
            continue
        person = _person(match)
        if match[5] and match[2] == "2" and person not in photographed:
            person = person.replace("2", "", 1)
        expression = "sketch" if match[5] else "photo"
        reading.photos.append(Photo(person, expression, file, match[4]))
    reading.recognised = len(reading.photos)


def _person(match: re.Match[str]) -> str:
    return f"{match[1].lower()}{match[2]}-{match[3]}"


LIST = "names_of_photos_used_for_drawing_sketches.txt"
_KIND = "sketch"  # part of the names of their folders
_SKETCH = re.compile(r"\d{5}")
_GREY = re.compile(r"(\d{5})(f[ab])\d{3}[a-z]?_(\d{6})", re.IGNORECASE)
_COLOURED = re.compile(r"(\d{5})_(\d{6})_(f[ab])(?:_[a-z])?", re.IGNORECASE)

_View = tuple[str, str, str]  # person, date, which of the two frontal views


def _fill_cufsf(tree: Tree, reading: Reading) -> None:
    """Photographs and sketches; cropped sketches are left out beside the original ones."""
    used = _used(tree)
    has_originals = any(_is_sketch(p) and _folder(p) == "original_sketch" for p in tree.pictures)
    for file in tree.pictures:
        view = _view(stem_of(file))
        if _is_sketch(file):
            if has_originals and _folder(file) == "cropped_sketch":
                reading.skipped["cropped sketch beside the original one"] += 1
            else:
                reading.photos.append(Photo(stem_of(file), "sketch", file))
        elif view is None:
            reading.strange(file)
        elif used and view not in used:
            reading.skipped["photograph that no sketch was drawn from"] += 1
        else:
            reading.photos.append(Photo(view[0], "photo", file))
    shown = [{p.person for p in reading.photos if p.expression == k} for k in ("photo", "sketch")]
    if shown[0] & shown[1]:  # numbered pictures alone may be anything
        reading.recognised = len(reading.photos) + reading.skipped.total()


def _is_sketch(file: str) -> bool:
    return _KIND in _folder(file) and _SKETCH.fullmatch(stem_of(file)) is not None


def _folder(file: str) -> str:
    return folder_of(file).lower()


def _view(name: str) -> _View | None:
    if grey := _GREY.fullmatch(name):
        return grey[1], grey[3], grey[2].lower()
    if coloured := _COLOURED.fullmatch(name):
        return coloured[1], coloured[2], coloured[3].lower()
    return None


def _used(tree: Tree) -> set[_View]:
    """The views that the list names; empty where there is no list."""
    views: set[_View] = set()
    for file in tree.others:
        if name_of(file).lower() == LIST:
            try:
                text = Path(file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # every photograph is taken then
            for line in text.splitlines():
                name = line.strip().replace("\\", "/").rpartition("/")[2]
                view = _view(name.partition(".")[0])
                if view is not None:
                    views.add(view)
    return views


SETS = {
    "cuhk": Layout(
        "f-005-01.jpg with F2-005-01-sz1.jpg",
        _fill_cuhk,
        source="photo",
        aligned=True,
        codes=True,
    ),
    "cufsf": Layout(
        "original_sketch/00001.jpg with photo/00001fb010_930831.tif",
        _fill_cufsf,
        source="photo",
        codes=True,
    ),
}
