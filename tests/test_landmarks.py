"""Landmark files, faces given by hand, and what a face says about itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelreg.errors import DataError, InvalidArrayError
from pixelreg.faces.landmarks import (
    Face,
    face_from_box,
    face_from_eyes,
    face_from_points,
    landmarks_beside,
    read_landmarks,
)


def tem_text(points: np.ndarray) -> str:
    rows = "\n".join(f"{x:.1f}\t{y:.1f}" for x, y in points)
    return f"{len(points)}\n{rows}\n1\n0\n0\n2\n0 0\n"


def pts_text(points: np.ndarray) -> str:
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}\n}}\n"


def test_angle_and_distance_of_a_turned_face() -> None:
    turn = np.deg2rad(20)
    face = face_from_eyes([100, 100, 100 + 50 * np.cos(turn), 100 + 50 * np.sin(turn)])
    assert face.angle == pytest.approx(20)
    assert face.eye_distance == pytest.approx(50)
    assert face.eyes.shape == (2, 2)
    assert np.isnan(face.points[2:]).all()


def test_box_of_a_face_holds_its_eyes_and_follows_their_turn() -> None:
    upright = face_from_eyes([100, 100, 160, 100])
    x, y, width, height = upright.box
    assert x < 100
    assert x + width > 160
    assert y < 100 < y + height
    assert x + width / 2 == pytest.approx(130)
    # On its side, the face's middle lies beside the eyes, not below them.
    side = face_from_eyes([100, 100, 100, 160])
    assert side.box[0] + side.box[2] / 2 < 100


def test_eyes_found_in_a_box_lead_back_to_the_box() -> None:
    given = (40.0, 30.0, 110.0, 150.0)
    face = face_from_box(given)
    assert face.box == given
    assert face_from_points(face.points).box == pytest.approx(given)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ([1, 2, 3], "four finite numbers"),
        ([1, 2, 3, float("nan")], "four finite numbers"),
        (["a", 2, 3, 4], "four finite numbers"),
        ([5, 5, 5, 5], "in one place"),
    ],
)
def test_bad_eyes(values: list[float], part: str) -> None:
    with pytest.raises(InvalidArrayError, match=part):
        face_from_eyes(values)


def test_bad_boxes_and_shapes() -> None:
    with pytest.raises(InvalidArrayError, match="positive width"):
        face_from_box([0, 0, -1, 5])
    with pytest.raises(InvalidArrayError, match=r"\(5, 2\)"):
        face_from_points(np.zeros((4, 2)))


def test_tem_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 500, (189, 2)).round(1)
    file = tmp_path / "one.tem"
    file.write_text(tem_text(points))
    face = read_landmarks(file)
    np.testing.assert_allclose(face.points[:2], points[:2])
    np.testing.assert_allclose(face.points[2], points[[54, 55, 60]].mean(axis=0))
    np.testing.assert_allclose(face.points[3:], points[[87, 93]])


def test_pts_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 500, (68, 2)).round(3)
    file = tmp_path / "one.pts"
    file.write_text(pts_text(points))
    face = read_landmarks(file)
    np.testing.assert_allclose(face.points[0], points[36:42].mean(axis=0))
    np.testing.assert_allclose(face.points[1], points[42:48].mean(axis=0))
    np.testing.assert_allclose(face.points[2:], points[[30, 48, 54]])
    file.write_text(pts_text(points[:5]))
    np.testing.assert_allclose(read_landmarks(file).points, points[:5])


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.txt", "", "end in .tem or .pts"),
        ("a.tem", "", "line 1"),
        ("a.tem", "many\n1 2\n", "line 1"),
        ("a.tem", "²\n1 2\n", "line 1"),
        ("a.tem", "9" * 5000 + "\n1 2\n", "line 1"),
        ("a.tem", "82\n" + "1e308\t1e308\n" * 82, "point 0"),
        ("a.pts", "n_points: ²\n{\n1 2\n}\n", "n_points"),
        ("a.pts", "n_points\n{\n1 2\n}\n", "n_points"),
        ("a.pts", "n_points: 51\n{\n" + "1 2\n" * 50 + "}\n", "50 are there"),
        ("a.tem", "3\n1\t2\n3\t4\n5\t6\n", "holds 3 points"),
        ("a.tem", tem_text(np.ones((189, 2))), "in one place"),
        ("a.tem", "189\n1\t2\n", "189 points are promised, 1 are there"),
        ("a.tem", tem_text(np.zeros((189, 2))).replace("0.0\t0.0", "0.0", 1), "point 0"),
        ("a.pts", "version: 1\nn_points: 5\n1 2\n", "between lines"),
        ("a.pts", "version: 1\n{\n1 2\n}\n", "n_points"),
        ("a.pts", pts_text(np.eye(5, 2)).replace("1.000", "one", 1), "not two numbers"),
        ("a.pts", pts_text(np.eye(5, 2)).replace("1.000", "inf", 1), "not two numbers"),
    ],
)
def test_bad_files_say_what_and_where(tmp_path: Path, name: str, text: str, part: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataError, match=part) as caught:
        read_landmarks(file)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_landmarks(tmp_path / "none.tem")


def test_landmarks_beside_a_photo(tmp_path: Path) -> None:
    photo = tmp_path / "someone.jpg"
    assert landmarks_beside(photo) is None
    (tmp_path / "someone.pts").touch()
    assert landmarks_beside(photo) == tmp_path / "someone.pts"
    (tmp_path / "someone.tem").touch()
    assert landmarks_beside(photo) == tmp_path / "someone.tem"


def test_every_london_template_is_a_plausible_face(london: Path) -> None:
    files = sorted(p for p in (london / "neutral_front").glob("*.tem") if p.stem[0] != ".")
    assert len(files) == 80
    for file in files:
        face = read_landmarks(file)
        assert isinstance(face, Face)
        (lx, ly), (rx, ry), (nx, ny), (mlx, mly), (mrx, mry) = face.points
        assert 150 < face.eye_distance < 260, file
        assert abs(face.angle) < 10, file
        assert lx < nx < rx, file
        assert mlx < nx < mrx, file
        assert max(ly, ry) < ny < min(mly, mry), file
