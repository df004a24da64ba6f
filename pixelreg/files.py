"""Writing files whole or not at all, and what is no file at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pixelreg.errors import PixelregError


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], scratch: Path | None = None
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    A reader never sees half a file, and a failure leaves what was there before. A device or a
    pipe, such as ``/dev/null``, is written to as it is. ``scratch`` is the temporary file of
    writers that may be killed again and again: they leave one behind, not many.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                write(file)
            return
        path = path.resolve()  # a link stays a link
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(path, write, scratch)
    except OSError as error:
        raise PixelregError(f"cannot write {path}: {_reason(error)}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all; see `write_atomically`."""
    write_atomically(path, lambda file: file.write(content))


def mistaken(head: bytes) -> str:
    """What people take for the file that they wanted, by how it begins; empty for anything else."""
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file; fetch it: git lfs pull"
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        return "is a web page, not the file; download it again"
    return ""


def scratch_of(path: Path) -> Path:
    """The one temporary file of a path that is written again and again."""
    return path.with_name(f".{path.name}.new")


def _write_beside(path: Path, write: Callable[[BinaryIO], object], scratch: Path | None) -> None:
    # Not a file of `tempfile`: a file opened plainly gets the mode that the user's umask gives.
    temporary = scratch or path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    try:
        with temporary.open("wb" if scratch else "xb") as file:
            write(file)
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
