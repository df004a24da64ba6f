"""PSNR, SSIM and MAE against scikit-image and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pixelreg.errors import InvalidArrayError
from pixelreg.evaluation.comparison import (
    UNTOUCHED,
    Scores,
    as_json,
    compare,
    format_table,
    score,
    table,
)
from pixelreg.evaluation.metrics import mae, psnr, ssim


def pairs(count: int, height: int, width: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + i) + y / (4 + i)) for i in range(count * channels)]
    truth = (120 + 100 * np.array(waves)).reshape(count, channels, height, width)
    truth = np.moveaxis(truth, 1, -1).astype(np.uint8)
    spread = np.resize([4, 40, 1], count).reshape(count, 1, 1, 1)
    noisy = truth + spread * rng.normal(size=truth.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), truth


@pytest.mark.parametrize("shape", [(32, 32), (11, 11), (12, 47), (128, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_scikit_image(shape, channels) -> None:
    predicted, truth = pairs(3, *shape, channels)
    found = ssim(predicted, truth)
    assert found.shape == (3,)
    for value, a, b in zip(found, predicted, truth, strict=True):
        expected = structural_similarity(
            a,
            b,
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert value == pytest.approx(expected, abs=1e-6)


def test_psnr_and_mae_equal_scikit_image_and_numpy() -> None:
    predicted, truth = pairs(3, 24, 20)
    for value, error, a, b in zip(
        psnr(predicted, truth), mae(predicted, truth), predicted, truth, strict=True
    ):
        assert value == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-6)
        assert error == pytest.approx(np.abs(a.astype(int) - b).mean(), abs=1e-12)


def test_equal_pictures_score_perfectly() -> None:
    _, truth = pairs(2, 16, 16)
    assert psnr(truth, truth).tolist() == [np.inf, np.inf]
    assert ssim(truth, truth) == pytest.approx([1.0, 1.0], abs=1e-12)
    assert mae(truth, truth).tolist() == [0.0, 0.0]


def test_black_against_white_is_as_bad_as_can_be() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0.0)
    assert mae(black, white) == 255.0
    assert ssim(black, white) == pytest.approx(0.0001, abs=1e-4)  # C1 / (255^2 + C1)


def test_any_number_of_leading_axes() -> None:
    predicted, truth = pairs(3, 16, 16)
    for metric in (psnr, ssim, mae):
        flat = metric(predicted, truth)
        assert float(metric(predicted[0], truth[0])) == pytest.approx(flat[0])
        grid = metric(predicted[:, None], truth[:, None])
        assert grid.shape == (3, 1)
        np.testing.assert_allclose(grid[:, 0], flat)


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    predicted, truth = pairs(2, 16, 16)
    for metric in (psnr, ssim, mae):
        with pytest.raises(InvalidArrayError, match="alike"):
            metric(predicted, truth[:1])
        with pytest.raises(InvalidArrayError, match="alike"):
            metric(predicted[0, ..., 0], truth[0, ..., 0])
    with pytest.raises(InvalidArrayError, match="11 x 11"):
        ssim(predicted[:, :10], truth[:, :10])


def test_comparison_scores_the_untouched_input_first() -> None:
    predicted, truth = pairs(3, 16, 16)
    sources = np.full_like(truth, 128)
    rows = compare("happy", sources, truth, {"rr": predicted, "exact": truth})
    assert [row.method for row in rows] == [UNTOUCHED, "rr", "exact"]
    assert all(row.expression == "happy" and row.count == 3 for row in rows)
    assert rows[1].psnr == pytest.approx(psnr(predicted, truth).mean())
    assert rows[1].ssim == pytest.approx(ssim(predicted, truth).mean())
    assert rows[1].mae == pytest.approx(mae(predicted, truth).mean())
    assert rows[0] == score("happy", UNTOUCHED, sources, truth)


def test_the_table_is_aligned() -> None:
    rows = [Scores("happy", "rr", 20, 18.5, 0.6191, 12.345), Scores("sad", "kr", 5, 9.1, 1.0, 3)]
    lines = table(rows).splitlines()
    assert lines[0].split() == ["expression", "method", "n", "PSNR", "dB", "SSIM", "MAE"]
    assert lines[1].split() == ["happy", "rr", "20", "18.50", "0.619", "12.35"] or (
        lines[1].split()[-1] == "12.34"
    )
    assert len({len(line) for line in lines}) == 1
    assert format_table([("a", "b", "1"), ("aaa", "bbb", "10")]) == "a    b     1\naaa  bbb  10"


def test_scores_are_json_even_when_infinite() -> None:
    _, truth = pairs(1, 16, 16)
    text = json.dumps(as_json([score("happy", "exact", truth, truth)]), allow_nan=False)
    (row,) = json.loads(text)
    assert row["psnr"] is None
    assert row["ssim"] == pytest.approx(1.0)
    assert row["count"] == 1
