"""What the tests of the command line share: a set to learn from, a model, and calling commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelreg.commands.main import main
from pixelreg.data.synthetic import synthesise

ROOT = Path(__file__).resolve().parents[1]
CLI = (sys.executable, "-W", "error", str(ROOT / "cli.py"))
SIZE = 32  # of the model that the tests use


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failed command ends with, after checking that it is the only one."""
        lines = self.err.splitlines()
        assert [line.startswith("pixelreg: error: ") for line in lines].count(True) == 1, self.err
        assert lines[-1].startswith("pixelreg: error: "), self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[-1].removeprefix("pixelreg: error: ")


Command = Callable[..., Result]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: ``command("fit", "--data", folder)``."""

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        return Result(code, *capfd.readouterr())

    return call


def spawn(*args: object, input: bytes | None = None, cwd: Path | None = None) -> Result:
    """Run a command in a process of its own; stdout is decoded as Latin-1, byte for byte."""
    command = [*CLI, *map(str, args)]
    stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(command, capture_output=True, cwd=cwd, timeout=120, check=False, **stdin)
    return Result(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode())


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
    with Image.open(drawn / "KDEF" / "AF01" / "AF01NES.JPG") as picture:
        return np.asarray(picture)


def pixels(path: Path) -> np.ndarray:
    """A picture file's values as Pillow gives them."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, hidden and temporary ones included."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
