"""The way back: a change found at the model's size, carried to the photo at full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
STRIP = 96  # rows changed at once, so that temporaries stay in the cache


def paste_change(
    values: Array,
    change: Change,
    similarity: Similarity,
    strength: float = 1.0,
    loops: Any = None,
) -> Array:
    """Carry a crop's change to the photo that the crop was cut from.

    values : (H, W, 3) uint8, or float64 in [0, 1].
    change : what to do, at the crop's size.
    strength : of its displacement and colour; gain and layer are laid on as they are.
    loops : `pixelreg.backends.loops_rig`, which is quicker on bytes, or None.

    Returns: A new array like ``values``. Where the change is zero every bit stays.
    """
    result: Array = values.copy()
    size = change.colour.shape[:2]
    left, top, right, bottom = _bounds(values, similarity, size)
    if strength == 0 or left >= right or top >= bottom:
        return result
    spread = _Spread(similarity, left, top, right - left, bottom - top)
    fields = _Fields.of(change, spread, np.float32(strength))
    if loops is not None and fields.colour is None and values.dtype == np.uint8:
        fields.lay(values, similarity, (left, top), loops, result)
        return result
    for first in range(0, bottom - top, STRIP):
        rows = slice(first, min(first + STRIP, bottom - top))
        strip = fields.part(rows)
        here = np.s_[top + rows.start : top + rows.stop, left:right]
        moved = as_unit(values[here])
        if strip.steps is not None:
            _move(
                values, moved, similarity, (left, top + rows.start), strip.steps, fields.steepness
            )
        result[here] = _like(strip.laid_on(moved), values[here])
    return result


@dataclass(frozen=True)
class _Fields:
    """A change at the pixels of a window of the photo, (h, w); see `Change`.

    steps : (h, w, 2) in crop pixels, or None where nothing moves.
    colour : (h, w, 3), or None where nothing is added.
    """

    steps: Floats | None
    gain: Floats | None
    colour: Floats | None
    layer: Floats | None
    steepness: float

    @classmethod
    def of(cls, change: Change, spread: _Spread, strength: Any) -> _Fields:
        steps, gain, colour, layer = change.displacement, change.gain, change.colour, change.layer
        return cls(
            None if steps is None else spread.over_photo(steps) * strength,
            # Less 1, as outside the crop there is 0 of everything.
            None if gain is None else spread.over_photo(gain[..., None] - 1) + 1,
            spread.over_photo(colour) * strength if colour.any() else None,
            None if layer is None else spread.over_photo(layer),
            change.steepness,
        )

    def lay(
        self,
        values: Array,
        similarity: Similarity,
        corner: tuple[int, int],
        loops: Any,
        result: Array,
    ) -> None:
        """Write what `paste_change` does, but for a colour, to a copy of a photo's bytes."""
        steps, gain, layer = self.steps, self.gain, self.layer
        shape = next(f.shape[:2] for f in (steps, gain, layer) if f is not None)
        nothing = np.broadcast_to(np.float32(0), (*shape, 2)) if steps is None else steps
        across, down = (np.ascontiguousarray(nothing[..., k], np.float32) for k in range(2))
        more = np.ones(shape, np.float32) if gain is None else gain[..., 0]
        over = np.zeros((0, 0, 4), np.float32) if layer is None else layer
        turn = np.float32(similarity.a), np.float32(similarity.b)
        loops.lay(
            len(across), values, across, down, np.ascontiguousarray(more),
            np.ascontiguousarray(over), turn, corner, np.float32(self.steepness), result,
        )  # fmt: skip

    def part(self, rows: slice) -> _Fields:
        """Some of the window's rows."""
        steps, gain, colour, layer = (
            None if field is None else field[rows]
            for field in (self.steps, self.gain, self.colour, self.layer)
        )
        return _Fields(steps, gain, colour, layer, self.steepness)

    def laid_on(self, moved: Floats) -> Floats:
        """What was moved, (h, w, 3) on [0, 1], with all else that is to be done to it."""
        if self.gain is not None:
            moved = moved * self.gain
        if self.colour is not None:
            moved = moved + self.colour
        if self.layer is not None and self.layer.any():
            moved = moved * (1 - self.layer[..., 3:]) + self.layer[..., :3]
        return moved


def _move(
    values: Array,
    window: Floats,
    similarity: Similarity,
    corner: tuple[int, int],
    steps: Floats,
    steepness: float,
) -> None:
    """Fetch every pixel of a window, on [0, 1], ``steps`` (h, w, 2) crop pixels away."""
    moving = (steps[..., 0] != 0) | (steps[..., 1] != 0)
    rows, columns = np.nonzero(moving)
    if not rows.size:
        return
    across, down = steps[..., 0][moving], steps[..., 1][moving]
    x = columns.astype(np.float32) + np.float32(corner[0])
    y = rows.astype(np.float32) + np.float32(corner[1])
    x += np.float32(similarity.a) * across - np.float32(similarity.b) * down
    y += np.float32(similarity.b) * across + np.float32(similarity.a) * down
    fetched = fetch_cubic(values, x, y, steepness=steepness)
    if values.dtype == np.uint8:
        fetched /= np.float32(255)
    window[moving] = fetched


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
