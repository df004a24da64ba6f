"""The face detector that comes with the package: linear templates, and a cascade of ridges.

Three steps, all of them linear maps on gradient-orientation features (`cascade.py`): templates
for three rolls, swept over an image pyramid; a cascade of ridge regressions that moves five
landmarks from where the template fired to where they belong (supervised descent: Xiong and De la
Torre, "Supervised Descent Method and Its Applications to Face Alignment", CVPR 2013);
and a linear classifier on the features of the aligned face, which decides.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.errors import InvalidArrayError
from pixelreg.faces.cascade import (
    CELL,
    CHANNELS,
    MEAN_SHAPE,
    DetectorWeights,
    Poses,
    Pyramid,
    as_grey,
    as_small,
    cell_features,
    crop_features,
    fit_poses,
    load_weights,
    luminance,
    patch_features,
    resized,
)
from pixelreg.faces.landmarks import Face, face_from_points

# The template window in the face frame, at 16 pixels an eye distance: 40x44 pixels, 10x11 cells.
WINDOW_UNIT = 16.0
WINDOW_X, WINDOW_Y = (-1.25, 1.25), (-1.0, 1.75)
WINDOW_CELLS = (11, 10)

# The search: longest side of the first and of the second pass, and of those for every face of a
# group; that of a glance for large faces, enough where only the largest is wanted, and how many
# times finer landmarks are looked for there; the pyramid's step, the pixels of padding that let a
# window reach over the border, and how many candidates go on.
PASSES = (640, 1280)
EVERY = (*PASSES, 2560)
GLANCE, _FINER = 160, 4
_STEP = 2.0**-0.25
_PADDING = 16
_CANDIDATES = 60
_LARGEST_ENLARGEMENT = 2.0

# Two faces' eyes are at least this many of the larger one's eye distances apart.
_APART = 1.0
# Fine texture has many places that look a little like a small face: below this eye distance in the
# picture's pixels, a face needs this score.
_SMALL, _SMALL_SCORE = 24.0, 0.9
# A search at all sizes has as many chances of error: beside a sure face, others need this score.
_AMONG_OTHERS = 0.75
# Score from which landmarks refined by the cascade replace those of another detector.
_REFINED_SCORE = 0.5


def search(
    weights: DetectorWeights,
    grey: np.ndarray,
    smallest: float = 0.0,
    finest: int = PASSES[0],
    loops: Any = None,
) -> Poses:
    """Candidate poses in (h, w) uint8: the best windows of a sweep over all positions and sizes.

    ``smallest`` leaves out the pyramid's levels at or below this fraction of the picture's size;
    ``finest`` see `pyramid_levels`; ``loops`` see `cell_features`.
    """
    found: list[np.ndarray] = []
    for level, factor in pyramid_levels(grey, finest):
        if 1 / factor <= smallest + 1e-6:
            break
        response = respond(weights, level_features(level, loops))
        top = np.maximum.reduce([response[..., k] for k in range(response.shape[-1])])
        for y, x in peaks(top, float(weights.gate)):
            origin = window_origin(y, x) * factor
            roll = np.deg2rad(weights.rolls[response[y, x].argmax()])
            axis = WINDOW_UNIT * factor * np.array([np.cos(roll), np.sin(roll)])
            found.append(np.concatenate([origin, axis, [top[y, x]]]))
    table = np.array(sorted(found, key=lambda row: -row[4])[: 10 * _CANDIDATES]).reshape(-1, 5)
    poses = Poses(table[:, :2], table[:, 2:4])
    kept = distinct(poses, table[:, 4], -np.inf, 0.35, similar=2.0)[:_CANDIDATES]
    return Poses(poses.origin[kept], poses.axis[kept])


def pyramid_levels(grey: np.ndarray, finest: int = PASSES[0]) -> list[tuple[np.ndarray, float]]:
    """Copies of (h, w) uint8 from large to small, each with the factor back to the original.

    Small pictures are enlarged towards ``finest`` pixels.
    """
    height, width = grey.shape
    start = min(_LARGEST_ENLARGEMENT, max(1.0, finest / max(height, width)))
    levels: list[tuple[np.ndarray, float]] = []
    k = 0
    while min(height, width) * start * _STEP**k >= 2 * WINDOW_UNIT:
        scale = start * _STEP**k
        size = (round(width * scale), round(height * scale))
        source = levels[-4][0] if len(levels) > 4 else grey
        levels.append((resized(source, size), width / size[0]))
        k += 1
    return levels


def level_features(level: np.ndarray, loops: Any = None) -> np.ndarray:
    """(rows, columns, 8) features of a padded level."""
    padded = np.pad(level, _PADDING, mode="edge").astype(np.float32)
    padded *= np.float32(1 / 255)
    return np.asarray(cell_features(padded[None], loops)[0])


def window_origin(row: int, column: int) -> np.ndarray:
    """The face frame's origin, in a level's pixels, of the window whose first cell this is."""
    corner = np.array([column, row]) * CELL - _PADDING
    return np.array(corner - WINDOW_UNIT * np.array([WINDOW_X[0], WINDOW_Y[0]]))


def respond(weights: DetectorWeights, features: np.ndarray) -> np.ndarray:
    """(rows, columns, R) template scores of every window of a feature map."""
    rows, columns = WINDOW_CELLS
    count = len(weights.templates)
    high, wide = features.shape[0], features.shape[1] - columns + 1
    strips = np.lib.stride_tricks.sliding_window_view(
        features.reshape(high, -1), columns * CHANNELS, axis=1
    )[:, ::CHANNELS]
    bank = weights.templates.transpose(1, 0, 2, 3).reshape(rows * count, columns * CHANNELS)
    # Plane by plane, so that sums run along whole rows.
    partial = (bank @ strips.reshape(high * wide, -1).T).reshape(rows, count, high, wide)
    total = np.zeros((count, high - rows + 1, wide), np.float32)
    total += weights.template_bias[:, None, None]
    for k in range(rows):
        total += partial[k, :, k : k + total.shape[1]]
    return np.moveaxis(total, 0, 2)


def peaks(scores: np.ndarray, least: float) -> np.ndarray:
    """(n, 2) row and column of the local maxima of a score map that reach ``least``."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    rows, columns = scores.shape
    around = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.argwhere((scores >= np.maximum.reduce(around)) & (scores >= least))


def distinct(
    poses: Poses, scores: np.ndarray, least: float, nearer: float, similar: float = np.inf
) -> np.ndarray:
    """Indices of the poses that score ``least`` and are no weaker double of another, best first.

    Two poses are doubles when their origins are within ``nearer`` of the larger eye distance; if
    one is more than ``similar`` times as large as the other, within ``nearer`` of the smaller.
    """
    order = np.argsort(-scores, kind="stable")
    unit = poses.unit
    kept: list[int] = []
    for i in order[scores[order] >= least]:
        apart = np.hypot(*(poses.origin[kept] - poses.origin[i]).T)
        large, small = np.maximum(unit[kept], unit[i]), np.minimum(unit[kept], unit[i])
        if not (apart < nearer * np.where(large > similar * small, small, large)).any():
            kept.append(int(i))
    return np.array(kept, np.intp)


def check_image(image: np.ndarray) -> None:
    """Raise InvalidArrayError unless ``image`` is (H, W, 3) uint8 and not empty."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidArrayError(
            f"a picture must be an array (H, W, 3) of uint8; got {image.shape} of {image.dtype}"
        )


class BundledDetector:
    """Finds frontal faces with NumPy and Pillow alone.

    Roll up to about 25 degrees (`pixelreg.faces.turned` has the rest) and eye distances from about
    20 pixels in a picture of 1280 pixels; smaller pictures are enlarged up to twofold first.

    weights : trained weights; None for those that come with the package.
    threshold : least score in [0, 1] of a face that is returned; at least 0.9 holds for faces whose
        eyes are less than 24 pixels apart.
    loops : `pixelreg.backends.loops_faces`, which are quicker and give the same bits, or None.
    """

    name = "bundled"
    suffix = None

    def __init__(
        self, weights: DetectorWeights | None = None, threshold: float = 0.5, loops: Any = None
    ) -> None:
        self.weights = load_weights() if weights is None else weights
        self.threshold = threshold
        self.loops = loops

    @classmethod
    def at_hand(cls, file: Path | None) -> bool:
        """Always, but with a file of another detector."""
        return file is None or file.suffix != ".onnx"

    @classmethod
    def opened(cls, file: Path | None, loops: Any = None) -> BundledDetector:
        """With the weights of a .safetensors file, or those that come with the package."""
        return cls(load_weights(file), loops=loops)

    @classmethod
    def versions(cls) -> str:
        """The package's own decides."""
        return ""

    def detect(self, image: np.ndarray, largest: bool = False) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8 RGB, largest first.

        The picture is searched at 640 pixels (eye distances from about 14 pixels there), at 1280,
        and, if it is as large, at 2560. Where the largest face is enough, a glance at 160 pixels
        comes first, and a finer search only if the coarser ones found nothing. A face cut by the
        border is returned when both eyes are inside the picture.
        """
        check_image(image)
        return (self._glanced(image) if largest else []) or self._searched(image, not largest)

    def _glanced(self, image: np.ndarray) -> list[Face]:
        """The large faces of a picture: eyes at least a tenth of its longest side apart."""
        times = max(1, round(max(image.shape[:2]) / (_FINER * GLANCE)))  # whole, which is quick
        fine = luminance(image, times, self.loops)
        grey, factor = as_small(fine, GLANCE)
        poses = _scaled(search(self.weights, grey, finest=GLANCE, loops=self.loops), factor)
        return self._kept(self._verified(_pyramid(fine, self.loops), times, poses), image)

    def _searched(self, image: np.ndarray, every: bool) -> list[Face]:
        """The faces of one pass after the other, or of the first that finds any."""
        passes = EVERY if every else PASSES
        pyramid, scale = _landmark_pyramid(image, passes[-1], self.loops)
        searched, found = 0, list[Face]()
        for longest in passes:
            if searched >= max(image.shape[:2]):
                break
            grey, factor = as_grey(image, longest, self.loops)
            done = searched / max(grey.shape)
            poses = search(self.weights, grey, done, longest, self.loops)
            searched = longest
            found += self._verified(pyramid, scale, _scaled(poses, factor / scale))
            if self._kept(found, image) and not every:
                break
        kept = self._kept(apart(found), image)
        sure = any(face.score >= _SMALL_SCORE for face in kept)
        return [f for f in kept if f.score >= _AMONG_OTHERS] if every and sure else kept

    def _kept(self, faces: list[Face], image: np.ndarray) -> list[Face]:
        """The faces that are to be believed, largest first."""
        sure = [f for f in faces if f.eye_distance >= _SMALL or f.score >= _SMALL_SCORE]
        kept = [face for face in sure if _inside(face.eyes, image)]
        return sorted(kept, key=lambda face: -face.eye_distance)

    def _verified(self, pyramid: Pyramid, scale: float, poses: Poses) -> list[Face]:
        if not len(poses.origin):
            return []
        points, scores = align(self.weights, pyramid, poses)
        kept = distinct(fit_poses(points), scores, self.threshold, _APART)
        if not len(kept):
            return []
        points, scores = points[kept], scores[kept]
        # A start that was far off can leave the cascade short of its goal: go on from there.
        further, again = align(self.weights, pyramid, fit_poses(points))
        points = np.where((again >= scores)[:, None, None], further, points)
        scores = np.maximum(scores, again)
        return [face_from_points(p * scale, float(s)) for p, s in zip(points, scores, strict=True)]


def refine(weights: DetectorWeights, image: np.ndarray, faces: list[Face]) -> list[Face]:
    """Give faces that another detector found the landmarks of this one's cascade.

    A face that the verifier does not recognise afterwards (turned far, hidden, too small) keeps
    the landmarks it came with. Boxes and scores stay.
    """
    if not faces:
        return []
    pyramid, scale = _landmark_pyramid(image)
    given = np.stack([face.points for face in faces]) / scale
    points, scores = align(weights, pyramid, fit_poses(given))
    return [
        replace(face, points=moved * scale) if score >= _REFINED_SCORE else face
        for face, moved, score in zip(faces, points, scores, strict=True)
    ]


def _landmark_pyramid(
    image: np.ndarray, longest: int = PASSES[-1], loops: Any = None
) -> tuple[Pyramid, float]:
    """The picture as the cascade sees it, and the factor from its pixels to the picture's."""
    grey, factor = as_grey(image, longest, loops)
    return _pyramid(grey, loops), factor


def _pyramid(grey: np.ndarray, loops: Any) -> Pyramid:
    return Pyramid.of(grey[None].astype(np.float32) / np.float32(255), loops=loops)


def apart(faces: list[Face]) -> list[Face]:
    """Of the same head found by several passes, or at two turns, the surer; the surest first."""
    if not faces:
        return []
    poses = fit_poses(np.stack([face.points for face in faces]))
    scores = np.array([face.score for face in faces])
    return [faces[k] for k in distinct(poses, scores, 0.0, _APART)]


def _scaled(poses: Poses, factor: float) -> Poses:
    return Poses(poses.origin * factor, poses.axis * factor)


def _inside(points: np.ndarray, image: np.ndarray) -> bool:
    limits = np.array([image.shape[1], image.shape[0]])
    return bool((points >= 0).all() and (points <= limits).all())


def align(
    weights: DetectorWeights, pyramid: Pyramid, poses: Poses, which: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (M, 5, 2) in pixels and scores (M,) of the faces that start from M poses.

    ``which`` (M,) is the picture of each pose; without it all are in the first.
    """
    which = np.zeros(len(poses.origin), np.intp) if which is None else which
    points = descend(weights, pyramid, poses, which)
    margin = final_features(pyramid, which, points) @ weights.verifier[:-1] + weights.verifier[-1]
    return points, 1 / (1 + np.exp(-margin.astype(np.float64)))


def descend(
    weights: DetectorWeights, pyramid: Pyramid, poses: Poses, which: np.ndarray
) -> np.ndarray:
    """Run the cascade from M poses: landmarks (M, 5, 2) in pixels."""
    points = poses.to_picture(MEAN_SHAPE)
    for stage in weights.crop_stages:
        poses = fit_poses(points)
        features = crop_features(pyramid, which, poses)
        points = advance(stage, features, poses, MEAN_SHAPE)
    for stage in weights.patch_stages:
        poses = fit_poses(points)
        features = patch_features(pyramid, which, poses, points)
        points = advance(stage, features, poses, poses.to_frame(points))
    return points


def advance(stage: np.ndarray, features: np.ndarray, poses: Poses, start: np.ndarray) -> np.ndarray:
    """One ridge regression of the cascade: landmarks in pixels from features and a start."""
    step = features @ stage[:-1] + stage[-1]
    return poses.to_picture(start + step.reshape(-1, 5, 2))


def final_features(pyramid: Pyramid, which: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(M, 3488) float32 features of aligned faces, for the verifier."""
    poses = fit_poses(points)
    whole = crop_features(pyramid, which, poses)
    local = patch_features(pyramid, which, poses, points)
    return np.concatenate([whole, local], axis=1)
