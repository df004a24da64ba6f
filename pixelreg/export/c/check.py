"""The source that was made, compiled and run here: what it makes of pictures."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.errors import PixelregError

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


@dataclass(frozen=True)
class Program:
    """A compiled ``check.c`` of an export.

    one : strength 1 as its source takes it.
    """

    path: Path
    targets: tuple[str, ...]
    one: float
    way: str = "whole"

    def run(self, target: str, pictures: Pixels, strength: float) -> Pixels:
        """What the source makes of (N, S, S, 3) pictures."""
        given = str(round(strength * self.one) if self.one > 1 else strength)
        words = [str(self.path), str(self.targets.index(target)), given, self.way]
        return np.frombuffer(called(words, given=pictures.tobytes()), np.uint8).reshape(
            pictures.shape
        )


def compiler() -> str | None:
    """The C compiler of this machine, if there is one."""
    return which("cc") or which("gcc") or which("clang")


@contextmanager
def compiled(
    texts: Mapping[str, str], targets: tuple[str, ...], one: float, flags: tuple[str, ...] = FLAGS
) -> Iterator[Program | None]:
    """The sources, by file name, as a program in a folder that goes away; None without compiler."""
    found = compiler()
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        program = Path(folder, "check")
        sources = [name for name in texts if name.endswith(".c")]
        called([found, *flags, *sources, "-o", str(program)], folder)
        yield Program(program, targets, one)


def called(words: list[str], folder: str | None = None, given: bytes | None = None) -> bytes:
    """What a program prints; one line where it fails."""
    done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise PixelregError(f"the C source does not compile or run here: {said[0]}")
    return done.stdout
