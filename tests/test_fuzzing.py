"""libFuzzer looks, for a minute in all, for files that a reader does not take and does not refuse.

`python -m pytest -m fuzz`; for as many seconds a reader as PIXELREG_FUZZ_SECONDS says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are no package of ours

from benchmarks.hostile.corpus import CORPORA
from benchmarks.hostile.readers import READERS

MINUTE = 60
SECONDS = int(os.environ.get("PIXELREG_FUZZ_SECONDS", "0")) or max(1, MINUTE // len(READERS))
NEEDED = {
    **{"onnx": "onnx", "checkpoints": "torch", "trainings": "torch", "videos": "av"},
    **{"requests": "starlette"},
}


def fuzzed(kind: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmarks.trust", "--atheris", kind, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_reader_has_a_corpus() -> None:
    assert READERS.keys() == CORPORA.keys()


@pytest.mark.fuzz
@pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is absent: python -m pip install atheris"
)
@pytest.mark.parametrize("kind", READERS)
def test_libfuzzer_finds_no_fault(kind: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDED.get(kind, "numpy"))
    done = fuzzed(kind, tmp_path, f"-max_total_time={SECONDS}", "-seed=1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr
    assert not list(tmp_path.iterdir())
