"""C99 source of Pixel-RR and Pixel-KR: tables and one function, without allocation or libm."""

from __future__ import annotations

import re
import subprocess
import tempfile
import zlib
from importlib.resources import files
from pathlib import Path
from shutil import which
from string import Template

import numpy as np

from pixelreg import __version__
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import PixelregError, UsageError
from pixelreg.export import Exported, Takes
from pixelreg.export.form import Form
from pixelreg.export.measure import Difference, compared
from pixelreg.export.readme import readme
from pixelreg.files import write_bytes
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan, KernelPlan, Plan

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
A_ROW = 8  # numbers on a line of a table

# How a channel of a pixel is predicted; ``i`` is its place and ``level`` its grey level.
BODIES = {
    AffinePlan.kind: "return weight[target][i] * ((float)level / 255.0f) + bias[target][i];",
    KernelPlan.kind: """uint32_t rank = ranks[target];
    const float *feature = table[target] + level * rank;
    const float *share = coefficients[target] + i * rank;
    float sum = 0.0f;
    for (uint32_t r = 0; r < rank; r++) sum += feature[r] * share[r];
    return sum;""",
}


class CExporter:
    """A header and a source file in float32.

    Where the machine has a C compiler, the source is run on random pictures and compared with
    what `apply` makes of them, before anything is written.
    """

    takes = (Takes((AffinePlan.kind, KernelPlan.kind), dtypes=("float32",)),)
    layouts = ("files",)

    def write(self, form: Form, output: Path) -> Exported:
        """See `pixelreg.export.Exporter`."""
        model, name = form.model, _identifier(output)
        if len({plan.kind for plan in model.plans.values()}) > 1:
            raise UsageError("--to c takes plans of one kind; choose among them with --expr")
        texts = {ending: _text(ending, model, name) for ending in ("h", "c", "check.c")}
        found, ran_by = _compared(model, name, texts)
        made = [output.with_name(f"{name}{end}") for end in (".h", ".c", ".README.md")]
        files = (f"{name}.h: include this", f"{name}.c: compile this")
        how = f"`{name}_apply(in, out, target, strength)`; see `{name}.h`."
        page = readme(name, form, files, how, len(_bytes(model)), ran_by, found)
        contents = (texts["h"].encode(), texts["c"].encode(), page)
        for path, content in zip(made, contents, strict=True):
            write_bytes(path, content)
        return Exported.of(made, len(_bytes(model)), ran_by, found)


def _identifier(output: Path) -> str:
    if output.suffix not in ("", ".h", ".c"):
        raise UsageError(f"--to c writes NAME.h and NAME.c, so -o cannot be {output.name}")
    if not re.fullmatch(r"[A-Za-z]\w*", output.stem, re.ASCII):
        raise UsageError(
            f"{output.stem!r} cannot name functions in C; use letters, digits and _: -o smile"
        )
    return output.stem


def _text(ending: str, model: Model, name: str) -> str:
    plans = list(model.plans.values())
    defines = (
        f"#define {name.upper()}_{re.sub(r'[^A-Z0-9]', '_', target.upper())} {place}u"
        for place, target in enumerate(model.plans)
    )
    file = "check.c.txt" if ending == "check.c" else f"model.{ending}.txt"
    template = (files("pixelreg.export") / "templates" / file).read_text(encoding="utf-8")
    return Template(template).substitute(
        name=name,
        NAME=name.upper(),
        version=__version__,
        size=model.size,
        count=len(plans),
        source=_comment(model.source),
        targets=_comment(", ".join(model.plans)),
        licence=_comment(model.provenance.licence or "not stated"),
        attribution=_comment(model.provenance.attribution or "not stated"),
        crc=f"0x{zlib.crc32(_bytes(model)):08X}u",
        enum="\n".join(defines),
        tables=_tables(plans) if ending == "c" else "",
        body=BODIES[plans[0].kind],
    )


def _comment(text: str) -> str:
    """Text that cannot end a comment."""
    return " ".join(text.replace("*/", "* /").split())


def _bytes(model: Model) -> bytes:
    arrays = (array for plan in model.plans.values() for array in plan.tensors().values())
    return b"".join(array.astype("<f4").tobytes() for array in arrays)


def _tables(plans: list[Plan]) -> str:
    """Every field of every plan as an array, and an array of pointers a field."""
    parts = []
    for field in plans[0].tensors():
        arrays = [plan.tensors()[field] for plan in plans]
        parts += [_table(f"{field}_{place}", array) for place, array in enumerate(arrays)]
        names = ", ".join(f"{field}_{place}" for place in range(len(plans)))
        parts.append(f"static const float *const {field}[{len(plans)}] = {{{names}}};")
    ranks = [plan.table.shape[1] for plan in plans if isinstance(plan, KernelPlan)]
    if ranks:
        numbers = ", ".join(f"{rank}u" for rank in ranks)
        parts.append(f"static const uint32_t ranks[{len(ranks)}] = {{{numbers}}};")
    return "\n\n".join(parts)


def _table(label: str, array: Array) -> str:
    numbers = [f"{value:.9e}f" for value in array.reshape(-1).tolist()]
    rows = (", ".join(numbers[at : at + A_ROW]) for at in range(0, len(numbers), A_ROW))
    inside = ",\n    ".join(rows)
    return f"static const float {label}[{len(numbers)}] = {{\n    {inside}\n}};"


def _compared(model: Model, name: str, texts: dict[str, str]) -> tuple[Difference | None, str]:
    """The compiled source against `apply`, and the compiler; None, and why, where there is none."""
    compiler = which("cc") or which("gcc") or which("clang")
    if compiler is None:
        return None, "there is no C compiler here (cc, gcc or clang)"
    with tempfile.TemporaryDirectory() as folder:
        for ending, text in texts.items():
            Path(folder, f"{name}.{ending}").write_text(text, encoding="utf-8")
        program = Path(folder, "check")
        sources = (f"{name}.c", f"{name}.check.c")
        _call([compiler, *FLAGS, *sources, "-o", str(program)], folder)

        def run(target: str, pictures: Pixels, strength: float) -> Pixels:
            words = [str(program), str(model.targets.index(target)), str(strength)]
            said = _call(words, folder, pictures)
            return np.frombuffer(said, np.uint8).reshape(pictures.shape)

        return compared(model, run), f"compiled by {Path(compiler).name}"


def _call(words: list[str], folder: str, pictures: Pixels | None = None) -> bytes:
    given = None if pictures is None else pictures.tobytes()
    done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise PixelregError(f"the C source does not compile or run here: {said[0]}")
    return done.stdout
