"""What a measurement was made on."""

from __future__ import annotations

import importlib.metadata
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
    "onnxruntime-gpu",
)
CPU_FILE = Path("/proc/cpuinfo")  # Linux's


def describe() -> dict[str, Any]:
    """Processor, cores, system, Python and package versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def in_words() -> str:
    """The same in a line."""
    facts = describe()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, "
        f"Python {facts['python']}; {packages}"
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = CPU_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()
