"""Thin-plate splines in the plane: where points go when some of them are known (Bookstein 1989)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelreg.arrays import Array, Floats

NEAREST = 1e-12  # cm^2; keeps the logarithm finite


@dataclass(frozen=True, eq=False)
class Spline:
    """f(p) = sum_i w_i U(|p - k_i|) + A (1, p), with U(r) = r^2 log r.

    knots : (k, 2).
    bend : (k, 2), the w_i.
    affine : (3, 2), A.
    """

    knots: Array
    bend: Array
    affine: Array

    @classmethod
    def through(cls, knots: Array, values: Array, smoothing: float) -> Spline:
        """The spline that takes ``knots`` (k, 2) near ``values`` (k, 2).

        smoothing : what is added to the diagonal of U; 0 goes through the values.
        """
        knots = knots.astype(np.float64)  # where little is smoothed, all depends on them steeply
        count = len(knots)
        system = np.zeros((count + 3, count + 3))
        squares = _squares(knots, knots)
        system[:count, :count] = 0.5 * squares * np.log(squares) + smoothing * np.eye(count)
        system[:count, count:] = np.c_[np.ones(count), knots]
        system[count:, :count] = system[:count, count:].T
        solved: Array = np.linalg.solve(system, np.r_[values, np.zeros((3, 2))])
        return cls(knots, solved[:count], solved[count:])

    def at(self, points: Array | Reach) -> Floats:
        """Where (n, 2) points go, float32."""
        reach = self._reach(points)
        straight = self.affine[0] + reach.points @ self.affine[1:]
        return (reach.bending @ self.bend + straight).astype(np.float32)

    def slopes(self, points: Array | Reach) -> Floats:
        """(n, 2, 2) float32, d f / d p: the first axis after n is that of f."""
        reach = self._reach(points)
        # r^2 log r has the slope (2 log r + 1) p, and sums over knots of rates times the step from
        # each knot are products.
        rates = reach.logs + 1
        whole = rates @ self.bend
        columns = [
            reach.points[:, axis, None] * whole - rates @ (self.knots[:, axis, None] * self.bend)
            + self.affine[1 + axis]
            for axis in (0, 1)
        ]  # fmt: skip
        return np.stack(columns, axis=-1).astype(np.float32)

    def _reach(self, points: Array | Reach) -> Reach:
        return points if isinstance(points, Reach) else Reach.of(points, self.knots)


@dataclass(frozen=True, eq=False)
class Reach:
    """What splines through the same knots share at the same points, in double precision: terms of
    thousands of pixels add up to places, and what is left of them must not depend on their order.

    points : (n, 2). bending, logs : (n, k), U and log r^2 between points and knots.
    """

    points: Array
    bending: Array
    logs: Array

    @classmethod
    def of(cls, points: Array, knots: Array) -> Reach:
        """The reach of (k, 2) knots to (n, 2) points."""
        squares = _squares(points.astype(np.float64), knots)
        logs = np.log(squares)
        return cls(points.astype(np.float64), 0.5 * squares * logs, logs)


def _squares(points: Array, knots: Array) -> Array:
    x, y = (points[:, axis, None] - knots[:, axis] for axis in (0, 1))
    return x * x + y * y + NEAREST
