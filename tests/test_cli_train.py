"""``pixelreg train`` and ``pixelreg generate``, from the folder to the ONNX files."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import CLI, Command, Result, files_in, pixels, places_of
from PIL import Image

for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

import onnx
import torch
from onnx import helper
from safetensors.torch import load_file

from deep_onnx.card import KEY
from deep_onnx.commands.train import _examples
from deep_onnx.file import read_card
from deep_onnx.model import open_generator
from deep_onnx.registry import ARCHITECTURES
from deep_onnx.training.data import Learns, choose, load_examples, split
from deep_onnx.translator import load
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_holdout
from pixelreg.data.synthetic import synthesise
from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.evaluation.metrics import mae, psnr, ssim
from pixelreg.faces.locate import Locator

TINY: dict[str, tuple[object, ...]] = {
    "dense-ae": ("--expr", "happy", "--size", 32, "--width", 8, "--latent", 4),
    "cae": ("--expr", "happy", "--size", 64, "--width", 4, "--batch", 2),
    "cvae": ("--expr", "happy", "--size", 64, "--width", 4, "--batch", 2),
    "pix2pix": ("--expr", "happy", "--size", 32, "--width", 4),
    "cyclegan": ("--expr", "happy", "--size", 32, "--width", 4, "--blocks", 1),
    "stargan": ("--size", 32, "--width", 4, "--blocks", 1, "--batch", 2),
    "usgan": ("--size", 32, "--width", 4, "--batch", 2),
    "ganimation": ("--size", 32, "--width", 4, "--blocks", 1, "--batch", 2),
    "reggan": ("--size", 32, "--width", 4, "--batch", 2),
    "ocnn": ("--size", 32, "--width", 4, "--blocks", 1, "--batch", 2, "--components", 2),
    "dcgan": ("--size", 16, "--width", 4, "--latent", 8, "--batch", 4),
}
ONE_TARGET = ("dense-ae", "cae", "cvae", "pix2pix", "cyclegan")
SUFFIXES = {
    "cyclegan": ("", "-back"),
    "dcgan": ("", "-discriminator"),
    "ocnn": ("", "-parameters"),
}
# One of every way to learn is trained from folder to file wherever the tests run; the others' own
# equations, checkpoints and exports are tested without the command line.
OFTEN = ("pix2pix", "cyclegan", "stargan", "ocnn", "dcgan")
STEPS = 3


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def tiny(name: str, data: Path, output: Path, *more: object) -> tuple[object, ...]:
    """A command line that trains for a moment."""
    length = () if {"--steps", "--epochs", "--minutes"} & set(more) else ("--steps", STEPS)
    return (
        *("train", name, "--data", data, "--no-align", "--device", "cpu", "-o", output),
        *TINY[name], *length, *more,
    )  # fmt: skip


def report_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (output.with_name(f"{output.stem}-run") / "report.json").read_text()
    )
    return found


def test_no_architecture_is_forgotten() -> None:
    elsewhere = {"portrait"}  # it learns from masks
    assert set(TINY) | elsewhere == set(ARCHITECTURES)


Trained = Callable[[str], tuple[Path, Result]]


@pytest.fixture(scope="module")
def kept() -> dict[str, tuple[Path, Result]]:
    """What was trained, and what the command said; not to be changed."""
    return {}


@pytest.fixture
def trained(
    drawn: Path,
    command: Command,
    kept: dict[str, tuple[Path, Result]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Train an architecture when it is asked for the first time: tracing takes its seconds."""

    def call(name: str) -> tuple[Path, Result]:
        if name not in kept:
            output = tmp_path_factory.mktemp(name) / "made" / "m.onnx"
            result = command(*tiny(name, drawn, output, "--validate-every", STEPS))
            assert result.code == 0, result.err
            kept[name] = output, result
        return kept[name]

    return call


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in OFTEN)) for name in TINY],
)
def test_every_architecture(name: str, drawn: Path, trained: Trained) -> None:
    output, result = trained(name)
    suffixes = SUFFIXES.get(name, ("",))
    assert files_in(output.parent) == {
        *(f"m{suffix}.onnx" for suffix in suffixes),
        *("m-sheet.png", "m-run/losses.csv", "m-run/losses.png", "m-run/report.json"),
        *("m-run/last.safetensors", "m-run/best.safetensors"),
        *(f"m-run/samples/step-{step:06d}.png" for step in (0, STEPS)),
    }
    facts = report_of(output)
    assert (facts["architecture"], facts["steps"]) == (name, STEPS)
    for suffix in suffixes:
        file = output.with_name(f"m{suffix}.onnx")
        found = facts["files"][str(file)]
        card = read_card(file)
        assert card.architecture == name
        assert 0 <= found["parity"] < 1e-4
        assert found["bytes"] == file.stat().st_size
        assert found["parameters"] == card.parameters
        assert card.provenance.people == 6
        assert card.notes["settings"]["width"] == facts["settings"]["width"]
        assert str(output.parent).encode() not in file.read_bytes()
    with (output.parent / "m-run" / "losses.csv").open(newline="") as file_:
        rows = list(csv.DictReader(file_))
    assert [int(row["step"]) for row in rows] == list(range(STEPS + 1))
    assert all(value for key, value in rows[-1].items() if key.startswith("train "))
    if name == "dcgan":
        assert result.out == ""
    else:
        _check_translation(name, drawn, output, result)


def _check_translation(name: str, drawn: Path, output: Path, result: Result) -> None:
    """The printed scores are those of the exported file, on the people that fit holds out too."""
    listing = scan(drawn)
    people = sorted({photo.person for photo in listing.photos})
    judged = sorted(grouped_holdout(people, 0.2, 0)[1])
    module, _, algorithm = ARCHITECTURES[name].home.partition(":")
    learns = getattr(import_module(module), algorithm).learns
    translator = load(output)
    expressions = ("happy",) if name in ONE_TARGET else ("happy", "sad")
    loaded = load_examples(
        listing, choose(learns, listing, None, expressions), translator.size, Locator(align=False)
    )
    stack = loaded.examples.only(frozenset(judged)).stacks["happy"]
    assert sorted(stack.people) == judged
    made = translator.run("happy", stack.sources)
    method = re.escape(f"pixelreg {name}")
    lines = [line for line in result.out.splitlines() if line.startswith("happy")]
    assert len(lines) == 2
    cells = re.fullmatch(rf"happy +{method} +2 +([\d.]+) +(-?[\d.]+) +([\d.]+)", lines[1])
    assert cells, result.out
    expected = [metric(made, stack.targets).mean() for metric in (psnr, ssim, mae)]
    assert [float(cell) for cell in cells.groups()] == pytest.approx(expected, abs=0.011)
    assert len(result.out.splitlines()) == 1 + 2 * len(expressions)
    sheet = pixels(output.with_name(f"{output.stem}-sheet.png"))
    for picture in (stack.sources[0], made[0], stack.targets[0]):
        assert places_of(picture, sheet)
    face = pixels(drawn / "KDEF" / "AF01" / "AF01NES.JPG")
    changed = load(output).translate(face, "happy")
    assert changed.shape == face.shape
    assert (changed != face).any()


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_file(
    drawn: Path, tmp_path: Path, command: Command
) -> None:
    whole, broken = tmp_path / "whole.onnx", tmp_path / "broken.onnx"
    options = ("--steps", 120, "--threads", 1, "--validate-every", 40)
    process = _spawned(*tiny("pix2pix", drawn, broken, *options))
    _wait_for_steps(tmp_path / "broken-run" / "losses.csv", 9)
    process.kill()
    process.communicate()
    assert not broken.exists()
    assert "unfinished training" in command(*tiny("pix2pix", drawn, broken, *options)).error
    other = tiny("pix2pix", drawn, broken, *options, "--resume", "--learning-rate", 0.01)
    assert "other options or other pictures" in command(*other).error
    resumed = command(*tiny("pix2pix", drawn, broken, *options, "--resume"))
    assert resumed.code == 0, resumed.err
    result = command(*tiny("pix2pix", drawn, whole, *options))
    assert result.out == resumed.out
    assert whole.read_bytes() == broken.read_bytes()
    for name in ("last.safetensors", "best.safetensors"):
        one, two = (load_file(tmp_path / f"{run}-run" / name) for run in ("whole", "broken"))
        assert all(torch.equal(one[key], two[key]) for key in one.keys() | two.keys())
    one_csv, two_csv = (tmp_path / f"{run}-run" / "losses.csv" for run in ("whole", "broken"))
    assert one_csv.read_bytes() == two_csv.read_bytes()


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(drawn: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "m.onnx"
    process = _spawned(*tiny("pix2pix", drawn, output, "--minutes", 5, "--threads", 1))
    _wait_for_steps(tmp_path / "m-run" / "losses.csv", 5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    line = errors.decode().splitlines()[-1]
    stopped = re.fullmatch(r"pixelreg: error: stopped after (\d+) steps; .*--resume.*", line)
    assert stopped, errors
    assert int(stopped[1]) >= 5
    assert not output.exists()
    again = command(*tiny("pix2pix", drawn, output, "--steps", int(stopped[1]) + 2, "--resume"))
    assert again.code == 0, again.err
    assert report_of(output)["steps"] == int(stopped[1]) + 2


def _spawned(*args: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*CLI, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    )


def _wait_for_steps(file: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and file.read_text().count("\n") > count + 2:
            return
        time.sleep(0.01)
    raise AssertionError(f"{file} has not {count} steps after a minute")


@pytest.mark.slow
def test_two_minutes_of_pix2pix_beat_copying_and_the_mean(tmp_path: Path, command: Command) -> None:
    synthesise(tmp_path / "faces", 150, ("neutral", "surprised"), size=64, seed=1)
    output = tmp_path / "m.onnx"
    result = command(
        *("train", "pix2pix", "--data", tmp_path / "faces", "--no-align", "-o", output),
        *("--size", 64, "--width", 16, "--batch", 4, "--dropout", 0, "--l1", 1000),
        *("--learning-rate", 0.002, "--device", "cpu", "--steps", 700),
    )
    assert result.code == 0, result.err
    untouched, made = (row["psnr"] for row in report_of(output)["held_out"])
    listing = scan(tmp_path / "faces")
    examples = load_examples(
        listing, choose(Learns.PAIRS, listing), 64, Locator(align=False)
    ).examples
    learnt, held_out = (part.stacks["surprised"] for part in split(examples, 0.2, 0))
    mean = np.rint(learnt.targets.mean(axis=0)).astype(np.uint8)
    mean_psnr = psnr(np.broadcast_to(mean, held_out.targets.shape), held_out.targets).mean()
    assert made > untouched + 0.3 > mean_psnr
    with (tmp_path / "m-run" / "losses.csv").open(newline="") as file:
        l1 = [float(row["train l1"]) for row in list(csv.DictReader(file))[1:]]
    assert np.mean(l1[-50:]) < np.mean(l1[:50]) / 2


def test_pictures_without_pairs(drawn: Path, tmp_path: Path, command: Command) -> None:
    """trainA and trainB hold other people, as CycleGAN's own sets do."""
    for letter, code, who in (("A", "NES", "AF"), ("B", "HAS", "AM")):
        (tmp_path / "set" / f"train{letter}").mkdir(parents=True)
        for k in (1, 2):
            face = drawn / "KDEF" / f"{who}0{k}" / f"{who}0{k}{code}.JPG"
            shutil.copy(face, tmp_path / "set" / f"train{letter}" / f"{who.lower()}{k}.jpg")
    output = tmp_path / "m.onnx"
    options = ("--size", 32, "--width", 4, "--blocks", 1, "--steps", 2, "--seed", 3)
    result = command(
        "train", "cyclegan", "--data", tmp_path / "set", "--device", "cpu", "-o", output, *options
    )
    assert result.code == 0, result.err
    assert result.out == ""
    assert load(output).targets == ("B",)
    assert load(tmp_path / "m-back.onnx").targets == ("A",)
    paired = command("train", "pix2pix", "--data", tmp_path / "set", "-o", output, "--steps", 2)
    assert "no person with both 'A'" in paired.error


def test_without_held_out_people(drawn: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "m.onnx"
    result = command(*tiny("pix2pix", drawn, output, "--holdout", 0, "--json"))
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts == report_of(output)
    assert facts["held_out"] == []
    assert facts["best_step"] is None
    assert facts["pairs"] == {"happy": 8}
    assert not (tmp_path / "m-run" / "best.safetensors").exists()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command would have trained."""
    requests: list[Any] = []
    monkeypatch.setattr("deep_onnx.commands.train.run", requests.append)
    return requests


def test_the_papers_preset_fills_in_what_is_not_given(
    drawn: Path, tmp_path: Path, command: Command, asked: list[Any]
) -> None:
    output = tmp_path / "m.onnx"
    result = command(*tiny("pix2pix", drawn, output, "--preset", "paper"))
    assert result.code == 0, result.err
    assert (asked[0].arguments.decoder, asked[0].arguments.size) == ("listed", 32)
    assert (asked[0].steps, asked[0].epochs) == (STEPS, None)
    assert "the paper's settings of pix2pix: decoder listed;" in result.err
    command("train", "ocnn", "--data", drawn, "--preset", "paper")
    assert (asked[1].arguments.penguins, asked[1].keep) == ("head", "last")
    for name in ARCHITECTURES:
        module, _, attribute = ARCHITECTURES[name].home.partition(":")
        algorithm = getattr(import_module(module), attribute)
        known = {item.name for item in fields(algorithm.Arguments)} | {"steps", "epochs", "keep"}
        assert set(algorithm.paper) <= known
        told = command("train", name, "--help").out
        assert ("--preset" in told) == bool(algorithm.paper) == (name != "reggan")
        assert all(f"--{key.replace('_', '-')}" in told for key in algorithm.paper)


def test_dcgan_takes_a_flat_folder_and_looks_for_no_face(
    drawn: Path, tmp_path: Path, command: Command, asked: list[Any]
) -> None:
    """As img_align_celeba is: one folder of numbered pictures; the article only resizes them."""
    flat = tmp_path / "img_align_celeba"
    flat.mkdir()
    for number, file in enumerate(sorted((drawn / "KDEF").rglob("*.JPG")), 1):
        shutil.copy(file, flat / f"{number:06d}.jpg")
    Image.new("RGB", (64, 64), "teal").save(flat / "999999.png")  # nobody's face
    assert command("train", "dcgan", "--data", flat).code == 0
    assert command("train", "dcgan", "--data", flat, "--align").code == 0
    learnt, held_out = _examples(asked[0])
    assert len(learnt.people) + len(held_out.people) == len(list(flat.iterdir()))
    assert learnt.frame is None
    assert [request.locator.align for request in asked] == [False, True]


def test_ocnn_takes_an_expression_from_another_picture(
    drawn: Path, tmp_path: Path, command: Command, trained: Trained
) -> None:
    output = tmp_path / "m.onnx"
    for file in trained("ocnn")[0].parent.glob("*.onnx"):
        shutil.copy(file, tmp_path)
    face = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    example = drawn / "KDEF" / "AM01" / "AM01HAS.JPG"
    like = load(output, locator=Locator(align=False)).likeness(example)
    assert set(like) == {"K0", "K1"}
    made = command("apply", face, "--model", output, "--like", example, "--no-align",
                   "-o", tmp_path / "like.png")  # fmt: skip
    assert made.code == 0, made.err
    slides = [word for name, p in like.items() for word in ("--slide", f"{name}={p!r}")]
    by_hand = command("apply", face, "--model", output, *slides, "--no-align",
                      "-o", tmp_path / "slide.png")  # fmt: skip
    assert by_hand.code == 0, by_hand.err
    np.testing.assert_array_equal(pixels(tmp_path / "like.png"), pixels(tmp_path / "slide.png"))
    (tmp_path / "m-parameters.onnx").unlink()
    assert (
        "only the rig"
        in command(
            "apply", face, "--model", output, "--like", example, "-o", tmp_path / "x.png"
        ).error
    )


@pytest.mark.parametrize("name", ONE_TARGET)
def test_one_target_must_be_chosen(
    name: str, drawn: Path, tmp_path: Path, command: Command
) -> None:
    result = command("train", name, "--data", drawn, "--no-align", "-o", tmp_path / "m.onnx")
    assert result.code == 2
    assert f"{name} learns one expression; choose it with --expr: happy, sad" in result.err
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-o", "m.safetensors"), "must end in .onnx"),
        (("--steps", 3, "--minutes", 1), "give one of them"),
        (("--expr", "bored"), "unknown expression 'bored'"),
        (("--expr", "neutral"), "'neutral'"),
        (("--learning-rate", "nan"), "--learning-rate must be a finite number"),
        (("--width", 0), "--width"),
        (("--size", 31), "--size"),
        (("--resume",), "no checkpoint"),
        (("--holdout", 1), "--holdout"),
        (("--device", "tpu"), "--device"),
        (("--steps", 0), "--steps"),
    ],
)
def test_bad_requests_get_one_line(
    options: tuple[object, ...], reason: str, drawn: Path, tmp_path: Path, command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    expression = () if "--expr" in options else ("--expr", "happy")
    result = command("train", "pix2pix", "--data", drawn, "--no-align", *expression, *options)
    assert result.code in (1, 2)
    assert reason in result.error
    assert not list(tmp_path.glob("*.onnx"))


def test_an_unknown_architecture(command: Command, drawn: Path) -> None:
    result = command("train", "biggan", "--data", drawn)
    assert result.code == 2
    assert "no such command 'biggan'; choose one of: dense-ae, cae" in result.error


def test_without_torch_training_names_the_extra(
    command: Command, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = command("train", "pix2pix", "--data", drawn)
    assert result.code == 1
    assert "torch" in result.error
    assert "pixelreg[train]" in result.error


def test_help_lists_architectures_without_torch() -> None:
    code = (
        "import sys\nfrom pixelreg.commands.main import main\nassert main(['train', '--help']) == 0"
        "\nassert not {'torch', 'numpy', 'onnxruntime'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, cwd=Path(CLI[-1]).parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, architecture in ARCHITECTURES.items():
        assert f"  {name} " in done.stdout
        assert architecture.help in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_help_tells_every_argument(name: str, command: Command) -> None:
    result = command("train", name, "--help")
    assert result.code == 0
    assert f"Examples:\n    pixelreg train {name} --data DIR" in result.out
    module, _, attribute = ARCHITECTURES[name].home.partition(":")
    text = " ".join(result.out.split())
    for item in fields(getattr(import_module(module), attribute).Arguments):
        assert f"--{item.name.replace('_', '-')}" in result.out
        assert item.metadata["help"].split()[0] in text
        if item.default not in (True, False, ""):
            assert f"[default: {item.default}" in text


def test_choosing_pictures(drawn: Path) -> None:
    listing = scan(drawn)
    assert set(choose(Learns.PAIRS, listing, None, ["smile"]).pairings) == {"happy"}
    assert set(choose(Learns.PAIRS, listing, None, ["smile", "happy"]).pairings) == {"happy"}
    assert choose(Learns.PAIRS, listing, "happy", ["sad"]).source == "happy"
    stargan = choose(Learns.LABELS, listing)
    assert set(stargan.pairings) == {"happy", "sad"}
    assert set(stargan.singles) == set(listing.photos)
    plain = choose(Learns.PICTURES, listing, None, ["neutral"])
    assert {photo.expression for photo in plain.singles} == {"neutral"}
    assert plain.pairings == {}
    with pytest.raises(UnknownNameError):
        choose(Learns.PICTURES, listing, None, ["bored"])
    with pytest.raises(UsageError):
        choose(Learns.UNPAIRED, listing)
    with pytest.raises(UsageError):
        choose(Learns.UNPAIRED, listing, "happy", ["happy"])


def test_examples_hold_every_picture_once(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "set")
    (tmp_path / "set" / "KDEF" / "AF02" / "AF02HAS.JPG").unlink()  # neutral is left alone
    (tmp_path / "set" / "KDEF" / "AF03" / "AF03SAS.JPG").write_bytes(b"no picture")
    listing = scan(tmp_path / "set")
    loaded = load_examples(listing, choose(Learns.LABELS, listing), 32, Locator(align=False))
    examples = loaded.examples
    assert [problem.path.name for problem in loaded.problems].count("AF03SAS.JPG") >= 1
    assert {target: len(stack.pairs) for target, stack in examples.stacks.items()} == {
        "happy": 7, "sad": 7,
    }  # fmt: skip
    shown = sorted(zip(examples.people, examples.labels, strict=True))
    assert len(shown) == len(set(shown)) == 3 * 8 - 2
    assert examples.pictures.shape == (22, 32, 32, 3)
    stack = examples.stacks["happy"]
    for person, source, target in zip(stack.people, stack.sources, stack.targets, strict=True):
        own = examples.only(frozenset([person]))
        np.testing.assert_array_equal(own.showing("neutral")[0], source)
        np.testing.assert_array_equal(own.showing("happy")[0], target)
    learning, held_out = split(examples, 0.25, 3)
    assert not set(learning.people) & set(held_out.people)
    assert len(set(held_out.people)) == 2
    assert learning.provenance.people == 6


def generate(path: Path, count: int, seed: int = 0) -> np.ndarray:
    model = open_generator(path)
    return model.invent(model.noise(count, seed))


def test_generate(tmp_path: Path, command: Command, trained: Trained) -> None:
    output = trained("dcgan")[0]
    sheet, folder = tmp_path / "sheet.png", tmp_path / "each"
    result = command(
        "generate", "--model", output, "--seed", 4, "--count", 7, "--separate", folder, "-o", sheet
    )
    assert result.code == 0, result.err
    made = generate(output, 7, 4)
    assert made.shape == (7, 16, 16, 3)
    assert files_in(folder) == {f"{k:04d}.png" for k in range(7)}
    for k, picture in enumerate(made):
        np.testing.assert_array_equal(pixels(folder / f"{k:04d}.png"), picture)
        assert places_of(picture, pixels(sheet))
    np.testing.assert_array_equal(generate(output, 3, 4), made[:3])
    blue_first = onnx.load(output)
    card = replace(read_card(output), colour="BGR").to_json()
    helper.set_model_props(blue_first, {KEY: card})
    onnx.save(blue_first, tmp_path / "bgr.onnx")
    np.testing.assert_array_equal(generate(tmp_path / "bgr.onnx", 7, 4), made[..., ::-1])
    assert (generate(output, 7, 5) != made).any()
    before = sheet.read_bytes()
    assert command("generate", "--model", output, "--seed", 4, "--count", 7, "-o", sheet).code == 0
    assert sheet.read_bytes() == before
    with Image.open(sheet) as picture:
        assert picture.width > picture.height * 0.8
    judge = command("generate", "--model", output.with_name("m-discriminator.onnx"), "-o", sheet)
    assert "makes no pictures from noise" in judge.error
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(output.read_bytes()[:2000])
    assert command("generate", "--model", torn, "-o", sheet).error
    assert "must end in" in command("generate", "--model", output, "-o", tmp_path / "a.txt").error
    with pytest.raises(UsageError):
        generate(output, 0)
