"""A CSV table with the columns ``person``, ``expression`` and ``path``, and perhaps ``session``.

Paths are relative to the table. The header is required, in any order and case.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pixelreg.data.expressions import canonical
from pixelreg.data.layouts.reading import TABLE, Layout, Reading, Tree, picture_suffixes
from pixelreg.data.photos import Photo, Problem
from pixelreg.errors import DataError

_COLUMNS = ("person", "expression", "path")


def _fill(tree: Tree, reading: Reading) -> None:
    """The rows of the one table in the folder itself whose header has the three columns."""
    tables = [tree.root / path for path in tree.others if len(path.parts) == 1 and _is_table(path)]
    tables = [path for path in tables if _has_columns(path)]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{tree.root} holds several tables ({names}); name the one to use")
    if tables:
        _read_table(tables[0], reading)
        listed = {photo.path for photo in reading.photos}
        unlisted = sum(path not in listed for path, _ in tree.pictures)
        reading.skipped.update({"not in the table": unlisted} if unlisted else {})


def _read_table(table: Path, reading: Reading) -> None:
    suffixes = picture_suffixes()
    seen: set[Path] = set()
    for line, row in _rows(table):
        person, expression, name = (row.get(column, "") for column in _COLUMNS)
        path = table.parent / name
        if not (person and expression and name):
            reason = f"line {line} lacks a person, an expression or a path"
            reading.problems.append(Problem(table, reason))
        elif path in seen:
            reading.problems.append(Problem(path, f"listed again in line {line} of {table.name}"))
        elif not path.is_file():
            reading.problems.append(Problem(path, f"missing (line {line} of {table.name})"))
        elif path.suffix.lower() not in suffixes:
            reading.problems.append(Problem(path, f"not a picture (line {line} of {table.name})"))
        else:
            seen.add(path)
            session = row.get("session", "")
            reading.photos.append(Photo(person, canonical(expression), path, session))
    reading.recognised = len(reading.photos) + len(reading.problems)
    reading.start_from_what_is_there()


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows, with lower-case column names and stripped cells."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    stripped = (cell.strip() for cell in cells)
                    yield reader.line_num, dict(zip(header, stripped, strict=False))
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text; save it again as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the table {table}: {error}") from error


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _has_columns(table: Path) -> bool:
    try:
        # Text that is not UTF-8 is for the reading of the rows to complain about.
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, csv.Error):
        return False
    return set(_COLUMNS) <= {name.strip().lower() for name in header}


SETS = {
    "csv": Layout("a CSV file with person,expression,path", _fill, turn=TABLE, file=".csv"),
}
