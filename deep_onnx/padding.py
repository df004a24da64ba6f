"""Pictures as networks take them: channels first, on their scale, padded to their multiple."""

from __future__ import annotations

import numpy as np

from deep_onnx.card import Card
from pixelreg.arrays import Array, Floats


def to_values(card: Card, pictures: Array, element: str) -> Array:
    """Pictures in the form that the graph takes.

    Parameters
    ----------
    pictures : (N, H, W, 3) uint8, or float in [0, 1].
    element : NumPy's name of the graph's type.

    Returns
    -------
    (N, 3, H, W), contiguous, in the card's order of colours and on its scale.
    """
    low, high = card.value_range
    most = 255.0 if pictures.dtype == np.uint8 else 1.0
    values = pictures.astype(np.float32) * np.float32((high - low) / most) + np.float32(low)
    if card.colour == "BGR":
        values = values[..., ::-1]
    if element == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=element)


def from_values(card: Card, values: Array) -> Floats:
    """(N, 3, H, W) as the graph gives it -> (N, H, W, 3) float32 on [0, 1], unclipped."""
    low, high = card.value_range
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    pictures: Floats = scaled.transpose(0, 2, 3, 1)
    return pictures[..., ::-1] if card.colour == "BGR" else pictures


def pad(values: Array, multiple: int) -> tuple[Array, tuple[slice, ...]]:
    """(..., H, W) with both sides whole multiples, its borders mirrored.

    Returns
    -------
    The padded array, and where the old one lies in it.
    """
    margins, inside = [(0, 0)] * (values.ndim - 2), [slice(None)] * (values.ndim - 2)
    for side in values.shape[-2:]:
        more = -side % multiple
        margins.append((more // 2, more - more // 2))
        inside.append(slice(more // 2, more // 2 + side))
    if not any(map(any, margins)):
        return values, tuple(inside)
    return np.pad(values, margins, mode="reflect"), tuple(inside)
