"""Shapes from folders: meshes by expression, or the landmarks beside photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Float64
from pixelreg.data.expressions import canonical
from pixelreg.data.pairs import Pair
from pixelreg.errors import DataError, FaceError
from pixelreg.faces.align import similarity_from_eyes
from pixelreg.faces.landmarks import PUPILS, read_points
from pixelreg.models.model import Frame
from pixelreg.shapes.meshes import READERS, read_mesh


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shapes with an expression, each beside its person's neutral one.

    vertices, neutral : (N, n, d) float64.
    expressions, people : what each shows, and whom; length N.
    faces : (m, 3) int32 triangles; empty for landmarks.
    """

    vertices: Float64
    neutral: Float64
    expressions: tuple[str, ...]
    people: tuple[str, ...]
    faces: NDArray[np.int32]


def mesh_files(folder: Path) -> tuple[Path, ...]:
    """All mesh files below a folder, sorted; hidden ones are passed over."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return tuple(
        sorted(p for p in found if p.suffix.lower() in READERS and not p.name.startswith("."))
    )


def read_mesh_folder(folder: Path, source: str = "neutral", wanted: Sequence[str] = ()) -> Shapes:
    """Meshes laid out as ``neutral/NAME.obj`` with ``happy/NAME.obj`` (or ``.ply``).

    wanted : the expressions to read; nothing for all.
    """
    by_name: dict[str, dict[str, Path]] = {}
    for path in mesh_files(folder):
        by_name.setdefault(canonical(path.parent.name), {})[path.stem] = path
    start, asked = canonical(source), tuple(map(canonical, wanted))
    neutral = by_name.pop(start, {})
    names = asked or tuple(by_name)
    pairs = [
        (person, name, neutral[person], path)
        for name in names
        for person, path in by_name.get(name, {}).items()
        if person in neutral
    ]
    if not pairs:
        raise DataError(
            f"{folder}: nobody has a mesh {start}/NAME.obj and another expression's "
            f"({', '.join(asked) or 'any'}) of the same NAME"
        )
    people, expressions, before, after = zip(*pairs, strict=True)
    first = read_mesh(before[0])
    known = {before[0]: first.vertices}
    for path in (*before, *after):
        if path not in known:
            known[path] = read_mesh(path).vertices
        if known[path].shape != first.vertices.shape:
            raise DataError(
                f"{path} has {len(known[path])} vertices but {before[0]} has "
                f"{len(first.vertices)}: meshes must correspond vertex by vertex"
            )
    still, moved = (np.stack([known[path] for path in side]) for side in (before, after))
    return Shapes(moved, still, expressions, people, first.faces)


def read_landmark_pairs(pairs: Sequence[Pair], frame: Frame, size: int) -> Shapes:
    """The 189 landmarks beside both photographs of each pair, in the canonical crop.

    Returns: Shapes with vertices (N, 189, 2) in pixels of a crop of ``size``, the pupils where
    ``frame`` has them.
    """
    sides = [[pair.source, pair.target] for pair in pairs]
    shapes = []
    for photo in (photo for side in sides for photo in side):
        if photo.landmarks is None:
            raise DataError(
                f"{photo.path} has no landmark file {photo.path.with_suffix('.tem').name} beside "
                "it; learn from flow instead"
            )
        shapes.append(aligned_landmarks(photo.landmarks, frame, size))
    both = np.stack(shapes).reshape(len(pairs), 2, -1, 2)
    return Shapes(
        both[:, 1],
        both[:, 0],
        tuple(pair.target.expression for pair in pairs),
        tuple(pair.person for pair in pairs),
        np.empty((0, 3), np.int32),
    )


def aligned_landmarks(path: Path, frame: Frame, size: int) -> Float64:
    """A ``.tem`` file's points in the canonical crop: (189, 2) float64 in its pixels."""
    points = read_points(path)
    try:
        similarity = similarity_from_eyes(points[list(PUPILS)], frame, size)
    except FaceError as error:
        raise DataError(f"{path}: {error}") from error
    return similarity.to_crop(points)
