"""How the numbers and curves of a measurement are stored, with what it was made on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixelreg.bench.machine import describe


def store(path: Path, **facts: Any) -> None:
    """Write facts as JSON, the machine first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": describe(), **facts}, indent=1) + "\n")


@contextmanager
def figure(
    path: Path, shape: tuple[int, int], size: tuple[float, float], **options: Any
) -> Iterator[Any]:
    """Axes whose drawing goes into a picture file; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    drawing, axes = plt.subplots(*shape, figsize=size, **options)
    yield axes
    drawing.tight_layout()
    drawing.savefig(path, dpi=100)
    plt.close(drawing)
