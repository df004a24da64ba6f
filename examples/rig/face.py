"""The ICT-FaceKit's 3D face as an archive holds it, and the geometry of meshes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SKIN_VERTICES = 11248  # the first ones: face, head and neck, without sockets and mouth
GUMS, TEETH = 2, 3  # materials


@dataclass(frozen=True)
class Face:
    """vertices (n, 3) cm, y up, z to the viewer; shapes by name (n, 3); see ``data/README``."""

    vertices: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    shapes: dict[str, np.ndarray]
    people: np.ndarray
    landmarks: np.ndarray  # (68,) vertices of the Multi-PIE mark-up


def read_face(path: Path) -> Face:
    archive: Any = np.load(path, allow_pickle=False)
    names = [str(name) for name in archive["expression_names"]]
    return Face(
        archive["vertices"].astype(float),
        archive["triangles"].astype(np.int64),
        archive["material"],
        {n: e.astype(float) for n, e in zip(names, archive["expressions"], strict=True)},
        archive["identities"].astype(float),
        archive["multipie68"].astype(int),
    )


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(n, 3) unit normals, every triangle counted by its area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def draw(
    points: np.ndarray, heights: np.ndarray, triangles: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A z-buffer: depth, the triangle seen (-1 for none) and its three shares, at pixel centres."""
    depth, seen = np.full(shape, -np.inf), np.full(shape, -1)
    shares = np.zeros((*shape, 3))
    for number, (a, b, c) in enumerate(triangles):
        corners = points[[a, b, c]]
        low = np.maximum(np.ceil(corners.min(axis=0) - 0.5), 0).astype(int)
        high = np.minimum(np.floor(corners.max(axis=0) - 0.5), [shape[1] - 1, shape[0] - 1])
        columns, rows = (np.arange(low[k], int(high[k]) + 1) for k in range(2))
        area = _cross(corners[1] - corners[0], corners[2] - corners[0])
        if not len(columns) or not len(rows) or abs(area) < 1e-12:
            continue
        at = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), axis=-1)
        u = _cross(corners[1] - at, corners[2] - at) / area
        v = _cross(corners[2] - at, corners[0] - at) / area
        share = np.stack([u, v, 1 - u - v], axis=-1)
        z = share @ heights[[a, b, c]]
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        nearer = (share >= -1e-9).all(axis=-1) & (z > depth[part])
        depth[part][nearer], seen[part][nearer] = z[nearer], number
        shares[part][nearer] = share[nearer]
    return depth, seen, shares


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
