"""The layouts of data sets that pixelreg can read, by name.

A layout is an entry of its file's ``SETS`` and, unless names tell all (see `named`), a line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pixelreg.data.layouts.named import NUMBERED, SETS
from pixelreg.data.layouts.reading import (
    ASKED,
    NAMES,
    PICTURES,
    TABLE,
    Layout,
    Reading,
    Tree,
    in_order,
    left_out,
    walk,
)
from pixelreg.data.names import one_spelling
from pixelreg.data.photos import Listing, Problem
from pixelreg.errors import DataError, UnknownNameError, UsageError

_HERE = "pixelreg.data.layouts"

# Name -> module and table of layouts in it. The order decides between layouts that explain equally
# many files: names that only one set uses come before names that any folder may have (and AKDEF,
# which KDEF knows and leaves out, first).
LAYOUTS = {
    "csv": f"{_HERE}.table:SETS",
    **dict.fromkeys(SETS, f"{_HERE}.named:SETS"),
    "ckplus": f"{_HERE}.ckplus:SETS",
    "cuhk": f"{_HERE}.drawn:SETS",
    "cufsf": f"{_HERE}.drawn:SETS",
    **dict.fromkeys(NUMBERED, f"{_HERE}.named:NUMBERED"),
    "ab-folders": f"{_HERE}.folders:SETS",
    "stargan": f"{_HERE}.folders:SETS",
    "sketches": f"{_HERE}.folders:SETS",
    "by-person": f"{_HERE}.folders:SETS",
    "folders": f"{_HERE}.folders:SETS",
    "pix2pix": f"{_HERE}.folders:SETS",
    "flat": f"{_HERE}.folders:SETS",
}


def layout_names() -> tuple[str, ...]:
    """The names of all layouts, in the order in which ``auto`` prefers them."""
    return tuple(LAYOUTS)


def tells_people(layout: str) -> bool:
    """Whether names in such a set are codes by which a published set knows its people."""
    return _layout(layout).codes


def scan(
    root: Path, layout: str = "auto", pairs: bool = True, views: Sequence[str] = ()
) -> Listing:
    """Find the photographs of a data set.

    root : the set's folder, or a CSV file of ``person,expression,path``.
    layout : one of :func:`layout_names`, or ``"auto"``. Then a table with the right header wins,
        because somebody wrote it for the purpose; else the layout that explains the most file
        names, the earlier one of :func:`layout_names` where two explain equally many; and only
        where none explains any, pictures are opened to see whether they hold two side by side.
    pairs : whether pairs are needed; else a folder that no layout explains is read as it is.
    views : from which sides, by the set's own codes, or ``"all"``; empty for the front alone.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise UnknownNameError("layout", layout, ("auto", *LAYOUTS))
    tree, layout = _open(root, layout)
    if layout == "auto":
        layout, reading = _best(tree, pairs)
    else:
        reading = _layout(layout).read(tree)
    if views and layout != "auto":
        reading = _layout(layout).read(tree, _known_views(layout, views))
    if not reading.photos:
        raise DataError(_nothing_found(root, layout, tree, reading))
    photos = one_spelling(reading.photos)
    reading.photos = []  # there may be many
    photos.sort(key=lambda photo: f"{in_order(photo.file)}\0{photo.half or ''}")
    skipped = reading.skipped + left_out(tree)
    return Listing(
        layout=layout,
        root=root,
        photos=tuple(photos),
        problems=(*tree.problems, *(Problem(Path(f), why) for f, why in reading.problems)),
        source=reading.source,
        aligned=reading.aligned,
        skipped=tuple(sorted(item for item in skipped.items() if item[1])),
        paired=_layout(layout).paired,
    )


def _known_views(layout: str, asked: Sequence[str]) -> Sequence[str]:
    known = _layout(layout).views
    if not known:
        raise UsageError(f"the layout {layout!r} knows no views: leave out --views")
    if "all" in asked:
        return known
    for view in asked:
        if view.upper() not in known:
            raise UnknownNameError(f"view of {layout}", view, (*known, "all"))
    return [view.upper() for view in asked]


def _layout(name: str) -> Layout:
    module, _, table = LAYOUTS[name].partition(":")
    found: Layout = getattr(import_module(module), table)[name]
    return found


def _open(root: Path, layout: str) -> tuple[Tree, str]:
    """The files to read and the layout, which a single file settles."""
    if root.is_dir():
        tree = walk(root)
        if tree.problems and not tree.pictures:
            problem = tree.problems[0]
            raise DataError(f"cannot list {problem.path}: {problem.reason}")
        return tree, layout
    if not root.exists():
        raise DataError(f"no such folder: {root}")
    for name in LAYOUTS if layout == "auto" else (layout,):
        if root.suffix.lower() in _layout(name).files:
            return Tree(root.parent, (), (str(root),)), name
    raise DataError(f"{root} is a file; give the folder of the data set, or a CSV file")


def _best(tree: Tree, pairs: bool) -> tuple[str, Reading]:
    """The layout that explains a folder best; ``"auto"`` and an empty reading where none does."""
    layouts = {name: _layout(name) for name in LAYOUTS}
    for turn in (TABLE, NAMES, PICTURES) if pairs else (TABLE, NAMES, PICTURES, ASKED):
        best: tuple[str, Reading] | None = None  # one at a time: those of a large set are large
        for name, each in layouts.items():
            if each.turn == turn:
                reading = each.read(tree)
                if reading.recognised > (best[1].recognised if best else 0) or turn == ASKED:
                    best = name, reading
                del reading
        if best and (best[1].recognised or (turn == ASKED and tree.pictures)):
            return best
    return "auto", Reading()


def _nothing_found(root: Path, layout: str, tree: Tree, reading: Reading) -> str:
    """One line on why a folder gives no photo, and what was looked for."""
    if layout == "auto":
        wanted = "looked for " + "; ".join(f"{k}: {_layout(k).example}" for k in LAYOUTS)
    else:
        wanted = f"layout {layout!r} looks for {_layout(layout).example}"
    skipped = reading.skipped + left_out(tree)
    if skipped:
        told = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        return f"no usable picture in {root}: {told}; {wanted}"
    if reading.problems:
        file, reason = reading.problems[0]
        return f"no usable picture in {root}: {Path(file).name}: {reason}; {wanted}"
    if tree.pictures:
        count, first = len(tree.pictures), Path(*tree.parts(tree.pictures[0]))
        return f"no known layout in {root} ({count} pictures, such as {first}); {wanted}"
    return f"no pictures in {root}; {wanted}"
