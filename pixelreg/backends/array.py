"""The function set of all backends, over an array module: NumPy's and CuPy's common part."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.backends import plans
from pixelreg.errors import InvalidArrayError
from pixelreg.models.change import Change
from pixelreg.models.plans import Plan
from pixelreg.pictures.image import check_unit_range
from pixelreg.pictures.warp import fetch_cubic, fetch_linear

if TYPE_CHECKING:  # fitting is not needed to run a plan
    from pixelreg.models.sums import LevelSums, PixelSums


class ArrayBackend:
    """Sums, solves and plans over the array module ``xp``.

    What plans give comes back as it went in: NumPy arrays for NumPy arrays. Sums and solutions
    stay where they were computed, so that one step feeds the next; `to_host` brings them back.

    Parameters
    ----------
    threads : how many threads to use where the backend has its own; None for one a core.

    Attributes
    ----------
    name : the backend's name.
    xp : its array module.
    """

    name: ClassVar[str] = ""
    xp: Any

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def to_host(self, values: Any) -> Any:
        """An array, or the arrays of sums, as NumPy arrays."""
        if is_dataclass(values):
            return _each_array(values, self._host_array)
        return self._host_array(values)

    def to_device(self, values: Any) -> Any:
        """An array, or the arrays of sums, where this backend computes."""
        if is_dataclass(values):
            return _each_array(values, self.xp.asarray)
        return self.xp.asarray(values)

    def load(self, plan: Plan) -> Any:
        """``plan`` with its arrays where this backend computes, to be run many times."""
        return plan

    def pixel_sums(self, X: Array, T: Array) -> PixelSums:
        """The sums of Pixel-RR of X, T (n_samples, n_pixels), both uint8 or both float64."""
        from pixelreg.backends import solvers

        return solvers.pixel_sums(self.xp, self.to_device(X), self.to_device(T))

    def level_sums(self, X: Array, T: Array) -> LevelSums:
        """The sums of Pixel-KR of X, T (n_samples, n_pixels) uint8."""
        from pixelreg.backends import solvers

        return solvers.level_sums(self.xp, self.to_device(X), self.to_device(T))

    def solve_ridge(
        self, sums: PixelSums, alpha: float, identity: bool = False
    ) -> tuple[Float64, Float64]:
        """w and b of Eq. 6, (n_pixels,) float64 each on the [0, 1] scale.

        ``identity`` shrinks them to (1, 0) instead of (0, 0).
        """
        from pixelreg.backends import solvers

        return solvers.solve_ridge(sums, alpha, identity)

    def solve_levels(self, sums: LevelSums, table: Float64, alpha: float) -> Float64:
        """Ridge regression on the features ``table`` (256, r): (n_pixels, r) float64."""
        from pixelreg.backends import solvers

        return solvers.solve_levels(self.xp, sums, table, alpha)

    def solve_dense(self, x: Array, t: Array, sigma: float, alpha: float) -> Float64:
        """c_p of Eq. 14 in the columns, (n_samples, n_pixels); x and t float64 likewise."""
        from pixelreg.backends import solvers

        return solvers.solve_dense(self.xp, self.to_device(x), self.to_device(t), sigma, alpha)

    def predict_dense(self, new: Array, x: Array, coefficients: Array, sigma: float) -> Float64:
        """c_p kappa(x) of Eq. 15-16: (n_new, n_pixels) for ``new`` (n_new, n_pixels) float64."""
        from pixelreg.backends import solvers

        here, there, dual = map(self.to_device, (new, x, coefficients))
        return solvers.predict_dense(self.xp, here, there, dual, sigma)

    def predict(self, plan: Any, pictures: Array) -> Floats:
        """Run ``plan`` on pictures.

        Parameters
        ----------
        plan : any plan of `pixelreg.models.plans`, or what `load` made of it.
        pictures : (..., H, W, C) uint8 (read as /255) or float in [0, 1].

        Returns
        -------
        (..., H, W, C) float32 on [0, 1], unclipped.
        """
        made: Floats = self._like(self._predict(plan, _checked(plan, pictures)), pictures)
        return made

    def apply(self, plan: Any, pictures: Pixels, strength: float = 1.0) -> Pixels:
        """x + strength (y - x) for (..., H, W, C) uint8 pictures, rounded and clipped to uint8.

        Strength 0 gives the pictures back bit for bit.
        """
        if pictures.dtype != np.uint8:
            raise InvalidArrayError(f"apply takes uint8 pictures, not {pictures.dtype}")
        made: Pixels = self._like(self._apply(plan, _checked(plan, pictures), strength), pictures)
        return made

    def change(self, plan: Any, picture: Array) -> Change:
        """What ``plan`` does to one (H, W, 3) crop, uint8 or float in [0, 1], as NumPy arrays."""
        found = self._change(plan, _checked(plan, picture))
        moves = None if found.displacement is None else self._host_array(found.displacement)
        return Change(self._host_array(found.colour), moves)

    def fetch_linear(self, values: Array, x: Array, y: Array) -> Floats:
        """Bilinear look-up; see `pixelreg.pictures.warp.fetch_linear`."""
        source, across, down = map(self.to_device, (values, x, y))
        found: Floats = self._like(fetch_linear(source, across, down, self.xp), values)
        return found

    def fetch_cubic(self, values: Array, x: Array, y: Array) -> Floats:
        """Cubic look-up, slightly sharpening; see `pixelreg.pictures.warp.fetch_cubic`."""
        source, across, down = map(self.to_device, (values, x, y))
        found: Floats = self._like(fetch_cubic(source, across, down, self.xp), values)
        return found

    def _predict(self, plan: Any, pictures: Array) -> Any:
        return plans.predict(self.xp, self.load(plan), self.to_device(pictures))

    def _apply(self, plan: Any, pictures: Pixels, strength: float) -> Any:
        return plans.apply(self.xp, self.load(plan), self.to_device(pictures), strength)

    def _change(self, plan: Any, picture: Array) -> Change:
        return plans.change(self.xp, self.load(plan), self.to_device(picture))

    def _host_array(self, values: Any) -> Any:
        return np.asarray(values)

    def _like(self, made: Any, given: Any) -> Any:
        """``made`` on the host if ``given`` is there, else as it is."""
        if type(made) is np.ndarray or not isinstance(given, np.ndarray):
            return made
        return self._host_array(made)


def _checked(plan: Any, pictures: Any) -> Any:
    if pictures.shape[-3:] != plan.shape:
        raise InvalidArrayError(f"the plan takes pictures {plan.shape}, not {pictures.shape[-3:]}")
    if pictures.dtype == np.uint8:
        return pictures
    if not isinstance(pictures, np.ndarray) and bool(((pictures >= 0) & (pictures <= 1)).all()):
        return pictures.astype(np.float32)  # on another device, where NaN fails the test as well
    return check_unit_range(pictures, "the picture array").astype(np.float32, copy=False)


def _each_array(sums: Any, convert: Any) -> Any:
    arrays = {name: convert(value) for name, value in vars(sums).items() if name != "count"}
    return replace(sums, **arrays)
