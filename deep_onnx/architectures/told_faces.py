"""Faces with parameters, and the ways from one to another that a generator learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deep_onnx.architectures.pair_parameters import PairParameters
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import augment
from pixelreg.arrays import Pixels
from pixelreg.errors import DataError


@dataclass(frozen=True, eq=False)
class ToldFaces:
    """The faces of all pairs, and which of one person lead to one another.

    faces : (2 N, S, S, 3) uint8, the N sources, then the N targets.
    labels : what each target shows, length N.
    ways : (from, to), rows of ``faces``: all pairs there, all pairs back, and between the targets
        of a person where there are several.
    """

    faces: Pixels
    labels: tuple[str, ...]
    ways: tuple[tuple[int, int], ...]

    @property
    def sources(self) -> Pixels:
        """(N, S, S, 3), views."""
        return self.faces[: len(self.labels)]

    @property
    def targets(self) -> Pixels:
        """(N, S, S, 3), views."""
        return self.faces[len(self.labels) :]

    def draw(
        self, items: Sequence[int], parameters: PairParameters, changed: bool
    ) -> tuple[Pixels, Pixels, Tensor, Tensor]:
        """Faces, what they are to become, p of the latter, p of the former.

        ``changed`` mirrors and shifts the faces at random. A mirrored face has other parameters;
        what tells whether it was mirrored is a ramp that goes through the same change.
        """
        before, after = map(list, zip(*(self.ways[item] for item in items), strict=True))
        stacks = [self.faces[before], self.faces[after]]
        turned = torch.zeros(len(before), 1, dtype=torch.bool)
        if changed:
            side = self.faces.shape[2]
            ramp = np.linspace(0, 255, side).astype(np.uint8)[:, None]
            *stacks, ramps = augment([*stacks, np.broadcast_to(ramp, stacks[0].shape)])
            turned = torch.from_numpy(ramps[:, :1, 0, 0] > ramps[:, :1, -1, 0])
        shown, wanted = (
            torch.where(turned, told(parameters.mirrored, rows), told(parameters.own, rows))
            for rows in (before, after)
        )
        return stacks[0], stacks[1], wanted, shown


def told(p: Tensor, rows: Sequence[int]) -> Tensor:
    """Parameters of faces: of sources 0, of targets ``p``, (N, k)."""
    return torch.cat([torch.zeros_like(p), p])[list(rows)]


def told_faces(examples: Examples, across: bool) -> ToldFaces:
    """The pairs of all targets; ``across`` leads from one target of a person to others as well."""
    stacks = {name: stack for name, stack in examples.stacks.items() if len(stack.sources)}
    if not stacks:
        raise DataError("OCNN learns from pairs, and there are none")
    labels = tuple(name for name, stack in stacks.items() for _ in stack.sources)
    people = [person for stack in stacks.values() for person in stack.people]
    sides = [[getattr(stack, side) for stack in stacks.values()] for side in ("sources", "targets")]
    count = len(labels)
    ways = [(row, count + row) for row in range(count)]
    ways += [(to, start) for start, to in ways]
    if across:
        ways += [
            (count + a, count + b)
            for a in range(count)
            for b in range(count)
            if people[a] == people[b] and labels[a] != labels[b]
        ]
    faces = np.concatenate([*sides[0], *sides[1]])
    return ToldFaces(faces, labels, tuple(ways))
