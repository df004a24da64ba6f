"""Names for the arrays' types, and what is checked of arrays wherever they come in.

They are for readers and type checkers: `numpy.typing` takes as long to import as click, so at run
time every name here stands for a plain array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixelreg.errors import InvalidArrayError

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Floats: TypeAlias = NDArray[np.float32]
    Float64: TypeAlias = NDArray[np.float64]
    Pixels: TypeAlias = NDArray[np.uint8]
else:
    Array = Floats = Float64 = Pixels = np.ndarray

ROUNDING = 1e-5  # by which floats may leave [0, 1]: float16 and sums do no better


def on_host(values: Any) -> Any:
    """A tensor of PyTorch, on whichever device, as a NumPy array; anything else as it is."""
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    tensor = values.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()  # NumPy has no bfloat16 and no 8-bit floats
    return tensor.numpy()


def check_unit_range(array: Array, name: str) -> Float64:
    """``array`` as float64 after checking that it is finite and, but for rounding, in [0, 1]."""
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidArrayError(f"{name} holds NaN or infinite values; replace them first")
    if not values.size:
        return values
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        raise InvalidArrayError(
            f"{name} has floats from {low:.9g} to {high:.9g}; scale them to [0, 1] or use uint8"
        )
    return values if low >= 0.0 and high <= 1.0 else np.clip(values, 0.0, 1.0)
