"""Pencil sketches: the filter, and folders of photographs with their sketches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import files_in, pixels
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from pixelreg.data.crops import load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_holdout, pair
from pixelreg.data.photos import Photo
from pixelreg.data.sketch import sketch, write_sketches
from pixelreg.data.synthetic import draw_face, random_identity
from pixelreg.errors import DataError, InvalidArrayError, UsageError
from pixelreg.faces.locate import Locator


def by_steps(picture: np.ndarray, blur: float) -> np.ndarray:
    """Grey, invert, blur, dodge, each as an image editor does it, in float."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), float)
    inverted = 255.0 - grey
    sigma = blur * min(grey.shape)
    for axis in (0, 1):
        inverted = gaussian_filter1d(inverted, sigma, axis, mode="nearest")
    return np.minimum(255.0 * grey / (255.0 - inverted), 255.0)


@pytest.mark.parametrize("blur", [0.02, 0.05, 0.2])
def test_the_filter_is_dodge_and_blur(blur: float) -> None:
    face = draw_face(random_identity(3), size=96, noise=0.01)[:, 10:80]
    drawn = sketch(face, blur)
    assert drawn.shape == face.shape
    assert drawn.dtype == np.uint8
    assert (drawn == drawn[..., :1]).all()
    # Pillow rounds its greys to whole numbers: up to a level, more on dark ground.
    off = np.abs(drawn[..., 0] - by_steps(face, blur))
    assert np.mean(off) < 1.0
    assert np.percentile(off, 99) < 6.0


def test_even_areas_are_paper_and_darker_ones_strokes() -> None:
    picture = np.full((60, 80, 3), 120, np.uint8)
    assert (sketch(picture) == 255).all()
    picture[:, 40:44] = 60
    drawn = sketch(picture, 0.1)[..., 0]
    assert (drawn[:, 40:44] < 200).all()
    assert (drawn[:, :16] == 255).all()  # four standard deviations away
    assert (drawn[:, 68:] == 255).all()
    picture[:, 40:44] = 180
    drawn = sketch(picture, 0.1)[..., 0]
    assert (drawn[:, 40:44] == 255).all()  # light is no stroke, its surroundings are
    assert (drawn[:, 37:40] < 240).all()


@pytest.mark.parametrize("level", [0, 1, 255])
def test_black_and_white_are_paper(level: int) -> None:
    assert (sketch(np.full((9, 7, 3), level, np.uint8)) == 255).all()


def test_a_sketch_grows_with_its_picture() -> None:
    face = draw_face(random_identity(1), size=64)
    large = np.asarray(Image.fromarray(face).resize((256, 256), Image.Resampling.BICUBIC))
    shrunk = Image.fromarray(sketch(large)).resize((64, 64), Image.Resampling.BOX)
    off = np.asarray(shrunk, float) - sketch(face).astype(float)
    assert np.abs(off).mean() < 4.0
    fixed = np.asarray(
        Image.fromarray(sketch(large, 0.005)).resize((64, 64), Image.Resampling.BOX), float
    )
    assert np.abs(fixed - sketch(face)).mean() > 2 * np.abs(off).mean()


def test_grey_weighs_the_channels() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:] = (200, 40, 60)
    picture[8:12, 8:12] = (40, 200, 60)  # brighter to the eye
    assert (sketch(picture, 0.3)[9, 9] == 255).all()
    assert (sketch(picture[..., ::1][:, :, [1, 0, 2]], 0.3)[9, 9] < 255).all()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    for picture in (np.zeros(shape, np.uint8), np.zeros((4, 4, 3))):
        with pytest.raises(InvalidArrayError, match=r"\(H, W, 3\) uint8"):
            sketch(picture)


@pytest.mark.parametrize("blur", [0.0, -1.0, 1.5, float("nan")])
def test_the_blur_must_make_sense(blur: float) -> None:
    with pytest.raises(UsageError, match="blur"):
        sketch(np.zeros((4, 4, 3), np.uint8), blur)


def test_what_is_written_is_read_back(drawn: Path, tmp_path: Path) -> None:
    """Every person's pictures, in both directions, pixel on pixel."""
    photos = scan(drawn).photos
    told: list[tuple[int, int]] = []
    done = write_sketches(photos, tmp_path, progress=lambda *counts: told.append(counts))
    assert (done.written, done.problems) == (photos, ())
    assert told == [(k, 24) for k in range(1, 25)]
    listing = scan(tmp_path)
    assert (listing.layout, listing.aligned, listing.source) == ("sketches", True, "photo")
    assert listing.problems == ()
    assert list(listing.people) == sorted({photo.person for photo in photos})
    for source, target in (("photo", "sketch"), ("sketch", "photo")):
        pairing = pair(listing, source, target)
        assert len(pairing.pairs) == 24
        assert not pairing.unpaired
        learning, held_out = grouped_holdout([p.person for p in pairing.pairs], 0.25, 0)
        assert not learning & held_out
        stack = load_stack(pairing.pairs, 64, None, Locator(align=False))
        before, after = (
            (stack.sources, stack.targets) if source == "photo" else (stack.targets, stack.sources)
        )
        for photograph, drawing in zip(before, after, strict=True):
            np.testing.assert_array_equal(sketch(photograph), drawing)
    original = next(photo for photo in photos if photo.path.name == "AF01HAS.JPG")
    written = pixels(tmp_path / "photo" / "F01" / "AF01HAS-happy.png")
    np.testing.assert_array_equal(written, pixels(original.path))


def write(path: Path, level: int = 100) -> Photo:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 16), (level, level // 2, 30)).save(path)
    return Photo(path.stem, "neutral", str(path))


def test_bad_pictures_are_left_out_and_reported(tmp_path: Path) -> None:
    photos = [write(tmp_path / "in" / f"{k}.png") for k in range(4)]
    photos[1].path.write_bytes(b"no picture")
    write(photos[2].path, 0)
    Image.new("RGB", (12, 16)).save(photos[2].path)
    done = write_sketches(photos, tmp_path / "out")
    assert done.written == (photos[0], photos[3])
    assert [problem.path.name for problem in done.problems] == ["1.png", "2.png"]
    assert "black all over" in done.problems[1].reason
    assert files_in(tmp_path / "out") == {
        f"{kind}/{k}/{k}.png" for k in (0, 3) for kind in ("photo", "sketch")
    }
    with pytest.raises(DataError, match=r"none of the 2 photographs.*1\.png"):
        write_sketches(photos[1:3], tmp_path / "other")


def test_nothing_is_overwritten_that_is_to_be_read(tmp_path: Path) -> None:
    photos = [write(tmp_path / "photo" / "0" / "0.png")]
    before = photos[0].path.read_bytes()
    with pytest.raises(UsageError, match="another folder"):
        write_sketches(photos, tmp_path)
    assert photos[0].path.read_bytes() == before
    assert files_in(tmp_path) == {"photo/0/0.png"}


def test_two_pictures_never_share_a_name(tmp_path: Path) -> None:
    one, other = (write(tmp_path / "in" / place / "x.png") for place in ("a", "b"))
    with pytest.raises(UsageError, match="both become"):
        write_sketches([one, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_people_of_splits_and_strange_names_stay_apart(tmp_path: Path) -> None:
    names = ("train/7", "test/7", ".hidden", "..", "a\\b")
    photos = []
    for number, name in enumerate(names):
        path = write(tmp_path / "in" / f"{number}.png", 40 + number).path
        photos.append(Photo(name, "neutral", str(path)))
    write_sketches(photos, tmp_path / "out")
    assert all(name.startswith(("photo/", "sketch/")) for name in files_in(tmp_path / "out"))
    assert {name.partition("/")[0] for name in files_in(tmp_path)} == {"in", "out"}
    listing = scan(tmp_path / "out")
    assert len(listing.people) == 5
    assert len(listing.photos) == 10


# The command.


def test_the_command_draws_the_source_expression_and_names_bad_files(
    command, drawn: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "in")
    (folder / "KDEF" / "AF02" / "AF02NES.JPG").write_bytes(b"broken")
    done = command("data", "sketch", folder, tmp_path / "out")
    assert done.code == 0, done.err
    assert "wrote 7 photographs of 7 people" in done.err
    assert [line.split()[0] for line in done.out.splitlines()] == ["problem"]
    assert "AF02NES.JPG" in done.out
    names = {f"{kind}/{sex}0{k}/A{sex}0{k}NES.png"
             for kind in ("photo", "sketch") for sex in "FM" for k in range(1, 5)}  # fmt: skip
    assert files_in(tmp_path / "out") == {name for name in names if "F02" not in name}
    original = pixels(drawn / "KDEF" / "AF01" / "AF01NES.JPG")
    np.testing.assert_array_equal(pixels(tmp_path / "out/photo/F01/AF01NES.png"), original)
    np.testing.assert_array_equal(
        pixels(tmp_path / "out/sketch/F01/AF01NES.png"), sketch(original, 0.02)
    )


def test_the_command_takes_expressions_and_sizes(command, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--expr", "smile", "--expr", "sad", "--size", 24, "--no-align", "--blur", 0.1)
    done = command("data", "sketch", drawn, out, *options, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts == {"pairs": 16, "folder": str(out), "problems": []}
    photograph, drawing = (
        pixels(out / k / "F01" / "AF01HAS-happy.png") for k in ("photo", "sketch")
    )
    assert photograph.shape == drawing.shape == (24, 24, 3)
    np.testing.assert_array_equal(drawing, sketch(photograph, 0.1))


def test_the_command_aligns_faces(command, london: Path, tmp_path: Path) -> None:
    some = tmp_path / "in" / "neutral_front"
    some.mkdir(parents=True)
    for source in sorted((london / "neutral_front").glob("00*"))[:4]:
        (some / source.name).write_bytes(source.read_bytes())
    done = command("data", "sketch", tmp_path / "in", tmp_path / "out", "--size", 64)
    assert done.code == 0, done.err
    assert "aligned by the eyes" in done.err
    for path in (tmp_path / "out" / "sketch").rglob("*.png"):
        drawing = pixels(path)[..., 0].astype(float)
        eyes = drawing[20:29, 17:29], drawing[20:29, 35:47]  # around (0.36, 0.39), (0.64, 0.39)
        forehead = drawing[13:19, 26:38]
        assert max(eye.mean() for eye in eyes) < forehead.mean() - 10


def test_a_set_without_the_source_says_how_to_choose(command, tmp_path: Path) -> None:
    for name in ("happy/a.png", "sad/a.png"):
        write(tmp_path / "in" / name)
    done = command("data", "sketch", tmp_path / "in", tmp_path / "out")
    assert done.code == 1
    assert "choose with --expr: happy, sad" in done.error
