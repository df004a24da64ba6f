"""Doing the same to many files, several at a time; a bad one is told, not fatal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pixelreg.errors import PixelregError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int = 2
) -> Iterator[tuple[Item, Result | PixelregError]]:
    """Every item with what ``work`` made of it, or the error that it raised, in order.

    Parameters
    ----------
    work : called in threads; its `PixelregError` is given back, any other ends everything.
    workers : threads; at most twice as many results wait to be taken.
    """

    def tried(item: Item) -> Result | PixelregError:
        try:
            return work(item)
        except PixelregError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=workers)
    waiting = [pool.submit(tried, item) for item in items[: 2 * workers]]
    try:
        for index, item in enumerate(items):
            done = waiting.pop(0).result()
            if index + 2 * workers < len(items):
                waiting.append(pool.submit(tried, items[index + 2 * workers]))
            yield item, done
    finally:
        # An interrupt must not wait for hundreds of pictures.
        pool.shutdown(wait=True, cancel_futures=True)
