"""Frames as they are stored: a plane of luma and two of chroma, often of half the size.

A frame is changed in its own planes, and only where the face is: everything else keeps its bits,
nothing is lost by going to RGB and back, and there is half as much to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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

    Attributes
    ----------
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

    Attributes
    ----------
    planes : Y (H, W), Cb and Cr, (H / down, W / across) rounded up; uint8 or uint16. They are
        written to.
    across, down : pixels of the frame to one of chroma.
    bits : of a sample.
    colours : what the samples mean.
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
