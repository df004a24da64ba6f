"""Colours by their profile: from what a file holds to sRGB, and back.

Eight bits go through Pillow's LittleCMS. It has no deeper RGB, so that deeper values of
profiles that are three curves and a matrix (Display P3, Adobe RGB, ProPhoto, Rec. 2020, ...) or one
curve (grey) are computed here, by ICC.1:2022, annex F.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Float64, Floats, Pixels

SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}
CLOSE = 1  # levels by which a profile may differ from sRGB and still be it
GRID = 1 << 14  # steps of a curve; between two of them it is straight
# sRGB's primaries in the D50 space in which profiles meet (IEC 61966-2-1, Bradford-adapted).
_SRGB = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


@dataclass(frozen=True)
class Profile:
    """An ICC profile that says what the values of a picture of ``mode`` stand for.

    content : the profile's bytes.
    mode : Pillow's mode of the values: L, RGB, CMYK or LAB.
    """

    content: bytes
    mode: str

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """An image of the profile's mode -> RGB, as `ImageCms.profileToProfile` makes it."""
        from PIL import ImageCms

        moved: Any = ImageCms.applyTransform(image, self._forth)
        return moved

    def back(self, pixels: Pixels) -> Pixels | None:
        """(H, W, 3) sRGB -> (H, W, C) as the profile has it; None where it leads one way only."""
        from PIL import ImageCms

        try:
            moved: Any = ImageCms.applyTransform(Image.fromarray(pixels), self._back)
        except ImageCms.PyCMSError:
            return None
        values: Pixels = np.asarray(moved)
        return values if values.ndim == 3 else values[..., None]

    @cached_property
    def curves(self) -> Curves | None:
        """The profile as curves and a matrix, where it is made of them."""
        try:
            return Curves.of(self.content)
        except (struct.error, IndexError, ValueError, np.linalg.LinAlgError):
            return None

    @cached_property
    def _forth(self) -> Any:
        from PIL import ImageCms

        own, srgb = _opened(self.content), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(own, srgb, self.mode, "RGB")

    @cached_property
    def _back(self) -> Any:
        from PIL import ImageCms

        own, srgb = _opened(self.content), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(srgb, own, "RGB", self.mode)

    def is_srgb(self) -> bool:
        """Whether values mean what they mean in sRGB."""
        if self.mode == "L":
            steps: Pixels = np.arange(256, dtype=np.uint8)[None]
            expected = np.repeat(steps[..., None], 3, axis=2)
        elif self.mode == "RGB":
            levels = np.linspace(0, 255, 9).astype(np.uint8)
            steps = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
            expected = steps
        else:
            return False
        shown = np.asarray(self.to_srgb(Image.fromarray(steps))).astype(int)
        return bool(np.abs(shown - expected).max() <= CLOSE)


def profile_of(content: bytes | None, mode: str) -> tuple[Profile | None, str]:
    """The profile to go by for an image of ``mode``, and what has to be said where there is none.

    None stands for sRGB, as for pictures without a profile.
    """
    if not content:
        return None, ""
    from PIL import ImageCms

    try:
        space = _opened(content).profile.xcolor_space.strip()
        found = Profile(content, mode)
        if SPACES.get(space) != mode:
            return (
                None,
                f"its colour profile is for {space or 'other'} values, not {mode}: left out",
            )
        return (None if found.is_srgb() else found), ""
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return None, "its colour profile cannot be read: its colours are taken as sRGB"


def _opened(content: bytes) -> Any:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(io.BytesIO(content))


@dataclass(frozen=True, eq=False)
class Curves:
    """A profile of one curve a channel, and a matrix from linear values to linear sRGB.

    tables : (C, N), each channel's linear values at evenly spaced stored ones, all on [0, 1].
    matrix : (3, 3); unity for grey.
    """

    tables: Float64
    matrix: Float64

    @classmethod
    def of(cls, content: bytes) -> Curves | None:
        """Of a profile's bytes; None where it holds tables of colours instead."""
        tags = _tags(content)
        if "A2B0" in tags:
            return None
        if "kTRC" in tags:
            return cls(np.stack([_curve(tags["kTRC"])]), np.eye(3))
        if not {"rTRC", "gTRC", "bTRC", "rXYZ", "gXYZ", "bXYZ"} <= set(tags):
            return None
        columns = [
            [v / 65536 for v in struct.unpack_from(">3i", tags[f"{c}XYZ"], 8)] for c in "rgb"
        ]
        matrix = np.linalg.inv(_SRGB) @ np.array(columns).T
        return cls(np.stack([_curve(tags[f"{c}TRC"]) for c in "rgb"]), matrix)

    def to_srgb(self, values: Array) -> Floats:
        """(H, W, 3) on [0, 1] as stored -> (H, W, 3) float32 sRGB, clipped to [0, 1]."""
        linear = self._each(values, lambda channel, grid, table: np.interp(channel, grid, table))
        light = np.clip(linear @ self.matrix.T.astype(np.float32), 0, 1)
        return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

    def back(self, srgb: Array) -> Floats:
        """The inverse of `to_srgb`."""
        light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(light @ np.linalg.inv(self.matrix).T, 0, 1)
        return self._each(linear, lambda channel, grid, table: np.interp(channel, table, grid))

    def _each(self, values: Array, look_up: Any) -> Floats:
        grid = np.linspace(0, 1, self.tables.shape[1])
        result: Floats = np.empty(values.shape, np.float32)
        for channel in range(3):
            table = self.tables[channel % len(self.tables)]
            result[..., channel] = look_up(values[..., channel], grid, table)
        return result


def _tags(content: bytes) -> dict[str, bytes]:
    (count,) = struct.unpack_from(">I", content, 128)
    entries = [struct.unpack_from(">4sII", content, 132 + 12 * k) for k in range(min(count, 200))]
    return {name.decode("latin-1"): content[start : start + size] for name, start, size in entries}


def _curve(tag: bytes) -> Float64:
    """A curve's values at `GRID` + 1 places; ICC.1:2022, 10.6 (curve) and 10.18 (parametric)."""
    x = np.linspace(0, 1, GRID + 1)
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        count = (1, 3, 4, 5, 7)[kind]
        g, *rest = (v / 65536 for v in struct.unpack_from(f">{count}i", tag, 12))
        a, b, c, d, e, f = (rest + [0.0] * 6)[:6]
        if kind == 0:
            low, add, slope, foot, a = 0.0, 0.0, 0.0, 0.0, 1.0
        elif kind < 3:  # below -b/a it is flat; kind 2 is raised by c
            low, add, slope, foot = -b / a, c, 0.0, c
        else:
            low, add, slope, foot = d, e, c, f
        y: Float64 = np.where(x >= low, np.maximum(a * x + b, 0) ** g + add, slope * x + foot)
        clipped: Float64 = np.clip(y, 0, 1)
        return clipped
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return x
    table = struct.unpack_from(f">{count}H", tag, 12)
    if count == 1:
        power: Float64 = x ** (table[0] / 256)
        return power
    return np.interp(x, np.linspace(0, 1, count), np.array(table) / 65535)
