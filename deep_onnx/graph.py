"""A graph of ONNX operators, put together one by one and written as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deep_onnx.card import KEY, Card
from deep_onnx.file import check
from deep_onnx.wire import NUMBERS, Parts, attribute, tensor, value, written
from pixelreg.arrays import Array

OPSET, IR = 13, 7  # what onnxruntime has read since 1.6 (2020)


class Graph:
    """Operators in the order in which they run; names stand for what flows between them.

    learnt : bytes of the constants that were told to be learnt numbers.
    """

    def __init__(self) -> None:
        self.learnt = 0
        self._nodes: list[Parts] = []
        self._tensors: dict[tuple[Any, ...], str] = {}
        self._stored: list[Parts] = []

    def __call__(self, operator: str, *takes: str, gives: str = "", **told: Any) -> str:
        """The name of what an operator gives; ``told`` are its attributes."""
        name = gives or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(
            {
                "operator": [operator],
                "takes": list(takes),
                "gives": [name],
                "attributes": [attribute(key, given) for key, given in sorted(told.items())],
            }
        )
        return name

    def constant(self, values: Array, name: str = "", learnt: bool = False) -> str:
        """The name of an array of the file; the same one again where there is one like it."""
        key = values.dtype.name, values.shape, values.tobytes()
        if key not in self._tensors:
            self.learnt += values.nbytes if learnt else 0
            called = f"{name or 'constant'}_{len(self._stored)}"
            self._tensors[key] = called
            self._stored.append(tensor(called, values))
        return self._tensors[key]

    def number(self, value: float) -> str:
        """A constant float32."""
        return self.constant(np.array(value, np.float32))

    def whole(self, *values: int) -> str:
        """Constant whole numbers, as operators take axes and shapes."""
        return self.constant(np.array(values, np.int64))

    def floats(self, name: str) -> str:
        """Something as float32."""
        return self("Cast", name, to=NUMBERS["float32"])

    def wholes(self, name: str) -> str:
        """Something as int32, cut off; what is looked up by it is."""
        return self("Cast", name, to=NUMBERS["int32"])

    def grey_levels(self, name: str, gives: str) -> str:
        """Floats on [0, 1] as uint8, rounded and clipped as `pixelreg.models.plans.to_bytes`."""
        levels = self("Round", self("Mul", name, self.number(255)))
        inside = self("Clip", levels, self.number(0), self.number(255))
        return self("Cast", inside, to=NUMBERS["uint8"], gives=gives)

    def file(
        self,
        card: Card,
        takes: Mapping[str, tuple[str, tuple[int | str, ...]]],
        gives: Mapping[str, tuple[str, tuple[int | str, ...]]],
        told: Mapping[str, str],
    ) -> bytes:
        """The file's bytes, found in order.

        takes, gives : name -> kind of number and shape.
        told : what stands in its metadata besides the card.
        """
        graph: Parts = {
            "name": [card.architecture],
            "nodes": self._nodes,
            "tensors": self._stored,
            "inputs": _values(takes),
            "outputs": _values(gives),
        }
        said = {KEY: card.to_json(), **{key: text for key, text in told.items() if text}}
        model: Parts = {
            "ir": [IR],
            "producer": ["pixelreg"],
            "opsets": [{"version": [OPSET]}],
            "graphs": [graph],
            "metadata": [{"key": [key], "value": [text]} for key, text in said.items()],
        }
        data = written("model", model)
        check(data, "what was written")
        return data


def _values(named: Mapping[str, tuple[str, tuple[int | str, ...]]]) -> list[Parts]:
    return [value(name, element, dims) for name, (element, dims) in named.items()]
