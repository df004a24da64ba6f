"""Writing files whole or not at all, and what is no file at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
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
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name
        raise PixelregError(f"cannot write {path}: {why(error)}") from error


def write_bytes(path: Path, content: bytes, within: Path | None = None) -> None:
    """Write ``content`` to ``path``, whole or not at all; see `write_atomically`.

    within : a folder that no link on the way may lead out of.
    """
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise PixelregError(
            f"{path} is a link that leads out of {within}, and is not followed; remove it, or name "
            "where it leads"
        )
    write_atomically(path, lambda file: file.write(content))


def name_part(text: str) -> str:
    """A text of a stranger's as part of a file's name: nothing in it that names have not."""
    plain = re.sub(r'[\\/:*?"<>|]', "-", "".join(c if c.isprintable() else "-" for c in text))
    return plain[:60].strip(". ") or "-"


def open_regular(path: Path, pipes: bool = False) -> BinaryIO:
    """A file open for reading; a folder, a pipe or a device raises OSError at once.

    It is opened without waiting, and looked at after: what a name stands for may have changed.

    pipes : a pipe is taken as well.
    """
    opener = None if pipes else _unwaiting
    file: BinaryIO = open(path, "rb", opener=opener)  # noqa: SIM115
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode))):
        file.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return file


def read_regular(path: Path, most: int) -> bytes:
    """A file's bytes; see `open_regular`. More than ``most`` raise OSError."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def is_file(path: Path) -> bool:
    """Whether there is such a file; of a name that no file can have, there is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def why(error: Exception) -> str:
    """What went wrong with a file, without its name."""
    return getattr(error, "strerror", None) or str(error)


def _unwaiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def mistaken(head: bytes) -> str:
    """What people take for the file that they wanted, by how it begins; empty for anything else."""
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file; fetch it: git lfs pull"
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        return "is a web page, not the file; download it again"
    return ""


def scratch_of(path: Path) -> Path:
    """The temporary file of a path: one name, so that runs that are killed leave one, not many."""
    return path.with_name(f".{path.name[:60]}.new")


def _temporary(path: Path, usual: Path) -> tuple[Path, BinaryIO]:
    """A temporary file, open for writing: the usual one, unless a living writer holds it.

    Not a file of `tempfile`: a file opened plainly gets the mode that the user's umask gives.
    """
    with contextlib.suppress(FileExistsError):
        file = usual.open("xb")
        _held(file)
        return usual, file
    if not usual.is_symlink():
        file = usual.open("ab")
        if _held(file) and _is_still(file, usual):
            file.truncate(0)  # what a dead run left
            return usual, file
        file.close()
    other = path.with_name(f".{path.name[:60]}.{os.urandom(8).hex()}")
    return other, other.open("xb")


def _held(file: BinaryIO) -> bool:
    """Whether the file is this writer's alone from now on; the lock ends with the process."""
    try:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError, AttributeError):  # Windows, a held file, a place without locks
        return False
    return True


def _is_still(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is what its name stands for: another writer may have renamed it."""
    try:
        there = path.lstat()
    except OSError:
        return False
    here = os.fstat(file.fileno())
    regular = stat.S_ISREG(there.st_mode) and here.st_nlink == 1
    return regular and (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _sync_folder(folder: Path) -> None:
    """Have the new name itself survive a loss of power, where a system can be told so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_beside(path: Path, write: Callable[[BinaryIO], object], scratch: Path | None) -> None:
    temporary, file = _temporary(path, scratch or scratch_of(path))
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # or a loss of power could leave the name with nothing in it
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
