"""Finding the parts of a face: the parser that is trained with a portrait model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deep_onnx.card import Card
from deep_onnx.opening import open_file
from deep_onnx.padding import to_values
from deep_onnx.portrait.labels import LABELS
from deep_onnx.session import Say
from pixelreg.arrays import Floats, Pixels
from pixelreg.errors import InvalidArrayError, ModelFileError

SUFFIX = "-parser"  # of the file beside a portrait model's
BATCH = 8


def parser_beside(model: Path) -> Path:
    """Where the parser of a portrait model lies."""
    return model.with_name(f"{model.stem}{SUFFIX}.onnx")


class Parser:
    """A face parser.

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
        self.name = file.name
        if self.card.task != "parse":
            raise ModelFileError(
                f"{path} finds no parts of faces: it is a {self.card.architecture}"
            )
        self.session = file.session(provider, threads, say)

    def shares(self, crops: Pixels) -> Floats:
        """Crops (N, S, S, 3) uint8 -> (N, 11, S, S) float32: how likely every label is."""
        card, size = self.card, self.card.size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise InvalidArrayError(f"the parser takes (N, {size}, {size}, 3), not {crops.shape}")
        made = []
        for start in range(0, len(crops), BATCH):
            values = to_values(card, crops[start : start + BATCH], "float32")
            found = self.session.run({card.image_input: values})[0]
            if found.shape != (len(values), len(LABELS), size, size) or np.isnan(found).any():
                raise ModelFileError(f"{self.name} gives {found.shape}, not shares of labels")
            made.append(found)
        shares: Floats = np.concatenate(made)
        return shares

    def masks(self, crops: Pixels) -> Pixels:
        """Crops (N, S, S, 3) uint8 -> (N, S, S) uint8 labels."""
        labels: Pixels = self.shares(crops).argmax(axis=1).astype(np.uint8)
        return labels
