"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pixelreg.errors import PixelregError


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    A reader never sees half a file, and a failure leaves what was there before.

    Raises
    ------
    PixelregError
        If the folder cannot be written to or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise PixelregError(f"cannot write {path}: {_reason(error)}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(temporary).chmod(_default_mode(path))
        Path(temporary).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if isinstance(error, OSError):
            raise PixelregError(f"cannot write {path}: {_reason(error)}") from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all; see `write_atomically`."""
    write_atomically(path, lambda file: file.write(content))


def _default_mode(path: Path) -> int:
    """The mode of the file that is replaced, or what the user's umask gives a new one."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
