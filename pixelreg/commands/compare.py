"""``pixelreg compare``: what several models make of the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np

from pixelreg.api import LOADERS, default_model
from pixelreg.arrays import Pixels
from pixelreg.commands import options
from pixelreg.commands.console import progress, say
from pixelreg.data.crops import read_all
from pixelreg.errors import PixelregError, UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, format_of, read_file, write_file
from pixelreg.pictures.sheet import contact_sheet, labelled, reduced, web_page
from pixelreg.translator import Translator, check_strength

ACROSS = 5  # pictures in a line where all are made of one


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=options.FILE, metavar="INPUT...")
@click.option(
    "--models",
    "--model",
    "files",
    multiple=True,
    type=options.MODEL,
    help="Model file, rig, flow or rr; repeat it, or put more model files among the inputs. "
    "[default: the one that apply takes]",
)
@options.expressions
@click.option("--strength", type=float, default=1.0, show_default=True, help="0 changes nothing.")
@options.integer("--side", 32, 1024, 256, "Side of each picture on the sheet, in pixels.")
@options.locating_faces
@options.finding
@options.running
@options.output(options.NEW_FILE, "sheet.png", "Picture, or web page if the name ends in .html.")
def compare(
    inputs: tuple[Path, ...],
    files: tuple[str | Path, ...],
    expressions: tuple[str, ...],
    strength: float,
    side: int,
    locator: Locator,
    finding: options.Finding,
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
    locator = finding.placed(locator, len(inputs) == 1)
    files = files or (default_model(),)
    finding.check(*files)
    models = [(Path(path).stem, _load(path, locator, running, finding)) for path in files]
    made = [
        (name, model, target) for name, model in models for target in expressions or model.changes
    ]
    rows, failures = [], []
    with progress("comparing") as update:
        row_of = partial(_row, made=made, strength=strength, side=side)
        for done, (path, row) in enumerate(read_all(inputs, row_of, 1), 1):
            if isinstance(row, UsageError):
                raise row  # the same for every picture
            if isinstance(row, PixelregError):
                failures.append(f"failed: {path}: {row}")
            else:
                rows.append((path, row))
            update(done, len(inputs))
    for failure in failures:
        say(failure)
    if not rows:
        raise PixelregError("none of the pictures could be compared")
    several = len(models) > 1
    labels = ["input", *(f"{name} {t}" if several else t for name, _, t in made)]
    columns = [(label, [row[k] for _, row in rows]) for k, label in enumerate(labels)]
    names = [path.name for path, _ in rows]
    if output.suffix.lower() == ".html":
        write_bytes(output, web_page(columns, names).encode())
    elif len(rows) == 1:
        one = [(label, pictures[0]) for label, pictures in columns]
        write_file(Picture(labelled(one, side, ACROSS), edited=True), output)
    else:
        write_file(Picture(contact_sheet(columns, names, side), edited=True), output)
    say(f"wrote {output}")
    return 1 if failures else 0


def _load(
    path: str | Path, locator: Locator, running: options.Running, finding: options.Finding
) -> Translator:
    if Path(path).suffix.lower() != ".onnx":  # models of both kinds may stand side by side
        running = replace(running, provider="auto", meta=None)
    else:
        running = replace(running, backend="auto")
    return running.load(path, locator, finding if options.takes_landmarks(path) else None)


def _row(
    path: Path, made: Sequence[tuple[str, Translator, str]], strength: float, side: int
) -> list[Pixels]:
    picture = read_file(path)
    for note in picture.notes:
        say(f"note: {path}: {note}")
    pictures = [picture.pixels]
    ready = {id(model): model.ready(picture, path) for _, model, _ in made}
    for _, model, target in made:
        pictures.append(ready[id(model)](target).at(strength).pixels)
    return [np.asarray(reduced(pixels, side)) for pixels in pictures]
