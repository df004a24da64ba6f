"""Exporters: a model file turned into something that runs without Python.

An exporter is a class with `Exporter`'s methods, in a file of its own, and one line in `EXPORTERS`.
It reads the form of `pixelreg.export.form`, runs what it wrote, and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.export.coding import coded
from pixelreg.export.form import DETAILS, DTYPES, MASKS, Form, Options
from pixelreg.export.measure import Difference
from pixelreg.models import NAMED
from pixelreg.models.model import Model

# name -> (module:class, what --list says)
EXPORTERS = {
    "c": ("pixelreg.export.c.exporter:CExporter", "C99 source without allocation, for firmware"),
    "web": ("pixelreg.export.web:WebExporter", "a page for browsers; takes the rig too"),
    "onnx": ("deep_onnx.exported:OnnxExporter", "ONNX, for onnxruntime on phones, desktops, pages"),
}


@dataclass(frozen=True)
class Exported:
    """What an exporter wrote, and how it ran.

    table_bytes : of the learnt numbers as they lie in what was written.
    ran_by : what ran it, such as a compiler's name; or, with no numbers, why nothing did.
    largest_error : in grey levels against `apply`, over `pixelreg.export.measure.vectors`.
    share_off : of the numbers that are off by more than 1.
    decibels : of the difference; None where there is none.
    """

    files: tuple[Path, ...]
    table_bytes: int
    ran_by: str
    largest_error: int | None = None
    share_off: float | None = None
    decibels: float | None = None

    @classmethod
    def of(
        cls, files: Sequence[Path], table_bytes: int, ran_by: str, found: Difference | None
    ) -> Exported:
        """From what a comparison found; None where nothing could be run."""
        if found is None:
            return cls(tuple(files), table_bytes, ran_by)
        decibels = found.decibels if found.largest else None
        return cls(tuple(files), table_bytes, ran_by, found.largest, found.share, decibels)


class Takes(NamedTuple):
    """What an exporter can hold of some kinds of plan."""

    plans: tuple[str, ...]
    dtypes: tuple[str, ...] = DTYPES
    details: tuple[int, ...] = (1,)
    masks: tuple[str, ...] = MASKS


class Exporter(Protocol):
    """What all exporters offer.

    One that can write models that are no plans has ``others`` too: from their names to the
    module:function that does.
    """

    takes: tuple[Takes, ...]  # each kind of plan in one of them at most
    layouts: tuple[str, ...]  # how it can divide what it writes into files; its first by default

    def write(self, form: Form, output: Path) -> Exported:
        """Write a form that it can hold, run what was written, and compare."""


def exporter(name: str) -> Exporter:
    """The exporter of that name."""
    if name not in EXPORTERS:
        raise UnknownNameError("exporter", name, EXPORTERS)
    module, _, attribute = EXPORTERS[name][0].partition(":")
    return getattr(import_module(module), attribute)()


def export(
    model: Model,
    to: str,
    output: Path,
    targets: Sequence[str] = (),
    options: Options | None = None,
) -> Exported:
    """Write some of a model's targets, or all, by the exporter called ``to``."""
    return exporter(to).write(form_of(model, to, targets, options), output)


def form_of(
    model: Model, to: str, targets: Sequence[str] = (), options: Options | None = None
) -> Form:
    """The form of some of a model's targets, or all, that the exporter called ``to`` can hold."""
    made, options = exporter(to), options or Options()
    for target in targets:
        if target not in model.plans:
            raise UnknownNameError("expression", target, model.plans)
    plans = {name: model.plans[name] for name in dict.fromkeys(targets or model.plans)}
    for name, plan in plans.items():
        _check(f"--to {to}", made, name, plan.kind, options)
    layout = options.layout or (made.layouts[0] if made.layouts else "")
    return coded(replace(model, plans=plans), replace(options, layout=layout))


def export_other(
    name: str, to: str, output: Path, targets: Sequence[str] = (), options: Options | None = None
) -> Exported:
    """Write a model that comes with pixelreg and is no file of plans."""
    others: Mapping[str, str] = getattr(exporter(to), "others", {})
    if name not in others:
        plans = ", ".join(known for known, file in NAMED.items() if ":" not in file)
        raise UsageError(
            f"{name} is no file of plans, which --to {to} takes; those that are: {plans}, or a file"
        )
    module, _, function = others[name].partition(":")
    write: Callable[..., Exported] = getattr(import_module(module), function)
    return write(output, options or Options(), tuple(targets))


def refuse_folder(output: Path) -> None:
    """Refuse a folder that is there as the name of files, which would lie beside it."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name what to write in it: -o {output / 'smile'}")


def _check(to: str, made: Exporter, name: str, kind: str, options: Options) -> None:
    """Refuse what an exporter does not take."""
    known = [kind for row in made.takes for kind in row.plans]
    fitting = [row for row in made.takes if kind in row.plans]
    if not fitting:
        raise UsageError(
            f"{to} cannot hold {name}, a plan of kind {kind}; it takes: {', '.join(known)}"
        )
    row = fitting[0]
    for option, asked, there in (
        ("--dtype", options.dtype, row.dtypes),
        ("--detail", options.detail, row.details),
        ("--mask", options.mask, row.masks),
        ("--layout", options.layout, ("", *made.layouts)),
    ):
        if asked not in there:
            choices = ", ".join(str(each) for each in there if each != "") or "none"
            raise UsageError(
                f"{to} cannot write {name}, a plan of kind {kind}, with {option} {asked}; "
                f"it takes: {choices}"
            )


__all__ = [
    "DETAILS",
    "DTYPES",
    "EXPORTERS",
    "MASKS",
    "Exported",
    "Options",
    "export",
    "export_other",
    "exporter",
    "form_of",
    "refuse_folder",
]
