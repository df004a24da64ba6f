"""Pictures in and out: every mode, format and orientation, and files that are not pictures."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from pixelreg.errors import ImageError, InvalidArrayError
from pixelreg.pictures.image import (
    Picture,
    encode,
    format_of,
    read,
    read_bytes,
    restore,
    to_pil,
    unchanged,
)


def photo(height: int = 12, width: int = 20) -> np.ndarray:
    """A smooth colour picture, so that lossy formats stay near it."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (x * 255 / (width - 1), y * 255 / (height - 1), 128 + 60 * np.sin((x + y) / 6))
    return np.stack(planes, axis=-1).astype(np.uint8)


def file_bytes(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def with_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(1, 125)
    return exif


@cache
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + extra + end


def png16(values: np.ndarray, extra: bytes = b"") -> bytes:
    """A 16-bit PNG of (H, W, C) values: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows, extra)


# ---- modes


def own_colours(picture: Picture) -> np.ndarray:
    """(H, W, 3) uint8 of a picture as it is stored, whatever its opacity."""
    return np.asarray(to_pil(picture).convert("RGBA"))[..., :3]


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def in_mode(mode: str) -> Image.Image:
    colour = Image.fromarray(photo())
    grey = colour.convert("L")
    levels = np.asarray(grey)
    if mode == "I;16":
        return Image.fromarray(levels.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(levels.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(levels.astype(np.float32) / np.float32(255))
    if mode in ("LA", "La"):
        grey.putalpha(200)
        return grey.convert(mode)
    if mode in ("RGBA", "RGBa"):
        colour.putalpha(Image.fromarray(photo()[..., 0]))
    return colour.convert(mode)


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "F", "LA", "La"])
def test_grey_modes_become_equal_channels(mode) -> None:
    image = in_mode(mode)
    picture = read(image)
    expected = np.asarray(Image.fromarray(photo()).convert("L")).astype(int)
    assert picture.grey
    assert picture.pixels.shape == (12, 20, 3)
    assert picture.pixels.dtype == np.uint8
    given = own_colours(picture) if "A" in mode.upper() else picture.pixels
    assert np.abs(given - expected[..., None]).max() <= (mode == "La")
    assert (picture.alpha is not None) == (mode in ("LA", "La"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "P", "PA", "RGBa"])
def test_colour_modes_become_rgb(mode) -> None:
    picture = read(in_mode(mode))
    assert not picture.grey
    off = np.abs(own_colours(picture).astype(int) - photo()).astype(float)
    if mode == "RGBa":  # premultiplied: what is transparent lost its colour
        off *= picture.alpha[..., None] / 255
    assert off.mean() < {"P": 25, "PA": 25, "HSV": 3, "YCbCr": 1.5, "RGBa": 1}.get(mode, 0.1)
    assert (picture.alpha is not None) == (mode in ("RGBA", "PA", "RGBa"))


def test_one_bit_pictures_are_black_and_white() -> None:
    bits = np.indices((6, 8)).sum(axis=0) % 2 == 0
    picture = read(Image.fromarray(bits))
    assert picture.grey
    assert np.array_equal(picture.pixels, bits[..., None].repeat(3, axis=2) * 255)


def test_the_a_of_lab_is_no_alpha() -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    picture = read(ImageCms.applyTransform(Image.fromarray(photo()), lab))
    assert picture.alpha is None
    assert np.abs(picture.pixels.astype(int) - photo()).mean() < 4


@pytest.mark.parametrize(
    ("dtype", "scale"), [("i4", 1), ("i4", 257), ("f4", 1 / 255), ("f4", 1), ("f4", 257)]
)
def test_modes_i_and_f_are_read_on_the_scale_that_they_fill(dtype, scale) -> None:
    levels = np.array([[0, 51, 102, 255]])
    picture = read(Image.fromarray((levels * scale).astype(dtype)))
    assert picture.pixels[0, :, 0].tolist() == [0, 51, 102, 255]


def test_a_dark_sixteen_bit_picture_stays_dark() -> None:
    picture = read(Image.fromarray(np.full((2, 2), 200, np.uint16)))
    assert picture.pixels.max() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_mode_f_with_values_that_are_not_finite_is_refused(value) -> None:
    with pytest.raises(InvalidArrayError, match="NaN or infinite"):
        read(Image.fromarray(np.array([[0.5, value]], np.float32)))


def test_palettes_with_transparency_keep_it() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    picture = read_bytes(file_bytes(image, "PNG", transparency=1), "p")
    assert picture.pixels.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    assert own_colours(picture).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert picture.alpha.tolist() == [[255, 0, 255]]
    several = read_bytes(file_bytes(image, "PNG", transparency=bytes([10, 20, 30])), "p")
    assert several.alpha.tolist() == [[10, 20, 30]]
    opaque = read_bytes(file_bytes(image, "PNG"), "p")
    assert opaque.alpha is None


def test_grey_with_a_transparent_level_stays_grey() -> None:
    image = Image.fromarray(np.array([[0, 100, 200]], np.uint8))
    picture = read_bytes(file_bytes(image, "PNG", transparency=100), "p")
    assert picture.grey
    assert picture.alpha.tolist() == [[255, 0, 255]]
    assert opened(encode(picture)).mode == "LA"


def test_sixteen_bit_pngs_are_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 24).astype(np.uint16).reshape(2, 4, 3)
    for channels in (1, 2, 3, 4):
        given = np.concatenate([values, values], axis=2)[..., :channels]
        picture = read_bytes(png16(given), "p")
        colours = 1 if channels < 3 else 3
        expected = given[..., :colours] / 257
        if channels in (2, 4):
            expected = over_white(expected, given[..., -1] / 257)
        assert np.abs(picture.pixels - expected).max() <= 0.5001
        assert picture.grey == (channels < 3)
        assert np.array_equal(read_bytes(encode(picture), "p").values, given[..., :colours])
        assert (picture.alpha is not None) == (channels in (2, 4))


def test_sixteen_bit_grey_with_a_transparent_level() -> None:
    key = chunk(b"tRNS", struct.pack(">H", 1000))
    picture = read_bytes(png16(np.array([[[0], [1000], [65535]]]), key), "p")
    assert picture.pixels[0, :, 0].tolist() == [0, 255, 255]  # over white
    assert picture.values[0, :, 0].tolist() == [0, 1000, 65535]
    assert picture.alpha.tolist() == [[255, 0, 255]]


# ---- orientation


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright_once(orientation, format) -> None:
    # How stored rows and columns map to the upright picture, by the EXIF standard.
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation]
    stored = photo(16, 32)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    options = {"exif": with_exif(orientation), **options.get(format, {})}
    content = file_bytes(Image.fromarray(stored), format, **options)
    picture = read_bytes(content, "p")
    upright = turn(stored).astype(int)
    assert picture.pixels.shape == upright.shape
    assert np.abs(picture.pixels - upright).max() <= (5 if format == "JPEG" else 0)
    exif = opened(encode(picture)).getexif()
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    assert exif[ExifTags.Base.Artist] == "somebody"
    twice = read_bytes(encode(picture), "p")
    assert twice.pixels.shape == upright.shape


def test_reading_leaves_the_callers_image_alone() -> None:
    image = opened(file_bytes(Image.fromarray(photo()), "PNG", exif=with_exif(6)))
    assert read(image).pixels.shape == (20, 12, 3)
    assert image.getexif()[ExifTags.Base.Orientation] == 6
    assert read(image).pixels.shape == (20, 12, 3)


# ---- formats


@pytest.mark.parametrize(
    ("format", "options", "most"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {}, 0),
        ("PPM", {}, 0),
        ("JPEG", {"quality": 92}, 20),
        ("WEBP", {"quality": 90}, 20),
        ("GIF", {}, 60),
    ],
)
def test_every_format_is_read_and_written_back(format, options, most, tmp_path) -> None:
    content = file_bytes(Image.fromarray(photo()), format, **options)
    path = tmp_path / "photo"
    path.write_bytes(content)
    for source in (content, path, str(path)):
        picture = read(source)
        assert picture.format == format
        assert np.abs(picture.pixels.astype(int) - photo()).max() <= most
    written = encode(picture)
    assert opened(written).format == format
    assert np.abs(read_bytes(written, "p").pixels.astype(int) - picture.pixels).max() <= most


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_tiffs_of_every_mode_can_be_read_again(mode) -> None:
    for options in ({}, {"compression": "tiff_lzw"}):
        if mode == "YCbCr" and (options or PIL.__version__ < "12"):
            continue  # Pillow cannot read what it writes: packed, or before its version 12
        image = file_bytes(in_mode(mode), "TIFF", exif=with_exif(), **options)
        picture = read_bytes(image, "p")
        written = encode(picture)
        again = read_bytes(written, "p")
        assert np.array_equal(again.pixels, picture.pixels)
        assert (again.alpha is None) == (picture.alpha is None)
        assert opened(written).getexif()[ExifTags.Base.Artist] == "somebody"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16"])
def test_any_picture_can_be_written_in_any_format(mode, format) -> None:
    picture = read(in_mode(mode))
    again = read_bytes(encode(picture, format), "p")
    assert again.pixels.shape == picture.pixels.shape
    assert again.format == format
    if format in ("PNG", "TIFF", "BMP") or (format == "PPM" and mode != "LA"):
        assert np.array_equal(again.pixels, picture.pixels)


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_bytes(content, "p").pixels[0, 0].tolist() == [255, 0, 0]


def test_phone_pictures_with_a_second_frame_are_read_and_written() -> None:
    frames = [Image.fromarray(photo()), Image.fromarray(photo()[::-1].copy())]
    content = file_bytes(frames[0], "MPO", save_all=True, append_images=frames[1:])
    picture = read_bytes(content, "p")
    assert picture.format == "MPO"
    again = read_bytes(encode(picture), "p")
    assert np.abs(again.pixels.astype(int) - photo()).mean() < 6


def test_suffixes_name_formats() -> None:
    known = {"a.JPG": "JPEG", "b.png": "PNG", "c.tif": "TIFF", "d.WebP": "WEBP"}
    for name, format in known.items():
        assert format_of(Path(name)) == format
    with pytest.raises(ImageError, match=r"\.jpg.*\.png"):
        format_of(Path("x.xyz"))
    with pytest.raises(ImageError, match="cannot write a picture as NONE"):
        encode(read(photo()), "NONE")


# ---- what is kept


@pytest.mark.parametrize(("quality", "subsampling"), [(35, 2), (97, 0)])
def test_jpeg_tables_exif_and_profile_are_kept(quality, subsampling) -> None:
    options = {"quality": quality, "subsampling": subsampling, "icc_profile": srgb()}
    content = file_bytes(Image.fromarray(photo()), "JPEG", exif=with_exif(), **options)
    before, after = opened(content), opened(encode(read_bytes(content, "p")))
    assert after.quantization == before.quantization
    assert after.layer == before.layer  # the sampling of each component
    assert after.info["icc_profile"] == srgb()
    assert after.getexif()[ExifTags.Base.Artist] == "somebody"
    detail = after.getexif().get_ifd(ExifTags.IFD.Exif)
    assert float(detail[ExifTags.Base.ExposureTime]) == pytest.approx(1 / 125)


def test_a_grey_jpeg_stays_grey_with_its_table() -> None:
    content = file_bytes(Image.fromarray(photo()).convert("L"), "JPEG", quality=40)
    after = opened(encode(read_bytes(content, "p")))
    assert after.mode == "L"
    assert after.quantization == opened(content).quantization


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_cannot_be_transparent_keeps_its_channels(mode) -> None:
    image = Image.fromarray(photo()).convert(mode)
    image.putalpha(128)
    for format in ("JPEG", "PPM", "BMP"):
        assert opened(encode(read(image), format)).mode == mode


def test_a_cmyk_jpeg_loses_its_profile_not_its_quality() -> None:
    # The profile describes inks; the picture that is written has none.
    content = file_bytes(in_mode("CMYK"), "JPEG", quality=95, icc_profile=b"inks")
    after = opened(encode(read_bytes(content, "p")))
    assert "icc_profile" not in after.info
    assert max(after.quantization[0]) <= max(opened(content).quantization[0])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_exif_and_profile_are_kept_in_other_formats(format) -> None:
    content = file_bytes(Image.fromarray(photo()), format, exif=with_exif(), icc_profile=srgb())
    for target in ("JPEG", format):
        after = opened(encode(read_bytes(content, "p"), target))
        assert after.getexif()[ExifTags.Base.Artist] == "somebody"
        assert after.info["icc_profile"] == srgb()


# ---- the way back


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "1", "I;16", "I", "F", "P"])
def test_pil_images_come_back_in_their_mode_or_the_nearest(mode) -> None:
    image = in_mode(mode)
    back = restore(read(image), image)
    assert isinstance(back, Image.Image)
    nearest = {"1": "L", "P": "RGB"}
    assert (back.mode, back.size) == (nearest.get(mode, mode), image.size)
    if mode not in nearest:
        off = np.abs(np.asarray(back).astype(float) - np.asarray(image))
        if mode == "CMYK":  # many ink mixtures make one colour
            off = np.abs(np.asarray(back.convert("RGB")).astype(int) - photo())
        assert off.max() <= (mode == "CMYK")


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_arrays_come_back_bit_for_bit(channels, dtype) -> None:
    rng = np.random.default_rng(0)
    shape = (5, 7) if channels is None else (5, 7, channels)
    array = rng.integers(0, 256, shape, dtype=np.uint8)
    if dtype != np.uint8:
        array = rng.random(shape).astype(dtype)
    picture = read(array)
    assert picture.pixels.shape == (5, 7, 3)
    back = restore(picture, array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    back[...] = 0
    assert array.any()  # a copy


def test_changed_grey_arrays_come_back_as_luma() -> None:
    grey = np.full((2, 2), 10, np.uint8)
    coloured = read(grey).with_pixels(np.full((2, 2, 3), (200, 100, 50), np.uint8))
    assert restore(coloured, grey).tolist() == [[124, 124], [124, 124]]  # Rec. 601
    floats = grey / 255
    back = restore(read(floats).with_pixels(coloured.pixels), floats)
    assert back == pytest.approx(np.full((2, 2), (0.299 * 200 + 58.7 + 5.7) / 255))


def test_changed_arrays_keep_their_alpha() -> None:
    array = np.random.default_rng(1).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    made = read(array).with_pixels(np.zeros((3, 4, 3), np.uint8))
    back = restore(made, array)
    assert np.array_equal(back[..., 3], array[..., 3])
    assert not back[..., :3].any()


def test_paths_give_images_and_bytes_give_bytes(tmp_path) -> None:
    content = file_bytes(Image.fromarray(photo()), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for source in (path, str(path)):
        back = restore(read(source), source)
        assert isinstance(back, Image.Image)
        assert np.array_equal(np.asarray(back), photo())
    back = restore(read(content), content)
    assert isinstance(back, bytes)
    assert np.array_equal(read_bytes(back, "p").pixels, photo())


def test_unchanged_gives_every_bit_back(tmp_path) -> None:
    content = file_bytes(Image.fromarray(photo()), "JPEG", quality=30)
    assert unchanged(content) == content
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert np.array_equal(np.asarray(unchanged(path)), read(path).pixels)
    for mode in ("1", "P", "I;16", "I", "F", "LA", "RGBA", "CMYK"):
        image = in_mode(mode)
        copy = unchanged(image)
        assert copy is not image
        assert (copy.mode, copy.tobytes()) == (image.mode, image.tobytes())
    array = np.random.default_rng(0).random((3, 3))
    copy = unchanged(array)
    assert copy.tobytes() == array.tobytes()
    assert not np.shares_memory(copy, array)


# ---- what is refused


NO_PICTURES = [
    *(np.zeros(shape, np.uint8) for shape in ((3,), (2, 2, 2), (2, 2, 5), (1, 2, 2, 3))),
    *(np.zeros(shape, np.uint8) for shape in ((0, 2, 3), (2, 0))),
    *(np.zeros((2, 2, 3), dtype) for dtype in (np.int64, bool, complex)),
    *(np.full((2, 2, 3), value) for value in (1.5, -0.1, np.nan, np.inf)),
    np.array([["a"]]),
]


@pytest.mark.parametrize("array", NO_PICTURES, ids=lambda a: f"{a.dtype}-{a.shape}-{a.ravel()[:1]}")
def test_arrays_that_are_no_pictures_are_refused(array) -> None:
    with pytest.raises(InvalidArrayError, match="picture array") as caught:
        read(array)
    assert caught.value.exit_code == 2


def test_things_that_are_no_pictures_are_refused() -> None:
    for thing in (None, 3, [[1, 2]], object()):
        with pytest.raises(InvalidArrayError, match="cannot read a picture from"):
            read(thing)
    with pytest.raises(ImageError, match="no pixels"):
        read(Image.new("RGB", (0, 4)))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        *((text, "not a picture") for text in (b"only text", b"<html></html>", b"\0" * 1000)),
        *((head, "not a picture|damaged") for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0")),
    ],
)
def test_files_that_are_no_pictures_are_refused(content, match, tmp_path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 1
    with pytest.raises(ImageError, match=match):
        read(content)


def test_missing_files_and_folders_are_refused(tmp_path) -> None:
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(ImageError, match=f"cannot read {path}"):
            read(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_pictures_are_refused(format) -> None:
    content = file_bytes(Image.fromarray(photo(64, 64)), format)
    for share in (0.05, 0.3, 0.6, 0.9):
        cut = content[: int(len(content) * share)]
        with pytest.raises(ImageError, match=r"damaged|not a picture"):
            read_bytes(cut, "x")


def test_truncated_images_that_the_caller_opened_are_refused() -> None:
    content = file_bytes(Image.fromarray(photo(64, 64)), "JPEG")
    image = opened(content[: len(content) * 9 // 10])  # Pillow reads pixels later
    with pytest.raises(ImageError, match="damaged"):
        read(image)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 9_000), (2**31 - 1, 1)])
def test_decompression_bombs_are_refused_at_once(width, height) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and without a warning
        with pytest.raises(ImageError, match="million pixels"):
            read_bytes(png(width, height, 8, 2, b""), "bomb.png")


def test_a_real_bomb_is_refused_before_it_unfolds() -> None:
    side = 20_000
    rows = (b"\0" + bytes(side // 8)) * side
    content = png(side, side, 1, 0, rows)
    assert len(content) < 100_000
    with pytest.raises(ImageError, match="million pixels"):
        read_bytes(content, "bomb.png")


FUZZED = [
    file_bytes(Image.fromarray(photo()), format, exif=with_exif(6))
    for format in ("JPEG", "PNG", "WEBP", "TIFF")
] + [file_bytes(Image.fromarray(photo()), format) for format in ("BMP", "GIF", "PPM")]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(FUZZED),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    st.booleans(),
)
def test_damaged_pictures_are_read_or_refused(content, flips, in_head) -> None:
    reach = min(len(content), 300) if in_head else len(content)
    damaged = bytearray(content)
    for place, value in flips:
        damaged[int(place * reach)] = value
    with warnings.catch_warnings(), suppress(ImageError, InvalidArrayError):
        warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF data and goes on
        encode(read_bytes(bytes(damaged), "x"))
