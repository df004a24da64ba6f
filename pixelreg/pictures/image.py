"""Pictures in and out: path, bytes, PIL image or array -> (H, W, 3) uint8 sRGB and back.

`read` turns whatever it is given into a `Picture`; `restore` gives changed pixels back in the
form they came in; `encode` writes a picture's file bytes in its own format and quality.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from pixelreg.arrays import Array, Pixels, check_unit_range
from pixelreg.errors import ImageError, InvalidArrayError
from pixelreg.files import open_regular, why
from pixelreg.pictures import deep
from pixelreg.pictures.about import About
from pixelreg.pictures.colour import Profile, profile_of
from pixelreg.pictures.kinds import (
    READABLE_SUFFIXES,
    SUFFIX_FORMATS,
    format_of,
    loaded,
    open_picture,
    told_clearly,
)
from pixelreg.pictures.opening import MOST_BYTES
from pixelreg.pictures.pillow import PREMULTIPLIED, alpha_of, turn_of, turned, written_as
from pixelreg.pictures.stored import WHITE, Stored, as_bytes, composed, three_channels
from pixelreg.pictures.writing import Picture, encode, to_inks, to_pil, write_file

# What comes back as a PIL image, and, with what comes back as it was, all that is read.
Opened: TypeAlias = Union[str, "os.PathLike[str]", BinaryIO, Image.Image]
ImageLike: TypeAlias = Union[Opened, bytes, Array]

__all__ = [
    "READABLE_SUFFIXES",
    "SUFFIX_FORMATS",
    "ImageLike",
    "Opened",
    "Picture",
    "check_unit_range",
    "content_of",
    "encode",
    "format_of",
    "read",
    "read_bytes",
    "read_file",
    "read_reduced",
    "restore",
    "to_pil",
    "unchanged",
    "write_file",
]
DEEP_NO_MORE = ("RGB", "RGBA", "LA")  # Pillow's modes that take 8 bits of more


def read(source: ImageLike, background: tuple[int, int, int] = WHITE) -> Picture:
    """Read a path, encoded bytes, an open binary file, a PIL image or an array as a `Picture`.

    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 in 0..255, uint16 or float in
    [0, 1].

    background : red, green and blue of what shows through where a picture is transparent.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with told_clearly("the picture"):
            less = deep.lost_by_pillow(source)
            source.load()
            picture = picture_of(source, "the picture", None, background)
            return replace(picture, notes=(*picture.notes, *filter(None, (less, _first(source)))))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_bytes(bytes(source), "the picture", background)
    if isinstance(source, (str, os.PathLike)):
        return read_file(Path(source), background)
    if callable(getattr(source, "read", None)):
        return read_bytes(_content_of_file(source), "the picture", background)
    raise InvalidArrayError(
        f"cannot read a picture from {type(source).__name__}; "
        "give a path, bytes, an open binary file, a PIL image or a NumPy array"
    )


def read_file(path: Path, background: tuple[int, int, int] = WHITE) -> Picture:
    """Read a picture file; see `read`."""
    return read_bytes(content_of(path), str(path), background)


def read_bytes(content: bytes, name: str, background: tuple[int, int, int] = WHITE) -> Picture:
    """Read an encoded picture from memory; ``name`` stands for it in errors. See `read`."""
    _refuse_empty(content, name)
    with told_clearly(name, content):
        try:
            opened, content, note = loaded(content, name)
        except UnidentifiedImageError:
            values = deep.read_other(content, name)
            if values is None:
                raise
            return _from_values(_stored_parts(values), About(), "TIFF", background)
        with opened:
            picture = picture_of(opened, name, content, background)
            several = _first(opened)
    return replace(picture, notes=(*picture.notes, *filter(None, (note, several))))


def _first(opened: Image.Image) -> str:
    """What has to be said where a file has several pictures, and one is taken."""
    count, place = getattr(opened, "n_frames", 1), opened.tell()
    which = "the first" if place == 0 else f"number {place + 1}"
    return f"only {which} of its {count} pictures was taken" if count > 1 else ""


def read_reduced(path: Path, most: Callable[[int, int], float]) -> tuple[Pixels, int]:
    """Read a picture file's pixels, a large JPEG at 1/2, 1/4 or 1/8 of its size.

    Only a file whose sides are whole multiples of the factor is reduced, so that coordinates are
    those of the whole picture over the factor, however the picture has to be turned.

    most : the largest factor that is wanted of a picture of (width, height), as stored.

    Returns: (H, W, 3) uint8, and the factor: 1, 2, 4 or 8.
    """
    content = content_of(path)
    with told_clearly(str(path), content), open_picture(content, str(path)) as opened:
        width, height = opened.size
        factor = 1
        if opened.format in ("JPEG", "MPO"):
            limit = most(width, height)
            factor = next(
                f for f in (8, 4, 2, 1) if f == 1 or (f <= limit and not (width % f or height % f))
            )
        if factor == 1:
            return read_bytes(content, str(path)).pixels, 1
        opened.draft(None, (width // factor, height // factor))
        opened.load()
        return picture_of(opened, str(path), content, WHITE).pixels, factor


def content_of(path: Path) -> bytes:
    """A file's bytes."""
    try:
        # What this process was given open, as a shell's ``<(...)`` does, may be a pipe.
        given = path.parts[:3] in (("/", "dev", "fd"), ("/", "dev", "stdin"))
        with open_regular(path, pipes=given) as file:
            content = _bounded(file, str(path))
    except (OSError, ValueError) as error:  # a name may hold what no name can
        raise ImageError(f"cannot read {path}: {why(error)}") from error
    _refuse_empty(content, str(path))
    return content


def _content_of_file(file: Any) -> bytes:
    content = file.read(MOST_BYTES + 1)
    if not isinstance(content, bytes):
        raise InvalidArrayError("the file with the picture is open as text; open it as 'rb'")
    return _fitting(content, "the picture")


def _bounded(file: BinaryIO, name: str) -> bytes:
    return _fitting(file.read(MOST_BYTES + 1), name)


def _fitting(content: bytes, name: str) -> bytes:
    if len(content) > MOST_BYTES:
        raise ImageError(f"{name} has more than {MOST_BYTES / 2**30:.0f} GB, as no picture has")
    return content


def _refuse_empty(content: bytes, name: str) -> None:
    if not content:
        raise ImageError(f"{name} is empty (0 bytes)")


def restore(picture: Picture, source: ImageLike) -> ImageLike:
    """Give ``picture`` back as the kind of thing that ``source`` was.

    A path or an open file gives a PIL image; bytes give bytes in the same format; an array gives
    the same number of channels and dtype; a PIL image of mode L, LA, RGB, RGBA, CMYK, I;16, I or
    F gives that mode, others L or RGB.
    """
    for note in picture.notes:
        warnings.warn(f"of the picture, {note}", stacklevel=3)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return encode(picture)
    if isinstance(source, np.ndarray):
        return _to_array(picture, source)
    if isinstance(source, Image.Image) and source.mode == "CMYK":
        return to_inks(picture)
    image = to_pil(picture)
    if picture.stored is not None and picture.stored.deep and image.mode in DEEP_NO_MORE:
        warnings.warn("Pillow has no colours of over 8 bits; bytes keep them", stacklevel=3)
    if isinstance(source, Image.Image) and source.mode in ("L", "LA", "RGB", "RGBA"):
        return image if image.mode == source.mode else image.convert(source.mode)
    return image


def unchanged(source: ImageLike, picture: Picture | None = None) -> ImageLike:
    """``source`` itself as `restore` would give it back, but with every bit as it was.

    A path or an open file gives a PIL image, upright; PIL images and arrays come back as copies.

    picture : what was read of it; needed for a file that can be read only once.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (np.ndarray, Image.Image)):
        return source.copy()
    return restore(picture or read(source), source)


def picture_of(
    opened: Image.Image, name: str, content: bytes | None, background: tuple[int, int, int]
) -> Picture:
    """A picture of a Pillow image that is loaded, at the frame at which it stands."""
    if opened.width == 0 or opened.height == 0:
        raise ImageError(f"{name} has no pixels")
    about, turn = About.of(opened, content), turn_of(opened)
    options = written_as(opened, content)
    values = deep.deep_values(opened, content)
    if values is not None:
        parts = _stored_parts(turned(values, turn), _key_of(opened, values, turn))
        return _from_values(parts, about, opened.format, background, options)
    less = deep.lost_depth(opened, content)
    image = opened if turn is None else opened.transpose(turn)
    image = _in_mode(image, PREMULTIPLIED.get(image.mode, image.mode))
    grey = image.mode in ("1", "L", "LA")
    alpha = alpha_of(image)
    if image.mode not in ("CMYK", "LAB"):
        # By way of RGBA, or Pillow warns of palettes with a table of opacities.
        image = _in_mode(image, "RGBA") if image.mode == "P" else image
        image = _in_mode(image, "L" if grey else "RGB")
    profile, note = profile_of(about.profile, image.mode)
    about = replace(about, profile=b"") if note or image.mode == "LAB" else about
    seen = np.asarray(_in_mode(profile.to_srgb(image) if profile else image, "RGB"))
    notes = tuple(filter(None, (note, less)))
    plain = profile is None and alpha is None and image.mode != "CMYK"
    if plain or image.mode == "LAB":
        return Picture(seen, None, grey, opened.format, options, about=about, notes=notes)
    own = three_channels(np.asarray(image)) if image.mode == "RGB" else np.asarray(image)
    if alpha is not None:
        seen = composed(seen, alpha / np.float32(255), background)
    stored = Stored(own if own.ndim == 3 else own[..., None], seen, 255.0, alpha, profile)
    return Picture(seen, alpha, grey, opened.format, options, None, about, stored, notes=notes)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in a mode of Pillow's, which would copy one that has it already."""
    return image if image.mode == mode else image.convert(mode)


def _key_of(opened: Image.Image, values: Array, turn: Any) -> Array | None:
    """Opacity by the colour that stands for transparency, in the type of deep values."""
    key = opened.info.get("transparency")
    if key is None or isinstance(key, bytes):
        return None
    opaque = (values != np.asarray(key)).any(axis=2)
    return turned(opaque * values.dtype.type(deep.white_of(values)), turn)


def _stored_parts(values: Array, alpha: Array | None = None) -> tuple[Array, Array | None, float]:
    """Colours, opacity, and what white is, of (H, W, C) values."""
    if values.shape[2] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1]
    return np.ascontiguousarray(values), alpha, deep.white_of(values)


def _from_values(
    parts: tuple[Array, Array | None, float],
    about: About,
    format: str | None,
    background: tuple[int, int, int],
    options: dict[str, Any] | None = None,
) -> Picture:
    """A picture of values of more than 8 bits, or of an array."""
    values, alpha, white = parts
    grey = values.shape[2] == 1
    profile: Profile | None = None
    note = ""
    if about.profile:
        profile, note = profile_of(about.profile, "L" if grey else "RGB")
        about = replace(about, profile=b"") if note else about
    unit = values if values.dtype == np.uint8 else _unit(values, white)
    seen = three_channels(unit)
    if profile is not None:
        if profile.curves is not None:
            seen = profile.curves.to_srgb(seen)
        else:
            flat = as_bytes(unit)
            image = Image.fromarray(flat[..., 0] if grey else flat)
            seen = np.asarray(profile.to_srgb(image)) / np.float32(255)
    opacity = None
    if alpha is not None:
        # A 12-bit picture's opacity may fill all of its 16 bits.
        most = white if alpha.max() <= white else float(65535)
        opacity = as_bytes(alpha / most)
        seen = composed(seen, alpha / np.float32(most), background)
    seen = np.ascontiguousarray(seen)
    stored = Stored(values, seen, white, alpha, profile)
    bytes_ = seen if seen.dtype == np.uint8 else as_bytes(seen)
    exact = None if seen.dtype == np.uint8 else seen
    notes = (note,) if note else ()
    return Picture(bytes_, opacity, grey, format, options or {}, exact, about, stored, notes=notes)


def _unit(values: Array, white: float) -> Array:
    kind = np.float64 if values.dtype == np.float64 else np.float32
    return np.asarray(np.clip(values / kind(white), 0, 1), kind)


def _from_array(array: Array) -> Picture:
    shape = array.shape
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise InvalidArrayError(
            f"a picture array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {shape}"
        )
    array = array[..., None] if array.ndim == 2 else array
    if np.issubdtype(array.dtype, np.floating):
        values: Array = check_unit_range(array, "the picture array")
    elif array.dtype in (np.uint8, np.uint16):
        values = array
    else:
        raise InvalidArrayError(
            f"a picture array must be uint8, uint16 or float in [0, 1], not {array.dtype}"
        )
    # Who gives opacity as a number among numbers gets colours as they are, over no background.
    colours = np.ascontiguousarray(values[..., :3])
    alpha = None if values.shape[2] < 4 else values[..., 3]
    if values.dtype == np.uint8:
        return Picture(three_channels(colours), alpha, colours.shape[2] == 1)
    white = 1.0 if values.dtype == np.float64 else deep.white_of(colours)
    picture = _from_values((colours, None, white), About(), None, WHITE)
    return picture if alpha is None else replace(picture, alpha=as_bytes(alpha / white))


def _to_array(picture: Picture, source: Array) -> Array:
    values = picture.values
    if np.issubdtype(source.dtype, np.floating) and values.dtype == np.uint8:
        values = values / 255.0
    if source.ndim == 2:
        return values[..., 0].astype(source.dtype)
    if source.shape[2] == 4:
        values = np.concatenate([values, source[..., 3:]], axis=2)
    return values.astype(source.dtype)
