"""Tables for pages: arrays as one run of bytes, and an index of what lies where."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import InvalidArrayError

ALIGNED = 8  # bytes
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64")


@dataclass(frozen=True)
class Packed:
    """Arrays for ``page/tables.js``.

    data : the arrays' bytes, little-endian, each beginning at a multiple of `ALIGNED`.
    index : name, type, shape and start of each array, and other values, ready for JSON.
    """

    data: bytes
    index: dict[str, Any]

    @property
    def text(self) -> str:
        """The bytes in base64, as a page holds them."""
        return b64encode(self.data).decode()

    @property
    def deflated(self) -> bytes:
        """The bytes packed by deflate alone, which browsers unpack as ``deflate-raw``."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(self.data) + packer.flush()


def pack(arrays: Mapping[str, Array], values: Mapping[str, Any] | None = None) -> Packed:
    """Arrays and values as a page takes them."""
    parts: list[bytes] = []
    entries: list[list[Any]] = []
    end = 0
    for name, array in arrays.items():
        if array.dtype.name not in TYPES:
            raise InvalidArrayError(f"{name} is {array.dtype}; a page takes {', '.join(TYPES)}")
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        entries.append([name, array.dtype.name, list(array.shape), end])
        parts.append(little.tobytes() + b"\0" * (-little.nbytes % ALIGNED))
        end += len(parts[-1])
    return Packed(b"".join(parts), {"arrays": entries, "values": dict(values or {})})
