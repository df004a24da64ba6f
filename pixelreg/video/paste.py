"""Changes laid on the planes of frames, as `pixelreg.faces.paste` lays them on photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Floats
from pixelreg.faces.align import Similarity
from pixelreg.models.plans import Change
from pixelreg.pictures.warp import fetch_cubic
from pixelreg.video.frames import Canvas, Colours

Box = tuple[int, int, int, int]

HOW = Image.Resampling.BILINEAR
FINER = 3  # odd, so that the crop's own pixel centres are among the finer ones
STRIDE = 2  # pixels at most between two points at which a field is read
REACH = 3  # pixels that the cubic look-up needs beyond the farthest place it looks at
LINE = 512  # pixels looked up in one go


class Paster:
    """Carries changes to frames, one after the other.

    loops : `pixelreg.backends.loops_rig`, which are quicker, or None.
    """

    def __init__(self, loops: Any = None) -> None:
        self._loops = loops
        self._displacement: Any = None
        self._fine: list[Field] = []

    def paste(
        self, canvas: Canvas, change: Change, similarity: Similarity, strength: float
    ) -> None:
        """Change the canvas where the change is not zero.

        change : what to do, at the crop's size.
        strength : of its displacement and colour; gain and layer are laid on as they are.
        """
        box = _support(change)
        if strength == 0 or box is None:
            return
        if similarity.whole:
            change, similarity, box = _trimmed(change, similarity, box)
        parts = _Parts.of(change, similarity, canvas.colours, strength)
        steps = self._steps(change, similarity.whole)
        scales = ((1, 1), (canvas.across, canvas.down), (canvas.across, canvas.down))
        kept: dict[Any, _Laid] = {}
        for k, (plane, scale) in enumerate(zip(canvas.planes, scales, strict=True)):
            place = _Place(similarity, scale, box, plane.shape, self._loops)
            if place.empty:
                continue
            if scale not in kept:
                kept[scale] = _Laid.at(place, plane.shape, steps, parts, strength)
            moved = kept[scale].over(plane, place, parts, k)
            most = 2**canvas.bits - 1
            np.clip(np.rint(moved, out=moved), 0, most, out=moved)
            place.window(plane)[:] = moved.astype(plane.dtype)

    def _steps(self, change: Change, whole: int) -> list[Field]:
        """The displacement made finer; that of a plan is the same for every frame."""
        if change.displacement is not self._displacement:
            self._displacement = change.displacement
            planes = () if self._displacement is None else np.moveaxis(self._displacement, 2, 0)
            self._fine = [Field.of(plane, whole) for plane in planes]
        return self._fine


@dataclass(frozen=True, eq=False)
class Field:
    """Numbers of every pixel of a crop, ready to be read between them.

    plain : (H, W) float32.
    fine : the same ``FINER`` times finer, where it is read between its pixels.
    """

    plain: Floats
    fine: Image.Image | None

    @classmethod
    def of(cls, plane: Array, whole: int) -> Field:
        """``whole`` : how many photo pixels a crop pixel covers, see `Similarity.whole`."""
        plain = np.ascontiguousarray(plane, np.float32)
        return cls(plain, None if whole else _finer(plain))


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is laid over a part of a crop, in the frame's colours.

    fields : three, colours times cover.
    """

    fields: tuple[Field, ...]
    cover: Field
    similarity: Similarity
    box: Box

    @classmethod
    def of(cls, change: Change, similarity: Similarity, matrix: Floats) -> _Layer | None:
        alone = Change(change.colour[:0], layer=change.layer)
        box = None if change.layer is None else _support(alone)
        if box is None:
            return None
        if similarity.whole:
            alone, similarity, box = _trimmed(alone, similarity, box)
        layer: Any = alone.layer
        fields = _fields(layer[..., :3] @ matrix, similarity.whole)
        return cls(fields, Field.of(layer[..., 3], similarity.whole), similarity, box)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What a change does besides moving, in the frame's colours; None for nothing.

    colours : three fields to be added, Y, Cb and Cr.
    gain : less 1, so that it is 0 away from the change.
    """

    colours: tuple[Field, ...] | None
    gain: Field | None
    layer: _Layer | None
    zero: Floats
    steepness: float

    @classmethod
    def of(
        cls, change: Change, similarity: Similarity, colours: Colours, strength: float
    ) -> _Parts:
        matrix, whole = colours.matrix.astype(np.float32).T, similarity.whole
        some = change.colour.any()
        added = _fields(np.float32(strength) * change.colour @ matrix, whole) if some else None
        gain = None if change.gain is None else Field.of(change.gain - 1, whole)
        layer = _Layer.of(change, similarity, matrix)
        zero = colours.zero.astype(np.float32)
        return cls(added, gain, layer, zero, change.steepness)


def _fields(values: Floats, whole: int) -> tuple[Field, ...]:
    return tuple(Field.of(plane, whole) for plane in np.moveaxis(values, 2, 0))


@dataclass(frozen=True, eq=False)
class _Laid:
    """Where pixels of a window are fetched from, and the fields that all of its planes share.

    inner : where the layer lies.
    """

    steps: tuple[Floats, Floats] | None
    gain: Floats | None
    cover: Floats | None
    inner: _Place | None

    @classmethod
    def at(
        cls,
        place: _Place,
        shape: tuple[int, ...],
        steps: list[Field],
        parts: _Parts,
        strength: float,
    ) -> _Laid:
        gain = None if parts.gain is None else place.over(parts.gain)
        moves = place.steps(steps, strength) if steps else None
        layer, cover, inner = parts.layer, None, None
        if layer is not None:
            inner = _Place(layer.similarity, tuple(place.scale), layer.box, shape, place.loops)
            cover = None if inner.empty else inner.over(layer.cover)
        return cls(moves, gain, cover, inner)

    def over(self, plane: Array, place: _Place, parts: _Parts, k: int) -> Floats:
        """The window of plane ``k`` changed, not rounded."""
        moved = place.moved(plane, self.steps, parts.steepness)
        if self.gain is not None:  # of light: black stays what it is
            moved += self.gain * (moved - parts.zero[k])
        if parts.colours is not None:
            moved += place.over(parts.colours[k])
        if self.cover is not None and self.inner is not None and parts.layer is not None:
            part = self.inner.within(place, moved)
            part += self.cover * (parts.zero[k] - part) + self.inner.over(parts.layer.fields[k])
        return moved


class _Place:
    """A crop's support in one plane of the frame."""

    def __init__(
        self,
        similarity: Similarity,
        scale: tuple[int, int],
        box: Box,
        shape: tuple[int, ...],
        loops: Any,
    ) -> None:
        self.loops = loops
        self.similarity = similarity
        self.whole = similarity.whole
        self.scale = np.array(scale)
        self.stride = max(1, min(STRIDE, int(similarity.scale / max(scale))))
        left, top, right, bottom = box
        corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
        inside = similarity.to_photo(corners) / self.scale
        limits = np.array([shape[1], shape[0]])
        low = np.clip(np.floor(inside.min(axis=0)), 0, limits).astype(int)
        high = np.clip(np.ceil(inside.max(axis=0)), 0, limits).astype(int)
        self.left, self.top = (int(value) for value in low)
        self.right, self.bottom = (int(value) for value in high)

    @property
    def empty(self) -> bool:
        return self.left >= self.right or self.top >= self.bottom

    def window(self, plane: Array) -> Array:
        return plane[self.top : self.bottom, self.left : self.right]

    def within(self, other: _Place, values: Array) -> Array:
        """The part of another place's values that lies here."""
        rows = slice(self.top - other.top, self.bottom - other.top)
        return values[rows, self.left - other.left : self.right - other.left]

    def over(self, field: Field) -> Floats:
        """A field of the crop at the pixels of the window."""
        return self._whole(field.plain) if field.fine is None else self._between(field.fine)

    def _whole(self, plain: Floats) -> Floats:
        """A field whose pixels cover whole ones of the frame, or are covered by them."""
        ends = np.array([[self.left, self.top], [self.right, self.bottom]]) * self.scale
        corner = np.array([self.similarity.c, self.similarity.d])
        (left, top), (right, bottom) = (ends - corner) / self.whole
        height, width = plain.shape
        # Pixels of chroma may reach a little beyond the crop, where nothing changes.
        before, after = max(0, -left, -top), max(0, right - width, bottom - height)
        if before or after:
            more = int(np.ceil(max(before, after)))
            plain, (left, top, right, bottom) = (
                np.pad(plain, more),
                (value + more for value in (left, top, right, bottom)),
            )
        if self.whole == 1 and (self.scale == 1).all():
            return plain[int(top) : int(bottom), int(left) : int(right)]
        size = (self.right - self.left, self.bottom - self.top)
        how = Image.Resampling.BICUBIC if self.whole > 1 else Image.Resampling.BOX
        return np.asarray(Image.fromarray(plain).resize(size, how, (left, top, right, bottom)))

    def _between(self, fine: Image.Image) -> Floats:
        """Bilinear, of a finer field.

        Where a pixel of the crop covers several of the window, the field is turned into place on a
        coarser lattice, and enlarged, which is quicker.
        """
        coarse = self.scale * self.stride
        ends = np.array([[0, 0], [1, 0], [0, 1]]) * coarse + self.scale * [self.left, self.top]
        origin, right, below = self.similarity.to_crop(ends.astype(np.float64)) * FINER
        matrix = (
            *(right[0] - origin[0], below[0] - origin[0], origin[0]),
            *(right[1] - origin[1], below[1] - origin[1], origin[1]),
        )
        size = (self.right - self.left, self.bottom - self.top)
        lattice = (-(-size[0] // self.stride), -(-size[1] // self.stride))
        field = fine.transform(lattice, Image.Transform.AFFINE, matrix, HOW)
        if self.stride > 1:
            part = (0, 0, size[0] / self.stride, size[1] / self.stride)
            field = field.resize(size, HOW, box=part)
        return np.asarray(field)

    def steps(self, fields: list[Field], strength: float) -> tuple[Floats, Floats]:
        """How far from each pixel of the window its new value is fetched, in the plane's pixels."""
        across, down = (self.over(field) for field in fields)
        turn = strength / self.scale
        a, b = self.similarity.a, self.similarity.b
        x = np.float32(a * turn[0]) * across - np.float32(b * turn[0]) * down
        y = np.float32(b * turn[1]) * across + np.float32(a * turn[1]) * down
        return x, y

    def moved(self, plane: Array, steps: tuple[Floats, Floats] | None, steepness: float) -> Floats:
        """The window with every pixel fetched so many steps (x, y) further on; a new array."""
        moved: Floats = np.array(self.window(plane), np.float32, order="C")
        if steps is None:
            return moved
        x, y = steps
        pixels = np.flatnonzero((x != 0) | (y != 0))
        if not pixels.size:
            return moved
        if self.loops is not None:
            fields = (np.ascontiguousarray(field, np.float32) for field in (x, y))
            self.loops.move(
                plane, pixels, *fields, self.left, self.top, np.float32(steepness), moved
            )
            return moved
        reach = REACH + int(np.ceil(max(np.abs(x).max(), np.abs(y).max())))
        left, top = max(self.left - reach, 0), max(self.top - reach, 0)
        part = plane[top : self.bottom + reach, left : self.right + reach]
        padded = np.resize(pixels, (-(-len(pixels) // LINE), LINE))
        rows, columns = np.divmod(padded, moved.shape[1])
        from_x = x.reshape(-1)[padded] + (columns + (self.left - left)).astype(np.float32)
        from_y = y.reshape(-1)[padded] + (rows + (self.top - top)).astype(np.float32)
        fetched = fetch_cubic(part[..., None], from_x, from_y, steepness=steepness)
        moved.reshape(-1)[pixels] = fetched.reshape(-1)[: len(pixels)]
        return moved


def _support(change: Change) -> Box | None:
    """Left, top, right and bottom in the crop of what a change touches, one pixel around it."""
    parts = []
    if change.colour.any():
        parts.append(_anything(change.colour))
    if change.displacement is not None:
        parts.append(_anything(change.displacement))
    if change.gain is not None:
        parts.append(change.gain != 1)
    if change.layer is not None:
        parts.append(change.layer[..., 3] != 0)
    touched: Any = np.logical_or.reduce(parts) if parts else np.zeros((0, 0), bool)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    if not rows.size:
        return None
    height, width = touched.shape
    low = np.maximum([columns[0] - 1, rows[0] - 1], 0).tolist()
    high = np.minimum([columns[-1] + 2, rows[-1] + 2], [width, height]).tolist()
    return low[0], low[1], high[0], high[1]


def _trimmed(change: Change, similarity: Similarity, box: Box) -> tuple[Change, Similarity, Box]:
    """The part of a change in a box, of a crop that covers whole pixels."""
    left, top, right, bottom = box
    part = np.s_[top:bottom, left:right]
    moved, gain, layer = (
        None if field is None else field[part]
        for field in (change.displacement, change.gain, change.layer)
    )
    times = float(similarity.whole)
    there = Similarity(times, 0.0, similarity.c + times * left, similarity.d + times * top)
    cut = Change(change.colour[part], moved, gain, layer, change.steepness)
    return cut, there, (0, 0, right - left, bottom - top)


def _anything(fields: Floats) -> Array:
    """(H, W) bool, where any of a few fields is not 0; `any` over a short axis takes long."""
    touched: Array = fields[..., 0] != 0
    for k in range(1, fields.shape[2]):
        touched |= fields[..., k] != 0
    return touched


def _finer(plane: Floats) -> Image.Image:
    size = (FINER * plane.shape[1], FINER * plane.shape[0])
    return Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)
