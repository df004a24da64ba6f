"""Looking pixels up between the pixels, and the Gaussian low-pass, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pixelreg.pictures.warp import fetch_cubic, fetch_linear, gaussian_blur

both = pytest.mark.parametrize("fetch", [fetch_linear, fetch_cubic])


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, channels))


def somewhere(shape: tuple[int, int], height: int, width: int, beyond: float = 3.0) -> np.ndarray:
    """Coordinates (x, y) inside a picture and a little outside it."""
    rng = np.random.default_rng(1)
    low, high = -beyond, np.array([width, height]).reshape(2, 1, 1) - 1 + beyond
    return rng.uniform(low, high, (2, *shape))


@pytest.mark.parametrize("shape", [(17, 23, 3), (5, 4, 1), (1, 9, 2), (9, 1, 3), (1, 1, 3)])
@pytest.mark.parametrize("asked", [(40, 31), (200, 3), (64, 1)])
def test_linear_is_scipys_interpolation_of_order_one(
    shape: tuple[int, int, int], asked: tuple[int, int]
) -> None:
    picture = noise(*shape)
    x, y = somewhere(asked, *shape[:2])
    ours = fetch_linear(picture, x, y)
    assert ours.dtype == np.float32
    theirs = np.stack(
        [
            ndimage.map_coordinates(plane, [y, x], order=1, mode="nearest")
            for plane in np.moveaxis(picture, 2, 0)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel ("Cubic convolution interpolation for digital image processing", 1981)."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def test_cubic_is_keys_convolution() -> None:
    from pixelreg.pictures.warp import KEYS

    picture = noise(11, 14)
    x, y = somewhere((6, 7), 11, 14)
    ours = fetch_cubic(picture, x, y)
    padded = np.pad(picture, ((9, 9), (9, 9), (0, 0)), mode="edge")
    rows, columns = np.arange(11 + 18) - 9, np.arange(14 + 18) - 9
    for i, j in np.ndindex(6, 7):
        weights = np.outer(keys(y[i, j] - rows, KEYS), keys(x[i, j] - columns, KEYS))
        np.testing.assert_allclose(ours[i, j], np.tensordot(weights, padded, 2), rtol=0, atol=5e-6)


@both
@pytest.mark.parametrize("step", [(0, 0), (3, 0), (-2, 5), (-40, 1)])
def test_whole_pixel_moves_are_exact(fetch, step: tuple[int, int]) -> None:
    picture = np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8)
    rows, columns = np.indices((20, 30))
    expected = picture[np.clip(rows + step[1], 0, 19), np.clip(columns + step[0], 0, 29)]
    x, y = columns + float(step[0]), rows + float(step[1])
    # The cubic's weights at whole steps are 0 and 1 to 1e-6 of a float32.
    np.testing.assert_allclose(fetch(picture, x, y), expected, rtol=0, atol=5e-4)
    np.testing.assert_array_equal(np.rint(255 * fetch(picture / 255, x, y)), expected)


@both
@pytest.mark.parametrize("value", [0, 1, 200, 255])
def test_what_is_even_stays_even(fetch, value: int) -> None:
    x, y = somewhere((50, 50), 20, 30, beyond=50)
    ours = fetch(np.full((20, 30, 3), value, np.uint8), x, y)
    np.testing.assert_allclose(ours, value, rtol=5e-6)


@both
def test_bytes_are_looked_up_as_their_values(fetch) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    x, y = somewhere((9, 9), 20, 30)
    np.testing.assert_allclose(fetch(picture, x, y), fetch(picture / 1.0, x, y), atol=1e-4)
    np.testing.assert_array_equal(
        fetch(picture[:, ::-1], x, y), fetch(picture[:, ::-1].copy(), x, y)
    )


def test_linear_keeps_ramps_and_cubic_keeps_more_detail() -> None:
    rows, columns = np.indices((30, 40), dtype=np.float64)
    ramp = np.stack([rows, columns, rows - 2 * columns], axis=-1)
    x, y = somewhere((25, 25), 30, 40, beyond=-1.0)
    expected = np.stack([y, x, y - 2 * x], axis=-1)
    np.testing.assert_allclose(fetch_linear(ramp, x, y), expected, atol=1e-5)
    fine = noise(64, 64, seed=3)
    rows, columns = np.indices((64, 64), dtype=np.float64)

    def detail(picture: np.ndarray) -> float:
        return float(ndimage.laplace(picture[8:-8, 8:-8, 0]).var())

    linear, cubic = (
        detail(f(fine, columns + 0.3, rows + 0.4)) for f in (fetch_linear, fetch_cubic)
    )
    assert linear < 0.5 * detail(fine)
    assert 1.5 * linear < cubic


@pytest.mark.parametrize("sigma", [0.4, 0.5, 0.7, 1.0, 1.5, 2.2, 6.0])
@pytest.mark.parametrize("shape", [(40, 31, 3), (9, 64, 2), (3, 3, 1)])
def test_the_low_pass_is_scipys(sigma: float, shape: tuple[int, int, int]) -> None:
    picture = noise(*shape)
    reach = round(3 * sigma)
    theirs = ndimage.gaussian_filter(picture, sigma, mode="nearest", axes=(0, 1), radius=reach)
    np.testing.assert_allclose(gaussian_blur(picture, sigma), theirs, atol=1e-6)
    single = gaussian_blur(picture.astype(np.float32), sigma)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, theirs, atol=2e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.16])
def test_a_low_pass_narrower_than_a_pixel_does_nothing(sigma: float) -> None:
    picture = noise(6, 7)
    np.testing.assert_array_equal(gaussian_blur(picture, sigma), picture)


def test_the_low_pass_keeps_what_is_even() -> None:
    np.testing.assert_allclose(gaussian_blur(np.full((20, 20, 3), 0.7), 3.0), 0.7, rtol=1e-6)
