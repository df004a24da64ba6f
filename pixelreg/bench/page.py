"""The report: one HTML file that asks no server, and JSON, CSV and pictures beside it.

It is written after every table, so that an hour of measuring is not lost with its last minute.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass
class Report:
    """A page under way: what is measured is written at once, and what is not stands on the page.

    wanted : names of all tables, in order.
    tables : those that are measured.
    failed : name -> why it could not be measured.
    stopped : whether nothing more will come.
    """

    folder: Path
    title: str
    told: str
    wanted: Sequence[str]
    tables: list[Table] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    @property
    def left(self) -> list[str]:
        """The tables that nothing has come of yet."""
        done = {table.name for table in self.tables} | set(self.failed)
        return [name for name in self.wanted if name not in done]

    @property
    def path(self) -> Path:
        """The page."""
        return self.folder / PAGE

    def add(self, table: Table) -> None:
        """Write a table with its pictures, and the page anew."""
        write_bytes(self.folder / f"{table.name}.csv", table.csv().encode())
        for figure in table.figures:
            write_bytes(self.folder / f"{figure.name}.png", figure.png)
        self.tables.append(table)
        self.write()

    def fail(self, name: str, reason: str) -> None:
        """Write the page anew: a table could not be measured, and why."""
        self.failed[name] = reason
        self.write()

    def stop(self) -> None:
        """Write the page anew, unless it was never begun: somebody has stopped the measuring."""
        self.stopped = True
        if self.tables or self.failed:
            self.write()

    def facts(self) -> dict[str, Any]:
        """The report ready for JSON."""
        return {
            "pixelreg": __version__,
            "date": date.today().isoformat(),
            "told": self.told,
            "machine": describe(),
            "tables": [table.facts() for table in self.tables],
            "failed": self.failed,
            "left": self.left,
        }

    def write(self) -> None:
        """Write the page and the facts, each whole or not at all."""
        facts = json.dumps(self.facts(), indent=1, ensure_ascii=False) + "\n"
        write_bytes(self.folder / FACTS, facts.encode())
        write_bytes(self.path, self.html().encode())

    def html(self) -> str:
        """The whole page; every picture is inside, and everything that came in is escaped."""
        jinja = check()
        environment = jinja.Environment(
            autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        file = files("pixelreg.bench") / "templates" / "report.html.txt"
        return environment.from_string(file.read_text(encoding="utf-8")).render(
            report=self,
            version=__version__,
            date=date.today().isoformat(),
            machine=in_words(),
            tables=[{"table": table, "cells": table.cells()} for table in self.tables],
            data_of=lambda png: "data:image/png;base64," + b64encode(png).decode(),
        )
