"""Scenes of portraits as cameras see them: turned, lit, hidden in part, blurred, small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.detector.data import _background, _draw_glasses, _light, _occlude, _turn, _unturn
from examples.landmarks.bend import Portrait
from pixelreg.faces.cascade import Poses, Pyramid
from pixelreg.faces.dense import PARTS, mirror

SIDE = 208  # pixels
UNITS = (22.0, 62.0)  # pixels between the eyes
MIRROR = mirror()
WIDE = 0.25  # share of the faces that are turned far


@dataclass(frozen=True)
class Scenes:
    """grey (n, SIDE, SIDE) uint8, points (n, 82, 2), the portrait of each (n,)."""

    grey: np.ndarray
    points: np.ndarray
    portrait: np.ndarray


def render_scenes(
    portraits: Sequence[Portrait], behind: Sequence[np.ndarray], each: int, seed: int
) -> Scenes:
    """``each`` scenes of every portrait, which has a generator of its own."""
    count = len(portraits) * each
    grey, points = np.empty((count, SIDE, SIDE), np.uint8), np.empty((count, 82, 2))
    for i, portrait in enumerate(portraits):
        rng = np.random.default_rng([seed, i])
        for k in range(i * each, (i + 1) * each):
            grey[k], points[k] = render(portrait, behind, rng)
    return Scenes(grey, points, np.repeat(np.arange(len(portraits)), each))


def render(
    portrait: Portrait, behind: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One scene, (SIDE, SIDE) uint8, and its landmarks (82, 2)."""
    eyes = portrait.points[[0, 17]]
    frame = Poses(eyes.mean(axis=0)[None], (eyes[1] - eyes[0])[None])
    unit, roll = float(np.exp(rng.uniform(*np.log(UNITS)))), np.deg2rad(rng.normal(0, 12))
    middle = np.array([SIDE / 2, SIDE / 2 - 0.5 * unit]) + rng.normal(0, 0.1, 2) * unit
    scene = Poses(middle[None], unit * np.array([[np.cos(roll), np.sin(roll)]]))
    yaw, pitch = np.deg2rad(_turned(rng))
    flip = np.array([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    pixels = np.stack(np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5), axis=-1)
    seen = scene.to_frame(pixels.reshape(1, -1, 2).astype(np.float32))[0]
    source = frame.to_picture(_unturn(seen, yaw, pitch) * flip)
    stack = Pyramid.of(np.stack([portrait.grey, portrait.backdrop]))
    step = np.repeat(frame.unit / unit, 2)
    grey, backdrop = stack.sample(np.arange(2), np.repeat(source, 2, axis=0), step).reshape(
        2, SIDE, SIDE
    )
    truth = frame.to_frame(portrait.points[None])[0] * flip
    truth = truth[MIRROR] if flip[0] < 0 else truth
    points = scene.to_picture(_turn(truth, yaw, pitch))[0]
    return _photographed(
        grey, backdrop, seen.reshape(SIDE, SIDE, 2), points, unit, behind, rng
    ), points


def _turned(rng: np.random.Generator) -> np.ndarray:
    """Yaw and pitch in degrees."""
    if rng.random() < WIDE:
        return np.array([rng.choice([-1, 1]) * rng.uniform(15, 42), rng.normal(0, 9)])
    return rng.normal(0, [12.0, 8.0]).clip(-30, 25)


def _photographed(
    grey: np.ndarray,
    backdrop: np.ndarray,
    at: np.ndarray,
    points: np.ndarray,
    unit: float,
    behind: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Glasses, beard, light, shadow, what is behind and before, blur, noise, JPEG."""
    if rng.random() < 0.2:
        grey = _draw_glasses(grey, at, rng)
    if rng.random() < 0.12:
        grey = _bearded(grey, at, points, rng)
    grey = _light(grey, at, rng)
    if rng.random() < 0.25:
        grey = _shadowed(grey, at, rng)
    if rng.random() < 0.85:
        grey = grey + backdrop * (_background(behind, rng, SIDE) - grey)
    if rng.random() < 0.2:
        grey = _occlude(grey, at, _background(behind, rng, SIDE), rng)
    if rng.random() < 0.08:
        grey = grey * rng.uniform(0.06, 0.3)
    return _taken(grey, unit, rng)


def _bearded(
    grey: np.ndarray, at: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A beard or a moustache as speckle below the nose, but on the lips."""
    x, y = at[..., 0], at[..., 1]
    below = np.clip((y - rng.uniform(0.75, 1.2)) * 4, 0, 1)
    below *= np.hypot(x, (y - 0.4) / 1.35) < 1.05
    mouth = Image.new("L", (SIDE, SIDE))
    outer = points[PARTS["mouth"]][[*range(7), *range(21, 16, -1)]]
    ImageDraw.Draw(mouth).polygon([tuple(p) for p in outer.tolist()], fill=255)
    lips = np.asarray(mouth.filter(ImageFilter.GaussianBlur(1))) / np.float32(255)
    speckle = rng.normal(0, 1, (SIDE // 2, SIDE // 2)).astype(np.float32)
    speckle = np.asarray(Image.fromarray(speckle).resize((SIDE, SIDE)))
    cover = below * (1 - lips) * rng.uniform(0.3, 0.9)
    return grey + cover * (np.clip(rng.uniform(0.05, 0.4) + 0.15 * speckle, 0, 1) - grey)


def _shadowed(grey: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi)
    far = np.cos(turn) * at[..., 0] + np.sin(turn) * (at[..., 1] - 0.5) - rng.normal(0, 0.3)
    dark = 1 / (1 + np.exp(-far * rng.uniform(2, 15)))
    return grey * (1 - dark * rng.uniform(0.2, 0.7))


def _taken(grey: np.ndarray, unit: float, rng: np.random.Generator) -> np.ndarray:
    """Blur, sharpening, noise, rounding and JPEG of a camera."""
    from io import BytesIO

    noise = rng.normal(0, 1, grey.shape).astype(np.float32) * abs(rng.normal(0, 0.02))
    levels = np.clip((grey + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(levels)
    blur = abs(rng.normal(0, 0.022)) * unit
    if blur > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    elif rng.random() < 0.4:
        image = image.filter(ImageFilter.UnsharpMask(1.2, int(rng.uniform(30, 100)), 0))
    if rng.random() < 0.5:
        file = BytesIO()
        image.save(file, "JPEG", quality=int(rng.uniform(25, 90)))
        image = Image.open(file)
    return np.asarray(image)
