"""Many pictures in, many pictures out: which file becomes which, and going on past a bad one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from pixelreg.errors import ImageError, PixelregError, UsageError
from pixelreg.faces.landmarks import SUFFIXES as LANDMARKS
from pixelreg.pictures.kinds import (
    READABLE_SUFFIXES,
    SUFFIX_FORMATS,
    head_of,
    media_of,
    suffix_of,
)

B = TypeVar("B")
C = TypeVar("C")


class Job(NamedTuple):
    """One picture to be changed; all outputs of a batch lie in ``folder`` or below.

    within : the folder that no link of the output may lead out of, where nobody named the output.
    """

    input: Path
    output: Path
    folder: Path
    within: Path | None = None


def plan_jobs(
    inputs: Sequence[Path], output: str | None, label: str, in_place: bool = False
) -> list[Job]:
    """Decide where the picture of every input goes.

    inputs : files and folders; of a folder, all pictures below it, sub-folders kept.
    output : a file (for one input file), a folder, or None for names with ``label`` beside the
        inputs.
    in_place : pictures are written over, and stay where they are.
    """
    for path in inputs:
        if not path.exists():
            raise UsageError(f"no such file or folder: {path}{_perhaps(path)}")
    several = len(inputs) > 1
    jobs = [
        _over_itself(job, path) if in_place else job
        for path in inputs
        for job in _jobs_of(path, output, label, several)
    ]
    seen: dict[Path, Path] = {}
    read = {job.input for job in jobs}
    for job in jobs:
        if job.output in read and job.output != job.input:
            raise UsageError(
                f"{job.input} would become {job.output}, which is to be changed as well; "
                "write into a folder with -o"
            )
        if job.output in seen:
            raise UsageError(
                f"{seen[job.output]} and {job.input} would both become {job.output}; "
                "rename one, or apply them into different folders"
            )
        seen[job.output] = job.input
    return jobs


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], None],
    progress: Callable[[int, int], None],
    workers: int | None = None,
) -> list[tuple[Job, str]]:
    """Do all jobs, and give back those that failed, in order, each with the reason."""
    from pixelreg.data.crops import read_all  # a single picture does without

    failed = []
    with closing(read_all(jobs, work, workers or min(8, os.cpu_count() or 1))) as outcomes:
        for done, (job, outcome) in enumerate(outcomes, 1):
            if isinstance(outcome, PixelregError):
                failed.append((job, str(outcome)))
            progress(done, len(jobs))
    return failed


def run_together(
    jobs: Sequence[Job],
    begin: Callable[[Job], B],
    change: Callable[[Sequence[B]], Sequence[C]],
    end: Callable[[Job, C], None],
    progress: Callable[[int, int], None],
    size: int,
    workers: int | None = None,
) -> list[tuple[Job, str]]:
    """As `run_jobs`, ``size`` jobs at a time, all of which one step in the middle takes at once.

    No more are held in memory.
    """
    from pixelreg.data.crops import read_all  # as above

    workers = workers or min(size, os.cpu_count() or 1)
    failed: list[tuple[Job, str]] = []
    for first in range(0, len(jobs), size):
        group = jobs[first : first + size]
        with closing(read_all(group, begin, workers)) as begun:
            outcomes = dict(begun)
        good = {job: made for job, made in outcomes.items() if not isinstance(made, PixelregError)}
        changed = list(zip(good, change(list(good.values())), strict=True))
        reasons = {job: why for job, why in outcomes.items() if isinstance(why, PixelregError)}
        with closing(read_all(changed, lambda pair: end(*pair), workers)) as ended:
            for (job, _), why in ended:
                if isinstance(why, PixelregError):
                    reasons[job] = why
        failed += [(job, str(reasons[job])) for job in group if job in reasons]
        progress(min(first + size, len(jobs)), len(jobs))
    return failed


def _jobs_of(path: Path, output: str | None, label: str, several: bool) -> list[Job]:
    if path.is_dir():
        named = path.resolve() if path.name in ("", "..") else path
        folder = Path(output) if output else named.with_name(f"{named.name}-{label}")
        if folder.is_file():
            raise UsageError(f"{folder} is a file; a folder of pictures needs a folder to go to")
        return [
            Job(file, folder / file.relative_to(path).with_suffix(suffix_of(file)), folder, folder)
            for file in _pictures(path, folder)
        ]
    suffix = suffix_of(path)
    if output is None:
        target = path.with_name(f"{path.stem}-{label}{suffix}")
    elif several or Path(output).is_dir() or output.endswith(("/", os.sep)):
        if Path(output).is_file():
            raise UsageError(f"{output} is a file; several pictures need a folder to go to")
        if _names_a_picture(output):
            raise UsageError(
                f"{output} names one picture, and several need a folder to go to; "
                f"end it in {os.sep} if it is one"
            )
        target = Path(output) / path.with_suffix(suffix).name
        return [Job(path, target, target.parent, target.parent)]
    else:
        target = Path(output)
    return [Job(path, target, target.parent)]


def _names_a_picture(output: str) -> bool:
    folder = Path(output).is_dir() or output.endswith(("/", os.sep))
    return not folder and Path(output).suffix.lower() in SUFFIX_FORMATS


def _perhaps(path: Path) -> str:
    """Why there is nothing by a name, where the name tells."""
    if str(path).startswith(("http:/", "https:/", "ftp:/")):
        return "; addresses are not fetched: download it first"
    if set("*?[") & set(path.name):
        return "; no file matches it here, and a folder is given by its name"
    return ""


def _over_itself(job: Job, given: Path) -> Job:
    if job.input.suffix.lower() not in SUFFIX_FORMATS:
        raise UsageError(f"{job.input} cannot be written over: its suffix names no format")
    within = given if given.is_dir() else None
    return Job(job.input, job.input, job.input.parent, within)


def left_out(inputs: Sequence[Path], jobs: Sequence[Job]) -> str:
    """What of the folders among the inputs is no job, counted and named; nothing where all are."""
    known = {job.input for job in jobs}
    made = {job.folder.resolve() for job in jobs}
    files = [file for path in inputs if path.is_dir() for file in _files(path)]
    rest = [file for file in files if file not in known and not made & set(file.resolve().parents)]
    rest = [file for file in rest if file.suffix.lower() not in LANDMARKS]
    videos = [file.name for file in rest if media_of(head_of(file)) == "video"]
    others = [file.name for file in rest if media_of(head_of(file)) != "video"]
    return "; ".join(
        f"left out: {len(names)} {what} ({', '.join(names[:NAMED])}{', …' * (len(names) > NAMED)})"
        for names, what in ((videos, "of video: give each by itself"), (others, "of another kind"))
        if names
    )


NAMED = 3  # files that are named of those that are left out


def _files(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]


def _pictures(folder: Path, leave_out: Path) -> list[Path]:
    """All pictures below a folder, by name or by content, earlier outputs left out."""
    away = leave_out.resolve()
    inside = folder.resolve() in away.parents
    files = [
        path
        for path in _files(folder)
        if not (inside and away in path.resolve().parents)
        and (path.suffix.lower() in READABLE_SUFFIXES or media_of(head_of(path)) == "picture")
    ]
    if not files:
        raise ImageError(f"{folder} holds no picture")
    return files
