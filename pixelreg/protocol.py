"""What every model offers, closed-form or deep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pixelreg.image import ImageLike


@runtime_checkable
class Translator(Protocol):
    """A loaded model: pictures in, pictures of the same kind out."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The names that ``target`` may take."""

    def translate(self, image: ImageLike, target: str, strength: float = 1.0) -> ImageLike:
        """``image`` changed to ``target``, returned as the kind of thing it came as."""

    def translate_batch(
        self, images: Iterable[ImageLike], target: str, strength: float = 1.0
    ) -> list[ImageLike]:
        """`translate` for several images."""

    def describe(self) -> dict[str, Any]:
        """Parameters, bytes and provenance, ready for JSON."""
