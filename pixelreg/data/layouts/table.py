"""A table with the columns ``person``, ``expression`` and ``path``, and perhaps ``session``.

Paths are relative to the table. The header is required, in any order and case. Cells may be parted
by commas, semicolons or tabs, and the text be UTF-8 or UTF-16, as spreadsheets write it.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pixelreg.data.expressions import canonical
from pixelreg.data.layouts.reading import TABLE, Layout, Reading, Tree, picture_suffixes, suffix_of
from pixelreg.data.names import Finder
from pixelreg.data.photos import Photo
from pixelreg.errors import DataError
from pixelreg.files import is_file, open_regular, read_regular, why

_COLUMNS = ("person", "expression", "path")
_SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_MOST = 2**28  # bytes of a table
_HEAD = 2**14  # bytes that hold the header


def _fill(tree: Tree, reading: Reading) -> None:
    """The rows of the one table in the folder itself whose header has the three columns."""
    files = map(Path, (file for file in tree.others if suffix_of(file) in _SUFFIXES))
    tables = [path for path in files if len(tree.parts(str(path))) == 1 and _has_columns(path)]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{tree.root} holds several tables ({names}); name the one to use")
    if tables:
        _read_table(tables[0], reading)
        listed = {os.path.normpath(photo.file) for photo in reading.photos}
        unlisted = sum(os.path.normpath(file) not in listed for file in tree.pictures)
        reading.skipped.update({"not in the table": unlisted} if unlisted else {})


def _read_table(table: Path, reading: Reading) -> None:
    suffixes = picture_suffixes()
    seen: set[Path] = set()
    files = Finder(table.parent)
    for line, row in _rows(table):
        person, expression, name = (row.get(column, "") for column in _COLUMNS)
        path = files.find(name) if name else table
        if not (person and expression and name):
            reason = f"line {line} lacks a person, an expression or a path"
            reading.problems.append((str(table), reason))
        elif path in seen:
            reading.problems.append((str(path), f"listed again in line {line} of {table.name}"))
        elif not is_file(path):
            reading.problems.append((str(path), f"missing (line {line} of {table.name})"))
        elif path.suffix.lower() not in suffixes:
            reading.problems.append((str(path), f"not a picture (line {line} of {table.name})"))
        else:
            seen.add(path)
            session = row.get("session", "")
            reading.photos.append(Photo(person, canonical(expression), str(path), session))
    reading.recognised = len(reading.photos) + len(reading.problems)
    reading.start_from_what_is_there()


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows, with lower-case column names and stripped cells."""
    try:
        text = _decoded(read_regular(table, _MOST), "strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text; save it again as UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot read the table {table}: {why(error)}") from error
    skipped, delimiter = _dialect(text)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for _ in range(skipped):
            next(reader, [])
        header = _header(next(reader, []))
        for cells in reader:
            if any(cell.strip() for cell in cells):
                stripped = (cell.strip() for cell in cells)
                yield reader.line_num, dict(zip(header, stripped, strict=False))
    except csv.Error as error:
        raise DataError(f"cannot read the table {table}: {error}") from error


def _decoded(content: bytes, errors: str) -> str:
    """A table's text; UTF-16 without its mark shows by every other byte of its header being 0."""
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and 0 in (content[:1] + content[1:2])[:2]:
        encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"
    return content.decode(encoding, errors)


def _dialect(text: str) -> tuple[int, str]:
    """How many lines stand before the header, and what parts its cells."""
    first = text.partition("\n")[0]
    said = re.fullmatch(r'"?sep=(.)"?', first.strip("\r"))  # Excel's own note of it
    if said:
        return 1, said[1]
    header = first.lower()
    fitting = [d for d in _DELIMITERS if set(_COLUMNS) <= set(_header(_cells(header, d)))]
    return 0, (fitting or [","])[0]


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _header(cells: list[str]) -> list[str]:
    return [name.strip().lower() for name in cells]


def _has_columns(table: Path) -> bool:
    try:
        with open_regular(table) as file:
            # Text that is not UTF-8 is for the reading of the rows to complain about.
            text = _decoded(file.read(_HEAD), "replace")
        skipped, delimiter = _dialect(text)
        lines = text.splitlines()[skipped : skipped + 1]
        return bool(lines) and set(_COLUMNS) <= set(_header(_cells(lines[0], delimiter)))
    except (OSError, csv.Error):
        return False


SETS = {
    "csv": Layout(
        "a table (CSV, TSV) with person,expression,path", _fill, turn=TABLE, files=_SUFFIXES
    ),
}
