"""The way back: a change found at the model's size, carried to the photo at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Floats
from pixelreg.backends import exact_loops
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
COMPILED_STRIP = 512  # the same for compiled loops, which have none
AROUND = 3  # of a field's rows beyond a strip's, more than a bicubic kernel reaches


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
    window = _Window(similarity, left, top, right - left, bottom - top)
    fields = _Fields.of(change, window, np.float32(strength))
    compiled = loops is not None and fields.colour is None and values.dtype == np.uint8
    exact = exact_loops() if values.dtype == np.uint8 else None
    step = COMPILED_STRIP if compiled else STRIP
    for first in range(0, window.height, step):
        strip = fields.part(first, min(first + step, window.height))
        corner = left, top + first
        if compiled:
            strip.lay(values, similarity, corner, loops, result)
            continue
        here = np.s_[top + first : top + first + strip.height, left:right]
        if exact is not None and strip.single:
            strip.lay_exactly(values, similarity, corner, exact, result[here])
            continue
        moved = as_unit(values[here])
        if strip.steps is not None:
            _move(values, moved, similarity, corner, strip.steps, strip.steepness)
        result[here] = _like(strip.laid_on(moved), values[here])
    return result


# What gives some rows of a window, (rows, width, k), by the first and the one after the last.
Rows: TypeAlias = Callable[[int, int], Floats]


@dataclass(frozen=True)
class _Fields:
    """A change at the pixels of a window, some rows at a time: whole, it would be many times the
    photo.

    strength : of steps and colour.
    """

    steps: Rows | None
    gain: Rows | None
    colour: Rows | None
    layer: Rows | None
    strength: Any
    steepness: float

    @classmethod
    def of(cls, change: Change, window: _Window, strength: Any) -> _Fields:
        steps, gain, colour, layer = change.displacement, change.gain, change.colour, change.layer
        return cls(
            None if steps is None else window.reader(steps),
            # Less 1, as outside the crop there is 0 of everything.
            None if gain is None else window.reader(gain[..., None] - 1),
            window.reader(colour) if colour.any() else None,
            None if layer is None else window.reader(layer),
            strength,
            change.steepness,
        )

    def part(self, first: int, last: int) -> _Strip:
        """Some rows of the window."""
        steps, gain, colour, layer = (
            None if read is None else read(first, last)
            for read in (self.steps, self.gain, self.colour, self.layer)
        )
        return _Strip(
            None if steps is None else steps * self.strength,
            None if gain is None else gain + 1,
            None if colour is None else colour * self.strength,
            layer,
            last - first,
            self.steepness,
        )


@dataclass(frozen=True)
class _Strip:
    """A change at the pixels of a strip of the photo, (h, w); see `Change`.

    steps : (h, w, 2) in crop pixels, or None where nothing moves.
    gain : (h, w, 1). layer : (h, w, 4).
    colour : (h, w, 3), or None where nothing is added.
    """

    steps: Floats | None
    gain: Floats | None
    colour: Floats | None
    layer: Floats | None
    height: int
    steepness: float

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
        shape = next((f.shape[:2] for f in (steps, gain, layer) if f is not None), None)
        if shape is None:
            return
        nothing = np.broadcast_to(np.float32(0), (*shape, 2)) if steps is None else steps
        across, down = (np.ascontiguousarray(nothing[..., k], np.float32) for k in range(2))
        more = np.ones(shape, np.float32) if gain is None else gain[..., 0]
        over = np.zeros((0, 0, 4), np.float32) if layer is None else layer
        turn = np.float32(similarity.a), np.float32(similarity.b)
        loops.lay(
            len(across), values, across, down, np.ascontiguousarray(more),
            np.ascontiguousarray(over), turn, corner, np.float32(self.steepness), result,
        )  # fmt: skip

    @property
    def single(self) -> bool:
        """Whether all that is to be done is known in float32."""
        fields = (self.steps, self.gain, self.colour, self.layer)
        return all(field is None or field.dtype == np.float32 for field in fields)

    def lay_exactly(
        self, values: Array, similarity: Similarity, corner: tuple[int, int], loops: Any, out: Array
    ) -> None:
        """`_move` and `laid_on` at once, by compiled loops that give the same bytes."""
        fields = zip((self.steps, self.gain, self.colour, self.layer), (2, 1, 3, 4), strict=True)
        given = [
            np.zeros((0, 0, k), np.float32) if field is None else np.ascontiguousarray(field)
            for field, k in fields
        ]
        turn = np.float32(similarity.a), np.float32(similarity.b)
        loops.lay(values, *given, turn, corner, np.float32(self.steepness), out)

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
class _Window:
    """The part of a photo that a crop lies in, and bicubic interpolation of fields at its pixels.

    Where a crop's pixel covers no whole number of the photo's, fields are first made ``FINER``
    times finer by Pillow's resize and then read bilinearly: the bicubic kernel of Pillow's
    transform turns even a plain ramp into steps.
    """

    similarity: Similarity
    left: int
    top: int
    width: int
    height: int

    def reader(self, field: Floats) -> Rows:
        """What gives rows of a field (H, W, k) at the crop's pixels."""
        if self.similarity.whole:
            return lambda first, last: self._enlarged(field, first, last)
        shape = FINER * field.shape[1], FINER * field.shape[0]
        fine = [_resized(field[..., k], shape) for k in range(field.shape[2])]
        return lambda first, last: np.stack([self._read(p, first, last) for p in fine], axis=-1)

    def _enlarged(self, field: Floats, first: int, last: int) -> Floats:
        times = self.similarity.whole
        left = self.left - int(self.similarity.c)
        top, bottom = (self.top - int(self.similarity.d) + row for row in (first, last))
        if times == 1:
            return field[top:bottom, left : left + self.width]
        start = max(top // times - AROUND, 0)
        part = field[start : -(-bottom // times) + AROUND]
        shape = times * part.shape[1], times * part.shape[0]
        rows = slice(top - times * start, bottom - times * start)
        planes = [
            np.asarray(_resized(part[..., k], shape))[rows, left : left + self.width]
            for k in range(field.shape[2])
        ]
        return np.stack(planes, axis=-1)

    def _read(self, fine: Image.Image, first: int, last: int) -> Floats:
        similarity, corner = self.similarity, np.array([float(self.left), float(self.top + first)])
        x, y = similarity.to_crop(corner)
        square = similarity.a**2 + similarity.b**2
        a, b = similarity.a / square, similarity.b / square
        return np.asarray(
            fine.transform(
                (self.width, last - first),
                Image.Transform.AFFINE,
                tuple(FINER * value for value in (a, b, float(x), -b, a, float(y))),
                Image.Resampling.BILINEAR,
            )
        )


def _resized(plane: Floats, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(plane))
    return image.resize(size, Image.Resampling.BICUBIC)


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
