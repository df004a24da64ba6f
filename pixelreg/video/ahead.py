"""Stages of a pipeline in threads of their own, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
PATIENCE = 0.05  # seconds after which a waiting thread looks whether it is still wanted


@dataclass(frozen=True)
class _End:
    """The last thing that a stage hands on: how it ended."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None], depth: int) -> Generator[Item, None, None]:
    """Run a generator in a thread, at most ``depth`` items ahead of whoever takes them.

    An error of the generator is raised where its next item would have come. Closing the result
    closes the generator, in its own thread, and waits for that.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(item: Any) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put(item, timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    if not put(item):
                        return
        except BaseException as error:  # handed on to the thread that takes the items
            put(_End(error))
        else:
            put(_End())

    thread = threading.Thread(target=work, name="pixelreg-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                break
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join()
