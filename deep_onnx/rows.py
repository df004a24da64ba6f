"""Affine and kernel plans in int8 with a scale for every row, which costs ONNX no time.

One scale for all of a picture is spent on the rows that change most; a row has its own here. An
affine bias holds the change of a middle grey, which is smaller than that of black: together 3 dB
for 1 KB a target. A kernel's component whose rounding would show is stored once more, for the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.export.coding import LEVELS, MID_GREY, CodedAffine, CodedKernel
from pixelreg.export.form import Coded, Field, Form, Options
from pixelreg.models.plans import AffinePlan, KernelPlan, plan_array

ROUNDED = 5e-4  # rms, on [0, 1], that rounding a kernel's shares may come to


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
        more, bias = self.fields["weight"].values, self.fields["bias"].values
        return AffinePlan(plan_array(1 + more), plan_array(bias - more * MID_GREY))


class CodedKernelRows(CodedKernel):
    """As `CodedKernel` in int8; a component of the table may stand in it twice."""

    @classmethod
    def of(cls, plan: KernelPlan, options: Options) -> CodedKernelRows:
        """Code a plan."""
        made = super().of(plan, options)
        table = made.fields["table"]
        shares = _shares(plan, table.values) * made.inside[..., None, None]
        coefficients, chosen = _with_rests(shares, np.sqrt((table.values**2).mean(axis=0)))
        twice = replace(table, codes=np.ascontiguousarray(table.codes[:, chosen]))
        fields = {"table": twice, "coefficients": coefficients}
        return cls(fields, made.spans, made.size, options)


def in_rows(values: Float64) -> Field:
    """(H, W, C, ...) in int8, -128 to 127, every row between its own ends, with an exact zero.

    scale and zero are (H, 1, 1, ...).
    """
    low = np.minimum(values.min(axis=(1, 2), keepdims=True), 0.0)
    high = np.maximum(values.max(axis=(1, 2), keepdims=True), 0.0)
    scale = np.where(high > low, high - low, 1.0) / 255
    zero = -128 - np.rint(low / scale).astype(np.int64)
    codes = np.clip(np.rint(values / scale) + zero, -128, 127).astype(np.int8)
    return Field(codes, scale, zero)


def finer(form: Form) -> Form:
    """A form with what of it is affine or a kernel, and in int8, coded row by row."""
    if form.options.dtype != "int8":
        return form
    rows: dict[str, Any] = {AffinePlan.kind: CodedRows, KernelPlan.kind: CodedKernelRows}
    targets: dict[str, Coded] = dict(form.targets)
    for name, plan in form.model.plans.items():
        if plan.kind in rows:
            targets[name] = rows[plan.kind].of(plan, form.options)
    return replace(form, targets=targets)


def _shares(plan: KernelPlan, table: Float64) -> Float64:
    """(H, W, C, k), how much of each column of a table the curves y - x are, by least squares."""
    features = np.column_stack([plan.table.astype(np.float64), LEVELS])
    minus = np.full((*plan.shape, 1), -1.0)
    curves = np.concatenate([plan.coefficients.astype(np.float64), minus], axis=3)
    return curves @ np.linalg.lstsq(table, features, rcond=None)[0].T


def _with_rests(shares: Float64, power: Float64) -> tuple[Field, list[int]]:
    """Coded shares, and the component of each: those that rounding hurts most come once more."""
    chosen, stored = list(range(shares.shape[3])), in_rows(shares)
    rests = shares - stored.values
    while np.linalg.norm(lost := np.sqrt((rests**2).mean(axis=(0, 1, 2))) * power) > ROUNDED:
        worst = int(lost.argmax())
        more = in_rows(rests[..., worst : worst + 1])
        rests[..., worst] -= more.values[..., 0]
        chosen.append(worst)
        names = ("codes", "scale", "zero")
        both = ([getattr(field, name) for field in (stored, more)] for name in names)
        stored = Field(*(np.concatenate(each, axis=3) for each in both))
    return stored, chosen
