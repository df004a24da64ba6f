"""The rig on videos: held steady, following lids and mouth; and another face as the example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import files_in
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import lsq_linear

from pixelreg.api import load
from pixelreg.backends import compiled_loops
from pixelreg.faces.align import Similarity
from pixelreg.faces.dense import DenseFinder, five_of, read_dense
from pixelreg.faces.landmarks import face_from_points
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import paste_change
from pixelreg.faces.steady import OneEuro, SteadyPoints
from pixelreg.pictures.image import read_file
from pixelreg.rig import motion
from pixelreg.rig.motion import change
from pixelreg.rig.moving import POINT_FILTER, PUPILS
from pixelreg.rig.raster import rasterise
from pixelreg.rig.shown import _bounded, read_weights
from pixelreg.rig.translator import Goal, RigTranslator

av = pytest.importorskip("av", reason="PyAV is not installed (the extra `video`)")

from pixelreg.video.convert import FrameChanger, Report, change_video
from pixelreg.video.drive import Film, driven, less_rest

RATE = 25
STEP = 1 / RATE
SIDE = 480


@pytest.fixture(scope="module")
def rig() -> RigTranslator:
    made = load("rig", locator=Locator("bundled"))
    assert isinstance(made, RigTranslator)
    return made


@cache
def portrait(london: Path, person: str = "001") -> tuple[np.ndarray, np.ndarray]:
    """A neutral photograph, (480, 480, 3), and its hand-placed landmarks, (82, 2)."""
    file = london / "neutral_front" / f"{person}_03.jpg"
    with Image.open(file) as photo:
        scale = SIDE / photo.width
        pixels = np.asarray(photo.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    points = read_dense(file.with_suffix(".tem"))
    assert points is not None
    return pixels, points * scale


def write_clip(path: Path, pictures: Sequence[np.ndarray], sound: bool = False) -> Path:
    """Encode pictures, 25 a second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "14"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        tone = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(1920 * len(pictures)) / 20).astype(np.float32)[None] * 0.3
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            resampler = av.AudioResampler(tone.codec_context.format, "mono", 48000, 1024)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                container.mux(tone.encode(part))
            container.mux(tone.encode(None))
    return path


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def pictures_of(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in frames_of(path)]


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.dts is not None]


def moved(picture: np.ndarray, place: Similarity, seed: int) -> np.ndarray:
    """A picture moved, turned and scaled, with noise."""
    square = place.a**2 + place.b**2
    x, y = place.to_crop(np.zeros(2))
    matrix = (place.a / square, place.b / square, x, -place.b / square, place.a / square, y)
    how = Image.Resampling.BICUBIC
    turned = Image.fromarray(picture).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, matrix, how, fillcolor=(120, 120, 120)
    )
    noise = np.random.default_rng(seed).normal(0, 2, (SIDE, SIDE, 1))
    return np.clip(np.asarray(turned) + noise, 0, 255).astype(np.uint8)


def sway(k: int) -> Similarity:
    """Where a portrait lies in frame k."""
    turn = (1 + 0.05 * np.sin(k / 8)) * np.exp(0.08j * np.sin(k / 9))
    shift = (1 + 1j) * SIDE / 2 + 15 * np.sin(k / 6) - turn * (1 + 1j) * SIDE / 2
    return Similarity(turn.real, turn.imag, shift.real, shift.imag)


def acted(
    rig: RigTranslator, picture: np.ndarray, points: np.ndarray, role: Sequence[dict[str, float]]
) -> list[np.ndarray]:
    """A portrait whose face shows the weights of a role, one frame each, and that sways."""
    place, sitter = rig.seated(picture, points)
    shots = []
    for k, weights in enumerate(role):
        wanted = Goal(weights, 1.0).weights(sitter.shown, 1.0)
        shot = paste_change(picture, change(rig.quick_rig, sitter, wanted), place)
        shots.append(moved(shot, sway(k), seed=k))
    return shots


def both(name: str, weight: float) -> dict[str, float]:
    return {name + "_L": weight, name + "_R": weight}


# ------------------------------------------------------------------------------ parts of the way


def test_compiled_triangles_are_those_of_numpy(rig, london) -> None:
    pytest.importorskip("numba")
    loops = compiled_loops("loops_rig")
    picture, points = portrait(london)
    place, sitter = rig.seated(picture, points)
    weights = Goal.of(rig.vocabulary, {"surprised": 1.0}).weights(sitter.shown, 1.0)
    values = np.random.default_rng(0).normal(size=(len(rig.mesh.rest), 3)).astype(np.float32)
    shape, depth = sitter.picture.shape[:2], sitter.base[:, 2]
    plain = rasterise(sitter.places, depth, rig.mesh.triangles, shape)
    quick = rasterise(sitter.places, depth, rig.mesh.triangles, shape, loops)
    np.testing.assert_array_equal(plain.pixels, quick.pixels)
    same = plain.shown == quick.shown
    assert same.mean() > 0.995  # the order of equals may differ where the mesh folds
    fields = [seen.filled(values, (0.0, 0.5, 1.0))[:, same] for seen in (plain, quick)]
    np.testing.assert_allclose(*fields, atol=5e-3)
    slow, fast = (change(r, sitter, weights) for r in (rig.rig, rig.quick_rig))
    results = [paste_change(picture, made, place).astype(int) for made in (slow, fast)]
    assert np.abs(results[0] - picture).mean() > 1
    assert np.quantile(np.abs(results[0] - results[1]), 0.999) <= 1


@pytest.mark.parametrize("shape", [(60, 90), (5, 40), (3, 3)])
def test_compiled_cracks_are_those_of_numpy(shape: tuple[int, int]) -> None:
    pytest.importorskip("numba")
    loops, rng = compiled_loops("loops_rig"), np.random.default_rng(shape[0])
    covered = gaussian_filter(rng.normal(size=shape), 2) > -0.05
    covered[rng.random(shape) < 0.1] = False
    plain, quick = (motion._cracks(covered, by) for by in (None, loops))
    np.testing.assert_array_equal(quick, plain)
    fields = rng.normal(size=(3, *shape)).astype(np.float32)
    sewn = fields.copy(), fields.copy()
    for each, by in zip(sewn, (None, loops), strict=True):
        motion._sew(plain, each, by)
    np.testing.assert_allclose(*sewn, atol=1e-5)
    assert plain.any() == (sewn[0] != fields).any()


def test_the_bounded_least_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows, right = rng.normal(size=(60, 24)), rng.normal(size=60)
        free = np.arange(24) < 6
        low = np.where(free, -np.inf, 0)
        wanted = lsq_linear(rows, right, (low, np.inf), tol=1e-14).x
        got = _bounded(rows.T @ rows, rows.T @ right, np.zeros(24), free)
        np.testing.assert_allclose(got, wanted, atol=1e-6)
        assert (got[6:] == 0).any()


def some_points(seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 100, (20, 2))
    points[:2] = [[30, 40], [70, 40]]
    return points


def test_points_that_move_with_the_head_do_not_lag_and_noise_shrinks() -> None:
    steady, still = (SteadyPoints(np.ones(20), OneEuro(*POINT_FILTER)) for _ in range(2))
    points, rng = some_points(), np.random.default_rng(1)
    worst = 0.0
    for k in range(50):
        turn = 1.5 * np.exp(0.02j * k)
        place = Similarity(turn.real, turn.imag, 12.0 * k, 5.0 * k)
        worst = max(
            worst, np.abs(steady(place.to_photo(points), STEP) - place.to_photo(points)).max()
        )
    assert worst < 0.02 * 60  # of the eyes' distance, at 5 of them a second
    noisy = [points + rng.normal(0, 0.16, points.shape) for _ in range(80)]
    got = np.stack([still(each, STEP) for each in noisy])
    assert np.diff(got[20:], axis=0).std() < 0.5 * np.diff(np.stack(noisy)[20:], axis=0).std()


def test_a_lid_that_shuts_is_followed_at_once() -> None:
    steady, points = SteadyPoints(np.ones(20), OneEuro(*POINT_FILTER)), some_points()
    for _ in range(20):
        steady(points, STEP)
    shut = points.copy()
    shut[7, 1] += 6  # of 40
    taken = [steady(shut, STEP)[7, 1] - points[7, 1] for _ in range(3)]
    assert taken[0] > 0.7 * 6
    assert taken[2] > 0.9 * 6


# ---------------------------------------------------------------------------------- expressions


@pytest.fixture(scope="module")
def swaying(london: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A neutral portrait that sways through 25 frames, and its true landmarks."""
    picture, points = portrait(london)
    shots = [moved(picture, sway(k), k) for k in range(25)]
    return shots, [sway(k).to_photo(points) for k in range(25)]


def test_every_frame_becomes_what_its_picture_would(rig, swaying, tmp_path) -> None:
    """And what is done to the face trembles no more than the face itself."""
    shots, truth = swaying
    source = write_clip(tmp_path / "in.mp4", shots)
    report = change_video(rig, source, "happy", tmp_path / "out.mp4")
    assert (report.frames, report.without_face) == (25, 0)
    old, new = pictures_of(source), pictures_of(tmp_path / "out.mp4")
    goal = Goal.of(rig.vocabulary, {"happy": 1.0})
    for k in (0, 8, 24):
        place, sitter = rig.seated(old[k], truth[k])
        wanted = paste_change(
            old[k], change(rig.rig, sitter, goal.weights(sitter.shown, 1.0), goal.look), place
        )
        asked, got = wanted.astype(float) - old[k], new[k].astype(float) - old[k]
        assert np.abs(asked).max() > 60
        assert np.corrcoef(asked.ravel(), got.ravel())[0, 1] > 0.75
        smile = read_weights(rig.mesh, found(new[k], truth[k]))
        assert smile["mouthSmile_L"] + smile["mouthSmile_R"] > 0.8
    # On the photograph's own pixels, where nothing moves but what the rig makes.
    mouths = [np.stack([on_photo(p, k) for k, p in enumerate(made)]) for made in (old, new)]
    trembles = [np.abs(np.diff(mouth, axis=0)).mean() for mouth in mouths]
    assert trembles[1] < 1.6 * trembles[0] + 0.3


def found(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The landmarks that are found from where the detector's would be."""
    return DenseFinder().find(picture, face_from_points(five_of(points))).points


def on_photo(picture: np.ndarray, k: int) -> np.ndarray:
    """The mouth of frame k led back to where it lies in the portrait."""
    place = sway(k)
    matrix = (place.a, -place.b, place.c, place.b, place.a, place.d)
    back = Image.fromarray(picture).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    return np.asarray(back, np.float64)[270:350, 190:290]


def test_a_frame_is_changed_around_the_face_only_and_not_without_strength(rig, swaying) -> None:
    shots, truth = swaying
    for strength in (0.0, 1.0):
        changer = FrameChanger(rig, "surprised", strength)
        frame = av.VideoFrame.from_ndarray(shots[0], "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, RATE)
        before = frame.to_ndarray()[:SIDE].astype(int)
        assert changer(frame)
        difference = np.abs(frame.to_ndarray()[:SIDE] - before)
        rows, columns = np.nonzero(difference)
        if not strength:
            assert not rows.size
            continue
        eyes = truth[0][list(PUPILS)]
        apart = np.linalg.norm(eyes[1] - eyes[0])
        assert difference.max() > 60
        far = np.hypot(rows - eyes[:, 1].mean() - 0.5 * apart, columns - eyes[:, 0].mean())
        assert far.max() < 2.9 * apart


def test_a_large_face_is_drawn_smaller_and_laid_on_at_full_size(rig, london) -> None:
    file = london / "neutral_front" / "001_03.jpg"
    photo = np.asarray(Image.open(file).convert("RGB").resize((1800, 1800)))[200:1500, 200:1600]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(photo), "rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace="ITU709")
    frame.colorspace, frame.pts, frame.time_base = 1, 0, Fraction(1, RATE)
    changer = FrameChanger(rig, "happy")
    assert changer(frame)
    wanted = np.asarray(rig.translate(photo, "happy")).astype(float) - photo
    got = frame.to_ndarray(format="rgb24").astype(float) - photo
    assert changer._follower is not None
    assert changer._follower.tracks[0].face.eye_distance > 240
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.9


def test_who_smiles_goes_on_blinking_and_speaking(rig, london, tmp_path) -> None:
    picture, points = portrait(london)
    blink, word = both("eyeBlink", 0.95), {"jawOpen": 0.5}
    role = [{}] * 8 + [blink] * 3 + [{}] * 8 + [word] * 4 + [{}] * 4
    source = write_clip(tmp_path / "in.mp4", acted(rig, picture, points, role))
    change_video(rig, source, "happy", tmp_path / "out.mp4")
    new = pictures_of(tmp_path / "out.mp4")
    read = [read_weights(rig.mesh, found(new[k], sway(k).to_photo(points))) for k in (6, 9, 21)]
    lids = [weights.get("eyeBlink_L", 0.0) + weights.get("eyeBlink_R", 0.0) for weights in read]
    jaw = [weights.get("jawOpen", 0.0) for weights in read]
    smile = [
        weights.get("mouthSmile_L", 0.0) + weights.get("mouthSmile_R", 0.0) for weights in read
    ]
    assert min(smile[:2]) > 0.7
    assert lids[1] > max(lids[0], lids[2]) + 0.7
    assert jaw[2] > max(jaw[:2]) + 0.25


# ------------------------------------------------------------------------------ other faces


def test_an_example_gives_its_smile(rig, london, command, tmp_path) -> None:
    example = london / "smiling_front" / "001_08.jpg"
    picture, points = portrait(london, "012")
    wanted = rig.likeness(example)
    assert min(wanted["mouthSmile_L"], wanted["mouthSmile_R"]) > 0.4
    Image.fromarray(picture).save(tmp_path / "in.png")
    options = ("--detector", "bundled", "--like", example)
    result = command("apply", tmp_path / "in.png", *options)
    assert result.code == 0, result.err
    made = np.asarray(Image.open(tmp_path / "in-like-001_08.png"))
    # The same target in Python.
    assert (made == np.asarray(rig.translate(picture, wanted))).all()
    before, after = (read_weights(rig.mesh, found(p, points)) for p in (picture, made))
    for side in ("_L", "_R"):
        gained = after["mouthSmile" + side] - before.get("mouthSmile" + side, 0.0)
        assert gained == pytest.approx(wanted["mouthSmile" + side], abs=0.3)


def rises(length: int, first: int, last: int) -> np.ndarray:
    """0 but for a bump between two frames."""
    k = np.arange(length)
    inside = (k >= first) & (k <= last)
    return np.where(inside, np.sin(np.pi * (k - first) / (last - first)) ** 2, 0.0)


@pytest.fixture(scope="module")
def driver(rig, london: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A clip of a face that smiles, says a word and blinks; and what it showed."""
    picture, points = portrait(london)
    smile, word, lids = 0.8 * rises(40, 4, 16), 0.5 * rises(40, 17, 27), rises(40, 29, 36)
    role = [
        both("mouthSmile", s) | {"jawOpen": w} | both("eyeBlink", b)
        for s, w, b in zip(smile, word, lids, strict=True)
    ]
    file = tmp_path_factory.mktemp("driver") / "clip.mp4"
    truth = {"mouthSmile_L": smile, "jawOpen": word, "eyeBlink_R": lids}
    return write_clip(file, acted(rig, picture, points, role), sound=True), truth


def test_what_a_driver_shows_is_read(rig, driver) -> None:
    clip, truth = driver
    report = Report()
    roles = driven(rig, clip, report, lambda done, total: None)
    assert (len(roles), report.without_face) == (40, 0)
    for name, wanted in truth.items():
        got = np.array([role.get(name, 0.0) for role in roles])
        assert np.corrcoef(got, wanted)[0, 1] > 0.9, name
        assert got.max() == pytest.approx(wanted.max(), abs=0.3), name
        assert got[:3].max() < 0.1


def test_a_face_at_rest_is_no_expression_but_one_that_never_ends_is(rig) -> None:
    usual = max(rig.mesh.levels["mouthSmile_L"], 0.1)
    built, long, ever = (
        less_rest(rig.mesh, [{"mouthSmile_L": w} for w in weights])
        for weights in ([1.5 * usual] * 9 + [1.5 * usual + 0.5], [0.0] * 3 + [0.8] * 7, [0.9] * 10)
    )
    assert [each["mouthSmile_L"] for each in built] == pytest.approx([0.0] * 9 + [0.5])
    assert [each["mouthSmile_L"] for each in long] == pytest.approx([0.0] * 3 + [0.8] * 7)
    assert all(0.2 < each["mouthSmile_L"] < 0.9 for each in ever)
    still, word = {"jawOpen": 0.0}, {"jawOpen": 0.6}
    gone = less_rest(rig.mesh, [None, still, still, word, None])
    assert gone == [{}, still, still, word, word]


def test_a_photo_does_what_a_video_does(rig, driver, london, command, tmp_path) -> None:
    clip, truth = driver
    picture, points = portrait(london, "012")
    Image.fromarray(picture).save(tmp_path / "in.png")
    target = tmp_path / "film.mp4"
    options = ("--detector", "bundled", "--like", clip)
    result = command("apply", tmp_path / "in.png", *options, "-o", target)
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines()[-1].startswith(f"wrote {target}: 40 frames; ")
    assert [f.time for f in frames_of(target)] == [f.time for f in frames_of(clip)]
    assert packets_of(target) == packets_of(clip) != []
    film = pictures_of(target)
    assert film[0].shape == picture.shape
    read = [read_weights(rig.mesh, found(shot, points)) for shot in film]
    for name, wanted in truth.items():
        got = np.array([weights.get(name, 0.0) for weights in read])
        assert np.corrcoef(got, wanted)[0, 1] > 0.8, name
    away = np.abs(film[10][:60].astype(int) - picture[:60])
    assert away.mean() < 2.5  # what encoding costs


def test_a_film_may_be_an_animated_picture(rig, driver, london, command, tmp_path) -> None:
    picture, _ = portrait(london, "012")
    Image.fromarray(picture).save(tmp_path / "in.png")
    clip = write_clip(tmp_path / "short.mp4", pictures_of(driver[0])[:12])
    target = tmp_path / "film.webp"
    options = ("--detector", "bundled", "--like", clip, "-o", target)
    result = command("apply", tmp_path / "in.png", *options)
    assert result.code == 0, result.err
    with Image.open(target) as film:
        assert film.size == (SIDE, SIDE)
        assert 6 < film.n_frames <= 12  # those that are alike are one
        lengths = []
        for k in range(film.n_frames):
            film.seek(k)
            film.load()
            lengths.append(film.info["duration"])
    assert sum(lengths) == 12 * 40


def test_a_film_is_no_larger_than_a_film_and_has_even_sides(rig, london) -> None:
    photo = read_file(london / "neutral_front" / "001_03.jpg")
    odd = photo.with_pixels(np.ascontiguousarray(photo.pixels[:1349, :1101]))
    film = Film.of(rig, odd, None, 1.0)
    height, width = film.pixels.shape[:2]
    assert max(height, width) <= 1280
    assert height % 2 == width % 2 == 0
    assert (film.at({}) != film.at({"jawOpen": 0.5})).any()


def test_a_clip_without_a_face_drives_nothing(london, command, tmp_path) -> None:
    Image.fromarray(portrait(london)[0]).save(tmp_path / "in.png")
    clip = write_clip(tmp_path / "wall.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 5)
    options = ("--detector", "bundled", "--like", clip, "-o", tmp_path / "film.mp4")
    result = command("apply", tmp_path / "in.png", *options)
    assert result.code == 1
    assert "no face was found in any of the 5 frames" in result.error
    assert files_in(tmp_path) == {"in.png", "wall.mp4"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("in.png --like other.png --expr happy", "leave out --expr and --slide"),
        ("in.png --like other.png --slide jawOpen=1", "leave out --expr and --slide"),
        ("in.png --like clip.mp4 --expr happy", "leave out --expr and --slide"),
        ("in.png --like other.png --model flow", "only the rig"),
        ("in.png --like clip.mp4 --model flow", "only the rig"),
        ("in.png in.png --like clip.mp4", "takes one photo"),
        ("in.png --like clip.mp4 --strength 0,1", "with one --strength"),
        ("in.png --like clip.mp4 --animate a.gif", "takes one photo"),
        ("clip.mp4 --like clip.mp4", "takes one photo, not clip.mp4"),
        ("- --like clip.mp4", "takes one photo, not -"),
        ("in.png --like clip.mp4 -o film.txt", "a video's name must end in"),
        ("in.png --like nosuch.png", "nosuch.png"),
        ("in.png --like other.png --sliders s.png", "--sliders takes one picture file"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    given: str, words: str, command: Callable[..., Any], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.png", "other.png"):
        Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / name)
    write_clip(tmp_path / "clip.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 2)
    before = files_in(tmp_path)
    result = command("apply", *given.split())
    assert result.code == 2
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert files_in(tmp_path) == before
