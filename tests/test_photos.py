"""Real photographs through the command line, with the bundled model: the same photo, smiling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, Result, files_in, pixels
from photo_tools import PUBLISHED, SIDE, photo, resized, shapes, truth
from PIL import Image, ImageCms, ImageFilter

from pixelreg.api import bundled_model
from pixelreg.faces.detect import asked_for, make_detector
from pixelreg.faces.paste import RADII

CROP = 128  # of the bundled model


@pytest.fixture
def smile(command: Command, asked: str):
    """``smile(photo, out)``: apply the bundled model."""

    def call(*words: object) -> Result:
        options = ("--expr", "happy", "--model", bundled_model(), "--detector", asked)
        *inputs, output = words
        return command("apply", *inputs, *options, "-o", output)

    return call


def found_eyes(picture: np.ndarray, asked: str) -> np.ndarray:
    """The eyes (2, 2) of the one face of a picture, as the detector gives them."""
    (face,) = make_detector(*asked_for(asked)).detect(picture, largest=True)
    return face.eyes


def near_face(shape: tuple[int, ...], eyes: np.ndarray, margin: float = 3.0) -> np.ndarray:
    """(H, W) bool: the ellipse of the face and ``margin`` crop pixels around it."""
    left, right = eyes @ np.array([1, 1j])
    turn = (right - left) / (0.28 * CROP)  # of the canonical frame: eyes at 0.36 and 0.64, 0.39
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    crop = (columns + 1j * rows - left) / turn + CROP * (0.36 + 0.39j)
    away = crop - CROP * (0.5 + 0.5j)
    radii = CROP * np.array(RADII) + margin
    return np.hypot(away.real / radii[0], away.imag / radii[1]) <= 1


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W): by how many grey levels each pixel has changed."""
    gap = np.abs(after.astype(int) - before)
    return gap if gap.ndim == 2 else gap.max(axis=-1)


def patch(picture: np.ndarray, point: np.ndarray, radius: float) -> np.ndarray:
    """The values within ``radius`` of a point."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return picture[np.hypot(columns - point[0], rows - point[1]) < radius]


def assert_smiles(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> None:
    """The mouth has changed, the eyes' pupils and everything around the face hardly."""
    moved = change(before, after)
    unit = np.hypot(*(points[1] - points[0]))
    for corner in points[3:]:
        assert patch(moved, corner, 0.2 * unit).mean() > 5
    # JPEG and small placements of the crop aside, nothing happens beyond the ellipse.
    assert moved[~near_face(before.shape, points[:2], margin=8)].mean() < 1
    rows, columns = np.nonzero(moved > 20)
    middle = points[:2].mean(axis=0)
    down = (points[3:].mean(axis=0) - middle) / np.hypot(*(points[3:].mean(axis=0) - middle))
    centre = np.array([columns.mean(), rows.mean()]) + 0.5
    along = (centre - middle) @ down / unit
    across = (centre - middle) @ np.array([down[1], -down[0]]) / unit
    assert 0.4 < along < 1.4  # between the nose and the chin
    assert abs(across) < 0.25


# ---------------------------------------------------------------- one photo


def test_outside_the_face_every_byte_stays(london: Path, asked: str, smile, tmp_path: Path) -> None:
    before = photo(london)
    Image.fromarray(before).save(tmp_path / "in.png", compress_level=1)
    result = smile(tmp_path / "in.png", tmp_path / "out.png")
    used = "yunet" if asked.endswith(".onnx") else "bundled"
    told = f"wrote {tmp_path / 'out.png'} (face found by the {used} detector)\n"
    assert (result.code, result.out, result.err) == (0, "", told)
    after = pixels(tmp_path / "out.png")
    assert after.shape == before.shape == (SIDE, SIDE, 3)
    inside = near_face(before.shape, found_eyes(before, asked))
    np.testing.assert_array_equal(after[~inside], before[~inside])
    assert 0.05 < inside.mean() < 0.5
    assert_smiles(before, after, truth(london))

    def sharpness(picture: np.ndarray) -> float:
        grey = Image.fromarray(picture).convert("L")
        edges = np.asarray(grey.filter(ImageFilter.FIND_EDGES), dtype=float)
        return float((edges[inside] ** 2).mean())

    assert 0.9 < sharpness(after) / sharpness(before) < 1.15


def test_a_jpeg_stays_the_jpeg_that_it_was(london: Path, smile, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x9003] = "2001:02:03 04:05:06"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tmp_path / "in.jpg"
    Image.fromarray(photo(london)).save(
        source, quality=83, subsampling=1, exif=exif, icc_profile=profile
    )
    result = smile(source, tmp_path / "made" / "out.jpg")
    assert result.code == 0, result.err
    with Image.open(source) as old, Image.open(tmp_path / "made" / "out.jpg") as new:
        assert (new.format, new.mode, new.size) == ("JPEG", "RGB", (SIDE, SIDE))
        assert new.quantization == old.quantization
        assert [layer[1:3] for layer in new.layer] == [layer[1:3] for layer in old.layer]
        assert dict(new.getexif()) == dict(old.getexif()) == dict(exif)
        assert new.info["icc_profile"] == profile
    assert_smiles(pixels(source), pixels(tmp_path / "made" / "out.jpg"), truth(london))


def facts(picture: Image.Image) -> dict[int, object]:
    """All that the EXIF data says, but not where in the file it says it."""
    exif = picture.getexif()
    inner = exif.get_ifd(0x8769)
    return {tag: value for tag, value in {**exif, **inner}.items() if tag != 0x8769}


def test_a_published_file_keeps_what_is_its_own(london: Path, smile, tmp_path: Path) -> None:
    source = tmp_path / "001.jpg"
    source.write_bytes((london / "neutral_front" / "001_03.jpg").read_bytes())
    result = smile(source, tmp_path / "out.jpg")
    assert result.code == 0, result.err
    with Image.open(source) as old, Image.open(tmp_path / "out.jpg") as new:
        assert (new.format, new.size) == ("JPEG", old.size)
        assert new.quantization == old.quantization
        assert facts(old)
        assert facts(new) == facts(old)


# ---------------------------------------------------------------- copies of one photo


def test_a_photo_that_the_camera_turned(london: Path, smile, tmp_path: Path) -> None:
    """EXIF 6: what is stored lies on its side; what comes back stands."""
    upright = np.ascontiguousarray(photo(london)[:, 50:625])
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95, subsampling=0)
    Image.fromarray(upright).save(tmp_path / "upright.png", compress_level=1)
    assert smile(tmp_path / "upright.png", tmp_path / "expected.png").code == 0
    result = smile(tmp_path / "turned.jpg", tmp_path / "out.jpg")
    assert result.code == 0, result.err
    with Image.open(tmp_path / "out.jpg") as made:
        assert (made.format, made.size) == ("JPEG", (575, SIDE))
        assert made.getexif().get(0x0112, 1) == 1
        assert made.getexif()[0x010F] == "a camera"
    after, expected = pixels(tmp_path / "out.jpg"), pixels(tmp_path / "expected.png")
    assert change(expected, after).mean() < 5  # two rounds of JPEG
    assert_smiles(upright, after, truth(london) - [50, 0])


def test_a_grey_photo(london: Path, smile, tmp_path: Path) -> None:
    grey = Image.fromarray(photo(london)).convert("L")
    grey.save(tmp_path / "in.jpg", quality=95)
    result = smile(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert result.code == 0, result.err
    with Image.open(tmp_path / "in.jpg") as old, Image.open(tmp_path / "out.jpg") as new:
        assert (new.format, new.mode, new.size) == ("JPEG", "L", (SIDE, SIDE))
        assert new.quantization == old.quantization
    assert_smiles(pixels(tmp_path / "in.jpg"), pixels(tmp_path / "out.jpg"), truth(london))


@pytest.mark.parametrize("side", [200, 3464])  # 3464 x 3464 are 12 megapixels
def test_small_and_large_copies(side: int, london: Path, smile, tmp_path: Path) -> None:
    before = resized(photo(london), side)
    Image.fromarray(before).save(tmp_path / "in.tif")
    result = smile(tmp_path / "in.tif", tmp_path / "out.tif")
    assert result.code == 0, result.err
    after = pixels(tmp_path / "out.tif")
    assert after.shape == before.shape
    # What is said of the whole photo holds for the copy, at its own scale...
    assert_smiles(resized(before, 450), resized(after, 450), truth(london) * 450 / SIDE)
    # ...and the change is that of the photo itself.
    Image.fromarray(photo(london)).save(tmp_path / "whole.tif")
    assert smile(tmp_path / "whole.tif", tmp_path / "whole-out.tif").code == 0
    whole = resized(pixels(tmp_path / "whole-out.tif"), 200) - resized(photo(london), 200) * 1.0
    copy = resized(after, 200) - resized(before, 200) * 1.0
    assert np.corrcoef(whole.ravel(), copy.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("degrees", [20, -20])
def test_a_tilted_face(degrees: int, london: Path, smile, tmp_path: Path) -> None:
    small = Image.fromarray(photo(london))
    tilted = small.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(200, 200, 200))
    tilted.save(tmp_path / "in.png")
    result = smile(tmp_path / "in.png", tmp_path / "out.png")
    assert result.code == 0, result.err
    # Around the picture's middle, anticlockwise as one sees it.
    turn = np.exp(-1j * np.deg2rad(degrees))
    middle = SIDE / 2 * (1 + 1j)
    points = (truth(london) @ np.array([1, 1j]) - middle) * turn + middle
    points = np.stack([points.real, points.imag], axis=-1)
    assert_smiles(pixels(tmp_path / "in.png"), pixels(tmp_path / "out.png"), points)


# ---------------------------------------------------------------- several faces, or none


@pytest.fixture
def two_faces(london: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two people side by side, the one on the right smaller: the picture, and their landmarks."""
    large, small = photo(london, side=450), photo(london, "003", 300)
    picture = np.full((450, 750, 3), 235, np.uint8)
    picture[:, :450] = large
    picture[100:400, 450:] = small
    right = truth(london, "003", 300) + np.array([450, 100])
    return picture, truth(london, side=450), right


def test_which_of_two_faces(two_faces, command: Command, asked: str, tmp_path: Path) -> None:
    before, large, small = two_faces
    Image.fromarray(before).save(tmp_path / "in.png", compress_level=1)
    options = ("--expr", "happy", "--model", bundled_model(), "--detector", asked)
    changes = {}
    for which in ("largest", "1", "2", "all"):
        out = tmp_path / f"{which}.png"
        more = () if which == "largest" else ("--face", which)
        result = command("apply", tmp_path / "in.png", *options, *more, "-o", out)
        assert result.code == 0, result.err
        changes[which] = change(before, pixels(out))
    left, right = np.s_[:, :450], np.s_[:, 450:]
    for which in ("largest", "1"):
        assert changes[which][right].max() == 0
        assert changes[which][left].max() > 50
    assert changes["2"][left].max() == 0
    # All faces are both changes together, to the bit.
    np.testing.assert_array_equal(changes["all"], changes["1"] + changes["2"])
    after = pixels(tmp_path / "all.png")
    assert_smiles(before[left], after[left], large)
    assert_smiles(before[right], after[right], small - [450, 0])
    result = command("apply", tmp_path / "in.png", *options, "--face", 3)
    assert result.code == 1
    assert result.error == "face 3 was asked for, but only 2 faces were found"
    # The crops that the model sees, side by side.
    crops = ("--face", "all", "--debug-crop", tmp_path / "crops.png", "-o", tmp_path / "x.png")
    assert command("apply", tmp_path / "in.png", *options, *crops).code == 0
    assert pixels(tmp_path / "crops.png").shape == (CROP, 2 * CROP, 3)


def test_no_face(smile, tmp_path: Path) -> None:
    """One line, and nothing is written."""
    Image.fromarray(shapes(3, 480, 640)).save(tmp_path / "wall.png")
    result = smile(tmp_path / "wall.png", tmp_path / "out.png")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert "no face was found" in result.error
    assert "--eyes" in result.error
    assert files_in(tmp_path) == {"wall.png"}


@pytest.mark.parametrize("side", ["right", "bottom", "left", "top"])
def test_a_face_cut_by_the_border(side: str, london: Path, smile, tmp_path: Path) -> None:
    points = truth(london)
    unit = points[1, 0] - points[0, 0]
    low, high = points.min(axis=0) - 0.35 * unit, points.max(axis=0) + 0.35 * unit
    cuts = {
        "right": np.s_[:, : int(high[0])],
        "left": np.s_[:, int(low[0]) :],
        "bottom": np.s_[: int(high[1])],  # below the mouth, through the chin
        "top": np.s_[int(low[1]) :],
    }
    before = np.ascontiguousarray(photo(london)[cuts[side]])
    for name, picture in (("cut", before), ("whole", photo(london))):
        Image.fromarray(picture).save(tmp_path / f"{name}.tif")
        result = smile(tmp_path / f"{name}.tif", tmp_path / f"{name}-out.tif")
        assert result.code == 0, result.err
    # What is left of the face smiles as it does in the whole photo.
    after = pixels(tmp_path / "cut-out.tif")
    assert after.shape == before.shape
    expected = pixels(tmp_path / "whole-out.tif")[cuts[side]]
    assert change(before, expected).mean() > 2
    assert change(expected, after).mean() < 0.25 * change(before, expected).mean()


def test_half_a_face_is_none(london: Path, smile, tmp_path: Path) -> None:
    """With one eye outside there is nothing to align by; that is told."""
    middle = int(truth(london, side=PUBLISHED)[:2, 0].mean())
    Image.fromarray(photo(london, side=PUBLISHED)[:, :middle]).save(
        tmp_path / "in.png", compress_level=1
    )
    result = smile(tmp_path / "in.png", tmp_path / "out.png")
    assert result.code == 1
    assert "no face was found" in result.error
    assert files_in(tmp_path) == {"in.png"}


def test_a_face_too_small_to_speak_of(london: Path, smile, tmp_path: Path) -> None:
    canvas = np.full((400, 600, 3), 215, np.uint8)
    canvas[150:190, 250:290] = resized(photo(london), 40)
    Image.fromarray(canvas).save(tmp_path / "in.png")
    result = smile(tmp_path / "in.png", tmp_path / "out.png")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert "no face was found" in result.error or "the face is too small" in result.error
    assert files_in(tmp_path) == {"in.png"}


# ---------------------------------------------------------------- many photos


def test_a_folder_with_a_bad_file(london: Path, smile, tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / "2001").mkdir(parents=True)
    people = ("001", "002", "003", "004", "005")
    for person in people:
        name = f"2001/{person}.jpg" if person > "003" else f"{person}.jpg"
        Image.fromarray(photo(london, person, 450)).save(album / name, quality=92)
    (album / "2001" / "damaged.jpg").write_bytes((album / "001.jpg").read_bytes()[:4000])
    result = smile(album, tmp_path / "out")
    assert (result.code, result.out) == (1, "")
    summary, failure = result.err.splitlines()
    assert summary.startswith(f"5 of 6 pictures changed into {tmp_path / 'out'} (face found by")
    assert failure.startswith(f"failed: {album / '2001' / 'damaged.jpg'}")
    assert "is damaged" in failure
    made = files_in(tmp_path / "out")
    assert made == {"001.jpg", "002.jpg", "003.jpg", "2001/004.jpg", "2001/005.jpg"}
    for name in made:
        points = truth(london, Path(name).stem, 450)
        assert_smiles(pixels(album / name), pixels(tmp_path / "out" / name), points)
