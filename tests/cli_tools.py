"""What the tests of the command line share: how a command ended, and what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

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


def spawn(*args: object, input: bytes = b"", cwd: Path | None = None) -> Result:
    """Run a command in a process of its own; stdout is decoded as Latin-1, byte for byte."""
    command = [*CLI, *map(str, args)]
    # Terminals of most people take UTF-8 and nothing else.
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        command,
        input=input,
        capture_output=True,
        cwd=cwd,
        env=environment,
        timeout=120,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode())


def pixels(path: Path) -> np.ndarray:
    """A picture file's values as Pillow gives them."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def places_of(picture: np.ndarray, sheet: np.ndarray) -> list[tuple[int, int]]:
    """(left, top) of every place where a sheet shows a picture bit for bit."""
    height, width = picture.shape[:2]
    corners = (sheet[: 1 - height or None, : 1 - width or None] == picture[0, 0]).all(axis=-1)
    return [
        (int(x), int(y))
        for y, x in np.argwhere(corners)
        if (sheet[y : y + height, x : x + width] == picture).all()
    ]


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, hidden and temporary ones included."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
