"""What every model offers, closed-form or deep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from pixelreg.pictures.image import ImageLike

# A name; or, for models that take numbers, all of them in order, or some by name.
Target: TypeAlias = "str | Sequence[float] | Mapping[str, float]"


@runtime_checkable
class Translator(Protocol):
    """A loaded model: pictures in, pictures of the same kind out."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The names that ``target`` may take."""

    def translate(self, image: ImageLike, target: Target, strength: float = 1.0) -> ImageLike:
        """``image`` changed to ``target``, returned as the kind of thing it came as."""

    def translate_batch(
        self, images: Iterable[ImageLike], target: Target, strength: float = 1.0
    ) -> list[ImageLike]:
        """`translate` for several images."""

    def describe(self) -> dict[str, Any]:
        """Parameters, bytes and provenance, ready for JSON."""
