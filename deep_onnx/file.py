"""ONNX files: read without the onnx package, not trusted, and held against their cards.

`check` walks through every part that can hold a tensor or an operator, wherever it is nested, and
refuses what could reach outside the file: weights kept elsewhere, and operators that are not
ONNX's own. Only bytes that went through it are given to onnxruntime.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deep_onnx.agreement import check_graph
from deep_onnx.allowed import CONTRIBUTED as CONTRIBUTED
from deep_onnx.allowed import refused
from deep_onnx.card import KEY, Card, card_of
from deep_onnx.growth import Growth
from pixelreg.errors import ModelFileError, PixelregError, need
from pixelreg.files import mistaken, open_regular, why

if TYPE_CHECKING:
    from onnx import ModelProto

HEAD = 1024  # bytes that tell what a file is
MAX_BYTES = 2**31  # a protocol buffer cannot be larger
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the wire types; 3 and 4 are groups, long given up
MAX_FIELD = 2**29
# An ONNX file of 217 MB has some 40,000 fields; without a limit, one of two-byte fields would
# keep the reader busy for minutes; this many take it half a second.
MAX_FIELDS = 300_000
MAX_SMALL = 1024  # bytes of a constant that may say how large something is
MAX_DEPTH = 60  # parts within parts; a graph within a graph takes three
MAX_NODES = 200_000  # once every function stands where it is called

# What the fields of each part hold: numbers as in ONNX's published schema (onnx.proto), our names,
# and kinds. What is not here holds neither tensors nor operators, and is left to onnxruntime.
_PARTS = """
model      7 graphs graph, 8 opsets opset, 14 metadata property, 20 training training
model      25 functions function
opset      1 domain text, 2 version number
property   1 key text, 2 value text
training   1 graphs graph, 2 graphs graph
function   1 name text, 10 domain text, 7 nodes node, 11 attributes attribute
graph      1 nodes node, 5 tensors tensor, 15 sparse sparse, 11 inputs value, 12 outputs value
node       1 takes text, 2 makes text, 4 operator text, 7 domain text, 5 attributes attribute
attribute  3 int number, 8 ints handful, 5 tensors tensor, 10 tensors tensor
attribute  6 graphs graph, 11 graphs graph
attribute  22 sparse sparse, 23 sparse sparse
sparse     1 tensors tensor, 2 indices tensor
tensor     1 dims numbers, 2 element number, 8 name text, 13 place elsewhere, 14 place elsewhere
tensor     4 floats small, 5 whole small, 7 whole small, 9 raw small
value      1 name text, 2 types type
type       1 arrays array
array      1 element number, 2 shapes shape
shape      1 dims dim
dim        1 size numbers, 2 name text
"""
SCHEMA: dict[str, dict[int, tuple[str, str]]] = {}
for _line in _PARTS.split("\n")[1:-1]:
    _part, _fields = _line.split(maxsplit=1)
    for _number, _name, _kind in map(str.split, _fields.split(",")):
        SCHEMA.setdefault(_part, {})[int(_number)] = _name, _kind

ELEMENTS = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"},
}

Message = Mapping[str, list[Any]]  # a part's values by name; as many as there are in the file
Name = tuple[str, str]  # of an operator or a function: its domain and its own


class Value(NamedTuple):
    """An input or output of a graph.

    element : NumPy's name of its type; empty for types that NumPy has not.
    dims : its shape; a name or None where a side is free. None where nothing is said of it.
    """

    name: str
    element: str
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True, eq=False)
class Contents:
    """An ONNX file that reaches for nothing outside itself, as `check` found.

    opsets : version of every set of operators, by domain.
    inputs, outputs : of the graph; inputs that have a value in the file are left out.
    parameters : numbers in the graph's initialisers of floating-point or 8-bit type.
    """

    name: str
    data: bytes
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    parameters: int


class OnnxFile(NamedTuple):
    """A file that was found in order, and what it or its description says of it."""

    card: Card
    contents: Contents


def open_file(path: Path, meta: Path | None = None) -> OnnxFile:
    """Read a file and check it; ``meta`` is a JSON file as in `card_of`."""
    contents = read(path)
    card = card_of(contents, meta)
    check_graph(card, contents)
    return OnnxFile(card, contents)


def read_card(path: Path, meta: Path | None = None) -> Card:
    """The card of an ONNX file; see `card_of`."""
    return card_of(read(path), meta)


def read(path: Path) -> Contents:
    """An ONNX file, walked through."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            if size >= MAX_BYTES:
                raise ModelFileError(
                    f"{path} is {size / 2**30:.1f} GB large; an ONNX file is under 2"
                )
            file.seek(0)
            data = file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {path}: {why(error)}") from error
    if not data:
        raise ModelFileError(f"{path} is empty (0 bytes)")
    if says := mistaken(data[:HEAD]):
        raise ModelFileError(f"{path} {says}")
    return check(data, str(path))


def check(data: bytes, name: str) -> Contents:
    """An ONNX file's bytes, walked through; ``name`` stands for them in messages."""
    try:
        model = _Wire(data).message("model", 0, len(data))
        graphs = _all(model, "graphs")
        if len(graphs) != 1:
            raise WireError(f"it has {len(graphs)} graphs instead of one")
        _check_operators(model)
        if reason := Growth().reason(graphs[0]):
            raise WireError(reason)
    except WireError as error:
        raise ModelFileError(f"{name} is not a usable ONNX file: {error}") from error
    tensors, sparse = _all(graphs[0], "tensors"), _all(graphs[0], "sparse")
    stored = {_last(tensor, "name") for tensor in tensors}
    stored |= {_last(tensor, "name") for part in sparse for tensor in _all(part, "tensors")}
    return Contents(
        name,
        data,
        {_last(opset, "domain"): _last(opset, "version", 0) for opset in _all(model, "opsets")},
        {_last(entry, "key"): _last(entry, "value") for entry in _all(model, "metadata")},
        tuple(v for v in map(_value, _all(graphs[0], "inputs")) if v.name not in stored),
        tuple(map(_value, _all(graphs[0], "outputs"))),
        sum(map(_learnt, tensors)),
    )


class WireError(ValueError):
    """Bytes that are no protocol buffer, or one that no honest file would hold."""


class _Wire:
    """A file's bytes, of which nothing is copied but what `SCHEMA` names."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_FIELDS

    def message(self, part: str, start: int, end: int, depth: int = 0) -> Message:
        """What the part between two places holds, and all parts within it."""
        if depth > MAX_DEPTH:
            raise WireError("its parts are nested too deeply")
        found: dict[str, list[Any]] = {}
        for number, kind, value, begin, first, last in self._fields(start, end):
            name, holds = SCHEMA[part].get(number, ("", ""))
            if not name:
                continue
            values = found.setdefault(name, [])
            if holds == "number":
                values.append(value)
            elif holds == "numbers":
                values += self._numbers(kind, value, begin, first, last)
            elif holds == "elsewhere":
                # Any location but "in this file" is refused, also numbers that only mean
                # "elsewhere" once they are cut to 32 bits.
                if value or kind:
                    raise WireError(
                        "it keeps weights in another file, which pixelreg never opens; "
                        "store them inside (save_as_external_data=False)"
                    )
            elif holds == "handful":
                if len(values) < MAX_SMALL and last - first < MAX_SMALL:
                    values += self._numbers(kind, value, begin, first, last)
            elif holds == "small":
                if kind == BYTES and last - first <= MAX_SMALL:
                    values.append(self._data[first:last])
            elif kind != BYTES:
                raise WireError(f"it has a number for a {holds} at byte {begin}")
            elif holds == "text":
                values.append(self._text(begin, first, last))
            else:
                values.append(self.message(holds, first, last, depth + 1))
        return found

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Number, wire type, value of a VARINT, where it begins, and where its value lies."""
        position = start
        while position < end:
            self._count()
            begin = position
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < MAX_FIELD:
                raise WireError(f"it has a field {number} at byte {begin}")
            value, first = 0, position
            if kind == VARINT:
                value, position = self._varint(position, end)
            elif kind == BYTES:
                length, first = self._varint(position, end)
                position = first + length
            elif kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
            else:
                raise WireError(f"it has a field of unknown type {kind} at byte {begin}")
            if position > end:
                raise WireError(f"it is cut short, or the part at byte {begin} is damaged")
            yield number, kind, value, begin, first, position

    def _text(self, begin: int, first: int, last: int) -> str:
        try:
            return self._data[first:last].decode()
        except UnicodeDecodeError:
            raise WireError(f"it has a text that is no UTF-8 at byte {begin}") from None

    def _numbers(self, kind: int, value: int, begin: int, first: int, last: int) -> Iterator[int]:
        """One number, or several packed together."""
        if kind == VARINT:
            yield _signed(value)
        elif kind != BYTES:
            raise WireError(f"it has the wrong type of number at byte {begin}")
        else:
            while first < last:
                self._count()
                value, first = self._varint(first, last)
                yield _signed(value)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise WireError("it has too many parts")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise WireError(f"it is cut short at byte {position}")
            byte = self._data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), position
        raise WireError(f"it has a number without an end at byte {position}")


def _signed(value: int) -> int:
    """A 64-bit number as the signed one that it stands for."""
    return value - 2**64 if value >= 2**63 else value


def _check_operators(model: Message) -> None:
    """Refuse foreign operators, and functions that grow without end where they are called."""
    functions = {(_last(f, "domain"), _last(f, "name")) for f in _all(model, "functions")}
    inside: dict[Name | None, list[Name]] = {None: [], **{name: [] for name in functions}}
    sizes: dict[Name | None, int] = {None: 0, **dict.fromkeys(functions, 0)}
    for owner, domain, operator in _calls(model):
        sizes[owner] += 1
        if (domain, operator) in functions:
            inside[owner].append((domain, operator))
        elif reason := refused(domain, operator):
            raise WireError(reason)
    try:
        order = list(TopologicalSorter(inside).static_order())
    except CycleError:
        raise WireError("one of its functions calls itself") from None
    for owner in order:
        sizes[owner] += sum(sizes[called] for called in inside[owner])
    if sizes[None] > MAX_NODES:
        raise WireError(f"it has more than {MAX_NODES} operators")


def _calls(part: Message, owner: Name | None = None) -> Iterator[tuple[Name | None, str, str]]:
    """Every operator of a part, wherever it is nested, and the function that it stands in."""
    for node in _all(part, "nodes"):
        yield owner, _last(node, "domain"), _last(node, "operator")
    for name in ("graphs", "training", "nodes", "attributes"):
        for inner in _all(part, name):
            yield from _calls(inner, owner)
    for function in _all(part, "functions"):
        yield from _calls(function, (_last(function, "domain"), _last(function, "name")))


def _all(message: Message, name: str) -> Sequence[Any]:
    return message.get(name, ())


def _last(message: Message, name: str, default: Any = "") -> Any:
    values = _all(message, name)
    return values[-1] if values else default


def _learnt(tensor: Message) -> int:
    """How many learnt numbers a tensor holds."""
    element, dims = ELEMENTS.get(_last(tensor, "element"), ""), _all(tensor, "dims")
    learnt = element.startswith("float") or element in ("int8", "uint8")
    return max(0, prod(dims)) if learnt and len(dims) < 9 else 0


def _value(message: Message) -> Value:
    array = _last(_last(message, "types", {}), "arrays", {})
    shape = _last(array, "shapes", None)
    dims = None if shape is None else tuple(map(_dim, _all(shape, "dims")))
    return Value(_last(message, "name"), ELEMENTS.get(_last(array, "element"), ""), dims)


def _dim(message: Message) -> int | str | None:
    size = _last(message, "size", 0)
    return _last(message, "name") or (size if size > 0 else None)


def as_proto(contents: Contents, purpose: str) -> ModelProto:
    """The model as the onnx package holds it, which is needed for a purpose."""
    onnx = need("onnx", "onnx", "train", purpose)
    try:
        model: ModelProto = onnx.load_model_from_string(contents.data)
    except Exception as error:  # protobuf's own DecodeError, by another name in each version
        raise ModelFileError(f"{contents.name} is damaged: {first_line(error)}") from error
    return model


def finish(model: ModelProto, card: Card) -> Contents:
    """The file to be: nothing of the machine that made it, the card in its metadata, checked."""
    import onnx

    _strip(model)
    model.producer_name, model.producer_version = "pixelreg", ""
    onnx.helper.set_model_props(model, {KEY: card.to_json()})
    try:
        data: bytes = model.SerializeToString()
        onnx.checker.check_model(data)
    except Exception as error:  # the checker and protobuf each have several of their own
        raise PixelregError(f"the graph is not valid ONNX: {first_line(error)}") from error
    contents = check(data, "the graph")
    check_graph(card, contents)
    return contents


def _strip(message: Any) -> None:
    """Take out what exporters leave of stack traces and local paths, wherever it is."""
    for descriptor, value in message.ListFields():
        if descriptor.name in ("doc_string", "metadata_props"):
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None:
            repeated = not hasattr(value, "ListFields")
            for inner in value if repeated else (value,):
                _strip(inner)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what exporters and quantisers print, warn of and log."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: BaseException | str) -> str:
    """The first line of a message that says something, cut where it goes on and on."""
    lines = (line.strip() for line in str(error).splitlines())
    line = next(filter(None, lines), type(error).__name__)
    return line if len(line) < 300 else f"{line[:300]}..."
