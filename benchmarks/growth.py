"""How time grows with the number of pairs and of pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import figure
from benchmarks.timing import exponent, interleaved
from pixelreg.backends.array import ArrayBackend
from pixelreg.regression.kernel import level_features

ALPHA, SIGMA = 0.4, 3.0
PIXELS = 64 * 64 * 3  # while the pairs grow
PAIRS = 20  # while the pixels grow
COUNTS = (10, 30, 100, 300, 1000, 3000, 10_000)
SIDES = (64, 128, 256, 512, 1024)
KERNEL_SIDE = 512  # two histograms of 256 numbers a pixel take 1.6 GB there


def growth(backend: ArrayBackend, quick: bool) -> list[dict[str, Any]]:
    """Curves of time against size, each with the power of the size that it follows."""
    rounds = 3 if quick else 11
    counts = COUNTS[:5] if quick else COUNTS
    sides = SIDES[:3] if quick else SIDES
    by_pairs = [_times(backend, count, PIXELS, rounds, True) for count in counts]
    by_pixels = [_times(backend, PAIRS, 3 * side**2, rounds, side <= KERNEL_SIDE) for side in sides]
    pixels = [3 * side**2 for side in sides]
    curves = []
    for against, sizes, points in (("pairs", counts, by_pairs), ("pixels", pixels, by_pixels)):
        for work in ("RR fit", "KR sums", "KR solve"):
            known = [
                (n, point[work]) for n, point in zip(sizes, points, strict=True) if work in point
            ]
            at, seconds = (list(side) for side in zip(*known, strict=True))
            curves.append(
                {
                    "work": work,
                    "against": against,
                    "sizes": at,
                    "seconds": seconds,
                    "exponent": exponent(at, seconds),
                }
            )
    return curves


def _times(
    backend: ArrayBackend,
    pairs: int,
    pixels: int,
    rounds: int,
    kernel: bool,
) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, T = (
        backend.to_device(rng.integers(0, 256, (pairs, pixels), dtype=np.uint8)) for _ in range(2)
    )
    works: dict[str, Callable[[], Any]] = {
        "RR fit": lambda: backend.solve_ridge(backend.pixel_sums(X, T), ALPHA)
    }
    if kernel:
        sums, table = backend.level_sums(X, T), level_features(SIGMA).table
        works["KR sums"] = lambda: backend.level_sums(X, T)
        works["KR solve"] = lambda: backend.solve_levels(sums, table, ALPHA)
    return interleaved(works, rounds)


def plot(curves: list[dict[str, Any]], path: Path) -> None:
    """Draw the curves; needs matplotlib."""
    with figure(path, (1, 2), (10, 4.2), sharey=True) as axes:
        for axis, against in zip(axes, ("pairs", "pixels"), strict=True):
            for curve in curves:
                if curve["against"] == against:
                    label = f"{curve['work']}: size^{curve['exponent']:.2f}"
                    axis.loglog(curve["sizes"], curve["seconds"], "o-", label=label)
            fixed = f"{PIXELS:,} values a picture" if against == "pairs" else f"{PAIRS} pairs"
            axis.set(xlabel="pairs" if against == "pairs" else "values a picture", title=fixed)
            axis.grid(alpha=0.3)
            axis.legend()
        axes[0].set_ylabel("seconds")
