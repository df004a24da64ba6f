"""Photographs of the London set, and what is hand-placed on them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from cli_tools import pixels
from PIL import Image

from pixelreg.faces.landmarks import read_landmarks

PUBLISHED = 1350  # a side of the photographs
SIDE = 675  # of what tests look for faces in: a quarter of the pixels, and of the time


@cache
def photo(london: Path, person: str = "001", side: int = SIDE) -> np.ndarray:
    """A neutral photograph, (side, side, 3); without landmarks beside it once it is copied."""
    published = pixels(london / "neutral_front" / f"{person}_03.jpg")
    return published if side == PUBLISHED else resized(published, side)


@cache
def truth(london: Path, person: str = "001", side: int = SIDE) -> np.ndarray:
    """Its hand-placed landmarks (5, 2): pupils, nose, corners of the mouth."""
    published = read_landmarks(london / "neutral_front" / f"{person}_03.tem").points
    return published * side / PUBLISHED


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def shapes(seed: int, height: int = 360, width: int = 480) -> np.ndarray:
    """A drawn picture without a face."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(40):
        y, x = rng.integers(0, height - 20), rng.integers(0, width - 20)
        h, w = rng.integers(4, 120, 2)
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image
