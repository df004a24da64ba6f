"""Masked regression (MR): each output pixel sees a local patch of the input.

The method of Khan et al. that Pixel-based Facial Expression Synthesis compares with (Fig. 2,
middle): ridge regression with a receptive field around every pixel. It is solved here from
sums over the pairs, like Pixel-RR, and never as a dense matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import InvalidArrayError, UsageError
from pixelreg.models.plans import Shape, SparsePlan, plan_array
from pixelreg.regression.estimator import Estimator, check_positive
from pixelreg.regression.samples import as_unit

BLOCK_NUMBERS = 4_000_000  # numbers held at once while solving: 32 MB of float64


@dataclass(eq=False, repr=False)
class MaskedRidge(Estimator):
    """Ridge regression of every pixel on a square patch around it, with a bias as in Eq. 3.

    Parameters
    ----------
    alpha : the ridge penalty on weights and bias. Above 0.
    receptive_field : side of the patch in pixels, odd. 1 is Pixel-RR.
    shape : (H, W) or (H, W, C) of the pictures; None stands for squares of 1 or 3 channels, and
        for numbers of another count, which are no bytes, in one row. Each channel sees its own
        channel only.
    scale : the value of white where X and y are no bytes, see `Estimator`.

    Attributes
    ----------
    offsets_ : (k, 2) int8, steps (row, column) from an output pixel to its inputs.
    coef_ : (k, n_pixels) float64; zero where the patch leaves the picture.
    intercept_ : (n_pixels,) float64.
    n_features_in_ : number of pixels.
    """

    options: ClassVar[Mapping[str, str]] = {"alpha": "--lambda", "receptive_field": "--field"}

    alpha: float = 0.4
    receptive_field: int = 3
    shape: tuple[int, ...] | None = None
    scale: float = 1.0

    def fit(self, X: Any, y: Any) -> MaskedRidge:
        """Learn from X and y, (n_samples, n_pixels) uint8 or numbers.

        A y of one column is learnt by every pixel; predictions are then the pixels' mean.

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or the shape, or hold anything but finite values.
        UsageError
            If a parameter is out of range.
        """
        inputs, targets, facts = self._pairs(X, y)
        alpha = check_positive("alpha", self.alpha)
        shape = self._picture_shape(inputs)
        self.offsets_ = patch_offsets(self.receptive_field)
        x, t = (as_unit(side).reshape(-1, *shape) for side in (inputs, targets))
        solved = self._solved(x, t, alpha)
        self.coef_ = solved[:-1].reshape(len(self.offsets_), -1)
        self.intercept_ = solved[-1].reshape(-1)
        self.shape_ = shape
        self.n_features_in_ = inputs.shape[1]
        return self._note(facts)

    def _solved(self, x: Float64, t: Float64, alpha: float) -> Float64:
        """(k + 1, *shape) weights and bias, of pictures (n_samples, *shape) on [0, 1]."""
        return solve_masked(x, t, self.offsets_, alpha)

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): float64 on [0, 1], unclipped; see `Estimator`."""
        inputs = self._inputs(X, "coef_")
        pictures = as_unit(inputs).reshape(-1, *self.shape_)
        result = np.tile(self.intercept_, (len(inputs), 1))
        for shifted, weights in zip(_shifts(pictures, self.offsets_), self.coef_, strict=True):
            result += shifted.reshape(len(inputs), -1) * weights
        return self._outputs(result)

    def to_plan(self, shape: Shape) -> SparsePlan:
        """The fitted model as a plan for pictures of ``shape`` (H, W, C)."""
        self._require_pictures("coef_")
        if shape != self.shape_:
            raise InvalidArrayError(f"fitted on pictures {self.shape_}, not {shape}")
        return SparsePlan(
            self.offsets_,
            plan_array(self.coef_.reshape(-1, *shape)),
            plan_array(self.intercept_.reshape(shape)),
        )

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any] | None:
        """What Pixel-RR has; the paper gives none of this baseline's own."""
        return {"alpha": 0.4}

    def _picture_shape(self, inputs: Array) -> Shape:
        pixels = inputs.shape[1]
        if self.shape is not None:
            height, width, *rest = self.shape
            shape = (int(height), int(width), int(rest[0]) if rest else 1)
        else:
            channels = 1 if math.isqrt(pixels) ** 2 == pixels else 3
            side = math.isqrt(pixels // channels)
            shape = (side, side, channels)
            if math.prod(shape) != pixels and inputs.dtype != np.uint8:
                shape = (1, pixels, 1)
        if math.prod(shape) != pixels:
            raise InvalidArrayError(
                f"X has {pixels} pixels, which is no picture of {shape}; give shape=(H, W, C)"
            )
        return shape


def patch_offsets(receptive_field: int) -> Array:
    """Steps (row, column) to the pixels of a square patch with an odd side: (k, 2) int8."""
    if receptive_field not in range(1, 16, 2):
        raise UsageError(f"receptive_field must be odd and 1 to 15, not {receptive_field!r}")
    reach = np.arange(receptive_field) - receptive_field // 2
    rows, columns = np.meshgrid(reach, reach, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1).astype(np.int8)


def solve_masked(x: Float64, t: Float64, offsets: Array, alpha: float) -> Float64:
    """Solve the (k + 1) x (k + 1) ridge system of every pixel: the weights, then the bias.

    x and t are (N, H, W, C) float64 on [0, 1], offsets (k, 2) integers, the result
    (k + 1, H, W, C). Inputs outside the picture count as 0, so their weights come out as 0.
    """
    unknowns = len(offsets) + 1
    result = np.empty((unknowns, *x.shape[1:]))
    ridge = alpha * np.eye(unknowns)
    for rows, seen, wanted in each_block(x, t, offsets):
        design = np.concatenate([seen, np.ones((*seen.shape[:-1], 1))], axis=-1)
        # One small matrix product a pixel: (k+1, N) @ (N, k+1).
        gram = np.swapaxes(design, -1, -2) @ design + ridge
        moment = np.einsum("hwcnk,hwcn->hwck", design, wanted)
        solved = np.linalg.solve(gram, moment[..., None])[..., 0]
        result[:, rows] = np.moveaxis(solved, -1, 0)
    return result


def each_block(x: Float64, t: Float64, offsets: Array) -> Iterator[tuple[slice, Float64, Float64]]:
    """A few rows of pictures at a time: what each pixel sees, and what it should become.

    x and t are (N, H, W, C). Yields the rows, (h, W, C, N, k) and (h, W, C, N).
    """
    unknowns = len(offsets) + 1
    step = max(1, BLOCK_NUMBERS // (x[0, 0].size * unknowns * max(len(x), unknowns)))
    for first in range(0, x.shape[1], step):
        rows = slice(first, min(first + step, x.shape[1]))
        seen = np.stack(list(_shifts(x, offsets, rows)), axis=-1)
        yield rows, np.moveaxis(seen, 0, -2), np.moveaxis(t[:, rows], 0, -1)


def _shifts(x: Float64, offsets: Array, rows: slice | None = None) -> Iterator[Float64]:
    """The pictures moved so that every output pixel lies over its input, 0 outside."""
    reach = int(np.abs(offsets).max(initial=0))
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    first, last = (0, x.shape[1]) if rows is None else (rows.start, rows.stop)
    for down, right in offsets.tolist():
        yield padded[:, reach + down + first : reach + down + last, reach + right :, :][
            :, :, : x.shape[2]
        ]
