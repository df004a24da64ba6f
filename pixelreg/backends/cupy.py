"""The CuPy backend: the shared array mathematics on a GPU, with fused kernels where time goes.

Arrays given as NumPy's are carried over; sums and solutions stay on the GPU until `to_host`, and
a plan that `load` has carried over stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.backends.array import ArrayBackend, normal_equations, repaired
from pixelreg.backends.gpu import NO_GPU, in_a_line, told_in_a_line
from pixelreg.errors import PixelregError, UsageError
from pixelreg.models.plans import AffinePlan, FlowPlan, KernelPlan, Plan, SparsePlan
from pixelreg.models.sums import GREY_LEVELS, LevelSums, PixelSums
from pixelreg.pictures.warp import blur_weights

KERNELS = Path(__file__).with_name("kernels.cu")
BLOCK = 256  # threads that run together
SAFE_SAMPLES = 65_536  # 255^2 times this many still fit 32 bits
DENSE_NUMBERS = 32_000_000  # 256 MB, and its factors beside it: 200 systems of 400 pairs at once
SYSTEM_NUMBERS = 128_000_000  # float64 numbers held at once while levels are solved: 1 GB


def _affine(plan: Any) -> tuple[Any, ...]:
    return plan.weight, plan.bias, np.int32(plan.weight.size)


def _kernel(plan: Any) -> tuple[Any, ...]:
    rank = plan.table.shape[1]
    return plan.table, plan.coefficients, np.int32(rank), np.int32(plan.coefficients.size // rank)


def _sparse(plan: Any) -> tuple[Any, ...]:
    offsets = cupy.asarray(plan.offsets)
    return offsets, plan.weights, plan.bias, np.int32(len(offsets)), *map(np.int32, plan.shape)


# The kernel that runs a kind of plan on every value, and what it takes before the pictures.
LAUNCHES: Mapping[type[Plan], tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    AffinePlan: ("apply_affine", _affine),
    KernelPlan: ("apply_kernel", _kernel),
    SparsePlan: ("apply_sparse", _sparse),
}


@told_in_a_line(
    *("to_host", "to_device", "load", "pixel_sums", "level_sums", "solve_ridge", "solve_levels"),
    *("solve_dense", "predict_dense", "predict", "apply", "change"),
)
class CupyBackend(ArrayBackend):
    """Sums, solves and plans on the current CUDA device."""

    name = "cupy"
    dense_numbers = DENSE_NUMBERS
    xp: Any = cupy

    def __init__(self, threads: int | None = None) -> None:
        super().__init__(threads)
        with in_a_line():
            if not cupy.cuda.runtime.getDeviceCount():
                raise PixelregError(f"no GPU for the backend 'cupy': {NO_GPU}")
        self._kernels = cupy.RawModule(code=KERNELS.read_text(encoding="utf-8"))

    def loops(self, name: str) -> Any:
        """None is written for a GPU."""
        raise UsageError("the rig draws with numpy or numba, not with cupy")

    def load(self, plan: Any) -> Any:
        """``plan`` with its arrays on the GPU, to be run many times."""
        return plan.carried(self._contiguous)  # as kernels read them

    def pixel_sums(self, X: Array, T: Array) -> PixelSums:
        """The sums of Pixel-RR of X, T (n_samples, n_pixels), both uint8 or both float64."""
        if X.dtype != np.uint8:
            return super().pixel_sums(X, T)
        x, t = self._contiguous(X), self._contiguous(T)
        samples, pixels = x.shape
        sums = [cupy.zeros(pixels, np.int64) for _ in range(4)]
        for first in range(0, samples, SAFE_SAMPLES):
            last = min(first + SAFE_SAMPLES, samples)
            sizes = (np.int32(first), np.int32(last), np.int32(pixels))
            self._launch("pixel_sums", pixels, x, t, *sizes, *sums)
        return PixelSums(samples, *sums)

    def level_sums(self, X: Array, T: Array) -> LevelSums:
        """The sums of Pixel-KR of X, T (n_samples, n_pixels) uint8."""
        x, t = self._contiguous(X), self._contiguous(T)
        samples, pixels = x.shape
        inputs, targets = (cupy.zeros((pixels, GREY_LEVELS), np.uint32) for _ in range(2))
        sizes = (np.int32(samples), np.int32(pixels))
        self._launch("level_sums", pixels, x, t, *sizes, inputs, targets)
        return LevelSums(samples, inputs, targets)

    def solve_ridge(
        self, sums: PixelSums, alpha: float, identity: bool = False
    ) -> tuple[Float64, Float64]:
        """w and b of Eq. 6, (n_pixels,) float64 each on the [0, 1] scale."""
        if sums.scale == 1.0:
            return super().solve_ridge(sums, alpha, identity)
        weight, bias = (cupy.empty(sums.x.shape) for _ in range(2))
        numbers = (np.int64(sums.count), np.int32(sums.x.size))
        settings = (np.float64(sums.scale), np.float64(alpha), np.int32(identity))
        arrays = (sums.x, sums.xx, sums.t, sums.xt)
        self._launch("solve_ridge", sums.x.size, *arrays, *numbers, *settings, weight, bias)
        return weight, bias

    def solve_levels(self, sums: LevelSums, table: Float64, alpha: float) -> Float64:
        """Ridge regression on the features ``table`` (256, r): (n_pixels, r) float64."""
        rank = table.shape[1]
        coefficients: Float64 = cupy.empty((len(sums.inputs), rank))
        diagonal = np.arange(rank)
        for block, gram, moment in normal_equations(cupy, sums, table, SYSTEM_NUMBERS):
            gram[diagonal, diagonal] += alpha
            lower, solved = gram.copy(), cupy.ascontiguousarray(moment).copy()
            sizes = (np.int32(rank), np.int32(moment.shape[1]))
            self._launch("solve_positive", moment.shape[1], lower, solved, *sizes)
            systems = gram.transpose(2, 0, 1)
            coefficients[block] = repaired(cupy, solved.T, systems, moment.T)
        return coefficients

    def _apply(self, plan: Any, pictures: Pixels, strength: float) -> Any:
        loaded, x = self.load(plan), self._contiguous(pictures)
        out, share = cupy.empty_like(x), np.float32(strength)
        if type(plan) in LAUNCHES:
            name, arguments = LAUNCHES[type(plan)]
            self._launch(name, x.size, *arguments(loaded), x, np.int64(x.size), share, out)
        elif isinstance(plan, FlowPlan):
            flat, made = x.reshape(-1, *plan.shape), out.reshape(-1, *plan.shape)
            for picture, result in zip(flat, made, strict=True):
                self._apply_flow(loaded, picture, share, result)
        else:
            return super()._apply(loaded, x, strength)
        return out

    def _apply_flow(self, plan: Any, picture: Any, share: Any, out: Any) -> None:
        height, width, channels = plan.shape
        sizes = (np.int32(height), np.int32(width), np.int32(channels))
        low, down, colour = (cupy.empty(plan.shape, np.float32) for _ in range(3))
        weights = blur_weights(float(plan.blur[0])).astype(np.float32)
        taps = (cupy.asarray(weights), np.int32(len(weights) // 2))
        pixels, values = height * width, height * width * channels
        self._launch("flow_low", pixels, picture, plan.displacement, *sizes, low)
        self._launch("blur_down", values, low, *taps, *sizes, down)
        fields = (plan.weight, plan.bias)
        self._launch("flow_colour", values, down, *taps, *sizes, *fields, colour)
        moved = (picture, plan.displacement, colour)
        self._launch("apply_flow", pixels, *moved, *sizes, share, out)

    def _launch(self, name: str, items: int, *args: Any) -> None:
        """Run a kernel with one thread for each of ``items``."""
        self._kernels.get_function(name)(((items + BLOCK - 1) // BLOCK,), (BLOCK,), args)

    def _contiguous(self, values: Any) -> Any:
        return cupy.ascontiguousarray(cupy.asarray(values))

    def _host_array(self, values: Any) -> Any:
        return cupy.asnumpy(values)
