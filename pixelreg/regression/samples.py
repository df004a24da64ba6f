"""What estimators take in: rows of numbers from arrays, data frames and tensors, checked.

Bytes (uint8) are always pictures: 255 is white. Floats are pictures where they lie in [0, 1], but
they need not: `PixelRidge` and the others but `FlowRidge` learn from numbers of any range.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, check_unit_range, on_host
from pixelreg.errors import InvalidArrayError

NOISE = 1e-6  # what rounding may leave beyond [0, 1]: float32 takes steps of 1.2e-7 at 1
SHOWN_NAMES = 5


class InvalidTypeError(InvalidArrayError, TypeError):
    """An array that holds things which are no numbers."""


def check_samples(values: Any, name: str = "X") -> Array:
    """Pictures as an (n_samples, n_pixels) array of uint8, or of finite float64 in [0, 1]."""
    array = _as_matrix(values, name)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidArrayError(f"{name} must be uint8 or float in [0, 1], not {array.dtype}")
    return check_unit_range(without_noise(array), name)


def check_pairs(X: Any, T: Any, same_width: bool = True) -> tuple[Array, Array]:
    """Pictures and targets that fit each other, both uint8 or both float64 in [0, 1]."""
    return _alike(check_samples(X, "X"), check_samples(T, "T"), same_width)


def check_numbers(values: Any, name: str = "X", scale: float = 1.0) -> Array:
    """Samples as an (n_samples, n_features) array of uint8, or of finite float64.

    Floats are divided by ``scale``; what is in [0, 1] then but for rounding is clipped.
    """
    array = _as_matrix(values, name)
    if array.dtype == np.uint8:
        return array
    floats = _as_floats(array, name)
    if not np.isfinite(floats).all():
        raise InvalidArrayError(f"{name} holds NaN or infinite values (inf); replace them first")
    return without_noise(floats / scale if scale != 1.0 else floats)


def check_number_pairs(
    X: Any, T: Any, same_width: bool = True, scale: float = 1.0
) -> tuple[Array, Array]:
    """Samples and targets that fit each other, both uint8 or both finite float64.

    Where one side is uint8, both are pictures. Otherwise targets may also be a single column.
    """
    if T is None:
        raise InvalidArrayError(
            "T is missing: the estimator requires y to be passed, but the target y is None"
        )
    inputs, targets = check_numbers(X, "X", scale), check_numbers(T, "T", scale)
    if np.uint8 in (inputs.dtype, targets.dtype):
        return _alike(*_pictures_both((X, T), (inputs, targets), scale), same_width)
    return _alike(inputs, targets, same_width and targets.shape[1] > 1)


def as_unit(samples: Array) -> Float64:
    """Samples on [0, 1] as float64: uint8 is divided by 255."""
    if samples.dtype == np.uint8:
        return samples / 255.0
    return samples.astype(np.float64, copy=False)


def is_unit(*arrays: Array) -> bool:
    """Whether arrays hold pictures: uint8, or nothing outside [0, 1]."""
    return all(each.dtype == np.uint8 or (each.min() >= 0 and each.max() <= 1) for each in arrays)


def without_noise(floats: Array) -> Array:
    """Floats, clipped to [0, 1] where they leave it by no more than rounding does."""
    noise = max(NOISE, 2 * float(np.finfo(floats.dtype).eps))
    low, high = floats.min(), floats.max()
    if (low >= 0 and high <= 1) or low < -noise or high > 1 + noise:
        return floats
    return np.clip(floats, 0, 1)


def column_names(X: Any) -> Array | None:
    """The names of a data frame's columns, (n_features,) objects; None if they are no strings."""
    columns = getattr(X, "columns", None)
    if columns is None or callable(columns):
        return None
    names = np.asarray(columns, dtype=object)
    strings = [isinstance(name, str) for name in names]
    if any(strings) and not all(strings):
        raise InvalidTypeError("X has column names of which some are strings and some are not")
    return names if all(strings) and len(names) else None


def check_names(model: str, fitted: Array | None, given: Array | None) -> None:
    """Refuse columns that are others, or in another order, than those a model was fitted on."""
    if fitted is None and given is None:
        return
    if given is None or fitted is None:
        had, has = ("with", "does not have valid") if given is None else ("without", "has")
        message = f"X {has} feature names, but {model} was fitted {had} feature names"
        warnings.warn(message, UserWarning, stacklevel=4)
    elif list(fitted) != list(given):
        raise InvalidArrayError(
            "The feature names should match those that were passed during fit.\n"
            + _name_trouble(fitted, given)
        )


def _name_trouble(fitted: Array, given: Array) -> str:
    unseen, missing = sorted(set(given) - set(fitted)), sorted(set(fitted) - set(given))
    lines = _listed("Feature names unseen at fit time:", unseen)
    lines += _listed("Feature names seen at fit time, yet now missing:", missing)
    if not lines:
        lines = ["Feature names must be in the same order as they were in fit."]
    return "\n".join(lines) + "\n"


def _listed(title: str, names: list[str]) -> list[str]:
    more = ["- ..."] if len(names) > SHOWN_NAMES else []
    return [title, *(f"- {name}" for name in names[:SHOWN_NAMES]), *more] if names else []


def _as_matrix(values: Any, name: str) -> Array:
    if hasattr(values, "nnz"):
        raise InvalidArrayError(f"{name} is sparse, which is not taken; give {name}.toarray()")
    try:
        array = np.asarray(on_host(values))
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise InvalidArrayError(f"{name} must be (n_samples, n_pixels): {error}") from error
    if array.ndim != 2:
        raise InvalidArrayError(
            f"{name} must be (n_samples, n_pixels), not {array.shape}. Reshape your data: "
            "pictures with reshape(n_samples, -1), one sample with reshape(1, -1), "
            "one number a sample with reshape(-1, 1)"
        )
    if 0 in array.shape:
        what = ("sample", "feature")[array.shape.index(0)]
        raise InvalidArrayError(
            f"{name} must be (n_samples, n_pixels): found array with 0 {what}(s) "
            f"(shape={array.shape}) while a minimum of 1 is required."
        )
    return array


def _as_floats(array: Array, name: str) -> Float64:
    if np.iscomplexobj(array):
        raise InvalidArrayError(f"{name} must be real numbers. Complex data not supported")
    if array.dtype.kind not in "biufO":
        raise InvalidTypeError(f"{name} must be numbers, not {array.dtype}")
    try:
        return array.astype(np.float64, copy=False)
    except TypeError as error:
        raise InvalidTypeError(f"{name} must be numbers: {error}") from error
    except ValueError as error:
        raise InvalidArrayError(f"{name} must be numbers: {error}") from error


def _pictures_both(
    given: tuple[Any, Any], read: tuple[Array, Array], scale: float
) -> tuple[Array, Array]:
    """Both sides as pictures, as one is bytes; ``given`` tells floats from other numbers."""
    checked = []
    for name, values, array in zip("XT", given, read, strict=True):
        kind = np.asarray(on_host(values)).dtype
        if array.dtype != np.uint8 and not np.issubdtype(kind, np.floating):
            raise InvalidArrayError(f"{name} must be uint8 or float in [0, 1], not {kind}")
        checked.append(array if array.dtype == np.uint8 else check_unit_range(array, name))
    return checked[0], checked[1]


def _alike(inputs: Array, targets: Array, same_width: bool) -> tuple[Array, Array]:
    if len(inputs) != len(targets):
        raise InvalidArrayError(f"X has {len(inputs)} samples but T has {len(targets)}")
    if same_width and inputs.shape != targets.shape:
        raise InvalidArrayError(f"X is {inputs.shape} but T is {targets.shape}; they must be alike")
    if inputs.dtype != targets.dtype:
        inputs, targets = as_unit(inputs), as_unit(targets)
    return inputs, targets
