"""How fast the card is: against what its memory allows, and against the processor."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.card import Card, Sizes
from benchmarks.plans import plans, training_pairs
from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend
from pixelreg.backends.gpu import GPU_WORK
from pixelreg.regression.kernel import dense_work, level_features

ROOT = Path(__file__).resolve().parents[1]
ALPHA = 0.4
# What a new process spends before the card has done its first work, without Python's own start.
START = """
import time
started = time.perf_counter()
import numpy as np
from pixelreg.backends import get_backend
backend = get_backend("cupy")
x = np.linspace(0, 1, 60 * 16).reshape(60, 16)
backend.to_host(backend.solve_dense(x, x, 1.0, 0.4))
print(time.perf_counter() - started)
"""


def applies(card: Card, sizes: Sizes, bandwidth: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Plans on pictures that lie on the card, and on pictures that come and go."""
    rng = np.random.default_rng(1)
    for height, width in sizes.shapes:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        there = card.backend.to_device(picture)
        for name, plan in plans((height, width, 3)).items():
            loaded = card.backend.load(plan)
            moved = sum(a.nbytes for a in plan.tensors().values()) + 2 * picture.nbytes
            inside = card.seconds(lambda p=loaded, x=there: card.backend.apply(p, x), sizes.rounds)
            across = card.seconds(
                lambda p=loaded, x=picture: card.backend.apply(p, x), sizes.rounds
            )
            limit = moved / bandwidth["card"]
            yield {
                "work": f"apply {name}, {width}x{height}",
                "seconds": inside,
                "seconds with transfers": across,
                "bytes moved": moved,
                "memory limit": limit,
                "times the limit": inside / limit,
                "peak bytes": card.peak(lambda p=loaded, x=there: card.backend.apply(p, x)),
            }


def fits(card: Card, sizes: Sizes, bandwidth: dict[str, float]) -> Iterator[dict[str, Any]]:
    """RR and KR from pairs on the card, from pairs on the host, and by the processor."""
    values = sizes.side * sizes.side * 3
    X, T = training_pairs(sizes.pairs, values)
    there = card.backend.to_device(X), card.backend.to_device(T)
    rivals = {name: get_backend(name) for name in ("numpy", "numba") if find_spec(name)}
    for name, fit in (("RR", _fit_rr), ("KR, sigma 3", _fit_kr(3.0)), ("KR, 0.3", _fit_kr(0.3))):
        inside = card.seconds(lambda f=fit: f(card.backend, *there), sizes.rounds)
        across = card.seconds(
            lambda f=fit: [card.backend.to_host(a) for a in f(card.backend, X, T)], sizes.rounds
        )
        limit = (X.nbytes + T.nbytes) / bandwidth["card"]
        yield {
            "work": f"{name}, {sizes.pairs} pairs of {values:,} values",
            "seconds": inside,
            "seconds with transfers": across,
            "reading the pairs alone": limit,
            "times the limit": inside / limit,
            "peak bytes": card.peak(lambda f=fit: f(card.backend, *there)),
            **{f"seconds, {r}": _best(lambda f=fit, b=b: f(b, X, T)) for r, b in rivals.items()},
        }


def streamed(card: Card, sizes: Sizes) -> dict[str, Any]:
    """Pixel-RR of very many pairs, which never lie on the card at once.

    They are made there by its own generator, whose time is taken off; what it would take to bring
    them is that of one step, scaled.
    """
    backend, xp, values = card.backend, card.xp, sizes.side * sizes.side * 3
    steps = -(-sizes.streamed // sizes.step)
    drawn = xp.random.RandomState(0)

    def pairs() -> tuple[Any, Any]:
        made = [drawn.randint(0, 256, (sizes.step, values)).astype(np.uint8) for _ in range(2)]
        card.wait()
        return made[0], made[1]

    sums, taken = None, 0.0
    for _ in range(steps):
        X, T = pairs()
        started = time.perf_counter()
        found = backend.pixel_sums(X, T)
        sums = found if sums is None else sums + found
        card.wait()
        taken += time.perf_counter() - started
    started = time.perf_counter()
    backend.solve_ridge(sums, ALPHA)
    card.wait()
    taken += time.perf_counter() - started
    last = backend.to_host(found)
    host = backend.to_host(X), backend.to_host(T)
    exact = get_backend("numpy").pixel_sums(*host)
    equal = all(np.array_equal(a, getattr(last, n)) for n, a in vars(exact).items())
    across = card.seconds(lambda: backend.pixel_sums(*host), 2)
    return {
        "work": f"RR, {steps * sizes.step:,} pairs of {values:,} values, {sizes.step:,} at a time",
        "seconds": taken,
        "bytes read": 2 * steps * sizes.step * values,
        "bytes a second": 2 * steps * sizes.step * values / taken,
        "seconds with transfers, of one step scaled": across * steps,
        "the last step's sums are NumPy's to the bit": equal,
        "seconds on the processor, of one step scaled": {
            name: steps * _best(lambda n=name: get_backend(n).pixel_sums(*host), 2)
            for name in ("numba",)
            if find_spec(name)
        },
    }


def dense(card: Card, sizes: Sizes) -> dict[str, Any]:
    """The paper's N x N systems, one a pixel: the backend's way, and CuPy's batched Cholesky."""
    samples, pixels = sizes.dense
    x, t = (side / 255.0 for side in training_pairs(samples, pixels))
    backend = card.backend
    there = backend.to_device(x), backend.to_device(t)
    rounds = max(1, sizes.rounds // 5)
    taken = card.seconds(lambda: backend.solve_dense(*there, 1.0, ALPHA), rounds)
    few = slice(0, max(4, pixels // 200))
    on_cpu = _best(lambda: card.reference.solve_dense(x[:, few], t[:, few], 1.0, ALPHA), 2)
    return {
        "work": f"KR dense, N = {samples}, {pixels:,} pixels",
        "seconds": taken,
        "multiply-adds a second": dense_work(samples, pixels) / taken,
        "seconds for 128 x 128 x 3": taken * 49_152 / pixels,
        "the processor, scaled": on_cpu * pixels / len(range(*few.indices(pixels))),
        "peak bytes": card.peak(lambda: backend.solve_dense(*there, 1.0, ALPHA)),
        "batched Cholesky": _cholesky(card, *there, rounds),
    }


def _cholesky(card: Card, x: Any, t: Any, rounds: int) -> dict[str, Any]:
    """CuPy's posv on blocks of matrices, which the backend may take if it is faster and as good."""
    if find_spec("cupyx") is None:
        return {"absent": "cupyx is not installed"}
    from cupyx import lapack

    from pixelreg.backends.array import kernel_blocks

    def solved() -> Any:
        result, diagonal = card.xp.empty_like(t), card.xp.arange(len(x))
        for block, kernels in kernel_blocks(card.xp, x, x, 1.0, card.backend.dense_numbers):
            kernels[:, diagonal, diagonal] += ALPHA
            result[:, block] = lapack.posv(kernels, card.xp.ascontiguousarray(t.T[block])).T
        return result

    try:
        taken = card.seconds(solved, rounds)
        ours = card.backend.solve_dense(x, t, 1.0, ALPHA)
        apart = float(card.xp.abs(solved() - ours).max())
    except Exception as error:  # whatever it says belongs in the table
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"seconds": taken, "largest difference": apart}


def crossover(card: Card, sizes: Sizes) -> dict[str, Any]:
    """From how many multiply-adds of dense systems a fit in a new process gains by the card."""
    rows = []
    for samples, pixels in sizes.crossing:
        x, t = (side / 255.0 for side in training_pairs(samples, pixels))
        works = {
            name: lambda b=b, x=x, t=t: b.to_host(b.solve_dense(x, t, 1.0, ALPHA))
            for name, b in (("card", card.backend), ("processor", card.reference))
        }
        taken = {name: card.seconds(work, 1) for name, work in works.items()}
        rows.append({"samples": samples, "pixels": pixels, **taken})
    start = _start()
    rates = {
        name: statistics.median(
            dense_work(row["samples"], row["pixels"]) / row[name] for row in rows
        )
        for name in ("card", "processor")
    }
    gain = 1 / rates["processor"] - 1 / rates["card"]
    return {
        "rows": rows,
        "multiply-adds a second": rates,
        "seconds until the first work is done": start,
        "GPU_WORK of now": GPU_WORK,
        # start + work / card = work / processor
        "GPU_WORK as measured": start / gain if gain > 0 and start is not None else None,
    }


def _start() -> float | None:
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return float(done.stdout) if done.returncode == 0 else None


def _fit_rr(backend: ArrayBackend, X: Any, T: Any) -> tuple[Any, ...]:
    return tuple(backend.solve_ridge(backend.pixel_sums(X, T), ALPHA))


def _fit_kr(sigma: float) -> Any:
    table = level_features(sigma).table
    return lambda backend, X, T: (backend.solve_levels(backend.level_sums(X, T), table, ALPHA),)


def _best(work: Any, rounds: int = 3) -> float:
    """The least of some calls on the processor, after one that compiles."""
    work()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)
