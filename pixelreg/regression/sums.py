"""The five sums per pixel that Pixel-RR needs, and nothing else.

For 8-bit pictures they are integers, so they are exact: any order, any chunking and any merging
of parts gives the same bits, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.errors import InvalidArrayError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelSums:
    """Sums over the pairs, per pixel (the entries of Eq. 6).

    Attributes
    ----------
    count : number of pairs, N.
    x, xx, t, xt : (n_pixels,) int64 in grey levels for 8-bit data, else float64 on [0, 1].
    """

    count: int
    x: Array
    xx: Array
    t: Array
    xt: Array

    @property
    def scale(self) -> float:
        """How many units of these sums make 1.0: 255 for grey levels, 1 for floats."""
        return 255.0 if np.issubdtype(self.x.dtype, np.integer) else 1.0

    def __add__(self, other: PixelSums) -> PixelSums:
        if self.x.shape != other.x.shape:
            raise InvalidArrayError(f"cannot merge sums of {self.x.size} and {other.x.size} pixels")
        if self.scale != other.scale:
            raise InvalidArrayError("cannot merge sums of 8-bit pictures with sums of floats")
        return PixelSums(
            self.count + other.count,
            self.x + other.x,
            self.xx + other.xx,
            self.t + other.t,
            self.xt + other.xt,
        )


def pixel_sums(X: Array, T: Array) -> PixelSums:
    """Sum pairs.

    Parameters
    ----------
    X, T : (n_samples, n_pixels), both uint8 or both float64.
    """
    if X.dtype != np.uint8:
        return PixelSums(
            len(X), X.sum(0), np.einsum("np,np->p", X, X), T.sum(0), np.einsum("np,np->p", X, T)
        )
    pixels = X.shape[1]
    x, xx, t, xt = (np.zeros(pixels, np.int64) for _ in range(4))
    product = np.empty(pixels, np.uint16)  # 255 * 255 still fits
    for inputs, targets in zip(X, T, strict=True):
        x += inputs
        t += targets
        xx += np.multiply(inputs, inputs, out=product, dtype=np.uint16)
        xt += np.multiply(inputs, targets, out=product, dtype=np.uint16)
    return PixelSums(len(X), x, xx, t, xt)
