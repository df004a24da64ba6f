"""Folders and tables as people have them: names, letters, Unicode, tables, pools, sides."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from cli_tools import Command
from PIL import Image
from test_layouts import picture, pictures

from pixelreg.commands.console import summed_up
from pixelreg.data.layouts import scan
from pixelreg.data.names import one_spelling, without_words
from pixelreg.data.pairs import grouped_holdout, pair
from pixelreg.data.photos import Photo, Problem, first_reason
from pixelreg.data.pools import scan_all
from pixelreg.errors import DataError, UnknownNameError, UsageError
from pixelreg.fitting.recipe import provenance
from pixelreg.pictures import kinds

REPORTED = Path(__file__).parents[2] / "shared" / "data" / "reported"
ANDRE = "andr\u00e9"
APART = unicodedata.normalize("NFD", ANDRE)


def people(root: Path, target: str = "happy", **options: str) -> list[str]:
    """Who has a pair."""
    listing = scan(root, **options)
    return [found.person for found in pair(listing, listing.source, target).pairs]


CASES = ["10-tables/backslash", "11-names/composed", "12-person-folders/set"]


@pytest.mark.parametrize("case", CASES)
def test_the_reported_folders_have_three_pairs(case, command: Command) -> None:
    if not REPORTED.is_dir():
        pytest.skip("needs the reported cases in ../shared")
    result = command("data", "list", REPORTED / case)
    assert (result.code, "3 photos, 3 pairs" in result.out) == (0, True)
    assert "people       3\n" in result.out


@pytest.mark.parametrize(
    ("neutral", "happy", "person"),
    [
        (ANDRE, APART, ANDRE),
        (APART, ANDRE, ANDRE),
        (APART.upper(), ANDRE, ANDRE.upper()),
        ("Ana", "ANA", "ANA"),
        ("ana maria", "Ana  Maria ", "Ana Maria"),
        ("team/ana", "Team/Ana", "Team/Ana"),
        ("straße", "STRASSE", "STRASSE"),
    ],
)
def test_names_compare_in_one_form(tmp_path, neutral, happy, person) -> None:
    pictures(tmp_path, f"neutral/{neutral}.png", f"HAPPY/{happy}.png", "neutral/ben.png")
    assert people(tmp_path) == [person]


def test_two_people_whose_names_differ_by_case_stay_two(tmp_path) -> None:
    names = [f"{shown}/{name}.png" for shown in ("neutral", "happy") for name in ("ana", "Ana")]
    listing = scan(pictures(tmp_path, *names))
    assert sorted(listing.people) == ["Ana", "ana"]
    pairs = pair(listing, "neutral", "happy").pairs
    assert [p.source.path.name == p.target.path.name for p in pairs] == [True, True]


def test_spellings_of_one_person_in_other_sessions_meet(tmp_path) -> None:
    photos = [Photo("Ana", "neutral", "a", "1"), Photo("ana", "neutral", "b", "2")]
    assert {photo.person for photo in one_spelling(photos)} == {"Ana"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("0_neutral/ana.png 1_happy/ana.png", ["ana"]),
        ("00-Neutral/ana.png 03.Smile/ana.png", ["ana"]),
        ("happy/ana_happy.png neutral/ana_neutral.png", ["ana"]),
        ("happy/Smile-ana.png neutral/neutral-ana.png", ["ana"]),
        ("happy/ana.png neutral/ana_neutral.png", ["ana"]),
        ("happy/SA_1.png neutral/SA_1.png", ["SA_1"]),
        ("sad/sad.png neutral/sad.png happy/sad.png", ["sad"]),
        ("happy/S010_004_00000017.png neutral/S010_004_00000001.png", ["S010"]),
        ("happy/S010_006_00000017.png neutral/s010_004_00000001.png", ["S010"]),
        ("train/happy/S010_006_00000017.png train/neutral/S010_006_00000001.png", ["train/S010"]),
        ("ana/happy.jpg ana/neutral.jpg ben/happy.jpg", ["ana"]),
        ("ana/ana-happy.jpg ana/ana-neutral.jpg", ["ana"]),
        ("set/ana/1_happy.jpg set/ana/0_neutral.jpg set/eva/laugh.jpg", ["set/ana", "ana"]),
    ],
)
def test_people_and_expressions_are_read_as_they_are_written(tmp_path, names, expected) -> None:
    who = people(pictures(tmp_path, *names.split()))
    assert len(who) == 1
    assert who[0] in expected


def test_files_by_person_that_are_called_after_no_expression_are_not_people(tmp_path) -> None:
    pictures(tmp_path, "neutral/happy.png", "happy/happy.png", "neutral/ana.png", "happy/ana.png")
    assert scan(tmp_path).layout == "folders"
    assert without_words("happy", ["happy"]) == "happy"


ROWS = [
    ["person", "expression", "path"],
    ["Ana", "neutral", "p/a1.png"],
    ["Ana", "happy", "p/a2.png"],
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_as_spreadsheets_write_them(tmp_path, encoding, delimiter, end) -> None:
    pictures(tmp_path, "p/a1.png", "p/a2.png")
    table = tmp_path / ("faces.tsv" if delimiter == "\t" else "faces.csv")
    rows = [[ANDRE if cell == "Ana" else cell for cell in row] for row in ROWS]
    text = end.join(delimiter.join(row) for row in rows) + end
    table.write_bytes(text.encode(encoding))
    for root in (tmp_path, table):
        assert people(root) == [ANDRE]
        assert scan(root).layout == "csv"


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("p\\a2.png", "p/a2.png"),
        (".\\p\\A2.PNG", "p/a2.png"),
        ("P/A2.png", "p/a2.png"),
        ("p//a2.png", "p/a2.png"),
        (f"p/{APART}.png", f"p/{ANDRE}.png"),
        (f"p/{ANDRE}.PNG", f"p/{APART}.png"),
        ("..\\SET\\p\\a2.png", "p/a2.png"),
    ],
)
def test_paths_in_tables_may_be_another_systems(tmp_path, path, file) -> None:
    root = pictures(tmp_path / "set", "p/a1.png", file)
    text = f"Person,EXPRESSION,Path\nana,neutral,p/a1.png\nana,happy,{path}\n"
    (root / "faces.csv").write_text(text, encoding="utf-8")
    listing = scan(root)
    assert (listing.problems, listing.skipped) == ((), ())
    assert len(pair(listing, "neutral", "happy").pairs) == 1


def test_a_path_that_may_mean_two_files_means_neither(tmp_path) -> None:
    pictures(tmp_path, "a1.png", "A2.png", "a2.PNG")
    (tmp_path / "t.csv").write_text(
        "person,expression,path\nana,neutral,a1.png\nana,sad,a2.png\nana,happy,A2.png\n"
    )
    listing = scan(tmp_path)
    assert [(p.path.name, p.reason) for p in listing.problems] == [
        ("a2.png", "missing (line 3 of t.csv)")
    ]
    assert len(listing.photos) == 2


def test_the_note_of_excel_before_the_header_is_passed_over(tmp_path) -> None:
    pictures(tmp_path, "p/a1.png", "p/a2.png")
    text = "\r\n".join(["sep=;", *(";".join(row) for row in ROWS)])
    (tmp_path / "faces.csv").write_text(text)
    assert people(tmp_path) == ["Ana"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("neutral/ana.png happy/ben.png", "neutral shows ana; happy shows ben. Name the pictures"),
        ("angry/ana.png happy/ana.png", "nobody is shown 'neutral'; choose with --from: happy, "),
        ("neutral/ana.png neutral/ben.png", "all pictures show 'neutral'; add pictures"),
    ],
)
def test_no_pairs_is_a_failure_with_its_reason(tmp_path, command: Command, names, says) -> None:
    pictures(tmp_path, *names.split())
    result = command("data", "list", tmp_path)
    assert result.code == 1
    assert "no person with both 'neutral' and another expression" in result.error
    assert says in result.error
    assert "layout       folders" in result.err  # what was found is still told
    told = command("data", "list", tmp_path, "--json")
    assert (told.code, json.loads(told.out)["pairs"]) == (1, {})
    fit = command("fit", "--data", tmp_path, "-o", tmp_path / "m.safetensors")
    assert fit.error == result.error


def test_what_to_start_from_is_chosen(tmp_path, command: Command) -> None:
    pictures(tmp_path, "angry/ana.png", "happy/ana.png")
    result = command("data", "list", tmp_path, "--from", "anger")
    assert result.code == 0
    assert "happy          1 photos, 1 pairs" in result.out


def test_pictures_that_have_no_partners_by_nature(tmp_path, command: Command) -> None:
    pictures(tmp_path, "000001.jpg", "000002.jpg", "more/000003.jpg")
    with pytest.raises(DataError, match="no known layout"):
        scan(tmp_path)
    for listing in (scan(tmp_path, "flat"), scan(tmp_path, pairs=False)):
        assert (listing.layout, listing.source) == ("flat", "photo")
        assert sorted(listing.people) == ["000001", "000002", "more/000003"]
    result = command("data", "list", tmp_path, "--layout", "flat")
    assert result.code == 0
    assert "photo          3 photos, without partners" in result.out


def test_ones_own_photographs_are_sketched(tmp_path, command: Command) -> None:
    for name in ("holiday.jpg", "aunt.png"):
        picture(tmp_path / "mine" / name, (40, 30))
    result = command("data", "sketch", tmp_path / "mine", tmp_path / "out")
    assert result.code == 0, result.err
    assert {p.parent.name for p in tmp_path.glob("out/sketch/*/*.png")} == {"holiday", "aunt"}


def test_what_cannot_be_read_is_counted_and_named(tmp_path) -> None:
    pictures(tmp_path, "neutral/a.png", "happy/a.png")
    # No .heic: another test may have let its plug-in in.
    for name in ("happy/b.svg", "happy/c.SVG", "clip.mp4", "notes.txt", "happy/a.tem"):
        (tmp_path / name).write_bytes(b"x")
    assert dict(scan(tmp_path).skipped) == {
        "picture of a kind that Pillow does not read here (.svg)": 2,
        "video (.mp4)": 1,
    }


def test_what_plug_ins_read_is_taken_where_they_are_installed(tmp_path, monkeypatch) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'formats' is not installed")
    for name in ("neutral/a.heic", "happy/a.heic"):
        (tmp_path / name).parent.mkdir()
        heif.from_pillow(Image.new("RGB", (64, 64), (90, 120, 60))).save(tmp_path / name)
    found = scan(tmp_path)
    assert (len(found.photos), dict(found.skipped)) == (2, {})
    assert len(pair(found, "neutral", "happy").pairs) == 1
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    monkeypatch.setattr(Image, "registered_extensions", lambda: {".png": "PNG"})
    with pytest.raises(DataError, match=r"no usable picture.*2 picture of a kind .*\.heic"):
        scan(tmp_path)


def kdef(root: Path, *views: str) -> Path:
    names = [f"AF01{shown}{view}.JPG" for shown in ("NE", "HA") for view in views]
    return pictures(root, *(f"KDEF/AF01/{name}" for name in names))


def test_side_views_on_request(tmp_path, command: Command) -> None:
    kdef(tmp_path, "S", "HL", "FR")
    assert len(scan(tmp_path).photos) == 2
    assert dict(scan(tmp_path).skipped) == {"not a straight view": 4}
    listing = scan(tmp_path, views=["hl", "S"])
    assert {(p.session, p.path.stem[6:]) for p in listing.photos} == {("A", "S"), ("A-HL", "HL")}
    assert dict(listing.skipped) == {"not a straight view": 2}
    every = pair(scan(tmp_path, views=["all"]), "neutral", "happy").pairs
    assert len(every) == 3
    assert all(p.source.path.stem[6:] == p.target.path.stem[6:] for p in every)
    with pytest.raises(UnknownNameError, match=r"unknown view of kdef 'up'; .*S, FL, HL, HR, FR"):
        scan(tmp_path, views=["up"])
    result = command("data", "list", tmp_path, "--views", "HL, FR")
    assert "happy          2 photos, 2 pairs" in result.out


def test_side_views_of_other_sets(tmp_path) -> None:
    rafd = "Rafd{}_28_Caucasian_male_{}_frontal.jpg"
    names = [rafd.format(view, shown) for view in ("090", "045") for shown in ("neutral", "happy")]
    pictures(tmp_path / "rafd", *names)
    assert len(pair(scan(tmp_path / "rafd"), "neutral", "happy").pairs) == 1
    assert len(pair(scan(tmp_path / "rafd", views=["045"]), "neutral", "happy").pairs) == 1
    assert len(pair(scan(tmp_path / "rafd", views=["all"]), "neutral", "happy").pairs) == 2
    pictures(tmp_path / "london", *(f"neutral_x/001_{n:02}.jpg" for n in range(1, 6)))
    pictures(tmp_path / "london", *(f"smiling_x/001_{n:02}.jpg" for n in range(6, 11)))
    assert len(scan(tmp_path / "london").photos) == 2
    pairs = pair(scan(tmp_path / "london", views=["all"]), "neutral", "happy").pairs
    assert sorted((p.source.path.stem, p.target.path.stem) for p in pairs) == [
        (f"001_{n:02}", f"001_{n + 5:02}") for n in range(1, 6)
    ]
    pictures(tmp_path / "plain", "neutral/a.png", "happy/a.png")
    with pytest.raises(UsageError, match="'folders' knows no views: leave out --views"):
        scan(tmp_path / "plain", views=["all"])


def test_pools_keep_people_apart_unless_the_set_knows_them(tmp_path) -> None:
    first = pictures(tmp_path / "one", "neutral/1.png", "happy/1.png")
    second = pictures(tmp_path / "two", "neutral/1.png", "happy/1.png", "happy/2.png")
    listing = scan_all([first, second])
    assert sorted(listing.people) == ["one/1", "two/1", "two/2"]
    pairing = pair(listing, "neutral", "happy")
    assert [p.person for p in pairing.pairs] == ["one/1", "two/1"]
    assert all(p.source.path.parts[-3] == p.target.path.parts[-3] for p in pairing.pairs)
    a, b = (kdef(tmp_path / name, "S") for name in ("half", "other"))
    shutil.move(str(b / "KDEF/AF01/AF01HAS.JPG"), b / "KDEF/AF01/BF01HAS.JPG")
    same = scan_all([a, b])
    assert sorted(same.people) == ["kdef/F01"]
    mixed = scan_all([first, a, b])
    assert (mixed.layout, mixed.root) == ("folders + kdef", tmp_path)
    train, test = grouped_holdout(list(mixed.people), 0.5, 0)
    assert train | test == {"one/1", "kdef/F01"}
    assert provenance(mixed, ()).training_set == "one + half + other"


def test_pools_that_make_no_sense_are_refused(tmp_path) -> None:
    one = pictures(tmp_path / "one", "neutral/1.png", "happy/1.png")
    with pytest.raises(DataError, match="hold the same picture"):
        scan_all([one, one / ".." / "one"])
    pix = tmp_path / "ab"
    pictures(pix, "trainA/1.png", "trainB/1.png")
    with pytest.raises(UsageError, match=r"start from different things: .*use them apart"):
        scan_all([one, pix])


def test_every_data_option_counts(tmp_path, drawn: Path, command: Command) -> None:
    halves = [tmp_path / "women", tmp_path / "men"]
    for half, sex in zip(halves, "FM", strict=True):
        half.mkdir()
        for folder in sorted((drawn / "KDEF").iterdir()):
            if folder.name[1] == sex:
                shutil.copytree(folder, half / folder.name)
    options = ("--expr", "happy", "--size", 16, "--no-align", "--model", "rr", "--json")
    made = []
    for name, sources in (("whole", [drawn]), ("pool", halves)):
        data = [part for source in sources for part in ("--data", source)]
        out = tmp_path / f"{name}.safetensors"
        result = command("fit", *data, *options, "--holdout", 0, "-o", out)
        assert result.code == 0, result.err
        made.append(json.loads(result.out)["pairs"])
    assert made[0] == made[1]
    score = [
        command("evaluate", *data, "--model", out, "--no-align", "--json")
        for data in (["--data", drawn], [x for half in halves for x in ("--data", half)])
    ]
    assert [s.code for s in score] == [0, 0], score[0].err
    first, second = (json.loads(s.out)[1] for s in score)
    assert first.keys() == second.keys()
    assert abs(first["psnr"] - second["psnr"]) < 1e-3  # over people in another order


def test_problems_are_summed_up_without_advice_of_other_commands() -> None:
    lost = [
        Problem(Path(f"set/{n}.jpg"), f"set/{n}.jpg: no face was found; give --eyes or --box")
        for n in range(288)
    ]
    (line,) = summed_up(lost, " of 300 pairs")
    assert line == (
        "288 of 300 pairs left out: no face was found (0.jpg, 1.jpg, 2.jpg and 285 more)"
    )
    odd = [Problem(Path(f"{n}.jpg"), f"{n}.jpg is 1x{n} but b{n}.jpg is 2x2") for n in range(3)]
    assert len(summed_up(odd)) == 3
    many = [Problem(Path(f"{n}.jpg"), "reason " + "x" * n) for n in range(9)]
    assert summed_up(many)[-1] == "and 3 more reasons"


def test_the_first_reason_names_no_option_that_is_not_there() -> None:
    photos = [Problem(Path("a.jpg"), "a.jpg: no face was found; give the eyes with --eyes")]
    assert first_reason(photos) == (
        "; the first reason: a.jpg: no face was found; take face crops as they are with --no-align"
    )


def test_faceless_pictures_of_a_set_of_faces_are_one_warning(
    tmp_path, london: Path, command: Command
) -> None:
    people = [f"{n:03}" for n in range(1, 5)]
    for folder, code in (("neutral_front", "03"), ("smiling_front", "08")):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for person in people:
            picture(tmp_path / "set" / folder / f"{person}_{code}.jpg", (200, 200))
    first = london / "neutral_front" / "001_03.tem"
    shutil.copy(first, tmp_path / "set" / "neutral_front")
    out = tmp_path / "m.safetensors"
    result = command("fit", "--data", tmp_path / "set", "--size", 16, "--model", "rr", "-o", out)
    assert result.code == 1
    assert "no face was found" in result.error
    assert "--no-align" in result.error
    assert "--eyes" not in result.err
