"""The eleven labels of a portrait's mask, their colours, and palette PNG in and out.

A mask is an (H, W) uint8 array of the labels of Table 3.1 of Conditional GAN based Mask Guided
Portrait Editing. Left and right are those of the picture, not of the person. Ears are skin; neck,
clothes and hats are background.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Pixels
from pixelreg.errors import ImageError, InvalidArrayError
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, read_file

COLOURS = {
    "background": (0, 0, 0),
    "skin": (255, 204, 153),
    "left-eyebrow": (102, 51, 0),
    "right-eyebrow": (153, 102, 0),
    "left-eye": (0, 102, 255),
    "right-eye": (0, 204, 255),
    "nose": (255, 153, 51),
    "upper-lip": (204, 0, 51),
    "mouth": (255, 255, 255),
    "lower-lip": (255, 102, 153),
    "hair": (153, 51, 204),
}
LABELS, PALETTE = tuple(COLOURS), tuple(COLOURS.values())
# §3.2.2: lips and mouth make the mouth component; nose and eyebrows belong to the skin's.
COMPONENTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "left-eye": (4,),
        "right-eye": (5,),
        "mouth": (7, 8, 9),
        "skin": (1, 2, 3, 6),
        "hair": (10,),
    }
)
_MIRRORED = (0, 1, 3, 2, 5, 4, 6, 7, 8, 9, 10)


def check_masks(masks: Array) -> Pixels:
    """``masks`` as uint8 after checking that they hold labels.

    masks : (..., H, W), whole numbers from 0 to 10.
    """
    masks = np.asarray(masks)
    if masks.ndim < 2 or masks.size == 0 or masks.dtype.kind not in "iu":
        raise InvalidArrayError(
            f"a mask must be an (H, W) array of whole numbers, not {masks.shape} {masks.dtype}"
        )
    low, high = int(masks.min()), int(masks.max())
    if low < 0 or high >= len(LABELS):
        raise InvalidArrayError(
            f"a mask holds the labels 0 to {len(LABELS) - 1}; this one has {low} to {high}"
        )
    return masks.astype(np.uint8, copy=False)


def painted(masks: Array) -> Pixels:
    """Masks (..., H, W) in the palette's colours: (..., H, W, 3) uint8."""
    return np.array(PALETTE, np.uint8)[check_masks(masks)]


def mirrored(masks: Array) -> Pixels:
    """Masks (..., H, W) mirrored left to right; left parts become right ones."""
    return np.array(_MIRRORED, np.uint8)[check_masks(masks)[..., ::-1]]


def write_mask(path: Path, mask: Array) -> None:
    """Write a mask (H, W) as an indexed PNG whose index is the label, whole or not at all."""
    mask = check_masks(mask)
    if mask.ndim != 2:
        raise InvalidArrayError(f"one mask is (H, W), not {mask.shape}")
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette([value for colour in PALETTE for value in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())


def read_mask(path: Path) -> Pixels:
    """Read a mask from a picture painted in exactly the palette's colours.

    Any picture with these colours will do, indexed in whatever order or not; a picture without
    colour is read as label numbers. Soft brushes and JPEG make colours in between: switch
    smoothing off, and save as PNG.

    Returns: (H, W) uint8 labels.
    """
    picture = read_file(path)
    if picture.alpha is not None and (picture.alpha < 255).any():
        count = int((picture.alpha < 255).sum())
        raise ImageError(f"{path} is transparent in {count} pixels; a mask has a label everywhere")
    # A mask's colours are names: they stand as they are stored, whatever a profile makes of them.
    as_stored = picture.values if picture.stored is None else picture.stored.values
    if as_stored.dtype == np.uint8 and not picture.grey:
        picture = picture.with_pixels(np.ascontiguousarray(as_stored[..., :3]))
    return _labels_of_numbers(path, picture) if picture.grey else _labels_of_colours(path, picture)


def _labels_of_numbers(path: Path, picture: Picture) -> Pixels:
    numbers = np.ascontiguousarray(picture.pixels[..., 0])
    strange = numbers >= len(LABELS)
    if strange.any():
        raise ImageError(
            f"{path} has no colours, and the number {int(numbers[strange][0])} "
            f"{_place(strange)}; labels are 0 to {len(LABELS) - 1}"
        )
    return numbers


def _labels_of_colours(path: Path, picture: Picture) -> Pixels:
    codes = _codes(picture.pixels)
    known = _codes(np.array(PALETTE, np.uint8))
    order = np.argsort(known)
    found = np.clip(np.searchsorted(known[order], codes), 0, len(order) - 1)
    labels = order[found]
    strange = known[labels] != codes
    if strange.any():
        colour = picture.pixels[strange][0].astype(int)
        away = ((np.array(PALETTE) - colour) ** 2).sum(axis=1)
        near = int(away.argmin())
        raise ImageError(
            f"{path} has the colour {_written(colour)} {_place(strange)}, which is no label's; "
            f"the nearest is {LABELS[near]}, {_written(np.array(PALETTE[near]))}"
        )
    return labels.astype(np.uint8)


def _codes(colours: Pixels) -> Array:
    return np.asarray(colours.astype(np.int64) @ np.array([65536, 256, 1]))


def _written(colour: Array) -> str:
    return "(" + ", ".join(str(int(value)) for value in colour) + ")"


def _place(strange: Array) -> str:
    row, column = np.argwhere(strange)[0]
    count = int(strange.sum())
    more = f" and in {count - 1} more pixels" if count > 1 else ""
    return f"at column {column}, row {row}{more}"
