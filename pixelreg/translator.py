"""Models on photos: find the face, let the model change its crop, give the change back."""

from __future__ import annotations

import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, overload

from PIL.Image import Image

from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend, plan_work
from pixelreg.backends.array import ArrayBackend
from pixelreg.data.expressions import canonical
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator, Placement
from pixelreg.faces.prepared import (
    Changer,
    Looked,
    Prepared,
    PreparedFaces,
    crop_of,
)
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import Plan
from pixelreg.pictures.image import ImageLike, Opened, Picture, read, restore, unchanged
from pixelreg.pictures.moving import Moving, encode_moving, read_moving
from pixelreg.pictures.stacks import Kept, stack_of

if TYPE_CHECKING:  # of videos alone
    from pixelreg.faces.followed import Followed, Laid, OneFace

# A name; or, for models that take numbers, all of them in order, or some by name.
Target: TypeAlias = "str | Sequence[float] | Mapping[str, float]"
MAX_STRENGTH = 10.0
NO_LIKENESS = (
    "only the rig, and an OCNN with its -parameters.onnx beside it, take an expression from "
    "another face: leave out --model, or say rig"
)


class Translator(ABC):
    """A loaded model, closed-form or deep: pictures in, pictures of the same kind out.

    What a model must give is abstract here; the way from photo to crop and back is the same for
    all.

    Attributes
    ----------
    locator : how faces are found in photos.
    takes_crops : whether a picture of the model's own size is taken as a crop.
    """

    locator: Locator
    takes_crops: ClassVar[bool] = True

    @property
    def together(self) -> int:
        """How many pictures are changed by runs in common; what is no network gains nothing."""
        return 1

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The names that a target may take."""

    @property
    @abstractmethod
    def source(self) -> str:
        """The expression that the model starts from."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of the crop in pixels."""

    @property
    @abstractmethod
    def frame(self) -> Frame | None:
        """Where the eyes stand in the crop, or None for pictures without faces."""

    @abstractmethod
    def changer(self, target: Target) -> Changer:
        """What a target does to crops."""

    @abstractmethod
    def run(self, target: Target, crops: Pixels) -> Pixels:
        """Change crops of the model's own size, (N, S, S, 3) uint8 in and out."""

    @abstractmethod
    def computed_by(self, target: Target, pictures: int = 1) -> str:
        """The name of what computes a target for so many pictures at once."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Parameters, bytes, settings and provenance of the model, ready for JSON."""

    @property
    def changes(self) -> tuple[str, ...]:
        """The targets but the source, which pictures show already."""
        return tuple(target for target in self.targets if target != self.source)

    @property
    def sliders(self) -> Mapping[str, tuple[float, float]]:
        """The numbers that a target may set, each with its lowest and highest value."""
        return {}

    @property
    def file_bytes(self) -> int | None:
        """Bytes of the file of a model that comes along by its name alone; None for others."""
        return None

    def canonical(self, target: str) -> str:
        """The model's own name for a target or a synonym of it."""
        return target if target in self.targets else canonical(target)

    @overload
    def translate(self, image: Opened, target: Target, strength: float = 1.0) -> Image: ...
    @overload
    def translate(self, image: Kept, target: Target, strength: float = 1.0) -> Kept: ...

    def translate(self, image: Any, target: Target, strength: float = 1.0) -> Any:
        """Change ``image`` to ``target``.

        Parameters
        ----------
        image : a path, encoded bytes, an open binary file, a PIL image, or an array (H, W[, C])
            uint8, uint16 or float in [0, 1]; several as an array (N, H, W, C); or a tensor of
            PyTorch, channels first.
        target : one of `targets`, or a synonym of one; numbers for models that take them.
        strength : s in x + s (y - x); 0 gives the input bit for bit.

        Returns
        -------
        The same kind of thing and the same size; a path or an open file gives a PIL image, whose
        ``info`` holds the colour profile and the metadata. Of bytes that are an animation, or
        pages, every picture is changed; elsewhere the first, which a warning tells.

        Raises
        ------
        UnknownNameError
            If the model has no such target.
        ImageError, InvalidArrayError, FaceError
            If the image cannot be read, or no face is found in it.
        """
        if (stack := stack_of(image)) is not None:
            return stack.restored(self.translate_batch(stack, target, strength))
        if isinstance(image, bytes) and strength != 0:
            moving = read_moving(image, "the picture")
            if moving is not None:
                return self._translate_moving(moving, target, strength)
        picture = read(image)
        changed = self.translate_picture(picture, target, strength, _path_of(image))
        return _restored(image, picture, changed)

    def _translate_moving(self, moving: Moving, target: Target, strength: float) -> bytes:
        made = moving.changed(lambda picture: self.translate_picture(picture, target, strength))
        for note in made.told:
            warnings.warn(note, stacklevel=3)
        return encode_moving(made, moving.pictures[0].format or "")

    @overload
    def translate_batch(
        self, images: Iterable[Kept], target: Target, strength: float = 1.0
    ) -> list[Kept]: ...
    @overload
    def translate_batch(
        self, images: Iterable[Opened], target: Target, strength: float = 1.0
    ) -> list[Image]: ...

    def translate_batch(
        self, images: Iterable[Any], target: Target, strength: float = 1.0
    ) -> list[Any]:
        """`translate` for several images: any iterable of them, or an array (N, H, W, C)."""
        if self.together == 1:
            return [self.translate(image, target, strength) for image in images]
        made, rest = [], iter(images)
        while group := list(islice(rest, self.together)):
            made += self._together(group, target, strength)
        return made

    def _together(self, images: Sequence[Any], target: Target, strength: float) -> list[Any]:
        """Some images changed: those that are one picture each by runs in common."""
        pictures = [read(image) if _is_one(image) else None for image in images]
        pairs = list(zip(images, pictures, strict=True))
        looked = [self.look(one, target, _path_of(image)) for image, one in pairs if one]
        ready = iter(self.finished(looked, target))
        share = check_strength(strength)
        return [
            self.translate(image, target, strength)
            if picture is None
            else _restored(image, picture, next(ready).at(share))
            for image, picture in pairs
        ]

    def translate_picture(
        self, picture: Picture, target: Target, strength: float = 1.0, path: Path | None = None
    ) -> Picture:
        """`translate` for a `Picture`; ``path`` is its file, beside which landmarks may lie."""
        return self.prepare(picture, target, path).at(check_strength(strength))

    def prepare(self, picture: Picture, target: Target, path: Path | None = None) -> Prepared:
        """Find the faces and their changes once, to be given back at any strength."""
        return self.finished([self.look(picture, target, path)], target)[0]

    def look(self, picture: Picture, target: Target, path: Path | None = None) -> Looked:
        """Find the faces of a picture, and cut out what the model is to see."""
        size, places = self.changer(target).size, self.place(picture.pixels, path)
        seen = [(crop_of(picture, place, size), place.face is not None) for place in places]
        return Looked(
            seen, lambda made: PreparedFaces(picture, tuple(zip(places, made, strict=True)))
        )

    def finished(self, looked: Sequence[Looked], target: Target) -> list[Prepared]:
        """The changes of pictures that were looked at: of all at once, where the model can."""
        seen = [each for one in looked for each in one.seen]
        made = iter(self.changer(target).all(seen))
        return [one.finish([next(made) for _ in one.seen]) for one in looked]

    def following(self, target: Target) -> Callable[[], OneFace]:
        """Makes for every face of a video what changes it from frame to frame.

        Parameters
        ----------
        target : one of `targets`, or a synonym of one; numbers for models that take them.
        """
        from pixelreg.faces.followed import Laid

        changer = self.changer(target)

        def look(seen: Followed) -> Callable[[], Laid]:
            crop = seen.frame.crop(seen.similarity, changer.size)
            return lambda: Laid(changer(crop, True), seen.similarity, seen.strength)

        return lambda: look

    def likeness(self, image: ImageLike) -> dict[str, float]:
        """The expression of another picture's face, as a target; rigs and OCNNs can read it.

        Parameters
        ----------
        image : a path, encoded bytes, a PIL image, or an array (H, W[, C]) uint8 or float in
            [0, 1].

        Raises
        ------
        UsageError
            If the model cannot.
        ImageError, FaceError
            If the image cannot be read, or no face is found in it.
        """
        raise UsageError(NO_LIKENESS)

    def ready(self, picture: Picture, path: Path | None = None) -> Callable[[Target], Prepared]:
        """`prepare` for several targets of one picture; who can finds its faces but once."""
        return lambda target: self.prepare(picture, target, path)

    def taken_as_crop(self, prepared: Prepared) -> bool:
        """Whether its size alone makes a picture a crop of a face, though nobody said so."""
        height, width = prepared.picture.pixels.shape[:2]
        own = (height, width) == (self.size, self.size) and self.frame is not None
        parts = prepared.parts if isinstance(prepared, PreparedFaces) else ()
        placed = any(place.face is not None for place, _ in parts)
        return own and not placed and self.locator.align and self.takes_crops

    def place(self, pixels: Pixels, path: Path | None = None) -> list[Placement]:
        """Where the model's crops lie in a photo; see `pixelreg.faces.locate.Locator`."""
        return self.locator.placements(pixels, self.frame, self.size, path)


@dataclass(frozen=True)
class PlanTranslator(Translator):
    """A closed-form `Model` on photos.

    Attributes
    ----------
    model : the fitted model.
    locator : how faces are found in photos.
    backend : what runs the plans: auto, numpy, numba or cupy; auto decides by the work.
    threads : how many threads Numba may use; None for one a core.
    name : the model's file or another name for it.
    """

    model: Model
    locator: Locator = field(default_factory=Locator)
    backend: str = "auto"
    name: str = ""
    threads: int | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        return self.model.targets

    @property
    def source(self) -> str:
        return self.model.source

    @property
    def size(self) -> int:
        return self.model.size

    @property
    def frame(self) -> Frame | None:
        return self.model.frame

    def changer(self, target: Target) -> Changer:
        plan = self.plan(target)
        backend = self._runner(plan)
        return Changer(lambda crop: backend.change(plan, crop), plan.shape[0], plan.masked)

    def plan(self, target: Target) -> Plan:
        """The plan of a target, by its name or a synonym of it."""
        if not isinstance(target, str):
            raise UsageError(f"this model takes the name of an expression, not {target!r}")
        return self.model.plan(self.canonical(target))

    def run(self, target: Target, crops: Pixels) -> Pixels:
        """Apply a target's plan to crops of the model's own size, (..., S, S, 3) uint8."""
        plan = self.plan(target)
        return self._runner(plan, crops.size // math.prod(plan.shape)).apply(plan, crops)

    def computed_by(self, target: Target, pictures: int = 1) -> str:
        """The backend's name."""
        return str(self._runner(self.plan(target), pictures).name)

    def _runner(self, plan: Plan, pictures: int = 1) -> ArrayBackend:
        return get_backend(self.backend, plan_work(plan, pictures), self.threads)

    def describe(self) -> dict[str, Any]:
        """Parameters, bytes, settings and provenance of the model, ready for JSON."""
        model = self.model
        return {
            "name": self.name,
            "model": model.kind,
            "source": model.source,
            "targets": list(model.targets),
            "size": model.size,
            "parameters": model.parameters,
            "parameters_per_target": {t: plan.parameters for t, plan in model.plans.items()},
            "bytes": sum(a.nbytes for p in model.plans.values() for a in p.tensors().values()),
            "settings": {target: dict(values) for target, values in model.settings.items()},
            "frame": None if model.frame is None else asdict(model.frame),
            "backend": self.computed_by(self.targets[0]),
            **asdict(model.provenance),
        }


def _is_one(image: Any) -> bool:
    """Whether an image is one picture: no stack, and no animation that is changed as one."""
    if stack_of(image) is not None:
        return False
    return not isinstance(image, bytes) or read_moving(image, "the picture") is None


def _path_of(image: Any) -> Path | None:
    return Path(image) if isinstance(image, (str, os.PathLike)) else None


def _restored(image: Any, picture: Picture, changed: Picture) -> Any:
    return unchanged(image, picture) if changed is picture else restore(changed, image)


def check_strength(strength: float) -> float:
    """``strength`` if it is a number that makes sense: finite, and at most 10 either way."""
    given: Any = strength
    if not isinstance(given, Real) or not abs(strength) <= MAX_STRENGTH:
        raise UsageError(f"strength must be between -{MAX_STRENGTH:g} and {MAX_STRENGTH:g}")
    return strength
