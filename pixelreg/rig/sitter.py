"""The head fitted to the face of one photograph: what every expression of it has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.faces.dense import POINTS
from pixelreg.rig.head import Mesh
from pixelreg.rig.spline import Reach, Spline
from pixelreg.rig.teeth import Palette

# Of the 82 landmarks: the inner borders of the lips, left to right, and the mouth's corners.
UPPER_LIP, LOWER_LIP = (
    [POINTS.index(number) for number in numbers] for numbers in (range(94, 99), range(99, 104))
)
CORNERS = POINTS.index(87), POINTS.index(93)
PARTED = 0.045  # eye distances between lips that are apart; closed ones measure up to 0.032
CLOSE, SOFT = 1e-3, 20.0  # smoothing of where things are, and of how far they go
FLIP = np.array([1, -1], np.float32)  # y of the head is up, that of pictures down
WHITES = 85  # percentile of an eye's brightness that is its white


class Lit(NamedTuple):
    """How a face is lit, and what follows for its teeth; see `Sitter`."""

    light: Floats
    palette: Palette


@dataclass(frozen=True, eq=False)
class Sitter:
    """A photograph's face on the mesh; n vertices, positions in pixels of ``picture``.

    picture : (H, W, 3) uint8.
    shown : the weights of the shapes that the photo shows already.
    base : (n, 3) float32 cm, the mesh with them.
    places : (n, 2) float32, where the vertices lie.
    slopes : (n, 2, 2) float32, pixels that a cm moves.
    normals : (n, 3) float32 of ``base``.
    light : (9,) float32, spherical harmonics of the luminance.
    eyes : how open the eyes are against the mesh's, the picture's left one first.
    soft : the spline that motion follows.
    mouth : (k, 2) float, the border of the inside of an open mouth, or None for a closed one.
    palette : of teeth and skin.
    """

    mesh: Mesh
    picture: Pixels
    shown: Mapping[str, float]
    base: Floats
    places: Floats
    slopes: Floats
    normals: Floats
    light: Floats
    eyes: tuple[float, float]
    soft: Spline
    mouth: Array | None
    palette: Palette


def fit_sitter(
    mesh: Mesh,
    picture: Pixels,
    points: Array,
    shown: Mapping[str, float],
    lit: Lit | None = None,
) -> Sitter:
    """Fit the mesh to a face.

    points : (82, 2), the face's dense landmarks, `pixelreg.faces.dense.POINTS`.
    lit : how it is lit, where that is known.
    """
    targets = anchor_places(mesh, points)
    base = mesh.rest + mesh.moved(shown)
    flat = base[:, :2] * FLIP
    knots = flat[mesh.anchors]
    close = Spline.through(knots, targets, CLOSE)
    soft = Spline.through(knots, targets, SOFT)
    reach = Reach.of(flat, knots)
    places, soft_places = close.at(reach), soft.at(reach)
    normals = vertex_normals(base, mesh.triangles)
    light, palette = lit or _lit(mesh, picture, places, normals)
    return Sitter(
        mesh, picture, dict(shown), base, places, soft.slopes(reach), normals, light,
        _openness(mesh, places, soft_places), soft, _open_mouth(points), palette,
    )  # fmt: skip


def anchor_places(mesh: Mesh, points: Array) -> Array:
    """(a, 2) where the mesh's anchors lie, of (82, 2) landmarks."""
    return mesh.head.mixing.astype(np.float64) / 60 @ points


def _open_mouth(points: Array) -> Array | None:
    """The inner border of the lips, if they are apart."""
    upper, lower = points[UPPER_LIP], points[LOWER_LIP]
    gap = np.linalg.norm(lower - upper, axis=1)[1:-1].mean()
    if gap < PARTED * np.linalg.norm(points[17] - points[0]):
        return None
    corners = points[[CORNERS[0]]], points[[CORNERS[1]]]
    return np.concatenate([corners[0], upper, corners[1], lower[::-1]])


def vertex_normals(vertices: Floats, triangles: Array) -> Floats:
    """(n, 3) float32 unit normals, every triangle counted by its area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    ab, ac = (b - a).T, (c - a).T
    across = (
        ab[1] * ac[2] - ab[2] * ac[1],
        ab[2] * ac[0] - ab[0] * ac[2],
        ab[0] * ac[1] - ab[1] * ac[0],
    )
    corners = triangles.T.reshape(-1)
    total = [np.bincount(corners, np.tile(part, 3), len(vertices)) for part in across]
    normals = np.stack(total, axis=1)
    length = np.sqrt((normals**2).sum(axis=1, keepdims=True))
    return (normals / np.maximum(length, 1e-12)).astype(np.float32)


def harmonics(normals: Floats) -> Floats:
    """(n, 9) the real spherical harmonics of degree 0 to 2, not normalised (Ramamoorthi 2001)."""
    x, y, z = normals.T
    return np.stack(
        [np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1
    )


def _openness(mesh: Mesh, places: Floats, soft: Floats) -> tuple[float, float]:
    """How open each eye is against the mesh's: the height of its loop of lids."""
    shares = []
    for lid in mesh.lids:
        real, model = (np.ptp(p[lid, 1]) for p in (places, soft))
        shares.append(float(np.clip(real / max(model, 1e-6), 0.5, 1.5)))
    return shares[0], shares[1]


def _lit(mesh: Mesh, picture: Pixels, places: Floats, normals: Floats) -> Lit:
    """Spherical-harmonic light of the skin that is seen, robustly, and the palette."""
    grey = Image.fromarray(np.ascontiguousarray(picture)).convert("L")
    width, height = grey.size
    at = np.clip(places.astype(np.int32), 0, [width - 1, height - 1])
    x, y, _ = mesh.rest.T
    skin = mesh.seen & (np.abs(x) < 6.5) & (y > -9) & (y < 6) & (normals[:, 2] > 0.2)
    skin &= ~((y > 0.2) & (y < 4.6))  # neither eyes nor brows
    at = at[skin]
    seen = _smoothed(grey, at)
    basis, weights = harmonics(normals[skin]), np.ones(len(seen), np.float32)
    ridge = 1e-2 * len(seen) * np.diag([0, 0.02, 0.02, 0.02] + [0.3] * 5)
    light = np.zeros(9)
    for _ in range(5):
        weighted = basis * weights[:, None]
        light = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ seen)
        rest = seen - basis @ light
        weights = 1 / (1 + (rest / (1.5 * np.median(np.abs(rest)) + 1)) ** 2)
    level = max(float(np.median(seen)), 1.0)
    tint = np.median(picture[at[:, 1], at[:, 0]], axis=0).astype(np.float32) / level
    tooth = np.clip(_eye_whites(mesh, np.asarray(grey), places), 0.9 * level, 2.5 * level)
    return Lit(light.astype(np.float32), Palette(float(tooth), level, tint))


def _smoothed(grey: Image.Image, at: Array) -> Array:
    """(k,) what a picture shows at pixels (k, 2), smoothed; it is made smaller first, as that is
    quicker.
    """
    times = max(1, grey.width // 256)
    sigma = grey.width / 256 / times
    small = np.asarray(grey.reduce(times).filter(ImageFilter.GaussianBlur(sigma)))
    return small[at[:, 1] // times, at[:, 0] // times]


def _eye_whites(mesh: Mesh, luminance: Pixels, places: Floats) -> float:
    """The brightness of the whites of the eyes, which that of teeth follows; skin's does not."""
    found = []
    for lid in mesh.lids:
        low, high = places[lid].min(axis=0), places[lid].max(axis=0)
        size = high - low
        left, top = (low + [0.1, 0.25] * size).astype(int).clip(0)
        right, bottom = (high - [0.1, 0.15] * size).astype(int) + 1
        part = luminance[top : max(bottom, 0), left : max(right, 0)]
        if part.size:
            found.append(float(np.percentile(part, WHITES)))
    return max(found, default=0.0)
