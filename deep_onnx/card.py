"""What an ONNX model says of itself, in its metadata or beside it, held against its graph."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pixelreg.errors import ModelFileError
from pixelreg.files import open_regular
from pixelreg.models.model import Frame, Provenance
from pixelreg.models.store import check_depth, frame_of, provenance_of

if TYPE_CHECKING:
    from deep_onnx.file import Contents, Value

KEY = "pixelreg"  # of the entry in `metadata_props`
SCHEMA, VERSION = "pixelreg-onnx", 1
TARGET_KINDS = ("expression", "action-units", "blendshapes", "domain", "mask", "noise")
PLACEMENTS = ("face", "square", "whole")
GREY, CHANNELS_LAST = "grey", "NHWC"
COLOURS = ("RGB", "BGR", GREY)
LAYOUTS = ("NCHW", CHANNELS_LAST)
IMAGE_ELEMENTS = ("float32", "float16", "float64", "uint8")
LABEL_ELEMENTS = ("int64", "int32")
CONDITION_ELEMENTS = ("float32", "float16", "float64", *LABEL_ELEMENTS)
MAX_SIDE = 4096
MAX_META_BYTES = 2**20
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
MAX_MULTIPLE = 1024  # a network that halves a picture ten times
NARROWEST, WIDEST = 1e-6, 1e6  # ranges that float32 tells 256 grey levels apart in


# Fields that are written where they say something unusual.
_SELDOM = (
    *("layout", "output_range", "shape", "masked"),
    *("strength_input", "colour_output", "displacement_output"),
)


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
    "measure": Task("tells what moves a face; use its model with: --like", pictures=False),
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
    colour : order of the channels, or ``"grey"`` for one channel. What comes out may have one in
        any case.
    layout : order of the axes of the image that goes in; what comes out tells its own.
    value_range : what 0 and 255 become.
    output_range : what stands for 0 and 255 in what comes out; None for the same.
    shape : (height, width) where the network takes rectangles; ``size`` is then the longer side.
    placement : ``"face"`` (the crop of a face, aligned to ``frame``), ``"square"`` (the centre
        square) or ``"whole"`` (the picture as it is).
    frame : where the eyes stand in the crop; None unless the placement is ``"face"``.
    strength_input : of how much of the change is to be made; empty where there is none.
    colour_output, displacement_output : what is added to a picture at strength 1, on [0, 1], and
        from how far each pixel is fetched before; see `pixelreg.models.plans.Change`.
    masked : whether the change falls off around the face by itself.
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
    strength_input: str = ""
    colour_output: str = ""
    displacement_output: str = ""
    masked: bool = False
    size: int = 128
    dynamic: bool = False
    multiple: int = 1
    colour: str = "RGB"
    layout: str = "NCHW"
    value_range: tuple[float, float] = (-1.0, 1.0)
    output_range: tuple[float, float] | None = None
    shape: tuple[int, int] | None = None
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

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the pictures that the model was trained on."""
        return self.shape or (self.size, self.size)

    def to_json(self) -> str:
        """The card as one JSON value; what few models need is left out where it is not needed."""
        values = asdict(self)
        for name in _SELDOM:
            if values[name] == type(self).__dataclass_fields__[name].default:
                del values[name]
        return json.dumps({"schema": SCHEMA, "version": VERSION, **values})


def card_from_json(text: str, where: str) -> Card:
    """A card from one JSON object; ``where`` names its file in messages."""
    try:
        if len(text) > MAX_META_BYTES:
            raise ValueError("it is larger than any")
        values = json.loads(text)
        check_depth(values)
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA!r}")
        version = values.pop("version", None)
        if version != VERSION:
            raise ValueError(f"version {version!r} is unknown; this pixelreg reads {VERSION}")
        return Card(**_typed(values))
    except _WRONG as error:
        raise ModelFileError(f"{where}: the description of the model is wrong: {error}") from error


def card_of(contents: Contents, meta: Path | None = None) -> Card:
    """What is to be known of a model before it runs: what its file says, or a JSON file instead.

    That file holds the fields of a card. Schema and version may be left out, and what the graph
    tells: the names of the only image that goes in and comes out, its size, shape, layout and
    colour, and the name of the only other input.
    """
    name = contents.name
    if meta is None:
        if KEY not in contents.metadata:
            raise ModelFileError(
                f"{name} does not say how it is to be run; describe it in a JSON file (--meta)"
            )
        return card_from_json(contents.metadata[KEY], name)
    said = _fields(meta)
    values = {"schema": SCHEMA, "version": VERSION, **_defaults(contents, said), **said}
    try:
        text = json.dumps(values)
    except RecursionError as error:
        raise ModelFileError(f"{meta} is nested too deeply") from error
    return card_from_json(text, str(meta))


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
    if typed.get("shape") is not None:
        height, width = typed["shape"]
        typed["shape"] = (height, width)
    for name in ("condition_range", "value_range", "output_range"):
        if typed.get(name) is not None:
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
        ("layout", LAYOUTS),
    ):
        if getattr(card, name) not in choices:
            raise ValueError(f"{name} is {getattr(card, name)!r}, not one of {', '.join(choices)}")
    if not 1 <= card.size <= MAX_SIDE or not 1 <= card.multiple <= MAX_MULTIPLE:
        raise ValueError(f"size must be 1 to {MAX_SIDE}, and multiple 1 to {MAX_MULTIPLE}")
    if card.parameters < 0:
        raise ValueError("parameters must not be negative")
    for name in ("value_range", "output_range"):
        low, high = getattr(card, name) or (0.0, 1.0)
        if not high - low >= NARROWEST or max(-low, high) > WIDEST:
            raise ValueError(
                f"{name} must go from a lower to a higher number: by {NARROWEST:g} at the least, "
                f"within {WIDEST:g} of 0"
            )
    if card.shape is not None:
        if any(type(side) is not int or side < 1 for side in card.shape):
            raise ValueError(f"shape must be height and width, not {card.shape!r}")
        if card.dynamic or max(card.shape) != card.size:
            raise ValueError("a shape goes with pictures of one size, and size is its longer side")
    if card.condition_range[0] >= card.condition_range[1]:
        raise ValueError("condition_range must go from a lower to a higher number")
    if not isinstance(card.notes, Mapping):
        raise ValueError("notes must be a table")
    if (card.frame is not None) != (card.placement == "face"):
        raise ValueError("a frame goes with the placement 'face', and only with it")
    if card.does.changes and not card.targets:
        raise ValueError("targets must name at least one target")
    if card.displacement_output and not card.colour_output:
        raise ValueError("a displacement goes with a colour")
    if bool(card.condition) != bool(card.condition_input):
        raise ValueError("condition and condition_input go together")
    for name, vector in card.targets.items():
        if len(vector) != len(card.condition):
            raise ValueError(
                f"target {name!r} has {len(vector)} values, the condition {len(card.condition)}"
            )


def _fields(meta: Path) -> dict[str, Any]:
    try:
        with open_regular(meta) as file:
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


def _defaults(contents: Contents, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a graph says without words, beside what is said of it."""
    defaults: dict[str, Any] = {"architecture": "unknown", "parameters": contents.parameters}
    images = [value for value in contents.inputs if value.dims and len(value.dims) == 4]
    if len(images) == 1:
        defaults |= _image_defaults(images[0], said)
    others = [value for value in contents.inputs if value not in images]
    if len(others) == 1 and (said.get("condition") or others[0].element in LABEL_ELEMENTS):
        defaults |= _label_defaults(others[0], said)
    if len(contents.outputs) == 1:
        defaults["output"] = contents.outputs[0].name
        if contents.outputs[0].element == "uint8":
            defaults["output_range"] = (0, 255)
    return defaults


def _image_defaults(value: Value, said: Mapping[str, Any]) -> dict[str, Any]:
    dims = value.dims or ()
    last = dims[3] in (1, 3) and dims[1] not in (1, 3)
    layout = said.get("layout", LAYOUTS[last])
    channels, height, width = axes_of(layout, dims)
    defaults: dict[str, Any] = {"image_input": value.name, "layout": layout}
    sides = [side for side in (height, width) if isinstance(side, int)]
    defaults["dynamic"] = not sides
    if sides:
        defaults["size"] = max(sides)
    if len(set(sides)) == 2:
        defaults["shape"] = (height, width)
    if channels == 1:
        defaults["colour"] = GREY
    if value.element == "uint8":
        defaults["value_range"] = (0, 255)
    return defaults


def _label_defaults(value: Value, said: Mapping[str, Any]) -> dict[str, Any]:
    """Of an input of numbers beside the image: its name, and a label's name and range."""
    defaults: dict[str, Any] = {"condition_input": value.name}
    targets = said.get("targets")
    vectors = list(targets.values()) if isinstance(targets, dict) else []
    if value.element in LABEL_ELEMENTS and all(
        isinstance(v, list) and len(v) == 1 for v in vectors
    ):
        largest = max((v[0] for v in vectors if isinstance(v[0], int)), default=1)
        defaults |= {"condition": [value.name], "condition_range": (0, max(1, largest))}
    return defaults


def axes_of(layout: str, dims: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Channels, height and width of four axes."""
    return (dims[3], dims[1], dims[2]) if layout == CHANNELS_LAST else (dims[1], dims[2], dims[3])
