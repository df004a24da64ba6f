"""Plans: a fitted target as a frozen dataclass of arrays, and what it computes.

Estimators make plans, backends run them, files store them, exporters read them. A plan maps an
(H, W, C) uint8 picture to predictions of the same shape on [0, 1]; all of its arrays are
float32 except where a field says otherwise. Its mathematics are written for any array module
``xp`` (NumPy or CuPy): backends may be quicker, but must come to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.errors import InvalidArrayError, UnknownNameError
from pixelreg.models.sums import GREY_LEVELS
from pixelreg.pictures.warp import KEYS, fetch_cubic, fetch_linear, gaussian_blur


@dataclass(frozen=True, eq=False)
class Change:
    """What a model does to a crop, (H, W) pixels, S on both sides but for a rig's.

    colour : (S, S, 3) float32 on [0, 1], to be added.
    displacement : (S, S, 2) float32 in crop pixels (x, y), how far from each pixel its new colour
        is fetched before ``colour`` is added; None where nothing moves.
    gain : (S, S) float32, what the fetched colour is multiplied by, or None for 1.
    steepness : of the cubic look-up that fetches colours, see `pixelreg.pictures.warp.fetch_cubic`.
    layer : (S, S, 4) float32 on [0, 1], laid over it last: colour times cover, and cover; or None.
    """

    colour: Floats
    displacement: Floats | None = None
    gain: Floats | None = None
    layer: Floats | None = None
    steepness: float = KEYS

    def masked(self, mask: Floats) -> Change:
        """The change times an (S, S) mask in [0, 1]."""
        around = mask[..., None]
        moved, gain, layer = self.displacement, self.gain, self.layer
        return Change(
            self.colour * around,
            None if moved is None else moved * around,
            None if gain is None else 1 + (gain - 1) * mask,
            None if layer is None else layer * around,
            self.steepness,
        )


Shape = tuple[int, int, int]
P = TypeVar("P", bound="Plan")

MAX_BLUR = 64.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What all plans share: a kind, the picture's shape, named arrays, and how they are applied.

    Pictures are (..., H, W, C) uint8 (read as /255) or float32 in [0, 1].
    """

    kind: ClassVar[str] = ""
    masked: ClassVar[bool] = False  # whether the plan itself leaves what is around the face alone
    integers: ClassVar[frozenset[str]] = frozenset()  # the fields that are int8
    on_host: ClassVar[frozenset[str]] = frozenset()  # the fields that loops are decided by
    effort: ClassVar[int] = 4  # about how many operations a number of the plan takes a picture

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

    def carried(self: P, convert: Callable[[Array], Any]) -> P:
        """The plan with its arrays converted to another device's, but for those of `on_host`."""
        other = object.__new__(type(self))
        for name, array in self.tensors().items():
            object.__setattr__(other, name, array if name in self.on_host else convert(array))
        return other

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        """(..., H, W, C) float32 on [0, 1], unclipped."""
        raise NotImplementedError

    def apply(self, pictures: Pixels, strength: float, xp: Any = np) -> Pixels:
        """x + strength (y - x), rounded and clipped to uint8."""
        unit = as_unit(pictures)
        return to_bytes(unit + np.float32(strength) * (self.predict(pictures, xp) - unit), xp)

    def change(self, picture: Array, xp: Any = np) -> Change:
        """What the plan does to one picture, apart from the picture itself."""
        return Change(self.predict(picture, xp) - as_unit(picture))

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

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        return self.weight * as_unit(pictures) + self.bias

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

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        known = pictures.dtype == np.uint8
        features = self.table[pictures] if known else self._between(pictures, xp)
        return xp.einsum("...r,...r->...", features, self.coefficients)

    def _between(self, pictures: Array, xp: Any) -> Floats:
        """Features of values between two grey levels, by linear interpolation."""
        position = as_unit(pictures) * np.float32(len(self.table) - 1)
        low = xp.minimum(position.astype(np.intp), len(self.table) - 2)
        share = (position - low.astype(np.float32))[..., None]
        return self.table[low] * (1 - share) + self.table[low + 1] * share

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
    on_host: ClassVar[frozenset[str]] = frozenset({"offsets"})
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

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        unit = as_unit(pictures)
        total: Floats = xp.broadcast_to(self.bias, unit.shape).copy()
        for (down, right), weights in zip(self.offsets.tolist(), self.weights, strict=True):
            rows, columns = _overlap(self.shape[0], down), _overlap(self.shape[1], right)
            here = (..., rows[0], columns[0], slice(None))
            there = (..., rows[1], columns[1], slice(None))
            total[here] += weights[here] * unit[there]
        return total

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

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        flat = as_unit(pictures).reshape(*pictures.shape[:-3], -1)
        return xp.tensordot(flat @ self.basis.T, self.coefficients, axes=1)

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
    on_host: ClassVar[frozenset[str]] = frozenset({"blur"})
    effort: ClassVar[int] = 60  # each number is fetched and blurred
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

    def predict(self, pictures: Array, xp: Any = np) -> Floats:
        return self._moved(as_unit(pictures), 1.0, xp)

    def apply(self, pictures: Pixels, strength: float, xp: Any = np) -> Pixels:
        """Every picture moved and changed by ``strength``, rounded and clipped to uint8."""
        return to_bytes(self._moved(as_unit(pictures), strength, xp), xp)

    def change(self, picture: Array, xp: Any = np) -> Change:
        x, y = self._sources(np.float32(1), xp)
        low = gaussian_blur(fetch_linear(as_unit(picture), x, y, xp), float(self.blur[0]), xp)
        return Change(self.weight * low + self.bias, self.displacement)

    def _moved(self, unit: Floats, strength: float, xp: Any) -> Floats:
        flat = unit.reshape(-1, *self.shape)
        moved: Floats = xp.stack([self._moved_one(picture, strength, xp) for picture in flat])
        return moved.reshape(unit.shape)

    def _moved_one(self, picture: Floats, strength: float, xp: Any) -> Floats:
        change, share = self.change(picture, xp), np.float32(strength)
        x, y = self._sources(share, xp)
        still: Any = ~self.displacement.any(axis=2)
        moved = xp.where(still[..., None], picture, fetch_cubic(picture, x, y, xp))
        return moved + share * change.colour

    def _sources(self, share: Any, xp: Any) -> tuple[Floats, Floats]:
        rows, columns = xp.indices(self.shape[:2], dtype=np.float32)
        steps = share * self.displacement
        return columns + steps[..., 0], rows + steps[..., 1]

    @cached_property
    def spans(self) -> Array:
        """(H, 4) int64: first and last + 1 of each row's pixels that move, and of those changed."""
        parts: list[Any] = [np.any(fields, axis=2) for fields in (self.displacement, self.weight)]
        parts[1] |= np.any(self.bias, axis=2)
        rows = []
        for part in parts:
            last = part.shape[1] - part[:, ::-1].argmax(1)
            rows += [part.argmax(1), np.where(part.any(1), last, 0)]
        return np.stack(rows, axis=1).astype(np.int64)

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


def as_unit(pictures: Array) -> Floats:
    """Pictures on [0, 1] as float32."""
    floats: Floats = pictures.astype(np.float32, copy=False)
    return floats / np.float32(255.0) if pictures.dtype == np.uint8 else floats


def to_bytes(unit: Floats, xp: Any = np) -> Pixels:
    """Values on [0, 1] as grey levels, rounded and clipped."""
    levels = xp.clip(xp.rint(unit * np.float32(255.0)), 0, 255)
    return levels.astype(np.uint8)


def _overlap(length: int, step: int) -> tuple[slice, slice]:
    """Slices of the outputs whose input, ``step`` further on, exists, and of those inputs."""
    first = min(length, max(0, -step))
    last = max(first, min(length, length - step))
    return slice(first, last), slice(first + step, last + step)
