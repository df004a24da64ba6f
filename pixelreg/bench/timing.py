"""How long things take: all in turn in one process, and what one alone takes to load."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pixelreg.errors import PixelregError

ALONE = """
import json, sys, time
started = time.perf_counter()
import pixelreg
model = pixelreg.load(sys.argv[1])
loaded = time.perf_counter() - started
import numpy as np
side, target = int(sys.argv[2]), sys.argv[3]
with open(sys.argv[4], "rb") as file:
    crop = np.load(file)
model.run(target, crop[None])
try:  # Linux's ru_maxrss would begin with the peak of the process that started this one
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    peak = 1024 * int(line.split()[1])
except (OSError, StopIteration):
    peak = None
print(json.dumps([loaded, peak]))
"""


@dataclass(frozen=True)
class Taken:
    """Seconds: of the first call, and of the others.

    middle : their median; low, high : their quartiles.
    """

    first: float
    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, first: float, others: list[float]) -> Taken:
        """From the calls."""
        several = len(others) > 1
        quarters = statistics.quantiles(others, n=4) if several else [others[0]] * 3
        return cls(first, statistics.median(others), quarters[0], quarters[2])


def in_turn(
    works: Mapping[str, Callable[[], Any]],
    rounds: int,
    inner: int = 1,
    slow: float = math.inf,
    few: int = 3,
) -> dict[str, list[float]]:
    """Seconds of every call, one work after the other in every round; the first round's first.

    inner : calls that one measurement is the mean of.
    slow : seconds from which a work's first call on it takes part in ``few`` rounds only.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            if number > few and taken[name][0] > slow:
                continue
            start = time.perf_counter()
            for _ in range(inner):
                work()
            taken[name].append((time.perf_counter() - start) / inner)
    return taken


def alone(model: str, target: str, side: int, crop_file: str) -> tuple[float, int | None]:
    """Seconds that a model takes to load in a process of its own, and that one's peak in bytes.

    The peak is None where the system does not tell it; Linux does.

    crop_file : an ``.npy`` of the crop that it changes once, so that its memory is in use.
    """
    words = [sys.executable, "-c", ALONE, model, str(side), target, crop_file]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise PixelregError(f"{model} failed in a process of its own: {last}")
    loaded, peak = json.loads(done.stdout.splitlines()[-1])
    return float(loaded), peak
