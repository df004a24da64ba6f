"""Face detectors: what they find in real photos, what they leave alone, and how they are chosen."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from photo_tools import SIDE, photo, resized, shapes, truth
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from examples.detector.groups import gather
from pixelreg.errors import (
    FaceError,
    InvalidArrayError,
    MissingExtraError,
    ModelFileError,
    UnknownNameError,
    UsageError,
)
from pixelreg.faces import cascade as gradients
from pixelreg.faces import yunet
from pixelreg.faces.bundled import peaks, respond
from pixelreg.faces.cascade import load_weights
from pixelreg.faces.detect import Detector, asked_for, choose_faces, make_detector
from pixelreg.faces.landmarks import Face, face_from_eyes
from pixelreg.faces.locate import Locator

needs_opencv = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="OpenCV (extra align) is not installed"
)


@pytest.fixture
def detector(asked: str) -> Detector:
    return make_detector(*asked_for(asked))


def eye_error(face: Face, truth: np.ndarray) -> float:
    """The larger eye's error as a fraction of the eye distance."""
    unit = np.hypot(*(truth[1] - truth[0]))
    return float(np.linalg.norm(face.eyes - truth[:2], axis=1).max() / unit)


def test_finds_one_face_where_it_is(detector: Detector, london: Path) -> None:
    for person, largest in (("001", False), ("010", True), ("033", True), ("143", True)):
        points = truth(london, person)
        (face,) = detector.detect(photo(london, person), largest)
        assert eye_error(face, points) < 0.06
        assert np.linalg.norm(face.points - points, axis=1).max() < 0.15 * face.eye_distance
        corner, sides = np.split(np.array(face.box), 2)
        assert ((corner < points) & (points < corner + sides)).all()
        assert 0.5 <= face.score <= 1


def test_no_face_gives_an_empty_list(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    assert detector.detect(np.full((300, 400, 3), 128, np.uint8)) == []
    assert detector.detect(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)) == []
    assert detector.detect(shapes(1)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (900, 3, 3), (16, 16, 3), (40, 2000, 3)])
def test_any_size_is_searched(detector: Detector, shape: tuple[int, int, int]) -> None:
    assert detector.detect(np.zeros(shape, np.uint8)) == []


def test_upside_down_is_no_face(london: Path) -> None:
    upside_down = np.ascontiguousarray(photo(london)[::-1])
    assert make_detector("bundled").detect(upside_down) == []


def test_several_faces_come_largest_first(detector: Detector, london: Path) -> None:
    canvas = np.full((700, 1200, 3), 120, np.uint8)
    places = [("001", 30, 60, 330), ("010", 420, 20, 640), ("033", 20, 420, 250)]
    truths = []
    for person, left, top, side in places:
        canvas[top : top + side, left : left + side] = resized(photo(london, person), side)
        truths.append(truth(london, person) * side / SIDE + [left, top])
    faces = detector.detect(canvas)
    assert len(faces) == 3
    for face, k in zip(faces, (1, 0, 2), strict=True):
        assert eye_error(face, truths[k]) < 0.1
    assert choose_faces(faces, "largest") == faces[:1]
    assert choose_faces(faces, "3") == faces[2:]


@pytest.mark.parametrize("degrees", [-25, -12, 12, 25])
def test_tilted_face(detector: Detector, london: Path, degrees: int) -> None:
    # PIL turns against the clock in the picture's own sense; positive angles here are clockwise.
    whole = Image.fromarray(photo(london))
    turned = np.asarray(whole.rotate(-degrees, Image.Resampling.BILINEAR))
    (face,) = detector.detect(turned, largest=True)
    upright = face_from_eyes(truth(london)[:2])
    assert face.angle == pytest.approx(upright.angle + degrees, abs=4)
    assert face.eye_distance == pytest.approx(upright.eye_distance, rel=0.06)


@pytest.mark.slow
def test_of_a_group_of_43_at_least_36_are_found_and_nobody_else(london: Path) -> None:
    rng = np.random.default_rng(43)
    people = sorted(p.name[:3] for p in london.glob("neutral_front/*_03.tem"))[::5]
    portraits = [(photo(london, person, 450), truth(london, person, 450)) for person in people]
    for size in ((1280, 850), (1800, 900)):
        group = gather(portraits, rng, size=size)
        found, false = group.judged(make_detector("bundled").detect(group.picture))
        assert len(found) > 25
        assert sum(found) >= 36 / 43 * len(found)
        assert false == 0


@pytest.mark.parametrize("degrees", [50, 90, 145, 180, -110, -70])
def test_heads_at_any_roll_are_found(detector: Detector, london: Path, degrees: int) -> None:
    whole = Image.fromarray(resized(photo(london), 500))
    turned = whole.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(200,) * 3)
    locator = Locator()
    object.__setattr__(locator, "_made", detector)
    (face,) = locator.faces(np.asarray(turned))
    angle = np.deg2rad(degrees)
    x, y = (truth(london)[:2] * 500 / SIDE - 250).T
    eyes = np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)])
    assert eye_error(face, eyes.T + np.array(turned.size) / 2) < 0.1


@pytest.mark.parametrize("order", [1, -1])
def test_eyes_may_come_in_either_order(order: int) -> None:
    """Of an upright head and of one upside down; what a detector sees there decides."""
    with Image.open("examples/pictures/face.jpg") as opened:
        upright = resized(np.asarray(opened.convert("RGB")), 400)
    eyes = Locator("bundled").faces(upright)[0].eyes
    told: list[str] = []
    (face,) = Locator("bundled", eyes=tuple(eyes[::order].ravel()), say=told.append).faces(upright)
    np.testing.assert_allclose(face.eyes, eyes)
    assert [note for note in told if "image-left one comes first" not in note] == []
    assert len(told) == (order < 0)
    head_down = np.ascontiguousarray(upright[::-1, ::-1])
    turned = (np.array(upright.shape[1::-1]) - eyes).ravel()
    (face,) = Locator("bundled", eyes=tuple(turned)).faces(head_down)
    np.testing.assert_allclose(face.eyes.ravel(), turned)


def test_films_are_not_searched_at_every_roll() -> None:
    seen = []

    class Blind:
        name = "blind"

        def detect(self, image: np.ndarray, largest: bool = False) -> list[Face]:
            seen.append(image.shape)
            return []

    locator = Locator()
    object.__setattr__(locator, "_made", Blind())
    picture = np.zeros((90, 60, 3), np.uint8)
    for turned, looks in ((False, 1), (True, 8)):
        seen.clear()
        with pytest.raises(FaceError):
            locator.faces(picture, turned=turned)
        assert len(seen) == looks


def test_the_largest_face_alone_is_the_one_that_comes_first(london: Path) -> None:
    detector = make_detector("bundled")
    canvas = np.full((700, 1100, 3), 120, np.uint8)
    for person, left, top, side in (("001", 10, 60, 330), ("010", 400, 30, 640)):
        canvas[top : top + side, left : left + side] = resized(photo(london, person), side)
    first, _ = detector.detect(canvas)
    alone = detector.detect(canvas, largest=True)[0]
    assert np.abs(alone.points - first.points).max() < 0.01 * first.eye_distance
    small = np.full((700, 1100, 3), 120, np.uint8)  # too small for a glance
    small[450:600, 300:450] = resized(photo(london, "001"), 150)
    (there,) = detector.detect(small, largest=True)
    assert np.abs(there.points - detector.detect(small)[0].points).max() < 0.5


def test_face_cut_by_the_border(detector: Detector, london: Path) -> None:
    points = truth(london)
    below_nose = int(points[2, 1] + 0.25 * (points[1, 0] - points[0, 0]))
    (face,) = detector.detect(photo(london)[:below_nose])
    assert eye_error(face, points) < 0.12
    # The mouth is given where it would be, outside the picture.
    assert (face.points[3:, 1] > below_nose).all()


def test_face_whose_eye_is_outside_is_not_returned(detector: Detector, london: Path) -> None:
    half = int(truth(london)[2, 0])
    for face in detector.detect(np.ascontiguousarray(photo(london)[:, half:])):
        assert (face.eyes >= 0).all()
        assert (face.eyes[:, 0] <= SIDE - half).all()


def in_a_wide_picture(whole: np.ndarray) -> np.ndarray:
    canvas = np.full((720, 1280, 3), 90, np.uint8)
    canvas[300:450, 700:850] = resized(whole, 150)
    return canvas


@pytest.mark.parametrize(
    ("show", "scale", "shift", "most"),
    [
        (in_a_wide_picture, 150 / SIDE, (700, 300), 0.1),  # the eyes are 23 pixels apart
        (lambda whole: whole[210:530, 180:500].copy(), 1, (-180, -210), 0.08),
        (lambda whole: resized(whole, 200), 200 / SIDE, (0, 0), 0.08),
        (lambda whole: np.dstack([Image.fromarray(whole).convert("L")] * 3), 1, (0, 0), 0.06),
    ],
    ids=["small in a wide picture", "filling the picture", "200 pixels", "grey"],
)
def test_faces_of_other_sizes_and_without_colour(
    show, scale, shift, most, detector: Detector, london: Path
) -> None:
    (face,) = detector.detect(show(photo(london)))
    assert eye_error(face, truth(london) * scale + shift) < most


def test_landmarks_follow_the_picture(london: Path) -> None:
    """A mirrored photo gives mirrored landmarks, a shifted one shifted landmarks."""
    found = make_detector("bundled")
    image = photo(london)
    face = found.detect(image, largest=True)[0]
    mirrored = found.detect(np.ascontiguousarray(image[:, ::-1]), largest=True)[0]
    back = np.stack([SIDE - mirrored.points[:, 0], mirrored.points[:, 1]], axis=1)[[1, 0, 2, 4, 3]]
    assert np.abs(back - face.points).max() < 0.08 * face.eye_distance
    shifted = found.detect(np.pad(image, ((0, 0), (57, 0), (0, 0)), mode="edge"), largest=True)[0]
    assert np.abs(shifted.points - face.points - [57, 0]).max() < 0.05 * face.eye_distance


def test_threads_may_share_a_detector(detector: Detector, london: Path) -> None:
    image = photo(london)
    pictures = [resized(image, side) for side in (260, 420, 330, 500)] * 2
    alone = [detector.detect(picture)[0].points for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector.detect, pictures))
    for points, faces in zip(alone, together, strict=True):
        np.testing.assert_array_equal(faces[0].points, points)


def test_same_picture_same_faces(detector: Detector, london: Path) -> None:
    image = photo(london)
    before = image.copy()
    for largest in (True, False):
        first, second = (detector.detect(image[::2, ::2], largest) for _ in range(2))
        np.testing.assert_array_equal(first[0].points, second[0].points)
    np.testing.assert_array_equal(image, before)


def test_faces_of_strangers_in_packages() -> None:
    """Photographs that are in no training set, from packages that happen to be installed."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    face = make_detector("bundled").detect(data.astronaut())
    assert len(face) == 1
    # Pupils read off the picture by eye, to within two pixels.
    assert np.abs(face[0].eyes - [[202, 101], [247, 103]]).max() < 5


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 5), "uint8"), ((5, 5, 3), "float64"), ((0, 5, 3), "uint8")]
)
def test_arrays_that_are_no_picture(detector: Detector, shape: tuple[int, ...], dtype: str) -> None:
    bad = np.zeros(shape, dtype)
    with pytest.raises(InvalidArrayError, match=re.escape("(H, W, 3)")):
        detector.detect(bad)


# Parts that need no photograph.


def test_poses_are_similarities_fitted_by_least_squares() -> None:
    rng = np.random.default_rng(1)
    angle = rng.uniform(-3, 3, 20)
    axis = rng.uniform(5, 50, (20, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    exact = gradients.Poses(rng.normal(0, 100, (20, 2)), axis)
    fitted = gradients.fit_poses(exact.to_picture(gradients.MEAN_SHAPE))
    np.testing.assert_allclose(fitted.origin, exact.origin, atol=1e-9)
    np.testing.assert_allclose(fitted.axis, exact.axis, atol=1e-9)
    # Against the general least-squares solution for (ax, ay, ox, oy), on noisy points.
    noisy = exact.to_picture(gradients.MEAN_SHAPE) + rng.normal(0, 2, (20, 5, 2))
    x, y = gradients.MEAN_SHAPE.T
    design = np.zeros((10, 4))
    design[0::2] = np.stack([x, -y, np.ones(5), np.zeros(5)], axis=1)
    design[1::2] = np.stack([y, x, np.zeros(5), np.ones(5)], axis=1)
    expected = np.linalg.lstsq(design, noisy.reshape(20, 10).T, rcond=None)[0].T
    fitted = gradients.fit_poses(noisy)
    np.testing.assert_allclose(np.hstack([fitted.axis, fitted.origin]), expected, atol=1e-9)
    np.testing.assert_allclose(fitted.to_picture(fitted.to_frame(noisy)), noisy, atol=1e-9)


def test_sampling_against_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(2)
    grey = rng.random((2, 30, 41)).astype(np.float32)
    pyramid = gradients.Pyramid.of(grey)
    points = rng.uniform(-5, 45, (3, 50, 2))
    which = np.array([1, 0, 1])
    got = pyramid.sample(which, points, np.ones(3))
    for k, picture in enumerate(which):
        at = [points[k, :, 1] - 0.5, points[k, :, 0] - 0.5]
        expected = ndimage.map_coordinates(grey[picture], at, order=1, mode="nearest")
        np.testing.assert_allclose(got[k], expected, atol=1e-5)
    halved = pyramid.sample(which, points, np.full(3, 2.0))
    mean = grey[1, :, :40].reshape(15, 2, 20, 2).mean(axis=(1, 3))
    at = [points[0, :, 1] / 2 - 0.5, points[0, :, 0] / 2 - 0.5]
    expected = ndimage.map_coordinates(mean, at, order=1, mode="nearest")
    np.testing.assert_allclose(halved[0], expected, atol=1e-5)


def test_features_of_a_ramp_point_one_way() -> None:
    ramp = np.linspace(0.1, 1, 32, dtype=np.float32) ** 2
    rightwards = gradients.cell_features(np.tile(ramp, (1, 32, 1)))
    assert rightwards.shape == (1, 8, 8, 8)
    assert rightwards[0, 1:-1, 1:-1].argmax(axis=-1).tolist() == [[0] * 6] * 6
    assert np.abs(rightwards[..., [2, 4, 6]]).max() < 1e-3
    turned = gradients.cell_features(np.tile(ramp[::-1, None], (1, 1, 32)))
    assert turned[0, 1:-1, 1:-1].argmax(axis=-1).tolist() == [[6] * 6] * 6


def test_template_scores_are_correlations() -> None:
    weights = load_weights()
    features = np.random.default_rng(3).random((14, 13, 8)).astype(np.float32)
    got = respond(weights, features)
    assert got.shape == (4, 4, len(weights.templates))
    for y, x, r in np.ndindex(got.shape):
        window = features[y : y + 11, x : x + 10]
        expected = (window * weights.templates[r]).sum() + weights.template_bias[r]
        assert got[y, x, r] == pytest.approx(expected, abs=2e-4)


def test_peaks_of_a_score_map() -> None:
    scores = np.zeros((5, 6))
    scores[0, 0], scores[3, 4], scores[3, 3] = 2, 5, 4
    assert peaks(scores, 1).tolist() == [[0, 0], [3, 4]]


WEIGHTS = Path(yunet.__file__).parent / "weights"
# Bytes of each file of weights at most.
LARGEST = {"detector": 400 * 1024, "landmarks": 500_000, "facemesh": 700_000}


def test_bundled_weights_are_small_and_attributed() -> None:
    files = {file.stem: file for file in WEIGHTS.glob("*.safetensors")}
    assert files.keys() == LARGEST.keys()
    for name, file in files.items():
        assert file.stat().st_size <= LARGEST[name]
        with safe_open(file, "np") as content:
            told = " ".join(content.metadata().values())
        beside = file.with_suffix(".LICENSE")
        told += beside.read_text(encoding="utf-8") if beside.exists() else ""
        assert "CC BY 4.0" in told, name
        assert "London" in told, name
    whole = (WEIGHTS / "facemesh.LICENSE").read_text(encoding="utf-8")
    assert all(part in whole for part in ("MediaPipe Authors", "It was changed", "Apache License"))


def test_bundled_detector_imports_neither_opencv_nor_scipy() -> None:
    code = (
        "import sys, numpy as np; from pixelreg.faces.detect import make_detector;"
        "make_detector('bundled').detect(np.zeros((99, 99, 3), np.uint8));"
        "sys.exit(sum(name in sys.modules for name in ('cv2', 'scipy', 'pooch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_damaged_weights(tmp_path: Path) -> None:
    file = tmp_path / "bad.safetensors"
    file.write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ModelFileError, match=r"bad\.safetensors"):
        load_weights(file)
    with pytest.raises(ModelFileError, match=r"none\.safetensors"):
        load_weights(tmp_path / "none.safetensors")


def test_weights_of_another_shape(tmp_path: Path) -> None:
    arrays = {f.name: getattr(load_weights(), f.name) for f in dataclasses.fields(load_weights())}
    arrays["verifier"] = arrays["verifier"][:-1].copy()
    save_file(arrays, tmp_path / "short.safetensors")
    with pytest.raises(ModelFileError, match="verifier"):
        load_weights(tmp_path / "short.safetensors")


# Choosing.


def three_faces() -> list[Face]:
    return [face_from_eyes([0, 0, width, 0]) for width in (90, 60, 30)]


def test_choose_faces() -> None:
    faces = three_faces()
    assert choose_faces(faces, "all") == faces
    assert choose_faces(faces, "largest") == faces[:1]
    assert choose_faces(faces, "2") == faces[1:2]


@pytest.mark.parametrize("which", ["0", "-1", "second", "1.5", "", "²"])
def test_choice_that_cannot_be_read(which: str) -> None:
    with pytest.raises(UsageError, match="largest, all, or a number"):
        choose_faces(three_faces(), which)


def test_too_few_faces_and_none() -> None:
    with pytest.raises(FaceError, match="face 4 was asked for, but only 3 faces were found"):
        choose_faces(three_faces(), "4")
    with pytest.raises(FaceError, match="only 1 face was found"):
        choose_faces(three_faces()[:1], "2")
    for which in ("all", "largest", "1"):
        with pytest.raises(FaceError, match=r"no face was found.*--eyes"):
            choose_faces([], which)


def test_unknown_detector() -> None:
    with pytest.raises(UnknownNameError, match="auto, yunet, bundled"):
        make_detector("haar")


def test_auto_without_a_file_is_bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIXELREG_HOME", str(tmp_path))
    monkeypatch.delenv("PIXELREG_DETECTOR", raising=False)
    assert make_detector().name == "bundled"
    assert list(tmp_path.iterdir()) == []


@needs_opencv
def test_auto_takes_yunet_when_its_file_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, yunet_file: Path
) -> None:
    import cv2

    monkeypatch.setenv("PIXELREG_HOME", str(tmp_path))
    monkeypatch.delenv("PIXELREG_DETECTOR", raising=False)
    assert make_detector("auto", yunet_file).name == "yunet"
    monkeypatch.setenv("PIXELREG_DETECTOR", str(yunet_file))
    assert make_detector().name == "yunet"
    monkeypatch.delenv("PIXELREG_DETECTOR")
    (tmp_path / yunet.published_file(cv2.__version__).name).write_bytes(yunet_file.read_bytes())
    assert make_detector().name == "yunet"


def test_auto_without_opencv_is_bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setenv("PIXELREG_DETECTOR", str(tmp_path / "x.onnx"))
    assert make_detector().name == "bundled"
    for name in ("auto", "yunet"):
        with pytest.raises(MissingExtraError, match=re.escape("pixelreg[align]")):
            make_detector(name, tmp_path / "x.onnx")


def test_a_file_stands_for_its_detector() -> None:
    assert asked_for("some/net.onnx") == ("yunet", Path("some/net.onnx"))
    for name in ("auto", "bundled", "x.safetensors"):
        assert asked_for(name) == (name, None)


def test_published_files() -> None:
    assert yunet.published_file("5.0.0").name.endswith("2026may.onnx")
    assert yunet.published_file("4.10.0-dev").name.endswith("2023mar.onnx")
    with pytest.raises(MissingExtraError, match=r"4\.8"):
        yunet.published_file("4.7.0")


def test_registry_matches_the_file(yunet_file: Path) -> None:
    known = {file.name: file for file in yunet.FILES}[yunet_file.name]
    content = yunet_file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == known.sha256
    assert len(content) == known.size


@needs_opencv
def test_download_checks_the_file_and_offline_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pooch", reason="pooch (extra align) is not installed")
    monkeypatch.setenv("PIXELREG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PIXELREG_DETECTOR", raising=False)
    # Nothing listens on this port, as when the machine is offline.
    monkeypatch.setattr(yunet, "_ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(FaceError, match="--detector bundled") as caught:
        make_detector("yunet")
    assert "\n" not in str(caught.value)


@needs_opencv
def test_file_that_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such detector file"):
        make_detector("yunet", tmp_path / "none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a network")
    with pytest.raises(ModelFileError, match="cannot read it as a YuNet detector"):
        make_detector("yunet", bad)
