"""The expression that a face shows already: weights of shapes from its landmarks.

Pose, how the person is built, and the weights are found in turn: a scaled orthographic pose by
least squares, then build and weights by a regularised least squares with no weight below 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.rig.head import Mesh, unsided
from pixelreg.rig.sitter import anchor_places

# What of a face's anchors tells apart; others follow too little, or look like these.
READ = (
    *("browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeWide", "jawOpen", "mouthFrown"),
    *("mouthFunnel", "mouthLowerDown", "mouthPucker", "mouthSmile", "mouthStretch"),
    *("mouthUpperUp", "noseSneer"),
)
ROUNDS, PIVOTS, PATIENCE = 4, 100, 3
SETTLED = 1e-9
NOISE = 0.12  # cm, of landmarks and of what the shapes cannot show
BUILD = 1.0  # deviations of people's modes
MUSCLE = 0.5  # usual size of a weight
FLAT = 1e-3  # of a face's one extent to the other, below which it is a line
LEAST = 0.1  # weight that any neutral face may seem to show


def shown_weights(mesh: Mesh, points: Array) -> dict[str, float]:
    """The weights, by whole names, that (82, 2) landmarks show; those of nothing left out.

    Neutral faces show something of most shapes, as people are built in more ways than the head's
    modes: as much as that is no expression, twice as much is one.
    """
    read = read_weights(mesh, points)
    return _unusual(mesh, read, read)


def example_weights(mesh: Mesh, points: Array) -> dict[str, float]:
    """The weights that make another face look like one with (82, 2) landmarks.

    As `shown_weights`, but what the stronger side shows decides for both, as it would look lopsided
    where one side is just above what neutral faces show, and one below.
    """
    read = read_weights(mesh, points)
    stronger = {
        name: max(weight, *(read.get(unsided(name) + side, 0.0) for side in ("_L", "_R")))
        for name, weight in read.items()
    }
    return _unusual(mesh, read, stronger)


def _unusual(
    mesh: Mesh, read: Mapping[str, float], decides: Mapping[str, float]
) -> dict[str, float]:
    """What of weights is an expression, by how far those that decide are above what is usual."""
    found = {}
    for name, weight in read.items():
        usual = max(mesh.levels.get(name, 0.0), LEAST)
        share = min(max(decides[name] / usual - 1, 0.0), 1.0)
        if share:
            found[name] = weight * share
    return found


def read_names(mesh: Mesh) -> list[str]:
    """The whole names of the shapes that are read from landmarks."""
    return [name for name in mesh.shapes if unsided(name) in READ]


def read_weights(mesh: Mesh, points: Array) -> dict[str, float]:
    """The weights that fit (82, 2) landmarks, by whole names, those of nothing left out."""
    return _fitted(mesh, points)[0]


def misfit_of(mesh: Mesh, points: Array) -> float:
    """How far (82, 2) landmarks lie from the nearest face there can be, cm in the mean.

    Infinite for points that lie on a line, or all in one place.
    """
    try:
        return _fitted(mesh, points)[1]
    except np.linalg.LinAlgError:
        return float("inf")


def _fitted(mesh: Mesh, points: Array) -> tuple[dict[str, float], float]:
    """See `read_weights` and `misfit_of`."""
    names = read_names(mesh)
    anchors = mesh.anchors
    rest = mesh.rest[anchors].astype(np.float64)
    rest[:, :2] += mesh.head.usual / 100
    build = mesh.head.people.astype(np.float64) / 100
    shapes = np.stack([mesh.shapes[n][anchors] for n in names]).astype(np.float64)
    modes = np.concatenate([build, shapes])
    prior = NOISE**2 / np.r_[np.full(len(build), BUILD), np.full(len(shapes), MUSCLE)] ** 2
    free = np.arange(len(modes)) < len(build)
    targets = anchor_places(mesh, points) * [1, -1]
    values = np.zeros(len(modes))
    for _ in range(ROUNDS):
        solid = rest + np.tensordot(values, modes, 1)
        axes, shift = scaled_pose(solid, targets)
        unit = np.linalg.norm(axes, axis=1).mean()
        flat = np.einsum("ij,maj->mai", axes / unit, modes).reshape(len(modes), -1)
        goal = ((targets - shift - rest @ axes.T) / unit).reshape(-1)
        values = _bounded(flat @ flat.T + np.diag(prior), flat @ goal, values, free)
    weights = values[len(build) :]
    solid = rest + np.tensordot(values, modes, 1)
    misfit = np.linalg.norm(targets - shift - solid @ axes.T, axis=1).mean() / unit
    shown = {n: float(w) for n, w in zip(names, weights, strict=True) if w > 0}
    return shown, float(misfit) if np.isfinite(misfit) else float("inf")


def turn_of(mesh: Mesh, points: Array) -> float:
    """About how many degrees a head is turned to either side, of (82, 2) landmarks; too few."""
    rest = mesh.rest[mesh.anchors].astype(np.float64)
    axes, _ = scaled_pose(rest, anchor_places(mesh, points) * [1, -1])
    forward = np.cross(axes[0], axes[1])
    return float(np.degrees(np.arctan2(abs(forward[0]), forward[2])))


def scaled_pose(solid: Float64, targets: Float64) -> tuple[Float64, Float64]:
    """Two rows (2, 3), of one length and at right angles, and a shift, from solid to targets."""
    middle, centre = solid.mean(axis=0), targets.mean(axis=0)
    free = np.linalg.lstsq(solid - middle, targets - centre, rcond=None)[0].T
    u, lengths, v = np.linalg.svd(free, full_matrices=False)
    if not lengths[1] > FLAT * lengths[0]:
        raise np.linalg.LinAlgError("the points lie on a line")
    axes: Float64 = lengths.mean() * (u @ v)
    shift: Float64 = centre - axes @ middle
    return axes, shift


def _bounded(system: Float64, right: Float64, start: Float64, free: Array) -> Float64:
    """The least of v'Sv/2 - r'v with v >= 0 where it is not ``free``.

    Block principal pivoting (Judice and Pires, "A block principal pivoting algorithm for
    large-scale strictly monotone linear complementarity problems", 1994): all numbers on the wrong
    side change sides at once, or only the last of them where that has not helped for a while.
    """
    used = free | (start > 0)
    fewest, patience = len(used) + 1, PATIENCE
    values: Float64 = np.zeros_like(start)
    for _ in range(PIVOTS):
        values = np.zeros_like(start)
        values[used] = np.linalg.solve(system[np.ix_(used, used)], right[used])
        pull = right - system @ values
        wrong = np.flatnonzero(~free & np.where(used, values < 0, pull > SETTLED))
        if not wrong.size:
            break
        if len(wrong) < fewest:
            fewest, patience = len(wrong), PATIENCE
        elif patience:
            patience -= 1
        else:
            wrong = wrong[-1:]
        used[wrong] = ~used[wrong]
    return np.where(free, values, np.maximum(values, 0))


def moved_towards(
    shown: Mapping[str, float], target: Mapping[str, float], strength: float
) -> dict[str, float]:
    """The weights ``strength`` of the way from what is shown to a target."""
    names = dict.fromkeys((*shown, *target))
    return {
        name: shown.get(name, 0.0) + strength * (target.get(name, 0.0) - shown.get(name, 0.0))
        for name in names
    }
