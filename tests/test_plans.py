"""Plans: checked, frozen, and equal to the estimators that made them.

`test_backends` holds what backends make of plans against this reference.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from functools import cache
from typing import Any

import numpy as np
import pytest

from pixelreg.errors import InvalidArrayError, UnknownNameError
from pixelreg.models.plans import (
    PLAN_CLASSES,
    AffinePlan,
    Change,
    FactoredPlan,
    KernelPlan,
    Plan,
    SparsePlan,
    plan_class,
)
from pixelreg.regression import (
    FullRidge,
    MaskedRidge,
    PixelKernelRidge,
    PixelRidge,
    SparseFieldRidge,
)

SHAPE = (6, 6, 3)
MAKERS = {
    "rr": lambda: PixelRidge(),
    "rr-identity": lambda: PixelRidge(2.0, "identity"),
    "kr-levels-0.1": lambda: PixelKernelRidge(0.01, 0.1),
    "kr-levels-3": lambda: PixelKernelRidge(),
    "kr-dense": lambda: PixelKernelRidge(0.4, 0.3, "dense"),
    "mr-1": lambda: MaskedRidge(receptive_field=1),
    "mr-3": lambda: MaskedRidge(),
    "lsrf-5": lambda: SparseFieldRidge(),
    "mr-7": lambda: MaskedRidge(receptive_field=7),
    "full-dual": lambda: FullRidge(),
    "full-primal": lambda: FullRidge(),
}
makers = pytest.mark.parametrize("name", MAKERS)


@cache
def fitted(name: str) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(8)
    samples = int(np.prod(SHAPE)) + 5 if name == "full-primal" else 20
    X = rng.integers(0, 256, (samples, *SHAPE), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-50, 51, X.shape), 0, 255).astype(np.uint8)
    flat = (X.reshape(samples, -1), T.reshape(samples, -1))
    return MAKERS[name]().fit(*flat), X


@makers
def test_plans_predict_what_their_estimators_predict(name) -> None:
    model, X = fitted(name)
    plan = model.to_plan(SHAPE)
    expected = model.predict(X.reshape(len(X), -1)).reshape(X.shape)
    batch = plan.predict(X)
    assert batch.dtype == np.float32
    assert batch.shape == X.shape
    # float32 keeps 24 bits of numbers up to 1 or so, summed a few hundred times at most.
    np.testing.assert_allclose(batch, expected, rtol=0, atol=2e-5)
    for picture, prediction in zip(X, batch, strict=True):
        np.testing.assert_allclose(plan.predict(picture), prediction, atol=2e-6)
    grid = plan.predict(X[:20].reshape(4, 5, *SHAPE))
    np.testing.assert_allclose(grid.reshape(20, *SHAPE), batch[:20], atol=2e-6)
    for dtype in (np.float32, np.float64):
        found = plan.predict((X / 255).astype(dtype))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, batch, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["kr-levels-0.1", "kr-levels-3", "kr-dense"])
def test_kernel_plans_interpolate_between_grey_levels(name) -> None:
    model, X = fitted(name)
    plan, between = model.to_plan(SHAPE), np.random.default_rng(1).random(X.shape)
    expected = model.predict(between.reshape(len(X), -1)).reshape(X.shape)
    # An eighth of a grey level.
    np.testing.assert_allclose(plan.predict(between), expected, rtol=0, atol=5e-4)
    ends = np.stack([np.zeros(SHAPE), np.ones(SHAPE)])
    exact = plan.predict((ends * 255).astype(np.uint8))
    np.testing.assert_allclose(plan.predict(ends), exact, atol=1e-5)


@makers
def test_strength_goes_from_the_input_to_the_prediction(name) -> None:
    model, X = fitted(name)
    plan = model.to_plan(SHAPE)
    assert plan.apply(X, 0.0).tobytes() == X.tobytes()
    y = model.predict(X.reshape(len(X), -1)).reshape(X.shape) * 255
    for strength in (0.5, 1.0, 1.5, -0.5):
        expected = np.clip(X + strength * (y - X), 0, 255)
        found = plan.apply(X, strength)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.5 + 1e-2
    assert np.array_equal(plan.apply(X[0], 0.5), plan.apply(X, 0.5)[0])


def test_strength_zero_is_bit_identical_for_every_byte() -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    plan = AffinePlan(np.full(ramp.shape, -3.7, np.float32), np.full(ramp.shape, 2, np.float32))
    assert np.array_equal(plan.apply(ramp, 0.0), ramp)
    same = AffinePlan(np.ones(ramp.shape, np.float32), np.zeros(ramp.shape, np.float32))
    assert np.array_equal(same.apply(ramp, 1.0), ramp)


@makers
def test_change_is_prediction_less_input(name) -> None:
    model, X = fitted(name)
    plan = model.to_plan(SHAPE)
    change = plan.change(X[0])
    assert change.displacement is None
    assert change.colour.dtype == np.float32
    np.testing.assert_allclose(change.colour, plan.predict(X[0]) - X[0] / 255, atol=1e-6)


def test_masking_scales_a_change() -> None:
    rng = np.random.default_rng(0)
    colour, moves = rng.random((4, 4, 3), np.float32), rng.random((4, 4, 2), np.float32)
    mask = rng.random((4, 4), np.float32)
    masked = Change(colour, moves).masked(mask)
    assert np.array_equal(masked.colour, colour * mask[..., None])
    assert np.array_equal(masked.displacement, moves * mask[..., None])
    assert Change(colour).masked(mask).displacement is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 1), (3, 3, 3), (2, 16, 1)])
@pytest.mark.parametrize("field", [1, 3, 15])
def test_patches_may_be_larger_than_the_picture(field, shape) -> None:
    rng = np.random.default_rng(2)
    X = rng.integers(0, 256, (8, *shape), dtype=np.uint8)
    flat = X.reshape(8, -1)
    model = MaskedRidge(receptive_field=field, shape=shape).fit(flat, flat[::-1])
    found = model.to_plan(shape).predict(X)
    np.testing.assert_allclose(found.reshape(8, -1), model.predict(flat), rtol=0, atol=2e-5)


def f32(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


GOOD = {
    AffinePlan: {"weight": f32(4, 4, 3), "bias": f32(4, 4, 3)},
    KernelPlan: {"table": f32(256, 5), "coefficients": f32(4, 4, 3, 5)},
    SparsePlan: {
        "offsets": np.zeros((9, 2), np.int8),
        "weights": f32(9, 4, 4, 3),
        "bias": f32(4, 4, 3),
    },
    FactoredPlan: {"basis": f32(7, 48), "coefficients": f32(7, 4, 4, 3)},
}
PARAMETERS = {AffinePlan: 96, KernelPlan: 256 * 5 + 240, SparsePlan: 480, FactoredPlan: 672}
classes = pytest.mark.parametrize("cls", GOOD)


@classes
def test_plans_know_their_kind_shape_and_size(cls) -> None:
    plan = cls.from_tensors(GOOD[cls])
    assert plan_class(plan.kind) is cls
    assert plan.shape == (4, 4, 3)
    assert plan.parameters == PARAMETERS[cls]
    assert set(plan.tensors()) == set(GOOD[cls])


@classes
def test_plans_are_frozen_and_leave_the_callers_arrays_alone(cls) -> None:
    given = {name: array.copy() for name, array in GOOD[cls].items()}
    plan = cls.from_tensors(given)
    for name, array in plan.tensors().items():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
        with pytest.raises(FrozenInstanceError):
            setattr(plan, name, array)
        given[name][...] = 0  # still writeable


@classes
def test_plans_refuse_missing_unknown_and_misshapen_arrays(cls) -> None:
    good = GOOD[cls]
    for name in good:
        others = {key: array for key, array in good.items() if key != name}
        with pytest.raises(InvalidArrayError, match="must have"):
            cls.from_tensors(others)
        array = good[name]
        for wrong in (array[..., None], array[0], array[..., :-1], array.ravel()):
            with pytest.raises(InvalidArrayError, match="its arrays are"):
                cls.from_tensors({**others, name: wrong})
        for wrong in (array.astype(np.float64), array.astype(np.int64)):
            with pytest.raises(InvalidArrayError, match="must be"):
                cls.from_tensors({**others, name: wrong})
        for wrong in (None, [1.0], 3.0, array.tolist()):
            with pytest.raises(InvalidArrayError, match=f"{name} is not an array"):
                cls.from_tensors({**others, name: wrong})
        wrong_type = np.float32 if name == "offsets" else np.int8
        with pytest.raises(InvalidArrayError, match="must be"):
            cls.from_tensors({**others, name: array.astype(wrong_type)})
    with pytest.raises(InvalidArrayError, match="must have"):
        cls.from_tensors({**good, "extra": f32(1)})


@classes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_plans_refuse_values_that_are_not_finite(cls, value) -> None:
    for name, array in GOOD[cls].items():
        if name == "offsets":
            continue
        bad = array.copy()
        bad[(-1,) * bad.ndim] = value
        with pytest.raises(InvalidArrayError, match=f"{name} holds NaN"):
            cls.from_tensors({**GOOD[cls], name: bad})


def test_every_kind_of_plan_is_listed_once() -> None:
    assert set(GOOD) <= set(PLAN_CLASSES.values())
    assert all(issubclass(cls, Plan) and cls.kind == kind for kind, cls in PLAN_CLASSES.items())
    with pytest.raises(UnknownNameError, match="affine, kernel"):
        plan_class("deep")
