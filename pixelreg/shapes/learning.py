"""Learning sparse blendshape components from differences to neutral.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model*,
Eq. 2-3. As printed they leave open what is sparse and where the origin lies; what is decided here:

- The matrix P of Eq. 2 holds the differences d_i = vertices - neutral, one a column; it is taken as
  P = D H with the *components* D_k sparse (an L1 penalty stands for Omega) and H their weights,
  since the paper normalises D_k, of as many numbers as a shape, by max|D_k| = 1. Of the two
  constraints that it names, this is the first: a component may move things both ways.
- Nothing but the neutral shape is taken off, so neutral is p = 0 and the mean expression is
  learnt too. This is scikit-learn's sparse PCA without its centring.
- The scale that max|D_k| = 1 takes from a component goes to its coefficients. They are divided by
  ``ranges``, the largest of each in the training set, which puts p within [-1, 1]; or by a
  quantile, so that one face with hair in its eyes does not set the scale, and p is clipped.
- Eq. 3 is S(p) = mean + U p, with the mean of the neutral shapes and U_k = ranges_k D_k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pixelreg.arrays import Float64
from pixelreg.errors import DataError, InvalidArrayError, UsageError, need
from pixelreg.shapes.components import Blendshapes, finite

MAX_ITERATIONS, TOLERANCE = 1000, 1e-6
COORDINATES = 4096  # of a large mesh, from which the weights H are learnt; D is solved for all


def learn(
    vertices: ArrayLike,
    neutral: ArrayLike,
    count: int = 6,
    *,
    sparsity: float = 0.1,
    reach: float = 1.0,
    expressions: Sequence[str] = (),
) -> Blendshapes:
    """Learn components by sparse PCA, Eq. 2; see this module for what is decided.

    Components are named c1, c2, … by how much of the movement they carry, and point the way in
    which the training shapes move on the average. The same input gives the same components.

    vertices : (N, n, d) shapes with an expression.
    neutral : (N, n, d), everybody's neutral shape, or (n, d) for all. Shapes must correspond vertex
        by vertex and lie on one another: what the whole head moves would be learnt too.
    count : how many components, at most N.
    sparsity : the L1 penalty, as a share of the least one at which every component is zero; 0 is
        dense and under 1.
    reach : the share of the training shapes whose p_k lies within [-1, 1] without clipping; above
        0, and 1 for all.
    expressions : each shape's expression, whose mean parameters are kept; or nothing.
    """
    shapes, still = finite("vertices", vertices), finite("neutral", neutral)
    if shapes.ndim != 3 or shapes.shape[2] not in (2, 3) or not shapes.size:
        raise InvalidArrayError(f"vertices must be (N, n, 2 or 3), not {shapes.shape}")
    if still.shape not in (shapes.shape, shapes.shape[1:]):
        raise InvalidArrayError(
            f"neutral must be {shapes.shape} or {shapes.shape[1:]}, not {still.shape}"
        )
    if len(expressions) not in (0, len(shapes)):
        raise InvalidArrayError(f"{len(expressions)} expressions for {len(shapes)} shapes")
    most = min(len(shapes), shapes[0].size)
    if type(count) is not int or not 1 <= count <= most:
        raise UsageError(f"{len(shapes)} shapes give 1 to {most} components, not {count!r}")
    if not 0 <= sparsity < 1:
        raise UsageError(f"sparsity must be 0 up to, but not, 1; not {sparsity!r}")
    if not 0 < reach <= 1:
        raise UsageError(f"reach must be above 0 and at most 1, not {reach!r}")
    rows = (shapes - still).reshape(len(shapes), -1)
    components = _normalised(_sparse_components(rows, count, sparsity), sparsity)
    weights = np.linalg.lstsq(components.T, rows.T, rcond=None)[0].T
    order = np.argsort(-(weights**2).sum(axis=0) * (components**2).sum(axis=1), kind="stable")
    components, weights = components[order], weights[:, order]
    way = np.where(weights.sum(axis=0) < 0, -1.0, 1.0)
    components, weights = components * way[:, None], weights * way
    ranges = np.quantile(np.abs(weights), reach, axis=0, method="higher")
    if not ranges.all():
        raise DataError(f"component c{ranges.argmin() + 1} is too rare for a reach of {reach:g}")
    p = np.clip(weights / ranges, -1.0, 1.0)
    return Blendshapes(
        (still if still.ndim == 2 else still.mean(axis=0)).astype(np.float32),
        components.reshape(count, *shapes.shape[1:]).astype(np.float32),
        ranges.astype(np.float32),
        tuple(f"c{k + 1}" for k in range(count)),
        expressions={
            name: tuple(p[[e == name for e in expressions]].mean(axis=0).tolist())
            for name in dict.fromkeys(expressions)
        },
    )


def explained(shapes: Blendshapes, vertices: ArrayLike, neutral: ArrayLike) -> float:
    """The share of the squared differences to neutral that the components account for, 0 to 1.

    vertices, neutral : as of `learn`; the parameters are not clipped.
    """
    difference = finite("vertices", vertices) - finite("neutral", neutral)
    made = shapes.shape(shapes.project(shapes.mean + difference, clip=False)) - shapes.mean
    total = float((difference**2).sum())
    return 1.0 - float(((difference - made) ** 2).sum()) / total if total else 1.0


def _sparse_components(rows: Float64, count: int, sparsity: float) -> Float64:
    """D of 1/2 |P - D H|^2 + alpha |D|_1 with rows of unit length in H: (count, n d)."""
    sklearn = need("sklearn.decomposition", "scikit-learn", "shapes", "learning blendshapes")
    largest = float(np.linalg.norm(rows, axis=0).max())
    if not largest:
        raise DataError("nothing moves: every shape is its neutral one")
    # What moves nowhere stays zero in every component; the rest gets a size that solvers expect.
    moving = np.flatnonzero(rows.any(axis=0))
    columns = np.ascontiguousarray(rows[:, moving].T / largest)
    sample = columns
    if len(columns) > COORDINATES:
        chosen = np.random.default_rng(0).choice(len(columns), COORDINATES, replace=False)
        sample = columns[np.sort(chosen)]
    # Coordinate descent is quicker, but not made for no penalty at all.
    method = "cd" if sparsity else "lars"
    code, weights = sklearn.dict_learning(
        sample, count, alpha=sparsity, max_iter=MAX_ITERATIONS, tol=TOLERANCE, method=method,
        random_state=0,
    )[:2]  # fmt: skip
    if len(sample) < len(columns):
        code = sklearn.sparse_encode(columns, weights, algorithm=f"lasso_{method}", alpha=sparsity)
    components = np.zeros((count, rows.shape[1]))
    components[:, moving] = code.T
    return components


def _normalised(components: Float64, sparsity: float) -> Float64:
    """Components with max|D_k| = 1."""
    largest = np.abs(components).max(axis=1)
    left = int((largest > 1e-9 * largest.max()).sum())
    if not largest.max() or left < len(components):
        raise DataError(
            f"only {left if largest.max() else 0} of {len(components)} components are left at "
            f"sparsity {sparsity:g}: ask for fewer components, or for less sparsity"
        )
    return components / largest[:, None]
