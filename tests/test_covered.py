"""Faces behind sunglasses and masks: left alone, with a line that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command
from photo_tools import photo, truth
from PIL import Image, ImageDraw

from pixelreg.errors import FaceError
from pixelreg.faces.locate import Locator
from pixelreg.rig.translator import RigTranslator


def covered(person: Image.Image, points: np.ndarray, what: str) -> np.ndarray:
    """A photo (450 x 450) with dark glasses, or a mask over the mouth, drawn on it."""
    drawn = person.copy()
    draw = ImageDraw.Draw(drawn)
    unit = np.hypot(*(points[1] - points[0]))
    if what == "eyes":
        for x, y in points[:2]:
            box = [x - 0.36 * unit, y - 0.22 * unit, x + 0.36 * unit, y + 0.3 * unit]
            draw.ellipse(box, fill=(15, 15, 18))
        draw.line([tuple(eye) for eye in points[:2]], fill=(15, 15, 18), width=int(0.06 * unit))
    if what == "mouth":
        x, y = points[3:].mean(axis=0)
        box = [x - 0.6 * unit, y - 0.3 * unit, x + 0.6 * unit, y + 0.5 * unit]
        draw.ellipse(box, fill=(190, 150, 130))
    return np.asarray(drawn)


@pytest.mark.parametrize("what", ["nothing", "eyes", "mouth"])
def test_covered_faces_are_left_alone_and_a_line_says_why(london: Path, what: str) -> None:
    rig = RigTranslator(Locator("bundled"))
    for person in ("001", "017", "033"):
        small = Image.fromarray(photo(london, person, 450))
        picture = covered(small, truth(london, person, 450), what)
        if what == "nothing":
            assert (rig.translate(picture, "happy") != picture).any()
            continue
        with pytest.raises(FaceError, match=rf"left alone: its {what} cannot be seen"):
            rig.translate(picture, "happy")


@pytest.mark.parametrize("what", ["nothing", "eyes", "mouth"])
def test_other_models_change_covered_faces_and_say_so(
    london: Path, what: str, tmp_path: Path, command: Command
) -> None:
    small = Image.fromarray(photo(london, "017", 450))
    picture = covered(small, truth(london, "017", 450), what)
    Image.fromarray(picture).save(tmp_path / "in.png")
    result = command(
        "apply", tmp_path / "in.png", "--model", "flow", "--detector", "bundled",
        "-o", tmp_path / "out.png",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (f"the {what} of the face" in result.err) == (what != "nothing")
    assert ("may look wrong" in result.err) == (what != "nothing")
