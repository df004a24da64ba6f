"""Pictures as a graph takes and gives them: its order of axes, colours, scale, and batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deep_onnx.card import CHANNELS_LAST, GREY, Card
from pixelreg.arrays import Array, Floats

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: grey of red, green, blue
COLOURS = (1, 3)  # how many channels a picture may have


def to_values(card: Card, pictures: Array, element: str) -> Array:
    """Pictures (N, H, W, 3), uint8 or float in [0, 1], as the graph takes them.

    They become (N, C, H, W) of NumPy's type ``element``, contiguous, in the card's order of colours
    and on its scale; C is 1 where the card says grey, else 3. See `arranged` for the axes' order.
    """
    low, high = card.value_range
    most = 255.0 if pictures.dtype == np.uint8 else 1.0
    values = pictures.astype(np.float32)
    if card.colour == GREY:
        values = (values @ LUMA)[..., None]
    values = values * np.float32((high - low) / most) + np.float32(low)
    if card.colour == "BGR":
        values = values[..., ::-1]
    if element == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=element)


def from_values(card: Card, values: Array) -> Floats:
    """(N, C, H, W) as the graph gives it -> (N, H, W, 3) float32 on [0, 1], unclipped."""
    low, high = card.output_range or card.value_range
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return in_colour(card, scaled)


def in_colour(card: Card, values: Array) -> Array:
    """(N, C, H, W) in the card's order of colours -> (N, H, W, 3) in red, green and blue."""
    pictures: Array = values.transpose(0, 2, 3, 1)
    if pictures.shape[-1] == 1:
        return np.repeat(pictures, 3, axis=3)
    return pictures[..., ::-1] if card.colour == "BGR" else pictures


def arranged(card: Card, values: Array, batch: int | None) -> Array:
    """(n, C, H, W) as the graph wants it: channels last where it does, and ``batch`` pictures.

    A graph of a fixed batch gets the last picture again and again; None takes any number.
    """
    if card.layout == CHANNELS_LAST:
        values = values.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(filled(values, batch))


def filled(values: Array, batch: int | None) -> Array:
    """Rows, and the last one again until there are ``batch``; None leaves them."""
    missing = (batch or len(values)) - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def planes(card: Card, made: Array, sides: Sequence[int]) -> Array | None:
    """What a graph gave, as (N, C, H, W) of pictures with these sides; None if it is none.

    Some graphs take channels last and give them first, or the other way round: the shape tells,
    and the card's layout where it fits both.
    """
    if made.ndim != 4:
        return None
    last = made.shape[1:3] == tuple(sides) and made.shape[3] in COLOURS
    first = made.shape[2:] == tuple(sides) and made.shape[1] in COLOURS
    if last and (card.layout == CHANNELS_LAST or not first):
        made = np.moveaxis(made, 3, 1)
    return made if first or last else None


def pad(values: Array, multiple: int) -> tuple[Array, tuple[slice, ...]]:
    """(..., H, W) with both sides whole multiples, its borders mirrored, and where the old lies."""
    margins, inside = [(0, 0)] * (values.ndim - 2), [slice(None)] * (values.ndim - 2)
    for side in values.shape[-2:]:
        more = -side % multiple
        margins.append((more // 2, more - more // 2))
        inside.append(slice(more // 2, more // 2 + side))
    if not any(map(any, margins)):
        return values, tuple(inside)
    return np.pad(values, margins, mode="reflect"), tuple(inside)


def centre(within: Sequence[int], sides: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of the rectangle of these sides in the middle of another."""
    rows, columns = (
        slice((whole - side) // 2, (whole - side) // 2 + side)
        for whole, side in zip(within, sides, strict=True)
    )
    return rows, columns
