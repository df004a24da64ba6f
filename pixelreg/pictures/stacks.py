"""Several pictures in one array, and tensors of PyTorch: taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from pixelreg.arrays import Array, on_host
from pixelreg.errors import InvalidArrayError

CHANNELS = (1, 3, 4)


class _TensorLike(Protocol):
    """What makes a tensor one of PyTorch, which need not be installed."""

    def new_tensor(self, data: Any) -> Any: ...


Kept = TypeVar("Kept", bound="Array | bytes | _TensorLike")  # what comes back as it was given


@dataclass(frozen=True, eq=False)
class Stack:
    """The pictures of one array or tensor, ``given``.

    pictures : (N, H, W[, C]) or, of one picture, (1, H, W[, C]), channels last, a NumPy array.
    single : ``given`` is one picture.
    first : its channels come before its rows, as PyTorch has it.
    """

    given: Any
    pictures: Array
    single: bool
    first: bool

    def __iter__(self) -> Iterator[Array]:
        return iter(self.pictures)

    def restored(self, made: Sequence[Any]) -> Any:
        """Changed pictures, as many as there were, in the form of what was given."""
        stacked: Array = np.stack(made) if made else self.pictures.copy()
        if self.first:
            stacked = np.moveaxis(stacked, -1, -3)
        if self.single:
            stacked = stacked[0]
        if isinstance(self.given, np.ndarray):
            return stacked
        new = self.given.new_tensor  # of the given type, and where it lay
        return new(np.ascontiguousarray(stacked), dtype=self.given.dtype)


def stack_of(image: Any) -> Stack | None:
    """An array (N, H, W, C), or any tensor of PyTorch, as a `Stack`; None for anything else.

    Tensors are (H, W), (C, H, W), (N, C, H, W), or with the channels last; where the sides leave
    it open, the channels come first.
    """
    tensor = is_tensor(image)
    if not tensor and not (isinstance(image, np.ndarray) and image.ndim == 4):
        return None
    array: Array = on_host(image)
    sides = {*array.shape[-1:], *array.shape[-3:-2]}  # where colours may lie
    if not 2 <= array.ndim <= 4 or (array.ndim > 2 and sides.isdisjoint(CHANNELS)):
        kinds = "(H, W), (3, H, W) or (N, 3, H, W)" if tensor else "(H, W, 3) or (N, H, W, 3)"
        raise InvalidArrayError(f"the picture array must be {kinds}, not {tuple(array.shape)}")
    first = tensor and array.ndim > 2 and array.shape[-3] in CHANNELS
    if first:
        array = np.moveaxis(array, -3, -1)
    single = array.ndim < 4
    return Stack(image, array[None] if single else array, single, first)


def is_tensor(image: Any) -> bool:
    """Whether something is a tensor of PyTorch, which need not be installed."""
    return type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "new_tensor")
