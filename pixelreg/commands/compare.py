"""``pixelreg compare``: what several models make of the same pictures, side by side."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from PIL import Image

from pixelreg.api import LOADERS, default_model
from pixelreg.arrays import Pixels
from pixelreg.commands import options
from pixelreg.commands.console import progress, say
from pixelreg.errors import PixelregError, UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode, format_of, read_file
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.translator import Translator, check_strength

Column = tuple[str, list[Pixels]]


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=options.FILE, metavar="INPUT...")
@click.option(
    "--models",
    "--model",
    "files",
    multiple=True,
    type=options.FILE,
    help="Model file; repeat it, or put more model files among the inputs. "
    "[default: the one that apply takes]",
)
@options.expressions
@click.option("--strength", type=float, default=1.0, show_default=True, help="0 changes nothing.")
@click.option(
    "--side",
    type=click.IntRange(32, 1024),
    default=256,
    show_default=True,
    help="Side of each picture on the sheet, in pixels.",
)
@options.locating_faces
@options.running
@click.option(
    "-o",
    "--output",
    type=options.NEW_FILE,
    default="sheet.png",
    show_default=True,
    help="Picture, or web page if the name ends in .html.",
)
def compare(
    inputs: tuple[Path, ...],
    files: tuple[Path, ...],
    expressions: tuple[str, ...],
    strength: float,
    side: int,
    locator: Locator,
    running: options.Running,
    output: Path,
) -> int:
    """Show what models make of the same pictures, side by side and labelled.

    The sheet is a picture, or a web page if its name ends in .html.

    \b
    Examples:
      pixelreg compare in.jpg --models a.safetensors b.safetensors -o sheet.png
      pixelreg compare *.jpg --expr happy -o sheet.html
    """
    check_strength(strength)
    if output.suffix.lower() != ".html":
        format_of(output)
    files += tuple(path for path in inputs if path.suffix.lower() in LOADERS)
    inputs = tuple(path for path in inputs if path not in files)
    if not inputs:
        raise UsageError("give at least one picture to compare the models on")
    models = [(path.stem, _load(path, locator, running)) for path in files or (default_model(),)]
    made = [
        (name, model, target) for name, model in models for target in expressions or model.changes
    ]
    rows, failures = [], []
    with progress("comparing") as update:
        for done, path in enumerate(inputs, 1):
            try:
                rows.append((path, _row(path, made, strength, side)))
            except UsageError:
                raise  # the same for every picture
            except PixelregError as error:
                failures.append(f"failed: {path}: {error}")
            update(done, len(inputs))
    for failure in failures:
        say(failure)
    if not rows:
        raise PixelregError("none of the pictures could be compared")
    labels = ["input", *(f"{name} {target}" for name, _, target in made)]
    columns = [(label, [row[k] for _, row in rows]) for k, label in enumerate(labels)]
    names = [path.name for path, _ in rows]
    if output.suffix.lower() == ".html":
        write_bytes(output, _page(columns, names).encode())
    else:
        sheet = contact_sheet(columns, names, side)
        write_bytes(output, encode(Picture(sheet), format_of(output)))
    say(f"wrote {output}")
    return 1 if failures else 0


def _load(path: Path, locator: Locator, running: options.Running) -> Translator:
    if path.suffix.lower() != ".onnx":  # models of both kinds may stand side by side
        running = replace(running, provider="auto", meta=None)
    else:
        running = replace(running, backend="auto")
    return running.load(path, locator)


def _row(
    path: Path, made: Sequence[tuple[str, Translator, str]], strength: float, side: int
) -> list[Pixels]:
    pictures = [read_file(path).pixels]
    for _, model, target in made:
        pictures.append(np.asarray(model.translate(path, target, strength)))
    return [_small(pixels, side) for pixels in pictures]


def _small(pixels: Pixels, side: int) -> Pixels:
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _page(columns: Sequence[Column], names: Sequence[str]) -> str:
    """A web page without any other file: the pictures are inside."""
    head = "".join(f"<th>{html.escape(label)}</th>" for label, _ in columns)
    body = "\n".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f"<td>{_tag(pictures[row])}</td>" for _, pictures in columns)
        + "</tr>"
        for row, name in enumerate(names)
    )
    return (
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>pixelreg compare</title>\n"
        "<style>body{font-family:sans-serif}th{font-weight:normal;padding:4px}</style>\n"
        f"<table>\n<tr><th></th>{head}</tr>\n{body}\n</table></html>\n"
    )


def _tag(pixels: Pixels) -> str:
    data = base64.b64encode(encode(Picture(pixels), "PNG")).decode()
    return f"<img alt='' src='data:image/png;base64,{data}'>"
