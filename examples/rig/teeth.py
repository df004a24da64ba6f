"""The teeth and gums of the 3D face seen from the front, as two small pictures."""

from __future__ import annotations

import numpy as np

from examples.rig.face import GUMS, TEETH, Face, draw, vertex_normals
from pixelreg.rig.teeth import BOX, LEVEL, SHAPE

FINE = 4  # pictures are drawn so many times larger and averaged
LOWER_ROOTS = -5.3  # cm; what is drawn of the lower teeth lies above


def teeth_sprites(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """(2, H, W, 3) uint8, upper and lower, and (3,) how far the jaw takes the lower ones."""
    jaw = face.shapes["jawOpen"]
    inside = np.isin(face.material, (GUMS, TEETH))
    triangles, teeth = face.triangles[inside], face.material[inside] == TEETH
    lower = jaw[triangles[:, 0], 1] < -1
    shallow = ~teeth | (face.vertices[triangles, 1].max(axis=1) >= LOWER_ROOTS)
    normals = vertex_normals(face.vertices, triangles)
    crowns = np.unique(face.triangles[face.material == TEETH])
    sprites = [
        _sprite(face, triangles[part], normals, crowns, is_lower)
        for is_lower, part in ((False, ~lower), (True, lower & shallow))
    ]
    moved = jaw[np.unique(triangles[lower & teeth])].mean(axis=0).astype(np.float32)
    return np.stack(sprites), moved


def _sprite(
    face: Face, triangles: np.ndarray, normals: np.ndarray, crowns: np.ndarray, lower: bool
) -> np.ndarray:
    left, top, width, height = BOX
    rows, columns = SHAPE[0] * FINE, SHAPE[1] * FINE
    points = (face.vertices[:, :2] - [left, top]) * [columns / width, -rows / height]
    depth, seen, shares = draw(points, face.vertices[:, 2], triangles, (rows, columns))
    corners = triangles[np.maximum(seen, 0)]
    normal = (normals[corners] * shares[..., None]).sum(axis=2)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    front = face.vertices[triangles[:, 0], 2].max()
    depth = np.where(seen >= 0, depth, front - 9)
    # Light comes from the front and a little from above, and fades into the mouth.
    lit = np.clip(0.35 + 0.65 * normal[..., 2] + 0.15 * normal[..., 1], 0, 1.2)
    lit *= np.exp(-np.clip(front - 0.6 - depth, 0, 9) / 1.8)
    cover = (seen >= 0) * np.clip((depth - front + 2.4) / 0.6, 0, 1)
    tooth = (seen >= 0) & np.isin(corners[..., 0], crowns)
    lit *= cover
    papilla = ~tooth * _papilla(rows, columns, lower)
    lit = np.where(tooth, lit, np.maximum(lit, 0.62 * papilla))
    cover = np.maximum(cover, papilla)
    gum = np.maximum(lit, 0.5) * cover * ((seen >= 0) & ~tooth)
    fine = np.stack([lit * tooth, gum, cover], axis=-1)
    small = fine.reshape(SHAPE[0], FINE, SHAPE[1], FINE, 3).mean(axis=(1, 3))
    return np.rint(small * LEVEL).clip(0, 255).astype(np.uint8)


def _papilla(rows: int, columns: int, lower: bool) -> np.ndarray:
    """Gum between the teeth, which the 3D face leaves open: more in the middle."""
    left, top, width, height = BOX
    y = top - (np.arange(rows)[:, None] + 0.5) / rows * height
    x = left + (np.arange(columns)[None] + 0.5) / columns * width
    there = ((y < -4.0) if lower else (y > -2.95)) & (np.abs(x) < 2.3)
    return there * np.clip(1.15 - (x / 2.3) ** 2, 0, 1)
