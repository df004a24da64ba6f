"""Names for the arrays' types.

They are for readers and type checkers: `numpy.typing` takes as long to import as click, so at run
time every name here stands for a plain array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Floats: TypeAlias = NDArray[np.float32]
    Float64: TypeAlias = NDArray[np.float64]
    Pixels: TypeAlias = NDArray[np.uint8]
else:
    from numpy import ndarray

    Array = Floats = Float64 = Pixels = ndarray


def on_host(values: Any) -> Any:
    """A tensor of PyTorch, on whichever device, as a NumPy array; anything else as it is."""
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    tensor = values.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()  # NumPy has no bfloat16 and no 8-bit floats
    return tensor.numpy()
