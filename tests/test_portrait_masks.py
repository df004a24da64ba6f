"""Masks on their way into a portrait model and out of it."""

from __future__ import annotations

import numpy as np
import pytest
from portrait_tools import drawn_portrait

from deep_onnx.portrait.editing import (
    centres_of,
    cut_mask,
    fading,
    photo_mask,
    swapped,
    tidied,
    uncovered,
)
from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.windows import window_centres
from pixelreg.errors import FaceError, InvalidArrayError
from pixelreg.faces.align import UNMOVED, Similarity
from pixelreg.models.model import Frame

SIZE = 64


def test_a_swapped_mouth_stands_where_the_old_one_was() -> None:
    mask = drawn_portrait(0, SIZE)[1]
    other = np.roll(drawn_portrait(1, SIZE)[1], (-3, 4), axis=(0, 1))
    made = swapped(mask, other, "mouth")
    lips = COMPONENTS["mouth"]
    assert np.isin(made, lips).sum() == np.isin(other, lips).sum()
    assert np.array_equal(window_centres(made), window_centres(mask))
    away = ~np.isin(mask, lips) & ~np.isin(made, lips)
    assert np.array_equal(made[away], mask[away])
    assert (made[np.isin(mask, lips) & ~np.isin(made, lips)] == LABELS.index("skin")).all()


def test_swapped_hair_leaves_skin_or_background_where_it_was() -> None:
    mask, other = drawn_portrait(0, SIZE)[1], drawn_portrait(1, SIZE)[1]
    hair = LABELS.index("hair")
    short = np.where((other == hair) & (np.arange(SIZE)[:, None] > 20), 0, other)
    made = swapped(mask, short, "hair")
    assert np.array_equal(made == hair, short == hair)
    bare = (mask == hair) & (made != hair)
    assert bare.any()
    assert set(np.unique(made[bare])) <= {0, 1, 2, 3, 6}
    inner = np.isin(mask, [4, 5, 7, 8, 9])
    assert np.array_equal(made[inner], mask[inner])


def test_an_eye_that_is_not_there_is_where_the_frame_has_it() -> None:
    mask = drawn_portrait(0, SIZE)[1]
    blind = np.where(mask == LABELS.index("right-eye"), 1, mask)
    with pytest.raises(FaceError, match="no right eye: it is yours"):
        centres_of(blind, "it is yours")
    frame = Frame((0.4, 0.5), (0.625, 0.5))
    found = centres_of(blind, "it is yours", frame)
    assert found.tolist()[2:4] == [40, 32]
    assert found.tolist()[:2] == window_centres(mask).tolist()[:2]
    silent = np.where(np.isin(mask, COMPONENTS["mouth"]), 1, mask)
    with pytest.raises(FaceError, match="no mouth"):
        centres_of(silent, "it is yours", frame)
    with pytest.raises(FaceError, match="mouth has none"):
        swapped(mask, silent, "mouth")
    given = swapped(blind, mask, "right-eye")
    assert np.array_equal(given, mask)


def test_what_lies_apart_from_an_eye_or_the_mouth_is_tidied_away() -> None:
    mask = drawn_portrait(1, SIZE)[1]
    untidy = mask.copy()
    untidy[35, 30] = untidy[36, 31] = LABELS.index("upper-lip")
    untidy[45, 25] = LABELS.index("left-eye")
    made = tidied(untidy)
    assert made[35, 30] == made[36, 31] == made[45, 25] == LABELS.index("skin")
    away = untidy == mask
    assert np.array_equal(made[away], mask[away])
    assert np.array_equal(tidied(mask), mask)
    assert not tidied(np.zeros_like(mask)).any()


@pytest.mark.parametrize("name", COMPONENTS)
def test_swapping_a_component_with_itself_changes_nothing(name) -> None:
    mask = drawn_portrait(2, SIZE)[1]
    assert np.array_equal(swapped(mask, mask, name), mask)


def test_the_background_goes_on_where_the_head_was() -> None:
    image, before = drawn_portrait(3, SIZE)
    image[before == 0] = (10, 20, 30)
    after = np.where(before == LABELS.index("hair"), 0, before)
    made = uncovered(image, before, after)
    assert (made[after == 0] == (10, 20, 30)).all()
    assert np.array_equal(made[after != 0], image[after != 0])
    assert uncovered(image, before, before) is image


def test_masks_of_photos_are_cut_like_their_photo() -> None:
    mask = drawn_portrait(4, SIZE)[1]
    photo = np.zeros((100, 150), np.uint8)
    photo[20:84, 30:94] = mask
    shift = Similarity(1.0, 0.0, 30.0, 20.0)
    assert np.array_equal(cut_mask(photo, shift, SIZE, (100, 150)), mask)
    assert np.array_equal(cut_mask(mask, shift, SIZE, (100, 150)), mask)
    assert cut_mask(drawn_portrait(4, 128)[1], shift, SIZE, (100, 150)).shape == (SIZE, SIZE)
    with pytest.raises(InvalidArrayError, match="150x100"):
        cut_mask(photo[:90], shift, SIZE, (100, 150))


def test_a_crop_s_labels_at_the_photo_s_size() -> None:
    mask = drawn_portrait(5, SIZE)[1]
    shares = np.eye(len(LABELS), dtype=np.float32)[mask].transpose(2, 0, 1)
    assert np.array_equal(photo_mask(shares, UNMOVED, (SIZE, SIZE)), mask)
    double = Similarity(2.0, 0.0, 10.0, 6.0)
    twice = photo_mask(shares, double, (160, 150))
    assert (twice[:6] == 0).all()
    assert (twice[:, :10] == 0).all()
    assert (cut_mask(twice, double, SIZE, (160, 150)) == mask).mean() > 0.97
    assert not photo_mask(shares, Similarity(1.0, 0.0, 900.0, 0.0), (64, 64)).any()


def test_fading_is_whole_inside_and_nothing_at_the_border() -> None:
    region = np.zeros((SIZE, SIZE), bool)
    assert not fading(region).any()
    region[28:36, 28:36] = True
    weights = fading(region)
    assert (weights[region] == 1).all()
    assert weights[0].max() == 0
    assert not weights[:, 42:].any()  # beyond 1/32 + 1/16 of the side
    assert (np.diff(weights[32, 36:]) <= 0).all()
    whole = fading(np.ones((SIZE, SIZE), bool))
    assert whole[32, 32] == 1
    assert 0 < whole[32, 0] < 0.1
