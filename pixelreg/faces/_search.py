"""Exhaustive search for faces: linear templates at every place and size."""

from __future__ import annotations

import numpy as np

from pixelreg.faces import _gradients as gradients
from pixelreg.faces._gradients import CELL, CHANNELS, Poses
from pixelreg.faces._weights import DetectorWeights

# The template window in the face frame, at 16 pixels an eye distance: 40x44 pixels, 10x11 cells.
WINDOW_UNIT = 16.0
WINDOW_X, WINDOW_Y = (-1.25, 1.25), (-1.0, 1.75)
WINDOW_CELLS = (11, 10)

# The search: longest side of the first and of the second pass, the pyramid's step, the pixels of
# padding that let a window reach over the border, and how many candidates go on.
PASSES = (640, 1280)
_STEP = 2.0**-0.25
_PADDING = 16
_CANDIDATES = 24
_LARGEST_ENLARGEMENT = 2.0


def search(weights: DetectorWeights, grey: np.ndarray, smallest: float = 0.0) -> Poses:
    """Candidate poses in (h, w) uint8: the best windows of a sweep over all positions and sizes.

    ``smallest`` leaves out the pyramid's levels at or below this fraction of the picture's size.
    """
    found: list[np.ndarray] = []
    for level, factor in pyramid_levels(grey):
        if 1 / factor <= smallest + 1e-6:
            break
        response = respond(weights, level_features(level))
        best = response.argmax(axis=-1)
        top = response.max(axis=-1)
        for y, x in peaks(top, float(weights.gate)):
            origin = window_origin(y, x) * factor
            roll = np.deg2rad(weights.rolls[best[y, x]])
            axis = WINDOW_UNIT * factor * np.array([np.cos(roll), np.sin(roll)])
            found.append(np.concatenate([origin, axis, [top[y, x]]]))
    table = np.array(sorted(found, key=lambda row: -row[4])[: 10 * _CANDIDATES]).reshape(-1, 5)
    poses = Poses(table[:, :2], table[:, 2:4])
    kept = distinct(poses, table[:, 4], -np.inf, 0.35, similar=2.0)[:_CANDIDATES]
    return Poses(poses.origin[kept], poses.axis[kept])


def pyramid_levels(grey: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Copies of (h, w) uint8 from large to small, each with the factor back to the original."""
    height, width = grey.shape
    start = min(_LARGEST_ENLARGEMENT, max(1.0, PASSES[0] / max(height, width)))
    levels: list[tuple[np.ndarray, float]] = []
    k = 0
    while min(height, width) * start * _STEP**k >= 2 * WINDOW_UNIT:
        scale = start * _STEP**k
        size = (round(width * scale), round(height * scale))
        source = levels[-4][0] if len(levels) > 4 else grey
        levels.append((gradients.resized(source, size), width / size[0]))
        k += 1
    return levels


def level_features(level: np.ndarray) -> np.ndarray:
    """(rows, columns, 8) features of a padded level."""
    padded = np.pad(level, _PADDING, mode="edge").astype(np.float32)
    padded *= np.float32(1 / 255)
    return np.asarray(gradients.cell_features(padded[None])[0])


def window_origin(row: int, column: int) -> np.ndarray:
    """The face frame's origin, in a level's pixels, of the window whose first cell this is."""
    corner = np.array([column, row]) * CELL - _PADDING
    return np.array(corner - WINDOW_UNIT * np.array([WINDOW_X[0], WINDOW_Y[0]]))


def respond(weights: DetectorWeights, features: np.ndarray) -> np.ndarray:
    """(rows, columns, R) template scores of every window of a feature map."""
    rows, columns = WINDOW_CELLS
    count = len(weights.templates)
    high, wide = features.shape[0], features.shape[1] - columns + 1
    strips = np.lib.stride_tricks.sliding_window_view(
        features.reshape(high, -1), columns * CHANNELS, axis=1
    )[:, ::CHANNELS]
    bank = weights.templates.transpose(2, 3, 1, 0).reshape(columns * CHANNELS, rows * count)
    partial = (strips.reshape(high * wide, -1) @ bank).reshape(high, wide, rows, count)
    total = np.zeros((high - rows + 1, wide, count), np.float32) + weights.template_bias
    for k in range(rows):
        total += partial[k : k + len(total), :, k]
    return np.asarray(total)


def peaks(scores: np.ndarray, least: float) -> np.ndarray:
    """(n, 2) row and column of the local maxima of a score map that reach ``least``."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    rows, columns = scores.shape
    around = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.argwhere((scores >= np.maximum.reduce(around)) & (scores >= least))


def distinct(
    poses: Poses, scores: np.ndarray, least: float, nearer: float, similar: float = np.inf
) -> np.ndarray:
    """Indices of the poses that score ``least`` and are no weaker double of another, best first.

    Two poses are doubles when their origins are within ``nearer`` of the larger eye distance; if
    one is more than ``similar`` times as large as the other, within ``nearer`` of the smaller.
    """
    order = np.argsort(-scores, kind="stable")
    unit = poses.unit
    kept: list[int] = []
    for i in order[scores[order] >= least]:
        apart = np.hypot(*(poses.origin[kept] - poses.origin[i]).T)
        large, small = np.maximum(unit[kept], unit[i]), np.minimum(unit[kept], unit[i])
        if not (apart < nearer * np.where(large > similar * small, small, large)).any():
            kept.append(int(i))
    return np.array(kept, np.intp)
