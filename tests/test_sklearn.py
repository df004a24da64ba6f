"""The estimators in scikit-learn's hands: its own checks, its searches, and what people feed it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import estimator_checks

from pixelreg.errors import InvalidArrayError, UsageError
from pixelreg.regression import (
    FullRidge,
    MaskedRidge,
    PixelKernelRidge,
    PixelRidge,
    SparseFieldRidge,
)

PER_PIXEL = "every target belongs to one pixel, and the check has five targets for ten pixels"
NO_SUMS = "partial_fit adds up sums of bytes; floats have none, and the check gives floats"
# The checks that cannot hold, and why.
CANNOT_HOLD: dict[type[Any], dict[str, str]] = {
    PixelRidge: {"check_regressor_multioutput": PER_PIXEL},
    PixelKernelRidge: {
        "check_regressor_multioutput": PER_PIXEL,
        "check_fit_score_takes_y": NO_SUMS,
        "check_n_features_in_after_fitting": NO_SUMS,
        "check_estimators_partial_fit_n_features": NO_SUMS,
    },
    SparseFieldRidge: {"check_regressor_multioutput": PER_PIXEL},
    MaskedRidge: {"check_regressor_multioutput": PER_PIXEL},
    FullRidge: {},
}


@pytest.fixture(params=CANNOT_HOLD, ids=lambda cls: cls.__name__)
def cls(request: pytest.FixtureRequest) -> Any:
    return request.param


def pairs(rows: int = 30, columns: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.random((rows, columns))
    return X, np.clip(0.7 * X + 0.1 + 0.05 * rng.standard_normal(X.shape), 0, 1)


@pytest.mark.filterwarnings("ignore:.*does not inherit from `sklearn.base.BaseEstimator`")
def test_scikit_learns_checks_hold_but_for_those_listed(cls) -> None:
    cannot = CANNOT_HOLD[cls]
    results = estimator_checks.check_estimator(
        cls(), expected_failed_checks=cannot, on_skip=None, on_fail="raise"
    )
    status = {result["check_name"]: result["status"] for result in results}
    assert len(results) > 40
    assert {name for name, found in status.items() if found == "xfail"} == set(cannot)
    assert "failed" not in status.values()


def test_columns_of_data_frames_keep_their_names(cls) -> None:
    pytest.importorskip("pandas", reason="data frames need pandas")
    name = cls.__name__
    if "partial_fit" in vars(cls) and cls is PixelKernelRidge:
        name, cls = "floats", type(name, (cls,), {"partial_fit": property()})  # see NO_SUMS
    estimator_checks.check_dataframe_column_names_consistency(name, cls())


@pytest.mark.parametrize("more", [False, True])
def test_a_data_frame_is_its_array_and_its_columns_keep_their_order(cls, more) -> None:
    pandas = pytest.importorskip("pandas", reason="data frames need pandas")
    X, T = pairs()
    frame, targets = pandas.DataFrame(X).add_prefix("p"), pandas.DataFrame(T)
    model = cls().fit(frame, targets)
    # A frame lies in memory by columns, so that sums round differently.
    np.testing.assert_allclose(model.predict(frame), cls().fit(X, T).predict(X), atol=1e-12)
    with pytest.raises(InvalidArrayError, match="same order"):
        model.predict(frame[frame.columns[::-1]])
    with pytest.warns(UserWarning, match="fitted with feature names"):
        model.predict(X)
    if more and cls is PixelRidge:
        with pytest.raises(InvalidArrayError, match="same order"):
            model.partial_fit(frame[frame.columns[::-1]], targets)
    with pytest.raises(InvalidArrayError, match="T is"):
        model.score(frame, targets.iloc[:, :5])


def test_tensors_are_taken(cls) -> None:
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    X, T = pairs()
    x, t = (torch.tensor(side, requires_grad=True) for side in (X, T))
    model = cls().fit(x, t)
    expected = cls().fit(X, T)
    assert np.array_equal(model.predict(x), expected.predict(X))
    assert model.score(x, t) == expected.score(X, T)
    half = model.predict(torch.tensor(X).to(torch.bfloat16))
    assert np.abs(half - expected.predict(X)).max() < 0.02


def test_a_search_finds_what_trying_by_hand_finds(cls) -> None:
    X, T = pairs()
    alphas, folds = [0.01, 0.3, 30.0], KFold(3)
    search = GridSearchCV(cls(), {"alpha": alphas}, cv=folds).fit(X, T)
    by_hand = [
        np.mean(
            [
                r2_score(T[test], cls(alpha=alpha).fit(X[train], T[train]).predict(X[test]))
                for train, test in folds.split(X)
            ]
        )
        for alpha in alphas
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand, atol=1e-12)
    assert search.best_params_ == {"alpha": alphas[int(np.argmax(by_hand))]}
    assert search.best_score_ > search.cv_results_["mean_test_score"][-1]
    scored = cross_val_score(cls(), X, T, cv=folds, scoring="r2")
    np.testing.assert_allclose(scored, cross_val_score(cls(), X, T, cv=folds), atol=1e-12)


@pytest.mark.parametrize("scaler", [MinMaxScaler(), StandardScaler()])
def test_pipelines_and_folds_may_leave_the_unit_range(cls, scaler) -> None:
    X, T = pairs()
    model = make_pipeline(scaler, cls(alpha=0.01))
    assert model.fit(X, T).predict(X).shape == T.shape
    found = cross_val_predict(model, X, T, cv=5)  # held-out rows lie beyond the others' range
    scaled = scaler.fit_transform(X[6:])
    expected = cls(alpha=0.01).fit(scaled, T[6:]).predict(scaler.transform(X[:6]))
    np.testing.assert_allclose(found[:6], expected, atol=1e-12)


def test_numbers_of_any_range_are_regressed_as_by_ridge(cls) -> None:
    rng = np.random.default_rng(3)
    X, T = rng.normal(50, 30, (40, 6)), rng.normal(-20, 60, (40, 6))
    if cls in (PixelKernelRidge, SparseFieldRidge):
        pytest.skip("compared with scikit-learn in test_kernel_ridge.py and test_lsrf.py")
    biased = np.ones((40, 1))
    found = cls(alpha=2.0).fit(X, T).predict(X)
    for p in range(6):
        if cls is FullRidge:
            design = X
        else:
            near = range(max(0, p - 1), min(6, p + 2)) if cls is MaskedRidge else [p]
            design = np.hstack([X[:, near], biased])
        expected = Ridge(2.0, fit_intercept=False, solver="cholesky").fit(design, T[:, p])
        np.testing.assert_allclose(found[:, p], expected.predict(design), rtol=1e-9)


def test_scale_says_what_white_is(cls) -> None:
    rng = np.random.default_rng(4)
    X, T = rng.integers(0, 256, (2, 20, 9), dtype=np.uint8)
    of_bytes, grey = cls().fit(X, T), cls(scale=255.0).fit(X.astype(float), T.astype(float))
    np.testing.assert_allclose(grey.predict(X.astype(float)), of_bytes.predict(X) * 255, atol=1e-5)
    plans = [model.to_plan((3, 3, 1)).predict(X.reshape(-1, 3, 3, 1)) for model in (of_bytes, grey)]
    np.testing.assert_allclose(plans[0], plans[1], atol=1e-5)
    # Scikit-learn's own scorers compare predictions with bytes: scale puts both on one scale.
    white = cls(scale=255.0).fit(X, T)
    assert abs(white.score(X, T) - r2_score(T, white.predict(X))) < 1e-12
    with pytest.raises(UsageError, match="scale must be a number above 0"):
        cls(scale=0).fit(X, T)


def test_what_is_no_picture_becomes_no_plan(cls) -> None:
    X, T = np.random.default_rng(4).integers(0, 256, (2, 20, 9)).astype(float)
    with pytest.raises(UsageError, match=r"no pictures in .*scale=255"):
        cls().fit(X, T).to_plan((3, 3, 1))
    if cls is PixelRidge:
        model = cls().fit(X / 255, T / 255)
        model.to_plan((3, 3, 1))
        for spoilt in (model.partial_fit(X, T), cls().fit(X / 255, T / 255).merge(cls().fit(X, T))):
            with pytest.raises(UsageError, match="no pictures"):
                spoilt.to_plan((3, 3, 1))


def test_bytes_are_pictures_and_bring_their_rules(cls) -> None:
    X, T = np.random.default_rng(4).integers(0, 256, (2, 20, 9), dtype=np.uint8)
    for given in ((X.astype(float), T), (X, T.astype(float)), (X.astype(int), T)):
        with pytest.raises(InvalidArrayError, match=r"scale them to \[0, 1\]|uint8 or float"):
            cls().fit(*given)
    if cls is not FullRidge:
        with pytest.raises(InvalidArrayError, match="must be alike"):
            cls().fit(X, T[:, :1])
    model = cls().fit(X, T)
    with pytest.raises(InvalidArrayError, match=r"scale them to \[0, 1\]"):
        model.predict(X.astype(float))
    if issubclass(cls, MaskedRidge):
        with pytest.raises(InvalidArrayError, match="give shape"):
            cls().fit(X[:, :7], T[:, :7])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_noise_is_clipped(cls, dtype) -> None:
    X, T = pairs()
    X[:5], X[5:9] = 0.0, 1.0
    noisy = X.astype(dtype) * dtype(1 + 3e-7) - dtype(1e-7)
    assert noisy.min() < 0 < 1 < noisy.max()
    model = cls().fit(noisy, T)
    model.to_plan((3, 4, 1) if not issubclass(cls, MaskedRidge) else (2, 2, 3))
    assert np.array_equal(model.predict(noisy), model.predict(np.clip(noisy, 0, 1)))
    learnt = cls().fit(*np.random.default_rng(0).integers(0, 256, (2, 9, 16), dtype=np.uint8))
    assert np.isfinite(learnt.predict(np.full((1, 16), 1 + 1e-7, dtype))).all()
    with pytest.raises(InvalidArrayError, match="scale them"):
        learnt.predict(np.full((1, 16), 1.001, dtype))


def test_one_target_is_the_mean_of_what_the_pixels_say(cls) -> None:
    X, T = pairs()
    y = T[:, :1]
    model = cls().fit(X, y)
    assert model.predict(X).shape == y.shape
    if cls is FullRidge:
        wide = model.predict(X)
    else:
        wide = cls().fit(X, np.repeat(y, 12, axis=1)).predict(X).mean(axis=1, keepdims=True)
        with pytest.raises(UsageError, match="no pictures"):
            model.to_plan((3, 4, 1))
    np.testing.assert_allclose(model.predict(X), wide, atol=1e-12)
    assert abs(model.score(X, y) - r2_score(y, wide)) < 1e-12


def test_score_is_r2_whatever_is_constant(cls) -> None:
    X, T = pairs()
    model = cls(alpha=0.1).fit(X, T)
    assert abs(model.score(X, T) - r2_score(T, model.predict(X))) < 1e-12
    constant = T.copy()
    constant[:, 3] = 0.1  # thirty times 0.1 by thirty is not 0.1: the spread is rounding alone
    assert np.ptp(constant[:, 3]) == 0.0 < abs(constant[:, 3] - constant[:, 3].mean()).max()
    model.fit(X, constant)
    others = [p for p in range(12) if p != 3]
    columns = r2_score(constant[:, others], model.predict(X)[:, others], multioutput="raw_values")
    assert abs(model.score(X, constant) - columns.sum() / 12) < 1e-12
    assert model.score(X, model.predict(X)) == 1.0
    assert np.isnan(model.score(X[:1], T[:1]))
    b, t = np.random.default_rng(4).integers(0, 256, (2, 20, 9), dtype=np.uint8)
    assert abs(cls().fit(b, t).score(b, t) - r2_score(t / 255, cls().fit(b, t).predict(b))) < 1e-12


def test_a_model_without_a_fit_raises_scikit_learns_error_too(cls) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet; call fit") as caught:
        cls().predict(pairs()[0])
    again = pickle.loads(pickle.dumps(caught.value))  # as joblib sends it from a worker
    assert isinstance(again, NotFittedError)
    assert str(again) == str(caught.value)


def test_a_failed_fit_leaves_nothing_behind(cls) -> None:
    X, T = pairs()
    model = cls(alpha=-1.0)
    with pytest.raises(UsageError, match="alpha"):
        model.fit(X, T)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_scikit_learn_is_not_needed(cls) -> None:
    code = (
        "import sys, numpy\n"
        "sys.modules['sklearn'] = sys.modules['pandas'] = None\n"
        f"from pixelreg.regression import {cls.__name__} as cls\n"
        "X = numpy.random.default_rng(0).random((9, 4)); print(cls().fit(X, X).score(X, X))\n"
        "try: cls().predict(X)\n"
        "except Exception as error: print(type(error).__mro__)"
    )
    with warnings.catch_warnings():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    score, mro = done.stdout.splitlines()
    X = np.random.default_rng(0).random((9, 4))
    assert abs(float(score) - r2_score(X, cls().fit(X, X).predict(X))) < 1e-9
    assert "NotFittedError" in mro
    assert "sklearn" not in mro
