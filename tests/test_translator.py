"""The two calls that most people need, on every kind of picture."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pixelreg
from pixelreg.api import default_model
from pixelreg.backends import get_backend
from pixelreg.errors import (
    ImageError,
    InvalidArrayError,
    ModelFileError,
    UnknownNameError,
    UsageError,
)
from pixelreg.faces.align import similarity_from_eyes
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import face_mask
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model, Provenance
from pixelreg.models.plans import AffinePlan
from pixelreg.regression import MaskedRidge, PixelKernelRidge, PixelRidge
from pixelreg.translator import PlanTranslator, Translator

SIZE = 32


def a_plan(seed: int = 0) -> AffinePlan:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.6, 1.2, (SIZE, SIZE, 3)).astype(np.float32)
    return AffinePlan(weight, rng.uniform(-0.2, 0.2, weight.shape).astype(np.float32))


def a_model(frame: Frame | None = None) -> Model:
    return Model(
        {"happy": a_plan(0), "sad": a_plan(1)},
        settings={"happy": {"alpha": 0.4}, "sad": {"alpha": 2.0}},
        frame=frame,
        provenance=Provenance("Set", 2, 3, "CC BY 4.0", "Its makers", "0.1.0", "2030-01-02"),
    )


@pytest.fixture
def model_file(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    modelfile.save(a_model(), path)
    return path


def pixels(height: int = SIZE, width: int = SIZE, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(array: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


# ---- the same kind of thing comes back


def test_every_kind_of_input_gives_the_same_picture_in_its_own_kind(model_file, tmp_path) -> None:
    array = pixels()
    expected = get_backend().apply(a_plan(), array)
    path = tmp_path / "in.png"
    path.write_bytes(encoded(array))
    sources: list[Any] = [array, Image.fromarray(array), encoded(array), path, str(path)]
    kinds = [np.ndarray, Image.Image, bytes, Image.Image, Image.Image]
    for source, kind in zip(sources, kinds, strict=True):
        made = pixelreg.translate(source, "happy", model_file)
        assert isinstance(made, kind)
        decoded = Image.open(io.BytesIO(made)) if isinstance(made, bytes) else made
        assert np.array_equal(np.asarray(decoded), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_float_arrays_stay_floats(channels, dtype) -> None:
    shape = (SIZE, SIZE) if channels is None else (SIZE, SIZE, channels)
    array = np.random.default_rng(0).random(shape).astype(dtype)
    before = array.copy()
    made = PlanTranslator(a_model()).translate(array, "happy")
    assert made.dtype == dtype
    assert made.shape == shape
    assert np.array_equal(array, before)
    colour = array[..., :3].astype(float) if channels in (3, 4) else None
    if colour is not None:
        exact = np.clip(a_plan().weight * colour + a_plan().bias, 0, 1)
        # The change is that of the nearest grey level: half a level times |w - 1| off at most.
        near = 0.4 * 0.5 / 255 + (1e-3 if dtype == np.float16 else 1e-6)
        assert np.abs(made[..., :3] - exact).max() <= near
    if channels == 4:
        assert np.array_equal(made[..., 3], array[..., 3])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_pil_images_keep_mode_size_and_alpha(mode) -> None:
    image = Image.fromarray(pixels(50, 40)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(pixels(50, 40)[..., 0]))
    made = PlanTranslator(a_model()).translate(image, "happy")
    assert (made.mode, made.size) == (mode, (40, 50))
    assert made.tobytes() != image.tobytes()
    if mode in ("LA", "RGBA"):
        assert made.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_bytes_keep_their_format(format) -> None:
    content = encoded(pixels(40, 30), format)
    made = PlanTranslator(a_model()).translate(content, "happy")
    assert isinstance(made, bytes)
    opened = Image.open(io.BytesIO(made))
    assert (opened.format, opened.size) == (format, (30, 40))


# ---- strength


def test_strength_zero_gives_every_bit_back(model_file, tmp_path) -> None:
    jpeg = encoded(pixels(60, 50), "JPEG", quality=40)
    assert pixelreg.translate(jpeg, "happy", model_file, 0.0) == jpeg
    path = tmp_path / "in.jpg"
    path.write_bytes(jpeg)
    made = pixelreg.translate(path, "happy", model_file, 0)
    assert np.array_equal(np.asarray(made), np.asarray(Image.open(io.BytesIO(jpeg))))
    for array in (pixels(), pixels(40, 70), np.random.default_rng(0).random((SIZE, SIZE, 4))):
        made = pixelreg.translate(array, "happy", model_file, 0)
        assert made.tobytes() == array.tobytes()
        assert not np.shares_memory(made, array)
    for mode in ("P", "1", "I;16", "RGBA"):
        image = Image.fromarray(pixels()).convert("L" if mode == "I;16" else "RGB").convert(mode)
        made = pixelreg.translate(image, "happy", model_file, 0)
        assert (made.mode, made.tobytes()) == (image.mode, image.tobytes())


def test_strength_goes_half_way_and_beyond() -> None:
    translator = PlanTranslator(a_model())
    array = np.full((SIZE, SIZE, 3), 128, np.uint8)
    y = (a_plan().weight * (128 / 255) + a_plan().bias) * 255.0
    for strength in (0.5, 1.0, 1.5, -1.0):
        exact = np.clip(array + strength * (y - array), 0, 255)
        made = translator.translate(array, "happy", strength)
        assert np.abs(made - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf, 10.5, -11])
def test_strengths_without_sense_are_refused(strength) -> None:
    with pytest.raises(UsageError, match="strength must be between -10 and 10"):
        PlanTranslator(a_model()).translate(pixels(), "happy", strength)


# ---- targets


def test_unknown_targets_are_told_what_there_is(model_file) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown expression 'angry'.*happy, sad") as caught:
        pixelreg.translate(pixels(), "angry", model_file)
    assert caught.value.exit_code == 2
    for strength in (0.0, 1.0):
        with pytest.raises(UnknownNameError):
            PlanTranslator(a_model()).translate(pixels(), "", strength)


@pytest.mark.parametrize("name", ["happy", "HAPPY", "ha", "HA", "happiness", "smile", "Joy"])
def test_synonyms_are_accepted(name) -> None:
    translator = PlanTranslator(a_model())
    expected = translator.translate(pixels(), "happy")
    assert np.array_equal(translator.translate(pixels(), name), expected)
    assert not np.array_equal(translator.translate(pixels(), "SA"), expected)


def test_a_targets_own_name_goes_before_a_synonym() -> None:
    model = Model({"smile": a_plan(0), "happy": a_plan(1)})
    made = PlanTranslator(model).translate(pixels(), "smile")
    assert np.array_equal(made, get_backend().apply(a_plan(0), pixels()))


# ---- sizes and places


@pytest.mark.parametrize(("height", "width"), [(70, 100), (100, 70), (90, 90), (20, 31), (8, 8)])
def test_without_a_frame_the_centre_square_changes(height, width) -> None:
    array = pixels(height, width)
    made = PlanTranslator(a_model()).translate(array, "happy")
    assert made.shape == array.shape
    side = min(height, width)
    inside = np.zeros((height, width), bool)
    top, left = (height - side) / 2, (width - side) / 2
    rows = slice(math.floor(top), math.ceil(top + side))
    inside[rows, math.floor(left) : math.ceil(left + side)] = True
    assert np.array_equal(made[~inside], array[~inside])
    assert (made[inside] != array[inside]).any(axis=-1).mean() > 0.9


def test_a_constant_change_reaches_every_pixel_of_the_square() -> None:
    ones = np.ones((SIZE, SIZE, 3), np.float32)
    plan = AffinePlan(ones, ones * np.float32(0.1))
    array = np.full((96, 160, 3), 100, np.uint8)
    made = PlanTranslator(Model({"happy": plan})).translate(array, "happy")
    assert (made[:, 32:128] == 126).all()  # 100 + 25.5, to the even level
    assert (made[:, :32] == 100).all()
    assert (made[:, 128:] == 100).all()


def test_only_the_face_changes_where_there_is_one() -> None:
    array = pixels(120, 160)
    eyes = (60.0, 50.0, 88.0, 56.0)
    translator = PlanTranslator(a_model(Frame()), Locator(eyes=eyes))
    made = translator.translate(array, "happy")
    overlay = similarity_from_eyes(np.array(eyes).reshape(2, 2), Frame(), SIZE)
    rows, columns = np.indices((120, 160)) + 0.5
    places = overlay.to_crop(np.stack([columns, rows], axis=-1))
    outside = ((places < 0) | (places > SIZE)).any(axis=-1)
    assert np.array_equal(made[outside], array[outside])
    cell = np.clip(places.astype(int), 0, SIZE - 1)
    deep = ~outside & (face_mask(SIZE)[cell[..., 1], cell[..., 0]] > 0.9)
    assert (made[deep] != array[deep]).any(axis=-1).mean() > 0.8
    floats = translator.translate(array / 255, "happy")
    assert np.array_equal(floats[outside], (array / 255)[outside])
    assert np.abs(floats * 255 - made).max() <= 0.51


def test_a_crop_of_the_models_size_is_taken_as_it_is() -> None:
    made = PlanTranslator(a_model(Frame())).translate(pixels(), "happy")
    assert np.array_equal(made, get_backend().apply(a_plan(), pixels()))


@pytest.mark.parametrize("make", [PixelRidge, PixelKernelRidge, MaskedRidge])
def test_what_was_fitted_is_what_is_applied(make, tmp_path) -> None:
    rng = np.random.default_rng(5)
    X = rng.integers(0, 256, (20, 12 * 12 * 3), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-40, 41, X.shape), 0, 255).astype(np.uint8)
    estimator = make().fit(X, T)
    path = tmp_path / "m.safetensors"
    modelfile.save(Model({"happy": estimator.to_plan((12, 12, 3))}), path)
    made = pixelreg.translate(X[3].reshape(12, 12, 3), "happy", path)
    exact = np.clip(estimator.predict(X[3:4]) * 255, 0, 255).reshape(12, 12, 3)
    assert np.abs(made - exact).max() <= 0.5 + 1e-2


# ---- translators


def test_a_loaded_model_is_a_translator(model_file) -> None:
    translator = pixelreg.load(model_file)
    assert isinstance(translator, Translator)
    assert isinstance(translator, pixelreg.Translator)
    assert translator.targets == ("happy", "sad")
    assert pixelreg.load(str(model_file)).targets == ("happy", "sad")
    images = [pixels(seed=1), Image.fromarray(pixels(40, 50)), encoded(pixels(seed=2))]
    batch = translator.translate_batch(iter(images), "sad", 0.7)
    assert [type(made) for made in batch] == [np.ndarray, Image.Image, bytes]
    for made, image in zip(batch, images, strict=True):
        alone = translator.translate(image, "sad", 0.7)
        same = made == alone if not isinstance(made, np.ndarray) else np.array_equal(made, alone)
        assert same
    assert translator.translate_batch([], "sad") == []


def test_describe_tells_sizes_and_provenance_in_json(model_file) -> None:
    told = json.loads(json.dumps(pixelreg.load(model_file).describe(), allow_nan=False))
    numbers = SIZE * SIZE * 3 * 2
    assert told["parameters"] == 2 * numbers
    assert told["parameters_per_target"] == {"happy": numbers, "sad": numbers}
    assert told["bytes"] == 4 * 2 * numbers
    assert told["targets"] == ["happy", "sad"]
    assert (told["source"], told["model"], told["size"]) == ("neutral", "rr", SIZE)
    assert told["settings"]["sad"] == {"alpha": 2.0}
    assert told["licence"] == "CC BY 4.0"
    assert told["attribution"] == "Its makers"
    assert told["people"] == 2
    assert told["name"] == str(model_file)


def test_options_reach_the_translator(model_file) -> None:
    translator = pixelreg.load(model_file, backend="numpy", locator=Locator(align=False))
    assert translator.describe()["backend"] == "numpy"
    with pytest.raises(UnknownNameError, match="abacus"):
        pixelreg.load(model_file, backend="abacus").translate(pixels(), "happy")


def test_files_that_are_no_models_are_refused(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="cannot read"):
        pixelreg.load(tmp_path / "absent.safetensors")
    for name in ("model.pkl", "model", "model.pt"):
        with pytest.raises(UsageError, match=r"must end in \.safetensors"):
            pixelreg.load(tmp_path / name)
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelFileError, match=r"m\.safetensors"):
        pixelreg.translate(pixels(), "happy", path)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_bad_pictures_are_refused_at_any_strength(strength) -> None:
    translator = PlanTranslator(a_model())
    nan = pixels() / 255
    nan[3, 4, 1] = np.nan
    for array in (nan, pixels().astype(int), pixels()[0, 0], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InvalidArrayError):
            translator.translate(array, "happy", strength)
    for content in (b"", b"text", encoded(pixels(), "JPEG")[:200], "absent.png"):
        with pytest.raises(ImageError):
            translator.translate(content, "happy", strength)


def test_the_default_model_is_the_one_in_the_folder(tmp_path, monkeypatch, model_file) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_model() == "rig"
    model_file.rename("pixelreg.safetensors")
    assert default_model() == Path("pixelreg.safetensors")


def test_public_names_are_listed_and_lazy() -> None:
    assert set(dir(pixelreg)) == set(pixelreg.__all__)
    for name in pixelreg.__all__:
        assert getattr(pixelreg, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = pixelreg.nothing


def test_a_stack_of_pictures_comes_back_as_one(model_file) -> None:
    stack = np.stack([pixels(seed=k) for k in range(3)])
    for given in (stack, stack / 255, (stack / 255).astype(np.float32), stack[..., :1]):
        made = pixelreg.translate(given, "happy", model_file)
        assert (made.shape, made.dtype) == (given.shape, given.dtype)
        for one, other in zip(given, made, strict=True):
            assert np.array_equal(pixelreg.translate(one, "happy", model_file), other)
    assert np.array_equal(pixelreg.translate(stack, "happy", model_file, strength=0), stack)
    assert pixelreg.translate(stack[:0], "happy", model_file).shape == stack[:0].shape
    translator = pixelreg.load(model_file)
    batch = translator.translate_batch(stack, "happy")
    assert np.array_equal(np.stack(batch), translator.translate(stack, "happy"))
    with pytest.raises(InvalidArrayError, match=r"\(N, H, W, 3\), not \(3, 32, 32, 2\)"):
        pixelreg.translate(stack[..., :2], "happy", model_file)


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "float16", "bfloat16"])
def test_tensors_come_back_as_they_came(model_file, kind) -> None:
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    dtype = getattr(torch, kind)
    array = pixels()
    last = torch.tensor(array)
    last = last.to(dtype) if kind == "uint8" else (last / 255).to(dtype)
    values = last.numpy() if kind == "uint8" else last.to(torch.float64).numpy()
    expected = pixelreg.translate(values, "happy", model_file)
    near = {"uint8": 0, "float16": 1e-3, "bfloat16": 1e-2}.get(kind, 1e-6)
    first = last.permute(2, 0, 1)
    for given in (last, first, torch.stack([first, first.flip(2)]), torch.stack([last])):
        made = pixelreg.translate(given.clone(), "happy", model_file)
        assert (made.shape, made.dtype, made.device) == (given.shape, given.dtype, given.device)
        shown = made if made.ndim == 3 else made[0]
        shown = shown.permute(1, 2, 0) if shown.shape[0] == 3 else shown
        assert np.abs(shown.double().numpy() - np.clip(expected, 0, 255)).max() <= near
        same = pixelreg.translate(given, "happy", model_file, strength=0)
        assert torch.equal(same, given)


def test_tensors_that_are_no_pictures_and_gradients(model_file) -> None:
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    with pytest.raises(InvalidArrayError, match=r"\(3, H, W\) or \(N, 3, H, W\), not \(7, 8, 9\)"):
        pixelreg.translate(torch.rand(7, 8, 9), "happy", model_file)
    with pytest.raises(InvalidArrayError, match="NaN"):
        pixelreg.translate(torch.full((3, 32, 32), torch.nan), "happy", model_file)
    learning = torch.rand(3, 32, 32, requires_grad=True)
    made = pixelreg.translate(learning, "happy", model_file)
    assert not made.requires_grad
    grey = pixelreg.translate(torch.rand(32, 32), "happy", model_file)
    assert grey.shape == (32, 32)
    two = torch.rand(2, 3, 32, 32)
    batch = pixelreg.load(model_file).translate_batch(two, "happy")
    assert torch.equal(torch.stack(batch), pixelreg.translate(two, "happy", model_file))


def test_help_says_how_to_begin() -> None:
    text = pydoc.render_doc(pixelreg, renderer=pydoc.plaintext)
    for name in ("translate(image", "load(path", "PixelRidge(alpha=0.4).fit(X, T)", "class Transl"):
        assert name in text
    assert pixelreg.regression.PixelRidge is PixelRidge
    for line in (pixelreg.__doc__ or "").splitlines():
        for module, name in re.findall(r"`(pixelreg(?:\.\w+)*)\.(\w+)`", line):
            found = importlib.import_module(module)
            assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pixelreg ap", {"apply"}),
        ("pixelreg data s", {"sketch", "synthesise"}),
        ("pixelreg fit --mod", {"--model"}),
        ("pixelreg fit --model f", {"full", "flow"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_shell_completes(words, expected, shell) -> None:
    cli = Path(__file__).parents[1] / "cli.py"
    place = str(len(words.split()) - 1) if shell == "bash" else words.split()[-1]
    environment = {
        **os.environ,
        "_PIXELREG_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": place,
    }
    done = subprocess.run(
        [sys.executable, str(cli)], env=environment, capture_output=True, text=True, check=True
    )
    found = {line.split(",")[1].split("\t")[0] for line in done.stdout.splitlines()}
    assert expected <= found
    assert not found & {"merge", "download", "--lambda", "rr"}


USES = """
import numpy as np
from PIL import Image
import pixelreg

photo: Image.Image = pixelreg.translate("holiday.jpg", "happy")
picture = np.zeros((10, 10, 3), np.uint8)
changed: np.ndarray = pixelreg.translate(picture, "happy")
encoded: bytes = pixelreg.translate(b"", "happy")
model = pixelreg.load("happy.safetensors")
model.translate(picture, "happy", strength=0.7).shape
photos: list[Image.Image] = model.translate_batch(["a.jpg", "b.jpg"], "happy")
model.translate_batch([picture], "happy")[0].shape
"""


@pytest.mark.slow
def test_what_comes_in_says_what_comes_out_to_a_type_checker(tmp_path, monkeypatch) -> None:
    from mypy import api

    (tmp_path / "uses.py").write_text(USES + 'wrong: bytes = pixelreg.translate("a.jpg", "sad")\n')
    monkeypatch.setenv("MYPYPATH", str(Path(pixelreg.__file__).parents[1]))
    out, _, _ = api.run([str(tmp_path / "uses.py"), "--cache-dir", str(tmp_path / "cache")])
    faults = [line for line in out.splitlines() if "error" in line and "uses.py" in line]
    assert len(faults) == 1, out
    assert f"uses.py:{USES.count(chr(10)) + 1}:" in faults[0]
