"""The closed-form models of the paper on held-out people, without flow or paste-back.

    python -m benchmarks.paper --data ../shared/data/london

60 people to learn from, 20 to judge (seed 0), 128 x 128, crops aligned by the eyes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.machine import store
from pixelreg.backends import get_backend
from pixelreg.data.crops import load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_holdout, pair
from pixelreg.evaluation.comparison import as_json, compare, table
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import Recipe
from pixelreg.models.model import Frame

RECIPES = {
    "RR, lambda 0.4": Recipe("rr"),
    "RR to identity, lambda 2": Recipe("rr", {"alpha": 2.0, "prior": "identity"}),
    **{f"KR, lambda 0.4, sigma {s:g}": Recipe("kr", {"sigma": s}) for s in (0.1, 0.3, 1, 3, 10)},
    "KR, lambda 0.01, sigma 1": Recipe("kr", {"alpha": 0.01, "sigma": 1.0}),
    "MR 3 x 3, lambda 0.4": Recipe("mr"),
    "full ridge, lambda 0.4": Recipe("full"),
    "flow + ridge": Recipe("flow"),
}


def main() -> None:
    """Fit every recipe, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/paper.json"))
    arguments = parser.parse_args()
    pairs = pair(scan(arguments.data), "neutral", "happy").pairs
    stack = load_stack(pairs, 128, Frame(), Locator(arguments.detector))
    train, test = (stack.select(side) for side in grouped_holdout(stack.people, 0.25, 0))
    made = {
        name: get_backend().apply(recipe.fit(train), test.sources)
        for name, recipe in RECIPES.items()
    }
    rows = compare("happy", test.sources, test.targets, made)
    print(table(rows))
    store(arguments.output, train=len(train.pairs), rows=as_json(rows))


if __name__ == "__main__":
    main()
