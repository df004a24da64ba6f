"""What training leaves behind for the bundled detector, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from pixelreg.errors import ModelFileError

# None stands for any number: of templates, of stages.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "templates": (None, 11, 10, 8),
    "template_bias": (None,),
    "rolls": (None,),
    "gate": (),
    "crop_stages": (None, 2049, 10),
    "patch_stages": (None, 1441, 10),
    "verifier": (3489,),
}


@dataclass(frozen=True)
class DetectorWeights:
    """What training leaves behind; all arrays float32.

    Attributes
    ----------
    templates : (R, 11, 10, 8), one per roll; ``template_bias`` (R,), ``rolls`` (R,) in degrees.
    gate : template score above which a window becomes a candidate.
    crop_stages : (S, 2049, 10), whole-face regressions; the last row is the intercept.
    patch_stages : (P, 1441, 10), regressions on patches around the landmarks.
    verifier : (2048 + 1440 + 1,), the deciding classifier; its margin is 0 on the border.
    """

    templates: np.ndarray
    template_bias: np.ndarray
    rolls: np.ndarray
    gate: np.ndarray
    crop_stages: np.ndarray
    patch_stages: np.ndarray
    verifier: np.ndarray


def load_weights(path: Path | None = None) -> DetectorWeights:
    """Read weights from a .safetensors file; without a path, those that come with the package."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = str(path or "the bundled detector's weights")
    try:
        if path is None:
            folder = resources.files("pixelreg.faces") / "weights"
            arrays = load((folder / "detector.safetensors").read_bytes())
        else:
            arrays = load(path.read_bytes())
        weights = DetectorWeights(**{k: v.astype(np.float32) for k, v in arrays.items()})
    except (OSError, SafetensorError, TypeError) as error:
        raise ModelFileError(f"{name} cannot be read as a face detector: {error}") from error
    for part, shape in _SHAPES.items():
        found = getattr(weights, part).shape
        if len(found) != len(shape) or any(
            n not in (m, None) for m, n in zip(found, shape, strict=True)
        ):
            raise ModelFileError(f"{name}: {part} has the shape {found}, which no detector has")
    return weights
