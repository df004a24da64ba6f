"""Rows of scores: a model, or the untouched input, against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.evaluation.metrics import mae, psnr, ssim

UNTOUCHED = "untouched input"


@dataclass(frozen=True)
class Scores:
    """Means over the judged pictures.

    expression, method : what was made, and by what.
    psnr : dB; ssim : -1..1; mae : grey levels.
    """

    expression: str
    method: str
    count: int
    psnr: float
    ssim: float
    mae: float


def score(expression: str, method: str, predicted: Pixels, truth: Pixels) -> Scores:
    """Score (N, H, W, 3) uint8 predictions against the truth."""
    values = (float(np.mean(metric(predicted, truth))) for metric in (psnr, ssim, mae))
    return Scores(expression, method, len(truth), *values)


def compare(
    expression: str, sources: Pixels, targets: Pixels, predictions: Mapping[str, Pixels]
) -> list[Scores]:
    """A row for the untouched input and one for every prediction, all (N, H, W, 3) uint8."""
    rows = [score(expression, UNTOUCHED, sources, targets)]
    return rows + [score(expression, name, made, targets) for name, made in predictions.items()]


def table(rows: Sequence[Scores]) -> str:
    """Scores as aligned plain text."""
    cells = [("expression", "method", "n", "PSNR dB", "SSIM", "MAE")]
    cells += [
        (r.expression, r.method, str(r.count), f"{r.psnr:.2f}", f"{r.ssim:.3f}", f"{r.mae:.2f}")
        for r in rows
    ]
    return format_table(cells)


def format_table(cells: Sequence[Sequence[str]]) -> str:
    """Rows of text under a head, aligned: the first two columns left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def as_json(rows: Sequence[Scores]) -> list[dict[str, Any]]:
    """Scores ready for JSON; an infinite PSNR becomes None."""
    return [
        {key: None if value == float("inf") else value for key, value in asdict(row).items()}
        for row in rows
    ]
