"""``pixelreg export``: a model as source code or as another format."""

from __future__ import annotations

import glob
from dataclasses import asdict
from pathlib import Path

import click

from pixelreg.commands import options
from pixelreg.commands.console import give, report
from pixelreg.errors import UsageError
from pixelreg.evaluation.comparison import format_table
from pixelreg.export import (
    DETAILS,
    DTYPES,
    EXPORTERS,
    MASKS,
    Exported,
    Options,
    export_other,
    exporter,
)
from pixelreg.export import export as export_model
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models.file import load

HEADER = ("--to", "plans", "--dtype", "--detail", "--mask", "--layout")


@click.command()
@click.argument("model", type=options.MODEL, required=False)
@click.option("--to", help="What to make of it; see --list.")
@click.option("--expr", "targets", multiple=True, help="Target; may be repeated. [default: all]")
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default=DTYPES[0],
    show_default=True,
    help="Numbers in what is written; int8 computes in integers where it can.",
)
@click.option(
    "--detail",
    type=click.Choice(list(map(str, DETAILS))),
    default="1",
    show_default=True,
    help="Pixels a side that one number of a flow's fields stands for.",
)
@click.option(
    "--mask",
    type=click.Choice(MASKS),
    default=MASKS[0],
    show_default=True,
    help="face lets the change fall off around the face, and leaves out what is beyond.",
)
@click.option("--layout", default="", help="How it is divided into files; see --list.")
@click.option("--single", is_flag=True, help="One HTML file: --layout single of --to web.")
@click.option("--list", "listing", is_flag=True, help="Say what can be made of which models.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to write it: a file or a folder."
)
@options.as_json
def export(
    model: Path | str | None,
    to: str | None,
    targets: tuple[str, ...],
    single: bool,
    listing: bool,
    output: Path | None,
    as_json: bool,
    **asked: str,
) -> None:
    """Turn MODEL, a file or one that comes with pixelreg, into something that runs without Python.

    What was written is run and compared with what `pixelreg apply` makes of the same pictures.

    \b
    Examples:
      pixelreg export happy.safetensors --to c -o smile
      pixelreg export flow --to c --dtype int8 --detail 4 -o smile
      pixelreg export rig --to web --single -o page.html
      pixelreg export --list
    """
    if listing:
        give(_list())
        return
    if model is None or to is None or output is None:
        raise UsageError("pixelreg export wants MODEL, --to and -o; or --list")
    layout = "single" if single else asked["layout"]
    if asked["layout"] not in ("", layout):
        raise UsageError(f"--single is --layout single, so --layout {asked['layout']} cannot be")
    wanted = Options(asked["dtype"], int(asked["detail"]), asked["mask"], layout)
    before = _there(output)
    made = _exported(str(model), to, output, targets, wanted)
    facts = asdict(made) | {"files": [str(file) for file in made.files]}
    notes = [] if made.largest_error is not None else [f"not run: {made.ran_by}"]
    notes += [f"replaced what was there: {file}" for file in made.files if file in before]
    report(facts, as_json, "\n".join(_lines(made)), *notes)


def _there(output: Path) -> set[Path]:
    """Files that may be written over: whose names begin as the output's, or that lie in it."""
    named = output.parent.glob(f"{glob.escape(output.stem)}*")
    inside = (file for depth in ("*", "*/*", "*/*/*") for file in output.glob(depth))
    return {file for file in (*named, *inside) if file.is_file()}


def _exported(
    model: str, to: str, output: Path, targets: tuple[str, ...], wanted: Options
) -> Exported:
    named = NAMED.get(model, "")
    if ":" in named:
        return export_other(model, to, output, targets, wanted)
    file = BUNDLED / named if named else Path(model)
    return export_model(load(file), to, output, targets, wanted)


def _list() -> str:
    rows = [
        (name, *(", ".join(map(str, part)) for part in (*row, made.layouts or ("one",))))
        for name in EXPORTERS
        for made in (exporter(name),)
        for row in made.takes
    ]
    texts = [f"{name}: {text}" for name, (_, text) in EXPORTERS.items()]
    return "\n".join([*texts, "", format_table([HEADER, *rows])])


def _lines(made: Exported) -> list[str]:
    lines = [f"wrote {file}, {file.stat().st_size:,} bytes" for file in made.files]
    lines.append(f"learnt numbers: {made.table_bytes:,} bytes")
    if made.largest_error is not None:
        near = "equal" if made.decibels is None else f"{made.decibels:.1f} dB"
        lines += [
            f"largest error against pixelreg apply: {made.largest_error} "
            f"grey level{'' if made.largest_error == 1 else 's'}",
            f"on built-in pictures: {near}, {made.share_off:.3%} off by more than 1",
        ]
    return lines
