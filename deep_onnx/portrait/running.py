"""Portrait models and face parsers on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep_onnx.file import OnnxFile, open_file
from deep_onnx.model import OnnxModel
from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.windows import WINDOWED, Centres
from deep_onnx.values import from_values, to_values
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.errors import InvalidArrayError, ModelFileError

TASK = "portrait"
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

    image : (S, S, 3) uint8.
    mask : (S, S) uint8 labels.
    centres : (6,) int64, see `deep_onnx.portrait.windows`.
    """

    image: Pixels
    mask: Pixels
    centres: Centres


def is_portrait(file: OnnxFile) -> bool:
    """Whether a file is a portrait model of ours."""
    names = {value.name for value in file.contents.inputs}
    return file.card.task == TASK and names == set(INPUTS)


@dataclass(frozen=True, eq=False)
class PortraitNetwork:
    """An exported framework; see `deep_onnx.portrait.network.PortraitGraph`."""

    model: OnnxModel

    @property
    def noises(self) -> int:
        """How many numbers an invented look is made of."""
        value = next(v for v in self.model.session.contents.inputs if v.name == "noise")
        width = value.dims[1] if value.dims else None
        if not isinstance(width, int):
            raise ModelFileError(f"{self.model.name}: the input 'noise' has no fixed width")
        return width

    def portraits(
        self,
        targets: Sequence[Seen],
        looks: Sequence[tuple[Seen, ...]],
        noise: Array | None = None,
    ) -> Floats:
        """Portraits (N, S, S, 3) float32 on [0, 1] of some shapes and backgrounds, in some looks.

        looks : for each, the five components' portraits.
        noise : (N, K): invent the looks from this instead.
        """
        at_once = max(1, BATCH_PIXELS // self.model.card.size**2)
        invented = np.full((len(targets), len(NAMES)), 0 if noise is None else 1, np.float32)
        if noise is None:
            noise = np.zeros((len(targets), self.noises), np.float32)
        made = []
        for start in range(0, len(targets), at_once):
            part = slice(start, start + at_once)
            inputs = self._inputs(targets[part], looks[part])
            values = self.model.run({**inputs, "invented": invented[part], "noise": noise[part]})
            if values.shape != inputs["image"].shape:
                raise ModelFileError(f"{self.model.name} gives {values.shape}, not pictures")
            made.append(np.clip(from_values(self.model.card, values), 0.0, 1.0))
        return np.concatenate(made)

    def _inputs(
        self, targets: Sequence[Seen], looks: Sequence[tuple[Seen, ...]]
    ) -> dict[str, Array]:
        def values(portraits: Sequence[Seen]) -> Array:
            return to_values(
                self.model.card, np.stack([each.image for each in portraits]), "float32"
            )

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


@dataclass(frozen=True, eq=False)
class Parser:
    """A face parser."""

    model: OnnxModel

    def shares(self, crops: Pixels) -> Floats:
        """Crops (N, S, S, 3) uint8 -> (N, 11, S, S) float32: how likely every label is."""
        card, size = self.model.card, self.model.card.size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise InvalidArrayError(f"the parser takes (N, {size}, {size}, 3), not {crops.shape}")
        made = []
        for start in range(0, len(crops), BATCH):
            values = to_values(card, crops[start : start + BATCH], "float32")
            found = self.model.run({card.image_input: values})
            if found.shape != (len(values), len(LABELS), size, size):
                raise ModelFileError(f"{self.model.name} gives {found.shape}, not shares of labels")
            made.append(found)
        return np.concatenate(made)

    def masks(self, crops: Pixels) -> Pixels:
        """Crops (N, S, S, 3) uint8 -> (N, S, S) uint8 labels."""
        return self.shares(crops).argmax(axis=1).astype(np.uint8)


def open_parser(path: Path, **options: Any) -> Parser:
    """A face parser's file; ``options`` are those of `deep_onnx.session.Session`."""
    file = open_file(path)
    if file.card.task != "parse":
        raise ModelFileError(f"{path} finds no parts of faces: it is a {file.card.architecture}")
    return Parser(OnnxModel.of(file, **options))
