"""Cutting windows out of pictures and setting them in, at places that are only known from data.

A loop over slices would be frozen when it is exported: the places of the traced example stay, and
the input vanishes. Products with matrices of 0 and 1 give the same bits, and stay a computation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.windows import window_sizes

NAMES = tuple(COMPONENTS)  # left eye, right eye, mouth, skin, hair
WINDOWED = 3  # so many of them are windows; the others are as large as the picture
COARSER = 4  # of the feature maps that windows are set into


def windows_of(size: int) -> tuple[tuple[int, int], ...]:
    """Height and width of all five components' pictures, in portraits of a side."""
    return (*window_sizes(size), (size, size), (size, size))


def one_hot(mask: Tensor) -> Tensor:
    """(N, H, W) int64 labels -> (N, 11, H, W) float32 of 0 and 1."""
    labels = torch.arange(len(LABELS), device=mask.device)
    return (mask[:, None] == labels[:, None, None]).float()


def corners(centres: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Top and left, (N,) int64 each, of the three windows inside the picture.

    Parameters
    ----------
    centres : (N, 6) int64, x and y of left eye, right eye and mouth; clamped first.
    size : side of the picture.
    """
    found = []
    for index, (height, width) in enumerate(window_sizes(size)):
        left = centres[:, 2 * index] - width // 2
        top = centres[:, 2 * index + 1] - height // 2
        found.append((top.clamp(0, size - height), left.clamp(0, size - width)))
    return found


def crop(pictures: Tensor, top: Tensor, left: Tensor, window: tuple[int, int]) -> Tensor:
    """(N, C, H, W) and a corner for each -> (N, C, *window)."""
    down = _selection(top, window[0], pictures.shape[2])
    across = _selection(left, window[1], pictures.shape[3])
    return down @ pictures @ across.transpose(-1, -2)


def paste(windows: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """(N, C, h, w) in a (N, C, size, size) of zeros, each at its corner."""
    down = _selection(top, windows.shape[2], size)
    across = _selection(left, windows.shape[3], size)
    return down.transpose(-1, -2) @ windows @ across


def coarser(corner: Tensor) -> Tensor:
    """A corner on the grid of the feature maps, to the nearest, half a pixel upwards."""
    return torch.div(corner + COARSER // 2, COARSER, rounding_mode="floor")


def _selection(start: Tensor, length: int, side: int) -> Tensor:
    """(N, 1, length, side): row r is 1 at start + r, and 0 elsewhere."""
    wanted = start[:, None, None] + torch.arange(length, device=start.device)[:, None]
    return (wanted == torch.arange(side, device=start.device)).float()[:, None]
