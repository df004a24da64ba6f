"""An ONNX model on arrays: pictures of pictures, and pictures from noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep_onnx.card import CHANNELS_LAST, Card
from deep_onnx.file import OnnxFile, open_file
from deep_onnx.session import Session
from deep_onnx.values import (
    arranged,
    centre,
    filled,
    from_values,
    in_colour,
    pad,
    planes,
    to_values,
)
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.data.expressions import canonical, in_order
from pixelreg.errors import InvalidArrayError, ModelFileError, UnknownNameError, UsageError
from pixelreg.models.plans import Change, as_unit
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
        padded for the network and cut again. Of squares, a network for rectangles changes the
        middle.
        """
        if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
            raise InvalidArrayError(f"pictures must be (N, H, W, 3), not {pictures.shape}")
        rows, columns = self._window(*pictures.shape[1:3])
        made = np.empty(pictures.shape, np.float32)
        if pictures[:, rows, columns].shape != pictures.shape:
            made[:] = as_unit(pictures)
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        count = self.batch or max(1, BATCH_PIXELS // pixels)
        for start in range(0, len(pictures), count):
            part = np.s_[start : start + count, rows, columns]
            made[part] = self._batch(condition, pictures[part])
        return made

    def change(self, condition: Sequence[float], picture: Array) -> Change:
        """What a model that says so does to one picture (S, S, 3), apart from the picture."""
        card = self.card
        inputs, _ = self.inputs(condition, picture[None])
        names = [value.name for value in self.session.contents.outputs]
        made = dict(zip(names, self.session.run(inputs), strict=True))
        colour, moved = made[card.colour_output], made.get(card.displacement_output)
        if colour.shape != (1, *picture.shape) or (
            moved is not None and moved.shape != (*picture.shape[:2], 2)
        ):
            raise ModelFileError(f"{self.name} gives changes of another size than its pictures")
        if not all(np.isfinite(each).all() for each in (colour, moved) if each is not None):
            raise ModelFileError(f"{self.name} gives values that are not finite")
        return Change(colour[0], moved)

    def _window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a picture that the network takes."""
        card = self.card
        if card.dynamic or (height, width) == card.sides:
            return slice(0, height), slice(0, width)
        if card.shape and height == width == card.size:
            return centre((height, width), card.sides)
        rows, columns = card.sides
        raise InvalidArrayError(
            f"this model takes pictures of {columns} x {rows} pixels, not {width} x {height}"
        )

    def noise(self, count: int, seed: int) -> Floats:
        """(count, numbers) float32 from N(0, 1); the first rows do not depend on the count."""
        if not 1 <= count <= MOST:
            raise UsageError(f"the number of pictures must be 1 to {MOST}, not {count}")
        if seed < 0:
            raise UsageError(f"a seed must be 0 or more, not {seed}")
        return np.random.default_rng(seed).standard_normal(
            (count, len(self.card.condition)), np.float32
        )

    def invent(self, noise: Floats) -> Pixels:
        """Pictures (N, S, S, 3) uint8 from noise (N, numbers) float32."""
        card = self.card
        low, high = card.output_range or card.value_range
        parts, batch = [], self._fixed(card.condition_input)
        for start in range(0, len(noise), batch or BATCH):
            part = np.ascontiguousarray(noise[start : start + (batch or BATCH)])
            given = self.run({card.condition_input: filled(part, batch)})
            last = card.layout == CHANNELS_LAST or given.shape[1:2] not in ((1,), (3,))
            sides = given.shape[1:3] if last else given.shape[2:]
            made = planes(card, given, sides)
            if made is None or len(made) < len(part):
                raise ModelFileError(f"{self.name} gives {given.shape}, not pictures (N, 3, H, W)")
            levels = np.rint((made[: len(part)].astype(np.float64) - low) * (255.0 / (high - low)))
            parts.append(in_colour(card, np.clip(levels, 0, 255).astype(np.uint8)))
        pixels: Pixels = np.concatenate(parts)
        return np.ascontiguousarray(pixels)

    def warm_up(self) -> float:
        """Seconds that the first run took; on black, where there was none yet."""
        if self.session.warm_up_s is None:
            black = np.zeros((1, *self.card.sides, 3), np.uint8)
            self._batch((0.0,) * len(self.card.condition), black)
        return self.session.warm_up_s or 0.0

    @property
    def batch(self) -> int | None:
        """How many pictures the graph takes at a time; None for any number."""
        return self._fixed(self.card.image_input)

    def _fixed(self, name: str) -> int | None:
        """The batch that an input must have; None for any."""
        dims = self._dims(name)
        return dims[0] if dims and isinstance(dims[0], int) else None

    def _dims(self, name: str) -> tuple[int | str | None, ...] | None:
        return next(value.dims for value in self.session.contents.inputs if value.name == name)

    def inputs(
        self, condition: Sequence[float], pictures: Array
    ) -> tuple[dict[str, Array], tuple[slice, ...]]:
        """What the graph takes for some pictures, and where they lie in it."""
        card = self.card
        elements = {value.name: value.element for value in self.session.contents.inputs}
        values, inside = pad(to_values(card, pictures, elements[card.image_input]), card.multiple)
        inputs = {card.image_input: arranged(card, values, self._fixed(card.image_input))}
        if card.condition_input:
            batch = len(inputs[card.image_input])
            numbers = np.array([condition] * batch, elements[card.condition_input])
            dims = self._dims(card.condition_input)
            # One number for all, one for each picture, or several.
            ways: dict[int, Array] = {0: numbers[:1, 0].reshape(()), 1: numbers[:, 0]}
            inputs[card.condition_input] = ways.get(2 if dims is None else len(dims), numbers)
        if card.strength_input:
            inputs[card.strength_input] = np.array(1, elements[card.strength_input])
        return inputs, inside

    def _batch(self, condition: Sequence[float], pictures: Array) -> Floats:
        inputs, inside = self.inputs(condition, pictures)
        given, values = self.run(inputs), inputs[self.card.image_input]
        last = self.card.layout == CHANNELS_LAST
        made = planes(self.card, given, values.shape[1:3] if last else values.shape[2:])
        if made is None or len(made) != len(values):
            raise ModelFileError(
                f"{self.name} gives {given.shape} for pictures of {values.shape}; "
                "the multiple that its description names may be wrong"
            )
        return from_values(self.card, made[inside][: len(pictures)])


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
    except (TypeError, ValueError, OverflowError):
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
