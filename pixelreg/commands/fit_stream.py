"""``pixelreg fit`` of models that need sums of their pairs alone: streams and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL

from pixelreg import __version__
from pixelreg.backends.array import ArrayBackend
from pixelreg.commands.console import progress, say
from pixelreg.data.crops import Cutter
from pixelreg.data.pairs import Pair, Pairing
from pixelreg.data.photos import Listing
from pixelreg.errors import PixelregError, UsageError
from pixelreg.fitting import sumsfile
from pixelreg.fitting.checkpoint import Checkpoint, fingerprint
from pixelreg.fitting.learn import Workers, fit_streamed, local_workers, make_parts
from pixelreg.fitting.recipe import Fitted, Recipe
from pixelreg.fitting.sumsfile import Sums, TrainingSums
from pixelreg.fitting.tally import Part
from pixelreg.models.model import Model


@dataclass(frozen=True)
class Streaming:
    """How a stream is read.

    Attributes
    ----------
    sums : file for the sums, or None.
    resume : whether to go on from a checkpoint.
    cluster : address of a Dask scheduler, ``local``, or None for this machine's own processes.
    """

    sums: Path | None = None
    resume: bool = False
    cluster: str | None = None

    @property
    def asked(self) -> str:
        """The options that were given, as text; empty for none."""
        given = {"--sums": self.sums, "--resume": self.resume, "--cluster": self.cluster}
        return ", ".join(name for name, value in given.items() if value)

    def check(self, kind: str, cv: bool) -> None:
        """Refuse what cannot be streamed."""
        if self.asked and (cv or kind not in sumsfile.KINDS):
            what = "--cv" if cv else f"--model {kind}"
            raise UsageError(
                f"{self.asked}: only for --model rr or kr without --cv, which need sums of the "
                f"pairs alone; {what} needs the pairs themselves"
            )


def fit_from_stream(
    listing: Listing,
    pairings: Mapping[str, Pairing],
    recipes: Mapping[str, Recipe],
    held_out: frozenset[str],
    cutter: Cutter,
    checkpoint_file: Path,
    how: Streaming,
    backend: ArrayBackend | None = None,
) -> tuple[dict[str, Fitted], dict[str, Sums], Checkpoint]:
    """Fit every target from a stream of its pairs; the caller removes the checkpoint."""
    parts = make_parts(pairings, held_out)
    total = sum(len(part.pairs) for part in parts)
    recipe = next(iter(recipes.values()))
    options = {
        "kind": recipe.kind,
        "size": cutter.size,
        "frame": None if cutter.frame is None else asdict(cutter.frame),
        "detector": _detector(cutter, parts),
        "source": parts[0].pairs[0].source.expression if parts[0].pairs else None,
        "versions": [__version__, PIL.__version__],
    }
    checkpoint = Checkpoint(checkpoint_file, fingerprint(parts, options, listing.root))
    resume = _resumes(checkpoint, how.resume)
    try:
        with (
            _workers(cutter, total, how.cluster, recipe.kind) as workers,
            progress(f"reading {', '.join(pairings)}") as update,
        ):
            fitted, sums = fit_streamed(
                parts, recipes, workers, checkpoint, resume, update, backend
            )
    except (KeyboardInterrupt, PixelregError):
        if checkpoint.written:
            say(f"  {checkpoint.path} keeps what was read; go on with --resume")
        raise
    return fitted, sums, checkpoint


def save_sums(
    path: Path, model: Model, sums: Mapping[str, Sums], fitted: Mapping[str, Fitted]
) -> None:
    """Write the sums of a fitted model."""
    people = {pair.person for done in fitted.values() for pair in done.pairs}
    training = TrainingSums(
        sums,
        sumsfile.person_hashes(people),
        model.kind,
        model.settings,
        model.size,
        model.source,
        model.frame,
        model.provenance,
    )
    sumsfile.save(training, path)
    say(f"wrote {path} ({path.stat().st_size / 1024:.0f} KiB)")


def _workers(
    cutter: Cutter, pairs: int, cluster: str | None, kind: str
) -> AbstractContextManager[Workers]:
    if cluster is None:
        return local_workers(cutter, pairs)
    from pixelreg.fitting.cluster import cluster_workers

    return cluster_workers(cluster, cutter, kind)


def _resumes(checkpoint: Checkpoint, wanted: bool) -> bool:
    there = checkpoint.path.exists()
    if wanted:
        how = f"going on from {checkpoint.path}" if there else "no checkpoint: starting anew"
        say(f"  {how}")
    elif there:
        say(f"  ignoring {checkpoint.path} of an earlier run (--resume goes on from it)")
    return wanted and there


def _detector(cutter: Cutter, parts: Sequence[Part]) -> list[Any] | None:
    """What finds faces, or None where nothing has to."""
    pairs: list[Pair] = [pair for part in parts for pair in part.pairs]
    photos = (photo for pair in pairs for photo in (pair.source, pair.target))
    if cutter.frame is None or all(photo.landmarks is not None for photo in photos):
        return None
    file = cutter.locator.detector_file
    return [cutter.locator.detector_.name, None if file is None else str(file.absolute())]
