"""What neutral photographs seem to show, by their landmarks: where they lie, and weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelreg.rig.head import Mesh, unsided
from pixelreg.rig.shown import read_names, read_weights, scaled_pose
from pixelreg.rig.sitter import anchor_places


def usual_places(mesh: Mesh, faces: Sequence[np.ndarray]) -> np.ndarray:
    """(a, 2) cm, how far anchors of neutral faces lie from the head's, in the mean."""
    rest, found = mesh.rest[mesh.anchors].astype(np.float64), []
    for points in faces:
        targets = anchor_places(mesh, points) * [1, -1]
        axes, shift = scaled_pose(rest, targets)
        unit = np.linalg.norm(axes, axis=1).mean()
        found.append((targets - shift - rest @ axes.T) / unit @ (axes[:, :2] / unit))
    result: np.ndarray = np.mean(found, axis=0)
    return result


def usual_levels(mesh: Mesh, faces: Sequence[np.ndarray]) -> dict[str, float]:
    """For each shape the weight that nine of ten neutral faces do not exceed, either side."""
    bare: dict[str, list[float]] = {}
    for points in faces:
        read = read_weights(mesh, points)
        for name in read_names(mesh):
            bare.setdefault(unsided(name), []).append(read.get(name, 0.0))
    return {name: float(np.quantile(weights, 0.9)) for name, weights in bare.items()}
