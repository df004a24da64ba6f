"""The exporter of C: makes the source, runs it, and lays it out in files."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from pixelreg.errors import UsageError
from pixelreg.export import Exported, Takes, refuse_folder
from pixelreg.export.c.check import compiled, compiler
from pixelreg.export.c.layouts import LAYOUTS, Layout
from pixelreg.export.c.source import Source, source
from pixelreg.export.c.text import filled
from pixelreg.export.form import DETAILS, Form
from pixelreg.export.measure import Difference, compared
from pixelreg.export.readme import readme
from pixelreg.files import write_bytes
from pixelreg.models.plans import AffinePlan, FlowPlan, KernelPlan

# C's own headers, which sources would no longer find beside one of their name.
HEADERS = (
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits"),
    *("locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio"),
    *("stdlib", "string", "tgmath", "time", "wchar", "wctype"),
)


class CExporter:
    """C99: constant tables, one call for a whole picture, and calls for row after row.

    Where the machine has a C compiler, the source is run both ways on pictures and compared with
    what `apply` makes of them, before anything is written.
    """

    takes = (
        Takes((AffinePlan.kind, KernelPlan.kind)),
        Takes((FlowPlan.kind,), details=DETAILS),
    )
    layouts = tuple(LAYOUTS)

    def write(self, form: Form, output: Path) -> Exported:
        """See `pixelreg.export.Exporter`."""
        layout = LAYOUTS[form.options.layout]
        if not layout.folder:
            refuse_folder(output)
        name = _identifier(output, layout)
        made = source(form, name)
        found, ran_by = measured(form, made)
        files = layout.files(made)
        lines = [f"{path}: {what}" for path, (what, _) in files.items()]
        how = filled("how.md", made.words)
        page = readme(name, form, lines, how, made.table_bytes, ran_by, found)
        contents = {path: text.encode() for path, (_, text) in files.items()}
        contents[layout.readme.format(name=name)] = page
        folder = output if layout.folder else output.parent
        paths = [folder / path for path in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write_bytes(path, content)
        return Exported.of(paths, made.table_bytes, ran_by, found)


def measured(form: Form, made: Source) -> tuple[Difference | None, str]:
    """The compiled source against `apply`, and the compiler; None and why, where there is none."""
    with compiled(program(made), form.model.targets, made.one) as run:
        if run is None:
            return None, "there is no C compiler here (cc, gcc or clang)"
        return compared(form.model, run.run), f"compiled by {Path(compiler() or '').name}"


def program(made: Source) -> dict[str, str]:
    """The files of a program that runs the source."""
    include = f'#include "{made.name}.h"'
    return {
        f"{made.name}.h": made.header,
        f"{made.name}.c": Template(made.body).substitute(include=include),
        f"{made.name}.check.c": filled("check.c", made.words) + "\n",
    }


def _identifier(output: Path, layout: Layout) -> str:
    if output.suffix not in layout.endings:
        raise UsageError(
            f"--to c writes files of its own endings, so -o cannot be {output.name}: leave out "
            f"{output.suffix}"
        )
    if not re.fullmatch(r"[A-Za-z]\w*", output.stem, re.ASCII):
        raise UsageError(
            f"{output.stem!r} cannot name functions in C; use letters, digits and _: -o smile"
        )
    if output.stem.lower() in (*HEADERS, *layout.taken):
        raise UsageError(
            f"{output.stem} means something else to C or CMake; take another name: -o smile"
        )
    return output.stem
