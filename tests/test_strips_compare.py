"""Strips, animations and ``pixelreg compare``: pictures of one face side by side."""

from __future__ import annotations

import base64
import html
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import SIZE, Command, pixels, places_of
from PIL import Image, ImageSequence

from pixelreg import load
from pixelreg.errors import UsageError
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan
from pixelreg.pictures.sheet import (
    ANIMATION_SIDE,
    STRIP_SIDE,
    strength_animation,
    strength_strip,
)


def square(strength: float, height: int = 40, width: int = 60) -> np.ndarray:
    """A grey picture with a square that is the brighter the larger the strength."""
    picture = np.full((height, width, 3), 100, np.uint8)
    picture[height // 4 : height // 2, width // 4 : width // 2] = round(100 + 100 * strength)
    return picture


# ---------------------------------------------------------------- strips and animations


def test_a_strip_holds_every_strength_in_the_order_given() -> None:
    strengths = (1.5, 0.0, -0.25)
    strip = strength_strip(lambda s: square(s, 60, 60), strengths)
    lefts = []
    for strength in strengths:
        ((left, _),) = places_of(square(strength, 60, 60), strip)
        lefts.append(left)
    assert lefts == sorted(lefts)


def test_a_strip_of_a_large_picture_is_small_enough_to_look_at() -> None:
    strip = strength_strip(lambda s: square(s, 1500, 1000), (0, 1))
    assert STRIP_SIDE < strip.shape[0] < STRIP_SIDE + 60
    assert 2 * STRIP_SIDE <= strip.shape[1] < 2 * STRIP_SIDE + 40


# 8 bits of palette and lossy compression cost some grey levels; an animated PNG nothing.
@pytest.mark.parametrize(
    ("most", "suffix", "loss"),
    [(1.0, ".png", 0), (-0.5, ".png", 0), (1.0, ".gif", 5), (1.0, ".webp", 12)],
)
def test_an_animation_goes_there_and_back(most: float, suffix: str, loss: int) -> None:
    asked = []

    def at(strength: float) -> np.ndarray:
        asked.append(strength)
        return square(strength)

    with Image.open(io.BytesIO(strength_animation(at, most, suffix))) as animation:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(animation)]
    peak = int(np.argmax([np.abs(f.astype(int) - square(0)).mean() for f in frames]))
    assert suffix == ".webp" or peak == len(frames) // 2  # WebP joins frames that are alike
    pairs = [(frames[0], square(0)), (frames[peak], square(most))]
    pairs += list(zip(frames[1:peak], frames[:peak:-1], strict=suffix != ".webp"))
    for one, other in pairs:
        assert np.abs(one.astype(int) - other).mean() <= loss
    # The face is asked for once a strength; steps are small at both ends and largest between.
    assert asked[0] == 0
    assert asked[-1] == pytest.approx(most)
    steps = np.abs(np.diff(asked))
    assert (steps > 0).all()
    assert steps.argmax() in (len(steps) // 2 - 1, len(steps) // 2)
    assert steps[0] < steps.max() / 4


@pytest.mark.parametrize("suffix", [".gif", ".WebP"])
def test_an_animation_of_a_large_picture_keeps_its_shape(suffix: str) -> None:
    content = strength_animation(lambda s: square(s, 1000, 1500), 1.0, suffix)
    with Image.open(io.BytesIO(content)) as animation:
        assert animation.is_animated
        assert (animation.format, animation.info["loop"]) == (suffix[1:].upper(), 0)  # for ever
        lasting = 0
        for frame in ImageSequence.Iterator(animation):
            frame.load()
            lasting += frame.info["duration"]
        assert 1500 < lasting < 2100  # milliseconds
        assert animation.size == (ANIMATION_SIDE, round(ANIMATION_SIDE * 1000 / 1500))


@pytest.mark.parametrize("suffix", ["", ".mp4", ".jpg"])
def test_animations_in_other_formats_are_refused_before_any_work(suffix: str) -> None:
    with pytest.raises(UsageError, match=r"use \.gif or \.webp"):
        strength_animation(lambda s: pytest.fail("was asked for a picture"), 1.0, suffix)


# ---------------------------------------------------------------- compare


@pytest.fixture
def crop(face: np.ndarray, tmp_path: Path) -> Path:
    """A neutral face of the models' own size, as a PNG file."""
    path = tmp_path / "crop.png"
    Image.fromarray(face).resize((SIZE, SIZE)).save(path)
    return path


@pytest.fixture
def darker(tmp_path: Path) -> Path:
    """A second model, which knows happy only, and makes everything half as bright."""
    weight = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    plan = AffinePlan(weight, np.zeros_like(weight))
    path = tmp_path / "models" / "darker & colder.safetensors"
    modelfile.save(Model({"happy": plan}), path)
    return path


def made_by(model: Path, target: str, picture: Path, strength: float = 1.0) -> np.ndarray:
    return np.asarray(load(model).translate(picture, target, strength))


def test_models_side_by_side(
    crop: Path, model: Path, darker: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "sheet.png"
    shutil.copy(crop, tmp_path / "again.png")
    result = command(
        "compare", crop, tmp_path / "again.png", "--models", model, darker,
        "--side", SIZE, "-o", out,
    )  # fmt: skip
    assert (result.code, result.out, result.err) == (0, "", f"wrote {out}\n")
    sheet = pixels(out)
    # Without --expr every model shows all that it knows, in the order of the models.
    columns = [
        pixels(crop),
        made_by(model, "happy", crop),
        made_by(model, "sad", crop),
        made_by(darker, "happy", crop),
    ]
    places = [places_of(picture, sheet) for picture in columns]
    assert [len(found) for found in places] == [2, 2, 2, 2]  # a row for every picture
    for row in (0, 1):
        lefts, tops = zip(*(found[row] for found in places), strict=True)
        assert list(lefts) == sorted(lefts)
        assert len(set(tops)) == 1
    assert (sheet[places[0][0][1] :, : places[0][0][0]] < 128).any()  # the pictures' names
    assert (sheet[: places[0][0][1]] < 128).any()  # the models'


def test_one_expression_at_one_strength(
    crop: Path, model: Path, darker: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "sheet.png"
    options = ("--expr", "smile", "--strength", 0.5, "--side", SIZE, "-o", out)
    for files in ((model, "--models", darker), ("--model", model, "--model", darker)):
        result = command("compare", crop, *files, *options)
        assert result.code == 0, result.err
        sheet = pixels(out)
        for file in (model, darker):
            assert len(places_of(made_by(file, "happy", crop, 0.5), sheet)) == 1
        assert not places_of(made_by(model, "sad", crop, 0.5), sheet)


def test_a_page_needs_no_other_file(
    crop: Path, model: Path, darker: Path, command: Command, tmp_path: Path
) -> None:
    strange = crop.rename(tmp_path / "a<b>&c.png")
    out = tmp_path / "made" / "sheet.html"
    result = command("compare", strange, "--expr", "happy", "--models", model, darker, "-o", out)
    assert (result.code, result.err) == (0, f"wrote {out}\n")
    page = out.read_text(encoding="utf-8")
    labels = [html.unescape(label) for label in re.findall(r"<th>(.*?)</th>", page)]
    assert labels == ["", "input", "drawn happy", "darker & colder happy", strange.name]
    pictures = re.findall(r"src='data:image/png;base64,([^']+)'", page)
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in pictures]
    wanted = [pixels(strange), made_by(model, "happy", strange), made_by(darker, "happy", strange)]
    for ours, theirs in zip(shown, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "<b>" not in page
    assert "http" not in page


def test_the_default_model_is_that_of_apply(
    crop: Path, model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "pixelreg.safetensors")
    result = command("compare", "crop.png", "--side", SIZE)
    assert result.code == 0, result.err
    assert len(places_of(made_by(model, "sad", crop), pixels(tmp_path / "sheet.png"))) == 1


def test_a_picture_that_cannot_be_read_is_left_out(
    crop: Path, model: Path, command: Command, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    out = tmp_path / "sheet.png"
    options = ("--models", model, "--side", SIZE, "-o", out)
    result = command("compare", bad, crop, *options)
    assert (result.code, result.out) == (1, "")
    failure, wrote = result.err.splitlines()
    assert failure.startswith(f"failed: {bad}")
    assert "is not a picture" in failure
    assert wrote == f"wrote {out}"
    assert len(places_of(pixels(crop), pixels(out))) == 1
    out.unlink()
    result = command("compare", bad, *options)
    assert result.code == 1
    assert "none of the pictures could be compared" in result.err
    assert not out.exists()
