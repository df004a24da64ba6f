"""The face detector that comes with the package: linear templates, and a cascade of ridges.

Three steps, all of them linear maps on gradient-orientation features (`_gradients.py`): templates
for three rolls, swept over an image pyramid; a cascade of ridge regressions that moves five
landmarks from where the template fired to where they belong (supervised descent: Xiong and De la
Torre, "Supervised Descent Method and Its Applications to Face Alignment", CVPR 2013);
and a linear classifier on the features of the aligned face, which decides.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pixelreg.errors import InvalidArrayError
from pixelreg.faces import _gradients as gradients
from pixelreg.faces._gradients import Poses, Pyramid
from pixelreg.faces._search import PASSES, distinct, search
from pixelreg.faces._weights import DetectorWeights, load_weights
from pixelreg.faces.landmarks import Face, face_from_points

# Two faces' eyes are at least this many of the larger one's eye distances apart.
_APART = 1.0
# Fine texture has many places that look a little like a small face: below this eye distance in the
# picture's pixels, a face needs this score.
_SMALL, _SMALL_SCORE = 24.0, 0.9
# Score from which landmarks refined by the cascade replace those of another detector.
_REFINED_SCORE = 0.5


def check_image(image: np.ndarray) -> None:
    """Raise InvalidArrayError unless ``image`` is (H, W, 3) uint8 and not empty."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidArrayError(
            f"a picture must be an array (H, W, 3) of uint8; got {image.shape} of {image.dtype}"
        )


class BundledDetector:
    """Finds frontal faces with NumPy and Pillow alone.

    Roll up to about 25 degrees and eye distances from about 20 pixels in a picture of 1280 pixels;
    smaller pictures are enlarged up to twofold first.

    Parameters
    ----------
    weights : trained weights; None for those that come with the package.
    threshold : least score in [0, 1] of a face that is returned; at least 0.9 holds for faces whose
        eyes are less than 24 pixels apart.
    """

    name = "bundled"

    def __init__(self, weights: DetectorWeights | None = None, threshold: float = 0.5) -> None:
        self.weights = load_weights() if weights is None else weights
        self.threshold = threshold

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8 RGB, largest first.

        The picture is searched at 640 pixels (eye distances from about 16 pixels there) and, only
        if that finds nothing, at up to 1280. A face cut by the border is returned when both eyes
        are inside the picture.
        """
        check_image(image)
        pyramid, scale = _landmark_pyramid(image)
        searched = 0
        for longest in PASSES:
            if searched >= max(image.shape[:2]):
                break
            grey, factor = gradients.as_grey(image, longest)
            poses = search(self.weights, grey, searched / max(grey.shape))
            searched = longest
            faces = self._verified(pyramid, scale, _scaled(poses, factor / scale))
            faces = [face for face in faces if self._sure(face) and _inside(face.eyes, image)]
            if faces:
                return sorted(faces, key=lambda face: -face.eye_distance)
        return []

    def _sure(self, face: Face) -> bool:
        return face.eye_distance >= _SMALL or face.score >= _SMALL_SCORE

    def _verified(self, pyramid: Pyramid, scale: float, poses: Poses) -> list[Face]:
        if not len(poses.origin):
            return []
        points, scores = align(self.weights, pyramid, poses)
        kept = distinct(gradients.fit_poses(points), scores, self.threshold, _APART)
        if not len(kept):
            return []
        points, scores = points[kept], scores[kept]
        # A start that was far off can leave the cascade short of its goal: go on from there.
        further, again = align(self.weights, pyramid, gradients.fit_poses(points))
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
    points, scores = align(weights, pyramid, gradients.fit_poses(given))
    return [
        replace(face, points=moved * scale) if score >= _REFINED_SCORE else face
        for face, moved, score in zip(faces, points, scores, strict=True)
    ]


def _landmark_pyramid(image: np.ndarray) -> tuple[Pyramid, float]:
    """The picture as the cascade sees it, and the factor from its pixels to the picture's."""
    grey, factor = gradients.as_grey(image, PASSES[-1])
    return Pyramid.of(grey[None].astype(np.float32) / np.float32(255)), factor


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
    points = poses.to_picture(gradients.MEAN_SHAPE)
    for stage in weights.crop_stages:
        poses = gradients.fit_poses(points)
        features = gradients.crop_features(pyramid, which, poses)
        points = advance(stage, features, poses, gradients.MEAN_SHAPE)
    for stage in weights.patch_stages:
        poses = gradients.fit_poses(points)
        features = gradients.patch_features(pyramid, which, poses, points)
        points = advance(stage, features, poses, poses.to_frame(points))
    return points


def advance(stage: np.ndarray, features: np.ndarray, poses: Poses, start: np.ndarray) -> np.ndarray:
    """One ridge regression of the cascade: landmarks in pixels from features and a start."""
    step = features @ stage[:-1] + stage[-1]
    return poses.to_picture(start + step.reshape(-1, 5, 2))


def final_features(pyramid: Pyramid, which: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(M, 3488) float32 features of aligned faces, for the verifier."""
    poses = gradients.fit_poses(points)
    whole = gradients.crop_features(pyramid, which, poses)
    local = gradients.patch_features(pyramid, which, poses, points)
    return np.concatenate([whole, local], axis=1)
