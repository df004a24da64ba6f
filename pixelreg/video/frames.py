"""Frames as they are stored: planes, and how they are turned to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.faces.align import Similarity, crop

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

    @property
    def pillow_matrix(self) -> tuple[float, ...]:
        """`to_rgb` as twelve numbers, with which Pillow does it several times as fast."""
        inverse = 255 * np.linalg.inv(self.matrix)
        rows = np.concatenate([inverse, -inverse @ self.zero[:, None]], axis=1)
        return tuple(rows.reshape(-1).tolist())


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

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.planes[0].shape
        return width, height

    def turned(self, quarters: int) -> Canvas:
        """The same planes seen turned by so many quarters to the left."""
        luma, blue, red = (np.rot90(plane, quarters) for plane in self.planes)
        scale = (self.down, self.across) if quarters % 2 else (self.across, self.down)
        return Canvas((luma, blue, red), *scale, self.bits, self.colours)

    def crop(self, similarity: Similarity, size: int) -> Pixels:
        """(size, size, 3) uint8 RGB, as `pixelreg.faces.align.crop` cuts it from an RGB photo."""
        left, top, right, bottom = self._around(similarity, size)
        window = self._window(left, top, right, bottom)
        moved = Similarity(similarity.a, similarity.b, similarity.c - left, similarity.d - top)
        return self._byte_colours.to_rgb(crop(window, moved, size))

    def cut(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        """(bottom - top, right - left, 3) uint8 RGB, a part of the frame as it is."""
        window = Image.fromarray(self._window(left, top, right, bottom))
        return np.asarray(window.convert("RGB", self._byte_colours.pillow_matrix))

    def _window(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        """(h, w, 3) uint8 Y, Cb and Cr of a part."""
        window = np.empty((bottom - top, right - left, 3), np.uint8)
        window[..., 0] = self._byte(self.planes[0][top:bottom, left:right])
        part = np.s_[
            top // self.down : (bottom - 1) // self.down + 1,
            left // self.across : (right - 1) // self.across + 1,
        ]
        for k in (1, 2):
            chroma = self._byte(self.planes[k][part])
            if self.down > 1:
                chroma = np.repeat(chroma, self.down, axis=0)
            if self.across > 1:
                chroma = np.repeat(chroma, self.across, axis=1)
            window[..., k] = chroma[top % self.down :, left % self.across :][
                : bottom - top, : right - left
            ]
        return window

    @property
    def _byte_colours(self) -> Colours:
        """The colours of what `_byte` gives."""
        step = 2.0 ** (self.bits - 8)
        lost = (1 - 1 / step) / 2  # of a step of 8 bits, on average
        return Colours(self.colours.matrix / step, self.colours.zero / step - lost)

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
