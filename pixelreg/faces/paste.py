"""The way back: a change found at the model's size, carried to the photo at full resolution."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from pixelreg.arrays import Array, Floats
from pixelreg.backends import cores, exact_loops
from pixelreg.faces.align import Similarity
from pixelreg.models.plans import Change
from pixelreg.pictures.warp import RowsOfTaps

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
    return (inside * inside * (3.0 - 2.0 * inside)).astype(np.float32)


FINER = 5  # odd, so that the crop's own pixel centres are among the finer ones
STRIP = 1 << 15  # pixels changed at once, so that temporaries stay in the cache
AROUND = 3  # of a field's rows beyond a strip's, more than a bicubic kernel reaches
REACH = 2.5  # crop pixels from one that changes within which the photo's may: the kernel's, rounded
BLOCKS = 96  # along a side, of a crop's pixels that are looked at together for what changes
TOGETHER = 8  # of a field's rows that are made finer by one product
ENOUGH = 1 << 17  # pixels of a window from which threads are worth it


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
    loops : `pixelreg.backends.loops_faces`, which is quicker on bytes and gives the same ones; None
        for what `exact_loops` has.

    Returns: A new array like ``values``. Where the change is zero every bit stays.
    """
    result: Array = values.copy(order="C")
    size = change.colour.shape[:2]
    left, top, right, bottom = _bounds(values, similarity, size)
    if strength == 0 or left >= right or top >= bottom:
        return result
    window = _Window(similarity, left, top, right - left, bottom - top)
    fields = _Fields.of(change, similarity, strength, 255 if values.dtype == np.uint8 else 1)
    if not fields.begins[-1]:
        return result
    compiled = (loops or exact_loops()) if values.dtype == np.uint8 else None
    whole, fine = np.ascontiguousarray(values), window.fine(fields)
    paste = _Paste(whole, result, window, fields, fine, compiled)
    strips = list(window.strips(fields.busy))
    if cores() == 1 or window.width * window.height < ENOUGH:
        for strip in strips:
            paste.lay(strip)
    else:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(paste.lay, strips))
    return result


@dataclass(frozen=True)
class _Fields:
    """What there is of a change, at the crop's pixels.

    steps, gain, colour, layer : see `Change`; None for those that do nothing.
    turn : a and b of the similarity, times the strength.
    share, unit : the strength of the colour, and the photo's unit, which is in it unless `alone`.
    alone : whether there is nothing but colour. Then it is added to values on [0, 1], as their
        difference was taken there: at strength 1 a crop of a picture is what the model made of it.
    """

    steps: Floats | None
    gain: Floats | None
    colour: Floats | None
    layer: Floats | None
    turn: tuple[Any, Any]
    share: Any
    unit: Any
    steepness: Any
    alone: bool

    @classmethod
    def of(cls, change: Change, similarity: Similarity, strength: float, unit: int) -> _Fields:
        steps, colour, layer = (
            field if field is not None and field.any() else None
            for field in (change.displacement, change.colour, change.layer)
        )
        share, whole = np.float32(strength), np.float32(unit)
        turn = share * np.float32(similarity.a), share * np.float32(similarity.b)
        steepness, gain = np.float32(change.steepness), change.gain
        alone = steps is None and gain is None and layer is None
        share *= 1 if alone else whole
        return cls(steps, gain, colour, layer, turn, share, whole, steepness, alone)

    @property
    def begins(self) -> tuple[int, int, int, int, int]:
        """Where among `planes` the displacement, gain, colour and layer begin, or -1; and how many
        there are.
        """
        found, count = [], 0
        for field, size in zip(self._all, (2, 1, 3, 4), strict=True):
            found.append(-1 if field is None else count)
            count += 0 if field is None else size
        moves, gains, adds, covers = found
        return moves, gains, adds, covers, count

    @property
    def _all(self) -> tuple[Floats | None, ...]:
        return self.steps, self.gain, self.colour, self.layer

    def planes(self, rows: slice) -> Floats:
        """(k, h, w) float32 of some rows: two of the displacement, in pixels of the photo; one of
        the gain, less 1, as outside the crop there is 0 of everything; three of the colour, at its
        strength and in the photo's unit; three of the layer in that unit, and its cover.
        """
        moves, gains, adds, covers, count = self.begins
        shape = next(field[rows].shape[:2] for field in self._all if field is not None)
        made = np.empty((count, *shape), np.float32)
        if self.steps is not None:
            x, y = np.moveaxis(self.steps[rows], 2, 0)
            along, around = self.turn
            np.multiply(x, along, out=made[moves])
            np.multiply(y, along, out=made[moves + 1])
            if around:
                made[moves] -= around * y
                made[moves + 1] += around * x
        if self.gain is not None:
            np.subtract(self.gain[rows], 1, out=made[gains])
        if self.colour is not None:
            colour = np.moveaxis(self.colour[rows], 2, 0)
            np.multiply(colour, self.share, out=made[adds : adds + 3])
        if self.layer is not None:
            layer = np.moveaxis(self.layer[rows], 2, 0)
            np.multiply(layer[:3], self.unit, out=made[covers : covers + 3])
            made[covers + 3] = layer[3]
        return made

    @property
    def busy(self) -> Array:
        """(h, w) bool, the pixels at which anything is done."""
        found: Array = np.zeros(next(f.shape[:2] for f in self._all if f is not None), np.bool_)
        for field in (self.steps, self.colour):
            if field is not None:
                for k in range(field.shape[2]):
                    found |= field[..., k] != 0
        if self.layer is not None:  # which covers little: first where any of it is
            rows = np.flatnonzero(self.layer.any(axis=(1, 2)))
            some = slice(rows[0], rows[-1] + 1)
            found[some] |= self.layer[some].any(axis=2)
        if self.gain is not None:
            found |= self.gain != 1
        return found


# Some rows of a window, and the columns between which anything may change there: the first row and
# the one after the last, then columns.
_Strip: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Paste:
    """What strips of a window are laid on with; see `paste_change`.

    fine : see `_Window.fine`.
    loops : `pixelreg.backends.loops_faces`, or None.
    """

    values: Array
    result: Array
    window: _Window
    fields: _Fields
    fine: Floats | None
    loops: Any

    def lay(self, strip: _Strip) -> None:
        """Write what becomes of a strip."""
        window, fields = self.window, self.fields
        first, last, left, right = strip
        rows = slice(window.top + first, window.top + last)
        columns = slice(window.left + left, window.left + right)
        if self.fine is None:
            planes = window.enlarged(fields, strip)
        elif self.loops is not None:
            planes = self.fine
        else:
            planes = _read(self.fine, *window.places(strip))
        if self.loops is None:
            self._laid(planes, rows, columns, self.result[rows, columns])
            return
        places = window.places(strip) if self.fine is not None else (np.zeros(0, np.float32),) * 4
        box = columns.start, rows.start, columns.stop, rows.stop
        more = fields.begins, box, fields.steepness, self.result
        self.loops.lay(self.values, np.ascontiguousarray(planes), *places, *more)

    def _laid(self, planes: Floats, rows: slice, columns: slice, out: Array) -> None:
        """`pixelreg.backends.loops_faces.lay` in NumPy."""
        fields, here = self.fields, np.moveaxis(self.values[rows, columns], 2, 0)
        bytewise = here.dtype == np.uint8
        moves, gains, adds, covers, _ = fields.begins
        if moves < 0:
            moved = here.astype(np.float32) if bytewise else here.copy()
        else:
            steps = planes[moves : moves + 2]
            x = steps[0] + np.arange(columns.start, columns.stop, dtype=np.float32)
            y = steps[1] + np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
            taps = RowsOfTaps.around(self.values, x, y)
            moved = taps.fetch(x.reshape(-1), y.reshape(-1), fields.steepness).reshape(here.shape)
            if not bytewise:
                moved = np.where((steps != 0).any(axis=0), moved, here)
        if gains >= 0:
            moved *= planes[gains] + 1
        if fields.alone:
            moved /= fields.unit
            moved += planes
            moved *= fields.unit
        elif adds >= 0:
            moved += planes[adds : adds + 3]
        if covers >= 0:
            layer = planes[covers : covers + 4]
            if layer.any():
                moved *= 1 - layer[3]
                moved += layer[:3]
        np.clip(moved, 0, 255 if bytewise else 1, out=moved)
        if bytewise:
            out[:] = np.moveaxis(np.rint(moved, out=moved), 0, 2)
        else:
            changes = (planes != 0).any(axis=0)
            out[changes] = np.moveaxis(moved, 0, 2)[changes]


@dataclass(frozen=True)
class _Window:
    """The part of a photo that a crop lies in, and fields at its pixels.

    Where a crop's pixel covers no whole number of the photo's, fields are first made ``FINER``
    times finer bicubically, as by Pillow's resize, and then read bilinearly: the bicubic kernel of
    Pillow's transform turns even a plain ramp into steps.
    """

    similarity: Similarity
    left: int
    top: int
    width: int
    height: int

    def strips(self, busy: Array) -> Iterator[_Strip]:
        """Strips that hold all that changes, of about as many pixels as stay in the cache.

        busy : (h, w) bool, the crop's pixels that change.
        """
        block = -(-max(busy.shape) // BLOCKS)
        down, across = (np.arange(0, side, block) for side in busy.shape)
        blocks = np.logical_or.reduceat(np.logical_or.reduceat(busy, down, 0), across, 1)
        rows, columns = np.nonzero(blocks)
        centres = np.stack([columns, rows], axis=-1) * float(block) + block / 2
        x, y = self.similarity.to_photo(centres).T
        reach = (REACH + block / 2) * (abs(self.similarity.a) + abs(self.similarity.b))
        lowest, highest = y - (reach + self.top), y + (reach - self.top)
        step = max(1, STRIP // self.width)
        for first in range(0, self.height, step):
            last = min(first + step, self.height)
            near = x[(lowest < last) & (highest > first)] - self.left
            if near.size:
                left = max(int(near.min() - reach), 0)
                right = min(int(near.max() + reach) + 1, self.width)
                if left < right:
                    yield first, last, left, right

    def fine(self, fields: _Fields) -> Floats | None:
        """(k, FINER h + 2, FINER w + 2) float32, fields with their borders repeated; None where
        a pixel covers a whole number of the photo's.
        """
        if self.similarity.whole:
            return None
        across = _finer(np.swapaxes(fields.planes(slice(None)), 1, 2))
        inner = _finer(np.ascontiguousarray(np.swapaxes(across, 1, 2)))
        fine = np.empty((len(inner), inner.shape[1] + 2, inner.shape[2] + 2), np.float32)
        fine[:, 1:-1, 1:-1] = inner
        fine[:, 0], fine[:, -1] = fine[:, 1], fine[:, -2]
        fine[..., 0], fine[..., -1] = fine[..., 1], fine[..., -2]
        return fine

    def places(self, strip: _Strip) -> tuple[Floats, Floats, Floats, Floats]:
        """Where a strip's pixels lie in `fine`: x by columns and by rows, then y; to be added."""
        similarity = self.similarity
        square = similarity.a**2 + similarity.b**2
        a, b = FINER * similarity.a / square, FINER * similarity.b / square
        columns = np.arange(*strip[2:]) + (self.left + 0.5 - similarity.c)
        rows = np.arange(*strip[:2]) + (self.top + 0.5 - similarity.d)
        each = a * columns + 0.5, b * rows, -b * columns, a * rows + 0.5
        return tuple(place.astype(np.float32) for place in each)  # type: ignore[return-value]

    def enlarged(self, fields: _Fields, strip: _Strip) -> Floats:
        """Fields at a strip's pixels, where the crop's cover a whole number of the photo's."""
        times = self.similarity.whole
        columns = slice(*(self.left - int(self.similarity.c) + column for column in strip[2:]))
        top, bottom = (self.top - int(self.similarity.d) + row for row in strip[:2])
        if times == 1:
            return fields.planes(slice(top, bottom))[:, :, columns]
        start = max(top // times - AROUND, 0)
        parts = fields.planes(slice(start, -(-bottom // times) + AROUND))
        shape = times * parts.shape[2], times * parts.shape[1]
        rows = slice(top - times * start, bottom - times * start)
        images = (Image.fromarray(part).resize(shape, Image.Resampling.BICUBIC) for part in parts)
        return np.stack([np.asarray(image)[rows, columns] for image in images])


def _read(fine: Floats, across: Floats, more_x: Floats, more_y: Floats, down: Floats) -> Floats:
    """Fields (k, h, w) at a strip's places, 0 outside the crop; see `_Window.places`."""
    _, high, wide = fine.shape
    x, y = across + more_x[:, None], more_y + down[:, None]
    left, top = np.floor(x), np.floor(y)
    start = top.astype(np.intp)
    start *= wide
    start += left.astype(np.intp)
    half = np.float32(0.5)
    inside = (x >= half) & (x < wide - 1.5) & (y >= half) & (y < high - 1.5)
    x -= left
    y -= top
    corners = [start + step for step in (0, 1, wide, wide + 1)]
    out = np.empty((len(fine), *start.shape), np.float32)
    for plane, found in zip(fine.reshape(len(fine), -1), out, strict=True):
        a, b, c, d = (plane.take(corner, mode="clip") for corner in corners)
        for first, second in ((a, b), (c, d)):
            second -= first
            second *= x
            first += second
        c -= a
        c *= y
        np.add(a, c, out=found)
    if not inside.all():
        out *= inside
    return out


def _finer(planes: Floats) -> Floats:
    """Planes (k, n, w) made ``FINER`` times finer downwards: (k, FINER n, w).

    By Keys' kernel with a = -0.5, cut off at the border; products over some rows at once let BLAS
    do it.
    """
    count, length, width = planes.shape
    blocks = -(-length // TOGETHER)
    padded = np.zeros((count, blocks * TOGETHER + 4, width), np.float32)
    padded[:, 2 : length + 2] = planes
    parts = sliding_window_view(padded, TOGETHER + 4, axis=1)[:, ::TOGETHER]
    place, tap = np.arange(blocks * TOGETHER * FINER), np.arange(TOGETHER + 4)
    place = place.reshape(blocks, -1, 1)
    there = tap - 2 + TOGETHER * np.arange(blocks)[:, None, None]
    d = np.abs((place + 0.5) / FINER - (there + 0.5))
    near, far = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    shares = np.where(d <= 1, near, np.where(d < 2, far, 0.0)) * ((there >= 0) & (there < length))
    with np.errstate(invalid="ignore"):  # what lies beyond the last row is cut off
        shares /= shares.sum(axis=2, keepdims=True)
    made: Floats = shares.astype(np.float32) @ np.swapaxes(parts, 2, 3)
    return made.reshape(count, -1, width)[:, : FINER * length]


def _bounds(
    values: Array, similarity: Similarity, size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    height, width = size
    corners = similarity.to_photo(np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    return int(left), int(top), min(int(right), values.shape[1]), min(int(bottom), values.shape[0])
