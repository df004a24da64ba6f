"""From plans to the exporters' form: each kind's codes, and what they decode to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.errors import UsageError
from pixelreg.export.form import (
    DETAILS,
    Coded,
    Field,
    Form,
    Options,
    floats,
    one_sided,
    reduced,
    spans_of,
    symmetric,
)
from pixelreg.faces.paste import face_mask
from pixelreg.models.model import Model
from pixelreg.models.plans import (
    AffinePlan,
    FactoredPlan,
    FlowPlan,
    KernelPlan,
    Plan,
    SparsePlan,
    plan_array,
)
from pixelreg.models.sums import GREY_LEVELS

MID_GREY = 128 / 255  # where int8 biases make good what int8 weights are off
LEVELS = np.arange(GREY_LEVELS) / 255.0
LEFT_OUT = 1e-3  # rms, on [0, 1], of what a kernel's curves lose with its last components: 60 dB

ROUNDING = 1e-6  # of the largest share: what is smaller is nothing


class CodedAffine(Coded):
    """Fields weight and bias (H, W, C): y = weight x + bias, or y - x in int8; x on [0, 1]."""

    kind = AffinePlan.kind
    rebased = True

    @classmethod
    def of(cls, plan: AffinePlan, options: Options) -> CodedAffine:
        """Code a plan."""
        changed = (plan.weight != 1) | (plan.bias != 0)
        if options.dtype == "int8":
            more = plan.weight.astype(np.float64) - 1
            weight = one_sided(more)
            bias = one_sided((plan.bias + (more - weight.values) * MID_GREY) * changed)
        else:
            weight, bias = floats(plan.weight, options.dtype), floats(plan.bias, options.dtype)
        fields = {"weight": weight, "bias": bias}
        return cls(fields, spans_of(changed.any(axis=2)), plan.shape[0], options)

    def plan(self) -> AffinePlan:
        weight, bias = self.at_full_size("weight"), self.at_full_size("bias")
        more = np.ones(1) if self.delta else ~self.inside[..., None]
        return AffinePlan(plan_array(weight + more), plan_array(bias))


class CodedKernel(Coded):
    """Fields table (256, r) and coefficients (H, W, C, r): y = table[x] . coefficients.

    In int8 that is y - x, the table holds the principal components of the curves y - x in int16,
    and there are as many as the curves need.
    """

    kind = KernelPlan.kind
    rebased = True

    @classmethod
    def of(cls, plan: KernelPlan, options: Options) -> CodedKernel:
        """Code a plan."""
        components, shares = _components(plan)
        if options.dtype == "int8":
            coefficients = one_sided(shares, apart=True)
            table = _int16(components * coefficients.scale)
            coefficients = replace(coefficients, scale=np.ones(1))
        else:
            table = floats(plan.table, "float32")  # 256 rows: float16 would spare little
            coefficients = floats(plan.coefficients, options.dtype)
        spans = spans_of((np.abs(shares) > ROUNDING * np.abs(shares).max()).any(axis=(2, 3)))
        fields = {"table": table, "coefficients": coefficients}
        return cls(fields, spans, plan.shape[0], options)

    def plan(self) -> KernelPlan:
        coefficients = self.at_full_size("coefficients")
        own = np.ones(self.inside.shape) if self.delta else ~self.inside
        own = np.broadcast_to(own[..., None, None], (*coefficients.shape[:3], 1))
        table = np.column_stack([self.fields["table"].values, LEVELS])
        both = np.concatenate([coefficients, own], axis=3)
        if not own.any():
            table, both = table[:, :-1], coefficients
        return KernelPlan(plan_array(table), plan_array(both))


class CodedFlow(Coded):
    """Fields displacement (H, W, 2) in pixels, weight and bias (H, W, C), as of `FlowPlan`.

    Each may be smaller, and is bilinear between its numbers. It is masked by itself.
    """

    kind = FlowPlan.kind
    details = DETAILS

    @classmethod
    def of(cls, plan: FlowPlan, options: Options) -> CodedFlow:
        """Code a plan."""
        fields = (plan.displacement, plan.weight, plan.bias)
        moves, weight, bias = (reduced(values, options.detail) for values in fields)
        changed = np.concatenate(fields, axis=2).astype(bool).max(axis=2)
        if options.dtype == "int8":
            coded = {"displacement": symmetric(moves, apart=True), "weight": symmetric(weight)}
            off = weight - coded["weight"].values
            coded["bias"] = symmetric(bias + off * MID_GREY * (weight != 0))
        else:
            named = {"displacement": moves, "weight": weight, "bias": bias}
            coded = {name: floats(values, options.dtype) for name, values in named.items()}
        coded["blur"] = floats(plan.blur, "float32")
        return cls(coded, spans_of(changed), plan.shape[0], options)

    @property
    def blur(self) -> float:
        """Sigma of the low-pass, in pixels."""
        return float(self.fields["blur"].codes[0])

    def plan(self) -> FlowPlan:
        names = ("displacement", "weight", "bias")
        moves, weight, bias = (plan_array(self.at_full_size(name)) for name in names)
        return FlowPlan(moves, weight, bias, plan_array(self.fields["blur"].codes))


class CodedAsItIs(Coded):
    """Fields as the plan has them, in float32."""

    dtypes = ("float32",)
    masks = ("none",)
    origin: ClassVar[type[Plan]] = Plan

    @classmethod
    def of(cls, plan: Plan, options: Options) -> CodedAsItIs:
        """Code a plan."""
        size = plan.shape[0]
        none = np.zeros(1, np.int64)
        fields = {name: Field(array, np.ones(1), none) for name, array in plan.tensors().items()}
        return cls(fields, spans_of(np.ones((size, size), bool)), size, options)

    def plan(self) -> Plan:
        return self.origin.from_tensors({name: it.codes for name, it in self.fields.items()})


class CodedSparse(CodedAsItIs):
    """Masked regression's offsets, weights and bias; see `SparsePlan`."""

    kind = SparsePlan.kind
    origin = SparsePlan


class CodedFactored(CodedAsItIs):
    """The factors of a regression from all pixels to all pixels; see `FactoredPlan`."""

    kind = FactoredPlan.kind
    origin = FactoredPlan


CODED: Mapping[str, Any] = {
    cls.kind: cls for cls in (CodedAffine, CodedKernel, CodedFlow, CodedSparse, CodedFactored)
}


def coded(model: Model, options: Options) -> Form:
    """A model in the exporters' form, or a line on what it cannot be."""
    if options.mask != "none":
        if model.frame is None:
            raise UsageError(f"--mask {options.mask} is for models of faces; this one has no frame")
        plans = {name: _masked(plan) for name, plan in model.plans.items()}
        model = replace(model, plans=plans)
    if model.size % options.detail:
        raise UsageError(f"--detail {options.detail} does not divide the size, {model.size} pixels")
    made = {}
    for name, plan in model.plans.items():
        _check(name, plan, options)
        made[name] = CODED[plan.kind].of(plan, options)
    return Form(model, options, made)


def _check(name: str, plan: Plan, options: Options) -> None:
    form = CODED[plan.kind]
    for option, asked, there in (
        ("--dtype", options.dtype, form.dtypes),
        ("--detail", options.detail, form.details),
        ("--mask", options.mask, form.masks),
    ):
        if asked not in there:
            raise UsageError(
                f"{option} {asked} is not for {name}, a plan of kind {plan.kind}; it takes: "
                f"{', '.join(map(str, there))}"
            )


def _masked(plan: Plan) -> Plan:
    """The plan with the fall around the face in it; as it is where it has one, or can have none."""
    mask = face_mask(plan.shape[0])[..., None]
    if isinstance(plan, AffinePlan):
        return AffinePlan(plan_array(1 + mask * (plan.weight - 1)), plan_array(mask * plan.bias))
    if isinstance(plan, KernelPlan):
        shares = mask[..., None] * plan.coefficients
        rest = np.broadcast_to(1 - mask[..., None], (*plan.shape, 1))
        table = np.column_stack([plan.table, LEVELS])
        return KernelPlan(plan_array(table), plan_array(np.concatenate([shares, rest], axis=3)))
    return plan


def _components(plan: KernelPlan) -> tuple[Float64, Float64]:
    """Principal components (256, k) of all pixels' curves y - x, and the shares (H, W, C, k).

    k is the least that leaves out no more than `LEFT_OUT`.
    """
    rank = plan.table.shape[1]
    features = np.column_stack([plan.table.astype(np.float64), LEVELS])
    curves = plan.coefficients.reshape(-1, rank).astype(np.float64)
    curves = np.column_stack([curves, -np.ones(len(curves))])
    basis, triangle = np.linalg.qr(features)
    curves = curves @ triangle.T
    powers, directions = np.linalg.eigh(curves.T @ curves)
    powers = np.maximum(powers, 0) / (len(curves) * GREY_LEVELS)
    left_out = np.sqrt(np.cumsum(powers))  # by the first j, the weakest
    kept = max(1, int((left_out > LEFT_OUT).sum()))
    directions = directions[:, ::-1][:, :kept]
    return basis @ directions, (curves @ directions).reshape(*plan.shape, kept)


def _int16(values: Float64) -> Field:
    """A field in int16 whose scale is a power of two over 255, so that shifts give grey levels."""
    levels = values * 255
    most = float(np.abs(levels).max()) or 1.0
    shift = int(np.floor(np.log2(32767 / most)))
    scale = np.array([2.0**-shift / 255])
    return Field(np.rint(levels * 2.0**shift).astype(np.int16), scale, np.zeros(1, np.int64))
