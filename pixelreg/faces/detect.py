"""Choosing a face detector, and choosing among the faces that it finds."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pixelreg.errors import FaceError, UnknownNameError, UsageError
from pixelreg.faces.landmarks import Face

# name -> "module:function"; each function takes the file given (or None) and returns a detector.
DETECTORS = {
    "bundled": "pixelreg.faces.detect:_bundled",
    "yunet": "pixelreg.faces.detect:_yunet",
}
FILE_VARIABLE = "PIXELREG_DETECTOR"


class Detector(Protocol):
    """Something that finds faces. ``name`` says which one it is."""

    @property
    def name(self) -> str:
        """The name under which ``make_detector`` knows it."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of a picture (H, W, 3) uint8 RGB, largest first; an empty list for none."""


def make_detector(name: str = "auto", file: str | Path | None = None) -> Detector:
    """The detector of this name.

    name : ``"bundled"`` needs no download and no OpenCV. ``"yunet"`` needs OpenCV; its file is
        ``file``, else the one that the environment variable PIXELREG_DETECTOR names, else the one
        in the cache (PIXELREG_HOME, else the platform's cache folder), else it is downloaded there
        and checked by SHA-256. ``"auto"`` takes YuNet when OpenCV is installed and the file is at
        hand in one of the first three ways, else the bundled one; it never downloads.
    file : YuNet's .onnx file, or for ``"bundled"`` a .safetensors file of other weights.
    """
    given = Path(file) if file is not None else None
    if name == "auto":
        name = "yunet" if _yunet_at_hand(given) else "bundled"
        if name == "bundled" and given is not None and given.suffix == ".onnx":
            raise UsageError(
                f"{given} is a YuNet file, which needs OpenCV; install it with: "
                "python -m pip install 'pixelreg[align]'"
            )
    if name not in DETECTORS:
        raise UnknownNameError("detector", name, ["auto", *DETECTORS])
    module, function = DETECTORS[name].split(":")
    detector: Detector = getattr(importlib.import_module(module), function)(given)
    return detector


def _yunet_at_hand(given: Path | None) -> bool:
    from importlib.util import find_spec

    if find_spec("cv2") is None:
        return False
    if given is not None:
        return given.suffix != ".safetensors"
    if os.environ.get(FILE_VARIABLE):
        return True
    from pixelreg.faces.yunet import cached_file

    return cached_file() is not None


def _bundled(given: Path | None) -> Detector:
    from pixelreg.faces.bundled import BundledDetector
    from pixelreg.faces.cascade import load_weights

    return BundledDetector(load_weights(given))


def _yunet(given: Path | None) -> Detector:
    from pixelreg.faces import yunet

    named = os.environ.get(FILE_VARIABLE)
    if given is None and named:
        given = Path(named).expanduser()
    return yunet.YuNetDetector(given or yunet.cached_file() or yunet.download())


def choose_faces(faces: Sequence[Face], which: str = "largest") -> list[Face]:
    """The faces that are asked for, of those found (largest first).

    which : ``"largest"``, ``"all"``, or a number counted from 1 in the order of size.
    """
    if which not in ("largest", "all") and not (which.isascii() and which.isdigit() and int(which)):
        raise UsageError(f"face {which!r}: give largest, all, or a number from 1")
    if not faces:
        raise FaceError(
            "no face was found; give the eyes with --eyes x1,y1,x2,y2 or the face with "
            "--box x,y,w,h, or use --no-align if the picture is a face crop already"
        )
    if which == "all":
        return list(faces)
    wanted = 1 if which == "largest" else int(which)
    if wanted > len(faces):
        count = "1 face was" if len(faces) == 1 else f"{len(faces)} faces were"
        raise FaceError(f"face {wanted} was asked for, but only {count} found")
    return [faces[wanted - 1]]
