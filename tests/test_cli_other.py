"""``pixelreg evaluate``, ``info``, ``data``, and the help of every command."""

from __future__ import annotations

import gc
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from cli_tools import Command, files_in, pixels, spawn
from PIL import Image
from safetensors.numpy import load_file

import pixelreg
from pixelreg.commands.main import COMMANDS, cli
from pixelreg.models import file as modelfile

# ---------------------------------------------------------------- evaluate


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people whom the model has not seen, of the model's own size."""
    from pixelreg.data.synthetic import synthesise

    folder = tmp_path_factory.mktemp("others")
    synthesise(folder, 3, ("neutral", "happy", "sad", "angry"), size=32, seed=99)
    return folder


def test_evaluate_is_what_the_numbers_of_the_model_give(
    others: Path, model: Path, command: Command
) -> None:
    options = ("--data", others, "--model", model, "--no-align")
    text = command("evaluate", *options)
    result = command("evaluate", *options, "--json")
    assert text.code == result.code == 0, result.err
    rows = json.loads(result.out)
    assert [(row["expression"], row["method"], row["count"]) for row in rows] == [
        (name, method, 3) for name in ("happy", "sad") for method in ("untouched input", model.name)
    ]
    numbers = load_file(model)
    people = sorted(path.name for path in (others / "KDEF").iterdir())
    x, t = (
        np.stack([pixels(others / "KDEF" / name / f"{name}{code}S.JPG") for name in people])
        for code in ("NE", "HA")
    )
    made = np.clip(numbers["happy/weight"] * (x / 255) + numbers["happy/bias"], 0, 1)
    for row, picture in zip(rows, (x, np.rint(255 * made)), strict=False):
        gap = picture.astype(float) - t
        errors = (gap**2).mean(axis=(1, 2, 3))
        assert row["psnr"] == pytest.approx(np.mean(10 * np.log10(255**2 / errors)), abs=1e-3)
        assert row["mae"] == pytest.approx(np.abs(gap).mean(), abs=1e-3)
    assert f"{rows[1]['psnr']:.2f}" in text.out.splitlines()[2]
    assert len(text.out.splitlines()) == 5


def test_evaluate_one_expression(others: Path, model: Path, command: Command) -> None:
    options = ("--data", others, "--model", model, "--no-align")
    result = command("evaluate", *options, "--expr", "SA", "--json")
    assert result.code == 0, result.err
    assert {row["expression"] for row in json.loads(result.out)} == {"sad"}


def test_evaluate_what_the_model_or_the_set_lacks(
    others: Path, model: Path, command: Command, tmp_path: Path
) -> None:
    options = ("--model", model, "--no-align")
    result = command("evaluate", "--data", others, *options, "--expr", "angry")
    assert result.code == 2
    assert result.error == "unknown expression 'angry'; choose one of: happy, sad"
    poor = shutil.copytree(others, tmp_path / "set")
    for path in poor.rglob("*.JPG"):
        if path.stem[4:6] in ("HA", "SA"):
            path.unlink()
    result = command("evaluate", "--data", poor, *options)
    assert result.code == 1
    assert "none of the model's expressions: happy, sad" in result.error


# ---------------------------------------------------------------- info


def test_info(model: Path, command: Command) -> None:
    result = command("info", model, "--json")
    assert (result.code, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["targets"] == ["happy", "sad"]
    assert facts["size"] == 32
    assert facts["parameters"] == 2 * 2 * 32 * 32 * 3
    assert facts["parameters_per_target"] == {"happy": 6144, "sad": 6144}
    assert facts["bytes"] == 4 * facts["parameters"]
    assert facts["file_bytes"] == model.stat().st_size
    assert facts["settings"]["happy"] == {"alpha": 0.4, "prior": "identity"}
    assert facts["pixelreg_version"] == pixelreg.__version__
    assert (facts["people"], facts["pairs"], facts["frame"]) == (8, 16, None)
    text = command("info", model)
    assert (text.code, text.err) == (0, "")
    assert re.search(r"^targets +happy, sad$", text.out, re.MULTILINE)
    assert re.search(r"^parameters +12,288$", text.out, re.MULTILINE)
    assert re.search(r"^pixelreg version +\S+$", text.out, re.MULTILINE)


# ---------------------------------------------------------------- data


def test_data_list(drawn: Path, command: Command) -> None:
    result = command("data", "list", drawn, "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == {
        "layout": "kdef",
        "people": 8,
        "photos": 24,
        "expressions": {"neutral": 8, "happy": 8, "sad": 8},
        "source": "neutral",
        "pairs": {"happy": 8, "sad": 8},
        "unpaired": {},
        "left_out": {},
        "problems": [],
    }
    text = command("data", "list", drawn)
    assert (text.code, text.err) == (0, "")
    assert re.search(r"^layout +kdef$", text.out, re.MULTILINE)
    assert re.search(r"^  happy +8 photos, 8 pairs$", text.out, re.MULTILINE)


def test_data_list_tells_what_is_amiss(drawn: Path, tmp_path: Path, command: Command) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set") / "KDEF"
    shutil.copy(folder / "AF01/AF01HAS.JPG", folder / "AF01/AF01HAHL.JPG")
    (folder / "AF02/AF02HAS.JPG").unlink()
    shutil.copy(folder / "AF01/AF01HAS.JPG", folder / "holiday.jpg")
    result = command("data", "list", tmp_path / "set", "--json")
    facts = json.loads(result.out)
    assert result.code == 0
    assert facts["pairs"] == {"happy": 7, "sad": 8}
    assert facts["unpaired"] == {"happy": 1}
    assert facts["left_out"] == {"not a straight view": 1}
    (problem,) = facts["problems"]
    assert Path(problem["path"]) == folder / "holiday.jpg"
    text = command("data", "list", tmp_path / "set").out
    assert "happy          7 photos, 7 pairs" in text
    assert "not a straight view" in text
    assert "holiday.jpg" in text


def test_data_list_of_names_that_are_not_text(tmp_path: Path) -> None:
    """A name that is no valid UTF-8 is shown, not stumbled over."""
    folder = tmp_path / "set"
    for name in ("neutral", "happy"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (20, 20), "tan").save(folder / name / "a.png")
    shutil.copy(folder / "happy" / "a.png", str(folder).encode() + b"/caf\xe9.png")
    for more in ((), ("--json",)):
        result = spawn("data", "list", folder, *more)
        assert (result.code, result.err) == (0, "")
        assert "caf" in result.out


def test_data_synthesise(tmp_path: Path, command: Command) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        result = command(
            "data", "synthesise", tmp_path / name, "--people", 2, "--size", 20, "--sessions", 2,
            "--seed", seed,
        )  # fmt: skip
        assert (result.code, result.out) == (0, "")
        assert "28 pictures of 2 people" in result.err
    names = files_in(tmp_path / "one")
    assert len(names) == 2 * 28  # and the landmarks of each
    assert "KDEF/BM01/BM01SUS.JPG" in names
    same = [
        (tmp_path / "one" / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names
    ]
    differ = [
        (tmp_path / "one" / n).read_bytes() != (tmp_path / "other" / n).read_bytes() for n in names
    ]
    assert all(same)
    assert all(differ)
    listed = json.loads(command("data", "list", tmp_path / "one", "--json").out)
    assert (listed["layout"], listed["people"], listed["photos"]) == ("kdef", 2, 28)
    assert listed["problems"] == []


def test_data_download(command: Command, tmp_path: Path, monkeypatch) -> None:
    """What is asked for reaches the download, whose own tests are in test_download.py."""
    asked = {}

    def fetch(name: str, folder: Path, **options: object) -> list[Path]:
        asked.update(options, name=name, folder=folder)
        return [folder / "a.jpg"] * 3

    monkeypatch.setattr("pixelreg.data.download.download", fetch)
    options = ("--base-url", "http://127.0.0.1:9", "--only", "*/001_0*")
    result = command("data", "download", "london", tmp_path, *options)
    assert (result.code, result.out) == (0, "")
    assert asked == {
        "name": "london", "folder": tmp_path, "base_url": options[1], "only": options[3],
        "progress": True,
    }  # fmt: skip
    assert re.search(r"3 files in .*\n.*CC BY 4.0.*DeBruine", result.err)


def test_who_collects_no_garbage_is_not_made_to() -> None:
    gc.disable()
    try:
        cli.get_command(click.Context(cli), "info")
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---------------------------------------------------------------- help


def all_commands() -> list[tuple[str, ...]]:
    """The words of every command, sub-commands of groups included."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        found.append((name,))
        made = cli.get_command(click.Context(cli), name)
        if isinstance(made, click.Group):
            found += [(name, sub) for sub in made.list_commands(click.Context(made))]
    return found


def command_of(words: tuple[str, ...]) -> click.Command:
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    return found


@pytest.mark.parametrize("words", [(), *all_commands()], ids=" ".join)
def test_help_of_every_command(words: tuple[str, ...], command: Command) -> None:
    result = command(*words, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: pixelreg{''.join(' ' + word for word in words)} ")
    made = command_of(words)
    if not isinstance(made, click.Group) or not words:
        assert re.search(r"^  Examples?:\n    .*pixelreg ", result.out, re.MULTILINE)
    assert command(*words, "-h").out == result.out
    for line in result.out.splitlines():
        assert len(line) <= 100


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_and_option_is_documented(words: tuple[str, ...], command: Command) -> None:
    group = command(*words[:-1], "--help").out
    assert re.search(rf"^  {words[-1]} +\w", group, re.MULTILINE)
    for parameter in command_of(words).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(words)} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("words", [(), ("data",)])
def test_no_command_shows_the_help(words: tuple[str, ...], command: Command) -> None:
    result = command(*words)
    assert (result.code, result.out) == (2, "")
    assert result.err.rstrip() == command(*words, "--help").out.rstrip()


def test_version(command: Command) -> None:
    result = command("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.split() == ["pixelreg,", "version", pixelreg.__version__]


def test_the_checkout_script_ends_with_the_code_of_the_command() -> None:
    assert spawn("--version").code == 0
    result = spawn("nosuch")
    assert result.code == 2
    assert "no such command 'nosuch'" in result.error


def test_the_package_is_the_command() -> None:
    """``python -m pixelreg``, from anywhere."""
    for words, code in (("--version", 0), ("nosuch", 2)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "pixelreg", words],
            capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert ("pixelreg, version" in done.stdout) == (code == 0)
        assert ("no such command 'nosuch'" in done.stderr) == (code == 2)
    # Its help names the command, not a file of the package.
    help_text = subprocess.run(
        [sys.executable, "-m", "pixelreg", "fit", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert help_text.stdout.startswith("Usage: pixelreg fit ")


# ---------------------------------------------------------------- demo


def test_demo(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "made"
    result = command("demo", "--people", 12, "--size", 64, "-o", folder)
    assert result.code == 0, result.err
    assert "12 drawn people, 6 expressions, 2 people held out" in result.err
    expressions = {"happy", "sad", "angry", "afraid", "disgusted", "surprised"}
    rows = [line.split() for line in result.out.splitlines()]
    scored = [row for row in rows if row and row[0] in expressions]
    assert len(scored) == 6 * 3
    assert {row[0] for row in scored} == expressions
    # Both models come nearer to the truth than the untouched input, on people not seen before;
    # ten people are enough to learn the largest of the changes from.
    for name in ("rr", "kr"):
        file = folder / f"{name}.safetensors"
        (facts,) = [row for row in rows if file.name in row]
        model = modelfile.load(file)
        assert set(model.targets) == expressions
        assert (model.kind, model.size, model.provenance.people) == (name, 64, 12)
        assert f"{model.parameters:,}" in facts
        assert str(round(file.stat().st_size / 1024)) in facts
        psnr = {row[2]: float(row[-3]) for row in scored if row[0] == "surprised"}
        assert psnr[name] > psnr["input"] + 1
    assert {path.name for path in folder.iterdir()} == {
        "faces", "rr.safetensors", "kr.safetensors", "contact-sheet.png",
    }  # fmt: skip
    with Image.open(folder / "contact-sheet.png") as sheet:
        # The input, six expressions, Pixel-KR and the truth; one row a held-out person.
        assert sheet.width > 9 * 96
        assert 2 * 96 < sheet.height < 3 * 96
        assert len(sheet.convert("RGB").getcolors(1 << 24)) > 1000
    # What it proposes to try next works.
    (proposal,) = [line for line in result.err.splitlines() if line.startswith("  pixelreg ")]
    tried = command(*proposal.split()[1:], "-o", tmp_path / "out.jpg")
    assert tried.code == 0, tried.err
    assert pixels(tmp_path / "out.jpg").shape == (64, 64, 3)
