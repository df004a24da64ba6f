"""How large an ONNX graph makes its values, as far as the file itself says, before it is run.

A few numbers in a small file can ask for terabytes. What is told here is the least that a graph
takes, so that no honest one is refused; what shapes hold that are computed while a graph runs is
bounded by `deep_onnx.session`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MOST = 2**26  # numbers in one value; a picture of the largest side has 50 million
_CODES = {1: "f", 6: "i", 7: "q", 11: "d"}  # element types of ONNX that sizes are given in
_SMALL = 64  # numbers of a constant that is looked at
# At least as large as the largest of what goes in.
_ELEMENTWISE = """
    Identity Cast Relu LeakyRelu Sigmoid Tanh Abs Neg Exp Sqrt Clip Add Sub Mul Div Pow Max Min
    Where Softmax InstanceNormalization BatchNormalization Dropout
"""
_AS_LARGE = frozenset(_ELEMENTWISE.split())

Numbers = tuple[float, ...]
Message = Mapping[str, Sequence[Any]]


class Growth:
    """The least sizes of a graph's values.

    sizes : numbers in every value that is known, by name.
    constants : the values of small tensors, by name.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}
        self.constants: dict[str, Numbers] = {}

    def reason(self, graph: Message) -> str:
        """What is wrong with a graph; nothing where all is well."""
        for tensor in graph.get("tensors", ()):
            self._keep(_last(tensor, "name", ""), tensor)
        for value in graph.get("inputs", ()):
            self.sizes.setdefault(_last(value, "name", ""), _declared(value))
        for value in graph.get("outputs", ()):
            if _declared(value) > MOST:
                return f"its output {_last(value, 'name', '')!r} {_too_many(_declared(value))}"
        if too_large := [name for name, size in self.sizes.items() if size > MOST]:
            return f"its value {too_large[0]!r} {_too_many(self.sizes[too_large[0]])}"
        for node in graph.get("nodes", ()):
            size = self._node(node)
            if size > MOST:
                return f"its operator {_last(node, 'operator', '')} {_too_many(size)}"
        return ""

    def _node(self, node: Message) -> float:
        operator, inputs = _last(node, "operator", ""), node.get("takes", ())
        size = 1.0
        if operator == "Constant":
            self._constant(node)
        elif operator in _AS_LARGE:
            size = max((self.sizes.get(name, 1.0) for name in inputs), default=1.0)
        elif operator in GROWING:
            given = [self.constants.get(name, ()) for name in inputs]
            size = GROWING[operator](self.sizes.get(inputs[0], 1.0) if inputs else 1.0, given)
        for name in node.get("makes", ()):
            self.sizes.setdefault(name, size)
        return size

    def _constant(self, node: Message) -> None:
        for name in node.get("makes", ()):
            for attribute in node.get("attributes", ()):
                for tensor in attribute.get("tensors", ()):
                    self._keep(name, tensor)
                whole = [*attribute.get("int", ()), *attribute.get("ints", ())]
                if 0 < len(whole) <= _SMALL:
                    self.constants[name] = tuple(map(float, whole))

    def _keep(self, name: str, tensor: Message) -> None:
        self.sizes[name] = size = _product(tensor.get("dims", ()))
        if size <= _SMALL and (numbers := tuple(_numbers(tensor))):
            self.constants[name] = numbers


def _tiled(size: float, given: list[Numbers]) -> float:
    return size * _product(_at(given, 1))


def _expanded(size: float, given: list[Numbers]) -> float:
    return max(size, _product(_at(given, 1)))


def _filled(size: float, given: list[Numbers]) -> float:
    return _product(_at(given, 0))


def _counted(size: float, given: list[Numbers]) -> float:
    start, limit, step = (each[0] if each else math.nan for each in (given + [()] * 3)[:3])
    count = (limit - start) / step if step else math.inf
    return count if count > 0 else 1.0  # NaN, of what is not known, is not


def _resized(size: float, given: list[Numbers]) -> float:
    return max(size * _product(_at(given, 2)), _product(_at(given, 3)))


def _upsampled(size: float, given: list[Numbers]) -> float:
    return size * _product(_at(given, 1))


def _padded(size: float, given: list[Numbers]) -> float:
    pads = _at(given, 1)
    half = len(pads) // 2
    return max(size, _product([a + b for a, b in zip(pads[:half], pads[half:], strict=False)]))


def _one_hot(size: float, given: list[Numbers]) -> float:
    return size * _product(_at(given, 1))


# Operators whose inputs say how large they make what they give.
GROWING: Mapping[str, Callable[[float, list[Numbers]], float]] = {
    **{"Tile": _tiled, "Expand": _expanded, "ConstantOfShape": _filled, "Range": _counted},
    **{"Resize": _resized, "Upsample": _upsampled, "Pad": _padded, "OneHot": _one_hot},
}


def _at(given: list[Numbers], place: int) -> Numbers:
    return given[place] if place < len(given) else ()


def _product(sides: Sequence[float]) -> float:
    """Of sides; what is 0 or less says nothing, as it may mean "as it was"."""
    return math.prod((float(side) for side in sides if side > 0), start=1.0)


def _declared(value: Message) -> float:
    """Numbers in an input or output, with 1 for sides that are free."""
    array = _last(_last(value, "types", {}), "arrays", {})
    shape = _last(array, "shapes", {})
    return _product([_last(dim, "size", 1) for dim in shape.get("dims", ())])


def _numbers(tensor: Message) -> Iterator[float]:
    """A small tensor's numbers; none where they are stored in a way that no exporter uses."""
    code = _CODES.get(_last(tensor, "element", 0), "")
    raw = _last(tensor, "raw", b"")
    if code and raw and len(raw) % struct.calcsize(code) == 0:
        for (number,) in struct.iter_unpack(f"<{code}", raw):
            yield float(number)
    elif code in ("i", "q"):
        for packed in tensor.get("whole", ()):
            yield from _varints(packed)
    elif code == "f":
        for packed in tensor.get("floats", ()):
            if len(packed) % 4 == 0:
                yield from (float(number) for (number,) in struct.iter_unpack("<f", packed))


def _varints(packed: bytes) -> Iterator[float]:
    value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield float(value - 2**64 if value >= 2**63 else value)
            value = shift = 0


def _last(message: Message, name: str, default: Any) -> Any:
    values = message.get(name, ())
    return values[-1] if values else default


def _too_many(size: float) -> str:
    return f"has {size:.3g} numbers, more than {MOST:,}"
