"""The benchmark of graphics cards, on kernels that a C++ compiler made: every line is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu import stand_in

from benchmarks import gpu
from benchmarks.card import QUICK, Card
from benchmarks.gpu_parity import compared, parity

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Card]:
    """The kernels themselves, one thread after the other."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to run the CUDA kernels with")
    with pytest.MonkeyPatch.context() as patch:
        module = stand_in(compiler, tmp_path_factory.mktemp("kernels"))
        patch.setitem(sys.modules, "cupy", module)
        patch.delitem(sys.modules, "pixelreg.backends.cupy", raising=False)
        yield Card()
        sys.modules.pop("pixelreg.backends.cupy", None)


def test_all_parts_run_and_are_stored(card, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(gpu, "LAWS_NEED", ("no_such_package",))  # they take a minute
    output = tmp_path / "gpu.json"
    assert gpu.measured(card, QUICK, list(gpu.PARTS), output) == 0
    found = json.loads(output.read_text())
    assert set(gpu.PARTS) < set(found)
    assert "failed" not in capsys.readouterr().out
    assert found["quick"] is True, "nobody takes these for measurements"
    assert all(row["holds"] for row in found["parity"])
    kinds = {row["what"].split()[0].split(".")[0] for row in found["parity"]}
    assert {"pixel_sums", "level_sums", "solve_ridge", "solve_levels,", "solve_dense"} <= kinds
    assert found["streamed"]["the last step's sums are NumPy's to the bit"]
    assert len(found["apply"]) == 3 * len(QUICK.shapes)
    for row in (*found["apply"], *found["fit"], found["streamed"], found["dense"]):
        assert row["seconds"] > 0, row


def test_a_card_that_errs_is_found_out(card, tmp_path, monkeypatch) -> None:
    real = card.backend.solve_ridge

    def wrong(*arguments):
        weight, bias = real(*arguments)
        return weight, bias + 1e-9

    monkeypatch.setattr(card.backend, "solve_ridge", wrong)
    failed = [check.what for check in parity(card, QUICK) if not check.holds]
    assert len(failed) == 4
    assert all(what.startswith("solve_ridge b") for what in failed)
    assert gpu.measured(card, QUICK, ["parity"], tmp_path / "gpu.json") == 1


@pytest.mark.parametrize(
    ("apart", "allowed", "holds"),
    [(0, 0, True), (1, 0, False), (1, 1, False), (2, 1, False), (np.nan, 1e-10, False)],
)
def test_what_holds_is_what_may_be(apart, allowed, holds) -> None:
    """A level apart everywhere is no rounding."""
    b = np.zeros(10)
    assert compared("x", b + apart, b, allowed).holds == holds
    one = np.zeros(10_000)
    one[0] = 1
    assert compared("x", one, np.zeros(10_000), 1).holds


def test_a_part_that_fails_leaves_the_others(card, tmp_path, monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("the card fell off")

    monkeypatch.setitem(gpu.PARTS, "errors", broken)
    output = tmp_path / "gpu.json"
    assert gpu.measured(card, replace(QUICK), ["errors", "parity"], output) == 1
    found = json.loads(output.read_text())
    assert found["errors"] == {"failed": "RuntimeError: the card fell off"}
    assert all(row["holds"] for row in found["parity"])


def test_without_a_card_it_is_one_line(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "pixelreg.backends.cupy", raising=False)
    assert gpu.main(["-o", str(tmp_path / "no.json")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("gpu: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "no.json").exists()


# What a machine with a card need not have.
BARE = """
import importlib.util, sys
real = importlib.util.find_spec
absent = ("PIL", "scipy", "click", "safetensors", "cv2", "sklearn", "onnx", "onnxscript")
for name in absent:
    sys.modules[name] = None
importlib.util.find_spec = lambda name, *rest: None if name in absent else real(name, *rest)
from pathlib import Path
from cuda_on_cpu import stand_in
sys.modules["cupy"] = stand_in(sys.argv[1], Path(sys.argv[2]))
import benchmarks.gpu_onnx
from benchmarks import gpu
from benchmarks.card import QUICK, Card
gpu.PARTS.pop("errors"), gpu.PARTS.pop("crossover")  # processes of their own
sys.exit(gpu.measured(Card(), QUICK, list(gpu.PARTS), Path(sys.argv[2]) / "gpu.json"))
"""


def test_numpy_and_cupy_are_enough(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to run the CUDA kernels with")
    done = subprocess.run(
        [sys.executable, "-c", BARE, compiler, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert "are not installed" in found["laws"]["not run"]
    assert all(row["holds"] for row in found["parity"])
