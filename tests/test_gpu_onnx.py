"""The benchmarks of networks on a card, on the processor under the card's name."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from test_onnx_runtime import CUDA, Machine

from benchmarks import gpu_onnx, gpu_train, networks
from deep_onnx.architectures.two_head import Generator
from deep_onnx.file import check
from pixelreg.backends.providers import CPU

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks/gpu_onnx.sh"
OCNN = "OCNN"


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """The smallest of the networks, with one block."""

    def make() -> torch.nn.Module:
        return Generator(6, 16, 1, 1)

    def inputs() -> dict[str, torch.Tensor]:
        return {"image": torch.zeros(2, 3, 32, 32), "condition": torch.zeros(2, 6)}

    one = replace(networks.networks()[OCNN], make=make, size=32, inputs=inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "networks", lambda: {OCNN: one})
        yield


@pytest.fixture(scope="module")
def archive(narrow, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("networks") / "networks.zip"
    networks.write(path, [OCNN])
    return path


def test_weights_are_packed_and_are_the_modules(archive) -> None:
    with zipfile.ZipFile(archive) as opened:
        ((name, content, half),) = gpu_onnx.files(opened)
        sizes = [(one.file_size, one.compress_size) for one in opened.infolist()]
    assert name == OCNN
    assert half is not None
    assert sizes[0][1] < sizes[0][0] / 5, "they are carried at a fraction of their size"
    contents = check(content, name)
    module = networks.module(networks.networks()[name])
    count = sum(one.numel() for one in module.parameters())
    assert contents.parameters == pytest.approx(count, rel=0.01)
    found = gpu_onnx.by_torch(content, name)
    assert found["largest difference, float32"] < 1e-4


def test_all_ways_are_measured_on_a_card(archive, tmp_path, monkeypatch) -> None:
    machine = Machine([CUDA, CPU], [CUDA, CPU])
    monkeypatch.setitem(sys.modules, "onnxruntime", machine)
    monkeypatch.setattr(gpu_onnx, "ROUNDS", 1)
    monkeypatch.setattr(gpu_onnx, "size_of", lambda name: 32)
    output = tmp_path / "gpu_onnx.json"
    call = ["--networks", str(archive), "--batches", "1", "2", "-o", str(output)]
    assert gpu_onnx.main(call) == 0
    found = json.loads(output.read_text())
    row = found["networks"][OCNN]
    for way in ("float32", "TF32", "graphs", "float16", "without buffers"):
        assert row[way]["providers"][0] == CUDA
        assert set(row[way]["ms a picture, by batch"]) == {"1", "2"}
        assert min(row[way]["ms a picture, by batch"].values()) > 0
    assert row["float32"]["largest difference to the processor"] == 0
    assert 0 < row["float16"]["largest difference to the processor"] < 0.1
    options = [dict(providers)[CUDA] for providers in machine.asked if dict(providers).get(CUDA)]
    assert {one["use_tf32"] for one in options} == {"0", "1"}
    assert any(one.get("enable_cuda_graph") == "1" for one in options)
    # In processes of their own, which have the real onnxruntime, and no card.
    told = found["without a card"]
    assert told["cuda"][-1].startswith("no CUDA: ")
    assert told["auto"][-1] == CPU


def test_what_is_apart_is_found_out() -> None:
    apart = {"float32": {"largest difference to the processor": 1e-3}}
    assert not gpu_onnx._exact(apart)
    assert not gpu_onnx._exact({"float32": "RuntimeError: the card is full"})
    assert gpu_onnx._exact({"largest difference, float32": 1e-6})


def test_what_is_carried_in_pieces_is_joined_again(tmp_path) -> None:
    """Everything of the script but the network: pieces, sums, and what a wheel installs."""
    folder, name = tmp_path / "carried", "twenty-1.0-py3-none-any.whl"
    (folder / "wheels").mkdir(parents=True)
    (folder / "pieces").mkdir()
    with zipfile.ZipFile(folder / "wheels" / name, "w") as wheel:
        wheel.writestr("twenty/__init__.py", "NUMBER = 20\n")
        wheel.writestr("twenty/noise", np.random.default_rng(0).bytes(2_500_000))
        wheel.writestr("twenty-1.0.dist-info/METADATA", "Name: twenty\nVersion: 1.0\n")
        wheel.writestr("twenty-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("twenty-1.0.dist-info/RECORD", "")
    (folder / "networks.zip").write_bytes(b"networks")
    text = SCRIPT.read_text()
    packing = text[text.index("pack() {") : text.index("join() {")]
    call = f'set -euo pipefail; folder="{folder}"; {packing}\npack 1'
    subprocess.run(["bash", "-c", call], check=True, capture_output=True)
    pieces = sorted(path.name for path in (folder / "pieces").glob("part-*"))
    assert pieces == ["part-000", "part-001", "part-002"]
    there = tmp_path / "there"
    there.mkdir()
    (folder / "pieces").rename(there / "pieces")
    done = subprocess.run(["bash", SCRIPT, "join", there], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (there / "packages/twenty/__init__.py").read_text() == "NUMBER = 20\n"
    assert (there / "networks.zip").read_bytes() == b"networks"
    damaged = bytearray((there / "pieces/part-001").read_bytes())
    damaged[5000] ^= 1
    (there / "pieces/part-001").write_bytes(damaged)
    done = subprocess.run(["bash", SCRIPT, "join", there], capture_output=True, text=True)
    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


def test_trainings_are_calls_that_go_on_where_they_were(tmp_path, monkeypatch) -> None:
    seen: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        name = Path(command[command.index("-o") + 1]).stem
        report = dict.fromkeys(("architecture", "settings", "exported_step", "held_out"), name)
        folder = tmp_path / f"{name}-run"
        folder.mkdir(exist_ok=True)
        if name != "ganimation":  # which is cut off
            (folder / "report.json").write_text(json.dumps({**report, "steps": 1, "seconds": 2}))
        (folder / "last.safetensors").touch()
        return subprocess.CompletedProcess(command, int(name == "ganimation"))

    monkeypatch.setattr(gpu_train.subprocess, "run", run)
    output = tmp_path / "out.json"
    call = ["--data", str(tmp_path), "--runs", str(tmp_path), "-o", str(output)]
    assert gpu_train.main(call) == 1
    assert len(seen) == len(gpu_train.ROWS) == 10
    assert sum(float(one[one.index("--minutes") + 1]) for one in seen) == pytest.approx(4.5)
    assert not any("--resume" in one for one in seen)
    seen.clear()
    assert gpu_train.main(call) == 1
    (only,) = seen
    assert "ganimation" in only
    assert only[-1] == "--resume"
    found = json.loads(output.read_text())["rows"]
    assert found["ganimation"].startswith("failed")
    assert found["ocnn"]["steps"] == 1


def test_the_calls_of_trainings_are_commands(tmp_path) -> None:
    """click takes every option of every row."""
    from deep_onnx.commands.train import command_of

    arguments = gpu_train.argparse.Namespace(
        data=tmp_path, runs=tmp_path, size=128, minutes=4.5, device="cpu", width=None
    )
    for row in gpu_train.ROWS:
        words = gpu_train.call(row, arguments)[5:]
        context = command_of(row.architecture).make_context(row.architecture, words)
        assert context.params["width"] == (16 if row.name == "ocnn" else 64)
        assert context.params["minutes"] == pytest.approx(4.5 * row.share, abs=1e-3)
