"""Other people's ONNX files: axes, colours, batches, labels, rectangles, scales, and versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx_tools import TYPES, refused
from PIL import Image

from deep_onnx.card import Card, card_from_json
from deep_onnx.model import open_generator
from deep_onnx.translator import OnnxTranslator, load
from pixelreg.errors import ModelFileError

REPORTED = Path(__file__).parents[2] / "shared" / "data" / "reported"
LUMA = np.array([0.299, 0.587, 0.114])


def write(
    path: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[str, Sequence[Any]]],
    output: tuple[str, Sequence[Any]],
    tensors: Mapping[str, np.ndarray] | None = None,
    opset: int = 18,
    ir: int = 9,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "theirs",
        [helper.make_tensor_value_info(n, TYPES[e], s) for n, (e, s) in inputs.items()],
        [helper.make_tensor_value_info("y", TYPES[output[0]], output[1])],
        [numpy_helper.from_array(value, name) for name, value in (tensors or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def described(tmp_path: Path) -> Callable[..., OnnxTranslator]:
    """A model of some nodes, opened with a JSON description beside it."""

    def opened(nodes: Any, inputs: Any, output: Any, tensors: Any = None, **said: Any) -> Any:
        path = write(tmp_path / "m.onnx", nodes, inputs, output, tensors)
        meta = tmp_path / "meta.json"
        meta.write_text(json.dumps({"targets": {"made": []}, "placement": "whole", **said}))
        return load(path, meta=meta, provider="cpu")

    return opened


def node(operator: str, inputs: str = "x", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), ["y"], **attributes)


def photo(height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(height: int = 32, width: int = 32) -> np.ndarray:
    rows = np.linspace(40, 200, height)[:, None, None] + np.array([0, 10, 20])
    return np.repeat(rows, width, axis=1).round().astype(np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", [1, 4, "N"])
@pytest.mark.parametrize("sides", [(32, 32), ("H", "W")])
def test_axes_and_batches_are_seen_from_the_shape(described, layout, batch, sides) -> None:
    shape = (batch, *sides, 3) if layout == "NHWC" else (batch, 3, *sides)
    model = described([node("Neg")], {"x": ("float32", shape)}, ("float32", shape))
    assert (model.card.layout, model.card.dynamic) == (layout, sides[0] == "H")
    assert np.array_equal(model.translate(photo(), "made"), 255 - photo())
    several = np.stack([photo(seed=k) for k in range(6)])
    assert np.array_equal(model.run("made", several), 255 - several)
    if sides[0] == "H":
        assert np.array_equal(model.translate(photo(24, 40), "made"), 255 - photo(24, 40))


def test_axes_that_the_shape_leaves_open_are_said(described) -> None:
    anything = ("N", "A", "B", "C")
    flip = node("Slice", "x starts ends axes steps")
    tensors = {
        "starts": np.array([-1]),
        "ends": np.array([-(2**31)]),
        "axes": np.array([2]),  # width of NHWC, height of NCHW
        "steps": np.array([-1]),
    }
    for layout, expected in (("NHWC", photo()[:, ::-1]), ("NCHW", photo()[::-1])):
        model = described(
            [flip], {"x": ("float32", anything)}, ("float32", anything), tensors, layout=layout
        )
        assert np.array_equal(model.translate(photo(), "made"), expected)


def test_channels_first_in_and_last_out(described) -> None:
    model = described(
        [node("Transpose", perm=[0, 2, 3, 1])],
        {"x": ("float32", (1, 3, 32, 32))},
        ("float32", (1, 32, 32, 3)),
    )
    assert np.array_equal(model.translate(photo(), "made"), photo())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("out", [1, 3])
def test_one_channel_is_grey(described, layout, out) -> None:
    last = layout == "NHWC"
    shape = (1, 32, 32, 1) if last else (1, 1, 32, 32)
    made = (1, 32, 32, out) if last else (1, out, 32, 32)
    nodes = [helper.make_node("Concat", ["x"] * out, ["z"], axis=3 if last else 1)]
    nodes.append(node("Neg", "z"))
    model = described(nodes, {"x": ("float32", shape)}, ("float32", made))
    assert model.card.colour == "grey"
    found = model.translate(photo(), "made")
    grey = 255 - photo() @ LUMA
    assert np.abs(found - grey[..., None]).max() <= 0.51
    assert np.array_equal(found[..., 0], found[..., 2])


def test_colour_in_and_grey_out(described) -> None:
    model = described(
        [node("ReduceMean", "x axes", keepdims=1)],
        {"x": ("float32", ("N", 3, "H", "W"))},
        ("float32", ("N", 1, "H", "W")),
        {"axes": np.array([1])},
    )
    assert np.abs(model.translate(photo(), "made") - photo().mean(2)[..., None]).max() <= 0.51


@pytest.mark.parametrize("shape", [("N",), (1,), (4,), ("N", 1)])
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_labels_are_whole_numbers(described, shape, kind) -> None:
    levels = np.linspace(-0.8, 0.8, 5).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["levels", "label"], ["g"]),
        helper.make_node("Reshape", ["g", "four"], ["level"]),
        helper.make_node("Mul", ["x", "zero"], ["nothing"]),
        node("Add", "nothing level"),
    ]
    tensors = {
        "levels": levels,
        "four": np.array([-1, 1, 1, 1]),
        "zero": np.zeros(1, np.float32),
    }
    batch = shape[0]
    image = (batch, 3, 32, 32)
    TYPES["int32"] = TensorProto.INT32
    model = described(
        nodes,
        {"x": ("float32", image), "label": (kind, shape)},
        ("float32", image),
        tensors,
        targets={"sad": [1], "happy": [4]},
    )
    for target, level in (("sad", levels[1]), ("happy", levels[4]), ([3], levels[3])):
        made = model.translate(photo(), target)
        assert np.abs(made - (level + 1) * 127.5).max() <= 0.51
    with refused(ModelFileError, "takes whole numbers, and targets have others"):
        described(
            nodes,
            {"x": ("float32", image), "label": (kind, shape)},
            ("float32", image),
            tensors,
            targets={"sad": [1.5]},
        )


@pytest.mark.parametrize("placement", ["whole", "square"])
@pytest.mark.parametrize("sides", [(48, 32), (32, 48)])
def test_rectangles_take_the_largest_part_of_their_proportions(described, sides, placement) -> None:
    shape = (1, 3, *sides)
    model = described(
        [node("Neg")], {"x": ("float32", shape)}, ("float32", shape), placement=placement
    )
    assert (model.card.shape, model.card.size) == (sides, 48)
    own = photo(*sides)
    assert np.array_equal(model.translate(own, "made"), 255 - own)
    twice = plain(2 * sides[0], 2 * sides[1] + 10)
    made = model.translate(twice, "made").astype(int)
    assert np.array_equal(made[:, :5], twice[:, :5])
    assert np.array_equal(made[:, -5:], twice[:, -5:])
    assert np.abs(made[:, 5:-5] - (255 - twice[:, 5:-5].astype(int))).max() <= 3
    crops = photo(48, 48)[None]  # as of a face
    made = model.run("made", crops)
    inside = np.s_[:, :, 8:40] if sides == (48, 32) else np.s_[:, 8:40]
    assert np.array_equal(made[inside], 255 - crops[inside])
    assert (made != crops).any(3).sum() == 48 * 32


def test_scales_of_what_goes_in_and_comes_out_differ(described) -> None:
    shape = ("N", 3, "H", "W")
    tensors = {"scale": np.array(127.5, np.float32), "middle": np.array(127.5, np.float32)}
    nodes = [helper.make_node("Mul", ["x", "scale"], ["z"]), node("Sub", "middle z")]
    model = described(
        nodes, {"x": ("float32", shape)}, ("float32", shape), tensors, output_range=[0, 255]
    )
    assert np.array_equal(model.translate(photo(), "made"), 255 - photo())


def test_bytes_stand_for_themselves(described) -> None:
    shape = (1, 32, 32, 3)
    tensors = {"white": np.array(255, np.uint8)}
    model = described([node("Sub", "white x")], {"x": ("uint8", shape)}, ("uint8", shape), tensors)
    assert np.array_equal(model.translate(photo(), "made"), 255 - photo())


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 3), (1, 8, 8)])
@pytest.mark.parametrize("batch", [2, "N"])
def test_generators_too(tmp_path, shape, batch) -> None:
    tensors = {"new": np.array([-1, *shape])}
    path = write(
        tmp_path / "g.onnx",
        [node("Reshape", "z new")],
        {"z": ("float32", (batch, int(np.prod(shape))))},
        ("float32", (batch, *shape)),
        tensors,
    )
    card = Card(
        "theirs",
        task="generate",
        target_kind="noise",
        condition=tuple(map(str, range(int(np.prod(shape))))),
        condition_input="z",
        image_input="",
        output="y",
        layout="NHWC" if shape[2] == 3 else "NCHW",
    )
    import onnx

    model = onnx.load(path)
    helper.set_model_props(model, {"pixelreg": card.to_json()})
    path.write_bytes(model.SerializeToString())
    generator = open_generator(path, provider="cpu")
    noise = generator.noise(5, 0)
    made = generator.invent(noise)
    expected = noise.reshape(5, *shape)
    if shape[2] != 3:
        expected = expected.transpose(0, 2, 3, 1)
    expected = np.clip(np.rint((np.broadcast_to(expected, (5, 8, 8, 3)) + 1) * 127.5), 0, 255)
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"layout": "NCHW"}, "has 32 channels, not 3: its shape is (1, 32, 32, 3)"),
        ({"layout": "CHWN"}, "layout is 'CHWN', not one of NCHW, NHWC"),
        ({"colour": "grey"}, "has 3 channels, not 1"),
        ({"output_range": [1, 1]}, "output_range must go from a lower to a higher number"),
        ({"shape": [32]}, "not enough values to unpack"),
        ({"shape": [32, 16.5]}, "shape must be height and width"),
        ({"shape": [64, 32]}, "size is its longer side"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(described, said, complaint) -> None:
    shape = (1, 32, 32, 3)
    with refused(ModelFileError, complaint):
        described([node("Neg")], {"x": ("float32", shape)}, ("float32", shape), **said)


def test_cards_of_before_are_written_as_before() -> None:
    text = Card("tiny", targets={"happy": ()}).to_json()
    assert not {"layout", "output_range", "shape"} & set(json.loads(text))
    other = Card(
        "tiny",
        targets={"happy": ()},
        layout="NHWC",
        output_range=(0, 255),
        shape=(128, 96),
    )
    assert card_from_json(other.to_json(), "m") == other


@pytest.mark.parametrize(
    ("ir", "opset", "says"),
    [
        (99, 18, "m.onnx has version 99 of ONNX's file format (IR), and the newest that can be"),
        (9, 99, "m.onnx has version 99 of the operators of ai.onnx (opset), and the newest that"),
    ],
)
def test_what_is_too_new_is_named_with_the_newest(tmp_path, ir, opset, says) -> None:
    shape = (1, 3, 32, 32)
    path = write(
        tmp_path / "m.onnx",
        [node("Neg")],
        {"x": ("float32", shape)},
        ("float32", shape),
        opset=opset,
        ir=ir,
    )
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"targets": {"made": []}}))
    with pytest.raises(ModelFileError) as caught:
        load(path, meta=meta, provider="cpu")
    message = str(caught.value)
    assert says in message
    assert f"with onnxruntime {onnxruntime.__version__}" in message
    assert "onnxruntime_src" not in message
    newest = int(message.split("can be read is ")[1].split(",")[0])
    assert 10 <= newest < 99
    # What is named as the newest is indeed read, and the one after it is not.
    for version, works in ((newest, True), (newest + 1, False)):
        write(
            path,
            [node("Neg")],
            {"x": ("float32", shape)},
            ("float32", shape),
            **{"ir": version} if ir == 99 else {"opset": version},
        )
        if works:
            load(path, meta=meta, provider="cpu")
        else:
            with refused(ModelFileError, f"has version {version} of"):
                load(path, meta=meta, provider="cpu")


def test_other_refusals_come_without_the_place_in_the_source(described) -> None:
    shape = (1, 3, 32, 32)
    with pytest.raises(ModelFileError, match="is refused by onnxruntime: ") as caught:
        described([node("Foo")], {"x": ("float32", shape)}, ("float32", shape))
    assert "No Op registered for Foo" in str(caught.value)
    assert "[ONNXRuntimeError]" not in str(caught.value)


def test_the_reported_files(tmp_path) -> None:
    if not REPORTED.is_dir():
        pytest.skip("needs the reported cases in ../shared")
    folder = REPORTED / "09-onnx-shapes"
    model = load(folder / "nhwc.onnx", meta=folder / "meta.json", provider="cpu")
    assert np.array_equal(model.translate(photo(64, 64), "negative"), 255 - photo(64, 64))
    image = Image.fromarray(photo(64, 64))
    assert np.array_equal(np.asarray(model.translate(image, "negative")), 255 - photo(64, 64))
    folder = REPORTED / "08-too-new-onnx"
    with refused(ModelFileError, "has version 99 of ONNX's file format (IR)"):
        load(folder / "ir99.onnx", meta=folder / "meta.json")
