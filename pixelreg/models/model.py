"""A model: the plans of several targets, and what is to be known of them."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pixelreg.errors import InvalidArrayError, UnknownNameError, UsageError
from pixelreg.models.plans import Plan, Shape

# Of eyes in a crop, in its sides: further out or nearer to each other there is no face.
_FARTHEST, _NEAREST = 100.0, 1e-3


@dataclass(frozen=True)
class Frame:
    """Where the eyes stand in a crop, as fractions of its width and height.

    The default leaves the whole face inside, brows to chin, with an open mouth.

    left_eye, right_eye : (x, y) of the pupils on the left and on the right of the picture.
    """

    left_eye: tuple[float, float] = (0.36, 0.39)
    right_eye: tuple[float, float] = (0.64, 0.39)

    def __post_init__(self) -> None:
        near = all(abs(value) <= _FARTHEST for eye in self.eyes for value in eye)  # no NaN is
        if not near or math.dist(self.left_eye, self.right_eye) < _NEAREST:
            raise UsageError(f"a frame needs two different eye positions, not {self.eyes}")

    @property
    def eyes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both eye positions."""
        return self.left_eye, self.right_eye


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; every field is a plain string or number.

    licence, attribution : of the training pictures, as they must be passed on.
    pixelreg_version, date : what fitted it, and when (ISO date).
    """

    training_set: str = ""
    people: int = 0
    pairs: int = 0
    licence: str = ""
    attribution: str = ""
    pixelreg_version: str = ""
    date: str = ""


def made_on() -> str:
    """The ISO date of today in UTC, or of SOURCE_DATE_EPOCH, by which builds are repeated."""
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        seconds = int(said) if said else time.time()
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH is {said[:40]!r}, not seconds since 1970") from error


@dataclass(frozen=True)
class Model:
    """Fitted targets that share a source expression, a picture size and a frame.

    plans : the plan of every target, by name; all for pictures of one shape.
    kind : the estimator's short name: rr, kr, mr or full.
    settings : the estimator's parameters by name, for every target.
    frame : where the eyes stand in the crop, or None for pictures without faces.
    provenance : where the model comes from.
    """

    plans: Mapping[str, Plan]
    source: str = "neutral"
    kind: str = "rr"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frame: Frame | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        shapes = {plan.shape for plan in self.plans.values()}
        if len(shapes) != 1:
            raise InvalidArrayError(f"a model needs plans of one shape, not {sorted(shapes)}")
        height, width, channels = next(iter(shapes))
        if height != width or channels != 3:
            raise InvalidArrayError(
                f"a model needs square RGB plans, not {(height, width, channels)}"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' names, in order."""
        return tuple(self.plans)

    @property
    def shape(self) -> Shape:
        """(size, size, 3), the shape of the pictures that the plans take."""
        return next(iter(self.plans.values())).shape

    @property
    def size(self) -> int:
        """Side of the crop in pixels."""
        return self.shape[0]

    @property
    def parameters(self) -> int:
        """Learnt numbers of all targets together."""
        return sum(plan.parameters for plan in self.plans.values())

    def plan(self, target: str) -> Plan:
        """The plan of a target."""
        try:
            return self.plans[target]
        except KeyError:
            raise UnknownNameError("expression", target, self.targets) from None
