"""What a request is refused with: a status, what was wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pixelreg.errors import (
    FaceError,
    ImageError,
    MissingExtraError,
    PixelregError,
    UnknownNameError,
    UsageError,
)

# What is said where an error names no remedy of its own; the first class that fits.
_KINDS: tuple[tuple[type[PixelregError], int, str], ...] = (
    (UsageError, 422, "see /openapi.json for what a request may say"),
    (FaceError, 422, "send a photo in which a face is seen from the front, and large enough"),
    (MissingExtraError, 415, "send the picture as JPEG, PNG or WebP"),
    (ImageError, 422, "send the picture whole, as JPEG, PNG or WebP"),
)
BROKEN = "something went wrong here, and it is not the request's fault"


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is not met.

    choices : the names of which one had to be given, where that was it.
    headers : that go with the answer.
    """

    status: int
    error: str
    remedy: str
    choices: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The answer, ready for JSON."""
        facts: dict[str, Any] = {"error": self.error, "remedy": self.remedy}
        return facts | ({"choices": list(self.choices)} if self.choices else {})


def busy(error: str, seconds: int) -> Refusal:
    """That there is no room now, and when there may be."""
    again = {"Retry-After": str(seconds)}
    return Refusal(503, error, f"ask again in {seconds} s", headers=again)


def refusal_of(error: Exception) -> Refusal:
    """What is answered to an error; of those that are not the request's nothing is told."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, MemoryError):
        return Refusal(503, "there is not enough memory for this picture", "send a smaller one")
    for kind, status, remedy in _KINDS:
        if isinstance(error, kind):
            said, _, own = str(error).partition("; ")
            known = error.known if isinstance(error, UnknownNameError) else ()
            return Refusal(status, said, own or remedy, known)
    return Refusal(500, BROKEN, "tell whoever runs this server; its terminal says more")
