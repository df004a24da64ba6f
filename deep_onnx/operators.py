"""What plans compute, said in common ONNX operators: opset 13, and nothing that few runtimes have.

Pictures are (N, S, S, 3) float32 on [0, 1]. Several targets lie one behind the other in every
table, and the input ``target`` takes one of them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from deep_onnx.graph import Graph
from pixelreg.arrays import Array
from pixelreg.export.coding import MID_GREY, CodedFlow
from pixelreg.export.form import Coded, Field
from pixelreg.models.plans import (
    AffinePlan,
    FactoredPlan,
    FlowPlan,
    KernelPlan,
    SparsePlan,
)
from pixelreg.pictures.warp import KEYS, blur_weights

IMAGE, STRENGTH, TARGET = "image", "strength", "target"
OUTPUT, COLOUR, DISPLACEMENT = "output", "colour", "displacement"


class Made(NamedTuple):
    """What a plan makes of pictures: the fetched picture (empty for itself), and the colour."""

    colour: str
    moved: str = ""


@dataclass(frozen=True)
class Tables:
    """The coded targets, as constants of a graph."""

    graph: Graph
    targets: Sequence[Coded]

    @property
    def size(self) -> int:
        """Side of the pictures."""
        return self.targets[0].size

    @property
    def delta(self) -> bool:
        """Whether fields give y - x instead of y."""
        return self.targets[0].delta

    def chosen(self, arrays: Sequence[Array], name: str, learnt: bool = False) -> str:
        """The asked target's array out of one a target; no choice where all are the same."""
        if all(np.array_equal(arrays[0], array) for array in arrays):
            return self.graph.constant(arrays[0], name, learnt)
        stack = self.graph.constant(np.stack(arrays), name, learnt)
        return self.graph("Gather", stack, TARGET, axis=0)

    def field(self, name: str) -> str:
        """The asked target's field as float32, in the shape of its codes."""
        graph, fields = self.graph, [coded.fields[name] for coded in self.targets]
        longest = max(field.codes.shape[-1] for field in fields)
        if name in ("table", "coefficients"):  # which kernels have in any number
            fields = [_longer(field, longest) for field in fields]
        codes = self.chosen([field.codes for field in fields], name, learnt=True)
        values = codes if fields[0].codes.dtype == np.float32 else graph.floats(codes)
        if any(field.zero.any() for field in fields):
            zero = [field.zero.astype(np.float32) for field in fields]
            values = graph("Sub", values, self.chosen(zero, "zero"))
        if any((field.scale != 1).any() for field in fields):
            scale = [field.scale.astype(np.float32) for field in fields]
            values = graph("Mul", values, self.chosen(scale, "scale"))
        return values

    def enlarged(self, name: str) -> str:
        """A field at every pixel, planes first: (1, k, S, S); nothing outside the spans."""
        graph, detail = self.graph, self.targets[0].options.detail
        planes = graph("Transpose", self.field(name), perm=(2, 0, 1))
        planes = graph("Unsqueeze", planes, graph.whole(0))
        if detail == 1:
            return planes
        scales = graph.constant(np.array([1, 1, detail, detail], np.float32))
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return graph("Mul", graph("Resize", planes, "", scales, **how), self._inside())

    def _inside(self) -> str:
        """(S, S), 1 inside the spans and 0 outside."""
        graph, columns = self.graph, np.arange(self.size, dtype=np.float32)[None]
        first, last = (
            self.chosen([t.spans[:, k : k + 1].astype(np.float32) for t in self.targets], "spans")
            for k in (0, 1)
        )
        left = graph("Less", graph.constant(columns + np.float32(0.5)), last)
        right = graph("Less", first, graph.constant(columns + np.float32(0.5)))
        return graph("Mul", graph.floats(left), graph.floats(right))


def affine(tables: Tables, unit: str) -> Made:
    """See `pixelreg.export.coding.CodedAffine`; in int8, `deep_onnx.rows.CodedRows`."""
    graph = tables.graph
    seen = graph("Sub", unit, graph.number(MID_GREY)) if tables.delta else unit
    made = graph("Add", graph("Mul", tables.field("weight"), seen), tables.field("bias"))
    return _colour(tables, made, unit)


def kernel(tables: Tables, unit: str) -> Made:
    """See `pixelreg.export.coding.CodedKernel`."""
    graph = tables.graph
    features = graph("Gather", tables.field("table"), graph.wholes(IMAGE), axis=0)
    shares = graph("Mul", features, tables.field("coefficients"))
    return _colour(tables, graph("ReduceSum", shares, graph.whole(4), keepdims=0), unit)


def factored(tables: Tables, unit: str) -> Made:
    """See `FactoredPlan`: all pixels to all pixels, by way of a few numbers."""
    graph, size = tables.graph, tables.size
    flat = graph("Reshape", unit, graph.whole(0, size * size * 3))
    codes = [{name: f.codes for name, f in coded.fields.items()} for coded in tables.targets]
    ranks = max(len(each["basis"]) for each in codes)
    basis, shares = (
        tables.chosen([_more_rows(each[name], ranks) for each in codes], name, learnt=True)
        for name in ("basis", "coefficients")
    )
    few = graph("MatMul", flat, graph("Transpose", basis, perm=(1, 0)))
    made = graph("MatMul", few, graph("Reshape", shares, graph.whole(ranks, -1)))
    return _colour(tables, graph("Reshape", made, graph.whole(-1, size, size, 3)), unit)


def sparse(tables: Tables, unit: str) -> Made:
    """See `SparsePlan`: neighbours are cut out of the picture with a black border."""
    graph, size = tables.graph, tables.size
    offsets = [coded.fields["offsets"].codes for coded in tables.targets]
    steps = sorted({tuple(step) for each in offsets for step in each.tolist()})
    reach = int(max(np.abs(steps).max(), 1))
    around = graph("Pad", unit, graph.whole(0, reach, reach, 0, 0, reach, reach, 0))
    made = tables.field("bias")
    for down, right in steps:
        top, left = reach + down, reach + right
        ends = graph.whole(top, left), graph.whole(top + size, left + size)
        seen = graph("Slice", around, *ends, graph.whole(1, 2))
        weights = [_weights_of(coded, (down, right)) for coded in tables.targets]
        share = graph("Mul", tables.chosen(weights, "weights", learnt=True), seen)
        made = graph("Add", made, share)
    return _colour(tables, made, unit)


def flow(tables: Tables, unit: str) -> Made:
    """See `pixelreg.export.coding.CodedFlow`; looked up by Gather, which every runtime has."""
    graph = tables.graph
    planes = graph("Transpose", unit, perm=(0, 3, 1, 2))
    moves = graph("Squeeze", tables.enlarged("displacement"), graph.whole(0))
    x, y = (graph("Gather", moves, graph.constant(np.array(k, np.int64)), axis=0) for k in (0, 1))
    graph("Transpose", moves, perm=(1, 2, 0), gives=DISPLACEMENT)
    fetched = _Fetched(graph, planes, tables.size)
    low = _blurred(tables, fetched(x, y, 0, _linear))
    weight, bias = tables.enlarged("weight"), tables.enlarged("bias")
    colour = graph("Add", graph("Mul", weight, low), bias)
    moved = fetched(graph("Mul", STRENGTH, x), graph("Mul", STRENGTH, y), -1, _cubic)
    colour, moved = (graph("Transpose", each, perm=(0, 2, 3, 1)) for each in (colour, moved))
    return Made(graph("Identity", colour, gives=COLOUR), moved)


OPERATORS: Mapping[str, Callable[[Tables, str], Made]] = {
    AffinePlan.kind: affine,
    KernelPlan.kind: kernel,
    FlowPlan.kind: flow,
    FactoredPlan.kind: factored,
    SparsePlan.kind: sparse,
}


def computed(kind: str, tables: Tables) -> None:
    """The whole graph: from pictures and a strength to pictures, and to what is pasted back."""
    graph = tables.graph
    unit = graph("Div", graph.floats(IMAGE), graph.number(255))
    made = OPERATORS[kind](tables, unit)
    change = graph("Mul", STRENGTH, made.colour)
    graph.grey_levels(graph("Add", made.moved or unit, change), OUTPUT)


def _colour(tables: Tables, made: str, unit: str) -> Made:
    """y - x of what the fields give."""
    graph = tables.graph
    takes = ("Identity", made) if tables.delta else ("Sub", made, unit)
    return Made(graph(*takes, gives=COLOUR))


def _longer(field: Field, length: int) -> Field:
    """A field with more numbers on its last axis, all of them nothing."""
    missing = length - field.codes.shape[-1]

    def padded(array: Array) -> Array:
        """With more for each number of that axis; as it is where there is one for all."""
        more = 0 if array.size == 1 else missing
        return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)])

    return Field(padded(field.codes), padded(field.scale), padded(field.zero))


def _more_rows(array: Array, count: int) -> Array:
    return np.pad(array, [(0, count - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _weights_of(coded: Coded, step: tuple[int, ...]) -> Array:
    """The weights of one neighbour, nothing where a target does not look there."""
    weights = coded.fields["weights"].codes
    there = (coded.fields["offsets"].codes == step).all(axis=1)
    return weights[there].sum(axis=0, dtype=np.float32)


def _blurred(tables: Tables, planes: str) -> str:
    """The low-pass: along columns, then along rows, the border repeated."""
    graph = tables.graph
    blurs = [blur_weights(t.blur) for t in tables.targets if isinstance(t, CodedFlow)]
    reach = max(len(weights) for weights in blurs) // 2
    if not reach:
        return planes
    wide = [np.pad(w, reach - len(w) // 2).astype(np.float32) for w in blurs]
    edges = graph.whole(0, 0, reach, reach, 0, 0, reach, reach)
    planes = graph("Pad", planes, edges, mode="edge")
    for shape in ((3, 1, -1, 1), (3, 1, 1, -1)):
        kernels = [np.tile(w, 3).reshape(shape) for w in wide]
        planes = graph("Conv", planes, tables.chosen(kernels, "blur"), group=3)
    return planes


@dataclass(frozen=True)
class _Fetched:
    """Looking pixels up between the pixels, as `pixelreg.pictures.warp`: planes (N, 3, S, S)."""

    graph: Graph
    planes: str
    size: int

    def __call__(self, right: str, down: str, first: int, taps: Any) -> str:
        """Every pixel from so far to its right and below it, (S, S) each."""
        graph, along = self.graph, np.arange(self.size, dtype=np.float32)
        flat = graph("Reshape", self.planes, graph.whole(0, 3, self.size**2))
        columns, across = self._axis(right, graph.constant(along[None]), first, taps)
        rows, downs = self._axis(down, graph.constant(along[:, None]), first, taps)
        total = ""
        for row, by_row in zip(rows, downs, strict=True):
            start = graph("Mul", row, graph.number(self.size))
            line = ""
            for column, by_column in zip(columns, across, strict=True):
                place = graph.wholes(graph("Add", start, column))
                share = graph("Mul", graph("Gather", flat, place, axis=2), by_column)
                line = graph("Add", line, share) if line else share
            share = graph("Mul", line, by_row)
            total = graph("Add", total, share) if total else share
        return total

    def _axis(self, step: str, along: str, first: int, taps: Any) -> tuple[list[str], list[str]]:
        """The rows or columns that are read, and what each counts."""
        graph = self.graph
        place = graph("Add", along, step)
        whole = graph("Floor", place)
        weights = taps(graph, graph("Sub", place, whole))
        limits = graph.number(0), graph.number(self.size - 1)
        steps = (graph("Add", whole, graph.number(first + k)) for k in range(len(weights)))
        return [graph("Clip", step, *limits) for step in steps], weights


def _linear(graph: Graph, share: str) -> list[str]:
    return [graph("Sub", graph.number(1), share), share]


def _cubic(graph: Graph, share: str) -> list[str]:
    """Keys' kernel at 1 + f, f, 1 - f and 2 - f."""
    a, one, two = np.float32(KEYS), graph.number(1), graph.number(2)

    def polynomial(d: str, *factors: float) -> str:
        """The highest power first."""
        made = graph.number(factors[0])
        for factor in factors[1:]:
            made = graph("Mul", made, d)
            made = graph("Add", made, graph.number(factor)) if factor else made
        return made

    def near(d: str) -> str:
        return polynomial(d, a + 2, -(a + 3), 0, 1)

    def far(d: str) -> str:
        return polynomial(d, a, -5 * a, 8 * a, -4 * a)

    rest = graph("Sub", one, share)
    return [far(graph("Add", one, share)), near(share), near(rest), far(graph("Sub", two, share))]
