"""Facial action units: their names, what expressions make of them, and OpenFace's measurements."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pixelreg.errors import DataError

NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
NAMES = tuple(f"AU{number}" for number in NUMBERS)
STRONGEST = 5.0  # OpenFace's scale ends here; networks take intensities over this

Units = tuple[float, ...]

_MARKED = 3.0  # of 5: what FACS scores as marked (level C), in expressions posed for a photograph
_TRACE = 1.0
_PICTURE_COLUMNS = ("path", "file", "filename", "picture", "image", "name")

# Ekman and Friesen's emotion predictions (Facial Action Coding System, 1978, table 11-1; EMFACS,
# 1983), as far as OpenFace measures the units: 23 stands for tight lips, 14 with a trace of 12 for
# contempt, which OpenFace does not tell by side.
_EXPRESSIONS: Mapping[str, Mapping[int, float]] = {
    "neutral": {},
    "happy": dict.fromkeys((6, 12, 25), _MARKED),
    "sad": dict.fromkeys((1, 4, 15), _MARKED),
    "angry": dict.fromkeys((4, 5, 7, 23), _MARKED),
    "afraid": dict.fromkeys((1, 2, 4, 5, 20, 25), _MARKED),
    "disgusted": dict.fromkeys((9, 10, 17), _MARKED),
    "surprised": dict.fromkeys((1, 2, 5, 25, 26), _MARKED),
    "contemptuous": {14: _MARKED, 12: _TRACE},
}


def prototypes() -> dict[str, Units]:
    """The action units of the canonical expressions, 17 values on [0, 1] each, as in `NAMES`."""
    return {
        name: tuple(active.get(number, 0.0) / STRONGEST for number in NUMBERS)
        for name, active in _EXPRESSIONS.items()
    }


def read(path: Path) -> dict[str, Units]:
    """Read what OpenFace measured in pictures.

    path : a folder of OpenFace's CSV files, one a picture, each named as its picture, or one CSV
        file with their lines and one more column that names the picture: ``path``, ``file``,
        ``filename``, ``picture``, ``image`` or ``name``. Blanks around the names of columns do not
        matter. Of several faces in a picture the one of the highest confidence counts; lines whose
        ``success`` is 0 do not count.

    Returns: The picture's path without its suffix, separated by ``/``, -> 17 values on [0, 1] as in
    `NAMES`: intensities (``AU01_r`` ...) over 5.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.csv"))
        measured = [line for file in files for line in _lines(file, _key(file.relative_to(path)))]
    else:
        measured = list(_lines(path, None))
    best: dict[str, _Line] = {}
    for line in measured:
        if line.picture not in best or line.confidence > best[line.picture].confidence:
            best[line.picture] = line
    if not best:
        raise DataError(f"{path}: no line with measured action units")
    return {picture: line.units for picture, line in best.items()}


def of_picture(measured: Mapping[str, Units], picture: Path) -> Units | None:
    """What was measured in a picture, found by as much of its path as both know; else None."""
    parts = Path(os.path.normpath(picture)).with_suffix("").parts
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((measured[tail] for tail in tails if tail in measured), None)


class _Line(NamedTuple):
    picture: str
    confidence: float
    units: Units


def _lines(path: Path, picture: str | None) -> Iterator[_Line]:
    """The lines of a file that count; ``picture`` is what they are of, where the file tells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            columns, naming = _columns(path, header, named=picture is None)
            for values in reader:
                if not values:
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(values) != len(header):
                    raise DataError(f"{where}: {len(values)} values for {len(header)} columns")
                row = dict(zip(header, values, strict=True))
                if _number(row.get("success", "1"), where, "success") != 0:
                    shown = picture if naming is None else _named(row[naming].strip(), where)
                    confidence = _number(row.get("confidence", "1"), where, "confidence")
                    units = tuple(_intensity(row[column], where, column) for column in columns)
                    yield _Line(str(shown), confidence, units)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error


def _columns(path: Path, header: Sequence[str], named: bool) -> tuple[list[str], str | None]:
    """The columns of the action units, and the one that names the picture."""
    columns = [f"AU{number:02d}_r" for number in NUMBERS]
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"{path} has no column {missing[0]}; OpenFace writes them with -aus")
    if not named:
        return columns, None
    lowered = {name.lower(): name for name in reversed(header)}
    naming = next((lowered[name] for name in _PICTURE_COLUMNS if name in lowered), None)
    if naming is None:
        raise DataError(
            f"{path} has no column that names the pictures; add one called 'path', or give the "
            "folder with one CSV file a picture"
        )
    return columns, naming


def _named(text: str, where: str) -> str:
    if not Path(text).name:
        raise DataError(f"{where}: {text!r} names no picture")
    return _key(Path(text))


def _key(path: Path) -> str:
    return Path(os.path.normpath(path)).with_suffix("").as_posix()


def _intensity(text: str, where: str, column: str) -> float:
    value = _number(text, where, column)
    if not 0 <= value <= STRONGEST:
        raise DataError(f"{where}: {column} is {text.strip()}, not from 0 to {STRONGEST:g}")
    return value / STRONGEST


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {column} is {text.strip()!r}, which is no number")
    return value
