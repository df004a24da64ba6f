"""The page's scripts in node against Python: pasting back, landmarks, the rig."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from page_tools import needs_node, off, put, rgba, run_page
from PIL import Image

from pixelreg.export.tables import Packed
from pixelreg.faces.align import Similarity
from pixelreg.faces.dense import DenseFinder
from pixelreg.faces.landmarks import Face
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import face_mask, paste_change
from pixelreg.models.plans import Change
from pixelreg.rig.head import load_mesh
from pixelreg.rig.tables import rig_tables

pytestmark = needs_node
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "pictures" / "face.jpg"
MOST_DIFFERENT = 1e-3  # of values, none by more than a grey level


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.open(EXAMPLE).convert("RGB"))


# Pasting back

PASTE = """
const change = {width: shapes.colour[1], height: shapes.colour[0], ...arrays};
const photo = photoOf("photo");
delete change.photo;
if (values.steepness) change.steepness = values.steepness;
const {x, y, width, height, data} = pasteChange(photo, change, values.similarity, values.strength);
return {x, y, width, height, data};
"""


def waves(size: tuple[int, int], channels: int, most: float, seed: int) -> np.ndarray:
    """Smooth random fields, (h, w, channels) float32."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size) / max(size) * 2 * math.pi
    made = np.zeros((*size, channels))
    for k in range(channels):
        for _ in range(4):
            u, v, shift = rng.uniform(-3, 3), rng.uniform(-3, 3), rng.uniform(0, 6)
            made[..., k] += np.sin(u * columns + v * rows + shift)
    return (made * most / 4).astype(np.float32)


def drawn_change(size: tuple[int, int], parts: str, seed: int = 0) -> Change:
    mask = np.asarray(Image.fromarray(face_mask(max(size))).resize(size[::-1]), np.float32)
    cover = np.clip(waves(size, 1, 1, seed + 3), 0, 1)
    change = Change(
        waves(size, 3, 0.2 if "c" in parts else 0, seed),
        waves(size, 2, 5, seed + 1) if "d" in parts else None,
        1 + waves(size, 1, 0.3, seed + 2)[..., 0] if "g" in parts else None,
        np.concatenate([cover * 0.3, cover * 0.6, cover * 0.1, cover], axis=2)
        if "l" in parts
        else None,
        -0.5 if "g" in parts else -1.15,
    )
    return change.masked(np.maximum(mask, 0))


PLACES = {
    "turned, small": (Similarity(0.9, 0.25, 60.3, 40.8), (64, 64)),
    "turned, large": (Similarity(2.6, -0.7, 40.2, 150.1), (128, 128)),
    "over the border": (Similarity(3.1, 0.4, 350.0, 300.0), (64, 64)),
    "as it is": (Similarity(1.0, 0.0, 100.0, 80.0), (310, 260)),
    "twice": (Similarity(2.0, 0.0, 30.0, 12.0), (210, 190)),
    "three times": (Similarity(3.0, 0.0, 100.0, 100.0), (100, 97)),
}


@pytest.mark.parametrize("parts", ["c", "cd", "dg", "cdgl"])
@pytest.mark.parametrize("place", PLACES)
def test_pasting_is_pythons(photo, place, parts, tmp_path) -> None:
    similarity, size = PLACES[place]
    change, strength = drawn_change(size, parts), 0.7
    arrays = {"photo": rgba(photo), "colour": change.colour}
    arrays |= {
        name: value
        for name in ("displacement", "gain", "layer")
        if (value := getattr(change, name)) is not None
    }
    made = run_page(
        tmp_path, ("paste",), PASTE, arrays,
        {"similarity": vars(similarity), "strength": strength, "steepness": change.steepness},
    )  # fmt: skip
    wanted = paste_change(photo, change, similarity, strength)
    most, share = off(put(photo, made), wanted)
    assert not np.array_equal(wanted, photo)
    assert most <= 1
    assert share <= MOST_DIFFERENT
    left = untouched(photo, change, similarity)
    assert left.any()
    assert np.array_equal(put(photo, made)[left], photo[left])


def untouched(photo: np.ndarray, change: Change, similarity: Similarity) -> np.ndarray:
    """(H, W) bool, the pixels at which all fields of a change are exactly nothing."""
    fields = [change.colour, change.displacement, change.layer]
    somewhere = sum(np.abs(field).sum(axis=2) for field in fields if field is not None)
    if change.gain is not None:
        somewhere += np.abs(change.gain - 1)
    mark = Change(np.repeat((somewhere > 0)[..., None], 3, axis=2).astype(np.float32))
    grey = np.full(photo.shape, 0.5)
    return (paste_change(grey, mark, similarity) == 0.5).all(axis=2)


def test_no_strength_is_no_change(photo, tmp_path) -> None:
    similarity, size = PLACES["turned, small"]
    change = drawn_change(size, "cd")
    made = run_page(
        tmp_path, ("paste",), PASTE,
        {"photo": rgba(photo), "colour": change.colour, "displacement": change.displacement},
        {"similarity": vars(similarity), "strength": 0},
    )  # fmt: skip
    assert np.array_equal(put(photo, made), photo)


# Landmarks


@pytest.fixture(scope="module")
def tables() -> Packed:
    return rig_tables(load_mesh())


def tilted(photo: np.ndarray, degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The example turned and made larger or smaller, and its five landmarks."""
    five = face_of(photo).points
    side = round(len(photo) * scale)
    image = Image.fromarray(photo).resize((side, side), Image.Resampling.BICUBIC)
    image = image.rotate(-degrees, Image.Resampling.BICUBIC)
    turn = np.radians(degrees)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(image), (five * scale - side / 2) @ spin.T + side / 2


def face_of(photo: np.ndarray) -> Face:
    return Locator().faces(photo)[0]


LOOK = """
const face = Array.from(arrays.five), tables = unpackTables(arrays.tables, values.index);
return lookForLandmarks(photoOf("photo"), face, tables, values.twice);
"""


@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (25, 0.4), (-10, 2.3), (0, 0.12)])
def test_landmarks_are_the_cascades(photo, tables, degrees, scale, twice, tmp_path) -> None:
    turned, five = tilted(photo, degrees, scale)
    if scale == 1:
        five[2:] = np.nan  # the eyes alone are known
    given = {"photo": rgba(turned), "five": five, "tables": np.frombuffer(tables.data, np.uint8)}
    made = run_page(
        tmp_path, ("looks", "landmarks"), LOOK, given, {"index": tables.index, "twice": twice}
    )
    wanted = DenseFinder("cascade").find(turned, Face(five, (0, 0, 1, 1)), twice)
    np.testing.assert_allclose(made["points"].reshape(82, 2), wanted.points, rtol=0, atol=0.01)
    assert made["doubt"] == pytest.approx(wanted.doubt, abs=1e-4)
