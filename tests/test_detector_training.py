"""Training of the bundled detector: what it learns finds faces; its classifier and its irises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from examples.detector import data
from examples.detector.fit import TrainingOptions, save_weights, separate, train_detector
from examples.detector.material import find_iris
from pixelreg.data.synthetic import draw_face, face_points, random_identity
from pixelreg.errors import DataError
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.cascade import load_weights


def portrait(seed: int) -> data.Portrait:
    who = random_identity(seed)
    grey = draw_face(who, size=338).astype(np.float32).mean(axis=-1) / np.float32(255)
    points = face_points(who, size=338)
    return data.Portrait(str(seed), False, grey, data._backdrop(grey), points)


@pytest.mark.slow
def test_what_it_learns_finds_people_it_has_not_seen(tmp_path: Path) -> None:
    people, behind = [portrait(k) for k in range(12)], data.textures(3, 1)
    scenes = data.render_scenes(people, behind, 10, seed=5)
    np.testing.assert_array_equal(
        data.render_scenes(people[:2], behind, 10, seed=5).grey, scenes.of([0, 1]).grey
    )
    rng = np.random.default_rng(0)
    faceless = [data.faceless_person(someone, behind, rng) for someone in people[:2]]
    faceless += data.textures(6, 7)
    weights = train_detector(scenes, faceless, TrainingOptions(template_rounds=1))
    save_weights(weights, tmp_path / "w.safetensors")
    detector = BundledDetector(load_weights(tmp_path / "w.safetensors"))
    errors = []
    for stranger in map(random_identity, range(100, 106)):
        truth = face_points(stranger, size=256)
        faces = detector.detect(draw_face(stranger, size=256))
        errors.append(
            min((np.abs(f.points - truth).max() / f.eye_distance for f in faces), default=np.inf)
        )
    assert sorted(errors)[4] < 0.15  # one of the six may be missed
    assert not any(detector.detect(np.dstack([grey] * 3)) for grey in data.textures(6, 50))


def test_classifier_minimises_its_loss() -> None:
    rng = np.random.default_rng(1)
    positive = rng.normal(0.5, 1, (60, 5))
    negative = rng.normal(-0.2, 1, (90, 5))
    penalty = 0.1 * float((np.vstack([positive, negative]) ** 2).mean())

    def loss(weights: np.ndarray) -> float:
        sides = ((positive, 1), (negative, -1))
        margins = [sign * (x @ weights[:-1] + weights[-1]) for x, sign in sides]
        hinges = [float((np.maximum(1 - margin, 0) ** 2).mean()) for margin in margins]
        return np.mean(hinges) + penalty * ((weights[:-1] ** 2).sum() + 0.001 * weights[-1] ** 2)

    best = optimize.minimize(loss, np.zeros(6), method="BFGS", tol=1e-10)
    np.testing.assert_allclose(separate(positive, negative, 0.1, np.zeros(6)), best.x, atol=1e-3)


def test_head_turns_have_an_inverse() -> None:
    at = np.random.default_rng(2).uniform([-0.8, -0.5], [0.8, 1.3], (200, 2))
    turned = data._turn(at, 0.3, -0.15)
    assert np.abs(turned - at).max() > 0.1
    np.testing.assert_allclose(data._unturn(turned, 0.3, -0.15), at, atol=0.02)


def test_iris_of_a_drawn_eye() -> None:
    y, x = np.mgrid[:240, :320] + 0.0
    eye = np.full((240, 320), 150.0)
    white = ((x - 160) / 42) ** 2 + ((y - 120) / 16) ** 2 < 1
    eye[white] = 220
    eye[white & (np.hypot(x - 166, y - 121) < 16)] = 40
    found = find_iris(eye.astype(np.uint8), np.array([155.0, 124.0]), 200.0)
    assert np.abs(found - [166, 121]).max() <= 2


def test_folder_that_is_not_the_london_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neutral_front"):
        data.london_photos(tmp_path)


def test_backdrop_is_the_backdrop(london: Path) -> None:
    someone = data.load_portraits(london)[0]
    assert someone.backdrop[20:80, 20:80].mean() > 0.95
    x, y = someone.points[2].astype(int)
    assert someone.backdrop[y - 30 : y + 30, x - 20 : x + 20].max() == 0
