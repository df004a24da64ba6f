"""One contract for every backend: sums and solvers against NumPy and scikit-learn, plans against
what they compute themselves. Integers agree to the bit, floats to 1e-6.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu import stand_in
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from pixelreg.backends import BACKENDS, EXTRAS, NUMBA_WORK, get_backend, plan_work
from pixelreg.backends.array import ArrayBackend
from pixelreg.errors import InvalidArrayError, MissingExtraError, UnknownNameError
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan, FactoredPlan, FlowPlan, KernelPlan, Plan, SparsePlan
from pixelreg.models.sums import LevelSums, PixelSums
from pixelreg.regression import FlowRidge, PixelKernelRidge, PixelRidge
from pixelreg.regression.kernel import level_features
from pixelreg.translator import PlanTranslator

NUMPY = get_backend("numpy")
KINDS = ("numpy", "array mathematics", "numba", "cupy", "cupy's kernels on the CPU")


class ArrayMathematics(ArrayBackend):
    """What CuPy inherits, with NumPy's arrays."""

    name = "array"
    xp = np


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> ArrayBackend:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to run the CUDA kernels with")
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", stand_in(compiler, folder))
        patch.delitem(sys.modules, "pixelreg.backends.cupy", raising=False)
        backend = get_backend("cupy")
        sys.modules.pop("pixelreg.backends.cupy")
    return backend


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ArrayBackend:
    if request.param == "array mathematics":
        return ArrayMathematics()
    if request.param == "cupy's kernels on the CPU":
        found: ArrayBackend = request.getfixturevalue("on_cpu")
        return found
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "numba":
        monkeypatch.setattr("pixelreg.backends.numba.THREAD_NUMBERS", 50)
        return get_backend("numba", threads=3)
    return get_backend(request.param)


def stack(samples: int, pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (samples, pixels), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)
    X[:, 0] = 255
    X[:, -1] //= 64  # few levels
    return X, T


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize(
    ("samples", "pixels"), [(1, 1), (2, 3), (3, 200), (4, 2048), (5, 2049), (9, 5000)]
)
def test_sums_are_equal_to_the_bit(backend, samples, pixels) -> None:
    X, T = stack(samples, pixels)
    found = backend.to_host(backend.pixel_sums(X, T))
    x, t = X.astype(np.int64), T.astype(np.int64)
    expected = {"x": x.sum(0), "xx": (x * x).sum(0), "t": t.sum(0), "xt": (x * t).sum(0)}
    assert isinstance(found, PixelSums)
    assert found.count == samples
    for name, values in expected.items():
        array = getattr(found, name)
        assert array.dtype == np.int64
        assert np.array_equal(array, values), name


def test_sums_do_not_overflow(backend) -> None:
    samples = 2 * 65_536 + 7  # 255^2 times 66,052 is more than 32 bits hold
    X = np.full((samples, 2), 255, np.uint8)
    found = backend.to_host(backend.pixel_sums(X, X))
    assert found.xx.tolist() == found.xt.tolist() == [samples * 65_025] * 2


def test_sums_of_floats_agree(backend) -> None:
    X, T = (side / 255 for side in stack(7, 50))
    found = backend.to_host(backend.pixel_sums(X, T))
    expected = {"x": X.sum(0), "xx": (X * X).sum(0), "t": T.sum(0), "xt": (X * T).sum(0)}
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-12)


@pytest.mark.parametrize(("samples", "pixels"), [(1, 1), (3, 63), (5, 64), (6, 300), (2500, 5)])
def test_histograms_are_equal_to_the_bit(backend, samples, pixels) -> None:
    X, T = stack(samples, pixels)
    inputs, targets = (np.zeros((pixels, 256), np.uint32) for _ in range(2))
    place = np.broadcast_to(np.arange(pixels), X.shape)
    np.add.at(inputs, (place, X), 1)
    np.add.at(targets, (place, X), T)
    sums = backend.to_host(backend.level_sums(X, T))
    assert isinstance(sums, LevelSums)
    assert sums.count == samples
    assert sums.inputs.dtype == sums.targets.dtype == np.uint32
    assert np.array_equal(sums.inputs, inputs)
    assert np.array_equal(sums.targets, targets)


def test_sums_add_where_they_were_computed(backend) -> None:
    X, T = stack(9, 70)
    for name in ("pixel_sums", "level_sums"):
        sums = getattr(backend, name)
        whole = backend.to_host(sums(X, T))
        parts = backend.to_device(backend.to_host(sums(X[:4], T[:4]))) + sums(X[4:], T[4:])
        for field, array in vars(backend.to_host(parts)).items():
            assert np.array_equal(array, getattr(whole, field))


# ---------------------------------------------------------------- solves


def hard(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that are hard to solve: constant, nearly so, binary, of few levels, duplicated."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (samples, 9), dtype=np.uint8)
    X[:, 0] = 133
    X[:, 1] = np.where(np.arange(samples), 100, 101)
    X[:, 2] = rng.integers(0, 2, samples) * 255
    X[:, 3] = rng.integers(120, 140, samples)
    X[:, 4] = X[:, 5]
    X[samples // 2 :, 6] = X[: samples - samples // 2, 6]  # every sample twice
    return X, np.clip(X.astype(int) + rng.integers(-60, 61, X.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("samples", [1, 2, 80])
@pytest.mark.parametrize("alpha", [1e-3, 0.4, 50.0])
@pytest.mark.parametrize("identity", [False, True])
def test_ridge_is_scikit_learns(backend, identity, alpha, samples) -> None:
    X, T = hard(samples)
    for scale in (1, 255):
        sums = backend.pixel_sums(*((side / scale if scale > 1 else side) for side in (X, T)))
        w, b = map(backend.to_host, backend.solve_ridge(sums, alpha, identity))
        for p in range(X.shape[1]):
            # Eq. 3 penalises the bias as well, so it is a weight on a column of ones.
            design = np.column_stack([X[:, p] / 255, np.ones(samples)])
            wanted = (T[:, p] - float(identity) * X[:, p]) / 255
            theirs = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky")
            weight, bias = theirs.fit(design, wanted).coef_
            assert w[p] == pytest.approx(weight + float(identity), rel=1e-8, abs=1e-8), p
            assert b[p] == pytest.approx(bias, rel=1e-8, abs=1e-8), p


LEVELS = np.arange(0, 256, 5) / 255


@cache
def kernel_ridge(alpha: float, sigma: float, samples: int) -> np.ndarray:
    """What scikit-learn predicts at `LEVELS` from `hard` pixels, (n_levels, n_pixels)."""
    model = KernelRidge(kernel="rbf", gamma=1 / (2 * sigma**2), alpha=alpha)
    pixels = zip(*(side.T / 255 for side in hard(samples)), strict=True)
    return np.stack([model.fit(x[:, None], t).predict(LEVELS[:, None]) for x, t in pixels], axis=1)


@pytest.mark.parametrize("samples", [1, 2, 120])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("alpha", [0.01, 0.4, 4.0])
def test_kernel_solvers_are_scikit_learns(backend, alpha, sigma, samples) -> None:
    X, T = hard(samples)
    x, t = X / 255, T / 255
    features = level_features(sigma)
    found = backend.to_host(backend.solve_levels(backend.level_sums(X, T), features.table, alpha))
    dual = backend.solve_dense(x, t, sigma, alpha)
    new = np.repeat(LEVELS[:, None], X.shape[1], axis=1)
    dense = backend.to_host(backend.predict_dense(new, x, dual, sigma))
    for curves in (features.table[::5] @ found.T, dense):
        np.testing.assert_allclose(curves, kernel_ridge(alpha, sigma, samples), rtol=0, atol=1e-8)


def test_levels_survive_an_alpha_below_rounding(backend) -> None:
    X = np.repeat(np.array([[10], [10], [10], [200]], np.uint8), 3, axis=1)
    T = np.repeat(np.array([[20], [30], [40], [100]], np.uint8), 3, axis=1)
    features = level_features(0.1)
    found = backend.to_host(backend.solve_levels(backend.level_sums(X, T), features.table, 1e-17))
    told = 255 * features.table[[10, 200]] @ found.T
    np.testing.assert_allclose(told, [[30] * 3, [100] * 3], atol=1e-5)


# ---------------------------------------------------------------- plans

SHAPE = (37, 53, 3)


def plans() -> dict[str, Plan]:
    rng = np.random.default_rng(3)

    def near(mean: float, spread: float, *shape: int) -> np.ndarray:
        return rng.normal(mean, spread, shape).astype(np.float32)

    steps = [(i, j) for i in (-2, 0, 1) for j in (-1, 0, 3)] + [(-128, 0), (0, 127)]
    moves = near(0, 3, *SHAPE[:2], 2)
    moves[:5] = moves[:, -9:] = 0  # some stand still
    weight, bias = near(0.1, 0.2, *SHAPE), near(0, 0.1, *SHAPE)
    weight[-4:], bias[-4:] = 0, 0
    return {
        "affine": AffinePlan(near(0.7, 0.3, *SHAPE), near(0.1, 0.2, *SHAPE)),
        "kernel": KernelPlan(near(0.3, 0.3, 256, 6), near(0.3, 0.3, *SHAPE, 6)),
        "sparse": SparsePlan(
            np.array(steps, np.int8), near(0.08, 0.05, 11, *SHAPE), near(0.1, 0.1, *SHAPE)
        ),
        "factored": FactoredPlan(
            near(0, 0.01, 5, SHAPE[0] * SHAPE[1] * 3), near(0, 0.3, 5, *SHAPE)
        ),
        "flow": FlowPlan(moves, weight, bias, np.array([1.7], np.float32)),
        "sharp flow": FlowPlan(moves * 30, weight, bias, np.array([0.0], np.float32)),
    }


PLANS = plans()
every_plan = pytest.mark.parametrize("name", PLANS)


def pictures(count: int = 4) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@every_plan
def test_predictions_agree(backend, name) -> None:
    plan, batch = PLANS[name], pictures()
    for given in (batch, batch[0], batch.reshape(2, 2, *SHAPE), batch / 255, batch[:, ::1]):
        found = backend.predict(plan, given)
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, NUMPY.predict(plan, given), rtol=1e-6, atol=2e-6)


@every_plan
@pytest.mark.parametrize("strength", [1.0, 0.6, -0.5, 2.0])
def test_bytes_agree(backend, name, strength) -> None:
    plan, batch = PLANS[name], pictures()
    reference = NUMPY.apply(plan, batch, strength).astype(int)
    found = backend.apply(plan, batch, strength)
    assert found.dtype == np.uint8
    difference = np.abs(found - reference)
    assert difference.max() <= 1
    # A value that comes to lie on half a grey level may round either way.
    assert np.count_nonzero(difference) <= max(2, 1e-4 * difference.size)
    grid = backend.apply(backend.load(plan), batch.reshape(2, 2, *SHAPE), strength)
    assert np.array_equal(grid.reshape(found.shape), found)
    # BLAS adds in another order when there are fewer rows.
    most = 1 if name == "factored" else 0
    assert np.abs(backend.apply(plan, batch[1], strength) - found[1].astype(int)).max() <= most
    assert np.abs(backend.apply(plan, batch[::2], strength) - found[::2].astype(int)).max() <= most


@every_plan
def test_strength_zero_changes_no_bit(backend, name) -> None:
    assert np.array_equal(backend.apply(PLANS[name], pictures(), 0.0), pictures())


@every_plan
def test_changes_agree(backend, name) -> None:
    plan, picture = PLANS[name], pictures()[0]
    for given in (picture, picture / 255):
        found, reference = backend.change(plan, given), NUMPY.change(plan, given)
        assert isinstance(found.colour, np.ndarray)
        np.testing.assert_allclose(found.colour, reference.colour, rtol=1e-6, atol=2e-6)
        if reference.displacement is None:
            assert found.displacement is None
        else:
            assert np.array_equal(found.displacement, reference.displacement)


@pytest.mark.parametrize("reach", [2, 40])
@pytest.mark.parametrize("whole", [False, True])
def test_flows_of_one_channel_and_tiny_pictures_agree(backend, reach, whole) -> None:
    rng = np.random.default_rng(0)
    for shape in ((40, 30, 3), (9, 12, 1), (1, 1, 3), (2, 300, 3), (5, 3, 4)):
        moves, fields = rng.normal(0, reach, (*shape[:2], 2)), rng.normal(0, 0.2, (2, *shape))
        if whole:
            moves = np.rint(moves)
        arrays = (array.astype(np.float32) for array in (moves, *fields))
        plan = FlowPlan(*arrays, np.array([2.0], np.float32))
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
        found, reference = backend.apply(plan, picture), NUMPY.apply(plan, picture)
        assert np.abs(found.astype(int) - reference).max() <= 1, shape
        colours = [each.change(plan, picture).colour for each in (backend, NUMPY)]
        np.testing.assert_allclose(*colours, rtol=0, atol=4e-6)


@every_plan
def test_misfits_are_refused(backend, name) -> None:
    plan, batch = PLANS[name], pictures()
    nan = batch / 255
    nan[1, 2, 0] = np.nan
    flat = batch.reshape(len(batch), -1)
    for bad in (batch[:, :-1], batch[..., :1], flat, batch.astype(np.int32), batch / 100, nan):
        with pytest.raises(InvalidArrayError):
            backend.predict(plan, bad)
    with pytest.raises(InvalidArrayError, match="uint8"):
        backend.apply(plan, batch / 255)


def test_one_thread_and_many_give_the_same(monkeypatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr("pixelreg.backends.numba.THREAD_NUMBERS", 50)
    X, T = stack(9, 5000)
    one, many = (get_backend("numba", threads=count) for count in (1, 7))
    for name in ("pixel_sums", "level_sums"):
        first, second = (getattr(backend, name)(X, T) for backend in (one, many))
        for field, array in vars(first).items():
            assert np.array_equal(array, getattr(second, field))
    for name, plan in PLANS.items():
        made = [backend.apply(plan, pictures(), 0.7) for backend in (one, many)]
        assert np.array_equal(*made), name


# ---------------------------------------------------------------- choice


def test_plans_may_lie_in_memory_in_any_order(backend) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    weight, bias = (np.asfortranarray(rng.random((6, 5, 3), np.float32)) for _ in range(2))
    plan = AffinePlan(weight, bias)
    made = backend.apply(plan, pictures).astype(int)
    expected = np.clip(np.rint(255 * (pictures / 255 * weight + bias)), 0, 255)
    assert np.abs(made - expected).max() <= 1


def test_auto_goes_by_the_work(monkeypatch) -> None:
    import pixelreg.backends as backends

    assert get_backend().name == get_backend("auto", NUMBA_WORK - 1).name == "numpy"
    with_numba = "numba" if find_spec("numba") else "numpy"
    assert get_backend("auto", NUMBA_WORK).name == with_numba
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert get_backend("auto", NUMBA_WORK).name == "numpy"
    for plan in PLANS.values():
        assert 0 < plan_work(plan) < NUMBA_WORK  # one picture is never worth half a second
        assert plan_work(plan, 10) == 10 * plan_work(plan)


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
@pytest.mark.parametrize("moving", [(0, 20), (30, 61), (0, 0), (69, 70)])
@pytest.mark.parametrize("changing", [(40, 69), (0, 70), (0, 0), (10, 35)])
def test_what_moves_and_what_changes_may_lie_apart(moving, changing) -> None:
    rng = np.random.default_rng(0)
    flow, weight, bias = (np.zeros((40, 70, n), np.float32) for n in (2, 3, 3))
    flow[5:30, slice(*moving)] = rng.uniform(-6, 6, flow[5:30, slice(*moving)].shape)
    weight[12:40, slice(*changing)] = 0.3
    bias[0:20, slice(*changing)] = 0.11
    plan = FlowPlan(flow, weight, bias, np.array([1.5], np.float32))
    picture = rng.integers(0, 256, plan.shape, dtype=np.uint8)
    for strength in (1.0, -0.4):
        made, wanted = (get_backend(n).apply(plan, picture, strength) for n in ("numba", "numpy"))
        assert np.abs(made.astype(int) - wanted).max() <= 1
        untouched = ~flow.any(2) & ~weight.any(2) & ~bias.any(2)
        assert np.array_equal(made[untouched], picture[untouched])
        assert (made != wanted).mean() < 0.001


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
@pytest.mark.parametrize("estimator", [PixelRidge, PixelKernelRidge])
def test_what_is_imported_changes_the_time_of_a_fit_and_no_bit(estimator, monkeypatch) -> None:
    import pixelreg.backends as backends

    X, T = stack(300, 48 * 48 * 3)
    sums: dict[str, str] = {}
    for state in ("numpy", "numba"):
        if state == "numpy":
            monkeypatch.delitem(sys.modules, "pixelreg.backends.numba", raising=False)
        else:
            get_backend("numba")
        assert get_backend("auto", backends.LOADED_WORK, exact=True).name == state
        assert get_backend("auto", backends.LOADED_WORK).name == "numpy"
        sums[state] = estimator().fit(X, T).coef_.tobytes()
    assert sums["numpy"] == sums["numba"]


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
def test_loops_of_the_same_bits_come_with_many_pictures(monkeypatch) -> None:
    from pixelreg.backends import exact_loops, load_for

    monkeypatch.delitem(sys.modules, "pixelreg.backends.loops_faces", raising=False)
    load_for(1)
    assert exact_loops() is exact_loops("numpy") is None  # half a second for one would be lost
    load_for(1000)
    assert exact_loops() is exact_loops("numba") is not None
    assert exact_loops("numpy") is None


def test_sums_of_many_pictures_do_not_overflow() -> None:
    X, T = (np.full((70_000, 3), 255, np.uint8) for _ in range(2))
    found = get_backend("numpy").pixel_sums(X, T)
    assert found.x.tolist() == found.t.tolist() == [70_000 * 255] * 3
    assert found.xx.tolist() == found.xt.tolist() == [70_000 * 255**2] * 3


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'abacus'.*auto, numpy, numba, cupy"):
        get_backend("abacus")
    X, T = stack(3, 4)
    for estimator in (PixelRidge, PixelKernelRidge):
        with pytest.raises(UnknownNameError, match="abacus"):
            estimator(backend="abacus").fit(X, T)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_backend_names_its_extra(name, monkeypatch) -> None:
    for module in ("numba", "cupy", f"pixelreg.backends.{name}", "pixelreg.backends.loops"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    package, extra = EXTRAS[name]
    with pytest.raises(MissingExtraError, match=rf"{package}.*pixelreg\[{extra}\]"):
        get_backend(name)
    X, T = stack(3, 4)
    with pytest.raises(MissingExtraError):
        PixelRidge(backend=name).fit(X, T)


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed")
def test_cupy_is_not_passed_over_in_silence() -> None:
    with pytest.raises(MissingExtraError, match=r"CuPy.*pixelreg\[gpu\]"):
        get_backend("cupy")


@pytest.mark.parametrize("name", [n for n in BACKENDS if n == "numpy" or find_spec(n)])
def test_estimators_show_and_use_their_backend(name) -> None:
    X, T = stack(12, 48)
    for cls in (PixelRidge, PixelKernelRidge):
        reference, model = cls(backend="numpy").fit(X, T), cls(backend=name, threads=1).fit(X, T)
        assert model.backend_ == name
        assert model.get_params()["backend"] == name
        np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-9, atol=1e-9)
        parts = cls(backend=name).partial_fit(X[:5], T[:5]).partial_fit(X[5:], T[5:])
        merged = cls(backend=name).fit(X[:5], T[:5]).merge(cls().fit(X[5:], T[5:]))
        for other in (parts, merged):
            assert np.array_equal(other.coef_, model.coef_)
            for field, array in vars(other.sums_).items():
                assert np.array_equal(array, getattr(reference.sums_, field))
    dense = PixelKernelRidge(solver="dense", backend=name).fit(X / 255, T / 255)
    assert dense.backend_ == name
    assert PixelRidge().fit(X, T).backend_ == "numpy"


def test_translators_show_and_use_their_backend() -> None:
    square = AffinePlan(*np.full((2, 8, 8, 3), 0.4, np.float32))
    model = Model({"happy": square})
    assert PlanTranslator(model).describe()["backend"] == "numpy"
    if find_spec("numba"):
        translator = PlanTranslator(model, backend="numba", threads=2)
        assert translator.describe()["backend"] == "numba"
        picture = np.full((8, 8, 3), 100, np.uint8)
        assert translator.run("happy", picture)[0, 0].tolist() == [142] * 3  # 40 + 102


def test_a_model_does_not_depend_on_what_computed_it() -> None:
    from pixelreg.fitting.recipe import Recipe

    for kind in ("rr", "kr", "flow"):
        recipe = Recipe(kind, backend="numpy", threads=3)
        assert not {"backend", "threads"} & set(recipe.parameters())
    assert Recipe("kr", backend="numpy", threads=3).estimator().threads == 3
    assert isinstance(Recipe("flow", backend="numpy").estimator(), FlowRidge)


def test_the_command_line_says_what_was_chosen(tmp_path, capfd) -> None:
    from PIL import Image

    from pixelreg.commands.main import main

    modelfile.save(
        Model({"happy": AffinePlan(*np.full((2, 8, 8, 3), 0.4, np.float32))}),
        tmp_path / "m.safetensors",
    )
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "in.png")
    call = ["apply", tmp_path / "in.png", "--expr", "happy", "--model", tmp_path / "m.safetensors"]
    call = [*map(str, call), "-o", str(tmp_path / "out.png"), "--no-align"]
    assert main([*call, "--verbose"]) == 0
    assert "backend: numpy" in capfd.readouterr().err
    if find_spec("numba"):
        assert main([*call, "--backend", "numba", "--threads", "2", "--verbose"]) == 0
        assert "backend: numba" in capfd.readouterr().err
        assert np.asarray(Image.open(tmp_path / "out.png"))[0, 0].tolist() == [142] * 3
    if find_spec("cupy") is None:
        assert main([*call, "--backend", "cupy"]) == 1
        assert "pixelreg[gpu]" in capfd.readouterr().err
    assert main([*call, "--backend", "abacus"]) == 2


# ---------------------------------------------------------------- the cache of compiled loops

APPLY = """
import numpy as np
from pixelreg.backends import get_backend
from pixelreg.backends.loops import apply_affine
from pixelreg.models.plans import AffinePlan
plan = AffinePlan(*np.full((2, 8, 8, 3), 0.4, np.float32))
made = get_backend("numba").apply(plan, np.full((8, 8, 3), 100, np.uint8))
assert made[0, 0].tolist() == [142] * 3
stats = apply_affine.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run_apply(root: Path, setup: str = "", **environment: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", setup + APPLY],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the package, whose own folder is a place for the cache as well."""
    pytest.importorskip("numba")
    source = Path(__file__).resolve().parents[1] / "pixelreg"
    kept = shutil.ignore_patterns("__pycache__", "*.safetensors", "data", "video")
    shutil.copytree(source, tmp_path / "root" / "pixelreg", ignore=kept)
    return tmp_path / "root"


def test_a_second_process_compiles_nothing(checkout) -> None:
    assert run_apply(checkout) == [0, 1]
    assert run_apply(checkout) == [1, 0]


def test_nothing_fails_where_no_folder_can_be_written_to(checkout, tmp_path) -> None:
    file = tmp_path / "a file"
    file.touch()
    (checkout / "pixelreg" / "backends" / "__pycache__").touch()
    nowhere = str(file / "below")
    places = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "IPYTHONDIR")
    for _ in range(2):
        assert run_apply(checkout, **dict.fromkeys(places, nowhere))[0] == 0


def test_nothing_fails_on_a_full_disk(checkout) -> None:
    pytest.importorskip("resource")
    full = (
        "import resource, signal, sys; sys.dont_write_bytecode = True\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    )
    for _ in range(2):
        assert run_apply(checkout, full)[0] == 0


def test_nothing_fails_on_a_damaged_cache(checkout) -> None:
    run_apply(checkout)
    files = [f for end in ("nbi", "nbc") for f in checkout.rglob(f"*.{end}")]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:50])
    assert run_apply(checkout)[0] == 0
