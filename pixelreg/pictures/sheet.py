"""Contact sheets: rows of pictures under labelled columns."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelreg.arrays import Pixels
from pixelreg.errors import InvalidArrayError, UsageError
from pixelreg.pictures.about import About
from pixelreg.pictures.image import Picture, encode
from pixelreg.pictures.opening import written_clearly
from pixelreg.pictures.pillow import paletted

PAPER, INK = (255, 255, 255), (40, 40, 40)
GAP = 4


def contact_sheet(
    columns: Sequence[tuple[str, Sequence[Pixels]]],
    rows: Sequence[str] = (),
    cell: int | None = None,
) -> Pixels:
    """Lay pictures out in a table.

    columns : (label, pictures) each; pictures are (H, W, 3) uint8, equally many in every column.
    rows : a label for every row, or none at all.
    cell : side of a cell in pixels; pictures are resized to fit. None takes the first one's size.

    Returns: (H', W', 3) uint8.
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


STRIP_SIDE = 512
SLIDER_SIDE = 192
SLIDER_STEPS = 5
ANIMATION_SIDE = 512
FRAMES = 16
FRAME_MS = 60
ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


def grid(pictures: Pixels, across: int | None = None) -> Pixels:
    """Pictures (N, H, W, 3) uint8 in rows without labels; about a square of them."""
    across = min(len(pictures), across or math.ceil(math.sqrt(len(pictures))))
    # The last row is filled up with paper, as columns must be equally long.
    filled = [*pictures, *[np.full_like(pictures[0], 255)] * (-len(pictures) % across)]
    sheet = contact_sheet([("", filled[k::across]) for k in range(across)])
    return sheet[-(len(filled) // across) * (len(pictures[0]) + GAP) - GAP :]


def labelled(pictures: Sequence[tuple[str, Pixels]], cell: int, across: int) -> Pixels:
    """Pictures with a label above each, at most ``across`` of them in a line.

    cell : side of a cell in pixels; pictures are resized to fit.
    """
    across = min(across, len(pictures))
    white = np.full((1, 1, 3), 255, np.uint8)
    filled = [*pictures, *[("", white)] * (-len(pictures) % across)]
    lines = [filled[k : k + across] for k in range(0, len(filled), across)]
    return np.concatenate([contact_sheet([(n, [p]) for n, p in line], cell=cell) for line in lines])


def strength_strip(at: Callable[[float], Pixels], strengths: Sequence[float]) -> Pixels:
    """The picture at each strength side by side, labelled; ``at`` gives (H, W, 3) uint8."""
    pictures = [at(strength) for strength in strengths]
    side = min(STRIP_SIDE, max(pictures[0].shape[:2]))
    columns = [(f"{s:g}", [picture]) for s, picture in zip(strengths, pictures, strict=True)]
    return contact_sheet(columns, cell=side)


def slider_sheet(
    at: Callable[[Mapping[str, float]], Pixels], sliders: Mapping[str, tuple[float, float]]
) -> Pixels:
    """A row for every slider, moved from its lowest to its highest value.

    at : the picture, (H, W, 3) uint8, with one slider at a value and the others at rest.
    sliders : name -> lowest and highest value.
    """
    places = np.linspace(0, 1, SLIDER_STEPS)
    columns = []
    for place in places:
        values = {name: float(low + place * (high - low)) for name, (low, high) in sliders.items()}
        pictures = [at({name: value}) for name, value in values.items()]
        same = len(set(values.values())) == 1
        label = f"{next(iter(values.values())):g}" if same else f"{place:.0%}"
        columns.append((label, pictures))
    side = min(SLIDER_SIDE, max(columns[0][1][0].shape[:2]))
    return contact_sheet(columns, list(sliders), side)


def strength_animation(
    at: Callable[[float], Pixels], most: float, suffix: str, mark: bool = False
) -> bytes:
    """The encoded bytes of an endless sweep from 0 to ``most`` and back.

    at : the picture at a strength, (H, W, 3) uint8.
    suffix : .gif, .webp or .png (an animated PNG).
    mark : say in the file that its pictures were changed.
    """
    if suffix.lower() not in ANIMATED:
        raise UsageError(f"cannot animate {suffix or 'a file without suffix'}; use .gif or .webp")
    # Slow at both ends, as a face moves.
    shares = (1 - np.cos(np.linspace(0, np.pi, FRAMES))) / 2
    frames = [reduced(at(float(share * most)), ANIMATION_SIDE) for share in shares]
    frames += frames[-2:0:-1]
    return animated(frames, suffix, FRAME_MS, mark)


def animated(
    frames: Sequence[Image.Image], suffix: str, times: int | list[int], mark: bool = False
) -> bytes:
    """The encoded bytes of frames shown endlessly, each for ``times`` milliseconds.

    suffix : .gif, .webp or .png (an animated PNG).
    mark : say in the file that its pictures were changed.
    """
    buffer, format = io.BytesIO(), ANIMATED[suffix.lower()]
    if format == "GIF":
        frames = [paletted(frame) for frame in frames]
    told = About().marked().options(format) if mark else {}
    shown: dict[str, Any] = {"duration": times, "loop": 0, **told}
    with written_clearly("an animation", format):
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:], **shown)
    return buffer.getvalue()


def reduced(pixels: Pixels, side: int) -> Image.Image:
    """A picture made to fit a square, where it does not."""
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def web_page(columns: Sequence[tuple[str, Sequence[Pixels]]], names: Sequence[str]) -> str:
    """A contact sheet as a web page without any other file: the pictures are inside.

    The first column holds pictures as they came, the others say that they are changed.
    """
    head = "".join(f"<th>{html.escape(label)}</th>" for label, _ in columns)
    body = "\n".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(
            f"<td>{_tag(pictures[row], edited=place > 0)}</td>"
            for place, (_, pictures) in enumerate(columns)
        )
        + "</tr>"
        for row, name in enumerate(names)
    )
    return (
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>pixelreg compare</title>\n"
        "<style>body{font-family:sans-serif}th{font-weight:normal;padding:4px}</style>\n"
        f"<table>\n<tr><th></th>{head}</tr>\n{body}\n</table></html>\n"
    )


def _tag(pixels: Pixels, edited: bool) -> str:
    data = base64.b64encode(encode(Picture(pixels, edited=edited), "PNG")).decode()
    return f"<img alt='' src='data:image/png;base64,{data}'>"
