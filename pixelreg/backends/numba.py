"""The Numba backend: the reference's answers from compiled loops on all cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.backends import cores, loops, loops_flow
from pixelreg.backends.array import SMALL_PIXELS, NumpyBackend
from pixelreg.backends.loops import spread
from pixelreg.models.plans import AffinePlan, Change, FlowPlan, KernelPlan, Plan, SparsePlan
from pixelreg.models.sums import GREY_LEVELS, LevelSums, PixelSums
from pixelreg.pictures.warp import blur_weights

THREAD_NUMBERS = 1_000_000  # starting a thread takes longer than a loop over fewer numbers
FETCH_WORK = 8  # a value that is looked up between pixels takes as long as this many others


class Run(NamedTuple):
    """How loops over ranges of a picture's items, each for all pictures, run a plan.

    apply, predict : the loops; predict is None where NumPy is as quick.
    shape : of a picture as they see it; the first side counts the items.
    """

    apply: Callable[..., None]
    predict: Callable[..., None] | None
    shape: tuple[int, ...]
    fields: tuple[Array, ...]
    effort: int


def _run_affine(plan: AffinePlan) -> Run:
    fields = (plan.weight.ravel(), plan.bias.ravel())
    return Run(loops.apply_affine, None, (plan.weight.size,), fields, 1)


def _run_kernel(plan: KernelPlan) -> Run:
    rank = plan.table.shape[1]
    fields = (plan.table, plan.coefficients.reshape(-1, rank))
    return Run(loops.apply_kernel, loops.predict_kernel, (len(fields[1]),), fields, rank)


def _run_sparse(plan: SparsePlan) -> Run:
    fields = (plan.offsets, plan.weights, plan.bias)
    return Run(loops.apply_sparse, loops.predict_sparse, plan.shape, fields, len(plan.offsets))


RUNS: Mapping[type[Plan], Callable[[Any], Run]] = {
    AffinePlan: _run_affine,
    KernelPlan: _run_kernel,
    SparsePlan: _run_sparse,
}


def _run_of(plan: Any) -> Run | None:
    make = RUNS.get(type(plan))
    return None if make is None else make(plan)


class NumbaBackend(NumpyBackend):
    """Sums, solves and plans in compiled loops; what BLAS or LAPACK does stays with NumPy."""

    name = "numba"

    def loops(self, name: str) -> Any:
        """See `ArrayBackend`."""
        return import_module(f"pixelreg.backends.{name}")

    def _threads(self, numbers: int) -> int:
        useful = numbers // THREAD_NUMBERS
        if useful < 2:
            return 1
        return min(useful, cores() if self.threads is None else self.threads)

    def pixel_sums(self, X: Array, T: Array) -> PixelSums:
        """The sums of Pixel-RR of X, T (n_samples, n_pixels), both uint8 or both float64."""
        if X.dtype != np.uint8:
            return super().pixel_sums(X, T)
        sums = [np.zeros(X.shape[1], np.int64) for _ in range(4)]
        pixels, block = X.shape[1], loops.SUMS_BLOCK
        spread(loops.add_pixel_sums, pixels, self._threads(X.size), X, T, *sums, multiple=block)
        return PixelSums(len(X), *sums)

    def level_sums(self, X: Array, T: Array) -> LevelSums:
        """The sums of Pixel-KR of X, T (n_samples, n_pixels) uint8."""
        pixels, block = X.shape[1], loops.LEVELS_BLOCK
        inputs, targets = (np.empty((pixels, GREY_LEVELS), np.uint32) for _ in range(2))
        threads = self._threads(X.size + inputs.size)
        spread(loops.fill_level_sums, pixels, threads, X, T, inputs, targets, multiple=block)
        return LevelSums(len(X), inputs, targets)

    def solve_ridge(
        self, sums: PixelSums, alpha: float, identity: bool = False
    ) -> tuple[Float64, Float64]:
        """w and b of Eq. 6, (n_pixels,) float64 each on the [0, 1] scale."""
        weight, bias = (np.empty(sums.x.shape) for _ in range(2))
        arrays = (sums.x, sums.xx, sums.t, sums.xt)
        loops.fill_ridge(
            0, sums.x.size, sums.count, *arrays, sums.scale, alpha, identity, weight, bias
        )
        return weight, bias

    def solve_levels(self, sums: LevelSums, table: Float64, alpha: float) -> Float64:
        """Ridge regression on the features ``table`` (256, r): (n_pixels, r) float64."""
        out = np.empty((len(sums.inputs), table.shape[1]))
        solve = super().solve_levels

        def work(first: int, last: int) -> None:
            some = LevelSums(sums.count, sums.inputs[first:last], sums.targets[first:last])
            out[first:last] = solve(some, table, alpha)

        spread(work, len(out), self._threads(sums.inputs.size), multiple=SMALL_PIXELS)
        return out

    def _packed(self, picture: Pixels) -> Array:
        height, width = (side + 2 * loops_flow.BORDER for side in picture.shape[:2])
        packed = np.empty((height, width, loops_flow.PIXEL), np.uint8)
        source = np.ascontiguousarray(picture)
        spread(loops_flow.pack, height, self._threads(picture.size), source, packed)
        return packed

    def _predict(self, plan: Any, pictures: Array) -> Any:
        run = _run_of(plan)
        if run is None or run.predict is None or pictures.dtype != np.uint8:
            return super()._predict(plan, pictures)
        out = np.empty(pictures.shape, np.float32)
        self._spread(run.predict, run, pictures, (), out)
        return out

    def _apply(self, plan: Any, pictures: Pixels, strength: float) -> Any:
        run, out = _run_of(plan), np.empty(pictures.shape, np.uint8)
        if run is not None:
            self._spread(run.apply, run, pictures, (strength,), out)
        elif isinstance(plan, FlowPlan) and _packable(pictures):
            X, made = _stacked(pictures, plan.shape), out.reshape(-1, *plan.shape)
            for picture, result in zip(X, made, strict=True):
                self._apply_flow(plan, picture, strength, result)
        else:
            return super()._apply(plan, pictures, strength)
        return out

    def _spread(
        self, loop: Any, run: Run, pictures: Pixels, more: tuple[float, ...], out: Array
    ) -> None:
        X, threads = _stacked(pictures, run.shape), self._threads(run.effort * out.size)
        spread(loop, run.shape[0], threads, *run.fields, X, *more, out.reshape(X.shape))

    def _apply_flow(self, plan: FlowPlan, picture: Pixels, strength: float, out: Pixels) -> None:
        threads = self._threads(FETCH_WORK * picture.size)
        fields = self._flow_fields(plan, picture)
        spread(loops_flow.apply_flow, len(picture), threads, *fields, strength, out)

    def _change(self, plan: Any, picture: Array) -> Change:
        if not isinstance(plan, FlowPlan) or not _packable(picture):
            return super()._change(plan, picture)
        colour = np.empty(plan.shape, np.float32)
        threads = self._threads(FETCH_WORK * picture.size)
        fields = self._flow_fields(plan, np.ascontiguousarray(picture))
        spread(loops_flow.change_flow, len(picture), threads, *fields, colour)
        return Change(colour, plan.displacement)

    def _flow_fields(self, plan: FlowPlan, picture: Pixels) -> tuple[Array, Array, Any]:
        taps = blur_weights(float(plan.blur[0])).astype(np.float32)
        fields = (plan.displacement, taps, plan.weight, plan.bias, plan.spans)
        return picture, self._packed(picture), fields


def _packable(picture: Array) -> bool:
    return picture.dtype == np.uint8 and picture.shape[-1] == 3


def _stacked(pictures: Array, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(pictures).reshape(-1, *shape)
