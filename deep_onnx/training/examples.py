"""Pictures to learn from: pairs by target, and every picture once with its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.data.crops import Stack
from pixelreg.models.model import Frame, Provenance


@dataclass(frozen=True, eq=False)
class Examples:
    """Aligned pictures of one size.

    Attributes
    ----------
    source : the expression or domain that translations start from.
    stacks : target -> its pairs; row n of sources and of targets show one person. May be empty.
    pictures : (M, S, S, 3) uint8, every picture once.
    labels : what each picture shows, length M.
    people : who is in each picture, length M.
    frame : where the eyes stand, or None for pictures that are not aligned by faces.
    provenance : the training data, for the models' cards.
    """

    source: str
    stacks: Mapping[str, Stack]
    pictures: Pixels
    labels: tuple[str, ...]
    people: tuple[str, ...]
    frame: Frame | None
    provenance: Provenance

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.pictures.shape[1])

    def only(self, people: frozenset[str]) -> Examples:
        """The pictures of some people."""
        mask = np.array([person in people for person in self.people], dtype=bool)
        keep = np.flatnonzero(mask)
        return Examples(
            self.source,
            {name: stack.select(people) for name, stack in self.stacks.items()},
            self.pictures[mask],
            tuple(self.labels[k] for k in keep),
            tuple(self.people[k] for k in keep),
            self.frame,
            self.provenance,
        )

    def showing(self, label: str) -> Pixels:
        """The pictures with a label, (K, S, S, 3) uint8."""
        return self.pictures[[k for k, shown in enumerate(self.labels) if shown == label]]
