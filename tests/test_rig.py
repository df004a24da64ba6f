"""The rig: its geometry against independent references, its laws, what it does to pictures."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.interpolate import RBFInterpolator

import pixelreg
from pixelreg.errors import FaceError, ModelFileError, UnknownNameError, UsageError
from pixelreg.faces.dense import DenseFace, DenseFinder
from pixelreg.faces.locate import Locator
from pixelreg.pictures.image import read
from pixelreg.rig import head as heads
from pixelreg.rig.expressions import ACTION_UNITS, EXPRESSIONS, Vocabulary, bare
from pixelreg.rig.head import Mesh, load_mesh
from pixelreg.rig.motion import Rig, change
from pixelreg.rig.raster import rasterise
from pixelreg.rig.shown import moved_towards, read_weights
from pixelreg.rig.sitter import FLIP, fit_sitter, vertex_normals
from pixelreg.rig.spline import Spline
from pixelreg.rig.translator import Goal, RigTranslator

HEAD = Path(heads.__file__).parent / "head.safetensors.xz"


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return load_mesh()


@pytest.fixture(scope="module")
def rig(mesh: Mesh) -> Rig:
    return Rig(mesh)


@pytest.fixture(scope="module")
def face(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise with the landmarks of the head itself, 20 pixels a cm."""
    rng = np.random.default_rng(4)
    picture = np.clip(rng.normal(128, 20, (560, 480, 3)), 0, 255).astype(np.uint8)
    places = mesh.rest[mesh.anchors, :2] * FLIP * 20 + [240, 240]
    points = np.linalg.lstsq(mesh.head.mixing / 60.0, places, rcond=None)[0]
    points[0], points[17] = places[18:24].mean(axis=0), places[24:30].mean(axis=0)  # pupils
    return picture, points


# Geometry


@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 5.0])
def test_the_spline_is_scipys(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    knots, values = rng.normal(0, 3, (20, 2)), rng.normal(0, 50, (20, 2))
    ours = Spline.through(knots, values, smoothing)
    # SciPy's kernel has no sign of its own; its smoothing is ours with the sign of r^2 log r.
    theirs = RBFInterpolator(knots, values, kernel="thin_plate_spline", smoothing=smoothing)
    at = rng.normal(0, 3, (50, 2))
    np.testing.assert_allclose(ours.at(at), theirs(at), atol=2e-3)


def test_the_splines_slopes_are_its_differences() -> None:
    rng = np.random.default_rng(1)
    spline = Spline.through(rng.normal(0, 3, (12, 2)), rng.normal(0, 50, (12, 2)), 0.5)
    at, step = rng.normal(0, 3, (30, 2)), 1e-3
    for axis in (0, 1):
        side = np.eye(2)[axis] * step
        difference = (spline.at(at + side).astype(float) - spline.at(at - side)) / (2 * step)
        np.testing.assert_allclose(spline.slopes(at)[..., axis], difference, atol=0.05)


def height(
    points: np.ndarray, depth: np.ndarray, corner: np.ndarray, pixel: int, inside: float
) -> float:
    """How near a triangle is at a pixel's centre, -inf where that is not so far inside."""
    matrix = np.vstack([points[corner].T.astype(float), np.ones(3)])
    if abs(np.linalg.det(matrix)) < 1e-6:
        return -np.inf
    shares = np.linalg.solve(matrix, [pixel % 16 + 0.5, pixel // 16 + 0.5, 1])
    return float(shares @ depth[corner]) if (shares > inside).all() else -np.inf


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_raster_shows_the_nearest_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 19, (9, 2)).astype(np.float32)
    depth = rng.normal(0, 3, 9).astype(np.float32)
    corners = np.array(list(combinations(range(9), 3)))[rng.choice(84, 6, replace=False)]
    seen = rasterise(points, depth, corners, (16, 16))
    for pixel, number in enumerate(seen.shown.ravel().tolist()):
        # Edges belong to either side.
        best = max(height(points, depth, corner, pixel, 0.01) for corner in corners)
        if number < 0:
            assert np.isinf(best)
        else:
            assert height(points, depth, corners[number], pixel, -0.05) >= best - 0.01


def test_what_varies_linearly_over_a_mesh_is_spread_linearly() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 40, (12, 2)).astype(np.float32)
    corners = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    seen = rasterise(points, np.zeros(12, np.float32), corners, (40, 40))
    rows, columns = np.divmod(seen.pixels, 40)
    spread = seen.spread(points @ np.array([[2.0, -1], [0.5, 3]], np.float32), seen.pixels)
    places = np.stack([columns + 0.5, rows + 0.5], axis=1)
    np.testing.assert_allclose(spread, places @ [[2.0, -1], [0.5, 3]], atol=1e-2)


def test_the_normals_of_a_sphere_point_outwards() -> None:
    from scipy.spatial import ConvexHull

    points = np.random.default_rng(3).normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    middle = points[hull.simplices].mean(axis=1)
    a, b, c = (points[hull.simplices[:, k]] for k in range(3))
    turned = (np.cross(b - a, c - a) * middle).sum(axis=1) < 0
    triangles = hull.simplices.copy()
    triangles[turned] = triangles[turned][:, ::-1]
    normals = vertex_normals(points.astype(np.float32), triangles)
    assert (normals * points).sum(axis=1).min() > 0.97


# The head


def test_the_head_is_small_and_carries_its_licence() -> None:
    assert HEAD.stat().st_size <= 150_000
    licence = (HEAD.parent / "head.LICENSE").read_text()
    assert "MIT" in licence
    assert "ICT" in licence


def test_the_sides_of_the_head_mirror_each_other(mesh: Mesh) -> None:
    pairs = [name for name in mesh.shapes if name.endswith("_L")]
    assert len(pairs) > 15
    number = mesh.mirrored
    twin = np.empty(len(mesh.rest), int)
    twin[: len(number)], twin[number] = number, np.arange(len(number))
    for name in pairs:
        other = mesh.shapes[name[:-1] + "R"][twin] * heads.MIRROR
        np.testing.assert_array_equal(mesh.shapes[name], other)
    np.testing.assert_array_equal(mesh.rest, mesh.rest[twin] * heads.MIRROR)


def test_a_damaged_head_is_refused_in_one_line(tmp_path: Path) -> None:
    plain = lzma.decompress(HEAD.read_bytes())
    for damaged in (b"", plain, lzma.compress(plain[:5000]), HEAD.read_bytes()[:-900]):
        file = tmp_path / "head.xz"
        file.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"head\.xz"):
            load_mesh(file)


# Names


def test_every_name_stands_for_shapes_of_the_head(mesh: Mesh) -> None:
    vocabulary = Vocabulary(mesh.shapes)
    for name, expression in EXPRESSIONS.items():
        assert set(expression.weights) <= {*mesh.shapes, *bare(mesh.shapes)}, name
    for unit, weights in ACTION_UNITS.items():
        assert set(weights) <= {*mesh.shapes, *bare(mesh.shapes)}, unit
        assert vocabulary.weights(unit)
    assert vocabulary.weights("AU12L") == {"mouthSmile_L": 1.0}
    assert vocabulary.weights("au6") == {"cheekSquint_L": 1.0, "cheekSquint_R": 1.0}
    assert vocabulary.weights("fearful") == vocabulary.weights("afraid")
    assert vocabulary.weights("MouthSmile_r") == {"mouthSmile_R": 1.0}


@pytest.mark.parametrize("name", ["AU99", "smirk", "AU26L", "mouthSmile_X", ""])
def test_unknown_names_are_refused_with_those_that_are_known(mesh: Mesh, name: str) -> None:
    with pytest.raises(UnknownNameError, match="choose one of"):
        Vocabulary(mesh.shapes).weights(name)


def test_goals_move_to_an_expression_and_let_go_of_what_is_shown(mesh: Mesh) -> None:
    shown = {"mouthSmile_L": 0.8, "jawOpen": 0.4}
    vocabulary = Vocabulary(mesh.shapes)
    sad = Goal.of(vocabulary, {"sad": 1.0})
    assert sad.weights(shown, 0.0) == {**dict.fromkeys(sad.given, 0.0), **shown}
    full = sad.weights(shown, 1.0)
    assert full["mouthSmile_L"] == 0
    assert full["mouthFrown_L"] == EXPRESSIONS["sad"].weights["mouthFrown"]
    half = Goal.of(vocabulary, {"neutral": 0.5}).weights(shown, 1.0)
    assert half["jawOpen"] == pytest.approx(0.2)
    muscle = Goal.of(vocabulary, {"browInnerUp": 0.4}).weights(shown, 1.0)
    assert muscle["mouthSmile_L"] == 0.8
    assert muscle["browInnerUp_R"] == 0.4
    with pytest.raises(UsageError, match="from -3 to 3"):
        Goal.of(vocabulary, {"happy": float("nan")})


# What a face shows


@pytest.mark.parametrize(
    ("name", "weight"),
    [("jawOpen", 0.5), ("mouthSmile", 0.8), ("mouthPucker", 0.8), ("eyeBlink", 0.9)],
)
def test_a_shape_that_moved_the_landmarks_is_read_from_them(
    mesh: Mesh, face: tuple[np.ndarray, np.ndarray], name: str, weight: float
) -> None:
    vocabulary = Vocabulary(mesh.shapes)
    moved = mesh.moved(vocabulary.spread({name: weight}))[mesh.anchors, :2] * FLIP * 20
    points = face[1] + np.linalg.lstsq(mesh.head.mixing / 60.0, moved, rcond=None)[0]
    calm, found = read_weights(mesh, face[1]), read_weights(mesh, points)
    for shape in vocabulary.spread({name: 1.0}):
        more = found.get(shape, 0.0) - calm.get(shape, 0.0)
        assert 0.4 * weight < more < 1.3 * weight


def test_strength_walks_from_what_is_shown_to_the_target() -> None:
    shown, target = {"a": 0.5, "b": 1.0}, {"b": 0.0, "c": 2.0}
    assert moved_towards(shown, target, 0.0) == {"a": 0.5, "b": 1.0, "c": 0.0}
    assert moved_towards(shown, target, 1.0) == {"a": 0.0, "b": 0.0, "c": 2.0}
    assert moved_towards(shown, target, -1.0) == {"a": 1.0, "b": 2.0, "c": -2.0}


# Pictures


def test_a_face_that_shows_the_target_already_stays(
    rig: Rig, face: tuple[np.ndarray, np.ndarray]
) -> None:
    picture, points = face
    made = change(rig, fit_sitter(rig.mesh, picture, points, {}), {})
    assert made.displacement is not None
    assert made.gain is not None
    # Skin that is hidden behind other takes its colour from elsewhere; all that is seen stays.
    assert (np.abs(made.displacement).max(axis=2) > 0.3).mean() < 2e-3
    assert made.layer is None or made.layer[..., 3].max() < 0.5
    np.testing.assert_allclose(made.gain, 1, atol=1e-3)


def test_a_smile_fetches_the_mouths_corners_from_where_they_were(
    rig: Rig, face: tuple[np.ndarray, np.ndarray]
) -> None:
    picture, points = face
    mesh, weights = rig.mesh, {"mouthSmile_L": 0.8, "mouthSmile_R": 0.8}
    made = change(rig, fit_sitter(mesh, picture, points, {}), weights)
    assert made.displacement is not None
    corners = mesh.anchors[[0, 6]]  # Multi-PIE 48 and 54
    steps = mesh.moved(weights)[corners, :2] * FLIP * 20
    there = (mesh.rest[corners, :2] * FLIP * 20 + [240, 240] + steps).round().astype(int)
    fetched = np.median(
        [[made.displacement[y + k, x] for k in (-3, -2, 2, 3)] for x, y in there], axis=1
    )
    np.testing.assert_allclose(fetched, -steps, atol=5)
    assert np.abs(steps).max() > 8


def marked(points: np.ndarray) -> DenseFinder:
    """A finder that knows where the landmarks are."""
    return DenseFinder(given=DenseFace(points, 0.0, "given"))


@pytest.fixture(scope="module")
def translator(face: tuple[np.ndarray, np.ndarray]) -> RigTranslator:
    eyes = tuple(face[1][[0, 17]].ravel().tolist())
    return RigTranslator(Locator(eyes=eyes), marked(face[1]))


def test_strength_nought_changes_nothing_and_others_change_the_face_alone(
    translator: RigTranslator, face: tuple[np.ndarray, np.ndarray]
) -> None:
    picture = np.random.default_rng(7).integers(0, 256, (900, 800, 3)).astype(np.uint8)
    picture[100:660, 100:580] = face[0]
    moved = RigTranslator(
        Locator(eyes=tuple((face[1][[0, 17]] + 100).ravel().tolist())),
        marked(face[1] + 100),
    )
    assert moved.translate(picture, "happy", 0.0).tobytes() == picture.tobytes()
    made = np.asarray(moved.translate(picture, "surprised", 1.0))
    changed = (made != picture).any(axis=2)
    assert 0.02 < changed.mean() < 0.5
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    # The head is 15 cm across and 18 high, its skirt 4.5 to 7 cm: 20 pixels a cm around (340, 340).
    assert rows.min() > 340 - 18 * 20
    assert rows.max() < 340 + 16 * 20
    assert columns.min() > 340 - 14 * 20
    assert columns.max() < 340 + 14 * 20


def test_more_strength_is_more_change(
    translator: RigTranslator, face: tuple[np.ndarray, np.ndarray]
) -> None:
    prepared = translator.prepare(read(face[0]), "happy")
    amounts = [
        np.abs(prepared.at(s).pixels.astype(int) - face[0]).mean() for s in (0.0, 0.3, 1.0, 1.7)
    ]
    assert amounts == sorted(amounts)
    assert amounts[0] == 0
    assert np.abs(prepared.at(-1.0).pixels.astype(int) - face[0]).mean() > 1


def test_large_faces_are_drawn_smaller_and_laid_on_at_full_size(
    face: tuple[np.ndarray, np.ndarray],
) -> None:
    picture = np.asarray(Image.fromarray(face[0]).resize((1920, 2240), Image.Resampling.BICUBIC))
    points = face[1] * 4
    eyes = tuple(points[[0, 17]].ravel().tolist())
    large = RigTranslator(Locator(eyes=eyes), marked(points))
    small = RigTranslator(
        Locator(eyes=tuple((points[[0, 17]] / 4).ravel().tolist())),
        marked(face[1]),
    )
    made = Image.fromarray(np.asarray(large.translate(picture, "happy"))).reduce(4)
    other = np.asarray(small.translate(np.asarray(Image.fromarray(picture).reduce(4)), "happy"))
    assert np.abs(np.asarray(made).astype(int) - other).mean() < 4


def test_floats_keep_their_type_and_their_values_outside_the_face(
    translator: RigTranslator, face: tuple[np.ndarray, np.ndarray]
) -> None:
    picture = face[0] / 255 + np.random.default_rng(1).uniform(0, 1e-3, face[0].shape)
    made = np.asarray(translator.translate(np.clip(picture, 0, 1), "sad"))
    assert made.dtype == np.float64
    same = (np.asarray(translator.translate(face[0], "sad")) == face[0]).all(axis=2)
    np.testing.assert_array_equal(made[same][:50], np.clip(picture, 0, 1)[same][:50])


def test_the_rig_is_what_load_gives_and_describes_itself() -> None:
    rig = pixelreg.load()
    assert isinstance(rig, RigTranslator)
    assert set(rig.changes) == set(EXPRESSIONS)
    facts = rig.describe()
    assert facts["licence"] == "MIT"
    assert len(facts["shapes"]) > 45
    with pytest.raises(UsageError, match="by name"):
        rig.goal([0.1, 0.2])


FACE = Path(__file__).resolve().parents[1] / "examples" / "pictures" / "face.jpg"
USING = """
import sys
from pixelreg.commands.main import main
assert main(["apply", sys.argv[1], "--expr", "angry", "-o", sys.argv[2]]) == 0
heavy = {"cv2", "scipy", "numba", "skimage", "sklearn", "torch", "onnxruntime"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_a_photo_needs_numpy_and_pillow_alone(tmp_path: Path) -> None:
    output = tmp_path / "angry.jpg"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USING, FACE, output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, before = (np.asarray(Image.open(path), int) for path in (output, FACE))
    changed = np.abs(made - before).max(axis=2) > 24
    assert 0.02 < changed.mean() < 0.5
    # The brows come down and the mouth opens; the hair at the top stays.
    assert not changed[:60].any()


def test_every_expression_of_a_photo_differs(tmp_path: Path) -> None:
    rig = RigTranslator()
    picture = read(FACE)
    prepared = {name: rig.prepare(picture, name).at(1.0).pixels for name in EXPRESSIONS}
    for name, made in prepared.items():
        others = [other for key, other in prepared.items() if key != name]
        assert min(np.abs(made.astype(int) - other).mean() for other in others) > 0.15, name
    calm = np.abs(prepared["neutral"].astype(int) - picture.pixels).mean()
    assert calm < 0.3


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"AU12": 1e308}, "from -3 to 3"),
        ({"AU12": float("nan")}, "from -3 to 3"),
        ({"AU12": "x"}, "from -3 to 3"),
        ({"AU12": 10**400}, "from -3 to 3"),
        ({5: 1.0}, "by a name"),
    ],
)
def test_numbers_that_would_tear_a_face_are_refused(target: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RigTranslator().goal(target)  # type: ignore[arg-type]


def test_weights_saturate_before_skin_tears(mesh: Mesh) -> None:
    goal = Goal.of(Vocabulary(mesh.shapes), {"angry": 1.0})
    assert max(map(abs, goal.weights({}, 10.0).values())) <= 2.5


WRONG = {
    "shuffled": lambda p: p[np.random.default_rng(0).permutation(82)],
    "scattered": lambda p: p + np.random.default_rng(0).normal(0, 30, p.shape),
    "one far out": lambda p: np.where(np.arange(82)[:, None] == 60, p + 2000, p),
    "mirrored": lambda p: p * [-1, 1] + [480, 0],
    "on a line": lambda p: p * [1, 0] + [0, 200],
    "in one place": lambda p: p * 0 + 99,
    "tiny": lambda p: p * 0.01 + 99,
    "outside": lambda p: p + 5000,
}


@pytest.mark.parametrize("name", WRONG)
def test_landmarks_that_are_no_face_change_nothing(
    name: str, face: tuple[np.ndarray, np.ndarray]
) -> None:
    eyes = tuple(face[1][[0, 17]].ravel().tolist())
    points = np.array(face[1])
    known = points.any(axis=1)
    points[~known] = points[known].mean(axis=0)  # those that no anchor tells of
    rig = RigTranslator(Locator(eyes=eyes), marked(WRONG[name](points)))
    with pytest.raises(FaceError, match="left alone"):
        rig.translate(face[0], "happy")


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 50), (50, 1)])
def test_pictures_of_a_pixel_or_two_are_refused_in_one_line(shape: tuple[int, int]) -> None:
    rig = RigTranslator(Locator(align=False))
    with pytest.raises(FaceError):
        rig.translate(np.zeros((*shape, 3), np.uint8), "happy")


def test_one_colour_is_no_face() -> None:
    rig = RigTranslator(Locator(eyes=(80.0, 90.0, 140.0, 90.0)))
    with pytest.raises(FaceError, match="left alone"):
        rig.translate(np.full((240, 220, 3), 127, np.uint8), "surprised")


def test_the_same_photo_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Strings are hashed differently in each process; sums must not follow that order."""
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", USING, FACE, tmp_path / f"{seed}.png"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
def test_numba_draws_what_numpy_draws(tmp_path: Path) -> None:
    plain, quick = (RigTranslator(backend=name) for name in ("numpy", "numba"))
    picture = read(FACE)
    both = plain.ready(picture), quick.ready(picture)
    for name in ("happy", "surprised", "angry"):
        wanted, made = (ready(name).at(1.0).pixels.astype(int) for ready in both)
        apart = np.abs(made - wanted)
        assert (wanted != picture.pixels).any()
        assert (apart > 0).mean() < 1e-3
        assert (apart > 1).mean() < 2e-4  # where two triangles are as near
    assert (plain.computed_by("happy"), quick.computed_by("happy")) == ("numpy", "numba")
    assert RigTranslator().computed_by("happy") == "numpy"  # Numba is imported by now


def test_whatever_draws_what_found_the_face_is_told(command: Command, tmp_path: Path) -> None:
    for backend in ("auto", "numpy"):
        output = tmp_path / f"{backend}.png"
        result = command("apply", FACE, "--expr", "happy", "--backend", backend, "-o", output)
        assert result.err == f"wrote {output} (face found by the bundled detector)\n"


def test_backends_that_the_rig_does_not_draw_with_are_refused(command: Command) -> None:
    for option, reason in (("--backend magic", "not one of"), ("--threads 2", "one thread")):
        result = command("apply", FACE, "--expr", "sad", *option.split())
        assert result.code == 2
        assert reason in result.err
