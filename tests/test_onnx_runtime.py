"""ONNX models behind translate: sizes, colours, conditions, batches, cards, providers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper
from onnx_tools import brightness, build, convolution, identity, refused, save, sliders
from PIL import Image
from scipy import ndimage
from test_house import loaded_by

import pixelreg
from deep_onnx import session as session_module
from deep_onnx.file import check, read, read_card
from deep_onnx.model import condition_of, name_of, pad
from deep_onnx.session import Session
from deep_onnx.translator import MAX_PIXELS, OnnxTranslator, load
from pixelreg.backends.providers import CPU, PROVIDERS, asked
from pixelreg.errors import (
    FaceError,
    InvalidArrayError,
    MissingExtraError,
    ModelFileError,
    PixelregError,
    UnknownNameError,
    UsageError,
)
from pixelreg.models.model import Frame
from pixelreg.translator import Translator

SCALES: list[dict[str, Any]] = [{}, {"colour": "BGR"}, {"value_range": (0.0, 255.0)}]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def blur(pixels: np.ndarray, size: int = 3) -> np.ndarray:
    """The mean over size x size pixels, of an (H, W, 3) picture, as another package has it."""
    values = ndimage.uniform_filter(pixels.astype(float), (size, size, 1), mode="mirror")
    return np.rint(values)


def blurring(size: int = 3) -> np.ndarray:
    weights = np.zeros((3, 3, size, size), np.float32)
    weights[range(3), range(3)] = 1 / size**2
    return weights


@pytest.fixture
def opened(tiny_onnx):
    """The translator of a model that is written first: ``opened(identity(), multiple=4)``."""
    return lambda model, **card: load(tiny_onnx(model, **card))


@pytest.fixture
def brighter(opened):
    """The translator of a `brightness` model with the card of `sliders`."""
    return lambda **card: opened(brightness(), **sliders(**card))


# -- pictures in and out -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (1, 1), (5, 100), (64, 31)])
@pytest.mark.parametrize("multiple", [1, 4, 64])
def test_identity_gives_every_bit_back_at_any_size(opened, shape, multiple) -> None:
    picture = noise(*shape)
    assert (opened(identity(), multiple=multiple).translate(picture, "happy") == picture).all()


@pytest.mark.parametrize(
    ("element", "card"),
    [
        *((element, card) for element in ("float32", "float64") for card in SCALES),
        ("float16", {}),  # it loses less than a grey level
        ("uint8", {"value_range": (0.0, 255.0)}),
    ],
)
def test_identity_whatever_the_type_the_scale_and_the_colours(opened, element, card) -> None:
    picture = noise(20, 30)
    made = opened(identity(element=element), **card).translate(picture, "happy")
    assert (made == picture).all()


@pytest.mark.parametrize(("colour", "channel"), [("RGB", 0), ("BGR", 2)])
def test_the_order_of_colours_is_the_cards(opened, colour, channel) -> None:
    keep_first = np.zeros((3, 3, 1, 1), np.float32)
    keep_first[0, 0] = 1
    picture = noise(16, 16)
    translator = opened(convolution(keep_first), colour=colour, value_range=(0.0, 1.0))
    expected = np.where(np.arange(3) == channel, picture, 0)
    assert (translator.translate(picture, "happy") == expected).all()


@pytest.mark.parametrize("shape", [(32, 32), (29, 45), (13, 7)])
def test_the_network_sees_mirrored_surroundings(opened, shape) -> None:
    """Beside the padding, a blur is what another package makes of the picture."""
    picture = noise(*shape)
    translator = opened(convolution(blurring()), multiple=64, value_range=(0.0, 1.0))
    assert np.abs(translator.translate(picture, "happy") - blur(picture)).max() <= 1


def test_what_was_padded_is_where_it_was_cut() -> None:
    values = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    padded, inside = pad(values, 8)
    assert padded.shape == (2, 3, 8, 8)
    assert (padded[inside] == values).all()
    assert (padded[0, 0, 0, inside[3]] == values[0, 0, 1]).all()  # the row beside the first
    same, everything = pad(values, 1)
    assert same is values
    assert (same[everything] == values).all()


@pytest.mark.parametrize("kind", ["path", "bytes", "pil", "float"])
def test_pictures_come_back_as_what_they_were(brighter, tmp_path, kind) -> None:
    picture = noise(21, 34)
    Image.fromarray(picture).save(tmp_path / "in.png")
    given: dict[str, Any] = {
        "path": tmp_path / "in.png",
        "bytes": (tmp_path / "in.png").read_bytes(),
        "pil": Image.fromarray(picture),
        "float": picture / 255.0,
    }
    made = brighter().translate(given[kind], "happy")
    expected = np.clip(picture / 255.0 + 0.25, 0, 1)  # half of [-1, 1]'s half
    if kind == "float":
        assert made.dtype == np.float64
        assert np.abs(made - expected).max() < 1e-6
    else:
        shown = Image.open(io.BytesIO(made)) if kind == "bytes" else made
        assert np.abs(np.asarray(shown) - 255.0 * expected).max() <= 0.51


def test_strength_goes_along_the_line_from_input_to_output(brighter) -> None:
    translator = brighter()
    picture = np.full((20, 20, 3), 100, np.uint8)
    for strength, level in ((0, 100), (0.5, 132), (1, 164), (-0.5, 68), (3, 255)):
        made = translator.translate(picture, "happy", strength)
        assert np.abs(made.astype(int) - level).max() <= 1, strength


def test_large_pictures_are_changed_at_a_smaller_size(brighter, monkeypatch) -> None:
    translator = brighter(multiple=4)
    spy = Mock(wraps=translator.session.run)
    monkeypatch.setattr(translator.session, "run", spy)
    picture = noise(1000, 2000)
    made = translator.translate(picture, "sad")
    ((inputs,),) = (call.args for call in spy.call_args_list)
    assert 0.9 * MAX_PIXELS < np.prod(inputs["image"].shape[2:]) < 1.1 * MAX_PIXELS
    # The change is one number everywhere, so what is finer than the small picture stays.
    expected = np.clip(picture - 255.0 * 0.125, 0, 255)
    assert np.abs(made - expected).max() <= 0.51


def test_a_model_of_one_size_changes_the_centre_square(opened) -> None:
    fixed = brightness(image=(1, 3, 32, 32), output=(1, 3, 32, 32))
    translator = opened(fixed, **sliders(dynamic=False))
    made = translator.translate(np.full((64, 100, 3), 100, np.uint8), "happy")
    assert (np.delete(made, np.s_[17:-17], axis=1) == 100).all()
    assert np.abs(made[:, 20:-20].astype(int) - 164).max() <= 1
    with pytest.raises(InvalidArrayError, match="32 x 32 pixels, not 33 x 32"):
        translator.run("happy", noise(2, 32, 33))


def test_faces_are_found_and_the_change_stays_inside(brighter, large_face) -> None:
    translator = brighter(placement="face", frame=Frame())
    with pytest.raises(FaceError):
        translator.translate(np.full((90, 90, 3), 90, np.uint8), "happy")
    change = translator.translate(large_face, "happy").astype(int) - large_face
    assert not change[[[0, -1]], [[0], [-1]]].any()  # the corners lie outside a face
    assert change[100:156, 100:156].mean() > 30


# -- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["N", 1])
def test_a_batch_is_its_pictures_one_by_one(opened, batch) -> None:
    shape = (batch, 3, 32, 32)
    model = brightness(image=shape, output=shape)
    translator = opened(model, **sliders(dynamic=False))
    pictures = noise(70, 32, 32)  # more than are run at once
    together = translator.run("happy", pictures)
    assert together.dtype == np.uint8
    for picture, made in zip(pictures, together, strict=True):
        assert (translator.run("happy", picture[None])[0] == made).all()
        assert (translator.translate(picture, "happy") == made).all()
    assert translator.run("happy", pictures[:0]).shape == (0, 32, 32, 3)


# -- what can be asked for ---------------------------------------------------------------------


def test_targets_are_names_numbers_or_some_by_name(brighter) -> None:
    translator = brighter()
    assert isinstance(translator, Translator)
    assert translator.targets == ("neutral", "happy", "sad")
    picture = noise(1, 16, 16) // 2 + 40
    for target, amount in (
        ("happy", 0.25),
        ("Smile", 0.25),
        ([0.5, 0.1], 0.2),
        (np.array([0.0, 1.0]), -0.5),
        ({"AU12": 0.4}, -0.2),
        ({"au6": 1, "AU12": 0.5}, 0.25),
        ({}, 0.0),
    ):
        made = translator.run(target, picture)
        expected = np.clip(picture + 255.0 * amount, 0, 255)
        assert np.abs(made - expected).max() <= 0.51, target


def test_numbers_by_name_start_from_the_sources_own(brighter) -> None:
    card = brighter(targets={"tired": (0.25, 0.75)}, source="tired").card
    assert condition_of(card, {"AU6": 1.0}) == (1.0, 0.75)
    assert condition_of(card, "TIRED") == (0.25, 0.75)


def test_a_name_that_means_the_same_is_understood(tiny_onnx) -> None:
    card = read_card(tiny_onnx(identity(), targets={"Happiness": (), "B": ()}))
    assert {name_of(card, asked) for asked in ("happy", "HA", "Happiness")} == {"Happiness"}
    assert name_of(card, "b") == "B"


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("bored", UnknownNameError, "unknown target 'bored'; choose one of: neutral, happy, sad"),
        ({"AU99": 1}, UnknownNameError, "unknown number 'AU99'; choose one of: AU6, AU12"),
        ([0.5], UsageError, "takes 2 numbers (AU6, AU12), not 1"),
        ([0.5, 1.5], UsageError, "AU12 = 1.5 is out of range: 0 to 1"),
        ([0.5, float("nan")], UsageError, "AU12 = nan is out of range"),
        ({"AU6": -1}, UsageError, "AU6 = -1 is out of range"),
        ([0.5, "x"], UsageError, "is no target"),
        (7, UsageError, "is no target"),
        (None, UsageError, "is no target"),
    ],
)
def test_what_cannot_be_asked_for_is_said(brighter, target, error, says) -> None:
    with refused(error, says):
        brighter().translate(noise(8, 8), target)


def test_numbers_for_a_model_that_takes_none(opened) -> None:
    with refused(UsageError, "takes no numbers; ask for one of: happy"):
        opened(identity()).translate(noise(8, 8), [1.0])


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("generate", "pixelreg generate"),
        ("portrait", "pixelreg portrait"),
        ("discriminate", "judges pictures"),
        ("parse", "finds the parts of faces"),
    ],
)
def test_models_for_other_tasks_name_their_command(opened, task, says) -> None:
    translator = opened(identity(), task=task)
    for call in (translator.translate, lambda image, name: translator.canonical(name)):
        with pytest.raises(UsageError, match=says):
            call(noise(8, 8), "happy")
    assert translator.describe()["task"] == task


# -- what the file says ------------------------------------------------------------------------


def test_describe_says_what_the_model_is(brighter) -> None:
    facts = brighter(parameters=2, notes={"parity": 1e-6}, multiple=4).describe()
    assert 0 < facts["warm_up_ms"] < 60_000
    expected = {
        **{"model": "tiny", "targets": ["neutral", "happy", "sad"], "condition": ["AU6", "AU12"]},
        **{"condition_range": [0.0, 1.0], "providers": [CPU], "parameters": 2, "opset": 18},
    }
    assert {key: facts[key] for key in expected} == expected
    assert json.loads(json.dumps(facts)) == facts


def test_the_first_run_is_timed_apart(tiny_onnx) -> None:
    session, values = Session(read(tiny_onnx(identity()))), np.zeros((1, 3, 8, 8), np.float32)
    assert session.warm_up_s is None
    (made,) = session.run({"image": values})
    assert (made == values).all()
    first = session.warm_up_s
    assert first is not None
    assert first > 0
    session.run({"image": values})
    assert session.warm_up_s == first


def test_a_foreign_model_runs_as_a_file_describes_it(tmp_path) -> None:
    model = convolution(blurring(), image=("b", 3, 24, 24), output=("b", 3, 24, 24))
    model.graph.input[0].name = model.graph.node[0].input[0] = "photo"
    model.graph.output[0].name = model.graph.node[0].output[0] = "made"
    file, meta, picture = tmp_path / "m.onnx", tmp_path / "m.json", noise(24, 24)
    file.write_bytes(model.SerializeToString())
    with refused(ModelFileError, "describe it in a JSON file (--meta)"):
        load(file)
    meta.write_text(json.dumps({"targets": {"blurred": []}, "value_range": [0, 1]}))
    translator = load(file, meta=meta)
    card = translator.card
    assert (card.image_input, card.output, card.size) == ("photo", "made", 24)
    assert (card.dynamic, card.parameters, card.architecture) == (False, 81, "unknown")
    made = translator.translate(picture, "blurred")
    assert np.abs(made - blur(picture))[1:-1, 1:-1].max() <= 1
    assert read_card(file, meta) == card


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "one table"),
        ("{", "no JSON file"),
        ("\xff", "no JSON file"),
        ("[" * 100_000, "no JSON file"),
        ('{"targets": {"a": []}, "colours": "RGB"}', "unknown fields: colours"),
        ('{"targets": {"a": [1]}}', "'a' has 1 values"),
        ("{}", "at least one target"),
        ('{"targets": {"a": []}, "image_input": "x"}', "its inputs are 'image'"),
        ('{"targets": {"a": []}, "output": "x"}', "its outputs are 'output'"),
        ('{"targets": {"a": []}, "version": 9}', "version 9 is unknown"),
    ],
)
def test_a_wrong_description_is_said(tmp_path, text, says) -> None:
    (tmp_path / "m.onnx").write_bytes(identity().SerializeToString())
    (tmp_path / "m.json").write_bytes(text.encode("latin-1"))
    with refused(ModelFileError, says):
        load(tmp_path / "m.onnx", meta=tmp_path / "m.json")


CROP = (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("model", "card", "says"),
    [
        (identity(), sliders(), "its inputs are 'image', the description says 'condition'"),
        (brightness(), {}, "its inputs are 'condition', 'image'"),
        (identity(), {"output": "y"}, "its outputs are 'output', the description says 'y'"),
        (identity(image=("N", 1, "H", "W")), {}, "has 1 channels, not 3"),
        (identity(output=("N", 2, "H", "W")), {}, "(N, 2, H, W), not (N, 3, H, W)"),
        (identity(image=("N", 3, "H"), output=("N", 3, "H")), {}, "has the shape (N, 3, H)"),
        (identity(image=CROP, output=CROP), {}, "takes 32 pixels a side, the description says any"),
        (
            identity(image=CROP, output=CROP),
            {"dynamic": False, "size": 64},
            "takes 32 pixels a side, the description 64",
        ),
        (identity(element="int64"), {}, "holds int64, not colours"),
        (identity(), {"dynamic": False, "multiple": 5}, "32, is no multiple of 5"),
        (
            brightness(),
            sliders(condition=("a", "b", "c"), targets={"happy": (0.0,) * 3}),
            "takes 2 numbers, the description names 3",
        ),
    ],
)
def test_a_card_that_does_not_fit_its_graph_is_refused(opened, model, card, says) -> None:
    with refused(ModelFileError, says):
        opened(model, **card)


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([("Conv", ["image", "nothing"], "output", {})], "refused by onnxruntime: "),
        ([("Log", ["image"], "output", {})], "gives values that are not finite"),
        (
            [("MaxPool", ["image"], "output", {"kernel_shape": [2, 2], "strides": [2, 2]})],
            "gives (1, 3, 4, 4) for pictures of (1, 3, 8, 8)",
        ),
        (
            [
                ("Constant", [], "shape", {"value_ints": [-1, 3, 63]}),
                ("Reshape", ["image", "shape"], "output", {}),
            ],
            "cannot be run: ",
        ),
    ],
)
def test_what_goes_wrong_in_onnxruntime_is_one_line(opened, nodes, says) -> None:
    made = [helper.make_node(kind, ins, [out], **more) for kind, ins, out, more in nodes]
    with refused(ModelFileError, says):
        opened(build(made, output=("N", 3, "h", "w"))).translate(np.zeros((8, 8, 3), "u1"), "happy")


# -- packages and providers --------------------------------------------------------------------


def test_translating_imports_neither_torch_nor_onnx(tiny_onnx) -> None:
    file = tiny_onnx(brightness(), **sliders())
    code = (
        "import numpy, pixelreg\n"
        "made = pixelreg.load(sys.argv[1]).translate(numpy.zeros((20, 30, 3), 'uint8'), 'happy')\n"
        "assert made.shape == (20, 30, 3) and abs(int(made.max()) - 64) < 2"
    )
    loaded = loaded_by(code, str(file))["loaded"]
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "cv2", "numba", "scipy"}


def test_the_package_loads_onnx_files(tmp_path) -> None:
    translator = pixelreg.load(save(identity(), tmp_path / "m.ONNX"), provider="cpu", threads=1)
    assert isinstance(translator, OnnxTranslator)
    assert translator.computed_by("happy") == f"onnxruntime, {CPU}"


def test_without_onnxruntime_the_extra_is_named(opened, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused(MissingExtraError, "pixelreg[deep]"):
        opened(identity())


def test_wrong_options_are_usage_errors(tiny_onnx) -> None:
    for option in ({"provider": "tpu"}, {"threads": 0}):
        with pytest.raises(UsageError):
            load(tiny_onnx(identity()), **option)


CUDA = PROVIDERS["cuda"].own
PARITY = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


class Machine:
    """onnxruntime as it behaves on another machine; what it runs, it runs for real."""

    def __init__(self, available: list[str], gives: list[str], fails: bool = False) -> None:
        import onnxruntime

        self.SessionOptions = onnxruntime.SessionOptions
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=self._to_device)
        self.asked: list[list[tuple[str, dict[str, str]]]] = []
        self.bound: list[tuple[str, str, int]] = []
        self.carried = 0
        self.graphs: list[str] = []
        self._available, self._gives, self._fails = available, gives, fails
        self._real = onnxruntime

    def get_available_providers(self) -> list[str]:
        return self._available

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_default_logger_severity(self, level: int) -> None:
        assert level == 4

    def InferenceSession(self, content: bytes, options: Any, providers: Any, **rest: Any) -> Any:
        self.asked.append(providers)
        first = providers[0][0]
        assert rest == {"enable_fallback": 0, "read_config_from_model": 0}
        if first != CPU and self._fails:
            raise RuntimeError("CUDA failure 100: no device\nand more of it")
        made = self._real.InferenceSession(content, options, providers=[CPU], **rest)
        given = [CPU] if first == CPU else self._gives
        if CUDA not in given:
            return SimpleNamespace(run=made.run, get_providers=lambda: given)
        return SimpleNamespace(
            run=made.run,
            get_providers=lambda: given,
            get_outputs=made.get_outputs,
            io_binding=lambda: self._binding(made.io_binding()),
            run_with_iobinding=lambda binding, options: self._run(made, binding, options),
        )

    def _run(self, made: Any, binding: Any, options: Any) -> None:
        with suppress(RuntimeError):  # where no graph was asked for
            self.graphs.append(options.get_run_config_entry("gpu_graph_id"))
        made.run_with_iobinding(binding.real, options)

    def _to_device(self, array: np.ndarray, device: str, number: int) -> Any:
        """The memory of that device is the processor's here."""
        self.carried += 1
        self.bound.append(("input", device, number))
        return self._real.OrtValue.ortvalue_from_numpy(array, "cpu", 0)

    def _binding(self, real: Any) -> Any:
        def bind_output(name: str, device: str, number: int) -> None:
            self.bound.append((name, device, number))
            real.bind_output(name, "cpu", 0)

        made = SimpleNamespace(real=real, bind_output=bind_output)
        for name in (
            *("bind_ortvalue_input", "bind_ortvalue_output", "clear_binding_outputs"),
            *("get_outputs", "copy_outputs_to_cpu"),
        ):
            setattr(made, name, getattr(real, name))
        return made


@pytest.fixture
def machine(monkeypatch):
    def put(*args: Any, **options: Any) -> Machine:
        made = Machine(*args, **options)
        monkeypatch.setitem(sys.modules, "onnxruntime", made)
        return made

    return put


@pytest.fixture
def open_on(tiny_onnx) -> Callable[[str], tuple[Session, list[str]]]:
    def opened(provider: str) -> tuple[Session, list[str]]:
        said: list[str] = []
        return Session(contents, provider, say=said.append), said

    contents = read(tiny_onnx(identity()))
    return opened


@pytest.mark.parametrize("gpu", [False, True])
def test_auto_says_aloud_that_a_gpu_lies_idle(open_on, machine, monkeypatch, gpu) -> None:
    used = machine([CPU], [CPU])
    monkeypatch.setattr(session_module, "missing_gpu", lambda: "" if gpu else "no driver")
    session, said = open_on("auto")
    assert (session.providers, used.asked) == ((CPU,), [[(CPU, {})]])
    if gpu:
        (line,) = said
        assert "there is an NVIDIA GPU" in line
        assert "pixelreg[gpu]" in line
    else:
        assert said == []
    assert open_on("cpu")[1] == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cuda", r"no CUDA: the installed onnxruntime is without CUDA.*pixelreg\[gpu\]"),
        ("tensorrt", r"no Tensorrt: the installed .*pixelreg\[gpu\]"),
        ("directml", r"no Dml: .* install onnxruntime-directml"),
        ("openvino", r"no OpenVINO: .* install onnxruntime-openvino"),
        ("coreml", "no CoreML: the installed onnxruntime has no CoreML.* on this system"),
        ("rocm", "no ROCM: .*onnxruntime-rocm"),
    ],
)
def test_what_the_installed_onnxruntime_lacks_is_one_line(open_on, machine, name, says) -> None:
    machine(["AzureExecutionProvider", CPU], [CPU])
    with pytest.raises(PixelregError, match=says) as caught:
        open_on(name)
    assert "\n" not in str(caught.value)


def test_two_wheels_in_one_place_are_told_of(open_on, machine, monkeypatch) -> None:
    machine([CPU], [CPU])
    monkeypatch.setattr(session_module, "version", lambda package: "1.0")
    with pytest.raises(PixelregError, match=r"onnxruntime-gpu and .* are installed together"):
        open_on("cuda")


@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_what_is_bound_to_cuda_stays_there(tiny_onnx, machine, provider) -> None:
    used, said, picture = machine([CUDA, CPU], [CUDA, CPU]), [], noise(3, 16, 16)
    file = tiny_onnx(brightness(), **sliders())
    translator = load(file, provider=provider, say=said.append)
    for level in (0, 20, 40):
        now = np.clip(picture.astype(int) + level, 0, 255).astype(np.uint8)
        expected = np.clip(now + 255.0 * 0.25, 0, 255)
        assert np.abs(translator.run("happy", now) - expected).max() <= 0.51
    bound = [("input", "cuda", 0)] * 2 + [("output", "cuda", 0)]
    assert used.bound == bound, "three runs of one shape share their memory"
    assert (used.asked, said) == ([[(CUDA, PARITY), (CPU, {})]], [])
    assert translator.describe()["providers"] == [CUDA, CPU]
    translator.run("happy", picture[:2])
    assert used.bound == 2 * bound


def test_memory_of_few_shapes_is_kept(tiny_onnx, machine) -> None:
    used = machine([CUDA, CPU], [CUDA, CPU])
    session = Session(read(tiny_onnx(identity())), "cuda")
    pictures = [noise(n, 8, 8).transpose(0, 3, 1, 2).astype(np.float32) for n in range(1, 7)]
    for picture in (*pictures, pictures[-1], pictures[-4], pictures[0]):
        assert np.array_equal(session.run({"image": picture})[0], picture)
    assert used.carried == 7, "four sets of shapes are kept, the first came again"


def test_settings_of_a_provider_reach_onnxruntime(open_on, machine) -> None:
    used = machine([CUDA, CPU], [CUDA, CPU])
    open_on("cuda:device=1,tf32=on,search=exhaustive,memory=4GB,graphs=on")
    options = {
        **{"device_id": "1", "use_tf32": "1", "cudnn_conv_algo_search": "EXHAUSTIVE"},
        **{"gpu_mem_limit": "4000000000", "arena_extend_strategy": "kSameAsRequested"},
        "enable_cuda_graph": "1",
    }
    assert used.asked == [[(CUDA, options), (CPU, {})]]


def test_a_graph_of_cuda_is_recorded_once_all_has_its_place(tiny_onnx, machine) -> None:
    used = machine([CUDA, CPU], [CUDA, CPU])
    session = Session(read(tiny_onnx(identity())), "cuda:device=2,graphs=on")
    one, two = np.zeros((1, 3, 8, 8), np.float32), np.zeros((2, 3, 8, 8), np.float32)
    for picture in (one, one, two, one, two, two):
        session.run({"image": picture})
    assert used.graphs == ["-1", "1", "-1", "1", "2", "2"]
    assert {number for _, _, number in used.bound} == {2}


def test_tensorrt_leaves_to_cuda_what_it_cannot(open_on, machine) -> None:
    tensorrt = PROVIDERS["tensorrt"].own
    used = machine([tensorrt, CUDA, CPU], [tensorrt, CUDA, CPU])
    session, said = open_on("tensorrt:fp16=on,cache=Engines")
    options = {"trt_fp16_enable": "1", "trt_engine_cache_enable": "1"}
    options["trt_engine_cache_path"] = "Engines"
    assert used.asked == [[(tensorrt, options), (CUDA, PARITY), (CPU, {})]]
    assert (session.providers[0], said) == (tensorrt, [])


@pytest.mark.parametrize(
    "said", ["Failed to allocate memory for requested buffer", "out of memory"]
)
def test_a_gpu_that_is_full_is_one_line(open_on, machine, said) -> None:
    used = machine([CUDA, CPU], [CUDA, CPU])

    def full(*_: Any) -> None:
        raise RuntimeError(f"CUDA failure 2: {said}\nand where")

    used._run = full  # type: ignore[method-assign]
    session, _ = open_on("cuda")
    with refused(ModelFileError, "more memory than the GPU has"):
        session.run({"image": np.zeros((1, 3, 8, 8), np.float32)})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpu", r"unknown provider 'gpu'; choose one of: auto, cuda, cpu, tensorrt"),
        ("cuda:tf64=on", "unknown setting of cuda 'tf64'.*tf32"),
        ("cpu:device=1", "unknown setting of cpu 'device'"),
        ("cuda:tf32=maybe", "tf32 cannot be 'maybe'"),
        ("cuda:device=-1", "device cannot be '-1'"),
        ("cuda:memory=much", "memory cannot be 'much'"),
        ("tensorrt:cache=", "cache cannot be ''"),
        ("cuda:device", "device cannot be ''"),
        ("cuda:device=0,tf32=on,device=1", "device is set twice"),
    ],
)
def test_a_provider_that_cannot_be_meant_is_refused(text, says) -> None:
    with pytest.raises(UsageError, match=says):
        asked(text)


def test_every_provider_has_a_name_that_onnxruntime_knows() -> None:
    import onnxruntime

    known = set(onnxruntime.get_all_providers())
    assert {provider.own for provider in PROVIDERS.values()} <= known | {PROVIDERS["rocm"].own}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("gpu", "reason"),
    [("this machine has no NVIDIA driver", "no NVIDIA driver"), ("", "CUDA")],
)
def test_cuda_that_was_not_got_is_said(
    tiny_onnx, open_on, machine, monkeypatch, gpu, reason, fails
) -> None:
    used = machine([CUDA, CPU], [CPU], fails=fails)
    monkeypatch.setattr(session_module, "missing_gpu", lambda: gpu)
    with refused(PixelregError, reason):
        open_on("cuda")
    session, (line,) = open_on("auto")
    assert session.providers == (CPU,)
    last = [name for name, _ in used.asked[-1]]
    assert last == ([CPU] if fails else [CUDA, CPU])
    assert reason in line
    assert open_on("cpu")[1] == []
    with pytest.warns(RuntimeWarning, match=reason):
        Session(read(tiny_onnx(identity())))


def test_a_damaged_model_is_not_blamed_on_cuda(machine) -> None:
    machine([CUDA, CPU], [CPU], fails=True)
    broken = build([helper.make_node("Conv", ["image", "nothing"], ["output"])])
    with pytest.raises(ModelFileError, match="refused by onnxruntime"):
        Session(check(broken.SerializeToString(), "m"), "cuda")


def test_missing_libraries_are_named_as_onnxruntime_names_them(
    open_on, machine, monkeypatch
) -> None:
    used = machine([CUDA, CPU], [CPU])
    monkeypatch.setattr(session_module, "missing_gpu", lambda: "")
    used.preload_dlls = lambda: print("Failed to load libcudnn.so.9")  # type: ignore[attr-defined] # noqa: T201
    with pytest.raises(PixelregError, match=r"no CUDA: Failed to load libcudnn\.so\.9"):
        open_on("cuda")


def test_this_machine_knows_whether_it_has_a_gpu() -> None:
    reason = session_module.missing_gpu()
    has_device = any(Path("/dev").glob("nvidia[0-9]*"))
    assert (reason == "") == has_device
