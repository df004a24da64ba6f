"""``pixelreg export --to onnx``: closed-form models as ONNX files, run before they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

import numpy as np

from deep_onnx.agreement import check_graph
from deep_onnx.card import CHANNELS_LAST, Card
from deep_onnx.file import Contents, check
from deep_onnx.graph import OPSET, Graph
from deep_onnx.operators import (
    COLOUR,
    DISPLACEMENT,
    IMAGE,
    OUTPUT,
    STRENGTH,
    TARGET,
    Tables,
    computed,
)
from deep_onnx.rows import finer
from deep_onnx.session import Session
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import UsageError
from pixelreg.export import Exported, Takes, refuse_folder
from pixelreg.export.form import DETAILS, Form
from pixelreg.export.measure import Difference, compared
from pixelreg.export.readme import masked, placed, readme
from pixelreg.files import write_bytes
from pixelreg.models.plans import AffinePlan, FactoredPlan, FlowPlan, KernelPlan, SparsePlan

SUFFIX = ".onnx"
TOGETHER, APART = "one", "apart"  # targets in one file, or a file for each
ABSENT = "onnxruntime is not installed; it comes with the extra deep"
# What is said where a target has to be asked for, in each language.
ASKED = {
    "asked": ";\n`target` int64, one number: {names}",
    "python": ', "target": numpy.array(0, "int64")',
    "cs": ',\n    ["target"] = OrtValue.CreateTensorValueFromMemory(new[] { 0L }, new long[0])',
    "js": ', target: new ort.Tensor("int64", [0n], [])',
}
MOVING = """;
`displacement` float32 ({size}, {size}, 2), from how many pixels (x, y) away each new colour is
fetched before that, at strength 1"""


class OnnxExporter:
    """Files that onnxruntime runs anywhere, and `pixelreg apply` as it does the model itself."""

    takes = (
        Takes((AffinePlan.kind, KernelPlan.kind)),
        Takes((FlowPlan.kind,), details=DETAILS),
        Takes((FactoredPlan.kind, SparsePlan.kind), ("float32",), masks=("none",)),
    )
    layouts = (TOGETHER, APART)

    def write(self, form: Form, output: Path) -> Exported:
        """See `pixelreg.export.Exporter`."""
        refuse_folder(output)
        if output.suffix.lower() not in ("", SUFFIX):
            raise UsageError(f"--to onnx writes NAME.onnx, so -o cannot be {output.name}")
        form, output = finer(form), output.with_suffix("")
        parts = [File(f"{output.name}{name}{SUFFIX}", part) for name, part in _divided(form)]
        found, ran_by = _compared(form, parts)
        learnt = sum(file.graph.learnt for file in parts)
        page = readme(output.name, form, _listed(parts), _how(parts[0]), learnt, ran_by, found)
        made = [output.with_name(file.name) for file in parts]
        page_file = output.with_name(f"{output.name}.README.md")
        contents = [*(file.data for file in parts), page]
        for path, content in zip([*made, page_file], contents, strict=True):
            write_bytes(path, content)
        return Exported.of([*made, page_file], learnt, ran_by, found)


@dataclass(frozen=True)
class File:
    """One file: some targets of one kind."""

    name: str
    form: Form

    @property
    def several(self) -> bool:
        """Whether a target is to be asked for."""
        return len(self.form.targets) > 1

    @property
    def moves(self) -> bool:
        """Whether pixels are fetched from elsewhere."""
        return self.form.kinds == (FlowPlan.kind,)

    @cached_property
    def graph(self) -> Graph:
        """The operators."""
        kinds = self.form.kinds
        if len(kinds) > 1:
            raise UsageError(
                f"plans of kinds {' and '.join(kinds)} do not go into one file; choose with "
                f"--expr, or take --layout {APART}"
            )
        graph = Graph()
        computed(kinds[0], Tables(graph, tuple(self.form.targets.values())))
        return graph

    @cached_property
    def data(self) -> bytes:
        """The file's bytes."""
        size, about = self.form.model.size, self.form.model.provenance
        takes: dict[str, tuple[str, tuple[int | str, ...]]] = {
            IMAGE: ("uint8", ("N", size, size, 3)),
            STRENGTH: ("float32", ()),
        }
        gives = {OUTPUT: takes[IMAGE], COLOUR: ("float32", takes[IMAGE][1])}
        if self.several:
            takes[TARGET] = "int64", ()
        if self.moves:
            gives[DISPLACEMENT] = "float32", (size, size, 2)
        told = {
            "targets": ", ".join(self.form.targets),
            "licence": about.licence,
            "attribution": about.attribution,
        }
        return self.graph.file(self.card, takes, gives, told)

    @property
    def card(self) -> Card:
        """What the file says of itself to pixelreg."""
        model, options = self.form.model, self.form.options
        targets = {name: (float(k),) if self.several else () for k, name in enumerate(model.plans)}
        return Card(
            model.kind,
            targets=targets,
            condition=(TARGET,) if self.several else (),
            condition_input=TARGET if self.several else "",
            condition_range=(0.0, max(1.0, len(targets) - 1.0)),
            source=model.source,
            image_input=IMAGE,
            output=OUTPUT,
            strength_input=STRENGTH,
            colour_output=COLOUR,
            displacement_output=DISPLACEMENT if self.moves else "",
            masked=masked(self.form),
            size=model.size,
            layout=CHANNELS_LAST,
            value_range=(0.0, 255.0),
            placement="square" if model.frame is None else "face",
            frame=model.frame,
            parameters=model.parameters,
            provenance=model.provenance,
            notes={"dtype": options.dtype, "detail": options.detail, "mask": options.mask},
        )

    @cached_property
    def contents(self) -> Contents:
        """The file as pixelreg reads it."""
        contents = check(self.data, self.name)
        check_graph(self.card, contents)
        return contents

    @cached_property
    def session(self) -> Session:
        """The file, running on one thread of the processor."""
        return Session(self.contents, "cpu", 1, trusted=True)

    def run(self, target: str, pictures: Pixels, strength: float) -> Pixels:
        """(N, S, S, 3) uint8 changed."""
        inputs: dict[str, Array] = {
            IMAGE: np.ascontiguousarray(pictures),
            STRENGTH: np.array(strength, np.float32),
        }
        if self.several:
            inputs[TARGET] = np.array(list(self.form.targets).index(target), np.int64)
        names = [value.name for value in self.contents.outputs]
        return self.session.run(inputs)[names.index(OUTPUT)]


def _divided(form: Form) -> list[tuple[str, Form]]:
    """What goes into each file, and what its name adds."""
    if form.options.layout != APART:
        return [("", form)]
    for name in form.targets:
        if re.search(r"[/\\\0]", name):
            raise UsageError(
                f"{name!r} cannot be in the name of a file; leave out --layout {APART}, or choose "
                "other targets with --expr"
            )
    return [(f"-{name}", _only(form, name)) for name in form.targets]


def _only(form: Form, name: str) -> Form:
    model = replace(form.model, plans={name: form.model.plans[name]})
    return replace(form, model=model, targets={name: form.targets[name]})


def _compared(form: Form, parts: Sequence[File]) -> tuple[Difference | None, str]:
    """How far the files are from the model; nothing where they cannot be run, and why."""
    if find_spec("onnxruntime") is None:
        return None, ABSENT
    holding = {target: file for file in parts for target in file.form.targets}

    def run(target: str, pictures: Pixels, strength: float) -> Pixels:
        return holding[target].run(target, pictures, strength)

    return compared(form.model, run), "onnxruntime"


def _listed(parts: Sequence[File]) -> list[str]:
    return [f"{file.name}: {', '.join(file.form.targets)}" for file in parts]


def _how(file: File) -> str:
    size = file.form.model.size
    names = ", ".join(f"{k} {name}" for k, name in enumerate(file.form.targets))
    asked = {key: text if file.several else "" for key, text in ASKED.items()}
    asked["asked"] = asked["asked"].format(names=names)
    moving = MOVING.format(size=size) if file.moves else ""
    text = (files("deep_onnx") / "templates" / "how.md.txt").read_text(encoding="utf-8")
    words = {"file": file.name, "size": size, "opset": OPSET, "moving": moving}
    return Template(text).substitute(words, placed=placed(file.form.model), **asked)
