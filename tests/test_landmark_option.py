"""``--landmarks`` of the commands that may run the rig."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, pixels
from PIL import Image

from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.dense import DenseFinder
from pixelreg.faces.marked import Marked, tem_text
from pixelreg.rig.translator import RigTranslator

FACE = Path(__file__).parents[1] / "examples/pictures/face.jpg"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A face averaged from four, without a file beside it."""
    file = tmp_path / "face.png"
    with Image.open(FACE) as image:
        image.convert("RGB").save(file)
    return file


@pytest.fixture
def aside(photo: Path, tmp_path: Path) -> Path:
    """A template of the face's 82 points, all of them moved by a tenth of the eye distance."""
    seen = pixels(photo)
    face = DenseFinder("cascade").find(seen, BundledDetector().detect(seen)[0])
    far = 0.1 * np.hypot(*(face.points[17] - face.points[0]))
    moved = type(face)(face.points + np.array([far, 0]), 0.0, "hand")
    file = tmp_path / "aside.tem"
    file.write_text(tem_text(Marked("face.png", (1, 1), moved)))
    return file


def happy(command: Command, photo: Path, *options: object) -> np.ndarray:
    output = photo.with_name("made.png")
    result = command("apply", photo, "--model", "rig", "--expr", "happy", *options, "-o", output)
    assert result.code == 0, result.err
    return pixels(output)


def test_apply_takes_the_finder_that_is_asked_for(command: Command, photo: Path) -> None:
    made = {name: happy(command, photo, "--landmarks", name) for name in ("cascade", "facemesh")}
    assert (made["cascade"] != made["facemesh"]).any()
    for name, picture in made.items():
        own = RigTranslator(finder=DenseFinder(name)).translate(pixels(photo), "happy")
        np.testing.assert_array_equal(picture, np.asarray(own))


def test_apply_takes_points_from_a_file(command: Command, photo: Path, aside: Path) -> None:
    """What changes goes where the file says, and the same file beside the photo does the same."""
    before = pixels(photo).astype(float)
    plain = happy(command, photo, "--landmarks", "cascade")
    moved = happy(command, photo, "--landmarks", aside)
    middles = []
    for picture in (plain, moved):
        change = np.abs(picture - before).sum(axis=(0, 2))
        middles.append((change * np.arange(len(change))).sum() / change.sum())
    unit = BundledDetector().detect(pixels(photo))[0].eye_distance
    assert 0.04 * unit < middles[1] - middles[0] < 0.16 * unit
    aside.rename(photo.with_suffix(".tem"))
    np.testing.assert_array_equal(happy(command, photo), moved)


def test_a_template_without_the_82_says_where_the_face_is(
    command: Command, photo: Path, tmp_path: Path
) -> None:
    five = BundledDetector().detect(pixels(photo))[0].points
    file = tmp_path / "five.pts"
    rows = "\n".join(f"{x} {y}" for x, y in five.tolist())
    file.write_text(f"version: 1\nn_points: 5\n{{\n{rows}\n}}\n")
    eyes = ",".join(str(value) for value in five[:2].ravel().tolist())
    by_eyes = happy(command, photo, "--eyes", eyes)
    np.testing.assert_array_equal(happy(command, photo, "--landmarks", file), by_eyes)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--model", "rig", "--landmarks", "nobody"), "choose one of: auto, cascade, facemesh"),
        (("--model", "rig", "--landmarks", "none.tem"), "none.tem: cannot be read"),
        (("--model", "flow", "--landmarks", "cascade"), "flow takes no dense landmarks"),
        (("--model", "flow", "--landmarks", "FILE"), "flow takes no dense landmarks"),
        (("--model", "rig", "--landmarks", "FILE", "--eyes", "1,2,3,4"), "says where the face is"),
        (("--model", "rig", "--landmarks", "FILE", "--no-align"), "says where the face is"),
        (("AGAIN", "--model", "rig", "--landmarks", "FILE"), "one photo only"),
    ],
)
@pytest.mark.parametrize("name", ["apply", "compare"])
def test_what_makes_no_sense_is_refused_in_a_line(
    name: str, options: tuple[str, ...], reason: str, command: Command, photo: Path, aside: Path
) -> None:
    again = photo.with_name("again.png")
    again.write_bytes(photo.read_bytes())
    named = {"FILE": aside, "AGAIN": again}
    output = photo.with_name("made.png")
    given = [named.get(option, option) for option in options]
    result = command(name, photo, *given, "--expr", "happy", "-o", output)
    assert result.code != 0
    assert reason in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not output.exists()


def test_compare_gives_landmarks_to_rigs_beside_other_models(command: Command, photo: Path) -> None:
    output = photo.with_name("sheet.png")
    both = ("--models", "rig", "--models", "flow", "--expr", "happy")
    result = command("compare", photo, *both, "--landmarks", "facemesh", "-o", output)
    assert result.code == 0, result.err
    assert output.is_file()


@pytest.mark.parametrize("name", ["auto", "cascade", "facemesh"])
def test_every_finder_is_unsure_of_noise_by_its_own_measure(
    name: str, command: Command, photo: Path
) -> None:
    """A face that is there is taken; noise that is said to be a face is to be looked at."""
    noise = photo.with_name("noise.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)).save(noise)
    output = photo.with_name("marks")
    sure = command("landmarks", photo, "--landmarks", name, "-o", output)
    asked = ("--eyes", "70,80,130,80", "--landmarks", name)
    unsure = command("landmarks", noise, *asked, "-o", output)
    assert (sure.code, unsure.code) == (0, 0)
    assert "look at" not in sure.err
    assert "look at" in unsure.err
    assert "noise.png" in unsure.err
