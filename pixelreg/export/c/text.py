"""Pieces of C: tables, names, comments, filled templates, and sums that must fit 32 bits."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import UsageError

TYPES = {"int8": "int8_t", "int16": "int16_t", "uint8": "uint8_t", "uint16": "uint16_t"}
A_LINE = {"float32": 8, "uint16": 16}  # numbers on a line of a table
MOST = 2**31 - 1
MOST_STRENGTH, STREAM_STRENGTH = 4.0, 1.5
ONE = 256  # strength 1, in integers
STRENGTH_BITS, LEVEL_BITS = 8, 18  # a grey level where it is rounded is times 2^18
CHANGE_BITS = LEVEL_BITS - STRENGTH_BITS


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array: its name after the model's, and its numbers."""

    label: str
    numbers: Array

    @property
    def content(self) -> bytes:
        """Its bytes as a little-endian machine holds them."""
        return self.numbers.astype(self.numbers.dtype.newbyteorder("<")).tobytes()


@dataclass(frozen=True)
class Parts:
    """What a kind of plan gives for its source.

    template : of its functions; ``calls`` and ``state`` those of how it is called.
    words : that fill them.
    tables, targets : constants, and each target's initialiser.
    whole, stream : bytes of RAM for a picture, and row by row, beside these and the stack.
    delay : rows between one that is pushed and the same one of the result.
    notes : lines for the header: what was proved of the sums.
    """

    template: str
    calls: str
    state: str
    words: Mapping[str, str]
    tables: tuple[Table, ...]
    targets: tuple[str, ...]
    stream: int
    whole: int = 0
    delay: int = 0
    stream_most: float = MOST_STRENGTH
    in_place: bool = True
    integers: bool = False
    notes: tuple[str, ...] = field(default=())


def filled(template: str, words: Mapping[str, object]) -> str:
    """A template of `templates/c` with its words filled in."""
    path = files("pixelreg.export") / "templates" / "c" / f"{template}.txt"
    return Template(path.read_text(encoding="utf-8")).substitute(words).rstrip("\n")


def identifier(text: str) -> str:
    """Text as a name of C's in capitals."""
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


def comment(text: str) -> str:
    """Text that cannot end a comment."""
    return " ".join(text.replace("*/", "* /").replace("/*", "/ *").split())


def declared(name: str, tables: Iterable[Table]) -> str:
    """All tables as C."""
    return "\n".join(_declared(name, table) for table in tables)


def crc(tables: Iterable[Table]) -> int:
    """CRC-32 of all tables' bytes."""
    return zlib.crc32(b"".join(table.content for table in tables))


def number_type(array: Array) -> str:
    """C's name of an array's type; float16 is held as its bits."""
    return TYPES.get(str(array.dtype), "float")


def held(codes: Array) -> Array:
    """Codes as a table holds them: float16 as its bits."""
    return codes.view(np.uint16) if codes.dtype == np.float16 else codes


def span_table(label: str, spans: Array) -> Table:
    """Spans in the smallest type that holds them."""
    return Table(label, spans.astype(np.uint8 if spans.max() < 256 else np.uint16).reshape(-1))


def bounded(what: str, most: float, target: str) -> str:
    """A line that says a sum fits 32 bits; an error where it does not."""
    if most > MOST:
        raise UsageError(
            f"the numbers of {target} are too large for int8 in C: {what} reaches {most:.3g}, and "
            "32 bits hold 2.15e+09; take --dtype float32"
        )
    return f"{what}: at most {most:,.0f}"


def float_words(name: str, dtype: str) -> dict[str, str]:
    """Words of templates in floats: how numbers are held and read, and helpers."""
    half = dtype == "float16"
    powers = ", ".join(decimal(2.0 ** (max(e, 1) - 25)) for e in range(32))
    helpers = filled("half.c", {"name": name, "powers": powers}) if half else ""
    return {
        "number": "uint16_t" if half else "float",
        "read": f"{name}_half" if half else "",
        "helpers": helpers + "\n" + filled("level.c", {"name": name}),
    }


def decimal(value: float) -> str:
    """A float32 as C writes it, to the bit."""
    text = f"{value:.9g}"
    return f"{text}f" if re.search("[.e]", text) else f"{text}.0f"


def _declared(name: str, table: Table) -> str:
    numbers = table.numbers.reshape(-1)
    kind = str(numbers.dtype)
    texts = [decimal(value) if kind == "float32" else str(value) for value in numbers.tolist()]
    texts = texts or ["0"]  # of a target that changes nothing; C has no empty arrays
    step = A_LINE.get(kind, 24)
    rows = [",".join(texts[at : at + step]) for at in range(0, len(texts), step)]
    kind_in_c = f"{identifier(name)}_ALIGNED static const {number_type(numbers)}"
    label = f"{kind_in_c} {name}_{table.label}[{len(texts)}]"
    inside = ",\n".join(rows)
    return f"{label} = {{\n{inside}}};"
