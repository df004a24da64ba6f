"""How fast: the table of targets, measured in one process.

    python -m benchmarks.speed [--quick] [--data FOLDER] [-o benchmarks/results/speed.json]

Rivals run interleaved with ours; medians; warmed up. Bytes that a work must move: every array of
the plan is read once, the picture is read once and written once. The memory-bound limit is those
bytes over the measured bandwidth of copies by as many threads, reads and writes both counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.flow_profile import flow_profile
from benchmarks.growth import growth, plot
from benchmarks.jobs import (
    BASE,
    data_rows,
    fit_rows,
    folder_rows,
    memory_rows,
    network_rows,
    pictures_in,
    python,
    video_rows,
)
from benchmarks.machine import store
from benchmarks.plans import SIDE, plans, training_pairs
from benchmarks.rivals import (
    dense_kernel_ridge,
    dense_workers,
    peers,
    ridge_in_float64,
    sklearn_ridge_seconds,
)
from benchmarks.timing import HEADER, Row, copy_bandwidth, interleaved, shown
from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend
from pixelreg.evaluation.comparison import format_table
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.regression.kernel import level_features

ALPHA = 0.4
LARGE = (720, 1280, 3)
ROOT = Path(__file__).resolve().parents[1]


def ridge_rows(backend: ArrayBackend, quick: bool) -> Iterator[Row]:
    """Pixel-RR: sums and solve of 400 pairs in memory."""
    X, T = training_pairs()
    x, t = backend.to_device(X), backend.to_device(T)

    def ours() -> Any:
        solution = backend.solve_ridge(backend.pixel_sums(x, t), ALPHA)
        return solution

    def copied() -> None:
        x.copy(), t.copy()

    works = {"ours": ours, "copy": copied, "float64": lambda: ridge_in_float64(X, T, ALPHA)}
    taken = interleaved(works, 5 if quick else 25)
    sample = 100 if quick else 1000
    loop = sklearn_ridge_seconds(X, T, ALPHA, sample)
    reference = ridge_in_float64(X, T, ALPHA)
    error = max(
        float(np.abs(backend.to_host(a) - b).max()) for a, b in zip(ours(), reference, strict=True)
    )
    work, scaled = "RR sums + solve", f"timed on {sample} pixels and scaled"
    yield Row(work, taken["ours"], "ndarray.copy", taken["copy"], 3)
    yield Row(work, taken["ours"], "NumPy float64", taken["float64"], 5, True, error)
    yield Row(work, taken["ours"], "sklearn loop*", loop, 500, True, error, scaled)


def kernel_rows(backend: ArrayBackend, quick: bool, cores: int) -> Iterator[Row]:
    """Pixel-KR: the whole fit of 400 pairs in memory against dense systems."""
    X, T = training_pairs()
    x, t = backend.to_device(X), backend.to_device(T)
    sample = np.linspace(0, X.shape[1] - 1, 8 * cores if quick else 200 * cores).astype(int)
    with dense_workers(cores) as pool:
        for sigma, target in ((3.0, 600), (0.3, 80)):

            def ours(sigma: float = sigma) -> Any:
                features = level_features(sigma)
                solved = backend.solve_levels(backend.level_sums(x, t), features.table, ALPHA)
                return features, solved

            taken = interleaved({"ours": ours}, 3 if quick else 11)["ours"]
            rounds = [
                dense_kernel_ridge(pool, cores, X[:, sample], T[:, sample], sigma, ALPHA)
                for _ in range(1 if quick else 3)
            ]
            features, solved = ours()
            told = np.einsum(
                "npr,pr->np", features.table[X[:, sample]], backend.to_host(solved)[sample]
            )
            each = float(np.median([seconds for seconds, _ in rounds]))
            yield Row(
                f"KR fit, sigma {sigma:g}",
                taken,
                f"dense, {cores} cores*",
                each * X.shape[1],
                target,
                True,
                float(np.abs(told - rounds[0][1]).max()),
                f"timed on {len(sample)} pixels and scaled; {1e3 * each * cores:.2f} ms a pixel "
                "and core; kernels by table look-up, Cholesky, one BLAS thread a process",
            )


def apply_rows(backend: ArrayBackend, quick: bool, bandwidth: float) -> Iterator[Row]:
    """One small picture against a copy; large ones against the speed of memory."""
    rounds = 7 if quick else 41
    rng = np.random.default_rng(1)
    for shape in ((SIDE, SIDE, 3), LARGE):
        picture = backend.to_device(rng.integers(0, 256, shape, dtype=np.uint8))
        for name, plan in plans(shape).items():
            loaded = backend.load(plan)

            def ours(loaded: Any = loaded, picture: Any = picture) -> None:
                backend.apply(loaded, picture)

            def copied(picture: Any = picture) -> None:
                picture.copy()

            side = f"{shape[1]}x{shape[0]}"
            if shape != LARGE:
                if name == "RR":
                    taken = interleaved({"ours": ours, "copy": copied}, rounds, 200)
                    yield Row(
                        f"apply {name}, {side}", taken["ours"], "ndarray.copy", taken["copy"], 8
                    )
                    yield Row(f"apply {name}, {side}", taken["ours"], "10 us", 10e-6, 1)
                continue
            moved = sum(a.nbytes for a in plan.tensors().values()) + 2 * picture.nbytes
            taken = interleaved({"ours": ours}, rounds)
            note = f"{moved / 1e6:.1f} MB must move, {bandwidth / 1e9:.1f} GB/s"
            limit, most = moved / bandwidth, 4 if name == "flow" else 3
            work = f"apply {name}, {side}"
            yield Row(work, taken["ours"], "memory limit", limit, most, note=note)


def cold_row(quick: bool) -> Row:
    """The whole command in a new process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        modelfile.save(Model({"happy": plans((SIDE, SIDE, 3))["RR"]}), folder / "m.safetensors")
        pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "crop.png")
        command = ["-m", "pixelreg", "apply", folder / "crop.png", "--expr", "happy"]
        command += ["--model", folder / "m.safetensors", "-o", folder / "out.png"]
        works = {"ours": lambda: python(*command), "base": lambda: python("-c", BASE)}
        taken = interleaved(works, 5 if quick else 25)
    base = f'python -c "{BASE}"'
    return Row(
        "pixelreg apply crop.png", taken["ours"], "imports alone", taken["base"], 1.15, note=base
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes")
    parser.add_argument("--backend", default="numba", choices=["numpy", "numba"])
    parser.add_argument("--data", type=Path, help="the London set, for whole jobs")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks/results/speed.json")
    options = parser.parse_args()
    backend, cores = get_backend(options.backend), len(os.sched_getaffinity(0))
    bandwidth = copy_bandwidth(cores, 5 if options.quick else 25)
    rows = [
        *ridge_rows(backend, options.quick),
        *kernel_rows(backend, options.quick, cores),
        *apply_rows(backend, options.quick, bandwidth),
        cold_row(options.quick),
    ]
    if options.backend == "numba":
        pairs = training_pairs()
        rows += [*fit_rows(pairs, options.quick), *network_rows(options.quick)]
        rows += peers(*pairs, *((50, 3) if options.quick else (1000, 11)))
    if options.data:
        for whole in (data_rows, folder_rows, memory_rows):
            rows += whole(options.data, options.quick)
        rows += video_rows(pictures_in(options.data)[0], options.quick)
    print(format_table([HEADER, *(row.cells() for row in rows)]))
    print("* a sample, scaled; see the notes in the file")
    curves = growth(backend, options.quick)
    for curve in curves:
        print(f"{curve['work']} against {curve['against']}: time ~ size^{curve['exponent']:.2f}")
    profile = None
    if options.backend == "numba":
        flow: Any = plans(LARGE)["flow"]
        picture = np.random.default_rng(1).integers(0, 256, LARGE, dtype=np.uint8)
        profile = flow_profile(flow, picture, 5 if options.quick else 25)
        parts = profile["seconds on one thread"].items()
        print("flow, one thread:", ", ".join(f"{name} {shown(taken)}" for name, taken in parts))
    result = {
        "quick": options.quick,
        "backend": options.backend,
        "load": os.getloadavg(),
        "copy_bandwidth": bandwidth,
        "rows": [row.as_json() for row in rows],
        "growth": curves,
        "flow_profile": profile,
    }
    store(options.output, **result)
    plot(curves, options.output.with_suffix(".png"))
    print(f"wrote {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
