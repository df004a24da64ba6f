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
from onnx_tools import brightness, build, convolution, field, identity, save

from deep_onnx.card import KEY
from deep_onnx.file import CONTRIBUTED, MAX_NODES, WireError, check, read
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


def by_onnx(content: bytes) -> tuple[Any, ...]:
    """What the onnx package reads from a file."""
    model = onnx.load_model_from_string(content)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def values(infos: Any) -> tuple[Any, ...]:
        found = []
        for info in infos:
            tensor, dims = info.type.tensor_type, None
            if tensor.HasField("shape"):
                dims = tuple(
                    dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
                    for dim in tensor.shape.dim
                )
            found.append((info.name, KINDS[tensor.elem_type], dims))
        return tuple(found)

    return (
        {opset.domain: opset.version for opset in model.opset_import},
        {entry.key: entry.value for entry in model.metadata_props},
        tuple(v for v in values(model.graph.input) if v[0] not in stored),
        values(model.graph.output),
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


# -- weights elsewhere -------------------------------------------------------------------------


def outside(name: str = "weights") -> TensorProto:
    """A tensor that lies in the file ``secret`` of the current folder."""
    tensor = TensorProto(name=name, data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def attribute(kind: int, field: str, value: Any) -> AttributeProto:
    made = AttributeProto(name="hidden", type=kind)
    held = getattr(made, field)
    held.append(value) if field.endswith("s") else held.CopyFrom(value)
    return made


def in_graph(tensor: TensorProto) -> Any:
    return helper.make_graph([], "inner", [], [], [tensor])


def sparse(tensor: TensorProto) -> Any:
    return onnx.SparseTensorProto(values=tensor, dims=[4])


HIDING = {
    "initialiser": lambda m, t: m.graph.initializer.append(t),
    "sparse values": lambda m, t: m.graph.sparse_initializer.append(sparse(t)),
    "sparse indices": lambda m, t: m.graph.sparse_initializer.append(
        onnx.SparseTensorProto(indices=t, dims=[4])
    ),
    "attribute": lambda m, t: m.graph.node[0].attribute.append(attribute(4, "t", t)),
    "attribute's list": lambda m, t: m.graph.node[0].attribute.append(attribute(9, "tensors", t)),
    "attribute's graph": lambda m, t: m.graph.node[0].attribute.append(
        attribute(5, "g", in_graph(t))
    ),
    "attribute's graphs": lambda m, t: m.graph.node[0].attribute.append(
        attribute(10, "graphs", in_graph(t))
    ),
    "attribute's sparse": lambda m, t: m.graph.node[0].attribute.append(
        attribute(11, "sparse_tensor", sparse(t))
    ),
    "attribute's sparse list": lambda m, t: m.graph.node[0].attribute.append(
        attribute(12, "sparse_tensors", sparse(t))
    ),
    "function's node": lambda m, t: m.functions.append(
        helper.make_function("f", "F", [], ["y"], [constant(t)], [helper.make_opsetid("", 18)])
    ),
    "function's default": lambda m, t: m.functions.append(
        helper.make_function(
            *("f", "F", [], ["y"], [], [helper.make_opsetid("", 18)]),
            attribute_protos=[attribute(4, "t", t)],
        )
    ),
    "training": lambda m, t: m.training_info.add().initialization.CopyFrom(in_graph(t)),
    "training's algorithm": lambda m, t: m.training_info.add().algorithm.CopyFrom(in_graph(t)),
}


def constant(tensor: TensorProto) -> Any:
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(attribute(4, "t", tensor))
    return node


@pytest.mark.parametrize("where", HIDING)
def test_tensors_in_other_files_are_refused_wherever_they_hide(where) -> None:
    model = identity()
    HIDING[where](model, outside())
    assert "keeps weights in another file" in refusal(model)
    model = identity()
    HIDING[where](model, numpy_helper.from_array(np.ones(4, np.float32), "weights"))
    check(model.SerializeToString(), "m")  # the same place is no offence


@pytest.mark.parametrize("only", ["data_location", "external_data"])
def test_half_of_the_signs_are_enough(only) -> None:
    tensor = outside()
    tensor.ClearField({"data_location": "external_data", "external_data": "data_location"}[only])
    model = identity()
    model.graph.initializer.append(tensor)
    assert "keeps weights in another file" in refusal(model)


def test_a_location_that_only_means_elsewhere_in_32_bits_is_refused() -> None:
    number = b"\x70" + b"\x81\x80\x80\x80\x10"  # field 14 = 2**32 + 1, which protobuf cuts to 1
    assert TensorProto.FromString(number).data_location == TensorProto.EXTERNAL
    assert "another file" in refusal(field(7, field(5, number)))


def test_weights_beside_the_file_are_never_opened(tmp_path, monkeypatch) -> None:
    """onnxruntime itself would read them from the current folder, even for a model in memory."""
    import onnxruntime

    model = build(
        [helper.make_node("Add", ["image", "weights"], ["output"])], image=CROP, output=CROP
    )
    tensor = outside()
    tensor.dims[:] = [32]
    model.graph.initializer.append(tensor)
    np.ones(32, np.float32).tofile(tmp_path / "secret")
    file = save(model, tmp_path / "m.onnx", dynamic=False)
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
    assert f"needs the operator {operator!r} of {domain!r}" in refusal(calling(domain, operator))
    inner = attribute(5, "g", calling(domain, operator).graph)
    model = identity()
    model.graph.node[0].attribute.append(inner)
    assert f"needs the operator {operator!r}" in refusal(model)
    model = identity()
    node = helper.make_node(operator, [], ["y"], domain=domain)
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("f", "F", [], ["y"], [node], opsets))
    assert f"needs the operator {operator!r}" in refusal(model)


def test_onnxs_own_and_onnxruntimes_arithmetic_are_welcome() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    known = {s.name for s in state.get_all_operator_schema() if s.domain == "com.microsoft"}
    assert known >= CONTRIBUTED
    for domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft"):
        assert check(calling(domain, "QLinearAdd").SerializeToString(), "m").inputs


def with_functions(calls: dict[str, list[str]]) -> ModelProto:
    """A model that calls f0; every function adds nodes that call the others."""
    model = calling("f", "f0")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    model.opset_import.append(opsets[1])
    for name, called in calls.items():
        nodes = [helper.make_node(other, ["x"], ["y"], domain="f") for other in called]
        nodes = nodes or [helper.make_node("Identity", ["x"], ["y"])]
        model.functions.append(helper.make_function("f", name, ["x"], ["y"], nodes, opsets))
    return model


def test_functions_of_the_file_itself_are_run(tmp_path) -> None:
    file = save(with_functions({"f0": ["f1"], "f1": []}), tmp_path / "m.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert (load(file).translate(picture, "happy") == picture).all()


@pytest.mark.parametrize("calls", [{"f0": ["f0"]}, {"f0": ["f1"], "f1": ["f2"], "f2": ["f0"]}])
def test_functions_that_call_themselves_are_refused(calls) -> None:
    assert "calls itself" in refusal(with_functions(calls))


def test_functions_that_multiply_are_refused() -> None:
    calls = {f"f{k}": [f"f{k + 1}"] * 10 for k in range(20)}
    assert f"more than {MAX_NODES} operators" in refusal(with_functions({**calls, "f20": []}))


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
        (b"<html>", ""),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ""),
        (b"PK\x03\x04" + bytes(50), ""),
        (bytes(50), "a field 0 at byte 0"),
        (b"\x3a\x05", "cut short"),
        (b"\x08", "cut short"),
        (b"\x08" + b"\xff" * 20, "a number without an end"),
        (b"\x3a" + b"\xff" * 9 + b"\x01", "cut short"),
        (b"\x3b\x3c", "unknown type 3"),
        (b"\x0d\x00\x00", "cut short"),
        (b"\x38\x01", "a number for a graph"),
        (field(7, b"\x08\x01"), "a number for a node"),
        (field(7, b"") + field(14, field(1, b"\xff\xfe")), "no UTF-8"),
        (field(7, b"") + b"\x70\x01", "a number for a property"),
        (field(7, field(11, b"\x08\x01")), "a number for a text"),
        (nested(100_000 // 50), "nested too deeply"),
    ],
)
def test_damaged_files_are_refused_in_one_line(content, says) -> None:
    assert says in refusal(content)


def test_nesting_that_is_honest_is_read() -> None:
    check(nested(15), "m")


def test_a_file_of_nothing_but_parts_is_soon_given_up() -> None:
    start = time.perf_counter()
    assert "too many parts" in refusal(b"\x08\x00" * 3_000_000)
    assert time.perf_counter() - start < 60
    packed = field(7, field(5, field(1, bytes(2_100_000))))
    assert "too many parts" in refusal(packed)


def test_large_weights_are_passed_over(tmp_path) -> None:
    weights = np.zeros(10_000_000, np.float32)
    model = identity()
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    content = model.SerializeToString()
    start = time.perf_counter()
    assert check(content, "m").parameters == weights.size
    assert time.perf_counter() - start < 1


def one_line_at_most(content: bytes) -> None:
    """Nothing but a refusal comes out of the reader, and that because of the bytes."""
    refused: ModelFileError | None = None
    try:
        check(content, "m")
    except ModelFileError as error:
        refused = error
    assert refused is None or isinstance(refused.__cause__, WireError)
    assert "\n" not in str(refused)


CONTENT = rich().SerializeToString()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(CONTENT)),
)
def test_random_bytes_give_contents_or_one_line(changes, end) -> None:
    damaged = bytearray(CONTENT)
    for place, byte in changes:
        damaged[place] = byte
    one_line_at_most(bytes(damaged))
    one_line_at_most(bytes(damaged[:end]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_anything_at_all_gives_contents_or_one_line(content) -> None:
    one_line_at_most(content)


# -- files -------------------------------------------------------------------------------------


def test_files_that_cannot_be_models(tmp_path, monkeypatch) -> None:
    for content, says in ((b"", "is empty"), (b"hello", "not a usable ONNX file")):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match=says):
            load(tmp_path / "m.onnx")
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelFileError, match="cannot read"):
            load(path)


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


def test_bytes_in_onnxruntimes_own_format_are_not_taken_for_a_model(tmp_path) -> None:
    """A file may be both: "ORTM" in bytes 4 to 8 makes onnxruntime read it past all checks."""
    content = field(2, b"xxORTMxx") + identity().SerializeToString()
    assert content[4:8] == b"ORTM"
    (tmp_path / "m.onnx").write_bytes(content)
    (made,) = Session(read(tmp_path / "m.onnx")).run({"image": np.ones((1, 3, 8, 8), np.float32)})
    assert (made == 1).all()
