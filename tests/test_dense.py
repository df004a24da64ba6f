"""Dense landmarks: the finders, their weights, templates, files, and the command."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command
from PIL import Image

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import DataError, ModelFileError, UnknownNameError, UnknownTemplateError
from pixelreg.faces import densecascade, facemesh
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.dense import (
    FIVE,
    METHODS,
    PARTS,
    POINTS,
    DenseFace,
    DenseFinder,
    five_of,
    mirror,
    read_dense,
)
from pixelreg.faces.landmarks import Face, face_from_eyes, face_from_points, read_landmarks
from pixelreg.faces.locate import Locator
from pixelreg.faces.marked import CONTOURS, FORMATS, Marked, picture_of, tem_text
from pixelreg.faces.secondlook import DOUBT, SecondLook
from pixelreg.models import store

SHARED = Path(__file__).resolve().parents[2] / "shared"
FINDERS = ("auto", *METHODS)
# Points that a template of so many holds: the pupils, the nose, the corners of the mouth.
FIVE_OF = {".tem": {106: (0, 1, 74, 86, 92), 83: (57, 50, 35, 29, 45)}}


@pytest.fixture(scope="module")
def mean_face() -> Pixels:
    """A face averaged from four, (H, W, 3) uint8."""
    with Image.open(Path(__file__).parents[1] / "examples/pictures/face.jpg") as file:
        return np.asarray(file.convert("RGB"))


@pytest.fixture(scope="module")
def found(mean_face: Pixels) -> Face:
    return BundledDetector().detect(mean_face)[0]


def photo_of(london: Path, person: str, kind: str = "neutral_front/{}_03") -> Path:
    return london / f"{kind.format(person)}.jpg"


def pixels_of(path: Path) -> Pixels:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def mirrored(face: Face, width: int) -> Face:
    turned = face.points * [-1.0, 1.0] + [width, 0.0]
    return face_from_points(turned[[1, 0, 2, 4, 3]])


def test_points_are_those_of_the_template_and_mirror_into_each_other() -> None:
    assert len(POINTS) == len(set(POINTS)) == 82
    assert [where.stop - where.start for where in PARTS.values()] == [17, 17, 22, 17, 9]
    other = np.array(mirror())
    np.testing.assert_array_equal(other[other], np.arange(82))
    assert (POINTS[other[0]], POINTS[other[34]], POINTS[other[73]]) == (1, 93, 133)
    assert {number for line in CONTOURS for number in line} | {0, 1} == set(POINTS)
    points = np.arange(164.0).reshape(82, 2)
    np.testing.assert_allclose(five_of(points)[2], points[list(FIVE[2])].mean(axis=0))


@pytest.mark.parametrize("method", FINDERS)
def test_a_mirrored_picture_has_mirrored_landmarks(
    method: str, mean_face: Pixels, found: Face
) -> None:
    finder, width = DenseFinder(method), mean_face.shape[1]
    plain = finder.find(mean_face, found)
    turned = finder.find(np.ascontiguousarray(mean_face[:, ::-1]), mirrored(found, width))
    back = (turned.points * [-1.0, 1.0] + [width, 0.0])[mirror()]
    # Not to the last digit: pictures are made smaller in blocks that begin at their left border.
    assert np.linalg.norm(back - plain.points, axis=1).mean() < 0.015 * found.eye_distance
    assert plain.doubt == pytest.approx(turned.doubt, abs=0.01)
    assert plain.source == {"auto": "cascade and facemesh"}.get(method, method)


@pytest.mark.parametrize("method", FINDERS)
def test_landmarks_go_with_the_picture(method: str, mean_face: Pixels, found: Face) -> None:
    """A picture at twice the size, in a corner of a larger one, has its landmarks there."""
    finder = DenseFinder(method)
    first = finder.find(mean_face, found).points
    height, width = mean_face.shape[:2]
    twice = np.asarray(Image.fromarray(mean_face).resize((2 * width, 2 * height), 3))
    wide = np.pad(twice, ((37, 11), (90, 5), (0, 0)), mode="edge")
    face = face_from_points(found.points * 2 + [90, 37])
    second = (finder.find(wide, face).points - [90, 37]) / 2
    assert np.linalg.norm(second - first, axis=1).mean() < 0.01 * found.eye_distance


@pytest.mark.parametrize("method", FINDERS)
def test_eyes_alone_are_enough(method: str, mean_face: Pixels, found: Face) -> None:
    finder = pickle.loads(pickle.dumps(DenseFinder(method)))
    whole = finder.find(mean_face, found).points
    of_eyes = finder.find(mean_face, face_from_eyes(found.eyes)).points
    assert np.linalg.norm(of_eyes - whole, axis=1).mean() < 0.03 * found.eye_distance
    far = np.linalg.norm(five_of(whole) - found.points, axis=1)
    assert far.max() < 0.12 * found.eye_distance


@pytest.mark.parametrize("method", FINDERS)
def test_any_picture_has_landmarks_that_are_numbers(method: str) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (40, 300, 3), np.uint8)
    for pixels in (noise, np.zeros((9, 7, 3), np.uint8), np.full((500, 20, 3), 255, np.uint8)):
        face = face_from_eyes([1.0, 3.0, 5.0, 4.0])
        seen = DenseFinder(method).find(pixels, face)
        assert seen.points.shape == (82, 2)
        assert np.isfinite(seen.points).all()
        assert seen.doubt >= 0


@pytest.mark.parametrize("method", FINDERS)
def test_landmarks_of_people_are_where_hands_put_them(method: str, london: Path) -> None:
    """The way from the detector on. The bound is that of gross errors: some are trained on."""
    for person in ("001", "013", "026", "061", "122"):
        photo = photo_of(london, person)
        if not photo.exists():
            continue
        truth = read_dense(photo.with_suffix(".tem"))
        pixels = pixels_of(photo)
        seen = DenseFinder(method).find(pixels, BundledDetector().detect(pixels, True)[0])
        assert truth is not None
        unit = np.hypot(*(truth[17] - truth[0]))
        errors = np.linalg.norm(seen.points - truth, axis=1) / unit
        assert errors.mean() < 0.045, person
        assert errors[PARTS["mouth"]].mean() < 0.05, person
        assert 0 < seen.doubt < DOUBT


def test_compiled_loops_find_the_same_to_the_bit(mean_face: Pixels) -> None:
    pytest.importorskip("numba")
    for side in (mean_face, mean_face[:, 40:, ::-1], mean_face[::3, ::3]):
        plain, quick = (
            (Locator("bundled", backend=name).faces(side)[0], DenseFinder(backend=name))
            for name in ("numpy", "numba")
        )
        np.testing.assert_array_equal(plain[0].points, quick[0].points)
        for twice in (True, False):
            found = [finder.find(side, face, twice) for face, finder in (plain, quick)]
            np.testing.assert_array_equal(found[0].points, found[1].points)
            assert found[0].doubt == found[1].doubt


def test_both_finders_count_where_they_agree(mean_face: Pixels, found: Face) -> None:
    class First:
        def find(self, pixels: Pixels, face: Face, twice: bool) -> DenseFace:
            return DenseFace(points, 0.0, "first")

    class Second:
        def look_at(self, pixels: Pixels, seen: Float64) -> Float64:
            return points + step

    points = np.zeros((82, 2))
    points[17] = 10, 0
    looker = SecondLook()
    looker.__dict__.update(cascade=First(), facemesh=Second())
    step = np.full((82, 2), [0.1, 0.0])
    near = looker.find(mean_face, found)
    assert near.doubt == pytest.approx(0.01)
    np.testing.assert_allclose((near.points - points)[PARTS["mouth"], 0], 0.05, rtol=0.01)
    assert (near.points - points)[PARTS["jaw"], 0].max() < 0.02
    step = np.full((82, 2), [50.0, 0.0])
    far = looker.find(mean_face, found)
    assert far.doubt == pytest.approx(5)
    assert far.doubt > DOUBT
    assert np.abs(far.points - points).max() < 1e-3
    assert looker.find(mean_face, found, twice=False).source == "first"


def test_unknown_finders_are_told() -> None:
    with pytest.raises(UnknownNameError, match="auto, cascade, facemesh"):
        DenseFinder("dlib")


def test_facemesh_is_what_onnxruntime_runs(mean_face: Pixels, found: Face) -> None:
    """In float32 to rounding, and as int8 to a part of a pixel."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    file = SHARED / "models" / "facemesh_fp16.onnx"
    if not file.is_file():
        pytest.skip("no FaceMesh beside this checkout (../shared/models)")
    from examples.convert_facemesh import network_of, no_map
    from examples.landmarks.network import read_network

    place = facemesh._first(found)
    picture = facemesh.crop(mean_face, place, facemesh.SIDE).astype(np.float32) / np.float32(255)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    mesh, flag = session.run(["mesh", "flag"], {"image": picture[None]})
    exact, sure = network_of(read_network(file), no_map()).look(picture)
    np.testing.assert_allclose(exact, mesh.reshape(-1, 3)[:, :2], atol=2e-3)
    assert sure == pytest.approx(float(flag.ravel()[0]), abs=1e-3)
    rounded, _ = facemesh.load_facemesh().look(picture)
    assert np.linalg.norm(rounded - exact, axis=1).mean() < 0.3


def test_the_map_to_the_82_is_the_ridge_that_explains_most() -> None:
    """Against a dense least-squares solution, where a few directions explain everything."""
    from examples.convert_facemesh import RANK, Sample, fitted

    rng = np.random.default_rng(0)
    shapes = rng.normal(0, 1, (RANK // 2, 936))
    way = rng.normal(0, 1, (RANK // 2, 164))
    scores = rng.normal(0, 1, (400, RANK // 2))
    meshes, points = scores @ shapes + 3, scores @ way - 1
    weights = rng.uniform(0.5, 2, 400)
    samples = [
        Sample(str(k), mesh.reshape(-1, 2), point.reshape(-1, 2), weight)
        for k, (mesh, point, weight) in enumerate(zip(meshes, points, weights, strict=True))
    ]
    map_ = fitted(samples)
    made = (meshes - map_["map.mean"]) @ map_["map.down"] @ map_["map.up"] + map_["map.offset"]
    np.testing.assert_allclose(made, points, atol=2e-3)


def test_rounded_weights_are_within_half_a_step() -> None:
    from examples.landmarks.network import rounded

    whole = np.random.default_rng(1).normal(0, 1, (3, 3, 7)).astype(np.float32)
    whole[..., 3] = 0  # a channel that says nothing
    made = rounded({"a.deep": whole, "a.offset": whole[0, 0]})
    assert made["a.deep"].dtype == np.int8
    step = made["a.deep.step"].astype(np.float32)
    assert (np.abs(made["a.deep"] * step - whole) <= 0.51 * step).all()
    assert made["a.offset"].dtype == np.float16


def test_weights_are_small_and_carry_their_licence() -> None:
    folder = Path(facemesh.__file__).parent / "weights"
    assert (folder / "landmarks.safetensors").stat().st_size <= 500_000
    assert (folder / "facemesh.safetensors").stat().st_size <= 700_000
    text = (folder / "facemesh.LICENSE").read_text(encoding="utf-8")
    for part in ("MediaPipe Authors", "Apache License", "Version 2.0", "changed", "int8"):
        assert part in text
    said = store.read_metadata(folder / "facemesh.safetensors", facemesh.FORMAT)
    assert said["licence"] == "Apache-2.0"
    assert "MediaPipe Authors" in said["made_from"]
    assert said["training_data_licence"] == "CC BY 4.0"


def test_the_cascade_comes_back_from_its_file(tmp_path: Path) -> None:
    from examples.landmarks.file import save_cascade

    first = densecascade.load_cascade()
    save_cascade(first, tmp_path / "again.safetensors")
    said = store.read_metadata(tmp_path / "again.safetensors", densecascade.FORMAT)
    assert said["training_data_licence"] == "CC BY 4.0"
    again = densecascade.load_cascade(tmp_path / "again.safetensors")
    for maps, others in zip(first.patches, again.patches, strict=True):
        for kind, map_ in maps.items():
            np.testing.assert_allclose(map_.down, others[kind].down, atol=1e-6)
            np.testing.assert_array_equal(map_.up, others[kind].up)


@pytest.mark.parametrize("name", ["landmarks", "facemesh"])
def test_damaged_weights_are_told(name: str, tmp_path: Path) -> None:
    load = {"landmarks": densecascade.load_cascade, "facemesh": facemesh.load_facemesh}[name]
    whole = (Path(facemesh.__file__).parent / "weights" / f"{name}.safetensors").read_bytes()
    file = tmp_path / "w.safetensors"
    other = {"landmarks": "facemesh", "facemesh": "landmarks"}[name]
    wrong = (Path(facemesh.__file__).parent / "weights" / f"{other}.safetensors").read_bytes()
    lost = whole.replace(b"step", b"stop", 1)
    for content in (b"", whole[:1000], whole[:-500], b"\xff" * 64, wrong, lost):
        file.write_bytes(content)
        with pytest.raises(ModelFileError) as caught:
            load(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def template(points: Float64) -> str:
    return "\n".join([str(len(points)), *(f"{x}\t{y}" for x, y in points), "0", ""])


@pytest.mark.parametrize("count", [106, 83])
def test_templates_of_web_services_hold_the_five_landmarks(count: int, tmp_path: Path) -> None:
    points = np.random.default_rng(3).uniform(0, 300, (count, 2)).round(1)
    file = tmp_path / "a.tem"
    file.write_text(template(points))
    face = read_landmarks(file)
    numbers = FIVE_OF[".tem"][count]
    np.testing.assert_allclose(face.points[2:], points[list(numbers[2:])])
    assert read_dense(file) is None


def test_landmarks_of_phone_photographs_lie_on_the_face() -> None:
    """Where the detector finds eyes, nose and mouth, as far as it sees them alike."""
    files = [f for name in ("lisa", "zoom") for f in (SHARED / "data" / name).glob("*.tem")]
    if not files:
        pytest.skip("no phone photographs beside this checkout (../shared/data/lisa, zoom)")
    for file in files:
        face = read_landmarks(file)
        seen = DenseFinder("facemesh").find(pixels_of(file.with_suffix(".jpg")), face)
        far = np.linalg.norm(five_of(seen.points) - face.points, axis=1)
        assert far.max() < 0.15 * face.eye_distance, file


def test_our_own_files_are_read_back(tmp_path: Path, mean_face: Pixels, found: Face) -> None:
    seen = DenseFinder("cascade").find(mean_face, found)
    marked = Marked("a.png", (mean_face.shape[1], mean_face.shape[0]), seen)
    for name, text in FORMATS.items():
        (tmp_path / f"a.{name}").write_text(text(marked))
    points = read_dense(tmp_path / "a.tem")
    np.testing.assert_allclose(points, seen.points, atol=0.006)
    five = five_of(seen.points)
    np.testing.assert_allclose(read_landmarks(tmp_path / "a.tem").points, five, atol=0.006)
    of_51 = read_landmarks(tmp_path / "a.pts").points
    assert np.linalg.norm(of_51[:2] - five[:2], axis=1).max() < 0.06 * found.eye_distance
    np.testing.assert_allclose(of_51[2:], five[2:], atol=1e-3)
    facts = json.loads((tmp_path / "a.json").read_text())
    assert [point["number"] for point in facts["points"]] == list(POINTS)
    np.testing.assert_allclose([[p["x"], p["y"]] for p in facts["points"]], seen.points, atol=1e-3)
    assert (facts["source"], facts["width"]) == ("cascade", mean_face.shape[1])


def test_lines_of_the_template_name_points_that_are_there() -> None:
    text = tem_text(Marked("a", (1, 1), DenseFace(np.zeros((82, 2)), 0.0, "x"))).splitlines()
    lines = text[83:]
    assert int(lines[0]) == len(CONTOURS) == (len(lines) - 1) // 3
    for count, numbers in zip(lines[2::3], lines[3::3], strict=True):
        assert int(count) == len(numbers.split())
        assert all(0 <= int(number) < 82 for number in numbers.split())


def test_points_are_drawn_where_they_are() -> None:
    points = np.full((82, 2), 50.0)
    points[17] = 70, 50
    drawn = picture_of(np.full((100, 120, 3), 128, np.uint8), points)
    assert (drawn != 128).any(axis=2).any()
    assert max(drawn.shape) <= 1200


def test_points_that_cannot_be_a_faces_are_passed_over(
    tmp_path: Path, mean_face: Pixels, found: Face
) -> None:
    """A template of a known number of points may still be numbered otherwise."""
    image, notes = tmp_path / "a.png", []
    line = np.stack([np.arange(100, 183), np.arange(150, 191.5, 0.5)], axis=1)
    image.with_suffix(".tem").write_text(template(line))
    (face,) = Locator("bundled", say=notes.append).faces(mean_face, image)
    np.testing.assert_allclose(face.points, found.points)
    assert len(notes) == 1
    assert "a.tem: its mouth is not below its eyes; it is passed over" in notes[0]
    right = np.zeros((83, 2))
    right[[57, 63]], right[[50, 81]], right[29], right[45] = (40, 60), (60, 60), (42, 82), (58, 82)
    image.with_suffix(".tem").write_text(template(right))
    (face,) = Locator("bundled").faces(mean_face, image)
    np.testing.assert_allclose(face.eyes, [[40, 60], [60, 60]])


def test_an_unknown_template_is_passed_over_once(
    tmp_path: Path, mean_face: Pixels, found: Face
) -> None:
    notes: list[str] = []
    for name in ("a", "b"):
        Image.fromarray(mean_face).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.tem").write_text(template(np.ones((7, 2))))
    locator = Locator("bundled", say=notes.append)
    for name in ("a", "b"):
        (face,) = locator.faces(mean_face, tmp_path / f"{name}.png")
        np.testing.assert_allclose(face.points, found.points)
    (note,) = notes
    assert "a.tem: holds 7 points" in note
    assert "passed over" in note
    with pytest.warns(UserWarning, match="holds 7 points"):
        Locator("bundled").faces(mean_face, tmp_path / "a.png")
    (tmp_path / "a.tem").write_text("189\n1\t2\n")  # damaged is not unknown
    with pytest.raises(DataError, match="are promised"):
        locator.faces(mean_face, tmp_path / "a.png")
    with pytest.raises(UnknownTemplateError):
        read_landmarks(tmp_path / "b.tem")


@pytest.fixture
def photos(tmp_path: Path, mean_face: Pixels) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("one.png", "more/two.png"):
        Image.fromarray(mean_face).save(folder / name)
    return folder


def test_the_command_marks_folders_and_goes_on_past_bad_photos(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    done = command("landmarks", photos, "-o", tmp_path / "marks", "--detector", "bundled")
    assert done.code == 1
    assert "2 of 3 photos marked" in done.err
    assert "failed:" in done.err
    assert "bad.png" in done.err
    endings = (".tem", ".pts", ".json", "-landmarks.png")
    made = {str(p.relative_to(tmp_path / "marks")) for p in (tmp_path / "marks").rglob("*.*")}
    assert made == {name + end for name in ("one", "more/two") for end in endings}


def test_the_command_writes_what_is_asked_for(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "marks"
    options = ("-o", out, "--detector", "bundled", "--format", "tem", "--face", "all")
    assert command("landmarks", photos / "one.png", *options).code == 0
    count = len(BundledDetector().detect(pixels_of(photos / "one.png")))
    endings = (".tem", "-landmarks.png")
    made = {f"one-{k}{ending}" for k in range(1, count + 1) for ending in endings}
    assert {path.name for path in out.iterdir()} == made
    again = tmp_path / "again"
    given = ("--landmarks", out / "one-1.tem", "--format", "json")
    assert command("landmarks", photos / "one.png", "-o", again, *given).code == 0
    facts = json.loads((again / "one.json").read_text())
    assert facts["source"] == "one-1.tem"
    np.testing.assert_allclose(
        [[p["x"], p["y"]] for p in facts["points"]], read_dense(out / "one-1.tem"), atol=1e-3
    )


def test_landmarks_beside_a_photo_are_taken_unless_a_finder_is_named(
    command: Command, photos: Path, tmp_path: Path, found: Face
) -> None:
    points = np.random.default_rng(1).uniform(100, 200, (189, 2)).round(1)
    points[[0, 1]] = found.eyes
    points[[87, 93]] = found.points[3:]
    (photos / "one.tem").write_text(template(points))
    sources = []
    for name in ("auto", "cascade", "facemesh"):
        out = tmp_path / name
        asked = ("-o", out, "--landmarks", name, "--format", "json")
        assert command("landmarks", photos / "one.png", *asked).code == 0
        sources.append(json.loads((out / "one.json").read_text())["source"])
    assert sources == [str(photos / "one.tem"), "cascade", "facemesh"]


def test_files_that_may_be_made_by_hand_are_not_overwritten(command: Command, photos: Path) -> None:
    (photos / "one.tem").write_text("mine")
    done = command("landmarks", photos / "one.png", "-o", photos)
    assert done.code == 2
    assert "placed by hand" in done.err
    assert (photos / "one.tem").read_text() == "mine"


def test_a_crop_has_its_eyes_where_the_frame_says(
    command: Command, mean_face: Pixels, found: Face, tmp_path: Path
) -> None:
    from pixelreg.faces.align import crop, similarity_from_eyes
    from pixelreg.models.model import Frame

    place = similarity_from_eyes(found.eyes, Frame(), 256)
    square = crop(mean_face, place, 256)
    file = tmp_path / "c.png"
    Image.fromarray(np.pad(square, ((0, 0), (20, 20), (0, 0)))).save(file)
    asked = ("-o", tmp_path / "m", "--no-align", "--format", "tem")
    assert command("landmarks", file, *asked).code == 0
    points = read_dense(tmp_path / "m" / "c.tem")
    whole = place.to_crop(DenseFinder().find(mean_face, found).points) + np.array([20, 0])
    assert points is not None
    assert np.linalg.norm(points - whole, axis=1).mean() < 3


def test_landmarks_of_another_picture_are_refused(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    (photos / "one.tem").write_text(template(np.random.default_rng(1).uniform(5e4, 6e4, (189, 2))))
    done = command("landmarks", photos / "one.png", "-o", tmp_path / "marks")
    assert done.code == 1
    assert "outside the picture" in done.err
    assert not (tmp_path / "marks").exists()


def test_pairs_with_unknown_templates_are_looked_for(tmp_path: Path, mean_face: Pixels) -> None:
    from pixelreg.data.crops import Cutter
    from pixelreg.data.photos import Photo
    from pixelreg.models.model import Frame

    Image.fromarray(mean_face).save(tmp_path / "a.png")
    (tmp_path / "a.tem").write_text(template(np.ones((7, 2))))
    notes: list[str] = []
    cutter = Cutter(64, Frame(), Locator("bundled", say=notes.append))
    plain = cutter.single(Photo("a", "neutral", str(tmp_path / "a.png")))
    assert not notes
    marked = Photo("a", "neutral", str(tmp_path / "a.png"), marks=".tem")
    np.testing.assert_array_equal(cutter.single(marked), plain)
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--landmarks", "dlib"), "choose one of: auto, cascade, facemesh"),
        (("--landmarks", "absent.tem"), "cannot be read"),
        (("--landmarks", "absent.pts", "--format", "jpg"), "jpg"),
        (("--eyes", "1,2,3,900"), "outside the picture"),
    ],
)
def test_what_the_command_is_asked_wrongly_is_told(
    options: tuple[str, ...], part: str, command: Command, photos: Path, tmp_path: Path
) -> None:
    done = command("landmarks", photos / "one.png", "-o", tmp_path / "marks", *options)
    assert done.code != 0
    assert part in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "marks").exists()


def test_two_photos_of_one_name_are_refused(command: Command, photos: Path, tmp_path: Path) -> None:
    Image.open(photos / "one.png").save(photos / "one.jpg")
    done = command("landmarks", photos, "-o", tmp_path / "marks")
    assert done.code == 2
    assert "would both become" in done.err


def test_a_file_of_landmarks_is_of_one_photo(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.tem").write_text(template(np.random.default_rng(0).uniform(0, 90, (189, 2))))
    done = command("landmarks", photos, "-o", tmp_path / "m", "--landmarks", tmp_path / "x.tem")
    assert done.code == 2
    assert "one photo only" in done.err
