"""Two builds of one tree are one file, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")
def test_two_builds_are_one_file(tmp_path: Path) -> None:
    hashes = set()
    for place, mask in (("one", 0o022), ("another", 0o077)):
        tree = tmp_path / place
        tree.mkdir()
        for name in ("pixelreg", "deep_onnx"):
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, ignore=leave, copy_function=shutil.copy)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree / name)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": f"UTC-{len(place)}"}
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tree / "dist"],
            cwd=tree,
            env=environment,
            umask=mask,
            check=True,
            capture_output=True,
        )
        (wheel,) = (tree / "dist").glob("*.whl")
        hashes.add((wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest()))
    assert len(hashes) == 1
