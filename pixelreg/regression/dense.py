"""Pixel-KR as the paper writes it: an N x N system per pixel (Eq. 12-16)."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.backends import get_backend
from pixelreg.backends.solvers import kernel_blocks


def predict_dense(new: Float64, x: Float64, coefficients: Float64, sigma: float) -> Float64:
    """c_p kappa(x) of Eq. 15-16 for every pixel: (n_new, n_pixels) float64.

    Parameters
    ----------
    new : (n_new, n_pixels); x and coefficients : (n_samples, n_pixels); all float64.
    """
    return get_backend("numpy").predict_dense(new, x, coefficients, sigma)


def leave_one_out_dense(
    x: Float64, t: Float64, sigma: float, alphas: list[float]
) -> dict[float, float]:
    """Exact leave-one-out mean squared error for every alpha: c / diag((K + alpha I)^-1)."""
    totals = dict.fromkeys(alphas, 0.0)
    for block, kernels in kernel_blocks(np, x, x, sigma):
        values, vectors = np.linalg.eigh(kernels)
        rotated = np.einsum("pns,np->ps", vectors, t[:, block])
        for alpha in totals:
            shrunk = 1.0 / (np.maximum(values, 0.0) + alpha)
            coefficients = np.einsum("pns,ps->pn", vectors, shrunk * rotated)
            diagonal = np.einsum("pns,ps->pn", vectors**2, shrunk)
            totals[alpha] += float(np.sum((coefficients / diagonal) ** 2))
    return {alpha: total / t.size for alpha, total in totals.items()}
