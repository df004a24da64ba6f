"""Choosing a face detector, and choosing among the faces that it finds."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pixelreg.errors import FaceError, UnknownNameError, UsageError

if TYPE_CHECKING:  # the help texts list the detectors and do without NumPy
    from pixelreg.arrays import Pixels
    from pixelreg.faces.landmarks import Face

# name -> the detector's class, in the order in which ``auto`` asks whether they are at hand.
DETECTORS = {
    "yunet": "pixelreg.faces.yunet:YuNetDetector",
    "bundled": "pixelreg.faces.bundled:BundledDetector",
}


AUTO = "auto"


class Detector(Protocol):
    """Something that finds faces.

    name : the one under which ``make_detector`` knows it.
    suffix : of its files, where ``--detector`` takes one in place of the name.
    """

    name: ClassVar[str]
    suffix: ClassVar[str | None]

    @classmethod
    def at_hand(cls, file: Path | None) -> bool:
        """Whether it can be had here at once, with its own file or the one that is given."""

    @classmethod
    def opened(cls, file: Path | None, loops: Any = None) -> Detector:
        """The detector, with its own file where none is given.

        loops : `pixelreg.backends.loops_faces` for those that they serve, or None.
        """

    @classmethod
    def versions(cls) -> str:
        """What besides this package decides which faces are found; empty for nothing."""

    def detect(self, image: Pixels, largest: bool = False) -> list[Face]:
        """The faces of a picture (H, W, 3) uint8 RGB, largest first; an empty list for none.

        largest : only the largest is wanted, so that others may be left out.
        """


def make_detector(name: str = AUTO, file: str | Path | None = None, loops: Any = None) -> Detector:
    """The detector of this name, with its own file or the one that is given.

    ``"auto"`` takes the first that is at hand, and never downloads. Of ``loops`` tells
    `Detector.opened`.
    """
    given = Path(file) if file is not None else None
    if name != AUTO:
        return detector_class(name).opened(given, loops)
    for each in map(detector_class, DETECTORS):
        if each.at_hand(given):
            return each.opened(given, loops)
    raise UsageError(f"{given}: no detector that is at hand here takes this file")


def asked_for(text: str) -> tuple[str, Path | None]:
    """The detector's name, and its file, that ``--detector`` means: a name, or a file of one."""
    for name in DETECTORS:
        suffix = detector_class(name).suffix
        if suffix is not None and text.endswith(suffix):
            return name, Path(text)
    return text, None


def detector_class(name: str) -> type[Detector]:
    """The class of a detector."""
    if name not in DETECTORS:
        raise UnknownNameError("detector", name, [AUTO, *DETECTORS])
    module, _, attribute = DETECTORS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def choose_faces(faces: Sequence[Face], which: str = "largest") -> list[Face]:
    """The faces that are asked for, of those found (largest first).

    which : ``"largest"``, ``"all"``, or a number counted from 1 in the order of size.
    """
    if which not in ("largest", "all") and not (which.isascii() and which.isdigit() and int(which)):
        raise UsageError(f"face {which!r}: give largest, all, or a number from 1")
    if not faces:
        raise FaceError(
            "no face was found (those behind masks, turned to the side or very small are not "
            "seen); give the eyes with --eyes x1,y1,x2,y2 or the face with --box x,y,w,h, or use "
            "--no-align if the picture is a face crop already"
        )
    if which == "all":
        return list(faces)
    wanted = 1 if which == "largest" else int(which)
    if wanted > len(faces):
        count = "1 face was" if len(faces) == 1 else f"{len(faces)} faces were"
        raise FaceError(f"face {wanted} was asked for, but only {count} found")
    return [faces[wanted - 1]]
