"""Curves of a report, drawn by matplotlib without its global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from pixelreg.errors import need

Curve = Sequence[tuple[float, float]]
MOST_TICKS = 12
PURPOSE = "drawing a report's curves"


def check() -> None:
    """Refuse to begin where there is nothing to draw with."""
    need("matplotlib", "matplotlib", "report", PURPOSE)


def curves(
    panels: Mapping[str, Mapping[str, Curve]],
    across: str,
    level: Mapping[str, Mapping[str, float]],
    logarithmic: bool = False,
) -> bytes:
    """A PNG with a diagram a panel.

    panels : title -> label -> points (x, y).
    across : what x is.
    level : title -> label -> a value that does not depend on x, as a dashed line.
    """
    check()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5.2 * len(panels), 3.6), layout="constrained")
    canvas = FigureCanvasAgg(drawing)
    all_axes = drawing.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        for label, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", markersize=3.5, linewidth=1.3, label=label)
        for number, (label, value) in enumerate(level.get(title, {}).items()):
            style = ("--", ":", "-.")[number % 3]
            axes.axhline(value, color="#555", linestyle=style, linewidth=1, label=label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(across, fontsize=9)
        if logarithmic:
            axes.set_xscale("log")
        ticks = sorted({x for points in lines.values() for x, _ in points})
        if len(ticks) <= MOST_TICKS:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    told = {
        label: line
        for axes in all_axes
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(list(told.values()), list(told), loc="outside lower center", ncols=8, fontsize=8)
    return _png(canvas)


def bars(panels: Mapping[str, Mapping[str, float]]) -> bytes:
    """A PNG with a diagram a panel, each of bars that lie: title -> label -> value."""
    check()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(4.6 * len(panels), 2.6), layout="constrained")
    canvas = FigureCanvasAgg(drawing)
    for axes, (title, values) in zip(
        drawing.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        labels = list(values)
        drawn = axes.barh(labels, list(values.values()), color="#4a7ab5")
        axes.bar_label(drawn, [f"{value:.4g}" for value in values.values()], fontsize=8, padding=2)
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.tick_params(labelsize=8)
        axes.set_title(title, fontsize=10)
    return _png(canvas)


def _png(canvas: Any) -> bytes:
    file = io.BytesIO()
    canvas.print_figure(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
