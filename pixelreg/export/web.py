"""A web page that changes faces by itself: a folder, or one HTML file; no server, no network."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Pixels
from pixelreg.errors import PixelregError, UsageError
from pixelreg.export import Exported, Takes
from pixelreg.export.form import DETAILS, Coded, Form
from pixelreg.export.measure import STRENGTHS, Difference, compared, vectors
from pixelreg.export.pagefiles import (
    EXAMPLE,
    Credit,
    engine_text,
    folder_page,
    model_text,
    page_text,
    scripts_of,
    single_page,
)
from pixelreg.export.readme import readme
from pixelreg.export.tables import Packed, pack
from pixelreg.faces.cascade import load_weights
from pixelreg.files import write_bytes
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan, FlowPlan, KernelPlan

FOLDER, SINGLE = "folder", "single"
PARTS = {
    "page.css": "how it looks",
    "engine.js": "what computes; a script of your own may call it",
    "model.js": "the learnt numbers",
    "page.js": "what the buttons do",
}
# Changes pictures of the model's own size, RGB one after the other on stdin.
CHECK = """
const fs = require("fs"), vm = require("vm");
const load = (name) => vm.runInThisContext(fs.readFileSync(name, "utf8"), name);
["engine.js", "model.js"].forEach(load);
const jobs = JSON.parse(process.argv[2]);
(async () => {
  const { model } = await vm.runInThisContext("pixelreg.open(pixelregModel)");
  const bytes = fs.readFileSync(0), size = model.size, count = 3 * size * size;
  for (const [target, strength] of jobs) for (let at = 0; at < bytes.length; at += count) {
    const data = new Uint8ClampedArray(4 * size * size).fill(255);
    for (let i = 0; i < count; i++) data[i + Math.floor(i / 3)] = bytes[at + i];
    const photo = { data, width: size, height: size };
    const face = model.wholeOf(photo);
    const made = model.change(model.prepare(photo, face), { [target]: 1 }, strength);
    fs.writeSync(1, Uint8Array.from({ length: count }, (_, i) => made.data[i + Math.floor(i / 3)]));
  }
})();
"""
HOW = """Open `{page}` in a browser, from a disk or from any server; it takes photos and the camera,
and sends nothing anywhere. pixelreg's docs/web-page.md says how to put it into a page of your own,
and how to call `engine.js`, which the folder holds, from a script."""
DETECTOR = Credit(
    "What finds faces",
    "trained on the Face Research Lab London Set: DeBruine, L., & Jones, B. (2017), Version 5, "
    "figshare, https://doi.org/10.6084/m9.figshare.5047666.v5",
    "CC BY 4.0",
)


class WebExporter:
    """A page for browsers. What it computes with is run in node on pictures, where there is one."""

    takes = (
        Takes((AffinePlan.kind, KernelPlan.kind)),
        Takes((FlowPlan.kind,), details=DETAILS),
    )
    layouts: ClassVar[tuple[str, ...]] = (FOLDER, SINGLE)

    def write(self, form: Form, output: Path) -> Exported:
        """See `pixelreg.export.Exporter`."""
        is_single = form.options.layout == SINGLE
        _check(output, is_single)
        packed, learnt = packed_form(form), _learnt(form)
        found, ran_by = _compared(form, packed)
        texts = page_files(packed, (_credit(form.model), DETECTOR, EXAMPLE), output, is_single)
        lines = [f"{path.name}: {PARTS.get(path.name, 'open this')}" for path in texts]
        how = HOW.format(page=next(iter(texts)).name)
        about = output.with_suffix(".README.txt") if is_single else output / "README.txt"
        page = readme(output.stem, form, lines, how, learnt, ran_by, found)
        for path, text in texts.items():
            write_bytes(path, text.encode())
        write_bytes(about, page)
        return Exported.of([*texts, about], learnt, ran_by, found)


def page_files(
    packed: Packed, credits: Sequence[Credit], output: Path, is_single: bool
) -> dict[Path, str]:
    """The page's files, the one to open first."""
    scripts = scripts_of(packed)
    if is_single:
        return {output.with_suffix(".html"): single_page(scripts, credits)}
    texts = {"index.html": folder_page(scripts, credits), "page.css": page_text("page.css")}
    return {output / name: text for name, text in (texts | scripts).items()}


def packed_form(form: Form) -> Packed:
    """A form's codes and the detector's weights, as ``page/planmodel.js`` takes them."""
    arrays = {f"detector/{name}": _narrow(array) for name, array in vars(load_weights()).items()}
    for number, coded in enumerate(form.targets.values()):
        arrays[f"plan/{number}/spans"] = coded.spans.astype(np.int16)
        for name, field in coded.fields.items():
            arrays[f"plan/{number}/{name}"] = _narrow(field.codes)
    frame = form.model.frame
    model = {
        "kind": "plans",
        "size": form.model.size,
        "frame": None if frame is None else [*frame.left_eye, *frame.right_eye],
        "targets": [_target(name, coded, form) for name, coded in form.targets.items()],
    }
    return pack(arrays, {"model": model})


def _target(name: str, coded: Coded, form: Form) -> dict[str, Any]:
    return {
        "name": name,
        "kind": coded.kind,
        "delta": coded.delta,
        "masked": form.options.mask != "none" or form.model.plans[name].masked,
        "fields": {
            field: {"scale": it.scale.tolist(), "zero": it.zero.tolist()}
            for field, it in coded.fields.items()
        },
    }


def _narrow(array: Array) -> Array:
    """In float16 where that holds the same numbers; files' plans often do."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    same = array.dtype == np.float32 and (half == array).all()
    return half if same else array


def _learnt(form: Form) -> int:
    fields = (field for coded in form.targets.values() for field in coded.fields.values())
    return sum(_narrow(field.codes).nbytes for field in fields)


def _credit(model: Model) -> Credit:
    about = model.provenance
    whose = about.attribution or about.training_set or "pictures that the model file does not name"
    return Credit("The expressions", f"learnt from {whose}", about.licence or "Licence not stated")


def _check(output: Path, is_single: bool) -> None:
    if is_single and output.suffix not in ("", ".html"):
        raise UsageError(f"--to web --single writes NAME.html, so -o cannot be {output.name}")
    if not is_single and output.suffix == ".html":
        raise UsageError(f"--to web writes a folder; for {output.name} alone add --single")
    if not is_single and output.exists() and not output.is_dir():
        raise UsageError(f"--to web writes a folder, but {output} is a file")


def _compared(form: Form, packed: Packed) -> tuple[Difference | None, str]:
    """The engine in node against `apply`; None, and why, where there is no node."""
    node = which("node")
    if node is None:
        return None, "there is no node here"
    targets, pictures = list(form.targets), vectors(form.model.size)
    jobs = [[target, strength] for target in targets for strength in STRENGTHS]
    with tempfile.TemporaryDirectory() as folder:
        texts = {"engine.js": engine_text(packed), "model.js": model_text(packed)}
        for name, text in (texts | {"check.js": CHECK}).items():
            Path(folder, name).write_text(text, encoding="utf-8")
        said = _call([node, "check.js", json.dumps(jobs)], folder, pictures)
    made = np.frombuffer(said, np.uint8).reshape(len(jobs), *pictures.shape)

    def run(target: str, given: Pixels, strength: float) -> Pixels:
        return made[jobs.index([target, strength])]

    return compared(form.model, run, pictures), "run in node"


def _call(words: list[str], folder: str, pictures: Pixels) -> bytes:
    given = pictures.tobytes()
    done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise PixelregError(f"the page's script does not run here: {said[-1]}")
    return done.stdout
