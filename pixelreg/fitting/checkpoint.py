"""The sums of an unfinished fit on disk, to go on from after an interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelreg.errors import ModelFileError, PixelregError
from pixelreg.fitting.sumsfile import read_tensors, sums_from, tensors_of, write_tensors
from pixelreg.fitting.tally import Part, Running, Tally
from pixelreg.models.metadata import as_text

FORMAT, FORMAT_VERSION = "pixelreg-checkpoint", "1"
SECONDS = 10.0  # between two checkpoints, at the least
SHARE = 20  # and this many times as long as writing one takes


def fingerprint(parts: Sequence[Part], options: Mapping[str, Any], root: Path) -> str:
    """A hash of all that the sums depend on: options, and the files of the pairs, in order.

    Files count by their path below ``root``, size and time of modification.
    """
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode())
    folder = root if root.is_dir() else root.parent
    for part in parts:
        digest.update(f"\0\0{part.target}\0{part.held_out}".encode())
        for pair in part.pairs:
            digest.update(f"\0\0{pair.person}".encode("utf-8", "surrogateescape"))
            for photo in (pair.source, pair.target):
                for path in (photo.path, photo.landmarks):
                    digest.update(_state(path, folder))
                digest.update(f"\0{photo.half}".encode())
    return digest.hexdigest()


class Checkpoint:
    """A file that holds a tally while a fit is under way.

    Parameters
    ----------
    path : the file.
    fingerprint : of what is being fitted; a file with another one is refused.
    seconds : between two writings.
    """

    def __init__(self, path: Path, fingerprint: str, seconds: float | None = None) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.seconds = SECONDS if seconds is None else seconds
        self.written = False
        self._due = time.monotonic() + self.seconds

    def load(self, tally: Tally) -> None:
        """Fill an empty tally with what the file holds."""
        metadata, tensors = read_tensors(self.path, FORMAT, FORMAT_VERSION, "a checkpoint")
        if metadata.get("fingerprint") != self.fingerprint:
            raise ModelFileError(
                f"{self.path} is the checkpoint of a fit with other options or other pictures; "
                "repeat that command, or start anew without --resume"
            )
        try:
            done, problems, counts = (metadata[key] for key in ("done", "problems", "counts"))
            for number, count in counts.items():
                part = int(number)
                sums = sums_from(tensors, number, tally.kind, tally.size, count)
                tally.running[part] = Running(sums)
            tally.problems = [(int(p), int(place), str(reason)) for p, place, reason in problems]
            tally.done = [int(number) for number in done]
            _check(tally)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(
                f"{self.path} is damaged ({error}); start anew without --resume"
            ) from error
        self.written = True

    def save_if_due(self, tally: Tally) -> None:
        """Write the tally if the last time is long enough ago."""
        if time.monotonic() >= self._due:
            started = time.monotonic()
            self.save(tally)
            now = time.monotonic()
            self._due = now + max(self.seconds, SHARE * (now - started) if self.seconds else 0.0)

    def save(self, tally: Tally) -> None:
        """Write the tally, whole or not at all."""
        values = {
            "fingerprint": self.fingerprint,
            "done": tally.done,
            "problems": tally.problems,
            "counts": {str(part): run.sums.count for part, run in tally.running.items()},
        }
        tensors = {}
        for part, run in tally.running.items():
            tensors.update(tensors_of(str(part), run.sums))
        metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, **as_text(values)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One name for all times, so that a process killed while it writes leaves one file.
            with self._unfinished.open("wb") as file:
                write_tensors(file, tensors, metadata)
            self._unfinished.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._unfinished.unlink()
            raise PixelregError(f"cannot write {self.path}: {error.strerror or error}") from error
        except BaseException:
            with contextlib.suppress(OSError):
                self._unfinished.unlink()
            raise
        self.written = True

    def remove(self) -> None:
        """Delete the file, and what an interrupted writing of it left."""
        for path in (self.path, self._unfinished):
            with contextlib.suppress(OSError):
                path.unlink()

    @property
    def _unfinished(self) -> Path:
        return self.path.with_name(f".{self.path.name}.new")


def _check(tally: Tally) -> None:
    if len(tally.done) != len(tally.parts):
        raise ValueError("it has another number of parts")
    bad = [0] * len(tally.parts)
    for number, place, _ in tally.problems:
        if not 0 <= place < tally.done[number]:
            raise ValueError("a problem lies outside what was read")
        bad[number] += 1
    for number, (part, done) in enumerate(zip(tally.parts, tally.done, strict=True)):
        count = tally.running[number].sums.count if number in tally.running else 0
        if not 0 <= done <= len(part.pairs) or count != done - bad[number]:
            raise ValueError("its counts contradict each other")


def _state(path: Path | None, folder: Path) -> bytes:
    if path is None:
        return b"\0"
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    try:
        found = path.stat()
        state = f"{found.st_size} {found.st_mtime_ns}"
    except OSError:
        state = "unreadable"
    return f"\0{name.as_posix()}\0{state}".encode("utf-8", "surrogateescape")
