"""Drawn portraits with their masks, in the layout of ``pixelreg data masks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from deep_onnx.portrait.folders import write_people
from deep_onnx.portrait.labels import LABELS, write_mask
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode

# label, centre and radii as fractions of the side, painted in this order
PARTS = (
    ("hair", (0.50, 0.45), (0.34, 0.38)),
    ("skin", (0.50, 0.56), (0.25, 0.34)),
    ("left-eyebrow", (0.38, 0.40), (0.08, 0.025)),
    ("right-eyebrow", (0.62, 0.40), (0.08, 0.025)),
    ("left-eye", (0.38, 0.49), (0.06, 0.04)),
    ("right-eye", (0.62, 0.49), (0.06, 0.04)),
    ("nose", (0.50, 0.58), (0.05, 0.08)),
    ("upper-lip", (0.50, 0.725), (0.12, 0.035)),
    ("lower-lip", (0.50, 0.765), (0.12, 0.035)),
    ("mouth", (0.50, 0.745), (0.07, 0.012)),
)


def drawn_portrait(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A picture (S, S, 3) and its mask (S, S); colours and a few pixels of shape by the seed."""
    generator = np.random.default_rng(seed)
    places = (np.arange(size) + 0.5) / size
    mask = np.zeros((size, size), np.uint8)
    for label, (x, y), (across, down) in PARTS:
        x, y = np.array([x, y]) + generator.uniform(-0.01, 0.01, 2)
        inside = ((places - x) / across) ** 2 + ((places[:, None] - y) / down) ** 2 <= 1
        mask[inside] = LABELS.index(label)
    colours = generator.uniform(20, 235, (len(LABELS), 3))
    noise = generator.normal(0, 3, (size, size, 3))
    return np.clip(colours[mask] + noise, 0, 255).astype(np.uint8), mask


def write_portraits(
    folder: Path,
    people: Mapping[str, str],
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]] = drawn_portrait,
) -> None:
    """A portrait ``draw(k)`` under the k-th name of ``people``, name to person."""
    for k, name in enumerate(people):
        image, mask = draw(k)
        write_bytes(folder / "images" / f"{name}.png", encode(Picture(image), "PNG"))
        write_mask(folder / "masks" / f"{name}.png", mask)
    write_people(folder, people)
