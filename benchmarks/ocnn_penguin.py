"""What penguins bring to OCNN: gradient descent alone, after them, and before them, in equal time.

    python -m benchmarks.ocnn_penguin --data LONDON

Three trainings a seed, each of the same seconds of processor time on one thread, whatever they are
spent on: Adam alone; penguins that choose the first weights, then Adam; Adam, then penguins on the
last layer while Adam goes on in the others. Held-out people are judged now and then, off the clock.
The last kind ends late where penguins, who start at 0.9 of the time, take more than is left.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import figure, store
from pixelreg.evaluation.comparison import format_table

METHODS = {"gradient": "none", "penguins, gradient": "initial", "gradient, penguins": "head"}
POINTS = 12  # of every curve


def train(arguments: Any, examples: Any, held_out: Any, seconds: float) -> dict[str, Any]:
    """One training, and how its losses on held-out people fell."""
    import torch

    from deep_onnx.architectures.ocnn import OCNN
    from deep_onnx.training.loop import Order, seed_of

    torch.manual_seed(seed_of(arguments.seed, "weights"))
    algorithm = OCNN(arguments, examples)
    order = Order(algorithm.items, arguments.batch, arguments.seed)
    algorithm.validate(held_out)  # finds the held-out people's parameters, once
    curve: list[dict[str, float]] = []
    spent, step = 0.0, 0
    while True:
        share = min(spent / seconds, 1.0)
        if share >= len(curve) / POINTS:
            curve.append({"seconds": spent, **algorithm.validate(held_out)})
        if share >= 1:
            break
        torch.manual_seed(seed_of(arguments.seed, "step", step))
        started = time.process_time()
        algorithm.step(order.at(step), share)
        spent += time.process_time() - started
        step += 1
    search = None if algorithm.search is None else asdict(algorithm.search)
    return {"steps": step, "search": search, "curve": curve}


def measure(data: Path, size: int, seconds: float, seeds: int, evaluations: int) -> list[Any]:
    """All methods, all seeds: the same people are held out for all."""
    import torch

    from deep_onnx.architectures.ocnn import OCNNArguments
    from deep_onnx.training.data import choose, load_examples, split
    from pixelreg.data.layouts import scan
    from pixelreg.faces.locate import Locator

    torch.set_num_threads(1)
    listing = scan(data)
    choice = choose("ocnn", listing, None, ())
    loaded = load_examples(listing, choice, size, Locator())
    examples, held_out = split(loaded.examples, 0.2, 0)
    rows = []
    for seed in range(seeds):
        for method, penguins in METHODS.items():
            arguments = replace(
                OCNNArguments(), size=size, seed=seed, penguins=penguins,
                penguin_evaluations=evaluations,
            )  # fmt: skip
            row = train(arguments, examples, held_out, seconds)
            rows.append({"method": method, "seed": seed, **row})
            last = row["curve"][-1]
            print(f"{method}, seed {seed}: {row['steps']} steps, {last}, {row['search']}")
    return rows


def table(rows: list[Any]) -> str:
    """Medians over the seeds, with the range."""
    cells = [
        (
            "",
            "",
            "seconds",
            "steps",
            "L1, by name",
            "L1, own p",
            "untouched",
            "searched",
            "evaluations",
        )
    ]
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        last = [row["curve"][-1] for row in found]
        steps = round(statistics.median(row["steps"] for row in found))
        search = found[0]["search"] or {"dimensions": "", "evaluations": ""}
        cells.append(
            (
                method,
                "",
                f"{statistics.median(point['seconds'] for point in last):.1f}",
                str(steps),
                *(_spread([point[name] for point in last]) for name in ("l1", "own")),
                f"{last[0]['untouched']:.4f}",
                str(search["dimensions"]),
                str(search["evaluations"]),
            )
        )
    return format_table(cells)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4f} ({min(values):.4f}-{max(values):.4f})"


def plot(rows: list[Any], path: Path) -> None:
    """Draw the curves; needs matplotlib."""
    with figure(path, (1, 2), (11, 4.2)) as axes:
        for axis, name, title in zip(
            axes, ("l1", "own"), ("by name (mean p)", "with everybody's own p"), strict=True
        ):
            for colour, method in zip(("C0", "C1", "C2"), METHODS, strict=True):
                for row in (row for row in rows if row["method"] == method):
                    label = method if row["seed"] == 0 else None
                    x = [point["seconds"] for point in row["curve"]]
                    y = [point[name] for point in row["curve"]]
                    axis.plot(x, y, colour, label=label, alpha=0.8)
            axis.axhline(
                rows[0]["curve"][0]["untouched"], color="grey", linestyle=":", label="untouched"
            )
            axis.set_title(f"held-out L1 {title}")
            axis.set_xlabel("seconds of one thread, penguins' included")
            axis.grid(alpha=0.3)
        axes[0].legend()


def main() -> None:
    """Train all, print the table, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=128)
    path = Path("benchmarks/results/ocnn_penguin.json")
    parser.add_argument("-o", "--output", type=Path, default=path)
    options = parser.parse_args()
    rows = measure(options.data, options.size, options.seconds, options.seeds, options.evaluations)
    print(table(rows))
    told = {"size": options.size, "seconds": options.seconds, "evaluations": options.evaluations}
    store(options.output, **told, rows=rows)
    plot(rows, options.output.with_suffix(".png"))
    print(f"wrote {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
