"""Sparse blendshape components: what they are, and Eq. 3 of the paper both ways.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model*, Eq. 3:
S(p) = mean + U p, with U_k = ranges_k D_k here. `pixelreg.shapes.learning` says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelreg.arrays import Array, Float64, Floats
from pixelreg.errors import InvalidArrayError, UnknownNameError
from pixelreg.models.model import Frame, Provenance

MESH, LANDMARKS, FLOW = KINDS = ("mesh", "landmarks", "flow")
ROUNDING = 1e-5  # how far max|D_k| may be from 1


@dataclass(frozen=True, eq=False)
class Blendshapes:
    """A neutral shape and the sparse directions in which expressions move it.

    mean : (n, d) float32, the mean neutral shape; d is 2 or 3.
    components : (k, n, d) float32, D_k of Eq. 2; the largest absolute value of each is 1.
    ranges : (k,) float32 above 0, how far component k moves a vertex at p_k = 1, in the unit of
        ``mean``.
    kind : what the vertices are: mesh, landmarks or flow (see `pixelreg.shapes.flow`).
    faces : (m, 3) int32, triangles between vertices, for drawing; empty without a mesh.
    size : side of the crop in pixels for landmarks and flow; 0 for meshes.
    frame : where the eyes stand in the crop, or None.
    expressions : the mean parameters of every expression that was learnt from, (k,) each.
    provenance : where the shapes come from.
    """

    mean: Floats
    components: Floats
    ranges: Floats
    names: tuple[str, ...]
    kind: str = "mesh"
    faces: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 3), np.int32))
    size: int = 0
    frame: Frame | None = None
    expressions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        for name, dtype in (
            *((name, np.float32) for name in ("mean", "components", "ranges")),
            ("faces", np.int32),
        ):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                raise InvalidArrayError(f"blendshapes: {name} must be {np.dtype(dtype)}")
            if not np.isfinite(array).all():
                raise InvalidArrayError(f"blendshapes: {name} holds NaN or infinite values")
            frozen = array.view()  # the caller's own array stays writeable
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)
        object.__setattr__(self, "expressions", MappingProxyType(dict(self.expressions)))
        self._check_shapes()
        self._check_names()

    @property
    def count(self) -> int:
        """How many components there are, k."""
        return len(self.components)

    def shape(self, p: ArrayLike) -> Float64:
        """Eq. 3: S(p) = mean + U p; p = 0 is neutral.

        p : (k,) or (N, k), meant to lie in [-1, 1]; values beyond go further than any shape that
            was learnt from.

        Returns: (n, d) or (N, n, d) float64.
        """
        given = finite("p", p)
        if given.ndim not in (1, 2) or given.shape[-1] != self.count:
            raise InvalidArrayError(f"p must have {self.count} numbers, not shape {given.shape}")
        moved = (given * self.ranges) @ self.components.reshape(self.count, -1).astype(np.float64)
        return self.mean + moved.reshape(*given.shape[:-1], *self.mean.shape)

    def project(self, vertices: ArrayLike, clip: bool = True) -> Float64:
        """The parameters of a shape: least squares on the components.

        vertices : (n, d) or (N, n, d), corresponding to those of ``mean``.
        clip : whether to cut p off at -1 and 1; p that is not clipped is the exact inverse of
            `shape` where the components are independent.

        Returns: (k,) or (N, k) float64.
        """
        given = finite("vertices", vertices)
        if given.shape[-2:] != self.mean.shape or given.ndim not in (2, 3):
            raise InvalidArrayError(
                f"vertices must be {self.mean.shape} or (N, *{self.mean.shape}), not {given.shape}"
            )
        rows = (given - self.mean).reshape(-1, self.mean.size)
        basis = (self.ranges[:, None, None] * self.components).reshape(self.count, -1)
        solved = np.linalg.lstsq(basis.T.astype(np.float64), rows.T, rcond=None)[0].T
        p: Float64 = np.clip(solved, -1.0, 1.0) if clip else solved
        return p.reshape(*given.shape[:-2], self.count)

    def _check_shapes(self) -> None:
        mean, components, ranges = self.mean, self.components, self.ranges
        if mean.ndim != 2 or mean.shape[1] not in (2, 3) or not len(mean):
            raise InvalidArrayError(f"blendshapes: mean must be (n, 2 or 3), not {mean.shape}")
        if components.ndim != 3 or components.shape[1:] != mean.shape or not len(components):
            raise InvalidArrayError(
                f"blendshapes: components must be (k, *{mean.shape}), not {components.shape}"
            )
        if np.abs(np.abs(components).max(axis=(1, 2)) - 1).max() > ROUNDING:
            raise InvalidArrayError("blendshapes: the largest of each component must be 1")
        if ranges.shape != components.shape[:1] or (ranges <= 0).any():
            raise InvalidArrayError("blendshapes: ranges must be a number above 0 a component")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3:
            raise InvalidArrayError(f"blendshapes: faces must be (m, 3), not {self.faces.shape}")
        if self.faces.size and not (self.faces.min() >= 0 and self.faces.max() < len(mean)):
            raise InvalidArrayError(f"blendshapes: faces must name vertices 0 to {len(mean) - 1}")

    def _check_names(self) -> None:
        if len(self.names) != self.count or len(set(self.names)) != self.count:
            raise InvalidArrayError(f"blendshapes: {self.count} different names are needed")
        if self.kind not in KINDS:
            raise UnknownNameError("kind of blendshapes", self.kind, KINDS)
        if (self.kind == MESH) != (self.size == 0) or self.size < 0:
            raise InvalidArrayError(f"blendshapes: a {self.kind} cannot have size {self.size}")
        if self.kind != MESH and self.mean.shape[1] != 2:
            raise InvalidArrayError(f"blendshapes: {self.kind} must have 2 coordinates")
        side = round(len(self.mean) ** 0.5)
        if self.kind == FLOW and (side * side != len(self.mean) or self.size % side):
            raise InvalidArrayError(f"blendshapes: {len(self.mean)} vertices are no lattice")
        for name, p in self.expressions.items():
            if len(p) != self.count or not np.isfinite(p).all():
                raise InvalidArrayError(f"blendshapes: {name} must have {self.count} numbers")


def finite(name: str, values: Array | ArrayLike) -> Float64:
    """``values`` as float64, or InvalidArrayError where they are no finite numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArrayError(f"{name} must be an array of numbers: {error}") from error
    if not np.isfinite(array).all():
        raise InvalidArrayError(f"{name} holds NaN or infinite values")
    return array
