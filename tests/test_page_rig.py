"""The page's scripts in node against Python: pasting back, landmarks, the rig."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_tools import needs_node, off, put, rgba, run_page
from PIL import Image

from pixelreg.errors import UnknownNameError
from pixelreg.export.tables import Packed, pack
from pixelreg.faces.align import UNMOVED, Similarity, crop
from pixelreg.faces.dense import DenseFace, DenseFinder
from pixelreg.faces.followed import Followed
from pixelreg.faces.landmarks import Face
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import face_mask, paste_change
from pixelreg.models.plans import Change
from pixelreg.pictures.image import read
from pixelreg.rig.expressions import Vocabulary
from pixelreg.rig.head import load_mesh
from pixelreg.rig.moving import MovingFace
from pixelreg.rig.shown import shown_weights
from pixelreg.rig.spline import Reach, Spline
from pixelreg.rig.tables import rig_arrays
from pixelreg.rig.translator import Goal, RigTranslator

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
    return pack(*rig_arrays(load_mesh()))


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


# The rig

RIG = (
    *("paste", "looks", "landmarks", "algebra", "filters", "head", "spline", "sitter", "shown"),
    *("wrinkles", "teeth", "raster", "motion", "mouth", "expressions", "rig"),
)
CHANGES = """
const tables = unpackTables(arrays.tables, values.index), photo = photoOf("photo");
const prepared = prepareFace(photo, arrays.points, tables);
const made = { shown: prepared.sitter.shown, unfit: whyUnfit(photo, arrays.points, 0, tables) };
values.wanted.forEach(([slides, strength], i) => {
  const { x, y, width, height, data } = changeFace(prepared, weightsOf(slides, tables), strength);
  Object.assign(made, { [`window${i}`]: { x, y, width, height }, [`data${i}`]: data });
});
return made;
"""
Wanted = list[tuple[dict[str, float], float]]
WANTED: Wanted = [
    *(({name: 1.0}, 1.0) for name in ("surprised", "angry", "happy", "neutral")),
    ({"afraid": 0.5, "Surprise": 0.5}, 0.8),
    ({"AU12L": 0.8, "au4": 0.5, "jawopen": 0.3}, 1.0),
    ({"happy": 1.0}, -1.0),
    ({"sad": 1.0}, 0.0),
]


@pytest.fixture
def exact_splines(monkeypatch) -> None:
    """Python bends splines in float32, adding up in an order that is the machine's, and lies up to
    a sixth of a pixel off on a face's rim; in float64 it can be compared with closely."""
    plain = Reach.of

    def of(points: np.ndarray, knots: np.ndarray) -> Reach:
        return plain(points.astype(np.float64), knots)

    def at(self: Spline, reach: Reach) -> np.ndarray:
        bent = reach.bending @ self.bend
        return (bent + self.affine[0] + reach.points @ self.affine[1:]).astype(np.float32)

    monkeypatch.setattr(Reach, "of", of)
    monkeypatch.setattr(Spline, "at", at)


def changed(
    photo: np.ndarray, points: np.ndarray, tables: Packed, folder: Path, wanted: Wanted
) -> dict[str, Any]:
    """What the page makes of a face: ``made`` pictures, and the weights that it shows."""
    given = {"photo": rgba(photo), "points": points, "tables": np.frombuffer(tables.data, np.uint8)}
    found = run_page(folder, RIG, CHANGES, given, {"index": tables.index, "wanted": wanted})
    windows = [{**found[f"window{i}"], "data": found[f"data{i}"]} for i in range(len(wanted))]
    return {**found, "made": [put(photo, window) for window in windows]}


def compare(
    photo: np.ndarray, points: np.ndarray, tables: Packed, folder: Path, wanted: Wanted = WANTED
) -> float:
    """The largest share of values that differ from Python's, of all that is wanted."""
    rig = RigTranslator(finder=DenseFinder(given=DenseFace(points, 0.0, "test")), backend="numpy")
    prepared, worst = rig.ready(read(photo)), 0.0
    found = changed(photo, points, tables, folder, wanted)
    assert found["shown"] == pytest.approx(shown_weights(rig.mesh, points), abs=1e-6)
    assert found["unfit"] is None
    for (slides, strength), made in zip(wanted, found["made"], strict=True):
        theirs = prepared(slides).at(strength).pixels
        apart = np.abs(made.astype(int) - theirs.astype(int))
        # Where lips end, a pixel may fall to the other side.
        assert (apart.max(axis=2) > 1).mean() <= FEW_PIXELS, slides
        assert strength or np.array_equal(made, photo)
        worst = max(worst, float((apart > 0).mean()))
    return worst


FEW_PIXELS = 2e-4  # of a picture's, that may be another by more than a grey level


def points_of(photo: np.ndarray) -> np.ndarray:
    return DenseFinder("cascade").find(photo, face_of(photo)).points


def test_expressions_are_the_rigs(photo, tables, tmp_path) -> None:
    assert compare(photo, points_of(photo), tables, tmp_path) <= MOST_DIFFERENT


@pytest.mark.parametrize(
    ("scale", "box", "count"),
    [(0.25, None, 8), (0.9, (60, 130, 380, 430), 8), (2, None, 2)],
    ids=["small", "cut off", "larger than it is drawn"],
)
def test_so_they_are_at_any_size(photo, tables, scale, box, count, exact_splines, tmp_path) -> None:
    turned, _ = tilted(photo, 4, scale)
    turned = np.ascontiguousarray(turned if box is None else Image.fromarray(turned).crop(box))
    points = points_of(turned)
    # The light is read at whole pixels; some fall to the other side, and many values by a little.
    assert compare(turned, points, tables, tmp_path, WANTED[:count]) <= 2 * MOST_DIFFERENT


def test_an_open_mouth_keeps_its_teeth(photo, tables, exact_splines, tmp_path) -> None:
    photo = tilted(photo, 0, 0.7)[0]
    points = points_of(photo)
    rig = RigTranslator(finder=DenseFinder(given=DenseFace(points, 0.0, "test")), backend="numpy")
    smiling = rig.ready(read(photo))({"happy": 1, "jawOpen": 0.3}).at(1.0).pixels
    points = points_of(smiling)
    assert rig.seated(smiling, points)[1].mouth is not None
    assert compare(smiling, points, tables, tmp_path) <= 2 * MOST_DIFFERENT


TURNS = """
const tables = unpackTables(arrays.tables, values.index), goal = weightsOf(values.slides, tables);
const faces = ["large", "small"].map((name) =>
  prepareFace(photoOf(name), arrays[`points ${name}`], tables));
const made = {};
[0, 1, 0, 1].forEach((k, turn) => {
  made[`data${turn}`] = changeFace(faces[k], goal, turn === 1 ? -1 : 1).data;
});
made.data4 = changeFace(faces[1], weightsOf(values.slides, tables), -1).data;
return made;
"""


def test_one_face_after_another_is_what_each_is_alone(photo, tables, tmp_path) -> None:
    """All changes are drawn on one sheet, which has to be blank again."""
    small = tilted(photo, 0, 0.4)[0]
    given = {
        **{"large": rgba(photo), "points large": points_of(photo)},
        **{"small": rgba(small), "points small": points_of(small)},
        "tables": np.frombuffer(tables.data, np.uint8),
    }
    values = {"index": tables.index, "slides": {"surprised": 1, "mouthSmile_L": 0.5}}
    found = run_page(tmp_path, RIG, TURNS, given, values)
    assert np.array_equal(found["data0"], found["data2"])
    assert np.array_equal(found["data1"], found["data4"])
    assert not np.array_equal(found["data1"], found["data3"])


NAMES = """
const tables = unpackTables(arrays.tables, values.index), told = {};
for (const name of values.names) told[name] = weightsOf({ [name]: 1 }, tables);
const wrong = values.wrong.map((name) => {
  try { return weightsOf({ [name]: 1 }, tables); } catch (error) { return error.message; }
});
return { told, wrong };
"""


def test_names_stand_for_what_they_do_in_python(tables, tmp_path) -> None:
    vocabulary = Vocabulary(load_mesh().shapes)
    names = [*vocabulary.names, *vocabulary.shapes, "AU12L", "au06r", "Smile", "ha", "0_Anger"]
    wrong = ["smirk", "AU3", "AU26L", "toString"]
    given = {"tables": np.frombuffer(tables.data, np.uint8)}
    values = {"index": tables.index, "names": names, "wrong": wrong}
    found = run_page(tmp_path, RIG, NAMES, given, values)
    for name in names:
        goal, told = Goal.of(vocabulary, {name: 1.0}), found["told"][name]
        assert told["given"] == pytest.approx(dict(goal.given)), name
        assert told["letGo"] == goal.let_go
        assert told["look"] == pytest.approx(vars(goal.look)), name
    for name, said in zip(wrong, found["wrong"], strict=True):
        with pytest.raises(UnknownNameError):
            vocabulary.weights(name)
        assert name in said


UNFIT = """
const tables = unpackTables(arrays.tables, values.index);
return { said: whyUnfit(photoOf("photo"), arrays.points, values.doubt, tables) };
"""


@pytest.mark.parametrize(
    ("spoil", "doubt", "reason"),
    [
        (lambda points: points + 600, 0.0, "outside"),
        (lambda points: points * 0.05 + 50, 0.0, "small"),
        (lambda points: points * [1, 0] + [0, 50], 0.0, "not a face"),
        (lambda points: points[::-1], 0.0, "not a face"),
        (lambda points: points, 0.2, "certainty"),
    ],
)
def test_what_cannot_be_changed_is_told(photo, tables, spoil, doubt, reason, tmp_path) -> None:
    points = spoil(DenseFinder("cascade").find(photo, face_of(photo)).points).copy()
    given = {"photo": rgba(photo), "points": points, "tables": np.frombuffer(tables.data, np.uint8)}
    found = run_page(tmp_path, RIG, UNFIT, given, {"index": tables.index, "doubt": doubt})
    assert reason in found["said"]


# Films


@dataclass(frozen=True)
class Shown:
    """A frame as `pixelreg.faces.followed.View` has it."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def crop(self, similarity: Similarity, size: int) -> np.ndarray:
        return crop(self.pixels, similarity, size)

    def cut(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        return self.pixels[top:bottom, left:right]


FILM = """
const tables = unpackTables(arrays.tables, values.index), made = {};
const state = startFollowing(tables), goal = weightsOf(values.slides, tables);
const [count, height, width] = shapes.frames, size = 4 * width * height;
for (let k = 0; k < count; k++) {
  const data = new Uint8ClampedArray(arrays.frames.buffer, k * size, size);
  const five = values.alone && k ? null : { points: arrays.fives.subarray(10 * k, 10 * k + 10) };
  const found = followFace(state, { width, height, data }, five, values.step, goal, 1);
  if (!found) continue;
  const { x, y, width: wide, height: high, data: pixels } = found;
  made[`window${k}`] = { x, y, width: wide, height: high };
  made[`data${k}`] = pixels;
}
return made;
"""


def film_of(photo: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of 320 x 240 pixels in which the example is moved about, and its five landmarks."""
    five, rng = face_of(photo).points, np.random.default_rng(0)
    frames = []
    for k in range(count):
        turn = 0.35 * (1 + 0.04 * k) * np.exp(0.05j * k)
        shift = complex(160 + 5 * k, 120 - 2 * k) - turn * complex(*five.mean(axis=0))
        place = Similarity(turn.real, turn.imag, shift.real, shift.imag)
        back = place.to_crop(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        right, down = (back[1:] - back[0]).T
        matrix = (right[0], right[1], back[0, 0], down[0], down[1], back[0, 1])
        frame = Image.fromarray(photo).transform(
            (320, 240), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
        )
        noisy = np.asarray(frame) + rng.normal(0, 2, (240, 320, 3))
        frames.append((np.clip(noisy, 0, 255).astype(np.uint8), place.to_photo(five)))
    return frames


@pytest.mark.parametrize("alone", [False, True], ids=["detector", "alone"])
def test_films_are_the_rigs(photo, tables, alone, exact_splines, tmp_path) -> None:
    slides, step, frames = {"surprised": 0.8, "mouthSmile": 0.3}, 1 / 12, film_of(photo, 6)
    rig = RigTranslator()
    goal = rig.goal(slides)
    moving = MovingFace(rig.rig, DenseFinder("cascade"), goal.weights, goal.look)
    given = {
        "frames": np.stack([rgba(frame) for frame, _ in frames]),
        "fives": np.stack([five for _, five in frames]),
        "tables": np.frombuffer(tables.data, np.uint8),
    }
    values = {"index": tables.index, "slides": slides, "step": step, "alone": alone}
    found = run_page(tmp_path, (*RIG, "steady", "following"), FILM, given, values)
    for k, (frame, five) in enumerate(frames):
        seen = Followed(Shown(frame), Face(five, (0, 0, 1, 1)), UNMOVED, step, 1.0)
        laid = moving(seen)()
        assert laid is not None
        wanted = paste_change(frame, laid.change, laid.similarity, laid.strength)
        made = put(frame, {**found[f"window{k}"], "data": found[f"data{k}"]})
        if alone:  # begun elsewhere, the cascade ends elsewhere by a little
            assert np.abs(made.astype(int) - wanted).mean() < 1
        else:
            apart = np.abs(made.astype(int) - wanted)
            assert (apart > 0).mean() <= MOST_DIFFERENT, k
            assert (apart.max(axis=2) > 1).mean() <= FEW_PIXELS, k


# The second look

TWO = """
const tables = unpackTables(arrays.tables, values.index);
return surelyFound(photoOf("photo"), Array.from(arrays.five), tables);
"""


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (25, 0.4), (-10, 2.3)])
def test_with_facemesh_landmarks_are_those_of_apply(photo, degrees, scale, tmp_path) -> None:
    turned, five = tilted(photo, degrees, scale)
    both = pack(*rig_arrays(load_mesh(), second_look=True))
    given = {"photo": rgba(turned), "five": five, "tables": np.frombuffer(both.data, np.uint8)}
    scripts = ("looks", "align", "landmarks", "secondlook", "algebra", "head", "shown", "rig")
    made = run_page(tmp_path, scripts, TWO, given, {"index": both.index})
    wanted = DenseFinder().find(turned, Face(five, (0, 0, 1, 1)))
    np.testing.assert_allclose(made["points"].reshape(82, 2), wanted.points, rtol=0, atol=0.01)
    assert made["doubt"] == pytest.approx(wanted.doubt, abs=1e-4)
    assert made["covered"] is wanted.covered is None


def test_with_facemesh_covered_mouths_are_told(photo, tmp_path) -> None:
    five = face_of(photo).points
    masked, unit = photo.copy(), np.hypot(*(five[1] - five[0]))
    top = int(five[2, 1] - 0.1 * unit)
    masked[top:, int(five[3, 0] - 0.6 * unit) : int(five[4, 0] + 0.6 * unit)] = [120, 160, 190]
    both = pack(*rig_arrays(load_mesh(), second_look=True))
    given = {"photo": rgba(masked), "five": five, "tables": np.frombuffer(both.data, np.uint8)}
    scripts = ("looks", "align", "landmarks", "secondlook", "algebra", "head", "shown", "rig")
    made = run_page(tmp_path, scripts, TWO, given, {"index": both.index})
    wanted = DenseFinder().find(masked, Face(five, (0, 0, 1, 1)))
    assert made["covered"] == wanted.covered == "mouth"
