"""The reference backend: every plan in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.change import Change
from pixelreg.errors import InvalidArrayError
from pixelreg.image import check_unit_range
from pixelreg.plan import AffinePlan, FactoredPlan, FlowPlan, KernelPlan, Plan, SparsePlan
from pixelreg.warp import fetch_cubic, fetch_linear, gaussian_blur

Array = NDArray[Any]
Floats = NDArray[np.float32]


def predict(plan: Plan, pictures: Array) -> Floats:
    """Run ``plan`` on pictures.

    Parameters
    ----------
    plan : any plan of `pixelreg.plan`.
    pictures : (..., H, W, C) uint8 (read as /255) or float in [0, 1].

    Returns
    -------
    (..., H, W, C) float32 on [0, 1], unclipped.

    Raises
    ------
    InvalidArrayError
        If the shape or the values do not fit.
    """
    if pictures.shape[-3:] != plan.shape:
        raise InvalidArrayError(f"the plan takes pictures {plan.shape}, not {pictures.shape[-3:]}")
    if pictures.dtype != np.uint8:
        pictures = check_unit_range(pictures, "the picture array").astype(np.float32)
    return _RUN[plan.kind](plan, pictures)


def apply(plan: Plan, pictures: NDArray[np.uint8], strength: float = 1.0) -> NDArray[np.uint8]:
    """x + strength (y - x) for (..., H, W, C) uint8 pictures, rounded and clipped to uint8.

    Strength 0 gives the pictures back bit for bit.
    """
    if isinstance(plan, FlowPlan):
        return _apply_flow(plan, pictures, strength)
    unit = _unit(pictures)
    moved = unit + np.float32(strength) * (predict(plan, pictures) - unit)
    return to_bytes(moved)


def to_bytes(unit: Floats) -> NDArray[np.uint8]:
    """Values on [0, 1] as grey levels, rounded and clipped."""
    result: NDArray[np.uint8] = np.clip(np.rint(unit * np.float32(255.0)), 0, 255).astype(np.uint8)
    return result


def change(plan: Plan, picture: NDArray[np.uint8]) -> Change:
    """What ``plan`` does to one (H, W, 3) uint8 crop, apart from the crop itself."""
    if isinstance(plan, FlowPlan):
        return _flow_change(plan, _unit(picture))
    return Change(predict(plan, picture) - _unit(picture))


def _unit(pictures: Array) -> Floats:
    floats: Floats = pictures.astype(np.float32, copy=False)
    return floats / np.float32(255.0) if pictures.dtype == np.uint8 else floats


def _affine(plan: AffinePlan, pictures: Array) -> Floats:
    result: Floats = plan.weight * _unit(pictures) + plan.bias
    return result


def _kernel(plan: KernelPlan, pictures: Array) -> Floats:
    features = plan.table[pictures] if pictures.dtype == np.uint8 else _between(plan, pictures)
    result: Floats = np.einsum("...r,...r->...", features, plan.coefficients)
    return result


def _between(plan: KernelPlan, pictures: Array) -> Floats:
    """Features of values between two grey levels, by linear interpolation."""
    position = _unit(pictures) * np.float32(len(plan.table) - 1)
    low = np.minimum(position.astype(np.intp), len(plan.table) - 2)
    share = (position - low.astype(np.float32))[..., None]
    result: Floats = plan.table[low] * (1 - share) + plan.table[low + 1] * share
    return result


def _sparse(plan: SparsePlan, pictures: Array) -> Floats:
    unit = _unit(pictures)
    total: Floats = np.broadcast_to(plan.bias, unit.shape).copy()
    for (down, right), weights in zip(plan.offsets.tolist(), plan.weights, strict=True):
        rows, columns = _overlap(plan.shape[0], down), _overlap(plan.shape[1], right)
        here = (..., rows[0], columns[0], slice(None))
        there = (..., rows[1], columns[1], slice(None))
        total[here] += weights[here] * unit[there]
    return total


def _overlap(length: int, step: int) -> tuple[slice, slice]:
    """Slices of the outputs whose input, ``step`` further on, exists, and of those inputs."""
    first = min(length, max(0, -step))
    last = max(first, min(length, length - step))
    return slice(first, last), slice(first + step, last + step)


def _factored(plan: FactoredPlan, pictures: Array) -> Floats:
    flat = _unit(pictures).reshape(*pictures.shape[:-3], -1)
    result: Floats = np.tensordot(flat @ plan.basis.T, plan.coefficients, axes=1)
    return result


def _flow(plan: FlowPlan, pictures: Array) -> Floats:
    unit = _unit(pictures)
    flat = unit.reshape(-1, *plan.shape)
    return np.stack([_flow_at(plan, picture, 1.0) for picture in flat]).reshape(unit.shape)


def _apply_flow(plan: FlowPlan, pictures: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    flat = _unit(pictures).reshape(-1, *plan.shape)
    moved = np.stack([_flow_at(plan, picture, strength) for picture in flat])
    return to_bytes(moved).reshape(pictures.shape)


def _flow_at(plan: FlowPlan, picture: Floats, strength: float) -> Floats:
    """One (H, W, C) picture on [0, 1] moved and changed by ``strength``."""
    change = _flow_change(plan, picture)
    share = np.float32(strength)
    x, y = _sources(plan, share)
    still = np.asarray(~plan.displacement.any(axis=2))
    moved = np.where(still[..., None], picture, fetch_cubic(picture, x, y))
    result: Floats = moved + share * change.colour
    return result


def _flow_change(plan: FlowPlan, picture: Floats) -> Change:
    x, y = _sources(plan, np.float32(1))
    low = gaussian_blur(fetch_linear(picture, x, y), float(plan.blur[0]))
    return Change(plan.weight * low + plan.bias, plan.displacement)


def _sources(plan: FlowPlan, share: Any) -> tuple[Floats, Floats]:
    rows, columns = np.indices(plan.shape[:2], dtype=np.float32)
    steps = share * plan.displacement
    return columns + steps[..., 0], rows + steps[..., 1]


_RUN: Mapping[str, Callable[[Any, Array], Floats]] = {
    AffinePlan.kind: _affine,
    KernelPlan.kind: _kernel,
    SparsePlan.kind: _sparse,
    FactoredPlan.kind: _factored,
    FlowPlan.kind: _flow,
}
