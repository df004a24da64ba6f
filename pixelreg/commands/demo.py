"""``pixelreg demo``: the whole way on drawn faces, in seconds and without any download."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from pixelreg.backends import get_backend
from pixelreg.commands import options
from pixelreg.commands.console import give, progress, say
from pixelreg.data.crops import Stack, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.synthetic import synthesise
from pixelreg.evaluation.comparison import format_table, table
from pixelreg.faces.locate import Locator
from pixelreg.fitting.learn import CropsOf, fit_target
from pixelreg.fitting.recipe import (
    Fitted,
    Recipe,
    choose_held_out,
    choose_pairings,
    make_model,
)
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.models.plans import Plan
from pixelreg.pictures.image import Picture, write_file
from pixelreg.pictures.sheet import contact_sheet

# Cross-validated on drawn faces (pixelreg fit --cv); the paper's values suit its photographs.
SETTINGS = {"rr": {"alpha": 0.04}, "kr": {"alpha": 0.01, "sigma": 1.0}}
KINDS = {"rr": "Pixel-RR", "kr": "Pixel-KR"}
SHOWN = 5  # people on the contact sheet
REPEATS = 200


@click.command()
@options.output(click.Path(file_okay=False, path_type=Path), "pixelreg-demo", "Folder to write to.")
@options.integer("--people", 4, 198, 60, "How many people to draw.")
@options.integer("--size", 32, 512, 128, "Side of the pictures in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds, other people.")
def demo(output: Path, people: int, size: int, seed: int) -> None:
    """Draw faces, learn six expressions from them, and show them on people not seen before.

    \b
    Example:
      pixelreg demo
    """
    started = time.perf_counter()
    faces = output / "faces"
    with progress("drawing faces") as update:
        synthesise(faces, people, size=size, seed=seed, progress=update)
    listing = scan(faces, "kdef")
    pairings = choose_pairings(listing, listing.source, ())
    held_out = choose_held_out(list(listing.people), 0.2, seed)
    with progress("reading faces") as update:
        stacks = {
            target: load_stack(pairing.pairs, size, None, Locator(), update)
            for target, pairing in pairings.items()
        }
    say(f"{people} drawn people, {len(stacks)} expressions, {len(held_out)} people held out")
    rows: list[tuple[str, ...]] = [
        ("model", "file", "parameters", "KiB", "fit s", "µs a picture", "PSNR dB", "SSIM")
    ]
    results: dict[str, dict[str, Fitted]] = {}
    for kind, name in KINDS.items():
        seconds, fitted = _fit_all(Recipe(kind, SETTINGS[kind], size), stacks, held_out)
        pairs = [pair for stack in stacks.values() for pair in stack.pairs]
        recipes = {target: done.recipe for target, done in fitted.items()}
        plans = {target: done.plan for target, done in fitted.items()}
        model = make_model(plans, recipes, listing.source, None, listing, pairs)
        path = output / f"{kind}.safetensors"
        kib = modelfile.save(model, path) / 1024
        rows.append((name, path.name, *_facts(model, kib, seconds, fitted)))
        results[name] = fitted
    say("held-out people:")
    give(table(_scores(results)))
    give("")
    give(format_table(rows))
    sheet = output / "contact-sheet.png"
    write_file(Picture(_sheet(results)), sheet)
    say(f"wrote {sheet} in {time.perf_counter() - started:.0f} s; try next:")
    example = next(iter(pairings.values())).pairs[0].source.path
    say(f"  pixelreg apply {example} --expr surprised --model {output / 'rr.safetensors'}")


def _fit_all(
    recipe: Recipe, stacks: Mapping[str, Stack], held_out: frozenset[str]
) -> tuple[float, dict[str, Fitted]]:
    """All targets fitted, and the seconds that one fit of them all takes."""
    fitted = {
        target: fit_target(target, CropsOf(stack, held_out), recipe)
        for target, stack in stacks.items()
    }
    started = time.perf_counter()
    for stack in stacks.values():
        recipe.fit(stack)
    return time.perf_counter() - started, fitted


def _facts(
    model: Model, kib: float, seconds: float, fitted: Mapping[str, Fitted]
) -> tuple[str, ...]:
    first = next(iter(fitted.values()))
    scores = [done.scores[1] for done in fitted.values()]
    return (
        f"{model.parameters:,}",
        f"{kib:.0f}",
        f"{seconds:.2f}",
        f"{1e6 * _seconds_to_apply(first.plan, first.judged[0].source):.0f}",
        f"{statistics.fmean(score.psnr for score in scores):.2f}",
        f"{statistics.fmean(score.ssim for score in scores):.3f}",
    )


def _seconds_to_apply(plan: Plan, picture: Any) -> float:
    backend = get_backend()
    return statistics.median(
        timeit.repeat(lambda: backend.apply(plan, picture), number=1, repeat=REPEATS)
    )


def _scores(results: Mapping[str, Mapping[str, Fitted]]) -> list[Any]:
    names = list(results)
    rows = []
    for target, done in results[names[0]].items():
        rows += [*done.scores, *(results[name][target].scores[1] for name in names[1:])]
    return rows


def _sheet(results: Mapping[str, Mapping[str, Fitted]]) -> Any:
    """Held-out people: the input, every expression by Pixel-RR, one by Pixel-KR and in truth."""
    rr, kr = (results[name] for name in KINDS.values())
    first = next(iter(rr))
    people = rr[first].judged[:SHOWN]
    columns = [("input", [judged.source for judged in people])]
    columns += [(target, [j.made for j in done.judged[:SHOWN]]) for target, done in rr.items()]
    columns.append((f"{first}, Pixel-KR", [j.made for j in kr[first].judged[:SHOWN]]))
    columns.append((f"{first}, truth", [judged.truth for judged in people]))
    return contact_sheet(columns, cell=max(96, np.shape(people[0].source)[0]))
