"""``pixelreg apply`` on files, folders and pipes, and what it leaves untouched."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_tools import SIZE, Command, files_in, pixels, spawn
from PIL import Image
from safetensors.numpy import load_file

from pixelreg import load
from pixelreg.faces.landmarks import read_landmarks
from pixelreg.pictures.image import read_file
from pixelreg.pictures.sheet import strength_animation, strength_strip


@pytest.fixture
def crop(face: np.ndarray, tmp_path: Path) -> Path:
    """A neutral face of the model's own size, as a PNG file."""
    path = tmp_path / "crop.png"
    Image.fromarray(face).resize((SIZE, SIZE)).save(path)
    return path


def expected(model: Path, target: str, picture: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """x + s (w x + b - x) from the numbers in the model file."""
    numbers = load_file(model)
    x = picture.astype(np.float64) / 255
    made = numbers[f"{target}/weight"] * x + numbers[f"{target}/bias"]
    return np.rint(np.clip(x + strength * (made - x), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("strength", [1.0, 0.5, -0.7, 1.6])
@pytest.mark.parametrize("target", ["happy", "sad"])
def test_a_crop_becomes_what_the_numbers_say(
    target: str, strength: float, crop: Path, model: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    result = command(
        "apply", crop, "--expr", target, "--model", model, "--strength", strength, "-o", out
    )
    assert (result.code, result.out, result.err) == (0, "", f"wrote {out}\n")
    before, after = pixels(crop), pixels(out)
    gap = np.abs(after.astype(int) - expected(model, target, before, strength))
    assert gap.max() <= 1  # float32 may round a half the other way
    assert (gap > 0).mean() < 0.001
    assert (after != before).mean() > 0.05


def test_strength_zero_is_bit_identical(
    face: np.ndarray, model: Path, command: Command, tmp_path: Path
) -> None:
    Image.fromarray(face[:50]).save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    options = ("--expr", "happy", "--model", model, "-o", out)
    assert command("apply", tmp_path / "in.png", *options, "--strength", 0).code == 0
    np.testing.assert_array_equal(pixels(out), face[:50])


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp", "tif", "bmp"])
@pytest.mark.parametrize("size", [(64, 64), (97, 61), (20, 33)])
def test_size_and_format_are_kept(
    suffix: str, size: tuple[int, int], face: np.ndarray, model: Path, command: Command,
    tmp_path: Path,
) -> None:  # fmt: skip
    source = tmp_path / f"in.{suffix}"
    Image.fromarray(face).resize(size).save(source)
    before = source.read_bytes()
    result = command("apply", source, "--expr", "happy", "--model", model)
    assert result.code == 0, result.err
    assert source.read_bytes() == before
    assert files_in(tmp_path) == {f"in.{suffix}", f"in-happy.{suffix}"}
    with Image.open(source) as old, Image.open(tmp_path / f"in-happy.{suffix}") as new:
        assert (new.format, new.size, new.mode) == (old.format, size, old.mode)
        gap = np.abs(np.asarray(new).astype(int) - np.asarray(old))
        assert 0.2 < gap.mean() < 40


def test_another_format_where_the_name_asks_for_it(
    crop: Path, model: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "face.jpg"
    assert command("apply", crop, "--expr", "happy", "--model", model, "-o", out).code == 0
    with Image.open(out) as picture:
        assert (picture.format, picture.size) == ("JPEG", (SIZE, SIZE))


def test_in_place(crop: Path, model: Path, command: Command) -> None:
    before = pixels(crop)
    options = ("--expr", "happy", "--model", model)
    content = crop.read_bytes()
    for where in (("-o", crop), ("-o", crop.parent)):  # not unless it is asked for
        result = command("apply", crop, *options, *where)
        assert (result.code, "--in-place" in result.error) == (2, True)
        assert crop.read_bytes() == content
    assert command("apply", crop, *options, "--in-place").code == 0
    assert np.abs(pixels(crop).astype(int) - expected(model, "happy", before)).max() <= 1
    assert files_in(crop.parent) == {"crop.png"}


@pytest.mark.parametrize("asked", ["HA", "smile", "Happiness"])
def test_synonyms_get_the_canonical_name(
    asked: str, crop: Path, model: Path, command: Command
) -> None:
    assert command("apply", crop, "--expr", asked, "--model", model).code == 0
    assert files_in(crop.parent) == {"crop.png", "crop-happy.png"}


def test_several_files(face: np.ndarray, model: Path, command: Command, tmp_path: Path) -> None:
    names = ("a.png", "b.jpg", "c.png")
    for name in names:
        Image.fromarray(face).save(tmp_path / name)
    files = [tmp_path / name for name in names]
    options = ("--expr", "sad", "--model", model)
    result = command("apply", *files, *options)
    assert (result.code, result.out) == (0, "")
    assert "3 of 3 pictures changed" in result.err
    beside = {"a-sad.png", "b-sad.jpg", "c-sad.png"}
    assert files_in(tmp_path) == {*names, *beside}
    result = command("apply", *files, *options, "-o", tmp_path / "made")
    assert result.code == 0
    assert files_in(tmp_path / "made") == set(names)
    np.testing.assert_array_equal(pixels(tmp_path / "made/a.png"), pixels(tmp_path / "a-sad.png"))


@pytest.fixture
def album(face: np.ndarray, tmp_path: Path) -> Path:
    """Four pictures in folders and sub-folders, same names among them, and things that are none."""
    folder = tmp_path / "album"
    for name in ("one.png", "deep/one.png", "deep/er/two.JPG", "other/three.webp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"hidden")
    return folder


MADE = {"one.png", "deep/one.png", "deep/er/two.JPG", "other/three.webp"}


def test_a_folder_keeps_its_sub_folders(album: Path, model: Path, command: Command) -> None:
    before = files_in(album)
    result = command("apply", album, "--expr", "happy", "--model", model)
    assert result.code == 0, result.err
    assert "4 of 4 pictures changed" in result.err
    assert files_in(album) == before
    made = album.with_name("album-happy")
    assert files_in(made) == MADE
    assert str(made) in result.err
    for name in MADE:
        assert pixels(made / name).shape == (64, 64, 3)
    np.testing.assert_array_equal(pixels(made / "one.png"), pixels(made / "deep/one.png"))
    assert (pixels(made / "one.png") != pixels(album / "one.png")).any()


def test_a_bad_file_does_not_stop_the_others(album: Path, model: Path, command: Command) -> None:
    (album / "deep" / "bad.png").write_text("no picture")
    (album / "empty.jpg").write_bytes(b"")
    result = command("apply", album, "--expr", "happy", "--model", model)
    assert (result.code, result.out) == (1, "")
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert "4 of 6 pictures changed" in lines[0]
    assert lines[1].startswith("failed: ")
    assert "deep/bad.png" in lines[1]
    assert "empty.jpg" in lines[2]
    assert files_in(album.with_name("album-happy")) == MADE


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_pipe(
    format: str, face: np.ndarray, model: Path, tmp_path: Path, command: Command
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format, **({"quality": 90} if format == "JPEG" else {}))
    source = tmp_path / f"in.{format.lower()}"
    source.write_bytes(buffer.getvalue())
    options = ("--expr", "happy", "--model", model)
    result = spawn("apply", "-", *options, input=buffer.getvalue(), cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    # What goes through a pipe is byte for byte what goes through files.
    out = tmp_path / f"out.{format.lower()}"
    assert command("apply", source, *options, "-o", out).code == 0
    assert result.out.encode("latin-1") == out.read_bytes()
    piped = spawn("apply", "-", *options, "-o", "made.png", input=buffer.getvalue(), cwd=tmp_path)
    assert (piped.code, piped.out) == (0, "")
    with Image.open(tmp_path / "made.png") as made:
        assert (made.format, made.size) == ("PNG", (64, 64))


def test_the_model_of_the_working_folder_comes_first(
    crop: Path, model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "pixelreg.safetensors")
    result = command("apply", "crop.png", "--expr", "happy")
    assert result.code == 0, result.err
    assert result.err.splitlines() == ["using ./pixelreg.safetensors", "wrote crop-happy.png"]
    gap = np.abs(
        pixels(tmp_path / "crop-happy.png").astype(int) - expected(model, "happy", pixels(crop))
    )
    assert gap.max() <= 1


def test_else_the_rig_that_needs_a_face(
    crop: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("apply", "crop.png", "--expr", "happy", "--eyes", EYES_OF_CROP)
    assert result.code == 0, result.err
    assert "using" not in result.err
    assert (pixels(tmp_path / "crop-happy.png") != pixels(crop)).any()
    result = command("apply", "crop.png", "--no-align", "--slide", "AU12=0.8", "-o", "au.png")
    assert result.code == 0, result.err


EYES_OF_CROP = ",".join(str(v * SIZE) for v in (0.36, 0.39, 0.64, 0.39))
EYES = ",".join(str(v) for v in (70 + 0.36 * 64, 30 + 0.39 * 64, 70 + 0.64 * 64, 30 + 0.39 * 64))


@pytest.fixture
def wide(face: np.ndarray, tmp_path: Path) -> np.ndarray:
    """A face of 64 pixels in a larger picture, wide.png; its eyes are those of the frame."""
    picture = np.full((120, 200, 3), 128, np.uint8)
    picture[30:94, 70:134] = face
    Image.fromarray(picture).save(tmp_path / "wide.png")
    return picture


def test_eyes_and_box_say_where_the_face_is(
    wide: np.ndarray, photo_model: Path, command: Command, tmp_path: Path
) -> None:
    options = ("--expr", "happy", "--model", photo_model)
    made = {}
    for name, where in (("eyes", EYES), ("box", "76,34,52,58")):
        out = tmp_path / f"{name}.png"
        result = command("apply", tmp_path / "wide.png", *options, f"--{name}", where, "-o", out)
        assert result.code == 0, result.err
        made[name] = np.abs(pixels(out).astype(int) - wide).max(axis=-1)
    for change in made.values():
        assert change[30:94, 70:134].max() > 30
        change[20:108, 60:144] = 0
        assert change.max() == 0  # nothing but the face has changed


def test_a_photograph_with_landmarks_beside_it(
    london: Path, photo_model: Path, command: Command, tmp_path: Path
) -> None:
    photo = tmp_path / "album" / "001_03.jpg"
    photo.parent.mkdir()
    for name in (photo.name, "001_03.tem"):
        shutil.copy(london / "neutral_front" / name, photo.with_name(name))
    options = ("--expr", "happy", "--model", photo_model)
    result = command("apply", photo, *options, "-o", tmp_path / "by-file.png")
    assert result.code == 0, result.err
    before, after = pixels(photo), pixels(tmp_path / "by-file.png")
    assert after.shape == before.shape
    change = np.abs(after.astype(int) - before).max(axis=-1)
    points = read_landmarks(photo.with_suffix(".tem"))
    (x1, y1), (x2, y2) = points.eyes
    span = x2 - x1
    rows, columns = np.mgrid[: before.shape[0], : before.shape[1]]
    around = np.hypot(columns - (x1 + x2) / 2, rows - (y1 + y2) / 2 - 0.4 * span)
    assert change[around > 3.2 * span].max() == 0
    assert change[around < span].mean() > 2
    # Eyes given by hand are the same eyes.
    by_hand = command(
        "apply", photo, *options, "--eyes", f"{x1},{y1},{x2},{y2}", "-o", tmp_path / "by-hand.png"
    )
    assert by_hand.code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "by-hand.png"), after)
    # A JPEG stays one, of the same size; in a folder, too.
    assert command("apply", photo.parent, *options).code == 0
    assert files_in(tmp_path / "album-happy") == {"001_03.jpg"}
    with Image.open(tmp_path / "album-happy" / "001_03.jpg") as made:
        assert (made.format, made.size) == ("JPEG", before.shape[1::-1])


@pytest.fixture
def at(crop: Path, model: Path) -> Callable[[float], np.ndarray]:
    """The crop made happy at a strength, through Python."""
    prepared = load(model).prepare(read_file(crop), "happy")
    return lambda strength: prepared.at(strength).pixels


def test_several_strengths_make_a_strip(
    crop: Path, model: Path, at: Callable, command: Command, tmp_path: Path
) -> None:
    options = ("--expr", "happy", "--model", model)
    strip = tmp_path / "strip.png"
    result = command("apply", crop, *options, "--strength", "-0.5,0,0.5,1.5", "-o", strip)
    assert (result.code, result.out, result.err) == (0, "", f"wrote {strip}\n")
    np.testing.assert_array_equal(pixels(strip), strength_strip(at, (-0.5, 0, 0.5, 1.5)))
    # A strip of every picture of a folder, in the picture's format; and of a pipe.
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(crop, folder / "a.png")
    Image.open(crop).save(folder / "b.jpg")
    result = command("apply", folder, *options, "--strength", "0,1")
    assert "2 of 2 pictures changed" in result.err
    np.testing.assert_array_equal(
        pixels(tmp_path / "album-happy" / "a.png"), strength_strip(at, (0, 1))
    )
    with Image.open(tmp_path / "album-happy" / "b.jpg") as made:
        assert (made.format, made.width > 2 * SIZE) == ("JPEG", True)
    piped = spawn("apply", "-", *options, "--strength", "0,1", input=crop.read_bytes())
    assert piped.code == 0, piped.err
    assert piped.out.encode("latin-1") == (tmp_path / "album-happy" / "a.png").read_bytes()


@pytest.mark.parametrize("suffix", ["gif", "WEBP", "png"])
def test_an_animation_sweeps_the_strength(
    suffix: str, crop: Path, model: Path, at: Callable, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / f"sweep.{suffix}"
    options = ("--expr", "happy", "--model", model, "--strength", "0.5,1.5")
    result = command("apply", crop, *options, "--animate", out)
    assert (result.code, result.out, result.err) == (0, "", f"wrote {out}\n")
    assert files_in(tmp_path) == {"crop.png", out.name}
    assert out.read_bytes() == strength_animation(at, 1.5, out.suffix, mark=True)


STEPS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def test_the_crop_that_the_model_sees(
    face: np.ndarray, wide: np.ndarray, photo_model: Path, command: Command, tmp_path: Path
) -> None:
    result = command(
        "apply", tmp_path / "wide.png", "--expr", "happy", "--model", photo_model,
        "--eyes", EYES, "--debug-crop", tmp_path / "crop.png",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert files_in(tmp_path) == {"wide.png", "crop.png", "wide-happy.png"}
    # 64 pixels of the picture are 32 of the crop: every crop pixel is about the mean of four.
    blocks = face.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))
    seen = pixels(tmp_path / "crop.png")
    gaps = {step: np.abs(np.roll(seen, step, (0, 1)) - blocks).mean() for step in STEPS}
    assert min(gaps, key=gaps.__getitem__) == (0, 0)
    assert gaps[0, 0] < 10
    # Where no face is looked for it is exactly the mean.
    Image.fromarray(face).save(tmp_path / "face.png")
    result = command(
        "apply", tmp_path / "face.png", "--expr", "happy", "--model", photo_model, "--no-align",
        "--debug-crop", tmp_path / "crop.png",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert np.abs(pixels(tmp_path / "crop.png") - blocks).max() <= 0.5


def turned(face: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    face.rotate(90, expand=True).save(path, exif=exif, quality=95)


def see_through(face: Image.Image, path: Path) -> None:
    alpha = np.arange(face.width * face.height, dtype=np.uint8).reshape(face.height, face.width)
    face.putalpha(Image.fromarray(alpha))
    face.save(path)


def sixteen_bits(face: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(face)[..., 0].astype(np.uint16) * 257).save(path)


UNUSUAL = {
    "deep.png": (sixteen_bits, "I;16"),
    "deep.tif": (sixteen_bits, "I;16"),
    "cmyk.jpg": (lambda face, path: face.convert("CMYK").save(path, quality=95), "RGB"),
    "cmyk.tif": (lambda face, path: face.convert("CMYK").save(path), "RGB"),
    "palette.png": (lambda face, path: face.quantize(200).save(path), "RGB"),
    "palette.gif": (lambda face, path: face.quantize(200).save(path), "RGB"),
    "alpha.png": (see_through, "RGBA"),
    "alpha.webp": (see_through, "RGBA"),
    "turned.jpg": (turned, "RGB"),
    "bits.png": (lambda face, path: face.convert("1").save(path), "L"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_are_handled(
    name: str, face: np.ndarray, model: Path, command: Command, tmp_path: Path
) -> None:
    make, mode = UNUSUAL[name]
    tall = face[:, 4:56]  # 52 x 64
    path, out = tmp_path / name, tmp_path / "out.png"
    make(Image.fromarray(tall), path)
    result = command("apply", path, "--expr", "happy", "--model", model, "-o", out)
    assert (result.code, result.out, result.err) == (0, "", f"wrote {out}\n")
    with Image.open(out) as made:
        assert (made.size, made.mode) == ((52, 64), mode)  # upright
        levels = np.asarray(made) // 257 if mode == "I;16" else np.asarray(made.convert("RGB"))
    rgb = (levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)).astype(int)
    if name != "bits.png":
        # Still this face: the change is small, and not a change of scale or of orientation.
        seen = np.repeat(tall[..., :1], 3, axis=2) if mode == "I;16" else tall
        assert np.abs(rgb - seen).mean() < 12
        assert np.corrcoef(rgb.ravel(), seen.ravel())[0, 1] > 0.95
    if name == "alpha.png":
        np.testing.assert_array_equal(pixels(out)[..., 3], pixels(path)[..., 3])
    # The same again in the picture's own format.
    result = command("apply", path, "--expr", "happy", "--model", model)
    assert result.code == 0, result.err
    beside = path.with_stem(f"{path.stem}-happy")
    with Image.open(path) as old, Image.open(beside) as new:
        assert new.format == old.format
        assert new.getexif().get(0x0112, 1) == 1


def test_unusual_pictures_are_learnt_from(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set") / "KDEF"
    for person, name in (("AF01", "cmyk.jpg"), ("AM01", "turned.jpg")):
        for path in (folder / person / f"{person}{code}S.JPG" for code in ("NE", "HA")):
            UNUSUAL[name][0](Image.fromarray(pixels(path)), path)
    result = command("fit", "--data", folder, "--expr", "happy", *fit_options)
    assert result.code == 0
    assert "warning" not in result.err
    assert "8 pairs" in result.err
