"""An ONNX file and its card: what it says of itself, or what a JSON file says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deep_onnx import proto
from deep_onnx.card import KEY, SCHEMA, VERSION, Card, card_from_json
from deep_onnx.proto import Contents, Value
from deep_onnx.session import read_file
from pixelreg.errors import ModelFileError

MAX_META_BYTES = 2**20
IMAGE_ELEMENTS = ("float32", "float16", "float64", "uint8")
CONDITION_ELEMENTS = ("float32", "float16", "float64")


def read_card(path: Path, meta: Path | None = None) -> Card:
    """The card of an ONNX file; see `card_of`."""
    return card_of(proto.read(read_file(path), str(path)), str(path), meta)


def card_of(contents: Contents, name: str, meta: Path | None = None) -> Card:
    """What is to be known of a model before it runs.

    Parameters
    ----------
    contents : of the ONNX file.
    name : stands for the file in messages.
    meta : a JSON file with the fields of a card, which takes the place of what the file says.
        Schema and version may be left out, and what the graph tells: the names of the only image
        that goes in and comes out, and the size.
    """
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


def check_graph(card: Card, contents: Contents, name: str) -> None:
    """Compare a card with the graph that it describes."""
    try:
        _check_names(card, contents)
        if card.task == "translate":
            _check_image(card, _named(contents.inputs, card.image_input))
            _check_output(_named(contents.outputs, card.output))
        if card.condition_input:
            _check_condition(card, _named(contents.inputs, card.condition_input))
    except ValueError as error:
        raise ModelFileError(f"{name} is not as it is described: {error}") from error


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
    if card.task in ("translate", "discriminate", "generate") and given != taken:
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
