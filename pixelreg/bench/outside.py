"""What models make of pictures from elsewhere, of which nobody has a truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.errors import DataError, PixelregError
from pixelreg.evaluation.metrics import sharpness
from pixelreg.export.pagefiles import EXAMPLE, EXAMPLE_LINE, example_picture
from pixelreg.pictures.image import Picture, read, read_file
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.pictures.sheet import reduced as smaller
from pixelreg.translator import Translator

CELL = 224
COLUMNS = (
    Column("picture"),
    Column("model"),
    Column("changed", 2),
    Column("sharp", 2),
    Column("note"),
)
NOTES = (
    "There is no truth, so there is no score: look at the sheet. Changed: mean absolute "
    "difference from the picture in grey levels. Sharp: as in the table of quality.",
    "Models learn from everybody in the data but the first group that is held out.",
)


def measure(setting: Setting) -> Table:
    """Change every picture by every model, its face found and the change pasted back."""
    pictures = list(_pictures(setting))
    learning = setting.learning()
    models = [
        (one, one.translator(learning, setting.locator, setting.provider))
        for one in setting.taking_part
    ]
    rows: list[tuple[Cell, ...]] = []
    columns = [("input", [_reduced(picture.pixels) for *_, picture in pictures])]
    for done, (one, model) in enumerate(models):
        setting.update(done, len(models))
        column = []
        for name, path, picture in pictures:
            pixels, note = _changed(model, picture, path, one.target)
            rows.append((name, one.name, *_told(picture.pixels, pixels), note))
            column.append(_reduced(np.full_like(picture.pixels, 255) if pixels is None else pixels))
        columns.append((one.name, column))
    setting.update(1, 1)
    sheet = contact_sheet(columns, [name for name, *_ in pictures], CELL)
    rows.sort(key=lambda row: [name for name, *_ in pictures].index(str(row[0])))
    credit = () if setting.outside else (f"{EXAMPLE_LINE}. {EXAMPLE.whose}",)
    return Table(
        "outside",
        "Pictures from elsewhere",
        "Pictures that are in no data set here (Pixel-based Facial Expression Synthesis, Fig. 4).",
        COLUMNS,
        tuple(rows),
        (setting.told(), *NOTES, *credit, *setting.absent),
        (Figure.sheet("outside-sheet", "Pictures down, models across.", sheet),),
    )


def _pictures(setting: Setting) -> Iterator[tuple[str, Path | None, Picture]]:
    """The pictures that were given, or the composite face that comes along."""
    if not setting.outside:
        yield "composite", None, read(example_picture().read())
    names = [path.name for path in setting.outside]
    for path in setting.outside:
        if names.count(path.name) > 1:
            raise DataError(f"two pictures are called {path.name}: give them different names")
        yield path.name, path, read_file(path)


def _changed(
    model: Translator, picture: Picture, path: Path | None, target: str
) -> tuple[Pixels | None, str]:
    """The picture changed; or None, and why it was not."""
    try:
        return model.translate_picture(picture, target, path=path).pixels, ""
    except PixelregError as error:
        return None, str(error)


def _told(before: Pixels, after: Pixels | None) -> tuple[float | None, float | None]:
    if after is None:
        return None, None
    changed = float(np.abs(after.astype(float) - before).mean())
    return changed, float(sharpness(after) / max(float(sharpness(before)), 1e-9))


def _reduced(pixels: Pixels) -> Pixels:
    return np.asarray(smaller(pixels, CELL))
