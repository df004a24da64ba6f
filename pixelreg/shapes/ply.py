"""The PLY file format: ASCII and binary, of which only vertices and faces are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Array, Float64

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")
MAX_HEADER = 2**16


class PlyError(ValueError):
    """A mesh file that is not what it should be; the message lacks the file's name."""


@dataclass(frozen=True)
class _Property:
    name: str
    type: str  # NumPy's, without byte order
    counts: str = ""  # the type of a list's length; "" for a single number


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read_ply(content: bytes) -> tuple[Float64, list[list[int]] | Array]:
    """Vertices (n, 3) float64 and polygons: a list of each one's corners, or (m, 3) triangles."""
    order, elements, body = _header(content)
    rows = _ascii(body, elements) if order == "" else _binary(body, elements, order)
    found = {element.name: (element, row) for element, row in zip(elements, rows, strict=True)}
    if "vertex" not in found:
        raise PlyError("no element vertex in its header")
    element, columns = found["vertex"]
    missing = [axis for axis in "xyz" if axis not in columns or _lists(element, axis)]
    if missing:
        raise PlyError(f"its vertices have no property {missing[0]}")
    vertices = np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], axis=1)
    if "face" not in found:
        return vertices, []
    element, columns = found["face"]
    names = [name for name in CORNERS if name in columns and _lists(element, name)]
    if not names:
        raise PlyError(f"its faces have no list {CORNERS[0]}")
    corners = columns[names[0]]
    if isinstance(corners, np.ndarray):
        return vertices, _whole(corners)
    return vertices, [_whole(polygon).tolist() for polygon in corners]


def ply_bytes(vertices: Float64, faces: NDArray[np.int32]) -> bytes:
    """A little endian binary PLY file of float64 vertices and int32 triangles."""
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        "property double x\nproperty double y\nproperty double z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", (3,))]))
    rows["count"], rows["corners"] = 3, faces
    return header.encode() + np.asarray(vertices, "<f8").tobytes() + rows.tobytes()


def _header(content: bytes) -> tuple[str, list[_Element], bytes]:
    end = re.search(rb"\nend_header[ \t]*\r?\n", content[:MAX_HEADER])
    if not content.startswith(b"ply") or end is None:
        raise PlyError("not a PLY file: no header from 'ply' to 'end_header'")
    lines = content[: end.start()].decode("ascii", "replace").splitlines()[1:]
    order: str | None = None
    elements: list[_Element] = []
    for line in lines:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", name, _] if name in ORDERS:
                order = ORDERS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(_Element(name, int(count), ()))
            case ["property", kind, name] if kind in TYPES and elements:
                elements[-1] = _with(elements[-1], _Property(name, TYPES[kind]))
            case ["property", "list", counts, kind, name] if (
                kind in TYPES and TYPES.get(counts, "f")[0] in "iu" and elements
            ):
                elements[-1] = _with(elements[-1], _Property(name, TYPES[kind], TYPES[counts]))
            case _:
                raise PlyError(f"its header has a line that is not understood: {line[:40]!r}")
    if order is None:
        raise PlyError("its header has no line 'format'")
    if empty := [element.name for element in elements if not element.properties]:
        raise PlyError(f"its element {empty[0]} has no property")
    return order, elements, content[end.end() :]


def _whole(corners: Array) -> Array:
    """Corners as int64; numbers that are no vertex's become -1, which no mesh has."""
    whole = np.isfinite(corners) & (corners == np.floor(corners)) & (np.abs(corners) < 2**31)
    return np.where(whole, corners, -1).astype(np.int64)


def _with(element: _Element, new: _Property) -> _Element:
    return _Element(element.name, element.count, (*element.properties, new))


def _lists(element: _Element, name: str) -> bool:
    return any(item.name == name and item.counts for item in element.properties)


Columns = dict[str, "Array | list[Array]"]


def _ascii(body: bytes, elements: list[_Element]) -> Iterator[Columns]:
    lines = [line for line in body.decode("ascii", "replace").splitlines() if line.strip()]
    if len(lines) < sum(element.count for element in elements):
        raise PlyError("it is cut short")
    first = 0
    for element in elements:
        yield _ascii_rows(lines[first : first + element.count], element)
        first += element.count


def _ascii_rows(lines: list[str], element: _Element) -> Columns:
    columns: dict[str, list[Array]] = {item.name: [] for item in element.properties}
    for line in lines:
        try:
            numbers = np.array(line.split(), np.float64)
            at = 0
            for item in element.properties:
                length = int(numbers[at]) if item.counts else 1
                at += bool(item.counts)
                if length < 0 or at + length > len(numbers):
                    raise ValueError
                taken = numbers[at : at + length]
                columns[item.name].append(taken if item.counts else taken[0])
                at += length
            if at != len(numbers):
                raise ValueError
        except (ValueError, IndexError, OverflowError):
            raise PlyError(f"a {element.name} is not understood: {line.strip()[:40]!r}") from None
    return dict(columns)


def _binary(body: bytes, elements: list[_Element], order: str) -> Iterator[Columns]:
    at = 0
    for element in elements:
        columns, at = _fixed_rows(body, at, element, order) or _rows(body, at, element, order)
        yield columns


def _fixed_rows(body: bytes, at: int, element: _Element, order: str) -> tuple[Columns, int] | None:
    """Rows without lists, or whose lists all hold three numbers: read at once. Else None."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for k, item in enumerate(element.properties):
        if item.counts:
            fields += [(f"{k}#", order + item.counts), (str(k), order + item.type, (3,))]
        else:
            fields.append((str(k), order + item.type))
    dtype = np.dtype(fields)
    end = at + element.count * dtype.itemsize
    if end > len(body):
        return None
    rows = np.frombuffer(body, dtype, element.count, at)
    lists = [k for k, item in enumerate(element.properties) if item.counts]
    if any((rows[f"{k}#"] != 3).any() for k in lists):
        return None
    return {item.name: rows[str(k)] for k, item in enumerate(element.properties)}, end


def _rows(body: bytes, at: int, element: _Element, order: str) -> tuple[Columns, int]:
    """Rows with lists of any length, one by one."""
    columns: dict[str, list[Array]] = {item.name: [] for item in element.properties}
    for _ in range(element.count):
        for item in element.properties:
            length = 1
            if item.counts:
                length, at = int(_numbers(body, at, order + item.counts, 1)[0]), _after(at, item)
            taken = _numbers(body, at, order + item.type, length)
            at += taken.nbytes
            columns[item.name].append(taken if item.counts else taken[0])
    return dict(columns), at


def _after(at: int, item: _Property) -> int:
    return at + np.dtype(item.counts).itemsize


def _numbers(body: bytes, at: int, dtype: str, count: int) -> Array:
    if count < 0 or at + count * np.dtype(dtype).itemsize > len(body):
        raise PlyError("it is cut short, or a list in it has a wrong length")
    return np.frombuffer(body, dtype, count, at)
