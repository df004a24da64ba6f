"""What an ONNX file may cost: reckoned before it runs, and bounded as it runs."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import ModelProto, helper, numpy_helper
from onnx_tools import build

import deep_onnx.session as sessions
from deep_onnx.file import MAX_FIELDS, check
from deep_onnx.session import Session
from pixelreg.errors import ModelFileError

SIDES = (1, 3, 8, 8)


def model(operator: str, values: list[list[float]], kind: type = np.int64) -> ModelProto:
    """A graph of one operator whose other inputs are constants."""
    tensors = {f"c{k}": np.asarray(each, kind) for k, each in enumerate(values)}
    first = [] if operator in ("ConstantOfShape", "Range") else ["image"]
    gap = [""] if operator == "Resize" else []
    nodes = [helper.make_node(operator, [*first, *gap, *tensors], ["output"])]
    return build(nodes, tensors, image=SIDES, output=("N", "C", "H", "W"))


GROWING = {
    "Tile": [[1, 1, 4000, 4000]],
    "Expand": [[1, 3, 30_000, 30_000]],
    "ConstantOfShape": [[1, 3, 30_000, 30_000]],
    "Pad": [[0, 0, 9000, 9000, 0, 0, 9000, 9000]],
}


def refused(made: ModelProto | bytes, says: str) -> None:
    content = made if isinstance(made, bytes) else made.SerializeToString()
    started = time.perf_counter()
    with pytest.raises(ModelFileError, match=says) as caught:
        check(content, "x.onnx")
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("operator", GROWING)
def test_what_multiplies_is_reckoned(operator: str) -> None:
    refused(model(operator, GROWING[operator]), f"{operator} has .* numbers, more than")
    small = [
        [min(max(number, 1), 2) if operator != "Pad" else 1 for number in each]
        for each in GROWING[operator]
    ]
    check(model(operator, small).SerializeToString(), "x.onnx")


def test_counting_and_scaling_are_reckoned() -> None:
    scalars = {
        name: np.asarray(value, np.int64) for name, value in {"a": 0, "b": 10**12, "c": 1}.items()
    }
    node = helper.make_node("Range", ["a", "b", "c"], ["output"])
    refused(build([node], scalars, image=SIDES, output=("N",)), "Range has")
    refused(model("Resize", [[1, 1, 1e4, 1e4]], np.float32), "Resize has")
    check(model("Resize", [[1, 1, 2, 2]], np.float32).SerializeToString(), "x.onnx")


def test_a_constant_node_says_as_much_as_a_stored_one() -> None:
    shape = numpy_helper.from_array(np.array([1, 3, 30_000, 30_000]), "s")
    for told in ({"value": shape}, {"value_ints": [1, 3, 30_000, 30_000]}):
        nodes = [
            helper.make_node("Constant", [], ["s"], **told),
            helper.make_node("ConstantOfShape", ["s"], ["output"]),
        ]
        refused(build(nodes, image=SIDES), "ConstantOfShape has")


def test_declared_sizes_are_reckoned() -> None:
    copy = [helper.make_node("Identity", ["image"], ["output"])]
    refused(build(copy, image=SIDES, output=(1, 3, 30_000, 30_000)), "its output 'output' has")
    refused(build(copy, image=(10**6, 3, 32, 32)), "its value 'image' has")


@pytest.mark.parametrize("operator", ["Loop", "Scan", "If"])
def test_what_repeats_or_chooses_is_refused(operator: str) -> None:
    nodes = [helper.make_node(operator, ["image"], ["output"])]
    refused(build(nodes), f"{operator}.*straight")


def test_a_file_of_many_fields_is_refused_soon() -> None:
    started = time.perf_counter()
    refused(b"\x08\x08" * (10 * MAX_FIELDS), "too many parts")
    assert time.perf_counter() - started < 1.5


def test_memory_is_bounded_as_it_runs(monkeypatch) -> None:
    """Sizes that are computed: no file says them."""
    nodes = [
        helper.make_node("Shape", ["image"], ["s"]),
        helper.make_node("Mul", ["s", "by"], ["large"]),
        helper.make_node("Expand", ["one", "large"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["sum"]),
        helper.make_node("Add", ["image", "sum"], ["output"]),
    ]
    tensors = {"by": np.array([1, 1, 20_000, 20_000]), "one": np.ones((1, 1, 1, 1), np.float32)}
    made = build(nodes, tensors, image=("N", 3, "H", "W"))
    session = Session(check(made.SerializeToString(), "x.onnx"), "cpu")
    with pytest.raises(ModelFileError, match=r"GB of memory.*--trust"):
        session.run({"image": np.zeros(SIDES, np.float32)})


def test_time_is_bounded_as_it_runs(monkeypatch) -> None:
    names = ["image", *(f"v{k}" for k in range(400)), "output"]
    nodes = [helper.make_node("Conv", [a, "w"], [b], pads=[3, 3, 3, 3]) for a, b in pairwise(names)]
    weights = {"w": np.full((3, 3, 7, 7), 1e-3, np.float32)}
    contents = check(build(nodes, weights, image=("N", 3, "H", "W")).SerializeToString(), "x.onnx")
    image = {"image": np.zeros((1, 3, 256, 256), np.float32)}
    monkeypatch.setattr(sessions, "SECONDS", 0.05)
    monkeypatch.setattr(sessions, "SECONDS_A_MILLION", 0.0)
    with pytest.raises(ModelFileError, match=r"too long.*--trust"):
        Session(contents, "cpu", threads=1).run(image)
    made = Session(contents, "cpu", threads=1, trusted=True).run(image)[0]
    assert made.shape == (1, 3, 256, 256)
