"""What the tests of the command line share: how a command ended, and what it left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

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


def interrupted(
    words: Sequence[object], ready: Callable[[Iterator[str]], None], wait: float = 0.0
) -> None:
    """Send Ctrl-C to a command once it is ready: it ends within seconds, and says one line.

    ``ready`` gets the lines of stderr and returns when the command is at work.
    """
    process = subprocess.Popen(
        [*CLI, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background may have been told to ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            assert process.stderr is not None
            ready(iter(process.stderr.readline, ""))
            time.sleep(wait)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            stdout, rest = process.communicate(timeout=60)
            assert time.monotonic() - sent < 20
        finally:
            process.kill()
    assert process.returncode == 1
    assert stdout == ""
    assert rest.strip("\n") == (
        "pixelreg: error: stopped before the end; nothing half-written was left behind"
    )


def digest(path: Path) -> str:
    """SHA-256 of a file's tensors, by name."""
    total = hashlib.sha256()
    for name, array in sorted(load_file(path).items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()
