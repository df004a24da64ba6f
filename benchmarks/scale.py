"""How time and memory of whole jobs grow: pairs, pixels, faces, frames, workers.

    python -m benchmarks.scale PHOTO [--data LONDON] [--quick] [-o benchmarks/results/scale.json]

Every point is a process of its own, which says how long the work took once warm, and its peak of
memory as the kernel counts it, libraries included. PHOTO shows one face.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import ROOT, python
from benchmarks.machine import figure, store
from benchmarks.timing import exponent
from pixelreg.evaluation.comparison import format_table

POINT = """
import json, resource, sys
import benchmarks.scale as scale
seconds = getattr(scale, sys.argv[1])(int(sys.argv[2]), *sys.argv[3:])
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6]))
"""
WIDTHS = (320, 640, 1280, 2560, 3840)
SERIES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "rr_pairs": ("rr fit, 64x64", "pairs", (100, 1000, 10_000, 100_000)),
    "kr_pairs": ("kr fit, 64x64", "pairs", (100, 1000, 10_000, 100_000)),
    "photo_pixels": ("apply flow, one face", "pixels", tuple(w * w * 9 // 16 for w in WIDTHS)),
    "photo_faces": ("apply flow, 1920x1080", "faces", (1, 2, 4, 8)),
    "video_frames": ("video 1280x720, flow", "frames", (25, 50, 100, 200)),
}
CHUNK = 256  # pairs that are drawn at a time


def rr_pairs(count: int, *_: str) -> float:
    """Seconds to fit Pixel-RR to so many simulated pairs, which come in chunks."""
    from pixelreg.regression import PixelRidge

    return _fitted(PixelRidge(), count)


def kr_pairs(count: int, *_: str) -> float:
    """The same of Pixel-KR: its sums of every chunk, and one solution."""
    from pixelreg.backends import get_backend
    from pixelreg.regression.kernel import level_features

    backend, total, seconds = get_backend("numpy"), None, 0.0
    for X, T in _chunks(count):
        with _Clock() as clock:
            sums = backend.level_sums(X, T)
            total = sums if total is None else total.absorbing(sums)
        seconds += clock.seconds
    with _Clock() as clock:
        backend.solve_levels(total, level_features(3.0).table, 0.4)
    return seconds + clock.seconds


def photo_pixels(count: int, photo: str) -> float:
    """Seconds to change a warm photo of so many pixels, which its face fills as before."""
    from PIL import Image

    width = round((count * 16 / 9) ** 0.5)
    with Image.open(photo) as opened:
        return _changed(_on_grey(opened, width, width * 9 // 16, 1), "largest")


def photo_faces(count: int, photo: str) -> float:
    """Seconds to change a photo of 1920x1080 with so many faces of one size."""
    from PIL import Image

    with Image.open(photo) as opened:
        return _changed(_on_grey(opened, 1920, 1080, count), "all")


def video_frames(count: int, photo: str) -> float:
    """Seconds to change a video of so many frames."""
    import tempfile

    from benchmarks.video import make_clip
    from pixelreg.api import load
    from pixelreg.video.convert import change_video

    with tempfile.TemporaryDirectory() as name:
        clip, short = Path(name) / "clip.mp4", Path(name) / "short.mp4"
        make_clip([Path(photo)], clip, count)
        make_clip([Path(photo)], short, 5)
        translator = load("flow")
        change_video(translator, short, "happy", Path(name) / "warm.mp4")
        with _Clock() as clock:
            change_video(translator, clip, "happy", Path(name) / "made.mp4")
    return clock.seconds


def readers(count: int, data: str) -> float:
    """Seconds in which so many worker processes read and align a set for Pixel-RR."""
    from pixelreg.data.crops import Cutter
    from pixelreg.data.layouts import scan
    from pixelreg.data.pairs import pair
    from pixelreg.faces.locate import Locator
    from pixelreg.fitting.learn import LocalWorkers, make_parts
    from pixelreg.fitting.tally import Tally
    from pixelreg.fitting.workers import pool
    from pixelreg.models.model import Frame
    from pixelreg.models.sums import PixelSums

    pairs = {"happy": pair(scan(Path(data)), "neutral", "happy")}
    tally = Tally(make_parts(pairs, frozenset()), PixelSums, 128)
    cutter = Cutter(128, Frame(), Locator())
    with pool(count, processes=True) as executor:
        executor.submit(pow, 2, 2).result()
        with _Clock() as clock:
            for number, step in LocalWorkers(cutter, executor, count).read(tally):
                tally.add(number, step)
    return clock.seconds


class _Clock:
    """Wall time of a block."""

    seconds = 0.0

    def __enter__(self) -> _Clock:
        import time

        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        import time

        self.seconds = time.perf_counter() - self._start


def _chunks(count: int) -> Any:
    import numpy as np

    rng = np.random.default_rng(0)
    for first in range(0, count, CHUNK):
        shape = (2, min(CHUNK, count - first), 64 * 64 * 3)
        yield rng.integers(0, 256, shape, dtype=np.uint8)


def _fitted(model: Any, count: int) -> float:
    seconds = 0.0
    for X, T in _chunks(count):
        with _Clock() as clock:
            model.partial_fit(X, T)
        seconds += clock.seconds
    return seconds


def _on_grey(photo: Any, width: int, height: int, faces: int) -> Any:
    """Copies of a photo beside each other on grey, each as large as eight of them would be."""
    from PIL import Image

    columns, rows = (4, 2) if faces > 1 else (1, 1)
    side = min(width // columns, height // rows)
    small, made = (
        photo.convert("RGB").resize((side, side)),
        Image.new("RGB", (width, height), "grey"),
    )
    for k in range(faces):
        made.paste(small, (k % columns * (width // columns), k // columns * side))
    return made


def _changed(picture: Any, which: str) -> float:
    from pixelreg.api import load
    from pixelreg.faces.locate import Locator

    translator = load("flow", locator=Locator(which=which))
    translator.translate(picture, "happy")
    with _Clock() as clock:
        translator.translate(picture, "happy")
    return clock.seconds


def curve(
    function: str, work: str, against: str, sizes: Sequence[int], *given: Any
) -> dict[str, Any]:
    """A series of points, and the power of the size that its time follows."""
    points = [json.loads(python("-c", POINT, function, size, *given)) for size in sizes]
    seconds, peaks = (list(side) for side in zip(*points, strict=True))
    return {
        "work": work,
        "against": against,
        "sizes": list(sizes),
        "seconds": seconds,
        "peak_mb": peaks,
        "exponent": exponent(list(sizes), seconds),
    }


def plot(curves: list[dict[str, Any]], path: Path) -> None:
    """Time above, memory below, by what grows; needs matplotlib."""
    kinds = list(dict.fromkeys(each["against"] for each in curves))
    with figure(path, (2, len(kinds)), (3.4 * len(kinds), 6), squeeze=False) as axes:
        for column, against in enumerate(kinds):
            for each in (one for one in curves if one["against"] == against):
                label = f"{each['work']}: size^{each['exponent']:.2f}"
                axes[0][column].loglog(each["sizes"], each["seconds"], "o-", label=label)
                axes[1][column].semilogx(each["sizes"], each["peak_mb"], "o-", label=each["work"])
                for at, seconds in zip(each["sizes"], each["seconds"], strict=True):
                    axes[0][column].annotate(f"{seconds:.2g}", (at, seconds), fontsize=7)
                for row in axes:
                    row[column].set_xticks(each["sizes"], labels=[f"{n:,}" for n in each["sizes"]])
                    row[column].tick_params("x", rotation=20, labelsize=7)
            most = max(max(each["peak_mb"]) for each in curves if each["against"] == against)
            axes[1][column].set(xlabel=against, ylim=(0, 1.1 * most))
            axes[0][column].legend(fontsize=7)
            for row in axes:
                row[column].grid(alpha=0.3)
                row[column].minorticks_off()
        axes[0][0].set_ylabel("seconds")
        axes[1][0].set_ylabel("peak of the process, MB")


def main() -> None:
    """Measure, print and draw every series."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--data", type=Path, help="a set of pairs, for the series of workers")
    parser.add_argument("--quick", action="store_true", help="leave out the largest two sizes")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks/results/scale.json")
    options = parser.parse_args()
    curves = []
    for function, (work, against, sizes) in SERIES.items():
        some = sizes[:-2] if options.quick else sizes
        curves.append(curve(function, work, against, some, options.photo.resolve()))
    if options.data:
        work = "reading and aligning for rr"
        curves.append(curve("readers", work, "workers", (1, 2), options.data.resolve()))
    rows = [
        (c["work"], f"{n:,} {c['against']}", f"{s:.3g} s", f"{m:.0f} MB")
        for c in curves
        for n, s, m in zip(c["sizes"], c["seconds"], c["peak_mb"], strict=True)
    ]
    print(format_table([("work", "size", "time", "peak"), *rows]))
    store(options.output, quick=options.quick, curves=curves)
    plot(curves, options.output.with_suffix(".png"))
    print(f"wrote {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
