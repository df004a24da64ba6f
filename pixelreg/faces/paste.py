"""The way back: a change found at the model's size, carried to the photo at full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelreg.change import Change
from pixelreg.faces.align import Similarity

Array = NDArray[Any]
Floats = NDArray[np.float32]

# The face inside the canonical frame: centre and radii as fractions of the crop, and the share
# of the radius over which a change fades in.
FACE_CENTRE = (0.5, 0.53)
FACE_RADII = (0.40, 0.47)
FEATHER = 0.35


def face_mask(size: int) -> Floats:
    """(size, size) float32: 1 inside the face of the canonical frame, 0 outside, smooth between."""
    centres = (np.arange(size) + 0.5) / size
    x = (centres[None, :] - FACE_CENTRE[0]) / FACE_RADII[0]
    y = (centres[:, None] - FACE_CENTRE[1]) / FACE_RADII[1]
    inside = np.clip((1.0 - np.hypot(x, y)) / FEATHER, 0.0, 1.0)
    smooth: Floats = (inside * inside * (3.0 - 2.0 * inside)).astype(np.float32)
    return smooth


def paste_change(
    values: Array, change: Change, similarity: Similarity, strength: float = 1.0
) -> Array:
    """Carry a crop's change to the photo that the crop was cut from.

    Parameters
    ----------
    values : (H, W, 3) uint8, or float64 in [0, 1].
    change : what to do, at the crop's size.
    similarity : from crop to photo.
    strength : how much of the change.

    Returns
    -------
    A new array like ``values``. Where the change is zero every bit stays.
    """
    result: Array = values.copy()
    size = len(change.colour)
    left, top, right, bottom = _bounds(values, similarity, size)
    if strength == 0 or left >= right or top >= bottom:
        return result
    spread = _Spread(similarity, left, top, right - left, bottom - top)
    window = values[top:bottom, left:right]
    moved = _unit(window)
    if change.displacement is not None:
        steps = spread.over_photo(change.displacement)
        turned = np.stack(
            [
                similarity.a * steps[..., 0] - similarity.b * steps[..., 1],
                similarity.b * steps[..., 0] + similarity.a * steps[..., 1],
            ],
            axis=-1,
        )
        moved = _fetch(values, left, top, turned * np.float32(strength))
    moved = moved + np.float32(strength) * spread.over_photo(change.colour)
    result[top:bottom, left:right] = _like(moved, window)
    return result


@dataclass(frozen=True)
class _Spread:
    """Bicubic interpolation of crop-sized fields at the pixels of a window of the photo."""

    similarity: Similarity
    left: int
    top: int
    width: int
    height: int

    def over_photo(self, field: Floats) -> Floats:
        """(S, S, k) at the crop's pixels -> (height, width, k) at the window's."""
        origin = self.similarity.to_crop(np.array([float(self.left), float(self.top)]))
        square = self.similarity.a**2 + self.similarity.b**2
        a, b = self.similarity.a / square, self.similarity.b / square
        matrix = (a, b, float(origin[0]), -b, a, float(origin[1]))
        planes = [
            Image.fromarray(np.ascontiguousarray(field[..., k])).transform(
                (self.width, self.height),
                Image.Transform.AFFINE,
                matrix,
                Image.Resampling.BICUBIC,
            )
            for k in range(field.shape[2])
        ]
        return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _bounds(values: Array, similarity: Similarity, size: int) -> tuple[int, int, int, int]:
    corners = similarity.to_photo(np.array([[0, 0], [size, 0], [0, size], [size, size]]))
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    return int(left), int(top), min(int(right), values.shape[1]), min(int(bottom), values.shape[0])


def _fetch(values: Array, left: int, top: int, steps: Floats) -> Floats:
    """Bilinear look-up of the photo at a window's pixels plus ``steps`` (h, w, 2), on [0, 1]."""
    height, width = values.shape[:2]
    rows, columns = np.indices(steps.shape[:2], dtype=np.float32)
    x = np.clip(columns + np.float32(left) + steps[..., 0], 0, width - 1)
    y = np.clip(rows + np.float32(top) + steps[..., 1], 0, height - 1)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    across, down = (x - column)[..., None], (y - row)[..., None]
    upper = _unit(values[row, column]) * (1 - across) + _unit(values[row, right]) * across
    lower = _unit(values[below, column]) * (1 - across) + _unit(values[below, right]) * across
    result: Floats = upper * (1 - down) + lower * down
    return result


def _unit(values: Array) -> Floats:
    scale = np.float32(1 / 255) if values.dtype == np.uint8 else np.float32(1)
    result: Floats = values.astype(np.float32) * scale
    return result


def _like(moved: Floats, window: Array) -> Array:
    """``moved`` in the type of ``window``, keeping the bits of what did not change."""
    if window.dtype == np.uint8:
        result: Array = np.clip(np.rint(moved * np.float32(255)), 0, 255).astype(np.uint8)
        return result
    same = moved == _unit(window)
    result = np.where(same, window, np.clip(moved, 0.0, 1.0)).astype(window.dtype)
    return result
