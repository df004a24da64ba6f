"""What is done to masks and pictures on the way into a portrait model and out of it."""

from __future__ import annotations

import numpy as np

from deep_onnx.portrait.labels import COMPONENTS, LABELS, check_masks
from deep_onnx.portrait.landmarks import resized_mask
from deep_onnx.portrait.windows import WINDOWED, Centres, window_centres
from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.errors import FaceError, InvalidArrayError
from pixelreg.faces.align import Similarity
from pixelreg.models.model import Frame

SKIN, BACKGROUND = LABELS.index("skin"), LABELS.index("background")
INNER = tuple(label for name in WINDOWED for label in COMPONENTS[name])
REACH, FEATHER, BORDER = 1 / 32, 1 / 16, 1 / 10  # of the crop's side


def cut_mask(mask: Array, similarity: Similarity, size: int, photo: tuple[int, int]) -> Pixels:
    """A mask as it is given, at the size of a crop.

    mask : (H, W) labels: of the whole photo where it has its size, else of the crop.
    """
    mask = check_masks(mask)
    if mask.shape == photo:
        centres = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1)
        x, y = np.floor(similarity.to_photo(centres)).astype(int).transpose(2, 0, 1)
        inside = (x >= 0) & (y >= 0) & (x < photo[1]) & (y < photo[0])
        found = mask[np.clip(y, 0, photo[0] - 1), np.clip(x, 0, photo[1] - 1)]
        cut: Pixels = np.where(inside, found, BACKGROUND).astype(np.uint8)
        return cut
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise InvalidArrayError(
            f"a mask must be of its photo's size, {photo[1]}x{photo[0]}, or square as the crop, "
            f"not {'x'.join(map(str, mask.shape[::-1]))}"
        )
    return resized_mask(mask, size)


def photo_mask(shares: Floats, similarity: Similarity, photo: tuple[int, int]) -> Pixels:
    """A crop's labels at its photo's size, background outside the crop.

    shares : (11, S, S): how likely every label is.

    Returns: (H, W) uint8 labels; where the photo is finer, likelihoods are interpolated, not
    labels.
    """
    from scipy.ndimage import map_coordinates

    size, result = shares.shape[1], np.full(photo, BACKGROUND, np.uint8)
    corners = similarity.to_photo(np.array([[0, 0], [size, 0], [0, size], [size, size]]))
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)), photo[::-1]).astype(int)
    if (low >= high).any():
        return result
    across, down = (np.arange(a, b) + 0.5 for a, b in zip(low, high, strict=True))
    points = similarity.to_crop(np.stack(np.meshgrid(across, down), axis=-1))
    inside = ((points >= 0) & (points <= size)).all(axis=-1)
    places = points[..., ::-1].transpose(2, 0, 1) - 0.5
    best = np.zeros(inside.shape)
    labels = np.zeros(inside.shape, np.uint8)
    for label, plane in enumerate(shares):
        share = map_coordinates(plane, places, order=1, mode="nearest")
        labels[share > best] = label
        best = np.maximum(best, share)
    result[low[1] : high[1], low[0] : high[0]] = np.where(inside, labels, BACKGROUND)
    return result


def centres_of(mask: Pixels, what: str, frame: Frame | None = None) -> Centres:
    """`window_centres`, its refusal saying which mask it is about.

    mask : (S, S) labels.
    frame : where the eyes stand in the crop that the mask was made of, if it was aligned: an eye
        that the mask lacks is taken to be there.
    """
    marked: Pixels = mask.copy()
    if frame is not None:
        for name, eye in zip(WINDOWED, frame.eyes, strict=False):
            (label,) = COMPONENTS[name]
            if not (mask == label).any():
                column, row = (min(int(place * len(mask)), len(mask) - 1) for place in eye)
                marked[row, column] = label
    try:
        return window_centres(marked)
    except FaceError as error:
        raise FaceError(f"{error}: {what}") from error


def tidied(mask: Pixels) -> Pixels:
    """A parser's mask in which each eye and the mouth are one piece: what lies apart is skin.

    A few pixels taken for a mouth elsewhere would move its window, which is put around all of it.

    mask : (H, W) uint8 labels.
    """
    from scipy.ndimage import label

    result: Pixels = mask.copy()
    for name in WINDOWED:
        inside = np.isin(mask, COMPONENTS[name])
        pieces, count = label(inside, np.ones((3, 3)))
        if count > 1:
            largest = 1 + int(np.bincount(pieces[inside])[1:].argmax())
            result[inside & (pieces != largest)] = SKIN
    return result


def swapped(mask: Pixels, other: Pixels, name: str) -> Pixels:
    """A mask with another portrait's component in place of its own (§4.4.2).

    Eyes and mouth are moved to where the old ones were; skin and hair stay where they are. What
    the old component leaves bare becomes skin inside the face, and the nearest other part outside.

    mask, other : (S, S) uint8 labels.
    name : of a component; see `deep_onnx.portrait.labels.COMPONENTS`.
    """
    labels = COMPONENTS[name]
    old, new = np.isin(mask, labels), np.isin(other, labels)
    if not new.any():
        raise FaceError(f"the portrait that gives its {name} has none in its mask")
    bare: Pixels = mask.copy()
    if name in WINDOWED:
        bare[old] = SKIN
        across, down = _middle(old if old.any() else new) - _middle(new)
        result, moved = bare, _moved(other, int(across), int(down))
        taken = np.isin(moved, labels)
        result[taken] = moved[taken]
        return result
    around = ~old & ~np.isin(mask, INNER)
    bare[old] = mask[_nearest(around)][old]
    taken = new & ~np.isin(mask, INNER)
    result = bare
    result[taken] = other[taken]
    return result


def uncovered(image: Pixels, before: Pixels, after: Pixels) -> Pixels:
    """A portrait whose background goes on where a new mask takes the head away.

    image : (S, S, 3) uint8.
    before, after : (S, S) labels of it, and wanted.
    """
    hole = (after == BACKGROUND) & (before != BACKGROUND)
    known = before == BACKGROUND
    if not hole.any() or not known.any():
        return image
    filled: Pixels = image.copy()
    filled[hole] = image[_nearest(known)][hole]
    return filled


def fading(region: Array) -> Floats:
    """How much of a made portrait is given back: all in a region, less and less around it.

    region : (S, S) bool.

    Returns: (S, S) float32 in [0, 1]; 0 at the crop's border.
    """
    from scipy.ndimage import distance_transform_edt

    size = len(region)
    if not region.any():
        return np.zeros(region.shape, np.float32)
    away: Float64 = distance_transform_edt(~region) / size
    near = np.clip(1.0 - (away - REACH) / FEATHER, 0.0, 1.0)
    edge = (np.arange(size) + 0.5) / size
    edge = np.clip(np.minimum(edge, 1.0 - edge) / BORDER, 0.0, 1.0)
    weights = near * np.minimum(edge[:, None], edge)
    return (weights * weights * (3.0 - 2.0 * weights)).astype(np.float32)


def _middle(inside: Array) -> Array:
    """Column and row of the middle of the smallest box around what is True."""
    found = [np.flatnonzero(inside.any(axis=axis)) for axis in (0, 1)]
    return np.array([(int(places[0]) + int(places[-1]) + 1) // 2 for places in found])


def _moved(mask: Pixels, across: int, down: int) -> Pixels:
    """A mask shifted by whole pixels, background where nothing comes from."""
    size, result = len(mask), np.full_like(mask, BACKGROUND)
    rows, columns = (
        (slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size + min(-by, 0)))
        for by in (down, across)
    )
    result[rows[0], columns[0]] = mask[rows[1], columns[1]]
    return result


def _nearest(known: Array) -> tuple[Array, Array]:
    """For every pixel the row and column of the nearest one that is known."""
    from scipy.ndimage import distance_transform_edt

    if not known.any():
        itself = np.indices(known.shape)
        return itself[0], itself[1]
    places: Array = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return places[0], places[1]
