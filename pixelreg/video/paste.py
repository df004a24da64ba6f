"""The way back in a video: a crop's change, carried to the planes of a frame.

The same as `pixelreg.faces.paste`, but on luma and chroma at their own resolutions, in place, and
with the parts that stay the same from frame to frame kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Floats
from pixelreg.faces.align import Similarity
from pixelreg.models.change import Change
from pixelreg.pictures.warp import fetch_cubic
from pixelreg.video.planes import Canvas

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

        Parameters
        ----------
        canvas : the frame's planes.
        change : what to do, at the crop's size.
        similarity : from crop to frame.
        strength : how much of the change.
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
