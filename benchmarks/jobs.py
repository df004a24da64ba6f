"""Whole jobs, as users start them, each against the work that no program could leave out.

Commands are whole processes. Memory is what the kernel counts as a process's peak.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.memory import NAMES, run
from benchmarks.timing import Row, interleaved

ROOT = Path(__file__).resolve().parents[1]
BASE = "import numpy, PIL.Image, click"
EACH_CORE = """
import io, os, sys
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
def decode(path):
    with Image.open(path) as picture:
        return picture.convert("RGB"), getattr(picture, "quantization", None)
def both(path):
    picture, tables = decode(path)
    picture.save(io.BytesIO(), "JPEG", qtables=tables)
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    list(pool.map(WORK, sys.argv[1:]))
"""
DECODE, DECODE_ENCODE = (EACH_CORE.replace("WORK", name) for name in ("decode", "both"))
FIT = """
import json, statistics, sys, time
import numpy as np
from pixelreg.regression import PixelRidge
X, T = (np.load(path) for path in sys.argv[1:3])
if sys.argv[3] == "loaded":
    import pixelreg.backends.numba
def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
copies = [seconds(lambda: (X.copy(), T.copy())) for _ in range(9)]
fits = [seconds(lambda: PixelRidge().fit(X, T)) for _ in range(2)]
print(json.dumps([statistics.median(copies), *fits]))
"""
PHOTOS, QUICK_PHOTOS = 1000, 24
PAIRS, QUICK_PAIRS = 100_000, 2000
LARGE_PHOTO = (4000, 3000)
FRAMES, SLOWEST = 250, {"with the encoder": 1 / 60, "without": 1 / 120}


def python(*arguments: Any) -> str:
    """Run a new interpreter, wait for it, and take what it prints.

    It keeps and finds compiled modules, as an installed package's are.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, env=kept)
    return done.stdout


def pictures_in(data: Path) -> list[Path]:
    """All JPEGs of a folder and below, hidden ones left out."""
    found = data.resolve().rglob("[!.]*")
    return sorted(path for path in found if path.suffix.lower() in (".jpg", ".jpeg"))


def fit_rows(pairs: tuple[np.ndarray, np.ndarray], quick: bool) -> Iterator[Row]:
    """`PixelRidge().fit` as it comes, in new processes."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / each for each in ("x.npy", "t.npy")]
        for file, array in zip(files, pairs, strict=True):
            np.save(file, array)
        for state in ("plain", "loaded"):
            rounds = [
                json.loads(python("-c", FIT, *files, state)) for _ in range(2 if quick else 7)
            ]
            copied, first, second = (
                statistics.median(times) for times in zip(*rounds, strict=True)
            )
            if state == "plain":
                yield Row("PixelRidge().fit, first", first, "ndarray.copy", copied, 15)
                yield Row("PixelRidge().fit, second", second, "ndarray.copy", copied, 1)
            else:
                note = "where the process has imported Numba's loops already; its second fit"
                work = "PixelRidge().fit, Numba there"
                yield Row(work, second, "ndarray.copy", copied, 1, note=note)


def data_rows(data: Path, quick: bool) -> Iterator[Row]:
    """`fit --data` on a folder of JPEGs against decoding them in full on the same cores."""
    files = pictures_in(data)
    with tempfile.TemporaryDirectory() as name:

        def fit(kind: str) -> Callable[[], Any]:
            words = ("-m", "pixelreg", "fit", "--data", data, "--model", kind, "--holdout", "0")
            return lambda: python(*words, "-o", Path(name) / "m.safetensors")

        works = {kind: fit(kind) for kind in ("rr", "flow")}
        taken = interleaved(
            {**works, "decoding": lambda: python("-c", DECODE, *files)}, 1 if quick else 5
        )
    note = f"{len(files)} files, whole processes"
    for kind, target in (("rr", 1.5), ("flow", 6)):
        yield Row(
            f"fit --model {kind}",
            taken[kind],
            "decoding alone",
            taken["decoding"],
            target,
            note=note,
        )


def folder_rows(data: Path, quick: bool) -> Iterator[Row]:
    """`apply` on a folder of photos against decoding and encoding them on all cores."""
    files = pictures_in(data)
    count = QUICK_PHOTOS if quick else PHOTOS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for k in range(count):
            (folder / f"{k:04d}.jpg").symlink_to(files[k % len(files)])
        photos = sorted(folder.iterdir())
        start = time.perf_counter()
        python("-c", DECODE_ENCODE, *photos)
        least = time.perf_counter() - start
        for model in ("flow", "rig"):
            words = ("-m", "pixelreg", "apply", folder, "--expr", "happy", "--model", model)
            start = time.perf_counter()
            python(*words, "-o", Path(name) / model)
            taken = time.perf_counter() - start
            note = f"{count} photos, once"
            yield Row(f"apply a folder, {model}", taken, "decode + encode", least, 1.3, note=note)


def memory_rows(data: Path, quick: bool) -> Iterator[Row]:
    """The peak of `apply` on a large photo, and of the list of many pairs."""
    with tempfile.TemporaryDirectory() as name:
        large = Path(name) / "large.jpg"
        with Image.open(pictures_in(data)[0]) as photo:
            photo.resize(LARGE_PHOTO, Image.Resampling.BICUBIC).save(large, quality=95)
        decoded = 3 * LARGE_PHOTO[0] * LARGE_PHOTO[1] / 1e6
        for model in ("flow", "rig"):
            words = ("-m", "pixelreg", "apply", large, "--expr", "happy", "--model", model)
            pid, watch = run(*map(str, words), "-o", str(Path(name) / "out.jpg"))
            peak, work = watch.peaks[pid] / 1e6, f"apply {model}, 12 megapixels"
            yield Row(work, peak, "decoded picture", decoded, 6, unit="MB")
        count = QUICK_PAIRS if quick else PAIRS
        first, folder = pictures_in(data)[0], Path(name) / "set"
        for expression in ("neutral", "happy"):
            (folder / expression).mkdir(parents=True)
            for k in range(count):
                (folder / expression / f"p{k:06d}.jpg").symlink_to(first)
        pid, watch = run("-c", NAMES, str(folder))
        work, peak = f"fit's names of {count:,} pairs", watch.peaks[pid] / 1e6
        yield Row(work, peak, "150 MB", 150, 1, note="names alone", unit="MB")
        for expression in ("neutral", "happy"):
            crop = Path(name) / f"{expression}.png"
            Image.new("RGB", (16, 16), "grey").save(crop)
            for path in (folder / expression).iterdir():
                path.unlink()
                path.with_suffix(".png").symlink_to(crop)
        words = ("-m", "pixelreg", "fit", "--data", folder, "--model", "rr", "--size", "16")
        pid, watch = run(*map(str, words), "--no-align", "-o", str(Path(name) / "m.safetensors"))
        work, peak = f"fit on {count:,} pairs of 16x16", watch.peaks[pid] / 1e6
        note = "the process that was started; those that read hold eight pairs at a time"
        yield Row(work, peak, "150 MB", 150, 1, note=note, unit="MB")


def video_rows(photo: Path, quick: bool) -> Iterator[Row]:
    """Frames of 1280x720 with one face, by the bundled flow and by the rig."""
    from benchmarks.video import frames_of, make_clip
    from pixelreg.api import load
    from pixelreg.video.convert import AHEAD, FrameChanger, ahead, change_video

    frames = 40 if quick else FRAMES
    with tempfile.TemporaryDirectory() as name:
        clip, made = Path(name) / "clip.mp4", Path(name) / "made.mp4"
        make_clip([photo], clip, frames)
        for model in ("flow", "rig"):
            translator = load(model)
            change_video(translator, clip, "happy", made)  # loops are compiled, weights read

            def bare(translator: Any = translator) -> None:
                changer = FrameChanger(translator, "happy")
                looks = ahead((changer.look(frame) for frame in frames_of(clip)), AHEAD)
                for paste in ahead((change() for change in looks), AHEAD):
                    paste()

            def whole(translator: Any = translator) -> None:
                change_video(translator, clip, "happy", made)

            works = {"with the encoder": whole, "without": bare}
            taken = interleaved(works, 1 if quick else 3)
            for how, limit in SLOWEST.items():
                each = taken[how] / frames
                note = f"{1 / each:.0f} frames/s"
                against = f"{1 / limit:.0f} frames/s"
                yield Row(f"video, {model}, {how}", each, against, limit, 1, note=note)


def network_rows(quick: bool) -> Iterator[Row]:
    """StarGAN at its full size, ours against onnxruntime called bare; needs PyTorch to make it."""
    import onnxruntime

    from deep_onnx.counting import write_networks
    from deep_onnx.file import open_file
    from deep_onnx.model import OnnxModel
    from deep_onnx.quantise import Calibration, quantise

    with tempfile.TemporaryDirectory() as name:
        file = next(p for p in write_networks(Path(name), "happy") if "stargan" in p.stem.lower())
        model = OnnxModel.of(open_file(file), threads=2)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as ours
        bare = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
        condition = (0.0,) * len(model.card.condition)
        inputs, _ = model.inputs(condition, picture)
        small = Path(name) / "int8.onnx"
        seen = rng.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
        quantise(file, small, "int8", Calibration(seen, seen), force=True)
        smaller = OnnxModel.of(open_file(small), threads=2)
        works = {
            "ours": lambda: model.predict(condition, picture),
            "bare": lambda: bare.run(None, dict(inputs)),
            "int8": lambda: smaller.predict(condition, picture),
        }
        taken = interleaved(works, 5 if quick else 41)
    yield Row("StarGAN, 128x128", taken["ours"], "bare session", taken["bare"], 1.03)
    note = "random weights: as quick as trained ones"
    work = "StarGAN int8, 128x128"
    yield Row(work, taken["int8"], "as fp32", taken["ours"], 2, True, note=note)
