"""``pixelreg apply``: change the expression in pictures, files, folders or a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pixelreg.api import bundled_model, default_model
from pixelreg.commands import options
from pixelreg.commands.console import progress, say
from pixelreg.commands.jobs import Job, plan_jobs, run_jobs
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode, read_bytes, read_file, write_file
from pixelreg.translator import Prepared, Target, Translator, check_strength
from pixelreg.video.container import is_video, output_of


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--expr", "expression", help="Expression to give the face. [default: the model's only one]"
)
@click.option(
    "--slide",
    "slides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set one number of a model that takes numbers, such as AU12=0.8; may be repeated.",
)
@click.option(
    "--model",
    "file",
    type=options.FILE,
    help="Model file. [default: ./pixelreg.safetensors if there, else the bundled one]",
)
@click.option(
    "--strength",
    "strengths",
    type=options.Numbers(),
    default="1",
    show_default=True,
    help="0 changes nothing; several, as in 0,0.5,1, make a strip.",
)
@click.option(
    "--animate",
    type=options.NEW_FILE,
    help="Write a .gif or .webp that sweeps the strength, instead.",
)
@click.option(
    "--sliders",
    type=options.NEW_FILE,
    help="Write a sheet that moves every number of a model that takes numbers, instead.",
)
@click.option(
    "--debug-crop", type=options.NEW_FILE, help="Also write the aligned crop that the model sees."
)
@options.locating_faces
@options.running
@click.option("-o", "--output", help="File, folder, or - for stdout.")
def apply(
    inputs: tuple[str, ...],
    expression: str | None,
    slides: tuple[str, ...],
    file: Path | None,
    strengths: tuple[float, ...],
    animate: Path | None,
    sliders: Path | None,
    debug_crop: Path | None,
    locator: Locator,
    running: options.Running,
    output: str | None,
) -> int:
    """Change the expression in each INPUT: a picture, a folder, a video, or - for stdin.

    The picture keeps its size and format. Without -o, in.png becomes in-happy.png beside it, and
    a folder faces/ becomes faces-happy/ with its sub-folders.

    \b
    Examples:
      pixelreg apply in.png --expr happy
      pixelreg apply photos/ --expr happy --strength 0.7 -o smiling/
      pixelreg apply in.jpg --expr happy --strength 0,0.5,1,1.5 -o strip.png
      pixelreg apply in.jpg --expr happy --animate smile.gif
      pixelreg apply clip.mp4 --expr happy
      pixelreg apply in.jpg --model photo2sketch.onnx --provider cpu
      pixelreg apply in.jpg --model ganimation.onnx --slide AU12=0.8 --slide AU6=0.5
      pixelreg apply in.jpg --model ocnn.onnx --sliders sliders.png
      cat in.jpg | pixelreg apply - --expr happy > out.jpg
    """
    for strength in strengths:
        check_strength(strength)
    translator = running.load(file or _default_model(), locator)
    if sliders:
        if len(inputs) > 1 or output or animate or expression or slides:
            raise UsageError("--sliders takes one picture file, and names the file that is written")
        return _slider_sheet(translator, Path(inputs[0]), strengths[0], sliders)
    target, label = _target(translator, expression, slides)
    translator.changer(target)  # an unknown name must not wait for the pictures
    running.show(translator.computed_by(target))
    several = len(inputs) > 1 or inputs == ("-",) or Path(inputs[0]).is_dir()
    if (animate or debug_crop) and several:
        raise UsageError("--animate and --debug-crop take one picture file")
    if animate and output:
        raise UsageError("--animate names the file that is written: leave out -o")
    if inputs == ("-",):
        picture = read_bytes(sys.stdin.buffer.read(), "the picture on stdin")
        _pipe(_shown(translator.prepare(picture, target), strengths), output)
        return 0
    if "-" in inputs:
        raise UsageError("- stands alone: give one pipe, or files and folders")
    if any(is_video(Path(path)) for path in inputs):
        if len(inputs) > 1 or len(strengths) > 1 or animate or debug_crop:
            raise UsageError("a video stands alone, with one --strength and no --animate")
        return _video(translator, Path(inputs[0]), (target, label), strengths[0], output)
    jobs = plan_jobs([Path(path) for path in inputs], output, label)
    if debug_crop:
        _write_crops(translator, jobs[0].input, debug_crop)
    if animate:
        _animate(translator, jobs[0].input, target, max(strengths), animate)
        return 0

    def work(job: Job) -> None:
        prepared = translator.prepare(read_file(job.input), target, job.input)
        write_file(_shown(prepared, strengths), job.output)

    if not several:
        work(jobs[0])
        say(f"wrote {jobs[0].output}{_found_by(locator)}")
        return 0
    with progress("applying") as update:
        failures = run_jobs(jobs, work, update)
    return _summary(jobs, failures, _found_by(locator))


def _default_model() -> Path:
    chosen = default_model()
    bundled = chosen == bundled_model()
    say("using the bundled model (neutral to happy)" if bundled else f"using ./{chosen}")
    return chosen


def _target(
    translator: Translator, expression: str | None, slides: tuple[str, ...]
) -> tuple[Target, str]:
    """What is asked for, and the word that it adds to file names."""
    if slides:
        if expression is not None:
            raise UsageError("--expr and --slide both say what to make: give one of them")
        return dict(map(_slide, slides)), "-".join(slides).replace("=", "")
    if expression is None:
        known = translator.changes
        if not known:
            translator.changer("")  # says what else the model does
        if len(known) != 1:
            raise UsageError(f"say what to make with --expr: one of {', '.join(known)}")
        expression = known[0]
    name = translator.canonical(expression)
    return name, name


def _slide(text: str) -> tuple[str, float]:
    name, sign, value = text.partition("=")
    try:
        return name, float(value if sign else "?")
    except ValueError:
        raise UsageError(f"--slide {text!r} is not of the form NAME=VALUE") from None


def _shown(prepared: Prepared, strengths: tuple[float, ...]) -> Picture:
    """The picture at one strength, or a strip of several."""
    if len(strengths) == 1:
        return prepared.at(strengths[0])
    from pixelreg.pictures.sheet import strength_strip

    strip = strength_strip(lambda strength: prepared.at(strength).pixels, strengths)
    return Picture(strip, format=prepared.picture.format)


def _animate(translator: Translator, path: Path, target: Target, most: float, output: Path) -> None:
    from pixelreg.pictures.sheet import strength_animation

    prepared = translator.prepare(read_file(path), target, path)
    write_bytes(output, strength_animation(lambda s: prepared.at(s).pixels, most, output.suffix))
    say(f"wrote {output}")


def _slider_sheet(translator: Translator, path: Path, strength: float, output: Path) -> int:
    from pixelreg.pictures.sheet import slider_sheet

    if not translator.sliders:
        raise UsageError("this model takes the names of expressions, and no numbers")
    picture = read_file(path)
    sheet = slider_sheet(
        lambda target: translator.translate_picture(picture, target, strength, path).pixels,
        translator.sliders,
    )
    write_file(Picture(sheet), output)
    say(f"wrote {output}")
    return 0


def _video(
    translator: Translator,
    path: Path,
    asked: tuple[Target, str],
    strength: float,
    output: str | None,
) -> int:
    from pixelreg.video.convert import change_video

    target, label = asked
    made = output_of(path, output, label)
    with progress("applying") as update:
        report = change_video(translator, path, target, made, strength, update)
    say(f"wrote {made}: {report.frames} frames, {report.without_face} of them without a face")
    return 0


def _write_crops(translator: Translator, path: Path, output: Path) -> None:
    """Write the crop of every chosen face, side by side."""
    import numpy as np

    from pixelreg.faces.align import crop

    pixels = read_file(path).pixels
    crops = [
        crop(pixels, placement.similarity, translator.size)
        for placement in translator.place(pixels, path)
    ]
    write_file(Picture(np.concatenate(crops, axis=1)), output)
    say(f"wrote {output}")


def _pipe(made: Picture, output: str | None) -> None:
    if output is None or output == "-":
        sys.stdout.buffer.write(encode(made))
    else:
        write_file(made, Path(output))


def _found_by(locator: Locator) -> str:
    used = locator.detector_used
    return f" (face found by the {used} detector)" if used else ""


def _summary(jobs: list[Job], failures: list[tuple[Job, str]], note: str) -> int:
    done = len(jobs) - len(failures)
    where = f" into {jobs[0].folder}" if done else ""
    say(f"{done} of {len(jobs)} pictures changed{where}{note}")
    for job, reason in failures:
        say(f"failed: {reason}" if str(job.input) in reason else f"failed: {job.input}: {reason}")
    return 1 if failures else 0
