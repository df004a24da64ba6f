"""The models that a server offers, by name; and one picture changed by one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.faces.prepared import Prepared, PreparedFaces
from pixelreg.pictures.image import encode, read_bytes
from pixelreg.pictures.moving import Moving, encode_moving, read_moving
from pixelreg.pictures.writing import Picture
from pixelreg.server.limits import MEDIA, Deadline, Limits, measured
from pixelreg.server.refusal import Refusal
from pixelreg.translator import Target, Translator, check_strength

NAME = "the picture"
Words: TypeAlias = Mapping[str, Sequence[str]]  # of a request, by parameter


@dataclass(frozen=True)
class Answer:
    """A changed picture's file.

    faces : how many were changed; of animations, in all frames together.
    notes : what has to be said of it.
    """

    content: bytes
    media: str
    faces: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What one request asks for, checked before its picture is read."""

    translator: Translator
    target: Target
    strength: float

    def answer(self, content: bytes, limits: Limits, deadline: Deadline) -> Answer:
        """An encoded picture changed, and encoded as it was."""
        deadline.check()
        media = MEDIA[measured(content, limits, deadline)]
        moving = read_moving(content, NAME)
        if moving is not None:
            return self._all(moving, media, deadline)
        picture = read_bytes(content, NAME)
        deadline.check()
        prepared = self.translator.prepare(picture, self.target)
        deadline.check()
        made = encode(prepared.at(self.strength))
        notes = *picture.notes, *prepared.notes
        if self.translator.taken_as_crop(prepared):
            notes = *notes, "it has the model's own size, and was taken as a face crop"
        return Answer(made, media, _faces(prepared), notes)

    def _all(self, moving: Moving, media: str, deadline: Deadline) -> Answer:
        counts: list[int] = []

        def change(picture: Picture) -> Picture:
            deadline.check()
            prepared = self.translator.prepare(picture, self.target)
            counts.append(_faces(prepared))
            return prepared.at(self.strength)

        made = moving.changed(change)
        content = encode_moving(made, moving.pictures[0].format or "")
        return Answer(content, media, sum(counts), made.told)


@dataclass(frozen=True)
class Menu:
    """Models by name; the first is taken where a request names none."""

    models: Mapping[str, Translator]

    def __post_init__(self) -> None:
        for name, translator in self.models.items():
            if not translator.changes:
                translator.changer("")  # says what else the model does
                raise UsageError(f"{name} changes no pictures")

    @property
    def expressions(self) -> tuple[str, ...]:
        """All that any of the models can make."""
        return tuple(dict.fromkeys(e for model in self.models.values() for e in model.changes))

    def order(self, said: Words) -> Order:
        """What a request's words ask for: expression or slides, strength and model."""
        name = _word(said, "model") or next(iter(self.models))
        if name not in self.models:
            raise UnknownNameError("model", name, self.models)
        translator = self.models[name]
        expression, slides = _word(said, "expression"), said.get("slides", ())
        if slides and expression:
            raise Refusal(422, "expression and slides both say what to make", "give one of them")
        target = _mixture(name, translator, slides) if slides else _named(translator, expression)
        translator.changer(target)  # an unknown name must not wait for the picture
        return Order(translator, target, check_strength(_number(_word(said, "strength") or "1")))

    def facts(self) -> list[dict[str, Any]]:
        """Every model, ready for JSON; where its file lies is nobody's business."""
        return [_facts(name, model) for name, model in self.models.items()]


def _facts(name: str, translator: Translator) -> dict[str, Any]:
    told = translator.describe()
    kept = ("model", "size", "parameters", "licence", "attribution", "training_set")
    return {
        "name": name,
        "source": translator.source,
        "targets": list(translator.changes),
        "sliders": [
            {"name": slider, "lowest": low, "highest": high}
            for slider, (low, high) in translator.sliders.items()
        ],
        **{key: told[key] for key in kept if key in told},
    }


def _word(said: Words, name: str) -> str:
    return said[name][0] if name in said else ""


def _named(translator: Translator, expression: str) -> str:
    """The expression that is asked for, or the only one that there is."""
    known = translator.changes
    if not expression and len(known) != 1:
        raise Refusal(422, "no expression", f"say one of: {', '.join(known)}", known)
    return translator.canonical(expression or known[0])


def _mixture(model: str, translator: Translator, slides: Sequence[str]) -> Mapping[str, float]:
    """What sliders are set to, of a model that has some."""
    if not translator.sliders:
        known = translator.changes
        raise Refusal(422, f"{model} has no sliders", f"say an expression: {', '.join(known)}")
    mixture: dict[str, float] = {}
    for slide in slides:
        name, _, value = slide.partition("=")
        if name in mixture:
            raise Refusal(422, f"slides sets {name[:40]} twice", "set it once")
        mixture[name] = _number(value, f"slides has {slide[:40]!r}", "NAME=0.8")
    return mixture


def _number(text: str, said: str = "", example: str = "1, or 0.5") -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        said = said or f"strength is {text[:40]!r}"
        raise UsageError(f"{said}, and no number; say {example}")
    return number


def _faces(prepared: Prepared) -> int:
    if not isinstance(prepared, PreparedFaces):
        return 0
    return sum(placement.face is not None for placement, _ in prepared.parts)
