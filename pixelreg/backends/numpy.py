"""The reference backend: the shared array mathematics in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends.array import ArrayBackend


class NumpyBackend(ArrayBackend):
    """Everything in NumPy; the dense systems by LAPACK's Cholesky, one a pixel."""

    name = "numpy"
    xp: Any = np

    def solve_dense(self, x: Array, t: Array, sigma: float, alpha: float) -> Float64:
        """c_p of Eq. 14 in the columns, (n_samples, n_pixels); x and t float64 likewise."""
        from scipy.linalg.lapack import dposv

        from pixelreg.backends.solvers import kernel_blocks

        result = np.empty_like(t)
        diagonal = np.arange(len(x))
        for block, kernels in kernel_blocks(np, x, x, sigma):
            kernels[:, diagonal, diagonal] += alpha
            for offset, kernel in enumerate(kernels):
                pixel = block.start + offset
                _, solution, info = dposv(kernel, t[:, pixel], overwrite_a=True)
                if info:  # rounding made it indefinite: alpha is far below the kernel's rank
                    solution = np.linalg.lstsq(kernel, t[:, pixel], rcond=None)[0]
                result[:, pixel] = solution
        return result
