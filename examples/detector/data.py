"""Training material for the bundled detector: rendered variations of portraits, faceless pictures.

Everything is drawn from generators seeded by the caller, so training is reproducible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pixelreg.errors import DataError
from pixelreg.faces.cascade import Poses, Pyramid, fit_poses, resized
from pixelreg.faces.landmarks import read_landmarks

# Rendered scenes: their side in pixels and the range of their eye distances.
SIDE = 144
UNITS = (11.0, 48.0)
_REDUCTION = 4


@dataclass(frozen=True)
class Portrait:
    """A photo at a quarter of its size. ``grey`` and ``backdrop`` (1 where the plain backdrop
    shows) are (h, w) float32 in [0, 1]; ``points`` (5, 2) in its pixels."""

    person: str
    smiling: bool
    grey: np.ndarray
    backdrop: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Scenes:
    """N rendered scenes: ``grey`` (N, 144, 144) uint8, ``points`` (N, 5, 2), and ``portrait`` (N,),
    the index of the portrait that each shows."""

    grey: np.ndarray
    points: np.ndarray
    portrait: np.ndarray

    def of(self, portraits: Sequence[int]) -> Scenes:
        """The scenes that show one of these portraits."""
        chosen = np.isin(self.portrait, np.asarray(portraits))
        return Scenes(self.grey[chosen], self.points[chosen], self.portrait[chosen])


def london_photos(folder: Path) -> list[tuple[str, Path, Path]]:
    """(person, neutral photo, smiling photo) of the London set's folder, in order."""
    neutral = sorted(p for p in (folder / "neutral_front").glob("*_03.jpg") if p.stem[0] != ".")
    if not neutral:
        raise DataError(f"{folder}: no neutral_front/NNN_03.jpg; give the London set's folder")
    smiling = folder / "smiling_front"
    people = [photo.stem.split("_")[0] for photo in neutral]
    return [(who, at, smiling / f"{who}_08.jpg") for who, at in zip(people, neutral, strict=True)]


def load_portrait(person: str, photo: Path, points: np.ndarray, smiling: bool) -> Portrait:
    """Read a photo with landmarks (5, 2) in its full-size pixels."""
    with Image.open(photo) as file:
        file.draft("L", (file.width // _REDUCTION, file.height // _REDUCTION))
        grey = np.asarray(file.convert("L"), np.float32) / np.float32(255)
        # Where the decoder cannot reduce by itself, the picture comes at full size.
    if grey.shape[0] > 600:
        grey = Pyramid.of(grey[None]).levels[2][0]
    return Portrait(person, smiling, grey, _backdrop(grey), points / _REDUCTION)


def load_portraits(
    folder: Path, smiling_points: dict[str, np.ndarray] | None = None
) -> list[Portrait]:
    """The London set: every neutral photo, and the smiling ones whose landmarks are given.

    ``smiling_points`` maps a person to (5, 2) landmarks in full-size pixels.
    """
    portraits = []
    for person, neutral, smiling in london_photos(folder):
        points = read_landmarks(neutral.with_suffix(".tem")).points
        portraits.append(load_portrait(person, neutral, points, False))
        if smiling_points and person in smiling_points:
            portraits.append(load_portrait(person, smiling, smiling_points[person], True))
    return portraits


def _backdrop(grey: np.ndarray) -> np.ndarray:
    """1 where the even, light backdrop shows: joined to the top border without an edge between."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(grey, 1.0)
    even = (ndimage.gaussian_gradient_magnitude(grey, 1.0) < 0.012) & (smooth > 0.45)
    labels, _ = ndimage.label(even)
    wanted = np.unique(labels[:3])
    mask = np.isin(labels, wanted[wanted > 0])
    mask = ndimage.binary_dilation(ndimage.binary_closing(mask, iterations=2), iterations=2)
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), 0.8))


def render_scenes(
    portraits: Sequence[Portrait], backgrounds: Sequence[np.ndarray], each: int, seed: int
) -> Scenes:
    """``each`` variations of every portrait; each portrait has a generator of its own."""
    grey = np.empty((len(portraits) * each, SIDE, SIDE), np.uint8)
    points = np.empty((len(grey), 5, 2))
    for i, portrait in enumerate(portraits):
        rng = np.random.default_rng([seed, i])
        for k in range(i * each, (i + 1) * each):
            grey[k], points[k] = render(portrait, backgrounds, rng)
    return Scenes(grey, points, np.repeat(np.arange(len(portraits)), each))


def render(
    portrait: Portrait, backgrounds: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One variation: size, place, roll, mirror, head pose, backdrop, glasses, light, blur, noise.

    Returns: (144, 144) uint8 and landmarks (5, 2).
    """
    frame = fit_poses(portrait.points[None])
    unit = float(np.exp(rng.uniform(*np.log(UNITS))))
    roll = np.deg2rad(rng.uniform(-30, 30))
    origin = np.array([SIDE / 2, SIDE / 2 - 0.35 * unit]) + rng.normal(0, 0.1, 2) * unit
    scene = Poses(origin[None], unit * np.array([[np.cos(roll), np.sin(roll)]]))
    yaw, pitch = np.deg2rad(rng.normal(0, [11.0, 7.0]).clip(-28, 28))
    mirror = np.array([-1.0 if rng.random() < 0.5 else 1.0, 1.0])

    pixels = np.stack(np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5), axis=-1)
    seen = scene.to_frame(pixels.reshape(1, -1, 2).astype(np.float32))[0]
    source = frame.to_picture(_unturn(seen, yaw, pitch) * mirror)
    step = frame.unit / unit
    stack = Pyramid.of(np.stack([portrait.grey, portrait.backdrop]))
    grey, backdrop = stack.sample(
        np.arange(2), np.repeat(source, 2, axis=0), np.repeat(step, 2)
    ).reshape(2, SIDE, SIDE)

    truth = frame.to_frame(portrait.points[None])[0] * mirror
    if mirror[0] < 0:
        truth = truth[[1, 0, 2, 4, 3]]
    points = scene.to_picture(_turn(truth, yaw, pitch))[0]
    local = seen.reshape(SIDE, SIDE, 2)
    if rng.random() < 0.2:
        grey = _draw_glasses(grey, local, rng)
    grey = _light(grey, local, rng)
    if rng.random() < 0.85:
        grey += backdrop * (_background(backgrounds, rng) - grey)
    if rng.random() < 0.25:
        grey = _occlude(grey, local, _background(backgrounds, rng), rng)
    return _photograph(grey, unit, rng), points


def _depth(at: np.ndarray) -> np.ndarray:
    """Depth of a generic head over the face frame, in eye distances; 0 between the eyes."""
    x, y = at[..., 0], at[..., 1]
    head = np.sqrt(np.maximum(1 - (x / 1.25) ** 2 - ((y - 0.45) / 1.8) ** 2, 0.0))
    nose = np.exp(-((x / 0.2) ** 2) - ((y - 0.5) / 0.3) ** 2)
    return np.asarray(0.95 * head + 0.32 * nose - 0.9)


def _turn(at: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    depth = _depth(at)
    x = at[..., 0] * np.cos(yaw) + depth * np.sin(yaw)
    return np.stack([x, at[..., 1] * np.cos(pitch) + depth * np.sin(pitch)], axis=-1)


def _unturn(seen: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """The inverse of ``_turn`` by fixed-point iteration (the depth is flat enough for it)."""
    at = seen
    turned = np.array([np.sin(yaw), np.sin(pitch)], np.float32)
    shrunk = np.array([np.cos(yaw), np.cos(pitch)], np.float32)
    for _ in range(4):
        at = (seen - _depth(at)[..., None] * turned) / shrunk
    return at


def _draw_glasses(grey: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spectacles: two rounded rims, a bridge and side pieces, now and then tinted."""
    wide, tall = rng.uniform(0.3, 0.42), rng.uniform(0.2, 0.34)
    power, thick = rng.uniform(2, 5), rng.uniform(0.02, 0.07)
    x, y = np.abs(at[..., 0]) - 0.5 - rng.uniform(-0.03, 0.05), at[..., 1] - rng.uniform(-0.05, 0.1)
    radius = (np.abs(x / wide) ** power + np.abs(y / tall) ** power) ** (1 / power)
    rim = np.abs(radius - 1) * tall < thick
    bar = (np.abs(y + 0.2 * tall) < thick) & ((x < -wide) | ((x > wide) & (x < wide + 0.35)))
    cover = (rim | bar) * rng.uniform(0.5, 1) + (radius < 1) * rng.choice([0, 0, 0.1, 0.3])
    return np.asarray(grey + np.clip(cover, 0, 1) * (rng.uniform(0, 0.4) - grey), np.float32)


def _occlude(
    grey: np.ndarray, at: np.ndarray, cover: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A hat, or something held before a part of the face away from its middle."""
    if rng.random() < 0.4:
        hidden = at[..., 1] < rng.uniform(-0.75, -0.3) + rng.normal(0, 0.1) * at[..., 0]
        cover = rng.uniform(0, 1) + rng.uniform(0, 0.6) * (cover - 0.5)
    else:
        turn = rng.uniform(0, 2 * np.pi)
        distance = np.cos(turn) * at[..., 0] + np.sin(turn) * (at[..., 1] - 0.5)
        hidden = distance > rng.uniform(0.55, 1.0)
    return np.asarray(np.where(hidden, cover, grey), np.float32)


def _light(grey: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light on the person: a smooth factor, then gamma, contrast and brightness."""
    x, y = at[..., 0], at[..., 1] - 0.5
    a, b, c, d = rng.normal(0, [0.35, 0.2, 0.15, 0.15])
    lit = grey * np.exp(np.clip(a * x + b * y + c * x * y + d * x * np.abs(x), -1.5, 1.5))
    lit = np.clip(lit, 0, 1.3) ** np.exp(rng.normal(0, 0.3))
    return np.asarray(rng.uniform(0, 0.15) + lit * rng.uniform(0.45, 1.05), np.float32)


def _background(
    backgrounds: Sequence[np.ndarray], rng: np.random.Generator, size: int = SIDE
) -> np.ndarray:
    """A random (size, size) cut, at a random scale, from one of the (h, w) uint8 pictures."""
    picture = backgrounds[int(rng.integers(len(backgrounds)))]
    side = int(min(picture.shape) * rng.uniform(0.2, 1.0))
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in picture.shape)
    cut = resized(picture[top : top + side, left : left + side], (size, size))
    cut = cut[:, ::-1] if rng.random() < 0.5 else cut
    return np.asarray(cut / np.float32(255), np.float32)


def _photograph(grey: np.ndarray, unit: float, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise and rounding of a camera; blur grows with the face's size."""
    from scipy import ndimage

    blur = abs(rng.normal(0, 0.04)) * unit
    if blur > 0.3:
        grey = ndimage.gaussian_filter(grey, blur)
    grey = grey + rng.normal(0, 1, grey.shape).astype(np.float32) * abs(rng.normal(0, 0.015))
    return np.asarray(np.clip(grey * 255 + 0.5, 0, 255).astype(np.uint8))


def faceless_person(
    portrait: Portrait, backgrounds: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """A portrait, (h, w) uint8, whose face is covered by a piece of a background: hair, ears, neck
    and shirt stay, which are no face."""
    height, width = portrait.grey.shape
    frame = fit_poses(portrait.points[None])
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    at = frame.to_frame(pixels.reshape(1, -1, 2))[0].reshape(height, width, 2)
    far = np.hypot(at[..., 0] / rng.uniform(0.7, 1.0), (at[..., 1] - 0.5) / rng.uniform(0.9, 1.3))
    cover = 1 / (1 + np.exp((far - 1) * rng.uniform(5, 40)))
    piece = resized((_background(backgrounds, rng) * 255).astype(np.uint8), (width, height))
    grey = 255 * portrait.grey * (1 - cover) + (60 + 0.5 * piece) * cover
    return np.asarray(np.clip(grey, 0, 255).astype(np.uint8))


def textures(count: int, seed: int) -> list[np.ndarray]:
    """Drawn pictures without a face, (360, 480) uint8: coloured noise, shapes, stripes, blobs."""
    rng = np.random.default_rng(seed)
    return [(_noise, _shapes, _blobs)[k % 3](rng) for k in range(count)]


def _noise(rng: np.random.Generator) -> np.ndarray:
    fy, fx = np.meshgrid(np.fft.fftfreq(360), np.fft.rfftfreq(480), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / 480) ** rng.uniform(0.6, 1.8)
    field = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(fx.shape)), s=(360, 480))
    field = (field - field.mean()) / field.std()
    return np.asarray(np.clip(128 + 50 * field, 0, 255).astype(np.uint8))


def _shapes(rng: np.random.Generator) -> np.ndarray:
    picture = Image.new("L", (480, 360), int(rng.integers(256)))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(15, 90))):
        x, y = rng.uniform(0, 480), rng.uniform(0, 360)
        w, h = np.exp(rng.uniform(1.5, 5, 2))
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        fill, kind = int(rng.integers(256)), rng.integers(4)
        if kind == 0:
            pen.ellipse(box, fill=fill, outline=int(rng.integers(256)))
        elif kind == 1:
            pen.rectangle(box, fill=fill)
        elif kind == 2:
            pen.line(box, fill=fill, width=int(rng.integers(1, 9)))
        else:
            corners = rng.uniform([x - w, y - h], [x + w, y + h], (4, 2))
            pen.polygon([(float(a), float(b)) for a, b in corners], fill=fill)
    return np.asarray(picture)


def _blobs(rng: np.random.Generator) -> np.ndarray:
    """Dark and light blobs, some in the pattern of a face: two above one."""
    gy, gx = np.mgrid[:360, :480].astype(np.float32)
    field = np.full((360, 480), rng.uniform(80, 200), np.float32)
    for _ in range(int(rng.integers(10, 60))):
        x, y, size = rng.uniform(0, 480), rng.uniform(0, 360), np.exp(rng.uniform(1.2, 4))
        ratio, depth = np.exp(rng.normal(0, 0.5)), rng.normal(0, 60)
        twin = rng.uniform(2, 5) * size if rng.random() < 0.5 else 0.0
        for offset in {0.0, twin}:
            far = ((gx - x - offset) / ratio) ** 2 + ((gy - y) * ratio) ** 2
            field += depth * np.exp(-far / (2 * size**2))
    return np.asarray(np.clip(field + rng.normal(0, 4, field.shape), 0, 255).astype(np.uint8))
