"""The five sums per pixel that Pixel-RR needs, and nothing else; see `pixelreg.sums`."""

from __future__ import annotations

from pixelreg.arrays import Array
from pixelreg.backends import get_backend
from pixelreg.sums import PixelSums

__all__ = ["PixelSums", "pixel_sums"]


def pixel_sums(X: Array, T: Array) -> PixelSums:
    """Sum pairs with the reference backend.

    Parameters
    ----------
    X, T : (n_samples, n_pixels), both uint8 or both float64.
    """
    return get_backend("numpy").pixel_sums(X, T)
