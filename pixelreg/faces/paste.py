"""The way back: a change found at the model's size, carried to the photo at full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Floats
from pixelreg.faces.align import Similarity
from pixelreg.models.plans import Change, as_unit, to_bytes
from pixelreg.pictures.warp import fetch_cubic

# Centre, radii and fade of the face's ellipse, as fractions of the crop.
CENTRE = (0.5, 0.5)
RADII = (0.42, 0.50)
FEATHER = 0.12


def face_mask(size: int, radii: tuple[float, float] = RADII, feather: float = FEATHER) -> Floats:
    """An ellipse that is 1 inside and falls smoothly to 0 at its border.

    size : side of the crop in pixels.
    radii : horizontal and vertical, as fractions of the crop.
    feather : width of the fall, as a fraction of the crop.

    Returns: (size, size) float32 in [0, 1].
    """
    centres = (np.arange(size) + 0.5) / size
    x = (centres[None, :] - CENTRE[0]) / radii[0]
    y = (centres[:, None] - CENTRE[1]) / radii[1]
    inside = np.clip((1.0 - np.hypot(x, y)) * min(radii) / feather, 0.0, 1.0)
    smooth: Floats = (inside * inside * (3.0 - 2.0 * inside)).astype(np.float32)
    return smooth


FINER = 5  # odd, so that the crop's own pixel centres are among the finer ones


def paste_change(
    values: Array, change: Change, similarity: Similarity, strength: float = 1.0
) -> Array:
    """Carry a crop's change to the photo that the crop was cut from.

    values : (H, W, 3) uint8, or float64 in [0, 1].
    change : what to do, at the crop's size.
    strength : of its displacement and colour; gain and layer are laid on as they are.

    Returns: A new array like ``values``. Where the change is zero every bit stays.
    """
    result: Array = values.copy()
    size = change.colour.shape[:2]
    left, top, right, bottom = _bounds(values, similarity, size)
    if strength == 0 or left >= right or top >= bottom:
        return result
    spread = _Spread(similarity, left, top, right - left, bottom - top)
    window = values[top:bottom, left:right]
    moved = as_unit(window)
    if change.displacement is not None:
        steps = np.float32(strength) * spread.over_photo(change.displacement)
        moved = _moved(values, moved, similarity, (left, top), steps, change.steepness)
    if change.gain is not None:
        # Less 1, as outside the crop there is 0 of everything.
        moved = moved * (1 + spread.over_photo(change.gain[..., None] - 1))
    if change.colour.any():
        moved = moved + np.float32(strength) * spread.over_photo(change.colour)
    if change.layer is not None:
        layer = spread.over_photo(change.layer)
        moved = moved * (1 - layer[..., 3:]) + layer[..., :3]
    result[top:bottom, left:right] = _like(moved, window)
    return result


LINE = 512  # pixels looked up in one go


def _moved(
    values: Array,
    window: Floats,
    similarity: Similarity,
    corner: tuple[int, int],
    steps: Floats,
    steepness: float,
) -> Floats:
    """The window with every pixel fetched ``steps`` (h, w, 2) crop pixels away, on [0, 1]."""
    pixels = np.flatnonzero(steps.any(axis=2))
    if not pixels.size:
        return window
    padded = np.resize(pixels, (-(-len(pixels) // LINE), LINE))
    rows, columns = np.divmod(padded, window.shape[1])
    across, down = steps.reshape(-1, 2)[padded].transpose(2, 0, 1)
    y, x = rows.astype(np.float32), columns.astype(np.float32)
    x += np.float32(corner[0])
    y += np.float32(corner[1])
    x += np.float32(similarity.a) * across - np.float32(similarity.b) * down
    y += np.float32(similarity.b) * across + np.float32(similarity.a) * down
    fetched = fetch_cubic(values, x, y, steepness=steepness).reshape(-1, 3)[: len(pixels)]
    if values.dtype == np.uint8:
        fetched /= np.float32(255)
    result: Floats = window.copy()
    result.reshape(-1, 3)[pixels] = fetched
    return result


@dataclass(frozen=True)
class _Spread:
    """Bicubic interpolation of crop-sized fields at the pixels of a window of the photo.

    Fields are first made ``FINER`` times finer by Pillow's resize and then read bilinearly: the
    bicubic kernel of Pillow's transform turns even a plain ramp into steps.
    """

    similarity: Similarity
    left: int
    top: int
    width: int
    height: int

    def over_photo(self, field: Floats) -> Floats:
        """(H, W, k) at the crop's pixels -> (height, width, k) at the window's."""
        times = self.similarity.whole
        if times == 1:
            return self._cut(field)
        if times > 1:
            shape = times * field.shape[1], times * field.shape[0]
            planes = [self._cut(_resized(field[..., k], shape)) for k in range(field.shape[2])]
            return np.stack(planes, axis=-1)
        origin = self.similarity.to_crop(np.array([float(self.left), float(self.top)]))
        square = self.similarity.a**2 + self.similarity.b**2
        a, b = self.similarity.a / square, self.similarity.b / square
        matrix = (a, b, float(origin[0]), -b, a, float(origin[1]))
        planes = [self._plane(field[..., k], matrix) for k in range(field.shape[2])]
        return np.stack(planes, axis=-1)

    def _cut(self, fine: Floats) -> Floats:
        left, top = self.left - int(self.similarity.c), self.top - int(self.similarity.d)
        return fine[top : top + self.height, left : left + self.width]

    def _plane(self, plane: Floats, matrix: tuple[float, ...]) -> Floats:
        fine = _resized(plane, (FINER * plane.shape[1], FINER * plane.shape[0]))
        return np.asarray(
            Image.fromarray(fine).transform(
                (self.width, self.height),
                Image.Transform.AFFINE,
                tuple(FINER * value for value in matrix),
                Image.Resampling.BILINEAR,
            )
        )


def _resized(plane: Floats, size: tuple[int, int]) -> Floats:
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _bounds(
    values: Array, similarity: Similarity, size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    height, width = size
    corners = similarity.to_photo(np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    return int(left), int(top), min(int(right), values.shape[1]), min(int(bottom), values.shape[0])


def _like(moved: Floats, window: Array) -> Array:
    """``moved`` in the type of ``window``, keeping the bits of what did not change."""
    if window.dtype == np.uint8:
        return to_bytes(moved)
    same = moved == as_unit(window)
    result: Array = np.where(same, window, np.clip(moved, 0.0, 1.0)).astype(window.dtype)
    return result
