"""``pixelreg merge``: a model of sums that were made apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pixelreg.api import LOCAL_MODEL
from pixelreg.backends import get_backend
from pixelreg.commands import options
from pixelreg.commands.console import report, say
from pixelreg.commands.fit import check_settings
from pixelreg.errors import UsageError
from pixelreg.fitting import sumsfile
from pixelreg.fitting.merge import as_kind, choose_settings, merge_sums, overlaps, solve_model
from pixelreg.fitting.recipe import kinds_with_sums
from pixelreg.fitting.sumsfile import TrainingSums
from pixelreg.models import file as modelfile


@click.command()
@click.argument("files", nargs=-1, required=True, type=options.FILE, metavar="FILE.sums...")
@click.option(
    "--model",
    "kind",
    type=click.Choice(kinds_with_sums()),
    help="What to fit; sums of kr will do for both. [default: what the sums were made for]",
)
@click.option("--lambda", "alpha", type=float, help="Ridge penalty. [default: that of the fits]")
@click.option("--sigma", type=float, help="Kernel width for kr. [default: that of the fits]")
@click.option(
    "--prior",
    type=click.Choice(["zero", "identity"]),
    help="What rr shrinks to. [default: that of the fits]",
)
@click.option(
    "--dtype",
    type=click.Choice(modelfile.DTYPES),
    default="float32",
    show_default=True,
    help="Numbers in the model file.",
)
@click.option("--sums", "sums_file", type=options.SUMS_FILE, help="Write the merged sums too.")
@options.output(options.MODEL_FILE, LOCAL_MODEL, "Model file.")
@options.as_json
def merge(
    files: tuple[Path, ...],
    kind: str | None,
    alpha: float | None,
    sigma: float | None,
    prior: str | None,
    dtype: str,
    sums_file: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Fit one model to training sets that were summed apart by pixelreg fit --sums.

    The model is bit for bit the one that a fit on all their pictures would give.

    \b
    Examples:
      pixelreg merge part1.sums part2.sums -o all.safetensors
      pixelreg merge part1.sums --lambda 1 --prior identity
    """
    parts: dict[str, TrainingSums] = {}
    for path in files:
        if str(path) in parts:
            raise UsageError(f"{path} is given twice")
        parts[str(path)] = sumsfile.load(path)
    if kind is not None:
        parts = {name: as_kind(part, name, kind) for name, part in parts.items()}
    kind = next(iter(parts.values())).kind
    given = check_settings(kind, {"alpha": alpha, "sigma": sigma, "prior": prior})
    merged = merge_sums(parts)
    settings = choose_settings(parts, kind, given)
    for one, other, count in overlaps(parts):
        say(f"  warning: {one} and {other} share {count} people; pairs in both count twice")
    model = solve_model(merged, settings, get_backend("numpy"))
    size_bytes = modelfile.save(model, output, dtype)
    if sums_file is not None:
        sumsfile.save(replace(merged, settings=settings), sums_file)
    pairs = {target: sums.count for target, sums in merged.sums.items()}
    facts = {
        "model": str(output),
        "bytes": size_bytes,
        "parameters": model.parameters,
        "people": len(merged.people),
        "pairs": pairs,
        "settings": settings,
    }
    counts = [f"{target}: {count} pairs" for target, count in pairs.items()]
    written = f"wrote {output} ({model.parameters:,} parameters, {size_bytes / 1024:.0f} KiB)"
    report(facts, as_json, "", *counts, written)
