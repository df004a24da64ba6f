"""What a model does to a crop, apart from the crop itself."""

from __future__ import annotations

from dataclasses import dataclass

from pixelreg.arrays import Floats


@dataclass(frozen=True, eq=False)
class Change:
    """What a model does to a crop, at strength 1.

    Attributes
    ----------
    colour : (S, S, 3) float32 on [0, 1], to be added.
    displacement : (S, S, 2) float32 in crop pixels (x, y), how far from each pixel its new colour
        is fetched before ``colour`` is added; None where nothing moves.
    """

    colour: Floats
    displacement: Floats | None = None

    def masked(self, mask: Floats) -> Change:
        """The change times an (S, S) mask in [0, 1]."""
        moved = None if self.displacement is None else self.displacement * mask[..., None]
        return Change(self.colour * mask[..., None], moved)
