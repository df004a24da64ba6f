"""The function set of all backends, over an array module: NumPy's and CuPy's common part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels, check_unit_range
from pixelreg.errors import InvalidArrayError
from pixelreg.models.plans import Change, Plan
from pixelreg.models.sums import GREY_LEVELS, LevelSums, PixelSums

COUNT_PIXELS, COUNT_SAMPLES = 256, 1024  # counted at once, so that the counts stay in the cache
LEVEL_NUMBERS = 1_000_000  # float64 numbers that stay in the cache while levels are solved
SAFE_SAMPLES = 257  # pictures of bytes whose sums fit 16 bits
BLOCK_NUMBERS = 4_000_000  # numbers held at once while solving: 32 MB of float64
# A product of 96 pixels, 8 columns and 256 levels is too small for OpenBLAS to share among threads.
SMALL_PIXELS, SMALL_COLUMNS = 96, 8


def normal_equations(
    xp: Any, sums: LevelSums, table: Float64, numbers: int = LEVEL_NUMBERS
) -> Iterator[tuple[slice, Float64, Float64]]:
    """Blocks of p pixels with their Gram matrices (r, r, p) and moments (r, p).

    About ``numbers`` float64 numbers are held at once. The bits depend neither on that nor on
    threads, if what ``sums`` is cut from is cut at multiples of SMALL_PIXELS.
    """
    features = xp.asarray(table)
    rank = table.shape[1]
    rows, columns = np.tril_indices(rank)
    place = np.empty((rank, rank), np.intp)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    products = features[:, rows] * features[:, columns]
    pixels = len(sums.inputs)
    step = numbers // max(rank * rank, GREY_LEVELS) // SMALL_PIXELS * SMALL_PIXELS
    step = max(SMALL_PIXELS, step)
    for first in range(0, pixels, step):
        block = slice(first, min(first + step, pixels))
        gram = _small_products(xp, products, sums.inputs[block])[place]
        yield block, gram, _small_products(xp, features, sums.targets[block]) / 255.0


def _small_products(xp: Any, left: Float64, counts: Array) -> Float64:
    """left.T @ counts.T of (g, k) and (p, g) integers: (k, p) float64, the same in any company.

    BLAS rounds a number otherwise when it lies elsewhere in the matrix, or when threads share it.
    """
    pixels, levels = counts.shape
    parts = -(-pixels // SMALL_PIXELS)
    padded = xp.zeros((parts * SMALL_PIXELS, levels))
    padded[:pixels] = counts
    padded = padded.reshape(parts, SMALL_PIXELS, levels).transpose(0, 2, 1)
    result: Float64 = xp.empty((left.shape[1], parts, SMALL_PIXELS))
    for first in range(0, len(result), SMALL_COLUMNS):
        rows = slice(first, first + SMALL_COLUMNS)
        part = xp.ascontiguousarray(left[:, rows].T)
        result[rows] = xp.matmul(part, padded).transpose(1, 0, 2)
    return result.reshape(len(result), -1)[:, :pixels]


def solve_positive(xp: Any, matrices: Float64, right: Float64) -> Float64:
    """Solve p small symmetric positive definite systems (r, r, p), (r, p) by Cholesky: (r, p).

    The factorisation runs over all systems at once, number by number, which for a small r takes a
    fraction of the time of one LAPACK call a system.
    """
    rank = len(right)
    lower, x = matrices.copy(), right.copy()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for k in range(rank):
            for j in range(k):
                lower[k:, k] -= lower[k:, j] * lower[k, j]
                x[k] -= lower[k, j] * x[j]
            lower[k, k] = xp.sqrt(lower[k, k])
            lower[k + 1 :, k] /= lower[k, k]
            x[k] /= lower[k, k]
        for k in range(rank - 1, -1, -1):
            for j in range(k + 1, rank):
                x[k] -= lower[j, k] * x[j]
            x[k] /= lower[k, k]
    solution: Float64 = repaired(xp, x.T, matrices.transpose(2, 0, 1), right.T).T
    return solution


def repaired(xp: Any, solution: Float64, matrices: Float64, right: Float64) -> Float64:
    """``solution`` (p, r), by least squares where rounding made a matrix (p, r, r) indefinite.

    That happens where alpha is far below the rounding error of what it is added to.
    """
    bad = xp.flatnonzero(~xp.isfinite(solution).all(axis=1))
    if bad.size:
        values, vectors = xp.linalg.eigh(matrices[bad])
        most = xp.abs(values).max(axis=1, keepdims=True)
        small = xp.abs(values) <= most * np.finfo(np.float64).eps * values.shape[1]
        inverse = xp.where(small, 0.0, 1.0 / xp.where(small, 1.0, values))
        rotated = xp.einsum("prs,pr->ps", vectors, right[bad])
        solution[bad] = xp.einsum("prs,ps->pr", vectors, inverse * rotated)
    return solution


def gaussian_kernel(xp: Any, x: Array, y: Array, sigma: float) -> Float64:
    """k(x, y) of Eq. 12, broadcast; x, y and sigma on the [0, 1] pixel scale."""
    result: Float64 = xp.exp(-((x - y) ** 2) / (2.0 * sigma**2))
    return result


def kernel_blocks(
    xp: Any, left: Array, right: Array, sigma: float, numbers: int = BLOCK_NUMBERS
) -> Iterator[tuple[slice, Float64]]:
    """Blocks of pixels with their kernel matrices (p, n_left, n_right), about ``numbers`` large."""
    pixels = left.shape[1]
    step = max(1, numbers // (len(left) * len(right)))
    for first in range(0, pixels, step):
        block = slice(first, min(first + step, pixels))
        yield (
            block,
            gaussian_kernel(xp, left.T[block, :, None], right.T[block, None, :], sigma),
        )


class ArrayBackend:
    """Sums, solves and plans over the array module ``xp``.

    What plans give comes back as it went in: NumPy arrays for NumPy arrays. Sums and solutions
    stay where they were computed, so that one step feeds the next; `to_host` brings them back.

    threads : how many threads to use where the backend has its own; None for one a core.
    """

    name: ClassVar[str] = ""
    dense_numbers: ClassVar[int] = BLOCK_NUMBERS  # of the kernel matrices that are held at once
    xp: Any

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def to_host(self, values: Any) -> Any:
        """An array, or the arrays of sums, as NumPy arrays."""
        if is_dataclass(values):
            return _each_array(values, self._host_array)
        return self._host_array(values)

    def to_device(self, values: Any) -> Any:
        """An array, or the arrays of sums, where this backend computes."""
        if is_dataclass(values):
            return _each_array(values, self.xp.asarray)
        return self.xp.asarray(values)

    def loops(self, name: str) -> Any:
        """A module of compiled loops for what draws on pictures; None for NumPy's own."""
        return None

    def load(self, plan: Plan) -> Any:
        """``plan`` with its arrays where this backend computes, to be run many times."""
        return plan

    def pixel_sums(self, X: Array, T: Array) -> PixelSums:
        """The sums of Pixel-RR of X, T (n_samples, n_pixels), both uint8 or both float64."""
        xp, X, T = self.xp, self.to_device(X), self.to_device(T)
        if X.dtype != np.uint8:
            xx, xt = (xp.einsum("np,np->p", X, side) for side in (X, T))
            return PixelSums(len(X), X.sum(0), xx, T.sum(0), xt)
        pixels = X.shape[1]
        x, xx, t, xt = (xp.zeros(pixels, np.int64) for _ in range(4))
        for first in range(0, len(X), SAFE_SAMPLES):
            part = slice(first, first + SAFE_SAMPLES)
            for total, some in zip((x, xx, t, xt), self._short_sums(X[part], T[part]), strict=True):
                total += some
        return PixelSums(len(X), x, xx, t, xt)

    def _short_sums(self, X: Array, T: Array) -> list[Array]:
        """The four sums of at most SAFE_SAMPLES pictures, in the shortest numbers."""
        xp, pixels = self.xp, X.shape[1]
        x, t, a, b = (xp.zeros(pixels, np.uint16) for _ in range(4))
        xx, xt = (xp.zeros(pixels, np.uint32) for _ in range(2))
        for inputs, targets in zip(X, T, strict=True):
            a[:], b[:] = inputs, targets
            x += a
            t += b
            b *= a  # 255 * 255 still fits
            a *= a
            xx += a
            xt += b
        return [x, xx, t, xt]

    def level_sums(self, X: Array, T: Array) -> LevelSums:
        """The sums of Pixel-KR of X, T (n_samples, n_pixels) uint8."""
        xp, X, T = self.xp, self.to_device(X), self.to_device(T)
        pixels = X.shape[1]
        inputs, targets = (xp.zeros((pixels, GREY_LEVELS), np.uint32) for _ in range(2))
        for first in range(0, pixels, COUNT_PIXELS):
            block = slice(first, min(first + COUNT_PIXELS, pixels))
            width = block.stop - first
            start = xp.arange(width) * GREY_LEVELS
            for sample in range(0, len(X), COUNT_SAMPLES):
                part = np.s_[sample : sample + COUNT_SAMPLES, block]
                # 2^32 for the count and t for the sum: both stay exact in one float64.
                weights = T[part].astype(np.float64).ravel() + 2.0**32
                cells = (X[part] + start).ravel()
                both = xp.bincount(cells, weights, width * GREY_LEVELS).astype(np.int64)
                inputs[block] += (both >> 32).astype(np.uint32).reshape(width, -1)
                targets[block] += (both & 0xFFFFFFFF).astype(np.uint32).reshape(width, -1)
        return LevelSums(len(X), inputs, targets)

    def solve_ridge(
        self, sums: PixelSums, alpha: float, identity: bool = False
    ) -> tuple[Float64, Float64]:
        """w and b of Eq. 6, (n_pixels,) float64 each on the [0, 1] scale.

        ``identity`` shrinks them to (1, 0) instead of (0, 0). The determinant of Eq. 6 is
        (N xx - x x) + alpha (xx + N + alpha): for 8-bit pictures the bracket is taken in
        integers, so nothing is lost where a pixel is nearly constant.
        """
        t = sums.t - sums.x if identity else sums.t
        xt = sums.xt - sums.xx if identity else sums.xt
        n, unit = sums.count, sums.scale
        spread = (n * sums.xx - sums.x * sums.x) / unit**2
        covariance = (n * xt - sums.x * t) / unit**2
        determinant = spread + alpha * (sums.xx / unit**2 + n + alpha)
        weight = (covariance + alpha * xt / unit**2) / determinant
        bias = (t / unit - weight * (sums.x / unit)) / (n + alpha)  # Eq. 5
        return weight + float(identity), bias

    def solve_levels(self, sums: LevelSums, table: Float64, alpha: float) -> Float64:
        """Ridge regression on the features ``table`` (256, r): (n_pixels, r) float64."""
        coefficients: Float64 = self.xp.empty((len(sums.inputs), table.shape[1]))
        diagonal = np.arange(table.shape[1])
        for block, gram, moment in normal_equations(self.xp, sums, table):
            gram[diagonal, diagonal] += alpha
            coefficients[block] = solve_positive(self.xp, gram, moment).T
        return coefficients

    def solve_dense(self, x: Array, t: Array, sigma: float, alpha: float) -> Float64:
        """c_p of Eq. 14 in the columns, (n_samples, n_pixels); x and t float64 likewise."""
        xp, x, t = self.xp, self.to_device(x), self.to_device(t)
        result: Float64 = xp.empty_like(t)
        diagonal = xp.arange(len(x))
        for block, kernels in kernel_blocks(xp, x, x, sigma, self.dense_numbers):
            kernels[:, diagonal, diagonal] += alpha
            moment = xp.ascontiguousarray(t.T[block])
            solution = xp.linalg.solve(kernels, moment[..., None])[..., 0]
            result[:, block] = repaired(xp, solution, kernels, moment).T
        return result

    def predict_dense(self, new: Array, x: Array, coefficients: Array, sigma: float) -> Float64:
        """c_p kappa(x) of Eq. 15-16: (n_new, n_pixels) for ``new`` (n_new, n_pixels) float64."""

        new, x, coefficients = map(self.to_device, (new, x, coefficients))
        result: Float64 = self.xp.empty(new.shape)
        for block, kernels in kernel_blocks(self.xp, new, x, sigma, self.dense_numbers):
            result[:, block] = self.xp.einsum("pmn,np->mp", kernels, coefficients[:, block])
        return result

    def predict(self, plan: Any, pictures: Array) -> Floats:
        """Run ``plan`` on pictures.

        plan : any plan of `pixelreg.models.plans`, or what `load` made of it.
        pictures : (..., H, W, C) uint8 (read as /255) or float in [0, 1].

        Returns: (..., H, W, C) float32 on [0, 1], unclipped.
        """
        made: Floats = self._like(self._predict(plan, _checked(plan, pictures)), pictures)
        return made

    def apply(self, plan: Any, pictures: Pixels, strength: float = 1.0) -> Pixels:
        """x + strength (y - x) for (..., H, W, C) uint8 pictures, rounded and clipped to uint8.

        Strength 0 gives the pictures back bit for bit.
        """
        if pictures.dtype != np.uint8:
            raise InvalidArrayError(f"apply takes uint8 pictures, not {pictures.dtype}")
        made: Pixels = self._like(self._apply(plan, _checked(plan, pictures), strength), pictures)
        return made

    def change(self, plan: Any, picture: Array) -> Change:
        """What ``plan`` does to one (H, W, 3) crop, uint8 or float in [0, 1], as NumPy arrays."""
        found = self._change(plan, _checked(plan, picture))
        moves = None if found.displacement is None else self._host_array(found.displacement)
        return Change(self._host_array(found.colour), moves)

    def _predict(self, plan: Any, pictures: Array) -> Any:
        return self.load(plan).predict(self.to_device(pictures), self.xp)

    def _apply(self, plan: Any, pictures: Pixels, strength: float) -> Any:
        return self.load(plan).apply(self.to_device(pictures), strength, self.xp)

    def _change(self, plan: Any, picture: Array) -> Change:
        found: Change = self.load(plan).change(self.to_device(picture), self.xp)
        return found

    def _host_array(self, values: Any) -> Any:
        return np.asarray(values)

    def _like(self, made: Any, given: Any) -> Any:
        """``made`` on the host if ``given`` is there, else as it is."""
        if type(made) is np.ndarray or not isinstance(given, np.ndarray):
            return made
        return self._host_array(made)


def _checked(plan: Any, pictures: Any) -> Any:
    if pictures.shape[-3:] != plan.shape:
        raise InvalidArrayError(f"the plan takes pictures {plan.shape}, not {pictures.shape[-3:]}")
    if pictures.dtype == np.uint8:
        return pictures
    if not isinstance(pictures, np.ndarray) and bool(((pictures >= 0) & (pictures <= 1)).all()):
        return pictures.astype(np.float32)  # on another device, where NaN fails the test as well
    return check_unit_range(pictures, "the picture array").astype(np.float32, copy=False)


def _each_array(sums: Any, convert: Any) -> Any:
    arrays = {name: convert(value) for name, value in vars(sums).items() if name != "count"}
    return replace(sums, **arrays)


class NumpyBackend(ArrayBackend):
    """Everything in NumPy; the dense systems by LAPACK's Cholesky, one a pixel."""

    name = "numpy"
    xp: Any = np

    def solve_dense(self, x: Array, t: Array, sigma: float, alpha: float) -> Float64:
        """c_p of Eq. 14 in the columns, (n_samples, n_pixels); x and t float64 likewise."""
        from scipy.linalg.lapack import dposv

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
