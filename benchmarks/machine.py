"""What a measurement was made on, to be stored beside it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
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
