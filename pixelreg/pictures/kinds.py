"""What a file is: by its name where it is to be written, by its first bytes where it is read."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from pixelreg.errors import ImageError, PixelregError, need
from pixelreg.files import open_regular
from pixelreg.pictures import opening
from pixelreg.pictures.pillow import DAMAGE

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
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".jxl": "JXL",
    ".apng": "PNG",
}
_ALSO_READ = {".jpe": "JPEG", ".jfif": "JPEG", ".hif": "HEIF", ".mpo": "JPEG"}
READABLE_SUFFIXES = frozenset(SUFFIX_FORMATS) | frozenset(_ALSO_READ)
# Formats that Pillow learns from another package: format -> module, package.
_PLUG_INS = {
    "HEIF": ("pillow_heif", "pillow-heif"),
    "JXL": ("pillow_jxl", "pillow-jxl-plugin"),
}
_NAMES = {"HEIF": "HEIC", "JXL": "JPEG XL"}
HEAD = 512  # bytes by which a file is known
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_PICTURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n"), "PNG"),
    (re.compile(rb"GIF8"), "GIF"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"P[1-6][\s#]"), "PPM"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "JXL"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG2000"),
)
_VIDEOS = re.compile(
    rb".{4}(?:moov|mdat|wide|skip|free|pnot)"  # QuickTime of before brands
    rb"|\x1a\x45\xdf\xa3"  # Matroska, WebM
    rb"|RIFF.{4}AVI |\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|OggS"  # AVI, Windows Media, ...
    rb"|\0\0\x01[\xba\xb3]"  # MPEG programme and elementary streams
    rb"|\x47.{187}\x47.{187}\x47?|.{4}\x47.{191}\x47",  # MPEG transport streams, 188 or 192 apart
    re.DOTALL,
)


def media_of(head: bytes) -> str:
    """``picture``, ``video`` or nothing, by a file's first `HEAD` bytes."""
    if picture_kind(head):
        return "picture"
    return "video" if head[4:8] == b"ftyp" or _VIDEOS.match(head) else ""


def picture_kind(head: bytes) -> str:
    """The picture format of a file by its first `HEAD` bytes; nothing for other files."""
    if head[4:8] == b"ftyp":
        brands = _brands(head)
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else ""
    return next((kind for pattern, kind in _PICTURES if pattern.match(head)), "")


def head_of(path: Path) -> bytes:
    """A file's first `HEAD` bytes; nothing where it cannot be read, or is a pipe."""
    try:
        with open_regular(path) as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""


def _brands(head: bytes) -> set[bytes]:
    """A file's first brand, and the others where the first is a general one."""
    first = head[8:12]
    length = int.from_bytes(head[:4], "big")
    others = {head[k : k + 4] for k in range(16, min(length, len(head)), 4)}
    return {first} | (others if first in (b"mif1", b"msf1", b"miaf") else set())


def format_of(path: Path) -> str:
    """The file format that ``path``'s suffix names."""
    try:
        return SUFFIX_FORMATS[path.suffix.lower()]
    except KeyError:
        known = " ".join(sorted(SUFFIX_FORMATS))
        raise ImageError(f"cannot write {path.name}: its suffix must be one of {known}") from None


def suffix_of(path: Path) -> str:
    """The suffix of a changed picture: its own, or one of its format, or PNG's."""
    suffix = path.suffix.lower()
    if suffix in SUFFIX_FORMATS:
        return path.suffix
    wanted = _ALSO_READ.get(suffix) or picture_kind(head_of(path))
    return next((each for each, name in SUFFIX_FORMATS.items() if name == wanted), ".png")


def plugged_in() -> frozenset[str]:
    """The suffixes of the formats that Pillow learns from packages which are installed."""
    at_hand = {name for name, (module, _) in _PLUG_INS.items() if find_spec(module)}
    known = {**SUFFIX_FORMATS, **_ALSO_READ}
    return frozenset(suffix for suffix, name in known.items() if name in at_hand)


def learn(format: str, purpose: str) -> None:
    """Have Pillow read and write a format that it learns from another package."""
    if format in _PLUG_INS:
        module, package = _PLUG_INS[format]
        plug_in: Any = need(module, package, "formats", purpose)
        register = getattr(plug_in, "register_heif_opener", None)
        if register is not None:
            register()
    elif format == "AVIF":
        Image.init()
        if format not in Image.OPEN:
            raise ImageError(
                f"{purpose} needs Pillow 11.3 or newer; run: python -m pip install -U pillow"
            )


def open_picture(content: bytes, name: str, counted: bool = True) -> Image.Image:
    """An encoded picture as Pillow opens it, with the help of the package that its kind needs.

    Kinds and sizes are those of `pixelreg.pictures.opening`.
    """
    kind = picture_kind(content[:HEAD])
    learn(kind, f"reading {name}, a {_NAMES.get(kind, kind)} picture,")
    return opening.open_picture(content, name, kind, counted)


def told_clearly(
    name: str, content: bytes = b"", passing: type[Exception] = PixelregError
) -> AbstractContextManager[None]:
    """Turn what is raised while ``name`` is opened and decoded into an `ImageError`."""
    return opening.told_clearly(name, media_of(content[:HEAD]) == "video", passing)


_FILLER = bytes(range(0x20, 0x60)) * 4  # what no picture ends in
_JPEG_END = b"\xff\xd9"


def loaded(content: bytes, name: str) -> tuple[Image.Image, bytes, str]:
    """A picture that is open and decoded, its bytes, and what has to be said of it.

    A JPEG of which nothing but the marker of its end is missing is whole; whether it is shows
    when other bytes are put there: they change what is decoded if rows are missing.
    """
    opened = open_picture(content, name)
    try:
        opened.load()
        return opened, content, ""
    except OSError:
        kept = content.rstrip(b"\xff")
        if not content.startswith(b"\xff\xd8") or content.endswith(_JPEG_END):
            raise
        with suppress(*DAMAGE):
            ended, filled = kept + _JPEG_END, kept + _FILLER + _JPEG_END
            with open_picture(ended, name) as one, open_picture(filled, name) as other:
                if one.tobytes() == other.tobytes():
                    return _reopened(ended, name), ended, "it lacks the marker of its end"
        raise


def _reopened(content: bytes, name: str) -> Image.Image:
    opened = open_picture(content, name)
    opened.load()
    return opened
