"""Plans: a fitted target as a frozen dataclass of arrays.

Estimators make plans, backends run them, files store them, exporters read them. A plan maps an
(H, W, C) uint8 picture to predictions of the same shape on [0, 1]; all of its arrays are
float32 except where a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import numpy as np

from pixelreg.arrays import Array, Floats
from pixelreg.errors import InvalidArrayError, UnknownNameError
from pixelreg.models.sums import GREY_LEVELS


@dataclass(frozen=True, eq=False)
class Change:
    """What a model does to a crop, at strength 1.

    colour : (S, S, 3) float32 on [0, 1], to be added.
    displacement : (S, S, 2) float32 in crop pixels (x, y), how far from each pixel its new colour
        is fetched before ``colour`` is added; None where nothing moves.
    """

    colour: Floats
    displacement: Floats | None = None

    def masked(self, mask: Floats) -> Change:
        """The change times an (S, S) mask in [0, 1]."""
        moved = None if self.displacement is None else self.displacement * mask[..., None]
        return Change(self.colour * mask[..., None], moved)


Shape = tuple[int, int, int]
P = TypeVar("P", bound="Plan")

MAX_BLUR = 64.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What all plans share: a kind, the picture's shape, and named arrays."""

    kind: ClassVar[str] = ""
    masked: ClassVar[bool] = False  # whether the plan itself leaves what is around the face alone
    integers: ClassVar[frozenset[str]] = frozenset()  # the fields that are int8

    def __post_init__(self) -> None:
        for name, array in self.tensors().items():
            if not isinstance(array, np.ndarray):
                raise InvalidArrayError(f"{self.kind} plan: {name} is not an array")
            wanted = np.dtype(np.int8 if name in self.integers else np.float32)
            if array.dtype != wanted:
                raise InvalidArrayError(
                    f"{self.kind} plan: {name} is {array.dtype}, must be {wanted}"
                )
            if not np.isfinite(array).all():
                raise InvalidArrayError(f"{self.kind} plan: {name} holds NaN or infinite values")
            frozen = array.view()  # the caller's own array stays writeable
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)
        self._check_shapes()

    @property
    def shape(self) -> Shape:
        """Height, width and channels of the pictures that the plan takes and gives."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """How many learnt numbers the plan holds."""
        return sum(array.size for array in self.tensors().values())

    def tensors(self) -> dict[str, Array]:
        """The plan's arrays by field name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_tensors(cls: type[P], tensors: Mapping[str, Array]) -> P:
        """Build and check a plan from arrays by field name."""
        names = {item.name for item in fields(cls)}
        if set(tensors) != names:
            raise InvalidArrayError(
                f"{cls.kind} plan: has {sorted(tensors)}, must have {sorted(names)}"
            )
        return cls(**{name: tensors[name] for name in names})

    def _check_shapes(self) -> None:
        raise NotImplementedError

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            shapes = {name: array.shape for name, array in self.tensors().items()}
            raise InvalidArrayError(f"{self.kind} plan: {what}; its arrays are {shapes}")


@dataclass(frozen=True, eq=False)
class AffinePlan(Plan):
    """Pixel-RR: y = w x + b at every pixel (Pixel-based Facial Expression Synthesis, Eq. 3).

    weight : (H, W, C) float32, w of Eq. 3.
    bias : (H, W, C) float32, b of Eq. 3, on [0, 1].
    """

    kind: ClassVar[str] = "affine"
    weight: Array
    bias: Array

    @property
    def shape(self) -> Shape:
        height, width, channels = self.weight.shape
        return height, width, channels

    def _check_shapes(self) -> None:
        self._require(self.weight.ndim == 3, "weight must be (H, W, C)")
        self._require(self.weight.shape == self.bias.shape, "weight and bias must be alike")


@dataclass(frozen=True, eq=False)
class KernelPlan(Plan):
    """Pixel-KR on the 256 grey levels: y = table[x] . coefficients at every pixel.

    The product equals c_p kappa(x) of Eq. 15 for 8-bit pictures; see `pixelreg.regression.kernel`.

    table : (256, r) float32, the kernel's features of every grey level, shared by all pixels.
    coefficients : (H, W, C, r) float32.
    """

    kind: ClassVar[str] = "kernel"
    table: Array
    coefficients: Array

    @property
    def shape(self) -> Shape:
        height, width, channels, _ = self.coefficients.shape
        return height, width, channels

    def _check_shapes(self) -> None:
        self._require(
            self.table.ndim == 2 and self.table.shape[0] == GREY_LEVELS, "table must be (256, r)"
        )
        self._require(self.coefficients.ndim == 4, "coefficients must be (H, W, C, r)")
        self._require(
            self.coefficients.shape[3] == self.table.shape[1], "table and coefficients must agree"
        )


@dataclass(frozen=True, eq=False)
class SparsePlan(Plan):
    """Masked regression: every output pixel sees k neighbours of its input pixel.

    offsets : (k, 2) int8, the (row, column) steps from the output pixel to its inputs.
    weights : (k, H, W, C) float32; zero where an input would lie outside the picture.
    bias : (H, W, C) float32, on [0, 1].
    """

    kind: ClassVar[str] = "sparse"
    integers: ClassVar[frozenset[str]] = frozenset({"offsets"})
    offsets: Array
    weights: Array
    bias: Array

    @property
    def shape(self) -> Shape:
        height, width, channels = self.bias.shape
        return height, width, channels

    @property
    def parameters(self) -> int:
        return self.weights.size + self.bias.size

    def _check_shapes(self) -> None:
        self._require(
            self.offsets.ndim == 2 and self.offsets.shape[1] == 2, "offsets must be (k, 2)"
        )
        self._require(self.bias.ndim == 3, "bias must be (H, W, C)")
        self._require(
            self.weights.shape == (len(self.offsets), *self.bias.shape),
            "weights must be (k, H, W, C)",
        )


@dataclass(frozen=True, eq=False)
class FactoredPlan(Plan):
    """Ridge regression from all pixels to all pixels (Eq. 1-2), as a product of two factors.

    W = coefficients' basis of rank r <= min(N, D) is never multiplied out.

    basis : (r, D) float32 with D = H W C.
    coefficients : (r, H, W, C) float32.
    """

    kind: ClassVar[str] = "factored"
    basis: Array
    coefficients: Array

    @property
    def shape(self) -> Shape:
        _, height, width, channels = self.coefficients.shape
        return height, width, channels

    def _check_shapes(self) -> None:
        self._require(self.coefficients.ndim == 4, "coefficients must be (r, H, W, C)")
        pixels = int(np.prod(self.coefficients.shape[1:]))
        self._require(
            self.basis.shape == (len(self.coefficients), pixels), "basis must be (r, H W C)"
        )


@dataclass(frozen=True, eq=False)
class FlowPlan(Plan):
    """Expression flow and change: y = m + w low(m) + b with m(p) = x(p + d(p)).

    Every pixel is fetched from where the expression moves it from, then changed by ridge
    regression on a Gaussian low-pass of what was fetched, so that fine detail passes untouched.
    All three fields are 0 outside the face.

    displacement : (H, W, 2) float32, d in pixels (x, y).
    weight, bias : (H, W, C) float32, w and b, on [0, 1].
    blur : (1,) float32, sigma of the low-pass in pixels.
    """

    kind: ClassVar[str] = "flow"
    masked: ClassVar[bool] = True
    displacement: Array
    weight: Array
    bias: Array
    blur: Array

    @property
    def shape(self) -> Shape:
        height, width, channels = self.weight.shape
        return height, width, channels

    @property
    def parameters(self) -> int:
        return self.displacement.size + self.weight.size + self.bias.size

    def _check_shapes(self) -> None:
        self._require(self.weight.ndim == 3, "weight must be (H, W, C)")
        self._require(self.weight.shape == self.bias.shape, "weight and bias must be alike")
        self._require(
            self.displacement.shape == (*self.weight.shape[:2], 2), "displacement must be (H, W, 2)"
        )
        self._require(self.blur.shape == (1,), "blur must be one number")
        self._require(0 <= self.blur[0] <= MAX_BLUR, f"blur must be 0 to {MAX_BLUR}")


PLAN_CLASSES: Mapping[str, type[Plan]] = {
    cls.kind: cls for cls in (AffinePlan, KernelPlan, SparsePlan, FactoredPlan, FlowPlan)
}


def plan_class(kind: str) -> type[Plan]:
    """The plan class of that kind."""
    try:
        return PLAN_CLASSES[kind]
    except KeyError:
        raise UnknownNameError("plan kind", kind, PLAN_CLASSES) from None


def plan_array(values: Array) -> Floats:
    """``values`` as a plan keeps them: float32, contiguous."""
    return np.ascontiguousarray(values, dtype=np.float32)
