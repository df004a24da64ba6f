"""``pixelreg data masks``: portraits with masks made of photographs."""

from __future__ import annotations

from pathlib import Path

import click

from pixelreg.commands.console import problem_facts, problem_lines, progress, report
from pixelreg.commands.options import FOLDER, NEW_FILE, as_json, integer
from pixelreg.errors import UsageError

SHOWN = 12  # portraits on the sheet, evenly from the first to the last


@click.command()
@click.argument("folder", type=FOLDER)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@integer("--size", 32, 1024, 128, "Side of the portraits in pixels, a multiple of 16.")
@click.option(
    "--neutral-only", is_flag=True, help="Leave out photos that have no landmarks of their own."
)
@click.option("--sheet", type=NEW_FILE, help="Also draw portraits beside their masks, as a PNG.")
@as_json
def masks(
    folder: Path, out: Path, size: int, neutral_only: bool, sheet: Path | None, as_json: bool
) -> None:
    """Make portraits and masks of eleven labels from FOLDER, and write them into OUT.

    FOLDER is the London set, whose 189 landmarks are drawn, or CelebAMask-HQ, whose parts are
    merged. OUT gets images/NAME.png, masks/NAME.png in the labels' colours, and people.csv.

    \b
    Example:
      pixelreg data masks london/ portraits/ --size 128 --sheet portraits.png
    """
    from deep_onnx.portrait.making import make_portraits

    if size % 16:
        raise UsageError(f"--size must be a multiple of 16, not {size}")
    with progress("making masks") as update:
        made = make_portraits(folder, out, size, neutral_only, update)
    if sheet is not None:
        _draw(out, sorted(made.people), sheet)
    people = len(set(made.people.values()))
    facts = {
        "portraits": len(made.people),
        "people": people,
        "folder": str(out),
        "problems": problem_facts(made.problems),
    }
    lines = [f"portraits    {len(made.people)}", f"people       {people}"]
    lines += problem_lines(made.problems)
    written = f"wrote {len(made.people)} portraits with masks into {out}"
    report(facts, as_json, "\n".join(lines), written)


def _draw(out: Path, names: list[str], sheet: Path) -> None:
    from deep_onnx.portrait.folders import MASKS, PICTURES
    from deep_onnx.portrait.labels import read_mask
    from deep_onnx.portrait.making import mask_sheet
    from pixelreg.files import write_bytes
    from pixelreg.pictures.image import Picture, encode, read_file

    count = min(SHOWN, len(names))
    step = (len(names) - 1) / max(count - 1, 1)
    shown = [names[round(index * step)] for index in range(count)]
    images = [read_file(out / PICTURES / f"{name}.png").pixels for name in shown]
    painted = [read_mask(out / MASKS / f"{name}.png") for name in shown]
    picture = mask_sheet(images, painted, shown, max(160, len(images[0])))
    write_bytes(sheet, encode(Picture(picture), "PNG"))
