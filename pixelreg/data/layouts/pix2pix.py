"""Side-by-side files as for pix2pix: ``train/1.jpg`` is twice as wide as high, A left, B right."""

from __future__ import annotations

from pathlib import Path

from pixelreg.data.layouts.folders import without_wrapper
from pixelreg.data.layouts.reading import Reading, Tree, picture_size
from pixelreg.data.photos import Photo, Problem


def read(tree: Tree) -> Reading:
    """Both halves of every picture that is exactly twice as wide as high; only headers are read."""
    reading = Reading(source="A", aligned=True)
    for path, parts in without_wrapper(tree):
        size = picture_size(path)
        if size is None:
            reading.problems.append(Problem(path, "cannot be read as a picture"))
        elif size[0] != 2 * size[1]:
            shape = f"{size[0]}x{size[1]}"
            reading.problems.append(Problem(path, f"{shape} is not twice as wide as high"))
        else:
            person = Path(*parts).with_suffix("").as_posix()
            reading.photos.append(Photo(person, "A", path, half="left"))
            reading.photos.append(Photo(person, "B", path, half="right"))
            reading.recognised += 1
    return reading
