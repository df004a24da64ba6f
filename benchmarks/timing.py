"""Timing things fairly: warmed up, interleaved, medians; and the speed of memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pixelreg.bench.timing import in_turn

COPIED = 64_000_000  # bytes a thread: more than the caches hold


@dataclass(frozen=True)
class Row:
    """One line of the table.

    work : what was done.
    seconds : ours, the median.
    against : what it is compared with.
    other : that one's seconds, the median or as the note says.
    target : what must be reached; times slower than the other at most, or faster at least.
    faster : whether the target is a speed-up.
    error : the largest difference from the reference, where there is one.
    note : how the numbers came about.
    unit : of ours and the other's, where it is not seconds.
    """

    work: str
    seconds: float
    against: str
    other: float
    target: float
    faster: bool = False
    error: float | None = None
    note: str = ""
    unit: str = "s"

    @property
    def reached(self) -> float:
        """The ratio that is to be compared with the target."""
        return self.other / self.seconds if self.faster else self.seconds / self.other

    @property
    def holds(self) -> bool:
        """Whether the target is reached."""
        return self.reached >= self.target if self.faster else self.reached <= self.target

    def cells(self) -> tuple[str, ...]:
        """For a table on the terminal."""
        sign, end = (">=", " x faster") if self.faster else ("<=", " x")
        return (
            self.work,
            self._shown(self.seconds),
            self.against,
            self._shown(self.other),
            f"{sign} {self.target:g}{end}",
            f"{self.reached:.3g}{end}",
            "yes" if self.holds else "NO",
            "" if self.error is None else f"{self.error:.1e}",
        )

    def _shown(self, value: float) -> str:
        return shown(value) if self.unit == "s" else f"{value:.4g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {**asdict(self), "reached": self.reached, "holds": self.holds}


HEADER = ("work", "ours", "against", "takes", "target", "reached", "holds", "error")


def shown(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def interleaved(
    works: Mapping[str, Callable[[], Any]], rounds: int, inner: int = 1
) -> dict[str, float]:
    """Median seconds of each, one after the other in every round, after one round unmeasured."""
    taken = in_turn(works, rounds, inner)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def copy_bandwidth(threads: int, rounds: int) -> float:
    """Bytes a second, read and written both counted, of copies in all threads at once."""
    pairs = [np.ones((2, COPIED), np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def work() -> None:
            list(pool.map(lambda pair: np.copyto(pair[0], pair[1]), pairs))

        seconds = interleaved({"copy": work}, rounds)["copy"]
    return 2 * COPIED * threads / seconds


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The power of the size that the time grows with, fitted to the upper half of the sizes."""
    half = slice(min(len(sizes) // 2, len(sizes) - 2), None)
    return float(np.polyfit(np.log(sizes[half]), np.log(seconds[half]), 1)[0])
