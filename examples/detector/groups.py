"""Group photographs made of portraits: people small and large, turned, dim, tinted, overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pixelreg.arrays import Float64, Pixels
from pixelreg.faces.align import Similarity
from pixelreg.faces.landmarks import Face

FINER = 4  # people are drawn so many times as large, then made smaller
MEET = 0.4  # eye distances that both eyes of a found face may lie off


@dataclass(frozen=True)
class Group:
    """A picture and the landmarks (5, 2) of its people, those whom others hide apart."""

    picture: Pixels
    seen: list[Float64]
    hidden: list[Float64]

    def judged(self, faces: Sequence[Face]) -> tuple[list[bool], int]:
        """Which of the people who are seen were found, and how many faces are nobody's."""
        found = [any(_meet(face, points, MEET) for face in faces) for points in self.seen]
        people = [*self.seen, *self.hidden]
        false = [f for f in faces if not any(_meet(f, points, 1.0) for points in people)]
        return found, len(false)


def gather(
    portraits: Sequence[tuple[Pixels, Float64]],
    rng: np.random.Generator,
    count: int = 43,
    size: tuple[int, int] = (1280, 850),
    apart: tuple[float, float] = (12.0, 60.0),
) -> Group:
    """A picture of ``count`` people in front of blurred colours, as far as they find room.

    portraits : square photographs (S, S, 3) uint8, and five landmarks (5, 2) in their pixels.
    size : width and height of the picture.
    apart : least and most pixels between two eyes.
    """
    width, height = size
    speckles = np.clip(rng.normal(110, 20, (height // 8, width // 8, 3)), 0, 255)
    canvas = Image.fromarray(speckles.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    cover = np.zeros((height, width), np.int32)  # the number of who is in front
    places: list[tuple[float, float, float]] = []
    landmarks: list[Float64] = []
    chosen = rng.permutation(np.arange(count) % len(portraits))
    # Those who stand farther away are drawn first.
    for unit, which in zip(np.sort(_units(apart, count, rng)), chosen, strict=True):
        place = _room(places, unit, size, rng)
        if place is None:
            continue
        places.append((*place, unit))
        picture, points = portraits[which]
        person = _Person(_relit(picture, rng), points, unit, place, rng.normal(0, 10))
        canvas.paste(person.picture, person.corner, person.mask)
        landmarks.append(person.landmarks)
        front = Image.fromarray(cover)
        solid = person.mask.point(lambda level: 255 if level > 100 else 0)
        front.paste(len(landmarks), person.corner, solid)
        cover = np.asarray(front)
    noisy = np.asarray(canvas) + rng.normal(0, 3, (height, width, 3))
    shown = [_is_seen(cover, points, k + 1) for k, points in enumerate(landmarks)]
    return Group(
        np.clip(noisy, 0, 255).astype(np.uint8),
        [points for points, yes in zip(landmarks, shown, strict=True) if yes],
        [points for points, yes in zip(landmarks, shown, strict=True) if not yes],
    )


class _Person:
    """A portrait cut out around head and shoulders, turned, at its size in the group."""

    def __init__(
        self, picture: Pixels, points: Float64, unit: float, place: tuple[float, float], roll: float
    ) -> None:
        side = int(6 * unit)
        middle = points[:2].mean(axis=0)
        scale = np.hypot(*(points[1] - points[0])) / unit
        angle = np.deg2rad(roll)
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        shift = middle - np.array([[a, -b], [b, a]]) @ np.full(2, side / 2)
        there = Similarity(float(a), float(b), float(shift[0]), float(shift[1]))
        self.corner = round(place[0] - side / 2), round(place[1] - side / 2)
        self.landmarks: Float64 = there.to_crop(points) + self.corner
        image = Image.fromarray(picture)
        smooth = image.filter(ImageFilter.GaussianBlur(float(0.35 * scale / FINER)))
        self.picture = _turned(smooth, there, side)
        self.mask = _turned(_outline(image.size, middle, unit * scale), there, side)


def _turned(image: Image.Image, there: Similarity, side: int) -> Image.Image:
    a, b = there.a / FINER, there.b / FINER
    matrix = (a, -b, there.c, b, a, there.d)
    large = (FINER * side, FINER * side)
    drawn = image.transform(large, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return drawn.reduce(FINER)


def _outline(size: tuple[int, int], eyes: Float64, unit: float) -> Image.Image:
    """Head and shoulders as soft ellipses, by the middle between the eyes and their distance."""
    mask = Image.new("L", size)
    draw, (x, y) = ImageDraw.Draw(mask), eyes
    draw.ellipse([x - 1.35 * unit, y - 1.6 * unit, x + 1.35 * unit, y + 2.1 * unit], fill=255)
    draw.ellipse([x - 2.3 * unit, y + 1.8 * unit, x + 2.3 * unit, y + 4.5 * unit], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(float(unit / 18)))


def _relit(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Dimmed and tinted, of every third one side in shadow."""
    light = rng.uniform(0.35, 1.1) * rng.uniform(0.9, 1.1, 3)
    shade = rng.uniform(0, 0.6) if rng.random() < 1 / 3 else 0.0
    across = (1 - shade * np.linspace(0, 1, picture.shape[1]))[None, :, None]
    return np.clip(picture * light * across, 0, 255).astype(np.uint8)


def _units(apart: tuple[float, float], count: int, rng: np.random.Generator) -> Float64:
    result: Float64 = np.exp(rng.uniform(*np.log(apart), count))
    return result


def _room(
    places: Sequence[tuple[float, float, float]],
    unit: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """Where a head of this size covers no other one; None if there is no such place."""
    width, height = size
    for _ in range(300):
        x, y = rng.uniform([1.3 * unit, 1.5 * unit], [width - 1.3 * unit, height - 2 * unit])
        if all(np.hypot(x - left, y - top) > 1.15 * (unit + other) for left, top, other in places):
            return float(x), float(y)
    return None


def _is_seen(cover: np.ndarray, points: Float64, number: int) -> bool:
    """Whether no one stands before any landmark, or between the eyes."""
    height, width = cover.shape
    x, y = np.vstack([points, points[:2].mean(axis=0)]).astype(int).T
    front = cover[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return bool((front == number).all())


def _meet(face: Face, points: Float64, share: float) -> bool:
    unit = np.hypot(*(points[1] - points[0]))
    return bool(np.linalg.norm(face.eyes - points[:2], axis=1).max() < share * unit)
