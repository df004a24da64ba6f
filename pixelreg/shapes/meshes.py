"""Triangle meshes from OBJ and PLY files (ASCII and binary): vertices and faces, nothing else.

trimesh reads both too, but takes rows that are too short, corners that are fractions and files that
are cut off, and refuses remarks behind numbers and binary files of mixed polygons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Array, Float64
from pixelreg.errors import DataError
from pixelreg.files import read_regular, why

MAX_BYTES = 2**29
MAX_HEADER = 2**16
TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("list vertex_indices", "list vertex_index")

# What an element holds: by the name of a property, its values; "list NAME" where it is a list.
Columns = dict[str, "Array | list[Array]"]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices, (n, 3) float64 in the file's unit, and triangles between them, (m, 3) int32."""

    vertices: Float64
    faces: NDArray[np.int32]


@dataclass(frozen=True)
class _Property:
    name: str
    type: str  # NumPy's, without byte order
    counts: str = ""  # the type of a list's length; "" for a single number


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...] = ()


def read_mesh(path: Path) -> Mesh:
    """A mesh file, its polygons cut into triangles around their first corner."""
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path}: mesh files end in {' or '.join(READERS)}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than any mesh of a face")
        content = read_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {why(error)}") from error
    try:
        vertices, polygons = READERS[suffix](content)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if not len(vertices):
        raise DataError(f"{path} holds no vertex")
    if not np.isfinite(vertices).all():
        first = np.argwhere(~np.isfinite(vertices))[0, 0]
        raise DataError(f"{path}: vertex {first} is not finite")
    faces = _triangles(polygons)
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise DataError(f"{path}: a face names a vertex that is not among the {len(vertices)}")
    return Mesh(vertices, faces)


def _triangles(polygons: list[list[int]] | Array) -> NDArray[np.int32]:
    if isinstance(polygons, np.ndarray):
        return np.ascontiguousarray(polygons, np.int32)
    cut = [(p[0], p[i], p[i + 1]) for p in polygons for i in range(1, len(p) - 1)]
    # By way of 64 bits, so that an index too large is refused and not wrapped round.
    return np.clip(np.array(cut, np.int64).reshape(-1, 3), -1, 2**31 - 1).astype(np.int32)


def _read_obj(content: bytes) -> tuple[Float64, list[list[int]]]:
    vertices: list[tuple[float, float, float]] = []
    polygons: list[list[int]] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        kind, *parts = line.split("#", 1)[0].split() or [""]
        try:
            if kind == "v":
                x, y, z = map(float, parts[:3])
                vertices.append((x, y, z))
            elif kind == "f":
                polygons.append([_corner(part, len(vertices)) for part in parts])
                if len(parts) < 3:
                    raise ValueError
        except ValueError:
            raise ValueError(f"line {number} is not understood: {line.strip()[:40]!r}") from None
    return np.array(vertices, np.float64).reshape(-1, 3), polygons


def _corner(part: str, known: int) -> int:
    """A corner such as 7, 7/1 or 7//3, from 1; -1 is the last vertex so far."""
    index = int(part.split("/", 1)[0])
    if index == 0 or abs(index) > 2**31:
        raise ValueError
    return index - 1 if index > 0 else known + index


def _read_ply(content: bytes) -> tuple[Float64, list[list[int]] | Array]:
    """Vertices, and polygons: a list of each one's corners, or (m, 3) triangles."""
    order, elements, body = _header(content)
    rows = _ascii(body, elements) if order == "" else _binary(body, elements, order)
    found = {element.name: columns for element, columns in zip(elements, rows, strict=True)}
    if "vertex" not in found:
        raise ValueError("no element vertex in its header")
    columns = found["vertex"]
    missing = [axis for axis in "xyz" if axis not in columns]
    if missing:
        raise ValueError(f"its vertices have no property {missing[0]}")
    vertices = np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], axis=1)
    if "face" not in found:
        return vertices, []
    names = [name for name in CORNERS if name in found["face"]]
    if not names:
        raise ValueError(f"its faces have no {CORNERS[0]}")
    corners = found["face"][names[0]]
    if isinstance(corners, np.ndarray):
        return vertices, _whole(corners)
    return vertices, [_whole(polygon).tolist() for polygon in corners]


READERS = {".obj": _read_obj, ".ply": _read_ply}


def _header(content: bytes) -> tuple[str, list[_Element], bytes]:
    end = re.search(rb"\nend_header[ \t]*\r?\n", content[:MAX_HEADER])
    if not content.startswith(b"ply") or end is None:
        raise ValueError("not a PLY file: no header from 'ply' to 'end_header'")
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
                elements.append(_Element(name, int(count)))
            case ["property", kind, name] if kind in TYPES and elements:
                elements[-1] = _with(elements[-1], _Property(name, TYPES[kind]))
            case ["property", "list", counts, kind, name] if (
                kind in TYPES and TYPES.get(counts, "f")[0] in "iu" and elements
            ):
                new = _Property(f"list {name}", TYPES[kind], TYPES[counts])
                elements[-1] = _with(elements[-1], new)
            case _:
                raise ValueError(f"its header has a line that is not understood: {line[:40]!r}")
    if order is None:
        raise ValueError("its header has no line 'format'")
    if empty := [element.name for element in elements if not element.properties]:
        raise ValueError(f"its element {empty[0]} has no property")
    return order, elements, content[end.end() :]


def _with(element: _Element, new: _Property) -> _Element:
    return _Element(element.name, element.count, (*element.properties, new))


def _whole(corners: Array) -> Array:
    """Corners as int64; numbers that are no vertex's become -1, which no mesh has."""
    whole = np.isfinite(corners) & (corners == np.floor(corners)) & (np.abs(corners) < 2**31)
    return np.where(whole, corners, -1).astype(np.int64)


def _ascii(body: bytes, elements: list[_Element]) -> Iterator[Columns]:
    lines = [line for line in body.decode("ascii", "replace").splitlines() if line.strip()]
    if len(lines) < sum(element.count for element in elements):
        raise ValueError("it is cut short")
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
            reason = f"a {element.name} is not understood: {line.strip()[:40]!r}"
            raise ValueError(reason) from None
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
                length = int(_numbers(body, at, order + item.counts, 1)[0])
                at += np.dtype(item.counts).itemsize
            taken = _numbers(body, at, order + item.type, length)
            at += taken.nbytes
            columns[item.name].append(taken if item.counts else taken[0])
    return dict(columns), at


def _numbers(body: bytes, at: int, dtype: str, count: int) -> Array:
    if count < 0 or at + count * np.dtype(dtype).itemsize > len(body):
        raise ValueError("it is cut short, or a list in it has a wrong length")
    return np.frombuffer(body, dtype, count, at)
