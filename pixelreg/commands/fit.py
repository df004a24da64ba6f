"""``pixelreg fit``: from a folder of pairs to a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from pixelreg.api import LOCAL_MODEL
from pixelreg.commands import options
from pixelreg.commands.console import progress, report_problems, say, show_found
from pixelreg.commands.fit_report import cv_table, save_sums, tell, write_sheet
from pixelreg.data.crops import Cutter
from pixelreg.data.pairs import Pair, Pairing
from pixelreg.data.pools import scan_all
from pixelreg.errors import PixelregError, UsageError
from pixelreg.faces.locate import Locator
from pixelreg.fitting.checkpoint import Checkpoint, facts_of, fingerprint
from pixelreg.fitting.learn import Workers, learn, local_workers, make_parts
from pixelreg.fitting.recipe import (
    PAPER_SIZE,
    Fitted,
    Recipe,
    check_options,
    choose_frame,
    choose_held_out,
    choose_kind,
    choose_pairings,
    kinds_of_paper,
    kinds_with_sums,
    make_model,
    paper_recipe,
)
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
    help="Flow and ridge, Pixel-RR, Pixel-KR, masked ridge, sparse fields, or one ridge on whole "
    "pictures; auto takes flow for photographs of faces where OpenCV is installed, else rr.",
)
@options.integer("--size", 11, 2048, 128, "Side of the model's pictures in pixels.")
@click.option(
    "--preset",
    type=click.Choice(["paper"]),
    help="The paper's every setting, for rr, kr, or the mr and full that it compares with.",
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
@click.option(
    "--field",
    type=click.IntRange(1, 15),
    help="Side of what a pixel sees, odd, for mr and lsrf. [default: 3; lsrf: 5]",
)
@click.option(
    "--pixels",
    type=click.IntRange(1),
    help="How many pixels of its field a pixel chooses, for lsrf. [default: 4]",
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
    type=options.SUMS_FILE,
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
@options.output(
    options.MODEL_FILE,
    LOCAL_MODEL,
    "Model file; NAME.safetensors gets a contact sheet NAME-sheet.png beside it.",
)
@options.as_json
def fit(
    data: tuple[Path, ...],
    layout: str,
    views: tuple[str, ...],
    source: str | None,
    expressions: tuple[str, ...],
    kind: str,
    preset: str | None,
    size: int,
    alpha: float | None,
    sigma: float | None,
    prior: str | None,
    field: int | None,
    pixels: int | None,
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
      pixelreg fit --data KDEF/ --data RaFD/ --model rr
      pixelreg fit --data part1/ --model rr --sums part1.sums
    """
    given = {"alpha": alpha, "sigma": sigma, "prior": prior}
    given |= {"receptive_field": field, "pixels": pixels}
    settings = check_settings(None if kind == "auto" else kind, given)
    if preset and (settings or cv or size != PAPER_SIZE or kind not in ("auto", *kinds_of_paper())):
        able = " or ".join(kinds_of_paper())
        raise UsageError(f"--preset paper is for {able}, and sets everything else by itself")
    streaming = {"--sums": sums_file, "--resume": resume, "--cluster": cluster}
    asked = ", ".join(name for name, value in streaming.items() if value)
    _check_streaming(asked, None if kind == "auto" else kind, cv)
    listing = scan_all(data, layout, views=views)
    pairings = choose_pairings(listing, source or listing.source, expressions)
    show_found(listing, pairings)
    pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
    held_out = choose_held_out([pair.person for pair in pairs], holdout, seed)
    frame = choose_frame(listing, pairs, locator)
    say(f"  {_alignment(frame, pairs, locator)}")
    if kind == "auto":
        among = kinds_of_paper() if preset else kinds_with_sums() if sums_file or cluster else ()
        kind = _choose_kind(frame, settings, among)
    _check_streaming(asked, kind, cv)
    recipes = {
        target: replace(
            paper_recipe(kind, target) if preset else Recipe(kind, settings, size),
            backend=computing.backend,
            threads=computing.threads,
        )
        for target in pairings
    }
    cutter = Cutter(size, frame, locator)
    checkpoint = None
    if not cv and kind in kinds_with_sums():
        partial = output.with_name(f"{output.name}.partial")
        mark = fingerprint(
            make_parts(pairings, held_out), facts_of(kind, cutter, pairs), listing.root
        )
        checkpoint = Checkpoint(partial, mark, _resumes(partial, resume))
    fitted = _learn(pairings, recipes, held_out, cutter, checkpoint, cluster, seed if cv else None)
    report_problems([problem for done in fitted.values() for problem in done.problems], len(pairs))
    for target, done in fitted.items():
        computing.show(done.backend)
        if cv:
            say(cv_table(target, done.tried))
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
        save_sums(sums_file, model, fitted)
    if checkpoint is not None:
        checkpoint.remove()
    sheet = write_sheet(fitted, output)
    tell(fitted, model.parameters, size_bytes, output, sheet, as_json)
    if dtype != "float32":
        say(
            f"stored as {dtype}: off by at most "
            f"{modelfile.rounding_error(model, dtype):.2f} grey levels"
        )


def check_settings(kind: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given, by the estimator's names; any kind's where it is None."""
    for option, name in (("--lambda", "alpha"), ("--sigma", "sigma")):
        number = given.get(name)
        if number is not None and not 0 < number < float("inf"):
            raise UsageError(f"{option} must be a number above 0, not {number}")
    field = given.get("receptive_field")
    if field is not None and not field % 2:
        raise UsageError(f"--field must be odd, so that it has a middle, not {field}")
    settings = {name: value for name, value in given.items() if value is not None}
    check_options(kind, settings)
    return settings


def _check_streaming(asked: str, kind: str | None, cv: bool) -> None:
    """Refuse options of streams for what cannot be streamed; any kind may come where it is None."""
    if asked and (cv or kind not in (None, *kinds_with_sums())):
        what = "--cv" if cv else f"--model {kind}"
        raise UsageError(
            f"{asked}: only for --model rr or kr without --cv, which need sums of the "
            f"pairs alone; {what} needs the pairs themselves"
        )


def _choose_kind(frame: Frame | None, settings: Mapping[str, Any], among: Sequence[str]) -> str:
    """The best kind for what was asked and found, told to the person at the terminal."""
    kind = choose_kind(frame, settings, among)
    say(f"  fitting {kind}")
    if frame and find_spec("cv2") is None and kind == choose_kind(None, {}):
        say(
            "  (flow, the model made for photographs, needs OpenCV: "
            "python -m pip install 'pixelreg[align]')"
        )
    return kind


def _learn(
    pairings: Mapping[str, Pairing],
    recipes: Mapping[str, Recipe],
    held_out: frozenset[str],
    cutter: Cutter,
    checkpoint: Checkpoint | None,
    cluster: str | None,
    cv_seed: int | None,
) -> dict[str, Fitted]:
    """Fit on this machine or a cluster, and say where an interrupted fit left its sums."""
    total = sum(len(pairing.pairs) for pairing in pairings.values())
    try:
        with (
            _workers(cutter, total, cluster, next(iter(recipes.values()))) as workers,
            progress(f"reading {', '.join(pairings)}") as update,
        ):
            return learn(pairings, recipes, held_out, workers, checkpoint, update, cv_seed)
    except (KeyboardInterrupt, PixelregError):
        if checkpoint is not None and checkpoint.written:
            say(f"  {checkpoint.path} keeps what was read; go on with --resume")
        raise


def _workers(
    cutter: Cutter, pairs: int, cluster: str | None, recipe: Recipe
) -> AbstractContextManager[Workers]:
    if cluster is None or recipe.sums is None:
        return local_workers(cutter, pairs)
    from pixelreg.fitting.cluster import cluster_workers

    return cluster_workers(cluster, cutter, recipe.sums)


def _resumes(checkpoint: Path, wanted: bool) -> bool:
    there = checkpoint.exists()
    if wanted:
        how = f"going on from {checkpoint}" if there else "no checkpoint: starting anew"
        say(f"  {how}")
    elif there:
        say(f"  ignoring {checkpoint} of an earlier run (--resume goes on from it)")
    return wanted and there


def _alignment(frame: Frame | None, pairs: Sequence[Pair], locator: Locator) -> str:
    """How the pictures are aligned, and what finds the faces."""
    if frame is None:
        return "taken as aligned already: the centre square of each picture"
    photos = [photo for pair in pairs for photo in (pair.source, pair.target)]
    given = sum(photo.landmarks is not None for photo in photos)
    ways = [f"{given} pictures by their landmark files"] if given else []
    if given < len(photos):
        ways.append(f"{len(photos) - given} pictures by the {locator.detector_.name} detector")
    return f"to be aligned by the eyes: {', '.join(ways)}"
