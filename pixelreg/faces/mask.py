"""Where the face is in the canonical frame."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Floats

# Centre, radii and fade of the face's ellipse, as fractions of the crop.
CENTRE = (0.5, 0.5)
RADII = (0.42, 0.50)
FEATHER = 0.12


def face_mask(size: int, radii: tuple[float, float] = RADII, feather: float = FEATHER) -> Floats:
    """An ellipse that is 1 inside and falls smoothly to 0 at its border.

    Parameters
    ----------
    size : side of the crop in pixels.
    radii : horizontal and vertical, as fractions of the crop.
    feather : width of the fall, as a fraction of the crop.

    Returns
    -------
    (size, size) float32 in [0, 1].
    """
    centres = (np.arange(size) + 0.5) / size
    x = (centres[None, :] - CENTRE[0]) / radii[0]
    y = (centres[:, None] - CENTRE[1]) / radii[1]
    inside = np.clip((1.0 - np.hypot(x, y)) * min(radii) / feather, 0.0, 1.0)
    smooth: Floats = (inside * inside * (3.0 - 2.0 * inside)).astype(np.float32)
    return smooth
