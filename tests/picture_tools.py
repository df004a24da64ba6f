"""Pictures as files have them: colour profiles, and what files show when a viewer opens them."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

# Primaries in the profile connection space (D50), columns red, green, blue; from the profiles that
# Apple, Adobe and Kodak publish.
P3 = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
ADOBE = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
PROPHOTO = ((0.79767, 0.13519, 0.03134), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491))


def _tag(kind: bytes, data: bytes) -> bytes:
    return kind + b"\0\0\0\0" + data + b"\0" * (-len(data) % 4)


def _xyz(x: float, y: float, z: float) -> bytes:
    return _tag(b"XYZ ", struct.pack(">3i", *(round(v * 65536) for v in (x, y, z))))


def gamma_curve(power: float) -> bytes:
    return _tag(b"curv", struct.pack(">IH", 1, round(power * 256)))


def srgb_curve() -> bytes:
    values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return _tag(b"para", struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in values)))


@cache
def icc(primaries: Any = None, curve: bytes = b"") -> bytes:
    """An ICC profile of version 4 (ICC.1:2022): RGB of primaries, or grey."""
    curve = curve or srgb_curve()
    white = (0.9642, 1.0, 0.8249)
    tags = {b"wtpt": _xyz(*white)}
    name = "test".encode("utf-16-be")
    for text in (b"desc", b"cprt"):
        head = struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(name), 28)
        tags[text] = _tag(b"mluc", head + name)
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for column, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"] = _xyz(*(row[column] for row in primaries))
            tags[letter + b"TRC"] = curve
    place = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", place + len(data), len(value))
        data += value
    space = b"GRAY" if primaries is None else b"RGB "
    head = struct.pack(
        ">I4sI4s4s4s", place + len(data), b"\0" * 4, 0x04300000, b"mntr", space, b"XYZ "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28
    head += struct.pack(">3i", *(round(v * 65536) for v in white))
    return head.ljust(128, b"\0") + table + data


def shown(picture: Image.Image | bytes, background: str = "white") -> np.ndarray:
    """(H, W, 3) int sRGB as a colour-managed viewer shows it, by Pillow's LittleCMS."""
    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    profile = image.info.get("icc_profile")
    if image.mode == "P":
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    if alpha is not None:
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if profile:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    image = image.convert("RGB")
    if alpha is not None:
        behind = Image.new("RGB", image.size, background)
        behind.paste(image, mask=alpha)
        image = behind
    return np.asarray(image).astype(int)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def colours(side: int = 64) -> np.ndarray:
    """Smooth and vivid colours, (side, side, 3) uint8."""
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    return np.rint(255 * np.stack([x, y, 0.5 + 0.5 * np.sin(5 * x + 3 * y)], axis=-1)).astype("u1")
