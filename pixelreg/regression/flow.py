"""Expression flow and per-pixel ridge regression of the change: sharp faces from a tiny model.

Plain Pixel-RR blurs real photographs, because an expression moves things: where a lip was, there
is skin. Here the mean motion over the training pairs is learnt first, and Eq. 6 of Pixel-based
Facial Expression Synthesis is then solved for the change that is left, shrunk towards none.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.backends import cores
from pixelreg.errors import InvalidArrayError, UsageError, need
from pixelreg.faces.paste import face_mask
from pixelreg.models.plans import FlowPlan, Shape, plan_array
from pixelreg.pictures.warp import fetch_linear, gaussian_blur
from pixelreg.regression.estimator import Estimator, check_positive
from pixelreg.regression.samples import as_unit, check_pairs

CHANGE_RADII = (0.33, 0.45)  # skin changes colour in a smaller ellipse than the one that moves
FLOW_BLUR = 1.0  # pixels at 128, on every training flow
CHANGE_BLUR = 1.0  # pixels at 128, on w and b
LOW_PASS = 1.5  # pixels at 128, of what the change reads
STYLE_RIDGE = 5.0  # people's worth of shrinkage of the style's effect

# Boxes of the canonical frame (left, right, top, bottom), as fractions of the crop.
MOUTH = (0.4375, 0.5625, 0.656, 0.742)
LEFT_CORNER = (0.36, 0.406, 0.672, 0.72)
RIGHT_CORNER = (0.594, 0.64, 0.672, 0.72)


@dataclass(eq=False, repr=False)
class FlowRidge(Estimator):
    """Mean expression flow, then ridge regression of the change on the moved picture.

    The flow of each pair is the dense optical flow from target to input, mirrored pairs included.
    People smile in different styles, and an opening mouth shows teeth that no flow can bring, so
    the flow is regressed on two numbers per pair, how much the mouth opens and how much its
    corners move, and taken where it opens a little less and moves a little more than on average.

    Parameters
    ----------
    alpha : ridge penalty of the change, Eq. 6 on target minus moved input. Above 0.
    opening : the style's opening of the mouth, in standard deviations from the mean.
    amount : the style's movement of the mouth's corners, along the mean's direction, likewise.
    gain : the flow around the mouth is drawn out by this; averaging shortens it.

    Attributes
    ----------
    displacement_ : (S, S, 2) float64, the flow in pixels (x, y), from output to input.
    coef_, intercept_ : (n_pixels,) float64, the change's w and b.
    n_features_in_ : number of pixels.

    Notes
    -----
    Pictures must be square RGB crops in the canonical frame (see `pixelreg.models.model.Frame`).
    Fitting needs OpenCV (the extra ``align``); predicting does not.
    """

    needs = "cv2"
    grid = tuple({"alpha": alpha} for alpha in (0.3, 1.0, 3.0, 10.0))  # each fit takes seconds

    @classmethod
    def preference(cls, photographs: bool) -> int:
        """The best for photographs of faces, where OpenCV is there to fit it."""
        return 2 if photographs and find_spec("cv2") is not None else 0

    alpha: float = 1.0
    opening: float = -0.6
    amount: float = 0.8
    gain: float = 1.4

    def fit(self, X: Any, y: Any) -> FlowRidge:
        """Learn from X and y, (n_samples, S S 3) uint8 or float in [0, 1].

        Raises
        ------
        InvalidArrayError
            If the arrays do not fit each other or are no square RGB pictures.
        UsageError
            If alpha or gain is not above 0, or opening or amount is not finite.
        MissingExtraError
            If OpenCV is not installed.
        """
        inputs, targets = check_pairs(X, y)
        alpha = check_positive("alpha", self.alpha)
        gain = check_positive("gain", self.gain)
        wanted = np.array([_finite("opening", self.opening), _finite("amount", self.amount)])
        size = _side(inputs.shape[1])
        x, t = (as_unit(side).reshape(-1, size, size, 3) for side in (inputs, targets))
        x, t = (np.concatenate([side, side[:, :, ::-1]]) for side in (x, t))  # and mirrored
        flows = training_flows(x[: len(inputs)], t[: len(inputs)])
        flows = np.concatenate([flows, flows[:, :, ::-1] * np.array([-1.0, 1.0])])
        mean, effects, styles, left_out = _style_regression(flows)
        self.displacement_ = (mean + np.tensordot(wanted, effects, 1)) * _mouth_gain(size, gain)
        moved = _each(_moved, x, left_out)
        weight, bias = _solve_change(moved, t, styles, wanted, 2 * alpha)
        self.coef_, self.intercept_ = weight.reshape(-1), bias.reshape(-1)
        self.n_features_in_ = inputs.shape[1]
        return self

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels): float64 on [0, 1], unclipped."""
        inputs = self._inputs(X, "coef_")
        size = _side(inputs.shape[1])
        plan = self.to_plan((size, size, 3))
        pictures = inputs.reshape(-1, size, size, 3)
        result: Float64 = plan.predict(pictures).astype(np.float64)
        return result.reshape(inputs.shape)

    def to_plan(self, shape: Shape) -> FlowPlan:
        """The fitted model as a plan for pictures of ``shape`` (S, S, 3)."""
        self._require_fitted("coef_")
        return FlowPlan(
            plan_array(self.displacement_),
            plan_array(self.coef_.reshape(shape)),
            plan_array(self.intercept_.reshape(shape)),
            np.array([_scaled(LOW_PASS, shape[0])], np.float32),
        )


def training_flows(x: Float64, t: Float64) -> Float64:
    """Dense optical flow from each target to its input, masked and smoothed.

    x and t are (N, S, S, 3) on [0, 1]; the flows (N, S, S, 2) say in pixels (x, y) where in the
    input each target pixel comes from.
    """
    cv2 = need("cv2", "OpenCV", "align", "fitting a flow model (other models: --model rr)")
    size = x.shape[1]

    def grey(picture: Array) -> Array:
        small = np.rint(picture * 255).astype(np.uint8)
        flat = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        # At twice the size the flow finds parts of pixels; halved again below.
        return np.asarray(cv2.resize(flat, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC))

    nothing: Any = None
    mask = face_mask(size)[..., None]

    def flow(source: Float64, target: Float64) -> Float64:
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        finder.setFinestScale(0)
        large = np.asarray(finder.calc(grey(target), grey(source), nothing))
        small = large.reshape(size, 2, size, 2, 2).mean(axis=(1, 3)) / 2
        return gaussian_blur(small, _scaled(FLOW_BLUR, size)) * mask

    return _each(flow, x, t)


def _each(work: Callable[..., Float64], *of: Float64) -> Float64:
    """What ``work`` makes of each picture, on all cores."""
    with ThreadPoolExecutor(cores()) as pool:
        return np.stack(list(pool.map(work, *of)))


def _style_regression(flows: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Ridge regression of flows (2 N, S, S, 2), mirrored pairs last, on each pair's style.

    Returns: mean (S, S, 2); effects (2, S, S, 2) of one standard deviation of opening and of
    amount; styles (2 N, 2); and left_out (2 N, S, S, 2), each flow predicted from its style
    without the pair and its mirror image.
    """
    styles = _styles(flows)
    design = np.column_stack([np.ones(len(styles)), styles])
    penalty = np.diag([1e-9, 2 * STYLE_RIDGE, 2 * STYLE_RIDGE])
    inverse = np.linalg.inv(design.T @ design + penalty)
    rows = flows.reshape(len(flows), -1)
    solution = inverse @ (design.T @ rows)
    residual = rows - design @ solution
    hat = design @ inverse @ design.T
    left_out = np.empty_like(rows)
    people = len(flows) // 2
    for person in range(people):
        both = [person, person + people]
        shrunk = np.eye(2) - hat[np.ix_(both, both)]
        # One pair alone determines its own mean: then there is nothing to leave out.
        unseen = np.linalg.solve(shrunk, residual[both]) if people > 1 else residual[both]
        left_out[both] = rows[both] - unseen
    mean, *effects = solution.reshape(3, *flows.shape[1:])
    return mean, np.stack(effects), styles, left_out.reshape(flows.shape)


def _styles(flows: Float64) -> Float64:
    """Opening and amount of each flow, standardised: (2 N, 2)."""
    stretch = -np.gradient(flows[..., 1], axis=1)[_box(flows, MOUTH)].mean(axis=(1, 2))
    left, right = (
        flows[_box(flows, corner)].mean(axis=(1, 2)) for corner in (LEFT_CORNER, RIGHT_CORNER)
    )
    amount = left[:, 1] + right[:, 1] + left[:, 0] - right[:, 0]
    values = np.column_stack([stretch, amount * (1.0 if amount.mean() >= 0 else -1.0)])
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 1e-9, spread, 1.0)


def _solve_change(
    moved: Float64, t: Float64, styles: Float64, wanted: Float64, alpha: float
) -> tuple[Float64, Float64]:
    """Eq. 6 on t - moved with regressors (low-pass of moved, 1, style): w and b, (S, S, 3)."""
    size = moved.shape[1]
    low = _each(lambda picture: gaussian_blur(picture, _scaled(LOW_PASS, size)), moved)
    constants = np.column_stack([np.ones(len(styles)), styles])
    change = t - moved
    gram = np.empty((*moved.shape[1:], 4, 4))
    gram[..., 0, 0] = np.einsum("nijc,nijc->ijc", low, low)
    gram[..., 0, 1:] = gram[..., 1:, 0] = np.tensordot(low, constants, (0, 0))
    gram[..., 1:, 1:] = constants.T @ constants
    gram += alpha * np.eye(4)
    moment = np.empty((*moved.shape[1:], 4))
    moment[..., 0] = np.einsum("nijc,nijc->ijc", low, change)
    moment[..., 1:] = np.tensordot(change, constants, (0, 0))
    solved = np.linalg.solve(gram, moment[..., None])[..., 0]
    mask = face_mask(size, CHANGE_RADII)[..., None]
    weight, bias = solved[..., 0], solved[..., 1] + solved[..., 2:] @ wanted
    blur = _scaled(CHANGE_BLUR, size)
    return gaussian_blur(weight, blur) * mask, gaussian_blur(bias, blur) * mask


def _mouth_gain(size: int, gain: float) -> Float64:
    """(S, S, 1): ``gain`` at the mouth, falling smoothly to 1."""
    centres = (np.arange(size) + 0.5) / size
    bump = np.exp(
        -(((centres - 0.5) / 0.2) ** 2)[None, :] / 2 - (((centres - 0.7) / 0.1) ** 2)[:, None] / 2
    )
    return (1 + (gain - 1) * np.clip(1.3 * bump, 0, 1))[..., None]


def _moved(picture: Float64, flow: Float64) -> Float64:
    rows, columns = np.indices(flow.shape[:2])
    return fetch_linear(picture, columns + flow[..., 0], rows + flow[..., 1]).astype(np.float64)


def _box(flows: Array, box: tuple[float, float, float, float]) -> tuple[slice, slice, slice]:
    size = flows.shape[1]
    left, right, top, bottom = (round(edge * size) for edge in box)
    return slice(None), slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _finite(name: str, value: Any) -> float:
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _scaled(pixels: float, size: int) -> float:
    """A length that is given for crops of 128 x 128."""
    return pixels * size / 128


def _side(pixels: int) -> int:
    side = math.isqrt(pixels // 3)
    if side * side * 3 != pixels or side < 32:
        raise InvalidArrayError(
            f"X has {pixels} pixels; a flow model takes square RGB crops of 32 x 32 or more"
        )
    return side
