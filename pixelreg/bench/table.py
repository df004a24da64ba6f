"""What a measurement comes to: columns, rows, figures, and what has to be known of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pixelreg.arrays import Pixels
from pixelreg.evaluation.comparison import format_table
from pixelreg.pictures.image import Picture, encode

Cell: TypeAlias = "str | int | float | None"


@dataclass(frozen=True)
class Column:
    """A column: its name with its unit, and how many digits people see behind the point."""

    name: str
    digits: int = 0

    def shown(self, value: Cell) -> str:
        """A value as people read it; nothing for what was not measured."""
        if value is None or isinstance(value, str):
            return value or ""
        return f"{value:,}" if isinstance(value, int) else f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Figure:
    """A picture of a table; ``name`` is its file's stem, ``wide`` says that it is a sheet."""

    name: str
    caption: str
    png: bytes = field(repr=False)
    wide: bool = False

    @classmethod
    def sheet(cls, name: str, caption: str, pixels: Pixels) -> Figure:
        """A contact sheet, (H, W, 3) uint8, which says that its pictures are changed."""
        return cls(name, caption, encode(Picture(pixels, edited=True), "PNG"), wide=True)


@dataclass(frozen=True)
class Table:
    """A measured table; rows are as long as the columns, None is what was not measured.

    about : what is in it, in a sentence or two.
    notes : how things were counted, what is missing and why; a line each.
    command : what makes this table again.
    seconds : that it took.
    """

    name: str
    title: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    command: str = ""
    seconds: float = 0.0

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as people read them, under a head."""
        head = tuple(column.name for column in self.columns)
        return [head, *(self._shown(row) for row in self.rows)]

    def text(self) -> str:
        """The table for a terminal."""
        return format_table(self.cells())

    def csv(self) -> str:
        """The table for other programs, every digit kept; empty is what was not measured."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows([["" if _absent(cell) else cell for cell in row] for row in self.rows])
        return file.getvalue()

    def facts(self) -> dict[str, Any]:
        """The table ready for JSON."""
        names = [column.name for column in self.columns]
        return {
            "table": self.name,
            "title": self.title,
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "rows": [dict(zip(names, map(_plain, row), strict=True)) for row in self.rows],
            "notes": list(self.notes),
            "figures": {f"{figure.name}.png": figure.caption for figure in self.figures},
        }

    def _shown(self, row: Sequence[Cell]) -> tuple[str, ...]:
        return tuple(c.shown(value) for c, value in zip(self.columns, row, strict=True))


def _absent(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _plain(cell: Cell) -> Cell:
    return None if _absent(cell) else cell
