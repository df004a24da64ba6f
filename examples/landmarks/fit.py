"""Fitting a landmark cascade, each stage from where the one before leaves strangers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from examples.landmarks.bend import spread_of
from pixelreg.faces.cascade import Poses, Pyramid, fit_poses
from pixelreg.faces.dense import PARTS, five_of, mirror
from pixelreg.faces.densecascade import (
    FLIP,
    Cascade,
    Map,
    crop_features,
    joined,
    kind_of,
    part_features,
    pose_of,
)

MIRROR = mirror()
CHUNK = 512  # scenes whose features are computed at once
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How many stages, their ranks, the penalties tried (shares of the mean energy), the folds."""

    crops: int = 2
    patches: int = 3
    crop_rank: int = 32
    ranks: tuple[tuple[str, int], ...] = (("eye", 14), ("mouth", 20), ("nose", 12), ("jaw", 10))
    penalties: tuple[float, ...] = (3e-3, 3e-2, 0.3)
    folds: int = 4
    seed: int = 0


class Samples:
    """Every scene as it is and mirrored, each with a start as a detector would give it."""

    def __init__(
        self, grey: np.ndarray, points: np.ndarray, people: np.ndarray, settings: Settings
    ) -> None:
        rng = np.random.default_rng(settings.seed)
        self.grey, width = grey, grey.shape[2]
        mirrored = (points * FLIP + [width, 0])[:, MIRROR]
        self.truth = np.concatenate([points, mirrored])
        number = rng.permutation(people.max() + 1) % settings.folds
        self.fold = np.tile(number[people], 2)
        self.start = _detected(self.truth, rng)

    def features(self, make: Callable[..., np.ndarray], *arrays: Poses | np.ndarray) -> np.ndarray:
        """``make(pyramid, which, *arrays)`` of all samples, a few pictures at a time."""
        half, out = len(self.grey), None
        for first in range(0, 2 * half, CHUNK):
            # A chunk may hold the last scenes as they are and the first mirrored ones.
            rows = np.arange(first, min(first + CHUNK, 2 * half))
            pictures = self.grey[rows % half].astype(np.float32) / np.float32(255)
            pictures[rows >= half] = pictures[rows >= half, :, ::-1]
            given = [
                Poses(a.origin[rows], a.axis[rows]) if isinstance(a, Poses) else a[rows]
                for a in arrays
            ]
            made = make(Pyramid.of(pictures, 5), np.arange(len(rows)), *given)
            out = np.empty((2 * half, made.shape[1]), np.float32) if out is None else out
            out[rows] = made
        assert out is not None
        return out


def _detected(truth: np.ndarray, rng: np.random.Generator) -> Poses:
    """Poses of five points that are a little off, each and all together, some of them far."""
    five = five_of(truth)
    unit, count = fit_poses(five).unit, len(truth)
    pose = fit_poses(five + rng.normal(0, 0.045, five.shape) * unit[:, None, None])
    far = np.where(rng.random(count) < 0.2, 2.2, 1.0)
    turn = np.exp((rng.normal(0, 0.05, count) + 1j * np.deg2rad(rng.normal(0, 3.5, count))) * far)
    axis = (pose.axis @ np.array([1, 1j])) * turn
    shift = rng.normal(0, 0.045, (count, 2)) * (far * unit)[:, None]
    return Poses(pose.origin + shift, np.stack([axis.real, axis.imag], axis=1))


def fit_cascade(samples: Samples, settings: Settings, say: Say) -> Cascade:
    """A cascade; every stage learns from errors on people whom the stages before had not seen."""
    pose = fit_poses(five_of(samples.truth))
    mean = pose.to_frame(samples.truth).mean(axis=0)
    mean = (mean + (mean * FLIP)[MIRROR]) / 2
    points, poses = samples.start.to_picture(mean), samples.start
    crops: list[Map] = []
    patches: list[dict[str, Map]] = []
    for stage in range(settings.crops + settings.patches):
        poses = pose_of(points, mean) if stage else poses
        local, goal = poses.to_frame(points), poses.to_frame(samples.truth)
        if stage < settings.crops:
            features = samples.features(crop_features, poses)
            map_, step = _fitted(
                [features], [goal - local], samples.fold, settings.crop_rank, settings
            )
            crops.append(map_)
            local = local + step[0].reshape(-1, 82, 2)
        else:
            maps, local = _part_stage(samples, poses, local, goal, len(patches), settings)
            patches.append(maps)
        points = poses.to_picture(local)
        errors = np.linalg.norm(points - samples.truth, axis=2) / pose.unit[:, None]
        parts = ", ".join(f"{part} {error:.4f}" for part, error in spread_of(errors).items())
        say(f"stage {stage}: strangers {errors.mean():.4f}; {parts}")
    return Cascade(mean, crops, patches)


def _part_stage(
    samples: Samples,
    poses: Poses,
    local: np.ndarray,
    goal: np.ndarray,
    stage: int,
    settings: Settings,
) -> tuple[dict[str, Map], np.ndarray]:
    ranks, maps = dict(settings.ranks), {}
    steps: dict[str, np.ndarray] = {}
    for kind in ranks:
        parts = [part for part in PARTS if kind_of(part) == kind]
        features, missing = [], []
        for part in parts:
            features.append(samples.features(_of(part, stage), poses, local))
            flip = FLIP if part == "right eye" else 1.0
            missing.append((goal - local)[:, PARTS[part]] * flip)
        maps[kind], found = _fitted(features, missing, samples.fold, ranks[kind], settings)
        steps |= dict(zip(parts, found, strict=True))
    return maps, local + joined([steps[part] for part in PARTS])


def _of(part: str, stage: int) -> Callable[..., np.ndarray]:
    return lambda pyramid, which, poses, local: part_features(
        pyramid, which, poses, local, part, stage
    )


def _fitted(
    features: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    fold: np.ndarray,
    rank: int,
    settings: Settings,
) -> tuple[Map, list[np.ndarray]]:
    """The map of all samples, and each sample's step by a map that has not seen its person."""
    flat = [t.reshape(len(t), -1).astype(np.float32) for t in targets]
    blocks = [
        [_Moments.of(f[fold == k], t[fold == k]) for f, t in zip(features, flat, strict=True)]
        for k in range(settings.folds)
    ]
    per_fold = [_Moments.sum(parts) for parts in blocks]
    whole = _Moments.sum(per_fold)
    first = fold == 0

    def error(penalty: float) -> float:
        map_ = whole.less(per_fold[0]).solved(penalty, None)
        return float(
            np.mean(
                [
                    np.abs(map_(f[first]) - t[first]).mean()
                    for f, t in zip(features, flat, strict=True)
                ]
            )
        )

    penalty = min(settings.penalties, key=error)
    steps = [np.empty_like(t) for t in flat]
    for k in range(settings.folds):
        map_ = whole.less(per_fold[k]).solved(penalty, rank)
        for step, f in zip(steps, features, strict=True):
            step[fold == k] = map_(f[fold == k])
    return whole.solved(penalty, rank), steps


@dataclass(frozen=True)
class _Moments:
    """Sums over n samples: n, x, y, xx', xy'."""

    count: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Moments:
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    @classmethod
    def sum(cls, parts: Sequence[_Moments]) -> _Moments:
        total = parts[0]
        for part in parts[1:]:
            total = cls(*(a + b for a, b in zip(total._all, part._all, strict=True)))
        return total

    @property
    def _all(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.count, self.x, self.y, self.xx, self.xy

    def less(self, part: _Moments) -> _Moments:
        """The sums without a part."""
        return _Moments(*(a - b for a, b in zip(self._all, part._all, strict=True)))

    def solved(self, penalty: float, rank: int | None) -> Map:
        """Ridge regression, of a rank in which its own predictions lose least."""
        mean_x, mean_y = self.x / self.count, self.y / self.count
        gram = self.xx - np.outer(self.x, mean_x)
        cross = self.xy - np.outer(self.x, mean_y)
        size = len(gram)
        ridge = penalty * np.trace(gram) / size * np.eye(size, dtype=gram.dtype)
        full = np.linalg.solve(gram + ridge, cross)
        _, axes = np.linalg.eigh((full.T @ gram @ full).astype(np.float64))
        axes = axes[:, ::-1][:, :rank].astype(np.float32)
        down = full @ axes
        offset = (mean_y - mean_x @ down @ axes.T).astype(np.float32)
        return Map(down, np.ascontiguousarray(axes.T), offset)
