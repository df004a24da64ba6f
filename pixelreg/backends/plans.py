"""What plans compute, in array mathematics for any array module ``xp`` (NumPy or CuPy).

A plan is here anything with the fields of its class in `pixelreg.models.plans` as arrays of ``xp``.
Pictures are (..., H, W, C) uint8 (read as /255) or float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.models.plans import AffinePlan, Change, FactoredPlan, FlowPlan, KernelPlan, SparsePlan
from pixelreg.pictures.warp import fetch_cubic, fetch_linear, gaussian_blur


def predict(xp: Any, plan: Any, pictures: Array) -> Floats:
    """(..., H, W, C) float32 on [0, 1], unclipped."""
    return _RUN[plan.kind](xp, plan, pictures)


def apply(xp: Any, plan: Any, pictures: Pixels, strength: float) -> Pixels:
    """x + strength (y - x), rounded and clipped to uint8."""
    unit = as_unit(pictures)
    if plan.kind == FlowPlan.kind:
        flat = unit.reshape(-1, *plan.shape)
        moved = xp.stack([_flow_at(xp, plan, picture, strength) for picture in flat])
        return to_bytes(xp, moved).reshape(pictures.shape)
    return to_bytes(xp, unit + np.float32(strength) * (predict(xp, plan, pictures) - unit))


def change(xp: Any, plan: Any, picture: Array) -> Change:
    """What the plan does to one picture, apart from the picture itself."""
    if plan.kind == FlowPlan.kind:
        return _flow_change(xp, plan, as_unit(picture))
    return Change(predict(xp, plan, picture) - as_unit(picture))


def as_unit(pictures: Array) -> Floats:
    """Pictures on [0, 1] as float32."""
    floats: Floats = pictures.astype(np.float32, copy=False)
    return floats / np.float32(255.0) if pictures.dtype == np.uint8 else floats


def to_bytes(xp: Any, unit: Floats) -> Pixels:
    """Values on [0, 1] as grey levels, rounded and clipped."""
    levels = xp.clip(xp.rint(unit * np.float32(255.0)), 0, 255)
    result: Pixels = levels.astype(np.uint8)
    return result


def _affine(xp: Any, plan: AffinePlan, pictures: Array) -> Floats:
    result: Floats = plan.weight * as_unit(pictures) + plan.bias
    return result


def _kernel(xp: Any, plan: KernelPlan, pictures: Array) -> Floats:
    features = plan.table[pictures] if pictures.dtype == np.uint8 else _between(xp, plan, pictures)
    result: Floats = xp.einsum("...r,...r->...", features, plan.coefficients)
    return result


def _between(xp: Any, plan: KernelPlan, pictures: Array) -> Floats:
    """Features of values between two grey levels, by linear interpolation."""
    position = as_unit(pictures) * np.float32(len(plan.table) - 1)
    low = xp.minimum(position.astype(np.intp), len(plan.table) - 2)
    share = (position - low.astype(np.float32))[..., None]
    result: Floats = plan.table[low] * (1 - share) + plan.table[low + 1] * share
    return result


def _sparse(xp: Any, plan: SparsePlan, pictures: Array) -> Floats:
    unit = as_unit(pictures)
    total: Floats = xp.broadcast_to(plan.bias, unit.shape).copy()
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


def _factored(xp: Any, plan: FactoredPlan, pictures: Array) -> Floats:
    flat = as_unit(pictures).reshape(*pictures.shape[:-3], -1)
    result: Floats = xp.tensordot(flat @ plan.basis.T, plan.coefficients, axes=1)
    return result


def _flow(xp: Any, plan: FlowPlan, pictures: Array) -> Floats:
    unit = as_unit(pictures)
    flat = unit.reshape(-1, *plan.shape)
    moved: Floats = xp.stack([_flow_at(xp, plan, picture, 1.0) for picture in flat])
    return moved.reshape(unit.shape)


def _flow_at(xp: Any, plan: FlowPlan, picture: Floats, strength: float) -> Floats:
    """One (H, W, C) picture on [0, 1] moved and changed by ``strength``."""
    change = _flow_change(xp, plan, picture)
    share = np.float32(strength)
    x, y = _sources(xp, plan, share)
    still: Any = ~plan.displacement.any(axis=2)
    moved = xp.where(still[..., None], picture, fetch_cubic(picture, x, y, xp))
    result: Floats = moved + share * change.colour
    return result


def _flow_change(xp: Any, plan: FlowPlan, picture: Floats) -> Change:
    x, y = _sources(xp, plan, np.float32(1))
    low = gaussian_blur(fetch_linear(picture, x, y, xp), float(plan.blur[0]), xp)
    return Change(plan.weight * low + plan.bias, plan.displacement)


def _sources(xp: Any, plan: FlowPlan, share: Any) -> tuple[Floats, Floats]:
    rows, columns = xp.indices(plan.shape[:2], dtype=np.float32)
    steps = share * plan.displacement
    return columns + steps[..., 0], rows + steps[..., 1]


_RUN: Mapping[str, Callable[[Any, Any, Array], Floats]] = {
    AffinePlan.kind: _affine,
    KernelPlan.kind: _kernel,
    SparsePlan.kind: _sparse,
    FactoredPlan.kind: _factored,
    FlowPlan.kind: _flow,
}
