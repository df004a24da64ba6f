"""Portraits with masks to learn from: a folder of ``pixelreg data masks``, or CelebAMask-HQ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deep_onnx.portrait.folders import PORTRAIT_FRAME, is_celebamask, load_portraits
from deep_onnx.portrait.labels import mirrored
from deep_onnx.portrait.windows import Centres, clamp_centres, grown
from deep_onnx.training.data import Examples, Loaded
from deep_onnx.training.tools import to_tensor
from pixelreg import __version__
from pixelreg.arrays import Pixels
from pixelreg.errors import DataError
from pixelreg.models.model import Provenance, made_on

LABEL = "portrait"
SHARE = 16  # a shift is at most this part of the side
CELEBAMASK = "CelebAMask-HQ", "non-commercial research and education only"


@dataclass(frozen=True, eq=False)
class PortraitExamples(Examples):
    """Portraits, each with its mask.

    masks : (M, S, S) uint8 labels.
    centres : (M, 6) int64, see `deep_onnx.portrait.windows`.
    """

    masks: Pixels
    centres: Centres

    def only(self, people: frozenset[str]) -> PortraitExamples:
        """The portraits of some people."""
        return self.at([k for k, person in enumerate(self.people) if person in people])

    def at(self, numbers: Sequence[int]) -> PortraitExamples:
        """The portraits with some numbers."""
        keep = list(numbers)
        return replace(
            self,
            pictures=self.pictures[keep],
            labels=tuple(self.labels[k] for k in keep),
            people=tuple(self.people[k] for k in keep),
            masks=self.masks[keep],
            centres=self.centres[keep],
        )


def load_portrait_examples(
    root: Path, size: int, progress: Callable[[int, int], None] | None = None
) -> Loaded:
    """Read a folder of portraits with masks.

    root : see `deep_onnx.portrait.folders.load_portraits`.
    size : side of the portraits in pixels.
    progress : called with (done, total).
    """
    stack = load_portraits(root, size, progress)
    title, licence = CELEBAMASK if is_celebamask(root) else (root.resolve().name, "")
    provenance = Provenance(
        training_set=title,
        people=len(set(stack.people)),
        pairs=len(stack.names),
        licence=licence,
        pixelreg_version=__version__,
        date=made_on(),
    )
    examples = PortraitExamples(
        LABEL,
        {},
        stack.images,
        (LABEL,) * len(stack.names),
        stack.people,
        PORTRAIT_FRAME,
        provenance,
        stack.masks,
        stack.centres,
    )
    return Loaded(examples, stack.problems)


def augmented(pictures: Pixels, masks: Pixels, centres: Centres) -> tuple[Pixels, Pixels, Centres]:
    """Mirror and shift portraits at random, with their masks and windows.

    Each is mirrored with probability 1/2 and moved by up to S // 16 pixels each way; its edge is
    repeated outside. The random numbers are drawn from torch's global generator.

    pictures, masks, centres : (B, S, S, 3), (B, S, S) and (B, 6).

    Returns: New arrays of the same shapes; the centres are clamped.
    """
    count, size = masks.shape[:2]
    most = size // SHARE
    flips = torch.randint(2, (count,)).tolist()
    moves = torch.randint(-most, most + 1, (count, 2)).tolist()
    made = np.empty_like(pictures), np.empty_like(masks), np.empty_like(centres)
    for k, (flip, (across, down)) in enumerate(zip(flips, moves, strict=True)):
        picture, mask, centre = pictures[k], masks[k], centres[k]
        if flip:
            picture, mask = picture[:, ::-1], mirrored(mask)
            x, y = size - centre[0::2], centre[1::2]
            centre = np.array([x[1], y[1], x[0], y[0], x[2], y[2]])
        rows, columns = (np.clip(np.arange(size) - by, 0, size - 1) for by in (down, across))
        made[0][k], made[1][k] = (each[rows[:, None], columns] for each in (picture, mask))
        made[2][k] = centre + np.array([across, down] * 3)
    return made[0], made[1], clamp_centres(made[2], size)


class Batch(NamedTuple):
    """Portraits (N, 3, S, S), masks (N, S, S), the same grown, and centres (N, 6)."""

    pictures: Tensor
    masks: Tensor
    grown: Tensor
    centres: Tensor

    def rolled(self) -> Batch:
        """The same portraits, each in another's place."""
        return Batch(*(each.roll(1, 0) for each in self))


def batch_of(
    pictures: Pixels, masks: Pixels, centres: Centres, device: torch.device | str = "cpu"
) -> Batch:
    """Portraits (N, S, S, 3), their masks (N, S, S) and centres (N, 6) as tensors."""
    larger = np.stack([grown(mask) for mask in masks])
    return Batch(
        to_tensor(pictures).to(device),
        torch.from_numpy(masks.astype(np.int64)).to(device),
        torch.from_numpy(larger.astype(np.int64)).to(device),
        torch.from_numpy(centres).to(device),
    )


def portraits_of(examples: Examples) -> PortraitExamples:
    """Examples that are portraits with masks."""
    if not isinstance(examples, PortraitExamples):
        raise DataError(
            "portraits are learnt with their masks; make them with: pixelreg data masks DIR OUT"
        )
    return examples


def first(examples: PortraitExamples, count: int) -> PortraitExamples:
    """The first so many portraits."""
    return examples.at(range(min(count, len(examples.pictures))))
