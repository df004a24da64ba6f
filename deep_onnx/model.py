"""An ONNX model on arrays: pictures of pictures, and pictures from noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep_onnx.card import Card
from deep_onnx.file import OnnxFile, open_file
from deep_onnx.session import Session
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.data.expressions import canonical, in_order
from pixelreg.errors import InvalidArrayError, ModelFileError, UnknownNameError, UsageError
from pixelreg.translator import Target

BATCH_PIXELS = 2**19  # in one run: 32 pictures of 128 x 128
MOST = 4096  # pictures from noise at a time
BATCH = 32


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """An ONNX model on arrays."""

    card: Card
    session: Session

    @classmethod
    def of(cls, file: OnnxFile, **options: Any) -> OnnxModel:
        """A file, ready to run; ``options`` are those of `deep_onnx.session.Session`."""
        return cls(file.card, Session(file.contents, **options))

    @property
    def name(self) -> str:
        """What stands for the model in messages."""
        return self.session.contents.name

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """The card's output of the graph; every input by name, in its type and shape."""
        outputs = [value.name for value in self.session.contents.outputs]
        made = self.session.run(inputs)[outputs.index(self.card.output)]
        if not np.isfinite(made).all():
            raise ModelFileError(f"{self.name} gives values that are not finite")
        return made

    def predict(self, condition: Sequence[float], pictures: Array) -> Floats:
        """Change pictures (N, H, W, 3), uint8 or float in [0, 1], by one number an entry.

        They come back float32 on [0, 1], unclipped. Sides that are no multiples of the card's are
        padded for the network and cut again.
        """
        card = self.card
        if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
            raise InvalidArrayError(f"pictures must be (N, H, W, 3), not {pictures.shape}")
        height, width = pictures.shape[1:3]
        if not card.dynamic and (height, width) != (card.size, card.size):
            raise InvalidArrayError(
                f"this model takes pictures of {card.size} x {card.size} pixels, "
                f"not {width} x {height}"
            )
        made = np.empty(pictures.shape, np.float32)
        count = self._at_once(height * width)
        for start in range(0, len(pictures), count):
            part = np.s_[start : start + count]
            made[part] = self._batch(condition, pictures[part])
        return made

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

    def invent(self, noise: Floats) -> Pixels:
        """Pictures (N, S, S, 3) uint8 from noise (N, numbers) float32."""
        low, high = self.card.value_range
        parts = []
        for start in range(0, len(noise), BATCH):
            part = np.ascontiguousarray(noise[start : start + BATCH])
            made = self.run({self.card.condition_input: part})
            if made.ndim != 4 or made.shape[:2] != (len(part), 3):
                raise ModelFileError(f"{self.name} gives {made.shape}, not pictures (N, 3, H, W)")
            levels = np.rint((made.astype(np.float64) - low) * (255.0 / (high - low)))
            parts.append(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
        pixels: Pixels = np.concatenate(parts)
        if self.card.colour == "BGR":
            pixels = pixels[..., ::-1]
        return np.ascontiguousarray(pixels)

    def warm_up(self) -> float:
        """Seconds that the first run took; on black, where there was none yet."""
        if self.session.warm_up_s is None:
            size = self.card.size
            black = np.zeros((1, size, size, 3), np.uint8)
            self._batch((0.0,) * len(self.card.condition), black)
        return self.session.warm_up_s or 0.0

    def _at_once(self, pixels: int) -> int:
        image = next(v for v in self.session.contents.inputs if v.name == self.card.image_input)
        return 1 if image.dims and image.dims[0] == 1 else max(1, BATCH_PIXELS // pixels)

    def inputs(
        self, condition: Sequence[float], pictures: Array
    ) -> tuple[dict[str, Array], tuple[slice, ...]]:
        """What the graph takes for some pictures, and where they lie in it."""
        card = self.card
        elements = {value.name: value.element for value in self.session.contents.inputs}
        values, inside = pad(to_values(card, pictures, elements[card.image_input]), card.multiple)
        inputs = {card.image_input: values}
        if card.condition_input:
            numbers = np.array([condition] * len(values), elements[card.condition_input])
            inputs[card.condition_input] = numbers
        return inputs, inside

    def _batch(self, condition: Sequence[float], pictures: Array) -> Floats:
        inputs, inside = self.inputs(condition, pictures)
        made, shape = self.run(inputs), inputs[self.card.image_input].shape
        if made.shape != shape:
            raise ModelFileError(
                f"{self.name} gives {made.shape} for pictures of {shape}; "
                "the multiple that its description names may be wrong"
            )
        return from_values(self.card, made[inside])


def open_generator(path: Path, **options: Any) -> OnnxModel:
    """A model that makes pictures from noise; see `OnnxModel.of`."""
    file = open_file(path)
    card = file.card
    if card.task != "generate" or card.target_kind != "noise":
        raise ModelFileError(
            f"{path} makes no pictures from noise: it is a {card.architecture} that does "
            f"{card.task!r}; change pictures with: pixelreg apply"
        )
    return OnnxModel.of(file, **options)


def to_values(card: Card, pictures: Array, element: str) -> Array:
    """Pictures (N, H, W, 3), uint8 or float in [0, 1], as the graph takes them.

    They become (N, 3, H, W) of NumPy's type ``element``, contiguous, in the card's order of colours
    and on its scale.
    """
    low, high = card.value_range
    most = 255.0 if pictures.dtype == np.uint8 else 1.0
    values = pictures.astype(np.float32) * np.float32((high - low) / most) + np.float32(low)
    if card.colour == "BGR":
        values = values[..., ::-1]
    if element == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=element)


def from_values(card: Card, values: Array) -> Floats:
    """(N, 3, H, W) as the graph gives it -> (N, H, W, 3) float32 on [0, 1], unclipped."""
    low, high = card.value_range
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    pictures: Floats = scaled.transpose(0, 2, 3, 1)
    return pictures[..., ::-1] if card.colour == "BGR" else pictures


def pad(values: Array, multiple: int) -> tuple[Array, tuple[slice, ...]]:
    """(..., H, W) with both sides whole multiples, its borders mirrored, and where the old lies."""
    margins, inside = [(0, 0)] * (values.ndim - 2), [slice(None)] * (values.ndim - 2)
    for side in values.shape[-2:]:
        more = -side % multiple
        margins.append((more // 2, more - more // 2))
        inside.append(slice(more // 2, more // 2 + side))
    if not any(map(any, margins)):
        return values, tuple(inside)
    return np.pad(values, margins, mode="reflect"), tuple(inside)


def targets_of(card: Card) -> tuple[str, ...]:
    """The names of a card's targets: expressions in their usual order, others by alphabet."""
    return tuple(in_order(set(card.targets)))


def name_of(card: Card, target: str) -> str:
    """The card's own name for a target: the same, or one that means the same."""
    known = {canonical(name): name for name in card.targets}
    name = target if target in card.targets else known.get(canonical(target))
    if name is None:
        raise UnknownNameError("target", target, targets_of(card))
    return name


def condition_of(card: Card, target: Target) -> tuple[float, ...]:
    """The values of the condition input, one for every entry; none where the network takes none.

    A target is a name or a synonym of one; all values in order; or some by the entries' names, the
    others as in the card's vector for its source, or 0 where it has none.
    """
    if isinstance(target, str):
        return card.targets[name_of(card, target)]
    if not card.condition:
        raise UsageError(
            f"this model takes no numbers; ask for one of: {', '.join(targets_of(card))}"
        )
    if isinstance(target, Mapping):
        return _over_source(card, target)
    return _checked(card, target)


def _over_source(card: Card, given: Mapping[str, float]) -> tuple[float, ...]:
    start = card.targets.get(card.source, (0.0,) * len(card.condition))
    values = dict(zip(card.condition, start, strict=True))
    entries = {entry.lower(): entry for entry in card.condition}
    for name, value in given.items():
        entry = name if name in values else entries.get(str(name).lower())
        if entry is None:
            raise UnknownNameError("number", str(name), card.condition)
        values[entry] = value
    return _checked(card, values.values())


def _checked(card: Card, given: Iterable[float] | Sequence[float]) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        raise UsageError(
            f"{given!r} is no target: give a name, {len(card.condition)} numbers, or some by name"
        ) from None
    if len(values) != len(card.condition):
        raise UsageError(
            f"this model takes {len(card.condition)} numbers "
            f"({', '.join(card.condition)}), not {len(values)}"
        )
    low, high = card.condition_range
    for entry, value in zip(card.condition, values, strict=True):
        if not math.isfinite(value) or not low <= value <= high:
            raise UsageError(f"{entry} = {value:g} is out of range: {low:g} to {high:g}")
    return values
