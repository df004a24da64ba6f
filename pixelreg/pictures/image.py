"""Pictures in and out: path, bytes, PIL image or array -> (H, W, 3) uint8 sRGB and back.

`read` turns whatever it is given into a `Picture`; `restore` gives changed pixels back in the
form they came in; `encode` writes a picture's file bytes in its own format and quality.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.errors import ImageError, InvalidArrayError
from pixelreg.files import write_bytes
from pixelreg.pictures.pillow import (
    DAMAGE,
    PREMULTIPLIED,
    alpha_of,
    save_options,
    to_eight_bits,
    turned_upright,
)

ImageLike: TypeAlias = Union[str, "os.PathLike[str]", bytes, Image.Image, Array]

SUFFIX_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
READABLE_SUFFIXES = frozenset(SUFFIX_FORMATS) | {".jpe", ".jfif"}


@dataclass(frozen=True)
class Picture:
    """Pixels ready for the models, and what is needed to give them back as they came.

    pixels : (H, W, 3) uint8, sRGB, upright (EXIF orientation applied).
    alpha : (H, W) uint8, or None where the picture had no transparency.
    grey : the picture came without colour, and goes back without.
    format : Pillow's name of the file format, such as ``"JPEG"``; None for arrays.
    save_options : Pillow's options that keep quality, EXIF and ICC profile on saving.
    exact : the float array that ``pixels`` rounds, or None; (H, W, 3) float64 in [0, 1].
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str | None = None
    save_options: dict[str, Any] = field(default_factory=dict)
    exact: Float64 | None = None

    def with_pixels(self, pixels: Pixels) -> Picture:
        """The same picture with other ``pixels``, (H, W, 3) uint8."""
        return replace(self, pixels=pixels, exact=None)


def read(source: ImageLike) -> Picture:
    """Read a path, encoded bytes, a PIL image or an array as a `Picture`.

    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 in 0..255 or float in [0, 1].
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _told_clearly("the picture"):
            return _from_pil(source, "the picture")
    if isinstance(source, bytes):
        return read_bytes(source, "the picture")
    if isinstance(source, (str, os.PathLike)):
        return read_file(Path(source))
    raise InvalidArrayError(
        f"cannot read a picture from {type(source).__name__}; "
        "give a path, bytes, a PIL image or a NumPy array"
    )


def read_file(path: Path) -> Picture:
    """Read a picture file; see `read`."""
    return read_bytes(_content(path), str(path))


def read_bytes(content: bytes, name: str) -> Picture:
    """Read an encoded picture from memory; ``name`` stands for it in errors. See `read`."""
    _refuse_empty(content, name)
    with _told_clearly(name), Image.open(io.BytesIO(content)) as opened:
        opened.load()
        return _from_pil(opened, name)


def read_reduced(path: Path, most: Callable[[int, int], float]) -> tuple[Pixels, int]:
    """Read a picture file's pixels, a large JPEG at 1/2, 1/4 or 1/8 of its size.

    Only a file whose sides are whole multiples of the factor is reduced, so that coordinates are
    those of the whole picture over the factor, however the picture has to be turned.

    most : the largest factor that is wanted of a picture of (width, height), as stored.

    Returns: (H, W, 3) uint8, and the factor: 1, 2, 4 or 8.
    """
    content = _content(path)
    with _told_clearly(str(path)), Image.open(io.BytesIO(content)) as opened:
        width, height = opened.size
        factor = 1
        if opened.format in ("JPEG", "MPO"):
            limit = most(width, height)
            factor = next(
                f for f in (8, 4, 2, 1) if f == 1 or (f <= limit and not (width % f or height % f))
            )
        if factor > 1:
            opened.draft(None, (width // factor, height // factor))
        opened.load()
        return _from_pil(opened, str(path)).pixels, factor


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    _refuse_empty(content, str(path))
    return content


def _refuse_empty(content: bytes, name: str) -> None:
    if not content:
        raise ImageError(f"{name} is empty (0 bytes)")


@contextmanager
def _told_clearly(name: str) -> Iterator[None]:
    """Turn what Pillow raises while it opens and decodes ``name`` into an `ImageError`."""
    try:
        with warnings.catch_warnings():
            # Pillow warns above 89 million pixels and refuses above 179; we refuse at once.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"{name} has more than {limit} million pixels; resize it first") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a picture that Pillow can read") from error
    except DAMAGE as error:
        if isinstance(error, InvalidArrayError):
            raise
        raise ImageError(f"{name} is damaged: {error}") from error


def restore(picture: Picture, source: ImageLike) -> ImageLike:
    """Give ``picture`` back as the kind of thing that ``source`` was.

    A path gives a PIL image; bytes give bytes in the same format; an array gives the same number
    of channels and dtype; a PIL image of mode L, LA, RGB, RGBA or CMYK gives that mode, others L
    or RGB.
    """
    if isinstance(source, bytes):
        return encode(picture)
    if isinstance(source, np.ndarray):
        return _to_array(picture, source)
    image = to_pil(picture)
    if isinstance(source, Image.Image) and source.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image if image.mode == source.mode else image.convert(source.mode)
    return image


def unchanged(source: ImageLike) -> ImageLike:
    """``source`` itself as `restore` would give it back, but with every bit as it was.

    A path gives a PIL image, upright; PIL images and arrays come back as copies.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, (np.ndarray, Image.Image)):
        return source.copy()
    return to_pil(read(source))


def to_pil(picture: Picture) -> Image.Image:
    """The picture as a PIL image in mode L, LA, RGB or RGBA."""
    image = Image.fromarray(picture.pixels)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def encode(picture: Picture, format: str | None = None) -> bytes:
    """The picture's file bytes, in ``format`` or in its own (PNG for arrays).

    A JPEG that stays a JPEG keeps its quantisation tables; EXIF and ICC profile are kept where
    the format allows.
    """
    chosen = format or picture.format or "PNG"
    image = to_pil(picture)
    options = _options_for(picture, chosen)
    if chosen in ("JPEG", "PPM", "BMP") and "A" in image.getbands():
        image = image.convert("L" if picture.grey else "RGB")
    buffer = io.BytesIO()
    try:
        image.save(buffer, chosen, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(f"cannot write a picture as {chosen}: {error}") from error
    return buffer.getvalue()


def write_file(picture: Picture, path: Path) -> None:
    """Write a picture whole or not at all, in the format that the file's name says."""
    write_bytes(path, encode(picture, format_of(path)))


def format_of(path: Path) -> str:
    """The file format that ``path``'s suffix names."""
    try:
        return SUFFIX_FORMATS[path.suffix.lower()]
    except KeyError:
        known = " ".join(sorted(SUFFIX_FORMATS))
        raise ImageError(f"cannot write {path.name}: its suffix must be one of {known}") from None


def _options_for(picture: Picture, format: str) -> dict[str, Any]:
    kept = ("exif", "icc_profile")
    options = {k: v for k, v in picture.save_options.items() if k in kept}
    if format == picture.format:
        options = dict(picture.save_options)
    elif format in ("JPEG", "WEBP"):
        options["quality"] = 95
    if format in ("BMP", "GIF", "PPM"):
        return {}
    return options


def _from_pil(opened: Image.Image, name: str) -> Picture:
    if opened.width == 0 or opened.height == 0:
        raise ImageError(f"{name} has no pixels")
    options = save_options(opened)
    upright = turned_upright(opened)
    upright = upright.convert(PREMULTIPLIED.get(upright.mode, upright.mode))
    grey = upright.mode in ("1", "L", "LA", "I", "F") or upright.mode.startswith("I;16")
    alpha = alpha_of(upright)
    # By way of RGBA, or Pillow warns of palettes with a table of opacities.
    upright = upright.convert("RGBA") if upright.mode == "P" else to_eight_bits(upright)
    pixels = np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    return Picture(pixels, alpha, grey, opened.format, options)


def _from_array(array: Array) -> Picture:
    shape = array.shape
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise InvalidArrayError(
            f"a picture array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {shape}"
        )
    exact = None
    if array.dtype == np.uint8:
        bytes_ = array
    elif np.issubdtype(array.dtype, np.floating):
        exact = check_unit_range(array, "the picture array")
        bytes_ = np.rint(exact * 255.0).astype(np.uint8)
    else:
        raise InvalidArrayError(
            f"a picture array must be uint8 or float in [0, 1], not {array.dtype}"
        )
    alpha = bytes_[..., 3] if array.ndim == 3 and shape[2] == 4 else None
    grey = array.ndim == 2 or shape[2] == 1
    if exact is not None:
        exact = np.ascontiguousarray(_three_channels(exact))
    return Picture(np.ascontiguousarray(_three_channels(bytes_)), alpha, grey, exact=exact)


def check_unit_range(array: Array, name: str) -> Float64:
    """``array`` as float64 after checking that it is finite and within [0, 1]."""
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidArrayError(f"{name} holds NaN or infinite values; replace them first")
    if values.size and (values.min() < 0.0 or values.max() > 1.0):
        raise InvalidArrayError(
            f"{name} has floats from {values.min():.4g} to {values.max():.4g}; "
            "scale them to [0, 1] or use uint8"
        )
    return values


def _three_channels(array: Array) -> Array:
    if array.ndim == 2:
        array = array[..., None]
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., :3]


def _to_array(picture: Picture, source: Array) -> Array:
    if np.issubdtype(source.dtype, np.floating):
        exact = picture.exact if picture.exact is not None else picture.pixels / 255.0
        out = _as_channels(exact, source, picture.grey)
    else:
        out = _as_channels(picture.pixels, source, picture.grey)
    return out.astype(source.dtype)


def _as_channels(values: Array, source: Array, grey: bool) -> Array:
    if grey:
        # Equal channels come back unchanged: the weights add up to 1.
        luma = values.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        luma = luma if np.issubdtype(values.dtype, np.floating) else np.rint(luma)
        same = (values == values[..., :1]).all(axis=2)
        mono = np.where(same, values[..., 0], luma)
        return mono if source.ndim == 2 else mono[..., None]
    if source.shape[2] == 4:
        return np.concatenate([values, source[..., 3:]], axis=2)
    return values
