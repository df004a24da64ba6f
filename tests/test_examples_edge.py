"""examples/edge: an exported model as a program for this machine, and on a bare Cortex-M4."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from PIL import Image

from pixelreg.backends import get_backend
from pixelreg.export.measure import difference
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models.file import load

EDGE = Path(__file__).parents[1] / "examples" / "edge"
MODEL = BUNDLED / NAMED["flow"]
needs_make = pytest.mark.skipif(
    not (which("make") and which("cc")), reason="there is no make, or no C compiler"
)
needs_board = pytest.mark.skipif(
    not (which("arm-none-eabi-gcc") and which("qemu-system-arm")),
    reason="there is no arm-none-eabi-gcc, or no qemu-system-arm",
)


def make(folder: Path, *words: str) -> str:
    own = f"PIXELREG={sys.executable} -m pixelreg"
    done = subprocess.run(
        ["make", "-s", "-C", str(folder), own, f"MODEL={MODEL}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def edge(tmp_path) -> Path:
    for file in ("Makefile", "main.c", "probe.h", "board.c", "board.ld"):
        shutil.copy(EDGE / file, tmp_path)
    return tmp_path


@needs_make
def test_the_program_does_to_a_photo_what_apply_does(edge) -> None:
    make(edge, "smile")
    with Image.open(EDGE.parent / "pictures" / "face.jpg") as face:
        crop = np.asarray(face.convert("RGB").resize((128, 128)))
    Image.fromarray(crop).save(edge / "in.ppm")
    for strength in (1.0, 0.5):
        words = [edge / "smile", edge / "in.ppm", edge / "out.ppm", str(strength)]
        subprocess.run(words, check=True)
        with Image.open(edge / "out.ppm") as out:
            made = np.asarray(out)
        wanted = get_backend("numpy").apply(load(MODEL).plans["happy"], crop, strength)
        assert difference(made, wanted).decibels > 55
        assert np.abs(made.astype(int) - crop).max() > 20
    for words, said in (
        ((edge / "none.ppm", "x"), b"cannot open"),
        ((edge / "Makefile", "x"), b"wants a binary PPM"),
        ((edge / "in.ppm", edge / "out.ppm", "9"), b"strength must be"),
        ((), b"use it so"),
    ):
        failed = subprocess.run([edge / "smile", *words], capture_output=True, check=False)
        assert failed.returncode == 1
        assert said in failed.stderr


@needs_make
@needs_board
@pytest.mark.parametrize(
    ("model", "options", "most"),
    [
        ("flow", "--dtype int8", 700),
        ("flow", "--dtype int8 --detail 4", 850),
        ("rr", "--dtype int8", 80),
        ("rr", "--dtype float32", 80),
    ],
)
def test_the_board_makes_the_same_bytes(edge, model, options, most) -> None:
    """And takes so many instructions a pixel at most."""
    words = f"OPTIONS={options}", f"MODEL={BUNDLED / NAMED[model]}"
    here = make(edge, *words, "probe").split()[-3:]
    *_, a, b, c, instructions = make(edge, *words, "run-board").split()
    assert [a, b, c] == here
    assert len(set(here)) == 3
    assert 20 < int(instructions) <= most
