"""How near a prediction is to the truth: PSNR, SSIM and MAE; and how sharp it is.

Pictures are (..., H, W, C) uint8; the data range is 255 throughout.
"""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import InvalidArrayError

# Wang, Bovik, Sheikh and Simoncelli (2004), "Image quality assessment: from error visibility to
# structural similarity": an 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03.
_SIGMA, _TRUNCATE = 1.5, 3.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BORDER = 5
_LUMA = np.array([0.299, 0.587, 0.114])


def mae(predicted: Array, truth: Array) -> Float64:
    """Mean absolute error of each picture in grey levels (0..255), shape (...)."""
    return np.abs(_difference(predicted, truth)).mean(axis=(-3, -2, -1))


def psnr(predicted: Array, truth: Array) -> Float64:
    """Peak signal-to-noise ratio of each picture in dB, shape (...); infinite where equal."""
    error = (_difference(predicted, truth) ** 2).mean(axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        result: Float64 = 10 * np.log10(255.0**2 / error)
    return result


def ssim(predicted: Array, truth: Array) -> Float64:
    """Structural similarity of each picture, the mean over channels, shape (...).

    Gaussian-weighted with population covariances, as its authors define it; a border of five
    pixels, where the window leaves the picture, is not counted.
    """
    from scipy.ndimage import gaussian_filter1d

    def blur(values: Float64) -> Float64:
        for axis in (-3, -2):
            values = gaussian_filter1d(values, _SIGMA, axis=axis, truncate=_TRUNCATE)
        return values

    _difference(predicted, truth)
    if min(predicted.shape[-3:-1]) <= 2 * _BORDER:
        raise InvalidArrayError(f"SSIM needs pictures of at least 11 x 11, not {predicted.shape}")
    x, y = predicted.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x**2
    var_y = blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    likeness /= (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    inner = likeness[..., _BORDER:-_BORDER, _BORDER:-_BORDER, :]
    return inner.mean(axis=(-3, -2, -1))


def sharpness(pictures: Array) -> Float64:
    """Variance of the Laplacian of each picture's luma, shape (...): how much fine detail it has.

    A picture in the paper's sense is blurred where this falls; noise raises it, too.
    """
    from scipy.ndimage import laplace

    grey = pictures[..., :3] @ _LUMA
    flat = grey.reshape(-1, *grey.shape[-2:])
    return np.array([laplace(one).var() for one in flat]).reshape(grey.shape[:-2])


def _difference(predicted: Array, truth: Array) -> Float64:
    if predicted.shape != truth.shape or predicted.ndim < 3:
        raise InvalidArrayError(
            f"pictures must be alike and (..., H, W, C), not {predicted.shape} and {truth.shape}"
        )
    return predicted.astype(np.float64) - truth.astype(np.float64)
