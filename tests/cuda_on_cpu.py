"""The CuPy backend without a GPU: its kernels compiled as C++, its arrays NumPy's.

What stays untested is CUDA itself; the kernels' mathematics and how they are called do not.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

SHIM = """
#include <cmath>
#define __device__
#define __global__
struct Place { int x; };
static Place blockIdx, threadIdx, blockDim;
extern "C" void stand_at(int block, int size, int thread) {
    blockIdx.x = block; blockDim.x = size; threadIdx.x = thread;
}
"""
SCALARS = {
    "int32": ctypes.c_int,
    "int64": ctypes.c_longlong,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


def stand_in(compiler: str, folder: Path) -> ModuleType:
    """A module that does for `pixelreg.backends.cupy` what CuPy would, on the CPU."""
    module = ModuleType("cupy")
    module.__getattr__ = lambda name: getattr(np, name)  # type: ignore[method-assign]
    module.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda number: {"name": b"none", "totalGlobalMem": 0},
            driverGetVersion=lambda: 0,
            runtimeGetVersion=lambda: 0,
        ),
        Device=lambda: SimpleNamespace(synchronize=lambda: None),
    )
    pool = SimpleNamespace(free_all_blocks=lambda: None, total_bytes=lambda: 0)
    module.get_default_memory_pool = lambda: pool  # type: ignore[attr-defined]
    module.asnumpy = np.asarray  # type: ignore[attr-defined]
    module.RawModule = lambda code: Compiled(compiler, folder, code)  # type: ignore[attr-defined]
    return module


class Compiled:
    """Kernels as a shared library."""

    def __init__(self, compiler: str, folder: Path, code: str) -> None:
        source, library = folder / "kernels.cpp", folder / "kernels.so"
        if not library.exists():
            source.write_text(SHIM + code)
            options = ["-O1", "-Wall", "-Werror", "-Wno-unused-function", "-shared", "-fPIC"]
            subprocess.run([compiler, *options, source, "-o", library], check=True)
        self.library = ctypes.CDLL(str(library))

    def get_function(self, name: str) -> Any:
        kernel, stand_at = getattr(self.library, name), self.library.stand_at

        def launch(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
            passed = [_passed(value) for value in args]
            for b in range(grid[0]):
                for thread in range(block[0]):
                    stand_at(b, block[0], thread)
                    kernel(*passed)

        return launch


def _passed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    return SCALARS[value.dtype.name](value.item())  # a plain number would have no width
