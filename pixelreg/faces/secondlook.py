"""Both finders of dense landmarks: the cascade, and FaceMesh where it says to look.

Their mean is nearer to the truth than either, as they err apart; where they are far from each
other it is FaceMesh that has mostly gone astray, and the cascade's answer counts alone. How far
apart they are tells bad answers from good ones better than the cascade's own doubt does:
``docs/landmarks.md`` has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.faces.dense import PARTS, DenseFace
from pixelreg.faces.densecascade import DenseCascade
from pixelreg.faces.facemesh import FaceMeshFinder
from pixelreg.faces.landmarks import Face

# What FaceMesh counts at each part, where both agree. Its mesh has few points at the chin.
SHARES = {"left eye": 0.5, "right eye": 0.5, "mouth": 0.5, "nose": 0.35, "jaw": 0.15}
APART = 0.05  # eye distances between both at which it counts half of that
DOUBT = 0.07  # eye distances between both above which the landmarks should be looked at


@dataclass(frozen=True)
class SecondLook:
    """The mean of what the cascade and FaceMesh find; where they disagree, the cascade's.

    loops : `pixelreg.backends.loops_faces`, which are quicker and give the same bits, or None.
    """

    unsure: ClassVar[float] = DOUBT
    loops: Any = None

    @cached_property
    def cascade(self) -> DenseCascade:
        """The first finder."""
        return DenseCascade(loops=self.loops)

    @cached_property
    def facemesh(self) -> FaceMeshFinder:
        """The second finder."""
        return FaceMeshFinder(loops=self.loops)

    def find(self, pixels: Pixels, face: Face, twice: bool = True) -> DenseFace:
        """See `pixelreg.faces.dense.DenseFinder.find`; a single look is the cascade's."""
        first = self.cascade.find(pixels, face, twice)
        if not twice:
            return first
        step = self.facemesh.look_at(pixels, first.points) - first.points
        unit = float(np.hypot(*(first.points[17] - first.points[0])))
        apart = np.linalg.norm(step, axis=1) / max(unit, 1e-9)
        doubt = float(apart.mean())
        share = np.concatenate([np.full(w.stop - w.start, SHARES[p]) for p, w in PARTS.items()])
        share /= 1 + (doubt / APART) ** 4
        points = first.points + share[:, None] * step
        parts = {part: float(apart[which].mean()) for part, which in PARTS.items()}
        return DenseFace(points, doubt, "cascade and facemesh", parts)
