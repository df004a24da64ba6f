"""What ``pixelreg train`` tells: losses while it goes on, scores and pictures at its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from deep_onnx.file import read_card
from deep_onnx.model import open_generator
from deep_onnx.translator import OnnxTranslator, load
from pixelreg.arrays import Pixels
from pixelreg.commands.console import give, give_json, say
from pixelreg.commands.fit_report import SHEET_ROWS
from pixelreg.evaluation.comparison import Scores, compare, table
from pixelreg.evaluation.comparison import as_json as scores_as_json
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode
from pixelreg.pictures.sheet import contact_sheet

if TYPE_CHECKING:
    from deep_onnx.commands.train import Request
    from deep_onnx.export import Exported
    from deep_onnx.training.data import Examples
    from deep_onnx.training.loop import Moment, Trained

SECONDS = 10.0  # between two lines where there is no terminal, at the least
PARTS = 1000  # of a progress bar
GENERATED = 6  # columns of a sheet of generated pictures
CHUNK = 8  # pictures at a time
TIMED = 5  # runs


@contextmanager
def watching(name: str) -> Iterator[Callable[[Moment], None]]:
    """A progress bar with losses on a terminal; elsewhere a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    shown: list[Moment] = []

    def losses(_: Any) -> str:
        return _losses(shown[-1].train) if shown else ""

    with click.progressbar(
        length=PARTS, label=f"training {name}", file=sys.stderr, item_show_func=losses
    ) as bar:

        def update(moment: Moment) -> None:
            shown[:] = [moment]
            bar.update(round(PARTS * moment.progress) - bar.pos, moment)

        yield update


class _Lines:
    """A line whenever held-out people were looked at, but not too often."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    def __call__(self, moment: Moment) -> None:
        ended = moment.progress >= 1
        if moment.validation is None or (time.monotonic() < self._due and not ended):
            return
        self._due = time.monotonic() + SECONDS
        line = f"  step {moment.step} ({100 * moment.progress:.0f} %): {_losses(moment.train)}"
        if moment.validation:
            line += f"; held out: {_losses(moment.validation)}"
        say(line)


def _losses(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def report(
    request: Request,
    trained: Trained,
    step: int,
    files: Sequence[Exported],
    examples: Examples,
    held_out: Examples,
) -> None:
    """Judge the main model on held-out people, and tell of everything that was written."""
    main = files[0].path
    rows: list[Scores] = []
    milliseconds: float | None = None
    sheet: Pixels | None = None
    task = read_card(main).task
    shown = held_out if len(held_out.pictures) else examples
    if task == "translate":
        translator = load(main, provider="cpu", threads=request.threads, trusted=True)
        assert isinstance(translator, OnnxTranslator)
        rows, columns, labels = judge(translator, request.name, held_out)
        milliseconds = latency(translator, shown.pictures[:1])
        if not columns:
            columns, labels = unjudged(translator, shown)
        sheet = contact_sheet(columns, labels) if columns else None
    elif task == "generate":
        generator = open_generator(main, provider="cpu", threads=request.threads, trusted=True)
        noise = generator.noise(GENERATED * SHEET_ROWS, request.arguments.seed)
        made = generator.invent(noise)
        sheet = contact_sheet([("", list(made[k::GENERATED])) for k in range(GENERATED)])
    else:
        sheet = contact_sheet(trained.algorithm.sample(shown))
    sheet_file = _write_sheet(sheet, request.output)
    facts = {
        "architecture": request.name,
        "model": str(main),
        "files": {
            str(file.path): {
                "bytes": file.bytes, "parameters": file.parameters, "parity": file.parity
            }
            for file in files
        },
        "run": str(request.folder),
        "sheet": None if sheet_file is None else str(sheet_file),
        "settings": asdict(request.arguments),
        "steps": trained.progress.step,
        "exported_step": step,
        "best_step": trained.progress.best_step if trained.progress.best is not None else None,
        "seconds": round(trained.progress.seconds, 1),
        "milliseconds_a_picture": milliseconds,
        "pairs": {target: len(stack.pairs) for target, stack in examples.stacks.items()},
        "held_out": scores_as_json(rows),
    }  # fmt: skip
    write_bytes(request.folder / "report.json", json.dumps(facts, indent=2).encode())
    if request.as_json:
        give_json(facts)
        return
    if rows:
        say("held-out people:")
        give(table(rows))
    seconds = trained.progress.seconds
    say(f"{trained.progress.step} steps in {seconds:.0f} s; exported those of step {step}")
    for file in files:
        say(
            f"wrote {file.path} ({file.parameters:,} parameters, {file.bytes / 1024:.0f} KiB, "
            f"{file.parity:.1e} off PyTorch)"
        )
    if milliseconds is not None:
        say(f"  {milliseconds:.1f} ms a picture on the processor")
    if sheet_file is not None:
        say(f"wrote {sheet_file}")
    say(f"wrote {request.folder} (losses, samples, checkpoints)")


Columns = list[tuple[str, Sequence[Pixels]]]


def judge(
    translator: OnnxTranslator, name: str, held_out: Examples
) -> tuple[list[Scores], Columns, list[str]]:
    """Scores of held-out pairs, and columns and row labels of a sheet of the first of them."""
    rows: list[Scores] = []
    pictures: dict[str, list[Pixels]] = {"input": [], "made": [], "truth": []}
    labels: list[str] = []
    for target, stack in held_out.stacks.items():
        if not stack.pairs:
            continue
        made = in_chunks(translator, target, stack.sources)
        rows += compare(target, stack.sources, stack.targets, {f"pixelreg {name}": made})
        for column, stacked in zip(
            pictures.values(), (stack.sources, made, stack.targets), strict=True
        ):
            column.extend(stacked[:SHEET_ROWS])
        labels += [f"{target} {person}" for person in stack.people[:SHEET_ROWS]]
    return rows, list(pictures.items()) if labels else [], labels


def unjudged(translator: OnnxTranslator, shown: Examples) -> tuple[Columns, list[str]]:
    """Columns and row labels of a sheet where the truth is not known."""
    sources = shown.showing(shown.source)[:SHEET_ROWS]
    if not len(sources):
        return [], []
    columns: Columns = [("input", list(sources))]
    for target in translator.targets:
        columns.append((target, list(in_chunks(translator, target, sources))))
    who = [p for p, label in zip(shown.people, shown.labels, strict=True) if label == shown.source]
    return columns, who[:SHEET_ROWS]


def in_chunks(translator: OnnxTranslator, target: str, pictures: Pixels) -> Pixels:
    """`OnnxTranslator.run` a few pictures at a time, so that memory does not grow."""
    starts = range(0, len(pictures), CHUNK)
    return np.concatenate([translator.run(target, pictures[k : k + CHUNK]) for k in starts])


def latency(translator: OnnxTranslator, picture: Pixels) -> float:
    """Milliseconds that one picture takes, the median of some runs after a first one."""
    seconds = []
    for _ in range(1 + TIMED):
        start = time.perf_counter()
        translator.run(translator.targets[0], picture)
        seconds.append(time.perf_counter() - start)
    return round(1000 * float(np.median(seconds[1:])), 2)


def _write_sheet(sheet: Pixels | None, output: Path) -> Path | None:
    if sheet is None:
        return None
    path = output.with_name(f"{output.stem}-sheet.png")
    write_bytes(path, encode(Picture(sheet), "PNG"))
    return path
