"""FaceMesh's weights out of its ONNX file, and rounded to int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.faces.facemesh import BODY, HEADS

Layer = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_network(path: Path) -> dict[str, np.ndarray]:
    """Float32 tensors by the names that `pixelreg.faces.facemesh` gives them."""
    import onnx

    graph = onnx.load(str(path)).graph
    tensors: dict[str, np.ndarray] = {}
    for name, steps in HEADS.items():
        layers = _layers(graph, name)
        body, rest = layers[1 : 1 + 2 * len(BODY)], layers[1 + 2 * len(BODY) :]
        tensors |= _product("first", layers[0])
        for k in range(len(BODY)):
            tensors |= _block(f"body{k:02}", *body[2 * k : 2 * k + 2])
        for k in range(len(steps)):
            tensors |= _block(f"{name}{k}", *rest[2 * k : 2 * k + 2])
        narrow, deep, wide, last = rest[2 * len(steps) :]
        tensors |= _product(f"{name}.narrow", narrow) | _block(f"{name}.block", deep, wide)
        tensors |= _product(f"{name}.last", last)
    return tensors


def rounded(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices as int8 with a step for each output channel, everything else as float16."""
    made: dict[str, np.ndarray] = {}
    for name, whole in tensors.items():
        if whole.ndim < 2:
            made[name] = whole.astype(np.float16)
            continue
        step = np.abs(whole).max(axis=tuple(range(whole.ndim - 1))) / 127
        step = np.maximum(step, np.float32(1e-6)).astype(np.float16)
        levels = np.rint(whole / step.astype(np.float32)).clip(-127, 127)
        made[name], made[f"{name}.step"] = levels.astype(np.int8), step
    return made


def _layers(graph: Any, output: str) -> list[Layer]:
    """Weight, bias and slope of the convolutions on the way to an output, first to last."""
    from onnx import numpy_helper

    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    values |= {n.output[0]: values[n.input[0]] for n in graph.node if n.op_type == "Cast"}
    maker = {node.output[0]: node for node in graph.node}
    found: list[Layer] = []
    slope, tensor = np.empty(0), output
    while tensor in maker:
        node = maker[tensor]
        tensor = node.input[0]
        if node.op_type == "PRelu":
            slope = values[node.input[1]].reshape(-1)
        elif node.op_type == "Add":  # a block's own way, not the one around it
            tensor = next(one for one in node.input if maker[one].op_type == "Conv")
        elif node.op_type == "Conv":
            weight, bias = (values[one].astype(np.float32) for one in node.input[1:])
            found.append((weight, bias, slope.astype(np.float32)))
            slope = np.empty(0)
    return found[::-1]


def _product(name: str, layer: Layer) -> dict[str, np.ndarray]:
    weight, offset, slope = layer
    rows = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    return {f"{name}.weight": rows, f"{name}.offset": offset, f"{name}.slope": slope}


def _block(name: str, deep: Layer, wide: Layer) -> dict[str, np.ndarray]:
    over_channels = wide[0][:, :, 0, 0].T
    return {
        f"{name}.deep": deep[0][:, 0].transpose(1, 2, 0),
        f"{name}.wide": over_channels,
        f"{name}.offset": wide[1] + deep[1] @ over_channels,  # nothing stands between the two
        f"{name}.slope": wide[2],
    }
