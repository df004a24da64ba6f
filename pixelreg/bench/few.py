"""How quality grows with the people who are learnt from.

The paper's claim is that a few hundred pictures are enough where GANs want millions.
"""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.bench.models import Contender, Fitted
from pixelreg.bench.plots import curves
from pixelreg.bench.quality import Scores, scores
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.data.crops import Stack
from pixelreg.evaluation.comparison import UNTOUCHED

PEOPLE = (5, 10, 20, 40, 60)
SCORES = ("psnr", "psnr gain", "ssim", "ssim gain", "mae", "sharp")
COLUMNS = (
    Column("model"),
    Column("learnt from"),
    Column("judged"),
    Column("PSNR dB", 2),
    Column("PSNR gain", 2),
    Column("SSIM", 4),
    Column("SSIM gain", 4),
    Column("MAE", 2),
    Column("sharp", 2),
)
NOTES = (
    "The people learnt from are nested: the first 5 are among the first 10. One draw of them, so "
    "a step of a few hundredths of a dB means nothing.",
    "A model that came as a file is a level line: it has learnt from as many as it did.",
)


def measure(setting: Setting) -> Table:
    """Fit to more and more people, judge on the same others."""
    rows: list[tuple[Cell, ...]] = []
    fold = setting.folds()[0]
    counts: list[int] = []
    learners = [one for one in setting.taking_part if isinstance(one, Fitted)]
    for done, one in enumerate(setting.taking_part):
        setting.update(done, len(setting.taking_part))
        learning, held_out = setting.split(fold, one.size, one.frame)
        names = sorted(set(learning.people))
        order = [str(name) for name in np.random.default_rng(setting.seed).permutation(names)]
        counts = [count for count in PEOPLE if count < len(order)]
        counts.append(min(len(order), PEOPLE[-1]))
        for count in counts if one in learners else [0]:
            chosen = learning.select(frozenset(order[:count])) if count else learning
            rows.append(_row(one, count, chosen, held_out))
    setting.update(1, 1)
    judged = setting.judged()
    means = {k: float(np.mean(v)) for k, v in _scores(judged, judged.sources).items()}
    rows.append((UNTOUCHED, None, len(judged.pairs), *_cells(means)))
    notes = [setting.told(), *NOTES, *setting.absent]
    if counts and counts[-1] < PEOPLE[-1]:
        notes.append(f"There are not {PEOPLE[-1]} people to learn from: up to {counts[-1]}.")
    return Table(
        "few",
        "Quality against the people learnt from",
        "The same people are judged each time.",
        COLUMNS,
        tuple(rows),
        tuple(notes),
        (_figure(rows),),
    )


def _row(one: Contender, count: int, learning: Stack, held_out: Stack) -> tuple[Cell, ...]:
    found = _scores(held_out, one.made(learning, held_out.sources))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return one.name, count or None, len(held_out.pairs), *_cells(means)


def _scores(held_out: Stack, made: Pixels) -> Scores:
    return scores(made, held_out.sources, held_out.targets)


def _cells(means: dict[str, float]) -> tuple[float, ...]:
    return tuple(means[name] for name in SCORES)


def _figure(rows: list[tuple[Cell, ...]]) -> Figure:
    # Gains, as models with crops of their own have an untouched input of their own.
    places = {
        "PSNR over the input, dB": 4,
        "SSIM over the input": 6,
        "sharpness over the input's": 8,
    }
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {title: {} for title in places}
    level: dict[str, dict[str, float]] = {title: {} for title in places}
    for row in rows:
        for title, place in places.items():
            value = float(row[place] or 0)
            if row[1] is None:
                level[title][str(row[0])] = value
            else:
                points = panels[title].setdefault(str(row[0]), [])
                points.append((float(row[1]), value))
    caption = "Quality on the same held-out people, by how many others were learnt from."
    return Figure("few-curves", caption, curves(panels, "people learnt from", level))
