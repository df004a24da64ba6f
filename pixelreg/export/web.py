"""A web page that changes faces by itself: a folder, or one HTML file; no server, no network."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Pixels
from pixelreg.errors import PixelregError, UsageError
from pixelreg.export import Exported, Takes, refuse_folder
from pixelreg.export.form import DETAILS, Coded, Form
from pixelreg.export.measure import STRENGTHS, Difference, compared, vectors
from pixelreg.export.pagefiles import (
    EXAMPLE,
    Credit,
    engine_text,
    folder_page,
    licence_text,
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
NO_NODE = "there is no node here"
# Changes pictures, RGB one after the other on stdin.
CHECK = """
const fs = require("fs"), vm = require("vm");
const load = (name) => vm.runInThisContext(fs.readFileSync(name, "utf8"), name);
["engine.js", "model.js"].forEach(load);
const { jobs, width, height } = JSON.parse(process.argv[2]);
const bytes = fs.readFileSync(0), count = width * height;
function photoAt(start) {
  const data = new Uint8ClampedArray(4 * count).fill(255);
  for (let i = 0; i < 3 * count; i++) data[i + Math.floor(i / 3)] = bytes[start + i];
  return { data, width, height };
}
function give(photo, { x, y, width: wide, height: high, data }) {
  const made = photo.data.slice();
  for (let row = 0; row < high; row++) {
    const part = data.subarray(4 * row * wide, 4 * (row + 1) * wide);
    made.set(part, 4 * ((y + row) * width + x));
  }
  const rgb = Uint8Array.from({ length: 3 * count }, (_, i) => made[i + Math.floor(i / 3)]);
  for (let at = 0; at < rgb.length; ) at += fs.writeSync(1, rgb, at);
}
(async () => {
  const engine = await vm.runInThisContext("pixelreg.open(pixelregModel)");
  for (const [target, strength] of jobs) for (let at = 0; at < bytes.length; at += 3 * count) {
    const photo = photoAt(at);
    const face = engine.model.wholeOf(photo) ?? engine.findFaces(photo)[0];
    const prepared = engine.prepare(photo, face);
    give(photo, engine.change(prepared, { [target]: 1 }, strength));
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
    others: ClassVar[Mapping[str, str]] = {"rig": "pixelreg.rig.page:write"}

    def write(self, form: Form, output: Path) -> Exported:
        """See `pixelreg.export.Exporter`."""
        packed, learnt = packed_form(form), _learnt(form)
        check_output(output, form.options.layout)
        found, ran_by = _compared(form, packed)
        credits = credits_of(form)
        texts = page_files(packed, credits, output, form.options.layout)
        name = output.stem
        about = readme(name, form, list_of(texts), how_to(texts), learnt, ran_by, found)
        about += f"\n{licence_text(credits)}".encode()
        files = written(texts, about, output, form.options.layout)
        return Exported.of(files, learnt, ran_by, found)


def list_of(texts: Mapping[Path, str]) -> list[str]:
    """A line a file: its name and what it is for."""
    return [f"{path.name}: {PARTS.get(path.name, 'open this')}" for path in texts]


def how_to(texts: Mapping[Path, str]) -> str:
    """How a page is used, Markdown."""
    return HOW.format(page=next(iter(texts)).name)


def written(texts: Mapping[Path, str], about: bytes, output: Path, layout: str) -> tuple[Path, ...]:
    """Write a page and its README; the files, the page first."""
    end = output.with_suffix(".README.txt") if layout == SINGLE else output / "README.txt"
    for path, text in texts.items():
        write_bytes(path, text.encode())
    write_bytes(end, about)
    return (*texts, end)


def page_files(
    packed: Packed, credits: Sequence[Credit], output: Path, layout: str
) -> dict[Path, str]:
    """The page's files, the one to open first."""
    scripts = scripts_of(packed)
    if layout == SINGLE:
        return {output.with_suffix(".html"): single_page(scripts, credits)}
    texts = {"index.html": folder_page(scripts, credits), "page.css": page_text("page.css")}
    return {output / name: text for name, text in (texts | scripts).items()}


def packed_form(form: Form) -> Packed:
    """A form's codes and the detector's weights, as ``page/planmodel.js`` takes them."""
    arrays = detector_arrays()
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


def detector_arrays() -> dict[str, Array]:
    """The bundled detector's weights, as ``page/engine.js`` takes them."""
    return {f"detector/{name}": _narrow(array) for name, array in vars(load_weights()).items()}


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


def credits_of(form: Form) -> tuple[Credit, ...]:
    """Whose things are in the page of a form."""
    return _credit(form.model), DETECTOR, EXAMPLE


def _credit(model: Model) -> Credit:
    about = model.provenance
    whose = about.attribution or about.training_set or "pictures that the model file does not name"
    return Credit("The expressions", f"learnt from {whose}", about.licence or "Licence not stated")


def check_output(output: Path, layout: str) -> None:
    """Refuse a place that a page of that layout cannot be written to."""
    is_single = layout == SINGLE
    if is_single:
        refuse_folder(output)
    if is_single and output.suffix not in ("", ".html"):
        raise UsageError(f"--to web --single writes NAME.html, so -o cannot be {output.name}")
    if not is_single and output.suffix == ".html":
        raise UsageError(f"--to web writes a folder; for {output.name} alone add --single")
    if not is_single and output.exists() and not output.is_dir():
        raise UsageError(f"--to web writes a folder, but {output} is a file")


def _compared(form: Form, packed: Packed) -> tuple[Difference | None, str]:
    """The engine in node against `apply`; None, and why, where there is no node."""
    targets, pictures = list(form.targets), vectors(form.model.size)
    jobs = [[target, strength] for target in targets for strength in STRENGTHS]
    said = in_node(packed, jobs, pictures)
    if said is None:
        return None, NO_NODE
    made = np.frombuffer(said, np.uint8).reshape(len(jobs), *pictures.shape)

    def run(target: str, given: Pixels, strength: float) -> Pixels:
        return made[jobs.index([target, strength])]

    return compared(form.model, run, pictures), "run in node"


def in_node(
    packed: Packed, jobs: Sequence[Any], pictures: Pixels, script: str = CHECK
) -> bytes | None:
    """What the engine makes of (N, H, W, 3) pictures: for every job, [target, strength], all of
    them; None where there is no node. ``script`` may make something else of them.
    """
    node = which("node")
    if node is None:
        return None
    texts = {"engine.js": engine_text(packed), "model.js": model_text(packed), "check.js": script}
    _, height, width, _ = pictures.shape
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        words = [node, "check.js", json.dumps({"jobs": jobs, "width": width, "height": height})]
        given = pictures.tobytes()
        done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        line = next((each for each in said if "Error: " in each), said[-1])
        raise PixelregError(f"the page's script does not run here: {line}")
    return done.stdout
