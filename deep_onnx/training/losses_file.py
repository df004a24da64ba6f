"""The losses of a training: a table on disk, and its curves."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.errors import MissingExtraError, PixelregError
from pixelreg.files import write_bytes

PARTS = ("train", "validation")


class History:
    """Losses by step, of training and of validation.

    The CSV has a row for each step: ``step``, ``train NAME`` …, ``validation NAME`` …; cells are
    empty where nothing was measured. A row is in the file as soon as its step is over.

    path : the CSV file, which is written anew.

    names : part -> names of its losses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, tuple[str, ...]] = dict.fromkeys(PARTS, ())
        self._rows: dict[str, list[list[float]]] = {part: [] for part in PARTS}
        self._head: list[str] = []

    def add(
        self, step: int, train: Mapping[str, float] | None, validation: Mapping[str, float] | None
    ) -> None:
        """Take in what was measured at a step."""
        found = {"train": train or {}, "validation": validation or {}}
        for part, losses in found.items():
            _refuse_nonsense(step, losses)
            if losses:
                self.names[part] = self.names[part] or tuple(losses)
                self._rows[part].append([step, *(losses[name] for name in self.names[part])])
        if self._head == self._columns():
            self._append(self._line(step, found))
        else:
            self.write()

    def series(self, part: str, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps and values of one loss, of ``"train"`` or ``"validation"``."""
        rows = self.arrays()[part]
        return rows[:, 0], rows[:, 1 + self.names[part].index(name)]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Part -> (K, 1 + losses): step and losses, for a checkpoint."""
        return {
            part: np.array(rows, np.float64).reshape(len(rows), 1 + len(self.names[part]))
            for part, rows in self._rows.items()
        }

    def restore(self, names: Mapping[str, list[str]], arrays: Mapping[str, Any]) -> None:
        """Take back what `names` and `arrays` gave, and write the file accordingly."""
        for part in PARTS:
            rows = arrays[part]
            if rows.ndim != 2 or rows.shape[1] != 1 + len(names[part]):
                raise ValueError(f"the losses of {part} do not fit their names")
            self.names[part] = tuple(names[part])
            self._rows[part] = [list(map(float, row)) for row in rows]
        self.write()

    def write(self) -> None:
        """Write the file anew, whole or not at all."""
        steps: dict[int, dict[str, dict[str, float]]] = {}
        for part in PARTS:
            for step, *values in self._rows[part]:
                losses = dict(zip(self.names[part], values, strict=True))
                steps.setdefault(int(step), {})[part] = losses
        self._head = self._columns()
        lines = [self._line(step, found) for step, found in sorted(steps.items())]
        write_bytes(self.path, (_csv(self._head) + "".join(lines)).encode())

    def _columns(self) -> list[str]:
        return ["step", *(f"{part} {name}" for part in PARTS for name in self.names[part])]

    def _line(self, step: int, found: Mapping[str, Mapping[str, float]]) -> str:
        cells = [str(step)]
        for part in PARTS:
            losses = found.get(part, {})
            cells += [f"{losses[n]:.9g}" if n in losses else "" for n in self.names[part]]
        return _csv(cells)

    def _append(self, line: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(line)
        except OSError as error:
            raise PixelregError(f"cannot write {self.path}: {error.strerror or error}") from error


def _refuse_nonsense(step: int, losses: Mapping[str, float]) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise PixelregError(
                f"the loss {name!r} became {value} at step {step}; "
                "start anew with a smaller --learning-rate"
            )


def _csv(cells: list[str]) -> str:
    quoted = [f'"{c.replace(chr(34), chr(34) * 2)}"' if set(c) & set(',"\n') else c for c in cells]
    return ",".join(quoted) + "\n"


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
