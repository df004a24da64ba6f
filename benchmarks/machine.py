"""What a measurement was made on, and how its numbers and curves are stored."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "pillow",
    "numba",
    "opencv-python-headless",
    "scikit-learn",
    "torch",
    "onnxruntime",
)


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


def describe() -> dict[str, Any]:
    """Processor, cores, Python and package versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()
