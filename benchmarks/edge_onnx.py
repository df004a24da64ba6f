"""Exported ONNX models on crops of real faces: bytes, error and time, a line each.

    python -m benchmarks.edge_onnx LONDON_FOLDER --model rr.safetensors --model kr.safetensors

The bundled flow model is always among them. Crops are cut by pixelreg's own detector; the error is
against `apply` with NumPy at three strengths, as of `pixelreg.export.measure`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deep_onnx.exported import OnnxExporter
from deep_onnx.file import open_file
from deep_onnx.session import Session
from pixelreg.api import bundled_model, load
from pixelreg.arrays import Array, Pixels
from pixelreg.evaluation.comparison import format_table
from pixelreg.export import Options
from pixelreg.export import export as export_model
from pixelreg.export.coding import coded
from pixelreg.export.measure import compared
from pixelreg.faces.align import crop
from pixelreg.models.file import load as load_model
from pixelreg.models.model import Model
from pixelreg.pictures.image import read_file

HEADER = ("model", "dtype", "detail", "mask", "bytes", "largest", "off by more than 1", "dB", "ms")
AT_ONCE, RUNS = 16, 30


def crops_of(london: Path, people: int) -> Pixels:
    """The faces of the first people as the bundled model sees them, (N, 128, 128, 3) uint8."""
    translator = load("flow")
    photos = sorted((london / "neutral_front").glob("[!.]*_03.jpg"))[: people or None]
    pictures = [read_file(photo).pixels for photo in photos]
    places = [translator.place(pixels)[0].similarity for pixels in pictures]
    size = translator.size
    return np.stack([crop(p, place, size) for p, place in zip(pictures, places, strict=True)])


def onnx_row(model: Model, options: Options, crops: Pixels) -> tuple[str, ...]:
    """One model, exported, run on crops on one thread, and compared."""
    with tempfile.TemporaryDirectory() as folder:
        export_model(model, "onnx", Path(folder, "m"), (), options)
        file = open_file(Path(folder, "m.onnx"))
    session = Session(file.contents, "cpu", 1)
    names = [value.name for value in file.contents.outputs]
    several = len(model.plans) > 1

    def inputs(target: str, pictures: Pixels, strength: float) -> dict[str, Array]:
        number = np.array(list(model.plans).index(target), np.int64)
        given = {"image": pictures, "strength": np.array(strength, np.float32)}
        return given | ({"target": number} if several else {})

    def run(target: str, pictures: Pixels, strength: float) -> Pixels:
        parts = [pictures[k : k + AT_ONCE] for k in range(0, len(pictures), AT_ONCE)]
        made = [session.run(inputs(target, part, strength)) for part in parts]
        return np.concatenate([each[names.index("output")] for each in made])

    wanted = coded(model, Options("float32", 1, options.mask)).model
    found = compared(wanted, run, crops)
    seconds = [_seconds(session, inputs(model.targets[0], crops[:1], 1.0)) for _ in range(RUNS)]
    return (
        *(model.kind, options.dtype, f"1/{options.detail}", options.mask),
        f"{len(file.contents.data):,}",
        str(found.largest),
        f"{found.share:.4%}",
        f"{found.decibels:.1f}" if found.largest else "equal",
        f"{1e3 * min(seconds):.2f}",
    )


def rows(model: Model, crops: Pixels) -> Iterator[tuple[str, ...]]:
    """A model in every way in which it can be exported."""
    kinds = {plan.kind for plan in model.plans.values()}
    takes = next(row for row in OnnxExporter.takes if kinds <= set(row.plans))
    masked = all(plan.masked for plan in model.plans.values())
    for dtype in takes.dtypes:
        for detail in takes.details:
            for mask in takes.masks[: 1 if masked else None]:
                yield onnx_row(model, Options(dtype, detail, mask), crops)


def _seconds(session: Session, inputs: dict[str, Array]) -> float:
    start = time.perf_counter()
    session.run(inputs)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("--model", type=Path, action="append", default=[], help="one more model")
    parser.add_argument("--people", type=int, default=0, help="first people only; 0 for all")
    run = parser.parse_args(arguments)
    crops = crops_of(run.london, run.people)
    models = [load_model(file) for file in (bundled_model(), *run.model)]
    table = [row for model in models for row in rows(model, crops)]
    print(format_table([HEADER, *table]))
    print(f"{len(crops)} crops")


if __name__ == "__main__":
    main()
