"""Every layout on fixtures with the data set's own names, and the choice between layouts."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts import layout_names, scan
from pixelreg.data.pairs import pair, targets
from pixelreg.data.photos import Listing
from pixelreg.errors import DataError, UnknownNameError


def picture(path: Path, size: tuple[int, int] = (4, 5), colour: str = "tan") -> Path:
    """A real picture file of a few pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        picture(root / name)
    return root


def found(listing: Listing) -> set[tuple[str, str, str, str]]:
    """Person, expression, session and relative path of every photo."""
    return {
        (p.person, p.expression, p.session, p.path.relative_to(listing.root).as_posix())
        for p in listing.photos
    }


def problems(listing: Listing) -> set[str]:
    return {problem.path.relative_to(listing.root).as_posix() for problem in listing.problems}


# A paragraph for each set: its layout, its pairs from one expression to another; then photos (path,
# person, expression, session), after - those left out, after ? those whose names say nothing.
CASES = """
kdef: 2 from neutral to happy
KDEF/AF01/AF01NES.JPG F01 neutral A, KDEF/AF01/AF01HAS.JPG F01 happy A
KDEF/BF01/BF01NES.JPG F01 neutral B, KDEF/BF01/BF01HAS.JPG F01 happy B
KDEF/AM31/AM31AFS.JPG M31 afraid A, KDEF/AM31/AM31ANS.JPG M31 angry A
KDEF/AM31/AM31DIS.JPG M31 disgusted A, KDEF/AM31/AM31SAS.JPG M31 sad A
KDEF/AM31/AM31SUS.JPG M31 surprised A, KDEF/CP007/CP007COS.png P007 contemptuous C
- KDEF/AF01/AF01NEFL.JPG KDEF/AF01/AF01NEHL.JPG KDEF/AF01/AF01NEHR.JPG KDEF/AF01/AF01NEFR.JPG
- AKDEF/FHAS.JPG, ? KDEF/AF31/AF31V.JPG KDEF/AM31/AM31H.JPG KDEF/AP1/AP1NES.png

akdef: 2 from neutral to happy
AKDEF/FNES.JPG F neutral, AKDEF/FHAS.JPG F happy, AKDEF/MNES.JPG M neutral, AKDEF/MHAS.JPG M happy
- AKDEF/FHAHL.JPG

rafd: 1 from neutral to happy
Rafd090_28_Caucasian_male_neutral_frontal.jpg 28 neutral
Rafd090_28_Caucasian_male_happy_frontal.jpg 28 happy
Rafd090_28_Caucasian_male_angry_frontal.jpg 28 angry
Rafd090_28_Caucasian_male_fearful_frontal.jpg 28 afraid
Rafd090_28_Caucasian_male_contemptuous_frontal.jpg 28 contemptuous
Rafd090_71_Moroccan_male_neutral_frontal.jpg 71 neutral
Rafd090_65_Kid_female_disgusted_frontal.jpg 65 disgusted
- Rafd045_28_Caucasian_male_happy_frontal.jpg Rafd090_28_Caucasian_male_happy_left.jpg
- Rafd090_28_Caucasian_male_happy_right.jpg, ? Rafd090_28_Caucasian_male_puzzled_frontal.jpg

cfee: 1 from neutral to happy
01-04/Images1/01_126_3963.jpg 126 neutral, 01-04/Images1/02_126_3970.jpg 126 happy
01-04/Images1/03_126_3975.jpg 126 sad, 01-04/Images1/04_126_3980.jpg 126 afraid
05-08/Images2/05_126_5449.jpg 126 angry, 05-08/Images2/06_126_2638.jpg 126 surprised
05-08/Images2/07_126_2640.jpg 126 disgusted, 05-08/Images2/08_126_2641.jpg 126 compound-08
21-26/Images6/23_178_6632.jpg 178 compound-23, 21-26/Images6/26_178_6640.jpg 178 compound-26
21-26/Images6/04_221.jpg 221 afraid
? 21-26/Images6/260_19.png.jpg 21-26/Images6/27_126_1.jpg 01-04/Images1/00_126_1.jpg

bosphorus: 1 from neutral to happy
bs000/bs000_N_N_0.png bs000 neutral 0, bs000/bs000_N_N_1.png bs000 neutral 1
bs000/bs000_E_HAPPY_0.png bs000 happy 0, bs000/bs000_E_SURPRISE_0.png bs000 surprised 0
bs000/bs000_E_FEAR_0.png bs000 afraid 0, bs000/bs000_E_SADNESS_0.png bs000 sad 0
bs000/bs000_E_ANGER_0.png bs000 angry 0, bs000/BS000_E_DISGUST_0.png bs000 disgusted 0
- bs000/bs000_LFAU_12_0.png bs000/bs000_YR_R10_0.png bs000/bs000_O_EYE_0.png
? bs000/thumbnail.png bs000/bs000_E_PUZZLED_0.png

jaffe: 3 from neutral to happy
KA.NE1.26.tiff KA neutral 1, KA.NE2.27.tiff KA neutral 2, KA.NE3.28.tiff KA neutral 3
KA.HA1.29.tiff KA happy 1, KA.HA2.30.tiff KA happy 2, KA.HA3.31.tiff KA happy 3
KA.AN1.39.tiff KA angry 1, KA.FE1.45.tiff KA afraid 1, ? KA.XX1.50.tiff

fei: 2 from neutral to happy
12a.jpg 12 neutral, frontalimages/200a.jpg 200 neutral
12b.jpg 12 happy, frontalimages/200B.jpg 200 happy, ? 12c.jpg

cuhk: 4 from photo to sketch, aligned
photos/f-005-01.jpg f-005 photo 01, sketches/F2-005-01-sz1.jpg f-005 sketch 01
photos/m-018-01.jpg m-018 photo 01, sketches/M2-018-01-sz1.jpg m-018 sketch 01
photos/f1-001-01.jpg f1-001 photo 01, sketches/f1-001-01-sz1.jpg f1-001 sketch 01
photos/m-063-01.jpg m-063 photo 01, sketches/m-063-01-sz1.jpg m-063 sketch 01
? photos/overview.jpg

cufsf: 3 from photo to sketch
original_sketch/00001.jpg 00001 sketch, photo/00001fb010_930831.tif 00001 photo
original_sketch/00002.jpg 00002 sketch, colour/00002_930831_fa.ppm 00002 photo
original_sketch/01196.jpg 01196 sketch, colour/01196_960627_fb_a.ppm 01196 photo
photo/00081fa011d_931230.tif 00081 photo
- cropped_sketch/00001.jpg, ? photo/00001ql010_930831.tif 00003.jpg

sketches: 4 from photo to sketch, aligned
photo/ana/1.png ana photo 1, sketch/ana/1.png ana sketch 1
photo/ana/2.png ana photo 2, sketch/ana/2.png ana sketch 2
photo/team/ben/1.jpg team/ben photo 1, sketch/team/ben/1.png team/ben sketch 1
photo/eva.png eva photo, sketch/eva.png eva sketch, photo/tom.png tom photo, ? overview.png

london: 1 from neutral to happy
neutral_front/001_03.jpg 001 neutral, smiling_front/001_08.jpg 001 happy
neutral_front/002_03.jpg 002 neutral
- neutral_side/001_01.jpg, ? neutral_front/mean.jpg holiday/001_03.jpg

folders: 2 from neutral to happy
neutral/ana.png ana neutral, Happiness/ana.JPEG ana happy, Big_Grin/ana.png ana big-grin
neutral/team/ben.bmp team/ben neutral, smile/team/ben.webp team/ben happy, ? overview.png

by-person: 3 from neutral to happy
ana/neutral.png ana neutral, ana/Happy.JPG ana happy, ana/Big_Grin.png ana big-grin
team/ben/ben_neutral.png team/ben neutral, team/ben/ben_smile.png team/ben happy
eva/0_neutral.jpg eva neutral, eva/happy_2.jpg eva happy 2, eva/big-grin.png eva big-grin
? logo.png

stargan: 2 from neutral to happy
train/neutral/7.jpg train/7 neutral, train/happy/7.jpg train/7 happy
test/neutral/7.jpg test/7 neutral, test/happy/7.jpg test/7 happy
test/angry/8.jpg test/8 angry, ? logo.png

ab-folders: 2 from A to B, aligned
trainA/n01.jpg train/n01 A, trainB/n01.jpg train/n01 B, trainA/n02.jpg train/n02 A
testA/n01.jpg test/n01 A, testB/n01.jpg test/n01 B, ? latest/n01.jpg
"""
SETS = {text.partition(":")[0]: text for text in CASES.strip().split("\n\n")}


@pytest.mark.parametrize("asked", ["auto", "named"])
@pytest.mark.parametrize("layout", SETS)
def test_layout(tmp_path: Path, layout: str, asked: str) -> None:
    first, *lines = SETS[layout].splitlines()
    _, count, _, source, _, target, *aligned = first.replace(",", "").split()
    rows = [row.split() for line in lines for row in line.split(", ")]
    shown = [row for row in rows if row[0] not in "-?"]
    skipped, strange = ({p for row in rows if row[0] == sign for p in row[1:]} for sign in "-?")
    pictures(tmp_path, *(row[0] for row in shown), *skipped, *strange)
    listing = scan(tmp_path, layout if asked == "named" else asked)
    assert listing.layout == layout
    assert found(listing) == {(*row[1:], *[""] * (4 - len(row)), row[0]) for row in shown}
    assert problems(listing) == strange
    assert all("name not understood" in problem.reason for problem in listing.problems)
    assert sum(number for _, number in listing.skipped) == len(skipped)
    assert (listing.source, listing.aligned) == (source, bool(aligned))
    assert len(pair(listing, source, target).pairs) == int(count)
    assert target in targets(listing, source)


def test_every_layout_has_a_test() -> None:
    assert {*SETS, "ckplus", "pix2pix", "csv", "flat"} == set(layout_names())


def test_kdef_reports_black_files_and_leaves_damaged_ones_to_the_reader(tmp_path: Path) -> None:
    pictures(tmp_path, "AF01NES.JPG")
    picture(tmp_path / "AF01HAS.JPG", (562, 762), "black")
    (tmp_path / "AF01SAS.JPG").write_bytes(b"not a picture")
    Image.new("1", (12_000, 8_000)).save(tmp_path / "AF01ANS.PNG")  # 96 megapixels in 12 kB
    assert (tmp_path / "AF01ANS.PNG").stat().st_size < 20_000
    listing = scan(tmp_path)
    assert set(listing.expressions) == {"neutral", "sad", "angry"}
    assert [(p.path.name, p.reason) for p in listing.problems] == [("AF01HAS.JPG", "all black")]


def ckplus(root: Path, sequence: str, frames: int, label: str | None) -> None:
    person, number = sequence.split("_")
    for frame in range(1, frames + 1):
        name = f"{sequence}_{frame:08}.png"
        picture(root / "cohn-kanade-images" / person / number / name)
    if label is not None:
        folder = root / "Emotion" / person / number
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sequence}_{frames:08}_emotion.txt").write_text(label)


CK_LABELS = ["angry", "contemptuous", "disgusted", "afraid", "happy", "sad", "surprised"]


@pytest.mark.parametrize(("number", "expression"), list(enumerate(CK_LABELS, start=1)))
def test_ckplus(tmp_path: Path, number: int, expression: str) -> None:
    ckplus(tmp_path, "S005_001", 11, f"   {number}.0000000e+00\n")
    ckplus(tmp_path, "S010_003", 4, None)
    folder = "cohn-kanade-images/S005/001"
    for listing in (scan(tmp_path), scan(tmp_path, "ckplus")):
        assert listing.layout == "ckplus"
        assert found(listing) == {
            ("S005", "neutral", "001", f"{folder}/S005_001_00000001.png"),
            ("S005", expression, "001", f"{folder}/S005_001_00000011.png"),
        }
        assert dict(listing.skipped) == {
            "frame between neutral and peak": 9,
            "frame of a sequence without a label": 4,
        }
        assert len(pair(listing, "neutral", expression).pairs) == 1


def test_ckplus_problems(tmp_path: Path) -> None:
    ckplus(tmp_path, "S005_001", 3, "3.0")
    ckplus(tmp_path, "S006_001", 3, "no number")
    ckplus(tmp_path, "S007_001", 3, "8.0")
    ckplus(tmp_path, "S008_001", 1, "3.0")
    picture(tmp_path / "montage.png")
    listing = scan(tmp_path, "ckplus")
    assert set(listing.people) == {"S005"}
    assert {problem.path.name for problem in listing.problems} == {
        "S006_001_00000003_emotion.txt",
        "S007_001_00000003_emotion.txt",
        "S008_001_00000001.png",
        "montage.png",
    }


@pytest.mark.parametrize("layout", ["auto", "pix2pix"])
@pytest.mark.parametrize("wrapper", ["", "facades/"])
def test_pix2pix(tmp_path: Path, layout: str, wrapper: str) -> None:
    for name in ("train/1.jpg", "train/2.jpg", "val/1.jpg"):
        picture(tmp_path / wrapper / name, (16, 8))
    picture(tmp_path / wrapper / "train/3.jpg", (17, 8))
    (tmp_path / wrapper / "train/4.jpg").write_bytes(b"")
    listing = scan(tmp_path, layout)
    assert (listing.layout, listing.source, listing.aligned) == ("pix2pix", "A", True)
    assert [(p.person, p.expression, p.half) for p in listing.photos] == [
        (person, *side)
        for person in ("train/1", "train/2", "val/1")
        for side in (("A", "left"), ("B", "right"))
    ]
    reasons = {p.path.name: p.reason for p in listing.problems}
    assert reasons == {
        "3.jpg": "17x8 is not twice as wide as high",
        "4.jpg": "cannot be read as a picture",
    }
    pairing = pair(listing, "A", "b")
    assert len(pairing.pairs) == 3
    assert all(p.source.path == p.target.path for p in pairing.pairs)


@pytest.mark.parametrize("by_folder", [True, False])
def test_csv(tmp_path: Path, by_folder: bool) -> None:
    pictures(tmp_path, "in/a0.png", "in/a1.png", "b0.png", "unlisted.png")
    table = tmp_path / "faces.csv"
    table.write_text(
        "Path, Person ,EXPRESSION,session\n"
        "in/a0.png,Ana,neutral,2\n"
        "in/a1.png,Ana,HA,2\n"
        "\n"
        'b0.png,"Ben, the other",smile,\n'
        "gone.png,Ben,neutral,1\n"
        "in/a0.png,Ana,sad,1\n"
        "in/a0.png,,sad,1\n"
        "faces.csv,Ana,sad,1\n",
        encoding="utf-8-sig",
    )
    listing = scan(tmp_path if by_folder else table)
    assert listing.layout == "csv"
    assert {(p.person, p.expression, p.session, p.path.name) for p in listing.photos} == {
        ("Ana", "neutral", "2", "a0.png"),
        ("Ana", "happy", "2", "a1.png"),
        ("Ben, the other", "happy", "", "b0.png"),
    }
    assert [(p.path.name, p.reason) for p in listing.problems] == [
        ("gone.png", "missing (line 6 of faces.csv)"),
        ("a0.png", "listed again in line 7 of faces.csv"),
        ("faces.csv", "line 8 lacks a person, an expression or a path"),
        ("faces.csv", "not a picture (line 9 of faces.csv)"),
    ]
    assert dict(listing.skipped) == ({"not in the table": 1} if by_folder else {})


@pytest.mark.parametrize(
    ("table", "asked", "message"),
    [
        ("a,neutral,a.png\n", "by file", "person,expression,path"),
        ("a,neutral,a.png\n", "csv", "person,expression,path"),
        ("person,expression,path\nAna,neutral,gone.png\n", "auto", r"gone\.png: missing \(line 2"),
        ("person,expression,path\nJos\xe9,neutral,a.png\n", "csv", "UTF-8"),
    ],
)
def test_bad_tables(tmp_path: Path, table: str, asked: str, message: str) -> None:
    file = tmp_path / "faces.csv"
    file.write_text(table, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        scan(file) if asked == "by file" else scan(tmp_path, asked)


def test_two_tables_are_ambiguous(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("person,expression,path\nAna,neutral,a.png\n")
    with pytest.raises(DataError, match=r"one\.csv, two\.csv"):
        scan(tmp_path)
    assert len(scan(tmp_path / "two.csv").photos) == 1


def test_a_table_wins_over_names(tmp_path: Path) -> None:
    pictures(tmp_path, "neutral/a.png", "happy/a.png")
    (tmp_path / "faces.csv").write_text("person,expression,path\nAna,sad,happy/a.png\n")
    listing = scan(tmp_path)
    assert (listing.layout, listing.expressions) == ("csv", {"sad": 1})


@pytest.mark.parametrize("wrapper", ["", "FERET/CUFSF"])
def test_cufsf_takes_the_photographs_that_were_drawn(tmp_path: Path, wrapper: str) -> None:
    root = tmp_path / wrapper
    pictures(
        root,
        *("original_sketch/00001.jpg", "original_sketch/00002.jpg"),
        *("photo/00001fa010_930831.tif", "photo/00001fb010_930831.tif"),
        *("photo/00002_930831_fa.ppm", "photo/00002_940422_fa.ppm", "photo/00002_930831_fb.ppm"),
    )
    everything = scan(tmp_path)
    assert (everything.layout, len(everything.photos)) == ("cufsf", 7)
    names = "00001fb010_930831.tif\r\nfb\\00002fb010_930831.tif\r\n"
    (root / "names_of_photos_used_for_drawing_sketches.txt").write_text(names, newline="")
    listing = scan(tmp_path)
    assert {p.path.name for p in listing.photos if p.expression == "photo"} == {
        "00001fb010_930831.tif", "00002_930831_fb.ppm",
    }  # fmt: skip
    assert listing.skipped == (("photograph that no sketch was drawn from", 3),)
    assert len(pair(listing, "sketch", "photo").pairs) == 2


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("folders", "anger/S010_004_00000017.png happy/S011_006_00000011.png"),  # sorted CK+
        ("sketches", "sketch/00001.jpg photo/00001.jpg"),  # not CUFSF, nor is this:
        ("folders", "sketch/00001.jpg sketch/00002.jpg neutral/a.png"),
        ("kdef", "12a.jpg 12b.jpg AF01NES.JPG AF01HAS.JPG AF01SAS.JPG"),
        ("jaffe", "happy/KA.HA1.29.tiff neutral/KA.NE1.26.tiff"),  # the more particular one
        ("folders", "set/v2/neutral/a.png set/v2/happy/a.png"),
    ],
)
def test_which_layout_wins(tmp_path: Path, layout: str, names: str) -> None:
    assert scan(pictures(tmp_path, *names.split())).layout == layout


def test_another_layout_than_the_best_can_be_named(tmp_path: Path) -> None:
    pictures(tmp_path, "12a.jpg", "12b.jpg", "AF01NES.JPG", "AF01HAS.JPG", "AF01SAS.JPG")
    assert problems(scan(tmp_path)) == {"12a.jpg", "12b.jpg"}
    assert scan(tmp_path, "fei").expressions == {"neutral": 1, "happy": 1}


def test_sketches_of_another_size_than_the_photographs_are_not_aligned(tmp_path: Path) -> None:
    pictures(tmp_path, "photo/ana.png", "sketch/ana.png", "photo/ben.png")
    assert scan(tmp_path).aligned
    picture(tmp_path / "sketch" / "ben.png", (5, 4))
    listing = scan(tmp_path)
    assert (listing.layout, listing.aligned) == ("sketches", False)
    assert scan(tmp_path, "folders").layout == "folders"


def test_london_templates_and_stray_files(tmp_path: Path) -> None:
    pictures(tmp_path, "neutral_front/001_03.jpg", "smiling_front/001_08.jpg")
    (tmp_path / "neutral_front/001_03.tem").write_text("0\n")
    (tmp_path / "neutral_front/._001_03.jpg").write_bytes(b"\0\5\26\7")
    picture(tmp_path / ".cache/002_03.jpg")
    picture(tmp_path / "__MACOSX/002_03.jpg")
    (tmp_path / "london_info.csv").write_text("face_id,face_age\n001,24\n")
    listing = scan(tmp_path)
    assert listing.layout == "london"
    assert [photo.landmarks for photo in listing.photos] == [
        tmp_path / "neutral_front/001_03.tem",
        None,
    ]
    assert listing.problems == ()


def test_the_real_london_set(london: Path) -> None:
    listing = scan(london)
    assert (listing.layout, listing.source, listing.aligned) == ("london", "neutral", False)
    assert len(listing.people) == 80
    assert listing.expressions == {"neutral": 80, "happy": 80}
    assert (listing.problems, listing.skipped) == ((), ())
    assert sum(photo.landmarks is not None for photo in listing.photos) == 80
    pairing = pair(listing, "neutral", "smiling")
    assert len(pairing.pairs) == 80
    assert pairing.unpaired == ()
    assert targets(listing, "neutral") == ("happy",)


@pytest.mark.parametrize("name", ["photo", "sketch"])
def test_folders_of_any_name_start_from_what_they_have(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, f"{name}/a.png", "x/a.png")
    assert scan(tmp_path).source == ("photo" if name == "photo" else "neutral")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    pictures(tmp_path / "elsewhere", "a.png")
    root = pictures(tmp_path / "set", "neutral/a.png")
    (root / "happy").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "neutral" / "loop").symlink_to(root, target_is_directory=True)
    assert scan(root).expressions == {"neutral": 1, "happy": 1}


def test_an_unreadable_folder_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "neutral/a.png", "happy/a.png", "sad/a.png")
    real = os.scandir

    def scandir(folder: str) -> Any:
        # Permissions of the file system do not stop the superuser, who may run the tests.
        if Path(folder) in locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    locked = {tmp_path / "sad"}
    listing = scan(tmp_path)
    assert [(p.path.name, p.reason) for p in listing.problems] == [
        ("sad", "unreadable: Permission denied")
    ]
    assert listing.expressions == {"neutral": 1, "happy": 1}
    locked = {tmp_path}
    with pytest.raises(DataError, match=r"cannot list .*Permission denied"):
        scan(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "Tiff", "tif", "bmp", "webp", "ppm"])
def test_any_picture_suffix(tmp_path: Path, suffix: str) -> None:
    pictures(tmp_path, f"1a.{suffix}", f"1b.{suffix}")
    assert len(scan(tmp_path, "fei").photos) == 2


@pytest.mark.parametrize("layout", ["auto", "kdef", "csv", "pix2pix"])
def test_missing_and_empty_folders(tmp_path: Path, layout: str) -> None:
    with pytest.raises(DataError, match="no such folder"):
        scan(tmp_path / "nowhere", layout)
    (tmp_path / "notes.txt").write_text("1a.jpg")
    with pytest.raises(DataError, match=r"no pictures in .*look(s|ed) for"):
        scan(tmp_path, layout)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a file"):
        scan(picture(tmp_path / "1a.jpg"))


@pytest.mark.parametrize(
    ("layout", "names", "message"),
    [
        ("rafd", "12a.jpg 12b.jpg", r"12a\.jpg.*'rafd' looks for Rafd090"),
        ("london", "holiday/001_03.jpg holiday/001_08.jpg", "name not understood"),
        ("auto", "AF01NEFL.JPG AF01HAFL.JPG", "2 not a straight view"),
        ("auto", "holiday.jpg holidays/beach.jpg", "2 pictures|not twice as wide"),
        ("kedf", "12a.jpg", r"unknown layout 'kedf'; .*auto, csv, akdef, kdef"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, layout: str, names: str, message: str
) -> None:
    with pytest.raises((DataError, UnknownNameError), match=message) as error:
        scan(pictures(tmp_path, *names.split()), layout)
    assert "\n" not in str(error.value)
    if "holiday.jpg" in names:
        assert all(f"{name}: " in str(error.value) for name in layout_names())


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        ("happy", ["HA", "happiness", "Smile"]),
        ("angry", ["AN", "anger"]),
        ("afraid", ["AF", "fear", "Fearful", "FE"]),
        ("disgusted", ["DI"]),
        ("surprised", ["SU", "surprise"]),
        ("sad", ["SA", " Sadness "]),
        ("neutral", ["NE"]),
        ("contemptuous", ["contempt"]),
        ("A", ["a"]),
        ("B", ["B"]),
        ("sketch", ["Sketch"]),
        ("big-smile", ["Big_Smile"]),
    ],
)
def test_canonical(expected: str, names: list[str]) -> None:
    assert {canonical(name) for name in names} == {expected}


@given(st.text())
def test_canonical_names_stay_as_they_are(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)
    assert [canonical(known.upper()) for known in CANONICAL] == list(CANONICAL)


def test_import_is_light() -> None:
    script = (
        "import sys, pixelreg.data.layouts, pixelreg.data.pairs, pixelreg.data.download\n"
        "print(sorted({'numpy', 'PIL', 'pooch', 'requests', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
