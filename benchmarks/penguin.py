"""Improved Penguin Optimisation against differential evolution, at equal evaluations.

    python -m benchmarks.penguin [--quick] [-o benchmarks/results/penguin.json]

Sphere, Rastrigin and Rosenbrock in 5 and 30 dimensions, 2000 evaluations a dimension, several
seeds. The optimum is moved off the middle of the bounds: Eq. 8 mirrors in the middle, so a function
that is least there would flatter the penguins. Differential evolution is SciPy's, once as it comes
(15 members a dimension) and once with as many members as there are penguins; random search is what
none may lose to. Draws the median of the best value so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import figure, store
from deep_onnx.architectures.penguin import minimise
from pixelreg.evaluation.comparison import format_table

DIMENSIONS, EVALUATIONS, SEEDS, PENGUINS = (5, 30), 2000, 9, 32
SHIFT = 1.3
POINTS = 60  # of every curve


def sphere(x: np.ndarray) -> float:
    return float(((x - SHIFT) ** 2).sum())


def rastrigin(x: np.ndarray) -> float:
    y = x - SHIFT
    return float((y**2 - 10 * np.cos(2 * np.pi * y) + 10).sum())


def rosenbrock(x: np.ndarray) -> float:
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], float], float, float]] = {
    "sphere": (sphere, -5.0, 5.0),
    "Rastrigin": (rastrigin, -5.12, 5.12),
    "Rosenbrock": (rosenbrock, -2.0, 2.0),
}


class Counted:
    """A function that notes its best value so far, up to a number of evaluations."""

    def __init__(self, function: Callable[[np.ndarray], float], most: int) -> None:
        self.function, self.most, self.used = function, most, 0
        self.best = np.empty(most)

    def __call__(self, x: np.ndarray) -> float:
        value = self.function(x)
        if self.used < self.most:
            before = self.best[self.used - 1] if self.used else np.inf
            self.best[self.used] = min(value, before)
        self.used += 1
        return value

    def curve(self) -> np.ndarray:
        """(most,) float64; an optimiser that stopped early stays at its last value."""
        used = min(self.used, self.most)
        return np.concatenate([self.best[:used], np.full(self.most - used, self.best[used - 1])])


def penguins(function: Counted, bounds: np.ndarray, seed: int) -> None:
    """Ours, with its defaults."""
    minimise(function, bounds, penguins=PENGUINS, evaluations=function.most, seed=seed)


def evolution(members: int | None) -> Callable[[Counted, np.ndarray, int], None]:
    """SciPy's differential evolution without its final polish, which would use gradients."""

    def run(function: Counted, bounds: np.ndarray, seed: int) -> None:
        from scipy.optimize import differential_evolution
        from scipy.stats.qmc import LatinHypercube

        first: Any = "latinhypercube"
        if members is not None:
            share = LatinHypercube(len(bounds), seed=seed).random(members)
            first = bounds[:, 0] + share * (bounds[:, 1] - bounds[:, 0])
        differential_evolution(
            function, bounds, init=first, maxiter=10**6, tol=0, polish=False, seed=seed,
            callback=lambda *_, **__: function.used >= function.most,
        )  # fmt: skip

    return run


def random_search(function: Counted, bounds: np.ndarray, seed: int) -> None:
    """Places drawn evenly."""
    rng = np.random.default_rng(seed)
    for _ in range(function.most):
        function(rng.uniform(bounds[:, 0], bounds[:, 1]))


METHODS = {
    "penguins": penguins,
    "DE": evolution(None),
    f"DE, {PENGUINS} members": evolution(PENGUINS),
    "random": random_search,
}


def measure(seeds: int, evaluations: int) -> list[dict[str, Any]]:
    """Every function, dimension and method: values at the end, and the median's curve."""
    rows = []
    for dimensions in DIMENSIONS:
        most = evaluations * dimensions
        at = np.unique(np.geomspace(1, most, POINTS).astype(int))
        for name, (function, low, high) in FUNCTIONS.items():
            bounds = np.tile([low, high], (dimensions, 1))
            for method, run in METHODS.items():
                curves = []
                for seed in range(seeds):
                    counted = Counted(function, most)
                    run(counted, bounds, seed)
                    curves.append(counted.curve())
                ends = np.array(curves)[:, -1]
                rows.append(
                    {
                        "function": name,
                        "dimensions": dimensions,
                        "evaluations": most,
                        "method": method,
                        "median": float(np.median(ends)),
                        "best": float(ends.min()),
                        "worst": float(ends.max()),
                        "at": at.tolist(),
                        "curve": np.median(np.array(curves)[:, at - 1], axis=0).tolist(),
                    }
                )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The medians as text, the least of each line marked."""
    cells: list[tuple[str, ...]] = [("function", "d", "evaluations", *METHODS)]
    for dimensions in DIMENSIONS:
        for name in FUNCTIONS:
            found = [r for r in rows if (r["function"], r["dimensions"]) == (name, dimensions)]
            least = min(r["median"] for r in found)
            values = (f"{r['median']:.3g}{'*' if r['median'] == least else ''}" for r in found)
            cells.append((name, str(dimensions), str(found[0]["evaluations"]), *values))
    return format_table(cells)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the curves; needs matplotlib."""
    shape = len(DIMENSIONS), len(FUNCTIONS)
    with figure(path, shape, (12, 6.6), squeeze=False) as axes:
        for line, dimensions in zip(axes, DIMENSIONS, strict=True):
            for axis, name in zip(line, FUNCTIONS, strict=True):
                for row in rows:
                    if (row["function"], row["dimensions"]) == (name, dimensions):
                        values = np.maximum(row["curve"], 1e-16)
                        axis.loglog(row["at"], values, label=row["method"])
                axis.set_title(f"{name}, {dimensions} dimensions")
                axis.grid(alpha=0.3)
        for axis in axes[-1]:
            axis.set_xlabel("evaluations")
        for axis in axes[:, 0]:
            axis.set_ylabel("best value so far, median")
        axes[0, 0].legend()


def main() -> None:
    """Run all, print the table, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three seeds, a tenth of the calls")
    path = Path("benchmarks/results/penguin.json")
    parser.add_argument("-o", "--output", type=Path, default=path)
    options = parser.parse_args()
    seeds, evaluations = (3, EVALUATIONS // 10) if options.quick else (SEEDS, EVALUATIONS)
    rows = measure(seeds, evaluations)
    print(table(rows))
    print(f"medians of {seeds} seeds; * the least of the line")
    store(options.output, seeds=seeds, shift=SHIFT, rows=rows)
    plot(rows, options.output.with_suffix(".png"))
    print(f"wrote {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
