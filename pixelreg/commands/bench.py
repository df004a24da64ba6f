"""``pixelreg bench``: the papers' tables measured on one's own pictures, as a page."""

from __future__ import annotations

import importlib.util
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from pixelreg.bench import OF_MODELS, TABLES, TRAINED, table_of
from pixelreg.commands import options
from pixelreg.commands.console import progress, report, say
from pixelreg.errors import PixelregError, UnknownNameError, UsageError

LEAST, MOST = 8, 198  # drawn people
TITLE = "What models make of faces, measured"
QUICK = (
    "Quick: one split of the people instead of four, fewer rounds of times, and networks that "
    "learn for a few steps: their rows show that everything works, not which is better."
)


class Bar:
    """Progress of the table that is being measured, whichever that is."""

    def __init__(self) -> None:
        self.shown: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self.shown is not None:
            self.shown(done, total)


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return _possible()
    names = tuple(filter(None, value.split(",")))
    if not names:
        raise UsageError(f"--tables names none; choose among {', '.join(TABLES)}")
    for name in names:
        if name not in TABLES:
            raise UnknownNameError("table", name, TABLES)
    # In the house's order: what later tables import must not change what the times are of.
    return tuple(name for name in TABLES if name in names)


def _possible() -> tuple[str, ...]:
    """All tables, but those that train networks where what they train with is not there."""
    left = [] if _installed("torch") else list(TRAINED)
    if left:
        say(f"without {', '.join(left)}: they train networks, which the extra train brings")
    elif not _installed("cv2", "sklearn"):
        left = ["ocnn"]
        say("without ocnn: it learns blendshapes, which the extra shapes brings")
    return tuple(name for name in TABLES if name not in left)


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in modules)


@click.command()
@click.argument("more", nargs=-1, metavar="[MODEL...]")
@click.option(
    "--data",
    multiple=True,
    type=options.FOLDER,
    help="Folder (or CSV table) of pictures; repeated, several sets are pooled. "
    "[default: drawn faces]",
)
@options.layout
@options.source
@click.option("--expr", "target", default="happy", show_default=True, help="What is made.")
@click.option(
    "--models",
    "--model",
    "models",
    multiple=True,
    help="A kind that is fitted here (rr, kr, mr, lsrf, full, flow), perhaps with settings "
    "(kr:sigma=1), rig, a model file ({expr} in its name stands for the "
    "expression), or all; several with commas between, too. [default: all]",
)
@click.option(
    "--tables",
    callback=_names,
    metavar="NAMES",
    help=f"Which, separated by commas: {', '.join(TABLES)}. [default: all]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Judge the people whom fit and train leave out by this --holdout and --seed, for files "
    "that were made so; 0 takes folds.",
)
@click.option("--quick", is_flag=True, help="One split of the people, fewer rounds: minutes.")
@options.integer("--size", 32, 512, 128, "Side of the crops in pixels.")
@options.integer("--people", LEAST, MOST, 40, "How many faces are drawn without --data.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides who is judged.")
@click.option(
    "--outside",
    multiple=True,
    type=options.FILE,
    help="A picture from elsewhere for the table of that name. [default: a composite face]",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    metavar="NAME=FILE.py:FUNCTION",
    help="A score of your own: the function takes pictures made, true ones and inputs, each "
    "(N, H, W, 3) uint8, and gives N numbers.",
)
@click.option(
    "--features",
    type=options.FILE,
    help="An .npz of features (N, D) by model, and of true pictures as truth: FID and KID.",
)
@click.option("--pictures", is_flag=True, help="Write what all models make of all judged people.")
@options.provider("What runs ONNX models, but in the table of times, which asks both")
@click.option(
    "--portraits",
    type=options.FOLDER,
    help="Portraits with masks for the table of that name: of pixelreg data masks, or "
    "CelebAMask-HQ. [default: made of the first --data, if landmarks lie beside its photos]",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Steps of every network that a table trains. [default: the table's, which it tells]",
)
@click.option(
    "--networks",
    is_flag=True,
    help="Time the papers' networks as well, with random weights (extra train); not "
    "with --quick, they see 1280 x 720 too, and take gigabytes.",
)
@options.locating
@options.output(click.Path(file_okay=False, path_type=Path), "report", "Folder to write to.")
@options.as_json
def bench(
    more: tuple[str, ...],
    target: str,
    models: tuple[str, ...],
    tables: tuple[str, ...],
    quick: bool,
    judges: tuple[str, ...],
    features: Path | None,
    pictures: bool,
    output: Path,
    as_json: bool,
    **asked: Any,
) -> int:
    """Measure models as the papers do, on your pictures: tables, curves and sheets on one page.

    Kinds are fitted to three quarters of the people and judged on the others. A model file may have
    seen the people whom it is judged on, which flatters it.

    \b
    Examples:
      pixelreg bench --quick
      pixelreg bench --data london/ --tables sizes,quality -o report/
      pixelreg bench --data london/ --models rr kr:sigma=1 smile.onnx
      pixelreg bench --data london/ --tables ocnn,sketch --steps 2000
    """
    from pixelreg.bench import page, plots
    from pixelreg.bench.models import words_of
    from pixelreg.bench.quality import write_pictures
    from pixelreg.bench.setting import Setting
    from pixelreg.data.expressions import canonical

    page.check()
    plots.check()
    _check_folder(output)
    chosen, bar = words_of(models + more) or ("all",), Bar()
    with TemporaryDirectory() as scratch:
        setting = Setting(
            scratch=Path(scratch),
            models=chosen,
            target=canonical(target),
            quick=quick,
            judges=dict(map(_judge, judges)),
            features=_features(features),
            update=bar,
            **asked,
        )
        # What cannot be judged, or is unknown, is told before the work.
        told = f"{setting.told()}. {QUICK}" if quick else setting.told()
        made = page.Report(output, TITLE, told, tables)
        if not set(OF_MODELS).isdisjoint(tables):
            setting.taking_part  # noqa: B018
        _measure(made, setting, bar)
        if pictures:
            count = write_pictures(setting, output / "pictures")
            say(f"wrote {count} pictures to {output / 'pictures'}")
    text = "\n\n".join(f"{table.title}\n{table.text()}" for table in made.tables)
    facts = {
        "report": str(made.path),
        "tables": [table.facts() for table in made.tables],
        "failed": made.failed,
        "missing": setting.missing,
    }
    files = 1 + sum(1 + len(table.figures) for table in made.tables)
    notes = [f"wrote {made.path}, and {files} files beside it"]
    if made.failed:
        notes += [f"not measured: {', '.join(made.failed)}; the page says why"]
    notes += [f"without {model}: {reason}" for model, reason in setting.missing.items()]
    report(facts, as_json, text, *notes)
    return 1 if made.failed or setting.missing else 0


def _check_folder(output: Path) -> None:
    """Refuse what cannot be written to before hours of measuring, not after."""
    above = next(each for each in (output, *output.absolute().parents) if each.exists())
    if not above.is_dir():
        raise UsageError(f"{above} is a file; -o takes a folder")
    if not os.access(above, os.W_OK):
        raise UsageError(f"nothing can be written into {above}; name another folder with -o")


def _measure(made: Any, setting: Any, bar: Bar) -> None:
    """All tables, each on the page as soon as it is there; what fails does not end the others."""
    command = _command(click.get_current_context())
    try:
        for name in made.wanted:
            try:
                table = _measured(name, setting, bar, command)
            except (PixelregError, MemoryError) as error:
                if len(made.wanted) == 1:
                    raise
                reason = str(error) if isinstance(error, PixelregError) else "out of memory"
                say(f"failed: {name}: {reason}")
                made.fail(name, reason)
            else:
                made.add(table)
    except KeyboardInterrupt:
        made.stop()
        if not made.tables:
            raise
        done = ", ".join(table.name for table in made.tables)
        raise PixelregError(
            f"stopped before the end; what there is ({done}) is in {made.path}"
        ) from None


def _measured(name: str, setting: Any, bar: Bar, command: Sequence[str]) -> Any:
    """A table, with the command that makes it again."""
    measure = table_of(name)
    say(f"measuring {name}")
    started = time.perf_counter()
    with progress(f"measuring {name}") as update:
        bar.shown = update
        table = measure(setting)
        bar.shown = None
    again = shlex.join([*command, "--tables", name])
    return replace(table, command=again, seconds=time.perf_counter() - started)


def _command(context: click.Context) -> list[str]:
    """The options that were given, but for which tables, as they are typed."""
    words = ["pixelreg", "bench"]
    for param in context.command.params:
        given = context.get_parameter_source(str(param.name))
        if given is None or given.name != "COMMANDLINE" or param.name in ("tables", "as_json"):
            continue
        value: Any = context.params.get(str(param.name))
        if param.name == "models":
            value = (*value, *context.params["more"])  # ``--models rr kr``
        elif param.name == "more" and context.params["models"]:
            continue
        words += _words(param, value)
    return words


def _words(param: click.Parameter, value: Any) -> list[str]:
    name = max(param.opts, key=len)
    if isinstance(param, click.Argument):
        return [str(each) for each in value]
    if getattr(param, "is_flag", False):
        return [name] * bool(value)
    many = value if isinstance(value, tuple) else (value,)
    return [word for each in many for word in (name, str(each))]


def _judge(text: str) -> tuple[str, Any]:
    """A judge's name and function, of ``NAME=FILE.py:FUNCTION``."""
    name, _, where = text.partition("=")
    file, _, function = where.rpartition(":")
    if not (name and function and file.endswith(".py")):
        raise UsageError(f"--judge takes NAME=FILE.py:FUNCTION, not {text!r}")
    spec = importlib.util.spec_from_file_location(f"judge_{name}", file)
    if not Path(file).is_file() or spec is None or spec.loader is None:
        raise UsageError(f"--judge {name}: there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return name, getattr(module, function)
    except Exception as error:  # it is somebody else's, and may raise anything
        raise UsageError(f"--judge {name}: {type(error).__name__}: {error}") from error


def _features(file: Path | None) -> dict[str, Any]:
    import numpy as np

    if file is None:
        return {}
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{file} is no .npz of arrays: {error}") from error
