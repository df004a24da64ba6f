"""Pictures of masks: laid over their portrait, and side by side with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deep_onnx.portrait.labels import painted
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import InvalidArrayError
from pixelreg.pictures.sheet import contact_sheet

OPACITY = 0.5


def overlay(image: Pixels, mask: Array, opacity: float = OPACITY) -> Pixels:
    """A mask's colours laid over its picture.

    Parameters
    ----------
    image : (H, W, 3) uint8.
    mask : (H, W) labels.
    opacity : of the colours, in [0, 1].

    Returns
    -------
    (H, W, 3) uint8.
    """
    colours = painted(mask)
    if image.shape != colours.shape:
        raise InvalidArrayError(
            f"a mask of {colours.shape[:2]} does not fit a picture of {image.shape}"
        )
    if not 0.0 <= opacity <= 1.0:
        raise InvalidArrayError(f"opacity must be in [0, 1], not {opacity}")
    mixed = (1.0 - opacity) * image + opacity * colours
    return np.rint(mixed).astype(np.uint8)


def mask_sheet(
    images: Sequence[Pixels] | Pixels,
    masks: Sequence[Array] | Array,
    names: Sequence[str] = (),
    cell: int | None = None,
) -> Pixels:
    """Portraits in rows: the picture, its mask in the palette's colours, and both together.

    Parameters
    ----------
    images : N pictures (S, S, 3) uint8.
    masks : their masks, (S, S) labels each.
    names : a label for every row, or none at all.
    cell : side of a cell in pixels, or None for the first picture's.

    Returns
    -------
    (H, W, 3) uint8.
    """
    if len(images) != len(masks):
        raise InvalidArrayError(f"{len(images)} pictures with {len(masks)} masks make no sheet")
    pairs = list(zip(images, masks, strict=True))
    columns = [
        ("portrait", [image for image, _ in pairs]),
        ("mask", [painted(mask) for _, mask in pairs]),
        ("both", [overlay(image, mask) for image, mask in pairs]),
    ]
    return contact_sheet(columns, names, cell)
