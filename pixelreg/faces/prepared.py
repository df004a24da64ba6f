"""Pictures between finding their faces and giving them back: looked at, changed, at a strength."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from pixelreg.arrays import Floats
from pixelreg.faces.align import crop
from pixelreg.faces.locate import Placement
from pixelreg.faces.paste import face_mask, paste_change
from pixelreg.models.plans import Change
from pixelreg.pictures.image import Picture

# What a model does to a crop: a change that strength scales, or what makes one at a strength.
ChangeAt: TypeAlias = "Change | Callable[[float], Change]"


class Prepared(ABC):
    """A picture whose change is known, to be given back at any strength."""

    picture: Picture
    notes: tuple[str, ...] = ()  # what was left alone, and why

    @abstractmethod
    def at(self, strength: float) -> Picture:
        """The picture changed by ``strength``; 0 gives it back bit for bit."""


@dataclass(frozen=True, eq=False)
class PreparedFaces(Prepared):
    """A picture whose faces are found; ``parts`` says what is done to each crop.

    loops : what pastes with, see `pixelreg.faces.paste.paste_change`.
    """

    picture: Picture
    parts: tuple[tuple[Placement, ChangeAt], ...]
    notes: tuple[str, ...] = ()
    loops: Any = None

    def at(self, strength: float) -> Picture:
        """The picture with its faces changed by ``strength``; 0 gives it back bit for bit."""
        picture = self.picture
        if strength == 0:
            return picture
        values: Any = picture.pixels if picture.exact is None else picture.exact
        for placement, change in self.parts:
            if isinstance(change, Change):
                values = paste_change(values, change, placement.similarity, strength)
            else:
                made = change(strength)
                values = paste_change(values, made, placement.similarity, loops=self.loops)
        return _like(picture, values)


@dataclass(frozen=True, eq=False)
class PreparedWhole(Prepared):
    """A picture changed all over; ``made`` is it at strength 1, (H, W, 3) float32 on [0, 1]."""

    picture: Picture
    made: Floats

    def at(self, strength: float) -> Picture:
        """x + s (y - x), clipped; 0 gives the picture back bit for bit."""
        picture = self.picture
        if strength == 0:
            return picture
        exact = picture.exact
        before = picture.pixels / np.float32(255) if exact is None else exact
        values = np.clip(before + np.float32(strength) * (self.made - before), 0.0, 1.0)
        if exact is None:
            return _like(picture, np.rint(values * 255.0).astype(np.uint8))
        return _like(picture, values.astype(exact.dtype))


@dataclass(frozen=True)
class Changer:
    """One target of a model, ready to run.

    Attributes
    ----------
    change : from a crop, (S, S, 3) uint8 or float in [0, 1], to what is done to it.
    size : side of the crop in pixels.
    masked : whether the change fades out around the face by itself.
    changes : the same of several crops at once; None for one after the other.
    """

    change: Callable[[Any], Change]
    size: int
    masked: bool = False
    changes: Callable[[Sequence[Any]], Sequence[Change]] | None = None

    def __call__(self, crop: Any, is_face: bool) -> Change:
        """The change of a crop; that of a face is kept inside the face."""
        return self._inside(self.change(crop), is_face)

    def all(self, seen: Sequence[tuple[Any, bool]]) -> list[Change]:
        """The changes of crops, each with whether it is a face."""
        crops = [crop for crop, _ in seen]
        made = map(self.change, crops) if self.changes is None else self.changes(crops)
        return [self._inside(change, face) for change, (_, face) in zip(made, seen, strict=True)]

    def _inside(self, change: Change, is_face: bool) -> Change:
        return change.masked(face_mask(self.size)) if is_face and not self.masked else change


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture whose faces are found; nothing is changed yet.

    seen : what the model is to change, each with whether it is a face.
    finish : from the changes of all that is seen to the picture, ready for any strength.
    """

    seen: Sequence[tuple[Any, bool]]
    finish: Callable[[Sequence[Change]], Prepared]


def crop_of(picture: Picture, placement: Placement, size: int) -> Any:
    """What the model sees; a float array that is a crop already is not rounded to grey levels."""
    exact = picture.exact
    if placement.face is None and exact is not None and exact.shape == (size, size, 3):
        return exact
    return crop(picture.pixels, placement.similarity, size)


def _like(picture: Picture, values: Any) -> Picture:
    """The picture with other values, of the type that it holds."""
    if picture.exact is None:
        return picture.with_pixels(values)
    return replace(picture, pixels=np.rint(values * 255.0).astype(np.uint8), exact=values)
