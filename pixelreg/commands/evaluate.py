"""``pixelreg evaluate``: score a model on a folder of pairs."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from pixelreg.commands import options
from pixelreg.commands.console import progress, report, report_problems, say, show_found
from pixelreg.data.crops import load_stack
from pixelreg.data.pairs import no_pairs, pair
from pixelreg.data.pools import scan_all
from pixelreg.errors import DataError
from pixelreg.evaluation.comparison import as_json as scores_as_json
from pixelreg.evaluation.comparison import compare, table
from pixelreg.faces.locate import Locator


@click.command()
@options.data
@options.layout
@options.source
@options.expressions
@click.option(
    "--model", "file", required=True, type=options.MODEL, help="The model file, rig, flow or rr."
)
@options.locating
@options.running
@options.as_json
def evaluate(
    data: tuple[Path, ...],
    layout: str,
    views: tuple[str, ...],
    source: str | None,
    expressions: tuple[str, ...],
    file: str | Path,
    locator: Locator,
    running: options.Running,
    as_json: bool,
) -> None:
    """Score a model on a folder of pairs, against the untouched input.

    People whom the model was fitted on flatter it: use other people than those of `fit`.

    \b
    Example:
      pixelreg evaluate --data other-faces/ --model happy.safetensors
    """
    translator = running.load(file, locator)
    listing = scan_all(data, layout, views=views)
    asked = dict.fromkeys(map(translator.canonical, expressions))
    wanted = asked or [name for name in translator.changes if name in listing.expressions]
    if not wanted:
        known = ", ".join(translator.targets)
        raise DataError(f"{listing.root} has none of the model's expressions: {known}")
    pairings = {name: pair(listing, source or translator.source, name) for name in wanted}
    for name, pairing in pairings.items():
        if not pairing.pairs:
            raise no_pairs(listing, source or translator.source, name)
    show_found(listing, pairings)
    rows = []
    for name, pairing in pairings.items():
        with progress(f"reading {name}") as update:
            stack = load_stack(pairing.pairs, translator.size, translator.frame, locator, update)
        report_problems(stack.problems, len(pairing.pairs))
        running.show(translator.computed_by(name, len(stack.sources)))
        made = translator.run(name, np.asarray(stack.sources))
        rows += compare(name, stack.sources, stack.targets, {Path(file).name: made})
    report(scores_as_json(rows), as_json, table(rows))
    if any(len(pairing.unpaired) for pairing in pairings.values()):
        say("pictures without a partner were not judged")
