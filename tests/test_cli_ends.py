"""Full disks, closed folders, lost readers, interrupts: one line, nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_tools import CLI, Command, files_in, interrupted
from PIL import Image


@pytest.fixture
def writers(drawn: Path, model: Path, tmp_path: Path) -> list[list[str]]:
    """Two commands that write into ``tmp_path``: their words, the output last."""
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    fit = ("fit", "--no-align", "--size", 16, "--data", drawn, "-o", tmp_path / "m.safetensors")
    apply = ("apply", picture, "--expr", "happy", "--model", model, "-o", tmp_path / "out.png")
    return [[*map(str, words)] for words in (fit, apply)]


def test_a_folder_into_a_place_that_is_closed(
    drawn: Path, model: Path, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "blocked").write_text("in the way")
    options = ("--expr", "happy", "--model", model, "-o", tmp_path / "blocked" / "deep" / "er")
    result = command("apply", drawn, *options)
    assert result.code == 1
    assert "0 of 24 pictures changed" in result.err
    assert "Traceback" not in result.err
    assert files_in(tmp_path) == {"blocked"}


def test_a_folder_without_permission(
    command: Command, writers: list, tmp_path: Path, monkeypatch
) -> None:
    # The permissions of a folder do not bind the superuser, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    result = command(*writers[0])
    assert result.code == 1
    assert "is not writable" in result.error
    assert len(result.err.splitlines()) == 1  # before any work
    assert files_in(tmp_path) == set()


class FullDisk(io.FileIO):
    """A file that takes a thousand bytes and then has no room."""

    def write(self, content: bytes) -> int:
        super().write(content[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full(command: Command, writers: list, tmp_path: Path, monkeypatch) -> None:
    real = io.open

    def opened(file: object, mode: str = "r", *args: object, **kwargs: object) -> object:
        ours = isinstance(file, Path) and tmp_path in file.parents
        full = ours and "b" in mode and "r" not in mode
        return FullDisk(file, mode) if full else real(file, mode, *args, **kwargs)

    older = tmp_path / "m.safetensors"
    older.write_bytes(b"an older model")
    for words in writers:
        with monkeypatch.context() as patch:
            patch.setattr(io, "open", opened)
            result = command(*words)
        assert result.code == 1
        assert result.error == f"cannot write {words[-1]}: No space left on device"
        assert files_in(tmp_path) == {"m.safetensors"}
        assert older.read_bytes() == b"an older model"


def test_a_file_that_the_system_cuts_short(writers: list, tmp_path: Path) -> None:
    """The real thing, by the kernel's limit on the size of files."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    for words in writers:
        done = subprocess.run(
            [*CLI, *words], capture_output=True, text=True, preexec_fn=limit, check=False
        )
        assert done.returncode == 1
        last = f"pixelreg: error: cannot write {words[-1]}: File too large"
        assert done.stderr.splitlines()[-1] == last
        assert "Traceback" not in done.stderr
    assert files_in(tmp_path) == set()


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@needs_full
def test_a_device_that_is_full(command: Command, writers: list, tmp_path: Path) -> None:
    for words in writers:
        Path(words[-1]).symlink_to("/dev/full")
        result = command(*words)
        assert result.code == 1
        assert result.error == f"cannot write {words[-1]}: No space left on device"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "out.png"]


@needs_full
@pytest.mark.parametrize(
    "line", ["data list DRAWN", "info MODEL --json", "apply - --expr happy --model MODEL", "--help"]
)
def test_an_output_that_is_full(line: str, drawn: Path, model: Path) -> None:
    picture = (drawn / "KDEF" / "AF01" / "AF01NES.JPG").read_bytes()
    words = line.replace("DRAWN", str(drawn)).replace("MODEL", str(model)).split()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*CLI, *words], input=picture, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "pixelreg: error: cannot read or write the output: No space left on device\n"
    )


def test_a_reader_that_goes_away(drawn: Path) -> None:
    """As in ``pixelreg data list DIR | head -0``."""
    command = [*CLI, "data", "list", str(drawn), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_interrupt_while_fitting(face: np.ndarray, tmp_path: Path) -> None:
    """Ctrl-C in the middle of reading: an end within seconds, one line, no output."""
    picture = tmp_path / "large.jpg"
    Image.fromarray(face).resize((3000, 3000)).save(picture, quality=95)
    for name in ("neutral", "happy"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for person in range(400):
            (tmp_path / "set" / name / f"{person}.jpg").symlink_to(picture)
    (tmp_path / "out").mkdir()

    def reading(errors: Iterator[str]) -> None:
        next(line for line in errors if "fitting" in line)

    words = (
        "fit",
        "--data",
        tmp_path / "set",
        "--no-align",
        "-o",
        tmp_path / "out" / "m.safetensors",
    )
    interrupted(words, reading, wait=1.0)
    assert files_in(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("command", "given", "threads"),
    [("apply", {}, "1"), ("apply", {"OMP_NUM_THREADS": "2"}, None), ("evaluate", {}, None)],
)
def test_photos_are_changed_by_one_thread_each_unless_told(command, given, threads) -> None:
    code = (
        "import atexit, os, sys; from pixelreg.commands.main import run;"
        "atexit.register(lambda: print('it has', os.environ.get('OPENBLAS_NUM_THREADS')));"
        f"sys.argv[1:] = ['{command}', '--help']; run()"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_NUM_THREADS", *given)}
    kept.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"it has {threads}"
