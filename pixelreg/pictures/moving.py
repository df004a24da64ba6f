"""Files of several pictures: animations (GIF, WebP, APNG, AVIF) and pages (TIFF)."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, UnidentifiedImageError

from pixelreg.errors import FaceError, ImageError
from pixelreg.pictures.image import picture_of
from pixelreg.pictures.kinds import open_picture, told_clearly
from pixelreg.pictures.opening import Budget, written_clearly
from pixelreg.pictures.stored import WHITE
from pixelreg.pictures.writing import Picture, encode, for_file, quality

ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
SEVERAL = ANIMATED | {"TIFF"}
_CLEARED = {"GIF": {"disposal": 2}, "PNG": {"disposal": 1}}  # so that no frame shows through


@dataclass(frozen=True, eq=False)
class Moving:
    """The pictures of a file, and when each is shown.

    durations : milliseconds; none for pages.
    loops : how often an animation runs; 0 is for ever, None once.
    notes : what has to be said of all.
    """

    pictures: tuple[Picture, ...]
    durations: tuple[float, ...] = ()
    loops: int | None = None
    notes: tuple[str, ...] = ()

    def changed(self, change: Callable[[Picture], Picture]) -> Moving:
        """With every picture changed; those without a face stay, which their `notes` tell.

        Where none has a face, what was said of the first is raised.
        """
        made: list[Picture] = []
        missing: list[FaceError] = []
        for picture in self.pictures:
            try:
                made.append(change(picture))
            except FaceError as error:
                made.append(picture)
                missing.append(error)
        if len(missing) == len(made):
            raise missing[0]
        note = f"{len(missing)} of {len(made)} pictures show no face, and stay as they were"
        return replace(self, pictures=tuple(made), notes=(note,) if missing else ())

    @property
    def told(self) -> tuple[str, ...]:
        """All that has to be said of the pictures, each once."""
        notes = (note for picture in self.pictures for note in picture.notes)
        return tuple(dict.fromkeys((*notes, *self.notes)))


def fits(moving: Moving, format: str) -> bool:
    """Whether a file of a format holds the pictures as these stand: in time, or as pages."""
    return format in (ANIMATED if moving.durations else SEVERAL - ANIMATED)


def read_moving(
    content: bytes, name: str, background: tuple[int, int, int] = WHITE
) -> Moving | None:
    """All pictures of a file of several that stand beside each other; None for other files.

    What a phone stores behind a JPEG (a map of depth, another view) is none of these.
    """
    # What cannot be opened is told by `read_bytes`.
    with (
        told_clearly(name, content),
        suppress(UnidentifiedImageError),
        open_picture(content, name) as opened,
    ):
        if opened.format in SEVERAL and getattr(opened, "n_frames", 1) > 1:
            return _all(opened, name, content, background)
    return None


def _all(
    opened: Image.Image, name: str, content: bytes, background: tuple[int, int, int]
) -> Moving:
    loops = opened.info.get("loop")
    # An APNG may begin with a picture for those that cannot show the rest.
    first = int(bool(opened.info.get("default_image")))
    pictures, durations = [], []
    budget = Budget(name)
    for number in range(first, getattr(opened, "n_frames", 1)):
        opened.seek(number)
        budget.take(opened, len(content))
        opened.load()
        pictures.append(picture_of(opened, name, content, background))
        durations.append(float(opened.info.get("duration") or 0))
    if opened.format == "TIFF":
        return Moving(tuple(pictures))
    return Moving(tuple(pictures), tuple(durations), loops)


def encode_moving(moving: Moving, format: str) -> bytes:
    """The file's bytes, in one of `SEVERAL` formats.

    What is said of the first picture is said of the file.
    """
    if format == "TIFF":
        return _pages(moving.pictures)
    if format not in ANIMATED:
        raise ImageError(f"cannot write several pictures as {format}")
    first = next((p for p in moving.pictures if p.changed), moving.pictures[0])
    frames = [for_file(picture, format)[0] for picture in _alike(moving.pictures)]
    about = for_file(first, format)[1]
    options: dict[str, Any] = {**quality(first, format), **about.options(format)}
    if any(picture.alpha is not None for picture in moving.pictures):
        options |= _CLEARED.get(format, {})
    if moving.durations:
        options["duration"] = [round(each) for each in moving.durations]
    if moving.loops is not None:
        options["loop"] = moving.loops
    content = _saved(frames, format, options)
    clear = format == "WEBP" and any("A" in frame.getbands() for frame in frames)
    return _told_transparent(content) if clear else content


def _told_transparent(webp: bytes) -> bytes:
    """An animated WebP whose head says that it has opacity.

    libwebp leaves that out where the parts of the frames that are stored are opaque, whatever is
    around them (WebP container specification, VP8X).
    """
    return webp[:20] + bytes([webp[20] | 0x10]) + webp[21:] if webp[12:16] == b"VP8X" else webp


def _saved(frames: Sequence[Image.Image], format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with written_clearly("an animation", format):
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def _alike(pictures: Sequence[Picture]) -> list[Picture]:
    """Frames that are all in colour where one is; greys in a palette would be another format."""
    grey = all(picture.grey for picture in pictures)
    return [replace(picture, grey=grey) for picture in pictures]


def _pages(pictures: Sequence[Picture]) -> bytes:
    from PIL import TiffImagePlugin

    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer, True) as writer:
        for number, picture in enumerate(pictures):
            # Where a page's EXIF stands would have to be moved with the page.
            page = picture if number == 0 else replace(picture, about=picture.about.plain())
            writer.write(encode(page, "TIFF"))
            writer.newFrame()
    return buffer.getvalue()
