"""Similarity alignment: from a photo to the model's crop, and the coordinates of the way back.

Coordinates are (x, y) in pixels with pixel centres at i + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.errors import FaceError
from pixelreg.models.model import Frame

WHOLE = 1e-6  # a scale this little under a whole number is one


@dataclass(frozen=True)
class Similarity:
    """Scale, rotation and shift from crop to photo: x' = a x - b y + c, y' = b x + a y + d."""

    a: float
    b: float
    c: float
    d: float

    @property
    def scale(self) -> float:
        """Photo pixels in one crop pixel."""
        return float(np.hypot(self.a, self.b))

    @property
    def whole(self) -> int:
        """How many photo pixels a crop pixel covers, if whole ones, upright; else 0."""
        whole = all(float(value).is_integer() for value in (self.a, self.c, self.d))
        return int(self.a) if whole and self.b == 0 and self.a > 0 else 0

    def to_photo(self, points: Array) -> Float64:
        """Crop points (..., 2) in the photo's coordinates."""
        x, y = points[..., 0], points[..., 1]
        return np.stack(
            [self.a * x - self.b * y + self.c, self.b * x + self.a * y + self.d], axis=-1
        )

    def to_crop(self, points: Array) -> Float64:
        """Photo points (..., 2) in the crop's coordinates."""
        x, y = points[..., 0] - self.c, points[..., 1] - self.d
        square = self.a**2 + self.b**2
        return np.stack(
            [(self.a * x + self.b * y) / square, (self.a * y - self.b * x) / square], axis=-1
        )


UNMOVED = Similarity(1.0, 0.0, 0.0, 0.0)


def similarity_from_eyes(eyes: Array, frame: Frame, size: int) -> Similarity:
    """The similarity that takes a ``size`` x ``size`` crop's eyes to a photo's.

    eyes : (2, 2) float, (x, y) of the eye on the picture's left, then of the other.
    """
    here = np.asarray(eyes, dtype=np.float64) @ np.array([1, 1j])
    there = np.asarray(frame.eyes) * size @ np.array([1, 1j])
    if not np.isfinite(here).all() or abs(here[1] - here[0]) < 1.0:
        raise FaceError(
            f"the two eyes must be at different places, not {np.asarray(eyes).tolist()}"
        )
    turn = (here[1] - here[0]) / (there[1] - there[0])
    shift = here[0] - turn * there[0]
    return Similarity(float(turn.real), float(turn.imag), float(shift.real), float(shift.imag))


def similarity_from_square(width: int, height: int, size: int) -> Similarity:
    """The similarity that takes a ``size`` x ``size`` crop to a photo's largest centre square."""
    side = min(width, height)
    return Similarity(side / size, 0.0, (width - side) / 2, (height - side) / 2)


def crop(pixels: Pixels, similarity: Similarity, size: int, reduced: int = 1) -> Pixels:
    """Cut the crop out of a photo, averaging where it shrinks and bicubic where it grows.

    pixels : (H, W, 3) uint8.
    similarity : from the crop to ``pixels``.
    reduced : how many times smaller ``pixels`` are than the photo; what is averaged is then what
        would be averaged of the whole photo.

    Returns: (size, size, 3) uint8. What lies outside the photo repeats its border.
    """
    if similarity == UNMOVED and pixels.shape[:2] == (size, size):
        return pixels
    part, left, top = _surroundings(pixels, similarity, size)
    factor = max(1.0, int(similarity.scale * reduced + WHOLE) / reduced)
    image = _averaged(Image.fromarray(part), factor)
    a, b = similarity.a / factor, similarity.b / factor
    c, d = (similarity.c - left) / factor, (similarity.d - top) / factor
    matrix = (a, -b, c, b, a, d)
    return np.asarray(
        image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    )


def _averaged(image: Image.Image, factor: float) -> Image.Image:
    """Means over ``factor`` x ``factor`` pixels, which need not be a whole number."""
    if factor == int(factor):
        return image.reduce(int(factor)) if factor > 1 else image
    # Pillow's box filter takes whole pixels only, and would shift the picture by a part of one;
    # of its smooth ones, the bicubic lets through what means over the whole photo let through.
    width, height = int(image.width / factor), int(image.height / factor)
    box = (0, 0, width * factor, height * factor)
    return image.resize((width, height), Image.Resampling.BICUBIC, box)


def _surroundings(pixels: Pixels, similarity: Similarity, size: int) -> tuple[Pixels, int, int]:
    """The part of a photo that a crop needs, its border repeated, and where the part begins."""
    corners = similarity.to_photo(np.array([[0, 0], [size, 0], [0, size], [size, size]]))
    # Whole blocks of the averaging, so that an upright crop at a whole scale falls on them.
    margin = 3 * max(1, int(similarity.scale + WHOLE))
    left, top = np.floor(corners.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin
    height, width = pixels.shape[:2]
    inside = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if 0 in inside.shape:
        raise FaceError("the face lies outside the picture")
    around = (
        (max(0, -top), max(0, bottom - height)),
        (max(0, -left), max(0, right - width)),
        (0, 0),
    )
    if any(sum(pair) for pair in around):
        inside = np.pad(inside, around, mode="edge")
    return np.ascontiguousarray(inside), int(left), int(top)
