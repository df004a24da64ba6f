"""The sums of an unfinished fit on disk, to go on from after an interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import PIL

from pixelreg import __version__
from pixelreg.data.crops import Cutter
from pixelreg.data.pairs import Pair
from pixelreg.errors import ModelFileError
from pixelreg.files import scratch_of
from pixelreg.fitting.sumsfile import sums_from, tensors_of
from pixelreg.fitting.tally import KeptSums, Part, Tally
from pixelreg.models import store

# It names every picture that could not be used, of a million perhaps.
FORMAT = store.Format("pixelreg-checkpoint", "1", "a checkpoint", most=100_000_000)
SECONDS = 10.0  # between two checkpoints, at the least
SHARE = 20  # and this many times as long as writing one takes


def facts_of(kind: str, cutter: Cutter, pairs: Sequence[Pair]) -> dict[str, Any]:
    """All that sums depend on, but for the files themselves."""
    photos = (photo for pair in pairs for photo in (pair.source, pair.target))
    detector = None
    if cutter.frame is not None and any(photo.landmarks is None for photo in photos):
        file = cutter.locator.detector_file
        detector = [cutter.locator.detector_.name, None if file is None else str(file.absolute())]
    return {
        "kind": kind,
        "size": cutter.size,
        "frame": None if cutter.frame is None else asdict(cutter.frame),
        "detector": detector,
        "source": pairs[0].source.expression,
        "versions": [__version__, PIL.__version__],
    }


def fingerprint(parts: Sequence[Part], facts: Mapping[str, Any], root: Path) -> str:
    """A hash of all that the sums depend on: facts, and the files of the pairs, in order.

    Files count by their path below ``root``, size and time of modification.
    """
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
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
    """A file that holds a tally of sums while a fit is under way.

    fingerprint : of what is being fitted; a file with another one is refused.
    """

    def __init__(
        self, path: Path, fingerprint: str, resume: bool = False, seconds: float | None = None
    ) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.resume = resume
        self.seconds = SECONDS if seconds is None else seconds
        self._before = _identity(path)
        self._gone_on_from = False
        self._due = time.monotonic() + self.seconds

    @property
    def written(self) -> bool:
        """Whether the file keeps what this fit has read, to the moment at which it is stopped."""
        return self._gone_on_from or _identity(self.path) not in (None, self._before)

    def load(self, tally: Tally) -> None:
        """Fill an empty tally with what the file holds, if that is to be gone on from."""
        if not self.resume:
            return
        metadata, tensors = store.read(self.path, FORMAT)
        if metadata.get("fingerprint") != self.fingerprint:
            raise ModelFileError(
                f"{self.path} is the checkpoint of a fit with other options or other pictures; "
                "repeat that command, or start anew without --resume"
            )
        assert tally.keep is not None
        try:
            done, problems, counts = (metadata[key] for key in ("done", "problems", "counts"))
            for number, count in counts.items():
                sums = sums_from(tensors, number, tally.keep, tally.size, count)
                tally.kept[int(number)] = KeptSums(sums)
            tally.problems = [(int(p), int(place), str(reason)) for p, place, reason in problems]
            tally.done = [int(number) for number in done]
            _check(tally)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelFileError(
                f"{self.path} is damaged ({error}); start anew without --resume"
            ) from error
        self._gone_on_from = True

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
            "counts": {str(part): kept.count for part, kept in tally.kept.items()},
        }
        tensors = {}
        for part, kept in tally.kept.items():
            tensors.update(tensors_of(str(part), kept.sums))
        store.write(self.path, FORMAT, tensors, values, scratch_of(self.path))

    def remove(self) -> None:
        """Delete the file, and what an interrupted writing of it left."""
        for path in (self.path, scratch_of(self.path)):
            with contextlib.suppress(OSError):
                path.unlink()


def _check(tally: Tally) -> None:
    if len(tally.done) != len(tally.parts):
        raise ValueError("it has another number of parts")
    bad = [0] * len(tally.parts)
    for number, place, _ in tally.problems:
        if not 0 <= place < tally.done[number]:
            raise ValueError("a problem lies outside what was read")
        bad[number] += 1
    for number, (part, done) in enumerate(zip(tally.parts, tally.done, strict=True)):
        count = tally.kept[number].count if number in tally.kept else 0
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


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
