"""How near what was exported is to the model: pictures to run it on, and three numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Pixels
from pixelreg.backends import get_backend
from pixelreg.data.synthetic import SMALLEST, draw_face, random_identity
from pixelreg.models.model import Model

STRENGTHS = (0.5, 1.0, 1.5)
PEOPLE, CLOUDS = 4, 2
NOISE = 0.01  # of drawn faces, on [0, 1]
GRAIN = 6.0  # of clouds, in grey levels
COARSE = 5  # numbers a side that a cloud is made of


@dataclass(frozen=True)
class Difference:
    """Between two sets of pictures.

    largest : in grey levels.
    share : of the numbers that are more than one grey level apart.
    decibels : PSNR of all together; infinite where they are equal.
    """

    largest: int
    share: float
    decibels: float


def difference(made: Pixels, wanted: Pixels) -> Difference:
    """How far apart pictures are."""
    apart = np.abs(made.astype(np.int16) - wanted)
    square = float((apart.astype(np.float64) ** 2).mean())
    decibels = float("inf") if square == 0 else float(10 * np.log10(255.0**2 / square))
    return Difference(int(apart.max()), float((apart > 1).mean()), decibels)


def compared(
    model: Model,
    run: Callable[[str, Pixels, float], Pixels],
    pictures: Pixels | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
) -> Difference:
    """What ``run`` makes of pictures, against `pixelreg apply` with NumPy, over all targets.

    run : from a target, (N, S, S, 3) uint8 and a strength to what was made of them.
    pictures : the pictures; `vectors` where none are given.
    """
    given = vectors(model.size) if pictures is None else pictures
    backend = get_backend("numpy")
    each = [(name, strength) for name in model.plans for strength in strengths]
    made = np.stack([run(name, given, strength) for name, strength in each])
    wanted = np.stack([backend.apply(model.plans[name], given, by) for name, by in each])
    return difference(made, wanted)


@cache
def vectors(size: int) -> Pixels:
    """Pictures that stand for photos: drawn faces, and clouds over all grey levels, with grain.

    Returns: (6, size, size, 3) uint8, the same at every call.
    """
    finer = -(-SMALLEST // size)
    faces = [_face(seed, size * finer, finer) for seed in range(PEOPLE)]
    rng = np.random.default_rng(0)
    clouds = [_cloud(rng, size) for _ in range(CLOUDS)]
    made = np.stack([*faces, *clouds])
    made.flags.writeable = False
    return made


def _face(seed: int, size: int, finer: int) -> Pixels:
    drawn = draw_face(random_identity(seed), size=size, noise=NOISE, seed=seed)
    return np.asarray(Image.fromarray(drawn).reduce(finer)) if finer > 1 else drawn


def _cloud(rng: np.random.Generator, size: int) -> Pixels:
    coarse = rng.uniform(-40, 295, (COARSE, COARSE, 3)).astype(np.float32)
    planes: list[Array] = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC))
        for plane in np.moveaxis(coarse, 2, 0)
    ]
    smooth = np.stack(planes, axis=-1) + rng.normal(0, GRAIN, (size, size, 3))
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
