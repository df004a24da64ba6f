"""How much one request may ask for, and all together; pictures are measured before decoding."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from pixelreg.errors import UsageError
from pixelreg.pictures.kinds import HEAD, open_picture, picture_kind, told_clearly
from pixelreg.pictures.moving import SEVERAL
from pixelreg.server.refusal import Refusal

# What is taken, and given back as. Pillow opens more, but some of that by running other programs.
MEDIA = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "JXL": "image/jxl",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "PPM": "image/x-portable-anymap",
}
MOST_FRAMES = 300  # of an animation: a file of 20 MB could have a million


@dataclass(frozen=True)
class Limits:
    """What is not gone beyond.

    bytes : of one request's body.
    pixels : of one picture, all its frames together.
    seconds : that a request may take, from its first byte until its picture is made.
    workers : how many pictures are computed at once.
    waiting : how many more requests are taken in; who comes then is told to come again.
    """

    bytes: int = 20 * 2**20
    pixels: int = 25_000_000
    seconds: float = 60.0
    workers: int = 2
    waiting: int = 16

    def __post_init__(self) -> None:
        if min(self.bytes, self.pixels, self.workers) < 1 or self.waiting < 0:
            raise UsageError("limits must be at least 1, and those who wait at least 0")
        if not 0 < self.seconds <= 3600:
            raise UsageError("the time limit must be over 0 and at most 3600 seconds")

    def too_many_bytes(self) -> Refusal:
        """What is answered to a body that is too long."""
        return Refusal(
            413,
            f"the request is longer than {self.bytes:,} bytes",
            "send a smaller picture, or start the server with another --max-mb",
        )

    def facts(self) -> dict[str, Any]:
        """The limits that a client should know, ready for JSON."""
        return {"bytes": self.bytes, "pixels": self.pixels, "seconds": self.seconds}


@dataclass(eq=False)
class Deadline:
    """When a job must be done, and whether somebody still waits for it."""

    end: float
    left: Event = field(default_factory=Event)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.end - time.monotonic())

    def check(self) -> None:
        """Give a job up between two of its steps once nobody wants what it makes."""
        if self.left.is_set() or not self.remaining:
            raise Refusal(504, "the picture took too long", "send a smaller one, or fewer frames")


def measured(content: bytes, limits: Limits, deadline: Deadline) -> str:
    """The format of an encoded picture that is within the limits; its pixels are not decoded.

    Frames of animations, and pages, may each have another size: they are looked at one by one.
    """
    kind = picture_kind(content[:HEAD])
    if kind not in MEDIA:
        raise Refusal(
            415,
            "this is no picture of a kind that is taken" if content else "the picture is empty",
            f"send one of: {', '.join(MEDIA.values())}",
        )
    with (
        told_clearly("the picture", content, Refusal),
        open_picture(content, "the picture", counted=False) as opened,
    ):
        if opened.format not in MEDIA and opened.format != "MPO":
            raise Refusal(415, f"{opened.format} is not taken", "send JPEG, PNG or WebP")
        pixels, frames = 0, 0
        with suppress(EOFError):
            while True:
                deadline.check()
                pixels, frames = pixels + opened.width * opened.height, frames + 1
                _within(limits, pixels, frames)
                if opened.format not in SEVERAL:
                    break
                opened.seek(frames)
    return kind


def _within(limits: Limits, pixels: int, frames: int) -> None:
    if pixels > limits.pixels or frames > MOST_FRAMES:
        raise Refusal(
            413,
            f"the picture has more than {limits.pixels:,} pixels"
            if pixels > limits.pixels
            else f"the picture has more than {MOST_FRAMES} frames",
            "make it smaller, or start the server with another --max-megapixels",
        )
