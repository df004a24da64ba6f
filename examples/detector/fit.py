"""Training of the bundled detector: ridge regressions, and ridge repeated on margin violations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from examples.detector.data import Scenes
from pixelreg.faces import bundled, cascade
from pixelreg.faces.cascade import DetectorWeights, Poses, Pyramid

_METADATA = {
    "format": "pixelreg face detector",
    "version": "1",
    "training_data": "Face Research Lab London Set, DeBruine and Jones (2017), 80 people, "
    "https://doi.org/10.6084/m9.figshare.5047666.v5",
    "training_data_licence": "CC BY 4.0",
}
_MARGIN_CELLS = 2
# Hard windows taken from one level of one picture, so that no picture crowds out the others.
_PER_MAP = 40
# Score = logistic function of this many margins.
_STEEPNESS = 4.0
_ROLLS = (-18.0, 0.0, 18.0)


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Strengths of the penalties, sizes of the parts, and the seed.

    ``verifier_border`` is the margin at which a face scores one half. Training pulls faces to 1 and
    everything else to -1; photographs unlike the London set's fall between, so it is below 0.
    """

    crop_stages: int = 3
    patch_stages: int = 2
    crop_penalty: float = 0.9
    patch_penalty: float = 1.9
    template_penalty: float = 0.003
    verifier_penalty: float = 1.0
    template_rounds: int = 2
    verifier_border: float = -0.1
    draws: int = 2
    seed: int = 20


def ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """(D + 1, T) weights of the ridge regression of (N, T) on (N, D); intercept last, free.

    ``penalty`` is a multiple of the mean of the Gram matrix's diagonal.
    """
    mean_x, mean_t = features.mean(axis=0), targets.mean(axis=0)
    x = features - mean_x
    gram = (x.T @ x).astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, x.T.astype(np.float64) @ (targets - mean_t))
    return np.vstack([weights, mean_t - mean_x @ weights]).astype(np.float32)


def separate(
    positive: np.ndarray, negative: np.ndarray, penalty: float, start: np.ndarray
) -> np.ndarray:
    """(D + 1,) linear classifier of least squared hinge loss; both classes weigh the same.

    Newton's method: a ridge regression on the samples inside the margin, repeated until the same
    samples stay inside (Chapelle, "Training a Support Vector Machine in the Primal", 2007).
    """
    x = np.vstack([positive, negative])
    x = np.hstack([x, np.ones((len(x), 1), x.dtype)])
    y = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    share = np.repeat([0.5 / len(positive), 0.5 / len(negative)], [len(positive), len(negative)])
    weights = start.astype(np.float64)
    inside = y * (x @ weights.astype(x.dtype)) < 1
    scale = penalty * float((x[:, :-1] ** 2).mean())
    for _ in range(12):
        active = x[inside]
        weighted = active * share[inside, None].astype(x.dtype)
        gram = (weighted.T @ active).astype(np.float64)
        gram[np.diag_indices_from(gram)] += scale
        gram[-1, -1] -= scale * 0.999
        weights = np.linalg.solve(gram, weighted.T.astype(np.float64) @ y[inside])
        now = y * (x @ weights.astype(x.dtype)) < 1
        if (now == inside).all():
            break
        inside = now
    return weights.astype(np.float32)


def train_detector(
    scenes: Scenes,
    faceless: Sequence[np.ndarray],
    options: TrainingOptions | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> DetectorWeights:
    """Train every part of the detector.

    scenes : rendered faces.
    faceless : (h, w) uint8 pictures without a face, mined for hard negatives.
    say : called with a line of progress now and then.
    """
    trainer = _Trainer(scenes, faceless, options or TrainingOptions(), say)
    return trainer.verifier(trainer.cascade(trainer.templates()))


class _Trainer:
    """What the three parts are trained from, and the one generator that they draw from in turn."""

    def __init__(
        self,
        scenes: Scenes,
        faceless: Sequence[np.ndarray],
        options: TrainingOptions,
        say: Callable[[str], None],
    ) -> None:
        self.scenes, self.faceless, self.options, self.say = scenes, faceless, options, say
        self.rng = np.random.default_rng(options.seed)
        self.pyramid = Pyramid.of(scenes.grey.astype(np.float32) / np.float32(255), 3)

    def templates(self) -> DetectorWeights:
        """Weights with templates, and nothing else yet."""
        options = self.options
        shape = (len(_ROLLS), *bundled.WINDOW_CELLS, cascade.CHANNELS)
        positive = [_windows(self.pyramid, self.scenes.points, roll, self.rng) for roll in _ROLLS]
        maps = [
            bundled.level_features(level)
            for p in self.faceless
            for level, _ in bundled.pyramid_levels(p)
        ]
        negative = [_random_windows(maps, 3000, self.rng) for _ in _ROLLS]
        fitted = [np.zeros(positive[0].shape[1] + 1, np.float32) for _ in _ROLLS]
        for turn in range(options.template_rounds + 1):
            fitted = [
                separate(p, n, options.template_penalty, start)
                for p, n, start in zip(positive, negative, fitted, strict=True)
            ]
            table = np.stack(fitted)
            pairs = zip(positive, fitted, strict=True)
            gate = np.float32(
                np.quantile(np.concatenate([p @ w[:-1] + w[-1] for p, w in pairs]), 0.01)
            )
            weights = DetectorWeights(
                table[:, :-1].reshape(shape),
                table[:, -1],
                np.array(_ROLLS, np.float32),
                gate - np.float32(0.5),
                np.zeros((0, 2049, 10), np.float32),
                np.zeros((0, 1441, 10), np.float32),
                np.zeros(3489, np.float32),
            )
            if turn < options.template_rounds:
                mined = _hard_windows(weights, maps, -1.0, 3000)
                counts = [len(m) for m in mined]
                self.say(f"templates, round {turn + 1}: gate {gate:.2f}, hard windows {counts}")
                negative = [np.vstack([n, m]) for n, m in zip(negative, mined, strict=True)]
        return weights

    def cascade(self, weights: DetectorWeights) -> DetectorWeights:
        """The weights with the stages that move landmarks into place."""
        options, pyramid = self.options, self.pyramid
        which = np.tile(np.arange(len(self.scenes.grey)), options.draws)
        truth = self.scenes.points[which]
        points = _perturbed(truth, self.rng)
        stages: dict[str, list[np.ndarray]] = {"crop": [], "patch": []}
        for kind in ["crop"] * options.crop_stages + ["patch"] * options.patch_stages:
            poses = cascade.fit_poses(points)
            if kind == "crop":
                features = cascade.crop_features(pyramid, which, poses)
                start, penalty = cascade.MEAN_SHAPE[None], options.crop_penalty
            else:
                features = cascade.patch_features(pyramid, which, poses, points)
                start, penalty = poses.to_frame(points), options.patch_penalty
            target = (poses.to_frame(truth) - start).reshape(len(truth), 10)
            stage = ridge(features, target, penalty)
            stages[kind].append(stage)
            points = bundled.advance(stage, features, poses, start)
            unit = cascade.fit_poses(truth).unit
            error = np.linalg.norm(points - truth, axis=2) / unit[:, None]
            self.say(
                f"cascade, {kind} stage: eyes {error[:, :2].mean():.4f}, all {error.mean():.4f}"
            )
            # People not seen in training are found less exactly; the next stage has to expect that.
            spread = 0.5 * np.median(error) * unit
            points = points + self.rng.normal(0, 1, points.shape) * spread[:, None, None]
        return dataclasses.replace(
            weights, crop_stages=np.stack(stages["crop"]), patch_stages=np.stack(stages["patch"])
        )

    def verifier(self, weights: DetectorWeights) -> DetectorWeights:
        """The weights with the classifier that decides."""
        which = np.arange(len(self.scenes.grey))
        starts = cascade.fit_poses(_perturbed(self.scenes.points, self.rng))
        found = bundled.descend(weights, self.pyramid, starts, which)
        positive = bundled.final_features(self.pyramid, which, found)
        eager = dataclasses.replace(weights, gate=weights.gate - np.float32(1.0))
        negative = np.vstack([_aligned_candidates(eager, picture) for picture in self.faceless])
        start = np.zeros(positive.shape[1] + 1, np.float32)
        margin = separate(positive, negative, self.options.verifier_penalty, start)
        fitted = [(f @ margin[:-1] + margin[-1]) for f in (positive, negative)]
        self.say(
            f"verifier: {len(positive)} faces ({(fitted[0] < 0).mean():.2%} under 0), "
            f"{len(negative)} candidates without ({(fitted[1] > 0).mean():.2%} over 0)"
        )
        margin[-1] -= self.options.verifier_border
        return dataclasses.replace(weights, verifier=_STEEPNESS * margin)


def _windows(
    pyramid: Pyramid, points: np.ndarray, roll: float, rng: np.random.Generator
) -> np.ndarray:
    """Template features of every scene, its face turned to about ``roll``."""
    poses = cascade.fit_poses(points)
    count = len(points)
    turned = np.deg2rad(rng.uniform(-11, 11, count) - roll)
    unit = poses.unit * 2.0 ** rng.uniform(-0.15, 0.15, count)
    angle = np.arctan2(poses.axis[:, 1], poses.axis[:, 0]) + turned
    axis = unit[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    shift = rng.uniform(-0.14, 0.14, (count, 1, 2))
    jittered = Poses(poses.to_picture(shift)[:, 0], axis)
    edge = _MARGIN_CELLS * cascade.CELL / bundled.WINDOW_UNIT
    (x0, x1), (y0, y1) = bundled.WINDOW_X, bundled.WINDOW_Y
    lattice = cascade.grid((x0 - edge, x1 + edge), (y0 - edge, y1 + edge), bundled.WINDOW_UNIT)
    step = jittered.unit / bundled.WINDOW_UNIT
    values = pyramid.sample(np.arange(count), jittered.to_picture(lattice), step)
    rows, columns = (n + 2 * _MARGIN_CELLS for n in bundled.WINDOW_CELLS)
    grey = values.reshape(count, rows * cascade.CELL, columns * cascade.CELL)
    cut = slice(_MARGIN_CELLS, -_MARGIN_CELLS)
    return cascade.cell_features(grey)[:, cut, cut].reshape(count, -1)


def _window(features: np.ndarray, row: int, column: int) -> np.ndarray:
    rows, columns = bundled.WINDOW_CELLS
    return features[row : row + rows, column : column + columns].ravel()


def _random_windows(maps: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    rows, columns = bundled.WINDOW_CELLS
    found = []
    for m in rng.integers(len(maps), size=count):
        y = rng.integers(maps[m].shape[0] - rows + 1)
        x = rng.integers(maps[m].shape[1] - columns + 1)
        found.append(_window(maps[m], y, x))
    return np.stack(found)


def _hard_windows(
    weights: DetectorWeights, maps: Sequence[np.ndarray], least: float, most: int
) -> list[np.ndarray]:
    """For each template, the features of the windows without a face that it scores highest."""
    places: list[list[np.ndarray]] = [[] for _ in weights.templates]
    for m, features in enumerate(maps):
        response = bundled.respond(weights, features)
        for r, found in enumerate(places):
            at = bundled.peaks(response[..., r], least)
            score = response[at[:, 0], at[:, 1], r]
            best = np.argsort(-score, kind="stable")[:_PER_MAP]
            found.append(np.column_stack([score[best], np.full(len(best), m), at[best]]))
    mined = []
    for found in places:
        table = np.concatenate(found)
        table = table[np.argsort(-table[:, 0], kind="stable")[:most]]
        mined.append(np.stack([_window(maps[m], y, x) for m, y, x in table[:, 1:].astype(int)]))
    return mined


def _perturbed(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Starts for the cascade as the search leaves them: (N, 5, 2) landmarks of displaced poses."""
    poses = cascade.fit_poses(points)
    count = len(points)
    shift = rng.uniform(-0.22, 0.22, (count, 1, 2))
    scale = 2.0 ** rng.uniform(-0.28, 0.28, count)
    turn = np.deg2rad(rng.uniform(-16, 16, count))
    angle = np.arctan2(poses.axis[:, 1], poses.axis[:, 0]) + turn
    axis = (poses.unit * scale)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return Poses(poses.to_picture(shift)[:, 0], axis).to_picture(cascade.MEAN_SHAPE)


def _aligned_candidates(weights: DetectorWeights, grey: np.ndarray) -> np.ndarray:
    poses = bundled.search(weights, grey)
    if not len(poses.origin):
        return np.empty((0, 3488), np.float32)
    pyramid = Pyramid.of(grey[None].astype(np.float32) / np.float32(255))
    which = np.zeros(len(poses.origin), np.intp)
    found = bundled.descend(weights, pyramid, poses, which)
    return bundled.final_features(pyramid, which, found)


def save_weights(weights: DetectorWeights, path: Path) -> int:
    """Write weights as .safetensors in half precision, with their source; returns the bytes."""
    arrays = {
        field.name: np.array(getattr(weights, field.name), np.float16, order="C")
        for field in dataclasses.fields(weights)
    }
    content = save(arrays, metadata=_METADATA)
    path.write_bytes(content)
    return len(content)
