"""``pixelreg train``: a command for each architecture, made from its dataclass of arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, fields, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from deep_onnx.registry import ARCHITECTURES
from pixelreg.commands import options
from pixelreg.commands.console import progress as reading_bar
from pixelreg.commands.console import report_problems, say, show_found
from pixelreg.commands.main import LazyGroup
from pixelreg.errors import MissingExtraError, PixelregError, UsageError, need

if TYPE_CHECKING:
    from deep_onnx.export import Exported
    from deep_onnx.training.algorithm import Algorithm
    from deep_onnx.training.data import Examples, Loaded
    from deep_onnx.training.loop import Run, Schedule, Trained
    from pixelreg.faces.locate import Locator

LENGTHS = {"steps", "epochs", "minutes"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")  # after the training; told before it


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    name : of the architecture; algorithm : its class; arguments : its dataclass.
    data, layout, views, source, expressions, locator : where the pictures are, and which.
    holdout, keep, validate_every, sample_every, device, threads, resume, output, as_json : see
        ``pixelreg train ARCH --help``.
    """

    name: str
    algorithm: type[Algorithm]
    arguments: Any
    data: tuple[Path, ...]
    layout: str
    views: tuple[str, ...]
    source: str | None
    expressions: tuple[str, ...]
    locator: Locator
    steps: int | None
    epochs: int | None
    minutes: float | None
    holdout: float
    keep: str
    validate_every: int | None
    sample_every: int | None
    device: str
    threads: int | None
    resume: bool
    output: Path
    as_json: bool

    @property
    def folder(self) -> Path:
        """Where losses, samples and checkpoints go."""
        return self.output.with_name(f"{self.output.stem}-run")


def run(request: Request) -> None:
    """Train, export, judge, and tell."""
    import torch

    from deep_onnx.commands import train_report
    from deep_onnx.training.loop import load_best, train

    for package in NEEDED:
        if find_spec(package) is None:
            raise MissingExtraError(package, "train", "exporting to ONNX")
    schedule = _schedule(request)
    device = _device(request.device)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    examples, held_out = _examples(request)
    run = _run(request, schedule, device)
    with train_report.watching(request.name) as watch:
        run = replace(run, watch=watch)
        trained = train(request.algorithm, request.arguments, examples, held_out, run)
    if not trained.progress.finished:
        raise PixelregError(
            f"stopped after {trained.progress.step} steps; nothing of them is lost: "
            "repeat the command with --resume to go on"
        )
    step = load_best(trained, run) if request.keep == "best" else trained.progress.step
    files = _export(request, trained, examples, held_out, step)
    train_report.report(request, trained, step, files, examples, held_out)


def _run(request: Request, schedule: Schedule, device: str) -> Run:
    from deep_onnx.training.loop import Run

    if find_spec("matplotlib") is None:
        say("  (no curves: losses.png needs Matplotlib: python -m pip install 'pixelreg[train]')")
    say(f"  training on {device} for {schedule}; what it leaves goes to {request.folder}")
    return Run(
        request.folder,
        schedule,
        request.name,
        request.resume,
        request.validate_every,
        request.sample_every,
        device=device,
    )


def _schedule(request: Request) -> Schedule:
    from deep_onnx.training.loop import DEFAULT_MINUTES, Schedule

    given = (request.steps, request.epochs, request.minutes)
    if all(value is None for value in given):
        return Schedule(minutes=DEFAULT_MINUTES)
    if sum(value is not None for value in given) > 1:
        raise UsageError("--steps, --epochs and --minutes all say how long: give one of them")
    return Schedule(*given)


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise PixelregError(
            "no CUDA: PyTorch finds no NVIDIA GPU here, or is the build without CUDA"
        )
    return (
        "cuda" if wanted == "auto" and torch.cuda.is_available() else wanted.replace("auto", "cpu")
    )


def _examples(request: Request) -> tuple[Examples, Examples]:
    from deep_onnx.training.data import Learns, split

    loaded = (_portraits if request.algorithm.learns is Learns.MASKS else _pictures)(request)
    total = len(loaded.examples.pictures) + len(loaded.problems)
    report_problems(loaded.problems, total, "pairs or pictures")
    aligned = "centre squares" if loaded.examples.frame is None else "aligned by the eyes"
    examples, held_out = split(loaded.examples, request.holdout, request.arguments.seed)
    say(
        f"  learning from {len(set(examples.people))} people ({len(examples.pictures)} pictures, "
        f"{aligned}), {len(set(held_out.people))} held out"
    )
    return examples, held_out


def _pictures(request: Request) -> Loaded:
    from deep_onnx.training.data import Learns, choose, load_examples
    from pixelreg.data.pools import scan_all

    pairs = request.algorithm.learns is not Learns.PICTURES
    listing = scan_all(request.data, request.layout, pairs, request.views)
    choice = choose(
        request.algorithm.learns, listing, request.source, request.expressions, request.name
    )
    show_found(listing, dict(choice.pairings))
    with reading_bar("reading") as update:
        return load_examples(listing, choice, request.arguments.size, request.locator, update)


def _portraits(request: Request) -> Loaded:
    from deep_onnx.portrait.portraits import load_portrait_examples

    if request.source or request.expressions or request.layout != "auto":
        raise UsageError(f"{request.name} knows no expressions: leave out --layout, --from, --expr")
    if len(request.data) > 1 or request.views:
        raise UsageError(f"{request.name} takes one folder of portraits: --data once, no --views")
    with reading_bar("reading") as update:
        return load_portrait_examples(request.data[0], request.arguments.size, update)


def _settings(arguments: Any) -> dict[str, Any]:
    """The arguments, without those that are paths on this computer."""
    local = {item.name for item in fields(arguments) if item.metadata.get("local")}
    return {name: value for name, value in asdict(arguments).items() if name not in local}


def _export(
    request: Request, trained: Trained, examples: Examples, held_out: Examples, step: int
) -> list[Exported]:
    import numpy as np

    from deep_onnx.export import export_onnx

    shown = held_out if len(held_out.pictures) else examples
    notes = {"steps": step, "settings": _settings(request.arguments)}
    return [
        export_onnx(
            export,
            request.output.with_name(f"{request.output.stem}{export.suffix}.onnx"),
            examples.provenance,
            notes,
            np.ascontiguousarray(shown.pictures[:3]),
        )
        for export in trained.algorithm.exports()
    ]


class Architectures(LazyGroup):
    """A group that lists architectures, and builds an architecture's command when it is called."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of(cmd_name) if cmd_name in self.lazy else None


@click.group(cls=Architectures, lazy={name: (a.home, a.help) for name, a in ARCHITECTURES.items()})
def train() -> None:
    """Train a deep model on a folder of pictures, and export it as ONNX.

    Some people are held out: they choose the best checkpoint, and the scores are theirs. Losses,
    curves, sample sheets and checkpoints go to a folder beside the model.

    \b
    Examples:
      pixelreg train pix2pix --data london/ --expr happy --size 64 --width 16 --minutes 5
      pixelreg train stargan --data KDEF/ --steps 20000 -o faces.onnx
      pixelreg train stargan --data KDEF/ --steps 20000 -o faces.onnx --resume
      pixelreg train pix2pix --help
    """


def command_of(name: str) -> click.Command:
    """The command that trains an architecture."""
    need("torch", "torch", "train", "training")
    module, _, attribute = ARCHITECTURES[name].home.partition(":")
    algorithm = getattr(import_module(module), attribute)
    arguments = fields(algorithm.Arguments)

    def function(preset: str | None = None, **values: Any) -> None:
        if preset:
            _take_papers(name, algorithm.paper, values)
        if not values.pop("align", algorithm.aligned):
            values["locator"] = replace(values["locator"], align=False)
        chosen = {item.name: _checked(item, values.pop(item.name)) for item in arguments}
        run(Request(name, algorithm, algorithm.Arguments(**chosen), **values))

    decorators = (
        *(options.data, options.layout, options.source, options.expressions),
        *(_option(item) for item in arguments),
        *_training_options(name, algorithm),
        *(() if algorithm.aligned else (_align,)),
        options.locating,
        options.as_json,
    )
    return click.command(name, help=_help(name, algorithm))(options.stacked(*decorators)(function))


_align = click.option(
    "--align",
    is_flag=True,
    help="Align pictures by faces, and leave out those without. [default: centre squares]",
)


def _take_papers(name: str, paper: Mapping[str, Any], values: dict[str, Any]) -> None:
    """Put what the paper chose where nothing else was asked for."""
    context = click.get_current_context()
    given = {
        key for key in values if context.get_parameter_source(key) is not ParameterSource.DEFAULT
    }
    taken = {key: value for key, value in paper.items() if key not in given}
    if given & LENGTHS:
        taken = {key: value for key, value in taken.items() if key not in LENGTHS}
    told = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in taken.items())
    say(f"  the paper's settings of {name}: {told or 'all given otherwise'}; others as by default")
    values.update(taken)


def _training_options(name: str, algorithm: Any) -> tuple[Callable[[Any], Any], ...]:
    preset = click.option(
        "--preset",
        type=click.Choice(["paper"]),
        help=f"The paper's settings where nothing else is given: {_told(algorithm.paper)}.",
    )
    return (
        *([preset] if algorithm.paper else []),
        click.option("--steps", type=click.IntRange(1), help="Stop after so many steps."),
        click.option(
            "--epochs", type=click.IntRange(1), help="Stop when everything was seen so often."
        ),
        click.option(
            "--minutes",
            type=click.FloatRange(0, min_open=True),
            help="Stop after so long; how many steps that is, the machine decides. [default: 10]",
        ),
        click.option(
            "--holdout",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.2,
            show_default=True,
            help="Share of people to judge the model on; 0 for none.",
        ),
        click.option(
            "--keep",
            type=click.Choice(["best", "last"]),
            default=algorithm.keep,
            show_default=True,
            help="Which networks to export: those that did best on held-out people, or the last.",
        ),
        click.option(
            "--validate-every",
            type=click.IntRange(1),
            metavar="STEPS",
            help="How often held-out people are looked at. [default: about once an epoch]",
        ),
        click.option(
            "--sample-every",
            type=click.IntRange(1),
            metavar="STEPS",
            default=algorithm.sample_every,
            show_default=algorithm.sample_every is not None,
            help="How often a sample sheet is written."
            + ("" if algorithm.sample_every else " [default: as held-out people are looked at]"),
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="What PyTorch computes on; only cpu gives the same bits every time.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
            help="Threads to compute with; another number may round differently. "
            "[default: PyTorch's]",
        ),
        click.option("--resume", is_flag=True, help="Go on after an interruption."),
        click.option(
            "-o",
            "--output",
            type=options.Output(".onnx", "the model file"),
            default=Path(f"{name}.onnx"),
            show_default=True,
            help="Model file; NAME.onnx gets NAME-sheet.png and the folder NAME-run beside it.",
        ),
    )


def _told(paper: Mapping[str, Any]) -> str:
    return ", ".join(f"--{key.replace('_', '-')} {value}" for key, value in paper.items())


def _help(name: str, algorithm: Any) -> str:
    lines = "\n".join(
        f"  pixelreg train {name} --data DIR {text}" for text in algorithm.examples_of_use
    )
    return (
        f"{ARCHITECTURES[name].help}\n\n"
        "The networks learn from everybody but the held-out people. After an interruption, repeat "
        "the command with --resume.\n\n"
        f"\b\nExamples:\n{lines}"
    )


def _option(item: Field[Any]) -> Callable[[Any], Any]:
    """An option for a field of an architecture's arguments."""
    flag = f"--{item.name.replace('_', '-')}"
    told: dict[str, Any] = {"default": item.default, "help": item.metadata["help"]}
    if isinstance(item.default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, show_default=True, **told)
    if "choices" in item.metadata:
        told["type"] = click.Choice([str(choice) for choice in item.metadata["choices"]])
        told["default"] = str(item.default)
    elif isinstance(item.default, int) and item.name != "seed":
        told["type"] = click.IntRange(1 if item.name in ("size", "width", "batch") else 0)
    elif isinstance(item.default, float):
        told["type"] = click.FloatRange(0)
    else:
        told["type"] = type(item.default)
    return click.option(flag, item.name, show_default=item.default != "", **told)


def _checked(item: Field[Any], value: Any) -> Any:
    """A value of the field's own type; not-a-number passes through click's ranges."""
    kind: Any = type(item.default)
    value = kind(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--{item.name.replace('_', '-')} must be a finite number, not {value}")
    return value
