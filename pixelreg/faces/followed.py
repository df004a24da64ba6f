"""What passes between a video and the model that changes the faces in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pixelreg.arrays import Pixels
from pixelreg.faces.align import Similarity
from pixelreg.faces.landmarks import Face
from pixelreg.models.plans import Change


class View(Protocol):
    """A frame of a video, upright; see `pixelreg.video.frames.Canvas`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def crop(self, similarity: Similarity, size: int) -> Pixels:
        """(size, size, 3) uint8 RGB, the crop that a similarity leads to the frame."""

    def cut(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        """(bottom - top, right - left, 3) uint8 RGB, a part of the frame as it is."""


@dataclass(frozen=True)
class Followed:
    """A face that is followed through a video, in one frame.

    face : its landmarks, in pixels of the frame.
    similarity : from the model's crop to the frame, steady over time.
    step : seconds since the frame before.
    strength : how much of the change it is to be given.
    """

    frame: View
    face: Face
    similarity: Similarity
    step: float
    strength: float


@dataclass(frozen=True)
class Laid:
    """A change, where it belongs in a frame, and the strength at which it is laid on."""

    change: Change
    similarity: Similarity
    strength: float


# What changes one face of a video, frame after frame: it looks at a frame, and gives what makes the
# change, which is called in the same order, in one other thread.
OneFace: TypeAlias = "Callable[[Followed], Callable[[], Laid | None]]"
