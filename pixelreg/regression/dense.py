"""Pixel-KR as the paper writes it: an N x N system per pixel (Eq. 12-16)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pixelreg.regression.estimator import Array, Float64
from pixelreg.regression.levels import BLOCK_NUMBERS, gaussian_kernel


def solve_dense(x: Float64, t: Float64, sigma: float, alpha: float) -> Float64:
    """c_p = t_p (K_p + alpha I)^-1 (Eq. 14) for every pixel, by Cholesky.

    Parameters
    ----------
    x, t : (n_samples, n_pixels) float64 on [0, 1].

    Returns
    -------
    (n_samples, n_pixels) float64, the coefficients c_p in the columns.
    """
    from scipy.linalg.lapack import dposv

    result = np.empty_like(t)
    diagonal = np.arange(len(x))
    for block, kernels in _kernel_blocks(x, x, sigma):
        kernels[:, diagonal, diagonal] += alpha
        for offset, kernel in enumerate(kernels):
            pixel = block.start + offset
            _, solution, info = dposv(kernel, t[:, pixel], overwrite_a=True)
            if info:  # rounding made it indefinite: alpha is far below the kernel's rank
                solution = np.linalg.lstsq(kernel, t[:, pixel], rcond=None)[0]
            result[:, pixel] = solution
    return result


def predict_dense(new: Float64, x: Float64, coefficients: Float64, sigma: float) -> Float64:
    """c_p kappa(x) of Eq. 15-16 for every pixel: (n_new, n_pixels) float64.

    Parameters
    ----------
    new : (n_new, n_pixels); x and coefficients : (n_samples, n_pixels); all float64.
    """
    result = np.empty(new.shape)
    for block, kernels in _kernel_blocks(new, x, sigma):
        result[:, block] = np.einsum("pmn,np->mp", kernels, coefficients[:, block])
    return result


def leave_one_out_dense(
    x: Float64, t: Float64, sigma: float, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error for every alpha: c / diag((K + alpha I)^-1)."""
    totals = dict.fromkeys(alphas, 0.0)
    for block, kernels in _kernel_blocks(x, x, sigma):
        values, vectors = np.linalg.eigh(kernels)
        rotated = np.einsum("pns,np->ps", vectors, t[:, block])
        for alpha in totals:
            shrunk = 1.0 / (np.maximum(values, 0.0) + alpha)
            coefficients = np.einsum("pns,ps->pn", vectors, shrunk * rotated)
            diagonal = np.einsum("pns,ps->pn", vectors**2, shrunk)
            totals[alpha] += float(np.sum((coefficients / diagonal) ** 2))
    return {alpha: total / t.size for alpha, total in totals.items()}


def _kernel_blocks(left: Array, right: Array, sigma: float) -> Iterator[tuple[slice, Float64]]:
    """Blocks of pixels with their kernel matrices (p, n_left, n_right), memory bounded."""
    pixels = left.shape[1]
    step = max(1, BLOCK_NUMBERS // (len(left) * len(right)))
    for first in range(0, pixels, step):
        block = slice(first, min(first + step, pixels))
        yield (
            block,
            gaussian_kernel(left.T[block, :, None], right.T[block, None, :], sigma),
        )
