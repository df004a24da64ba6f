"""The form that every exporter reads: a target's fields as stored codes, and how to take them.

Plans become this form in `pixelreg.export.coding`. It decodes to an ordinary plan again, so that
what an exporter wrote can be compared with what its numbers stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import UsageError
from pixelreg.models.model import Model
from pixelreg.models.plans import Plan

DTYPES = ("float32", "float16", "int8")
DETAILS = (1, 2, 4)
MASKS = ("none", "face")


@dataclass(frozen=True)
class Options:
    """What is asked of an exporter.

    dtype : of the codes, one of `DTYPES`.
    detail : how many pixels a side one number of a smooth field stands for, one of `DETAILS`.
    mask : ``face`` bakes the fall around the face in; ``none`` leaves it to who pastes.
    layout : how an exporter divides what it writes into files; empty for its first.
    """

    dtype: str = "float32"
    detail: int = 1
    mask: str = "none"
    layout: str = ""


@dataclass(frozen=True, eq=False)
class Field:
    """An array of codes; a value is scale (code - zero).

    codes : (..., k) float32, float16, int8 or int16.
    scale : (k,) or (1,) float64; ones for floats.
    zero : (k,) or (1,) int64, the codes of 0, which is exact; 0 but for int8 that lies to one side.
    """

    codes: Array
    scale: Float64
    zero: Array

    @property
    def values(self) -> Float64:
        """What the codes stand for."""
        return self.scale * (self.codes.astype(np.float64) - self.zero)


@dataclass(frozen=True, eq=False)
class Coded:
    """One target. Each kind of plan has its class in `pixelreg.export.coding`.

    fields : by name; those of a pixel are (H / detail, W / detail, k) or, for a kernel's
        coefficients, (H, W, C, r). Which there are, and their units, tells the kind's class.
    spans : (H, 2) int, first and last + 1 of the columns that the target changes, row by row;
        both 0 where it changes none. What is decoded is nothing outside.
    """

    kind: ClassVar[str] = ""
    details: ClassVar[tuple[int, ...]] = (1,)
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    masks: ClassVar[tuple[str, ...]] = MASKS
    rebased: ClassVar[bool] = False  # whether int8 fields give the change y - x instead of y
    fields: Mapping[str, Field]
    spans: Array
    size: int
    options: Options

    def plan(self) -> Plan:
        """The ordinary plan that computes what the codes stand for."""
        raise NotImplementedError

    @property
    def delta(self) -> bool:
        """Whether the fields give y - x instead of y."""
        return self.rebased and self.options.dtype == "int8"

    @property
    def inside(self) -> Array:
        """(H, W) bool, where the spans are."""
        columns = np.arange(self.size)
        return (columns >= self.spans[:, :1]) & (columns < self.spans[:, 1:])

    @property
    def whole(self) -> bool:
        """Whether the spans are all of the picture."""
        return bool(self.inside.all())

    def cut(self, name: str) -> Array:
        """A field's codes inside the spans alone, row after row: (pixels, ...).

        Fields of less detail are kept whole: (H / detail W / detail, ...).
        """
        codes = self.fields[name].codes
        if len(codes) != self.size:
            return codes.reshape(-1, *codes.shape[2:])
        return codes[self.inside]

    def at_full_size(self, name: str) -> Float64:
        """A field's values at every pixel: (H, W, k), 0 outside the spans."""
        values = self.fields[name].values
        if len(values) != self.size:
            values = enlarged(values, self.size)
        return values * self.inside.reshape(self.size, self.size, *(1,) * (values.ndim - 2))


@dataclass(frozen=True, eq=False)
class Form:
    """All targets of an export.

    model : what is exported, in full precision, the mask baked in: the reference.
    targets : the coded targets, by the model's names.
    """

    model: Model
    options: Options
    targets: Mapping[str, Coded]

    @property
    def decoded(self) -> Model:
        """The model that the codes stand for; the NumPy backend runs it."""
        plans = {name: coded.plan() for name, coded in self.targets.items()}
        return replace(self.model, plans=plans)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of plan that are in it, each once."""
        return tuple(dict.fromkeys(coded.kind for coded in self.targets.values()))


def spans_of(changed: Array) -> Array:
    """(H, 2) first and last + 1 columns of the true entries of (H, W)."""
    first = changed.argmax(axis=1)
    last = changed.shape[1] - changed[:, ::-1].argmax(axis=1)
    some = changed.max(axis=1, keepdims=True)
    return np.where(some, np.stack([first, last], 1), 0)


def reduced(values: Array, detail: int) -> Float64:
    """(H, W, k) -> (H / detail, W / detail, k), those that `enlarged` comes nearest with.

    Least squares: means over blocks would lose 4 to 5 dB more.
    """
    if detail == 1:
        return values.astype(np.float64)
    back = np.linalg.pinv(_bilinear(len(values), detail)).astype(np.float64)
    return _both_ways(back, values.astype(np.float64))


def enlarged(values: Array, size: int) -> Float64:
    """(h, w, k) -> (size, size, k), bilinear between the blocks' centres, the border repeated.

    Pixel x lies at (2 x + 1 - detail) / (2 detail) of the small field.
    """
    return _both_ways(_bilinear(size, size // len(values)), values.astype(np.float64))


def _bilinear(size: int, detail: int) -> Float64:
    """(size, size / detail), what each number of a small row adds to those of a large one."""
    place = (2 * np.arange(size) + 1 - detail) / (2 * detail)
    apart = np.abs(np.clip(place, 0, size // detail - 1)[:, None] - np.arange(size // detail))
    return np.maximum(1 - apart, 0)


def _both_ways(matrix: Float64, values: Float64) -> Float64:
    """The matrix along rows and along columns of (H, W, k)."""
    return np.moveaxis(matrix @ np.moveaxis(values, 2, 0) @ matrix.T, 0, 2)


def floats(values: Array, dtype: str) -> Field:
    """A field in float32 or float16."""
    with np.errstate(over="ignore"):
        codes = np.ascontiguousarray(values, dtype=dtype)
    if not np.isfinite(codes).all():
        raise UsageError(f"--dtype {dtype} cannot hold this model's numbers; take float32")
    return Field(codes, np.ones(1), np.zeros(1, np.int64))


def symmetric(values: Array, apart: bool = False) -> Field:
    """A field in int8, -127 to 127, with one scale, or ``apart``: one for each of the last axis."""
    most = np.abs(values).max(axis=_others(values, apart)).astype(np.float64)
    scale = np.atleast_1d(np.where(most > 0, most, 1) / 127)
    codes = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
    return Field(codes, scale, np.zeros(1, np.int64))


def one_sided(values: Array, apart: bool = False) -> Field:
    """A field in int8, -128 to 127, that lies where its numbers lie; see `symmetric`."""
    axes = _others(values, apart)
    low = np.atleast_1d(np.minimum(values.min(axis=axes), 0.0))
    high = np.atleast_1d(np.maximum(values.max(axis=axes), 0.0))
    scale = np.where(high > low, high - low, 1.0).astype(np.float64) / 255
    zero = -128 - np.rint(low / scale).astype(np.int64)
    codes = np.clip(np.rint(values / scale) + zero, -128, 127).astype(np.int8)
    return Field(codes, scale, zero)


def _others(values: Array, apart: bool) -> tuple[int, ...] | None:
    return tuple(range(values.ndim - 1)) if apart else None
