"""What a graphics card does with pixelreg: the same as the processor? how fast? from when on?

    python -m benchmarks.gpu [--quick] [-o benchmarks/results/gpu.json]

Needs Python with NumPy and CuPy, and this checkout; Numba and pytest are used where they are. It
takes under six minutes; what is done is in the file after every part, so that a run that is cut
off has told something. `benchmarks/gpu_onnx.sh` measures networks, `benchmarks/gpu_train.py`
trains them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import gpu_speed
from benchmarks.card import FULL, QUICK, Card, Sizes
from benchmarks.gpu_parity import parity
from benchmarks.machine import store
from pixelreg.errors import PixelregError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/gpu.json"
SECONDS = 330.0  # after which no further part begins
# What is to end in one line -> the environment that brings it about.
WRONG = {
    "no device": {"CUDA_VISIBLE_DEVICES": ""},
    "out of memory": {"CUPY_GPU_MEMORY_LIMIT": "1000000"},
}
TRIED = """
import numpy as np
from pixelreg.backends import get_backend
from pixelreg.errors import PixelregError
try:
    backend = get_backend("cupy")
    backend.pixel_sums(np.zeros((9, 1_000_000), np.uint8), np.zeros((9, 1_000_000), np.uint8))
except PixelregError as error:
    print(error)
"""
# The tests' own laws for backends, where what they need is installed.
LAWS = "tests/test_backends.py"
LAWS_NEED = ("pytest", "sklearn", "PIL", "safetensors", "scipy")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, store; 1 where the card computes something else than NumPy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="all lines, at sizes that tell nothing"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    try:
        card = Card()
    except PixelregError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 1
    return measured(card, sizes, options.only, options.output)


def measured(card: Card, sizes: Sizes, names: list[str], output: Path) -> int:
    """Every part by its name, stored one after the other."""
    started, wrong = time.monotonic(), False
    bandwidth = card.bandwidths(sizes)
    found: dict[str, Any] = {"quick": sizes is QUICK, "card": card.facts(), "bandwidth": bandwidth}
    seconds: dict[str, float] = {}
    for name in names:
        if time.monotonic() - started > SECONDS:
            found[name] = "not begun: the time was over"
            continue
        begun = time.monotonic()
        try:
            found[name] = PARTS[name](card, sizes, bandwidth)
        except Exception as error:  # the other parts are worth having
            found[name], wrong = {"failed": f"{type(error).__name__}: {error}"}, True
        seconds[name] = round(time.monotonic() - begun, 1)
        store(output, **found, **{"seconds of each part": seconds})
        _told(name, found[name])
    rows = found["parity"] if isinstance(found.get("parity"), list) else []
    failed = [row["what"] for row in rows if not row["holds"]]
    print(f"wrote {output}; {len(failed)} of the comparisons fail {failed or ''}")
    return int(bool(failed) or wrong)


def laws(card: Card, sizes: Sizes, bandwidth: dict[str, float]) -> dict[str, Any]:
    """The tests of backends, on the card."""
    absent = [name for name in LAWS_NEED if find_spec(name) is None]
    if absent:
        return {"not run": f"{', '.join(absent)} are not installed"}
    call = [sys.executable, "-m", "pytest", "-q", "-k", "cupy", LAWS]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)
    return {"exit": done.returncode, "said": done.stdout.strip().splitlines()[-1:]}


def errors(card: Card, sizes: Sizes, bandwidth: dict[str, float]) -> dict[str, Any]:
    """What a user is told where there is no device, and where its memory is full."""
    told = {}
    for what, environment in WRONG.items():
        done = subprocess.run(
            [sys.executable, "-c", TRIED],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
            check=False,
        )
        lines = (done.stdout + done.stderr).strip().splitlines()
        told[what] = {"said": lines[:3], "one line": len(lines) == 1 and done.returncode == 0}
    return told


def _told(name: str, found: Any) -> None:
    print(f"\n{name}")
    for row in found if isinstance(found, list) else [found]:
        pairs = row.items() if isinstance(row, dict) else [("", row)]
        print("  " + "; ".join(f"{key} {_short(value)}" for key, value in pairs), flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PARTS: dict[str, Callable[[Card, Sizes, dict[str, float]], Any]] = {
    "parity": lambda card, sizes, _: [check.as_json() for check in parity(card, sizes)],
    "errors": errors,
    "apply": lambda card, sizes, bandwidth: list(gpu_speed.applies(card, sizes, bandwidth)),
    "fit": lambda card, sizes, bandwidth: list(gpu_speed.fits(card, sizes, bandwidth)),
    "streamed": lambda card, sizes, _: gpu_speed.streamed(card, sizes),
    "dense": lambda card, sizes, _: gpu_speed.dense(card, sizes),
    "crossover": lambda card, sizes, _: gpu_speed.crossover(card, sizes),
    "laws": laws,
}


if __name__ == "__main__":
    sys.exit(main())
