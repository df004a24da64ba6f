"""Table I of Pixel-based Facial Expression Synthesis: how large models are, and what they cost.

Everything is counted from the networks and plans themselves, at the papers' own widths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from pixelreg.bench.models import Contender, Fitted
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Table
from pixelreg.errors import MissingExtraError
from pixelreg.fitting.recipe import PAPER_SIZE
from pixelreg.models.plans import FlowPlan, Plan
from pixelreg.pictures.warp import blur_weights

DEEP = "deep_onnx.counting:counted"
FLOAT = 4  # bytes
RIDGE = 2 * 3 * PAPER_SIZE**2  # Eq. 3: w and b of every value
CUBIC, LINEAR = 16, 4  # pixels that a look-up between pixels takes

COLUMNS = (
    Column("model"),
    Column("what"),
    Column("size"),
    Column("parameters"),
    Column("x Pixel-RR", 2),
    Column("bytes"),
    Column("multiply-adds"),
    Column("bytes moved"),
)
NOTES = (
    "Parameters: learnt numbers. Bytes: of the model's own arrays; of networks, four a parameter; "
    "of the rig and of model files, their file.",
    "Multiply-adds, a picture: those of convolutions, transposed convolutions and fully connected "
    "layers, or of the plan; norms, activations, additions and resizing are not counted.",
    "Bytes moved, a picture: all weights read once, and every layer's input read and output "
    "written as float32; what a cache saves is not counted.",
    "kr: the exact factors of the 256 grey levels, which all pairs share; as the paper stores it, "
    "it has 2 N numbers for each of the 49,152 values, 39,321,600 for its 400 pairs.",
    "The paper's Table I is a picture in the copy that was read, so its cells do not stand beside; "
    "its text says that Pixel-RR has two orders of magnitude fewer parameters than GANs.",
)


def measure(setting: Setting) -> Table:
    """Count what takes part, and the papers' networks where PyTorch is there."""
    learning, _ = setting.split(setting.folds()[0], PAPER_SIZE, setting.frame)
    pairs = len(learning.pairs)
    rows: list[tuple[Cell, ...]] = []
    notes = [*NOTES, *setting.absent]
    for one in setting.taking_part:
        plan = one.at(PAPER_SIZE).plan(learning) if isinstance(one, Fitted) else None
        rows.append(_plan_row(one.name, plan, pairs) if plan is not None else _told_row(one))
    try:
        rows += _networks()
    except MissingExtraError as error:
        notes.append(f"The papers' networks are not counted: {error}")
    return Table(
        "sizes",
        "Sizes of models",
        "What a model stores and what one picture costs, at the papers' own widths "
        "(Pixel-based Facial Expression Synthesis, Table I).",
        COLUMNS,
        tuple(map(_compared, rows)),
        tuple(notes),
    )


def plan_multiply_adds(plan: Plan) -> int:
    """Multiply-adds of one picture."""
    return WORK[plan.kind](plan)


def plan_bytes_moved(plan: Plan) -> int:
    """Bytes that one picture moves: a plan is a layer, one that moves pixels four of them."""
    layers = 4 if isinstance(plan, FlowPlan) else 1
    return _bytes(plan) + layers * 2 * FLOAT * _values(plan)


def _flow(plan: Any) -> int:
    """Two look-ups, a low-pass in two directions, one ridge regression."""
    taps = CUBIC + LINEAR + 2 * len(blur_weights(float(plan.blur[0]))) + 1
    return _values(plan) * taps


# By the plan's kind; an addition of its own, as of a bias, is none.
WORK: Mapping[str, Callable[[Any], int]] = {
    "affine": lambda plan: int(plan.weight.size),
    "kernel": lambda plan: int(plan.coefficients.size),
    "sparse": lambda plan: int(plan.weights.size),
    "factored": lambda plan: int(plan.basis.size + plan.coefficients.size),
    "flow": _flow,
}


def _values(plan: Plan) -> int:
    height, width, channels = plan.shape
    return height * width * channels


def _bytes(plan: Plan) -> int:
    return sum(array.nbytes for array in plan.tensors().values())


def _plan_row(name: str, plan: Plan, pairs: int) -> tuple[Cell, ...]:
    what = f"fitted to {pairs} pairs: {plan.kind}"
    counts = plan.parameters, _bytes(plan), plan_multiply_adds(plan), plan_bytes_moved(plan)
    return name, what, plan.shape[0], *counts


def _told_row(one: Contender) -> tuple[Cell, ...]:
    """A model that came as a file, or along: what it says of itself; work is not counted."""
    facts = one.facts()
    parameters = facts.get("parameters")
    return (
        one.name,
        str(facts.get("model", "")),
        one.size,
        parameters,
        facts.get("bytes"),
        None,
        None,
    )


def _networks() -> Iterator[tuple[Cell, ...]]:
    module, _, function = DEEP.partition(":")
    for one in getattr(import_module(module), function)():
        bytes_ = FLOAT * one.parameters
        counts = one.parameters, bytes_, one.multiply_adds, one.bytes_moved
        yield one.name, one.what, one.size, *counts


def _compared(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """A row with its parameters as a multiple of those of Pixel-RR."""
    name, what, side, parameters, *others = row
    ratio = None if parameters is None else float(parameters) / RIDGE
    return name, what, side, parameters, ratio, *others
