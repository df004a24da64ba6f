"""Training of the bundled detector: its solvers against others, its material against geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.detector import data
from examples.detector.fit import ridge, separate
from examples.detector.material import find_iris
from examples.detector.textures import textures
from pixelreg.errors import DataError
from pixelreg.faces import cascade as gradients


def portrait() -> data.Portrait:
    """A drawn portrait: bright squares on the landmarks of a grey head before a light backdrop."""
    points = np.array([[140, 130], [190, 130], [165, 158], [145, 185], [185, 185]], np.float64)
    grey = np.full((338, 338), 0.8, np.float32)
    grey[60:260, 90:240] = 0.3
    for x, y in points.astype(int):
        grey[y - 3 : y + 3, x - 3 : x + 3] = 1.0
    return data.Portrait("drawn", False, grey, data._backdrop(grey), points)


def test_ridge_against_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (50, 7)).astype(np.float32)
    t = rng.normal(0, 1, (50, 3))
    got = ridge(x, t, 0.3)
    centred = x - x.mean(axis=0)
    model = linear.Ridge(alpha=0.3 * (centred**2).sum() / 7).fit(x, t)
    np.testing.assert_allclose(got[:-1], model.coef_.T, atol=1e-5)
    np.testing.assert_allclose(got[-1], model.intercept_, atol=1e-5)


def test_classifier_minimises_its_loss() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(1)
    positive = rng.normal(0.5, 1, (60, 5))
    negative = rng.normal(-0.2, 1, (90, 5))
    penalty = 0.1 * float((np.vstack([positive, negative]) ** 2).mean())

    def loss(weights: np.ndarray) -> float:
        def violated(x: np.ndarray, sign: float) -> float:
            margin = sign * (x @ weights[:-1] + weights[-1])
            return float((np.maximum(1 - margin, 0) ** 2).mean())

        strength = penalty * ((weights[:-1] ** 2).sum() + 0.001 * weights[-1] ** 2)
        return 0.5 * violated(positive, 1) + 0.5 * violated(negative, -1) + float(strength)

    got = separate(positive, negative, 0.1, np.zeros(6, np.float32))
    best = optimize.minimize(loss, np.zeros(6), method="BFGS", tol=1e-10)
    assert loss(got) <= best.fun + 1e-6
    np.testing.assert_allclose(got, best.x, atol=1e-3)


def test_head_turns_have_an_inverse() -> None:
    at = np.random.default_rng(2).uniform([-0.8, -0.5], [0.8, 1.3], (200, 2))
    turned = data._turn(at, 0.3, -0.15)
    assert np.abs(turned - at).max() > 0.1
    np.testing.assert_allclose(data._unturn(turned, 0.3, -0.15), at, atol=0.02)
    np.testing.assert_allclose(data._turn(at, 0.0, 0.0), at)


def test_rendered_landmarks_lie_on_the_rendered_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    def plainly(grey: np.ndarray, *_: object) -> np.ndarray:
        return grey

    for name in ("_light", "_draw_glasses", "_occlude"):
        monkeypatch.setattr(data, name, plainly)
    monkeypatch.setattr(data, "_photograph", lambda grey, *_: (grey * 255).astype(np.uint8))
    dark = [np.zeros((200, 200), np.uint8)]
    scenes = data.render_scenes([portrait()], dark, 30, seed=4)
    assert scenes.grey.shape == (30, data.SIDE, data.SIDE)
    pyramid = gradients.Pyramid.of(scenes.grey.astype(np.float32))
    inside = ((scenes.points > 2) & (scenes.points < data.SIDE - 2)).all(axis=-1)
    values = pyramid.sample(np.arange(30), scenes.points, np.ones(30))
    assert inside.sum() > 120
    # The marks are white on a head of 0.3 before black.
    assert (values[inside] > 120).mean() > 0.95


def test_renderings_depend_on_the_seed_alone() -> None:
    behind = textures(3, 1)
    first = data.render_scenes([portrait(), portrait()], behind, 2, seed=5)
    again = data.render_scenes([portrait(), portrait()], behind, 2, seed=5)
    other = data.render_scenes([portrait(), portrait()], behind, 2, seed=6)
    np.testing.assert_array_equal(first.grey, again.grey)
    np.testing.assert_array_equal(first.points, again.points)
    assert (first.grey != other.grey).any()
    assert first.of([1]).portrait.tolist() == [1, 1]


def test_covered_person_shows_no_landmark() -> None:
    someone = portrait()
    covered = data.faceless_person(someone, textures(3, 1), np.random.default_rng(0))
    for x, y in someone.points.astype(int):
        assert covered[y - 2 : y + 2, x - 2 : x + 2].max() < 230
    np.testing.assert_allclose(covered[:40, :40], 0.8 * 255, atol=4)


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
