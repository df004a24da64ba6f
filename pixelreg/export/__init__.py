"""Exporters: a model file turned into something that runs without Python.

An exporter is a class with `Exporter`'s methods, in a file of its own, and one line in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.models.model import Model

# name -> (module:class, what --list says)
EXPORTERS = {
    "c": ("pixelreg.export.c:CExporter", "C99 in float32, without allocation: NAME.h and NAME.c"),
}


@dataclass(frozen=True)
class Exported:
    """What an exporter wrote, and how it ran.

    largest_error : in grey levels against `apply`, or None where it could not be run.
    """

    files: tuple[Path, ...]
    table_bytes: int
    largest_error: int | None


class Exporter(Protocol):
    """What all exporters offer."""

    plans: tuple[str, ...]  # the kinds of plan that it can hold

    def write(self, model: Model, output: Path) -> Exported:
        """Write a model whose plans it can hold, run what was written, and compare."""


def exporter(name: str) -> Exporter:
    """The exporter of that name."""
    if name not in EXPORTERS:
        raise UnknownNameError("exporter", name, EXPORTERS)
    module, _, attribute = EXPORTERS[name][0].partition(":")
    made: Exporter = getattr(import_module(module), attribute)()
    return made


def export(model: Model, to: str, output: Path, targets: Sequence[str] = ()) -> Exported:
    """Write some of a model's targets, or all, by the exporter called ``to``."""
    made = exporter(to)
    for target in targets:
        if target not in model.plans:
            raise UnknownNameError("expression", target, model.plans)
    plans = {name: model.plans[name] for name in dict.fromkeys(targets or model.plans)}
    for name, plan in plans.items():
        if plan.kind not in made.plans:
            raise UsageError(
                f"--to {to} cannot hold {name}, a plan of kind {plan.kind}; it takes: "
                f"{', '.join(made.plans)}"
            )
    return made.write(replace(model, plans=plans), output)
