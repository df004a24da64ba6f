"""Posed pairs: what is written, what reads it back, and that pairs are pairs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import files_in, pixels
from PIL import Image

from pixelreg.data.crops import load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.photos import Photo
from pixelreg.data.synthetic import draw_face, face_points, random_identity
from pixelreg.errors import DataError, UnknownNameError
from pixelreg.faces.dense import DenseFace
from pixelreg.faces.landmarks import face_from_eyes, read_landmarks
from pixelreg.faces.locate import Locator
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame
from pixelreg.rig.posing import EXPRESSIONS, SESSIONS, Poses, _coded, find_photos, pose
from pixelreg.rig.translator import RigTranslator

SIZE = 160
SEVEN = {"happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn people, neutral and happy, 256 x 256, with landmarks beside the neutral ones."""
    folder = tmp_path_factory.mktemp("people")
    for number, code in enumerate(("AF01", "AF02", "AM01")):
        place = folder / "KDEF" / code
        place.mkdir(parents=True)
        who = random_identity(number)
        for name, shown in (("NE", "neutral"), ("HA", "happy")):
            drawn = Image.fromarray(draw_face(who, shown, size=256))
            drawn.save(place / f"{code}{name}S.png")
        rows = "\n".join(f"{x} {y}" for x, y in face_points(who, size=256).tolist())
        text = f"version: 1\nn_points: 5\n{{\n{rows}\n}}\n"
        (place / f"{code}NES.pts").write_text(text)
    return folder


@pytest.fixture(scope="module")
def posed(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of their expressions by the command."""
    from pixelreg.commands.main import main

    folder = tmp_path_factory.mktemp("posed") / "set"
    words = ("data", "pose", people, "-o", folder, "--size", SIZE)
    assert main([str(word) for word in words]) == 0
    return folder


def test_everybody_has_every_expression_in_the_kdef_layout(posed: Path) -> None:
    listing = scan(posed)
    assert (listing.layout, listing.source, listing.problems) == ("kdef", "neutral", ())
    assert set(EXPRESSIONS) == SEVEN
    assert listing.people == {"P01": 8, "P02": 8, "P03": 8}
    assert listing.expressions == dict.fromkeys(listing.expressions, 3)
    assert set(listing.expressions) == {"neutral", *SEVEN}
    for name in SEVEN:
        pairing = pair(listing, "neutral", name)
        assert len(pairing.pairs) == 3
        assert not pairing.unpaired


def test_both_pictures_of_a_pair_are_aligned_by_the_neutral_face(posed: Path) -> None:
    listing = scan(posed)
    for photo in listing.photos:
        assert photo.landmarks == photo.path.with_suffix(".pts")
        points = read_landmarks(photo.landmarks).points
        # The eyes stand where the frame says: 0.4 and 0.6 across, 0.42 down.
        wanted = np.array([[0.4, 0.42], [0.6, 0.42]]) * SIZE
        np.testing.assert_allclose(points[:2], wanted, atol=1e-3)
        assert points[2:, 1].min() > wanted[0, 1]
    pairing = pair(listing, "neutral", "surprised")
    stack = load_stack(pairing.pairs, 64, Frame(), Locator("no such detector"))
    same = (stack.sources == stack.targets).all(axis=(0, 3))
    assert same[:8, :8].all()
    assert same[:8, -8:].all()
    assert 0.1 < same.mean() < 0.9
    mouth = np.s_[:, 40:56, 22:42]
    change = np.abs(stack.sources.astype(float) - stack.targets)
    assert change[mouth].mean() > 2 * change.mean()


def test_where_nothing_moves_a_pair_is_equal_to_the_bit(posed: Path) -> None:
    folder = posed / "KDEF" / "AP01"
    neutral, smirk = (pixels(folder / f"AP01{code}S.png") for code in ("NE", "CO"))
    assert neutral.shape == (SIZE, SIZE, 3)
    changed = (neutral != smirk).any(axis=2)
    assert changed.any()
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows.min() > 0.05 * SIZE
    assert columns.min() > 0.05 * SIZE
    assert columns.max() < 0.95 * SIZE


class Marked:
    """A finder that knows where the landmarks are."""

    unsure = 1.0

    def __init__(self, points: np.ndarray) -> None:
        self.points = points

    def find(self, picture: np.ndarray, face: object, twice: bool = True) -> DenseFace:
        return DenseFace(self.points, 0.0, "given")


@pytest.mark.parametrize(("name", "strength"), [("surprised", 1.0), ("sad", 0.5), ("happy", 1.5)])
def test_a_pose_is_what_the_rig_makes_of_the_neutral_picture(name: str, strength: float) -> None:
    """The same way as ``apply`` goes, on the picture that was cut out."""
    face = draw_face(random_identity(3), size=256, noise=0.01)
    finding = RigTranslator(Locator("bundled"))
    photo = Photo("3", "neutral", "nowhere.png")
    made = pose(face, finding, photo, "AP01", Poses((name,), 256, strength))
    (found, dense), *_ = finding.found(face)[0]
    left, right = dense.points[[0, 17]]
    scale = 0.2 * 256 / np.linalg.norm(right - left)
    turn = -np.arctan2(*(right - left)[::-1])
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (dense.points - left) @ matrix.T + np.array([0.4, 0.42]) * 256
    by_hand = Locator(eyes=tuple(points[[0, 17]].ravel().tolist()))
    assert found.score <= 1
    other = RigTranslator(by_hand, Marked(points))  # type: ignore[arg-type]
    wanted = np.asarray(other.translate(made.pictures["neutral"], name, strength))
    ours = made.pictures[name]
    assert np.abs(ours.astype(float) - made.pictures["neutral"]).mean() > 0.5
    assert np.abs(ours.astype(float) - wanted).mean() < 0.05


# Amounts


def test_amounts_lie_about_the_strength_and_depend_on_the_seed_alone() -> None:
    plain = Poses(strength=0.7).amounts("AP01")
    assert plain == dict.fromkeys(EXPRESSIONS, 0.7)
    drawn = [Poses(strength=2.0, jitter=0.3, seed=s).amounts(f"AP{k:03}")
             for s in (-1, 0, 1) for k in range(200)]  # fmt: skip
    values = np.array([list(amounts.values()) for amounts in drawn])
    assert values.min() >= 1.4
    assert values.max() <= 2.6
    assert abs(values.mean() - 2.0) < 0.02
    assert len(np.unique(values)) == values.size
    again = Poses(("sad",), strength=2.0, jitter=0.3, seed=1).amounts("AP007")
    assert again["sad"] == drawn[2 * 200 + 7]["sad"]


def test_the_table_says_what_each_picture_was_made_from(
    command, people: Path, tmp_path: Path
) -> None:
    options = ("--expr", "smile", "--expr", "SA", "--jitter", 0.5, "--seed", 3, "--size", 64)
    done = command("data", "pose", people, "-o", tmp_path / "set", *options, "--json")
    assert done.code == 0, done.err
    facts = {"photos": 3, "pictures": 9, "folder": str(tmp_path / "set"), "problems": []}
    assert json.loads(done.out) == facts
    with (tmp_path / "set" / "posed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["picture"] for row in rows} == {
        name for name in files_in(tmp_path / "set") if name.endswith(".png")
    }
    amounts = {row["picture"]: float(row["strength"]) for row in rows}
    assert amounts["KDEF/AP01/AP01NES.png"] == 0
    posed = [amount for amount in amounts.values() if amount]
    assert len(set(posed)) == 6
    assert all(0.5 <= amount <= 1.5 for amount in posed)
    assert {(row["who"], Path(row["photo"]).name) for row in rows} == {
        ("F01", "AF01NES.png"), ("F02", "AF02NES.png"), ("M01", "AM01NES.png")
    }  # fmt: skip


def test_more_strength_moves_more(people: Path) -> None:
    photo = find_photos(people)[0][0]
    translator = RigTranslator()
    face = pixels(photo.path)
    moved = []
    for strength in (0.0, 0.5, 1.0):
        made = pose(face, translator, photo, "AP01", Poses(("happy",), 96, strength))
        moved.append(np.abs(made.pictures["happy"].astype(float) - made.pictures["neutral"]).mean())
    assert moved == sorted(moved)
    assert moved[2] > 1.3 * moved[1] > 1.3 * moved[0]


# What is taken


def test_of_a_known_layout_neutral_photos_are_taken_of_others_all(
    people: Path, tmp_path: Path
) -> None:
    photos, how = find_photos(people)
    assert [photo.path.name[:4] for photo in photos] == ["AF01", "AF02", "AM01"]
    assert how == "layout kdef, 3 neutral of 6 photos"
    strange = shutil.copytree(people, tmp_path / "strange")
    shutil.copy(photos[0].path, strange / "KDEF" / "AF01NEHL.png")
    shutil.copy(photos[0].path, strange / "me.png")
    photos, how = find_photos(strange)
    assert len(photos) == 3
    assert "; 1 left out: not a straight view; 1 not understood" in how
    shutil.rmtree(strange)
    for name in ("ana.png", "more/ben.png"):
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(place)
    photos, how = find_photos(tmp_path)
    assert [p.path.name for p in photos] == ["ana.png", "ben.png"]
    assert len({p.person for p in photos}) == 2
    assert "every picture" in how
    (one,), how = find_photos(tmp_path / "ana.png")
    assert (one.person, how) == ("ana", "")
    with pytest.raises(DataError):
        find_photos(tmp_path, "kdef")
    shutil.copytree(people, tmp_path / "smiles", ignore=shutil.ignore_patterns("*NES*"))
    with pytest.raises(DataError, match="nobody neutral, only happy; --layout flat"):
        find_photos(tmp_path / "smiles")
    assert len(find_photos(tmp_path / "smiles", "flat")[0]) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        find_photos(tmp_path / "empty")


def test_a_persons_photographs_become_sessions() -> None:
    photos = [Photo("b", "neutral", f"b{k}") for k in range(2)]
    photos += [Photo("a", "neutral", f"a{k}") for k in range(len(SESSIONS) + 1)]
    coded, problems = _coded(photos)
    codes = [code for code, _ in coded]
    assert codes[:4] == ["AP01", "BP01", "AP02", "BP02"]
    assert len(set(codes)) == len(codes) == 2 + len(SESSIONS)
    assert [problem.path.name for problem in problems] == [f"a{len(SESSIONS)}"]
    many, _ = _coded([Photo(str(k), "neutral", str(k)) for k in range(120)])
    assert (many[0][0], many[-1][0]) == ("AP001", "AP120")


# The command


def test_bad_photographs_are_named_and_the_rest_goes_on(
    command, people: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(people, tmp_path / "in")
    (folder / "KDEF" / "AF02" / "AF02NES.png").write_bytes(b"broken")
    (folder / "KDEF" / "AM01" / "AM01NES.pts").unlink()
    Image.new("RGB", (300, 300), "tan").save(folder / "KDEF" / "AM01" / "AM01NES.png")
    options = ("--expr", "happy", "--size", 64, "--detector", "bundled")
    done = command("data", "pose", folder, "-o", tmp_path / "out", *options)
    assert done.code == 0, done.err
    assert "wrote 2 pictures of 1 photographs" in done.err
    assert [line.split()[0] for line in done.out.splitlines()] == ["problem"] * 2
    assert "AF02NES.png" in done.out
    assert "no face" in done.out
    assert files_in(tmp_path / "out") == {
        "posed.csv", *(f"KDEF/AP01/AP01{c}S.{s}" for c in ("NE", "HA") for s in ("png", "pts"))
    }  # fmt: skip
    bad = folder / "KDEF" / "AF02" / "AF02NES.png"
    done = command("data", "pose", bad, "-o", tmp_path / "none", *options)
    assert done.code == 1
    assert "none of the 1 photographs" in done.error
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_meant_is_refused_before_the_work(
    command, people: Path, posed: Path, tmp_path: Path
) -> None:
    before = files_in(posed)
    done = command("data", "pose", people, "-o", posed, "--expr", "happy")
    assert done.code == 2
    assert "another folder" in done.err
    assert files_in(posed) == before
    done = command("data", "pose", people, "-o", tmp_path / "x", "--expr", "smug")
    assert done.code == 2
    assert "contemptuous" in done.err
    (tmp_path / "file").write_text("")
    done = command("data", "pose", people, "-o", tmp_path / "file")
    assert done.code == 2
    assert command("data", "pose", tmp_path / "gone").code == 2
    assert files_in(tmp_path) == {"file"}
    with pytest.raises(UnknownNameError):
        Poses(("neutral",))


def test_people_of_two_folders_are_different_people(command, people: Path, tmp_path: Path) -> None:
    one, other = (people / "KDEF" / code / f"{code}NES.png" for code in ("AF01", "AF02"))
    for place, file in (("a", one), ("b", other)):
        (tmp_path / place).mkdir()
        for found in (file, file.with_suffix(".pts")):
            shutil.copy(found, tmp_path / place / f"me{found.suffix}")
    inputs = (tmp_path / "a" / "me.png", tmp_path / "b" / "me.png")
    done = command("data", "pose", *inputs, "-o", tmp_path / "o", "--expr", "sad", "--size", 48)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "o" / "KDEF").iterdir()} == {"AP01", "AP02"}


def test_fit_takes_the_set_as_it_is(command, posed: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    options = ("--model", "rr", "--size", 48, "--prior", "identity", "--holdout", 0.34)
    done = command("fit", "--data", posed, *options, "-o", file)
    assert done.code == 0, done.err
    assert "aligned by the eyes: 42 pictures by their landmark files\n" in done.err
    assert set(modelfile.load(file).targets) == SEVEN


def test_landmarks_beside_a_photograph_are_the_faces_own(london: Path, tmp_path: Path) -> None:
    photo = find_photos(london / "neutral_front")[0][0]
    assert photo.landmarks is not None
    translator = RigTranslator(Locator(detector="no such detector"))
    made = pose(pixels(photo.path), translator, photo, "AP01", Poses(("sad",), 128))
    face = read_landmarks(photo.landmarks)
    assert face_from_eyes(made.points[:2]).eye_distance == pytest.approx(0.2 * 128)
    share = np.linalg.norm(made.points[3] - made.points[4]) / (0.2 * 128)
    mouth = np.linalg.norm(face.points[3] - face.points[4]) / face.eye_distance
    assert share == pytest.approx(mouth, rel=1e-6)
