"""Colours by their profile, more than 8 bits, what is transparent: nothing is lost on the way."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_tools import ADOBE, P3, PROPHOTO, colours, encoded, gamma_curve, icc, shown
from PIL import Image, ImageCms, ImageOps
from test_image import chunk

from pixelreg.api import load
from pixelreg.errors import MissingExtraError
from pixelreg.pictures.colour import Profile, profile_of
from pixelreg.pictures.deep import write_png, write_ppm, write_tiff
from pixelreg.pictures.image import encode, read, read_bytes, restore, to_pil
from pixelreg.pictures.writing import Picture

WIDE = {
    "Display P3": icc(P3),
    "Adobe RGB": icc(ADOBE, gamma_curve(2.19921875)),
    "ProPhoto": icc(PROPHOTO, gamma_curve(1.8)),
}
SQUARE = np.s_[12:20, 24:32]
EDGE = np.s_[8:16, 8:16]  # of the disc
DEEP = np.random.default_rng(0).integers(0, 65536, (32, 40, 4), dtype=np.uint16)


def vivid(profile: bytes, side: int = 64) -> Image.Image:
    image = Image.fromarray(colours(side))
    image.info["icc_profile"] = profile
    return image


def changed(picture: Picture, square: tuple[slice, slice] = SQUARE) -> Picture:
    """The picture with a square made a little lighter, as a model would."""
    pixels = picture.pixels.copy()
    pixels[square] = np.minimum(pixels[square].astype(int) + 10, 255)
    return picture.with_pixels(pixels)


# ------------------------------------------------------------------------------------ profiles


@pytest.mark.parametrize("profile", WIDE.values(), ids=WIDE)
def test_models_see_what_a_viewer_shows(profile) -> None:
    image = vivid(profile)
    assert np.abs(shown(image) - colours()).mean() > 2  # the profile matters
    assert np.abs(read(image).pixels - shown(image)).max() == 0
    assert np.abs(read_bytes(encoded(image, "PNG"), "p").pixels - shown(image)).max() == 0


@pytest.mark.parametrize("profile", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "PPM", "JPEG", "WEBP", "AVIF", "GIF"])
def test_every_format_shows_the_same_colours(format, profile) -> None:
    image = vivid(profile)
    written = encode(changed(read(image)), format)
    off = np.abs(shown(written) - shown(image))
    off[SQUARE] = 0
    assert off.mean() < {"GIF": 5}.get(format, 1.5)
    if format in ("PNG", "TIFF"):  # what sRGB cannot show is still there
        made = Image.open(io.BytesIO(written))
        assert made.info["icc_profile"] == profile
        before, after = colours().astype(int), np.asarray(made).astype(int)
        away = np.ones((64, 64), bool)
        away[SQUARE] = False
        assert (after[away] == before[away]).all()
        seen = shown(image)[SQUARE]
        within = ((seen > 0) & (seen < 245)).all(axis=-1)  # what sRGB can show, before and after
        lighter = (shown(written)[SQUARE] - seen)[within]
        assert lighter.size > 20
        assert abs(lighter.mean() - 10) < 1


def test_images_and_paths_carry_their_profile(tmp_path: Path) -> None:
    image = vivid(WIDE["Display P3"])
    image.save(tmp_path / "a.png")
    for source in (image, tmp_path / "a.png"):
        made = restore(changed(read(source)), source)
        assert made.info["icc_profile"] == WIDE["Display P3"]
        off = np.abs(shown(made) - shown(image))
        assert off[20:].max() == 0
        assert 3 < off[SQUARE].mean() < 12


@pytest.mark.parametrize("curve", [gamma_curve(1.8), gamma_curve(1.0)])
def test_greys_of_another_gamma(curve) -> None:
    image = Image.fromarray(colours()[..., 0])
    image.info["icc_profile"] = icc(None, curve)
    picture = read(image)
    assert picture.grey
    assert np.abs(picture.pixels - shown(image)).max() == 0
    assert np.abs(shown(encode(changed(picture), "PNG"))[20:] - shown(image)[20:]).max() == 0
    assert np.abs(shown(encode(picture, "BMP")) - shown(image)).max() == 0


def test_palettes_by_their_profile() -> None:
    image = vivid(WIDE["Adobe RGB"]).quantize(200)
    as_rgb = image.convert("RGB")
    content = encoded(image, "PNG", icc_profile=WIDE["Adobe RGB"])
    as_rgb.info["icc_profile"] = WIDE["Adobe RGB"]
    assert np.abs(read_bytes(content, "p").pixels - shown(as_rgb)).max() == 0


def test_srgb_by_its_profile_is_left_as_it_is() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile_of(own, "RGB") == (None, "")
    picture = read(vivid(own))
    assert picture.stored is None
    assert np.array_equal(picture.pixels, colours())
    assert to_pil(picture).info["icc_profile"] == own


@pytest.mark.parametrize(
    ("mode", "profile", "words"),
    [
        ("RGB", b"no profile", "cannot be read"),
        ("RGB", WIDE["ProPhoto"][:200], "cannot be read"),
        ("L", WIDE["ProPhoto"], "is for RGB values, not L"),
        ("RGB", icc(None), "is for GRAY values, not RGB"),
    ],
)
def test_profiles_that_do_not_fit_are_told(mode, profile, words) -> None:
    image = Image.fromarray(colours()).convert(mode)
    plain = read(image).pixels
    image.info["icc_profile"] = profile
    picture = read(image)
    assert words in " ".join(picture.notes)
    assert np.array_equal(picture.pixels, plain)
    assert not picture.about.profile


@pytest.mark.parametrize("profile", WIDE.values(), ids=WIDE)
def test_curves_and_matrix_agree_with_littlecms(profile) -> None:
    curves = Profile(profile, "RGB").curves
    assert np.abs(255 * curves.to_srgb(colours() / 255) - shown(vivid(profile))).max() < 1.01
    inside = np.random.default_rng(1).uniform(0.3, 0.7, (9, 9, 3))
    assert np.abs(curves.to_srgb(curves.back(inside)) - inside).max() < 1e-4


def test_inks_by_their_profile(reported: Path) -> None:
    for file in ("02-ink-profile/inks.tif", "first-hour/a4_cmyk_icc.jpg"):
        image = Image.open(reported / file)
        picture = read(reported / file)
        assert np.abs(picture.pixels - shown(image)).max() == 0
        for format in ("PNG", "BMP", "TIFF"):
            assert np.abs(shown(encode(picture, format)) - shown(image)).max() == 0
        back = restore(changed(picture), image)
        assert back.mode == "CMYK"
        assert np.array_equal(np.asarray(back)[20:], np.asarray(image)[20:])
        assert (np.asarray(back)[SQUARE] != np.asarray(image)[SQUARE]).any()


def test_lab_is_a_colour_space_of_its_own() -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    image = ImageCms.profileToProfile(Image.fromarray(colours()), srgb, lab, outputMode="LAB")
    picture = read_bytes(encoded(image, "TIFF"), "p")
    assert np.abs(picture.pixels.astype(int) - colours()).mean() < 4
    assert np.abs(shown(encode(picture, "TIFF")) - picture.pixels).max() == 0


# ------------------------------------------------------------------------------ more than 8 bits


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_come_back(format, channels) -> None:
    values = DEEP[..., :channels]
    picture = read_bytes(write_png(values, encoded(Image.new("L", (1, 1)), "PNG")), "p")
    assert np.array_equal(picture.values, values[..., : 1 if channels < 3 else 3])
    again = read_bytes(encode(picture, format), "p")
    expected = np.repeat(picture.values, 3, axis=2) if channels == 2 else picture.values
    assert np.array_equal(again.values, expected if format == "TIFF" else picture.values)
    if channels in (2, 4):
        assert np.array_equal(again.stored.alpha, values[..., -1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_as_others_read_and_write_them(channels) -> None:
    cv2 = pytest.importorskip(
        "cv2", reason="OpenCV is the reference, which the extra 'align' brings"
    )
    values = DEEP[..., :channels]
    swapped = values[..., [2, 1, 0, 3][:channels]] if channels > 1 else values
    for suffix, format in ((".png", "PNG"), (".tiff", "TIFF")):
        theirs = cv2.imencode(suffix, swapped)[1].tobytes()
        picture = read_bytes(theirs, "p")
        given = [picture.values, *([picture.stored.alpha[..., None]] if channels == 4 else [])]
        assert np.array_equal(np.concatenate(given, axis=2), values)
        ours = np.frombuffer(encode(picture, format), np.uint8)
        back = cv2.imdecode(ours, cv2.IMREAD_UNCHANGED).reshape(values.shape)
        assert np.array_equal(back, swapped)


def test_an_interlaced_png_of_sixteen_bits() -> None:
    """Written by hand, pass by pass (PNG, 8.2)."""

    values = DEEP[:13, :11, :3]
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    rows = b""
    for left, top, across, down in passes:
        for row in values[top::down, left::across]:
            rows += b"\0" + row.astype(">u2").tobytes() if len(row) else b""
    head = struct.pack(">IIBBBBB", 11, 13, 16, 2, 0, 0, 1)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    assert np.array_equal(read_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts), "p").values, values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_upright_once(orientation) -> None:
    values = np.ascontiguousarray(DEEP[:16, :24, :3])
    tags = Image.Exif()
    tags[0x0112] = orientation
    upright = []
    for channel in range(3):
        image = Image.fromarray(np.ascontiguousarray(values[..., channel]))
        image.getexif()[0x0112] = orientation
        upright.append(np.asarray(ImageOps.exif_transpose(image)))
    expected = np.stack(upright, axis=-1)
    png = write_png(values, encoded(Image.new("L", (1, 1)), "PNG", exif=tags))
    for content in (png, write_tiff(values, {0x0112: orientation}, True)):
        picture = read_bytes(content, "p")
        assert np.array_equal(picture.values, expected)
        assert picture.pixels.shape == expected.shape
        assert np.array_equal(read_bytes(encode(picture), "p").values, expected)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_are_not_black(bits) -> None:
    most = 2**bits - 1
    values = np.linspace(0, most, 800).round().astype(np.uint16).reshape(20, 40)
    picture = read_bytes(encoded(Image.fromarray(values), "PNG"), "p")
    assert picture.pixels.max() == 255
    assert abs(picture.pixels.mean() - 127.5) < 1
    made = np.asarray(Image.open(io.BytesIO(encode(picture))))
    assert np.array_equal(made, values)
    lighter = np.asarray(Image.open(io.BytesIO(encode(changed(picture)))))
    assert lighter.max() <= most
    gap = (lighter.astype(int) - values)[SQUARE]
    assert gap.mean() == pytest.approx(most * 10 / 255, abs=most / 255)
    assert np.abs(read_bytes(encode(picture, "JPEG"), "p").pixels.mean() - 127.5) < 2


def test_a_change_is_added_in_the_pictures_own_depth(model: Path, tmp_path: Path) -> None:
    """Between two steps of 8 bits there are as many values after as before."""
    ramp = np.linspace(20_000, 24_000, 32 * 32).round().astype(np.uint16).reshape(32, 32)
    values = np.repeat(ramp[..., None], 3, axis=2)
    path = tmp_path / "ramp.png"
    path.write_bytes(write_png(values, encoded(Image.new("L", (1, 1)), "PNG")))
    made = load(model).translate_picture(read(path), "happy").values
    assert made.dtype == np.uint16
    assert len(np.unique(made)) > 500
    expected = load(model).translate(values / 65535, "happy")
    assert np.abs(made / 65535 - expected).max() < 1.01 / 65535


def test_wide_colours_of_sixteen_bits() -> None:
    values = (colours(32).astype(np.uint16) * 257) - 3 * (colours(32) > 128)
    shell = encoded(Image.new("RGB", (1, 1)), "PNG", icc_profile=WIDE["Display P3"])
    picture = read_bytes(write_png(values.astype(np.uint16), shell), "p")
    eight = Image.fromarray(colours(32))
    eight.info["icc_profile"] = WIDE["Display P3"]
    assert np.abs(picture.pixels.astype(int) - shown(eight)).max() <= 1
    made = changed(picture)
    assert np.array_equal(made.values[20:], picture.values[20:])
    assert np.abs(shown(encode(made, "BMP"))[20:] - shown(eight)[20:]).max() <= 1
    again = read_bytes(encode(made), "p")
    assert again.about.profile == WIDE["Display P3"]
    gap = again.pixels[SQUARE].astype(int) - made.pixels[SQUARE]
    assert np.abs(gap).mean() < 2  # what lies beyond sRGB is clipped in what is seen


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_keep_their_values(white) -> None:
    values = (np.random.default_rng(3).random((32, 40)) * white).astype(np.float32)
    picture = read_bytes(encoded(Image.fromarray(values), "TIFF"), "p")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(picture)))), values)
    made = np.asarray(Image.open(io.BytesIO(encode(changed(picture)))))
    assert np.array_equal(made[20:], values[20:])
    assert (made[SQUARE] != values[SQUARE]).mean() > 0.9


def test_colours_in_floats_have_highlights() -> None:
    pytest.importorskip("tifffile", reason="tifffile reads them, which the extra 'formats' brings")
    values = (DEEP[..., :3] / 40_000).astype(np.float32)
    assert values.max() > 1.5
    picture = read_bytes(write_tiff(values, {}, True), "p")
    assert picture.pixels.max() == 255
    assert np.array_equal(read_bytes(encode(picture, "TIFF"), "p").values, values)
    made = changed(picture).values
    bright = values[SQUARE] > 1
    assert np.array_equal(made[SQUARE][bright], values[SQUARE][bright])


def test_a_file_of_floats_goes_through_the_command(model, command, tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="tifffile reads them, which the extra 'formats' brings")
    values = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    (tmp_path / "in.tif").write_bytes(write_tiff(values, {}, False))
    words = ("apply", tmp_path / "in.tif", "--expr", "happy", "--model", model, "--no-align")
    result = command(*words)
    assert result.code == 0, result.err
    made = read(tmp_path / "in-happy.tif").values
    expected = load(model).translate(values, "happy")
    assert np.abs(made - expected).max() < 1e-6
    assert command(*words, "--strength", 0).code == 0
    assert np.array_equal(read(tmp_path / "in-happy.tif").values, values)


def test_without_tifffile_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match=r"tifffile.*pixelreg\[formats\]"):
        read_bytes(write_tiff((DEEP[..., :3] / 65535).astype(np.float32), {}, False), "p")


def test_deep_arrays_and_images_come_back_as_they_are() -> None:
    for channels in (1, 3, 4):
        array = DEEP[..., :channels]
        back = restore(changed(read(array)), array)
        assert (back.dtype, back.shape) == (np.uint16, array.shape)
        assert np.array_equal(back[20:], array[20:])
        assert (back[SQUARE] != array[SQUARE]).any()
    image = Image.fromarray(DEEP[..., 0])
    assert restore(changed(read(image)), image).mode == "I;16"


def test_where_pillow_has_fewer_bits_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(write_png(DEEP[..., :3], encoded(Image.new("L", (1, 1)), "PNG")))
    with pytest.warns(UserWarning, match="over 8 bits; bytes keep them"):
        assert restore(read(path), path).mode == "RGB"
    with Image.open(path) as image:
        assert read(image).notes[0].startswith("its 16 bits a channel are taken as 8")
    content = path.read_bytes()
    assert np.array_equal(read_bytes(restore(read(content), content), "p").values, DEEP[..., :3])


def test_pixmaps_of_sixteen_bits() -> None:
    values = DEEP[..., :1]
    picture = read_bytes(write_ppm(values, 65535), "p")
    again = Image.open(io.BytesIO(encode(picture, "PPM")))
    assert np.array_equal(np.asarray(again), values[..., 0])
    assert "16 bits" in read_bytes(write_ppm(DEEP[..., :3], 65535), "p").notes[0]


# ------------------------------------------------------------------------------------- opacity


def cutout() -> Image.Image:
    """A disc with a soft edge; red is hidden where nothing shows."""
    y, x = np.mgrid[0:48, 0:48]
    alpha = np.clip((20 - np.hypot(x - 24, y - 24)) * 32 + 128, 0, 255).astype(np.uint8)
    pixels = colours(48).copy()
    pixels[alpha == 0] = (255, 0, 0)
    return Image.fromarray(np.dstack([pixels, alpha]))


@pytest.mark.parametrize("format", ["JPEG", "BMP", "PPM", "GIF", "PNG", "WEBP", "TIFF"])
def test_hidden_colours_stay_hidden(format) -> None:
    made = shown(encode(changed(read(cutout()), EDGE), format))
    reference = shown(cutout())
    reference[EDGE] = made[EDGE]
    clear = np.asarray(cutout())[..., 3] == 0
    assert np.abs(made - reference)[clear].max() <= (40 if format == "JPEG" else 0)
    if format != "GIF":  # has no soft edges
        assert np.abs(made - reference).mean() < 3


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_another_background(format) -> None:
    picture = read(cutout(), background=(0, 0, 255))
    made = shown(encode(picture, format))
    assert np.abs(made - shown(cutout(), "blue")).mean() < 3


def test_opacity_is_kept_where_the_format_has_it() -> None:
    alpha = np.asarray(cutout())[..., 3]
    for format in ("PNG", "WEBP", "TIFF"):
        made = Image.open(io.BytesIO(encode(changed(read(cutout())), format)))
        assert np.array_equal(np.asarray(made)[..., 3], alpha)
    made = Image.open(io.BytesIO(encode(read(cutout()), "GIF"))).convert("RGBA")
    assert np.array_equal(np.asarray(made)[..., 3] > 0, alpha >= 128)


def test_under_soft_edges_the_change_is_carried_to_the_colour_itself() -> None:
    picture = read(cutout())
    again = read(to_pil(changed(picture, EDGE)))
    gap = again.pixels[EDGE].astype(int) - picture.pixels[EDGE]
    shares = np.asarray(cutout())[EDGE][..., 3:] / 255
    room = np.asarray(cutout())[EDGE][..., :3] < 240
    assert np.abs(gap - 10 * shares)[room & (shares > 0)].max() < 1.6


def test_lossless_stays_lossless() -> None:
    for image in (Image.fromarray(colours()), cutout()):
        content = encoded(image, "WEBP", lossless=True, exact=True)
        again = Image.open(io.BytesIO(encode(changed(read_bytes(content, "p")))))
        assert np.array_equal(np.asarray(again)[20:], np.asarray(image)[20:])
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(encode(read(image), "WEBP")))), image
        )
    lossy = encoded(Image.fromarray(colours()), "WEBP", quality=80)
    assert b"VP8L" not in encode(read_bytes(lossy, "p"))


# -------------------------------------------------------------- profiles that are told otherwise


def with_chunks(image: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    content = encoded(image, "PNG")
    return content[:33] + b"".join(chunk(name, data) for name, data in chunks) + content[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def chrm(*places: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(place * 100_000) for place in places))


D65 = (0.3127, 0.3290)
P3_PLACES = (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB_PLACES = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        ([(b"cICP", bytes([12, 13, 0, 1]))], icc(P3)),
        ([gama(1 / 2.2), chrm(*P3_PLACES)], icc(P3)),
        ([gama(1 / 1.8), chrm(*P3_PLACES)], icc(P3, gamma_curve(1.8))),
        ([(b"cICP", bytes([12, 13, 0, 1])), gama(1.0)], icc(P3)),
        ([gama(1 / 2.2), chrm(*SRGB_PLACES)], None),
        ([gama(1.0), (b"sRGB", b"\0")], None),
        ([(b"cICP", bytes([1, 13, 0, 1]))], None),
        ([(b"cICP", bytes([9, 16, 0, 1]))], None),  # HDR, which has no white
    ],
)
def test_what_a_png_tells_of_its_colours(chunks, profile) -> None:
    picture = read_bytes(with_chunks(Image.fromarray(colours()), *chunks), "p")
    expected = colours() if profile is None else shown(vivid(profile))
    assert np.abs(picture.pixels - expected).max() <= 2
    assert bool(picture.about.profile) == (profile is not None)
    for format in ("PNG", "BMP"):
        assert np.abs(shown(encode(picture, format)) - expected).max() <= 2


def test_the_gamma_of_a_grey_png() -> None:
    grey = Image.fromarray(colours()[..., 0])
    picture = read_bytes(with_chunks(grey, gama(1.0)), "p")
    linear = np.asarray(grey) / 255
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    assert picture.grey
    off = np.abs(picture.pixels[..., 0] - expected)
    assert off[np.asarray(grey) > 16].max() <= 1  # LittleCMS is coarse next to black
    assert off.mean() < 0.5


def test_cameras_say_adobe_rgb_in_exif() -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0xA001] = 2
    content = encoded(Image.fromarray(colours()), "TIFF", exif=tags.tobytes())
    picture = read_bytes(content, "p")
    assert np.abs(picture.pixels - shown(vivid(WIDE["Adobe RGB"]))).max() <= 2
    assert np.abs(shown(encode(picture)) - shown(vivid(WIDE["Adobe RGB"]))).max() <= 2


def test_an_avif_tells_its_primaries_by_number() -> None:
    content = encoded(Image.fromarray(colours()), "AVIF", quality=100, subsampling="4:4:4")
    plain = read_bytes(content, "p").pixels
    place = content.index(b"colrnclx") + 8
    wide = content[:place] + struct.pack(">HH", 12, 13) + content[place + 4 :]
    image = Image.fromarray(plain)
    image.info["icc_profile"] = icc(P3)
    assert np.abs(read_bytes(wide, "p").pixels - shown(image)).max() <= 1
