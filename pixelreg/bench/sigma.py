"""Fig. 5 of Pixel-based Facial Expression Synthesis: what the kernel's width does."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.bench.plots import curves
from pixelreg.bench.quality import CELL, scores
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.evaluation.comparison import UNTOUCHED
from pixelreg.fitting.recipe import Recipe
from pixelreg.pictures.sheet import contact_sheet

SIGMAS = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)
ALPHA = 0.4  # lambda of section IV
KERNEL, RIDGE = "Pixel-KR", "Pixel-RR"
SHOWN = 4  # people on the sheet
COLUMNS = (
    Column("model"),
    Column("sigma", 1),
    Column("parameters"),
    Column("PSNR dB", 2),
    Column("gain dB", 2),
    Column("SSIM", 4),
    Column("MAE", 2),
    Column("sharp", 2),
    Column("from Pixel-RR", 2),
)
NOTES = (
    f"Lambda is {ALPHA} throughout, as in the paper; pixels lie on [0, 1], a scale that the paper "
    "does not name.",
    "From Pixel-RR: root mean square difference to Pixel-RR's pictures, in grey levels. The paper "
    "remarks that some sigma gives pictures like Pixel-RR's.",
    "Eq. 8 has no bias, so a wide kernel with few pairs keeps little but the mean picture.",
)


def measure(setting: Setting) -> Table:
    """Fit Pixel-KR with every sigma to the same people, and judge it on the same others."""
    learning, held_out = setting.learning(), setting.judged()
    ridge = _made(Recipe("rr", {"alpha": ALPHA}, setting.size), setting)[0]
    sheet = [("input", list(held_out.sources)), (RIDGE, list(ridge))]
    rows: list[tuple[Cell, ...]] = []
    for done, sigma in enumerate(SIGMAS):
        setting.update(done, len(SIGMAS))
        recipe = Recipe("kr", {"alpha": ALPHA, "sigma": sigma}, setting.size)
        made, parameters = _made(recipe, setting)
        rows.append((KERNEL, sigma, parameters, *_scored(setting, made), _apart(made, ridge)))
        sheet.append((f"sigma {sigma:g}", list(made)))
    setting.update(1, 1)
    sheet.append(("truth", list(held_out.targets)))
    rows.append((RIDGE, None, 2 * ridge[0].size, *_scored(setting, ridge), 0.0))
    untouched = _scored(setting, held_out.sources)
    rows.append((UNTOUCHED, None, None, *untouched, _apart(held_out.sources, ridge)))
    shown = [(label, pictures[:SHOWN]) for label, pictures in sheet]
    people = list(held_out.people[:SHOWN])
    who = f"{len(set(learning.people))} people learnt from, {len(held_out.pairs)} pictures judged"
    return Table(
        "sigma",
        "What the kernel's width does",
        "Pixel-KR with six widths (Pixel-based Facial Expression Synthesis, Fig. 5).",
        COLUMNS,
        tuple(rows),
        (setting.told(), f"First split: {who}.", *NOTES),
        (
            Figure.sheet(
                "sigma-sheet", "Held-out people, sigma across.", contact_sheet(shown, people, CELL)
            ),
            _figure(rows),
        ),
    )


def _made(recipe: Recipe, setting: Setting) -> tuple[Pixels, int]:
    plan = recipe.fit(setting.learning())
    return get_backend().apply(plan, setting.judged().sources), plan.parameters


def _scored(setting: Setting, made: Pixels) -> tuple[float, ...]:
    judged = setting.judged()
    found = scores(made, judged.sources, judged.targets)
    names = "psnr", "psnr gain", "ssim", "mae", "sharp"
    return tuple(float(np.mean(found[name])) for name in names)


def _apart(made: Pixels, other: Pixels) -> float:
    return float(np.sqrt(np.mean((made.astype(float) - other) ** 2)))


def _figure(rows: list[tuple[Cell, ...]]) -> Figure:
    places = {"PSNR dB": 3, "SSIM": 5, "difference from Pixel-RR": 8}
    kernel = [row for row in rows if row[1] is not None]
    panels = {
        title: {KERNEL: [(float(row[1] or 0), float(row[place] or 0)) for row in kernel]}
        for title, place in places.items()
    }
    level = {
        title: {str(row[0]): float(row[place] or 0) for row in rows if row[1] is None}
        for title, place in places.items()
    }
    caption = "Scores by sigma, and those of Pixel-RR and of the untouched input."
    return Figure("sigma-curves", caption, curves(panels, "sigma", level, logarithmic=True))
