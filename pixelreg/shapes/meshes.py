"""Triangle meshes from OBJ and PLY files, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Array, Float64
from pixelreg.errors import DataError
from pixelreg.files import write_bytes
from pixelreg.shapes.ply import PlyError, ply_bytes, read_ply

SUFFIXES = (".obj", ".ply")
MAX_BYTES = 2**29


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices and triangles.

    Attributes
    ----------
    vertices : (n, 3) float64, in the file's unit.
    faces : (m, 3) int32, which vertices each triangle joins, from 0; polygons are cut into
        triangles around their first corner.
    """

    vertices: Float64
    faces: NDArray[np.int32]


def read_mesh(path: Path) -> Mesh:
    """Read an OBJ file, or a PLY file (ASCII or binary).

    Colours, normals and texture coordinates are passed over.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: mesh files end in {' or '.join(SUFFIXES)}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than any mesh of a face")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        vertices, polygons = _read_obj(content) if suffix == ".obj" else read_ply(content)
    except PlyError as error:
        raise DataError(f"{path}: {error}") from error
    if not len(vertices):
        raise DataError(f"{path} holds no vertex")
    if not np.isfinite(vertices).all():
        first = np.argwhere(~np.isfinite(vertices))[0, 0]
        raise DataError(f"{path}: vertex {first} is not finite")
    faces = triangles(polygons)
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise DataError(f"{path}: a face names a vertex that is not among the {len(vertices)}")
    return Mesh(vertices, faces)


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh as OBJ text or as little endian binary PLY (float64), by the suffix."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: mesh files end in {' or '.join(SUFFIXES)}")
    content = ply_bytes(mesh.vertices, mesh.faces) if suffix == ".ply" else _obj_bytes(mesh)
    write_bytes(path, content)


def triangles(polygons: list[list[int]] | Array) -> NDArray[np.int32]:
    """Polygons cut into triangles around their first corner: (m, 3)."""
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
            raise PlyError(f"line {number} is not understood: {line.strip()[:40]!r}") from None
    return np.array(vertices, np.float64).reshape(-1, 3), polygons


def _corner(part: str, known: int) -> int:
    """A corner such as 7, 7/1 or 7//3, from 1; -1 is the last vertex so far."""
    index = int(part.split("/", 1)[0])
    if index == 0 or abs(index) > 2**31:
        raise ValueError
    return index - 1 if index > 0 else known + index


def _obj_bytes(mesh: Mesh) -> bytes:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(lines) + "\n").encode()
