"""FlowRidge on pictures whose true motion and change of colour are known."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pixelreg.backends import get_backend
from pixelreg.errors import InvalidArrayError, MissingExtraError, UsageError
from pixelreg.faces.align import UNMOVED
from pixelreg.faces.paste import RADII, face_mask, paste_change
from pixelreg.regression import flow
from pixelreg.regression.flow import FlowRidge

SIZE = 64
SHAPE = (SIZE, SIZE, 3)
PLAIN = {"opening": 0.0, "amount": 0.0, "gain": 1.0}  # the mean flow, as it is


@pytest.fixture(scope="module")
def opencv() -> None:
    """For tests that fit."""
    pytest.importorskip("cv2", reason="fitting a flow needs OpenCV, which the extra 'align' brings")


def bump(x: float, y: float, width: float) -> np.ndarray:
    """(S, S): a Gaussian around (x, y), all in fractions of the crop."""
    centres = (np.arange(SIZE) + 0.5) / SIZE
    return np.exp(-((centres[None, :] - x) ** 2 + (centres[:, None] - y) ** 2) / (2 * width**2))


def motion(pixels: float = 2.0) -> np.ndarray:
    """(S, S, 2): where each output pixel comes from when the mouth's corners go up and out."""
    left, right = bump(0.38, 0.68, 0.09), bump(0.62, 0.68, 0.09)
    return pixels * np.stack([0.7 * (left - right), left + right], axis=-1)


def tint() -> np.ndarray:
    """(S, S, 3): a small change of colour on both cheeks."""
    cheeks = bump(0.4, 0.55, 0.08) + bump(0.6, 0.55, 0.08)
    return cheeks[..., None] * np.array([0.06, -0.01, -0.04])


def textures(count: int, seed: int = 0) -> np.ndarray:
    """(N, S, S, 3) in [0.2, 0.8]: smooth noise with something to follow everywhere."""
    rng = np.random.default_rng(seed)
    fields = np.stack(
        [ndimage.gaussian_filter(rng.standard_normal((count, *SHAPE)), (0, s, s, 0.7))
         / (0.28 / s) for s in (1.2, 4.0)]
    ).sum(axis=0)  # fmt: skip
    return 0.5 + 0.3 * np.tanh(0.8 * fields)


def moved(pictures: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Every picture fetched from p + d(p), by SciPy's cubic spline."""
    rows, columns = np.indices((SIZE, SIZE))
    where = [rows + displacement[..., 1], columns + displacement[..., 0]]
    return np.stack(
        [
            np.stack(
                [
                    ndimage.map_coordinates(picture[..., c], where, order=3, mode="nearest")
                    for c in range(3)
                ],
                axis=-1,
            )
            for picture in pictures
        ]
    )


@cache
def pairs(count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pixels, uint8: inputs, and the same moved and tinted."""
    x = textures(count)
    t = moved(x, motion()) + tint()
    return as_rows(x), as_rows(t)


def as_rows(pictures: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(pictures, 0, 1)).astype(np.uint8).reshape(len(pictures), -1)


@pytest.fixture(scope="module")
def fitted(opencv: None) -> FlowRidge:
    return FlowRidge(alpha=0.01, **PLAIN).fit(*pairs())


@pytest.fixture(scope="module")
def default(opencv: None) -> FlowRidge:
    return FlowRidge().fit(*pairs())


def inner(share: float = 1.0) -> np.ndarray:
    """(S, S) bool: where the face's mask is at least ``share``."""
    return face_mask(SIZE) >= share


# ---------------------------------------------------------------- what is learnt


def test_the_motion_is_recovered(fitted: FlowRidge) -> None:
    truth = motion()
    error = np.linalg.norm(fitted.displacement_ - truth, axis=-1)
    assert np.linalg.norm(truth, axis=-1).max() > 2
    assert error[inner()].max() < 0.3
    assert error[inner()].mean() < 0.05
    share = (fitted.displacement_ * truth)[inner()].sum() / (truth**2)[inner()].sum()
    assert 0.93 < share < 1.03
    # Where the mask falls, so does the motion.
    masked = np.linalg.norm(fitted.displacement_ - truth * face_mask(SIZE)[..., None], axis=-1)
    assert masked.max() < 0.3


def test_the_change_of_colour_is_recovered(fitted: FlowRidge) -> None:
    unseen = textures(12, seed=9)
    truth = moved(unseen, motion()) + tint()
    made = fitted.predict(as_rows(unseen)).reshape(-1, *SHAPE)
    mask = face_mask(SIZE, flow.CHANGE_RADII)
    here = (mask >= 1) & (np.abs(tint()).max(axis=-1) > 0.02)
    change = (made - moved(unseen, fitted.displacement_)).mean(axis=0)
    assert np.abs(change - tint())[here].mean() < 0.007
    assert np.abs(tint()[here]).mean() > 0.02
    # So people who were not learnt from come out almost as they should.
    before = np.abs(unseen - truth)[:, inner()].mean()
    assert np.abs(made - truth)[:, inner()].mean() < 0.35 * before


def test_a_larger_penalty_shrinks_the_change_towards_none(opencv: None) -> None:
    sizes = [
        np.abs(FlowRidge(alpha, **PLAIN).fit(*pairs()).to_plan(SHAPE).bias).sum()
        + np.abs(FlowRidge(alpha, **PLAIN).fit(*pairs()).to_plan(SHAPE).weight).sum()
        for alpha in (0.01, 10.0, 1e6)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 100 * sizes[2]


def test_the_gain_draws_the_mouth_out_and_nothing_else(fitted: FlowRidge) -> None:
    drawn = FlowRidge(alpha=0.01, **{**PLAIN, "gain": 1.4}).fit(*pairs()).displacement_
    row, column = int(0.7 * SIZE), SIZE // 2
    mouth = np.s_[row - 2 : row + 2, column - 3 : column + 3]
    np.testing.assert_allclose(drawn[mouth], 1.4 * fitted.displacement_[mouth], rtol=1e-9)
    brows = np.s_[: int(0.35 * SIZE)]
    np.testing.assert_allclose(drawn[brows], fitted.displacement_[brows], rtol=0.01)


def test_a_stronger_style_moves_the_corners_more(opencv: None) -> None:
    """Half of the people move by 1 pixel, half by 3: one standard deviation is one pixel."""
    x = textures(24, seed=4)
    amounts = np.tile([1.0, 3.0], 12)
    t = np.concatenate(
        [moved(picture[None], motion(a)) for picture, a in zip(x, amounts, strict=True)]
    )
    rows = as_rows(x), as_rows(t)
    mean, more, less = (
        FlowRidge(0.01, opening=0.0, amount=a, gain=1.0).fit(*rows).displacement_
        for a in (0, 1, -1)
    )
    corner = np.s_[int(0.68 * SIZE), int(0.38 * SIZE), 1]
    assert mean[corner] == pytest.approx(2, abs=0.3)
    # Ridge regression shrinks the effect by 2 N / (2 N + penalty).
    shrunk = 48 / (48 + 2 * flow.STYLE_RIDGE)
    assert more[corner] - mean[corner] == pytest.approx(shrunk, abs=0.25)
    np.testing.assert_allclose(more - mean, mean - less, atol=1e-9)


# ---------------------------------------------------------------- the mathematics


def random_flows(people: int = 7) -> np.ndarray:
    """(2 N, S, S, 2): flows and their mirror images."""
    flows = np.random.default_rng(1).standard_normal((people, SIZE, SIZE, 2))
    flows = ndimage.gaussian_filter(flows, (0, 2, 2, 0)) + motion()
    return np.concatenate([flows, flows[:, :, ::-1] * [-1.0, 1.0]])


def test_left_out_flows_are_those_of_refits() -> None:
    flows = random_flows()
    people = len(flows) // 2
    mean, effects, styles, left_out = flow._style_regression(flows)
    np.testing.assert_allclose(styles.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(styles.std(axis=0), 1)
    design = np.column_stack([np.ones(len(styles)), styles])
    penalty = np.sqrt(np.diag([1e-9, 2 * flow.STYLE_RIDGE, 2 * flow.STYLE_RIDGE]))

    def refit(kept: np.ndarray) -> np.ndarray:
        """Ridge regression as least squares on augmented data."""
        A = np.concatenate([design[kept], penalty])
        b = np.concatenate([flows.reshape(len(flows), -1)[kept], np.zeros((3, flows[0].size))])
        return np.linalg.lstsq(A, b, rcond=None)[0]

    whole = refit(np.ones(len(flows), bool))
    np.testing.assert_allclose(np.stack([mean, *effects]).reshape(3, -1), whole, atol=1e-9)
    for person in range(people):
        both = [person, person + people]
        kept = np.ones(len(flows), bool)
        kept[both] = False
        expected = design[both] @ refit(kept)
        np.testing.assert_allclose(left_out[both].reshape(2, -1), expected, atol=1e-9)


def test_one_pair_is_its_own_mean() -> None:
    flows = random_flows(1)
    mean, _, _, left_out = flow._style_regression(flows)
    assert np.isfinite(left_out).all()
    np.testing.assert_allclose(mean, flows.mean(axis=0), atol=1e-8)


def test_the_change_is_a_ridge_regression_at_every_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    count, alpha, wanted = 9, 0.7, np.array([-0.6, 0.8])
    x, t = textures(count, seed=5), textures(count, seed=6)
    styles = rng.standard_normal((count, 2))
    smooth = flow._solve_change(x, t, styles, wanted, alpha)
    monkeypatch.setattr(flow, "CHANGE_BLUR", 0.0)
    weight, bias = flow._solve_change(x, t, styles, wanted, alpha)
    sigma = flow.LOW_PASS * SIZE / 128
    low = np.stack(
        [
            ndimage.gaussian_filter(
                picture, sigma, mode="nearest", axes=(0, 1), radius=round(3 * sigma)
            )
            for picture in x
        ]
    )
    mask = face_mask(SIZE, flow.CHANGE_RADII)
    inside = np.argwhere(mask > 0.2)
    for row, column in inside[rng.choice(len(inside), 40, replace=False)]:
        for c in range(3):
            regressors = np.column_stack([low[:, row, column, c], np.ones(count), styles])
            A = np.concatenate([regressors, np.sqrt(alpha) * np.eye(4)])
            b = np.concatenate([(t - x)[:, row, column, c], np.zeros(4)])
            w, b0, *effects = np.linalg.lstsq(A, b, rcond=None)[0]
            here = weight[row, column, c], bias[row, column, c]
            expected = w, b0 + np.dot(effects, wanted)
            np.testing.assert_allclose(here / mask[row, column], expected, atol=1e-5)
    # Both fields are smoothed before the mask takes them.
    monkeypatch.setattr(flow, "face_mask", lambda size, radii: np.ones((size, size), np.float32))
    for ours, rough in zip(smooth, flow._solve_change(x, t, styles, wanted, alpha), strict=True):
        theirs = ndimage.gaussian_filter(rough, SIZE / 128, mode="nearest", axes=(0, 1), radius=2)
        np.testing.assert_allclose(ours, theirs * mask[..., None], atol=1e-5)


def test_flows_are_masked_and_smoothed(opencv: None) -> None:
    rows = pairs()
    x, t = (side[:3].reshape(-1, *SHAPE) / 255 for side in rows)
    flows = flow.training_flows(x, t)
    assert flows.shape == (3, SIZE, SIZE, 2)
    assert (flows[:, ~inner(1e-9)] == 0).all()
    for found in flows:
        assert np.linalg.norm(found - motion(), axis=-1)[inner()].mean() < 0.3
    np.testing.assert_array_equal(flow.training_flows(x, x), 0)


# ---------------------------------------------------------------- symmetry


def mirrored_rows(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *SHAPE)[:, :, ::-1].reshape(len(rows), -1)


def mirrored_flow(displacement: np.ndarray) -> np.ndarray:
    return displacement[:, ::-1] * [-1.0, 1.0]


def test_a_model_is_its_own_mirror_image(fitted: FlowRidge) -> None:
    np.testing.assert_allclose(fitted.displacement_, mirrored_flow(fitted.displacement_), atol=1e-9)
    # Styles are measured on whole pixels, which is not quite symmetric; it costs little.
    for values in (fitted.coef_, fitted.intercept_):
        values = values.reshape(1, -1)
        assert np.abs(values - mirrored_rows(values)).max() < 0.05 * np.abs(values).max()


def test_mirrored_pictures_give_the_mirrored_model(default: FlowRidge) -> None:
    other = FlowRidge().fit(*map(mirrored_rows, pairs()))
    gap = np.linalg.norm(other.displacement_ - mirrored_flow(default.displacement_), axis=-1)
    assert np.linalg.norm(default.displacement_, axis=-1).max() > 2
    assert gap.max() < 0.4  # OpenCV's flow goes through a picture from left to right
    assert gap[inner()].mean() < 0.08
    rows = pairs()[0]
    made = mirrored_rows(other.predict(mirrored_rows(rows)))
    assert np.abs(made - default.predict(rows)).mean() < 0.004


# ---------------------------------------------------------------- plans and strength


def test_the_plan_predicts_what_the_estimator_predicts(default: FlowRidge) -> None:
    rows = pairs()[0]
    pictures = rows.reshape(-1, *SHAPE)
    plan = default.to_plan(SHAPE)
    backend = get_backend("numpy")
    assert plan.masked
    predicted = default.predict(rows)
    assert predicted.dtype == np.float64
    np.testing.assert_array_equal(backend.predict(plan, pictures).reshape(rows.shape), predicted)
    made = np.rint(255 * np.clip(predicted, 0, 1)).reshape(pictures.shape)
    assert np.abs(backend.apply(plan, pictures) - made).max() <= 1
    np.testing.assert_allclose(default.predict(rows / 255), predicted, atol=1e-6)


@pytest.mark.parametrize("strength", [-0.5, 0.3, 1.0, 1.5])
def test_strength_scales_motion_and_change(strength: float, default: FlowRidge) -> None:
    plan, picture = default.to_plan(SHAPE), pairs()[0][0].reshape(SHAPE)
    backend = get_backend("numpy")
    change = backend.change(plan, picture)
    np.testing.assert_array_equal(change.displacement, plan.displacement)
    made = backend.apply(plan, picture, strength)
    pasted = paste_change(picture, change, UNMOVED, strength)
    assert np.abs(made.astype(int) - pasted).max() <= 1
    assert (made != pasted).mean() < 0.01
    # The whole change at once is what SciPy finds at that share of the way.
    there = moved(picture[None] / 255, strength * plan.displacement)[0]
    expected = 255 * np.clip(there + strength * change.colour, 0, 1)
    assert np.abs(made - expected).mean() < 2
    assert np.abs(made - picture.astype(int))[inner()].mean() > 2


def test_strength_zero_is_bit_identical(default: FlowRidge) -> None:
    plan = default.to_plan(SHAPE)
    pictures = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)
    np.testing.assert_array_equal(get_backend("numpy").apply(plan, pictures, 0), pictures)
    change = get_backend("numpy").change(plan, pictures[0])
    np.testing.assert_array_equal(paste_change(pictures[0], change, UNMOVED, 0), pictures[0])


def test_nothing_happens_outside_the_face(default: FlowRidge) -> None:
    centres = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    outside = np.hypot(centres[None, :] / RADII[0], centres[:, None] / RADII[1]) >= 1
    assert 0.2 < outside.mean() < 0.5
    plan = default.to_plan(SHAPE)
    for field in (plan.displacement, plan.weight, plan.bias):
        assert (field[outside] == 0).all()
        assert (field[~outside] != 0).any()
    rows = np.random.default_rng(0).integers(0, 256, (3, SIZE * SIZE * 3), np.uint8)
    made = default.predict(rows).reshape(-1, *SHAPE)
    pictures = (rows.astype(np.float32) / np.float32(255)).reshape(made.shape)
    np.testing.assert_array_equal(made[:, outside], pictures[:, outside])


# ---------------------------------------------------------------- conventions


def test_floats_learn_as_their_bytes_do(default: FlowRidge) -> None:
    floats = FlowRidge().fit(*(side / 255 for side in pairs()))
    np.testing.assert_allclose(floats.displacement_, default.displacement_, atol=1e-9)
    np.testing.assert_allclose(floats.coef_, default.coef_, atol=1e-9)


def test_one_pair_is_enough(opencv: None) -> None:
    model = FlowRidge().fit(*(side[:1] for side in pairs()))
    assert np.isfinite(model.predict(pairs()[0][:2])).all()


@pytest.mark.parametrize(
    ("x", "t", "reason"),
    [
        ((4, 3000), (4, 3000), "square RGB crops"),
        ((4, 31 * 31 * 3), (4, 31 * 31 * 3), "32 x 32 or more"),
        ((4, 64 * 64), (4, 64 * 64), "square RGB crops"),
    ],
)
def test_arrays_that_are_no_pairs_of_crops(x: tuple, t: tuple, reason: str) -> None:
    with pytest.raises(InvalidArrayError, match=reason):
        FlowRidge().fit(np.zeros(x, np.uint8), np.zeros(t, np.uint8))


@pytest.mark.parametrize("name", ["alpha", "gain"])
@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "much", None])
def test_parameters_above_zero(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a number above 0"):
        FlowRidge(**{name: value}).fit(*pairs())


@pytest.mark.parametrize("name", ["opening", "amount"])
@pytest.mark.parametrize("value", [np.nan, np.inf, "much", None])
def test_styles_are_numbers(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a finite number"):
        FlowRidge(**{name: value}).fit(*pairs())


# ---------------------------------------------------------------- OpenCV


def test_fitting_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"needs OpenCV.*pixelreg\[align\]"):
        FlowRidge().fit(*pairs())


USING = """
import sys
import numpy as np
from pixelreg.commands.main import main
from pixelreg.regression.flow import FlowRidge
from pixelreg.api import bundled_model, translate
from pixelreg.models.file import load
model = load(bundled_model())
assert model.kind == "flow"
plan = model.plan("happy")
estimator = FlowRidge()
estimator.displacement_ = plan.displacement
estimator.coef_, estimator.intercept_ = plan.weight.reshape(-1), plan.bias.reshape(-1)
picture = np.random.default_rng(0).integers(0, 256, plan.shape, np.uint8)
made = estimator.predict(picture.reshape(1, -1))
assert np.abs(made * 255 - picture.reshape(1, -1)).max() > 1
assert (translate(picture, "happy", "flow") != picture).any()
eyes = ("--model", "flow", "--eyes", "60,70,100,72")
assert main(["apply", sys.argv[1], "--expr", "happy", *eyes, "-o", sys.argv[2]]) == 0
assert not {"cv2", "scipy", "numba", "skimage", "sklearn"} & set(sys.modules), sys.modules.keys()
"""


def test_using_a_flow_imports_neither_opencv_nor_scipy(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (200, 180, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "in.png")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USING, tmp_path / "in.png", tmp_path / "out.png"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").is_file()
