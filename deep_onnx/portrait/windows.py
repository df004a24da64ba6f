"""The windows around eyes and mouth: §3.2.1 and §4.2 of Mask Guided Portrait Editing.

Of a portrait's five components, hair and skin are taken whole; the eyes and the mouth are cut out
of the picture by windows of fixed size around their centres, shifted where they would cross the
picture's border. Centres are six whole numbers: x and y of the left eye, of the right eye and of
the mouth. A window of height h and width w covers rows y - h // 2 to y - h // 2 + h - 1, and
columns likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from deep_onnx.portrait.labels import COMPONENTS, LABELS, check_masks
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import FaceError, InvalidArrayError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Centres: TypeAlias = NDArray[np.int64]
else:
    Centres = np.ndarray

WINDOWED = ("left-eye", "right-eye", "mouth")
PAPER_SIZE = 256
PAPER_WINDOWS = ((32, 48), (32, 48), (80, 144))  # height and width at 256 x 256
STEP = 16  # sides at which the scaled windows are whole pixels are multiples of this

# The fewest pixels, of 65,536, that a part may have. In the London set an eye in a broad smile has
# 60 or more, thin lips 320 or more.
SMALLEST = (20.0, 20.0, 100.0)
GROWTH = 0.1  # §4.2.2


def window_sizes(size: int) -> tuple[tuple[int, int], ...]:
    """Height and width of the windows of left eye, right eye and mouth, for S x S pictures.

    The paper's 32 x 48, 32 x 48 and 80 x 144 at 256, scaled.
    """
    if size < STEP or size % STEP:
        raise InvalidArrayError(
            f"portraits must have a side that is a multiple of {STEP} pixels, not {size}"
        )
    return tuple((h * size // PAPER_SIZE, w * size // PAPER_SIZE) for h, w in PAPER_WINDOWS)


def clamp_centres(centres: Array, size: int) -> Centres:
    """Centres shifted so that their windows lie inside the picture (§4.2.1).

    centres : (..., 6) whole numbers x, y of left eye, right eye and mouth.
    size : side of the picture in pixels, a multiple of 16.
    """
    centres = np.asarray(centres)
    if centres.ndim < 1 or centres.shape[-1] != 6 or centres.dtype.kind not in "iu":
        raise InvalidArrayError(
            f"centres must be six whole numbers, not {centres.shape} {centres.dtype}"
        )
    sides = np.array([side for h, w in window_sizes(size) for side in (w, h)])
    low = sides // 2
    return np.clip(centres, low, size - sides + low).astype(np.int64)


def window_centres(mask: Array) -> Centres:
    """The centres of eyes and mouth in a mask (S, S), clamped: (6,) int64.

    A part's centre is the middle of the smallest upright box around it.
    """
    mask = _square(mask)
    centres = []
    for name in WINDOWED:
        box = _box(mask, name)
        if box is None:
            raise FaceError(f"the mask has no {_spoken(name)}")
        top, bottom, left, right = box
        centres += [(left + right) // 2, (top + bottom) // 2]
    return clamp_centres(np.array(centres, dtype=np.int64), mask.shape[0])


def face_problem(mask: Array) -> str | None:
    """Why a mask (S, S) is of no use for portraits, or None where it is.

    A face is left out where an eye, the mouth, the nose or the skin is missing, an eye or the
    mouth is too small to be told or larger than its window, or they do not stand like a face's.
    """
    mask = _square(mask)
    for label in ("skin", "nose"):
        if not (mask == LABELS.index(label)).any():
            return f"no {label}"
    size = mask.shape[0]
    boxes = []
    for name, (height, width), few in zip(WINDOWED, window_sizes(size), SMALLEST, strict=True):
        box = _box(mask, name)
        if box is None:
            return f"no {_spoken(name)}"
        count = int(np.isin(mask, COMPONENTS[name]).sum())
        if count < few * (size / PAPER_SIZE) ** 2:
            return f"the {_spoken(name)} has only {count} pixels"
        high, wide = box[1] - box[0], box[3] - box[2]
        if high > height or wide > width:
            return (
                f"the {_spoken(name)} is {wide}x{high} pixels and does not fit its window of "
                f"{width}x{height}"
            )
        boxes.append(box)
    left, right, mouth = boxes
    if left[2] + left[3] >= right[2] + right[3]:
        return "the left eye is not to the left of the right eye"
    if mouth[0] + mouth[1] <= max(left[0] + left[1], right[0] + right[1]):
        return "the mouth is not below the eyes"
    return None


def grown(mask: Array, growth: float = GROWTH) -> Pixels:
    """A mask (H, W) whose eyes and mouth reach a little into the skin (§4.2.2).

    Each of them is drawn out by ``growth`` about the middle of its box, lips and teeth together,
    and covers what is skin there; no pixel of it is lost. Annotations are often a little too
    tight, and the parser is trained on these.
    """
    mask = check_masks(mask)
    if mask.ndim != 2 or not 0 <= growth < float("inf"):
        raise InvalidArrayError(
            f"growing takes one mask (H, W) and a growth of 0 or more, not {mask.shape}, {growth}"
        )
    result: Pixels = mask.copy()
    for name in WINDOWED:
        box = _box(mask, name)
        if box is None:
            continue
        rows, columns = (
            _drawn_out(length, (low + high) / 2, 1 + growth)
            for length, low, high in zip(mask.shape, box[::2], box[1::2], strict=True)
        )
        drawn = mask[np.ix_(rows, columns)]
        taken = np.isin(drawn, COMPONENTS[name]) & (mask == LABELS.index("skin"))
        result[taken] = drawn[taken]
    return result


def _drawn_out(length: int, middle: float, factor: float) -> Array:
    """Which pixel is seen at each of ``length`` places."""
    places = middle + (np.arange(length) + 0.5 - middle) / factor
    return np.asarray(np.clip(np.floor(places), 0, length - 1).astype(int))


def _square(mask: Array) -> Pixels:
    mask = check_masks(mask)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise InvalidArrayError(f"a portrait's mask must be square, not {mask.shape}")
    window_sizes(mask.shape[0])
    return mask


def _box(mask: Pixels, name: str) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of a component; bottom and right are the first outside."""
    inside = np.isin(mask, COMPONENTS[name])
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _spoken(name: str) -> str:
    return name.replace("-", " ")
