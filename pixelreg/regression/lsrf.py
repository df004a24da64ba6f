"""LSRF: each output pixel chooses the few pixels near it that it sees.

After the paper of that name (Multimedia Tools and Applications 2023, DOI
10.1007/s11042-023-16822-8): orthogonal matching pursuit under a locality constraint. That much is
known of it here. Decided by us are that the constraint is a square window around the output pixel,
how wide it is, how many of its pixels are chosen, that a channel chooses from itself alone, and
that weights and bias are shrunk as in Eq. 3 of Pixel-based Facial Expression Synthesis. With one
pixel of a window of one it is Pixel-RR, with all pixels of the window masked ridge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import UsageError
from pixelreg.regression.masked import MaskedRidge, each_block

NOTHING = 1e-9  # of a pixel's sum of squares, left beside the bias: it never changes


class SparseFieldRidge(MaskedRidge):
    """Ridge regression of every pixel on the pixels of a window that tell most of it.

    They are chosen one after another: the one that goes best with what is left unexplained, after
    which all that were chosen are fitted anew.

    Parameters
    ----------
    alpha : the ridge penalty on weights and bias. Above 0.
    receptive_field : side of the window in pixels, odd.
    pixels : how many of the window's pixels each output pixel may see, 1 or more. Fewer are chosen
        where no other one changes.
    shape : (H, W) or (H, W, C) of the pictures, see `MaskedRidge`. Each channel sees its own
        channel only.
    scale : the value of white where X and y are no bytes, see `Estimator`.

    Attributes
    ----------
    offsets_ : (k, 2) int8, steps (row, column) from an output pixel to its window.
    coef_ : (k, n_pixels) float64; zero for what was not chosen.
    intercept_ : (n_pixels,) float64.
    n_features_in_ : number of pixels.
    """

    grid: ClassVar[Sequence[Mapping[str, float]]] = tuple(
        {"alpha": alpha, "pixels": pixels} for alpha in (0.04, 0.4, 4.0) for pixels in (1, 2, 4, 8)
    )

    options: ClassVar[Mapping[str, str]] = {**MaskedRidge.options, "pixels": "--pixels"}

    def __init__(
        self,
        alpha: float = 0.4,
        receptive_field: int = 5,
        pixels: int = 4,
        shape: tuple[int, ...] | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(alpha, receptive_field, shape, scale)
        self.pixels = pixels

    def _solved(self, x: Float64, t: Float64, alpha: float) -> Float64:
        pixels = _count(self.pixels)
        solved = np.empty((len(self.offsets_) + 1, *x.shape[1:]))
        for rows, design, wanted in each_block(x, t, self.offsets_):
            solved[:, rows] = pursue(design, wanted, alpha, pixels)
        return solved

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any] | None:
        """It came after the paper."""
        return None


def pursue(design: Float64, wanted: Float64, alpha: float, pixels: int) -> Float64:
    """Orthogonal matching pursuit with a ridge penalty at every place: weights, then the bias.

    design : (..., N, k) candidates of each place; wanted : (..., N) what they should make.

    A ridge-penalised bias b takes s = sum(x) w out of what is left, b = (sum(t) - s w)/(N + alpha),
    so that only the k x k system without it need be looked at.

    Returns: (k + 1, ...).
    """
    sums, total = design.sum(axis=-2), wanted.sum(axis=-1, keepdims=True)
    count = design.shape[-2] + alpha
    gram = np.swapaxes(design, -1, -2) @ design
    whole = np.einsum("...kk->...k", gram).copy()
    gram -= sums[..., :, None] * sums[..., None, :] / count
    moment = np.einsum("...nk,...n->...k", design, wanted) - sums * total / count
    free = np.einsum("...kk->...k", gram) > NOTHING * whole
    weights = _chosen(gram, moment, free, alpha, min(pixels, design.shape[-1]))
    bias = (total - (sums * weights).sum(axis=-1, keepdims=True)) / count
    return np.moveaxis(np.concatenate([weights, bias], axis=-1), -1, 0)


def _chosen(gram: Float64, moment: Float64, free: Array, alpha: float, pixels: int) -> Float64:
    """Weights (..., k) of those of the ``free`` candidates that are chosen, zero for others."""
    length = np.sqrt(np.where(free, np.einsum("...kk->...k", gram), 1.0))
    if pixels == moment.shape[-1]:  # all of them, in whatever order
        return _solved(gram, moment, free[..., None, :] * np.eye(pixels), alpha)
    weights, left = np.zeros_like(moment), moment
    chosen = np.zeros((*moment.shape[:-1], 0, moment.shape[-1]))
    for _ in range(pixels):
        told = np.where(free, np.abs(left) / length, -1.0)
        found = (told.argmax(axis=-1)[..., None] == np.arange(moment.shape[-1])) & free
        free = free & ~found
        chosen = np.concatenate([chosen, found[..., None, :]], axis=-2)
        weights = _solved(gram, moment, chosen, alpha)
        left = moment - (gram @ weights[..., None])[..., 0]
    return weights


def _solved(gram: Float64, moment: Float64, chosen: Float64, alpha: float) -> Float64:
    """Ridge regression on those that ``chosen`` (..., m, k) picks: one a row, or none."""
    back = np.swapaxes(chosen, -1, -2)
    inner = chosen @ gram @ back + alpha * np.eye(chosen.shape[-2])
    solved = np.linalg.solve(inner, chosen @ moment[..., None])
    return (back @ solved)[..., 0]


def _count(pixels: Any) -> int:
    """How many pixels may be chosen; a cross-validation gives whole numbers as floats."""
    if isinstance(pixels, bool) or not isinstance(pixels, (int, float, np.number)):
        raise UsageError(f"pixels must be a whole number, 1 or more, not {pixels!r}")
    if not (1 <= pixels < np.inf and pixels == int(pixels)):
        raise UsageError(f"pixels must be a whole number, 1 or more, not {pixels!r}")
    return int(pixels)
