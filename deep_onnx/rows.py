"""Affine plans in int8 with a scale for every row, which ONNX has at no cost where C would pay.

One scale for all of a picture is spent on the rows that change most. A row has its own here, and
what the bias holds is the change of a middle grey, which is smaller than that of black: together
3 dB for 1 KB a target.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.export.coding import MID_GREY, CodedAffine
from pixelreg.export.form import Coded, Field, Form, Options
from pixelreg.models.plans import AffinePlan, plan_array


class CodedRows(CodedAffine):
    """Fields weight and bias (H, W, C) int8: y - x = weight (x - middle grey) + bias."""

    @classmethod
    def of(cls, plan: AffinePlan, options: Options) -> CodedRows:
        """Code a plan."""
        made = super().of(plan, options)
        more = plan.weight.astype(np.float64) - 1
        bias = (plan.bias + more * MID_GREY) * made.inside[..., None]
        fields = {"weight": in_rows(more), "bias": in_rows(bias)}
        return cls(fields, made.spans, made.size, options)

    def plan(self) -> AffinePlan:
        """See `Coded`."""
        more, bias = self.fields["weight"].values, self.fields["bias"].values
        return AffinePlan(plan_array(1 + more), plan_array(bias - more * MID_GREY))


def in_rows(values: Float64) -> Field:
    """(H, W, C) in int8, -128 to 127, every row between its own ends, with an exact zero.

    scale and zero are (H, 1, 1).
    """
    low = np.minimum(values.min(axis=(1, 2), keepdims=True), 0.0)
    high = np.maximum(values.max(axis=(1, 2), keepdims=True), 0.0)
    scale = np.where(high > low, high - low, 1.0) / 255
    zero = -128 - np.rint(low / scale).astype(np.int64)
    codes = np.clip(np.rint(values / scale) + zero, -128, 127).astype(np.int8)
    return Field(codes, scale, zero)


def finer(form: Form) -> Form:
    """A form with what of it is affine and in int8 coded row by row."""
    if form.options.dtype != "int8":
        return form
    targets: dict[str, Coded] = dict(form.targets)
    for name, plan in form.model.plans.items():
        if isinstance(plan, AffinePlan):
            targets[name] = CodedRows.of(plan, form.options)
    return replace(form, targets=targets)
