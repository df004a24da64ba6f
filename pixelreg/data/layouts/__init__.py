"""The layouts of data sets that pixelreg can read, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pixelreg.data.layouts.reading import Reading, Tree, walk
from pixelreg.data.photos import Listing
from pixelreg.errors import DataError, UnknownNameError


class _Layout(NamedTuple):
    reader: str
    example: str


_PACKAGE = "pixelreg.data.layouts"

# The order decides between layouts that explain equally many files: names that only one set uses
# come before names that any folder may have (and AKDEF, which KDEF knows and leaves out, first).
_LAYOUTS = {
    "csv": _Layout(f"{_PACKAGE}.table:read", "a CSV file with person,expression,path"),
    "akdef": _Layout(f"{_PACKAGE}.kdef:read_akdef", "FHAS.JPG"),
    "kdef": _Layout(f"{_PACKAGE}.kdef:read_kdef", "KDEF/AF01/AF01NES.JPG"),
    "rafd": _Layout(f"{_PACKAGE}.rafd:read", "Rafd090_28_Caucasian_male_angry_frontal.jpg"),
    "bosphorus": _Layout(f"{_PACKAGE}.bosphorus:read", "bs000/bs000_E_HAPPY_0.png"),
    "jaffe": _Layout(f"{_PACKAGE}.jaffe:read", "KA.AN1.39.tiff"),
    "ckplus": _Layout(
        f"{_PACKAGE}.ckplus:read",
        "S005/001/S005_001_00000011.png with S005_001_00000011_emotion.txt",
    ),
    "cuhk": _Layout(f"{_PACKAGE}.drawn:read_cuhk", "f-005-01.jpg with F2-005-01-sz1.jpg"),
    "cufsf": _Layout(
        f"{_PACKAGE}.drawn:read_cufsf", "original_sketch/00001.jpg with photo/00001fb010_930831.tif"
    ),
    "london": _Layout(f"{_PACKAGE}.london:read", "neutral_front/001_03.jpg"),
    "cfee": _Layout(f"{_PACKAGE}.cfee:read", "Images1/01_126_3963.jpg"),
    "fei": _Layout(f"{_PACKAGE}.fei:read", "12a.jpg with 12b.jpg"),
    "ab-folders": _Layout(f"{_PACKAGE}.folders:read_ab", "trainA/NAME.jpg with trainB/NAME.jpg"),
    "stargan": _Layout(f"{_PACKAGE}.folders:read_stargan", "train/happy/NAME.jpg"),
    "sketches": _Layout(
        f"{_PACKAGE}.folders:read_sketches", "photo/PERSON/TAKE.png with sketch/PERSON/TAKE.png"
    ),
    "folders": _Layout(f"{_PACKAGE}.folders:read_folders", "neutral/NAME.png with happy/NAME.png"),
    "pix2pix": _Layout(f"{_PACKAGE}.folders:read_pix2pix", "train/1.jpg twice as wide as high"),
}


def layout_names() -> tuple[str, ...]:
    """The names of all layouts, in the order in which ``auto`` prefers them."""
    return tuple(_LAYOUTS)


def scan(root: Path, layout: str = "auto") -> Listing:
    """Find the photographs of a data set.

    Parameters
    ----------
    root : the set's folder, or a CSV file of ``person,expression,path``.
    layout : one of :func:`layout_names`, or ``"auto"``. Then a table with the right header wins,
        because somebody wrote it for the purpose; else the layout that explains the most file
        names, the earlier one of :func:`layout_names` where two explain equally many; and only
        where none explains any, pictures are opened to see whether they hold two side by side.
    """
    root = Path(root)
    if layout != "auto" and layout not in _LAYOUTS:
        raise UnknownNameError("layout", layout, ("auto", *_LAYOUTS))
    tree, layout = _open(root, layout)
    if layout == "auto":
        layout, reading = _best(tree)
    else:
        reading = _read(layout, tree)
    if not reading.photos:
        raise DataError(_nothing_found(root, layout, tree, reading))
    photos = sorted(reading.photos, key=lambda photo: (photo.path, photo.half or ""))
    return Listing(
        layout=layout,
        root=root,
        photos=tuple(photos),
        problems=(*tree.problems, *reading.problems),
        source=reading.source,
        aligned=reading.aligned,
        skipped=tuple(sorted(item for item in reading.skipped.items() if item[1])),
    )


def _open(root: Path, layout: str) -> tuple[Tree, str]:
    """The files to read and the layout, which a CSV file settles."""
    if root.is_dir():
        tree = walk(root)
        if tree.problems and not tree.pictures:
            problem = tree.problems[0]
            raise DataError(f"cannot list {problem.path}: {problem.reason}")
        return tree, layout
    if not root.exists():
        raise DataError(f"no such folder: {root}")
    if root.suffix.lower() == ".csv" and layout in ("auto", "csv"):
        return Tree(root.parent, (), (Path(root.name),)), "csv"
    raise DataError(f"{root} is a file; give the folder of the data set, or a CSV file")


def _best(tree: Tree) -> tuple[str, Reading]:
    """The layout that explains a folder best; ``"auto"`` and an empty reading where none does."""
    by_name = tuple(name for name in _LAYOUTS if name not in ("csv", "pix2pix"))
    for stage in (("csv",), by_name, ("pix2pix",)):
        readings = {name: _read(name, tree) for name in stage}
        best = max(readings, key=lambda name: readings[name].recognised)
        if readings[best].recognised:
            return best, readings[best]
    return "auto", Reading()


def _read(layout: str, tree: Tree) -> Reading:
    module, _, function = _LAYOUTS[layout].reader.partition(":")
    reader: Callable[[Tree], Reading] = getattr(import_module(module), function)
    return reader(tree)


def _nothing_found(root: Path, layout: str, tree: Tree, reading: Reading) -> str:
    """One line on why a folder gives no photo, and what was looked for."""
    if layout == "auto":
        wanted = "looked for " + "; ".join(f"{k}: {v.example}" for k, v in _LAYOUTS.items())
    else:
        wanted = f"layout {layout!r} looks for {_LAYOUTS[layout].example}"
    left_out = ", ".join(f"{count} {reason}" for reason, count in reading.skipped.items())
    if left_out:
        return f"no usable picture in {root}: {left_out}; {wanted}"
    if reading.problems:
        problem = reading.problems[0]
        return f"no usable picture in {root}: {problem.path.name}: {problem.reason}; {wanted}"
    if tree.pictures:
        count, first = len(tree.pictures), tree.pictures[0][1]
        return f"no known layout in {root} ({count} pictures, such as {first}); {wanted}"
    return f"no pictures in {root}; {wanted}"
