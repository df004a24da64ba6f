"""One picture at several strengths, or with its sliders moved: a labelled sheet, an animation."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from pixelreg.arrays import Pixels
from pixelreg.errors import ImageError
from pixelreg.pictures.sheet import contact_sheet

STRIP_SIDE = 512
SLIDER_SIDE = 192
SLIDER_STEPS = 5
ANIMATION_SIDE = 512
FRAMES = 16
FRAME_MS = 60
ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


def strength_strip(at: Callable[[float], Pixels], strengths: Sequence[float]) -> Pixels:
    """The picture at each strength side by side, labelled; ``at`` gives (H, W, 3) uint8."""
    pictures = [at(strength) for strength in strengths]
    side = min(STRIP_SIDE, max(pictures[0].shape[:2]))
    columns = [(f"{s:g}", [picture]) for s, picture in zip(strengths, pictures, strict=True)]
    return contact_sheet(columns, cell=side)


def slider_sheet(
    at: Callable[[Mapping[str, float]], Pixels], sliders: Mapping[str, tuple[float, float]]
) -> Pixels:
    """A row for every slider, moved from its lowest to its highest value.

    Parameters
    ----------
    at : the picture, (H, W, 3) uint8, with one slider at a value and the others at rest.
    sliders : name -> lowest and highest value.
    """
    places = np.linspace(0, 1, SLIDER_STEPS)
    columns = []
    for place in places:
        values = {name: float(low + place * (high - low)) for name, (low, high) in sliders.items()}
        pictures = [at({name: value}) for name, value in values.items()]
        same = len(set(values.values())) == 1
        label = f"{next(iter(values.values())):g}" if same else f"{place:.0%}"
        columns.append((label, pictures))
    side = min(SLIDER_SIDE, max(columns[0][1][0].shape[:2]))
    return contact_sheet(columns, list(sliders), side)


def strength_animation(at: Callable[[float], Pixels], most: float, suffix: str) -> bytes:
    """The encoded bytes of an endless sweep from 0 to ``most`` and back.

    Parameters
    ----------
    at : the picture at a strength, (H, W, 3) uint8.
    most : the largest strength.
    suffix : .gif, .webp or .png (an animated PNG).
    """
    if suffix.lower() not in ANIMATED:
        raise ImageError(f"cannot animate {suffix or 'a file without suffix'}; use .gif or .webp")
    # Slow at both ends, as a face moves.
    shares = (1 - np.cos(np.linspace(0, np.pi, FRAMES))) / 2
    frames = [_small(at(float(share * most))) for share in shares]
    frames += frames[-2:0:-1]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        ANIMATED[suffix.lower()],
        save_all=True,
        append_images=frames[1:],
        duration=FRAME_MS,
        loop=0,
    )
    return buffer.getvalue()


def _small(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((ANIMATION_SIDE, ANIMATION_SIDE), Image.Resampling.LANCZOS)
    return image
