"""What Pillow opens, and what of it has to be known to write it again."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Pixels

ORIENTATION, XMP, PHOTOSHOP = 0x0112, 700, 34377
_WIDTH, _HEIGHT, _SWAPPING = 0xA002, 0xA003, (5, 6, 7, 8)
DETAILS, _MAKER_NOTE, _JPEG_START = 0x8769, 0x927C, b"\xff\xd8\xff"
# Tags that say how pixels are laid out: true of the file read, false of the file written. XMP may
# repeat the orientation.
_LAYOUT_TAGS = frozenset(
    {*range(254, 260), 262, 266, 273, ORIENTATION, *range(277, 282), 284, 297, 301, 317, 320}
    | {*range(322, 326), 330, *range(332, 348), *range(512, 533), XMP, 34675}
    # Photoshop's resources, a thumbnail among them, and its layers.
    | {PHOTOSHOP, 37724}
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
_LOSSLESS_TIFF = frozenset(
    {"raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "lzma", "zstd"}
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


def written_as(opened: Image.Image, content: bytes | None) -> dict[str, Any]:
    """Pillow's options that write a file as this one was written: its quality, and how it packs."""
    info = opened.info
    if opened.format in ("JPEG", "MPO"):
        options: dict[str, Any] = {"progressive": True} if info.get("progressive") else {}
        if opened.mode not in ("L", "RGB"):
            return {**options, "quality": 95}
        from PIL.JpegImagePlugin import get_sampling

        sampling = get_sampling(opened)
        # One that Pillow has no number for is not made coarser.
        options["subsampling"] = max(sampling, 0)
        return {**options, "qtables": getattr(opened, "quantization", None)}
    if opened.format == "WEBP":
        lossless = content is not None and _is_lossless_webp(content)
        return {"lossless": True, "exact": True} if lossless else {"quality": 95}
    if opened.format == "TIFF":
        packing = info.get("compression")
        return {"compression": packing if packing in _LOSSLESS_TIFF else "tiff_adobe_deflate"}
    return {}


def _is_lossless_webp(content: bytes) -> bool:
    """By the first chunk of pixels of the file, or of its first frame."""
    place = 12
    while place + 8 <= len(content):
        name, length = content[place : place + 4], content[place + 4 : place + 8]
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # A frame has 16 bytes of its own before its chunks.
        place += 24 if name == b"ANMF" else 8 + (int.from_bytes(length, "little") + 1) // 2 * 2
    return False


def paletted(image: Image.Image) -> Image.Image:
    """RGB or RGBA with the 256 colours that suit it best, as GIF has them.

    Opacity under one half becomes transparency. Colours stay as they are where they are no more.
    """
    if "A" not in image.getbands():
        return image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT)
    clear = np.asarray(image.getchannel("A")) < 128
    colours = np.array(image.convert("RGB"))
    colours[clear] = colours[~clear][:1] if not clear.all() else 0  # no colour of the 255 for it
    made = Image.fromarray(colours).quantize(255, Image.Quantize.MEDIANCUT)
    places = np.array(made)
    places[clear] = 255
    palette = (made.getpalette() or [])[: 255 * 3]
    result = Image.frombytes("P", image.size, places.tobytes())
    result.putpalette([*palette, *[0] * (768 - len(palette))])
    result.info["transparency"] = 255
    return result


def turn_of(opened: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright, by its EXIF orientation; damaged EXIF says nothing."""
    try:
        orientation = opened.getexif().get(ORIENTATION)
    except DAMAGE:
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def turned(values: Array, turn: Image.Transpose | None) -> Array:
    """(H, W, ...) turned as Pillow turns images."""
    if turn is None:
        return values
    way = Image.Transpose
    if turn in (way.TRANSPOSE, way.TRANSVERSE):
        values = values.swapaxes(0, 1)
    if turn in (way.ROTATE_90, way.ROTATE_270):
        return np.rot90(values, 1 if turn == way.ROTATE_90 else -1)
    if turn in (way.FLIP_LEFT_RIGHT, way.ROTATE_180, way.TRANSVERSE):
        values = values[:, ::-1]
    return values[::-1] if turn in (way.FLIP_TOP_BOTTOM, way.ROTATE_180, way.TRANSVERSE) else values


def kept_exif(opened: Image.Image) -> bytes:
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
        details = kept.get_ifd(DETAILS) if DETAILS in kept else {}
        if _JPEG_START in bytes(details.get(_MAKER_NOTE) or b""):
            del details[_MAKER_NOTE]  # the maker keeps a small copy of the picture in it
        if found.get(ORIENTATION) in _SWAPPING and {_WIDTH, _HEIGHT} <= set(details):
            details[_WIDTH], details[_HEIGHT] = details[_HEIGHT], details[_WIDTH]
        return kept.tobytes() if kept else b""
    except DAMAGE:
        return b""
