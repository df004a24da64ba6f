"""ONNX models on photos: they are as their cards say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deep_onnx.card import Card
from deep_onnx.file import OnnxFile, open_file
from deep_onnx.model import OnnxModel, condition_of, name_of, targets_of
from deep_onnx.session import Session
from deep_onnx.values import centre
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.errors import ModelFileError, UsageError
from pixelreg.faces.align import crop, similarity_from_eyes, similarity_from_square
from pixelreg.faces.locate import Locator
from pixelreg.faces.prepared import Changer, Looked, PreparedWhole
from pixelreg.models.model import Frame
from pixelreg.models.plans import Change, as_unit, to_bytes
from pixelreg.pictures.image import ImageLike, Picture, read
from pixelreg.translator import NO_LIKENESS, Target, Translator

BLENDSHAPES = "blendshapes"
REGRESSOR = "-parameters"  # what follows the model's name in its regressor's
# The networks keep every layer of the whole picture: StarGAN needs over 2 KB for each of its
# pixels, 3.5 GB for this many.
MAX_PIXELS = 1_500_000
TOGETHER = 8  # photos whose crops a network changes at once
MOST_TOGETHER = 32  # the same for graphs of a fixed batch, whatever that is


def load(
    path: Path, *, locator: Locator | None = None, meta: Path | None = None, **options: Any
) -> OnnxTranslator:
    """Load an ONNX file as the translator of its task.

    meta : a JSON file that describes a model of another origin; see `deep_onnx.card.card_of`.
    options : provider, threads, say: see `deep_onnx.session.Session`.
    """
    file = open_file(path, meta)
    module, _, name = file.card.does.translator.partition(":")
    translator: type[OnnxTranslator] = getattr(import_module(module), name)
    return translator.of(file, locator=locator or Locator(), **options)


@dataclass(frozen=True, eq=False)
class OnnxTranslator(Translator):
    """An ONNX model on photos; ``locator`` finds their faces."""

    model: OnnxModel
    locator: Locator = field(default_factory=Locator)

    @classmethod
    def of(cls, file: OnnxFile, *, locator: Locator, **options: Any) -> OnnxTranslator:
        """The translator of a file; see `load`."""
        return cls(OnnxModel.of(file, **options), locator)

    @property
    def name(self) -> str:
        """The model's file."""
        return self.model.name

    @property
    def card(self) -> Card:
        """What the model is."""
        return self.model.card

    @property
    def session(self) -> Session:
        """What runs the model."""
        return self.model.session

    @property
    def source(self) -> str:
        """What the model starts from."""
        return self.card.source

    @property
    def size(self) -> int:
        """Side of the crop in pixels."""
        return self.card.size

    @property
    def frame(self) -> Frame | None:
        """Where the eyes stand in the crop, or None for models that need no face."""
        return self.card.frame

    @property
    def targets(self) -> tuple[str, ...]:
        """The names that a target may take; none for models that change no pictures."""
        return targets_of(self.card)

    @property
    def sliders(self) -> Mapping[str, tuple[float, float]]:
        """The condition's entries, each with its lowest and highest value."""
        if self.card.strength_input:
            return {}  # its condition is a target's number, and nothing between two
        return dict.fromkeys(self.card.condition, self.card.condition_range)

    def canonical(self, target: str) -> str:
        """The model's own name for a target or a synonym of it."""
        self._refuse_other_tasks()
        return name_of(self.card, target)

    def changer(self, target: Target) -> Changer:
        """What a target does to crops; see `Translator.changer`."""
        condition = self._condition(target)
        return Changer(
            lambda crop: self._predicted(condition, crop),
            self.size,
            self.card.masked,
            lambda crops: self._all_predicted(condition, crops),
        )

    def run(self, target: Target, crops: Pixels) -> Pixels:
        """Change pictures (N, S, S, 3) uint8, or of any size where the model takes any.

        A target is a name, all numbers of the condition, or some by name.
        """
        return to_bytes(self.model.predict(self._condition(target), crops))

    @property
    def together(self) -> int:
        """How many pictures share runs: few, as whole photos are held meanwhile."""
        alone = self._whole_way is not None or self.card.colour_output
        return 1 if alone else min(self.model.batch or TOGETHER, MOST_TOGETHER)

    def look(self, picture: Picture, target: Target, path: Path | None = None) -> Looked:
        """Find the faces, or leave the picture whole; see `Translator.look`.

        Models that take whole pictures, but of one size only, get the centre square; those that
        take rectangles get the largest one in the middle, on which they see the picture made as
        large as they need it.
        """
        change, condition = self._whole_way, self._condition(target)
        if change is None:
            return super().look(picture, target, path)
        return Looked((), lambda _: PreparedWhole(picture, change(condition, picture)))

    @property
    def _whole_way(self) -> Callable[[tuple[float, ...], Picture], Floats] | None:
        """How whole pictures are changed, where they are."""
        card = self.card
        if card.placement == "whole" and card.dynamic:
            return self._whole
        return self._rectangle if card.placement != "face" and card.shape else None

    def likeness(self, image: ImageLike) -> dict[str, float]:
        """The blendshape parameters that another picture's face shows.

        They are read by the model's regressor, which ``pixelreg train ocnn`` writes beside it.
        """
        file = Path(self.name).with_name(f"{Path(self.name).stem}{REGRESSOR}.onnx")
        if self.card.target_kind != BLENDSHAPES or not file.is_file():
            raise UsageError(NO_LIKENESS)
        regressor = load(file, provider="cpu")
        regressor.check_measures(self.card.condition)
        pixels = read(image).pixels
        size, frame = regressor.size, regressor.frame
        if frame is not None and pixels.shape[:2] != (size, size):
            eyes = self.locator.anywhere().faces(pixels)[0].eyes
            pixels = crop(pixels, similarity_from_eyes(eyes, frame, size), size)
        elif pixels.shape[:2] != (size, size):
            height, width = pixels.shape[:2]
            pixels = crop(pixels, similarity_from_square(width, height, size), size)
        inputs, _ = regressor.model.inputs((), pixels[None])
        (p,) = np.clip(regressor.model.run(inputs), *self.card.condition_range)
        return dict(zip(self.card.condition, map(float, p), strict=True))

    def check_measures(self, entries: tuple[str, ...]) -> None:
        """Refuse a model that does not measure exactly these parameters."""
        told = self.card.notes.get("entries")
        if self.card.task != "measure" or told != list(entries):
            raise ModelFileError(
                f"{self.name} does not measure {', '.join(entries)}: it belongs to another model"
            )

    def computed_by(self, target: Any, pictures: int = 1) -> str:
        """What runs the model."""
        return f"onnxruntime, {self.session.providers[0]}"

    def describe(self) -> dict[str, Any]:
        """What the model is, what runs it, and where it comes from, ready for JSON."""
        card = self.card
        warm_up = self.model.warm_up() if card.does.changes else None
        return {
            "name": self.name,
            "model": card.architecture,
            "task": card.task,
            "source": card.source,
            "target_kind": card.target_kind,
            "targets": list(self.targets),
            "condition": list(card.condition),
            "condition_range": list(card.condition_range) if card.condition else None,
            "size": card.size,
            "any_size": card.dynamic,
            "multiple": card.multiple,
            "placement": card.placement,
            "frame": None if card.frame is None else asdict(card.frame),
            "parameters": card.parameters or self.session.contents.parameters,
            "opset": self.session.contents.opsets.get("", 0),
            "providers": list(self.session.providers),
            "warm_up_ms": None if warm_up is None else round(1e3 * warm_up, 1),
            **asdict(card.provenance),
            "notes": dict(card.notes),
        }

    def _refuse_other_tasks(self) -> None:
        if self.card.does.refusal:
            raise UsageError(f"{self.name} {self.card.does.refusal}")

    def _condition(self, target: Target) -> tuple[float, ...]:
        self._refuse_other_tasks()
        if self.card.strength_input and not isinstance(target, str):
            raise UsageError(f"{self.name} takes the name of an expression, not {target!r}")
        return condition_of(self.card, target)

    def _predicted(self, condition: tuple[float, ...], crop: Array) -> Change:
        if self.card.colour_output:
            return self.model.change(condition, crop)
        made = self.model.predict(condition, crop[None])[0]
        return Change(made - as_unit(crop))

    def _all_predicted(self, condition: tuple[float, ...], crops: Sequence[Array]) -> list[Change]:
        """`_predicted` of several crops, by few runs where they are of one kind."""
        if self.card.colour_output or len({(crop.shape, crop.dtype) for crop in crops}) != 1:
            return [self._predicted(condition, crop) for crop in crops]
        try:
            made = self.model.predict(condition, np.stack(crops))
        except ModelFileError:  # too much at once, or a graph that only says it takes any number
            return [self._predicted(condition, crop) for crop in crops]
        return [Change(one - as_unit(crop)) for one, crop in zip(made, crops, strict=True)]

    def _whole(self, condition: tuple[float, ...], picture: Picture) -> Floats:
        """The whole picture changed, (H, W, 3) float32 on [0, 1].

        Of a picture too large for the network's memory, a smaller one is changed, and the change
        made larger again: what is finer than the smaller one's pixels stays as it was.
        """
        pixels = picture.pixels
        values = pixels if picture.exact is None else picture.exact
        height, width = pixels.shape[:2]
        factor = (MAX_PIXELS / (height * width)) ** 0.5
        if factor >= 1:
            whole: Floats = self.model.predict(condition, values[None])[0]
            return whole
        sides = max(1, int(height * factor)), max(1, int(width * factor))
        return as_unit(values) + self._resized(condition, pixels, sides)

    def _rectangle(self, condition: tuple[float, ...], picture: Picture) -> Floats:
        """As `_whole`, but changed in the largest rectangle of the network's proportions."""
        pixels = picture.pixels
        values = pixels if picture.exact is None else picture.exact
        sides = self.card.sides
        factor = min(has / needed for has, needed in zip(pixels.shape, sides, strict=False))
        window = centre(pixels.shape[:2], [max(1, round(side * factor)) for side in sides])
        made: Floats = as_unit(values).copy()
        if pixels[window].shape[:2] == sides:
            made[window] = self.model.predict(condition, values[window][None])[0]
        else:
            made[window] += self._resized(condition, pixels[window], sides)
        return made

    def _resized(
        self, condition: tuple[float, ...], pixels: Pixels, sides: tuple[int, int]
    ) -> Floats:
        """What a picture, made to have other sides, changes by, at the size that it had."""
        small = _resize(Image.fromarray(pixels), sides)
        change = self._predicted(condition, small).colour
        larger = [
            _resize(Image.fromarray(np.ascontiguousarray(plane)), pixels.shape[:2])
            for plane in change.transpose(2, 0, 1)
        ]
        return np.stack(larger, axis=-1)


def _resize(image: Image.Image, sides: tuple[int, ...]) -> Array:
    height, width = sides
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
