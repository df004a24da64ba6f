"""Pictures that cannot be read are refused in one line; unusual ones are handled."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in, pixels, spawn
from PIL import Image


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def encoded(face: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format)
    return buffer.getvalue()


BAD_PICTURES = {
    "truncated.jpg": (lambda face: encoded(face, "JPEG")[:900], "is damaged"),
    "head-only.jpg": (lambda face: encoded(face, "JPEG")[:30], "is damaged"),
    "truncated.png": (lambda face: encoded(face, "PNG")[:900], "is damaged"),
    "text.png": (lambda face: b"this is a letter, not a picture\n" * 9, "is not a picture"),
    "empty.png": (lambda face: b"", "is empty (0 bytes)"),
    "large.png": (lambda face: bomb(12_000, 12_000), "million pixels"),
    "huge.png": (lambda face: bomb(60_000, 60_000), "million pixels"),
    "no-width.png": (lambda face: bomb(0, 10), ""),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_pictures_that_cannot_be_read(
    name: str, face: np.ndarray, model: Path, command: Command, tmp_path: Path
) -> None:
    make, reason = BAD_PICTURES[name]
    (tmp_path / name).write_bytes(make(face))
    options = ("--expr", "happy", "--model", model)
    result = command("apply", tmp_path / name, *options)
    assert result.code == 1
    assert result.error.startswith(str(tmp_path / name))
    assert reason in result.error
    assert files_in(tmp_path) == {name}
    # Strength 0 is no way around it, and a pipe no other.
    assert command("apply", tmp_path / name, *options, "--strength", 0).code == 1
    assert files_in(tmp_path) == {name}


def test_bad_pictures_in_a_pipe(face: np.ndarray, model: Path) -> None:
    for make, reason in (BAD_PICTURES["truncated.jpg"], BAD_PICTURES["empty.png"]):
        result = spawn("apply", "-", "--expr", "happy", "--model", model, input=make(face))
        assert result.code == 1
        assert result.error.startswith("the picture on stdin ")
        assert reason in result.error


def sixteen_bits(face: np.ndarray, path: Path) -> None:
    Image.fromarray(face[..., 0].astype(np.uint16) * 257).save(path)


def cmyk(face: np.ndarray, path: Path) -> None:
    Image.fromarray(face).convert("CMYK").save(path, quality=95)


def palette(face: np.ndarray, path: Path) -> None:
    Image.fromarray(face).quantize(200).save(path)


def with_alpha(face: np.ndarray, path: Path) -> None:
    alpha = np.arange(face.shape[0] * face.shape[1], dtype=np.uint8).reshape(face.shape[:2])
    Image.fromarray(np.dstack([face, alpha])).save(path)


def rotated(face: np.ndarray, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    Image.fromarray(face).rotate(90, expand=True).save(path, exif=exif, quality=95)


def one_bit(face: np.ndarray, path: Path) -> None:
    Image.fromarray(face).convert("1").save(path)


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (sixteen_bits, "png"), (sixteen_bits, "tif"), (cmyk, "jpg"), (cmyk, "tif"),
        (palette, "png"), (palette, "gif"), (with_alpha, "png"), (with_alpha, "webp"),
        (rotated, "jpg"), (one_bit, "png"),
    ],
)  # fmt: skip
def test_unusual_pictures_are_handled(
    make: Callable[[np.ndarray, Path], None], suffix: str, face: np.ndarray, model: Path,
    command: Command, tmp_path: Path,
) -> None:  # fmt: skip
    tall = face[:, 4:56]  # 52 x 64
    path, out = tmp_path / f"in.{suffix}", tmp_path / "out.png"
    make(tall, path)
    result = command("apply", path, "--expr", "happy", "--model", model, "-o", out)
    assert (result.code, result.out, result.err) == (0, "", f"wrote {out}\n")
    with Image.open(out) as made:
        assert made.size == (52, 64)  # upright
        rgb = np.asarray(made.convert("RGB")).astype(int)
        bands = made.getbands()
    seen = tall if make not in (sixteen_bits, one_bit) else np.repeat(tall[..., :1], 3, axis=2)
    if make is not one_bit:
        # Still this face: the change is small, and not a change of scale or of orientation.
        assert np.abs(rgb - seen).mean() < 12
        assert np.corrcoef(rgb.ravel(), seen.ravel())[0, 1] > 0.95
    assert bands == {sixteen_bits: ("L",), one_bit: ("L",), with_alpha: ("R", "G", "B", "A")}.get(
        make, ("R", "G", "B")
    )
    if make is with_alpha and suffix == "png":
        np.testing.assert_array_equal(pixels(out)[..., 3], pixels(path)[..., 3])
    # The same again in the picture's own format.
    result = command("apply", path, "--expr", "happy", "--model", model)
    assert result.code == 0, result.err
    with Image.open(path) as old, Image.open(tmp_path / f"in-happy.{suffix}") as new:
        assert new.format == old.format
        assert new.getexif().get(0x0112, 1) == 1


def test_unusual_pictures_are_learnt_from(
    command: Command, drawn: Path, fit_options: tuple[object, ...], tmp_path: Path
) -> None:
    folder = shutil.copytree(drawn, tmp_path / "set") / "KDEF"
    for person, make in (("AF01", cmyk), ("AM01", rotated)):
        for code in ("NE", "HA"):
            path = folder / person / f"{person}{code}S.JPG"
            make(pixels(path), path)
    result = command("fit", "--data", folder, "--expr", "happy", *fit_options)
    assert result.code == 0
    assert "warning" not in result.err
    assert "8 pairs" in result.err
