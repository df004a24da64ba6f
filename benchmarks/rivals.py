"""The other ways to fit the same models, each as well as it can be done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

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
