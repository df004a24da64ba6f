"""The seven expressions learnt by the papers' networks at their width, on a card, in minutes.

    pixelreg data pose photos/ --expr all --size 256 -o posed/      # on any machine, before
    python -m benchmarks.gpu_train --data posed/ --runs runs/ --minutes 4.5

StarGAN, GANimation and OCNN learn all seven expressions, pix2pix one after the other. Each row is
one call of ``pixelreg train``. Called again, what has its model is done, and what was cut off goes
on where it was; so this may be the last thing that a card is lent for. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import store

EXPRESSIONS = ("happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous")


@dataclass(frozen=True)
class Row:
    """One training.

    share : of the minutes; options : at the paper's width and batch.
    """

    name: str
    architecture: str
    share: float
    options: tuple[str, ...]


# Of the minutes, what the costs of a step ask for; the papers train for days.
ROWS = (
    Row("stargan", "stargan", 0.34, ("--width", "64", "--batch", "16")),
    Row("ganimation", "ganimation", 0.30, ("--width", "64", "--batch", "25")),
    # Ten people's posed faces hold no more than five sparse components.
    Row("ocnn", "ocnn", 0.15, ("--width", "16", "--batch", "8", "--components", "4")),
    *(
        Row(f"pix2pix-{name}", "pix2pix", 0.03, ("--width", "64", "--expr", name))
        for name in EXPRESSIONS
    ),
)


def call(row: Row, arguments: Any) -> list[str]:
    """The command that trains a row, or goes on with it."""
    output = arguments.runs / f"{row.name}.onnx"
    words = ["train", row.architecture, "--data", arguments.data, "--size", arguments.size]
    words += [*row.options, "--minutes", f"{row.share * arguments.minutes:.3f}"]
    words += ["--device", arguments.device, "-o", output]
    if arguments.width:
        words += ["--width", arguments.width]  # the last one counts
    if (arguments.runs / f"{row.name}-run" / "last.safetensors").exists():
        words.append("--resume")
    return [sys.executable, "-m", "pixelreg", *map(str, words)]


def trained(rows: Sequence[Row], arguments: Any) -> dict[str, Any]:
    """What every row came to; one that fails ends no other."""
    found: dict[str, Any] = {}
    for row in rows:
        report = arguments.runs / f"{row.name}-run" / "report.json"
        if not report.is_file():
            command = call(row, arguments)
            print("+ pixelreg", *command[3:], flush=True)
            started = time.monotonic()
            done = subprocess.run(command, check=False)
            if done.returncode:
                found[row.name] = f"failed after {time.monotonic() - started:.0f} s"
                continue
        found[row.name] = facts(json.loads(report.read_text()))
        store(arguments.output, device=arguments.device, rows=found)
    store(arguments.output, device=arguments.device, rows=found)
    return found


def facts(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says, without the names of folders."""
    kept = ("architecture", "settings", "steps", "exported_step", "seconds", "held_out")
    return {key: report[key] for key in kept}


def main(arguments: list[str] | None = None) -> int:
    """Train, and store; 1 where a row failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="of pixelreg data pose")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--minutes", type=float, default=4.5, help="of all trainings together")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, help="of all, instead of the papers' own")
    parser.add_argument("--only", nargs="*", choices=[row.name for row in ROWS])
    output = Path("benchmarks/results/gpu_train.json")
    parser.add_argument("-o", "--output", type=Path, default=output)
    options = parser.parse_args(arguments)
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    found = trained(rows, options)
    for name, row in found.items():
        print(name, row if isinstance(row, str) else f"{row['steps']} steps", flush=True)
    print(f"wrote {options.output}")
    return int(any(isinstance(row, str) for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
