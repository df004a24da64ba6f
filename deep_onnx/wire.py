"""ONNX files written without the onnx package: the counterpart of what `deep_onnx.file` reads.

A file is a protocol buffer: parts within parts, each a list of numbered fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deep_onnx.file import BYTES, ELEMENTS, SCHEMA, VARINT
from pixelreg.arrays import Array

Parts = Mapping[str, list[Any]]  # as `deep_onnx.file.Message`: a part's values by name
NUMBERS = {name: number for number, name in ELEMENTS.items()}

# What a reader need not look at, and a writer must say; as in `deep_onnx.file`.
_MORE = """
model      1 ir number, 2 producer text
graph      2 name text
node       1 takes text, 2 gives text
attribute  1 name text, 3 whole number, 4 text text, 8 wholes numbers, 20 kind number
tensor     9 data bytes
"""
_KINDS = {"whole": 2, "text": 3, "wholes": 7}  # of attributes: INT, STRING, INTS


def _numbered() -> dict[str, dict[str, tuple[int, str]]]:
    """Part -> name -> the field's number and what it holds."""
    table = {
        part: {name: (number, holds) for number, (name, holds) in names.items()}
        for part, names in SCHEMA.items()
    }
    for line in _MORE.split("\n")[1:-1]:
        part, names = line.split(maxsplit=1)
        for number, name, holds in map(str.split, names.split(",")):
            table[part][name] = int(number), holds
    return table


_FIELDS = _numbered()


def written(part: str, values: Parts) -> bytes:
    """A part's bytes; parts within it are given as `Parts` too."""
    fields = _FIELDS[part]
    return b"".join(
        _field(*fields[name], value)
        for name in sorted(values, key=lambda name: fields[name][0])
        for value in values[name]
    )


def tensor(name: str, values: Array) -> Parts:
    """An array of the file, little end first as ONNX wants it."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    return {
        "name": [name],
        "element": [NUMBERS[values.dtype.name]],
        "dims": list(values.shape),
        "data": [little.tobytes()],
    }


def value(name: str, element: str, dims: tuple[int | str, ...]) -> Parts:
    """An input or output; a side with a name is free."""
    sides: list[Parts] = [
        {"name": [side]} if isinstance(side, str) else {"size": [side]} for side in dims
    ]
    array: Parts = {"element": [NUMBERS[element]], "shapes": [{"dims": sides}]}
    return {"name": [name], "types": [{"arrays": [array]}]}


def attribute(name: str, given: int | str | tuple[int, ...]) -> Parts:
    """What an operator is told: a whole number, several, or a word."""
    holds = "text" if isinstance(given, str) else "whole" if isinstance(given, int) else "wholes"
    values = list(given) if isinstance(given, tuple) else [given]
    return {"name": [name], holds: values, "kind": [_KINDS[holds]]}


def _field(number: int, holds: str, value: Any) -> bytes:
    if holds in ("number", "numbers"):
        return _varint(number << 3 | VARINT) + _varint(value)
    content = _bytes(holds, value)
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _bytes(holds: str, value: Any) -> bytes:
    if holds == "text":
        return str(value).encode()
    return value if holds == "bytes" else written(holds, value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as the 64 bits that stand for them."""
    return bytes(_sevens(value % 2**64))


def _sevens(value: int) -> Iterator[int]:
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value
