"""What Pillow opens, and what of it has to be known to write it again."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Pixels
from pixelreg.errors import InvalidArrayError

ORIENTATION, XMP = 0x0112, 700
# Tags that say how pixels are laid out: true of the file read, false of the file written. XMP may
# repeat the orientation.
_LAYOUT_TAGS = frozenset(
    {*range(254, 260), 262, 266, 273, ORIENTATION, *range(277, 282), 284, 297, 301, 317, 320}
    | {*range(322, 326), 330, *range(332, 348), *range(512, 533), XMP, 34675}
)
# The turn that makes a picture of each EXIF orientation upright; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises, by format and by tag, when a file's content contradicts itself.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
)
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def alpha_of(image: Image.Image) -> Pixels | None:
    """Opacity from a band of its own, or from a colour that stands for transparency."""
    key = image.info.get("transparency")
    if key is not None and image.mode.startswith("I"):
        return np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
    if key is None and image.mode not in ("LA", "PA", "RGBA"):
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit greys to 8 bits; Pillow's own conversion would clip them.

    Modes I and F do not say what white is: what fits 0..1 (F) or 0..255 is read on that scale.
    """
    sixteen_bit = image.mode.startswith("I;16")
    if image.mode not in ("I", "F") and not sixteen_bit:
        return image
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise InvalidArrayError("the picture holds NaN or infinite values")
    if image.mode == "F" and values.max() <= 1.0:
        values = values * 255.0
    elif sixteen_bit or values.max() > 255:
        values = values / 257.0
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def save_options(opened: Image.Image) -> dict[str, Any]:
    """Pillow's options that keep quality, EXIF and ICC profile on saving."""
    options: dict[str, Any] = {}
    exif = _kept_exif(opened)
    if exif:
        options["exif"] = exif
    profile = opened.info.get("icc_profile")
    if profile and opened.mode != "CMYK":
        options["icc_profile"] = profile
    if opened.format == "JPEG" and opened.mode in ("L", "RGB"):
        from PIL.JpegImagePlugin import get_sampling

        options["qtables"] = getattr(opened, "quantization", None)
        sampling = get_sampling(opened)
        if sampling >= 0:
            options["subsampling"] = sampling
    elif opened.format in ("JPEG", "MPO", "WEBP"):
        options["quality"] = 95
    return options


def turned_upright(opened: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; Pillow's own way fails on damaged EXIF."""
    try:
        orientation = opened.getexif().get(ORIENTATION)
    except DAMAGE:
        return opened
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return opened if turn is None else opened.transpose(turn)


def _kept_exif(opened: Image.Image) -> bytes:
    """EXIF data without what no longer holds once the pixels are upright RGB.

    Damaged EXIF data, which nobody can read, is left out: the pixels are well without it.
    """
    try:
        found = opened.getexif()
        if not found:
            return b""
        kept = Image.Exif()
        kept.load(found.tobytes())  # a copy: the picture may be the caller's own
        for tag in _LAYOUT_TAGS.intersection(kept):
            del kept[tag]
        return kept.tobytes() if kept else b""
    except DAMAGE:
        return b""
