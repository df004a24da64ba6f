"""Full disks, closed folders, lost readers, interrupts: one line, nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from cli_tools import CLI, Command, files_in
from PIL import Image


def test_a_folder_that_cannot_be_written_to(
    command: Command, drawn: Path, model: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    fit = command("fit", "--data", drawn, "--no-align", "-o", blocked / "m.safetensors")
    assert fit.code == 1
    assert f"cannot write {blocked / 'm.safetensors'}" in fit.error
    assert len(fit.err.splitlines()) == 1  # before any work
    apply = command(
        "apply", picture, "--expr", "happy", "--model", model, "-o", blocked / "out.png"
    )
    assert apply.code == 1
    assert f"cannot write {blocked / 'out.png'}" in apply.error
    folder = command(
        "apply", drawn, "--expr", "happy", "--model", model, "-o", blocked / "deep" / "er"
    )
    assert folder.code == 1
    assert "0 of 24 pictures changed" in folder.err
    assert "Traceback" not in folder.err
    drawing = command("data", "synthesise", blocked / "drawn", "--people", 1, "--size", 16)
    assert drawing.code == 1
    assert "cannot write" in drawing.error
    assert files_in(tmp_path) == {"a-file"}
    assert blocked.read_text() == "in the way"


def test_a_folder_without_permission(
    command: Command, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The permissions of a folder do not bind the superuser, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    result = command("fit", "--data", drawn, "--no-align", "-o", tmp_path / "m.safetensors")
    assert result.code == 1
    assert "is not writable" in result.error
    assert files_in(tmp_path) == set()


class FullDisk(io.FileIO):
    """A file that takes a thousand bytes and then has no room."""

    def write(self, content: bytes) -> int:
        super().write(content[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full(
    command: Command, drawn: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = io.open

    def opened(file: object, mode: str = "r", *args: object, **kwargs: object) -> object:
        ours = isinstance(file, Path) and tmp_path in file.parents
        full = ours and "b" in mode and "r" not in mode
        return FullDisk(file, mode) if full else real(file, mode, *args, **kwargs)

    older, out = tmp_path / "older.safetensors", tmp_path / "out.png"
    older.write_bytes(b"an older model")
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    for words in (
        ("fit", "--data", drawn, "--no-align", "--size", 16, "-o", older),
        ("apply", picture, "--expr", "happy", "--model", model, "-o", out),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(io, "open", opened)
            result = command(*words)
        assert result.code == 1
        assert result.error == f"cannot write {words[-1]}: No space left on device"
        assert files_in(tmp_path) == {"older.safetensors"}
        assert older.read_bytes() == b"an older model"


def test_a_file_that_the_system_cuts_short(drawn: Path, model: Path, tmp_path: Path) -> None:
    """The real thing, by the kernel's limit on the size of files."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    for words in (
        ("fit", "--data", drawn, "--no-align", "--size", "32", "-o", tmp_path / "m.safetensors"),
        ("apply", picture, "--expr", "happy", "--model", model, "-o", tmp_path / "out.png"),
    ):
        done = subprocess.run(
            [*CLI, *map(str, words)], capture_output=True, text=True, preexec_fn=limit, check=False
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"pixelreg: error: cannot write {words[-1]}: File too large"
        )
        assert "Traceback" not in done.stderr
    assert files_in(tmp_path) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_is_full(command: Command, drawn: Path, model: Path, tmp_path: Path) -> None:
    for name in ("out.png", "m.safetensors"):
        (tmp_path / name).symlink_to("/dev/full")
    picture = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    for words in (
        ("fit", "--data", drawn, "--no-align", "--size", 16, "-o", tmp_path / "m.safetensors"),
        ("apply", picture, "--expr", "happy", "--model", model, "-o", tmp_path / "out.png"),
    ):
        result = command(*words)
        assert result.code == 1
        assert result.error == f"cannot write {words[-1]}: No space left on device"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "out.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full(drawn: Path, model: Path) -> None:
    picture = (drawn / "KDEF" / "AF01" / "AF01NES.JPG").read_bytes()
    for words in (
        ("data", "list", drawn),
        ("info", model, "--json"),
        ("apply", "-", "--expr", "happy", "--model", model),
        ("--help",),
    ):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*CLI, *map(str, words)], input=picture, stdout=full, stderr=subprocess.PIPE,
                check=False,
            )  # fmt: skip
        assert done.returncode == 1, words
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
    out = tmp_path / "out"
    out.mkdir()
    words = ("fit", "--data", tmp_path / "set", "--no-align", "-o", out / "m.safetensors")
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
            while line := process.stderr.readline():
                if "fitting" in line:
                    break
            time.sleep(1.0)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            stdout, rest = process.communicate(timeout=60)
            assert time.monotonic() - started < 20
        finally:
            process.kill()
    assert process.returncode == 1
    assert stdout == ""
    assert rest.split("\n") == [
        "",
        "pixelreg: error: stopped before the end; nothing half-written was left behind",
        "",
    ]
    assert files_in(out) == set()
