"""Smaller numbers in ONNX models: what becomes of the file, and of the pictures."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from cli_tools import Command
from onnx import helper
from onnx_tools import build, by_onnxruntime

from deep_onnx.card import Card
from deep_onnx.file import finish, read_card
from deep_onnx.quantise import (
    KINDS,
    Calibration,
    Quantised,
    card_to_quantise,
    inner_convolutions,
    quantise,
    read_pictures,
)
from deep_onnx.translator import load
from pixelreg.data.synthetic import pairs_array
from pixelreg.errors import (
    DataError,
    MissingExtraError,
    ModelFileError,
    PixelregError,
    UnknownNameError,
    UsageError,
)
from pixelreg.faces.locate import Locator

SIZE, WIDTH, LAYERS = 32, 24, 4
CARD = Card(
    "toy",
    targets={"brighter": (1.0,), "same": (0.0,)},
    condition=("light",),
    condition_input="condition",
    size=SIZE,
    dynamic=True,
    multiple=4,
    placement="square",
)


def network(loud: float = 1.0, layers: int = LAYERS) -> Any:
    """Convolutions in a row, each near the identity, and the condition added at the end.

    ``loud`` makes one channel that much larger than the others.
    """
    rng = np.random.default_rng(0)
    nodes, tensors, here = [], {}, "image"
    widths = [3, *[WIDTH] * (layers - 1), 3]
    for k, (ins, outs) in enumerate(pairwise(widths)):
        weight = rng.normal(0, 0.01, (outs, ins, 3, 3))
        weight[np.arange(outs), np.arange(outs) % ins, 1, 1] += 1.0
        if k == 0:
            weight[-1] *= loud
        if k == 1:
            weight[:, -1] /= loud
        tensors[f"w{k}"], tensors[f"b{k}"] = weight, np.full(outs, 0.01)
        inputs, name = [here, f"w{k}", f"b{k}"], f"c{k}"
        # A name for some, as some exporters leave none.
        nodes.append(
            helper.make_node("Conv", inputs, [name], name="" if k == 2 else name, pads=[1] * 4)
        )
        here = name
        if k == 1:
            nodes.append(helper.make_node("Tanh", [here], ["t"]))
            here = "t"
    nodes += [
        helper.make_node("Unsqueeze", ["condition", "axes"], ["plane4"]),
        helper.make_node("Mul", ["plane4", "half"], ["light"]),
        helper.make_node("Add", [here, "light"], ["output"]),
    ]
    tensors["half"] = np.array([0.25])
    values = {name: value.astype(np.float32) for name, value in tensors.items()}
    return build(nodes, {**values, "axes": np.array([1, 2])}, condition=1)


def written(folder: Path, card: Card = CARD, **options: Any) -> Path:
    path = folder / "fp32.onnx"
    path.write_bytes(finish(network(**options), card).data)
    return path


@pytest.fixture(scope="module")
def pictures() -> Calibration:
    faces = pairs_array(6, "happy", SIZE)[1]
    return Calibration(faces[:4], faces[4:])


def psnr_by_hand(first: Path, second: Path, pictures: Calibration) -> float:
    """dB between two files on the judged pictures, with onnxruntime alone."""
    image = (pictures.judged.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    condition = np.array([[1.0], [0.0]], np.float32)  # the targets in turn
    made = [by_onnxruntime(path, image=image, condition=condition) for path in (first, second)]
    apart = np.diff(np.clip((np.stack(made) + 1) / 2, 0, 1), axis=0)
    return float(-10 * np.log10(np.square(apart).mean()))


@pytest.fixture(scope="module")
def small(tmp_path_factory, pictures) -> dict[str, Quantised]:
    """The network in both kinds of smaller numbers, beside ``fp32.onnx``."""
    folder = tmp_path_factory.mktemp("small")
    before = written(folder)
    return {to: quantise(before, folder / f"{to}.onnx", to, pictures) for to in KINDS}


@pytest.mark.parametrize(("to", "share", "least"), [("int8", 0.6, 40.0), ("fp16", 0.65, 60.0)])
def test_the_file_shrinks_and_the_pictures_stay(small, pictures, to, share, least) -> None:
    done, before = small[to], small[to].path.with_name("fp32.onnx")
    assert done.bytes == done.path.stat().st_size < share * before.stat().st_size
    assert done.bytes_before == before.stat().st_size
    assert least < done.worst <= done.psnr < 99
    assert done.psnr == pytest.approx(psnr_by_hand(before, done.path, pictures), abs=0.05)
    card = read_card(done.path)
    notes = dict(card.notes)
    assert notes.pop("quantised") == {
        "to": to,
        "psnr_to_fp32": round(done.psnr, 2),
        "worst_psnr_to_fp32": round(done.worst, 2),
        "pictures_measured": 4 if to == "int8" else 0,
        "pictures_judged": 2,
    }
    assert replace(card, notes=notes) == CARD


def test_int8_leaves_the_first_and_the_last_convolution_alone(small) -> None:
    model = onnx.load(small["int8"].path)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    plain = [kinds.get(node.input[1]) == onnx.TensorProto.FLOAT for node in convolutions]
    assert plain == [True, False, False, True]
    assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) >= LAYERS - 2
    assert {opset.domain for opset in model.opset_import} == {""}


def test_fp16_keeps_inputs_and_outputs(small) -> None:
    model = onnx.load(small["fp16"].path)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    weights = [tensor for tensor in model.graph.initializer if tensor.dims[1:]]
    assert len(weights) == LAYERS
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("to", ["int8", "fp16"])
def test_any_batch_and_size_still_runs(small, to) -> None:
    after = small[to].path
    crops = np.stack([pairs_array(1, "happy", 64, seed=9)[0][0]] * 3)[:, :44, :53]
    fp32, made = (
        load(path).run("brighter", crops).astype(int)
        for path in (after.with_name("fp32.onnx"), after)
    )
    assert made.shape == (3, 44, 53, 3)
    assert np.abs(made - fp32).mean() < 2.5


def test_convolutions_that_end_apart_are_all_last_ones() -> None:
    def conv(source: str, target: str, kind: str = "Conv") -> Any:
        return helper.make_node(kind, [source, "w"], [target], name=target)

    nodes = [
        conv("image", "first"),
        helper.make_node("Relu", ["first"], ["r"]),
        conv("r", "inner"),
        helper.make_node("Add", ["inner", "r"], ["sum"]),
        conv("sum", "up", "ConvTranspose"),
        conv("up", "colour"),
        conv("up", "attention"),
        helper.make_node("Mul", ["colour", "attention"], ["output"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    assert inner_convolutions(model) == ["inner"]


def test_a_model_that_suffers_is_refused_unless_forced(tmp_path, pictures) -> None:
    loud, after = written(tmp_path, loud=400.0), tmp_path / "small.onnx"
    after.write_bytes(b"before")
    with pytest.raises(
        PixelregError, match=r"was not written: as int8 it is .* dB .* less than 38; --force"
    ):
        quantise(loud, after, "int8", pictures)
    assert after.read_bytes() == b"before"
    done = quantise(loud, after, "int8", pictures, force=True)
    assert done.psnr < 38
    assert read_card(after).notes["quantised"]["psnr_to_fp32"] == round(done.psnr, 2)


def test_nothing_is_left_beside_the_file_and_nothing_said(
    tmp_path, pictures, monkeypatch, capfd
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    before = written(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(out)
    quantise(before, Path("small.onnx"), "int8", pictures)
    assert [path.name for path in out.iterdir()] == ["small.onnx"]
    assert not list(scratch.iterdir())
    assert capfd.readouterr() == ("", "")
    content = Path("small.onnx").read_bytes()
    assert str(scratch).encode() not in content
    assert b"onnx.quantize" not in content


def test_what_cannot_be_quantised_is_told(tmp_path, pictures, small) -> None:
    after = tmp_path / "small.onnx"
    with pytest.raises(UnknownNameError, match="'int4'; choose one of: int8, fp16"):
        quantise(written(tmp_path), after, "int4", pictures)
    with pytest.raises(UsageError, match="is quantised already"):
        card_to_quantise(small["fp16"].path)
    with pytest.raises(UsageError, match="no convolution between its first and last"):
        quantise(written(tmp_path, layers=2), after, "int8", pictures)
    with pytest.raises(UsageError, match="changes no pictures"):
        card_to_quantise(written(tmp_path, replace(CARD, task="discriminate", targets={})))
    for content, says in (
        (b"not a model", "is not a usable ONNX file"),
        (network().SerializeToString(), "does not say how it is to be run"),
    ):
        after.write_bytes(content)
        with pytest.raises(ModelFileError, match=says):
            card_to_quantise(after)


def test_onnx_is_asked_for_by_its_extra(tmp_path, monkeypatch) -> None:
    model = written(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"quantising needs onnx, .*pixelreg\[train\]"):
        card_to_quantise(model)


def test_pictures_come_from_data_sets_and_plain_folders(drawn, tmp_path) -> None:
    found = read_pictures(drawn, CARD, Locator(align=False), 8)
    assert found.measured.shape[1:] == found.judged.shape[1:] == (SIZE, SIZE, 3)
    assert len(found.measured) + len(found.judged) == 8
    neutral = {tuple(p) for p in np.vstack([found.measured, found.judged]).mean((1, 2)).round(6)}
    assert len(neutral) == 8  # eight people, one neutral picture each
    for k, face in enumerate(pairs_array(5, "sad", 48)[0]):
        Image.fromarray(face).save(tmp_path / f"{k}.png")
    (tmp_path / "broken.png").write_bytes(b"broken")
    plain = read_pictures(tmp_path, CARD, Locator(align=False), 50)
    assert len(plain.measured) + len(plain.judged) == 5
    assert len(plain.judged) >= 1
    assert [problem.path.name for problem in plain.problems] == ["broken.png"]
    again = read_pictures(tmp_path, CARD, Locator(align=False), 50)
    assert (again.judged == plain.judged).all()


def test_nobody_is_both_measured_and_judged(drawn) -> None:
    every = replace(CARD, source="none of these")
    found = read_pictures(drawn, every, Locator(align=False), 24)
    people = {len(found.measured) // 3, len(found.judged) // 3}
    assert sum(people) == 8
    assert len(found.measured) % 3 == len(found.judged) % 3 == 0  # whole people


def test_too_few_pictures_are_told(tmp_path) -> None:
    with pytest.raises(DataError, match="no picture in"):
        read_pictures(tmp_path, CARD, Locator(align=False), 4)
    Image.fromarray(pairs_array(1, "happy", 48)[0][0]).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="1 usable pictures of 1 people; two people are needed"):
        read_pictures(tmp_path, CARD, Locator(align=False), 4)


def test_faces_are_aligned_as_the_card_says(london) -> None:
    from pixelreg.models.model import Frame

    card = replace(CARD, placement="face", frame=Frame(), size=64)
    found = read_pictures(london, card, Locator(), 6)
    crops = np.vstack([found.measured, found.judged]).astype(float)
    mean = crops.mean(0).mean(-1)
    eyes, between = mean[22:28, [20, 21, 22, 23, 24, 25]], mean[22:28, 30:34]
    assert eyes.mean() < between.mean() - 5  # pupils are darker than the bridge of the nose
    assert found.problems == ()


def test_the_command(drawn, command: Command, tmp_path) -> None:
    model, output = written(tmp_path), tmp_path / "small.onnx"
    options = [model, "--data", drawn, "--no-align", "--pictures", "8", "-o", output]
    run = command("quantise", *options, "--to", "int8")
    assert run.code == 0, run.err
    assert "small.onnx: " in run.out
    assert "dB to fp32 on " in run.out
    assert read_card(output).notes["quantised"]["to"] == "int8"
    itself = command("quantise", model, "--data", drawn, "--to", "fp16", "-o", model)
    assert itself.code == 2
    assert "is the model itself" in itself.error
