"""Every deep model trained on one set on a small budget, judged beside the closed-form ones.

    python -m benchmarks.deep --data ../shared/data/london --runs runs/ --minutes 6

Each row is one call of ``pixelreg train``; its curves, sample sheets and model stay in ``--runs``.
``--only`` trains some rows again; the table is made of all reports that lie in ``--runs``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import store
from deep_onnx.card import Card
from deep_onnx.file import read, read_card
from deep_onnx.session import Session
from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.data.crops import Stack, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.evaluation.comparison import as_json, compare, format_table
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import Recipe, choose_held_out
from pixelreg.models.model import Frame

REPEATS = 15
CLOSED = {"rr": Recipe("rr"), "rr to identity": Recipe("rr", {"alpha": 2.0, "prior": "identity"})}


@dataclass(frozen=True)
class Row:
    """One training: architecture, what it learns, and its options; ``share`` of the minutes."""

    architecture: str
    task: str  # "happy", "sketch", "photo", "masks", or "" for faces from noise
    options: tuple[str, ...]
    share: float = 1.0


SMALL = ("--size", "64", "--width", "16")
# A larger step than the papers, for so few steps.
QUICK = (*SMALL, "--batch", "8", "--learning-rate", "5e-4")
# A stronger whole and a weaker critic than the paper's, for so few steps.
PORTRAIT = (
    *("--size", "128", "--width", "8", "--batch", "4", "--learning-rate", "1e-3"),
    *("--global-weight", "200", "--gan-weight", "0.2"),
)
ROWS = {
    "dense-ae-sketch": Row("dense-ae", "sketch", ("--size", "64", "--batch", "8"), 0.4),
    "cae-sketch": Row("cae", "sketch", ("--size", "256", "--width", "16", "--batch", "8")),
    "cvae-sketch": Row("cvae", "sketch", ("--size", "128", "--width", "16", "--batch", "8"), 0.6),
    "pix2pix-sketch": Row("pix2pix", "sketch", ("--size", "128", "--width", "32")),
    "pix2pix-photo": Row("pix2pix", "photo", ("--size", "128", "--width", "32")),
    "pix2pix-happy": Row("pix2pix", "happy", ("--size", "128", "--width", "32")),
    "cyclegan-sketch": Row("cyclegan", "sketch", QUICK, 1.6),
    "stargan-happy": Row("stargan", "happy", QUICK, 1.6),
    "ganimation-happy": Row("ganimation", "happy", QUICK, 1.6),
    "dcgan": Row("dcgan", "", ("--width", "32", "--batch", "16")),
    "ocnn-happy": Row("ocnn", "happy", ("--size", "128", "--scale", "2"), 1.6),
    "portrait": Row("portrait", "masks", PORTRAIT, 2.2),
}


def main() -> None:
    """Train what is asked for, then measure everything that is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--only", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--provider", default="cpu", help="what runs the models that are timed")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    sketches = arguments.runs / "sketches"
    if not sketches.is_dir():
        _pixelreg("data", "sketch", arguments.data, sketches, "--size", "256")
    portraits = arguments.runs / "portraits"
    if not portraits.is_dir():
        _pixelreg("data", "masks", arguments.data, portraits, "--size", "128")
    folders = {"happy": arguments.data, "": arguments.data, "masks": portraits}
    for name in arguments.only:
        row = ROWS[name]
        _train(row, name, folders.get(row.task, sketches), arguments)
    if arguments.train_only:
        return
    found = {
        name: json.loads(report.read_text())
        for name in ROWS
        if (report := arguments.runs / f"{name}-run" / "report.json").is_file()
    }
    rows = [_facts(name, report, arguments.runs) for name, report in found.items()]
    closed = {
        f"{task} {size}": _closed(data, source, task, size)
        for data, source, task in (
            (arguments.data, "neutral", "happy"),
            (sketches, "photo", "sketch"),
            (sketches, "sketch", "photo"),
        )
        for size in (64, 128)
    }
    _latency(rows, arguments.runs, arguments.provider)
    _print(rows, closed)
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in found:
        curves = arguments.runs / f"{name}-run" / "losses.png"
        shutil.copy(curves, arguments.results / f"deep-{name}.png")
    store(
        arguments.results / "deep.json",
        provider=arguments.provider,
        rows=rows,
        **{"closed form": closed},
    )


def _train(row: Row, name: str, data: Path, arguments: Any) -> None:
    """One call of ``pixelreg train``."""
    minutes = f"{row.share * arguments.minutes:g}"
    which: tuple[object, ...] = ("--data", data)
    if row.task == "happy":
        which += ("--expr", "happy")
    elif row.task in ("sketch", "photo"):
        other = "photo" if row.task == "sketch" else "sketch"
        which += ("--from", other, "--expr", row.task)
    output = arguments.runs / f"{name}.onnx"
    length = ("--minutes", minutes, "--threads", arguments.threads)
    _pixelreg("train", row.architecture, *which, *row.options, *length, "-o", output)


def _pixelreg(*words: object) -> None:
    print("+ pixelreg", *words, flush=True)
    subprocess.run([sys.executable, "-m", "pixelreg", *map(str, words)], check=True)


def _facts(name: str, report: dict[str, Any], runs: Path) -> dict[str, Any]:
    """What a report says, without the names of folders."""
    files = {Path(path).name: facts for path, facts in report["files"].items()}
    kept = ("architecture", "settings", "steps", "exported_step", "seconds", "held_out")
    quantised = runs / f"{name}-int8.onnx"
    if quantised.is_file():
        notes = read_card(quantised).notes
        files[quantised.name] = {"bytes": quantised.stat().st_size, **notes.get("quantised", {})}
    return {"row": name, **{key: report[key] for key in kept}, "files": files}


def _closed(data: Path, source: str, task: str, size: int) -> list[dict[str, Any]]:
    """What `fit`'s models reach on the same held-out people, and the untouched input."""
    listing = scan(data)
    pairs = pair(listing, source, task).pairs
    frame = None if listing.aligned else Frame()
    stack = load_stack(pairs, size, frame, Locator())
    held_out = choose_held_out(stack.people, 0.2, 0)
    learning, judged = (
        stack.select(people) for people in (frozenset(stack.people) - held_out, held_out)
    )
    recipes = {**CLOSED, **({} if frame is None else {"flow": Recipe("flow")})}
    made = {
        name: _made(replace(recipe, size=size), learning, judged)
        for name, recipe in recipes.items()
    }
    return as_json(compare(task, judged.sources, judged.targets, made))


def _made(recipe: Recipe, learning: Stack, judged: Stack) -> Pixels:
    made: Pixels = get_backend().apply(recipe.fit(learning), judged.sources)
    return made


def _latency(rows: list[dict[str, Any]], runs: Path, provider: str) -> None:
    """Milliseconds a picture with one and two threads, all models in turn in one run."""
    work: dict[tuple[str, int], Callable[[], object]] = {}
    for row in rows:
        path = runs / f"{row['row']}.onnx"
        card = read_card(path)
        if card.task == "portrait":
            continue  # it takes more than a picture
        for threads in (1, 2):
            session = Session(read(path), provider, threads)
            work[row["row"], threads] = _call(session, _inputs(card))
    times: dict[tuple[str, int], list[float]] = {key: [] for key in work}
    for _ in range(REPEATS):
        for key, call in work.items():
            call()  # others have emptied the caches and put the threads to sleep
            started = time.perf_counter()
            call()
            times[key].append(1000 * (time.perf_counter() - started))
    for name, threads in work:
        row = next(row for row in rows if row["row"] == name)
        median = round(statistics.median(times[name, threads]), 2)
        row.setdefault("ms a picture", {})[f"{threads} threads"] = median


def _call(session: Session, inputs: dict[str, Any]) -> Callable[[], object]:
    session.run(inputs)
    return lambda: session.run(inputs)


def _inputs(card: Card) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {}
    if card.image_input:
        shape = (1, 3, card.size, card.size)
        made[card.image_input] = rng.uniform(*card.value_range, shape).astype(np.float32)
    if card.condition_input:
        made[card.condition_input] = rng.uniform(0, 1, (1, len(card.condition))).astype(np.float32)
    return made


def _print(rows: list[dict[str, Any]], closed: dict[str, Any]) -> None:
    cells = [
        ("row", "size", "PSNR", "SSIM", "parameters", "KiB", "parity", "ms 1", "ms 2", "steps")
    ]
    for row in rows:
        file = next(iter(row["files"].values()))
        judged = row["held_out"][-1] if row["held_out"] else None
        cells.append(
            (
                row["row"],
                str(row["settings"]["size"]),
                f"{judged['psnr']:.2f}" if judged else "",
                f"{judged['ssim']:.3f}" if judged else "",
                f"{file['parameters']:,}",
                f"{file['bytes'] / 1024:,.0f}",
                f"{file['parity']:.0e}",
                *(
                    f"{value:.1f}"
                    for value in row.get(
                        "ms a picture", dict.fromkeys((1, 2), float("nan"))
                    ).values()
                ),
                str(row["steps"]),
            )
        )
    for name, scores in closed.items():
        for score in scores:
            figures = (f"{score['psnr']:.2f}", f"{score['ssim']:.3f}")
            cells.append((f"{name}: {score['method']}", "", *figures, *[""] * 6))
    print(format_table(cells))


if __name__ == "__main__":
    main()
