"""What the files of models and of sums say of themselves: JSON texts, checked when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pixelreg.models.model import Frame, Provenance

MAX_SIDE = 4096


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as JSON texts."""
    return {key: json.dumps(value, sort_keys=True) for key, value in values.items()}


def targets_and_size(metadata: Mapping[str, Any]) -> tuple[list[str], int]:
    """The targets' names and the side of the crops."""
    targets, size = metadata["targets"], metadata["size"]
    if not (isinstance(targets, list) and targets and all(isinstance(t, str) for t in targets)):
        raise ValueError("targets must be a list of names")
    if type(size) is not int or not 1 <= size <= MAX_SIDE:
        raise ValueError(f"size must be 1 to {MAX_SIDE}, not {size!r}")
    return targets, size


def text_of(metadata: Mapping[str, Any], key: str) -> str:
    """A value that must be text, or ValueError."""
    value = metadata[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text, not {value!r}")
    return value


def settings_of(value: Any) -> dict[str, dict[str, Any]]:
    """The estimators' parameters by target, or ValueError."""
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise ValueError("settings must be tables by target")
    return value


def provenance_of(value: Any) -> Provenance:
    """Where the pictures come from, or ValueError."""
    provenance = Provenance(**value)
    for item in fields(Provenance):
        if type(getattr(provenance, item.name)) is not type(item.default):
            raise ValueError(f"provenance: {item.name} has the wrong type")
    return provenance


def frame_of(value: Any) -> Frame | None:
    """Where the eyes stand, or None for pictures without faces."""
    if value is None:
        return None
    (x1, y1), (x2, y2) = value["left_eye"], value["right_eye"]
    return Frame((float(x1), float(y1)), (float(x2), float(y2)))
