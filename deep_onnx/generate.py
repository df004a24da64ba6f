"""New pictures from noise, by an ONNX model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deep_onnx.card import Card
from deep_onnx.opening import open_file
from deep_onnx.session import Say
from pixelreg.arrays import Floats, Pixels
from pixelreg.errors import ModelFileError, UsageError

MOST = 4096  # pictures at a time
BATCH = 32


class Generator:
    """A model that makes pictures from noise.

    Parameters
    ----------
    path : the ONNX file.
    provider, threads, say : see `deep_onnx.session.Session`.

    Attributes
    ----------
    card : what the model is.
    session : what runs it.
    """

    def __init__(
        self,
        path: Path,
        provider: str = "auto",
        threads: int | None = None,
        say: Say | None = None,
    ) -> None:
        file = open_file(path)
        self.card: Card = file.card
        if self.card.task != "generate" or self.card.target_kind != "noise":
            raise ModelFileError(
                f"{path} makes no pictures from noise: it is a {self.card.architecture} that does "
                f"{self.card.task!r}; change pictures with: pixelreg apply"
            )
        self.session = file.session(provider, threads, say)
        self.name = file.name

    def noise(self, count: int, seed: int) -> Floats:
        """(count, numbers) float32 from N(0, 1); the first rows do not depend on the count."""
        if not 1 <= count <= MOST:
            raise UsageError(f"the number of pictures must be 1 to {MOST}, not {count}")
        if seed < 0:
            raise UsageError(f"a seed must be 0 or more, not {seed}")
        drawn: Floats = np.random.default_rng(seed).standard_normal(
            (count, len(self.card.condition)), np.float32
        )
        return drawn

    def run(self, noise: Floats) -> Pixels:
        """Pictures from noise.

        Parameters
        ----------
        noise : (N, numbers) float32.

        Returns
        -------
        (N, S, S, 3) uint8, sRGB.
        """
        low, high = self.card.value_range
        parts = []
        for start in range(0, len(noise), BATCH):
            part = np.ascontiguousarray(noise[start : start + BATCH])
            made = self.session.run({self.card.condition_input: part})[0]
            if made.ndim != 4 or made.shape[:2] != (len(part), 3):
                raise ModelFileError(f"{self.name} gives {made.shape}, not pictures (N, 3, H, W)")
            if not np.isfinite(made).all():
                raise ModelFileError(f"{self.name} gives values that are no numbers")
            levels = np.rint((made.astype(np.float64) - low) * (255.0 / (high - low)))
            parts.append(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
        pixels: Pixels = np.concatenate(parts)
        if self.card.colour == "BGR":
            pixels = pixels[..., ::-1]
        return np.ascontiguousarray(pixels)


def generate(path: Path, count: int = 16, seed: int = 0) -> Pixels:
    """Make pictures with an ONNX model, such as one of ``pixelreg train dcgan``.

    Parameters
    ----------
    path : the ONNX file.
    count : how many pictures.
    seed : decides which; picture n is the same whatever the count.

    Returns
    -------
    (count, S, S, 3) uint8.
    """
    generator = Generator(path)
    return generator.run(generator.noise(count, seed))
