"""Closed-form models on photos: find the face, run the plan, give the change back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.backends import Backend, get_backend
from pixelreg.data.expressions import canonical
from pixelreg.errors import UsageError
from pixelreg.faces.align import Pixels, crop
from pixelreg.faces.locate import Locator, Placement
from pixelreg.faces.paste import face_mask, paste_change
from pixelreg.image import ImageLike, Picture, read, restore
from pixelreg.model import Model
from pixelreg.plan import Plan

MAX_STRENGTH = 10.0


@dataclass(frozen=True)
class PlanTranslator:
    """A `pixelreg.protocol.Translator` over a closed-form `Model`.

    Attributes
    ----------
    model : the fitted model.
    locator : how faces are found in photos.
    backend : what runs the plans, by name.
    name : the model's file or another name for it.
    """

    model: Model
    locator: Locator = field(default_factory=Locator)
    backend: str = "auto"
    name: str = ""

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
        return restore(self.translate_picture(picture, target, strength, path), image)

    def translate_batch(
        self, images: Iterable[ImageLike], target: str, strength: float = 1.0
    ) -> list[ImageLike]:
        """`translate` for several images."""
        return [self.translate(image, target, strength) for image in images]

    def translate_picture(
        self, picture: Picture, target: str, strength: float = 1.0, path: Path | None = None
    ) -> Picture:
        """`translate` for a `Picture`; ``path`` is its file, beside which landmarks may lie."""
        plan = self.plan(target)
        check_strength(strength)
        if strength == 0:
            return picture
        placements = self.place(picture.pixels, path)
        if picture.exact is not None:
            exact = self._paste_all(picture.exact, picture.pixels, plan, placements, strength)
            rounded = np.rint(exact * 255.0).astype(np.uint8)
            return replace(picture, pixels=rounded, exact=exact)
        pixels = self._paste_all(picture.pixels, picture.pixels, plan, placements, strength)
        return picture.with_pixels(pixels)

    def plan(self, target: str) -> Plan:
        """The plan of a target, by its name or a synonym of it."""
        return self.model.plan(self.canonical(target))

    def canonical(self, target: str) -> str:
        """The model's own name for a target or a synonym of it."""
        return target if target in self.targets else canonical(target)

    def run(self, plan: Plan, crops: Pixels) -> Pixels:
        """Apply a plan to crops of the model's own size, (..., S, S, 3) uint8."""
        return get_backend(self.backend).apply(plan, crops)

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
            "backend": self.backend,
            **asdict(model.provenance),
        }

    def _paste_all(
        self, values: Any, pixels: Pixels, plan: Plan, placements: list[Placement], strength: float
    ) -> Any:
        backend = get_backend(self.backend)
        for placement in placements:
            values = self._paste_one(backend, values, pixels, plan, placement, strength)
        return values

    def _paste_one(
        self,
        backend: Backend,
        values: Any,
        pixels: Pixels,
        plan: Plan,
        placement: Placement,
        strength: float,
    ) -> Any:
        if placement.face is None and values.shape == plan.shape:
            if values.dtype == np.uint8:
                return backend.apply(plan, values, strength)
            moved = values + strength * (backend.predict(plan, values) - values)
            return np.clip(moved, 0.0, 1.0)
        size = self.model.size
        change = backend.change(plan, crop(pixels, placement.similarity, size))
        if placement.face is not None:
            change = change.masked(face_mask(size))
        return paste_change(values, change, placement.similarity, strength)


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
