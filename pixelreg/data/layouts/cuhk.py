"""CUHK student part of the face sketch database: a photo and an artist's sketch of each person.

Photo ``f-005-01.jpg`` goes with sketch ``F2-005-01-sz1.jpg`` (the sketch of series ``f`` is called
``F2``), photo ``f1-001-01.jpg`` with ``f1-001-01-sz1.jpg``; men have ``m``.
"""

from __future__ import annotations

import re

from pixelreg.data.layouts.reading import Reading, Tree, strange_name
from pixelreg.data.photos import Photo

_NAME = re.compile(r"([fm])(\d?)-(\d{3})-(\d\d)(-sz\d)?", re.IGNORECASE)


def read(tree: Tree) -> Reading:
    """Photos and sketches; a sketch of series 2 is matched to a photo without a series number."""
    matches = {path: _NAME.fullmatch(path.stem) for path, _ in tree.pictures}
    photographed = {_person(m) for m in matches.values() if m is not None and not m[5]}
    reading = Reading(source="photo", aligned=True)
    for path, match in matches.items():
        if match is None:
            reading.problems.append(strange_name(path, "f-005-01.jpg with F2-005-01-sz1.jpg"))
            continue
        person = _person(match)
        if match[5] and match[2] == "2" and person not in photographed:
            person = person.replace("2", "", 1)
        expression = "sketch" if match[5] else "photo"
        reading.photos.append(Photo(person, expression, path, match[4]))
    reading.recognised = len(reading.photos)
    return reading


def _person(match: re.Match[str]) -> str:
    return f"{match[1].lower()}{match[2]}-{match[3]}"
