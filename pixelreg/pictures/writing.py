"""A picture, and how it is written: as a PIL image or a file's bytes, with all that is kept."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Array, Pixels
from pixelreg.files import write_bytes
from pixelreg.pictures import deep
from pixelreg.pictures.about import PROFILED, About
from pixelreg.pictures.kinds import format_of, learn
from pixelreg.pictures.opening import written_clearly
from pixelreg.pictures.pillow import paletted
from pixelreg.pictures.stored import Stored, grey_of

CLEAR = frozenset({"PNG", "TIFF", "WEBP", "AVIF", "HEIF", "JXL", "GIF"})  # hold opacity

LOSSY = frozenset({"JPEG", "WEBP", "AVIF", "HEIF", "JXL"})  # mostly


@dataclass(frozen=True)
class Picture:
    """Pixels ready for the models, and what is needed to give them back as they came.

    pixels : (H, W, 3) uint8, sRGB, upright (EXIF orientation applied), over a plain background.
    alpha : (H, W) uint8, or None where the picture had no transparency.
    grey : the picture came without colour, and goes back without.
    format : Pillow's name of the file format, such as ``"JPEG"``; None for arrays.
    save_options : Pillow's options that keep quality and packing on saving.
    exact : the float array that ``pixels`` rounds, or None; (H, W, 3) float in [0, 1].
    about : what the file tells of its picture: EXIF, colour profile and the like.
    stored : the values as they came, where ``pixels`` are not these.
    edited : ``pixels`` are not those that were read.
    mark : a changed picture is to say so in its metadata.
    notes : what was left out in reading, each to be told.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str | None = None
    save_options: dict[str, Any] = field(default_factory=dict)
    exact: Array | None = None
    about: About = field(default_factory=About)
    stored: Stored | None = None
    edited: bool = False
    mark: bool = True
    notes: tuple[str, ...] = ()

    def with_pixels(self, pixels: Pixels) -> Picture:
        """The same picture with other ``pixels``, (H, W, 3) uint8."""
        return replace(self, pixels=pixels, exact=None, edited=True)

    @property
    def changed(self) -> bool:
        """Whether the picture is not as it was read."""
        stored = self.stored
        return self.edited or (
            stored is not None and self.exact is not None and self.exact is not stored.seen
        )

    @property
    def told(self) -> About:
        """What is to be told of the picture; of a changed one, that it is."""
        return self.about.marked() if self.changed and self.mark else self.about

    @property
    def values(self) -> Array:
        """(H, W, C) as the picture is stored, changed where it is."""
        now = self.pixels if self.exact is None else self.exact
        if self.stored is None:
            return grey_of(now)[..., None].astype(now.dtype) if self.grey else now
        return self.stored.changed(now)


def to_pil(picture: Picture) -> Image.Image:
    """The picture as a PIL image: L, LA, RGB or RGBA; deep greys in mode I;16, I or F.

    Its ``info`` holds the colour profile and the rest of what the picture's file told.
    """
    stored, values, about = picture.stored, picture.values, picture.told
    if stored is not None and stored.inks:
        values, about = picture.pixels, replace(about, profile=b"")
    elif stored is not None and stored.deep and not _fits_pillow(picture, values):
        values = stored.eight_bits(values)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(about.info())
    return image


def _fits_pillow(picture: Picture, values: Array) -> bool:
    """Whether Pillow has a mode for deep values: greys without opacity."""
    return picture.alpha is None and values.shape[2] == 1 and values.dtype != np.float64


def to_inks(picture: Picture) -> Image.Image:
    """The picture as a PIL image of mode CMYK, which it came as."""
    inks = picture.values
    image = Image.frombytes("CMYK", inks.shape[1::-1], np.ascontiguousarray(inks).tobytes())
    image.info.update(picture.told.info())
    return image


def encode(picture: Picture, format: str | None = None) -> bytes:
    """The picture's file bytes, in ``format`` or in its own (PNG for arrays).

    A JPEG that stays a JPEG keeps its quantisation tables, a WebP its losslessness, PNG and TIFF
    their depth; what the file told, EXIF and colour profile among it, is kept where the format
    has a place. Formats without profiles get sRGB, those without transparency the picture over
    its background.
    """
    chosen = format or picture.format or "PNG"
    chosen = "JPEG" if chosen == "MPO" else chosen
    learn(chosen, f"writing a picture as {chosen}")
    stored = picture.stored
    with written_clearly("a picture", chosen):
        if chosen == "TIFF":
            return _encode_tiff(picture)
        if stored is not None and stored.deep and chosen in deep.FORMATS:
            return _encode_deep(picture, stored, chosen)
        image, about = for_file(picture, chosen)
        options = {**quality(picture, chosen), **about.options(chosen)}
        buffer = io.BytesIO()
        image.save(buffer, chosen, **options)
        return buffer.getvalue()


def for_file(picture: Picture, format: str) -> tuple[Image.Image, About]:
    """The image of 8 bits that a file of a format holds, and what is told of it.

    Its ``info`` is empty, so that nothing is told twice.
    """
    stored, about, alpha = picture.stored, picture.told, picture.alpha
    clear = alpha is not None and format == "JPEG"
    if stored is None or stored.inks or format not in PROFILED or clear:
        # sRGB, over the background
        grey, pixels = picture.grey, picture.pixels
        image = Image.fromarray(grey_of(pixels).astype(np.uint8) if grey else pixels)
        srgb = stored is None or (stored.profile is None and not stored.inks)
        about = about if srgb else replace(about, profile=b"")
    else:
        values = stored.eight_bits(picture.values)
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    if alpha is not None and format in CLEAR:
        image.putalpha(Image.fromarray(alpha))
    return (paletted(image) if format == "GIF" and image.mode != "L" else image), about


def _encode_tiff(picture: Picture) -> bytes:
    """A TIFF in the picture's own depth; Pillow's packed ones have no EXIF."""
    stored, about = picture.stored, picture.told
    if stored is not None and stored.deep:
        values = _with_alpha(picture, stored)
        if values.shape[2] == 2:  # Pillow reads no grey of 16 bits with opacity
            values = values[..., [0, 0, 0, 1]]
    else:
        image, about = for_file(picture, "TIFF")
        values = np.asarray(image)
        values = values if values.ndim == 3 else values[..., None]
    packed = picture.save_options.get("compression", "raw") != "raw"
    return deep.write_tiff(values, about.tags(), packed)


def _with_alpha(picture: Picture, stored: Stored) -> Array:
    parts = [picture.values, *([] if stored.alpha is None else [stored.alpha[..., None]])]
    return np.concatenate(parts, axis=2)


def _encode_deep(picture: Picture, stored: Stored, format: str) -> bytes:
    white = stored.white if stored.values.dtype == np.uint16 else 65535.0

    def sixteen_bits(values: Array) -> Array:
        if values.dtype == np.uint16:
            return values
        return np.rint(np.clip(values / stored.white, 0, 1) * white).astype(np.uint16)

    if format == "PNG":
        shell = deep.png_shell(picture.told.options("PNG"))
        return deep.write_png(sixteen_bits(_with_alpha(picture, stored)), shell)
    if stored.alpha is None and stored.profile is None:
        return deep.write_ppm(sixteen_bits(picture.values), round(white))
    # PPM has a place for neither: sRGB, over the background.
    shown = picture.pixels / np.float32(255) if picture.exact is None else picture.exact
    values = grey_of(shown)[..., None] if picture.grey else shown
    return deep.write_ppm(np.rint(values * white).astype(np.uint16), round(white))


def write_file(picture: Picture, path: Path) -> None:
    """Write a picture whole or not at all, in the format that the file's name says."""
    write_bytes(path, encode(picture, format_of(path)))


def quality(picture: Picture, format: str) -> dict[str, Any]:
    """Pillow's options for the quality of a file of a format: the picture's own, or a high one."""
    own = "JPEG" if picture.format == "MPO" else picture.format
    if format == own and picture.save_options:
        return dict(picture.save_options)
    if format in ("WEBP", "JXL") and own not in LOSSY:
        return {"lossless": True, "use_container" if format == "JXL" else "exact": True}
    # Another's quality says nothing here: nothing that an eye could miss is taken.
    qualities: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"quality": 95},
        "AVIF": {"quality": 98, "subsampling": "4:4:4"},
        "HEIF": {"quality": 95, "chroma": 444},
        "JXL": {"quality": 95, "use_container": True},  # metadata have no other place
    }
    return qualities.get(format, {})
