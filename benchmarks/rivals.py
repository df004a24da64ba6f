"""The other ways to fit the same models, each as well as it can be done."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.timing import Row, interleaved
from pixelreg.backends import cores, get_backend
from pixelreg.faces.align import Similarity
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import face_mask, paste_change
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan, Change
from pixelreg.pictures.image import encode, read_file
from pixelreg.regression import PixelKernelRidge, PixelRidge
from pixelreg.translator import PlanTranslator

Bytes = NDArray[np.uint8]
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def ridge_in_float64(X: Bytes, T: Bytes, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 6 for all pixels at once, vectorised, in float64."""
    x, t = X / 255.0, T / 255.0
    n, s, st = len(x), x.sum(0), t.sum(0)
    ss, sxt = np.einsum("np,np->p", x, x), np.einsum("np,np->p", x, t)
    determinant = (ss + alpha) * (n + alpha) - s * s
    weight = ((n + alpha) * sxt - s * st) / determinant
    return weight, (st - weight * s) / (n + alpha)


def sklearn_ridge_seconds(X: Bytes, T: Bytes, alpha: float, sample: int) -> float:
    """Seconds for all pixels of a loop of scikit-learn's Ridge, timed on a sample and scaled."""
    from sklearn.linear_model import Ridge

    x, t = X / 255.0, T / 255.0
    ones = np.ones(len(x))
    start = time.perf_counter()
    for p in np.linspace(0, x.shape[1] - 1, sample).astype(int):
        Ridge(alpha, fit_intercept=False).fit(np.column_stack([x[:, p], ones]), t[:, p])
    return (time.perf_counter() - start) * x.shape[1] / sample


@contextmanager
def dense_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one BLAS thread each."""
    before = {name: os.environ.get(name) for name in BLAS_THREADS}
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))  # read when a process loads its BLAS
    try:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            list(pool.map(_warm, range(4 * count)))
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def dense_kernel_ridge(
    pool: ProcessPoolExecutor, workers: int, X: Bytes, T: Bytes, sigma: float, alpha: float
) -> tuple[float, np.ndarray]:
    """Pixel-KR pixel by pixel with all workers busy: seconds a pixel, and what it fits (N, p)."""
    shares = [slice(k, None, workers) for k in range(workers)]
    jobs = [pool.submit(_dense, X[:, share], T[:, share], sigma, alpha) for share in shares]
    fitted = np.empty(X.shape)
    slowest = 0.0
    for share, job in zip(shares, jobs, strict=True):
        seconds, fitted[:, share] = job.result()
        slowest = max(slowest, seconds)
    return slowest / X.shape[1], fitted


def _dense(X: Bytes, T: Bytes, sigma: float, alpha: float) -> tuple[float, np.ndarray]:
    from scipy.linalg.lapack import dposv

    levels = np.arange(256) / 255.0
    table = np.exp(-((levels[:, None] - levels) ** 2) / (2 * sigma**2))  # quicker than exp each
    fitted, diagonal = np.empty(X.shape), np.arange(len(X))
    start = time.perf_counter()
    for p in range(X.shape[1]):
        kernel = table[X[:, p][:, None], X[:, p]]
        kernel[diagonal, diagonal] += alpha
        t = T[:, p] / 255.0
        _, solution, _ = dposv(kernel, t, overwrite_a=True)
        fitted[:, p] = t - alpha * solution  # K c, since (K + alpha I) c = t
    return time.perf_counter() - start, fitted


def _warm(_: int) -> None:
    rng = np.random.default_rng(0)
    _dense(*rng.integers(0, 256, (2, 50, 2), dtype=np.uint8), 1.0, 0.4)


def peers(X: Bytes, T: Bytes, sample: int, rounds: int) -> Iterator[Row]:
    """What others' packages take for the same work, in turn with ours; an absent one is left out.

    X, T : (n, p) uint8. Loops over pixels are timed on ``sample`` of them and scaled.
    """
    for one in (_himalaya, _sklearn_kernel, _batched, _remapped, _pipelines, _as_graph):
        try:
            yield one(X, T, sample, rounds)
        except ModuleNotFoundError as error:
            print(f"not measured: {error.name} is not installed")


def _scaled(work: Callable[[slice], object], pixels: int, sample: int) -> float:
    """Seconds for all pixels of a work on every so many."""
    work(slice(None, None, pixels // 2))
    start = time.perf_counter()
    work(slice(None, None, pixels // sample))
    return (time.perf_counter() - start) * pixels / len(range(0, pixels, pixels // sample))


def _ours(model: object, X: Bytes, T: Bytes, rounds: int) -> float:
    fit: Callable[[Bytes, Bytes], object] = model.fit  # type: ignore[attr-defined]
    return interleaved({"ours": lambda: fit(X, T)}, rounds)["ours"]


def _himalaya(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    """himalaya solves one system for many targets; with one input a target it needs a loop."""
    from himalaya.ridge import Ridge

    def work(some: slice) -> None:
        for x, t in zip(X.T[some] / 255.0, T.T[some] / 255.0, strict=True):
            Ridge(0.4, fit_intercept=True).fit(x[:, None], t[:, None])

    other = _scaled(work, X.shape[1], sample)
    note = f"timed on {sample} pixels and scaled; its intercept is not shrunk"
    ours = _ours(PixelRidge(backend="numba"), X, T, rounds)
    return Row("RR fit, 400 pairs", ours, "himalaya loop*", other, 1, True, note=note)


def _sklearn_kernel(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    from sklearn.kernel_ridge import KernelRidge

    def work(some: slice) -> None:
        for x, t in zip(X.T[some] / 255.0, T.T[some] / 255.0, strict=True):
            KernelRidge(alpha=0.4, kernel="rbf", gamma=1 / 18).fit(x[:, None], t)

    other = _scaled(work, X.shape[1], sample)
    note = f"timed on {sample} pixels and scaled"
    ours = _ours(PixelKernelRidge(sigma=3.0, backend="numba"), X, T, rounds)
    return Row("KR fit, sigma 3", ours, "sklearn KernelRidge*", other, 1, True, note=note)


def _batched(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    """The kernel matrices of sixteen pixels at once, and LAPACK over the stack."""

    def work(some: slice) -> None:
        x, t = X.T[some] / 255.0, T.T[some] / 255.0
        for first in range(0, len(x), 16):
            part = x[first : first + 16]
            kernels = np.exp(-((part[:, :, None] - part[:, None]) ** 2) / 18.0)
            kernels += 0.4 * np.eye(X.shape[0])
            np.linalg.solve(kernels, t[first : first + 16, :, None])

    other = _scaled(work, X.shape[1], sample)
    note = f"timed on {sample} pixels and scaled"
    ours = _ours(PixelKernelRidge(sigma=3.0, backend="numba"), X, T, rounds)
    return Row("KR fit, sigma 3", ours, "batched LAPACK*", other, 1, True, note=note)


def _remapped(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    """A change of a crop of 128 laid on a face that fills a photo of 1350x1350, without the blend.

    OpenCV's part is the look-up alone, cubic, from fields of the photo's size that are ready.
    """
    import cv2

    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (1350, 1350, 3), dtype=np.uint8)
    wave = np.sin(np.mgrid[:128, :128] / 20.0).astype(np.float32)
    steps = np.moveaxis(wave, 0, 2) * face_mask(128)[..., None]
    change = Change(np.zeros((128, 128, 3), np.float32), steps.astype(np.float32))
    place = Similarity(7.3, 0.4, 180.0, 160.0)
    down, across = np.mgrid[:1350, :1350].astype(np.float32) + np.float32(0.5)
    works = {
        "ours": lambda: paste_change(photo, change, place, 1.0),
        "remap": lambda: cv2.remap(photo, across, down, cv2.INTER_CUBIC),
    }
    taken = interleaved(works, rounds)
    note = "ours also carries the fields from the crop to the photo; OpenCV's look-up has 5 bits"
    return Row("paste, 1350x1350", taken["ours"], "cv2.remap", taken["remap"], 1, True, note=note)


def _pipelines(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    """Read, run, write, one file after the other, as rembg and the like do; against a folder."""
    from pixelreg.data.crops import read_all

    model = Model({"happy": AffinePlan(*np.full((2, 128, 128, 3), 0.5, np.float32))}, frame=None)
    translator = PlanTranslator(model, Locator(align=False))
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{k}.jpg" for k in range(16)]
        for file in files:
            Image.fromarray(X[0].reshape(128, 128, 3)).resize((1024, 1024)).save(file, quality=95)

        def change(file: Path) -> None:
            made = translator.translate_picture(read_file(file), "happy")
            file.with_suffix(".out").write_bytes(encode(made))

        works = {
            "ours": lambda: list(read_all(files, change, cores())),
            "one by one": lambda: [change(file) for file in files],
        }
        taken = interleaved(works, rounds)
    note = "16 photos of 1024x1024, the same read, run and write"
    work = "folder, read to write"
    return Row(work, taken["ours"], "one by one", taken["one by one"], 1, True, note=note)


def _as_graph(X: Bytes, T: Bytes, sample: int, rounds: int) -> Row:
    """Pixel-RR as a graph of onnxruntime, from floats to floats; ours from bytes to bytes."""
    import onnxruntime
    from onnx import TensorProto, helper

    weight, bias = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    values = [("x", None), ("y", None), ("w", weight), ("b", bias)]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, weight.shape)
        for name, array in values
        if array is None
    )
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
        for name, array in values
        if array is not None
    ]
    nodes = [helper.make_node("Mul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    graph = helper.make_graph(nodes, "rr", [x], [y], constants)
    opset = [helper.make_opsetid("", 17)]
    data = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    picture = X[0].reshape(128, 128, 3)
    unit = picture / np.float32(255)
    backend, plan = get_backend("numba"), AffinePlan(weight, bias)
    works = {
        "ours": lambda: backend.apply(plan, picture),
        "graph": lambda: session.run(None, {"x": unit}),
    }
    taken = interleaved(works, rounds, 200)
    return Row("apply RR, 128x128", taken["ours"], "onnxruntime", taken["graph"], 1, True)
