"""What goes wrong on a GPU, in one line, and from how much work on it is worth its start.

CuPy's errors are told by their names, so that nothing of it is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pixelreg.errors import PixelregError

# Importing CuPy, waking the card and compiling for it are reckoned at three seconds, in which a
# core does this many multiply-adds of small dense systems (2 to 9 billion a second were measured).
# Not measured on a GPU: `python -m benchmarks.gpu` measures where the two meet. What only reads
# pictures, as the sums of Pixel-RR do, does not count: they come from the host's memory, which a
# processor reads as fast as the bus to a card does.
GPU_WORK = 30_000_000_000

NO_GPU = "this machine has no NVIDIA GPU that can be used"
# What an error says of itself -> what it means.
MEANT = (
    ("cudaErrorNoDevice|CUDA_ERROR_NO_DEVICE", NO_GPU),
    (
        "cudaErrorInsufficientDriver|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|libcuda",
        "there is no NVIDIA driver, or it is older than the CUDA that CuPy was built for: update "
        "it, or install the CuPy of its CUDA (cupy-cuda12x, cupy-cuda13x)",
    ),
    (
        "cudaErrorNoKernelImageForDevice|invalid value for --gpu-architecture",
        "this CuPy was built for other GPUs than the one here: install a newer one",
    ),
    (
        "OutOfMemory|cudaErrorMemoryAllocation",
        "the GPU has too little memory left for it: take a smaller --size or fewer pictures, or "
        "--backend numba",
    ),
    (
        "CuPy failed to load|CUDA path could not be detected",
        "parts of CUDA are missing: python -m pip install 'pixelreg[gpu]'",
    ),
)
Kind = TypeVar("Kind", bound=type[Any])


@contextmanager
def in_a_line() -> Iterator[None]:
    """What CuPy raises within becomes an error of ours."""
    try:
        yield
    except Exception as error:
        if not _is_of_cuda(error):
            raise
        raise PixelregError(f"no GPU for the backend 'cupy': {in_words(error)}") from error


def in_words(error: Exception) -> str:
    """What an error of CuPy, or of importing it, means, with its own words where that is open."""
    said = f"{type(error).__name__}: {error}"
    for pattern, meaning in MEANT:
        if re.search(pattern, said):
            return meaning
    return f"CuPy says {' '.join(said.splitlines()[0].split())}"


def told_in_a_line(*names: str) -> Callable[[Kind], Kind]:
    """A class some of whose methods, its own or inherited, run within `in_a_line`."""

    def decorated(cls: Kind) -> Kind:
        for name in names:
            setattr(cls, name, in_a_line()(getattr(cls, name)))
        return cls

    return decorated


def _is_of_cuda(error: Exception) -> bool:
    # Of cupy, or of cupy_backends.
    return type(error).__module__.startswith("cupy") or "CuPy failed to load" in str(error)
