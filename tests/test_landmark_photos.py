"""Dense landmarks of photos that no finder was made from, against templates of other hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.landmarks import SHARED
from pixelreg.arrays import Float64, Pixels
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.dense import METHODS, PARTS, POINTS, DenseFinder, five_of, read_dense
from pixelreg.faces.landmarks import read_landmarks, read_points

# Errors in eye distances: of the mean of a set, and of its worst face.
BOUNDS = {"auto": (0.02, 0.03), "cascade": (0.025, 0.035), "facemesh": (0.025, 0.035)}
PHONES = {"auto": 0.04, "cascade": 0.04, "facemesh": 0.055}


def photos(london: Path, *folders: str) -> list[Path]:
    found = [photo for name in folders for photo in sorted((london.parent / name).glob("*.jpg"))]
    if not found:
        pytest.skip("the other photos are not beside the London set")
    return found


def seen(photo: Path, method: str) -> tuple[Float64, float]:
    """(82, 2) points, the whole way from the detector, and the eye distance."""
    with Image.open(photo) as file:
        pixels: Pixels = np.asarray(file.convert("RGB"))
    face = BundledDetector().detect(pixels, largest=True)[0]
    points = DenseFinder(method).find(pixels, face).points
    return points, float(np.hypot(*(points[17] - points[0])))


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_composite_faces_of_another_set(method: str, london: Path) -> None:
    errors = []
    for photo in photos(london, "composite"):
        truth = read_dense(photo.with_suffix(".tem"))
        points, unit = seen(photo, method)
        errors.append(np.linalg.norm(points - truth, axis=1) / unit)
    each = np.array(errors)
    mean, worst = BOUNDS[method]
    assert each.mean() < mean
    assert each.mean(axis=1).max() < worst
    assert each[:, PARTS["mouth"]].mean() < 0.025


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_phone_photos_by_the_points_that_other_templates_share(method: str, london: Path) -> None:
    for photo in photos(london, "lisa", "zoom"):
        given = read_points(photo.with_suffix(".tem"), {".tem": (106, 83)})
        shared = SHARED[len(given)]
        points, unit = seen(photo, method)
        ours = points[[POINTS.index(number) for number in shared]]
        errors = np.linalg.norm(ours - given[list(shared.values())], axis=1) / unit
        assert errors.mean() < PHONES[method], photo.name


def test_other_templates_place_the_face_where_it_is_found(london: Path) -> None:
    """The five points of the 106 and of the 83 against those of the 82."""
    for photo in photos(london, "lisa", "zoom"):
        points, unit = seen(photo, "auto")
        far = np.linalg.norm(
            read_landmarks(photo.with_suffix(".tem")).points - five_of(points), axis=1
        )
        assert far[:2].max() < 0.05 * unit, photo.name
        assert far.max() < 0.1 * unit, photo.name
