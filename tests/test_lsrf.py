"""Sparse fields: a pursuit done by hand, scikit-learn's, and the models that lie at both ends."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import OrthogonalMatchingPursuit

from pixelreg.errors import UsageError
from pixelreg.regression import MaskedRidge, PixelRidge, SparseFieldRidge, lsrf
from pixelreg.regression.masked import patch_offsets


def stack(samples: int, shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (samples, *shape), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)
    return X.reshape(samples, -1), T.reshape(samples, -1)


def window(shape: tuple[int, int, int], field: int, place: tuple[int, int, int]) -> list[int]:
    """The pixels of a window, -1 outside the picture, in the order of `patch_offsets`."""
    index, (i, j, c) = np.arange(np.prod(shape)).reshape(shape), place
    seen = []
    for down, right in patch_offsets(field).tolist():
        inside = 0 <= i + down < shape[0] and 0 <= j + right < shape[1]
        seen.append(int(index[i + down, j + right, c]) if inside else -1)
    return seen


def pursued(x: np.ndarray, t: np.ndarray, alpha: float, pixels: int) -> tuple[dict, float]:
    """Weights by candidate and the bias, by least squares on a longer system at every step."""
    chosen: list[int] = []
    weights, bias = np.zeros(0), t.sum() / (len(t) + alpha)
    ones = np.ones((len(t), 1))
    free = np.hstack([ones, np.zeros((len(t), 0))])
    # What of a candidate a shrunk bias cannot take away is what counts as its length.
    lengths = [np.sqrt(d @ d - d.sum() ** 2 / (len(t) + alpha)) for d in x.T]
    for _ in range(pixels):
        left = t - x[:, chosen] @ weights - bias
        told = [
            -1 if k in chosen or lengths[k] < 1e-6 else abs(x[:, k] @ left) / lengths[k]
            for k in range(x.shape[1])
        ]
        if max(told) < 0:
            break
        chosen.append(int(np.argmax(told)))
        free = np.hstack([x[:, chosen], ones])
        longer = np.vstack([free, np.sqrt(alpha) * np.eye(free.shape[1])])
        wanted = np.concatenate([t, np.zeros(free.shape[1])])
        *found, bias = np.linalg.lstsq(longer, wanted, rcond=None)[0]
        weights = np.array(found)
    return dict(zip(chosen, weights, strict=True)), bias


@pytest.mark.parametrize("alpha", [0.01, 0.4])
@pytest.mark.parametrize(("field", "pixels"), [(3, 1), (3, 4), (5, 3)])
@pytest.mark.parametrize("shape", [(5, 4, 1), (3, 4, 2)])
def test_each_pixel_is_a_pursuit_of_its_own(shape, field, pixels, alpha) -> None:
    X, T = stack(20, shape)
    model = SparseFieldRidge(alpha, field, pixels, shape).fit(X, T)
    x, t = np.hstack([X / 255, np.zeros((20, 1))]), T / 255  # -1 is the column of zeros
    for number, place in enumerate(np.ndindex(shape)):
        weights, bias = pursued(x[:, window(shape, field, place)], t[:, number], alpha, pixels)
        wanted = np.zeros(field**2)
        wanted[list(weights)] = list(weights.values())
        np.testing.assert_allclose(model.coef_[:, number], wanted, atol=1e-8)
        assert model.intercept_[number] == pytest.approx(bias, abs=1e-8)


def test_without_a_penalty_it_is_scikit_learns_pursuit() -> None:
    rng = np.random.default_rng(3)
    design, wanted = rng.random((40, 9)), rng.random(40)
    solved = lsrf.pursue(design, wanted, 1e-9, 3)
    centred = design - design.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    known = OrthogonalMatchingPursuit(n_nonzero_coefs=3).fit(centred / length, wanted)
    assert np.count_nonzero(solved[:-1]) == 3
    np.testing.assert_allclose(solved[:-1], known.coef_ / length, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 5, 1), (4, 4, 3)])
def test_all_pixels_of_the_window_are_masked_ridge_and_one_is_pixel_ridge(shape) -> None:
    X, T = stack(15, shape)
    whole = SparseFieldRidge(0.4, 3, 9, shape).fit(X, T)
    masked = MaskedRidge(0.4, 3, shape).fit(X, T)
    np.testing.assert_allclose(whole.coef_, masked.coef_, atol=1e-8)
    np.testing.assert_allclose(whole.predict(X), masked.predict(X), atol=1e-8)
    single = SparseFieldRidge(0.4, 1, 1, shape).fit(X, T)
    pixel = PixelRidge(0.4).fit(X, T)
    np.testing.assert_allclose(single.coef_[0], pixel.coef_, atol=1e-8)
    np.testing.assert_allclose(single.intercept_, pixel.intercept_, atol=1e-8)


def test_the_whole_window_is_solved_once_however_large(monkeypatch) -> None:
    from pixelreg.regression import lsrf

    solved, real = [], lsrf._solved
    monkeypatch.setattr(lsrf, "_solved", lambda *given: solved.append(1) or real(*given))
    SparseFieldRidge(0.4, 5, 10**20, (4, 4, 1)).fit(*stack(6, (4, 4, 1)))
    assert len(solved) == 1


def test_what_a_picture_is_made_of_is_found() -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    x = pictures / 255
    made = 0.6 * np.roll(x, 1, axis=1) + 0.3 * np.roll(x, -2, axis=2)  # one above, two to the right
    model = SparseFieldRidge(1e-6, 5, 2, (8, 8, 1)).fit(x.reshape(60, -1), made.reshape(60, -1))
    weights = dict(zip(map(tuple, model.offsets_.tolist()), model.coef_, strict=True))
    inner = np.zeros((8, 8), bool)
    inner[2:6, 2:6] = True
    for offset, values in weights.items():
        wanted = {(-1, 0): 0.6, (0, 2): 0.3}.get(offset, 0.0)
        np.testing.assert_allclose(values.reshape(8, 8)[inner], wanted, atol=1e-4)


def test_what_never_changes_is_not_chosen_and_blocks_change_nothing(monkeypatch) -> None:
    from pixelreg.regression import masked

    X, T = stack(10, (7, 7, 1))
    model = SparseFieldRidge(0.4, 5, 3, (7, 7)).fit(X, T)
    assert (np.count_nonzero(model.coef_, axis=0) == 3).all()
    for k, (down, right) in enumerate(model.offsets_.tolist()):
        for i, j in np.ndindex(7, 7):
            if not (0 <= i + down < 7 and 0 <= j + right < 7):
                assert model.coef_[k].reshape(7, 7)[i, j] == 0
    black = SparseFieldRidge(0.4, 3, 2, (7, 7)).fit(np.zeros_like(X), T)
    assert not black.coef_.any()
    monkeypatch.setattr(masked, "BLOCK_NUMBERS", 1)
    again = SparseFieldRidge(0.4, 5, 3, (7, 7)).fit(X, T)
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-12)


@pytest.mark.parametrize("pixels", [0, -1, 1.5, True, "4", float("nan"), float("inf")])
def test_a_number_of_pixels_that_is_none_is_refused(pixels) -> None:
    with pytest.raises(UsageError, match="pixels must be a whole number"):
        SparseFieldRidge(pixels=pixels).fit(*stack(5, (4, 4, 1)))
