"""What ``pixelreg bench`` asks for networks that it trains; PyTorch is asked for first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelreg.data.photos import Listing
from pixelreg.errors import need
from pixelreg.faces.locate import Locator

if TYPE_CHECKING:
    from deep_onnx.portrait.measured import Measured
    from deep_onnx.training.measured import Classroom

PURPOSE = "training the networks that are measured"


def classroom(
    listing: Listing,
    source: str,
    judged: frozenset[str],
    size: int,
    folder: Path,
    locator: Locator,
    update: Any,
) -> Classroom:
    """Where networks are taught on a listing; ``judged`` are held out."""
    need("torch", "PyTorch", "train", PURPOSE)
    from deep_onnx.training.measured import Classroom

    return Classroom(listing, source, judged, size, folder, locator, update)


def portraits(
    root: Path,
    scratch: Path,
    variants: Mapping[str, Mapping[str, Any]],
    steps: int,
    seed: int,
    update: Any,
    **settings: Any,
) -> Measured:
    """The portraits' experiments; see `deep_onnx.portrait.measured.measure`."""
    need("torch", "PyTorch", "train", PURPOSE)
    from deep_onnx.portrait.measured import measure

    return measure(root, scratch, variants, steps, seed, update, **settings)
