"""``pixelreg fit``, from the folder to the model, the table and the contact sheet."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, Result, files_in, pixels, places_of, spawn
from PIL import Image
from safetensors.numpy import load_file

from pixelreg.backends import get_backend
from pixelreg.data.pairs import grouped_holdout
from pixelreg.data.synthetic import synthesise
from pixelreg.models import file as modelfile

HEAD = ["expression", "method", "n", "PSNR", "dB", "SSIM", "MAE"]
ROW = re.compile(r"(\w+) +(untouched input|pixelreg \w+) +(\d+) +([\d.]+) +(-?[\d.]+) +([\d.]+)")


def rows_of(result: Result) -> list[tuple[str, ...]]:
    """The rows of the table, after checking that stdout holds nothing else."""
    head, *lines = result.out.splitlines()
    assert head.split() == HEAD
    matches = [ROW.fullmatch(line) for line in lines]
    assert all(matches), result.out
    return [match.groups() for match in matches if match]


def sheet_of(file: Path) -> Path:
    """The contact sheet beside a model file."""
    return file.with_name(f"{file.stem}-sheet.png")


@pytest.mark.parametrize("kind", ["rr", "kr", "mr", "lsrf", "full"])
def test_every_kind_of_model(kind: str, drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "made" / "happy.safetensors"
    result = command(
        "fit", "--data", drawn, "--expr", "happy", "--model", kind, "--size", 32, "--no-align",
        "-o", file,
    )  # fmt: skip
    assert result.code == 0, result.err
    rows = rows_of(result)
    assert [row[:3] for row in rows] == [
        ("happy", "untouched input", "2"),
        ("happy", f"pixelreg {kind}", "2"),
    ]
    assert "layout kdef, 8 people" in result.err
    assert "warning" not in result.err
    assert str(file) in result.err
    assert files_in(tmp_path) == {"made/happy.safetensors", "made/happy-sheet.png"}
    model = modelfile.load(file)
    assert (model.kind, model.targets, model.source) == (kind, ("happy",), "neutral")
    assert model.size == 32
    assert model.frame is None
    assert model.provenance.people == model.provenance.pairs == 8


def test_the_contact_sheet_shows_input_result_and_truth(
    drawn: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "m.safetensors"
    command("fit", "--data", drawn, "--expr", "happy", "--size", 64, "--no-align", "-o", file)
    with Image.open(sheet_of(file)) as sheet:
        assert sheet.format == "PNG"
        assert sheet.mode == "RGB"
    sheet_pixels = pixels(sheet_of(file))
    people = sorted(grouped_holdout([p.name[1:] for p in (drawn / "KDEF").iterdir()], 0.2, 0)[1])
    assert len(people) == 2
    # The held-out people's pictures are on the sheet, bit for bit.
    for person in people:
        for code in ("NE", "HA"):
            picture = pixels(drawn / "KDEF" / f"A{person}" / f"A{person}{code}S.JPG")
            assert len(places_of(picture, sheet_pixels)) == 1


def reference_scores(made: np.ndarray, truth: np.ndarray) -> tuple[str, str, str]:
    """PSNR, SSIM and MAE by scikit-image and by hand, as the table writes them."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    psnr = np.mean([peak_signal_noise_ratio(t, m) for t, m in zip(truth, made, strict=True)])
    ssim = np.mean(
        [
            structural_similarity(
                t, m, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                channel_axis=2, data_range=255,
            )
            for t, m in zip(truth, made, strict=True)
        ]
    )  # fmt: skip
    mae = np.abs(made.astype(float) - truth).mean()
    return f"{psnr:.2f}", f"{ssim:.3f}", f"{mae:.2f}"


def test_the_table_is_what_an_independent_computation_gives(
    drawn: Path, tmp_path: Path, command: Command
) -> None:
    result = command(
        "fit", "--data", drawn, "--expr", "happy", "--size", 64, "--no-align", "--lambda", 0.7,
        "--seed", 3, "-o", tmp_path / "m.safetensors",
    )  # fmt: skip
    people = sorted(path.name for path in (drawn / "KDEF").iterdir())
    held_out = grouped_holdout([name[1:] for name in people], 0.2, 3)[1]
    x, t = (
        np.stack([pixels(drawn / "KDEF" / name / f"{name}{code}S.JPG") for name in people])
        for code in ("NE", "HA")
    )
    test = np.array([name[1:] in held_out for name in people])

    def fitted(rows: np.ndarray) -> np.ndarray:
        """(weight, bias) of every pixel by its own linear system: Eq. 6."""
        inputs, outputs = (side[rows].reshape(rows.sum(), -1) / 255 for side in (x, t))
        return np.array(
            [
                np.linalg.solve(A.T @ A + 0.7 * np.eye(2), A.T @ b)
                for A, b in (
                    (np.column_stack([inputs[:, i], np.ones(len(inputs))]), outputs[:, i])
                    for i in range(inputs.shape[1])
                )
            ]
        )

    w, b = fitted(~test).T.reshape(2, 64, 64, 3)
    made = np.rint(np.clip(w * (x[test] / 255) + b, 0, 1) * 255).astype(np.uint8)
    untouched, ours = rows_of(result)
    assert untouched == ("happy", "untouched input", "2", *reference_scores(x[test], t[test]))
    assert ours == ("happy", "pixelreg rr", "2", *reference_scores(made, t[test]))

    # The model that is saved has learnt from everybody.
    w, b = fitted(np.ones(len(people), bool)).T.reshape(2, 64, 64, 3)
    stored = load_file(tmp_path / "m.safetensors")
    assert set(stored) == {"happy/weight", "happy/bias"}
    np.testing.assert_allclose(stored["happy/weight"], w, atol=1e-6)
    np.testing.assert_allclose(stored["happy/bias"], b, atol=1e-6)


def test_json_says_what_the_table_says(drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    options = ("--data", drawn, "--size", 32, "--no-align", "-o", file)
    rows = rows_of(command("fit", *options))
    result = command("fit", *options, "--json")
    assert result.code == 0
    facts = json.loads(result.out)
    assert facts["model"] == str(file)
    assert facts["bytes"] == file.stat().st_size
    assert facts["parameters"] == 2 * (2 * 32 * 32 * 3)
    assert facts["sheet"] == str(sheet_of(file))
    assert facts["pairs"] == {"happy": 8, "sad": 8}
    assert facts["settings"]["sad"]["alpha"] == 0.4
    shown = [
        (
            row["expression"], row["method"], str(row["count"]), f"{row['psnr']:.2f}",
            f"{row['ssim']:.3f}", f"{row['mae']:.2f}",
        )
        for row in facts["held_out"]
    ]  # fmt: skip
    assert shown == rows


@pytest.mark.parametrize("kind", ["rr", "kr", "mr", "lsrf"])
def test_cross_validation_picks_the_best_of_its_table(
    kind: str, drawn: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "m.safetensors"
    result = command(
        "fit", "--data", drawn, "--expr", "sad", "--model", kind, "--cv", "--size", 16,
        "--no-align", "-o", file, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    lines = re.findall(r"^(\*?) +(\S.*?) +([\d.]+)$", result.err, re.MULTILINE)
    errors = [float(error) for _, _, error in lines]
    assert len(errors) >= 3
    (chosen,) = [(params, float(error)) for mark, params, error in lines if mark == "*"]
    assert chosen[1] == min(errors)
    settings = json.loads(result.out)["settings"]["sad"]
    for item in chosen[0].split(", "):
        name, value = item.split("=")
        assert settings[{"lambda": "alpha"}.get(name, name)] == pytest.approx(float(value))
    assert modelfile.load(file).settings["sad"] == settings


def test_nobody_held_out(drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    options = ("--data", drawn, "--holdout", 0, "--size", 16, "--no-align", "-o", file)
    result = command("fit", *options)
    assert (result.code, result.out) == (0, "")
    assert files_in(tmp_path) == {"m.safetensors"}
    facts = json.loads(command("fit", *options, "--json").out)
    assert facts["sheet"] is None
    assert facts["held_out"] == []


def test_the_share_held_out_and_its_seed(drawn: Path, tmp_path: Path, command: Command) -> None:
    options = ("--data", drawn, "--expr", "happy", "--size", 16, "--no-align")

    def held_out(name: str, *more: object) -> list[tuple[str, ...]]:
        return rows_of(command("fit", *options, *more, "-o", tmp_path / f"{name}.safetensors"))

    first, again, other = (
        held_out(name, "--holdout", 0.5, "--seed", seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert [row[2] for row in first] == ["4", "4"]
    assert first == again != other
    # The split decides what is judged; what is saved learns from everybody.
    names = ("first", "again", "other")
    stored = [load_file(tmp_path / f"{name}.safetensors") for name in names]
    for tensors in stored[1:]:
        for name, values in tensors.items():
            np.testing.assert_array_equal(values, stored[0][name])


@pytest.mark.parametrize(("dtype", "size"), [("float16", 2), ("int8", 1)])
def test_smaller_numbers_say_what_they_cost(
    dtype: str, size: int, drawn: Path, tmp_path: Path, command: Command
) -> None:
    options = ("--data", drawn, "--expr", "happy", "--size", 64, "--no-align")
    files = [tmp_path / f"{name}.safetensors" for name in ("float32", dtype)]
    plain = command("fit", *options, "-o", files[0])
    result = command("fit", *options, "--dtype", dtype, "-o", files[1])
    assert result.code == 0
    assert "grey levels" not in plain.err
    (cost,) = re.findall(rf"stored as {dtype}: off by at most ([\d.]+) grey levels", result.err)
    whole, rounded = (modelfile.load(file).plan("happy") for file in files)
    random = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    predict = get_backend().predict
    gap = 255 * np.abs(predict(whole, random) - predict(rounded, random))
    # Pixel-RR is affine in each pixel, so no picture can cost more than black or white.
    assert 0 < gap.max() <= float(cost) + 0.005
    assert gap.max() > 0.5 * float(cost)
    assert files[1].stat().st_size < files[0].stat().st_size * size / 4 + 3000


def test_every_expression_found_or_those_asked_for(
    drawn: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "m.safetensors"
    options = ("--data", drawn, "--size", 16, "--no-align", "-o", file)
    assert [row[0] for row in rows_of(command("fit", *options))] == ["happy"] * 2 + ["sad"] * 2
    assert modelfile.load(file).targets == ("happy", "sad")
    command("fit", *options, "--expr", "SA")
    assert modelfile.load(file).targets == ("sad",)
    command("fit", *options, "--from", "sad", "--expr", "smile")
    assert (modelfile.load(file).source, modelfile.load(file).targets) == ("sad", ("happy",))


def test_the_default_output_is_in_the_working_folder(
    drawn: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("fit", "--data", drawn, "--size", 16, "--no-align").code == 0
    assert files_in(tmp_path) == {"pixelreg.safetensors", "pixelreg-sheet.png"}


def test_an_older_model_is_replaced(drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    file.write_bytes(b"an older model")
    file.chmod(0o640)
    assert command("fit", "--data", drawn, "--size", 16, "--no-align", "-o", file).code == 0
    assert modelfile.load(file).size == 16
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_bad_picture_leaves_its_pair_out_with_a_warning(
    drawn: Path, tmp_path: Path, command: Command
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set")
    bad = folder / "KDEF" / "AM02" / "AM02HAS.JPG"
    bad.write_bytes(bad.read_bytes()[:700])
    (folder / "KDEF" / "AF03" / "AF03HAS.JPG").unlink()
    file = tmp_path / "m.safetensors"
    options = ("--data", folder, "--expr", "happy", "--size", 16, "--no-align", "-o", file)
    result = command("fit", *options)
    assert result.code == 0
    assert "7 pairs, 1 pictures without a partner" in result.err
    (warning,) = [line for line in result.err.splitlines() if "warning" in line]
    assert "AM02HAS.JPG" in warning
    assert modelfile.load(file).provenance.people == 6


def test_a_table_of_pictures(drawn: Path, tmp_path: Path, command: Command) -> None:
    lines = ["person,expression,path"]
    for path in sorted(drawn.rglob("*.JPG")):
        lines.append(f"{path.parent.name},{path.stem[4:6]},{path}")
    table = tmp_path / "faces.csv"
    table.write_text("\n".join(lines))
    file = tmp_path / "m.safetensors"
    result = command("fit", "--data", table, "--size", 16, "--no-align", "-o", file)
    assert result.code == 0, result.err
    assert "layout csv, 8 people" in result.err
    assert modelfile.load(file).targets == ("happy", "sad")


def test_in_a_process_of_its_own(drawn: Path, tmp_path: Path) -> None:
    result = spawn("fit", "--data", drawn, "--size", 16, "--no-align", cwd=tmp_path)
    assert result.code == 0, result.err
    assert len(rows_of(result)) == 4
    assert files_in(tmp_path) == {"pixelreg.safetensors", "pixelreg-sheet.png"}


def test_auto_says_what_it_fits(drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    options = ("--data", drawn, "--expr", "happy", "--size", 16, "--no-align", "-o", file)
    for more, kind in (((), "rr"), (("--sigma", 1), "kr"), (("--prior", "identity"), "rr")):
        result = command("fit", *options, *more)
        assert result.code == 0, result.err
        assert f"  fitting {kind}" in result.err.splitlines()
        assert modelfile.load(file).kind == kind
        assert rows_of(result)[1][1] == f"pixelreg {kind}"
    assert "fitting" not in command("fit", *options, "--model", "rr").err


@pytest.mark.parametrize("kind", ["auto", "rr", "kr", "mr", "full"])
def test_the_papers_settings(kind: str, drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    result = command(
        "fit", "--data", drawn, "--preset", "paper", "--model", kind, "--no-align", "-o", file
    )
    assert result.code == 0, result.err
    model = modelfile.load(file)
    assert (model.kind, model.size) == ("rr" if kind == "auto" else kind, 128)
    widths = {"happy": {"sigma": 3.0}, "sad": {"sigma": 10.0}}  # section IV
    for target in ("happy", "sad"):
        settings = model.settings[target]
        assert settings["alpha"] == 0.4
        own = {"kr": widths[target], "mr": {"receptive_field": 3}, "full": {}}
        assert settings.items() >= own.get(kind, {"prior": "zero"}).items()


def test_a_field_and_its_pixels(drawn: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    result = command(
        "fit", "--data", drawn, "--expr", "happy", "--model", "lsrf", "--field", 3, "--pixels", 2,
        "--size", 16, "--no-align", "-o", file,
    )  # fmt: skip
    assert result.code == 0, result.err
    model = modelfile.load(file)
    assert model.settings["happy"].items() >= {"receptive_field": 3, "pixels": 2}.items()
    weights = model.plans["happy"].tensors()["weights"]
    assert len(weights) == 9
    assert (np.count_nonzero(weights, axis=0) <= 2).all()


def london_people(london: Path, folder: Path) -> Path:
    """The first people of the London set, as links."""
    for name in ("neutral_front", "smiling_front"):
        (folder / name).mkdir(parents=True)
        for path in sorted((london / name).iterdir()):
            if re.match(r"00[1-9]_", path.name):
                (folder / name / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize(("size", "seed"), [(128, 0), (192, 5)])
def test_drawn_faces_are_no_photographs(
    size: int, seed: int, tmp_path: Path, command: Command
) -> None:
    """A detector finds some of them, and never both faces of most pairs, where no file tells."""
    synthesise(tmp_path / "drawn", 6, size=size, seed=seed)
    for marks in (tmp_path / "drawn").rglob("*.pts"):
        marks.unlink()
    file = tmp_path / "m.safetensors"
    result = command("fit", "--data", tmp_path / "drawn", "--size", 32, "-o", file)
    assert result.code == 0, result.err
    assert "taken as aligned already" in result.err
    assert "left out" not in result.err


def test_real_photographs(london: Path, yunet_file: Path, tmp_path: Path, command: Command) -> None:
    """Without any option: the flow of an expression, learnt from aligned faces."""
    pytest.importorskip("cv2", reason="YuNet needs OpenCV, which the extra 'align' brings")
    folder = london_people(london, tmp_path / "set")
    file = tmp_path / "m.safetensors"
    options = ("--data", folder, "--detector", yunet_file, "--size", 64, "-o", file)
    result = command("fit", *options)
    assert result.code == 0, result.err
    assert "layout london, 8 people" in result.err
    assert "aligned by the eyes" in result.err
    assert "  fitting flow" in result.err.splitlines()
    assert "warning" not in result.err
    untouched, ours = rows_of(result)
    assert untouched[:3] == ("happy", "untouched input", "2")
    assert ours[:3] == ("happy", "pixelreg flow", "2")
    # Aligned photographs of two expressions are alike; centre squares are some 13 dB apart.
    assert 18 < float(untouched[3]) < 28
    assert abs(float(ours[3]) - float(untouched[3])) < 2
    model = modelfile.load(file)
    assert model.kind == "flow"
    assert model.frame is not None
    assert model.provenance.people == 8
    assert model.provenance.licence.startswith("CC BY 4.0")
    assert "DeBruine" in model.provenance.attribution
    # The people judged are the same for the paper's model; both are judged against one input.
    paper = command("fit", *options, "--prior", "identity")
    assert rows_of(paper)[0] == untouched
    assert rows_of(paper)[1][1] == "pixelreg rr"


def test_photographs_without_opencv(
    london: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """auto falls back on Pixel-RR and says so; flow names the extra."""
    folder = london_people(london, tmp_path / "set")
    for path in folder.rglob("*"):
        if path.suffix in (".jpg", ".tem") and not path.name.startswith(("001", "002", "003")):
            path.unlink()
    monkeypatch.setitem(sys.modules, "cv2", None)
    file = tmp_path / "out" / "m.safetensors"
    options = ("--data", folder, "--detector", "bundled", "--size", 32, "-o", file)
    result = command("fit", *options, "--model", "flow")
    assert result.code == 1
    assert "fitting a flow model (other models: --model rr) needs OpenCV" in result.error
    assert "pixelreg[align]" in result.error
    assert not file.exists()
    result = command("fit", *options)
    assert result.code == 0, result.err
    assert "  fitting rr" in result.err.splitlines()
    assert modelfile.load(file).kind == "rr"
    assert modelfile.load(file).frame is not None
