"""Tables for pages: arrays as one run of bytes, and an index of what lies where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Array

ALIGNED = 8  # bytes


@dataclass(frozen=True)
class Packed:
    """Arrays for ``page/tables.js``.

    data : the arrays' bytes, little-endian, each beginning at a multiple of `ALIGNED`.
    index : name, type, shape and start of each array, and other values, ready for JSON.
    """

    data: bytes
    index: dict[str, Any]


def pack(arrays: Mapping[str, Array], values: Mapping[str, Any] | None = None) -> Packed:
    """Arrays and values as a page takes them."""
    parts: list[bytes] = []
    entries: list[list[Any]] = []
    end = 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        entries.append([name, array.dtype.name, list(array.shape), end])
        parts.append(little.tobytes() + b"\0" * (-little.nbytes % ALIGNED))
        end += len(parts[-1])
    return Packed(b"".join(parts), {"arrays": entries, "values": dict(values or {})})
