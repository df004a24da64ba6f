"""``pixelreg apply``: change the expression in pictures, files, folders or a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pixelreg.api import bundled_model, default_model
from pixelreg.commands import options
from pixelreg.commands.changing import Changing
from pixelreg.commands.console import progress, quiet, say
from pixelreg.commands.jobs import Job, left_out, plan_jobs, run_jobs
from pixelreg.commands.keeping import Keeping, keeping
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, format_of, write_file
from pixelreg.translator import Target, Translator, check_strength
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
@keeping
@quiet
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
    keeping: Keeping,
    output: str | None,
) -> int:
    """Change the expression in each INPUT: a picture, a folder, a video, or - for stdin.

    The picture keeps its size, format, colours, depth and metadata; of an animation every frame is
    changed. Without -o, in.png becomes in-happy.png beside it, and a folder faces/ becomes
    faces-happy/ with its sub-folders.

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
    if keeping.in_place and (output or animate or inputs == ("-",)):
        raise UsageError(
            "--in-place writes over the files that it reads: leave out -o and --animate"
        )
    keeping.guard(animate, sliders, debug_crop)
    if sliders:
        if len(inputs) > 1 or output or animate or expression or slides:
            raise UsageError("--sliders takes one picture file, and names the file that is written")
        changing = Changing(translator, "", strengths, keeping)
        return _slider_sheet(changing, Path(inputs[0]), sliders)
    target, label = _target(translator, expression, slides)
    translator.changer(target)  # an unknown name must not wait for the pictures
    running.show(translator.computed_by(target))
    several = len(inputs) > 1 or inputs == ("-",) or Path(inputs[0]).is_dir()
    if (animate or debug_crop) and several:
        raise UsageError("--animate and --debug-crop take one picture file")
    if animate and output:
        raise UsageError("--animate names the file that is written: leave out -o")
    changing = Changing(translator, target, strengths, keeping)
    if inputs == ("-",):
        return _pipe(changing, output)
    if "-" in inputs:
        raise UsageError("- stands alone: give one pipe, or files and folders")
    if any(is_video(Path(path)) for path in inputs):
        if len(inputs) > 1 or len(strengths) > 1 or animate or debug_crop:
            raise UsageError("a video stands alone, with one --strength and no --animate")
        return _video(changing, Path(inputs[0]), label, output)
    files = [Path(path) for path in inputs]
    jobs = plan_jobs(files, output, label, keeping.in_place)
    if not animate:
        for job in jobs:
            keeping.refuse_in_place(job.input, job.output)
    if debug_crop:
        _write_crops(changing, jobs[0].input, debug_crop)
    if animate:
        return _animate(changing, jobs[0].input, animate)
    if not several:
        return _one(changing, jobs[0], locator)
    return _batch(changing, files, jobs, locator)


def _one(changing: Changing, job: Job, locator: Locator) -> int:
    changing.keeping.guard(job.output)
    made = changing.file(job.input, job.output)
    write_bytes(job.output, made.content)
    say(f"wrote {job.output}{_found_by(locator)}")
    for note in made.notes:
        say(f"note: {job.input}: {note}")
    return 0


def _batch(changing: Changing, files: list[Path], jobs: list[Job], locator: Locator) -> int:
    """Change many pictures; what cannot be, and what is not tried, is counted and named."""
    keeping = changing.keeping
    wanted = [job for job in jobs if not (keeping.no_overwrite and job.output.exists())]
    notes: dict[Path, tuple[str, ...]] = {}

    def work(job: Job) -> None:
        made = changing.file(job.input, job.output)
        write_bytes(job.output, made.content)
        notes[job.input] = made.notes

    with progress("applying") as update:
        failures = run_jobs(wanted, work, update)
    there = len(jobs) - len(wanted)
    rest = [left_out(files, jobs), f"{there} exist already" if there else ""]
    code = _summary(wanted, failures, "; ".join([_found_by(locator), *filter(None, rest)]))
    for job in wanted:
        for note in notes.get(job.input, ()):
            say(f"note: {job.input}: {note}")
    return code


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


def _animate(changing: Changing, path: Path, output: Path) -> int:
    from pixelreg.pictures.sheet import strength_animation

    picture = changing.read(path)
    prepared = changing.translator.prepare(picture, changing.target, path)
    made = strength_animation(
        lambda strength: prepared.at(strength).pixels,
        max(changing.strengths),
        output.suffix,
        picture.mark,
    )
    write_bytes(output, made)
    return _wrote(output, path, picture)


def _slider_sheet(changing: Changing, path: Path, output: Path) -> int:
    from pixelreg.pictures.sheet import slider_sheet

    translator, strength = changing.translator, changing.strengths[0]
    if not translator.sliders:
        raise UsageError("this model takes the names of expressions, and no numbers")
    picture = changing.read(path)
    sheet = slider_sheet(
        lambda target: translator.translate_picture(picture, target, strength, path).pixels,
        translator.sliders,
    )
    write_file(Picture(sheet, edited=True, mark=picture.mark), output)
    return _wrote(output, path, picture)


def _wrote(output: Path, path: Path, picture: Picture) -> int:
    say(f"wrote {output}")
    for note in picture.notes:
        say(f"note: {path}: {note}")
    return 0


def _video(changing: Changing, path: Path, label: str, output: str | None) -> int:
    from pixelreg.video.convert import change_video

    if changing.keeping.strip_metadata or changing.keeping.strip_gps:
        raise UsageError("--strip-metadata and --strip-gps are for pictures: a video keeps its own")
    made = path if changing.keeping.in_place else output_of(path, output, label)
    changing.keeping.guard(made)
    changing.keeping.refuse_in_place(path, made)
    with progress("applying") as update:
        report = change_video(
            changing.translator, path, changing.target, made, changing.strengths[0], update
        )
    say(f"wrote {made}: {report.frames} frames, {report.without_face} of them without a face")
    return 0


def _write_crops(changing: Changing, path: Path, output: Path) -> None:
    """Write the crop of every chosen face, side by side."""
    import numpy as np

    from pixelreg.faces.align import crop

    pixels, translator = changing.read(path).pixels, changing.translator
    crops = [
        crop(pixels, placement.similarity, translator.size)
        for placement in translator.place(pixels, path)
    ]
    write_file(Picture(np.concatenate(crops, axis=1)), output)
    say(f"wrote {output}")


def _pipe(changing: Changing, output: str | None) -> int:
    file = None if output in (None, "-") else Path(str(output))
    changing.keeping.guard(file)
    name = "the picture on stdin"
    format = None if file is None else format_of(file)
    made = changing.encoded(sys.stdin.buffer.read(), name, format=format)
    if file is None:
        sys.stdout.buffer.write(made.content)
    else:
        write_bytes(file, made.content)
    for note in made.notes:
        say(f"note: {name}: {note}")
    return 0


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
