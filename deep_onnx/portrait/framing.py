"""How much of a photograph a portrait shows."""

from __future__ import annotations

from pixelreg.models.model import Frame

# Hair belongs to a portrait, so the frame is wider than the one in which expressions are learnt.
# These eyes stand about where those of CelebA-HQ do, so that windows of the sizes that Mask-Guided
# Portrait Editing gives for 256 x 256 hold an eye with its lids and a laughing mouth; on the
# London set heads fit with their hair, only the highest crests are cut.
PORTRAIT_FRAME = Frame((0.38, 0.49), (0.62, 0.49))
