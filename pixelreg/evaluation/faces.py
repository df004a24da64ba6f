"""What a face shows and whose it is, told without a network: histograms of gradients.

Weak judges, but judges that anybody can make anew from the people who are learnt from: how sure
they are is measured on true pictures of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pixelreg.arrays import Array, Float64, Pixels

CELLS, BINS = 10, 8  # squares each way, and directions of light in each
EYES_AND_NOSE = (0.28, 0.63, 0.22, 0.78)  # top, bottom, left, right, of the canonical crop
LUMA = np.array([0.299, 0.587, 0.114])
PENALTY = 0.3  # of the ridge regression, for each feature; they are alike in size
TINY = 1e-3  # of a gradient; less is noise, and not made larger


def gradients(pictures: Pixels) -> Float64:
    """Where and how bright turns to dark, (N, H, W, 3) uint8 -> (N, CELLS * CELLS * BINS).

    After Dalal and Triggs 2005: strengths of gradients by direction in squares, each square over
    the root of the mean square of those around it.
    """
    grey, cells = pictures[..., :3] @ LUMA / 255, min(CELLS, *pictures.shape[1:3])
    down, right = np.gradient(grey, axis=(1, 2))
    place = np.arctan2(down, right) % (2 * np.pi) * (BINS / (2 * np.pi))
    low, strength = np.floor(place).astype(int) % BINS, np.hypot(down, right)
    share = place - np.floor(place)
    made = np.zeros((*grey.shape, BINS))
    for bin_, part in ((low, 1 - share), ((low + 1) % BINS, share)):
        made += (bin_[..., None] == np.arange(BINS)) * (strength * part)[..., None]
    squares = _in_squares(made, cells)
    around = np.pad((squares**2).sum(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    near = [around[:, i : i + cells, j : j + cells] for i in range(3) for j in range(3)]
    scale = np.sqrt(np.mean(near, axis=0) + TINY**2)
    return (squares / scale[..., None]).reshape(len(pictures), -1)


class Expressions:
    """Names the expression of a face: ridge regression from `gradients` to one number a name.

    pictures : (N, H, W, 3) uint8, what to learn from; labels : what each shows.
    """

    def __init__(self, pictures: Pixels, labels: Sequence[str]) -> None:
        known = gradients(pictures)
        self.names = tuple(dict.fromkeys(labels))
        self.mean, self.spread = known.mean(axis=0), known.std(axis=0) + TINY
        unit = (known - self.mean) / self.spread
        wanted = (np.array(labels)[:, None] == np.array(self.names)).astype(float)
        self.level = wanted.mean(axis=0)
        gram = unit @ unit.T + PENALTY * unit.shape[1] * np.eye(len(unit))
        self.weights: Float64 = unit.T @ np.linalg.solve(gram, wanted - self.level)

    def named(self, pictures: Pixels) -> list[str]:
        """What each of (N, H, W, 3) pictures shows."""
        unit = (gradients(pictures) - self.mean) / self.spread
        told: Array = unit @ self.weights + self.level
        return [self.names[place] for place in told.argmax(axis=1)]


def recognised(made: Pixels, known: Pixels) -> Array:
    """Whether picture n of ``made`` is nearest to picture n of ``known`` around eyes and nose.

    (N, H, W, 3) uint8 each, aligned by the eyes, a person a row; (N,) bool.
    """
    one, other = (gradients(_part(pictures)) for pictures in (made, known))
    apart = ((one[:, None] - other[None]) ** 2).sum(axis=-1)
    return apart.argmin(axis=1) == np.arange(len(made))


def _in_squares(values: Float64, cells: int) -> Float64:
    """Means over squares, (N, H, W, B) -> (N, cells, cells, B)."""
    for axis in (1, 2):
        edges = np.linspace(0, values.shape[axis], cells + 1).astype(int)
        parts = [values.take(range(*pair), axis) for pair in pairwise(edges)]
        values = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    return values


def _part(pictures: Pixels) -> Pixels:
    height, width = pictures.shape[1:3]
    top, bottom, left, right = EYES_AND_NOSE
    rows = slice(round(top * height), round(bottom * height))
    return pictures[:, rows, round(left * width) : round(right * width)]
