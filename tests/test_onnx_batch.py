"""Networks on several photos: how many runs there are, and that nobody sees the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from cli_tools import Command, files_in, pixels
from onnx import helper
from onnx_tools import build, convolution, save
from PIL import Image

from deep_onnx.session import Session
from deep_onnx.translator import MOST_TOGETHER, TOGETHER, OnnxTranslator, load
from pixelreg.errors import FaceError, ImageError
from pixelreg.faces.locate import Locator
from pixelreg.models.model import Frame

SIDE = 32
FACE = {"placement": "face", "frame": Frame(), "dynamic": False, "size": SIDE}
EYES = (20.0, 25.0, 40.0, 27.0)


def photo(seed: int, height: int = 70, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mixing(batch: Any = "N") -> Any:
    """A network of floats whose sums depend on their order."""
    weights = np.random.default_rng(0).normal(0, 0.3, (3, 3, 5, 5)).astype(np.float32)
    shape = (batch, 3, SIDE, SIDE)
    return convolution(weights, image=shape, output=shape)


def stuck() -> Any:
    """A graph that says that it takes any number of pictures, and takes one."""
    node = helper.make_node("Reshape", ["image", "shape"], ["output"])
    shape = ("N", 3, SIDE, SIDE)
    return build([node], {"shape": np.array([1, 3, SIDE, SIDE])}, image=shape, output=shape)


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """How many pictures went into every run since."""
    found: list[int] = []
    real = Session.run

    def counted(self: Session, inputs: Any) -> Any:
        found.append(len(inputs["image"]))
        return real(self, inputs)

    monkeypatch.setattr(Session, "run", counted)
    return found


@pytest.fixture
def faces(tmp_path) -> Callable[..., OnnxTranslator]:
    def opened(model: Any, **card: Any) -> OnnxTranslator:
        path = save(model, tmp_path / "m.onnx", **{**FACE, **card})
        return load(path, locator=Locator(eyes=EYES), provider="cpu", threads=1)

    return opened


@pytest.mark.parametrize(
    ("batch", "count", "expected"),
    [
        ("N", 8, [8]),
        ("N", 19, [8, 8, 3]),
        (4, 8, [4, 4]),
        (4, 6, [4, 4]),  # the last picture again, twice
        (1, 3, [1, 1, 1]),
    ],
)
def test_crops_of_several_photos_share_runs(faces, runs, batch, count, expected) -> None:
    translator = faces(mixing(batch))
    photos = [photo(n, 70 + n, 60 + 2 * n) for n in range(count)]
    made = translator.translate_batch(photos, "happy", 0.8)
    assert runs == expected
    for one, given in zip(made, photos, strict=True):
        alone = translator.translate(given, "happy", 0.8)
        assert one.shape == given.shape
        assert np.abs(one.astype(int) - alone).max() <= 1
        assert (one != given).any()


def test_a_large_fixed_batch_does_not_hold_as_many_photos(faces) -> None:
    assert faces(mixing(4)).together == 4
    assert faces(mixing(64)).together == MOST_TOGETHER < 64


def test_floats_are_the_same_but_for_their_noise(faces, runs) -> None:
    translator = faces(mixing())
    photos = np.stack([photo(n) for n in range(TOGETHER)]) / np.float32(255)
    made = translator.translate(photos, "happy")  # an array of several is a batch as well
    assert runs == [TOGETHER]
    alone = np.stack([translator.translate(one, "happy") for one in photos])
    assert np.abs(made - alone).max() < 1e-5
    assert made.dtype == photos.dtype


def test_every_kind_of_image_keeps_its_place(faces, runs, tmp_path) -> None:
    translator, shown = faces(mixing()), [photo(n) for n in range(3)]
    frames = [Image.fromarray(one) for one in shown]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    moving = (tmp_path / "moving.gif").read_bytes()
    images = [shown[0], frames[1], moving, np.stack(shown), shown[2] / 255.0]
    made = translator.translate_batch(images, "happy")
    assert [type(one) for one in made] == [np.ndarray, Image.Image, bytes, *[np.ndarray] * 2]
    assert runs[0] in (2, 3), "one-picture images of one kind, before those that hold several"
    for one, given in zip(made, images, strict=True):
        alone = translator.translate(given, "happy")
        if isinstance(one, bytes):
            assert one == alone
        else:
            assert np.abs(np.asarray(one, float) - np.asarray(alone, float)).max() <= 1


def test_strength_0_gives_every_bit_back(faces) -> None:
    photos = [photo(n) for n in range(3)]
    made = faces(mixing()).translate_batch(photos, "happy", 0)
    assert all(np.array_equal(one, given) for one, given in zip(made, photos, strict=True))


def test_whole_photos_are_runs_of_their_own(faces, runs) -> None:
    translator = faces(convolution(np.eye(3, dtype=np.float32)[..., None, None]), dynamic=True)
    assert translator.together == TOGETHER
    whole = faces(
        convolution(np.eye(3, dtype=np.float32)[..., None, None]),
        placement="whole",
        frame=None,
        dynamic=True,
    )
    assert whole.together == 1
    whole.translate_batch([photo(0), photo(1)], "happy")
    assert runs == [1, 1]


def test_a_graph_that_cannot_what_it_says_runs_one_by_one(faces, runs) -> None:
    photos = [photo(n) for n in range(3)]
    made = faces(stuck()).translate_batch(photos, "happy")
    assert runs == [3, 1, 1, 1]
    for one, given in zip(made, photos, strict=True):
        assert np.abs(one.astype(int) - given).max() <= 1  # it gives back what it gets


def test_a_photo_that_cannot_be_changed_is_told_of(faces, tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.png"):
        faces(mixing()).translate_batch([photo(0), tmp_path / "bad.png"], "happy")
    translator = faces(mixing())
    lonely = OnnxTranslator(translator.model, Locator())
    with pytest.raises(FaceError):
        lonely.translate_batch([photo(0), photo(1)], "happy")


# -- folders at the command line ---------------------------------------------------------------


@pytest.fixture
def album(tmp_path) -> Path:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for n in range(9):
        Image.fromarray(photo(n, 64 + n, 60)).save(folder / ("deep" if n % 2 else "") / f"{n}.png")
    (folder / "5-bad.png").write_bytes(b"no picture")
    frames = [Image.fromarray(photo(n)) for n in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    return folder


@pytest.mark.parametrize("model", [mixing, stuck])
def test_a_folder_is_changed_by_runs_in_common(
    command: Command, album, runs, tmp_path, model
) -> None:
    """Eleven files of ten pictures and a bad one: eight, of which one is bad, and the rest."""
    file = save(model(), tmp_path / "m.onnx", **{**FACE, "placement": "square", "frame": None})
    out = tmp_path / "out"
    options = ("--model", file, "--threads", 1, "--provider", "cpu")
    done = command("apply", album, *options, "-o", out)
    assert done.code == 1
    assert "10 of 11 pictures changed" in done.err
    assert "5-bad.png" in done.err.split("failed: ")[1]
    if model is mixing:
        assert sorted(runs) == [1, 1, 1, 2, 7], "photos in common, an animation's frames alone"
    for name in files_in(out):
        alone = tmp_path / "alone" / name
        assert command("apply", album / name, *options, "-o", alone).code == 0
        assert np.abs(pixels(out / name).astype(int) - pixels(alone)).max() <= 1
    assert len(files_in(out)) == 10
