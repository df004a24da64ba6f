"""Pictures of more than 8 bits a channel, which Pillow reads and writes for greys alone.

Pillow can unpack either byte of a 16-bit colour, so that such a picture is decoded twice and put
together. PNG is written by giving Pillow's file of one pixel, which holds all that is told of the
picture, other pixels; TIFF by Pillow's own writer of tags. So neither needs another package.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array
from pixelreg.errors import ImageError, InvalidArrayError
from pixelreg.pictures.opening import DEEP_SHARE, MOST_PIXELS, check_pixels, raw_mode

FORMATS = frozenset({"PNG", "TIFF", "PPM"})  # hold more than 8 bits
# Whites that greys of 16-bit fields are read by, where no value is above: 10, 12 and 14 bits.
_WHITES = (1023, 4095, 16383)
_EIGHT, _SIXTEEN = 255, 65535
_TWICE = ("PNG", "TIFF")  # what is decoded twice
_BITS, _PLANAR = 258, 284  # tags of TIFF: BitsPerSample, PlanarConfiguration


def deep_values(opened: Image.Image, content: bytes | None) -> Array | None:
    """(H, W, C) uint16, int32 or float32 as stored, C = 1 to 4; None for pictures of 8 bits.

    opened : loaded, not turned yet.
    content : the file's bytes; None for an image that is none of a file.
    """
    if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
        values = np.asarray(opened)
        return (values.astype("=u2") if values.dtype.kind == "u" else values)[..., None]
    several = getattr(opened, "n_frames", 1) > 1
    if (
        content is None
        or opened.format not in ("PNG", "TIFF")
        or (opened.format == "PNG" and several)
    ):
        return None  # an animation's frames are put together of 8 bits
    return _both_bytes(content, opened.tell())


def lost_depth(opened: Image.Image, content: bytes | None) -> str:
    """What has to be said of a picture that Pillow gives with fewer bits than its file has."""
    bits: Any = opened.info.get("bit_depth", 8)  # as pillow-heif has it
    tags: Any = getattr(opened, "tag_v2", {})
    bits = max(bits, *(tags.get(_BITS) or (8,)))
    if opened.format == "AVIF" and content is not None:
        # AV1 image file format 2.2.1: the box of the codec's configuration says it.
        place = content.find(b"av1C")
        flags = content[place + 6] if 0 <= place < len(content) - 6 else 0
        bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    elif opened.format == "PPM" and content is not None and opened.mode == "RGB":
        found = re.match(rb"P6" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)", content)
        bits = 16 if found and int(found[3]) > _EIGHT else 8
    return f"its {bits} bits a channel are taken as 8" if bits > 8 else ""


def lost_by_pillow(image: Image.Image) -> str:
    """What has to be said of a Pillow image, not loaded yet, whose file has more bits than it."""
    deep = ";16" in raw_mode(image) and not image.mode.startswith("I")
    return (
        "its 16 bits a channel are taken as 8; give its path or bytes to keep them" if deep else ""
    )


def white_of(values: Array) -> float:
    """What white is in values as stored; those of fewer bits in a 16-bit field fill part of it."""
    highest = float(values.max())
    if values.dtype == np.uint8:
        return _EIGHT
    if values.dtype == np.uint16:
        # Below 256 it may be a dark picture of 16 bits as well.
        return next((w for w in _WHITES if _EIGHT < highest <= w), _SIXTEEN)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidArrayError("the picture holds NaN or infinite values")
    if values.dtype.kind == "f" and (highest <= 1 or values.shape[2] > 1):
        return 1.0  # colours of floats have highlights above white
    if highest <= _EIGHT:
        return _EIGHT
    return _SIXTEEN if highest <= _SIXTEEN else float(2**31 - 1)


def _both_bytes(content: bytes, page: int) -> Array | None:
    with Image.open(io.BytesIO(content), formats=_TWICE) as high:
        high.seek(page)
        raw = raw_mode(high)
        if ";16" in raw and _in_planes(high):
            return read_other(content, "the picture", page)
        if raw == "LA;16B":
            # Grey and opacity, four bytes a pixel, are read as if they were four channels.
            return _planes(content, page, "RGBA").view(">u2").astype("=u2")
        if not raw.startswith(("RGB;16", "RGBA;16")):
            return None
        other = raw[:-1] + ("L" if raw.endswith("B") or _swapped(raw) else "B")
        high.load()
        upper = np.asarray(high).astype(np.uint16)
    return (upper << 8) | _planes(content, page, other)


def _in_planes(image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return bool(tags.get(_PLANAR) == 2)


def _swapped(raw: str) -> bool:
    return raw.endswith("N") and struct.pack("=H", 1) == struct.pack(">H", 1)


def _planes(content: bytes, page: int, raw: str) -> Array:
    """A file's values, unpacked in another way."""
    with Image.open(io.BytesIO(content), formats=_TWICE) as image:
        image.seek(page)
        tiles: Any = getattr(image, "tile")  # noqa: B009 (of files alone)
        made = []
        for tile in tiles:
            arguments = (raw, *tile[3][1:]) if isinstance(tile[3], tuple) else raw
            made.append(
                tile._replace(args=arguments)
                if hasattr(tile, "_replace")
                else (*tile[:3], arguments)
            )
        setattr(image, "tile", made)  # noqa: B010
        return np.asarray(image)


def read_other(content: bytes, name: str, page: int = 0) -> Array | None:
    """A TIFF that Pillow cannot take, such as one of colours in floats or in planes: (H, W, C).

    None for other files.
    """
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    from pixelreg.errors import need

    tifffile = need("tifffile", "tifffile", "formats", f"reading {name}, a TIFF of a rare kind,")
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            _check_declared(file.pages[page], name)
            values = np.asarray(file.pages[page].asarray())
    except ImageError:
        raise
    except Exception as error:  # tifffile raises what its codecs do
        raise ImageError(f"{name} cannot be read, by Pillow or tifffile: {error}") from error
    if values.ndim == 3 and values.shape[0] in (3, 4) and values.shape[2] > 4:
        values = np.moveaxis(values, 0, 2)  # planes
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] > 4 or values.dtype.kind not in "fu":
        raise ImageError(f"{name} holds {values.dtype} of shape {values.shape}: no grey or colours")
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    bits = 8 * values.dtype.itemsize
    return values if bits <= 16 else (values >> (bits - 16)).astype(np.uint16)


def _check_declared(page: Any, name: str) -> None:
    """Refuse what is too large, before tifffile makes room for it."""
    width, height = int(page.imagewidth), int(page.imagelength)
    check_pixels(width, height, MOST_PIXELS // DEEP_SHARE, name)
    if page.nbytes > 16 * max(1, width * height):
        raise ImageError(f"{name} has {page.samplesperpixel} channels, which no picture has")


def write_png(values: Array, shell: bytes) -> bytes:
    """A 16-bit PNG.

    values : (H, W, C) uint16, C = 1 to 4.
    shell : a PNG of another size and depth, whose other chunks are taken.
    """
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    parts = [shell[:8]]
    for name, data in _chunks(shell):
        if name == b"IHDR":
            data = head
        elif name == b"IDAT":
            data = zlib.compress(_filtered(values), 6)
        parts.append(struct.pack(">I", len(data)) + name + data)
        parts.append(struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


def _filtered(values: Array) -> bytes:
    """Rows as differences from the row above (filter 2 of PNG), which deflate packs well."""
    rows = values.astype(">u2").reshape(len(values), -1).view(np.uint8)
    above = np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
    kind = np.full((len(rows), 1), 2, np.uint8)
    return np.concatenate([kind, rows - above], axis=1).tobytes()


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        name = png[place + 4 : place + 8]
        found.append((name, png[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def write_tiff(values: Array, tags: dict[int, Any], packed: bool) -> bytes:
    """A TIFF of (H, W, C) uint8, uint16, int32 or floats, C = 1 to 4.

    tags : the others, by number.
    packed : deflated, as Adobe does.
    """
    from PIL import TiffImagePlugin  # 8 ms, which most pictures do without

    height, width, channels = values.shape
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    kinds: Any = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        kinds[tag] = value
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    data = zlib.compress(data, 6) if packed else data
    kinds[TiffImagePlugin.IMAGEWIDTH] = width
    kinds[TiffImagePlugin.IMAGELENGTH] = height
    kinds[TiffImagePlugin.BITSPERSAMPLE] = (8 * values.dtype.itemsize,) * channels
    kinds[TiffImagePlugin.COMPRESSION] = 8 if packed else 1
    kinds[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
    kinds[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    kinds[TiffImagePlugin.ROWSPERSTRIP] = height
    kinds[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    kinds[TiffImagePlugin.SAMPLEFORMAT] = ({"u": 1, "i": 2, "f": 3}[values.dtype.kind],) * channels
    if channels in (2, 4):
        kinds[TiffImagePlugin.EXTRASAMPLES] = 2  # opacity, not multiplied into the colours
    kinds.tagtype[TiffImagePlugin.STRIPBYTECOUNTS] = 4
    kinds[TiffImagePlugin.STRIPBYTECOUNTS] = len(data)
    kinds[TiffImagePlugin.STRIPOFFSETS] = 0  # moved behind the tags by the writer
    buffer = io.BytesIO()
    kinds.save(buffer)
    buffer.write(data)
    return buffer.getvalue()


def write_ppm(values: Array, white: int) -> bytes:
    """A 16-bit PGM or PPM of (H, W, C) uint16, C = 1 or 3."""
    kind = b"P5" if values.shape[2] == 1 else b"P6"
    return b"%s %d %d %d\n" % (kind, *values.shape[1::-1], white) + values.astype(">u2").tobytes()


def png_shell(options: dict[str, Any]) -> bytes:
    """A PNG of one pixel that holds all that is told of a picture; see `write_png`."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", **options)
    return buffer.getvalue()
