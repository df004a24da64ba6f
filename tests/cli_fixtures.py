"""Fixtures of the tests of the command line: a set to learn from, a model, calling commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tools import SIZE, Command, Result, pixels

from pixelreg import modelfile
from pixelreg.commands.main import main
from pixelreg.data.synthetic import synthesise
from pixelreg.model import Frame


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: ``command("fit", "--data", folder)``."""

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn people, neutral, happy and sad, 64 x 64, in the KDEF layout."""
    folder = tmp_path_factory.mktemp("drawn")
    synthesise(folder, 8, ("neutral", "happy", "sad"), size=64, seed=5)
    return folder


@pytest.fixture(scope="session")
def model(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixel-RR from neutral to happy and sad at 32 x 32, fitted by the command line."""
    file = tmp_path_factory.mktemp("model") / "drawn.safetensors"
    options = ("--no-align", "--size", str(SIZE), "--prior", "identity")
    assert main(["fit", "--data", str(drawn), *options, "-o", str(file)]) == 0
    return file


@pytest.fixture
def face(drawn: Path) -> np.ndarray:
    """A neutral face, (64, 64, 3) uint8."""
    return pixels(drawn / "KDEF" / "AF01" / "AF01NES.JPG")


@pytest.fixture(scope="session")
def photo_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model for photographs: drawn faces stand in the default frame."""
    file = tmp_path_factory.mktemp("photo-model") / "photo.safetensors"
    modelfile.save(replace(modelfile.load(model), frame=Frame()), file)
    return file


@pytest.fixture
def fit_options(tmp_path: Path) -> tuple[object, ...]:
    """Options that make fitting quick and write to the folder ``out``."""
    return ("--size", 16, "--no-align", "-o", tmp_path / "out" / "m.safetensors")
