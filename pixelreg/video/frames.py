"""Frames as they are stored: planes, turned, and changed where a face is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.faces.align import Similarity, crop
from pixelreg.models.plans import Change
from pixelreg.pictures.warp import fetch_cubic

# Formats that are changed as they are; all others are brought to one of these.
FORMATS = {
    name: (across, down, bits)
    for letter, across, down in (("420", 2, 2), ("422", 2, 1), ("444", 1, 1))
    for name, bits in (
        (f"yuv{letter}p", 8),
        (f"yuvj{letter}p", 8),
        (f"yuv{letter}p10le", 10),
    )
}
# Weights of red and blue in luma, by the number that H.273 gives the matrix.
_RED_BLUE = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_SMALL_RED_BLUE, _HD = (0.299, 0.114), 720
_FULL_RANGE = 2


@dataclass(frozen=True)
class Colours:
    """How stored numbers stand for colours.

    matrix : (3, 3) from RGB on [0, 1] to steps of Y, Cb, Cr.
    zero : (3,) what black is stored as.
    """

    matrix: Float64
    zero: Float64

    @classmethod
    def of(cls, space: int, full: bool, bits: int, height: int) -> Colours:
        """By the matrix's number in H.273, the range, bits a sample, and the picture's height.

        Unnamed matrices are BT.709 from 720 lines on and BT.601 below, as players have it.
        """
        known = _RED_BLUE.get(1 if space == 2 and height >= _HD else space, _SMALL_RED_BLUE)
        red, blue = known
        luma = np.array([red, 1 - red - blue, blue])
        chroma_blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
        chroma_red = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
        step = 2.0 ** (bits - 8)
        most = 2.0**bits - 1
        reach = [most] * 3 if full else [219 * step, 224 * step, 224 * step]
        zero = [0.0 if full else 16 * step, 128 * step, 128 * step]
        matrix = np.array(reach)[:, None] * np.stack([luma, chroma_blue, chroma_red])
        return cls(matrix, np.array(zero))

    def to_rgb(self, stored: Array) -> Pixels:
        """(..., 3) Y, Cb, Cr as stored -> (..., 3) uint8 RGB."""
        inverse = (255 * np.linalg.inv(self.matrix)).astype(np.float32)
        unit = (stored.astype(np.float32) - self.zero.astype(np.float32)) @ inverse.T
        result: Pixels = np.clip(np.rint(unit), 0, 255).astype(np.uint8)
        return result


@dataclass(frozen=True, eq=False)
class Canvas:
    """The planes of one frame.

    planes : Y (H, W), Cb and Cr, (H / down, W / across) rounded up; uint8 or uint16. They are
        written to.
    across, down : pixels of the frame to one of chroma.
    """

    planes: tuple[Array, Array, Array]
    across: int
    down: int
    bits: int
    colours: Colours

    @property
    def luma(self) -> Array:
        """(H, W), 8 bits of it."""
        luma = self.planes[0]
        return luma if self.bits == 8 else (luma >> (self.bits - 8)).astype(np.uint8)

    def crop(self, similarity: Similarity, size: int) -> Pixels:
        """(size, size, 3) uint8 RGB, as `pixelreg.faces.align.crop` cuts it from an RGB photo."""
        left, top, right, bottom = self._around(similarity, size)
        window = np.empty((bottom - top, right - left, 3), np.uint8)
        window[..., 0] = self._byte(self.planes[0][top:bottom, left:right])
        rows = np.arange(top, bottom) // self.down
        columns = np.arange(left, right) // self.across
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for k in (1, 2):
            chroma = self._byte(self.planes[k][part])
            if self.down > 1:
                chroma = np.repeat(chroma, self.down, axis=0)
            if self.across > 1:
                chroma = np.repeat(chroma, self.across, axis=1)
            window[..., k] = chroma[: bottom - top, : right - left]
        moved = Similarity(similarity.a, similarity.b, similarity.c - left, similarity.d - top)
        step = 2.0 ** (self.bits - 8)
        lost = (1 - 1 / step) / 2  # of a step of 8 bits, on average, by `_byte`
        colours = Colours(self.colours.matrix / step, self.colours.zero / step - lost)
        return colours.to_rgb(crop(window, moved, size))

    def _byte(self, plane: Array) -> Array:
        return plane if self.bits == 8 else plane >> (self.bits - 8)

    def _around(self, similarity: Similarity, size: int) -> tuple[int, int, int, int]:
        """Where in the frame a crop lies, with what averaging needs and on whole chroma pixels."""
        height, width = self.planes[0].shape
        corners = similarity.to_photo(np.array([[0, 0], [size, 0], [0, size], [size, size]]))
        margin = 3 * max(1, int(similarity.scale)) + 1
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - margin, 0)
        high = np.ceil(corners.max(axis=0)).astype(int) + margin
        left, top = (low - low % [self.across, self.down]).tolist()
        # A face outside the frame leaves one row or column of it.
        left, top = min(left, width - self.across), min(top, height - self.down)
        left, top = max(left, 0), max(top, 0)
        right = max(min(int(high[0]), width), left + 1)
        bottom = max(min(int(high[1]), height), top + 1)
        return left, top, right, bottom


def canvas_of(frame: Any) -> Canvas:
    """The planes of a PyAV frame in one of `FORMATS`, which becomes writable by this."""
    frame.make_writable()
    across, down, bits = FORMATS[frame.format.name]
    full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    colours = Colours.of(int(frame.colorspace), full, bits, frame.height)
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    planes = []
    for plane in frame.planes:
        lines = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
        planes.append(lines[: plane.height, : plane.width])
    return Canvas((planes[0], planes[1], planes[2]), across, down, bits, colours)


@dataclass(frozen=True)
class Turn:
    """A picture of ``width`` x ``height`` pixels that is shown turned.

    quarters : quarter turns to the left that make the stored picture upright, 0 to 3.
    """

    quarters: int
    width: int
    height: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the picture as it is shown."""
        turned = self.quarters % 2
        return (self.height, self.width) if turned else (self.width, self.height)

    def upright(self, pixels: Array) -> Array:
        """The stored picture, (H, W, C), as it is shown."""
        return np.ascontiguousarray(np.rot90(pixels, self.quarters))

    def points(self, upright: Array) -> Float64:
        """Points (..., 2) of the picture as it is shown, in the stored one."""
        stored = self._factor * (upright[..., 0] + 1j * upright[..., 1]) + self._origin
        return np.stack([stored.real, stored.imag], axis=-1)

    def similarity(self, upright: Similarity) -> Similarity:
        """A similarity to the picture as it is shown, led on to the stored one."""
        turn = self._factor * complex(upright.a, upright.b)
        shift = self._factor * complex(upright.c, upright.d) + self._origin
        return Similarity(turn.real, turn.imag, shift.real, shift.imag)

    @property
    def _factor(self) -> complex:
        return (1, 1j, -1, -1j)[self.quarters]

    @property
    def _origin(self) -> complex:
        width, height = self.width, self.height
        return (0, complex(width, 0), complex(width, height), complex(0, height))[self.quarters]


Box = tuple[int, int, int, int]

HOW = Image.Resampling.BILINEAR
FINER = 3  # odd, so that the crop's own pixel centres are among the finer ones
STRIDE = 2  # pixels at most between two points at which a field is read
REACH = 3  # pixels that the cubic look-up needs beyond the farthest place it looks at


class Paster:
    """Carries changes to frames, one after the other."""

    def __init__(self) -> None:
        self._displacement: Any = None
        self._fine: list[Image.Image] = []

    def paste(
        self, canvas: Canvas, change: Change, similarity: Similarity, strength: float
    ) -> None:
        """Change the canvas where the change is not zero.

        change : what to do, at the crop's size.
        """
        box = _support(change)
        if strength == 0 or box is None:
            return
        matrix = canvas.colours.matrix.astype(np.float32).T
        colours = [_finer(plane) for plane in np.moveaxis(change.colour @ matrix, 2, 0)]
        steps = self._steps(change)
        scales = ((1, 1), (canvas.across, canvas.down), (canvas.across, canvas.down))
        kept: dict[Any, Any] = {}
        for plane, colour, scale in zip(canvas.planes, colours, scales, strict=True):
            place = _Place(similarity, scale, box, plane.shape)
            if place.empty:
                continue
            if steps and scale not in kept:
                kept[scale] = place.steps(steps, strength)
            moved = place.moved(plane, *kept[scale]) if steps else place.window(plane)
            moved = moved + np.float32(strength) * place.over(colour)
            most = 2**canvas.bits - 1
            place.window(plane)[:] = np.clip(np.rint(moved), 0, most).astype(plane.dtype)

    def _steps(self, change: Change) -> list[Image.Image]:
        """The displacement made finer; that of a plan is the same for every frame."""
        if change.displacement is not self._displacement:
            self._displacement = change.displacement
            planes = () if self._displacement is None else np.moveaxis(self._displacement, 2, 0)
            self._fine = [_finer(plane) for plane in planes]
        return self._fine


class _Place:
    """A crop's support in one plane of the frame."""

    def __init__(
        self,
        similarity: Similarity,
        scale: tuple[int, int],
        box: Box,
        shape: tuple[int, ...],
    ) -> None:
        self.similarity = similarity
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

    def over(self, fine: Image.Image) -> Floats:
        """A field of the crop at the pixels of the window, bilinear.

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

    def steps(self, fine: list[Image.Image], strength: float) -> tuple[Floats, Floats]:
        """How far from each pixel of the window its new value is fetched, in the plane's pixels."""
        across, down = (self.over(plane) for plane in fine)
        turn = strength / self.scale
        a, b = self.similarity.a, self.similarity.b
        x = np.float32(a * turn[0]) * across - np.float32(b * turn[0]) * down
        y = np.float32(b * turn[1]) * across + np.float32(a * turn[1]) * down
        return x, y

    def moved(self, plane: Array, x: Floats, y: Floats) -> Floats:
        """The window with every pixel fetched from ``x``, ``y`` further on."""
        reach = REACH + int(np.ceil(max(np.abs(x).max(), np.abs(y).max())))
        left, top = max(self.left - reach, 0), max(self.top - reach, 0)
        part = plane[top : self.bottom + reach, left : self.right + reach]
        columns = np.arange(self.left - left, self.right - left, dtype=np.float32)
        rows = np.arange(self.top - top, self.bottom - top, dtype=np.float32)
        return fetch_cubic(part[..., None], x + columns, y + rows[:, None])[..., 0]


def _support(change: Change) -> Box | None:
    """Left, top, right and bottom in the crop of what a change touches, one pixel around it."""
    touched: Array = np.asarray(change.colour.any(axis=2))
    if change.displacement is not None:
        touched = touched | change.displacement.any(axis=2)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    if not rows.size:
        return None
    size = len(touched)
    low = np.maximum([columns[0] - 1, rows[0] - 1], 0).tolist()
    high = np.minimum([columns[-1] + 2, rows[-1] + 2], size).tolist()
    return low[0], low[1], high[0], high[1]


def _finer(plane: Floats) -> Image.Image:
    side = FINER * len(plane)
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return image.resize((side, side), Image.Resampling.BICUBIC)
