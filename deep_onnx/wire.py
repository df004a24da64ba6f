"""The wire format of protocol buffers, as much of it as ONNX files use, read strictly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the wire types; 3 and 4 are groups, long given up
MAX_FIELD = 2**29
# An ONNX file of 217 MB has some 40,000 fields; without a limit, one of two-byte fields would
# keep the reader busy for minutes.
MAX_FIELDS = 2_000_000


class WireError(ValueError):
    """Bytes that are no protocol buffer, or one that no honest file would hold."""


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : its number.
    kind : its wire type.
    value : the number itself where ``kind`` is `VARINT`, else 0.
    start, end : where its value lies in the file; the tag and the length lie before.
    begin : where its tag begins.
    """

    number: int
    kind: int
    value: int
    start: int
    end: int
    begin: int


class Wire:
    """A file's bytes, read field by field; nothing is copied but what is asked for.

    Parameters
    ----------
    content : the whole file.
    most : how many fields may be read before the file is refused.
    """

    def __init__(self, content: bytes, most: int = MAX_FIELDS) -> None:
        self.content = content
        self._left = most

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two places, in order."""
        position = start
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise WireError("it has too many parts")
            begin = position
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < MAX_FIELD:
                raise WireError(f"it has a field {number} at byte {begin}")
            value, first = 0, position
            if kind == VARINT:
                value, position = self._varint(position, end)
            elif kind == BYTES:
                length, first = self._varint(position, end)
                position = first + length
            elif kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
            else:
                raise WireError(f"it has a field of unknown type {kind} at byte {begin}")
            if position > end:
                raise WireError(f"it is cut short, or the part at byte {begin} is damaged")
            yield Field(number, kind, value, first, position, begin)

    def text(self, field: Field) -> str:
        """A field's value as text."""
        if field.kind != BYTES:
            raise WireError(f"it has a number for a text at byte {field.begin}")
        try:
            return self.content[field.start : field.end].decode()
        except UnicodeDecodeError:
            raise WireError(f"it has a text that is no UTF-8 at byte {field.begin}") from None

    def numbers(self, field: Field) -> list[int]:
        """A repeated field's values: one, or several packed together."""
        if field.kind == VARINT:
            return [signed(field.value)]
        if field.kind != BYTES:
            raise WireError(f"it has the wrong type of number at byte {field.begin}")
        values, position = [], field.start
        while position < field.end:
            self._left -= 1
            if self._left < 0:
                raise WireError("it has too many parts")
            value, position = self._varint(position, field.end)
            values.append(signed(value))
        return values

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise WireError(f"it is cut short at byte {position}")
            byte = self.content[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), position
        raise WireError(f"it has a number without an end at byte {position}")


def signed(value: int) -> int:
    """A 64-bit number as the signed one that it stands for."""
    return value - 2**64 if value >= 2**63 else value


def encoded(number: int, value: bytes) -> bytes:
    """A field of bytes, as it stands in a file."""
    return _as_varint(number << 3 | BYTES) + _as_varint(len(value)) + value


def _as_varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
