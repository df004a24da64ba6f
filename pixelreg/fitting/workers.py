"""Pools of workers on this machine: results in order, few of them in flight, a quick stop."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from pixelreg.backends import FIND_WORK, load_for
from pixelreg.errors import PixelregError

T = TypeVar("T")

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


@contextmanager
def pool(workers: int, processes: bool, photos: int = 0) -> Iterator[Executor]:
    """Worker processes, or threads for work that is over before processes have started.

    photos : how many each is to look for faces in.

    Processes end with this one, even where it is killed, and on Ctrl-C at once.
    """
    if not processes:
        executor: Executor = ThreadPoolExecutor(workers)
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        return
    import multiprocessing

    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with _single_threaded():
        executor = ProcessPoolExecutor(workers, context, _start_worker, (photos,))
        with sigint_blocked():
            for _ in range(workers):
                executor.submit(os.getpid)
        try:
            yield executor
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            # Who reads a message that ended half-way waits as long as anyone could write the rest.
            executor._result_queue._writer.close()  # type: ignore[attr-defined]
            if isinstance(error, BrokenProcessPool):
                raise PixelregError(
                    "a worker process died, most likely for lack of memory; "
                    "close other programs or use a smaller --size"
                ) from error
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def in_order(
    executor: Executor, function: Callable[..., T], calls: Iterable[tuple[Any, ...]], window: int
) -> Iterator[T]:
    """The results of ``function(*call)`` in the order of the calls, ``window`` in flight."""
    running: deque[Future[T]] = deque()
    for call in calls:
        running.append(executor.submit(function, *call))
        if len(running) >= window:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, which goes to the whole group."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # the first process would start it, and it would unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let processes that start meanwhile compute with one thread each: there is one a core."""
    added = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _start_worker(photos: int) -> None:
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the pool ends them
    parent = parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    load_for(photos, FIND_WORK)
