"""Contact sheets: rows of pictures under labelled columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelreg.arrays import Pixels
from pixelreg.errors import InvalidArrayError

PAPER, INK = (255, 255, 255), (40, 40, 40)
GAP = 4


def contact_sheet(
    columns: Sequence[tuple[str, Sequence[Pixels]]],
    rows: Sequence[str] = (),
    cell: int | None = None,
) -> Pixels:
    """Lay pictures out in a table.

    Parameters
    ----------
    columns : (label, pictures) each; pictures are (H, W, 3) uint8, equally many in every column.
    rows : a label for every row, or none at all.
    cell : side of a cell in pixels; pictures are resized to fit. None takes the first one's size.

    Returns
    -------
    (H', W', 3) uint8.
    """
    counts = {len(pictures) for _, pictures in columns}
    if len(counts) != 1 or 0 in counts:
        raise InvalidArrayError(f"a sheet needs columns of one length, not {sorted(counts)}")
    side = cell or max(columns[0][1][0].shape[:2])
    size = max(11, min(22, side // 9))
    font: Any = ImageFont.load_default(size)
    left = round(max((font.getlength(label) for label in rows), default=0)) + GAP * 2 * bool(rows)
    top = size + 3 * GAP
    count = counts.pop()
    sheet = Image.new(
        "RGB", (left + len(columns) * (side + GAP), top + count * (side + GAP)), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    for column, (label, pictures) in enumerate(columns):
        x = left + column * (side + GAP)
        draw.text((x + side / 2, top / 2), _fit(label, side, font), INK, font, anchor="mm")
        for row, picture in enumerate(pictures):
            sheet.paste(_in_cell(picture, side), (x, top + row * (side + GAP)))
    for row, label in enumerate(rows):
        y = top + row * (side + GAP) + side / 2
        draw.text((GAP, y), label, INK, font, anchor="lm")
    return np.asarray(sheet)


def _in_cell(picture: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = side / max(image.size)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if fitted != image.size:
        image = image.resize(fitted, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _fit(label: str, width: int, font: Any) -> str:
    """The label, its end cut off where it is wider than its column."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…"
