"""``pixelreg fit``: from a folder of pairs to a model file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from pixelreg.api import LOCAL_MODEL
from pixelreg.backends import get_backend
from pixelreg.commands import options
from pixelreg.commands.console import progress, report_problems, say, show_found
from pixelreg.commands.fit_report import cv_table, report, write_sheet
from pixelreg.commands.fit_stream import Streaming, fit_from_stream, save_sums
from pixelreg.data.crops import Cutter, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import Pair
from pixelreg.errors import PixelregError, UsageError
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import (
    PAPER_SIZE,
    Recipe,
    choose_frame,
    choose_held_out,
    choose_kind,
    choose_pairings,
    fit_target,
    make_model,
    paper_recipe,
)
from pixelreg.fitting.sumsfile import KINDS, Sums
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame
from pixelreg.regression import ESTIMATORS


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
@options.computing
@click.option(
    "--sums",
    "sums_file",
    type=options.NEW_FILE,
    help="Write the sums of the pairs to this .sums file too, for pixelreg merge (rr, kr).",
)
@click.option(
    "--resume", is_flag=True, help="Go on from the checkpoint of an interrupted fit (rr, kr)."
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Read and sum on a Dask cluster: tcp://HOST:PORT, or local (rr, kr; extra cluster).",
)
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
    computing: options.Computing,
    sums_file: Path | None,
    resume: bool,
    cluster: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Learn one or more expressions from a folder of pairs.

    The scores are those of people whom the fitted model has not seen; the model that is saved
    then learns from everybody. A contact sheet of the held-out people is written beside it.

    Pixel-RR and Pixel-KR stream: memory does not grow with the number of pairs, and a checkpoint
    MODEL.partial lets --resume go on after an interruption. Other models, and --cv, hold all pairs
    in memory.

    \b
    Examples:
      pixelreg fit --data KDEF/
      pixelreg fit --data KDEF/ --preset paper
      pixelreg fit --data london/ --expr happy --model kr --cv -o happy.safetensors
      pixelreg fit --data part1/ --model rr --sums part1.sums
    """
    settings = check_settings(kind, alpha, sigma, prior)
    if preset and (settings or cv or size != PAPER_SIZE or kind not in ("auto", "rr", "kr")):
        raise UsageError("--preset paper is for rr or kr, and sets everything else by itself")
    streaming = Streaming(sums_file, resume, cluster)
    streaming.check("rr" if kind == "auto" else kind, cv)
    check_output(output)
    if sums_file is not None:
        check_output(sums_file, ".sums", "the file of sums")
    listing = scan(data, layout)
    pairings = choose_pairings(listing, source or listing.source, expressions)
    show_found(listing, pairings)
    pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
    held_out = choose_held_out([pair.person for pair in pairs], holdout, seed)
    frame = choose_frame(listing, pairs, locator)
    say(f"  {_alignment(frame, pairs, locator)}")
    if kind == "auto":
        kind = "rr" if preset else choose_kind(frame, settings)
        if kind not in KINDS and (sums_file or cluster):
            kind = "rr"
        say(f"  fitting {kind}")
        if frame and kind == "rr" and find_spec("cv2") is None:
            say(
                "  (flow, the model made for photographs, needs OpenCV: "
                "python -m pip install 'pixelreg[align]')"
            )
    streaming.check(kind, cv)
    recipes = {
        target: replace(
            paper_recipe(kind, target) if preset else Recipe(kind, settings, size),
            backend=computing.backend,
            threads=computing.threads,
        )
        for target in pairings
    }
    checkpoint, sums = None, dict[str, Sums]()
    if kind in KINDS and not cv:
        backend = get_backend(computing.backend, threads=computing.threads)
        computing.show(backend.name)
        cutter = Cutter(size, frame, locator)
        partial = output.with_name(f"{output.name}.partial")
        fitted, sums, checkpoint = fit_from_stream(
            listing, pairings, recipes, held_out, cutter, partial, streaming, backend
        )
        report_problems([problem for done in fitted.values() for problem in done.problems])
    else:
        fitted = {}
        for target, pairing in pairings.items():
            with progress(f"reading {target}") as update:
                stack = load_stack(pairing.pairs, size, frame, locator, update)
            report_problems(stack.problems)
            fitted[target] = fit_target(
                target, stack, recipes[target], held_out, seed if cv else None
            )
            computing.show(fitted[target].backend)
            if cv:
                say(cv_table(target, fitted[target].tried))
    model = make_model(
        {target: done.plan for target, done in fitted.items()},
        {target: done.recipe for target, done in fitted.items()},
        source=pairs[0].source.expression,
        frame=frame,
        listing=listing,
        pairs=[pair for done in fitted.values() for pair in done.pairs],
    )
    size_bytes = modelfile.save(model, output, dtype)
    if sums_file is not None:
        save_sums(sums_file, model, sums, fitted)
    if checkpoint is not None:
        checkpoint.remove()
    sheet = write_sheet(fitted, output)
    report(fitted, model.parameters, size_bytes, output, sheet, as_json)
    if dtype != "float32":
        say(
            f"stored as {dtype}: off by at most "
            f"{modelfile.rounding_error(model, dtype):.2f} grey levels"
        )


def check_output(path: Path, suffix: str = ".safetensors", what: str = "the model file") -> None:
    """Refuse a place that cannot be written to before the work, not after it."""
    if path.suffix.lower() != suffix:
        raise UsageError(f"{what}'s name must end in {suffix}, not {path.name!r}")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PixelregError(f"cannot write {path}: the folder {folder} is not writable")


def check_settings(
    kind: str, alpha: float | None, sigma: float | None, prior: str | None
) -> dict[str, Any]:
    """The parameters that were given, by the estimator's names."""
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


def _alignment(frame: Frame | None, pairs: Sequence[Pair], locator: Locator) -> str:
    """How the pictures are aligned, and what finds the faces."""
    if frame is None:
        return "taken as aligned already: the centre square of each picture"
    photos = [photo for pair in pairs for photo in (pair.source, pair.target)]
    given = sum(photo.landmarks is not None for photo in photos)
    ways = [f"{given} pictures by their landmark files"] if given else []
    if given < len(photos):
        ways.append(f"{len(photos) - given} by the {locator.detector_.name} detector")
    return f"aligned by the eyes: {', '.join(ways)}"
