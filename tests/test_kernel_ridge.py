"""PixelKernelRidge, both solvers, against scikit-learn's KernelRidge and Eq. 10-16 of the paper."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.kernel_ridge import KernelRidge

from pixelreg.backends import get_backend
from pixelreg.errors import InvalidArrayError, UnknownNameError, UsageError
from pixelreg.regression import PixelKernelRidge
from pixelreg.regression.kernel import grey_levels, level_features

SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0)
SOLVERS = ("dense", "levels")


def stack(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that are hard to solve: constant, duplicated, within 20 grey levels, and random."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (samples, 8), dtype=np.uint8)
    X[:, 0] = 133
    X[:, 1] = rng.integers(120, 140, samples)
    X[:, 2] = rng.integers(0, 2, samples) * 255
    X[:, 3] = X[:, 4]
    X[samples // 2 :, 5] = X[: samples - samples // 2, 5]  # every sample twice
    T = np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)
    return X, T


def reference(x: np.ndarray, t: np.ndarray, sigma: float, alpha: float) -> KernelRidge:
    model = KernelRidge(kernel="rbf", gamma=1 / (2 * sigma**2), alpha=alpha)
    return model.fit(x[:, None] / 255, t / 255)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_both_solvers_agree_with_scikit_learn(sigma) -> None:
    X, T = stack(120)
    alpha = 0.4
    models = [PixelKernelRidge(alpha, sigma, solver).fit(X, T) for solver in SOLVERS]
    levels = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[:, None], X.shape[1], axis=1)
    found = [model.predict(levels) for model in models]
    for p in range(X.shape[1]):
        expected = reference(X[:, p], T[:, p], sigma, alpha).predict(levels[:, p, None] / 255)
        for solver, prediction in zip(SOLVERS, found, strict=True):
            gap = np.abs(prediction[:, p] - expected).max()
            assert gap < 1e-8, f"{solver}, pixel {p}: {gap:.2g}"


def test_dense_takes_floats_off_the_grid() -> None:
    rng = np.random.default_rng(5)
    X, T = rng.random((50, 4)), rng.random((50, 4))
    model = PixelKernelRidge(0.1, 0.3).fit(X, T)
    assert model.solver_ == "dense"
    new = rng.random((20, 4))
    for p in range(4):
        expected = reference(X[:, p] * 255, T[:, p] * 255, 0.3, 0.1).predict(new[:, p, None])
        np.testing.assert_allclose(model.predict(new)[:, p], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_levels_predict_floats_between_grey_levels(sigma) -> None:
    X, T = stack(60)
    new = np.random.default_rng(6).random((30, X.shape[1]))
    dense, reduced = (PixelKernelRidge(0.4, sigma, s).fit(X, T).predict(new) for s in SOLVERS)
    np.testing.assert_allclose(reduced, dense, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_gradient_of_eq_11_vanishes_at_the_solution(sigma) -> None:
    X, T = stack(15)
    alpha, step = 0.4, 1e-4
    x, t = X / 255, T / 255
    found = get_backend("numpy").solve_dense(x, t, sigma, alpha)
    for p in range(X.shape[1]):
        K = np.exp(-((x[:, p, None] - x[None, :, p]) ** 2) / (2 * sigma**2))

        def energy(c: np.ndarray, K: np.ndarray = K, p: int = p) -> float:
            return 0.5 * np.sum((c @ K - t[:, p]) ** 2) + 0.5 * alpha * c @ K @ c

        for direction in np.eye(len(x)) * step:
            ahead, behind = energy(found[:, p] + direction), energy(found[:, p] - direction)
            assert abs(ahead - behind) / (2 * step) < 1e-8
        np.testing.assert_allclose(K @ found[:, p] + alpha * found[:, p], t[:, p], atol=1e-10)


def test_predictions_are_eq_15_written_out() -> None:
    X, T = stack(9)
    x, t = X / 255, T / 255
    model = PixelKernelRidge(0.4, 1.0, "dense").fit(X, T)
    for p in range(X.shape[1]):
        K = np.exp(-((x[:, p, None] - x[None, :, p]) ** 2) / 2)
        kappa = np.exp(-((x[:, p] - 0.25) ** 2) / 2)
        expected = t[:, p] @ np.linalg.inv(K + 0.4 * np.eye(9)) @ kappa
        assert model.predict(np.full((1, X.shape[1]), 0.25))[0, p] == pytest.approx(expected)


def test_dense_blocks_do_not_change_the_result(monkeypatch) -> None:
    from pixelreg.backends import array as solvers

    X, T = (a / 255 for a in stack(20))
    backend = get_backend("numpy")
    whole = backend.solve_dense(X, T, 1.0, 0.4)
    told = backend.predict_dense(X[:3], X, whole, 1.0)
    monkeypatch.setattr(solvers, "BLOCK_NUMBERS", 1)
    np.testing.assert_allclose(backend.solve_dense(X, T, 1.0, 0.4), whole, atol=1e-13)
    np.testing.assert_allclose(backend.predict_dense(X[:3], X, whole, 1.0), told, atol=1e-13)


def test_dense_survives_an_alpha_below_rounding() -> None:
    X = np.repeat(np.array([[10], [10], [10], [200]], np.uint8), 2, axis=1)
    T = np.repeat(np.array([[20], [30], [40], [100]], np.uint8), 2, axis=1)
    model = PixelKernelRidge(1e-17, 0.1, "dense").fit(X, T)
    np.testing.assert_allclose(model.predict(X[[0, 3]]) * 255, [[30, 30], [100, 100]], atol=1e-6)


def test_features_reproduce_the_grid_kernel_with_few_columns() -> None:
    for sigma, most in zip(SIGMAS, (32, 16, 10, 7, 6), strict=True):
        features = level_features(sigma)
        grid = np.exp(-((grey_levels()[:, None] - grey_levels()) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(features.table @ features.table.T, grid, atol=1e-10)
        assert features.table.shape[1] <= most


def test_features_are_orthogonal_and_found_again_from_the_kernel() -> None:
    """Of every width that means anything, down to one where each level stands alone."""
    for sigma in (1e-3, 0.02, *SIGMAS, 100.0):
        features = level_features(sigma)
        grid = np.exp(-((grey_levels()[:, None] - grey_levels()) ** 2) / (2 * sigma**2))
        lengths = np.linalg.norm(features.table, axis=0)
        cosines = features.table.T @ features.table / np.outer(lengths, lengths)
        np.testing.assert_allclose(cosines, np.eye(len(lengths)), atol=1e-10)
        assert (np.diff(lengths) <= 0).all()
        exact = np.linalg.eigvalsh(grid)[::-1][: len(lengths)]
        np.testing.assert_allclose(lengths**2, exact, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(grid @ features.inverse, features.table, atol=1e-8)


def test_levels_are_solved_alike_however_pixels_are_cut() -> None:
    rng = np.random.default_rng(5)
    X, T = (rng.integers(0, 256, (20, 9000), np.uint8) for _ in range(2))
    backend, table = get_backend("numpy"), level_features(0.3).table
    whole = backend.solve_levels(backend.level_sums(X, T), table, 0.4)
    part = slice(960, 4001)
    some = backend.solve_levels(backend.level_sums(X[:, part], T[:, part]), table, 0.4)
    assert some.tobytes() == whole[part].tobytes()
    if find_spec("numba"):
        for threads in (1, 2, 3):
            backend = get_backend("numba", threads=threads)
            made = backend.solve_levels(backend.level_sums(X, T), table, 0.4)
            assert made.tobytes() == whole.tobytes()


def test_auto_says_what_it_took() -> None:
    X, T = stack(10)
    assert PixelKernelRidge().fit(X, T).solver_ == "levels"
    assert PixelKernelRidge().fit(X / 255, T / 255).solver_ == "dense"
    assert PixelKernelRidge(solver="dense").fit(X, T).solver_ == "dense"
    with pytest.raises(InvalidArrayError, match="uint8"):
        PixelKernelRidge(solver="levels").fit(X / 255, T / 255)


histograms = st.integers(1, 10).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.uint8, (n, 3)), hnp.arrays(np.uint8, (n, 3)), st.permutations(range(n))
    )
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(histograms, st.data(), st.sampled_from([0.3, 3.0]))
def test_no_bit_depends_on_order_chunks_or_merging(pairs, data, sigma) -> None:
    X, T, order = pairs
    whole = PixelKernelRidge(sigma=sigma).fit(X, T)
    others = [PixelKernelRidge(sigma=sigma).fit(X[order], T[order])]
    cut = data.draw(st.integers(0, len(X)))
    if 0 < cut < len(X):
        head = PixelKernelRidge(sigma=sigma).fit(X[:cut], T[:cut])
        tail = PixelKernelRidge(sigma=sigma).fit(X[cut:], T[cut:])
        others.append(PixelKernelRidge(sigma=sigma).fit(X[:cut], T[:cut]))
        others[-1].partial_fit(X[cut:], T[cut:])
        others.append(tail.merge(head))
    for other in others:
        assert other.coef_.tobytes() == whole.coef_.tobytes()
        assert other.sums_.count == len(X)


def test_what_cannot_be_streamed_or_merged_is_refused() -> None:
    X, T = stack(10)
    dense = PixelKernelRidge(solver="dense").fit(X, T)
    levels = PixelKernelRidge().fit(X, T)
    for call in (
        lambda: dense.partial_fit(X, T),
        lambda: PixelKernelRidge().partial_fit(X / 255, T / 255),
        lambda: levels.merge(dense),
        lambda: dense.merge(levels),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(InvalidArrayError, match="fitted on 8"):
        levels.partial_fit(X[:, :5], T[:, :5])
    with pytest.raises(InvalidArrayError, match="8 and 5 pixels"):
        levels.merge(PixelKernelRidge().fit(X[:, :5], T[:, :5]))


def test_bad_parameters_are_refused_in_fit() -> None:
    X, T = stack(5)
    with pytest.raises(UnknownNameError, match="auto, dense, levels"):
        PixelKernelRidge(solver="fast").fit(X, T)
    for value in (0, -1.0, np.nan, np.inf, "3"):
        with pytest.raises(UsageError, match="sigma"):
            PixelKernelRidge(sigma=value).fit(X, T)
        with pytest.raises(UsageError, match="alpha"):
            PixelKernelRidge(alpha=value, solver="dense").fit(X, T)


def test_a_failed_fit_leaves_no_half_fitted_model() -> None:
    X, T = stack(5)
    model = PixelKernelRidge().fit(X, T)
    with pytest.raises(UsageError):
        model.set_params(sigma=-1.0).fit(X, T)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict(X)
