"""Portraits with label masks: labels, windows, folders, and masks drawn from landmarks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from portrait_tools import write_portraits

from deep_onnx.commands.masks import masks as masks_command
from deep_onnx.portrait import labels, landmarks, windows
from deep_onnx.portrait.folders import (
    MERGED,
    PORTRAIT_FRAME,
    list_portraits,
    load_portraits,
    read_merged,
)
from deep_onnx.portrait.hair import lab_of
from deep_onnx.portrait.making import cut_portrait, make_portraits, mask_sheet, overlay
from pixelreg.errors import (
    DataError,
    FaceError,
    ImageError,
    InvalidArrayError,
    MissingExtraError,
    UsageError,
)
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import read_points

INDEX = {name: number for number, name in enumerate(labels.LABELS)}


def a_mask(size: int = 64, **moved: tuple[int, int]) -> np.ndarray:
    """A face of boxes: eyes 8 x 4, mouth 20 x 6 in three stripes; parts may stand elsewhere."""
    mask = np.zeros((size, size), np.uint8)
    mask[8:56, 12:52] = INDEX["skin"]
    mask[4:14, 12:52] = INDEX["hair"]
    at = {"left-eye": (20, 26), "right-eye": (36, 26), "nose": (30, 32), "mouth": (22, 44)}
    for name, (x, y) in {**at, **{key.replace("_", "-"): v for key, v in moved.items()}}.items():
        if name == "mouth":
            for row, part in enumerate(("upper-lip", "mouth", "lower-lip")):
                mask[y + 2 * row : y + 2 * row + 2, x : x + 20] = INDEX[part]
        else:
            mask[y : y + 4, x : x + (4 if name == "nose" else 8)] = INDEX[name]
    return mask


def without(mask: np.ndarray, *names: str) -> np.ndarray:
    gone = np.isin(mask, [INDEX[name] for name in names])
    return np.where(gone, INDEX["skin"], mask).astype(np.uint8)


def component(mask: np.ndarray, name: str) -> np.ndarray:
    return np.isin(mask, labels.COMPONENTS[name])


def any_masks(sides: tuple[int, ...] = (16, 32, 48, 64)) -> st.SearchStrategy[np.ndarray]:
    """Masks with up to twelve boxes of any label anywhere, tiny and huge."""

    def build(size: int, boxes: list[tuple[int, float, float, float, float]]) -> np.ndarray:
        mask = np.zeros((size, size), np.uint8)
        for label, x, y, w, h in boxes:
            top, left = int(y * size), int(x * size)
            mask[top : top + 1 + int(h * size), left : left + 1 + int(w * size)] = label
        return mask

    place = st.floats(0, 0.999)
    box = st.tuples(st.integers(0, 10), place, place, st.floats(0, 0.5), st.floats(0, 0.5))
    return st.builds(build, st.sampled_from(sides), st.lists(box, max_size=12))


# Labels and palettes


def test_the_labels_are_those_of_the_table():
    assert len(labels.LABELS) == len(labels.PALETTE) == len(set(labels.PALETTE)) == 11
    told = [INDEX[n] for n in ("background", "skin", "left-eye", "right-eye", "nose", "hair")]
    assert told == [0, 1, 4, 5, 6, 10]
    covered = sorted(label for group in labels.COMPONENTS.values() for label in group)
    assert covered == list(range(1, 11))
    assert labels.COLOURS["left-eye"] == (0, 102, 255)
    assert labels.COLOURS["lower-lip"] == (255, 102, 153)


@settings(max_examples=25, deadline=None)
@given(mask=any_masks())
def test_masks_come_back_from_palette_png(mask, tmp_path_factory):
    path = tmp_path_factory.mktemp("palette") / "mask.png"
    labels.write_mask(path, mask)
    with Image.open(path) as image:
        assert image.mode == "P"
        assert (np.asarray(image) == mask).all()
        assert (np.asarray(image.convert("RGB")) == labels.painted(mask)).all()
    assert (labels.read_mask(path) == mask).all()


@pytest.mark.parametrize(
    "changed",
    [
        lambda image: image.convert("RGB"),
        lambda image: image.convert("RGBA"),
        lambda image: image.convert("RGB").quantize(16, Image.Quantize.MAXCOVERAGE),
        lambda image: Image.fromarray(np.array(image)),
    ],
    ids=("colours", "opaque", "another order", "numbers"),
)
def test_masks_of_other_programs_are_read(changed, tmp_path):
    mask = np.random.default_rng(0).integers(0, 11, (16, 24)).astype(np.uint8)
    labels.write_mask(tmp_path / "ours.png", mask)
    with Image.open(tmp_path / "ours.png") as image:
        changed(image).save(tmp_path / "mask.png")
    assert (labels.read_mask(tmp_path / "mask.png") == mask).all()


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (
            np.where(a_mask()[..., None] == 4, (250, 200, 150), labels.painted(a_mask())),
            r"\(250, 200, 150\) at column 20, row 26 .*31 more.*skin",
        ),
        (np.full((4, 4), 11), r"number 11 at column 0, row 0 .*labels are 0 to 10"),
        (np.zeros((4, 4, 4)), "transparent in 16 pixels"),
        (None, "not a picture"),
    ],
)
def test_unknown_colours_and_numbers_are_told_in_one_line(pixels, says, tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(b"no picture")
    if pixels is not None:
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    with pytest.raises(ImageError, match=says):
        labels.read_mask(path)


def test_components_and_mirrors():
    mask = a_mask()
    assert component(mask, "mouth").sum() == 120
    parts = [component(mask, name) for name in labels.COMPONENTS]
    assert (np.sum(parts, axis=0) == (mask > 0)).all()
    other = labels.mirrored(mask)
    assert (labels.mirrored(other) == mask).all()
    assert windows.face_problem(other) is None


# Windows


def test_window_sizes_are_the_papers_scaled():
    assert windows.window_sizes(256) == ((32, 48), (32, 48), (80, 144))
    assert windows.window_sizes(64) == ((8, 12), (8, 12), (20, 36))


@settings(max_examples=150, deadline=None)
@given(mask=any_masks())
def test_windows_lie_inside_for_any_mask(mask):
    size = len(mask)
    present = [component(mask, name).any() for name in windows.WINDOWED]
    if not all(present):
        with pytest.raises(FaceError, match="the mask has no"):
            windows.window_centres(mask)
        assert windows.face_problem(mask) is not None
        return
    centres = windows.window_centres(mask)
    assert centres.shape == (6,)
    assert centres.dtype == np.int64
    assert (windows.clamp_centres(centres, size) == centres).all()
    good = windows.face_problem(mask) is None
    for name, (x, y), (h, w) in zip(
        windows.WINDOWED, centres.reshape(3, 2), windows.window_sizes(size), strict=True
    ):
        inside = component(mask, name)
        seen = inside[y - h // 2 :, x - w // 2 :][:h, :w]
        assert seen.shape == (h, w)
        assert not good or seen.sum() == inside.sum(), "a good face's part is cut"


@settings(max_examples=50, deadline=None)
@given(
    centres=st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6),
    size=st.sampled_from([16, 64, 256]),
)
def test_clamping_shifts_no_further_than_it_must(centres, size):
    clamped = windows.clamp_centres(np.array(centres), size)
    sides = [side for h, w in windows.window_sizes(size) for side in (w, h)]
    for before, after, side in zip(centres, clamped.tolist(), sides, strict=True):
        allowed = [c for c in range(size + 1) if 0 <= c - side // 2 <= size - side]
        assert after == min(allowed, key=lambda c: abs(c - before))


def test_a_mouth_in_the_corner_shifts_its_window():
    mask = a_mask(64, mouth=(0, 56))
    # Its window is 36 x 20: columns 0 to 36, rows 44 to 64.
    assert windows.window_centres(mask).tolist() == [24, 28, 40, 28, 18, 54]
    assert windows.face_problem(mask) is None
    assert windows.window_centres(a_mask()).tolist() == [24, 28, 40, 28, 32, 47]


def test_bad_faces_are_told_with_a_reason():
    tiny = without(a_mask(), "left-eye")
    tiny[27, 22] = INDEX["left-eye"]
    wide = a_mask()
    wide[26:30, 14:28] = INDEX["left-eye"]
    cases = {
        "no left eye": without(a_mask(), "left-eye"),
        "no mouth": without(a_mask(), "upper-lip", "mouth", "lower-lip"),
        "no nose": without(a_mask(), "nose"),
        "no skin": np.where(a_mask() == 1, 0, a_mask()).astype(np.uint8),
        "the left eye has only 1 pixels": tiny,
        "the left eye is 14x4 pixels and does not fit its window of 12x8": wide,
        "the left eye is not to the left of the right eye": a_mask(
            left_eye=(36, 26), right_eye=(20, 26)
        ),
        "the mouth is not below the eyes": a_mask(mouth=(22, 18)),
    }
    for reason, mask in cases.items():
        assert windows.face_problem(mask) == reason
    assert windows.face_problem(a_mask()) is None
    assert windows.face_problem(without(a_mask(), "hair", "mouth")) is None  # bald, lips shut


def test_growing_draws_out_eyes_and_mouth_over_skin_alone():
    mask = np.zeros((256, 256), np.uint8)
    mask[20:250, 40:216] = INDEX["skin"]
    mask[100:110, 80:120] = INDEX["left-eye"]
    mask[100:110, 140:180] = INDEX["right-eye"]
    mask[98:100, 80:120] = INDEX["hair"]
    mask[180:190, 100:160] = INDEX["upper-lip"]
    mask[190:200, 100:160] = INDEX["lower-lip"]
    grown = windows.grown(mask)
    rows, columns = (np.flatnonzero((grown == INDEX["right-eye"]).any(axis=a)) for a in (1, 0))
    assert len(rows) == pytest.approx(11, abs=1)
    assert len(columns) == 44
    assert component(grown, "mouth").sum() == pytest.approx(66 * 22, rel=0.05)
    assert (grown[mask > 1] == mask[mask > 1]).all()  # hair over the left eye stays
    assert ((grown == mask) | (mask == INDEX["skin"])).all()
    assert (windows.grown(mask, 0.0) == mask).all()


@settings(max_examples=50, deadline=None)
@given(mask=any_masks(), growth=st.floats(0, 1))
def test_growing_loses_nothing_of_any_mask(mask, growth):
    grown = windows.grown(mask, growth)
    changed = grown != mask
    assert (mask[changed] == INDEX["skin"]).all()
    assert np.isin(grown[changed], [4, 5, 7, 8, 9]).all()


# CelebAMask-HQ


def write_parts(root: Path, number: int, parts: dict[str, np.ndarray]) -> None:
    folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    for part, inside in parts.items():
        Image.fromarray((inside * 255).astype(np.uint8)).save(folder / f"{number:05d}_{part}.png")
    images = root / "CelebA-HQ-img"
    images.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(images / f"{number}.jpg")


def parts_of(mask: np.ndarray, exchanged: bool = False) -> dict[str, np.ndarray]:
    names = {label: part for part, label in reversed(MERGED) if label != "background"}
    if exchanged:
        for one, other in (("left-eye", "right-eye"), ("left-eyebrow", "right-eyebrow")):
            names[one], names[other] = names[other], names[one]
    return {part: mask == INDEX[label] for label, part in names.items() if INDEX[label] in mask}


@pytest.fixture
def celeba(tmp_path) -> Path:
    root = tmp_path / "celeba"
    for number in (0, 1999, 2000):
        write_parts(root, number, parts_of(a_mask()))
    return root


def test_celebamask_is_merged_in_its_order(tmp_path):
    whole, box = np.ones((8, 8), bool), np.zeros((8, 8), bool)
    box[2:4] = True
    assert len(MERGED) == 18
    for index, (part, label) in enumerate(MERGED):
        root = tmp_path / part
        write_parts(root, 7, {earlier: whole for earlier, _ in MERGED[:index]} | {part: box})
        merged = read_merged(root / "CelebAMask-HQ-mask-anno", 7)
        assert (merged[box] == INDEX[label]).all(), part
        if index:
            assert (merged[~box] == INDEX[MERGED[index - 1][1]]).all()


def test_celebamask_sides_are_the_pictures(tmp_path):
    for exchanged in (False, True):
        root = tmp_path / str(exchanged)
        write_parts(root, 3, parts_of(a_mask(), exchanged))
        assert (read_merged(root / "CelebAMask-HQ-mask-anno", 3) == a_mask()).all()


def test_celebamask_is_read_at_the_pictures_size(celeba):
    stack = load_portraits(celeba, 64)
    assert stack.names == stack.people == ("00000", "01999", "02000")
    assert stack.images.shape == (3, 64, 64, 3)
    assert stack.images.dtype == stack.masks.dtype == np.uint8
    assert (stack.masks == a_mask()).all()
    assert (stack.centres == windows.window_centres(a_mask())).all()
    double = load_portraits(celeba, 128)
    assert (double.masks[:, ::2, ::2] == a_mask()).all()
    assert (double.masks[:, 1::2, 1::2] == a_mask()).all()


def test_celebamask_with_bad_portraits(celeba):
    parts = celeba / "CelebAMask-HQ-mask-anno"
    (parts / "0" / "00000_l_eye.png").unlink()
    shutil.rmtree(parts / "1")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(parts / "0" / "01999_hat.png")
    (celeba / "CelebA-HQ-img" / "readme.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 3 portraits"):
        load_portraits(celeba, 64)
    write_parts(celeba, 5, parts_of(a_mask()))
    stack = load_portraits(celeba, 64)
    assert stack.names == ("00005",)
    told = {problem.path.name: problem.reason for problem in stack.problems}
    assert told["0.jpg"] == "no left eye"
    assert told["1999.jpg"].endswith(
        "01999_hat.png is 9x9, but other parts of this portrait are 64x64"
    )
    assert "no parts 02000_" in told["2000.jpg"]
    assert "name not understood" in told["readme.png"]


# Folders of our own


def boxes(number: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((64, 64, 3), number, np.uint8), a_mask()


def test_a_folder_is_read_with_its_people(tmp_path):
    write_portraits(tmp_path, {"b": "one", "a": "one", "more/c": "two, the other"}, boxes)
    (tmp_path / "images" / ".hidden.png").write_bytes(b"x")
    seen: list[tuple[int, int]] = []
    stack = load_portraits(tmp_path, 64, lambda done, total: seen.append((done, total)))
    assert stack.names == ("a", "b", "more/c")
    assert stack.people == ("one", "one", "two, the other")
    assert stack.images[:, 0, 0, 0].tolist() == [1, 0, 2]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert not stack.problems
    (tmp_path / "people.csv").unlink()  # a person a portrait
    assert load_portraits(tmp_path, 64).people == stack.names


def test_problems_of_a_folder_are_told(tmp_path):
    write_portraits(
        tmp_path, dict.fromkeys(("good", "blind", "small", "alone", "twice"), "x"), boxes
    )
    labels.write_mask(tmp_path / "masks" / "blind.png", without(a_mask(), "right-eye"))
    labels.write_mask(tmp_path / "masks" / "small.png", a_mask()[:32, :32])
    labels.write_mask(tmp_path / "masks" / "left-over.png", a_mask())
    (tmp_path / "masks" / "alone.png").unlink()
    shutil.copy(tmp_path / "images" / "twice.png", tmp_path / "images" / "twice.bmp")
    stack = load_portraits(tmp_path, 64)
    assert stack.names == ("good",)
    told = {problem.path.name: problem.reason for problem in stack.problems}
    assert told["blind.png"] == "no right eye"
    assert told["small.png"] == "the mask is 32x32, but its picture 64x64"
    assert told["alone.png"] == "no mask masks/alone.png"
    assert told["left-over.png"] == "no picture images/left-over.*"
    assert told["twice.bmp"] == "2 pictures are called twice"


def test_oblong_pictures_give_their_centre(tmp_path):
    mask = np.pad(a_mask(), ((0, 0), (20, 20)))
    write_portraits(tmp_path, {"a": "x"}, lambda _: (labels.painted(mask), mask))
    stack = load_portraits(tmp_path, 64)
    assert (stack.masks[0] == a_mask()).all()
    assert (stack.images[0] == labels.painted(a_mask())).all()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "line 1 must be name,person"),
        ("a,b\n", "line 1 must be name,person"),
        ("name,person\na\n", "line 2 must be a name and a person"),
        ("name,person\na,b\nc,\n", "line 3 must be a name and a person"),
    ],
)
def test_a_bad_table_of_people_is_told(table, said, tmp_path):
    write_portraits(tmp_path, {"a": "x"}, boxes)
    (tmp_path / "people.csv").write_text(table)
    with pytest.raises(DataError, match=said):
        list_portraits(tmp_path)


def test_what_is_no_folder_of_portraits_is_told(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        list_portraits(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no portraits with masks in .*for images/NAME\.png"):
        list_portraits(tmp_path)
    (tmp_path / "images").mkdir()
    labels.write_mask(tmp_path / "masks" / "a.png", a_mask())
    with pytest.raises(DataError, match=r"first problem: .*a\.png: no picture"):
        list_portraits(tmp_path)


# Masks drawn from landmarks

SIZE = 256
CENTRE, RADII = (128.0, 135.0), (53.0, 70.0)  # of the drawn face


def arc(count: int, start: float, end: float, centre=CENTRE, radii=RADII) -> np.ndarray:
    angles = np.radians(np.linspace(start, end, count))
    return np.array(centre) + np.array(radii) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def drawn_points() -> np.ndarray:
    """189 landmarks of a face of ellipses, pupils where the portrait's frame has them."""
    points = np.full((189, 2), 128.0)
    points[:2] = np.array(PORTRAIT_FRAME.eyes) * SIZE
    points[list(landmarks.JAW)] = arc(19, 180, 0)
    points[list(landmarks.HAIRLINE)] = arc(13, 180, 360)[1:-1]
    points[list(landmarks.LEFT_EAR)[:7]] = arc(7, 300, 60, (74.0, 135.0), (-9.0, 16.0))
    points[list(landmarks.RIGHT_EAR)[:7]] = arc(7, 300, 60, (182.0, 135.0), (9.0, 16.0))
    boxes = {  # the others' middle and radii
        "nose": ((128, 145), (10, 18)),
        "left-eyebrow": ((97, 108), (14, 3)),
        "right-eyebrow": ((159, 108), (14, 3)),
        "left-eye": ((97, 125), (11, 5)),
        "right-eye": ((159, 125), (11, 5)),
    }
    for name, outline in landmarks.OUTLINES:
        if name in boxes:
            end = 180 - 360 / len(outline)
            points[list(outline)] = arc(len(outline), -180, end, *boxes[name])
    points[87], points[93] = (108.0, 174.0), (148.0, 174.0)
    for offset, (outer, inner) in ((-5.0, landmarks.UPPER_LIP), (5.0, landmarks.LOWER_LIP)):
        across = np.linspace(113, 143, 5)
        points[list(outer)] = np.stack([across, np.full(5, 174 + offset)], axis=1)
        points[list(inner)] = np.stack([across, np.full(5, 174.0)], axis=1)
    return points


def inside_of(centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1


def drawn_photo(hair: tuple[int, int, int] | None = (60, 40, 30)) -> tuple[np.ndarray, np.ndarray]:
    """A photo for `drawn_points`, and where its hair is."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIZE, :SIZE]
    photo = np.repeat((200.0 + 0.05 * y - 0.03 * x)[..., None], 3, axis=2)
    skin = np.array((205.0, 150.0, 125.0))
    photo[(y > 190) & (abs(x - 128) < 30)] = skin * 0.9
    photo[inside_of((128, 270), (120, 50))] = 245.0
    cap = inside_of((128, 115), (66, 88)) & (y < 150)
    if hair is not None:
        photo[cap] = hair
    ears = inside_of((74.0, 135.0), (9.0, 16.0)) | inside_of((182.0, 135.0), (9.0, 16.0))
    bare = inside_of(CENTRE, RADII) | ears
    photo[bare] = skin
    truth = cap & ~bare
    # Hair is uneven, skin less so.
    noise = rng.normal(0, 1, photo.shape[:2])[..., None] * np.where(truth, 8.0, 2.0)[..., None]
    return np.clip(photo + noise, 0, 255).astype(np.uint8), truth


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


@pytest.mark.parametrize("hair", [(60, 40, 30), (190, 150, 60), (25, 25, 28)])
def test_a_drawn_head_gets_its_mask(hair):
    photo, truth = drawn_photo(hair)
    mask = landmarks.portrait_mask(photo, drawn_points())
    assert mask.dtype == np.uint8
    assert overlap(mask == INDEX["hair"], truth) > 0.9
    face = inside_of(CENTRE, RADII)
    assert overlap((mask > 0) & (mask != INDEX["hair"]) & face, face) > 0.95
    assert (mask[:10] == 0).all()
    assert (mask[215:] == 0).all()  # neck and clothes
    assert windows.face_problem(mask) is None
    centres = windows.window_centres(mask)
    assert np.abs(centres - [97, 125, 159, 125, 128, 174]).max() <= 2
    assert (mask == INDEX["left-eye"]).sum() == pytest.approx(np.pi * 11 * 5, rel=0.25)
    assert not (mask == INDEX["mouth"]).sum() > 45  # lips are shut: a line at most


def test_a_bald_head_with_an_open_mouth_has_no_hair_and_shows_what_is_in_it():
    points = drawn_points()
    points[list(landmarks.LOWER_LIP[0] + landmarks.LOWER_LIP[1]), 1] += 12
    mask = landmarks.portrait_mask(drawn_photo(None)[0], points)
    assert not (mask == INDEX["hair"]).any()
    assert (mask == INDEX["mouth"]).sum() == pytest.approx(12 * 35, rel=0.25)
    assert (mask[180, 115:141] == INDEX["mouth"]).all()


def test_a_backdrop_that_is_not_plain_is_told():
    photo = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    with pytest.raises(DataError, match="no plain light backdrop"):
        landmarks.portrait_mask(photo, drawn_points())


@pytest.mark.parametrize(
    "text",
    ["68\n1 2\n", "", "189\n1\t2\n", "189\n" + "1\tx\n" * 189, "189\n" + "nan\t1\n" * 189],
    ids=("68", "empty", "too few", "words", "no numbers"),
)
def test_files_of_bad_points_are_told(text, tmp_path):
    file = tmp_path / "a.tem"
    with pytest.raises(DataError, match="cannot be read"):
        read_points(file)
    file.write_text(text)
    with pytest.raises(DataError, match=r"a\.tem: "):
        read_points(file)
    file.write_text("189\n" + "1.5\t2\n" * 189 + "2\n0\n2\n0 0\n")
    assert read_points(file).shape == (189, 2)


def test_a_face_too_small_is_told():
    with pytest.raises(DataError, match="only 6 pixels apart"):
        landmarks.head_of(drawn_points() / 10, SIZE)


def test_a_portrait_is_cut_where_the_eyes_say():
    photo, points = drawn_photo()[0], drawn_points()
    image, mask = cut_portrait(photo, points, 128)
    assert image.shape == (128, 128, 3)
    assert mask.shape == (128, 128)
    centres = np.array([97, 125, 159, 125, 128, 174]) / 2
    assert np.abs(windows.window_centres(mask) - centres).max() < 2
    turned = np.rot90(photo).copy()  # anticlockwise: (x, y) goes to (y, width - x)
    again = np.stack([points[:, 1], SIZE - points[:, 0]], axis=1)
    other, other_mask = cut_portrait(turned, again, 128)
    assert np.abs(other.astype(int) - image).mean() < 4
    assert (other_mask == mask).mean() > 0.97


def test_masks_are_resized_by_the_label_that_has_most():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = [[1, 1], [1, 6]]
    mask[2:, 2:] = [[10, 10], [0, 10]]
    assert landmarks.resized_mask(mask, 2).tolist() == [[1, 0], [0, 10]]
    assert (landmarks.resized_mask(mask, 8) == mask.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_lab_is_skimages():
    color = pytest.importorskip("skimage.color")
    colours = np.random.default_rng(1).random((50, 3))
    assert lab_of(colours) == pytest.approx(color.rgb2lab(colours), abs=0.05)


def test_points_follow_a_moved_face():
    pytest.importorskip("cv2")
    photo, points = drawn_photo()[0], drawn_points()
    eyes = points[:2] + np.array([[-3, 4], [3, -4]])  # turned by 7 degrees, and a tenth smaller
    there = similarity_from_eyes(eyes, PORTRAIT_FRAME, SIZE)
    moved, truth = crop(photo, there, SIZE), there.to_crop(points)
    found = landmarks.moved_points(photo, points, moved, truth[:2] + np.array([3.0, -2.0]))
    error = np.hypot(*(found - truth).T)
    outline = [i for _, ring in landmarks.OUTLINES for i in ring]
    assert error[outline].mean() < 0.5  # the flow makes good what the eyes are off


# Pictures


def test_overlays_and_sheets():
    mask = a_mask()
    image = np.full((64, 64, 3), 100, np.uint8)
    assert (np.abs(2.0 * overlay(image, mask) - labels.painted(mask) - 100) <= 1).all()
    assert overlay(image, mask)[0, 0].tolist() == [50, 50, 50]
    sheet = mask_sheet([image, image], [mask, mask], ("a", "b"))
    assert sheet.shape[0] > 128
    assert sheet.shape[1] > 192


PHOTO, FLAT = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        (labels.check_masks, (np.zeros(4, np.uint8),), "mask"),
        (labels.check_masks, (np.zeros((2, 2)),), "mask"),
        (labels.check_masks, (np.full((2, 2), 11),), "mask"),
        (labels.check_masks, (np.full((2, 2), -1),), "mask"),
        *((windows.window_sizes, (size,), "multiple of 16") for size in (0, -16, 8, 100, 129)),
        (windows.window_centres, (np.zeros((64, 48), np.uint8),), "square"),
        (windows.window_centres, (np.zeros((2, 64, 64), np.uint8),), "square"),
        (windows.face_problem, (np.zeros((64, 48), np.uint8),), "square"),
        (windows.face_problem, (np.zeros((2, 64, 64), np.uint8),), "square"),
        (windows.clamp_centres, (np.zeros(5, int), 64), "six whole numbers"),
        (windows.clamp_centres, (np.zeros(6), 64), "six whole numbers"),
        (windows.clamp_centres, (np.array(3), 64), "six whole numbers"),
        (windows.grown, (a_mask(), -0.1), "growth"),
        (landmarks.portrait_mask, (PHOTO[:, :200], drawn_points()), r"\(S, S, 3\)"),
        (landmarks.portrait_mask, (PHOTO, drawn_points()[:68]), "189 points"),
        (landmarks.moved_points, (PHOTO, drawn_points()[:5], PHOTO, np.ones((2, 2))), "189"),
        (cut_portrait, (PHOTO, drawn_points(), 50), "multiple of 16"),
        (load_portraits, (Path("unread"), 60), "multiple of 16"),
        (overlay, (FLAT[:32], a_mask()), "does not fit"),
        (mask_sheet, ([FLAT, FLAT], [a_mask()]), "2 pictures with 1 masks"),
    ],
)
def test_arrays_of_another_kind_are_refused(function, arguments, says):
    with pytest.raises(InvalidArrayError, match=says):
        function(*arguments)


# The command


def run(*arguments: object) -> None:
    masks_command.main([str(argument) for argument in arguments], standalone_mode=False)


def test_the_command_merges_celebamask(celeba, tmp_path, capsys):
    (celeba / "CelebAMask-HQ-mask-anno" / "0" / "00000_nose.png").unlink()
    run(celeba, tmp_path / "out", "--size", 64, "--sheet", tmp_path / "sheet.png", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["portraits"], said["people"]) == (2, 2)
    assert [problem["reason"] for problem in said["problems"]] == ["no nose"]
    stack = load_portraits(tmp_path / "out", 64)
    assert stack.names == ("01999", "02000")
    assert (stack.masks == a_mask()).all()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 2 * 160
    assert not list((tmp_path / "out").rglob(".*"))  # nothing half-written


def test_the_command_tells_what_it_cannot_use(drawn, tmp_path):
    with pytest.raises(DataError, match=r"NAME\.tem"):
        run(drawn, tmp_path / "out")
    with pytest.raises(UsageError, match="multiple of 16, not 100"):
        run(drawn, tmp_path / "out", "--size", 100)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def few(london, tmp_path_factory) -> Path:
    """Four people of the London set: long hair, short hair, none, and a full fringe."""
    root = tmp_path_factory.mktemp("london")
    for kind, view in (("neutral_front", "03"), ("smiling_front", "08")):
        (root / kind).mkdir()
        for person in ("002", "008", "021", "003"):
            for path in (london / kind).glob(f"{person}_{view}.*"):
                shutil.copy(path, root / kind)
    return root


def test_london_from_photos_to_a_stack(few, tmp_path, capsys):
    pytest.importorskip("cv2")
    (few / "neutral_front" / "003_03.tem").rename(few / "003.tem")
    try:
        run(few, tmp_path, "--size", 128)
    finally:
        (few / "003.tem").rename(few / "neutral_front" / "003_03.tem")
    out = capsys.readouterr().out
    assert out.count("no landmarks of this person") == 2
    stack = load_portraits(tmp_path, 128)
    assert stack.names == ("002_03", "002_08", "008_03", "008_08", "021_03", "021_08")
    assert stack.people == ("002", "002", "008", "008", "021", "021")
    share = np.stack([(stack.masks == label).mean(axis=(1, 2)) for label in range(11)], axis=1)
    hair = share[:, INDEX["hair"]]
    assert (hair[:4] > 0.08).all()
    assert (hair[4:] < 0.01).all()
    assert ((share[:, 1] > 0.2) & (share[:, 1] < 0.4)).all()
    for part, low, high in ((2, 0.002, 0.01), (4, 0.001, 0.005), (6, 0.01, 0.025)):
        assert ((share[:, part] > low) & (share[:, part] < high)).all(), labels.LABELS[part]
    # 002 laughs, and shows her teeth.
    assert share[0, INDEX["mouth"]] < 0.0005
    assert share[1, INDEX["mouth"]] > 0.004
    eyes = np.array(PORTRAIT_FRAME.eyes).ravel() * 128
    assert np.abs(stack.centres[:, :4] - eyes).max() <= 3
    # Teeth are not as red as lips, and this man's hair is darker than his skin.
    red = stack.images[1, ..., 0] - stack.images[1, ..., 1].astype(float)
    mask = stack.masks[1]
    lips = (mask == INDEX["lower-lip"]) | (mask == INDEX["upper-lip"])
    assert red[mask == INDEX["mouth"]].mean() < red[lips].mean() - 20
    light, mask = stack.images[2].mean(axis=2), stack.masks[2]
    assert light[mask == INDEX["hair"]].mean() < light[mask == INDEX["skin"]].mean() - 30


def test_a_fringe_covers_the_forehead(few, tmp_path):
    made = make_portraits(few, tmp_path, 128, neutral_only=True)
    assert set(made.people) == {"002_03", "003_03", "008_03", "021_03"}
    mask = labels.read_mask(tmp_path / "masks" / "003_03.png")
    points = read_points(few / "neutral_front" / "003_03.tem")
    to_crop = similarity_from_eyes(points[:2], PORTRAIT_FRAME, 128).to_crop
    hairline = to_crop(points[list(landmarks.HAIRLINE)])
    brow = int(to_crop(points[list(landmarks.BROWS)])[:, 1].min())
    forehead = mask[int(hairline[:, 1].min()) + 2 : brow - 1, 50:78]
    assert (forehead == INDEX["hair"]).mean() > 0.4


def test_photos_without_landmarks_need_opencv(few, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="--neutral-only"):
        make_portraits(few, tmp_path, 128)
    assert not list(tmp_path.iterdir())


def test_a_page_tells_the_colours_to_paint_with():
    page = Path(__file__).parents[1] / "docs" / "deep-models.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    for name, colour in zip(labels.LABELS, labels.PALETTE, strict=True):
        assert f"{name} `#{bytes(colour).hex()}`" in text
