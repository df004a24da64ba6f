"""``pixelreg info``: what a model file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixelreg.api import load
from pixelreg.commands import options
from pixelreg.commands.console import report


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="MODEL")
@click.option(
    "--meta", type=options.FILE, help="JSON file that describes an ONNX model of another origin."
)
@options.as_json
def info(file: Path, meta: Path | None, as_json: bool) -> None:
    """Show what a MODEL holds, a file, rig, flow or rr: targets, parameters, where it comes from.

    \b
    Examples:
      pixelreg info rig
      pixelreg info pixelreg.safetensors
      pixelreg info pixelreg.safetensors --json
    """
    facts = load(str(file), **({} if meta is None else {"meta": meta})).describe()
    if file.is_file():
        facts["file_bytes"] = file.stat().st_size
    width = max(map(len, facts)) + 2
    lines = [
        f"{name.replace('_', ' ').ljust(width)}{_text(value)}"
        for name, value in facts.items()
        if value not in ("", None, [], {})
    ]
    report(facts, as_json, "\n".join(lines))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        if isinstance(value, dict):
            return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return ", ".join(map(_text, value))
        return str(value)
    return f"{value:,}"
