"""Judges without a network: what they see, and what must not change what they say."""

from __future__ import annotations

import numpy as np
import pytest

from pixelreg.data.synthetic import pairs_array
from pixelreg.evaluation.faces import BINS, CELLS, Expressions, gradients, recognised

PEOPLE, SIZE = 30, 64


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    sources, happy = pairs_array(PEOPLE, "happy", SIZE, seed=1)
    _, sad = pairs_array(PEOPLE, "sad", SIZE, seed=1)
    return {"neutral": sources, "happy": happy, "sad": sad}


def test_gradients_lie_where_and_how_light_falls() -> None:
    step = np.zeros((1, 40, 40, 3), np.uint8)
    step[:, :, 22:] = 200  # dark to bright, left to right, in the sixth column of squares
    found = gradients(step).reshape(CELLS, CELLS, BINS)
    assert np.array_equal(np.flatnonzero(found.sum(axis=(0, 2)) > 0), [5])
    assert np.all(found[:, 5].argmax(axis=-1) == 0)
    down = gradients(step.transpose(0, 2, 1, 3)).reshape(CELLS, CELLS, BINS)
    assert np.all(down[5].argmax(axis=-1) == BINS // 4)
    # Twice the contrast is the same edge; a picture of one colour has none.
    np.testing.assert_allclose(gradients(step // 2), gradients(step), atol=2e-2)
    assert not gradients(np.full((2, 30, 30, 3), 90, np.uint8)).any()


def test_expressions_of_others_are_named(drawn: dict[str, np.ndarray]) -> None:
    pictures = np.concatenate([faces[:20] for faces in drawn.values()])
    judge = Expressions(pictures, [name for name in drawn for _ in range(20)])
    for name, faces in drawn.items():
        told = judge.named(faces[20:])
        assert np.mean([each == name for each in told]) >= 0.8, name
    brighter = np.clip(drawn["happy"][20:].astype(int) + 10, 0, 255).astype(np.uint8)
    assert judge.named(brighter).count("happy") >= 8


def test_people_are_recognised_and_strangers_are_not(drawn: dict[str, np.ndarray]) -> None:
    sources, happy = drawn["neutral"], drawn["happy"]
    assert recognised(sources, sources).all()
    assert recognised(happy, sources).mean() > 0.9
    assert not recognised(np.roll(sources, 1, axis=0), sources).any()
    mean = np.repeat(sources.mean(axis=0, keepdims=True), PEOPLE, axis=0).astype(np.uint8)
    assert recognised(mean, sources).sum() == 1  # the mean face is one person at the most


@pytest.mark.parametrize("size", [8, 32, 129])
def test_any_size_will_do(size: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    assert np.isfinite(gradients(pictures)).all()
    assert recognised(pictures, pictures).all()
