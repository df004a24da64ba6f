"""Closed-form models on photos: find the face, run the plan, give the change back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend, plan_work
from pixelreg.backends.array import ArrayBackend
from pixelreg.change import Change
from pixelreg.data.expressions import canonical
from pixelreg.errors import UsageError
from pixelreg.faces.align import crop
from pixelreg.faces.locate import Locator, Placement
from pixelreg.faces.mask import face_mask
from pixelreg.faces.paste import paste_change
from pixelreg.image import ImageLike, Picture, read, restore, unchanged
from pixelreg.model import Model
from pixelreg.plan import Plan

MAX_STRENGTH = 10.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture whose faces are found and whose changes are known.

    Attributes
    ----------
    picture : as it came.
    parts : where each crop lies, and what is done to it at strength 1.
    """

    picture: Picture
    parts: tuple[tuple[Placement, Change], ...]

    def at(self, strength: float) -> Picture:
        """The picture with its faces changed by ``strength``; 0 gives it back bit for bit."""
        picture = self.picture
        if strength == 0:
            return picture
        values: Any = picture.pixels if picture.exact is None else picture.exact
        for placement, change in self.parts:
            values = paste_change(values, change, placement.similarity, strength)
        if picture.exact is None:
            return picture.with_pixels(values)
        return replace(picture, pixels=np.rint(values * 255.0).astype(np.uint8), exact=values)


@dataclass(frozen=True)
class PlanTranslator:
    """A `pixelreg.protocol.Translator` over a closed-form `Model`.

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
        """The expressions that the model can give a face."""
        return self.model.targets

    def translate(self, image: ImageLike, target: str, strength: float = 1.0) -> ImageLike:
        """Change ``image`` to ``target``.

        Parameters
        ----------
        image : a path, encoded bytes, a PIL image, or an array (H, W[, C]) uint8 or float in
            [0, 1].
        target : one of `targets`, or a synonym of one.
        strength : s in x + s (y - x); 0 gives the input bit for bit.

        Returns
        -------
        The same kind of thing and the same size; a path gives a PIL image.

        Raises
        ------
        UnknownNameError
            If the model has no such target.
        ImageError, InvalidArrayError, FaceError
            If the image cannot be read, or no face is found in it.
        """
        path = Path(image) if isinstance(image, (str, Path)) else None
        picture = read(image)
        changed = self.translate_picture(picture, target, strength, path)
        return unchanged(image) if changed is picture else restore(changed, image)

    def translate_batch(
        self, images: Iterable[ImageLike], target: str, strength: float = 1.0
    ) -> list[ImageLike]:
        """`translate` for several images."""
        return [self.translate(image, target, strength) for image in images]

    def translate_picture(
        self, picture: Picture, target: str, strength: float = 1.0, path: Path | None = None
    ) -> Picture:
        """`translate` for a `Picture`; ``path`` is its file, beside which landmarks may lie."""
        return self.prepare(picture, target, path).at(check_strength(strength))

    def prepare(self, picture: Picture, target: str, path: Path | None = None) -> Prepared:
        """Find the faces and their changes once, to be given back at any strength.

        Raises
        ------
        UnknownNameError
            If the model has no such target.
        FaceError
            If no face is found.
        """
        plan = self.plan(target)
        backend = self.runner(plan)
        parts = []
        for placement in self.place(picture.pixels, path):
            change = backend.change(plan, _crop(picture, placement, plan))
            if placement.face is not None and not plan.masked:
                change = change.masked(face_mask(plan.shape[0]))
            parts.append((placement, change))
        return Prepared(picture, tuple(parts))

    def plan(self, target: str) -> Plan:
        """The plan of a target, by its name or a synonym of it."""
        return self.model.plan(self.canonical(target))

    def canonical(self, target: str) -> str:
        """The model's own name for a target or a synonym of it."""
        return target if target in self.targets else canonical(target)

    def run(self, plan: Plan, crops: Pixels) -> Pixels:
        """Apply a plan to crops of the model's own size, (..., S, S, 3) uint8."""
        return self.runner(plan, crops.size // math.prod(plan.shape)).apply(plan, crops)

    def runner(self, plan: Plan, pictures: int = 1) -> ArrayBackend:
        """The backend that runs a plan on so many pictures at once."""
        return get_backend(self.backend, plan_work(plan, pictures), self.threads)

    def place(self, pixels: Pixels, path: Path | None = None) -> list[Placement]:
        """Where the model's crops lie in a photo; see `pixelreg.faces.locate.Locator`."""
        return self.locator.placements(pixels, self.model.frame, self.model.size, path)

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
            "backend": self.runner(self.model.plans[self.targets[0]]).name,
            **asdict(model.provenance),
        }


def _crop(picture: Picture, placement: Placement, plan: Plan) -> Any:
    """What the plan sees; a float array that is a crop already is not rounded to grey levels."""
    if placement.face is None and picture.exact is not None and picture.exact.shape == plan.shape:
        return picture.exact
    return crop(picture.pixels, placement.similarity, plan.shape[0])


def check_strength(strength: float) -> float:
    """``strength`` if it is a number that makes sense.

    Raises
    ------
    UsageError
        If it is not finite, or beyond 10 either way.
    """
    if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH:
        raise UsageError(f"strength must be between -{MAX_STRENGTH:g} and {MAX_STRENGTH:g}")
    return strength
