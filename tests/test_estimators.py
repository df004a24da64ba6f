"""What all estimators share: scikit-learn's conventions, and clear refusals."""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from pixelreg import regression
from pixelreg.errors import InvalidArrayError, PixelregError, UnknownNameError, UsageError
from pixelreg.regression import ESTIMATORS, estimator_class
from pixelreg.regression.estimator import NotFittedError

NON_DEFAULT = {
    "rr": {"alpha": 2.0, "prior": "identity", "backend": "numpy", "threads": 1, "scale": 2.0},
    "kr": {
        "alpha": 2.0,
        "sigma": 0.5,
        "solver": "dense",
        "backend": "numpy",
        "threads": 1,
        "scale": 2.0,
    },
    "mr": {"alpha": 2.0, "receptive_field": 5, "shape": (3, 3), "scale": 2.0},
    "lsrf": {"alpha": 2.0, "receptive_field": 3, "pixels": 2, "shape": (3, 3), "scale": 2.0},
    "full": {"alpha": 2.0, "scale": 2.0},
    "flow": {"alpha": 2.0, "opening": -1.0, "amount": 0.1, "gain": 1.1},
}


@pytest.fixture(params=ESTIMATORS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "flow":
        pytest.importorskip("cv2", reason="fitting a flow needs OpenCV")
    return str(request.param)


def width(kind: str) -> int:
    return 32 * 32 * 3 if kind == "flow" else 9


def pairs(kind: str = "rr") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (2, 6, width(kind)), dtype=np.uint8))


@cache
def fitted(kind: str) -> Any:
    return estimator_class(kind)().fit(*pairs(kind))


def learnt(model: Any) -> set[str]:
    return {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}


def test_clone_copies_parameters_and_nothing_else(kind) -> None:
    model = estimator_class(kind)(**NON_DEFAULT[kind])
    model.fit(*pairs(kind))
    copy = clone(model)
    assert type(copy) is type(model)
    assert copy.get_params() == model.get_params() == NON_DEFAULT[kind]
    assert learnt(model)
    assert not learnt(copy)


def test_every_argument_has_a_default_and_is_kept_untouched(kind) -> None:
    cls = estimator_class(kind)
    marks = {name: object() for name in cls().get_params()}
    assert cls(**marks).get_params() == marks  # checked in fit, not here
    assert vars(cls()) == cls().get_params()


def test_set_params_changes_what_it_names(kind) -> None:
    model = estimator_class(kind)()
    assert model.set_params(**NON_DEFAULT[kind]) is model
    assert model.get_params(deep=False) == NON_DEFAULT[kind]
    with pytest.raises(UsageError, match=r"no parameter 'beta'.*alpha"):
        model.set_params(beta=1)


def test_set_params_takes_effect_at_the_next_fit(kind) -> None:
    X, T = pairs(kind)
    model = estimator_class(kind)().fit(X, T)
    before = model.predict(X)
    assert np.array_equal(model.set_params(alpha=50.0).predict(X), before)
    assert not np.allclose(model.fit(X, T).predict(X), before)
    fresh = estimator_class(kind)(alpha=50.0).fit(X, T)
    assert np.array_equal(model.predict(X), fresh.predict(X))


def test_fit_returns_self_and_counts_features(kind) -> None:
    X, T = pairs(kind)
    model = estimator_class(kind)()
    assert model.fit(X, T) is model
    assert model.n_features_in_ == width(kind)
    again = model.predict(X)
    assert again.shape == T.shape
    assert again.dtype == np.float64
    assert np.array_equal(model.fit(X, T).predict(X), again)


def test_fit_leaves_its_input_alone(kind) -> None:
    for scale in (1, 255):
        X, T = (a / scale if scale > 1 else a for a in pairs(kind))
        x, t = X.copy(), T.copy()
        for array in (X, T):
            array.flags.writeable = False
        model = estimator_class(kind)().fit(X, T)
        model.predict(X)
        assert np.array_equal(X, x)
        assert np.array_equal(T, t)


def test_predictions_are_not_clipped(kind) -> None:
    # Targets run twice as steep as inputs, so white and black lie beyond [0, 1].
    level = np.linspace(80, 170, 40).astype(np.uint8)
    X = np.repeat(level[:, None], 9, axis=1)
    T = np.clip((X.astype(int) - 125) * 2 + 125, 0, 255).astype(np.uint8)
    if kind == "flow":
        pytest.skip("it changes faces, not plain pictures")
    params = {"alpha": 1e-4} | ({"sigma": 1.0} if kind == "kr" else {})
    model = estimator_class(kind)(**params).fit(X, T)
    assert model.predict(np.full((1, 9), 255, np.uint8)).min() > 1.0
    if kind != "full":  # without a bias black stays black
        assert model.predict(np.zeros((1, 9), np.uint8)).max() < 0.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_type_is_computed_in_float64(kind, dtype) -> None:
    X, T = ((a / 255).astype(dtype) for a in pairs(kind))
    low = estimator_class(kind)().fit(X, T)
    high = estimator_class(kind)().fit(X.astype(np.float64), T.astype(np.float64))
    assert low.predict(X).dtype == np.float64
    assert np.array_equal(low.predict(X), high.predict(X.astype(np.float64)))


def test_layout_in_memory_does_not_matter(kind) -> None:
    X, T = pairs(kind)
    plain = estimator_class(kind)().fit(X, T)
    odd = estimator_class(kind)().fit(np.asfortranarray(X), np.repeat(T, 2, axis=0)[::2])
    np.testing.assert_allclose(odd.predict(X[:, ::-1][:, ::-1]), plain.predict(X), atol=1e-12)


def test_predicting_before_fitting_is_refused(kind) -> None:
    model = estimator_class(kind)()
    X, _ = pairs(kind)
    for call in (lambda: model.predict(X), lambda: model.to_plan((3, 3, 1))):
        with pytest.raises(NotFittedError, match="not fitted yet; call fit"):
            call()
    for kind_of_error in (PixelregError, ValueError, AttributeError):
        with pytest.raises(kind_of_error):
            model.predict(X)


def bad_arrays() -> dict[str, Any]:
    X, _ = pairs()
    unit = X / 255
    nan, inf = unit.copy(), unit.copy()
    nan[2, 3], inf[2, 3] = np.nan, -np.inf
    return {
        "NaN": nan,
        "infinite": inf,
        "above 1": unit * 2,
        "below 0": unit - 1,
        "grey levels as floats": X.astype(float),
        "int64": X.astype(np.int64),
        "uint16": X.astype(np.uint16),
        "bool": X > 3,
        "complex": unit.astype(complex),
        "text": X.astype(str),
        "objects": X.astype(object),
        "pictures": X.reshape(6, 3, 3),
        "one sample": X[0],
        "a number": 0.5,
        "no sample": X[:0],
        "no pixel": X[:, :0],
        "ragged": [[0.1, 0.2], [0.3]],
        "nothing": None,
    }


@pytest.mark.parametrize("what", list(bad_arrays()))
def test_unusable_arrays_are_refused_everywhere(kind, what) -> None:
    X, T = pairs(kind)
    bad = bad_arrays()[what]
    model = estimator_class(kind)()
    with pytest.raises(InvalidArrayError, match="X "):
        model.fit(bad, T)
    with pytest.raises(InvalidArrayError, match="T "):
        model.fit(X, bad)
    with pytest.raises(ValueError, match="X "):  # InvalidArrayError is one
        fitted(kind).predict(bad)


def test_arrays_that_do_not_fit_each_other_are_refused(kind) -> None:
    X, T = pairs(kind)
    model = estimator_class(kind)()
    with pytest.raises(InvalidArrayError, match="6 samples but T has 5"):
        model.fit(X, T[:5])
    if kind != "full":
        with pytest.raises(InvalidArrayError, match="alike"):
            model.fit(X, T[:, :4])
    model.fit(X, T)
    with pytest.raises(InvalidArrayError, match=f"fitted on {width(kind)}"):
        model.predict(X[:, :4])


def test_repr_can_be_evaluated(kind) -> None:
    cls = estimator_class(kind)
    model = cls(**NON_DEFAULT[kind])
    again = eval(repr(model), {cls.__name__: cls})
    assert again.get_params() == model.get_params()


def test_fitted_models_survive_pickling(kind) -> None:
    # As scikit-learn's joblib needs; model files are never pickles.
    X, T = pairs(kind)
    model = estimator_class(kind)().fit(X, T)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))


def test_names_lead_to_classes() -> None:
    names = ["PixelRidge", "PixelKernelRidge", "MaskedRidge", "SparseFieldRidge"]
    names += ["FullRidge", "FlowRidge"]
    assert [estimator_class(kind).__name__ for kind in NON_DEFAULT] == names
    for name in names:
        assert getattr(regression, name).__name__ == name
    with pytest.raises(UnknownNameError, match=r"'svm'.*rr, kr, mr, lsrf, full"):
        estimator_class("svm")
    with pytest.raises(AttributeError):
        _ = regression.Nothing
