"""Bounded work: so many pictures at once, so many more that wait, and nobody beyond."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from pixelreg.server.limits import Deadline, Limits
from pixelreg.server.refusal import Refusal, busy

Made = TypeVar("Made")


class Gone(Exception):
    """Who asked has gone, and hears no answer."""


class Places:
    """All the places that there are; each is one request's, from before its body is read.

    So no more bodies are in memory than there are places.
    """

    def __init__(self, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(limits.workers, "pixelreg-serve")
        self._workers, self._most = limits.workers, limits.workers + limits.waiting
        self._lock = Lock()
        self._taken, self._seconds = 0, 1.0

    @property
    def taken(self) -> int:
        """How many requests are inside."""
        return self._taken

    def take(self) -> Place:
        """A place for a request, which it must `leave`."""
        with self._lock:
            if self._taken >= self._most:
                raise busy("all places are taken", self.wait())
            self._taken += 1
        return Place(self)

    def wait(self) -> int:
        """About how many seconds it takes until those who are inside have left."""
        return min(60, max(1, math.ceil(self._seconds * self._taken / self._workers)))

    def submit(self, job: Callable[[], Made]) -> Future[Made]:
        """Have a job done by a thread, when one is free."""
        # The pool keeps what was given up until a thread gets there: it must not keep a picture.
        held = [job]

        def timed() -> Made:
            start = time.monotonic()
            try:
                return held.pop()()
            finally:
                self._seconds = time.monotonic() - start

        handle = self._pool.submit(timed)
        handle.add_done_callback(lambda done: held.clear())
        return handle

    def leave(self) -> None:
        """One place is free again."""
        with self._lock:
            self._taken -= 1

    def close(self) -> None:
        """Begin no job any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Place:
    """One request's place. A thread cannot be stopped: it keeps its place until it is done."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held = True

    def leave(self, done: object = None) -> None:
        """Give the place back, unless a job has it."""
        if self._held:
            self._held = False
            self._places.leave()

    async def run(
        self,
        job: Callable[[Deadline], Made],
        deadline: Deadline,
        gone: Callable[[], Awaitable[None]],
    ) -> Made:
        """What a job makes, unless its time runs out, or ``gone`` returns before it is done."""
        self._held = False
        handle = self._places.submit(lambda: job(deadline))
        handle.add_done_callback(lambda done: self._places.leave())
        made, left = asyncio.wrap_future(handle), asyncio.ensure_future(gone())
        try:
            await asyncio.wait(
                (made, left), timeout=deadline.remaining, return_when=asyncio.FIRST_COMPLETED
            )
            if made.done():
                return made.result()
            if left.done():
                raise Gone
            if handle.running():
                raise Refusal(504, "the picture took too long", "send a smaller one")
            raise busy("those before took too long", self._places.wait())
        finally:
            deadline.left.set()
            left.cancel()
            made.cancel()  # takes a job that waits out of the queue, and leaves a running one
