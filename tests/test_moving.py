"""Files of several pictures, files of every kind in a folder, and pictures by any name."""

from __future__ import annotations

import base64
import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import SIZE, Command, files_in, pixels, places_of
from picture_tools import P3, colours, encoded, icc, shown
from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import AppendingTiffWriter

from pixelreg.api import load, translate
from pixelreg.commands.jobs import plan_jobs
from pixelreg.errors import InvalidArrayError, MissingExtraError
from pixelreg.pictures.deep import lost_depth, write_tiff
from pixelreg.pictures.image import read, read_bytes
from pixelreg.pictures.kinds import media_of, suffix_of
from pixelreg.pictures.moving import Moving, encode_moving, read_moving

DURATIONS = [40, 200, 1000]
ANIMATED = {
    "gif": {},
    "webp": {"lossless": True},
    "png": {},
    "avif": {"quality": 95, "subsampling": "4:4:4"},
}


def frames(count: int = 3, side: int = SIZE) -> list[Image.Image]:
    return [Image.fromarray(np.roll(colours(side), 5 * k, axis=1)) for k in range(count)]


def animation(suffix: str, **options: Any) -> bytes:
    format = {"tif": "TIFF"}.get(suffix, suffix.upper())
    first, *rest = frames()
    timing = {} if suffix == "tif" else {"duration": DURATIONS, "loop": 3}
    timing.pop("loop", None) if suffix == "avif" else None
    own = ANIMATED.get(suffix, {})
    return encoded(first, format, save_all=True, append_images=rest, **{**timing, **own, **options})


def shown_frames(content: bytes) -> tuple[list[np.ndarray], list[float], Any]:
    with Image.open(io.BytesIO(content)) as image:
        found, times = [], []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            found.append(shown(frame.copy()))
            times.append(frame.info.get("duration"))
        return found, times, image.info.get("loop")


@pytest.fixture
def options(model: Path) -> tuple[object, ...]:
    return ("--expr", "happy", "--model", model, "--no-align")


# ------------------------------------------------------------------------------ several pictures


@pytest.mark.parametrize("suffix", [*ANIMATED, "tif"])
def test_every_picture_is_changed_and_keeps_its_time(
    suffix, options, model: Path, command: Command, tmp_path: Path
) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    path.write_bytes(animation(suffix))
    result = command("apply", path, *options, "--strength", 4, "-o", out)
    assert (result.code, result.err) == (0, f"wrote {out}\n")
    before, times, loop = shown_frames(path.read_bytes())
    after, made_times, made_loop = shown_frames(out.read_bytes())
    assert (made_times, made_loop) == (times, loop)
    assert suffix == "tif" or times == DURATIONS
    assert len(after) == 3
    translator = load(model)
    for old, new in zip(before, after, strict=True):
        expected = translator.translate(old.astype(np.uint8), "happy", 4.0).astype(int)
        change = np.abs(expected - old).mean()
        assert (
            np.abs(new - expected).mean() < {"gif": 0.7, "avif": 0.3}.get(suffix, 0) * change + 1e-9
        )


@pytest.mark.parametrize("suffix", [*ANIMATED, "tif"])
def test_at_strength_zero_no_picture_changes(
    suffix, options, command: Command, tmp_path: Path
) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    small = [frame.quantize(100).convert("RGB") for frame in frames()]
    first, *rest = small
    format = {"tif": "TIFF"}.get(suffix, suffix.upper())
    timing = {} if suffix == "tif" else {"duration": DURATIONS}
    extra = {"save_all": True, "append_images": rest, **timing, **ANIMATED.get(suffix, {})}
    path.write_bytes(encoded(first, format, **extra))
    assert command("apply", path, *options, "--strength", 0, "-o", out).code == 0
    before, times, _ = shown_frames(path.read_bytes())
    after, made_times, _ = shown_frames(out.read_bytes())
    assert made_times == times
    gap = max(np.abs(a - b).mean() for a, b in zip(before, after, strict=True))
    assert gap <= (1.5 if suffix == "avif" else 0)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_frames_that_are_transparent_do_not_show_those_before(suffix) -> None:
    made = []
    for k in range(3):
        clear = np.zeros((SIZE, SIZE, 4), np.uint8)
        clear[4:12, 8 * k + 2 : 8 * k + 8] = (200, 60 * k, 30, 255)
        clear[4, 8 * k + 2, 3] = 255 if suffix == "gif" else 128
        made.append(Image.fromarray(clear))
    format = suffix.upper()
    extra = {"disposal": 2} if suffix == "gif" else {"disposal": 1} if suffix == "png" else {}
    content = encoded(
        made[0], format, save_all=True, append_images=made[1:], duration=50,
        **{**ANIMATED[suffix], **extra},
    )  # fmt: skip
    moving = read_moving(content, "p")
    for old, new in zip(made, shown_frames(encode_moving(moving, format))[0], strict=True):
        assert np.abs(new - shown(old)).max() <= 1
    if suffix == "webp":  # whose parts that are stored may all be opaque
        made = [Image.fromarray(np.where(np.asarray(f) == 128, 255, f).astype("u1")) for f in made]
        moving = Moving(tuple(map(read, made)), (50.0,) * 3)
        for old, new in zip(made, shown_frames(encode_moving(moving, format))[0], strict=True):
            assert np.abs(new - shown(old)).max() == 0


def test_wide_colours_move_on() -> None:
    moving = read_moving(animation("webp", icc_profile=icc(P3)), "p")
    reference = frames()[1]
    reference.info["icc_profile"] = icc(P3)
    assert np.abs(moving.pictures[1].pixels - shown(reference)).max() == 0
    for format in ("WEBP", "PNG"):
        made = encode_moving(moving, format)
        assert Image.open(io.BytesIO(made)).info["icc_profile"] == icc(P3)
    assert np.abs(shown_frames(encode_moving(moving, "GIF"))[0][1] - shown(reference)).mean() < 8


def test_pages_of_sixteen_bits_and_of_other_sizes(options, command, tmp_path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE, 3), dtype=np.uint16)
    pages = [write_tiff(deep, {}, True), write_tiff(deep[:20], {}, False)]
    pages.append(encoded(Image.fromarray(colours(SIZE)[..., 0]), "TIFF"))
    buffer = io.BytesIO()
    with AppendingTiffWriter(buffer, True) as writer:
        for page in pages:
            writer.write(page)
            writer.newFrame()
    (tmp_path / "in.tif").write_bytes(buffer.getvalue())
    out = tmp_path / "out.tif"
    arguments = ("--strength", 0, "-o", out)
    assert command("apply", tmp_path / "in.tif", *options, *arguments).code == 0
    made = read_moving(out.read_bytes(), "p").pictures
    assert np.array_equal(made[0].values, deep)
    assert np.array_equal(made[1].values, deep[:20])
    assert np.array_equal(made[2].values[..., 0], colours(SIZE)[..., 0])


@pytest.mark.parametrize(
    ("given", "made"), [("gif", "jpg"), ("tif", "png"), ("webp", "bmp"), ("png", "tif")]
)
def test_that_only_the_first_was_taken_is_said(
    given, made, options, command: Command, tmp_path: Path
) -> None:
    path, out = tmp_path / f"in.{given}", tmp_path / f"out.{made}"
    path.write_bytes(animation(given))
    result = command("apply", path, *options, "-o", out)
    note = f"note: {path}: only the first of its 3 pictures was taken"
    assert (result.code, result.err.splitlines()) == (0, [f"wrote {out}", note])
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(path, folder)
    arguments = ("--strength", "0,1", "-o", tmp_path / "strips")
    assert "only the first of its 3" in command("apply", folder, *options, *arguments).err
    with pytest.warns(UserWarning, match="only the first of its 3"):
        translate(path, "happy", options[3])


def test_what_a_phone_stores_behind_a_picture_is_told(options, command, tmp_path) -> None:
    first, *rest = frames()
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded(first, "MPO", save_all=True, append_images=rest, quality=95))
    result = command("apply", path, *options)
    assert "only the first of its 3 pictures was taken" in result.err
    with Image.open(tmp_path / "phone-happy.jpg") as made, Image.open(path) as before:
        assert made.format == "JPEG"
        assert made.quantization == before.quantization


def test_frames_without_a_face_stay_and_are_counted(
    london: Path, photo_model: Path, command: Command, tmp_path: Path
) -> None:
    with Image.open(london / "neutral_front" / "001_03.jpg") as photo:
        face = photo.convert("RGB").resize((300, 300))
    plain = Image.new("RGB", (300, 300), "grey")
    path = tmp_path / "in.webp"

    def write(*frames: Image.Image) -> None:
        extra = {"save_all": True, "append_images": frames[1:], "duration": 50, "lossless": True}
        path.write_bytes(encoded(frames[0], "WEBP", **extra))

    write(face, plain, face)
    options = ("--expr", "happy", "--model", photo_model)
    result = command("apply", path, *options)
    assert result.code == 0, result.err
    assert "1 of 3 pictures show no face, and stay as they were" in result.err
    names = ("in.webp", "in-happy.webp")
    before, after = (shown_frames((tmp_path / name).read_bytes())[0] for name in names)
    gaps = [np.abs(a - b).mean() for a, b in zip(before, after, strict=True)]
    assert gaps[1] == 0 < min(gaps[0], gaps[2])
    write(plain, Image.new("RGB", (300, 300), "white"))
    result = command("apply", path, *options, "-o", tmp_path / "no.webp")
    assert (result.code, "no face" in result.error) == (1, True)
    assert not (tmp_path / "no.webp").exists()


# ------------------------------------------------------------------------- files of every kind


HEADS = {
    "picture": [
        encoded(Image.new("RGB", (9, 9)), format)
        for format in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "PPM", "JPEG2000")
    ]
    + [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", b"\xff\x0a\0"],
    "video": [
        b"\0\0\0\x18ftypisom\0\0\0\0isomavc1",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        b"\0\0\0\x14ftyp3gp5\0\0\0\0",
        b"\0\0\x10\0moov",
        b"\x1a\x45\xdf\xa3\x01",
        b"RIFF\0\0\0\0AVI LIST",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        b"\0\0\x01\xba\x44",
        (b"\x47" + b"\0" * 187) * 2 + b"\x47",
        (b"\0\0\0\0\x47" + b"\0" * 187) * 2,
        b"FLV\x01",
    ],
    "": [b"", b"hello", b"PK\x03\x04", b"RIFF\0\0\0\0WAVE", b"ID3", b"%PDF-1.4", b"BM"],
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_a_file_is_shows_in_its_first_bytes(kind) -> None:
    assert [media_of(head[:512]) for head in HEADS[kind]] == [kind] * len(HEADS[kind])


def test_a_folder_is_gone_through_by_content(options, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    image = frames()[0]
    for name in ("a.jpg", "b.avif", "c.webp", "d.JPE", "e.mpo", "f.apng"):
        format = {"avif": "AVIF", "webp": "WEBP", "apng": "PNG"}.get(name[2:], "JPEG")
        (folder / name).write_bytes(encoded(image, format))
    (folder / "nameless").write_bytes(encoded(image, "JPEG"))
    (folder / "odd.picture").write_bytes(encoded(image, "TIFF"))
    (folder / "clip.mp4").write_bytes(HEADS["video"][0])
    (folder / "a.tem").write_text("landmarks")
    for number in range(4):
        (folder / f"notes{number}.txt").write_text("no picture")
    result = command("apply", folder, *options)
    assert (result.code, "8 of 8 pictures changed" in result.err) == (0, True)
    assert "left out: 1 of video: give each by itself (clip.mp4)" in result.err
    assert "left out: 4 of another kind (notes0.txt, notes1.txt, notes2.txt, …)" in result.err
    assert "a.tem" not in result.err
    made = {"a.jpg", "b.avif", "c.webp", "d.jpg", "e.jpg", "f.apng", "nameless.jpg", "odd.tif"}
    assert files_in(tmp_path / "album-happy") == made
    with Image.open(tmp_path / "album-happy" / "b.avif") as picture:
        assert picture.format == "AVIF"


def test_reported_folder(reported: Path, options, command: Command, tmp_path: Path) -> None:
    arguments = (reported / "06-folder-skips", *options, "-o", tmp_path / "out")
    assert "2 of 2 pictures changed" in command("apply", *arguments).err
    assert files_in(tmp_path / "out") == {"a.jpg", "b.avif"}


def test_names_without_a_format_get_one(tmp_path: Path) -> None:
    for format, suffix in (("JPEG", ".jpg"), ("GIF", ".gif"), ("AVIF", ".avif"), ("TIFF", ".tif")):
        path = tmp_path / "nameless"
        path.write_bytes(encoded(Image.new("RGB", (9, 9)), format))
        assert suffix_of(path) == suffix
        assert plan_jobs([path], None, "happy")[0].output == tmp_path / f"nameless-happy{suffix}"


@pytest.mark.parametrize(
    ("head", "package"),
    [(HEADS["picture"][-3], "pillow-heif"), (HEADS["picture"][-1], "pillow-jxl-plugin")],
)
def test_the_extra_that_reads_a_format_is_named(head, package, monkeypatch) -> None:
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pixelreg\[formats\]"):
        read_bytes(head, "p")


@pytest.mark.parametrize(
    ("module", "name"), [("pillow_heif", "b_heic.heic"), ("pillow_jxl", "b_jxl.jxl")]
)
def test_heic_and_jpeg_xl_are_read_and_written(
    module, name, reported: Path, options, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip(module, reason="the extra 'formats' brings it")
    source, out = reported / "first-hour" / name, tmp_path / name
    result = command("apply", source, *options, "-o", out, "--strength", 0)
    assert result.code == 0, result.err
    before, after = read(source), read(out)
    assert after.format == before.format
    assert np.abs(after.pixels.astype(int) - before.pixels).mean() < 2
    assert command("apply", source, *options, "-o", tmp_path / "out.png").code == 0


def test_depth_that_is_lost_is_told() -> None:
    content = encoded(frames()[0], "AVIF")
    assert read_bytes(content, "p").notes == ()
    deep = bytearray(content)
    deep[content.index(b"av1C") + 6] |= 0x40  # says that it has 10 bits
    with Image.open(io.BytesIO(content)) as opened:
        assert lost_depth(opened, bytes(deep)) == "its 10 bits a channel are taken as 8"


# ------------------------------------------------------------------------------------- Python


class PathLike:
    """A path of another library's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_open_files_and_paths_of_any_kind(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = frames()[0]
    image.save(path, icc_profile=icc(P3))
    expected = translate(path, "happy", model)
    with path.open("rb") as file:
        sources = (PathLike(path), str(path), file, io.BytesIO(path.read_bytes()))
        for source in sources:
            made = translate(source, "happy", model)
            assert isinstance(made, Image.Image)
            assert np.array_equal(np.asarray(made), np.asarray(expected))
            assert made.info["icc_profile"] == icc(P3)
    read_end, write_end = os.pipe()  # can be read but once
    os.write(write_end, path.read_bytes())
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        made = translate(file, "happy", model, strength=0)
    assert np.array_equal(np.asarray(made), np.asarray(image))
    for content in (bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        assert isinstance(translate(content, "happy", model), bytes)
    (tmp_path / "text").write_text("x")
    with (tmp_path / "text").open() as text, pytest.raises(InvalidArrayError, match="'rb'"):
        translate(text, "happy", model)


def test_a_notebook_shows_what_comes_back(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(frames()[0], "JPEG", icc_profile=icc(P3)))
    png = translate(path, "happy", model)._repr_png_()
    assert Image.open(io.BytesIO(png)).info["icc_profile"] == icc(P3)


def test_rounding_noise_is_clipped_and_more_is_refused(model: Path) -> None:
    values = np.random.default_rng(0).random((SIZE, SIZE, 3))
    values[0, 0], values[0, 1] = 0, 1
    noisy = read(values * (1 + 1e-7) - 1e-9).exact
    assert (noisy.min(), noisy.max()) == (0, 1)
    translate(values * (1 + 1e-7), "happy", model, strength=0)
    with pytest.raises(InvalidArrayError, match=r"to 1\.0001[0-9]*;"):
        read(values * 1.0001)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif"])
def test_bytes_of_several_pictures_come_back_as_such(suffix, model: Path) -> None:
    content = animation(suffix)
    made = translate(content, "happy", model, strength=4)
    before, after = shown_frames(content), shown_frames(made)
    assert (after[1:], len(after[0])) == (before[1:], 3)
    for old, new in zip(before[0], after[0], strict=True):
        expected = translate(old.astype(np.uint8), "happy", model, strength=4)
        assert np.abs(new - expected).mean() <= (4 if suffix == "gif" else 0)
    assert translate(content, "happy", model, strength=0) == content
    with Image.open(io.BytesIO(content)) as image:
        image.seek(1)
        with pytest.warns(UserWarning, match="only number 2 of its 3 pictures"):
            translate(image, "happy", model)


def test_no_picture_beside_its_crop_is_lost(tmp_path: Path, options, command) -> None:
    """The strip of a wide and of a transparent picture shows what a viewer shows."""
    image = Image.fromarray(colours(64))
    image.save(tmp_path / "wide.png", icc_profile=icc(P3))
    out = tmp_path / "strip.png"
    arguments = ("--strength", "0,0", "-o", out)
    assert command("apply", tmp_path / "wide.png", *options, *arguments).code == 0
    image.info["icc_profile"] = icc(P3)
    strip = pixels(out).astype(int)
    height = strip.shape[0] - 68
    assert np.abs(strip[height : height + 64, :64] - shown(image)).max() == 0
    html, sheet = tmp_path / "sheet.html", tmp_path / "sheet.png"
    for made in (html, sheet):
        words = (
            "compare",
            tmp_path / "wide.png",
            options[3],
            "--no-align",
            "--side",
            64,
            "-o",
            made,
        )
        assert command(*words).code == 0
    inside = html.read_text().split("base64,")[1].split("'")[0]
    assert np.abs(shown(base64.b64decode(inside)) - shown(image)).max() == 0
    assert places_of(shown(image), pixels(sheet))
    for extra in ("--debug-crop", "--animate"):
        made = tmp_path / "made.png"
        assert (
            command("apply", tmp_path / "wide.png", *options, "--strength", 0, extra, made).code
            == 0
        )
        with Image.open(made) as opened:
            small = np.asarray(opened.convert("RGB").resize((8, 8), Image.Resampling.BOX))
        whole = Image.fromarray(shown(image).astype(np.uint8)).resize((8, 8), Image.Resampling.BOX)
        assert np.abs(small.astype(int) - np.asarray(whole)).max() <= 3
