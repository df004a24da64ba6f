"""``pixelreg fit``: from a folder of pairs to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pixelreg import modelfile
from pixelreg.api import LOCAL_MODEL
from pixelreg.commands import options
from pixelreg.commands.console import give, give_json, progress, say
from pixelreg.commands.found import report_problems, show_found
from pixelreg.data.layouts import scan
from pixelreg.data.stacks import load_stack
from pixelreg.errors import PixelregError, UsageError
from pixelreg.evaluation.comparison import as_json as scores_as_json
from pixelreg.evaluation.comparison import format_table, table
from pixelreg.evaluation.sheet import contact_sheet
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.image import Picture, encode
from pixelreg.regression import ESTIMATORS
from pixelreg.regression.validation import Score, best
from pixelreg.training import (
    PAPER_SIZE,
    Fitted,
    Recipe,
    choose_frame,
    choose_held_out,
    choose_kind,
    choose_pairings,
    fit_target,
    make_model,
    paper_recipe,
)

SHEET_ROWS = 8


@click.command()
@options.data
@options.layout
@options.source
@options.expressions
@click.option(
    "--model",
    "kind",
    type=click.Choice(["auto", *ESTIMATORS]),
    default="auto",
    show_default=True,
    help="Flow and ridge, Pixel-RR, Pixel-KR, masked ridge, or one ridge on whole pictures; auto "
    "takes flow for photographs of faces where OpenCV is installed, else rr.",
)
@click.option(
    "--size",
    type=click.IntRange(11, 2048),
    default=128,
    show_default=True,
    help="Side of the model's pictures in pixels.",
)
@click.option(
    "--preset", type=click.Choice(["paper"]), help="The paper's every setting, for rr or kr."
)
@click.option(
    "--lambda", "alpha", type=float, help="Ridge penalty, lambda. [default: 0.4; flow: 1]"
)
@click.option("--sigma", type=float, help="Kernel width for kr. [default: 3]")
@click.option(
    "--prior",
    type=click.Choice(["zero", "identity"]),
    help="What rr shrinks to: the paper's zero, or no change. [default: zero]",
)
@click.option("--cv", is_flag=True, help="Choose lambda and sigma by cross-validation.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of people to judge the model on; 0 for none.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Decides who is held out, and the folds."
)
@click.option(
    "--dtype",
    type=click.Choice(modelfile.DTYPES),
    default="float32",
    show_default=True,
    help="Numbers in the file; smaller ones cost a little, which is printed.",
)
@options.locating
@click.option(
    "-o",
    "--output",
    type=options.NEW_FILE,
    default=LOCAL_MODEL,
    show_default=True,
    help="Model file; NAME.safetensors gets a contact sheet NAME-sheet.png beside it.",
)
@options.as_json
def fit(
    data: Path,
    layout: str,
    source: str | None,
    expressions: tuple[str, ...],
    kind: str,
    preset: str | None,
    size: int,
    alpha: float | None,
    sigma: float | None,
    prior: str | None,
    cv: bool,
    holdout: float,
    seed: int,
    dtype: str,
    locator: Locator,
    output: Path,
    as_json: bool,
) -> None:
    """Learn one or more expressions from a folder of pairs.

    The scores are those of people whom the fitted model has not seen; the model that is saved
    then learns from everybody. A contact sheet of the held-out people is written beside it.

    \b
    Examples:
      pixelreg fit --data KDEF/
      pixelreg fit --data KDEF/ --preset paper
      pixelreg fit --data london/ --expr happy --model kr --cv -o happy.safetensors
    """
    settings = _settings(kind, alpha, sigma, prior)
    if preset and (settings or cv or size != PAPER_SIZE or kind not in ("auto", "rr", "kr")):
        raise UsageError("--preset paper is for rr or kr, and sets everything else by itself")
    check_output(output)
    listing = scan(data, layout)
    pairings = choose_pairings(listing, source or listing.source, expressions)
    show_found(listing, pairings)
    pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
    held_out = choose_held_out([pair.person for pair in pairs], holdout, seed)
    frame = choose_frame(listing, pairs, locator)
    say(
        "  aligned by the eyes"
        if frame
        else "  taken as aligned already: the centre square of each picture"
    )
    if kind == "auto":
        kind = "rr" if preset else choose_kind(frame, settings)
        say(f"  fitting {kind}")
    fitted = {}
    for target, pairing in pairings.items():
        recipe = paper_recipe(kind, target) if preset else Recipe(kind, settings, size)
        with progress(f"reading {target}") as update:
            stack = load_stack(pairing.pairs, size, frame, locator, update)
        report_problems(stack)
        fitted[target] = fit_target(target, stack, recipe, held_out, seed if cv else None)
        if cv:
            say(_cv_table(target, fitted[target].tried))
    model = make_model(
        {target: done.plan for target, done in fitted.items()},
        {target: done.recipe for target, done in fitted.items()},
        source=pairs[0].source.expression,
        frame=frame,
        listing=listing,
        pairs=[pair for done in fitted.values() for pair in done.stack.pairs],
    )
    size_bytes = modelfile.save(model, output, dtype)
    sheet = _write_sheet(fitted, output)
    _report(fitted, model.parameters, size_bytes, output, sheet, as_json)
    if dtype != "float32":
        say(
            f"stored as {dtype}: off by at most "
            f"{modelfile.rounding_error(model, dtype):.2f} grey levels"
        )


def check_output(path: Path) -> None:
    """Refuse a place that cannot be written to before the work, not after it.

    Raises
    ------
    UsageError
        If the name does not end in .safetensors.
    PixelregError
        If the folder cannot be written to.
    """
    import os

    if path.suffix.lower() != ".safetensors":
        raise UsageError(f"the model file's name must end in .safetensors, not {path.name!r}")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PixelregError(f"cannot write {path}: the folder {folder} is not writable")


def _settings(
    kind: str, alpha: float | None, sigma: float | None, prior: str | None
) -> dict[str, Any]:
    if sigma is not None and kind not in ("kr", "auto"):
        raise UsageError("--sigma belongs to --model kr")
    if sigma is not None and prior is not None:
        raise UsageError("--sigma is kr's and --prior is rr's: give one of them")
    if prior is not None and kind not in ("rr", "auto"):
        raise UsageError("--prior belongs to --model rr")
    for option, number in (("--lambda", alpha), ("--sigma", sigma)):
        if number is not None and not 0 < number < float("inf"):
            raise UsageError(f"{option} must be a number above 0, not {number}")
    given = {"alpha": alpha, "sigma": sigma, "prior": prior}
    return {name: value for name, value in given.items() if value is not None}


def _cv_table(target: str, scores: Sequence[Score]) -> str:
    chosen = best(scores)
    cells = [(target, "parameters", "RMSE (0..255)")]
    for score in scores:
        params = ", ".join(f"{_shown(name)}={value:g}" for name, value in score.params.items())
        mark = "*" if score is chosen else ""
        cells.append((mark, params, f"{255 * score.error**0.5:.3f}"))
    return format_table(cells)


def _shown(name: str) -> str:
    return "lambda" if name == "alpha" else name


def _write_sheet(fitted: dict[str, Fitted], output: Path) -> Path | None:
    rows = [
        (f"{target} {judged.person}", judged.source, judged.made, judged.truth)
        for target, done in fitted.items()
        for judged in done.judged[:SHEET_ROWS]
    ]
    if not rows:
        return None
    labels, sources, made, truth = zip(*rows, strict=True)
    sheet = contact_sheet([("input", sources), ("made", made), ("truth", truth)], labels)
    path = output.with_name(f"{output.stem}-sheet.png")
    write_bytes(path, encode(Picture(sheet), "PNG"))
    return path


def _report(
    fitted: dict[str, Fitted],
    parameters: int,
    size_bytes: int,
    output: Path,
    sheet: Path | None,
    json: bool,
) -> None:
    rows = [row for done in fitted.values() for row in done.scores]
    if json:
        give_json(
            {
                "model": str(output),
                "bytes": size_bytes,
                "parameters": parameters,
                "sheet": None if sheet is None else str(sheet),
                "pairs": {target: len(done.stack.pairs) for target, done in fitted.items()},
                "settings": {t: done.recipe.parameters() for t, done in fitted.items()},
                "held_out": scores_as_json(rows),
            }
        )
        return
    if rows:
        say("held-out people:")
        give(table(rows))
    say(f"wrote {output} ({parameters:,} parameters, {size_bytes / 1024:.0f} KiB)")
    if sheet is not None:
        say(f"wrote {sheet}")
