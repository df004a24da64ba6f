"""``pixelreg export``: a model as source code or as another format."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pixelreg.commands import options
from pixelreg.commands.console import give, report
from pixelreg.errors import UsageError
from pixelreg.export import EXPORTERS, exporter
from pixelreg.export import export as export_model
from pixelreg.models.file import load


@click.command()
@click.argument("model", type=options.FILE, required=False)
@click.option("--to", help="What to make of it; see --list.")
@click.option("--expr", "targets", multiple=True, help="Target; may be repeated. [default: all]")
@click.option("--list", "listing", is_flag=True, help="Say what can be made of which models.")
@click.option("-o", "--output", type=options.NEW_FILE, help="Where to write it.")
@options.as_json
def export(
    model: Path | None,
    to: str | None,
    targets: tuple[str, ...],
    listing: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Turn MODEL into something that runs without Python.

    What was written is run and compared with what `pixelreg apply` makes of the same pictures.

    \b
    Examples:
      pixelreg export happy.safetensors --to c -o smile
      pixelreg export --list
    """
    if listing:
        for name, (_, text) in EXPORTERS.items():
            give(f"{name.ljust(6)}{text} (plans: {', '.join(exporter(name).plans)})")
        return
    if model is None or to is None or output is None:
        raise UsageError("pixelreg export wants MODEL, --to and -o; or --list")
    made = export_model(load(model), to, output, targets)
    lines = [f"wrote {file}, {file.stat().st_size:,} bytes" for file in made.files]
    lines.append(f"learnt numbers: {made.table_bytes:,} bytes")
    notes = []
    if made.largest_error is None:
        notes = ["not run: there is no C compiler here (cc, gcc or clang)"]
    else:
        lines.append(f"largest error against pixelreg apply: {made.largest_error} grey levels")
    facts = asdict(made) | {"files": [str(file) for file in made.files]}
    report(facts, as_json, "\n".join(lines), *notes)
