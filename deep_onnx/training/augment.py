"""Random mirrors and shifts of training pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pixelreg.arrays import Pixels
from pixelreg.errors import InvalidArrayError

SHARE = 16  # a shift is at most this part of the side


def augment(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Mirror and shift pictures at random, those that belong together alike.

    Picture b of every stack is mirrored with probability 1/2, and moved by up to S // 16 pixels
    each way; its edge is repeated outside. The random numbers are drawn from torch's global
    generator, which the training loop seeds at every step.

    Parameters
    ----------
    pictures : stacks of one shape (B, S, S, 3) uint8.

    Returns
    -------
    New stacks of the same shapes.
    """
    shapes = {stack.shape for stack in pictures}
    if len(shapes) != 1 or any(len(shape) != 4 for shape in shapes):
        raise InvalidArrayError(
            f"pictures to augment must be stacks of one shape, not {sorted(shapes)}"
        )
    count, height, width, _ = shapes.pop()
    mirrored = torch.randint(2, (count,)).tolist()
    moves = [
        torch.randint(-(side // SHARE), side // SHARE + 1, (count,)) for side in (height, width)
    ]
    rows, columns = (
        np.clip(np.arange(side) - move.numpy()[:, None], 0, side - 1)
        for side, move in zip((height, width), moves, strict=True)
    )
    for b in range(count):
        if mirrored[b]:
            columns[b] = columns[b][::-1]
    places = np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    return [stack[places] for stack in pictures]


def _moved(count: int, side: int) -> NDArray[np.int64]:
    """(count, side): where each picture's rows, or columns, are taken from."""
    most = side // SHARE
    moves = torch.randint(-most, most + 1, (count, 1)).numpy()
    places: NDArray[np.int64] = np.clip(np.arange(side) - moves, 0, side - 1)
    return places
