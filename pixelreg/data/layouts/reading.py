"""What every layout shares: the files of a folder, and what a layout makes of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pixelreg.data.photos import Photo, Problem
from pixelreg.errors import ImageError
from pixelreg.files import open_regular

# What holds pictures to people, though not to an installation without a plug-in for it.
_CAMERAS = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf")
_UNREAD = frozenset((".heic", ".heif", ".hif", ".avif", ".jxl", ".psd", ".svg", *_CAMERAS))
_VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".wmv", ".3gp"))


@dataclass(frozen=True)
class Tree:
    """The files under a folder, in the order of paths, hidden ones left out.

    There may be a hundred thousand: all are texts, that of ``root`` included.

    pictures : files with the suffix of a picture.
    others : the other files.
    """

    root: Path
    pictures: tuple[str, ...]
    others: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    def parts(self, file: str) -> list[str]:
        """The folders below ``root`` that lead to a file, and its name."""
        root = str(self.root)
        below = file if root == os.curdir else file[len(root) :].lstrip(os.sep)
        return below.split(os.sep)  # noqa: PTH206 (a Path costs ten times as much)


@dataclass
class Reading:
    """What one layout found; ``recognised`` counts the picture files that it could explain.

    problems : files and what is wrong with them.
    views : the sides to take of sets that show several, by their codes; empty for the front.
    """

    example: str = ""
    source: str = "neutral"
    aligned: bool = False
    photos: list[Photo] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    recognised: int = 0
    views: tuple[str, ...] = ()

    def strange(self, file: str) -> None:
        """Note a picture whose place or name is not one of the layout's."""
        self.problems.append((file, self._strange))

    @cached_property
    def _strange(self) -> str:
        return f"name not understood (one of this layout: {self.example})"

    def start_from_what_is_there(self) -> None:
        """Choose the expression to start from where the layout itself does not say."""
        present = {photo.expression for photo in self.photos}
        self.source = next((n for n in ("neutral", "photo", "A") if n in present), "neutral")


# When a layout gets its turn to explain a folder: somebody wrote a table for the purpose, file
# names tell, or pictures must be opened; some only where they are asked for.
TABLE, NAMES, PICTURES, ASKED = range(4)


@dataclass(frozen=True)
class Layout:
    """A way to lay out a set.

    source, aligned : of a `Listing`, unless ``fill`` finds out better.
    turn : when it is tried: layouts of a later turn only where those before explain nothing.
    files : suffixes of single files that are such a set.
    paired : whether such sets have pairs.
    views : codes of the sides from which such sets show faces, the front first.
    codes : whether names tell by the codes of a published set who it is.
    """

    example: str
    fill: Callable[[Tree, Reading], None]
    source: str = "neutral"
    aligned: bool = False
    turn: int = NAMES
    files: tuple[str, ...] = ()
    paired: bool = True
    views: tuple[str, ...] = ()
    codes: bool = False

    def read(self, tree: Tree, views: Sequence[str] = ()) -> Reading:
        """What a folder holds by this layout, from the front or from some sides."""
        known = [view for view in self.views if view in views]
        reading = Reading(self.example, self.source, self.aligned, views=tuple(known))
        self.fill(tree, reading)
        return reading


def picture_suffixes() -> frozenset[str]:
    """The lower-case file suffixes, dot included, of the formats that are opened."""
    from PIL import Image

    from pixelreg.pictures.kinds import plugged_in
    from pixelreg.pictures.opening import formats_of

    extensions, opened = Image.registered_extensions(), formats_of()
    return plugged_in() | {
        suffix for suffix, kind in extensions.items() if kind in opened or kind == "MPO"
    }


def left_out(tree: Tree) -> Counter[str]:
    """Files of a folder that hold pictures, but none that can be read, by what they are."""
    found: Counter[str] = Counter()
    for file in tree.others:
        suffix = suffix_of(file)
        if suffix in _VIDEOS:
            found[f"video ({suffix})"] += 1
        elif suffix in _UNREAD:
            found[f"picture of a kind that Pillow does not read here ({suffix})"] += 1
    return found


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """Width and height by the file's header; None for a file that is not a picture."""
    from PIL import Image

    from pixelreg.pictures.opening import formats_of, told_clearly

    try:
        # Size alone does no harm: whoever decodes the picture sets the limit.
        with (
            told_clearly(str(path)),
            open_regular(Path(path)) as file,
            Image.open(file, formats=formats_of()) as picture,
        ):
            width, height = picture.size
            return int(width), int(height)
    except ImageError:
        return None


def walk(root: Path) -> Tree:
    """List the files under ``root``; links to folders are followed, each folder once.

    Hidden files and folders (``._*`` of a Mac included) and ``__MACOSX`` are not listed.
    """
    suffixes = picture_suffixes()
    pictures: list[str] = []
    others: list[str] = []
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
        here = str(Path(folder))
        here = "" if here == os.curdir else here if here.endswith(os.sep) else here + os.sep
        for name in names:
            if not name.startswith("."):
                kept = pictures if suffix_of(name) in suffixes else others
                kept.append(here + name)
    for files in (pictures, others):
        files.sort(key=in_order)
    return Tree(root, tuple(pictures), tuple(others), tuple(problems))


def in_order(file: str) -> str:
    """What sorts files as `Path` does, folder by folder."""
    return os.path.normcase(file).replace(os.sep, "\0")


def name_of(file: str) -> str:
    """A file's name without its folders."""
    return file.rpartition(os.sep)[2]


def stem_of(file: str) -> str:
    """A picture's name without its folders and its suffix."""
    return name_of(file).rpartition(".")[0]


def suffix_of(file: str) -> str:
    """The suffix of a file in lower case, dot included; "" for none."""
    return os.path.splitext(file)[1].lower()  # noqa: PTH122


def folder_of(file: str) -> str:
    """The name of the folder that holds a file."""
    return name_of(file.rpartition(os.sep)[0])
