"""Pencil sketches from photographs by the dodge-and-blur filter, and folders of such pairs.

The filter is the one that Face2Sketch cites (Khayan & Khoenkaw 2021): grey, invert, Gaussian blur,
colour dodge. Each grey value is divided by the mean of its surroundings: even areas become paper,
whatever is darker than what surrounds it becomes a stroke.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.data.crops import Cutter, Progress, read_all, read_photo
from pixelreg.data.photos import Photo, Problem, first_reason
from pixelreg.errors import DataError, InvalidArrayError, PixelregError, UsageError
from pixelreg.files import write_bytes

BLUR = 0.02  # standard deviation of the blur as a share of the shorter side
LUMA = (0.299, 0.587, 0.114)  # of R, G and B, ITU-R BT.601


def sketch(pixels: Pixels, blur: float = BLUR) -> Pixels:
    """A pencil sketch of a photograph, both (H, W, 3) uint8 sRGB; its three channels are equal.

    With grey g in 0 … 255 and its Gaussian blur b, the blurred negative is 255 - b, and dodging g
    by it gives 255 g / (255 - (255 - b)) = 255 g / b, cut off at 255. ``blur`` is a standard
    deviation as a share of the shorter side; larger ones make broader, softer strokes.
    """
    from scipy.ndimage import gaussian_filter

    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise InvalidArrayError(f"a picture is (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    if not 0.0 < blur <= 1.0:
        raise UsageError(f"blur is {blur}; give a share of the shorter side, above 0 and up to 1")
    grey = pixels.astype(np.float32) @ np.array(LUMA, np.float32)
    around = gaussian_filter(grey, blur * min(grey.shape), mode="nearest")
    dodged = np.full_like(grey, 255.0)  # black on black is even, and so is paper
    np.divide(255.0 * grey, around, out=dodged, where=around > 0)
    drawn = np.rint(np.minimum(dodged, 255.0)).astype(np.uint8)
    return np.repeat(drawn[..., None], 3, axis=-1)


@dataclass(frozen=True)
class Sketched:
    """The photographs that were drawn, and why others could not be used."""

    written: tuple[Photo, ...]
    problems: tuple[Problem, ...]


def write_sketches(
    photos: Sequence[Photo],
    folder: Path,
    cutter: Cutter | None = None,
    blur: float = BLUR,
    progress: Progress | None = None,
) -> Sketched:
    """Write each photograph and its sketch as ``photo/PERSON/TAKE.png`` and ``sketch/…``.

    `pixelreg.data.layouts.scan` reads the folder as layout ``sketches``: pairs that lie pixel on
    pixel, by person. A photograph that cannot be used is left out and reported.

    ``cutter`` takes a square crop of each photograph, None takes them whole; ``progress`` is called
    with (done, total) after every photograph.
    """
    places = _places(photos, folder)
    take: Callable[[Photo], Pixels] = read_photo if cutter is None else cutter.single

    def draw(photo: Photo) -> tuple[bytes, bytes]:
        pixels = take(photo)
        return _png(pixels), _png(sketch(pixels, blur))

    written, problems = list[Photo](), list[Problem]()
    for place, (photo, outcome) in zip(places, read_all(photos, draw), strict=True):
        if isinstance(outcome, PixelregError):
            problems.append(Problem(photo.path, str(outcome)))
        else:
            for path, picture in zip(place, outcome, strict=True):
                write_bytes(path, picture)
            written.append(photo)
        if progress is not None:
            progress(len(written) + len(problems), len(photos))
    if not written:
        raise DataError(
            f"none of the {len(photos)} photographs can be used{first_reason(problems)}"
        )
    return Sketched(tuple(written), tuple(problems))


def _places(photos: Sequence[Photo], folder: Path) -> list[tuple[Path, Path]]:
    """Where each photograph and its sketch go."""
    read = {photo.path.resolve() for photo in photos}
    several = len({photo.expression for photo in photos}) > 1
    taken: dict[str, Photo] = {}
    places = []
    for photo in photos:
        name = f"{_as_name(photo.person)}/{_as_name(_take(photo, several))}.png"
        if name.lower() in taken:  # many file systems take upper and lower case for the same
            other = taken[name.lower()]
            raise UsageError(f"{other.path} and {photo.path} would both become {name}; rename one")
        taken[name.lower()] = photo
        pair = folder / "photo" / name, folder / "sketch" / name
        for path in pair:
            if path.resolve() in read:
                raise UsageError(f"{path} is one of the photographs; write into another folder")
        places.append(pair)
    return places


def _take(photo: Photo, several: bool) -> str:
    """The file's name, with the expression where several are drawn."""
    return f"{photo.path.stem}-{photo.expression}" if several else photo.path.stem


def _as_name(text: str) -> str:
    """A name for a file or folder: separators become hyphens, and it is not hidden."""
    return "-".join(part for part in text.replace("\\", "/").split("/") if part).lstrip(".") or "_"


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
