"""What is told of pictures, kept and left out; and files that are there already."""

from __future__ import annotations

import base64
import io
import os
import pty
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_tools import CLI, SIZE, Command, files_in, pixels, spawn
from picture_tools import P3, colours, encoded, icc
from PIL import ExifTags, Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from pixelreg import __version__
from pixelreg.pictures.about import About
from pixelreg.pictures.deep import write_tiff
from pixelreg.pictures.image import encode, read_bytes

EDITED = b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
GPS_TAG = 0x8825
XMP = (
    b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/'"
    b" xmlns:tiff='http://ns.adobe.com/tiff/1.0/' xmlns:exif='http://ns.adobe.com/exif/1.0/'"
    b" xmlns:xmp='http://ns.adobe.com/xap/1.0/' tiff:Orientation='6' exif:GPSLatitude='52,31N'>"
    b"<dc:title>A title</dc:title><exif:GPSLongitude>13,24E</exif:GPSLongitude>"
    b"<xmp:Thumbnails><rdf:Alt>stale picture</rdf:Alt></xmp:Thumbnails>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
)
IPTC = b"\x1c\x02\x19\x00\x06family"


def exif() -> Image.Exif:
    made = Image.Exif()
    made[ExifTags.Base.Artist] = "Ada"
    made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(1, 125)
    made.get_ifd(GPS_TAG)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 0.0)
    return made


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data


def photo(format: str = "JPEG", image: Image.Image | None = None) -> bytes:
    """A picture of which everything is told that its format has a place for."""
    image = image or Image.fromarray(colours(SIZE))
    options = {"exif": exif(), "icc_profile": icc(P3), "dpi": (300, 300)}
    if format == "JPEG":
        thumbnail = b"8BIM\x04\x0c\0\0\0\0\0\x06STALE!"  # 1036
        iptc = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + b"\0" * (len(IPTC) % 2)
        extra = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
        extra += segment(0xED, b"Photoshop 3.0\0" + thumbnail + iptc)
        return encoded(image, "JPEG", comment=b"a comment", extra=extra, quality=92, **options)
    if format == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Author", "Ada")
        texts.add_itxt("Title", "Größe ☺", "de", "Titel")
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return encoded(image, "PNG", pnginfo=texts, **options)
    if format == "TIFF":
        tags = exif()
        tags[700] = XMP
        return encoded(image, "TIFF", **{**options, "exif": tags.tobytes()})
    return encoded(image, format, xmp=XMP, quality=90, **{k: options[k] for k in list(options)[:2]})


def opened(content: bytes | Path) -> Image.Image:
    image = Image.open(content if isinstance(content, Path) else io.BytesIO(content))
    image.load()
    return image


def xmp_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(700) or b""
    return found.encode() if isinstance(found, str) else bytes(found)


def changed(content: bytes):
    picture = read_bytes(content, "p")
    return picture.with_pixels(255 - picture.pixels)


# ------------------------------------------------------------------------------------- what stays


FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"]


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_what_is_told_stays_as_far_as_the_format_has_a_place(source, target) -> None:
    made = opened(encode(changed(photo(source)), target))
    tags = made.getexif()
    assert tags[ExifTags.Base.Artist] == "Ada"
    assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == pytest.approx(1 / 125)
    assert tags.get_ifd(GPS_TAG)[ExifTags.GPS.GPSLatitude][0] == 52
    assert made.info["icc_profile"] == icc(P3)
    told = xmp_of(made)
    assert b"<dc:title>A title</dc:title>" in told
    assert b"GPSLatitude='52,31N'" in told
    if source in ("JPEG", "PNG", "TIFF") and target in ("JPEG", "PNG", "TIFF"):
        assert [round(float(v)) for v in made.info["dpi"]] == [300, 300]


def test_comments_texts_and_iptc_stay() -> None:
    made = opened(encode(changed(photo("JPEG"))))
    assert made.info["comment"] == b"a comment"
    assert made.info["photoshop"] == {1028: IPTC}
    made = opened(encode(changed(photo("PNG"))))
    assert (made.text["Author"], made.text["Title"]) == ("Ada", "Größe ☺")
    assert (made.text["Title"].lang, made.text["Title"].tkey) == ("de", "Titel")
    # Where the format has no place of that name, in another.
    assert opened(encode(changed(photo("JPEG")), "PNG")).text["Comment"] == "a comment"
    assert b"Author: Ada" in opened(encode(changed(photo("PNG")), "JPEG")).info["comment"]
    assert opened(encode(changed(photo("JPEG")), "TIFF")).tag_v2[270] == "a comment"


def test_a_jpeg_stays_progressive_at_its_quality() -> None:
    for options in ({"progressive": True, "quality": 60, "subsampling": 1}, {"quality": 97}):
        content = encoded(Image.fromarray(colours(64)), "JPEG", **options)
        before, after = opened(content), opened(encode(changed(content)))
        assert bool(after.info.get("progressive")) == bool(options.get("progressive"))
        assert after.quantization == before.quantization
        assert after.layer == before.layer


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_stays_packed(packing) -> None:
    image = Image.fromarray(np.zeros((200, 200, 3), np.uint8))
    content = encode(read_bytes(encoded(image, "TIFF", compression=packing), "p"))
    assert (len(content) < 20_000) == (packing is not None)
    assert np.array_equal(np.asarray(opened(content)), np.asarray(image))


def test_thumbnails_do_not_stay() -> None:
    tags = exif()
    tags.get_ifd(ExifTags.IFD.Exif)[0x927C] = b"maker \xff\xd8\xff\xe0 a small picture"
    content = encoded(Image.fromarray(colours(SIZE)), "JPEG", exif=tags)
    assert b"a small picture" in content
    assert b"a small picture" not in encode(changed(content))
    made = encode(changed(photo()))
    assert b"STALE!" not in made
    assert b"stale picture" not in made
    # EXIF's own, in the second block.
    whole = Image.Exif()
    whole[ExifTags.Base.Artist] = "Ada"
    small = encoded(Image.fromarray(colours(16)), "JPEG")
    block = bytearray(whole.tobytes())
    first = 6 + int.from_bytes(block[10:14], "big" if block[6:8] == b"MM" else "little")
    order = "big" if block[6:8] == b"MM" else "little"
    count = int.from_bytes(block[first : first + 2], order)
    link = first + 2 + 12 * count
    second = len(block) - 6
    block[link : link + 4] = second.to_bytes(4, order)
    entries = ((0x0201, 4, second + 30), (0x0202, 4, len(small)))
    block += (2).to_bytes(2, order)
    for tag, kind, value in entries:
        block += tag.to_bytes(2, order) + kind.to_bytes(2, order)
        block += (1).to_bytes(4, order) + value.to_bytes(4, order)
    block += (0).to_bytes(4, order) + small
    content = encoded(Image.fromarray(colours(SIZE)), "JPEG", exif=bytes(block))
    assert opened(content).getexif().get_ifd(ExifTags.IFD.IFD1)
    made = encode(changed(content))
    assert small[20:] not in made
    assert opened(made).getexif()[ExifTags.Base.Artist] == "Ada"


def test_what_photoshop_stores_in_a_tiff() -> None:
    def block(number: int, data: bytes) -> bytes:
        return b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big") + data

    tags = {34377: block(1036, b"STALE!") + block(1028, IPTC + b"\0"), 37724: b"stale layers"}
    content = write_tiff(colours(SIZE), tags, False)
    assert b"STALE!" in content
    for format in ("TIFF", "JPEG"):
        made = encode(changed(content), format)
        assert b"STALE!" not in made
        assert b"stale layers" not in made
        assert b"family" in made
    assert opened(made).info["photoshop"][1028].startswith(IPTC)
    # IPTC by itself, as others have it.
    made = encode(changed(write_tiff(colours(SIZE), {33723: IPTC}, False)), "JPEG")
    assert opened(made).info["photoshop"][1028] == IPTC


def test_sides_that_are_told_are_turned_too() -> None:
    tags = exif()
    tags[ExifTags.Base.Orientation] = 6
    details = tags.get_ifd(ExifTags.IFD.Exif)
    details[0xA002], details[0xA003] = SIZE, 20
    content = encoded(Image.fromarray(colours(SIZE)[:20]), "JPEG", exif=tags)
    made = opened(encode(changed(content)))
    told = made.getexif().get_ifd(ExifTags.IFD.Exif)
    assert (told[0xA002], told[0xA003]) == made.size == (20, SIZE)


def test_a_pipe_with_a_name_is_read_once(options, tmp_path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, photo())
    os.close(write_end)
    words = [
        *CLI,
        "apply",
        f"/dev/fd/{read_end}",
        *map(str, options),
        "-o",
        str(tmp_path / "o.jpg"),
    ]
    done = subprocess.run(words, pass_fds=(read_end,), capture_output=True, check=False)
    os.close(read_end)
    assert done.returncode == 0, done.stderr
    assert opened(tmp_path / "o.jpg").info["comment"] == b"a comment"


def test_what_is_turned_upright_says_so_nowhere_else() -> None:
    tags = exif()
    tags[ExifTags.Base.Orientation] = 6
    extra = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    image = Image.fromarray(colours(SIZE)[:20])
    made = opened(encode(changed(encoded(image, "JPEG", exif=tags, extra=extra))))
    assert made.size == (20, SIZE)
    assert made.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert b"tiff:Orientation='1'" in xmp_of(made)


# ------------------------------------------------------------------------------- the statement


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_picture_says_that_it_is_and_one_that_is_not_does_not(format) -> None:
    for image in (None, Image.fromarray(colours(SIZE)[..., 0])):
        content = photo(format) if image is None else encoded(image, format)
        told = xmp_of(opened(encode(changed(content))))
        assert told.count(EDITED) == 1
        assert f'AISystemVersionUsed="{__version__}"'.encode() in told
        assert b'AISystemUsed="pixelreg"' in told
        assert EDITED not in xmp_of(opened(encode(read_bytes(content, "p"))))
        again = xmp_of(opened(encode(changed(encode(changed(content))))))
        assert again.count(EDITED) == again.count(b"AISystemUsed") == 1


def test_the_statement_is_xml_that_others_read() -> None:
    from xml.etree import ElementTree

    for xmp in (b"", XMP, b"broken <rdf:RDF>"):
        told = About(xmp=xmp).marked().xmp
        body = told[told.index(b"<x:xmpmeta") : told.index(b"<?xpacket end")]
        found = [
            value
            for node in ElementTree.fromstring(body).iter()
            for key, value in node.attrib.items()
            if key == "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        ]
        assert found == ["http://cv.iptc.org/newscodes/" + EDITED.decode()]


def test_what_was_said_of_the_source_before_is_replaced() -> None:
    before = XMP.replace(
        b"<dc:title>",
        b"<Iptc4xmpExt:DigitalSourceType xmlns:Iptc4xmpExt="
        b"'http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>http://cv.iptc.org/newscodes/"
        b"digitalsourcetype/digitalCapture</Iptc4xmpExt:DigitalSourceType><dc:title>",
    )
    told = About(xmp=before).marked().xmp
    assert b"digitalCapture" not in told
    assert EDITED in told


def test_a_gif_says_it_in_its_comment() -> None:
    content = encoded(Image.fromarray(colours(SIZE)), "GIF", comment=b"by Ada")
    made = opened(encode(changed(content))).info["comment"]
    assert made.startswith(b"by Ada\n")
    assert EDITED in made


# --------------------------------------------------------------------------- the command line


@pytest.fixture
def options(model: Path) -> tuple[object, ...]:
    return ("--expr", "happy", "--model", model, "--no-align")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo())
    return path


def test_metadata_can_be_left_out(told, options, command: Command, tmp_path) -> None:
    out = tmp_path / "bare.jpg"
    assert command("apply", told, *options, "--strip-metadata", "-o", out).code == 0
    made = opened(out)
    assert not dict(made.getexif())
    assert not {"comment", "photoshop"} & set(made.info)
    assert made.info["icc_profile"] == icc(P3)
    assert b"A title" not in out.read_bytes()
    assert EDITED in xmp_of(made)
    strict = ("--strip-metadata", "--no-mark")
    assert command("apply", told, *options, *strict, "-o", out).code == 0
    assert b"xap" not in out.read_bytes()
    assert b"pixelreg" not in out.read_bytes()


def test_places_alone_can_be_left_out(told, options, command: Command, tmp_path) -> None:
    out = tmp_path / "out.jpg"
    assert command("apply", told, *options, "--strip-gps", "-o", out).code == 0
    made = opened(out)
    assert made.getexif()[ExifTags.Base.Artist] == "Ada"
    assert not made.getexif().get_ifd(GPS_TAG)
    assert b"GPSL" not in xmp_of(made)
    assert b"A title" in xmp_of(made)
    assert made.info["comment"] == b"a comment"


def test_the_background_is_ones_own(options, command: Command, tmp_path) -> None:
    clear = Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    for colour, shown in (("#0000ff", (0, 0, 255)), ("white", (255, 255, 255))):
        out = tmp_path / "out.bmp"
        arguments = ("--strength", 0, "--background", colour, "-o", out)
        assert command("apply", tmp_path / "clear.png", *options, *arguments).code == 0
        assert pixels(out)[0, 0].tolist() == list(shown)
    result = command("apply", tmp_path / "clear.png", *options, "--background", "nocolour")
    assert (result.code, "no colour" in result.error) == (2, True)


def test_nothing_that_is_there_is_written_over(told, options, command: Command, tmp_path) -> None:
    shutil.copy(told, tmp_path / "photo-happy.jpg")
    before = told.read_bytes()
    result = command("apply", told, *options, "--no-overwrite")
    assert (result.code, "photo-happy.jpg exists" in result.error) == (2, True)
    assert (tmp_path / "photo-happy.jpg").read_bytes() == before
    for extra in (("--animate", told), ("--debug-crop", told)):
        assert command("apply", told, *options, "--no-overwrite", *extra).code == 2
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(told, folder / name)
    made = tmp_path / "album-happy"
    made.mkdir()
    (made / "a.jpg").write_bytes(b"mine")
    result = command("apply", folder, *options, "--no-overwrite")
    assert (result.code, "1 of 1 pictures changed" in result.err) == (0, True)
    assert "1 exist already" in result.err
    assert (made / "a.jpg").read_bytes() == b"mine"
    assert told.read_bytes() == before


def test_a_folder_in_place(told, options, command: Command, tmp_path) -> None:
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "deep/b.jpg"):
        shutil.copy(told, folder / name)
    result = command("apply", folder, *options, "-o", folder)
    assert (result.code, "--in-place" in result.error) == (2, True)
    assert command("apply", folder, *options, "--in-place").code == 0
    assert files_in(folder) == {"a.jpg", "deep/b.jpg"}
    assert (folder / "deep/b.jpg").read_bytes() != told.read_bytes()
    for wrong in (("-o", tmp_path / "x.jpg"), ("--no-overwrite",)):
        assert command("apply", told, *options, "--in-place", *wrong).code == 2


def test_quiet_says_errors_alone(told, options, tmp_path) -> None:
    for words in (("apply", told, *options, "--quiet"), ("--quiet", "apply", told, *options)):
        result = spawn(*words)
        assert (result.code, result.out, result.err) == (0, "", "")
    result = spawn("--quiet", "apply", tmp_path / "none.png", *options)
    assert (result.code, "no such file" in result.error) == (2, True)


def test_no_colours_are_written_to_a_terminal(told, options, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(told, folder / "a.jpg")
    ours, theirs = pty.openpty()
    words = [*CLI, "apply", str(folder), *map(str, options)]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(words, stderr=theirs, stdout=theirs, env=environment, check=False)
    os.close(theirs)
    said = os.read(ours, 100_000)
    os.close(ours)
    assert done.returncode == 0
    assert b"1 of 1 pictures changed" in said
    assert b"\x1b[3" not in said.replace(b"\x1b[?25", b"")  # no colours; the cursor may hide


# ---------------------------------------------------------------------------- the reported cases


def test_reported_metadata(reported: Path, options, command: Command, tmp_path) -> None:
    out = tmp_path / "o.jpg"
    file = reported / "18-metadata" / "dpi300.jpg"
    assert command("apply", file, *options, "-o", out).code == 0
    made = opened(out)
    assert (made.info["dpi"], made.info["comment"]) == ((300, 300), b"credit line")


def test_a_jpeg_without_its_end_is_whole_and_one_without_rows_is_not(
    reported: Path, options, command: Command, tmp_path
) -> None:
    file = reported / "20-no-end-marker" / "no-eoi.jpg"
    content = file.read_bytes()
    out = tmp_path / "o.jpg"
    result = command("apply", file, *options, "-o", out)
    assert (result.code, "lacks the marker of its end" in result.err) == (0, True)
    whole = read_bytes(content + b"\xff\xd9", "p").pixels
    for progressive in (False, True):
        image = encoded(Image.fromarray(whole), "JPEG", progressive=progressive, quality=90)
        reference = read_bytes(image, "p").pixels
        for cut in (1, 2):
            assert np.array_equal(read_bytes(image[:-cut], "p").pixels, reference)
        for cut in (4, 5, 9, 40, len(image) // 2):
            (tmp_path / "cut.jpg").write_bytes(image[:-cut])
            result = command("apply", tmp_path / "cut.jpg", *options, "-o", tmp_path / "no.jpg")
            assert (result.code, "is damaged" in result.error) == (1, True), cut
    assert not (tmp_path / "no.jpg").exists()


def test_sheets_that_compare_say_that_pictures_were_changed(
    tmp_path: Path, options, command: Command
) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(encoded(Image.fromarray(colours(SIZE)), "PNG"))
    words = ("compare", source, options[3], "--no-align", "-o")
    for name in ("sheet.png", "sheet.jpg"):
        assert command(*words, tmp_path / name).code == 0
        assert EDITED in (tmp_path / name).read_bytes()
    assert command(*words, tmp_path / "sheet.html").code == 0
    parts = (tmp_path / "sheet.html").read_text(encoding="utf-8").split("base64,")[1:]
    inside = [base64.b64decode(part.partition("'")[0]) for part in parts]
    assert [EDITED in picture for picture in inside] == [False, *[True] * (len(inside) - 1)]
    assert len(inside) > 1


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
def test_formats_without_a_place_tell_resolution_and_comment_by_exif(tmp_path, format) -> None:
    source = tmp_path / "in.jpg"
    Image.new("RGB", (40, 30), (90, 120, 60)).save(source, dpi=(300, 300), comment=b"who and when")
    content = encode(read_bytes(source.read_bytes(), "in.jpg"), format)
    with Image.open(io.BytesIO(content)) as made:
        tags = made.getexif()
    assert (tags[282], tags[283], tags[296], tags[270]) == (300, 300, 2, "who and when")
