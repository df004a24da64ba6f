"""Seven expressions: networks learn from posed people, then stand beside closed forms on others.

    OMP_NUM_THREADS=1 python -m benchmarks.seven --data ../shared/data/london -o seven/

It only calls commands that anybody can type, and says them: ``pixelreg data pose`` (the rig poses
all neutral faces), ``pixelreg train`` six times with as much work each, ``pixelreg bench --tables
expressions``. What is there already is not made again. Three quarters of the people are learnt
from. STEPS take about 150 seconds of one core of an AMD EPYC each; pix2pix learns one expression at
a time, so each of its seven networks has a seventh. ``--times 20`` gives all of them more alike.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from pixelreg.commands.main import main as pixelreg
from pixelreg.data.expressions import CANONICAL

NAMES = [name for name in CANONICAL if name != "neutral"]
SHARE, SIZE = "0.25", "64"
LEARNING = ("--size", SIZE, "--width", "16", "--holdout", SHARE, "--seed", "0", "--keep", "last")
QUIET = ("--threads", "1", "--validate-every", "100000", "--sample-every", "100000")
# A larger step and a critic that is asked less often than the papers', for so few steps.
QUICK = ("--batch", "4", "--learning-rate", "5e-4", "--critic-steps", "2")
STEPS: dict[str, tuple[int, tuple[str, ...]]] = {
    "reggan": (2300, ()),
    "pix2pix": (690, ()),
    "ocnn": (850, ("--components", "5")),  # of six, one would come out empty
    "usgan": (660, QUICK),
    "stargan": (470, QUICK),
    "ganimation": (380, QUICK),
}
CLOSED = ("rr", "rr:prior=identity", "kr", "kr:sigma=1", "mr", "lsrf", "full", "flow", "rig")


def run(*words: str) -> None:
    """Say a command, and do it."""
    print("pixelreg " + shlex.join(words), flush=True)
    if pixelreg(words):
        sys.exit(1)


def train(folder: Path, name: str, times: float) -> str:
    """Train what is not there yet; returns what bench takes for it."""
    single = name == "pix2pix"
    for target in NAMES if single else [""]:
        file = folder / (f"{name}-{target}.onnx" if single else f"{name}.onnx")
        which = ("--expr", target) if single else ()
        steps, more = STEPS[name]
        length = ("--steps", str(round(times * steps)), *more)
        if not file.exists():
            options = (*LEARNING, *QUIET, *length, "-o", str(file))
            run("train", name, "--data", str(folder / "set"), *which, *options)
    return str(folder / (f"{name}-{{expr}}.onnx" if single else f"{name}.onnx"))


def main() -> None:
    """Pose, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="people with neutral faces")
    parser.add_argument("-o", "--output", type=Path, default=Path("seven"))
    parser.add_argument("--times", type=float, default=1.0, help="so many times the steps")
    parser.add_argument("--only-train", action="store_true", help="leave the table for later")
    arguments = parser.parse_args()
    folder = arguments.output
    if not (folder / "set" / "posed.csv").exists():
        run("data", "pose", str(arguments.data), "--size", "256", "-o", str(folder / "set"))
    files = [train(folder, name, arguments.times) for name in STEPS]
    if not arguments.only_train:
        where = ("--data", str(folder / "set"), "--holdout", SHARE, "--size", SIZE)
        models = [word for model in (*CLOSED, *files) for word in ("--models", model)]
        run("bench", *where, "--tables", "expressions", *models, "-o", str(folder / "report"))


if __name__ == "__main__":
    main()
