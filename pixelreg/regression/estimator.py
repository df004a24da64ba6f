"""What the estimators share: parameters as scikit-learn keeps them, and checked data."""

from __future__ import annotations

import inspect
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import InvalidArrayError, PixelregError, UsageError
from pixelreg.models.sums import Sums
from pixelreg.regression.samples import (
    as_unit,
    check_names,
    check_number_pairs,
    check_numbers,
    check_samples,
    column_names,
    is_unit,
)

E = TypeVar("E", bound="Estimator")

ALPHAS = (0.001, 0.01, 0.04, 0.1, 0.4, 1.0, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Score:
    """Mean squared error on [0, 1] of held-out pairs under some parameters."""

    params: dict[str, float]
    error: float


class Pairs(NamedTuple):
    """Pairs to learn from, alike and checked, and what is known of them: attributes by name."""

    inputs: Array
    targets: Array
    facts: dict[str, Any]


class NotFittedError(PixelregError, ValueError, AttributeError):
    """An estimator was asked to predict before it was fitted."""


def not_fitted(message: str) -> NotFittedError:
    """The error for a model without a fit; scikit-learn's own as well, where that is imported."""
    exceptions = sys.modules.get("sklearn.exceptions")
    if exceptions is None:
        return NotFittedError(message)
    bases = (NotFittedError, exceptions.NotFittedError)
    both = type("NotFittedError", bases, {"__reduce__": lambda self: (not_fitted, self.args)})
    return both(message)


class Estimator:
    """Base of the estimators: what scikit-learn expects of a regressor, without needing it.

    ``__init__`` stores its arguments untouched and ``fit`` checks them, so that scikit-learn's
    ``clone``, ``Pipeline``, ``GridSearchCV`` and ``cross_val_score`` work. X and y may be arrays,
    lists, data frames or tensors of PyTorch. The targets, y, are the paper's T.

    Bytes (uint8) are pictures: 255 is white, floats beside them lie in [0, 1], and so do
    predictions. Other numbers may have any range: predictions come back in the unit of y. They
    are divided by ``scale``, where the estimator has it, before anything else, so alpha and sigma
    mean what they mean for pictures where ``scale`` is the value of white. Scorers of scikit-learn
    compare predictions with y as it stands, so that with them bytes need ``scale=255``.

    Class attributes tell `pixelreg.fitting` what differs between the kinds.

    Attributes
    ----------
    sums : what is kept of 8-bit pairs, a class of `pixelreg.models.sums`; None for the pairs
        themselves.
    options : the parameters that the command line sets, by their option.
    grid : the parameters that K-fold cross-validation tries.
    needs : the optional package that fitting takes; empty for none.
    same_width : each target belongs to one input, a pixel, so y is as wide as X.
    scale : the value of white in X and y where they are no bytes.
    feature_names_in_ : names of the columns, where X was a data frame; X must then keep to them.
    """

    sums: ClassVar[type[Sums] | None] = None
    options: ClassVar[Mapping[str, str]] = {"alpha": "--lambda"}
    grid: ClassVar[Sequence[Mapping[str, float]]] = tuple({"alpha": alpha} for alpha in ALPHAS)
    needs: ClassVar[str] = ""
    same_width: ClassVar[bool] = True
    scale: float = 1.0

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn (1.6 or newer, which calls this) may expect: a multi-output regressor.

        Numbers that say nothing of each other, as scikit-learn's checks draw them, are what
        regression pixel by pixel is not made for, hence ``poor_score``.
        """
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, multi_output=True, single_output=False),
            regressor_tags=RegressorTags(poor_score=self.same_width),
            input_tags=InputTags(),
        )

    def fit(self: E, X: Any, y: Any) -> E:
        """Learn from X and y, (n_samples, n_pixels) each."""
        raise NotImplementedError

    def predict(self, X: Any) -> Float64:
        """Predict from (n_samples, n_pixels)."""
        raise NotImplementedError

    def score(self, X: Any, y: Any) -> float:
        """R², the coefficient of determination, the mean over the targets' columns.

        It is scikit-learn's ``r2_score``, but bytes are read on the scale of the predictions, and
        a constant column counts as constant whatever rounding makes of its mean: 1 where the
        prediction is exact, else 0. One sample has no R²: the result is NaN.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        InvalidArrayError
            If the arrays do not fit each other or the model.
        """
        predicted = self.predict(X)
        targets = check_numbers(y, "T")
        if targets.dtype == np.uint8:
            targets = as_unit(targets) * self.scale
        if targets.shape != predicted.shape:
            raise InvalidArrayError(f"T is {targets.shape}, but predictions are {predicted.shape}")
        return _determination(targets, predicted)

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

    def solving(self, sums: Any) -> float:
        """About how many multiply-adds of dense systems `from_sums` takes, see `get_backend`."""
        return 0.0

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
            raise not_fitted(f"this {type(self).__name__} is not fitted yet; call fit(X, y)")

    def _pairs(self, X: Any, y: Any, more: bool = False) -> Pairs:
        """Pairs to learn from, checked; ``more`` if this model has learnt from others already."""
        scale = check_positive("scale", self.scale)
        names = column_names(X)
        if more:
            check_names(type(self).__name__, getattr(self, "feature_names_in_", None), names)
        inputs, targets = check_number_pairs(X, y, self.same_width, scale)
        one_target = self.same_width and targets.shape[1] < inputs.shape[1]
        if one_target:
            targets = np.repeat(targets, inputs.shape[1], axis=1)
        facts = {
            "bytes_": inputs.dtype == np.uint8,
            "one_target_": one_target,
            "pictures_": is_unit(inputs, targets) and not one_target,
            "feature_names_in_": names,
        }
        if more:
            self._check_width(inputs.shape[1])
            facts = self._joined_facts(facts)
        return Pairs(inputs, targets, {k: v for k, v in facts.items() if v is not None})

    def _joined_facts(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of all the pairs, from what was known and what is known of more."""
        before = vars(self)
        if before.get("one_target_", False) != facts["one_target_"]:
            raise InvalidArrayError("T has one column in some of the pairs and not in others")
        pictures = before.get("pictures_", True) and facts["pictures_"]
        names = before.get("feature_names_in_")
        return {**facts, "pictures_": pictures, "feature_names_in_": names}

    def _facts(self) -> dict[str, Any]:
        """What is known of the pairs that were learnt from; sums are of pairs of pictures."""
        facts = {"bytes_": True, "one_target_": False, "pictures_": True}
        return {name: getattr(self, name, value) for name, value in facts.items()}

    def _note(self: E, facts: Mapping[str, Any]) -> E:
        """Keep what is known of the pairs that were learnt from."""
        vars(self).pop("feature_names_in_", None)
        vars(self).update(facts)
        return self

    def _inputs(self, X: Any, attribute: str) -> Array:
        """Samples to predict from, checked, of a model that has been fitted."""
        self._require_fitted(attribute)
        names = getattr(self, "feature_names_in_", None)
        check_names(type(self).__name__, names, column_names(X))
        bytes_only = getattr(self, "bytes_", True)  # learnt from sums: those are of bytes
        inputs = check_samples(X) if bytes_only else check_numbers(X, "X", self.scale)
        self._check_width(inputs.shape[1])
        return inputs

    def _outputs(self, predicted: Float64) -> Float64:
        """Predictions in the unit of the targets; one number a sample where one was learnt."""
        if getattr(self, "one_target_", False):
            predicted = predicted.mean(axis=1, keepdims=True)
        return predicted if self.scale == 1.0 else predicted * self.scale

    def _require_pictures(self, attribute: str) -> None:
        self._require_fitted(attribute)
        if not getattr(self, "pictures_", True):
            raise UsageError(
                f"this {type(self).__name__} was fitted on values that are no pictures in [0, 1]; "
                "for grey levels as floats give scale=255"
            )

    def _check_width(self, width: int) -> None:
        expected = getattr(self, "n_features_in_", width)
        if width != expected:
            raise InvalidArrayError(
                f"X has {width} features, but {type(self).__name__} is expecting {expected} "
                f"features as input: it was fitted on {expected} pixels"
            )


def check_positive(name: str, value: Any) -> float:
    """``value`` if it is a finite number above zero."""
    if not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise UsageError(f"{name} must be a number above 0, not {value!r}")
    return float(value)


def _determination(targets: Float64, predicted: Float64) -> float:
    if len(targets) < 2:
        return math.nan
    left = np.sum((targets - predicted) ** 2, axis=0)
    spread = np.sum((targets - targets.mean(axis=0)) ** 2, axis=0)
    spread[np.ptp(targets, axis=0) == 0] = 0.0
    scores = np.where(left == 0, 1.0, 0.0)
    np.divide(left, spread, out=scores, where=spread > 0)
    scores[spread > 0] = 1.0 - scores[spread > 0]
    return float(scores.mean())
