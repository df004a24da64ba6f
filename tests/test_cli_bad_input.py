"""Bad folders and options on the command line: one line, the right exit code, nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in
from PIL import Image


def nothing_written(tmp_path: Path) -> bool:
    return not (tmp_path / "out").exists() or files_in(tmp_path / "out") == set()


def test_missing_folder(command: Command, fit_options: tuple[object, ...], tmp_path: Path) -> None:
    for words in (
        ("fit", "--data", tmp_path / "nosuch", *fit_options),
        ("data", "list", tmp_path / "nosuch"),
    ):
        result = command(*words)
        assert result.code == 2
        assert "nosuch' does not exist" in result.error
    assert files_in(tmp_path) == set()


def test_empty_folder(
    command: Command, fit_options: tuple[object, ...], model: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (
        ("fit", "--data", empty, *fit_options),
        ("evaluate", "--data", empty, "--model", model),
        ("data", "list", empty),
        ("apply", empty, "--expr", "happy", "--model", model, "-o", tmp_path / "out"),
    ):
        result = command(*words)
        assert result.code == 1, words
        assert "no picture" in result.error
        assert str(empty) in result.error
    assert files_in(tmp_path) == set()


def test_unknown_layout(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    for words in (
        ("fit", "--data", drawn, *fit_options),
        ("data", "list", drawn),
    ):
        result = command(*words, "--layout", "kdfe")
        assert result.code == 2
        assert "unknown layout 'kdfe'; choose one of: auto, csv, akdef, kdef" in result.error
    assert nothing_written(tmp_path)


def test_a_layout_that_the_folder_is_not_in(command: Command, drawn: Path) -> None:
    result = command("data", "list", drawn, "--layout", "jaffe")
    assert result.code == 1
    assert "KA.AN1.39.tiff" in result.error


def test_pictures_in_no_layout(
    command: Command, face: np.ndarray, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "holiday").mkdir()
    for name in ("IMG_1.jpg", "IMG_2.jpg"):
        Image.fromarray(face).save(tmp_path / "holiday" / name)
    result = command("fit", "--data", tmp_path / "holiday", *fit_options)
    assert result.code == 1
    assert "no known layout" in result.error
    assert "2 pictures, such as IMG_1.jpg" in result.error


def test_one_lonely_person(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    shutil.copytree(drawn / "KDEF" / "AF01", tmp_path / "set" / "KDEF" / "AF01")
    options = ("--data", tmp_path / "set", *fit_options)
    result = command("fit", *options)
    assert result.code == 1
    assert "only one person, 'F01'" in result.error
    assert "--holdout 0" in result.error
    assert nothing_written(tmp_path)
    assert command("fit", *options, "--holdout", 0).code == 0
    assert files_in(tmp_path / "out") == {"m.safetensors"}
    # Nothing can be chosen between people where there is one.
    for kind in ("rr", "kr", "mr", "full"):
        result = command("fit", *options, "--holdout", 0, "--cv", "--model", kind)
        assert result.code == 1
        assert "cross-validation needs at least two people to learn from" in result.error


def test_nobody_has_both_expressions(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set") / "KDEF"
    for path in folder.rglob("*.JPG"):
        if path.stem.endswith("SAS") or ("F0" in path.stem) == path.stem.endswith("HAS"):
            path.unlink()
    result = command("fit", "--data", tmp_path / "set", *fit_options)
    assert result.code == 1
    assert "no person with both 'neutral'" in result.error
    assert nothing_written(tmp_path)


def test_pairs_of_different_sizes(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set")
    for path in folder.rglob("*HAS.JPG"):
        Image.open(path).resize((64, 48)).save(path)
    options = ("--data", folder, "--expr", "happy", *fit_options)
    result = command("fit", *options)
    assert result.code == 1
    assert "none of the 8 pairs can be used" in result.error
    assert "AF01NES.JPG is 64x64 but AF01HAS.JPG is 64x48" in result.error
    assert nothing_written(tmp_path)
    # One such pair is left out, aloud.
    odd = folder / "KDEF" / "AF01" / "AF01HAS.JPG"
    for path in folder.rglob("*HAS.JPG"):
        if path != odd:
            shutil.copy(drawn / path.relative_to(folder), path)
    result = command("fit", *options)
    assert result.code == 0
    (warning,) = [line for line in result.err.splitlines() if "warning" in line]
    assert "AF01NES.JPG is 64x64 but AF01HAS.JPG is 64x48" in warning


def test_unknown_expression(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    for option in ("--expr", "--from"):
        result = command("fit", "--data", drawn, option, "bored", *fit_options)
        assert result.code == 2
        assert "unknown expression 'bored'; choose one of: neutral, happy, sad" in result.error
    result = command("fit", "--data", drawn, "--expr", "neutral", *fit_options)
    assert result.code == 2
    assert "both 'neutral'" in result.error
    assert nothing_written(tmp_path)


def test_a_set_of_pictures_none_of_which_can_be_read(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set")
    for path in folder.rglob("*.JPG"):
        path.write_bytes(path.read_bytes()[:500])
    result = command("fit", "--data", folder, *fit_options)
    assert result.code == 1
    assert "none of the 8 pairs can be used" in result.error
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--lambda", -1), "--lambda must be a number above 0, not -1"),
        (("--lambda", 0), "--lambda must be a number above 0"),
        (("--lambda", "nan"), "--lambda must be a number above 0"),
        (("--lambda", "inf"), "--lambda must be a number above 0"),
        (("--lambda", "much"), "'much' is not a valid float"),
        (("--model", "kr", "--sigma", 0), "--sigma must be a number above 0"),
        (("--model", "kr", "--sigma", "nan"), "--sigma must be a number above 0"),
        (("--model", "rr", "--sigma", 3), "--sigma belongs to --model kr"),
        (("--model", "flow", "--sigma", 3), "--sigma belongs to --model kr"),
        (("--sigma", 3, "--prior", "zero"), "--sigma is kr's and --prior is rr's"),
        (("--preset", "paper", "--lambda", 1), "--preset paper is for rr or kr"),
        (("--preset", "paper", "--sigma", 1), "--preset paper is for rr or kr"),
        (("--preset", "paper", "--prior", "zero"), "--preset paper is for rr or kr"),
        (("--preset", "paper", "--size", 64), "--preset paper is for rr or kr"),
        (("--preset", "paper", "--cv"), "--preset paper is for rr or kr"),
        (("--preset", "paper", "--model", "mr"), "--preset paper is for rr or kr"),
        (("--preset", "papers"), "'papers' is not"),
        (("--model", "kr", "--prior", "zero"), "--prior belongs to --model rr"),
        (("--model", "deep"), "'deep' is not one of 'auto', 'rr', 'kr', 'mr', 'full', 'flow'"),
        (("--size", 0), "0 is not in the range"),
        (("--size", -5), "-5 is not in the range"),
        (("--size", 1_000_000), "1000000 is not in the range"),
        (("--holdout", 1), "1.0 is not in the range"),
        (("--holdout", -0.1), "-0.1 is not in the range"),
        (("--holdout", "nan"), "nan"),
        (("--seed", "x"), "'x' is not a valid integer"),
        (("--dtype", "float64"), "'float64' is not one of"),
        (("-o", "model.pkl"), "must end in .safetensors"),
        (("--nosuch",), "No such option"),
        (("stray",), "stray"),
    ],
)
def test_options_of_fit(
    options: tuple[object, ...], reason: str, drawn: Path, command: Command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = command("fit", "--data", drawn, "--no-align", *options)
    assert result.code == 2
    assert reason in result.error
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--strength", "nan"), "strength must be between"),
        (("--strength", "inf"), "strength must be between"),
        (("--strength", "11"), "strength must be between"),
        (("--strength", "a lot"), "'a lot'"),
        (("--eyes", "1,2,3"), "'1,2,3' has 3 numbers; 4 are needed"),
        (("--eyes", "a,b,c,d"), "'a,b,c,d' is not a list of numbers"),
        (("--eyes", "1,2,nan,4"), "eyes must be four finite numbers"),
        (("--eyes", "5,5,5,5"), "eyes"),
        (("--box", "1,2,3"), "'1,2,3' has 3 numbers; 4 are needed"),
        (("--box", "1,2,-3,4"), "positive width and height"),
        (("--face", "0"), "face '0'"),
        (("--detector", "magic"), "unknown detector 'magic'; choose one of: auto"),
    ],
)
def test_options_of_apply(
    options: tuple[object, ...], reason: str, drawn: Path, photo_model: Path, command: Command,
    tmp_path: Path,
) -> None:  # fmt: skip
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    out = tmp_path / "out.png"
    result = command(
        "apply", picture, "--expr", "happy", "--model", photo_model, "-o", out, *options
    )
    assert result.code == 2
    assert reason in result.error
    assert files_in(tmp_path) == set()


def test_a_detector_that_cannot_be_had(
    command: Command, drawn: Path, model: Path, tmp_path: Path
) -> None:
    """It must not pass for one that finds no face."""
    options = ("--data", drawn, "--size", 16, "-o", tmp_path / "m.safetensors")
    result = command("fit", *options, "--detector", "magic")
    assert result.code == 2
    assert "unknown detector 'magic'; choose one of: auto" in result.error
    result = command("fit", *options, "--detector", tmp_path / "nosuch.onnx")
    assert result.code == 1
    assert files_in(tmp_path) == set()


def test_a_picture_without_a_face(command: Command, photo_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 150), "grey").save(tmp_path / "wall.png")
    options = ("--expr", "happy", "--model", photo_model, "--detector", "bundled")
    result = command("apply", tmp_path / "wall.png", *options)
    assert result.code == 1
    assert "no face was found" in result.error
    assert "--eyes" in result.error
    assert not (tmp_path / "wall-happy.png").exists()


def test_eyes_outside_the_picture(
    drawn: Path, photo_model: Path, command: Command, tmp_path: Path
) -> None:
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    result = command(
        "apply", picture, "--expr", "happy", "--model", photo_model, "-o", tmp_path / "out.png",
        "--eyes", "9000,9000,9030,9000",
    )  # fmt: skip
    assert result.code == 1
    assert "outside the picture" in result.error
    assert files_in(tmp_path) == set()


def test_two_inputs_for_one_output(
    face: np.ndarray, model: Path, command: Command, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(face).save(tmp_path / folder / "face.png")
    pictures = (tmp_path / "a" / "face.png", tmp_path / "b" / "face.png")
    options = ("--expr", "happy", "--model", model)
    before = files_in(tmp_path)
    result = command("apply", *pictures, *options, "-o", tmp_path / "out")
    assert result.code == 2
    assert f"{pictures[0]} and {pictures[1]} would both become" in result.error
    result = command("apply", *pictures, *options, "-o", pictures[0])
    assert result.code == 2
    assert "is a file; several pictures need a folder" in result.error
    assert files_in(tmp_path) == before


def test_inputs_of_apply(face: np.ndarray, model: Path, command: Command, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    Image.fromarray(face).save(picture)
    options = ("--expr", "happy", "--model", model)
    result = command("apply", tmp_path / "nosuch.png", *options)
    assert result.code == 2
    assert "no such file or folder" in result.error
    result = command("apply", picture, "-", *options)
    assert result.code == 2
    assert "- stands alone" in result.error
    result = command("apply", *options)
    assert result.code == 2
    assert "INPUT" in result.error
    result = command("apply", picture, "--model", model)
    assert result.code == 2
    assert "--expr" in result.error
    result = command("apply", picture, *options, "-o", tmp_path / "out.xyz")
    assert result.code in (1, 2)
    assert "suffix" in result.error
    assert files_in(tmp_path) == {"face.png"}


def test_options_of_data_synthesise(command: Command, tmp_path: Path) -> None:
    for options in (("--people", 0), ("--size", 4), ("--sessions", 3), ("--seed", -1)):
        result = command("data", "synthesise", tmp_path / "drawn", *options)
        assert result.code == 2
        assert str(options[1]) in result.error
    assert files_in(tmp_path) == set()
