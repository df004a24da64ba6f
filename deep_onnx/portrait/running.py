"""Portrait models and face parsers on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_onnx.card import Card
from deep_onnx.model import from_values, to_values
from deep_onnx.opening import open_file
from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.windows import WINDOWED, Centres
from deep_onnx.proto import Contents
from deep_onnx.session import Say, Session
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.errors import InvalidArrayError, ModelFileError

NAMES = tuple(COMPONENTS)
BATCH_PIXELS = 2**17  # in one run: eight portraits of 128 x 128
INPUTS = (
    "image",
    "mask",
    "centres",
    "sources",
    "source_masks",
    "source_centres",
    "invented",
    "noise",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """A portrait as the network takes it.

    Attributes
    ----------
    image : (S, S, 3) uint8.
    mask : (S, S) uint8 labels.
    centres : (6,) int64, see `deep_onnx.portrait.windows`.
    """

    image: Pixels
    mask: Pixels
    centres: Centres


def is_portrait(card: Card, contents: Contents) -> bool:
    """Whether a file is a portrait model of ours."""
    return card.task == "portrait" and {value.name for value in contents.inputs} == set(INPUTS)


@dataclass(frozen=True, eq=False)
class PortraitNetwork:
    """An exported framework; see `deep_onnx.portrait.network.PortraitGraph`.

    Attributes
    ----------
    card : what the file says of itself.
    session : what runs it.
    """

    card: Card
    session: Session

    @property
    def noises(self) -> int:
        """How many numbers an invented look is made of."""
        value = next(v for v in self.session.contents.inputs if v.name == "noise")
        width = value.dims[1] if value.dims else None
        if not isinstance(width, int):
            raise ModelFileError(f"{self.session.name}: the input 'noise' has no fixed width")
        return width

    def portraits(
        self,
        targets: Sequence[Seen],
        looks: Sequence[tuple[Seen, ...]],
        noise: Array | None = None,
    ) -> Floats:
        """Portraits (N, S, S, 3) float32 on [0, 1] of some shapes and backgrounds, in some looks.

        Parameters
        ----------
        targets : N shapes with their backgrounds.
        looks : for each, the five components' portraits.
        noise : (N, K): invent the looks from this instead.
        """
        at_once = max(1, BATCH_PIXELS // self.card.size**2)
        invented = np.full((len(targets), len(NAMES)), 0 if noise is None else 1, np.float32)
        if noise is None:
            noise = np.zeros((len(targets), self.noises), np.float32)
        made = []
        for start in range(0, len(targets), at_once):
            part = slice(start, start + at_once)
            inputs = self._inputs(targets[part], looks[part])
            values = self.session.run({**inputs, "invented": invented[part], "noise": noise[part]})
            if values[0].shape != inputs["image"].shape or not np.isfinite(values[0]).all():
                raise ModelFileError(f"{self.session.name} gives {values[0].shape}, or no numbers")
            made.append(np.clip(from_values(self.card, values[0]), 0.0, 1.0))
        portraits: Floats = np.concatenate(made)
        return portraits

    def _inputs(
        self, targets: Sequence[Seen], looks: Sequence[tuple[Seen, ...]]
    ) -> dict[str, Array]:
        def values(portraits: Sequence[Seen]) -> Array:
            return to_values(self.card, np.stack([each.image for each in portraits]), "float32")

        def masks(portraits: Sequence[Seen]) -> Array:
            return np.stack([each.mask for each in portraits]).astype(np.int64)

        centres = []
        for five in looks:
            # Every window stands where it does in its own portrait.
            own = [five[k].centres[2 * k : 2 * k + 2] for k in range(len(WINDOWED))]
            centres.append(np.concatenate(own))
        return {
            "image": values(targets),
            "mask": masks(targets),
            "centres": np.stack([each.centres for each in targets]),
            "sources": np.stack([values(five) for five in looks]),
            "source_masks": np.stack([masks(five) for five in looks]),
            "source_centres": np.stack(centres),
        }


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
