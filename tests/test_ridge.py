"""PixelRidge against Eq. 3-6 of the paper and exact integer arithmetic; see `test_backends`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelreg.errors import InvalidArrayError, UnknownNameError, UsageError
from pixelreg.regression import PixelRidge

ALPHAS = (0.01, 0.4, 4.0)
PRIORS = ("zero", "identity")


def stack(samples: int, pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random 8-bit pairs with the awkward pixels first: constant, binary, few levels, duplicate."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (samples, pixels), dtype=np.uint8)
    X[:, 0] = 0
    X[:, 1] = 255
    X[:, 2] = 117
    X[:, 3] = rng.integers(0, 2, samples) * 255
    X[:, 4] = rng.integers(100, 120, samples)
    X[:, 5] = X[:, 6]
    noise = rng.integers(-40, 41, X.shape)
    return X, np.clip(X.astype(int) + noise, 0, 255).astype(np.uint8)


def eq6(x: np.ndarray, t: np.ndarray, alpha: float, prior: str) -> np.ndarray:
    """(w, b) of one pixel by solving the 2 x 2 system of Eq. 6 as it stands."""
    start = np.array([1.0, 0.0]) if prior == "identity" else np.zeros(2)
    t = t - start[0] * x
    ones = np.ones(len(x))
    A = np.array([[x @ x + alpha, x @ ones], [x @ ones, len(x) + alpha]])
    return start + np.linalg.solve(A, np.array([t @ x, t @ ones]))


def energy(w: float, b: float, x: np.ndarray, t: np.ndarray, alpha: float, prior: str) -> float:
    """Eq. 3, with the penalty moved to w = 1 for the identity prior."""
    shrunk = w - float(prior == "identity")
    return 0.5 * np.sum((w * x + b - t) ** 2) + 0.5 * alpha * (shrunk**2 + b**2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("samples", [1, 2, 60, 400])
def test_weights_solve_eq_6_at_every_pixel(dtype, prior, alpha, samples) -> None:
    X, T = stack(samples, 40)
    if dtype != np.uint8:
        X, T = (X / 255).astype(dtype), (T / 255).astype(dtype)
    model = PixelRidge(alpha, prior).fit(X, T)
    x, t = (a / 255 if dtype == np.uint8 else a.astype(float) for a in (X, T))
    expected = np.array([eq6(x[:, p], t[:, p], alpha, prior) for p in range(40)])
    np.testing.assert_allclose(model.coef_, expected[:, 0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, expected[:, 1], rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        model.predict(X), x * expected[:, 0] + expected[:, 1], rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_gradient_of_eq_3_vanishes_at_the_solution(prior) -> None:
    X, T = stack(30, 12)
    model = PixelRidge(0.4, prior).fit(X, T)
    step = 1e-4  # central differences of a quadratic are exact but for rounding
    for p in range(12):
        x, t, w, b = X[:, p] / 255, T[:, p] / 255, model.coef_[p], model.intercept_[p]
        for dw, db in ((step, 0.0), (0.0, step)):
            ahead = energy(w + dw, b + db, x, t, 0.4, prior)
            behind = energy(w - dw, b - db, x, t, 0.4, prior)
            assert abs(ahead - behind) / (2 * step) < 1e-9
            assert min(ahead, behind) > energy(w, b, x, t, 0.4, prior)


def test_identity_prior_keeps_what_the_pairs_say_nothing_about() -> None:
    X = np.full((5, 3), 0, np.uint8)
    model = PixelRidge(0.4, "identity").fit(X, X)
    assert model.coef_.tolist() == [1.0] * 3
    assert model.intercept_.tolist() == [0.0] * 3
    huge = PixelRidge(1e12, "identity").fit(*stack(20, 10))
    np.testing.assert_allclose(huge.coef_, 1.0, atol=1e-9)
    np.testing.assert_allclose(PixelRidge(1e12).fit(*stack(20, 10)).coef_, 0.0, atol=1e-9)


pairs_of_bytes = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.uint8, (n, 5)), hnp.arrays(np.uint8, (n, 5)), st.permutations(range(n))
    )
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pairs_of_bytes, st.data(), st.sampled_from(PRIORS))
def test_no_bit_depends_on_order_chunks_or_merging(pairs, data, prior) -> None:
    X, T, order = pairs
    whole = PixelRidge(0.4, prior).fit(X, T)
    shuffled = PixelRidge(0.4, prior).fit(X[order], T[order])
    cut = data.draw(st.integers(0, len(X)))
    parts = [(X[:cut], T[:cut]), (X[cut:], T[cut:])]
    streamed = PixelRidge(0.4, prior)
    fitted = []
    for x, t in parts:
        if len(x):
            streamed.partial_fit(x, t)
            fitted.append(PixelRidge(0.4, prior).fit(x, t))
    merged = fitted[0] if len(fitted) == 1 else fitted[1].merge(fitted[0])
    for other in (shuffled, streamed, merged):
        assert other.coef_.tobytes() == whole.coef_.tobytes()
        assert other.intercept_.tobytes() == whole.intercept_.tobytes()
        assert other.sums_.count == whole.sums_.count


def test_a_hundred_thousand_samples_lose_nothing() -> None:
    # Nearly constant and bright: the case where floats would cancel.
    rng = np.random.default_rng(3)
    X = rng.integers(254, 256, (100_000, 2), dtype=np.uint8)
    T = rng.integers(0, 256, X.shape, dtype=np.uint8)
    model = PixelRidge(0.4).fit(X, T)
    for p in range(2):
        x, t = X[:, p].astype(np.longdouble) / 255, T[:, p].astype(np.longdouble) / 255
        n = len(x)
        determinant = (x @ x + 0.4) * (n + 0.4) - x.sum() ** 2
        w = ((t @ x) * (n + 0.4) - x.sum() * t.sum()) / determinant
        assert model.coef_[p] == pytest.approx(float(w), abs=1e-8)


def test_partial_fit_of_floats_equals_fit() -> None:
    X, T = (a / 255 for a in stack(50, 10))
    streamed = PixelRidge()
    for first in range(0, 50, 20):
        streamed.partial_fit(X[first : first + 20], T[first : first + 20])
    whole = PixelRidge().fit(X, T)
    np.testing.assert_allclose(streamed.coef_, whole.coef_, atol=1e-12)
    np.testing.assert_allclose(streamed.intercept_, whole.intercept_, atol=1e-12)


def test_fit_forgets_and_partial_fit_does_not() -> None:
    X, T = stack(20, 8)
    model = PixelRidge().fit(X, T)
    first = model.coef_.copy()
    assert np.array_equal(model.fit(X, T).coef_, first)
    assert not np.array_equal(model.partial_fit(X[:5], T[:5]).coef_, first)
    assert model.fit(X[:, :7], T[:, :7]).n_features_in_ == 7  # another width starts anew


def test_bytes_and_the_same_values_as_floats_agree() -> None:
    X, T = stack(40, 10)
    bytes_, floats = PixelRidge().fit(X, T), PixelRidge().fit(X / 255, T / 255)
    np.testing.assert_allclose(bytes_.predict(X), floats.predict(X / 255), atol=1e-12)
    mixed = PixelRidge().fit(X, T / 255)
    np.testing.assert_allclose(mixed.coef_, bytes_.coef_, atol=1e-12)


def test_what_cannot_be_merged_is_refused() -> None:
    X, T = stack(20, 8)
    model = PixelRidge().fit(X, T)
    before = model.coef_.copy()
    with pytest.raises(InvalidArrayError, match="8 and 7 pixels"):
        model.merge(PixelRidge().fit(X[:, :7], T[:, :7]))
    with pytest.raises(InvalidArrayError, match="8-bit"):
        model.merge(PixelRidge().fit(X / 255, T / 255))
    with pytest.raises(InvalidArrayError, match="8-bit"):
        model.partial_fit(X / 255, T / 255)
    with pytest.raises(InvalidArrayError, match="fitted on 8"):
        model.partial_fit(X[:, :7], T[:, :7])
    assert np.array_equal(model.coef_, before)


def test_bad_parameters_are_refused_in_fit() -> None:
    X, T = stack(5, 8)
    with pytest.raises(UnknownNameError, match="zero, identity"):
        PixelRidge(prior="one").fit(X, T)
    for alpha in (0, -1.0, np.nan, np.inf, None, "0.4", [0.4]):
        with pytest.raises(UsageError, match="alpha"):
            PixelRidge(alpha).fit(X, T)
