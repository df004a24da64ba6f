"""What every layout shares: the files of a folder, and what a layout makes of them."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable
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


@dataclass
class Reading:
    """What one layout found; ``recognised`` counts the picture files that it could explain."""

    example: str = ""
    source: str = "neutral"
    aligned: bool = False
    photos: list[Photo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    recognised: int = 0

    def strange(self, path: Path) -> None:
        """Note a picture whose place or name is not one of the layout's."""
        reason = f"name not understood (one of this layout: {self.example})"
        self.problems.append(Problem(path, reason))

    def start_from_what_is_there(self) -> None:
        """Choose the expression to start from where the layout itself does not say."""
        present = {photo.expression for photo in self.photos}
        self.source = next((n for n in ("neutral", "photo", "A") if n in present), "neutral")


# When a layout gets its turn to explain a folder: somebody wrote a table for the purpose, file
# names tell, or pictures must be opened.
TABLE, NAMES, PICTURES = range(3)


@dataclass(frozen=True)
class Layout:
    """A way to lay out a set.

    source, aligned : of a `Listing`, unless ``fill`` finds out better.
    turn : when it is tried: layouts of a later turn only where those before explain nothing.
    """

    example: str
    fill: Callable[[Tree, Reading], None]
    source: str = "neutral"
    aligned: bool = False
    turn: int = NAMES
    file: str | None = None

    def read(self, tree: Tree) -> Reading:
        """What a folder holds by this layout."""
        reading = Reading(self.example, self.source, self.aligned)
        self.fill(tree, reading)
        return reading


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
