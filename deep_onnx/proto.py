"""ONNX files read without the onnx package: what they hold, and whether to trust them.

`read` walks through every part that can hold a tensor or an operator, wherever it is nested, and
refuses what could reach outside the file: weights kept elsewhere, and operators that are not
ONNX's own. Field numbers are those of ONNX's published schema (onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import NamedTuple

from deep_onnx.wire import BYTES, Field, Wire, WireError, encoded
from pixelreg.errors import ModelFileError

MAX_DEPTH = 60  # parts within parts; a graph within a graph takes three
MAX_NODES = 200_000  # once every function stands where it is called

# Which fields of a part hold which other parts. What is not named here holds neither tensors nor
# operators, and is left to onnxruntime.
PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 10: "tensor", 6: "graph", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
IR_VERSION, GRAPH, OPSET, METADATA, FUNCTION = 1, 7, 8, 14, 25  # of a model
INITIALISER, INPUT, OUTPUT, SPARSE = 5, 11, 12, 15  # of a graph
EXTERNAL = (13, 14)  # of a tensor: external_data, data_location

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
# onnxruntime's own operators for quantised and fused networks: arithmetic alone. Others of that
# domain open files (EPContext) or run Python.
_ARITHMETIC = """
    QuantizeLinear DequantizeLinear QLinearAdd QLinearMul QLinearConcat QLinearLeakyRelu
    QLinearSigmoid QLinearSoftmax QLinearAveragePool QLinearGlobalAveragePool QLinearReduceMean
    QLinearWhere QGemm DynamicQuantizeMatMul MatMulIntegerToFloat NhwcMaxPool FusedConv FusedGemm
    FusedMatMul Gelu FastGelu QuickGelu BiasGelu BiasAdd BiasSplitGelu GroupNorm SkipGroupNorm
    SkipLayerNormalization Attention MultiHeadAttention NhwcConv Trilu
"""
CONTRIBUTED = frozenset(_ARITHMETIC.split())

ELEMENTS = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"},
}

Dims = tuple["int | str | None", ...]


class Value(NamedTuple):
    """An input or output of a graph.

    Attributes
    ----------
    name : its name.
    element : NumPy's name of its type; empty for types that NumPy has not.
    dims : its shape; a name or None where a side is free. None where nothing is said of it.
    """

    name: str
    element: str
    dims: Dims | None


@dataclass(frozen=True)
class Contents:
    """What an ONNX file says of itself.

    Attributes
    ----------
    ir_version : of the format.
    opsets : version of every set of operators, by domain.
    metadata : free texts by key.
    inputs, outputs : of the graph; inputs that have a value in the file are left out.
    parameters : numbers in the graph's initialisers of floating-point or 8-bit type.
    nodes : operators in the whole file.
    """

    ir_version: int
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    parameters: int
    nodes: int


class _Call(NamedTuple):
    owner: tuple[str, str] | None  # the function that the node stands in
    domain: str
    operator: str


def read(content: bytes, name: str) -> Contents:
    """Read an ONNX file.

    Parameters
    ----------
    content : the whole file.
    name : stands for the file in messages.
    """
    try:
        wire = Wire(content)
        graphs = [f for f in wire.fields(0, len(content)) if f.number == GRAPH and f.kind == BYTES]
        if len(graphs) != 1:
            raise WireError(f"it has {len(graphs)} graphs instead of one")
        calls, functions = _walk(wire)
        _check_operators(calls, functions)
        return _contents(wire, graphs[0], len(calls))
    except WireError as error:
        raise ModelFileError(f"{name} is not a usable ONNX file: {error}") from error


def with_metadata(content: bytes, key: str, value: str) -> bytes:
    """An ONNX file's bytes with one entry of its metadata set; all others stay as they are."""
    wire, kept, done = Wire(content), [], 0
    try:
        for field in wire.fields(0, len(content)):
            if field.number == METADATA and _entry(wire, field)[0] == key:
                kept.append(content[done : field.begin])
                done = field.end
    except WireError as error:
        raise ModelFileError(f"this is not a usable ONNX file: {error}") from error
    entry = encoded(1, key.encode()) + encoded(2, value.encode())
    return b"".join([*kept, content[done:], encoded(METADATA, entry)])


def _walk(wire: Wire) -> tuple[list[_Call], set[tuple[str, str]]]:
    """Every operator of the file and every function; tensors kept elsewhere are refused."""
    calls: list[_Call] = []
    functions: set[tuple[str, str]] = set()
    waiting: list[tuple[str, int, int, int, tuple[str, str] | None]]
    waiting = [("model", 0, len(wire.content), 0, None)]
    while waiting:
        part, start, end, depth, owner = waiting.pop()
        if depth > MAX_DEPTH:
            raise WireError("its parts are nested too deeply")
        if part == "function":
            names = _texts(wire, start, end, {10, 1})
            owner = names.get(10, ""), names.get(1, "")
            functions.add(owner)
        elif part == "node":
            names = _texts(wire, start, end, {7, 4})
            calls.append(_Call(owner, names.get(7, ""), names.get(4, "")))
        for field in wire.fields(start, end):
            inner = PARTS[part].get(field.number)
            if inner:
                if field.kind != BYTES:
                    raise WireError(f"it has a number for a {inner} at byte {field.begin}")
                waiting.append((inner, field.start, field.end, depth + 1, owner))
            # Any location but "in this file" is refused, also numbers that only mean "elsewhere"
            # once they are cut to 32 bits.
            elif part == "tensor" and field.number in EXTERNAL and (field.value or field.kind):
                raise WireError(
                    "it keeps weights in another file, which pixelreg never opens; "
                    "store them inside (save_as_external_data=False)"
                )
    return calls, functions


def _check_operators(calls: list[_Call], functions: set[tuple[str, str]]) -> None:
    """Refuse foreign operators, and functions that grow without end where they are called."""
    inside: dict[tuple[str, str] | None, list[tuple[str, str]]] = {None: []}
    sizes: dict[tuple[str, str] | None, int] = {None: 0, **dict.fromkeys(functions, 0)}
    inside.update({function: [] for function in functions})
    for owner, domain, operator in calls:
        sizes[owner] += 1
        if (domain, operator) in functions:
            inside[owner].append((domain, operator))
        elif domain not in STANDARD and (domain != "com.microsoft" or operator not in CONTRIBUTED):
            raise WireError(
                f"it needs the operator {operator!r} of {domain!r}, which is not one of ONNX's own"
            )
    try:
        order = list(TopologicalSorter(inside).static_order())
    except CycleError:
        raise WireError("one of its functions calls itself") from None
    for owner in order:
        sizes[owner] += sum(sizes[called] for called in inside[owner])
    if sizes[None] > MAX_NODES:
        raise WireError(f"it has more than {MAX_NODES} operators")


def _contents(wire: Wire, graph: Field, nodes: int) -> Contents:
    version, opsets, metadata = 0, {}, {}
    for field in wire.fields(0, len(wire.content)):
        if field.number == IR_VERSION:
            version = field.value
        elif field.number == OPSET:
            domain, number = _opset(wire, field)
            opsets[domain] = number
        elif field.number == METADATA:
            key, value = _entry(wire, field)
            metadata[key] = value
    inputs, outputs, stored, parameters = [], [], set(), 0
    for field in wire.fields(graph.start, graph.end):
        if field.number == INPUT:
            inputs.append(_value(wire, field))
        elif field.number == OUTPUT:
            outputs.append(_value(wire, field))
        elif field.number == INITIALISER:
            name, count = _tensor(wire, field)
            stored.add(name)
            parameters += count
        elif field.number == SPARSE:
            stored.update(_tensor(wire, part)[0] for part in _inside(wire, field, 1))
    free = tuple(value for value in inputs if value.name not in stored)
    return Contents(version, opsets, metadata, free, tuple(outputs), parameters, nodes)


def _inside(wire: Wire, field: Field, *numbers: int) -> Iterator[Field]:
    """The fields of those numbers in the part that a field holds."""
    if field.kind != BYTES:
        raise WireError(f"it has a number for a part at byte {field.begin}")
    return (part for part in wire.fields(field.start, field.end) if part.number in numbers)


def _texts(wire: Wire, start: int, end: int, numbers: set[int]) -> dict[int, str]:
    return {f.number: wire.text(f) for f in wire.fields(start, end) if f.number in numbers}


def _entry(wire: Wire, field: Field) -> tuple[str, str]:
    texts = {part.number: wire.text(part) for part in _inside(wire, field, 1, 2)}
    return texts.get(1, ""), texts.get(2, "")


def _opset(wire: Wire, field: Field) -> tuple[str, int]:
    domain, version = "", 0
    for part in _inside(wire, field, 1, 2):
        if part.number == 1:
            domain = wire.text(part)
        else:
            version = part.value
    return domain, version


def _tensor(wire: Wire, field: Field) -> tuple[str, int]:
    """A tensor's name, and how many learnt numbers it holds."""
    name, element, dims = "", "", []
    for part in _inside(wire, field, 1, 2, 8):
        if part.number == 1:
            dims += wire.numbers(part)
        elif part.number == 2:
            element = ELEMENTS.get(part.value, "")
        else:
            name = wire.text(part)
    learnt = element.startswith("float") or element in ("int8", "uint8")
    return name, max(0, prod(dims)) if learnt and len(dims) < 9 else 0


def _value(wire: Wire, field: Field) -> Value:
    name, element, dims = "", "", None
    for part in _inside(wire, field, 1, 2):
        if part.number == 1:
            name = wire.text(part)
            continue
        for tensor in _inside(wire, part, 1):
            for side in _inside(wire, tensor, 1, 2):
                if side.number == 1:
                    element = ELEMENTS.get(side.value, "")
                else:
                    dims = tuple(_dim(wire, dim) for dim in _inside(wire, side, 1))
    return Value(name, element, dims)


def _dim(wire: Wire, field: Field) -> int | str | None:
    dim: int | str | None = None
    for part in _inside(wire, field, 1, 2):
        if part.number == 2:
            dim = wire.text(part) or None
        else:
            (number,) = wire.numbers(part)[:1] or [0]
            dim = number if number > 0 else None
    return dim
