"""``pixelreg study``: a blind page that asks people which pictures are best, and its tally."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from pixelreg.api import LOADERS
from pixelreg.commands import options
from pixelreg.commands.console import progress, report, say
from pixelreg.errors import DataError, PixelregError, UsageError
from pixelreg.evaluation.comparison import format_table
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.models import NAMED
from pixelreg.pictures.image import read_file
from pixelreg.pictures.sheet import reduced
from pixelreg.study import build as making
from pixelreg.study import tally as counting


@click.group()
def study() -> None:
    """Ask people which model's pictures are best, without telling them whose they see."""


@study.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--models",
    "--model",
    "files",
    multiple=True,
    help="Model file, rig, flow or rr; repeat it, or put more of them among the photos.",
)
@click.option("--expr", "expression", required=True, help="The expression that is made.")
@options.integer("--side", 64, 1024, 320, "Longest side of the pictures shown, in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Mixes the pictures.")
@options.locating_faces
@options.running
@options.output(click.Path(file_okay=False, path_type=Path), "study", "Folder to write to.")
def build(
    inputs: tuple[str, ...],
    files: tuple[str, ...],
    expression: str,
    side: int,
    seed: int,
    locator: Locator,
    running: options.Running,
    output: Path,
) -> None:
    """Write a page that shows what models make of photos, mixed and without names, and its key.

    Give raters study.html, one file that works offline, also on phones; keep key.json to yourself.
    Each rater saves a file of answers, and `pixelreg study collect` counts them.

    \b
    Example:
      pixelreg study build one.jpg two.jpg --models rig flow --expr happy -o study/
    """
    words = [*files, *(word for word in inputs if _is_model(word))]
    photos = [Path(word) for word in inputs if not _is_model(word)]
    if len(words) < 2 or not photos:
        raise UsageError("a study needs a photo, and two models to choose between")
    models = {_label(word, words): running.load(word, locator) for word in words}
    trials = []
    with progress("making pictures") as update:
        for done, path in enumerate(photos, 1):
            trials.append(_trial(path, models, expression, side))
            update(done, len(photos))
    page, key = making.build(trials, expression, seed)
    write_bytes(output / making.KEY, (json.dumps(key, indent=1) + "\n").encode())
    write_bytes(output / making.PAGE, page.encode())
    say(f"wrote {output / making.PAGE}, for raters, and {output / making.KEY}, for you alone")


@study.command()
@click.argument("answers", nargs=-1, required=True, type=options.FOLDER, metavar="ANSWERS...")
@click.option("--key", type=options.FILE, required=True, help="The study's key.json.")
@click.option("--csv", "table", type=options.NEW_FILE, help="Write the shares as CSV, too.")
@options.as_json
def collect(answers: tuple[Path, ...], key: Path, table: Path | None, as_json: bool) -> None:
    """Count raters' answers: shares with 95 % intervals, and how far raters agree.

    ANSWERS are the files that raters saved, or folders of them.

    \b
    Example:
      pixelreg study collect answers/*.json --key study/key.json
    """
    known = counting.read_key(key)
    paths = [each for path in answers for each in _files(path)]
    if not paths:
        raise DataError("there are no answers: the folder has no .json")
    some = [(path, counting.read_answers(path, known)) for path in paths]
    found = counting.tally(counting.once_each(some), known)
    if table is not None:
        write_bytes(table, _csv(found).encode())
        say(f"wrote {table}")
    report(found.facts(), as_json, _text(found), *_notes(found))


def _is_model(word: str) -> bool:
    return word in NAMED or Path(word).suffix.lower() in LOADERS


def _label(word: str, words: Sequence[str]) -> str:
    """The stem of a model's file, or all of its name where two are called alike."""
    stems = [Path(each).stem for each in words]
    if len(set(words)) < len(words):
        raise UsageError(f"{word} is given twice")
    return Path(word).stem if stems.count(Path(word).stem) == 1 else word


def _trial(path: Path, models: dict[str, Any], expression: str, side: int) -> making.Trial:
    """A photo and what models make of it, all or none: a gap would tell who made it."""
    picture = read_file(path)
    made = {}
    for name, model in models.items():
        try:
            changed = model.translate_picture(picture, expression, path=path)
        except PixelregError as error:
            raise DataError(f"{path}, by {name}: {error}") from error
        made[name] = np.asarray(reduced(changed.pixels, side))
    before = np.asarray(reduced(picture.pixels, side))
    for name, pixels in made.items():
        alike = [k for k, other in made.items() if k > name and np.array_equal(pixels, other)]
        alike += ["the photo"] * np.array_equal(pixels, before)
        if alike:
            say(f"note: {path}: {name} gives the same picture as {', '.join(alike)}")
    return making.Trial(path.name, before, made)


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _text(found: counting.Tally) -> str:
    cells = [("question", "model", "chosen", "asked", "share", "95 %")]
    cells += [
        (
            *(each.question, each.model, str(each.chosen), str(each.asked)),
            *(f"{each.share:.2f}", f"{each.low:.2f} to {each.high:.2f}"),
        )
        for each in found.shares
    ]
    agreed = [("agreement", "", "alpha", "kappa")]
    agreed += [
        (name, "", _number(value), _number(found.kappa[name]))
        for name, value in found.alpha.items()
    ]
    return f"{format_table(cells)}\n\n{format_table(agreed)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _notes(found: counting.Tally) -> list[str]:
    notes = [
        f"{found.raters} raters, {found.answers} answers",
        "intervals are Wilson's, as if no two answers were one rater's: of few raters who answer "
        "much, they are too narrow; alpha is Krippendorff's, kappa Fleiss'",
    ]
    if found.missing:
        notes.insert(1, f"{found.missing} answers are missing: some raters stopped before the end")
    return notes


def _csv(found: counting.Tally) -> str:
    file = io.StringIO()
    rows = [share.__dict__ for share in found.shares]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
