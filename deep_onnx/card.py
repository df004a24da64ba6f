"""What an ONNX model says of itself, in its metadata or beside it, held against its graph."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pixelreg.errors import ModelFileError
from pixelreg.models.model import Frame, Provenance
from pixelreg.models.store import frame_of, provenance_of

if TYPE_CHECKING:
    from deep_onnx.file import Contents, Value

KEY = "pixelreg"  # of the entry in `metadata_props`
SCHEMA, VERSION = "pixelreg-onnx", 1
TARGET_KINDS = ("expression", "action-units", "blendshapes", "domain", "mask", "noise")
PLACEMENTS = ("face", "square", "whole")
COLOURS = ("RGB", "BGR")
IMAGE_ELEMENTS = ("float32", "float16", "float64", "uint8")
CONDITION_ELEMENTS = ("float32", "float16", "float64")
MAX_SIDE = 4096
MAX_META_BYTES = 2**20


class Task(NamedTuple):
    """What models of one kind do.

    refusal : what is said where such a model is to change a photo; empty where it can.
    translator : ``"module:class"`` of its `deep_onnx.translator.OnnxTranslator`.
    """

    refusal: str = ""
    plain: bool = True
    pictures: bool = True
    translator: str = "deep_onnx.translator:OnnxTranslator"

    @property
    def changes(self) -> bool:
        """Whether such a model makes pictures of pictures."""
        return not self.refusal


TASKS = {
    "translate": Task(),
    "generate": Task("makes pictures from nothing; use: pixelreg generate"),
    "discriminate": Task("judges pictures and makes none", pictures=False),
    "portrait": Task(
        "makes portraits from masks; use: pixelreg portrait",
        plain=False,
        translator="deep_onnx.portrait.translator:PortraitTranslator",
    ),
    "parse": Task("finds the parts of faces and changes none", plain=False, pictures=False),
}


@dataclass(frozen=True)
class Card:
    """All that is needed to run a model, and where it comes from.

    architecture : name of the architecture, such as ``"stargan"``.
    task : one of `TASKS`.
    target_kind : one of `TARGET_KINDS`: what a target stands for.
    targets : name -> values of the condition input; empty values where there is no such input.
    condition : names of the condition's entries, in order; empty where there is none.
    image_input, condition_input, output : names in the graph; an absent input is empty.
    size : side in pixels of the pictures that the model was trained on.
    value_range : what 0 and 255 become.
    placement : ``"face"`` (the crop of a face, aligned to ``frame``), ``"square"`` (the centre
        square) or ``"whole"`` (the picture as it is).
    frame : where the eyes stand in the crop; None unless the placement is ``"face"``.
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

    @property
    def does(self) -> Task:
        """What models of its task do."""
        return TASKS[self.task]

    def to_json(self) -> str:
        """The card as one JSON value."""
        return json.dumps({"schema": SCHEMA, "version": VERSION, **asdict(self)})


def card_from_json(text: str, where: str) -> Card:
    """A card from one JSON object; ``where`` names its file in messages."""
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


def card_of(contents: Contents, meta: Path | None = None) -> Card:
    """What is to be known of a model before it runs: what its file says, or a JSON file instead.

    That file holds the fields of a card. Schema and version may be left out, and what the graph
    tells: the names of the only image that goes in and comes out, and the size.
    """
    name = contents.name
    if meta is None:
        if KEY not in contents.metadata:
            raise ModelFileError(
                f"{name} does not say how it is to be run; describe it in a JSON file (--meta)"
            )
        return card_from_json(contents.metadata[KEY], name)
    values = {"schema": SCHEMA, "version": VERSION, **_defaults(contents), **_fields(meta)}
    try:
        text = json.dumps(values)
    except RecursionError as error:
        raise ModelFileError(f"{meta} is nested too deeply") from error
    return card_from_json(text, str(meta))


def check_graph(card: Card, contents: Contents) -> None:
    """Compare a card with the graph that it describes."""
    try:
        _check_names(card, contents)
        if card.does.changes:
            _check_image(card, _named(contents.inputs, card.image_input))
            _check_output(_named(contents.outputs, card.output))
        if card.condition_input:
            _check_condition(card, _named(contents.inputs, card.condition_input))
    except ValueError as error:
        raise ModelFileError(f"{contents.name} is not as it is described: {error}") from error


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
    if card.does.changes and not card.targets:
        raise ValueError("targets must name at least one target")
    if bool(card.condition) != bool(card.condition_input):
        raise ValueError("condition and condition_input go together")
    for name, vector in card.targets.items():
        if len(vector) != len(card.condition):
            raise ValueError(
                f"target {name!r} has {len(vector)} values, the condition {len(card.condition)}"
            )


def _fields(meta: Path) -> dict[str, Any]:
    try:
        with meta.open("rb") as file:
            content = file.read(MAX_META_BYTES + 1)
        if len(content) > MAX_META_BYTES:
            raise ModelFileError(f"{meta} is larger than any description of a model")
        values = json.loads(content)
    except OSError as error:
        raise ModelFileError(f"cannot read {meta}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{meta} is no JSON file: {error}") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{meta} must hold one table of fields")
    return values


def _defaults(contents: Contents) -> dict[str, Any]:
    """What a graph says without words."""
    defaults: dict[str, Any] = {"architecture": "unknown", "parameters": contents.parameters}
    images = [value for value in contents.inputs if value.dims and len(value.dims) == 4]
    if len(images) == 1:
        defaults["image_input"] = images[0].name
        height, width = (images[0].dims or ())[2:]
        defaults["dynamic"] = not isinstance(height, int) and not isinstance(width, int)
        if isinstance(height, int):
            defaults["size"] = height
    if len(contents.outputs) == 1:
        defaults["output"] = contents.outputs[0].name
    return defaults


def _check_names(card: Card, contents: Contents) -> None:
    given = {card.image_input, card.condition_input} - {""}
    taken = {value.name for value in contents.inputs}
    if card.does.plain and given != taken:
        raise ValueError(f"its inputs are {_list(taken)}, the description says {_list(given)}")
    made = {value.name for value in contents.outputs}
    if card.output not in made:
        raise ValueError(f"its outputs are {_list(made)}, the description says {card.output!r}")


def _check_image(card: Card, value: Value) -> None:
    where = f"the input {value.name!r}"
    if value.element not in IMAGE_ELEMENTS:
        raise ValueError(f"{where} holds {value.element or 'something else'}, not colours")
    if value.dims is None or len(value.dims) != 4:
        raise ValueError(f"{where} has the shape {_shape(value)}, not (N, 3, H, W)")
    batch, channels, *sides = value.dims
    if isinstance(batch, int) and batch != 1:
        raise ValueError(f"{where} takes {batch} pictures at once; one, or any number, is needed")
    if isinstance(channels, int) and channels != 3:
        raise ValueError(f"{where} has {channels} channels, not 3")
    if not card.dynamic and card.size % card.multiple:
        raise ValueError(f"its size, {card.size}, is no multiple of {card.multiple}")
    for side in sides:
        if isinstance(side, int) and card.dynamic:
            raise ValueError(f"{where} takes {side} pixels a side, the description says any")
        if isinstance(side, int) and side != card.size:
            raise ValueError(f"{where} takes {side} pixels a side, the description {card.size}")


def _check_output(value: Value) -> None:
    if value.dims is None:
        return
    channels = value.dims[1] if len(value.dims) == 4 else 0
    if isinstance(channels, int) and channels != 3:
        raise ValueError(f"the output {value.name!r} is {_shape(value)}, not (N, 3, H, W)")


def _check_condition(card: Card, value: Value) -> None:
    where = f"the input {value.name!r}"
    if value.element not in CONDITION_ELEMENTS:
        raise ValueError(f"{where} holds {value.element or 'something else'}, not real numbers")
    if value.dims is None or len(value.dims) != 2:
        raise ValueError(f"{where} has the shape {_shape(value)}, not (N, numbers)")
    width, asked = value.dims[1], len(card.condition)
    if isinstance(width, int) and width != asked:
        raise ValueError(f"{where} takes {width} numbers, the description names {asked}")


def _named(values: tuple[Value, ...], name: str) -> Value:
    for value in values:
        if value.name == name:
            return value
    raise ValueError(f"it has no {name!r}")


def _list(names: set[str]) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


def _shape(value: Value) -> str:
    if value.dims is None:
        return "(unknown)"
    return f"({', '.join('?' if dim is None else str(dim) for dim in value.dims)})"
