"""Expressions of drawn faces: what each moves, growing linearly with its intensity."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from pixelreg.data._face_identity import Identity
from pixelreg.data.expressions import canonical
from pixelreg.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Pose:
    """What an expression changes, as offsets from the neutral face; lengths as in Identity.

    The unit-free numbers (``lid_*``, ``mouth_round``, ``cheek``, ``wrinkle``, ``fold``, ``jaw``,
    ``pupil``) are 0 at rest and near 1 at their strongest.
    """

    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_squeeze: float = 0.0
    lid_upper: float = 0.0
    lid_lower: float = 0.0
    lid_tilt: float = 0.0
    pupil: float = 0.0
    cheek: float = 0.0
    wrinkle: float = 0.0
    fold: float = 0.0
    jaw: float = 0.0
    mouth_curve: float = 0.0
    mouth_wide: float = 0.0
    mouth_lift: float = 0.0
    mouth_open: float = 0.0
    mouth_round: float = 0.0
    mouth_press: float = 0.0
    teeth_upper: float = 0.0
    teeth_lower: float = 0.0


# The directions follow the facial muscles that each expression is known by: raised or lowered
# brows, opened or tightened lids, raised cheeks, wrinkled nose, pulled corners of the mouth.
POSES = {
    "neutral": Pose(),
    "happy": Pose(
        brow_inner=0.004, brow_outer=0.008, lid_upper=-0.12, lid_lower=0.75, cheek=1.0, fold=0.9,
        jaw=0.3, mouth_curve=0.044, mouth_wide=0.034, mouth_lift=0.008, mouth_open=0.056,
        mouth_round=0.25, teeth_upper=0.62,
    ),
    "sad": Pose(
        brow_inner=0.036, brow_outer=-0.016, brow_squeeze=0.010, lid_upper=-0.26, lid_lower=0.1,
        lid_tilt=-0.34, mouth_curve=-0.034, mouth_wide=-0.008, mouth_lift=-0.004, fold=0.35,
    ),
    "angry": Pose(
        brow_inner=-0.042, brow_outer=0.016, brow_squeeze=0.018, lid_upper=-0.12, lid_lower=0.45,
        lid_tilt=0.42, pupil=-0.12, wrinkle=0.15, fold=0.35, jaw=0.1, mouth_curve=-0.012,
        mouth_wide=0.004, mouth_press=0.8, mouth_open=0.044, mouth_round=1.1, teeth_upper=0.5,
        teeth_lower=0.5,
    ),
    "afraid": Pose(
        brow_inner=0.052, brow_outer=0.008, brow_squeeze=0.012, lid_upper=0.42, lid_lower=-0.1,
        lid_tilt=-0.12, pupil=-0.3, jaw=0.55, mouth_curve=-0.026, mouth_wide=0.012,
        mouth_open=0.066, mouth_round=0.6, teeth_lower=0.3, teeth_upper=0.0,
    ),
    "disgusted": Pose(
        brow_inner=-0.026, brow_outer=-0.008, brow_squeeze=0.008, lid_upper=-0.42, lid_lower=0.95,
        lid_tilt=0.1, cheek=0.6, wrinkle=1.0, fold=1.0, mouth_curve=-0.030, mouth_wide=0.0,
        mouth_lift=0.020, mouth_open=0.034, mouth_round=0.1, teeth_upper=0.8,
    ),
    "surprised": Pose(
        brow_inner=0.046, brow_outer=0.046, lid_upper=0.55, lid_lower=-0.3, pupil=-0.1, jaw=1.0,
        mouth_curve=0.0, mouth_wide=-0.028, mouth_lift=-0.002, mouth_open=0.112, mouth_round=1.0,
        teeth_upper=0.12,
    ),
}  # fmt: skip


def known(expression: str) -> str:
    """The canonical name of an expression that can be drawn; UnknownNameError lists them."""
    name = canonical(expression)
    if name not in POSES:
        raise UnknownNameError("expression", expression, POSES)
    return name


def posed(identity: Identity, expression: str, intensity: float) -> Pose:
    """A person's pose for an expression at an intensity of 0 to 1."""
    full = POSES[known(expression)]
    if not (isinstance(intensity, (int, float, np.number)) and 0.0 <= intensity <= 1.0):
        raise UsageError(f"intensity is {intensity}; give a number from 0 to 1")
    factor = float(intensity) * identity.expressiveness
    return Pose(*(factor * value for value in astuple(full)))
