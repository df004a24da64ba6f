"""``pixelreg evaluate``: score a model on a folder of pairs."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from pixelreg.api import load
from pixelreg.commands import options
from pixelreg.commands.console import give, give_json, progress, say
from pixelreg.commands.found import report_problems, show_found
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.stacks import load_stack
from pixelreg.errors import DataError, UsageError
from pixelreg.evaluation.comparison import as_json as scores_as_json
from pixelreg.evaluation.comparison import compare, table
from pixelreg.faces.locate import Locator
from pixelreg.translator import PlanTranslator


@click.command()
@options.data
@options.layout
@options.source
@options.expressions
@click.option("--model", "file", required=True, type=options.FILE, help="The model file.")
@options.locating
@options.computing
@options.as_json
def evaluate(
    data: Path,
    layout: str,
    source: str | None,
    expressions: tuple[str, ...],
    file: Path,
    locator: Locator,
    computing: options.Computing,
    as_json: bool,
) -> None:
    """Score a model on a folder of pairs, against the untouched input.

    People whom the model was fitted on flatter it: use other people than those of `fit`.

    \b
    Example:
      pixelreg evaluate --data other-faces/ --model happy.safetensors
    """
    translator = load(file, locator=locator, backend=computing.backend, threads=computing.threads)
    if not isinstance(translator, PlanTranslator):
        raise UsageError(f"{file} is no closed-form model")
    model = translator.model
    listing = scan(data, layout)
    asked = dict.fromkeys(map(translator.canonical, expressions))
    wanted = asked or [name for name in model.targets if name in listing.expressions]
    if not wanted:
        raise DataError(f"{data} has none of the model's expressions: {', '.join(model.targets)}")
    pairings = {name: pair(listing, source or model.source, name) for name in wanted}
    show_found(listing, pairings)
    rows = []
    for name, pairing in pairings.items():
        plan = translator.plan(name)
        with progress(f"reading {name}") as update:
            stack = load_stack(pairing.pairs, model.size, model.frame, locator, update)
        report_problems(stack.problems)
        computing.show(translator.runner(plan, len(stack.sources)).name)
        made = translator.run(plan, np.asarray(stack.sources))
        rows += compare(name, stack.sources, stack.targets, {file.name: made})
    if as_json:
        give_json(scores_as_json(rows))
    else:
        give(table(rows))
    if any(len(pairing.unpaired) for pairing in pairings.values()):
        say("pictures without a partner were not judged")
