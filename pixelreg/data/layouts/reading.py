"""What every layout shares: the files of a folder, and what a layout makes of them."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pixelreg.data.photos import Photo, Problem

# Formats that Pillow lists but needs an outside program or a plug-in to draw.
_NOT_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})


@dataclass(frozen=True)
class Tree:
    """The files under a folder, sorted, hidden ones left out.

    ``pictures`` holds each picture's path and its path relative to ``root``; ``others`` holds the
    relative paths of the other files.
    """

    root: Path
    pictures: tuple[tuple[Path, Path], ...]
    others: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Skip:
    """A picture that a layout knows and leaves out on purpose."""

    reason: str


@dataclass
class Reading:
    """What one layout found; ``recognised`` counts the picture files that it could explain."""

    photos: list[Photo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    source: str = "neutral"
    aligned: bool = False
    recognised: int = 0


def picture_suffixes() -> frozenset[str]:
    """The lower-case file suffixes, dot included, that Pillow can read by itself."""
    from PIL import Image

    extensions = Image.registered_extensions()
    return frozenset(
        suffix
        for suffix, kind in extensions.items()
        if kind in Image.OPEN and kind not in _NOT_PICTURES
    )


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height by the file's header; None for a file that is not a picture."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Size alone does no harm: whoever decodes the picture sets the limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
                return int(width), int(height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def walk(root: Path) -> Tree:
    """List the files under ``root``; links to folders are followed, each folder once.

    Hidden files and folders (``._*`` of a Mac included) and ``__MACOSX`` are not listed.
    """
    suffixes = picture_suffixes()
    pictures: list[tuple[Path, Path]] = []
    others: list[Path] = []
    problems: list[Problem] = []
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        problems.append(Problem(Path(error.filename or root), f"unreadable: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        here = Path(folder).relative_to(root)
        for name in names:
            if not name.startswith("."):
                if Path(name).suffix.lower() in suffixes:
                    pictures.append((Path(folder, name), here / name))
                else:
                    others.append(here / name)
    return Tree(root, tuple(sorted(pictures)), tuple(sorted(others)), tuple(problems))


def read_by_name(
    tree: Tree, parse: Callable[[Path, Path], Photo | Skip | Problem | None], example: str
) -> Reading:
    """Read a set whose file names say everything.

    Parameters
    ----------
    tree : the files.
    parse : takes a picture's path and its path relative to the root; gives the photo, the
        reason to leave it out, the problem with it, or None for a name it does not know.
    example : a name of the set, for the problem report.
    """
    reading = Reading()
    for path, relative in tree.pictures:
        found = parse(path, relative)
        if isinstance(found, Photo):
            reading.photos.append(found)
        elif isinstance(found, Skip):
            reading.skipped[found.reason] += 1
        elif isinstance(found, Problem):
            reading.problems.append(found)
        else:
            reading.problems.append(strange_name(path, example))
    reading.recognised = len(reading.photos) + reading.skipped.total()
    return reading


def strange_name(path: Path, example: str) -> Problem:
    """The problem with a picture whose place or name is not one of the layout's."""
    return Problem(path, f"name not understood (one of this layout: {example})")


def default_source(expressions: Iterable[str]) -> str:
    """The expression to start from when the layout itself does not say."""
    present = set(expressions)
    return next((name for name in ("neutral", "photo", "A") if name in present), "neutral")
