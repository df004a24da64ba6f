"""Networks that a table trains: known as a string, taught on those whom all tables learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.bench.quality import SURE, scores
from pixelreg.bench.setting import Setting
from pixelreg.data.photos import Listing

CLASSROOM = "deep_onnx.measured:classroom"
SIZE, WIDTH, BATCH = 64, 16, 8  # what two cores manage in minutes
Curves = Mapping[str, Sequence[tuple[float, float]]]
NOT_CHOSEN = (
    "Networks are those of the last step, not of the best one: the people who are judged chose "
    "nothing."
)


def classroom(setting: Setting, listing: Listing, source: str) -> Any:
    """Where networks are taught on a listing; the first fold's people are judged."""
    module, _, name = CLASSROOM.partition(":")
    folder = setting.scratch / "trainings"
    folder.mkdir(parents=True, exist_ok=True)
    made = getattr(import_module(module), name)
    return made(listing, source, judged(setting), SIZE, folder, setting.locator, setting.update)


def judged(setting: Setting) -> frozenset[str]:
    """Who is judged: the first fold, by the names that they have there and as folders."""
    return frozenset(name for one in setting.folds()[0] for name in (one, one.replace("/", "-")))


def length(setting: Setting, whole: int, quick: int) -> int:
    """Steps of a training: as many as were asked for, or a table's own."""
    return setting.steps or (quick if setting.quick else whole)


def rated(made: Pixels, sources: Pixels, truth: Pixels) -> tuple[float, ...]:
    """PSNR, its gain over the input, 1.96 standard errors of that, SSIM and MAE, means."""
    found = scores(made, sources, truth)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    gain, sure = mean_and_doubt(found["psnr gain"])
    return means["psnr"], gain, sure, means["ssim"], means["mae"]


def mean_and_doubt(values: Float64) -> tuple[float, float]:
    """The mean of (N,), and 1.96 standard errors of it; no number where there is but one."""
    count = len(values)
    spread = float(values.std(ddof=1)) if count > 1 else float("nan")
    return float(values.mean()), SURE * spread / count**0.5


def best(rows: Iterable[tuple[str, float]]) -> str:
    """Names and values from the highest to the lowest, in words."""
    ordered = sorted(rows, key=lambda row: -row[1])
    return ", ".join(f"{name} {value:.4g}" for name, value in ordered)
