"""Gradient-orientation features, and faces sampled from pictures in their own frame.

The face frame has its origin midway between the eyes, the eye distance as its unit, x from the
image-left to the image-right eye and y down the face. A pose (origin, unit in pixels, roll) puts it
into a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.errors import ModelFileError
from pixelreg.models.store import read_tensors

# None stands for any number: of templates, of stages.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "templates": (None, 11, 10, 8),
    "template_bias": (None,),
    "rolls": (None,),
    "gate": (),
    "crop_stages": (None, 2049, 10),
    "patch_stages": (None, 1441, 10),
    "verifier": (3489,),
}


@dataclass(frozen=True)
class DetectorWeights:
    """What training leaves behind; all arrays float32.

    templates : (R, 11, 10, 8), one per roll; ``template_bias`` (R,), ``rolls`` (R,) in degrees.
    crop_stages : (S, 2049, 10), whole-face regressions; the last row is the intercept.
    patch_stages : (P, 1441, 10), regressions on patches around the landmarks.
    verifier : (2048 + 1440 + 1,), the deciding classifier; its margin is 0 on the border.
    """

    templates: np.ndarray
    template_bias: np.ndarray
    rolls: np.ndarray
    gate: np.ndarray
    crop_stages: np.ndarray
    patch_stages: np.ndarray
    verifier: np.ndarray


def load_weights(path: Path | None = None) -> DetectorWeights:
    """Read weights from a .safetensors file; without a path, those that come with the package."""
    name = str(path or "the bundled detector's weights")
    complaint = f"{name} cannot be read as a face detector"
    packaged = Path(__file__).parent / "weights" / "detector.safetensors"
    arrays = read_tensors(packaged.read_bytes() if path is None else path, complaint)
    try:
        weights = DetectorWeights(**{k: v.astype(np.float32) for k, v in arrays.items()})
    except TypeError as error:
        raise ModelFileError(f"{complaint}: {error}") from error
    for part, shape in _SHAPES.items():
        found = getattr(weights, part).shape
        if len(found) != len(shape) or any(
            n not in (m, None) for m, n in zip(found, shape, strict=True)
        ):
            raise ModelFileError(f"{name}: {part} has the shape {found}, which no detector has")
    return weights


CELL = 4
CHANNELS = 8
UNFLIPPED = np.ones(2)
# Gradient magnitude (mean over a cell, grey in [0, 1] after the square root) below which a
# neighbourhood counts as flat, so that noise in plain walls is not blown up to full contrast.
_FLAT = 0.02

# Mean of the five landmarks over the London set's templates, in the face frame.
MEAN_SHAPE = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.56], [-0.40, 1.10], [0.40, 1.10]])


def cell_features(grey: np.ndarray, loops: Any = None) -> np.ndarray:
    """Locally normalised histograms of gradient orientation on cells of 4x4 pixels.

    Each cell holds the mean positive and negative part of the gradient along four directions
    (eight channels), divided by the mean energy of its 3x3 neighbourhood, square-rooted.

    grey : (N, H, W) float32 in [0, 1].
    loops : `pixelreg.backends.loops_faces`, which are quicker and give the same bits, or None.

    Returns: (N, H // 4, W // 4, 8) float32 in [0, 1].
    """
    count, height, width = grey.shape
    rows, columns = height // CELL, width // CELL
    grey = grey[:, : rows * CELL, : columns * CELL]
    if loops is not None:
        found = np.empty((count, rows, columns, CHANNELS), np.float32)
        loops.cells(grey, np.float32(_FLAT), found)
        return found
    grey = np.sqrt(grey)
    padded = _bordered(grey)
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    half = np.float32(np.sqrt(0.5))
    planes = np.stack([right, (right + down) * half, down, (down - right) * half])
    signed, absolute = _pool(planes), _pool(np.abs(planes, out=planes))
    cells = np.empty((count, rows, columns, CHANNELS), np.float32)
    cells[..., : CHANNELS // 2] = np.moveaxis(absolute + signed, 0, 3)
    cells[..., CHANNELS // 2 :] = np.moveaxis(absolute - signed, 0, 3)
    cells *= np.float32(0.5)
    energy = _neighbourhood(cells.sum(axis=-1)) + np.float32(_FLAT)
    cells /= energy[..., None]
    return np.sqrt(np.maximum(cells, 0, out=cells), out=cells)


def _pool(planes: np.ndarray) -> np.ndarray:
    rows = planes[..., 0::4, :] + planes[..., 1::4, :]
    rows += planes[..., 2::4, :]
    rows += planes[..., 3::4, :]
    total = rows[..., 0::4] + rows[..., 1::4]
    total += rows[..., 2::4]
    total += rows[..., 3::4]
    total *= np.float32(1 / 16)
    return np.asarray(total)


def _bordered(planes: np.ndarray) -> np.ndarray:
    """(N, H, W) with its border repeated once; `np.pad` takes longer than all that follows."""
    count, height, width = planes.shape
    wide = np.empty((count, height + 2, width + 2), planes.dtype)
    wide[:, 1:-1, 1:-1] = planes
    wide[:, 0, 1:-1], wide[:, -1, 1:-1] = planes[:, 0], planes[:, -1]
    wide[:, :, 0], wide[:, :, -1] = wide[:, :, 1], wide[:, :, -2]
    return wide


def _neighbourhood(energy: np.ndarray) -> np.ndarray:
    padded = _bordered(energy)
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return np.asarray(total * np.float32(1 / 9))


@dataclass(frozen=True)
class Poses:
    """M poses of the face frame. ``origin`` (M, 2) in pixels, ``axis`` (M, 2): the vector from the
    image-left to the image-right eye in pixels, whose length is the unit."""

    origin: np.ndarray
    axis: np.ndarray

    @property
    def unit(self) -> np.ndarray:
        """(M,) eye distances in pixels."""
        return np.asarray(np.hypot(self.axis[:, 0], self.axis[:, 1]))

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(M, K, 2) or (K, 2) points of the face frame, as pixel coordinates (M, K, 2)."""
        ax, ay = self.axis[:, 0, None], self.axis[:, 1, None]
        x, y = points[..., 0], points[..., 1]
        placed = np.empty((len(ax), points.shape[-2], 2))
        np.subtract(ax * x, ay * y, out=placed[..., 0])
        np.add(ay * x, ax * y, out=placed[..., 1])
        placed += self.origin[:, None]
        return placed

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """(M, K, 2) pixel coordinates as points of the face frame."""
        ax, ay = self.axis[:, 0, None], self.axis[:, 1, None]
        x, y = np.moveaxis(points - self.origin[:, None], -1, 0)
        turned = np.stack([ax * x + ay * y, ax * y - ay * x], axis=-1)
        return np.asarray(turned / (ax**2 + ay**2)[..., None])


def fit_poses(points: np.ndarray) -> Poses:
    """The least-squares similarity from the mean shape to each of (M, 5, 2) sets of landmarks."""
    centred = MEAN_SHAPE - MEAN_SHAPE.mean(axis=0)
    middle = points.mean(axis=1)
    moved = points - middle[:, None]
    scale = (centred**2).sum()
    ax = (moved * centred).sum(axis=(1, 2)) / scale
    ay = (moved[..., 1] * centred[:, 0] - moved[..., 0] * centred[:, 1]).sum(axis=1) / scale
    axis = np.stack([ax, ay], axis=-1)
    turned = Poses(np.zeros_like(middle), axis).to_picture(MEAN_SHAPE.mean(axis=0)[None])[:, 0]
    return Poses(middle - turned, axis)


@dataclass(frozen=True)
class Pyramid:
    """Grey pictures at octaves: ``levels[k]`` is (N, H >> k, W >> k) float32 in [0, 1].

    loops : see `cell_features`.
    """

    levels: tuple[np.ndarray, ...]
    loops: Any = None

    @classmethod
    def of(cls, grey: np.ndarray, count: int = 6, loops: Any = None) -> Pyramid:
        """Halve (N, H, W) float32 pictures by 2x2 means, at most ``count`` levels."""
        levels = [np.ascontiguousarray(grey, np.float32)]
        while len(levels) < count and min(levels[-1].shape[1:]) >= 16:
            g = levels[-1][:, : levels[-1].shape[1] // 2 * 2, : levels[-1].shape[2] // 2 * 2]
            rows = g[:, 0::2] + g[:, 1::2]
            levels.append((rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25))
        return cls(tuple(levels), loops)

    def cells(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """(N, h // 4, w // 4, 8) features of samples that fill (h, w) = ``shape``."""
        return cell_features(values.reshape(-1, *shape), self.loops)

    def sample(self, which: np.ndarray, points: np.ndarray, step: np.ndarray) -> np.ndarray:
        """(M, K) float32 samples at (M, K, 2) pixels of the first level; see `around`."""
        still = Poses(np.zeros((len(points), 2)), np.tile([1.0, 0.0], (len(points), 1)))
        return self.around(which, still, step, points, np.zeros((1, 2)))

    def around(
        self,
        which: np.ndarray,
        poses: Poses,
        step: np.ndarray,
        centres: np.ndarray,
        lattice: np.ndarray,
        flip: np.ndarray = UNFLIPPED,
    ) -> np.ndarray:
        """Bilinear samples of lattices around places; beyond the border its value is repeated.

        which : (M,) int, the picture of each pose.
        step : (M,) distance of neighbouring points in pixels; it chooses the octave.
        centres : (M, P, 2), places in the face frame (pixel centres at i + 0.5).
        lattice : (K, 2), from each of them. flip : (2,), what sums of both are multiplied by.

        Returns: (M, P K) float32.
        """
        octaves = np.clip(np.round(np.log2(np.maximum(step, 1e-6))), 0, len(self.levels) - 1)
        values = np.empty((len(centres), centres.shape[1] * len(lattice)), np.float32)
        for octave in set(octaves.astype(int).tolist()):
            some = np.flatnonzero(octaves == octave)
            found = np.empty((len(some), values.shape[1]), np.float32)
            places = which[some], poses.origin[some], poses.axis[some], centres[some], lattice, flip
            sample = _sample if self.loops is None else self.loops.sample
            sample(_at_least_two(self.levels[octave]), *places, 2.0**octave, found)
            values[some] = found
        return values


def _at_least_two(level: np.ndarray) -> np.ndarray:
    """A level whose border repeats where it has one row or one column only."""
    if min(level.shape[1:]) < 2:
        level = np.pad(level, ((0, 0), (0, 1), (0, 1)), mode="edge")
    return level


def _sample(
    level: np.ndarray,
    which: np.ndarray,
    origin: np.ndarray,
    axis: np.ndarray,
    centres: np.ndarray,
    lattice: np.ndarray,
    flip: np.ndarray,
    octave: float,
    out: np.ndarray,
) -> None:
    """`pixelreg.backends.loops_faces.sample` in NumPy."""
    _, height, width = level.shape
    # One coordinate after the other: sums over pairs are short loops.
    u, v = (((centres[..., k, None] + lattice[:, k]) * flip[k]).reshape(out.shape) for k in (0, 1))
    across, down = axis[:, :1], axis[:, 1:]
    x, y = (across * u - down * v) + origin[:, :1], (down * u + across * v) + origin[:, 1:]
    x = np.clip(x / octave - 0.5, 0, width - 1).astype(np.float32)
    y = np.clip(y / octave - 0.5, 0, height - 1).astype(np.float32)
    left, top = np.minimum(x.astype(np.intp), width - 2), np.minimum(y.astype(np.intp), height - 2)
    fx, fy = x - left, y - top
    base = (which[:, None] * height + top) * width + left
    a, b, c, d = (level.reshape(-1).take(base + step) for step in (0, 1, width, width + 1))
    upper, lower = a + fx * (b - a), c + fx * (d - c)
    out[:] = upper + fy * (lower - upper)


def grid(x: tuple[float, float], y: tuple[float, float], per_unit: float) -> np.ndarray:
    """(K, 2) pixel centres of a lattice over a rectangle of the face frame, row by row."""
    across = np.arange(x[0] + 0.5 / per_unit, x[1], 1 / per_unit)
    down = np.arange(y[0] + 0.5 / per_unit, y[1], 1 / per_unit)
    gx, gy = np.meshgrid(across, down)
    return np.stack([gx.ravel(), gy.ravel()], axis=-1)


def square(half: float, per_unit: float) -> np.ndarray:
    """`grid` as far as ``half`` a side to all sides."""
    return grid((-half, half), (-half, half), per_unit)


# The whole face at 24 pixels an eye distance: 64x64, so 16x16 cells.
CROP_SIDE = 64
CROP_UNIT = 24.0
CROP_X, CROP_Y = (-32 / 24, 32 / 24), (-1.0, 40 / 24)
# A patch around one landmark at 40 pixels an eye distance: 24x24, so 6x6 cells.
PATCH_SIDE = 24
PATCH_UNIT = 40.0
CROP = grid(CROP_X, CROP_Y, CROP_UNIT)
PATCH = square(PATCH_SIDE / PATCH_UNIT / 2, PATCH_UNIT)


def crop_features(pyramid: Pyramid, which: np.ndarray, poses: Poses) -> np.ndarray:
    """(M, 2048) float32 features of the whole face in each pose."""
    step, middle = poses.unit / CROP_UNIT, np.zeros((len(which), 1, 2))
    values = pyramid.around(which, poses, step, middle, CROP)
    cells = pyramid.cells(values, (CROP_SIDE, CROP_SIDE))
    return cells.reshape(len(cells), -1)


def patch_features(
    pyramid: Pyramid, which: np.ndarray, poses: Poses, landmarks: np.ndarray
) -> np.ndarray:
    """(M, 5 * 288) float32 features of a patch around each of (M, 5, 2) landmarks in pixels."""
    values = pyramid.around(which, poses, poses.unit / PATCH_UNIT, poses.to_frame(landmarks), PATCH)
    cells = pyramid.cells(values, (PATCH_SIDE, PATCH_SIDE))
    return cells.reshape(len(landmarks), -1)


def as_grey(image: np.ndarray, longest: int, loops: Any = None) -> tuple[np.ndarray, float]:
    """Luminance of (H, W, 3) uint8, shrunk so that its longest side is at most ``longest``.

    Returns: (h, w) uint8 and the factor from its pixels to the picture's.
    """
    return as_small(luminance(image, loops=loops), longest)


def luminance(image: np.ndarray, times: int = 1, loops: Any = None) -> np.ndarray:
    """(H, W, 3) uint8 in grey, (h, w) uint8: means of ``times`` x ``times`` pixels.

    loops : see `cell_features`.
    """
    whole = np.ascontiguousarray(image)
    if loops is not None:
        made = np.empty([-(-side // times) for side in image.shape[:2]], np.uint8)
        loops.grey(whole, times, made)
        return made
    picture = Image.fromarray(whole).convert("L")
    return np.asarray(picture.reduce(times) if times > 1 else picture)


def as_small(grey: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """(h, w) uint8 shrunk so that its longest side is at most ``longest``; see `as_grey`."""
    picture = Image.fromarray(grey)
    factor = max(picture.size) / longest
    if factor <= 1:
        return np.asarray(picture), 1.0
    size = [max(1, round(side / factor)) for side in picture.size]
    small = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small), max(picture.size) / max(size)


def resized(grey: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(h, w) uint8 brought to (width, height) = ``size``, antialiased."""
    picture = Image.fromarray(grey)
    return np.asarray(picture.resize((size[0], size[1]), Image.Resampling.BILINEAR))
