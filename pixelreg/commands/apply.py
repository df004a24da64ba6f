"""``pixelreg apply``: change the expression in pictures, files, folders or a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pixelreg.api import bundled_model, default_model, load
from pixelreg.batch import Job, plan_jobs, run_jobs
from pixelreg.commands import options
from pixelreg.commands.console import progress, say
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.image import encode, format_of, read_bytes, read_file
from pixelreg.translator import PlanTranslator, check_strength


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--expr", "expression", required=True, help="Expression to give the face.")
@click.option(
    "--model",
    "file",
    type=options.FILE,
    help="Model file. [default: ./pixelreg.safetensors if there, else the bundled one]",
)
@click.option("--strength", type=float, default=1.0, show_default=True, help="0 changes nothing.")
@options.locating_faces
@click.option("-o", "--output", help="File, folder, or - for stdout.")
def apply(
    inputs: tuple[str, ...],
    expression: str,
    file: Path | None,
    strength: float,
    locator: Locator,
    output: str | None,
) -> int:
    """Change the expression in each INPUT: a picture, a folder, or - for stdin.

    The picture keeps its size and format. Without -o, in.png becomes in-happy.png beside it, and
    a folder faces/ becomes faces-happy/ with its sub-folders.

    \b
    Examples:
      pixelreg apply in.png --expr happy
      pixelreg apply photos/ --expr happy --strength 0.7 -o smiling/
      cat in.jpg | pixelreg apply - --expr happy > out.jpg
    """
    check_strength(strength)
    translator = _load(file, locator)
    translator.plan(expression)  # an unknown name must not wait for the pictures
    if inputs == ("-",):
        _pipe(translator, expression, strength, output)
        return 0
    if "-" in inputs:
        raise UsageError("- stands alone: give one pipe, or files and folders")
    jobs = plan_jobs([Path(name) for name in inputs], output, translator.canonical(expression))
    if len(jobs) == 1 and Path(inputs[0]).is_file():
        _apply_one(translator, jobs[0], expression, strength)
        say(f"wrote {jobs[0].output}")
        return 0
    with progress("applying") as update:
        failures = run_jobs(
            jobs, lambda job: _apply_one(translator, job, expression, strength), update
        )
    return _summary(jobs, failures)


def _load(file: Path | None, locator: Locator) -> PlanTranslator:
    chosen = file or default_model()
    if file is None:
        bundled = chosen == bundled_model()
        say("using the bundled model (neutral to happy)" if bundled else f"using ./{chosen}")
    translator = load(chosen, locator=locator)
    if not isinstance(translator, PlanTranslator):
        raise UsageError(f"{chosen} is no closed-form model")
    return translator


def _apply_one(translator: PlanTranslator, job: Job, expression: str, strength: float) -> None:
    picture = read_file(job.input)
    made = translator.translate_picture(picture, expression, strength, job.input)
    write_bytes(job.output, encode(made, format_of(job.output)))


def _pipe(translator: PlanTranslator, expression: str, strength: float, output: str | None) -> None:
    picture = read_bytes(sys.stdin.buffer.read(), "the picture on stdin")
    made = translator.translate_picture(picture, expression, strength)
    if output in (None, "-"):
        sys.stdout.buffer.write(encode(made))
    else:
        write_bytes(Path(output), encode(made, format_of(Path(output))))


def _summary(jobs: list[Job], failures: list[tuple[Job, str]]) -> int:
    done = len(jobs) - len(failures)
    say(f"{done} of {len(jobs)} pictures changed" + (f" into {jobs[0].folder}" if done else ""))
    for job, reason in failures:
        say(f"failed: {reason}" if str(job.input) in reason else f"failed: {job.input}: {reason}")
    return 1 if failures else 0
