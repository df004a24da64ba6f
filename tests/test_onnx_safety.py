"""ONNX files are read without the onnx package, and not trusted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper
from onnx_tools import brightness, build, convolution, field, identity

from deep_onnx.allowed import CONTRIBUTED
from deep_onnx.card import KEY
from deep_onnx.file import MAX_NODES, WireError, check, read
from deep_onnx.session import Session
from deep_onnx.translator import load
from pixelreg.errors import ModelFileError

KINDS = {1: "float32", 2: "uint8", 7: "int64", 10: "float16", 11: "float64"}
CROP = (1, 3, 32, 32)
OPSETS = [helper.make_opsetid("", 18)]


def refusal(model: ModelProto | bytes) -> str:
    """The line that a model is refused with."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ModelFileError) as caught:
        check(content, "x.onnx")
    line = str(caught.value)
    assert line.startswith("x.onnx is not a usable ONNX file: ")
    assert "\n" not in line
    return line


# -- honest files ------------------------------------------------------------------------------


def values_by_onnx(infos: Any) -> tuple[Any, ...]:
    def dims(shape: Any) -> Any:
        return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in shape)

    tensors = [(info.name, info.type.tensor_type) for info in infos]
    return tuple(
        (name, KINDS[t.elem_type], dims(t.shape.dim) if t.HasField("shape") else None)
        for name, t in tensors
    )


def by_onnx(content: bytes) -> tuple[Any, ...]:
    """What the onnx package reads from a file."""
    model = onnx.load_model_from_string(content)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return (
        {opset.domain: opset.version for opset in model.opset_import},
        {entry.key: entry.value for entry in model.metadata_props},
        tuple(value for value in values_by_onnx(model.graph.input) if value[0] not in stored),
        values_by_onnx(model.graph.output),
        sum(array.size for array in stored.values() if array.dtype.kind == "f"),
    )


def rich() -> ModelProto:
    """A model with a bit of everything that is allowed."""
    weights = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32)
    model = convolution(weights, image=("N", 3, None, 64), output=(2, 3, "H", "W"))
    model.graph.input.append(helper.make_tensor_value_info("weights", 1, (3, 3, 3, 3)))
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value_ints=[-1, 2**40, 3]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    helper.set_model_props(model, {"a": "b", "ü": "ß", KEY: "x" * 300})
    model.graph.value_info.append(helper.make_tensor_value_info("v", 1, None))
    model.doc_string = "a" * 200
    return model


def shapeless() -> ModelProto:
    model = identity()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize("model", [rich(), identity(), brightness(element="float64"), shapeless()])
def test_reads_what_the_onnx_package_reads(model) -> None:
    content = model.SerializeToString()
    found = check(content, "m")
    assert (found.name, found.data) == ("m", content)
    read_by_us = (found.opsets, found.metadata, found.inputs, found.outputs, found.parameters)
    assert read_by_us == by_onnx(content)


def test_large_weights_are_passed_over() -> None:
    model = identity()
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(10**7, np.float32), "w"))
    content = model.SerializeToString()
    start = time.perf_counter()
    assert check(content, "m").parameters == 10**7
    assert time.perf_counter() - start < 1


# -- weights elsewhere -------------------------------------------------------------------------


def outside(size: int = 4) -> TensorProto:
    """A tensor that lies in the file ``secret`` of the current folder."""
    place = TensorProto.EXTERNAL
    tensor = TensorProto(name="weights", data_type=1, dims=[size], data_location=place)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def in_attribute(name: str, tensor: TensorProto) -> AttributeProto:
    """An attribute that holds a tensor in its field of that name."""
    kinds = {"t": 4, "g": 5, "tensors": 9, "graphs": 10, "sparse_tensor": 11, "sparse_tensors": 12}
    made = AttributeProto(name="hidden", type=kinds[name])
    value: Any = tensor
    if name in ("g", "graphs"):
        value = helper.make_graph([], "inner", [], [], [tensor])
    elif name.startswith("sparse"):
        value = onnx.SparseTensorProto(values=tensor, dims=[4])
    held = getattr(made, name)
    held.append(value) if name.endswith("s") else held.CopyFrom(value)
    return made


def hide(model: ModelProto, where: str, tensor: TensorProto) -> None:
    graph = model.graph
    if where == "initializer":
        graph.initializer.append(tensor)
    elif where in ("values", "indices"):
        graph.sparse_initializer.append(onnx.SparseTensorProto(**{where: tensor}, dims=[4]))
    elif where == "function's node":
        node = helper.make_node("Constant", [], ["y"])
        node.attribute.append(in_attribute("t", tensor))
        model.functions.append(helper.make_function("f", "F", [], ["y"], [node], OPSETS))
    elif where == "function's default":
        default = [in_attribute("t", tensor)]
        made = helper.make_function("f", "F", [], ["y"], [], OPSETS, attribute_protos=default)
        model.functions.append(made)
    elif where in ("initialization", "algorithm"):
        inner = in_attribute("g", tensor).g
        getattr(model.training_info.add(), where).CopyFrom(inner)
    else:
        graph.node[0].attribute.append(in_attribute(where, tensor))


@pytest.mark.parametrize(
    "where",
    [
        *("initializer", "values", "indices", "function's node", "function's default"),
        *("initialization", "algorithm"),
        *("t", "g", "tensors", "graphs", "sparse_tensor", "sparse_tensors"),
    ],
)
def test_tensors_in_other_files_are_refused_wherever_they_hide(where) -> None:
    model = identity()
    hide(model, where, outside())
    assert "keeps weights in another file" in refusal(model)
    model = identity()
    hide(model, where, numpy_helper.from_array(np.ones(4, np.float32), "weights"))
    check(model.SerializeToString(), "m")  # the same place is no offence


@pytest.mark.parametrize("missing", ["data_location", "external_data"])
def test_half_of_the_signs_are_enough(missing) -> None:
    tensor, model = outside(), identity()
    tensor.ClearField(missing)
    model.graph.initializer.append(tensor)
    assert "keeps weights in another file" in refusal(model)


def test_a_location_that_only_means_elsewhere_in_32_bits_is_refused() -> None:
    number = b"\x70" + b"\x81\x80\x80\x80\x10"  # field 14 = 2**32 + 1, which protobuf cuts to 1
    assert TensorProto.FromString(number).data_location == TensorProto.EXTERNAL
    assert "another file" in refusal(field(7, field(5, number)))


def test_weights_beside_the_file_are_never_opened(tiny_onnx, tmp_path, monkeypatch) -> None:
    """onnxruntime itself would read them from the current folder, even for a model in memory."""
    import onnxruntime

    add = helper.make_node("Add", ["image", "weights"], ["output"])
    model = build([add], image=CROP, output=CROP)
    model.graph.initializer.append(outside(32))
    np.ones(32, np.float32).tofile(tmp_path / "secret")
    file = tiny_onnx(model, dynamic=False)
    monkeypatch.chdir(tmp_path)
    trusting = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    (made,) = trusting.run(None, {"image": np.zeros(CROP, np.float32)})
    assert (made == 1).all()  # what must not happen
    with pytest.raises(ModelFileError, match="keeps weights in another file"):
        load(file)


# -- operators ---------------------------------------------------------------------------------


def calling(domain: str, operator: str) -> ModelProto:
    return build([helper.make_node(operator, ["image"], ["output"], domain=domain)])


@pytest.mark.parametrize(
    ("domain", "operator"),
    [
        ("ai.example", "Blur"),
        ("com.microsoft", "EPContext"),
        ("com.microsoft.extensions", "PythonOp"),
        ("ai.onnx.contrib", "StringUpper"),
        ("com.ms.internal.nhwc", "Conv"),
    ],
)
def test_operators_that_are_not_onnxs_own_are_refused(domain, operator) -> None:
    foreign, nested, called = calling(domain, operator), identity(), identity()
    nested.graph.node[0].attribute.add(name="hidden", type=5).g.CopyFrom(foreign.graph)
    node = helper.make_node(operator, [], ["y"], domain=domain)
    called.functions.append(helper.make_function("f", "F", [], ["y"], [node], OPSETS))
    for model in (foreign, nested, called):
        assert f"needs the operator {operator!r} of {domain!r}" in refusal(model)


def test_onnxs_own_and_onnxruntimes_arithmetic_are_welcome() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    known = {s.name for s in state.get_all_operator_schema() if s.domain == "com.microsoft"}
    assert known >= CONTRIBUTED
    for domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft"):
        assert check(calling(domain, "QLinearAdd").SerializeToString(), "m").inputs


def with_functions(calls: dict[str, list[str]]) -> ModelProto:
    """A model that calls f0; every function adds nodes that call the others."""
    model, opsets = calling("f", "f0"), [*OPSETS, helper.make_opsetid("f", 1)]
    model.opset_import.append(opsets[1])
    for name, called in calls.items():
        nodes = [helper.make_node(other, ["x"], ["y"], domain="f") for other in called]
        nodes = nodes or [helper.make_node("Identity", ["x"], ["y"])]
        model.functions.append(helper.make_function("f", name, ["x"], ["y"], nodes, opsets))
    return model


def test_functions_of_the_file_itself_are_run(tiny_onnx) -> None:
    file = tiny_onnx(with_functions({"f0": ["f1"], "f1": []}))
    picture = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert (load(file).translate(picture, "happy") == picture).all()


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ({"f0": ["f0"]}, "calls itself"),
        ({"f0": ["f1"], "f1": ["f2"], "f2": ["f0"]}, "calls itself"),
        (
            {**{f"f{k}": [f"f{k + 1}"] * 10 for k in range(20)}, "f20": []},
            f"more than {MAX_NODES} operators",
        ),
    ],
)
def test_functions_that_never_end_are_refused(calls, says) -> None:
    assert says in refusal(with_functions(calls))


# -- damage ------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 graphs instead of one"),
        (field(7, b"") * 2, "2 graphs instead of one"),
        (b"<html>", ""),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ""),
        (bytes(50), "a field 0 at byte 0"),
        (b"\x3a\x05", "cut short"),
        (b"\x08", "cut short"),
        (b"\x08" + b"\xff" * 20, "a number without an end"),
        (b"\x3b\x3c", "unknown type 3"),
        (b"\x38\x01", "a number for a graph"),
        (field(7, b"\x08\x01"), "a number for a node"),
        (field(7, b"") + field(14, field(1, b"\xff\xfe")), "no UTF-8"),
        (field(7, b"") + b"\x70\x01", "a number for a property"),
        (field(7, field(11, b"\x08\x01")), "a number for a text"),
        (field(7, field(5, b"\x0d" + bytes(4))), "the wrong type of number"),
        (nested(2000), "nested too deeply"),
        (b"\x08\x00" * 3_000_000, "too many parts"),
        (field(7, field(5, field(1, bytes(2_100_000)))), "too many parts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_files_are_refused_in_one_line(content, says) -> None:
    assert says in refusal(content)


def test_nesting_that_is_honest_is_read() -> None:
    check(nested(15), "m")


CONTENT = rich().SerializeToString()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(CONTENT)),
    st.binary(max_size=80),
)
def test_random_bytes_give_contents_or_one_line(changes, end, anything) -> None:
    damaged = bytearray(CONTENT)
    for place, byte in changes:
        damaged[place] = byte
    for content in (bytes(damaged), bytes(damaged[:end]), anything):
        refused: ModelFileError | None = None
        try:
            check(content, "m")
        except ModelFileError as error:
            refused = error
        assert refused is None or isinstance(refused.__cause__, WireError)
        assert "\n" not in str(refused)


# -- files -------------------------------------------------------------------------------------


def test_files_that_cannot_be_models(tmp_path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_bytes(b"hello")
    for name, says in (
        ("empty.onnx", "is empty"),
        ("text.onnx", "not a usable ONNX file"),
        ("none.onnx", "cannot read"),
        (".", "cannot read"),
    ):
        with pytest.raises(ModelFileError, match=says):
            load(tmp_path / name)


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**31)  # holes take no space
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(ModelFileError, match=r"2\.0 GB large"):
        read(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "the description of the model is wrong"),
        ("[]", "schema is not"),
        ("{}", "schema is not"),
        ('{"schema": "pixelreg-onnx", "version": 2}', "version 2 is unknown"),
        ("[" * 100_000, "the description of the model is wrong"),
    ],
)
def test_cards_that_are_none(tmp_path, text, says) -> None:
    model = identity()
    helper.set_model_props(model, {KEY: text})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=says):
        load(tmp_path / "m.onnx")


def test_bytes_in_onnxruntimes_own_format_are_not_taken_for_a_model() -> None:
    """A file may be both: "ORTM" in bytes 4 to 8 makes onnxruntime read it past all checks."""
    content = field(2, b"xxORTMxx") + identity().SerializeToString()
    assert content[4:8] == b"ORTM"
    (made,) = Session(check(content, "m")).run({"image": np.ones((1, 3, 8, 8), np.float32)})
    assert (made == 1).all()
