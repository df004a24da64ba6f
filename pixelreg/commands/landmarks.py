"""``pixelreg landmarks``: mark the faces of photos with 82 points, as files and pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from pixelreg.arrays import Pixels
from pixelreg.backends import LOOK_WORK, load_for
from pixelreg.commands import options
from pixelreg.commands.console import progress, say
from pixelreg.commands.jobs import Job, left_out, plan_jobs, run_jobs
from pixelreg.errors import UsageError
from pixelreg.faces.dense import find_dense
from pixelreg.faces.locate import Locator
from pixelreg.faces.marked import FORMATS, Marked, picture_of
from pixelreg.files import write_bytes
from pixelreg.pictures.image import read_file
from pixelreg.pictures.writing import Picture, encode


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PHOTO...")
@click.option("-o", "--output", required=True, help="Folder for the files.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice([*FORMATS]),
    help="Kind of file; may be repeated. [default: all]",
)
@options.locating_faces
@options.finding
def landmarks(
    inputs: tuple[str, ...],
    output: str,
    formats: tuple[str, ...],
    locator: Locator,
    finding: options.Finding,
) -> int:
    """Find 82 landmarks of the face in each PHOTO: a picture or a folder.

    in.jpg becomes in.tem (for webmorph), in.pts (51 points), in.json, and in-landmarks.png, the
    face with its points numbered as in the London set's template. With --face all, the largest face
    of in.jpg becomes in-1.tem, and so on. Landmarks that lie beside a photo are taken as they are.

    \b
    Examples:
      pixelreg landmarks in.jpg -o marks/
      pixelreg landmarks photos/ -o marks/ --format tem
      pixelreg landmarks group.jpg --face all -o marks/
    """
    wanted = formats or tuple(FORMATS)
    jobs = plan_jobs([Path(path) for path in inputs], os.path.join(output, ""), "landmarks")  # noqa: PTH118
    _check(jobs, wanted)
    locator = finding.placed(locator, len(jobs) == 1)
    doubtful: dict[Job, float] = {}

    def work(job: Job) -> None:
        pixels = read_file(job.input).pixels
        found = [
            find_dense(finding.finder, locator, pixels, face, job.input)
            for face in locator.faces(pixels, job.input)
        ]
        for number, face in enumerate(found, 1):
            ending = f"-{number}" if locator.which == "all" else ""
            stem = job.output.with_name(job.output.stem + ending)
            marked = Marked(job.input.name, (pixels.shape[1], pixels.shape[0]), face)
            _write(marked, stem, wanted, picture_of(pixels, face.points))
        doubtful[job] = max(face.doubt for face in found)

    if len(jobs) == 1 and not Path(inputs[0]).is_dir():
        work(jobs[0])
        return _summary(jobs, [], doubtful, finding.finder.unsure)
    load_for(len(jobs), LOOK_WORK)
    with progress("finding landmarks") as update:
        failures = run_jobs(jobs, work, update)
    code = _summary(jobs, failures, doubtful, finding.finder.unsure)
    rest = left_out([Path(path) for path in inputs], jobs)
    if rest:
        say(rest)
    return code


def _check(jobs: Sequence[Job], formats: Sequence[str]) -> None:
    """Refuse what would overwrite a file that was not made here, or be written twice."""
    stems: dict[Path, Path] = {}
    for job in jobs:
        stem = job.output.with_suffix("")
        if stem in stems:
            raise UsageError(f"{stems[stem]} and {job.input} would both become {stem}.*")
        stems[stem] = job.input
        for suffix in formats:
            file = stem.with_name(f"{stem.name}.{suffix}")
            if file.exists() and file.resolve() == job.input.with_suffix(f".{suffix}").resolve():
                raise UsageError(
                    f"{file} lies beside its photo and may have been placed by hand; "
                    "write into another folder with -o"
                )


def _write(marked: Marked, stem: Path, formats: Sequence[str], drawn: Pixels) -> None:
    for name in formats:
        write_bytes(stem.with_name(f"{stem.name}.{name}"), FORMATS[name](marked).encode())
    picture = stem.with_name(f"{stem.name}-landmarks.png")
    write_bytes(picture, encode(Picture(drawn), "PNG"))


def _summary(
    jobs: list[Job], failures: list[tuple[Job, str]], doubts: dict[Job, float], unsure: float
) -> int:
    done = len(jobs) - len(failures)
    where = f" into {jobs[0].folder}" if done else ""
    say(f"{done} of {len(jobs)} photos marked{where}")
    for job, doubt in doubts.items():
        if doubt > unsure:
            say(f"look at: {job.input}: unsure by {doubt:.1%} of the eye distance")
    for job, reason in failures:
        say(f"failed: {reason}" if str(job.input) in reason else f"failed: {job.input}: {reason}")
    return 1 if failures else 0
