"""The paper's baselines: FullRidge against Eq. 2, MaskedRidge against a dense masked solve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pixelreg.errors import InvalidArrayError, UsageError
from pixelreg.regression import FullRidge, MaskedRidge, PixelRidge
from pixelreg.regression.masked import patch_offsets


def stack(samples: int, pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (samples, pixels), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)
    return X, T


@pytest.mark.parametrize("alpha", [0.01, 0.4, 4.0])
@pytest.mark.parametrize(
    ("samples", "form"), [(5, "dual"), (29, "dual"), (30, "primal"), (90, "primal")]
)
def test_full_ridge_is_eq_2_in_either_form(alpha, samples, form) -> None:
    X, T = stack(samples, 30)
    x, t = X / 255, T / 255
    model = FullRidge(alpha).fit(X, T)
    W = (np.linalg.inv(x.T @ x + alpha * np.eye(30)) @ x.T @ t).T  # Eq. 2
    assert model.form_ == form
    np.testing.assert_allclose(model.coef_, W, rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.predict(X), x @ W.T, rtol=0, atol=1e-8)
    other = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(x, t)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=1e-8)


def test_primal_and_dual_give_one_matrix() -> None:
    # One pixel more or less than samples changes the form; a pixel that is always 0 changes no W.
    X, T = stack(20, 20)
    primal = FullRidge().fit(X, T)
    dual = FullRidge().fit(np.column_stack([X, np.zeros(20, np.uint8)]), T)
    assert (primal.form_, dual.form_) == ("primal", "dual")
    np.testing.assert_allclose(dual.coef_[:, :20], primal.coef_, atol=1e-8)
    np.testing.assert_allclose(dual.coef_[:, 20], 0.0, atol=1e-12)


def test_full_ridge_takes_targets_of_another_width() -> None:
    X, T = stack(12, 10)
    model = FullRidge().fit(X, T[:, :4])
    assert model.coef_.shape == (4, 10)
    assert model.predict(X).shape == (12, 4)


def test_gradient_of_eq_1_vanishes_at_the_solution() -> None:
    X, T = stack(7, 12)
    x, t = X / 255, T / 255
    W = FullRidge(0.4).fit(X, T).coef_

    def energy(W: np.ndarray) -> float:
        return 0.5 * np.sum((W @ x.T - t.T) ** 2) + 0.2 * np.sum(W**2)

    rng = np.random.default_rng(1)
    for _ in range(20):
        step = rng.normal(size=W.shape)
        step *= 1e-4 / np.linalg.norm(step)
        assert abs(energy(W + step) - energy(W - step)) / 2e-4 < 1e-8


def masked_by_hand(
    x: np.ndarray, t: np.ndarray, shape: tuple[int, int, int], field: int, alpha: float
) -> np.ndarray:
    """Predictions of ridge regression of every pixel on its patch, one explicit solve each."""
    height, width, channels = shape
    index = np.arange(x.shape[1]).reshape(shape)
    result = np.empty_like(t)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                reach = field // 2
                seen = index[
                    max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1, c
                ].ravel()
                design = np.column_stack([x[:, seen], np.ones(len(x))])
                target = t[:, index[i, j, c]]
                extended = np.vstack([design, np.sqrt(alpha) * np.eye(design.shape[1])])
                padded = np.concatenate([target, np.zeros(design.shape[1])])
                solution = np.linalg.lstsq(extended, padded, rcond=None)[0]
                result[:, index[i, j, c]] = design @ solution
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("field", [1, 3, 5, 15])
@pytest.mark.parametrize("shape", [(5, 4, 1), (3, 6, 3)])
def test_masked_ridge_is_a_masked_least_squares(shape, field, dtype) -> None:
    X, T = stack(25, int(np.prod(shape)), 2)
    if dtype != np.uint8:
        X, T = X / 255, T / 255
    model = MaskedRidge(0.4, field, shape).fit(X, T)
    x, t = (X / 255, T / 255) if dtype == np.uint8 else (X, T)
    expected = masked_by_hand(x, t, shape, field, 0.4)
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=1e-8)


def test_weights_that_look_out_of_the_picture_are_zero() -> None:
    X, T = stack(10, 16)
    model = MaskedRidge(shape=(4, 4)).fit(X, T)
    weights = model.coef_.reshape(9, 4, 4)
    for (down, right), plane in zip(model.offsets_.tolist(), weights, strict=True):
        for i in range(4):
            for j in range(4):
                inside = 0 <= i + down < 4 and 0 <= j + right < 4
                assert (plane[i, j] != 0) == inside


@pytest.mark.parametrize("alpha", [0.01, 0.4, 4.0])
def test_a_field_of_one_pixel_is_pixel_ridge(alpha) -> None:
    X, T = stack(30, 27)
    masked = MaskedRidge(alpha, 1).fit(X, T)
    pixel = PixelRidge(alpha).fit(X, T)
    assert masked.shape_ == (3, 3, 3)
    np.testing.assert_allclose(masked.coef_[0], pixel.coef_, atol=1e-8)
    np.testing.assert_allclose(masked.intercept_, pixel.intercept_, atol=1e-8)


def test_blocks_of_rows_do_not_change_the_result(monkeypatch) -> None:
    from pixelreg.regression import masked

    X, T = stack(10, 49)
    whole = MaskedRidge().fit(X, T).coef_
    monkeypatch.setattr(masked, "BLOCK_NUMBERS", 1)
    np.testing.assert_allclose(MaskedRidge().fit(X, T).coef_, whole, atol=1e-12)


def test_patch_offsets_cover_the_patch_once() -> None:
    assert patch_offsets(1).tolist() == [[0, 0]]
    assert {tuple(o) for o in patch_offsets(3).tolist()} == {
        (i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)
    }
    assert len(patch_offsets(15)) == 225


def test_masked_ridge_refuses_what_it_cannot_do() -> None:
    X, T = stack(5, 16)
    for field in (0, 2, 17, -3, None, "3"):
        with pytest.raises(UsageError, match="receptive_field"):
            MaskedRidge(receptive_field=field).fit(X, T)
    with pytest.raises(InvalidArrayError, match="shape="):
        MaskedRidge(shape=(3, 3)).fit(X, T)
    with pytest.raises(InvalidArrayError, match="shape="):
        MaskedRidge().fit(X[:, :14], T[:, :14])
    with pytest.raises(InvalidArrayError, match="fitted on pictures"):
        MaskedRidge().fit(X, T).to_plan((2, 8, 1))


def test_full_ridge_survives_an_alpha_below_rounding() -> None:
    X = np.repeat(np.array([[10, 20, 30], [200, 100, 5]], np.uint8), 4, axis=0)  # singular
    for samples in (X, X[:, :2]):
        model = FullRidge(1e-300).fit(samples, samples)
        np.testing.assert_allclose(model.predict(samples), samples / 255, atol=1e-6)
