"""``pixelreg export --to onnx``: files that onnx, onnxruntime and the browser's runtime take."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from cli_tools import Command, files_in
from test_exporters import model_of

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'deep' brings onnxruntime")
onnx = pytest.importorskip("onnx", reason="the extra 'train' brings onnx, the reference here")

from deep_onnx.card import card_from_json
from deep_onnx.file import check
from deep_onnx.graph import Graph
from deep_onnx.rows import finer, in_rows
from deep_onnx.wire import attribute, tensor, value, written
from pixelreg.api import load
from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.errors import ModelFileError, UsageError
from pixelreg.export import Options, export
from pixelreg.export.coding import coded
from pixelreg.export.measure import compared
from pixelreg.faces.align import crop
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models.file import load as load_model
from pixelreg.models.file import save
from pixelreg.models.model import Model
from pixelreg.models.plans import KernelPlan, plan_array
from pixelreg.pictures.image import read_file

PHOTO = Path(__file__).parents[1] / "examples" / "pictures" / "face.jpg"
KINDS = ("affine", "kernel", "flow", "factored", "sparse")
COMMON = {
    *("Add", "Cast", "Clip", "Conv", "Div", "Floor", "Gather", "Identity", "Less", "MatMul", "Mul"),
    *("Pad", "ReduceSum", "Reshape", "Resize", "Round", "Slice", "Squeeze", "Sub", "Transpose"),
    "Unsqueeze",
}


def one(model: Model, target: str = "happy") -> Model:
    return replace(model, plans={target: model.plans[target]})


def exported(model: Model, folder: Path, **options: object) -> Path:
    export(model, "onnx", folder / "m", (), Options(**options))
    return folder / "m.onnx"


def session_of(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def runner(file: Path, model: Model) -> Callable[[str, Pixels, float], Pixels]:
    """What a file makes of pictures, 16 at a time, with the help of onnxruntime alone."""
    session, several = session_of(file), len(model.plans) > 1

    def run(target: str, pictures: Pixels, strength: float) -> Pixels:
        asked = {"strength": np.array(strength, np.float32)}
        if several:
            asked["target"] = np.array(list(model.plans).index(target), np.int64)
        parts = [
            session.run(["output"], {"image": pictures[k : k + 16], **asked})[0]
            for k in range(0, max(1, len(pictures)), 16)
        ]
        return np.concatenate(parts)

    return run


def noise(size: int, count: int = 3) -> Pixels:
    return np.random.default_rng(4).integers(0, 256, (count, size, size, 3), np.uint8)


# What is written.


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_valid_and_need_common_operators_only(kind, tmp_path) -> None:
    for number, options in enumerate(({}, {"dtype": "int8", "detail": 2})):
        if number and kind in ("factored", "sparse"):
            continue
        options = options if kind == "flow" else {k: v for k, v in options.items() if k == "dtype"}
        file = exported(model_of(kind), tmp_path / str(number), **options)
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        assert {node.op_type for node in model.graph.node} <= COMMON
        assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
        told = {each.key: each.value for each in model.metadata_props}
        assert told["targets"] == "happy, very sad"
        assert told["licence"] == "CC */ BY"
        card = card_from_json(told["pixelreg"], "here")
        assert card.provenance.attribution == "Who\nmade it"


def test_what_is_written_is_what_the_onnx_package_reads() -> None:
    arrays = {
        "floats": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "halves": np.array([0.5, -2], np.float16),
        "bytes": np.array([-128, 127], np.int8),
        "levels": np.array(200, np.uint8),
        "long": np.array([-(2**63), 2**63 - 1, 300], np.int64),
    }
    node = {
        "operator": ["Some"],
        "takes": ["a", "", "c"],
        "gives": ["d"],
        "attributes": [attribute("n", -3), attribute("all", (1, 200, -1)), attribute("w", "ä")],
    }
    dims = ("N", 128, 300)
    graph = {
        "tensors": [tensor(name, array) for name, array in arrays.items()],
        "nodes": [node],
        "inputs": [value("in", "uint8", dims), value("number", "float32", ())],
    }
    read = onnx.load_model_from_string(written("model", {"ir": [7], "graphs": [graph]}))
    for stored in read.graph.initializer:
        back = onnx.numpy_helper.to_array(stored)
        assert back.dtype == arrays[stored.name].dtype
        assert np.array_equal(back, arrays[stored.name])
    made = read.graph.node[0]
    assert (made.op_type, list(made.input), list(made.output)) == ("Some", ["a", "", "c"], ["d"])
    told = {a.name: onnx.helper.get_attribute_value(a) for a in made.attribute}
    assert told == {"n": -3, "all": [1, 200, -1], "w": "ä".encode()}
    shapes = [entry.type.tensor_type.shape.dim for entry in read.graph.input]
    assert [(d.dim_param or d.dim_value) for d in shapes[0]] == list(dims)
    assert read.graph.input[1].type.tensor_type.HasField("shape")
    assert len(shapes[1]) == 0


def test_the_same_model_gives_the_same_bytes(tmp_path) -> None:
    files = [exported(model_of("flow"), tmp_path / name, dtype="int8") for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_constants_that_are_alike_are_stored_once() -> None:
    graph = Graph()
    assert graph.number(2) == graph.number(2) != graph.number(3)
    assert graph.whole(1) != graph.constant(np.array(1, np.int64))  # another shape
    learnt = [graph.constant(np.full(3, 1, np.int8), "t", learnt=True) for _ in range(2)]
    assert learnt[0] == learnt[1]
    assert graph.learnt == 3


# What it computes.


@pytest.mark.parametrize("kind", KINDS)
def test_any_strength_target_and_batch_is_as_apply_has_it(kind, tmp_path) -> None:
    model = model_of(kind, 16)
    run, pictures = runner(exported(model, tmp_path), model), noise(16)
    found = compared(model, run, pictures, (-1.0, 0.0, 0.3, 1.0, 3.0))
    assert found.largest <= (1 if kind in ("kernel", "factored") else 0), found
    for target in model.plans:
        together = run(target, pictures, 0.7)
        apart = [run(target, picture[None], 0.7)[0] for picture in pictures]
        assert np.array_equal(together, apart)
        assert np.array_equal(run(target, pictures, 0.0), pictures)
        assert run(target, pictures[:0], 0.7).shape == (0, 16, 16, 3)


def test_kernels_of_any_rank_and_blurs_of_any_width_share_a_file(tmp_path) -> None:
    model = model_of("flow", 16)
    plans = {
        name: replace(plan, blur=np.array([blur], np.float32))
        for (name, plan), blur in zip(model.plans.items(), (0.1, 2.0), strict=True)
    }
    model = replace(model, plans=plans)
    run = runner(exported(model, tmp_path), model)
    assert compared(model, run, noise(16)).largest <= 1
    session = session_of(tmp_path / "m.onnx")
    assert [each.name for each in session.get_inputs()] == ["image", "strength", "target"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("kind", ["affine", "kernel", "flow"])
def test_what_it_stores_is_what_the_form_stands_for(kind, dtype, tmp_path) -> None:
    for detail, mask in ((1, "none"), (4 if kind == "flow" else 1, "face")):
        options, model = Options(dtype, detail, mask), model_of(kind, 32)
        decoded = finer(coded(model, options)).decoded
        file = exported(model, tmp_path / mask, dtype=dtype, detail=detail, mask=mask)
        found = compared(decoded, runner(file, model), noise(32))
        assert found.largest <= 1
        assert found.decibels > 70


def test_rows_in_int8_are_within_half_a_step_and_keep_nothing_nothing() -> None:
    values = np.random.default_rng(2).normal(0, 1, (6, 5, 3)) * np.arange(6)[:, None, None]
    values[:, 2] = 0
    values[5] = np.abs(values[5])
    made = in_rows(values)
    assert np.array_equal(made.values[:, 2], values[:, 2])
    assert (np.abs(made.values - values) <= 0.75 * made.scale).all()  # both ends and zero fit
    assert np.array_equal(made.values[0], values[0])  # a row without a change


def test_a_kernel_in_int8_stores_once_more_what_rounding_hurts(tmp_path) -> None:
    rng, size = np.random.default_rng(5), 16
    powers = (np.arange(256)[:, None] / 255) ** np.arange(3)
    errors = []
    for spread in (0.01, 0.6):  # the second is as rough as kernels get
        shares = rng.normal(0, spread, (size, size, 3, 3)) + np.array([0, 1, 0])
        plan = KernelPlan(plan_array(powers), plan_array(shares))
        model = Model({"happy": plan})
        coded_plan = finer(coded(model, Options("int8"))).targets["happy"]
        ranks = [field.codes.shape[-1] for field in coded_plan.fields.values()]
        assert ranks[0] == ranks[1]
        columns = {tuple(column) for column in coded_plan.fields["table"].codes.T.tolist()}
        assert (len(columns) < ranks[0]) == (spread > 0.1)
        exact = get_backend("numpy").apply(plan, noise(size), 1.0).astype(int)
        made = runner(exported(model, tmp_path / str(spread), dtype="int8"), model)
        errors.append(np.abs(made("happy", noise(size), 1.0) - exact).mean())
    assert max(errors) < 0.3  # grey levels


@pytest.mark.parametrize("kind", ["affine", "kernel", "flow"])
def test_apply_runs_it_as_the_model_itself(kind, tmp_path, command: Command) -> None:
    model = model_of(kind, 32)
    save(model, tmp_path / "m.safetensors")
    file = exported(model, tmp_path)
    for strength in (0.5, 1.5):
        made = []
        for source in (tmp_path / "m.safetensors", file):
            words = ("--expr", "very sad", "--strength", strength, "--model", source)
            output = tmp_path / f"{source.suffix[1:]}.png"
            assert command("apply", PHOTO, *words, "-o", output).code == 0
            made.append(read_file(output).pixels.astype(int))
        apart = np.abs(made[0] - made[1])
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert np.abs(made[0] - read_file(PHOTO).pixels).max() > 15  # it did something


def test_the_bundled_flow_is_exact_on_a_photo_and_in_the_crop(tmp_path) -> None:
    model = load_model(BUNDLED / NAMED["flow"])
    file = exported(model, tmp_path)
    assert compared(model, runner(file, model), noise(128, 2)).largest <= 1
    one_way = np.asarray(load("flow").translate(PHOTO, "happy", 1.2)).astype(int)
    other = np.asarray(load(file).translate(PHOTO, "happy", 1.2)).astype(int)
    assert np.abs(one_way - other).max() <= 1
    assert (one_way != other).mean() <= 1e-3


def test_colour_without_displacement_is_another_picture(tmp_path) -> None:
    file = exported(load_model(BUNDLED / NAMED["flow"]), tmp_path)
    session = session_of(file)
    picture = crop_of(PHOTO)
    made = session.run(None, {"image": picture[None], "strength": np.array(1, np.float32)})
    output, colour, displacement = made
    assert displacement.shape == (128, 128, 2)
    assert np.abs(displacement).max() > 1
    added = np.clip(np.rint(picture + 255 * colour[0]), 0, 255)
    assert np.abs(added - output[0]).max() > 20


def crop_of(path: Path) -> Pixels:
    translator, pixels = load("flow"), read_file(path).pixels
    return crop(pixels, translator.place(pixels)[0].similarity, translator.size)


def test_on_photographs_small_numbers_stay_near(london, tmp_path) -> None:
    people = sorted((london / "neutral_front").glob("[0-9]*.jpg"))[:6]
    pictures = np.stack([crop_of(person) for person in people])
    for name, dtype, detail, mask, least in (
        ("flow", "float16", 1, "none", 90),
        ("flow", "int8", 1, "none", 57),
        ("flow", "int8", 2, "none", 57),
        ("rr", "float16", 1, "none", 62),
        ("rr", "int8", 1, "none", 58),
    ):
        model = one(load_model(BUNDLED / NAMED[name]))
        options = {"dtype": dtype, "detail": detail, "mask": mask}
        file = exported(model, tmp_path / f"{name}{dtype}{detail}", **options)
        wanted = coded(model, Options("float32", 1, mask)).model
        found = compared(wanted, runner(file, model), pictures)
        assert found.decibels > least, (name, dtype, detail, mask, found)


def test_the_page_beside_it_tells_the_truth(tmp_path, monkeypatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    model = model_of("kernel", 16)
    exported(model, tmp_path)
    page = (tmp_path / "m.README.md").read_text(encoding="utf-8")
    assert "0 happy, 1 very sad" in page
    assert "pupils at (0.36, 0.39) and (0.64, 0.39)" in page
    assert "licence CC */ BY" in page
    picture = noise(16, 1)[0]
    Image.fromarray(picture).save("crop.png")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    exec(code, {"onnxruntime": onnxruntime, "numpy": np, "Image": Image})
    wanted = get_backend("numpy").apply(model.plans["happy"], picture[None], 1.0)[0]
    assert np.abs(np.asarray(Image.open("made.png")).astype(int) - wanted).max() <= 1


@pytest.fixture(scope="session")
def web() -> Path:
    """A folder in which node finds onnxruntime-web."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "pixelreg" / "node"
    if which("node") is None:
        pytest.skip("there is no node")
    if not (folder / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip(f"no onnxruntime-web: npm install --prefix {folder} onnxruntime-web")
    return folder


def test_they_run_in_onnxruntime_web(web, tmp_path) -> None:
    pictures, files, wanted = noise(16, 2), [], []
    for kind in ("affine", "kernel", "flow"):
        for dtype, detail in (("float32", 1), ("int8", 2 if kind == "flow" else 1)):
            model = model_of(kind, 16)
            file = exported(model, tmp_path / f"{kind}-{dtype}", dtype=dtype, detail=detail)
            files.append(str(file))
            wanted.append(runner(file, model)("very sad", pictures, 0.7))
    (tmp_path / "pictures").write_bytes(pictures.tobytes())
    asked = json.dumps({"size": 16, "strength": 0.7, "target": 1, "models": files})
    script = Path(__file__).with_name("onnx_web.mjs")
    words = ["node", script, web, tmp_path / "pictures", asked]
    said = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    made = np.frombuffer(said, np.uint8).reshape(np.shape(wanted)).astype(int)
    assert np.abs(made - wanted).max() <= 1
    assert (made != wanted).mean() < 1e-3


def test_a_target_between_two_is_none(tmp_path) -> None:
    translator = load(exported(model_of("affine"), tmp_path))
    assert translator.sliders == {}
    for target in ({"target": 0.5}, [1.0]):
        with pytest.raises(UsageError, match="takes the name of an expression"):
            translator.changer(target)


# How it is divided, and what is refused.


def test_a_file_for_each_target_where_that_is_wanted(tmp_path) -> None:
    model = model_of("affine")
    done = export(model, "onnx", tmp_path / "m.onnx", (), Options(layout="apart"))
    assert files_in(tmp_path) == {"m-happy.onnx", "m-very sad.onnx", "m.README.md"}
    assert done.largest_error == 0
    for target in model.plans:
        file = tmp_path / f"m-{target}.onnx"
        assert load(file).targets == (target,)
        assert [each.name for each in session_of(file).get_inputs()] == ["image", "strength"]
        assert compared(one(model, target), runner(file, one(model, target))).largest == 0


def test_a_target_that_cannot_name_a_file_is_refused(tmp_path) -> None:
    plan = model_of("affine").plans["happy"]
    for name in ("and/or", "\\", "\0"):
        with pytest.raises(UsageError, match="cannot be in the name of a file"):
            export(Model({name: plan}), "onnx", tmp_path / "m", (), Options(layout="apart"))
    assert files_in(tmp_path) == set()


def test_plans_of_two_kinds_go_into_two_files(tmp_path) -> None:
    plans = {"happy": model_of("flow").plans["happy"], "sad": model_of("affine").plans["happy"]}
    model = replace(model_of("flow"), plans=plans)
    with pytest.raises(UsageError, match="--layout apart"):
        export(model, "onnx", tmp_path / "m")
    assert files_in(tmp_path) == set()
    assert export(model, "onnx", tmp_path / "m", (), Options(layout="apart")).largest_error == 0
    with pytest.raises(UsageError, match=r"NAME\.onnx"):
        export(model, "onnx", tmp_path / "m.txt")


def test_without_onnxruntime_it_is_written_and_that_is_said(tmp_path, command, monkeypatch) -> None:
    save(model_of("affine"), tmp_path / "m.safetensors")
    monkeypatch.setattr("deep_onnx.exported.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "onnx", None)  # writing needs no onnx package
    done = command("export", tmp_path / "m.safetensors", "--to", "onnx", "-o", tmp_path / "out")
    assert done.code == 0
    assert "not run: onnxruntime is not installed" in done.err
    assert "extra deep" in (tmp_path / "out.README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "wrong", "says"),
    [
        ("strength_input", "", "its inputs are"),
        ("strength_input", "target", "its inputs are"),
        ("colour_output", "color", "its outputs are"),
        ("displacement_output", "moves", "its outputs are"),
        ("colour_output", "", "a displacement goes with a colour"),
        ("strength_input", "image", "its inputs are"),
    ],
)
def test_cards_that_lie_are_refused(field, wrong, says, tmp_path) -> None:
    file = exported(one(model_of("flow")), tmp_path)
    model = onnx.load(file)
    told = {each.key: each.value for each in model.metadata_props}
    said = re.sub(rf'"{field}": "[^"]*"', f'"{field}": "{wrong}"', told["pixelreg"])
    assert said != told["pixelreg"]
    onnx.helper.set_model_props(model, {"pixelreg": said})
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=says):
        load(file)


def test_changes_of_a_wrong_size_or_kind_are_refused(tmp_path) -> None:
    file = exported(one(model_of("affine", 16)), tmp_path)
    model = onnx.load(file)
    colour = next(node for node in model.graph.node if "colour" in node.output)
    colour.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Transpose", ["before"], ["colour"]))
    file.write_bytes(model.SerializeToString())
    assert check(file.read_bytes(), "m").outputs  # it is still a file in order
    with pytest.raises(ModelFileError, match=r"cannot be run|another size|refused"):
        load(file).translate(noise(16, 1)[0], "happy")
