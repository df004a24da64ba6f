"""A graphics card that is measured through CuPy: what it is, how fast it copies and computes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from pixelreg.backends import get_backend
from pixelreg.backends.array import ArrayBackend


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    copied : bytes of a copy; rounds : of what is timed; shapes : of pictures that are changed.
    pairs, streamed, step : pairs of a fit; of a large one, and how many of them lie on the card.
    side : of the crops that are learnt from; dense : samples and pixels of dense systems.
    crossing : the same where the processor and the card are held against each other.
    """

    copied: int = 1_000_000_000
    rounds: int = 15
    shapes: tuple[tuple[int, int], ...] = ((128, 128), (512, 512), (720, 1280), (2160, 3840))
    pairs: int = 400
    streamed: int = 100_000
    step: int = 5_000
    side: int = 128
    dense: tuple[int, int] = (400, 4096)
    crossing: tuple[tuple[int, int], ...] = (
        *((20, 3072), (60, 3072), (60, 12_288), (200, 3072), (400, 768), (400, 3072)),
    )


FULL = Sizes()
# For a machine without a card: every line of the code, and nothing of its speed.
QUICK = Sizes(
    copied=100_000,
    rounds=2,
    shapes=((8, 8), (6, 10)),
    pairs=6,
    streamed=24,
    step=8,
    side=8,
    dense=(5, 12),
    crossing=((3, 12), (6, 12)),
)


class WithoutScipy(ArrayBackend):
    """The mathematics that all backends share, where LAPACK's Cholesky is not at hand."""

    name = "numpy"
    xp: Any = np


class Card:
    """The card that CuPy computes on, and the NumPy backend as the reference."""

    def __init__(self) -> None:
        self.backend: ArrayBackend = get_backend("cupy")
        there = find_spec("scipy") is not None
        self.reference: ArrayBackend = get_backend("numpy") if there else WithoutScipy()
        self.xp = self.backend.xp

    def wait(self) -> None:
        """Wait until all that was asked for is done."""
        self.xp.cuda.Device().synchronize()

    def seconds(self, work: Callable[[], Any], rounds: int) -> float:
        """The median of some calls, each waited for, after one that is not timed."""
        work()
        self.wait()
        taken = []
        for _ in range(rounds):
            started = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    def peak(self, work: Callable[[], Any]) -> int:
        """Bytes that CuPy's pool takes from the card for a call, beside what is there."""
        pool = self.xp.get_default_memory_pool()
        pool.free_all_blocks()
        before = pool.total_bytes()
        work()
        self.wait()
        return int(pool.total_bytes() - before)

    def facts(self) -> dict[str, Any]:
        """Name, memory, driver and CUDA of the card."""
        runtime = self.xp.cuda.runtime
        properties = runtime.getDeviceProperties(0)
        name = properties["name"]
        return {
            "card": name.decode() if isinstance(name, bytes) else str(name),
            "memory": int(properties["totalGlobalMem"]),
            "driver": int(runtime.driverGetVersion()),
            "cuda": int(runtime.runtimeGetVersion()),
            "cupy": str(self.xp.__version__),
        }

    def bandwidths(self, sizes: Sizes) -> dict[str, float]:
        """Bytes a second: copies on the card, read and written both counted; and to and fro."""
        xp = self.xp
        there, here = xp.ones(sizes.copied, np.uint8), np.ones(sizes.copied, np.uint8)
        target = xp.empty_like(there)
        works = {
            "card": (2, lambda: xp.copyto(target, there)),
            "to the card": (1, lambda: xp.asarray(here)),
            "from the card": (1, lambda: xp.asnumpy(there)),
        }
        return {
            name: times * sizes.copied / self.seconds(work, sizes.rounds)
            for name, (times, work) in works.items()
        }
