"""The exporters' form: codes decode to what the model computes, as near as the dtype allows."""

from __future__ import annotations

import numpy as np
import pytest
from test_exporters import KINDS, SIZE, all_options, model_of

from pixelreg.backends import get_backend
from pixelreg.errors import UsageError
from pixelreg.export.coding import CODED, coded
from pixelreg.export.form import Options, enlarged, one_sided, reduced, spans_of, symmetric
from pixelreg.export.measure import compared, difference, vectors
from pixelreg.faces.paste import face_mask
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan, plan_array

BACKEND = get_backend("numpy")
NEAR = {"float32": 120.0, "float16": 60.0, "int8": 50.0}  # dB that smooth models must reach


def decibels(kind: str, options: Options, size: int = SIZE) -> float:
    form = coded(model_of(kind, size), options)
    made = form.decoded
    return compared(form.model, lambda n, x, s: BACKEND.apply(made.plans[n], x, s)).decibels


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_coded_decodes_to_what_the_model_computes(kind) -> None:
    form = CODED[kind]
    for options in all_options():
        fitting = (
            options.dtype in form.dtypes
            and options.detail in form.details
            and options.mask in form.masks
        )
        if not fitting:
            with pytest.raises(UsageError, match=f"is not for happy, a plan of kind {kind}"):
                coded(model_of(kind), options)
        elif options.detail == 1:
            assert decibels(kind, options) >= NEAR[options.dtype], options


def test_less_detail_is_further_away_but_not_far() -> None:
    found = [decibels("flow", Options("float32", detail), 64) for detail in (1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[-1] > 35


@pytest.mark.parametrize("kind", ["affine", "kernel"])
@pytest.mark.parametrize("dtype", NEAR)
def test_the_mask_is_the_translators(kind, dtype) -> None:
    """x + strength mask (y - x), and to the bit x where the mask is 0."""
    model, mask = model_of(kind), face_mask(SIZE)[..., None]
    form = coded(model, Options(dtype, mask="face"))
    pictures = vectors(SIZE)
    unit = pictures / np.float64(255)
    wanted = unit + mask * (BACKEND.predict(model.plans["happy"], pictures) - unit)
    made = BACKEND.apply(form.decoded.plans["happy"], pictures)
    assert np.abs(made - np.clip(wanted, 0, 1) * 255).max() <= (2.5 if dtype == "int8" else 1.01)
    outside = ~form.targets["happy"].inside
    assert outside.any()
    np.testing.assert_array_equal(made[:, outside], pictures[:, outside])
    assert not mask[outside].any()


def test_codes_are_cut_to_the_spans() -> None:
    coded_flow = coded(model_of("flow"), Options("int8")).targets["happy"]
    cut = coded_flow.cut("weight")
    assert len(cut) == coded_flow.inside.sum() < SIZE * SIZE
    back = np.zeros((SIZE, SIZE, 3), np.int8)
    back[coded_flow.inside] = cut
    np.testing.assert_array_equal(back, coded_flow.fields["weight"].codes)


def test_spans_hold_all_that_is_true() -> None:
    changed = np.random.default_rng(1).random((40, 30)) > 0.95
    changed[7] = False
    spans = spans_of(changed)
    assert spans[7].tolist() == [0, 0]
    for row, (first, last) in zip(changed, spans.tolist(), strict=True):
        places = np.flatnonzero(row)
        assert [first, last] == ([places[0], places[-1] + 1] if places.size else [0, 0])


def test_reduced_fields_are_the_nearest_that_can_be_enlarged() -> None:
    """Against a dense least-squares solve of the whole plane, which knows nothing of axes."""
    values = np.random.default_rng(2).normal(size=(8, 8, 1))
    basis = np.stack([enlarged(unit.reshape(4, 4, 1), 8).ravel() for unit in np.eye(16)], axis=1)
    wanted, *_ = np.linalg.lstsq(basis, values.ravel(), rcond=None)
    np.testing.assert_allclose(reduced(values, 2).ravel(), wanted, atol=1e-12)
    ramp = np.arange(8.0)[None, :, None] * np.ones((8, 1, 1))
    np.testing.assert_allclose(enlarged(ramp[::2, ::2] + 0.5, 8)[:, 1:-1], ramp[:, 1:-1])


def test_int8_is_within_half_a_step_and_nothing_stays_nothing() -> None:
    values = np.random.default_rng(4).normal(3, 1, (9, 9, 2)) * [1, 100]
    values[0] = 0
    for field in (symmetric(values), symmetric(values, True), one_sided(values, True)):
        assert field.codes.dtype == np.int8
        # One-sided: the zero is rounded to a whole code, which may push an end by half a step.
        assert (np.abs(field.values - values) <= field.scale * 1.01).all()
        assert not field.values[0].any()
    none = one_sided(np.zeros((3, 3, 1)))
    assert not none.values.any()


def test_a_kernel_keeps_as_many_components_as_its_curves_need() -> None:
    form = coded(model_of("kernel"), Options("int8"))
    ranks = [each.fields["table"].codes.shape[1] for each in form.targets.values()]
    assert ranks[0] <= 3
    assert ranks[0] <= ranks[1] <= 5
    assert all(each.fields["table"].codes.dtype == np.int16 for each in form.targets.values())


def test_differences_are_counted() -> None:
    black = np.zeros((1, 10, 10, 1), np.uint8)
    made = black.copy()
    made[0, 0, :4, 0] = [1, 2, 3, 51]
    found = difference(made, black)
    assert (found.largest, found.share) == (51, 0.03)
    assert found.decibels == pytest.approx(10 * np.log10(255**2 / (2615 / 100)))
    assert difference(black, black).decibels == float("inf")


def test_what_cannot_be_held_is_refused() -> None:
    wild = plan_array(np.full((SIZE, SIZE, 3), 1e6))
    with pytest.raises(UsageError, match="float16 cannot hold"):
        coded(Model({"happy": AffinePlan(wild, wild)}), Options("float16"))
    with pytest.raises(UsageError, match="is for models of faces"):
        coded(Model({"happy": AffinePlan(wild, wild)}), Options(mask="face"))
    odd = plan_array(np.zeros((13, 13, 3)))
    with pytest.raises(UsageError, match="--detail 2 does not divide the size, 13"):
        coded(Model({"happy": AffinePlan(odd, odd)}), Options(detail=2))
