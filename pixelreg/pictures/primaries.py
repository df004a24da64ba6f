"""Colour profiles of pictures that say what their values mean in other ways than by a profile.

PNG has a gamma and primaries, or H.273's numbers; AVIF and HEIC have these numbers; cameras say in
EXIF that they took Adobe RGB. All become ICC profiles of a matrix and a curve (ICC.1:2022), so that
there is one way from here on.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Float64
from pixelreg.pictures.pillow import DAMAGE

# (x, y) of white, red, green and blue, by H.273's number of the primaries.
_D65 = (0.3127, 0.3290)
PRIMARIES = {
    1: (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),  # BT.709, sRGB
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_ADOBE = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_ADOBE_GAMMA = 563 / 256
# Curves by H.273's number of the transfer, as parameters of ICC's parametric curve, kind 3.
_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
TRANSFERS: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 14, 15), _BT709),
    **{4: (2.2,), 5: (2.8,), 8: (1.0,), 13: _SRGB},
}
_USUAL_GAMMA = 0.005  # PNG's gamma this near to 1 / 2.2 stands for sRGB's curve
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_DETAILS, _INTEROP, _COLOUR_SPACE = 0x8769, 0xA005, 0xA001


def profile_told(opened: Image.Image, content: bytes | None) -> bytes:
    """The profile that a loaded picture's file tells without holding one; empty for sRGB."""
    numbers = _numbers(content) if content is not None else None
    if numbers is not None:
        primaries, transfer = PRIMARIES.get(numbers[0]), TRANSFERS.get(numbers[1])
        known = primaries is not None and transfer is not None and numbers != (1, 13)
        return _profile(primaries, transfer) if known else b""
    if opened.info.get("icc_profile"):
        return bytes(opened.info["icc_profile"])
    if opened.format == "PNG" and "srgb" not in opened.info:
        return _by_gamma(opened)
    return _profile(_ADOBE, (_ADOBE_GAMMA,)) if _is_adobe(opened) else b""


def _numbers(content: bytes) -> tuple[int, int] | None:
    """H.273's numbers of primaries and transfer, of a PNG (cICP) or an AVIF or HEIC (colr)."""
    head = content[: 1 << 16]
    if head.startswith(b"\x89PNG"):
        place = head.find(b"cICP", 0, max(head.find(b"IDAT"), 0))
        return None if place < 0 else (head[place + 4], head[place + 5])
    place = head.find(b"colrnclx") if head[4:8] == b"ftyp" and b"colrprof" not in head else -1
    if not 0 <= place < len(head) - 12:
        return None
    primaries, transfer = struct.unpack_from(">HH", head, place + 8)
    # Video's transfer in a picture is sRGB's to all viewers; what is not said is sRGB.
    return primaries, 13 if transfer in (1, 2, 6) else transfer


def _by_gamma(opened: Image.Image) -> bytes:
    info: dict[Any, Any] = opened.info
    gamma, places = info.get("gamma"), info.get("chromaticity")
    if not gamma or gamma <= 0:
        return b""
    curve = _SRGB if abs(gamma - 1 / 2.2) < _USUAL_GAMMA else (1 / gamma,)
    if opened.mode in ("L", "LA", "I;16", "I;16B", "1"):
        return b"" if curve == _SRGB else _profile(None, curve)
    told = tuple(zip(places[::2], places[1::2], strict=True)) if places else PRIMARIES[1]
    usual = np.allclose(told, PRIMARIES[1], atol=0.002)
    return b"" if usual and curve == _SRGB else _profile(told, curve)


def _is_adobe(opened: Image.Image) -> bool:
    """Whether EXIF says Adobe RGB: by its number, or by the rule for file systems (DCF 2.0)."""
    try:
        details = opened.getexif().get_ifd(_DETAILS)
        rule = opened.getexif().get_ifd(_INTEROP).get(1)
        return details.get(_COLOUR_SPACE) == 2 or str(rule).startswith("R03")
    except DAMAGE:
        return False


def _profile(primaries: Any, curve: Any) -> bytes:
    """An ICC profile, version 4, display class: of RGB, or of grey where there are no primaries."""
    name = _tag(
        b"mluc", struct.pack(">II4sII", 1, 12, b"enUS", 16, 28) + "as told ".encode("utf-16-be")
    )
    kind = 0 if len(curve) == 1 else 3
    parameters = struct.pack(f">HH{len(curve)}i", kind, 0, *(round(v * 65536) for v in curve))
    tone = _tag(b"para", parameters)
    tags = {b"desc": name, b"cprt": name, b"wtpt": _xyz(_D50)}
    if primaries is None:
        tags[b"kTRC"] = tone
    else:
        for letter, column in zip((b"r", b"g", b"b"), _to_d50(primaries).T, strict=True):
            tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": tone}
    table, data = struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(data), len(value))
        data += value
    space = b"RGB " if primaries is not None else b"GRAY"
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x04300000, b"mntr", space, b"XYZ ", b"acsp")
    head += struct.pack(">3i", *(round(v * 65536) for v in _D50))
    return head.ljust(128, b"\0") + table + data


def _tag(kind: bytes, data: bytes) -> bytes:
    return kind + b"\0" * 4 + data + b"\0" * (-len(data) % 4)


def _xyz(values: Any) -> bytes:
    return _tag(b"XYZ ", struct.pack(">3i", *(round(float(v) * 65536) for v in values)))


def _to_d50(primaries: Any) -> Float64:
    """(3, 3) from linear RGB of the primaries to XYZ, adapted to D50 by Bradford's matrix."""
    white, *colours = [np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in primaries]
    columns = np.stack(colours, axis=1)
    matrix = columns * np.linalg.solve(columns, white)
    scale = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (scale[:, None] * _BRADFORD) @ matrix
