"""The report: one HTML file that asks no server, and JSON, CSV and pictures beside it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from pixelreg import __version__
from pixelreg.bench.machine import describe, in_words
from pixelreg.bench.table import Table
from pixelreg.errors import need
from pixelreg.files import write_bytes

PAGE, FACTS = "report.html", "report.json"


def check() -> Any:
    """Jinja2, which fills the page; what makes a report asks for it before the work."""
    return need("jinja2", "Jinja2", "report", "making a report")


def page(tables: Sequence[Table], title: str, told: str) -> str:
    """The whole page; every picture is inside, and everything that came in is escaped."""
    jinja = check()
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (files("pixelreg.bench") / "templates" / "report.html.txt").read_text(encoding="utf-8")
    made: str = environment.from_string(text).render(
        title=title,
        told=told,
        version=__version__,
        date=date.today().isoformat(),
        machine=in_words(),
        tables=[{"table": table, "cells": table.cells()} for table in tables],
        data_of=lambda png: "data:image/png;base64," + b64encode(png).decode(),
    )
    return made


def write(tables: Sequence[Table], folder: Path, title: str, told: str) -> list[Path]:
    """Write the page, its facts and tables and pictures; the files' paths, the page first."""
    facts = {
        "pixelreg": __version__,
        "date": date.today().isoformat(),
        "told": told,
        "machine": describe(),
        "tables": [table.facts() for table in tables],
    }
    content = {
        PAGE: page(tables, title, told).encode(),
        FACTS: (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(),
    }
    for table in tables:
        content[f"{table.name}.csv"] = table.csv().encode()
        content |= {f"{figure.name}.png": figure.png for figure in table.figures}
    for name, data in content.items():
        write_bytes(folder / name, data)
    return [folder / name for name in content]
