"""What the estimators share: parameters as scikit-learn keeps them, and checked data."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import InvalidArrayError, PixelregError, UsageError
from pixelreg.models.sums import Sums
from pixelreg.pictures.image import check_unit_range

E = TypeVar("E", bound="Estimator")

ALPHAS = (0.001, 0.01, 0.04, 0.1, 0.4, 1.0, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Score:
    """Mean squared error on [0, 1] of held-out pairs under some parameters."""

    params: dict[str, float]
    error: float


class NotFittedError(PixelregError, ValueError, AttributeError):
    """An estimator was asked to predict before it was fitted."""


class Estimator:
    """Base of the estimators: ``get_params``, ``set_params`` and a short ``repr``.

    ``__init__`` stores its arguments untouched and ``fit`` checks them, so that scikit-learn's
    ``clone`` works without scikit-learn being needed here.

    Class attributes tell `pixelreg.fitting` what differs between the kinds.

    Attributes
    ----------
    sums : what is kept of 8-bit pairs, a class of `pixelreg.models.sums`; None for the pairs
        themselves.
    options : the parameters that the command line sets, by their option.
    grid : the parameters that K-fold cross-validation tries.
    """

    sums: ClassVar[type[Sums] | None] = None
    options: ClassVar[Mapping[str, str]] = {"alpha": "--lambda"}
    grid: ClassVar[Sequence[Mapping[str, float]]] = tuple({"alpha": alpha} for alpha in ALPHAS)

    @classmethod
    def preference(cls, photographs: bool) -> int:
        """How good a choice this is where no kind was asked for; 0 for never.

        ``photographs`` says whether the pictures are photographs of faces in the canonical frame.
        """
        return 0

    @classmethod
    def paper_settings(cls, target: str) -> dict[str, Any] | None:
        """Pixel-based Facial Expression Synthesis, section IV; None for what it does not give."""
        return None

    @classmethod
    def thinning(cls, size: int) -> int:
        """Every how many rows and columns cross-validation looks at, of pictures of a size."""
        return 1

    @classmethod
    def leave_one_out(cls, X: Any, T: Any, params: Mapping[str, Any]) -> list[Score] | None:
        """Exact leave-one-out scores where the kind has them in closed form, else None."""
        return None

    def from_sums(self: E, sums: Any, backend: Any) -> E:
        """Learn from sums of 8-bit pairs, with a backend of `pixelreg.backends`."""
        raise NotImplementedError

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name; ``deep`` is there for scikit-learn."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self: E, **params: Any) -> E:
        """Change constructor arguments.

        Raises
        ------
        UsageError
            If there is no argument of that name.
        """
        for name, value in params.items():
            if name not in self._names():
                raise UsageError(
                    f"{type(self).__name__} has no parameter {name!r}; "
                    f"it has: {', '.join(self._names())}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({inside})"

    def _require_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit(X, T)")

    def _inputs(self, X: Any, attribute: str) -> Array:
        """Samples to predict from, checked, of a model that has been fitted."""
        self._require_fitted(attribute)
        inputs = check_samples(X)
        self._check_width(inputs.shape[1])
        return inputs

    def _check_width(self, width: int) -> None:
        expected = getattr(self, "n_features_in_", width)
        if width != expected:
            raise InvalidArrayError(f"X has {width} pixels, but the model was fitted on {expected}")


def check_positive(name: str, value: Any) -> float:
    """``value`` if it is a finite number above zero."""
    if not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise UsageError(f"{name} must be a number above 0, not {value!r}")
    return float(value)


def check_samples(values: Any, name: str = "X") -> Array:
    """``values`` as an (n_samples, n_pixels) array of uint8, or of finite float64 in [0, 1]."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InvalidArrayError(f"{name} must be (n_samples, n_pixels): {error}") from error
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidArrayError(f"{name} must be (n_samples, n_pixels), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidArrayError(f"{name} must be uint8 or float in [0, 1], not {array.dtype}")
    return check_unit_range(array, name)


def check_pairs(X: Any, T: Any, same_width: bool = True) -> tuple[Array, Array]:
    """Inputs and targets that fit each other, both uint8 or both float64."""
    inputs, targets = check_samples(X, "X"), check_samples(T, "T")
    if len(inputs) != len(targets):
        raise InvalidArrayError(f"X has {len(inputs)} samples but T has {len(targets)}")
    if same_width and inputs.shape != targets.shape:
        raise InvalidArrayError(f"X is {inputs.shape} but T is {targets.shape}; they must be alike")
    if inputs.dtype != targets.dtype:
        inputs, targets = as_unit(inputs), as_unit(targets)
    return inputs, targets


def as_unit(samples: Array) -> Float64:
    """Samples on [0, 1] as float64: uint8 is divided by 255."""
    if samples.dtype == np.uint8:
        return samples / 255.0
    return samples.astype(np.float64, copy=False)
