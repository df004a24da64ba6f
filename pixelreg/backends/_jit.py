"""Compiling loops with Numba, and spreading them over threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` compiled on its first call, kept on disk for the next process.

    Loops release Python's lock, so that plain threads run them side by side: Numba's own threads
    need a library that bears calls from several threads at once, which is not there everywhere.
    Rounding may differ in the last bit from what was written, since products are summed in
    whatever order is quickest.
    """
    return _compiled(function, set(FAST))


def compiled_in_order(function: F) -> F:
    """`compiled`, but with sums taken in the order written: quicker where they are short."""
    return _compiled(function, False)


def _compiled(function: F, fastmath: Any) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        loop = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the compiled code can be written to
        return cast(F, numba.njit(**options)(function))
    if hasattr(loop, "_cache"):
        loop._cache = _Forgiving(loop._cache)
    return cast(F, loop)


class _Forgiving:
    """Numba's cache of a function, whose failures only cost the time to compile again.

    A full disk or a damaged file would end the run otherwise.
    """

    def __init__(self, cache: Any) -> None:
        self._inner = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load_overload(self, *args: Any) -> Any:
        """The compiled code, or None where there is none that can be read."""
        try:
            return self._inner.load_overload(*args)
        except Exception:
            return None

    def save_overload(self, *args: Any) -> None:
        """Keep the compiled code if that is possible."""
        with suppress(Exception):
            self._inner.save_overload(*args)


# All but nnan and ninf: what is not finite must stay so, to be noticed.
FAST = ("nsz", "arcp", "contract", "afn", "reassoc")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[..., Any], items: int, threads: int, *args: Any, multiple: int = 1
) -> None:
    """``work(first, last, *args)`` for ranges that cover 0 to ``items``, one a thread.

    Ranges begin at multiples of ``multiple``.
    """
    if threads == 1:
        work(0, items, *args)
        return
    parts = max(1, min(threads, items // multiple))
    edges = [*(items * k // parts // multiple * multiple for k in range(parts)), items]
    with ThreadPoolExecutor(max(1, parts - 1)) as pool:
        others = [pool.submit(work, first, last, *args) for first, last in pairwise(edges[1:])]
        work(edges[0], edges[1], *args)
        for other in others:
            other.result()
