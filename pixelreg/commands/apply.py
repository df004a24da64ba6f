"""``pixelreg apply``: change the expression in pictures, files, folders or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import click

from pixelreg.api import default_model
from pixelreg.arrays import Pixels
from pixelreg.backends import load_for
from pixelreg.commands import options
from pixelreg.commands.changing import Begun, Changing, Made
from pixelreg.commands.console import progress, quiet, say
from pixelreg.commands.jobs import Job, left_out, plan_jobs, run_jobs, run_together
from pixelreg.commands.keeping import Keeping, keeping
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator
from pixelreg.files import name_part, write_bytes
from pixelreg.models import DEFAULT
from pixelreg.pictures.image import Picture, format_of, write_file
from pixelreg.pictures.opening import MOST_BYTES
from pixelreg.translator import Target, Translator, check_strength
from pixelreg.video.names import is_video, output_of


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
    "--like",
    type=options.FILE,
    help="Take the expression of the face in this photo; a video drives one photo. Rig only.",
)
@click.option(
    "--model",
    "file",
    type=options.MODEL,
    help="rig, flow, rr, or a model file. [default: ./pixelreg.safetensors if there, else rig]",
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
@options.finding
@options.running
@keeping
@quiet
@click.option("-o", "--output", help="File, folder, or - for stdout.")
def apply(
    inputs: tuple[str, ...],
    expression: str | None,
    slides: tuple[str, ...],
    like: Path | None,
    file: str | Path | None,
    strengths: tuple[float, ...],
    animate: Path | None,
    sliders: Path | None,
    debug_crop: Path | None,
    locator: Locator,
    finding: options.Finding,
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
      pixelreg apply in.jpg --like other.jpg
      pixelreg apply in.jpg --like clip.mp4 -o film.mp4
      pixelreg apply in.jpg --model photo2sketch.onnx --provider cpu
      pixelreg apply in.jpg --model ganimation.onnx --slide AU12=0.8 --slide AU6=0.5
      pixelreg apply in.jpg --expr happy --landmarks in-by-hand.tem
      pixelreg apply in.jpg --model ocnn.onnx --sliders sliders.png
      cat in.jpg | pixelreg apply - --expr happy > out.jpg
    """
    for strength in strengths:
        check_strength(strength)
    several = len(inputs) > 1 or inputs == ("-",) or Path(inputs[0]).is_dir()
    moving = any(is_video(Path(path)) for path in inputs)
    locator = finding.placed(locator, not moving and (not several or inputs == ("-",)))
    translator = running.load(file or _default_model(), locator, finding)
    if keeping.in_place and (output or animate or inputs == ("-",)):
        raise UsageError(
            "--in-place writes over the files that it reads: leave out -o and --animate"
        )
    if keeping.in_place and len(strengths) > 1:
        raise UsageError("--in-place would put a strip over the picture: give one --strength")
    keeping.guard(animate, sliders, debug_crop)
    if sliders:
        if len(inputs) > 1 or output or animate or expression or slides or like:
            raise UsageError("--sliders takes one picture file, and names the file that is written")
        changing = Changing(translator, "", strengths, keeping)
        return _slider_sheet(changing, Path(inputs[0]), sliders)
    if like and (expression is not None or slides):
        raise UsageError("--like says what to make: leave out --expr and --slide")
    if like and is_video(like):
        if len(inputs) > 1 or len(strengths) > 1 or animate or debug_crop:
            raise UsageError("--like with a video takes one photo, with one --strength")
        return _film(Changing(translator, "", strengths, keeping), Path(inputs[0]), like, output)
    target, label = _target(translator, expression, slides, like)
    translator.changer(target)  # an unknown name must not wait for the pictures
    if (animate or debug_crop) and several:
        raise UsageError("--animate and --debug-crop take one picture file")
    if animate and output:
        raise UsageError("--animate names the file that is written: leave out -o")
    changing = Changing(translator, target, strengths, keeping)
    if inputs == ("-",):
        running.show(translator.computed_by(target))
        return _pipe(changing, output)
    if "-" in inputs:
        raise UsageError("- stands alone: give one pipe, or files and folders")
    if moving:
        if len(inputs) > 1 or len(strengths) > 1 or animate or debug_crop:
            raise UsageError("a video stands alone, with one --strength and no --animate")
        running.show(translator.computed_by(target))
        return _video(changing, Path(inputs[0]), label, output)
    files = [Path(path) for path in inputs]
    jobs = plan_jobs(files, output, label, keeping.in_place)
    if not animate:
        for job in jobs:
            keeping.refuse_in_place(job.input, job.output)
    running.show(translator.computed_by(target))
    if debug_crop:
        _write_crops(changing, jobs[0].input, debug_crop)
    if animate:
        return _animate(changing, jobs[0].input, animate)
    if not several:
        return _one(changing, jobs[0])
    return _batch(changing, files, jobs)


def _one(changing: Changing, job: Job) -> int:
    changing.keeping.guard(job.output)
    made = changing.file(job.input, job.output)
    write_bytes(job.output, made.content, job.within)
    say(f"wrote {job.output}{_found_by(changing)}")
    for note in made.notes:
        say(f"note: {job.input}: {note}")
    return 0


def _batch(changing: Changing, files: list[Path], jobs: list[Job]) -> int:
    """Change many pictures; what cannot be, and what is not tried, is counted and named."""
    keeping = changing.keeping
    wanted = [job for job in jobs if not (keeping.no_overwrite and job.output.exists())]
    replacing = {job for job in wanted if keeping.replaces(job.output)}
    notes: dict[Path, tuple[str, ...]] = {}

    def end(job: Job, make: Callable[[], Made]) -> None:
        made = make()
        write_bytes(job.output, made.content, job.within)
        notes[job.input] = made.notes

    def begin(job: Job) -> Begun:
        return changing.begun(job.input, job.output)

    def work(job: Job) -> None:
        end(job, lambda: changing.file(job.input, job.output))

    together = changing.translator.together
    load_for(len(wanted))
    with progress("applying") as update:
        if together > 1:
            failures = run_together(wanted, begin, changing.changed, end, update, together)
        else:
            failures = run_jobs(wanted, work, update)
    there = len(jobs) - len(wanted)
    rest = [left_out(files, jobs), f"{there} exist already" if there else ""]
    replaced = len(replacing.difference(job for job, _ in failures))
    rest.append(f"{replaced} replaced what was there" if replaced else "")
    code = _summary(wanted, failures, "; ".join([_found_by(changing), *filter(None, rest)]))
    for job in wanted:
        for note in notes.get(job.input, ()):
            say(f"note: {job.input}: {note}")
    return code


def _default_model() -> str | Path:
    chosen = default_model()
    if chosen != DEFAULT:
        say(f"using ./{chosen}")
    return chosen


def _target(
    translator: Translator, expression: str | None, slides: tuple[str, ...], like: Path | None
) -> tuple[Target, str]:
    """What is asked for, and the word that it adds to file names."""
    if like:
        return translator.likeness(like), name_part(f"like-{like.stem}")
    if slides:
        numbers = dict(map(_slide, slides))
        label = name_part("-".join(slides))
        if expression is None:
            return numbers, label
        if expression not in translator.sliders:
            raise UsageError("--expr and --slide both say what to make: give one of them")
        return {expression: 1.0, **numbers}, name_part(f"{expression}-{label}")
    if expression is None:
        known = translator.changes
        if not known:
            translator.changer("")  # says what else the model does
        if len(known) != 1:
            raise UsageError(f"say what to make with --expr: one of {', '.join(known)}")
        expression = known[0]
    name = translator.canonical(expression)
    return name, name_part(name)


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
    from pixelreg.pictures.sheet import SLIDER_STEPS, slider_sheet

    translator, strength = changing.translator, changing.strengths[0]
    format_of(output)  # a wrong name must not wait for the sheet
    changing.keeping.guard(output)
    if not translator.sliders:
        raise UsageError("this model takes the names of expressions, and no numbers")
    picture = changing.read(path)
    ready, sliders = translator.ready(picture, path), translator.sliders
    cells = count()
    with progress("moving") as update:

        def moved(target: Mapping[str, float]) -> Pixels:
            update(next(cells), len(sliders) * SLIDER_STEPS)
            return ready(target).at(strength).pixels

        sheet = slider_sheet(moved, sliders)
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


def _film(changing: Changing, path: Path, clip: Path, output: str | None) -> int:
    from pixelreg.video.drive import drive, film_of

    keeping = changing.keeping
    if keeping.in_place or keeping.strip_metadata or keeping.strip_gps:
        raise UsageError("--in-place and what strips metadata are for pictures, and a film is none")
    if str(path) == "-" or path.is_dir() or is_video(path):
        raise UsageError(f"--like with a video takes one photo, not {path}")
    made = film_of(path, clip, output)
    keeping.guard(made)
    for source in (path, clip):
        keeping.refuse_in_place(source, made)
    photo = changing.read(path)
    with progress("driving") as update:
        report = drive(changing.translator, photo, path, clip, made, changing.strengths[0], update)
    for note in (*photo.notes, *report.notes):
        say(f"note: {path}: {note}")
    say(f"wrote {made}: {report.frames} frames; {clip} shows no face in {report.without_face}")
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
    made = changing.encoded(sys.stdin.buffer.read(MOST_BYTES + 1), name, format=format)
    if file is None:
        sys.stdout.buffer.write(made.content)
    else:
        write_bytes(file, made.content)
    for note in made.notes:
        say(f"note: {name}: {note}")
    return 0


def _found_by(changing: Changing) -> str:
    used = changing.translator.locator.detector_used  # the model may look by one of its own
    return f" (face found by the {used} detector)" if used else ""


def _summary(jobs: list[Job], failures: list[tuple[Job, str]], note: str) -> int:
    done = len(jobs) - len(failures)
    where = _where(jobs) if done else ""
    say(f"{done} of {len(jobs)} pictures changed{where}{note}")
    for job, reason in failures:
        say(f"failed: {reason}" if str(job.input) in reason else f"failed: {job.input}: {reason}")
    return 1 if failures else 0


def _where(jobs: list[Job]) -> str:
    if all(job.output == job.input for job in jobs):
        return " in place"
    beside = all(job.output.parent == job.input.parent for job in jobs)
    return ", each beside its original" if beside else f" into {jobs[0].folder}"
