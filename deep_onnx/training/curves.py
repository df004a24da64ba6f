"""Curves of all losses as a picture."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from deep_onnx.training.history import PARTS, History
from pixelreg.errors import MissingExtraError

COLUMNS = 3
POINTS = 400  # of a curve; more steps are averaged in groups
COLOURS = {"train": "#3366aa", "validation": "#cc4422"}


def draw(losses: History) -> bytes:
    """A PNG with one diagram for each loss: training as means of steps, with the range in which
    they lie, and validation as dots.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "drawing losses") from error

    names = list(dict.fromkeys(name for part in PARTS for name in losses.names[part]))
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, axis in zip(names, axes, strict=False):
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if name in losses.names["train"]:
            steps, mean, low, high = thinned(*losses.series("train", name))
            axis.fill_between(steps, low, high, color=COLOURS["train"], alpha=0.15, linewidth=0)
            axis.plot(steps, mean, color=COLOURS["train"], linewidth=1.2, label="train")
        if name in losses.names["validation"]:
            steps, values = losses.series("validation", name)
            axis.plot(
                steps, values, "o-", color=COLOURS["validation"], markersize=3, linewidth=0.8,
                label="validation",
            )  # fmt: skip
        axis.legend(fontsize=8, loc="upper right")
    for axis in axes[len(names) :]:
        axis.axis("off")
    buffer = io.BytesIO()
    canvas.print_figure(buffer, format="png")
    return buffer.getvalue()


def thinned(
    steps: NDArray[np.float64], values: NDArray[np.float64], points: int = POINTS
) -> tuple[NDArray[np.float64], ...]:
    """At most ``points`` groups of steps: their last step, and the values' mean, least and most."""
    group = -(-len(steps) // points) or 1
    starts = np.arange(0, len(steps), group)
    lengths = np.diff(np.append(starts, len(steps)))
    mean = np.add.reduceat(values, starts) / lengths
    last = steps[starts + lengths - 1]
    return last, mean, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
