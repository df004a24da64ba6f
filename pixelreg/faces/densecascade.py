"""82 landmarks by a cascade of ridge regressions on gradient features.

The first stages look at the whole face and move all points at once, through maps of low rank; later
ones look at patches around the points, one map a part of the face. Both eyes share theirs: the one
on the right is looked at in a mirror. Trained by ``examples/train_landmarks.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.faces.cascade import Poses, Pyramid, fit_poses, grid, luminance, square
from pixelreg.faces.dense import PARTS, DenseFace, mirror, of_two_looks
from pixelreg.faces.landmarks import Face
from pixelreg.models import store

FORMAT = store.Format("pixelreg-landmarks", "1", "a landmark cascade")
FLIP = np.array([-1.0, 1.0])
MIRROR = mirror()

# The whole face at 24 pixels an eye distance: 64 x 72 pixels.
CROP_UNIT = 24.0
CROP_SHAPE = (72, 64)
CROP = grid((-32 / 24, 32 / 24), (-0.75, 2.25), CROP_UNIT)
# Pixels an eye distance of the patches of each stage, and cells of a patch's side.
PATCH_UNITS: Mapping[str, tuple[float, ...]] = {
    "eye": (28.0, 36.0, 48.0),
    "mouth": (24.0, 32.0, 44.0),
    "nose": (24.0, 32.0, 40.0),
    "jaw": (16.0, 20.0, 24.0),
}
CELLS = {"eye": 3, "mouth": 3, "nose": 3, "jaw": 4}
# Where a patch's pixels lie around its point, at each stage.
LATTICES = {
    kind: [square(2 * CELLS[kind] / unit, unit) for unit in units]
    for kind, units in PATCH_UNITS.items()
}
# How much each point says of the pose: what moves with expressions says less.
STEADY = np.ones(82)
STEADY[PARTS["mouth"]], STEADY[PARTS["jaw"]] = 0.3, 0.15
STEADY[9:17] = STEADY[26:34] = 0.4  # brows
LARGEST_UNIT = 64.0  # pixels an eye distance that are looked at
AROUND = 3.0  # eye distances around the face that are cut out
LEVELS = 5  # of the picture, each half as large as the one before
MIDDLE = np.array([[0.0, 0.6]])  # of the face, in its frame


class Map(NamedTuple):
    """A linear map of low rank: f -> f A B + c.

    down : (d, r) float32. up : (r, k) float32. offset : (k,) float32.
    """

    down: Floats
    up: Floats
    offset: Floats

    def __call__(self, features: Floats) -> Array:
        """(n, d) features -> (n, k), each as if it were alone: BLAS rounds many otherwise."""
        moved: Array = (features[:, None] @ self.down) @ self.up + self.offset
        return moved[:, 0]


@dataclass(frozen=True)
class Cascade:
    """What training leaves behind.

    mean : (82, 2) the mean face, in the face frame.
    crops : the maps of the whole-face stages.
    patches : for each of the later stages the maps of its parts.
    """

    mean: Float64
    crops: Sequence[Map]
    patches: Sequence[Mapping[str, Map]]

    def run(self, pyramid: Pyramid, which: Array, poses: Poses) -> Float64:
        """(m, 82, 2) points in pixels, from starting poses of m faces in pictures ``which``."""
        points = poses.to_picture(self.mean)
        for number, crop in enumerate(self.crops):
            if number:
                poses = pose_of(points, self.mean)
            local: Array = poses.to_frame(points) if number else self.mean[None]
            step = crop(crop_features(pyramid, which, poses)).reshape(-1, 82, 2)
            points = poses.to_picture(local + step.astype(np.float64))
        for stage, maps in enumerate(self.patches):
            poses = pose_of(points, self.mean)
            local = poses.to_frame(points)
            steps = [
                maps[kind_of(part)](part_features(pyramid, which, poses, local, part, stage))
                for part in PARTS
            ]
            points = poses.to_picture(local + joined(steps))
        return points


def kind_of(part: str) -> str:
    """Whose map moves a part: both eyes have one."""
    return "eye" if part.endswith("eye") else part


def joined(steps: Sequence[Floats]) -> Floats:
    """(m, 82, 2) steps of all parts; those of the right eye come from a mirror."""
    whole = [step.reshape(len(step), -1, 2) for step in steps]
    turned = [
        step * FLIP if part == "right eye" else step
        for part, step in zip(PARTS, whole, strict=True)
    ]
    return np.concatenate(turned, axis=1)


def pose_of(points: Float64, mean: Float64) -> Poses:
    """The poses that put the mean face onto (m, 82, 2) points best, steady points first."""
    weight = STEADY / STEADY.sum()
    middle, centre = weight @ mean, np.einsum("k,mkc->mc", weight, points)
    a, b = mean - middle, points - centre[:, None]
    square = (weight[:, None] * a**2).sum()
    across = (weight[:, None] * a * b).sum(axis=(1, 2)) / square
    turned = (weight * (a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0])).sum(axis=1) / square
    axis = np.stack([across, turned], axis=-1)
    moved = Poses(np.zeros_like(centre), axis).to_picture(middle[None])[:, 0]
    return Poses(centre - moved, axis)


def crop_features(pyramid: Pyramid, which: Array, poses: Poses) -> Floats:
    """(m, d) features of the whole face in each pose."""
    step, middle = poses.unit / CROP_UNIT, np.zeros((len(which), 1, 2))
    values = pyramid.around(which, poses, step, middle, CROP)
    cells = pyramid.cells(values, CROP_SHAPE)
    return cells.reshape(len(cells), -1)


def part_features(
    pyramid: Pyramid, which: Array, poses: Poses, local: Float64, part: str, stage: int
) -> Floats:
    """(m, d) features of a part: patches around its points, and where these lie to each other.

    local : (m, 82, 2) points of the face frame. The right eye is looked at in a mirror.
    """
    kind = kind_of(part)
    flip = FLIP if part == "right eye" else np.ones(2)
    unit, cells = PATCH_UNITS[kind][stage], CELLS[kind]
    own = local[:, PARTS[part]] * flip
    values = pyramid.around(which, poses, poses.unit / unit, own, LATTICES[kind][stage], flip)
    seen = pyramid.cells(values, (4 * cells, 4 * cells)).reshape(len(own), -1)
    shape = (own - own.mean(axis=1, keepdims=True)).reshape(len(own), -1)
    return np.concatenate([seen, shape.astype(np.float32)], axis=1)


@dataclass(frozen=True)
class DenseCascade:
    """The cascade as a finder.

    file : its weights; None for those that come with pixelreg.
    loops : see `pixelreg.faces.cascade.cell_features`.
    """

    unsure: ClassVar[float] = 0.025
    file: Path | None = field(default=None)
    loops: Any = None

    @cached_property
    def cascade(self) -> Cascade:
        """The weights, read when first needed."""
        return load_cascade(self.file)

    def find(self, pixels: Pixels, face: Face, twice: bool = True) -> DenseFace:
        """See `pixelreg.faces.dense.DenseFinder.find`."""
        pose = _start(face)
        grey, origin, scale = _cut_out(pixels, pose, self.loops)
        start = Poses((pose.origin - origin) / scale, pose.axis / scale)
        pyramid = Pyramid.of(grey, LEVELS, self.loops)
        if not twice:
            points = self.cascade.run(pyramid, np.zeros(1, int), start)
            return DenseFace(points[0] * scale + origin, 0.0, "cascade")
        back = np.array([grey.shape[2], 0.0])
        looks = Poses(
            np.concatenate([start.origin, start.origin * FLIP + back]),
            np.concatenate([start.axis, start.axis * [1.0, -1.0]]),
        )
        seen = self.cascade.run(_and_mirrored(pyramid), np.arange(2), looks)
        mirrored = (seen[1] * FLIP + back)[MIRROR]
        points, doubt = of_two_looks(seen[0], mirrored, float(start.unit[0]))
        return DenseFace(points * scale + origin, doubt, "cascade")


def _start(face: Face) -> Poses:
    """Where the face frame lies in the picture, by five points or by the eyes alone."""
    if np.isfinite(face.points).all():
        return fit_poses(face.points[None])
    left, right = face.eyes
    return Poses((left + right)[None] / 2, (right - left)[None])


def _cut_out(pixels: Pixels, pose: Poses, loops: Any) -> tuple[Floats, Float64, float]:
    """(1, h, w) of the picture around a face, not too large; photo = scale * cut + origin."""
    unit = float(pose.unit[0])
    middle = pose.to_picture(MIDDLE)[0, 0]
    height, width = pixels.shape[:2]
    low = np.clip(np.floor(middle - AROUND * unit), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(middle + AROUND * unit), low + 1, [width, height]).astype(int)
    times = max(1, int(unit / LARGEST_UNIT + 0.5))
    grey = luminance(pixels[low[1] : high[1], low[0] : high[0]], times, loops)
    return grey[None] / np.float32(255), low.astype(np.float64), float(times)


def _and_mirrored(pyramid: Pyramid) -> Pyramid:
    """A picture and its mirrored one."""
    both = (np.concatenate([level, level[..., ::-1]]) for level in pyramid.levels)
    return Pyramid(tuple(both), pyramid.loops)


@lru_cache(maxsize=2)
def load_cascade(path: Path | None = None) -> Cascade:
    """Read a cascade, or the one that comes with pixelreg."""
    packaged = Path(__file__).parent / "weights" / "landmarks.safetensors"
    source = packaged.read_bytes() if path is None else path
    return store.read_as(source, FORMAT, _assemble, str(path or "the bundled landmark cascade"))


def _assemble(values: dict[str, Any], tensors: dict[str, Array]) -> Cascade:
    def read(name: str) -> Map:
        images = tensors[f"{name}.images"].astype(np.float32) * tensors[f"{name}.step"]
        down = np.concatenate([images, tensors[f"{name}.shapes"].astype(np.float32)])
        up, offset = tensors[f"{name}.up"].astype(np.float32), tensors[f"{name}.offset"]
        return Map(down, up, offset)

    return Cascade(
        tensors["mean"].astype(np.float64),
        [read(f"crop{k}") for k in range(int(values["crops"]))],
        [{kind: read(f"{kind}{k}") for kind in CELLS} for k in range(int(values["patches"]))],
    )
