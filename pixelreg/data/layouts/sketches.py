"""Photographs and sketches made of them: ``photo/PERSON/TAKE.png`` with ``sketch/PERSON/TAKE.png``.

``pixelreg data sketch`` writes such folders. The folder of the person may be missing; then the
file's name is the person's.
"""

from __future__ import annotations

from pathlib import Path

from pixelreg.data.layouts.folders import without_wrapper
from pixelreg.data.layouts.reading import Reading, Tree, picture_size, strange_name
from pixelreg.data.photos import Photo

KINDS = ("photo", "sketch")
EXAMPLE = "photo/PERSON/TAKE.png with sketch/PERSON/TAKE.png"


def read(tree: Tree) -> Reading:
    """Both pictures of every take; aligned if the two of each pair are of one size."""
    reading = Reading(source="photo", aligned=True)
    places = without_wrapper(tree)
    if {parts[0] for _, parts in places if len(parts) > 1} >= set(KINDS):
        pairs: dict[tuple[str, ...], list[Photo]] = {}
        for path, parts in places:
            if parts[0] not in KINDS or len(parts) < 2:
                reading.problems.append(strange_name(path, EXAMPLE))
                continue
            photo = _photo(path, parts)
            reading.photos.append(photo)
            pairs.setdefault((photo.person, photo.session), []).append(photo)
        complete = [photos for photos in pairs.values() if len(photos) == len(KINDS)]
        reading.recognised = sum(map(len, complete))
        reading.aligned = all(
            picture_size(photos[0].path) == picture_size(photos[1].path) for photos in complete
        )
    return reading


def _photo(path: Path, parts: tuple[str, ...]) -> Photo:
    kind, *folders, _ = parts
    if not folders:
        return Photo(path.stem, kind, path)
    return Photo("/".join(folders), kind, path, path.stem)
