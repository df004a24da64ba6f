"""Model files that cannot be used: one line that says why, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in
from safetensors.numpy import load_file, save


def truncated(model: Path) -> bytes:
    return model.read_bytes()[:-100]


def header_cut(model: Path) -> bytes:
    return model.read_bytes()[:200]


def not_safetensors(model: Path) -> bytes:
    return b"PK\x03\x04 this is something else entirely" * 20


def no_bytes(model: Path) -> bytes:
    return b""


def rewritten(model: Path, change: Callable[[dict, dict], None]) -> bytes:
    """The model's bytes after a change of its tensors and metadata."""
    content = model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = load_file(model)
    change(tensors, metadata)
    return save(tensors, metadata)


def version_9(model: Path) -> bytes:
    return rewritten(model, lambda tensors, metadata: metadata.update(format_version="9"))


def another_program(model: Path) -> bytes:
    return save({"weight": np.zeros((2, 2), np.float32)}, {"format": "pt"})


def no_metadata(model: Path) -> bytes:
    return save(load_file(model))


def wrong_shape(model: Path) -> bytes:
    def change(tensors: dict, metadata: dict) -> None:
        tensors["happy/bias"] = np.zeros((32, 31, 3), np.float32)

    return rewritten(model, change)


def two_sizes(model: Path) -> bytes:
    def change(tensors: dict, metadata: dict) -> None:
        for name in ("sad/weight", "sad/bias"):
            tensors[name] = np.ascontiguousarray(tensors[name][:16, :16])

    return rewritten(model, change)


def not_finite(model: Path) -> bytes:
    def change(tensors: dict, metadata: dict) -> None:
        tensors["sad/weight"][3, 4, 1] = np.nan

    return rewritten(model, change)


def wrong_type(model: Path) -> bytes:
    def change(tensors: dict, metadata: dict) -> None:
        tensors["sad/weight"] = tensors["sad/weight"].astype(np.float64)

    return rewritten(model, change)


def tensor_missing(model: Path) -> bytes:
    return rewritten(model, lambda tensors, metadata: tensors.pop("happy/bias"))


def tensor_too_many(model: Path) -> bytes:
    return rewritten(model, lambda tensors, metadata: tensors.update(extra=np.zeros(3, np.float32)))


BAD_MODELS = {
    truncated: "not a usable model",
    header_cut: "is cut short",
    not_safetensors: "is not a .safetensors file",
    no_bytes: "is not a .safetensors file",
    version_9: "has format version 9",
    another_program: "is not a model of pixelreg",
    no_metadata: "is not a model of pixelreg",
    wrong_shape: "weight and bias must be alike",
    two_sizes: "plans of one shape",
    not_finite: "finite",
    wrong_type: "float64",
    tensor_missing: "no 'happy/bias'",
    tensor_too_many: "unknown tensors ['extra']",
}


@pytest.mark.parametrize("make", BAD_MODELS, ids=lambda make: make.__name__)
def test_model_files_that_cannot_be_used(
    make: Callable[[Path], bytes], model: Path, drawn: Path, command: Command, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(make(model))
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    for words in (
        ("info", bad),
        ("apply", picture, "--expr", "happy", "--model", bad, "-o", tmp_path / "out.png"),
        ("evaluate", "--data", drawn, "--model", bad, "--no-align"),
    ):
        result = command(*words)
        assert result.code == 1, words
        assert result.error.startswith(str(bad))
        assert BAD_MODELS[make] in result.error
    assert files_in(tmp_path) == {"bad.safetensors"}


def test_model_files_of_other_names(model: Path, command: Command, tmp_path: Path) -> None:
    missing = command("info", tmp_path / "nosuch.safetensors")
    assert missing.code == 1
    assert "cannot read" in missing.error
    other = tmp_path / "model.bin"
    shutil.copy(model, other)
    result = command("info", other)
    assert result.code == 2
    assert "must end in .safetensors" in result.error
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    assert command("info", folder).code == 1
    result = command("apply", other, "--expr", "happy", "--model", tmp_path / "nosuch.safetensors")
    assert result.code == 2
    assert "does not exist" in result.error
