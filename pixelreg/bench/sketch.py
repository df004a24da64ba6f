"""Face2Sketch's figures 12 to 24: auto-encoders, pix2pix and CycleGAN, both ways, with curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.bench.plots import curves
from pixelreg.bench.quality import scores
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.bench.taught import (
    BATCH,
    NOT_CHOSEN,
    SIZE,
    WIDTH,
    best,
    classroom,
    length,
    mean_and_doubt,
)
from pixelreg.data.crops import Cutter
from pixelreg.data.layouts import scan
from pixelreg.data.photos import Listing
from pixelreg.data.sketch import write_sketches
from pixelreg.evaluation.comparison import UNTOUCHED
from pixelreg.fitting.recipe import Recipe
from pixelreg.pictures.sheet import contact_sheet

PHOTO, SKETCH = "photo", "sketch"
WAYS = ((PHOTO, SKETCH), (SKETCH, PHOTO))
STEPS, QUICK_STEPS = 700, 10
SHARES = (0.2, 0.4, 1.0)  # of the steps: the paper's 20, 40 and 100 epochs
CYCLE = 4  # times fewer steps of CycleGAN, which costs most
LOSSES, LATENTS = ("mse", "mae", "bce"), (2, 4, 12)
STANDARD = "CAE, mse"
SHOWN, CELL = 4, 96
COLUMNS = (
    Column("way"),
    Column("network"),
    Column("steps"),
    Column("epochs", 1),
    Column("seconds", 1),
    Column("PSNR dB", 2),
    Column("over CAE, mse", 2),
    Column("± 95 %", 2),
    Column("SSIM", 4),
    Column("MAE", 2),
)
NOTES = (
    "CAE: the convolutional auto-encoder by the loss that it minimises. CVAE: the variational one "
    "by the length of its latent. pix2pix: one training, looked at after 20, 40 and 100 % of it. "
    "CycleGAN: one training learns both ways, without pairs.",
    f"Over {STANDARD}: PSNR above that network's on the same pictures, and 1.96 standard errors of "
    "the mean; a smaller difference means nothing.",
    "Rates of learning are each kind's own; the paper gives none.",
)


@dataclass(frozen=True)
class Row:
    """A network after some steps, one way; ``pictures`` are what it made of judged people."""

    way: tuple[str, str]
    name: str
    pictures: Pixels
    learnt: Any = None


def measure(setting: Setting) -> Table:
    """Teach every network both ways on the same people, and judge it on the same others."""
    listing = _drawn(setting)
    room = classroom(setting, listing, PHOTO)
    steps = length(setting, STEPS, QUICK_STEPS)
    rows = [row for way in WAYS for row in _paired(room, way, steps, setting)]
    rows += _unpaired(room, max(1, steps // CYCLE), setting)
    setting.update(1, 1)
    learning, held_out = room.kept[next(iter(room.kept))]
    stacks = {way: _stack(room, way) for way in WAYS}
    closed = [row for way in WAYS for row in _closed(room, way)]
    cells = [each for way in WAYS for each in _cells(way, [*closed, *rows], *stacks[way])]
    people = len(set(learning.people))
    return Table(
        "sketch",
        "Photographs to sketches, and back",
        "Auto-encoders with three losses and three latents, pix2pix and CycleGAN, both ways "
        "(Face2Sketch, Figs. 12 to 24).",
        COLUMNS,
        tuple(cells),
        (
            _whose(setting, people, len(set(held_out.people))),
            f"{SIZE} x {SIZE} pixels, width {WIDTH}, {BATCH} pictures a step, {steps} steps each; "
            "CycleGAN a quarter of that, and one picture a step.",
            NOT_CHOSEN,
            *NOTES,
            *_claims(cells),
        ),
        (*_sheets(rows, stacks), *_figures(rows)),
    )


def _drawn(setting: Setting) -> Listing:
    """The pairs of photographs and sketches that were given; or photographs, and drawn sketches."""
    if {PHOTO, SKETCH} <= set(setting.listing.expressions):
        return setting.listing
    photos = list(dict.fromkeys(one.source for one in setting.pairs))
    folder = setting.scratch / "sketches"
    write_sketches(photos, folder, Cutter(2 * SIZE, setting.frame, setting.locator))
    return scan(folder, "sketches")


def _whose(setting: Setting, learning: int, judged: int) -> str:
    given = {PHOTO, SKETCH} <= set(setting.listing.expressions)
    whose = "as given" if given else "drawn by the filter of pixelreg data sketch, no artist's"
    return f"{learning} people learnt from, {judged} judged; sketches {whose}."


def _paired(room: Any, way: tuple[str, str], steps: int, setting: Setting) -> Iterator[Row]:
    source, target = way
    same = {"width": WIDTH, "batch": BATCH, "seed": setting.seed}

    def taught(name: str, lengths: Sequence[int], **options: Any) -> Any:
        return room.teach(name, lengths, target, source, **same, **options)

    for loss in LOSSES:
        (one,) = taught("cae", [steps], loss=loss)
        yield Row(way, f"CAE, {loss}", one.made, one)
    for latent in LATENTS:
        (one,) = taught("cvae", [steps], latent=latent)
        yield Row(way, f"CVAE, latent {latent}", one.made, one)
    lengths = [max(k, round(steps * share)) for k, share in enumerate(SHARES, 1)]
    for share, one in zip(SHARES, taught("pix2pix", lengths), strict=True):
        yield Row(way, f"pix2pix, {share:.0%}", one.made, one)


def _unpaired(room: Any, steps: int, setting: Setting) -> list[Row]:
    same = {"width": WIDTH, "batch": 1, "seed": setting.seed}
    (one,) = room.teach("cyclegan", [steps], SKETCH, PHOTO, **same)
    return [Row(WAYS[0], "CycleGAN", one.made, one), Row(WAYS[1], "CycleGAN", one.back, one)]


def _closed(room: Any, way: tuple[str, str]) -> list[Row]:
    """The untouched input, and one regression a pixel."""
    learning = next(kept[0] for key, kept in room.kept.items() if key[1:] == way)
    stack = learning.stacks[way[1]]
    sources, _ = _stack(room, way)
    plan = Recipe("rr", size=SIZE).fit(stack)
    made = get_backend().apply(plan, sources)
    return [Row(way, UNTOUCHED, sources), Row(way, "Pixel-RR", made)]


def _stack(room: Any, way: tuple[str, str]) -> tuple[Pixels, Pixels]:
    """Sources and truths of judged people."""
    held_out = next(kept[1] for key, kept in room.kept.items() if key[1:] == way)
    stack = held_out.stacks[way[1]]
    return stack.sources, stack.targets


def _cells(
    way: tuple[str, str], rows: Sequence[Row], sources: Pixels, truth: Pixels
) -> Iterator[tuple[Cell, ...]]:
    """The table's rows of a way."""
    own = [row for row in rows if row.way == way]
    found = {row.name: scores(row.pictures, sources, truth) for row in own}
    standard = found[STANDARD]["psnr"]
    for row in own:
        score, one = found[row.name], row.learnt
        over, sure = mean_and_doubt(score["psnr"] - standard)
        told = (None,) * 3 if one is None else (one.steps, one.epochs, one.seconds)
        means = (float(np.mean(score[name])) for name in ("psnr", "ssim", "mae"))
        near, like, off = means
        apart = (None, None) if row.name == STANDARD else (over, sure)
        yield " to ".join(way), row.name, *told, near, *apart, like, off


def _claims(cells: Sequence[tuple[Cell, ...]]) -> Iterator[str]:
    """What the paper says of losses, held against the rows."""
    for way in WAYS:
        found = {str(row[1]): row for row in cells if row[0] == " to ".join(way)}
        told = {
            score: best((loss, float(found[f"CAE, {loss}"][at] or 0)) for loss in LOSSES)
            for score, at in (("PSNR", 5), ("SSIM", 8))
        }
        said = "mse best" if way == WAYS[0] else "mse best, then bce, then mae"
        ours = "; ".join(f"{score}: {line}" for score, line in told.items())
        yield f"{' to '.join(way)}, losses of the CAE. The paper: {said}. Here {ours}."


def _sheets(
    rows: Sequence[Row], stacks: dict[tuple[str, str], tuple[Pixels, Pixels]]
) -> Iterator[Figure]:
    for way in WAYS:
        sources, truth = stacks[way]
        sides = {"input": sources, **{row.name: row.pictures for row in rows if row.way == way}}
        columns = [(k, list(p[:SHOWN])) for k, p in {**sides, "truth": truth}.items()]
        words = " to ".join(way)
        caption = f"{words.capitalize()}: people who were not learnt from."
        name = f"sketch-{way[0]}-{way[1]}"
        yield Figure.sheet(name, caption, contact_sheet(columns, cell=CELL))


def _figures(rows: Sequence[Row]) -> Iterator[Figure]:
    """Curves of training and validation, a panel a network, both ways in it."""
    groups = {
        "CAE": ("Figs. 13 and 14", {f"CAE, {loss}": loss for loss in LOSSES}),
        "CVAE": ("Figs. 17 and 18", {f"CVAE, latent {n}": "mse" for n in LATENTS}),
    }
    for name, (figure, members) in groups.items():
        panels = {
            member: _lines(rows, member, (f"training {loss}", f"validation {loss}"))
            for member, loss in members.items()
        }
        caption = f"{name}: what is minimised, by epoch ({figure}; of the CVAE its squared error)."
        yield Figure(f"sketch-{name.lower()}", caption, curves(panels, "epochs", {}))
    last = f"pix2pix, {SHARES[-1]:.0%}"
    gans = {
        "pix2pix, L1": _lines(rows, last, ("training l1", "validation l1")),
        "pix2pix, G and D": _lines(rows, last, ("training adversarial", "training discriminator")),
        "CycleGAN": _all_lines(rows[-1].learnt),
    }
    caption = "Losses of pix2pix and CycleGAN by epoch (Figs. 21 and 24)."
    yield Figure("sketch-gans", caption, curves(gans, "epochs", {}))


def _lines(rows: Sequence[Row], name: str, losses: Sequence[str]) -> dict[str, Any]:
    """Curves by way and loss; a panel's own loss is in its title."""
    own = name.rpartition(" ")[2] in LOSSES
    return {
        f"{row.way[0]} to {row.way[1]}, {loss.partition(' ')[0] if own else loss}": (
            row.learnt.curves[loss]
        )
        for row in rows
        if row.name == name
        for loss in losses
    }


def _all_lines(learnt: Any) -> dict[str, Any]:
    """All losses of a training, each over its first value, as they are of several sizes."""
    return {
        name: [(x, y / (line[0][1] or 1.0)) for x, y in line]
        for name, line in learnt.curves.items()
        if len(line) and np.isfinite([y for _, y in line]).all()
    }
