"""ONNX models at the command line: the same commands as for all models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from cli_tools import Command, files_in, pixels, spawn
from onnx_tools import brightness, identity, save, sliders
from PIL import Image

from deep_onnx import session
from pixelreg.models.model import Provenance


@pytest.fixture
def brighter(tmp_path) -> Path:
    """A model with sliders for pictures of 32 x 32 pixels and any other size."""
    provenance = Provenance(training_set="drawn by hand", people=3, licence="CC0-1.0")
    card = sliders(provenance=provenance, parameters=2)
    return save(brightness(), tmp_path / "brighter.onnx", **card)


@pytest.fixture
def photo(tmp_path) -> Path:
    file = tmp_path / "in.png"
    Image.fromarray(np.full((30, 41, 3), 100, np.uint8)).save(file)
    return file


def test_apply_writes_a_picture(command: Command, brighter, photo, tmp_path) -> None:
    done = command("apply", photo, "--model", brighter, "--expr", "smile", "--verbose")
    assert done.code == 0, done.err
    assert "CPUExecutionProvider" in done.err
    made = pixels(tmp_path / "in-happy.png")
    assert made.shape == (30, 41, 3)
    assert np.abs(made.astype(int) - 164).max() <= 1


def test_apply_takes_numbers_by_name(command: Command, brighter, photo, tmp_path) -> None:
    out = tmp_path / "out.png"
    slides = ("--slide", "AU6=0.5", "--slide", "au12=0.25")
    done = command("apply", photo, "--model", brighter, *slides, "--strength", "2", "-o", out)
    assert done.code == 0, done.err
    assert np.abs(pixels(out).astype(int) - 164).max() <= 1


def test_apply_changes_a_folder(command: Command, brighter, tmp_path) -> None:
    for name in ("a.png", "deep/b.jpg", "deep/er/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 25, 3), 60, np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    done = command(
        *("apply", tmp_path / "in", "--model", brighter, "--expr", "sad"),
        *("-o", tmp_path / "out", "--threads", 1),
    )
    assert done.code == 1
    assert "3 of 4 pictures changed" in done.err
    assert files_in(tmp_path / "out") == {"a.png", "deep/b.jpg", "deep/er/c.png"}
    assert abs(int(pixels(tmp_path / "out" / "a.png").mean()) - 28) <= 1


def test_apply_through_a_pipe_prints_nothing_else(brighter, photo) -> None:
    done = spawn("apply", "-", "--model", brighter, "--expr", "happy", input=photo.read_bytes())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("\x89PNG")


def test_info_tells_all(command: Command, brighter) -> None:
    done = command("info", brighter, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["model"] == "tiny"
    assert facts["condition"] == ["AU6", "AU12"]
    assert facts["licence"] == "CC0-1.0"
    assert facts["providers"] == ["CPUExecutionProvider"]
    assert facts["file_bytes"] == brighter.stat().st_size
    assert facts["warm_up_ms"] > 0
    shown = command("info", brighter).out
    assert "AU6, AU12" in shown
    assert "drawn by hand" in shown


def test_evaluate_scores_it(command: Command, drawn, tmp_path) -> None:
    model = save(identity(), tmp_path / "m.onnx", placement="square")
    done = command("evaluate", "--data", drawn, "--model", model, "--no-align", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert {row["expression"] for row in rows} == {"happy"}
    # A model that changes nothing scores as the input does.
    first, second = ({k: v for k, v in row.items() if k != "method"} for row in rows)
    assert first == second


def test_compare_puts_both_kinds_side_by_side(
    command: Command, brighter, model, photo, tmp_path
) -> None:
    out = tmp_path / "sheet.png"
    done = command(
        *("compare", photo, model, brighter, "--expr", "happy", "--no-align", "-o", out),
        *("--side", 32),
    )
    assert done.code == 0, done.err
    assert out.exists()


def test_a_foreign_model_needs_a_description(command: Command, photo, tmp_path) -> None:
    file, meta, out = (tmp_path / name for name in ("m.onnx", "m.json", "out.png"))
    file.write_bytes(identity().SerializeToString())
    meta.write_text('{"targets": {"same": []}, "placement": "whole"}')
    done = command("apply", photo, "--model", file, "--meta", meta, "-o", out)
    assert done.code == 0, done.err
    assert (pixels(out) == pixels(photo)).all()
    assert "unknown" in command("info", file, "--meta", meta).out


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("apply in.png --model brighter.onnx --expr bored", 2, "unknown target 'bored'"),
        ("apply in.png --model brighter.onnx --slide AU6=2", 2, "AU6 = 2 is out of range: 0 to 1"),
        ("apply in.png --model brighter.onnx --slide AU99=1", 2, "unknown number 'AU99'"),
        ("apply in.png --model brighter.onnx --expr sad --backend numba", 2, "--provider"),
        ("apply in.png --model brighter.onnx --expr sad --provider cuda", 1, "no CUDA: "),
        ("apply in.png --model other.onnx --expr happy", 2, "pixelreg generate"),
        ("info bare.onnx", 1, "describe it in a JSON file (--meta)"),
        *(
            (f"{command} damaged{k}.onnx", 1, f"damaged{k}.onnx")
            for command in ("info", "apply in.png --expr a --model")
            for k in range(4)
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command: Command, brighter, photo, tmp_path, monkeypatch, line, code, says
) -> None:
    if "cuda" in line and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    save(identity(), tmp_path / "other.onnx", task="generate", targets={})
    (tmp_path / "bare.onnx").write_bytes(identity().SerializeToString())
    for k, content in enumerate((b"", b"hello", bytes(1000), b"\x08\x09\x3a\x7f")):
        (tmp_path / f"damaged{k}.onnx").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    before = files_in(tmp_path)
    done = command(*line.split())
    assert done.code == code
    assert says in done.error
    assert files_in(tmp_path) == before
    assert command("info", "other.onnx").code == 0


@pytest.mark.parametrize("gpu", [False, True])
def test_a_gpu_that_lies_idle_is_told_of_once(
    command: Command, brighter, photo, tmp_path, monkeypatch, gpu
) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("the installed onnxruntime has CUDA")
    monkeypatch.setattr(session, "missing_gpu", lambda: "" if gpu else "no driver")
    other = save(brightness(), tmp_path / "other.onnx", **sliders())
    models = ("--model", brighter, "--model", other)
    done = command("compare", photo, *models, "--expr", "happy", "-o", tmp_path / "sheet.png")
    assert done.code == 0, done.err
    assert done.err.count("there is an NVIDIA GPU") == int(gpu)
