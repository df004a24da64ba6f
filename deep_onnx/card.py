"""What an ONNX model says of itself: one JSON value in its metadata, checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pixelreg.errors import ModelFileError
from pixelreg.models.model import Frame, Provenance
from pixelreg.models.store import frame_of, provenance_of

KEY = "pixelreg"  # of the entry in `metadata_props`
SCHEMA, VERSION = "pixelreg-onnx", 1
TASKS = ("translate", "generate", "discriminate", "portrait", "parse")
TARGET_KINDS = ("expression", "action-units", "blendshapes", "domain", "mask", "noise")
PLACEMENTS = ("face", "square", "whole")
COLOURS = ("RGB", "BGR")
MAX_SIDE = 4096


@dataclass(frozen=True)
class Card:
    """All that is needed to run a model, and where it comes from.

    Attributes
    ----------
    architecture : name of the architecture, such as ``"stargan"``.
    task : one of `TASKS`.
    target_kind : one of `TARGET_KINDS`: what a target stands for.
    targets : name -> values of the condition input; empty values where there is no such input.
    condition : names of the condition's entries, in order; empty where there is none.
    condition_range : lowest and highest value of an entry.
    source : the expression or domain that the model starts from.
    image_input, condition_input, output : names in the graph; an absent input is empty.
    size : side in pixels of the pictures that the model was trained on.
    dynamic : whether it takes other sizes.
    multiple : height and width must be multiples of this.
    colour : order of the channels.
    value_range : what 0 and 255 become.
    placement : ``"face"`` (the crop of a face, aligned to ``frame``), ``"square"`` (the centre
        square) or ``"whole"`` (the picture as it is).
    frame : where the eyes stand in the crop; None unless the placement is ``"face"``.
    parameters : learnt numbers in the file.
    provenance : training data, licence, attribution, version, date.
    notes : what else was measured or chosen, ready for JSON.
    """

    architecture: str
    task: str = "translate"
    target_kind: str = "expression"
    targets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    condition: tuple[str, ...] = ()
    condition_range: tuple[float, float] = (0.0, 1.0)
    source: str = "neutral"
    image_input: str = "image"
    condition_input: str = ""
    output: str = "output"
    size: int = 128
    dynamic: bool = False
    multiple: int = 1
    colour: str = "RGB"
    value_range: tuple[float, float] = (-1.0, 1.0)
    placement: str = "square"
    frame: Frame | None = None
    parameters: int = 0
    provenance: Provenance = field(default_factory=Provenance)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    def to_json(self) -> str:
        """The card as one JSON value."""
        return json.dumps({"schema": SCHEMA, "version": VERSION, **asdict(self)})


def card_from_json(text: str, where: str) -> Card:
    """Read a card.

    Parameters
    ----------
    text : one JSON object.
    where : the file's name, for messages.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA!r}")
        version = values.pop("version", None)
        if version != VERSION:
            raise ValueError(f"version {version!r} is unknown; this pixelreg reads {VERSION}")
        return Card(**_typed(values))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{where}: the description of the model is wrong: {error}") from error


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    known = {item.name for item in fields(Card)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(map(str, unknown))}")
    typed = dict(values)
    if "frame" in typed:
        typed["frame"] = frame_of(typed["frame"])
    if "provenance" in typed:
        typed["provenance"] = provenance_of(typed["provenance"])
    if "targets" in typed:
        typed["targets"] = {str(k): tuple(map(_number, v)) for k, v in typed["targets"].items()}
    if "condition" in typed:
        typed["condition"] = tuple(map(_text, typed["condition"]))
    for name in ("condition_range", "value_range"):
        if name in typed:
            low, high = typed[name]
            typed[name] = (_number(low), _number(high))
    return typed


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _check(card: Card) -> None:
    """Raise ValueError for values that make no sense."""
    for item in fields(card):
        value = getattr(card, item.name)
        if item.type == "str":
            _text(value)
        if item.type == "bool" and type(value) is not bool:
            raise ValueError(f"{item.name} must be true or false, not {value!r}")
        if item.type == "int" and type(value) is not int:
            raise ValueError(f"{item.name} must be a whole number, not {value!r}")
    for name, choices in (
        ("task", TASKS),
        ("target_kind", TARGET_KINDS),
        ("placement", PLACEMENTS),
        ("colour", COLOURS),
    ):
        if getattr(card, name) not in choices:
            raise ValueError(f"{name} is {getattr(card, name)!r}, not one of {', '.join(choices)}")
    if not 1 <= card.size <= MAX_SIDE or not 1 <= card.multiple <= MAX_SIDE:
        raise ValueError(f"size and multiple must be 1 to {MAX_SIDE}")
    if card.parameters < 0:
        raise ValueError("parameters must not be negative")
    if card.value_range[0] >= card.value_range[1]:
        raise ValueError("value_range must go from a lower to a higher number")
    if card.condition_range[0] >= card.condition_range[1]:
        raise ValueError("condition_range must go from a lower to a higher number")
    if not isinstance(card.notes, Mapping):
        raise ValueError("notes must be a table")
    if (card.frame is not None) != (card.placement == "face"):
        raise ValueError("a frame goes with the placement 'face', and only with it")
    if card.task == "translate" and not card.targets:
        raise ValueError("targets must name at least one target")
    if bool(card.condition) != bool(card.condition_input):
        raise ValueError("condition and condition_input go together")
    for name, vector in card.targets.items():
        if len(vector) != len(card.condition):
            raise ValueError(
                f"target {name!r} has {len(vector)} values, the condition {len(card.condition)}"
            )
