"""Extras as pip resolves them: of the onnxruntimes, which share one folder, one at most."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
from doc_tools import pages

from pixelreg.backends.providers import PACKAGES
from pixelreg.errors import GPU_TWINS, MissingExtraError

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML by itself")
ROOT = Path(__file__).resolve().parents[1]
NAME, LISTED = r"[A-Za-z0-9_.-]+", r"\[([\w, -]+)\]"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return found["project"]


def resolved(*extras: str) -> set[str]:
    """The packages that some extras bring, by way of other extras too."""
    table, found, left = project()["optional-dependencies"], set(), list(extras)
    seen: set[str] = set()
    while left:
        extra = left.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in table[extra]:
            name = re.match(NAME, requirement)[0]  # type: ignore[index]
            inner = re.match(NAME + LISTED, requirement)
            if name == project()["name"]:
                left += [each.strip() for each in inner[1].split(",")] if inner else []
            else:
                found.add(name)
    return found


def runtimes(*extras: str) -> set[str]:
    return resolved(*extras) & set(PACKAGES)


def documented() -> list[tuple[str, ...]]:
    """What pages install together."""
    found = {
        tuple(each.strip() for each in extras.split(","))
        for page in pages()
        for extras in re.findall(r"pip install [^\n`]*?" + LISTED, page.read_text(encoding="utf-8"))
    }
    return sorted(found)


@pytest.mark.parametrize("extras", documented(), ids=",".join)
def test_what_pages_install_brings_one_onnxruntime_at_most(extras) -> None:
    assert len(runtimes(*extras)) <= 1


def test_the_two_columns_are_told_of() -> None:
    every = {extra for extras in documented() for extra in extras}
    assert {"train", "train-gpu", "all-gpu", "gpu"} <= every


def test_every_extra_and_each_column_brings_one_onnxruntime_at_most() -> None:
    for extra in project()["optional-dependencies"]:
        assert len(runtimes(extra)) <= 1, extra
    assert runtimes(*GPU_TWINS, "test") == {"onnxruntime"}
    assert runtimes(*GPU_TWINS.values()) == {"onnxruntime-gpu"}
    assert len(runtimes("train", "gpu")) == 2, "columns that are mixed are seen"


@pytest.mark.parametrize("plain", GPU_TWINS)
def test_twins_differ_in_what_runs_alone(plain) -> None:
    on_gpu = {name for name in resolved(GPU_TWINS[plain]) if not name.startswith("cupy")}
    assert on_gpu - {"onnxruntime-gpu"} == resolved(plain) - {"onnxruntime"}
    assert any(name.startswith("cupy") for name in resolved(GPU_TWINS[plain]))


@pytest.mark.parametrize("gpu", [False, True])
def test_what_is_missing_is_asked_for_in_the_column_that_is_there(monkeypatch, gpu) -> None:
    def version(package: str) -> str:
        if not gpu:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.31.1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    wanted = "train-gpu" if gpu else "train"
    assert f"'pixelreg[{wanted}]'" in str(MissingExtraError("onnx", "train", "exporting"))
    assert "'pixelreg[video]'" in str(MissingExtraError("PyAV", "video", "a video"))
