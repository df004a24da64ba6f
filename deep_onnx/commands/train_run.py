"""What ``pixelreg train`` does: read, train, export, judge, show."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelreg.commands.console import progress as reading_bar
from pixelreg.commands.console import say, show_found
from pixelreg.data.layouts import scan
from pixelreg.errors import MissingExtraError, PixelregError, UsageError
from pixelreg.faces.locate import Locator

if TYPE_CHECKING:
    from deep_onnx.export import Exported
    from deep_onnx.training.algorithm import Algorithm
    from deep_onnx.training.data import Examples, Loaded
    from deep_onnx.training.loop import Run, Schedule, Trained

NEEDED = ("onnx", "onnxscript", "onnxruntime")  # after the training; told before it


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    name : of the architecture; algorithm : its class; arguments : its dataclass.
    data, layout, source, expressions, locator : where the pictures are, and which.
    holdout, keep, validate_every, sample_every, device, threads, resume, output, as_json : see
        ``pixelreg train ARCH --help``.
    """

    name: str
    algorithm: type[Algorithm]
    arguments: Any
    data: Path
    layout: str
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
    for problem in loaded.problems:
        say(f"  warning: left out: {problem.reason}")
    aligned = "centre squares" if loaded.examples.frame is None else "aligned by the eyes"
    examples, held_out = split(loaded.examples, request.holdout, request.arguments.seed)
    say(
        f"  learning from {len(set(examples.people))} people ({len(examples.pictures)} pictures, "
        f"{aligned}), {len(set(held_out.people))} held out"
    )
    return examples, held_out


def _pictures(request: Request) -> Loaded:
    from deep_onnx.training.data import choose, load_examples

    listing = scan(request.data, request.layout)
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
    with reading_bar("reading") as update:
        return load_portrait_examples(request.data, request.arguments.size, update)


def _settings(arguments: Any) -> dict[str, Any]:
    """The arguments, without those that are paths on this computer."""
    local = {item.name for item in fields(arguments) if item.metadata.get("local")}
    return {name: value for name, value in asdict(arguments).items() if name not in local}


def _export(
    request: Request, trained: Trained, examples: Examples, held_out: Examples, step: int
) -> list[Exported]:
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
