"""A form as C: header, source, and a program that runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from textwrap import wrap

from pixelreg import __version__
from pixelreg.errors import UsageError
from pixelreg.export.c.text import (
    MOST_STRENGTH,
    ONE,
    Parts,
    comment,
    crc,
    decimal,
    declared,
    filled,
    identifier,
)
from pixelreg.export.form import Form
from pixelreg.export.readme import coding, placed
from pixelreg.models.model import Provenance
from pixelreg.models.plans import AffinePlan, FlowPlan, KernelPlan

# What headers define of their own.
TAKEN = (
    *("VERSION", "CRC", "TABLE_BYTES", "SIZE", "ROW", "BYTES", "TARGETS", "ONE", "MOST"),
    *("STREAM_MOST", "DELAY", "ALIGNED", "IMPLEMENTATION", "IMPLEMENTED"),
)
WIDTH = 96  # of a comment
# kind of plan -> what makes its parts
KINDS = {
    AffinePlan.kind: "pixelreg.export.c.affine:parts",
    KernelPlan.kind: "pixelreg.export.c.kernel:parts",
    FlowPlan.kind: "pixelreg.export.c.flow:parts",
}
CONTRACTION = (
    "Compile with -std=c99 or -ffp-contract=off: a fused multiply-add rounds differently, and one",
    "number in thousands is then off by a grey level. GCC and Clang are told so in the source.",
)


@dataclass(frozen=True)
class Source:
    """A model's C.

    header, body : NAME.h and NAME.c without its include.
    words : what other files' templates are filled with.
    """

    name: str
    parts: Parts
    header: str
    body: str
    words: Mapping[str, object]

    @property
    def table_bytes(self) -> int:
        """Of all constant tables."""
        return sum(table.numbers.nbytes for table in self.parts.tables)

    @property
    def one(self) -> float:
        """Strength 1."""
        return ONE if self.parts.integers else 1.0


def source(form: Form, name: str) -> Source:
    """Make the C of a form of one kind."""
    if len(form.kinds) > 1:
        raise UsageError("--to c takes plans of one kind; choose among them with --expr")
    _check_names(form.model.targets)
    module, _, attribute = KINDS[form.kinds[0]].partition(":")
    parts: Parts = getattr(import_module(module), attribute)(form, name)
    words = _words(form, name, parts)
    guards = "guards_int.c" if parts.integers else "guards_float.c"
    tables = [declared(name, parts.tables), _targets(name, parts)]
    both = {**words, **parts.words}
    body = filled(
        "source.c",
        {
            **both,
            "guards": filled(guards, both),
            "kind": filled(parts.template, {**both, "tables": "\n\n".join(tables)}),
            "calls": filled(parts.calls, both),
            "unguards": "" if parts.integers else filled("unguards_float.c", both),
            "include": "$include",
        },
    )
    return Source(name, parts, filled("header.h", words) + "\n", body + "\n", words)


def _check_names(targets: tuple[str, ...]) -> None:
    names = [identifier(target) for target in targets]
    for name, target in zip(names, targets, strict=True):
        if name in TAKEN or names.count(name) > 1:
            other = "is taken" if name in TAKEN else "would have one name with another"
            raise UsageError(f"{target!r} {other} in C ({name}); choose other targets with --expr")


def _words(form: Form, name: str, parts: Parts) -> dict[str, object]:
    model = form.model
    table_bytes = sum(table.numbers.nbytes for table in parts.tables)
    own = {"name": name, "NAME": name.upper()}
    defines = (
        f"#define {name.upper()}_{identifier(target)} {place}u"
        for place, target in enumerate(model.plans)
    )
    return {
        **own,
        "version": __version__,
        "source": comment(model.source),
        "targets": comment(", ".join(model.plans)),
        "size": model.size,
        "size_number": model.size,
        "coding": coding(form),
        "about": _about(model.provenance),
        "licence": comment(model.provenance.licence or "not stated"),
        "attribution": comment(model.provenance.attribution or "not stated"),
        "link": _link(model.provenance),
        "table_bytes": f"{table_bytes:,}",
        "table_number": table_bytes,
        "whole": f"{parts.whole:,}",
        "stream": f"{parts.stream:,}",
        "no_floats": ", no floating point" if parts.integers else " but <float.h>'s limits",
        "notes": "".join(f" * {line}\n" for line in _notes(parts)),
        "crc": f"0x{crc(parts.tables):08X}u",
        "enum": "\n".join(defines),
        "count": f"{len(model.plans)}u",
        "first_target": f"{name.upper()}_{identifier(model.targets[0])}",
        "placed": placed(model),
        "delay": parts.delay,
        "in_out": "in and out may be the same" if parts.in_place else "in and out must not overlap",
        "work": "" if parts.in_place else f",\n    {name}_work *work",
        "pass_work": "" if parts.in_place else ", &work",
        "static_work": "" if parts.in_place else f"static {name}_work work;",
        "state": filled(parts.state, {**own, **parts.words}),
        **_strength_words(parts),
    }


def _about(about: Provenance) -> str:
    """Whose the learnt numbers are, as lines of a comment."""
    text = (
        f"The learnt numbers: {about.training_set or 'of pictures that the model does not name'}. "
        f"Licence: {about.licence or 'not stated'}; "
        f"attribution: {about.attribution or 'not stated'}"
    )
    return "\n".join(f" * {line}" for line in wrap(comment(text), WIDTH, break_long_words=False))


def _link(about: Provenance) -> str:
    """The first address that the attribution or the licence names."""
    found = re.search(r"https?://[^\s)]+", f"{about.attribution} {about.licence}")
    return found[0] if found else ""


def _strength_words(parts: Parts) -> dict[str, object]:
    most, streamed = MOST_STRENGTH, parts.stream_most
    if parts.integers:
        return {
            "strength_type": "int32_t",
            "strength_text": f"a whole number of steps of 1/{ONE}",
            "compile": "",
            "one": ONE,
            "most": int(most * ONE),
            "stream_most": int(streamed * ONE),
        }
    return {
        "strength_type": "float",
        "strength_text": "a float, 0 for no change",
        "compile": "\n" + " ".join(CONTRACTION),
        "one": "1.0f",
        "most": decimal(most),
        "stream_most": decimal(streamed),
    }


def _notes(parts: Parts) -> list[str]:
    if not parts.integers:
        return list(CONTRACTION)
    worst: dict[str, str] = {}
    for line in parts.notes:  # of several targets the largest number, which is the longest text
        what, _, number = line.partition(": ")
        worst[what] = max(worst.get(what, ""), number, key=lambda text: (len(text), text))
    return [
        "Sums were checked when this was made; 32 bits hold 2,147,483,647:",
        *(f"  {what}: {number}" for what, number in worst.items()),
    ]


def _targets(name: str, parts: Parts) -> str:
    rows = ",\n    ".join(parts.targets)
    label = f"static const {name}_target {name}_targets[{len(parts.targets)}]"
    return f"{label} = {{\n    {rows}}};"
