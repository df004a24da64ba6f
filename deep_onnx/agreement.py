"""Whether an ONNX model is as its card says: names, shapes and kinds of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_onnx.card import (
    CHANNELS_LAST,
    CONDITION_ELEMENTS,
    GREY,
    IMAGE_ELEMENTS,
    LABEL_ELEMENTS,
    Card,
    axes_of,
)
from pixelreg.errors import ModelFileError

STRENGTH_ELEMENTS = ("float32", "float16", "float64")

if TYPE_CHECKING:
    from deep_onnx.file import Contents, Value


def check_graph(card: Card, contents: Contents) -> None:
    """Compare a card with the graph that it describes."""
    try:
        _check_names(card, contents)
        if card.does.changes:
            _check_image(card, _named(contents.inputs, card.image_input))
            _check_output(card, _named(contents.outputs, card.output))
        if card.condition_input:
            _check_condition(card, _named(contents.inputs, card.condition_input))
        if card.strength_input:
            _check_strength(_named(contents.inputs, card.strength_input))
    except ValueError as error:
        raise ModelFileError(f"{contents.name} is not as it is described: {error}") from error


def _check_names(card: Card, contents: Contents) -> None:
    given = {card.image_input, card.condition_input, card.strength_input} - {""}
    taken = {value.name for value in contents.inputs}
    if card.does.plain and given != taken:
        raise ValueError(f"its inputs are {_list(taken)}, the description says {_list(given)}")
    made = {value.name for value in contents.outputs}
    for name in (card.output, card.colour_output, card.displacement_output):
        if name and name not in made:
            raise ValueError(f"its outputs are {_list(made)}, the description says {name!r}")


def _check_image(card: Card, value: Value) -> None:
    where = f"the input {value.name!r}"
    if value.element not in IMAGE_ELEMENTS:
        raise ValueError(f"{where} holds {value.element or 'something else'}, not colours")
    if value.dims is None or len(value.dims) != 4:
        raise ValueError(f"{where} has the shape {_shape(value)}, not (N, 3, H, W)")
    channels, *sides = axes_of(card.layout, value.dims)
    wanted = 1 if card.colour == GREY else 3
    if isinstance(channels, int) and channels != wanted:
        raise ValueError(
            f"{where} has {channels} channels, not {wanted}: its shape is {_shape(value)}, the "
            f"description says layout {card.layout} and colour {card.colour}"
        )
    if not card.dynamic and card.size % card.multiple:
        raise ValueError(f"its size, {card.size}, is no multiple of {card.multiple}")
    for side, said in zip(sides, card.sides, strict=True):
        if isinstance(side, int) and card.dynamic:
            raise ValueError(f"{where} takes {side} pixels a side, the description says any")
        if isinstance(side, int) and side != said:
            raise ValueError(f"{where} takes {side} pixels a side, the description {said}")


def _check_output(card: Card, value: Value) -> None:
    if value.dims is None:
        return
    first, last = (value.dims[1], value.dims[3]) if len(value.dims) == 4 else (0, 0)
    open_last = card.layout == CHANNELS_LAST and not isinstance(last, int)
    if isinstance(first, int) and first not in (1, 3) and last not in (1, 3) and not open_last:
        raise ValueError(
            f"the output {value.name!r} is {_shape(value)}, not (N, 3, H, W) or (N, H, W, 3)"
        )


def _check_condition(card: Card, value: Value) -> None:
    where = f"the input {value.name!r}"
    if value.element not in CONDITION_ELEMENTS:
        raise ValueError(f"{where} holds {value.element or 'something else'}, not real numbers")
    asked = len(card.condition)
    if value.element in LABEL_ELEMENTS:
        numbers = (number for vector in card.targets.values() for number in vector)
        if any(number != int(number) for number in numbers):
            raise ValueError(f"{where} takes whole numbers, and targets have others")
    if value.dims is not None and len(value.dims) <= 1 and asked == 1:
        return
    if value.dims is None or len(value.dims) != 2:
        raise ValueError(f"{where} has the shape {_shape(value)}, not (N, numbers)")
    width = value.dims[1]
    if isinstance(width, int) and width != asked:
        raise ValueError(f"{where} takes {width} numbers, the description names {asked}")


def _check_strength(value: Value) -> None:
    if value.dims != () or value.element not in STRENGTH_ELEMENTS:
        raise ValueError(f"the input {value.name!r} is not one real number")


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
