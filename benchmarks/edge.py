"""What exports cost and how near they are to `apply`: bytes, error, time, instructions.

    python -m benchmarks.edge --data ../shared/data/london

Pictures are the aligned neutral crops of everybody in the set, at strengths 0.5, 1 and 1.5. The
flow is the model that comes with pixelreg; Pixel-RR and Pixel-KR (sigma 3, lambda 0.4) are fitted
on the set by `pixelreg fit`. Each format has a function in ``FORMATS``, which gives its rows; rows
of formats that are not run are kept from the run before. Writes results/edge.json and EDGE.md; with
--faces, edge.png too: what C makes of those photos.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import store
from deep_onnx.exported import File as OnnxFile
from deep_onnx.rows import finer
from pixelreg.arrays import Array
from pixelreg.backends import get_backend
from pixelreg.commands.main import main as pixelreg
from pixelreg.data.crops import Cutter, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.photos import Photo
from pixelreg.export.c.check import compiled, compiler
from pixelreg.export.c.exporter import program
from pixelreg.export.c.source import Source, source
from pixelreg.export.coding import coded
from pixelreg.export.form import DETAILS, Options
from pixelreg.export.measure import Difference, compared
from pixelreg.export.pagefiles import scripts_of, single_page
from pixelreg.export.tables import Packed
from pixelreg.export.web import in_node, packed_form
from pixelreg.faces.locate import Locator
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models.file import load
from pixelreg.models.model import Frame, Model

RESULTS = Path(__file__).parent / "results"
BOARD = Path(__file__).parents[1] / "examples" / "edge"
TARGET = "happy"
FITTED = {"rr": ("--model", "rr"), "kr": ("--model", "kr", "--sigma", "3", "--lambda", "0.4")}
ROUNDS = 200  # of timing
AT_ONCE = 16  # crops that an ONNX file is given at once


@dataclass(frozen=True)
class Row:
    """One line of the table.

    coding : dtype, and what else was asked for.
    bytes : of learnt numbers in C; of the file, in other formats.
    milliseconds : for a 128 x 128 picture here, on one core.
    instructions : for a pixel on a Cortex-M4; None where that is not where a format runs.
    ram : bytes beside pictures, for a whole one; row by row beside rows.
    """

    format: str
    plan: str
    coding: str
    bytes: int
    largest: int
    share: float
    decibels: float | None
    milliseconds: float | None = None
    instructions: int | None = None
    ram: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, format: str, plan: str, options: Options, size: int, found: Difference, **more: object
    ) -> Row:
        """From what a comparison found."""
        words = [options.dtype]
        words += [f"fields at 1/{options.detail}"] if options.detail > 1 else []
        words += ["face mask"] if options.mask != "none" else []
        decibels = found.decibels if found.largest else None
        row = cls(format, plan, ", ".join(words), size, found.largest, found.share, decibels)
        return replace(row, **more)  # type: ignore[arg-type]

    def cells(self) -> tuple[str, ...]:
        """For EDGE.md."""
        near = "equal" if self.decibels is None else f"{self.decibels:.1f} dB"
        ram = "" if self.ram is None else f"{self.ram[0]:,} / {self.ram[1]:,}"
        return (
            self.format,
            self.plan,
            self.coding,
            f"{self.bytes:,}",
            near,
            f"{self.largest}",
            f"{self.share:.4%}",
            "" if self.milliseconds is None else f"{self.milliseconds:.2f}",
            "" if self.instructions is None else f"{self.instructions:,}",
            ram,
        )


HEADER = (
    *("format", "plan", "coding", "bytes", "against apply", "largest error"),
    *("off by more than 1", "ms", "M4 instructions a pixel", "RAM, whole / rows"),
)


def c(models: dict[str, Model], crops: np.ndarray) -> Iterator[Row]:
    """C, compiled and run here; and in QEMU, where its compiler is."""
    floats = [Options(dtype) for dtype in ("float32", "float16")]
    others = [Options("int8"), Options("int8", mask="face")]
    asked = {
        "flow": [*floats, *(Options("int8", detail) for detail in (1, 2, 4))],
        "rr": [*floats, *others],
        "kr": [*floats, *others],
    }
    for plan, ways in asked.items():
        for options in ways:
            form = coded(models[plan], options)
            made = source(form, "smile")
            with compiled(program(made), form.model.targets, made.one) as run:
                found = compared(form.model, run.run, crops)
            more = {
                "milliseconds": c_milliseconds(made, crops[0]),
                "instructions": c_instructions(made),
                "ram": (made.parts.whole, made.parts.stream),
            }
            yield Row.of("C", plan, options, made.table_bytes, found, **more)


def c_milliseconds(made: Source, picture: np.ndarray) -> float:
    """A whole picture through a shared library."""
    with tempfile.TemporaryDirectory() as folder:
        written(made, Path(folder))
        words = [compiler(), "-std=c99", "-O2", "-shared", "-fPIC", "smile.c", "-o", "smile.so"]
        subprocess.run(words, cwd=folder, check=True)
        apply = ctypes.CDLL(str(Path(folder, "smile.so"))).smile_apply
        number = ctypes.c_int32 if made.parts.integers else ctypes.c_float
        out, work = np.empty_like(picture), np.empty(made.parts.whole + 64, np.uint8)
        places = [array.ctypes.data_as(ctypes.c_void_p) for array in (picture, out, work)]

        def once() -> None:
            one = number(int(made.one) if made.parts.integers else made.one)
            assert apply(places[0], places[1], ctypes.c_uint32(0), one, places[2]) == 0

        return best_milliseconds(once)


def best_milliseconds(work: Callable[[], object]) -> float:
    """The best of many runs: other work on the machine can only add to it."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken)


def c_instructions(made: Source) -> int | None:
    """Row by row in QEMU's Cortex-M4, where its bytes must be this machine's; None without QEMU."""
    if not (shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")):
        return None
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(BOARD, folder, dirs_exist_ok=True)
        model = Path(folder, "model")
        model.touch()
        written(made, Path(folder))
        make = ["make", "-s", "-C", folder, f"MODEL={model}"]
        here = subprocess.run([*make, "probe"], capture_output=True, text=True, check=True)
        there = subprocess.run([*make, "run-board"], capture_output=True, text=True, check=True)
        *_, hashes, instructions = there.stdout.split("\n")[:-1]
        assert hashes == here.stdout.strip(), (hashes, here.stdout)
        return int(instructions)


def c_picture(model: Model, photos: list[Path]) -> Image.Image:
    """Faces in columns: neutral, by `apply`, and by C in int8 with ever less detail."""
    cutter = Cutter(model.size, Frame(), Locator())
    crops = np.stack([cutter.single(Photo("", "neutral", str(photo))) for photo in photos])
    columns = [crops, get_backend("numpy").apply(model.plans[TARGET], crops)]
    for detail in DETAILS:
        made = source(coded(model, Options("int8", detail)), "smile")
        with compiled(program(made), model.targets, made.one) as run:
            columns.append(run.run(TARGET, crops, 1.0))
    return Image.fromarray(np.concatenate(np.concatenate(columns, axis=2)))


def written(made: Source, folder: Path) -> None:
    """The header and the source in a folder."""
    for name, text in program(made).items():
        if "check" not in name:
            (folder / name).write_text(text)


def onnx(models: dict[str, Model], crops: np.ndarray) -> Iterator[Row]:
    """ONNX files in onnxruntime, on one thread."""
    details = [Options(dtype, detail) for dtype in ("float16", "int8") for detail in (1, 2, 4)]
    masked = [Options("int8"), Options("int8", mask="face")]
    others = [Options("float32"), Options("float16"), *masked]
    asked = {"flow": [Options("float32"), *details], "rr": others, "kr": others}
    for plan, ways in asked.items():
        for options in ways:
            form = finer(coded(models[plan], options))
            file = OnnxFile(f"{plan}.onnx", form)

            def run(target: str, pictures: np.ndarray, by: float, file: OnnxFile = file) -> Array:
                parts = np.split(pictures, range(AT_ONCE, len(pictures), AT_ONCE))
                return np.concatenate([file.run(target, part, by) for part in parts])

            found = compared(form.model, run, crops)
            best = best_milliseconds(lambda file=file: file.run(TARGET, crops[:1], 1.0))
            yield Row.of("ONNX", plan, options, len(file.data), found, milliseconds=best)


# Best of many runs of crop, change and paste, on a picture of the model's own size.
TIMES = """
const fs = require("fs"), vm = require("vm");
for (const name of ["engine.js", "model.js"]) vm.runInThisContext(fs.readFileSync(name, "utf8"));
const { jobs: [[target]], width, height } = JSON.parse(process.argv[2]);
const bytes = fs.readFileSync(0), data = new Uint8ClampedArray(4 * width * height).fill(255);
bytes.forEach((value, i) => { data[i + Math.floor(i / 3)] = value; });
(async () => {
  const engine = await vm.runInThisContext("pixelreg.open(pixelregModel)");
  const photo = { data, width, height }, face = engine.model.wholeOf(photo);
  let best = Infinity;
  for (let k = 0; k < ROUNDS; k++) {
    const start = performance.now();
    engine.change(engine.prepare(photo, face), { [target]: 1 }, 1);
    best = Math.min(best, performance.now() - start);
  }
  console.log(best);
})();
"""


def web(models: dict[str, Model], crops: np.ndarray) -> Iterator[Row]:
    """A page's engine in node; bytes are those of the page in one file."""
    floats = [Options("float32"), Options("float16")]
    details = [Options("int8", detail) for detail in (1, 2, 4)]
    others = [*floats, Options("int8"), Options("int8", mask="face")]
    asked = {"flow": [*floats, *details], "rr": others, "kr": others}
    for plan, ways in asked.items():
        for options in ways:
            form = coded(models[plan], options)
            packed = packed_form(form)

            def run(target: str, pictures: np.ndarray, by: float, packed: Packed = packed) -> Array:
                said = in_node(packed, [[target, by]], pictures)
                return np.frombuffer(said or b"", np.uint8).reshape(pictures.shape)

            found = compared(form.model, run, crops)
            said = in_node(packed, [[TARGET, 1]], crops[:1], TIMES.replace("ROUNDS", str(ROUNDS)))
            size = len(single_page(scripts_of(packed), ()).encode())
            yield Row.of("page", plan, options, size, found, milliseconds=float(said or b"nan"))


FORMATS: dict[str, Callable[[dict[str, Model], np.ndarray], Iterator[Row]]] = {
    "c": c,
    "onnx": onnx,
    "web": web,
}


def models_of(data: Path, folder: Path) -> dict[str, Model]:
    """The bundled flow, and what fit makes of the set."""
    models = {"flow": load(BUNDLED / NAMED["flow"])}
    for name, options in FITTED.items():
        file = folder / f"{name}.safetensors"
        words = ["--data", data, "--expr", TARGET, "--holdout", "0", *options, "-o", file]
        assert pixelreg(["fit", *map(str, words)]) == 0
        models[name] = load(file)
    return models


def crops_of(data: Path) -> np.ndarray:
    """Everybody's aligned neutral crop."""
    listing = scan(data)
    pairs = pair(listing, "neutral", TARGET).pairs
    return load_stack(pairs, 128, Frame(), Locator()).sources


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PAGE = """# Exports

Made by `python -m benchmarks.edge`; see there for what is run on what, and edge.json for the
machine. {count} aligned crops at strengths 0.5, 1 and 1.5, against `pixelreg apply`. Bytes are
those of the learnt numbers in C, of the file elsewhere, which in a page holds the detector and a
picture too. Times are the best of several, for one
picture of 128 x 128 on one core. Instructions are counted in QEMU (`-M mps2-an386`, GCC `-O2`), row
by row; the bytes that come out there are those that come out here. RAM is beside pictures or rows.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--faces", type=Path, nargs="+", help="photos for edge.png")
    parser.add_argument("--format", choices=FORMATS, action="append", help="[default: all]")
    chosen = parser.parse_args()
    file = RESULTS / "edge.json"
    before = json.loads(file.read_text())["rows"] if file.exists() else {}
    crops = crops_of(chosen.data)
    with tempfile.TemporaryDirectory() as folder:
        models = models_of(chosen.data, Path(folder))
    if chosen.faces:
        c_picture(models["flow"], chosen.faces).save(RESULTS / "edge.png")
    for name in chosen.format or FORMATS:
        before[name] = []
        for row in FORMATS[name](models, crops):
            before[name].append(asdict(row))
            print(*row.cells(), sep="  ", flush=True)
    store(file, rows=before)
    rows = [Row(**row) for name in sorted(before) for row in before[name]]
    (RESULTS / "EDGE.md").write_text(PAGE.format(count=len(crops), table=table(rows)))


if __name__ == "__main__":
    main()
