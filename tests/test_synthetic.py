"""The drawn faces: what callers rely on, from the bits to the names of the files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tools import pixels
from PIL import Image

from pixelreg.data.synthetic import (
    EXPRESSIONS,
    Identity,
    draw_face,
    face_points,
    pairs_array,
    random_identity,
    synthesise,
)
from pixelreg.errors import DataError, UnknownNameError, UsageError
from pixelreg.faces.landmarks import read_landmarks

MOVED = tuple(name for name in EXPRESSIONS if name != "neutral")
KDEF_NAME = re.compile(r"([AB][FM]\d{2})(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)\.JPG")


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Largest absolute difference over the channels, in grey levels."""
    return np.abs(first.astype(int) - second.astype(int)).max(axis=-1)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_same_numbers_give_the_same_bits_and_no_intensity_the_neutral_face(expression: str) -> None:
    one, again = random_identity(5), random_identity(5)
    first, second = (draw_face(p, expression, 0.7, 64, noise=0.02, seed=3) for p in (one, again))
    assert (first.shape, first.dtype) == ((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(draw_face(one, expression, 0.0), draw_face(one, "neutral", 0.3))


def test_seeds_make_different_people() -> None:
    people = [random_identity(seed) for seed in range(60)]
    assert len(set(people)) == 60
    faces = np.stack([draw_face(one, size=32) for one in people]).astype(int)
    for index, face in enumerate(faces[:-1]):
        assert np.abs(faces[index + 1 :] - face).mean(axis=(1, 2, 3)).min() > 3.0


@pytest.mark.parametrize(
    ("field", "count"), [("hair_style", 4), ("hair_colour", 4), ("eye_colour", 3), ("glasses", 3)]
)
def test_every_choice_is_drawn_and_others_are_refused(field: str, count: int) -> None:
    pictures = [draw_face(replace(Identity(), **{field: i}), size=64) for i in range(count)]
    assert len({picture.tobytes() for picture in pictures}) == count
    for index in (-1, count):
        with pytest.raises(UsageError, match=f"{field} is {index}"):
            replace(Identity(), **{field: index})


@pytest.mark.parametrize("expression", MOVED)
@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_a_small_change_of_intensity_is_a_small_change_of_the_picture(
    expression: str, seed: int
) -> None:
    one = random_identity(seed)
    whole = difference(draw_face(one), draw_face(one, expression)).mean()
    for intensity in (0.0, 1e-6, 0.3, 0.6, 0.998):
        first = draw_face(one, expression, intensity)
        second = draw_face(one, expression, intensity + 0.002)
        change = difference(first, second)
        # A 500th of the way: no pixel jumps, and the sum is a small part of the whole.
        assert change.max() <= 20
        assert change.mean() < 0.015 * whole


@pytest.mark.parametrize("expression", MOVED)
def test_only_the_face_changes(expression: str) -> None:
    for seed in range(12):
        one = random_identity(seed)
        change = difference(draw_face(one), draw_face(one, expression))
        x, y = np.meshgrid(*[(np.arange(128) + 0.5) / 128] * 2)
        outside = (np.abs(x - 0.5) > 0.36) | (y < 0.15) | (y > 0.96)
        assert change[outside].max() == 0
        assert change[~outside].max() > 60


def test_the_seven_expressions_differ_clearly() -> None:
    for seed in range(8):
        one = random_identity(seed)
        faces = [draw_face(one, name) for name in EXPRESSIONS]
        for index, face in enumerate(faces):
            for other in faces[index + 1 :]:
                assert (difference(face, other) > 24).sum() > 100


def test_skin_tones_span_a_wide_range() -> None:
    light = np.array([draw_face(replace(Identity(), skin=s)).mean() for s in (0.0, 0.5, 1.0)])
    assert light[0] > light[1] > light[2]
    cheeks = [
        draw_face(replace(random_identity(seed), glasses=0), size=64)[30:34, 28:36].mean()
        for seed in range(80)
    ]
    assert min(cheeks) < 100
    assert max(cheeks) > 200
    assert min(light) > 50


def test_eyes_lie_near_the_canonical_frame() -> None:
    for seed in range(20):
        points = face_points(random_identity(seed), "happy", 1.0, 100)
        assert points.shape == (5, 2)
        assert points.dtype == np.float64
        np.testing.assert_allclose(points[:2], [(36, 39), (64, 39)], atol=1.0)
        assert points[0, 0] < points[2, 0] < points[1, 0]
        assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


@pytest.mark.parametrize("tilt", [0.0, 0.1, -0.07])
def test_points_are_where_the_pupils_are_drawn(tilt: float) -> None:
    # Without lids over it or a light on it, the pupil's dark disc can be measured in the picture.
    base = replace(Identity(), skin=0.0, eye_open=0.06, eye_colour=2, lashes=0.0, hair_style=0)
    one = replace(base, tilt=tilt, shift_x=0.02, shift_y=-0.01)
    picture = draw_face(one, "neutral", 1.0, 512).max(axis=-1)
    points = face_points(one, "neutral", 1.0, 512)
    for x, y in points[:2]:
        rows, columns = np.mgrid[0:512, 0:512] + 0.5
        near = np.hypot(columns - x, rows - y) < 9
        assert near.sum() > 200
        dark = (np.hypot(columns - x, rows - y) < 13) & (picture < 40)
        # The two catch lights bite into opposite sides of the disc.
        assert abs(columns[dark].mean() - x) < 1.5
        assert abs(rows[dark].mean() - y) < 1.5


def test_points_follow_the_expression_and_the_size() -> None:
    one = random_identity(4)
    rest, smile = face_points(one), face_points(one, "happy")
    assert smile[4, 0] - smile[3, 0] > rest[4, 0] - rest[3, 0] + 4
    assert smile[3, 1] < rest[3, 1]
    np.testing.assert_allclose(face_points(one, "sad", 0.5, 256), 2 * face_points(one, "sad", 0.5))


def test_noise_has_the_strength_and_the_seed_asked_for() -> None:
    one = random_identity(9)
    plain = draw_face(one, size=256).astype(float)
    noisy = draw_face(one, size=256, noise=0.02, seed=1)
    inside = (plain > 30) & (plain < 225)
    spread = (noisy.astype(float) - plain)[inside].std() / 255
    assert spread == pytest.approx(0.02, rel=0.05)
    assert difference(noisy, draw_face(one, size=256, noise=0.02, seed=2)).any()


@pytest.mark.parametrize("size", [16, 37, 200])
def test_sizes_show_the_same_picture(size: int) -> None:
    one = random_identity(2)
    big = Image.fromarray(draw_face(one, "happy", size=size * 4))
    small = np.asarray(big.reduce(4))
    assert difference(small, draw_face(one, "happy", size=size)).mean() < 9


def test_pairs_are_neutral_and_expression_of_the_people_written(tmp_path: Path) -> None:
    sides = pairs_array(3, "surprised", 48, seed=8)
    synthesise(tmp_path, 3, ("neutral", "surprised"), 48, seed=8)
    for stack, suffix in zip(sides, ("NES", "SUS"), strict=True):
        assert (stack.shape, stack.dtype) == ((3, 48, 48, 3), np.uint8)
        for index, code in enumerate(("AF01", "AM01", "AF02")):
            written = pixels(tmp_path / "KDEF" / code / f"{code}{suffix}.JPG")
            gap, *others = (
                difference(stack[index], other).mean()
                for other in (written, *np.delete(stack, index, 0))
            )
            assert gap < min(8, 0.5 * min(others))


def test_folder_is_named_as_the_kdef_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    count = synthesise(
        tmp_path, 5, size=32, seed=1, sessions=2, progress=lambda *at: seen.append(at)
    )
    assert count == 5 * 7 * 2
    assert seen == [(done, 70) for done in range(1, 71)]
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 140
    for path in files:
        if path.suffix == ".pts":
            assert path.with_suffix(".JPG") in files
            continue
        found = KDEF_NAME.fullmatch(path.name)
        assert found is not None
        assert path.parent == tmp_path / "KDEF" / found[1]
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (32, 32))
    people = {path.parent.name for path in files}
    assert people == {f"{s}{p}" for s in "AB" for p in ("F01", "M01", "F02", "M02", "F03")}


def test_landmark_files_say_where_the_face_is(tmp_path: Path) -> None:
    synthesise(tmp_path, 3, ("happy",), size=200, sessions=2, seed=7)
    photos = sorted(tmp_path.rglob("*.JPG"))
    for photo in photos:
        beside = read_landmarks(photo.with_suffix(".pts"))
        with Image.open(photo) as picture:
            grey = np.asarray(picture.convert("L"), float)
        for x, y in np.rint(beside.eyes - 0.5).astype(int):  # pupils are dark, whites beside light
            assert np.median(grey[y - 1 : y + 2, x - 1 : x + 2]) < 80
            assert grey[y - 2 : y + 3, x - 14 : x + 15].max() > 150
    assert len({photo.with_suffix(".pts").read_bytes() for photo in photos}) == 6  # takes move


def test_writing_twice_gives_the_same_files_and_takes_differ(tmp_path: Path) -> None:
    for name, sessions in (("one", 2), ("two", 2), ("single", 1)):
        synthesise(tmp_path / name, 2, ("neutral", "angry"), 64, seed=4, sessions=sessions)
    files = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.JPG")}
        for name in ("one", "two", "single")
    }
    assert files["one"] == files["two"]
    assert len(files["single"]) == 4
    assert files["single"].items() <= files["one"].items()  # a second take leaves the first alone
    folder = tmp_path / "one" / "KDEF"
    takes = [pixels(folder / f"{s}F01" / f"{s}F01ANS.JPG") for s in "AB"]
    assert 0 < difference(*takes).mean() < 25


def test_unknown_expression_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="neutral, happy, sad"):
        draw_face(Identity(), "bored")
    with pytest.raises(UnknownNameError, match="bored"):
        synthesise(tmp_path, 1, ("neutral", "bored"))
    with pytest.raises(UnknownNameError):
        pairs_array(1, "bored")
    with pytest.raises(UnknownNameError):
        random_identity(0, "X")
    assert not list(tmp_path.iterdir())


def test_synonyms_and_codes_are_understood(tmp_path: Path) -> None:
    one = random_identity(3)
    np.testing.assert_array_equal(draw_face(one, "Smile"), draw_face(one, "happy"))
    np.testing.assert_array_equal(face_points(one, "SU"), face_points(one, "surprised"))
    assert synthesise(tmp_path, 1, ("NE", "neutral", "joy"), 16) == 2
    names = {path.name for path in tmp_path.rglob("*.JPG")}
    assert names == {"AF01NES.JPG", "AF01HAS.JPG"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("intensity", value) for value in (-0.01, 1.01, float("nan"), float("inf"), "much")),
        *(("size", value) for value in (0, 15, -4, 2049, 64.0, True)),
        *(("noise", value) for value in (-0.1, 1.5, float("nan"))),
    ],
)
def test_numbers_outside_their_range_are_refused(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=name):
        draw_face(Identity(), "happy", **{name: value})
    if name != "noise":
        with pytest.raises(UsageError, match=name):
            face_points(Identity(), "happy", **{name: value})
    if name == "size":
        with pytest.raises(UsageError, match=name):
            synthesise(tmp_path, 1, size=value)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [("people", 0), ("people", 199), ("sessions", 0), ("sessions", 3), ("seed", -1),
     ("expressions", ())],
)  # fmt: skip
def test_bad_requests_write_nothing(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        synthesise(tmp_path, **{"people": 1, "size": 16, name: value})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "KDEF").write_text("in the way")
    with pytest.raises(DataError, match="cannot write") as failure:
        synthesise(tmp_path, 1, ("neutral",), 16)
    assert "\n" not in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["KDEF"]
