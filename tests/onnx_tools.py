"""Tiny ONNX models for tests, made with the onnx package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from deep_onnx.card import KEY, Card

ANY = ("N", 3, "H", "W")
TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
    "int64": TensorProto.INT64,
}


@contextmanager
def refused(error: type[Exception], says: str) -> Iterator[None]:
    """What is done within fails with an error of one line that says so."""
    with pytest.raises(error) as caught:
        yield
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def by_onnxruntime(path: Path, **inputs: Any) -> np.ndarray:
    """The first output of a file, run by onnxruntime alone; inputs are arrays or tensors."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    made: np.ndarray = session.run(None, {k: np.asarray(v) for k, v in inputs.items()})[0]
    return made


def build(
    nodes: Sequence[NodeProto],
    tensors: Mapping[str, np.ndarray] | None = None,
    image: Sequence[Any] = ANY,
    condition: int = 0,
    output: Sequence[Any] = ANY,
    element: str = "float32",
) -> ModelProto:
    """A model from ``image``, and ``condition`` numbers where there are any, to ``output``."""
    kind = TYPES[element]
    inputs = [helper.make_tensor_value_info("image", kind, image)]
    if condition:
        shape = (image[0], condition)
        inputs.append(helper.make_tensor_value_info("condition", kind, shape))
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        inputs,
        [helper.make_tensor_value_info("output", kind, output)],
        [numpy_helper.from_array(value, name) for name, value in (tensors or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def identity(**options: Any) -> ModelProto:
    """A model that gives back what it gets."""
    return build([helper.make_node("Identity", ["image"], ["output"])], **options)


def brightness(**options: Any) -> ModelProto:
    """image + first entry of the condition - second entry, on every colour."""
    signs = np.array([[1.0], [-1.0]], np.dtype(options.get("element", "float32")))
    nodes = [
        helper.make_node("MatMul", ["condition", "signs"], ["amount"]),
        helper.make_node("Unsqueeze", ["amount", "axes"], ["plane"]),
        helper.make_node("Add", ["image", "plane"], ["output"]),
    ]
    tensors = {"signs": signs, "axes": np.array([2, 3])}
    return build(nodes, tensors, condition=2, **options)


def convolution(weights: np.ndarray, **options: Any) -> ModelProto:
    """A convolution with zeros around the picture; weights (3, 3, k, k)."""
    side = weights.shape[2] // 2
    node = helper.make_node("Conv", ["image", "weights"], ["output"], pads=[side] * 4)
    return build([node], {"weights": weights}, **options)


def field(number: int, value: bytes) -> bytes:
    """A field of bytes, as it stands in a file."""
    length = len(value)
    parts = [number << 3 | 2]
    while length > 127:
        parts.append(length & 127 | 128)
        length >>= 7
    return bytes([*parts, length]) + value


def save(model: ModelProto, path: Path, **card: Any) -> Path:
    """Write a model with the card of a picture model that takes any size."""
    values = {
        "architecture": "tiny",
        "targets": {"happy": ()},
        "dynamic": True,
        "size": 32,
        "placement": "whole",
    }
    said = Card(**{**values, **card})  # type: ignore[arg-type]
    helper.set_model_props(model, {KEY: said.to_json()})
    path.write_bytes(model.SerializeToString())
    return path


def sliders(**card: Any) -> dict[str, Any]:
    """What the card of a `brightness` model says of its condition."""
    return {
        "target_kind": "action-units",
        "targets": {"neutral": (0.0, 0.0), "happy": (0.5, 0.0), "sad": (0.0, 0.25)},
        "condition": ("AU6", "AU12"),
        "condition_input": "condition",
        **card,
    }
