"""Opening pictures that strangers made: which kinds, how large, and what is said of a bad one.

Pillow opens some fifty formats. Some start a program (EPS calls Ghostscript), others are decoded
by code that hardly anybody runs; only those of `OPENED` are taken. What a file declares is held
against `MOST_PIXELS` before anything is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, UnidentifiedImageError

from pixelreg.errors import ImageError, PixelregError
from pixelreg.pictures.pillow import DAMAGE

# Those that Pillow always knows, by their first bytes alone; the others are looked for together.
_CORE = frozenset({"JPEG", "PNG", "GIF", "BMP", "PPM"})
OPENED = (
    *sorted(_CORE),
    *("TIFF", "WEBP", "AVIF", "HEIF", "JXL", "JPEG2000"),
    *("DIB", "DDS", "ICO", "PCX", "SGI", "SUN", "TGA"),
)
MOST_BYTES = 2**30  # of a file
MOST_PIXELS = 89_478_485  # of 8 bits; Pillow warns above as many
MOST_SIDE = 65_535
MOST_FRAMES = 10_000
# A picture of over 16 bits or floats takes up to 80 bytes a pixel on its way, one of 8 bits 20.
DEEP_SHARE = 3
# Below so many pixels a picture costs little, whatever its file is. Above, each byte of a file
# stands for at most so many: a photograph has 100 to the byte where it is packed at its worst.
FREE_PIXELS, PIXELS_A_BYTE = 10_000_000, 250
_LEAST_FRAME = 18  # bytes that a frame of a GIF takes


def open_picture(content: bytes, name: str, kind: str = "", counted: bool = True) -> Image.Image:
    """An encoded picture within the limits as Pillow opens it; nothing is decoded yet.

    kind : the format of the first bytes, where it is known.
    counted : refuse too many pictures in one file; else whoever asks counts them.
    """
    opened = Image.open(io.BytesIO(content), formats=formats_of(kind))
    try:
        check_size(opened, len(content), name)
        if counted and opened.format == "GIF" and len(content) > _LEAST_FRAME * MOST_FRAMES:
            _count_frames(opened, name)
    except BaseException:
        opened.close()
        raise
    return opened


def formats_of(kind: str = "") -> tuple[str, ...]:
    """The formats among which Pillow is to look for a file's."""
    if kind in _CORE:
        return (kind,)
    Image.init()
    return tuple(name for name in OPENED if name in Image.OPEN)


def check_size(opened: Image.Image, stored: int, name: str) -> None:
    """Refuse a picture of declared size that would take more than there is a use for.

    opened : not loaded.
    stored : bytes of its file.
    """
    width, height = opened.size
    limit = MOST_PIXELS // DEEP_SHARE if is_deep(opened) else MOST_PIXELS
    check_pixels(width, height, limit, name)
    if width * height > FREE_PIXELS and width * height > PIXELS_A_BYTE * stored:
        raise ImageError(
            f"{name} has {stored:,} bytes for {width}x{height} pixels, which no photograph has; "
            "resize it first"
        )


def check_pixels(width: int, height: int, limit: int, name: str) -> None:
    """Refuse a picture of more than ``limit`` pixels, or with a side of too many."""
    if width * height > limit:
        raise ImageError(f"{name} has more than {limit // 10**6} million pixels; resize it first")
    if max(width, height) > MOST_SIDE:
        raise ImageError(
            f"{name} is {width}x{height}, more than {MOST_SIDE:,} pixels a side; resize it first"
        )


def is_deep(opened: Image.Image) -> bool:
    """Whether a picture that is open but not loaded has more than 8 bits a channel."""
    return ";16" in raw_mode(opened) or opened.mode.startswith(("I", "F"))


def raw_mode(opened: Image.Image) -> str:
    """How Pillow unpacks a picture that is open but not loaded."""
    tiles: Any = getattr(opened, "tile", None) or [("", (), 0, "")]
    arguments = tiles[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _count_frames(opened: Image.Image, name: str) -> None:
    """Refuse a file of more frames than anybody looks at; they are found one after the other."""
    try:
        opened.seek(MOST_FRAMES)
    except EOFError:
        opened.seek(0)
        return
    raise ImageError(f"{name} has more than {MOST_FRAMES:,} pictures; cut it")


class Budget:
    """How many pixels all pictures of one file may have together."""

    def __init__(self, name: str) -> None:
        self._name, self._left = name, 2 * MOST_PIXELS

    def take(self, opened: Image.Image, stored: int) -> None:
        """Count the picture that is about to be decoded, and check it as a single one."""
        check_size(opened, stored, self._name)
        self._left -= opened.width * opened.height
        if self._left < 0:
            millions = 2 * MOST_PIXELS // 10**6
            raise ImageError(
                f"the pictures of {self._name} have more than {millions} million pixels together; "
                "resize them, or cut the file"
            )


@contextmanager
def told_clearly(
    name: str, video: bool = False, passing: type[Exception] = PixelregError
) -> Iterator[None]:
    """Turn whatever is raised while ``name`` is opened and decoded into an `ImageError`.

    Decoders raise what they like, and those written in Rust what is no `Exception`.

    video : the file is one.
    passing : errors that go through as they are, beside our own.
    """
    try:
        yield
    except (PixelregError, passing):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = MOST_PIXELS // 10**6
        raise ImageError(f"{name} has more than {limit} million pixels; resize it first") from error
    except UnidentifiedImageError as error:
        if video:
            raise ImageError(f"{name} is a video: give it to `pixelreg apply` as a file") from error
        raise ImageError(f"{name} is not a picture that Pillow can read") from error
    except DAMAGE as error:
        raise ImageError(f"{name} is damaged: {_brief(error)}") from error
    except MemoryError as error:
        raise ImageError(f"{name} takes more memory than there is; resize it first") from error
    except Exception as error:
        kind = type(error).__name__
        raise ImageError(f"{name} cannot be decoded ({kind}): {_brief(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ImageError(f"{name} cannot be decoded: {_brief(error)}") from error


@contextmanager
def written_clearly(what: str, format: str) -> Iterator[None]:
    """Turn whatever is raised while something is encoded into an `ImageError`.

    Encoders raise what they like too, of sizes that a format has no room for mostly.
    """
    try:
        yield
    except PixelregError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ImageError(f"cannot write {what} as {format}: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """What an error says, in one line that does not go on and on."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 200 else f"{line[:200]}..."
