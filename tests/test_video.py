"""Videos: the parts one by one, and whole clips through the command line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import files_in, interrupted
from PIL import Image
from scipy.signal import lfilter

from pixelreg.api import bundled_model, load
from pixelreg.backends import compiled_loops
from pixelreg.errors import FaceError, ImageError
from pixelreg.faces.align import Similarity, crop, similarity_from_eyes
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.detect import choose_faces
from pixelreg.faces.landmarks import Face, face_from_points
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import paste_change
from pixelreg.faces.steady import SLOPE, OneEuro, SteadySimilarity
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import AffinePlan, Change, FlowPlan
from pixelreg.translator import PlanTranslator
from pixelreg.video.convert import FrameChanger, ahead, change_video
from pixelreg.video.follow import FADE, LOOK, Follower, Track
from pixelreg.video.frames import Canvas, Colours, canvas_of
from pixelreg.video.paste import Paster

av = pytest.importorskip("av", reason="PyAV is not installed (the extra `video`)")

RATE = 25
STEP = 1 / RATE
SIZE = (320, 240)
BT709, FULL = 1, 2


# ------------------------------------------------------------------------------- making clips


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth colours, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (9, 12, 3), dtype=np.uint8))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def write_clip(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    base: Fraction = Fraction(1, RATE),
    codec: str = "libx264",
    form: str = "yuv420p",
    sound: str | None = "aac",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures (H, W, 3) uint8, and a tone as long as they are."""
    times = times or range(len(pictures))
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "a clip"
        video = container.add_stream(codec, rate=RATE, options=options or {"crf": "10"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.codec_context.time_base = form, base
        if rotation:
            video.set_display_rotation(rotation)
        if codec != "libx264":
            video.bit_rate = 4_000_000
        tone = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for picture, at in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = at, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone is not None:
            last = float((times[-1] + 1) * base)
            write_tone(container, tone, last)
    return path


def write_tone(container: Any, tone: Any, seconds: float) -> None:
    wave = np.sin(np.arange(int(seconds * 48000)) * 2 * np.pi * 440 / 48000) * 0.3
    resampler = av.AudioResampler(tone.codec_context.format, "stereo", 48000, 960)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(tone.encode(part))
    container.mux(tone.encode(None))


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def pictures_of(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in frames_of(path)]


def sound_of(path: Path) -> tuple[list[bytes], list[float]]:
    """Every packet of the sound, and their times."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.dts is not None]
        return [bytes(p) for p in packets], [float(p.pts * p.time_base) for p in packets]


@pytest.fixture(scope="module")
def crop_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Darkens by a quarter; takes the whole picture as its crop."""
    ones = np.ones((32, 32, 3), np.float32)
    file = tmp_path_factory.mktemp("video-model") / "dark.safetensors"
    modelfile.save(Model({"happy": AffinePlan(ones * 0.75, ones * 0)}), file)
    return file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at 320 x 240 with sound."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", rolling())


def rolling() -> list[np.ndarray]:
    return [np.roll(texture(1), 3 * k, axis=1) for k in range(20)]


@pytest.fixture(scope="module")
def portraits(london: Path) -> list[np.ndarray]:
    """Two people, (450, 450, 3) uint8."""
    files = sorted((london / "neutral_front").glob("[0-9]*_03.jpg"))[:2]
    return [np.asarray(Image.open(file).convert("RGB").resize((450, 450))) for file in files]


def scene(portrait: np.ndarray, place: Similarity, seed: int = 0) -> np.ndarray:
    """A portrait before a grey wall, with noise, at 320 x 240."""
    square = place.a**2 + place.b**2
    x, y = place.to_crop(np.zeros(2))
    matrix = (place.a / square, place.b / square, x, -place.b / square, place.a / square, y)
    how = Image.Resampling.BICUBIC
    moved = Image.fromarray(portrait).transform(
        SIZE, Image.Transform.AFFINE, matrix, how, fillcolor=(120, 120, 120)
    )
    noise = np.random.default_rng(seed).normal(0, 2, (SIZE[1], SIZE[0], 3))
    return np.clip(np.asarray(moved) + noise, 0, 255).astype(np.uint8)


def moving(k: int) -> Similarity:
    """Where a portrait lies in frame k: it moves 2 pixels a frame at most, turns and grows."""
    turn = 0.55 * (1 + 0.05 * np.sin(k / 8)) * np.exp(0.06j * np.sin(k / 9))
    centre = 160 + 20 * np.sin(k / 10) + 1j * (125 + 5 * np.sin(k / 7))
    shift = centre - turn * (225 + 225j)
    return Similarity(turn.real, turn.imag, shift.real, shift.imag)


STILL = Similarity(0.55, 0.0, 160 - 0.55 * 225, 125 - 0.55 * 225)


# ------------------------------------------------------------------------------ steady crops


def test_without_a_slope_the_filter_is_a_first_order_low_pass() -> None:
    values = np.random.default_rng(0).normal(size=200)
    smooth = OneEuro(cutoff=2.0, slope=0.0)
    got = [smooth(np.array([value]), STEP)[0] for value in values]
    turn = 2 * np.pi * 2.0 * STEP
    share = turn / (1 + turn)
    begin = [(1 - share) * values[0]]
    np.testing.assert_allclose(got, lfilter([share], [1, share - 1], values, zi=begin)[0])


def test_what_is_still_stays_and_noise_on_it_shrinks() -> None:
    smooth = OneEuro()
    assert all((smooth(np.array([0.3, -2.0]), STEP) == [0.3, -2.0]).all() for _ in range(50))
    noise = np.random.default_rng(1).normal(0, 0.0015, (400, 2))  # as measured
    smooth = OneEuro()
    got = np.stack([smooth(0.3 + row, STEP) for row in noise])
    assert got[25:].std() < 0.6 * noise.std()
    assert np.diff(got[25:], axis=0).std() < 0.3 * np.diff(noise, axis=0).std()


def test_a_step_is_taken_fast_and_steady_movement_lags_little() -> None:
    smooth = OneEuro()
    smooth(np.zeros(1), STEP)
    taken = [smooth(np.array([0.3]), STEP)[0] for _ in range(4)]
    assert taken[0] > 0.8 * 0.3
    assert abs(taken[2] - 0.3) < 0.03 * 0.3
    smooth = OneEuro()
    for speed in (0.2, 1.0, 5.0):
        lag = [speed * k * STEP - smooth(np.array([speed * k * STEP]), STEP)[0] for k in range(50)]
        assert 0 <= lag[-1] < 1 / (2 * np.pi * SLOPE)


def test_a_steady_similarity_is_the_same_when_nothing_moves() -> None:
    steady = SteadySimilarity(128, 36.0)
    place = similarity_from_eyes(np.array([[90.0, 100.0], [150.0, 110.0]]), Frame(), 128)
    for _ in range(3):
        got = steady(place, STEP)
        np.testing.assert_allclose(
            [got.a, got.b, got.c, got.d], [place.a, place.b, place.c, place.d], atol=1e-9
        )


def test_a_steady_similarity_follows_a_face_that_rolls_all_the_way_round() -> None:
    steady, corner = SteadySimilarity(128, 36.0), np.array([[10.0, 20.0]])
    for k in range(120):
        turn = 2 * np.exp(1j * 0.1 * k)
        place = Similarity(turn.real, turn.imag, 300.0, 200.0)
        off = np.linalg.norm(steady(place, STEP).to_photo(corner) - place.to_photo(corner))
        assert off < 5  # of 256 pixels


# -------------------------------------------------------------------------- planes and pasting


@pytest.mark.parametrize(
    ("colours", "red", "white"),
    [
        (Colours.of(6, False, 8, 480), (81, 90, 240), (235, 128, 128)),
        (Colours.of(BT709, False, 8, 480), (63, 102, 240), (235, 128, 128)),
        (Colours.of(2, False, 8, 720), (63, 102, 240), (235, 128, 128)),
        (Colours.of(2, False, 8, 576), (81, 90, 240), (235, 128, 128)),
        (Colours.of(BT709, True, 8, 480), (54, 99, 256), (255, 128, 128)),
        (Colours.of(BT709, False, 10, 480), (250, 409, 960), (940, 512, 512)),
    ],
)
def test_colours_are_stored_as_the_standards_have_them(colours, red, white) -> None:
    for rgb, stored in (((1, 0, 0), red), ((1, 1, 1), white)):
        got = colours.matrix @ rgb + colours.zero
        np.testing.assert_allclose(got, stored, atol=0.6)
        assert (colours.to_rgb(got) == np.array(rgb) * 255).all()


def canvas(pixels: np.ndarray, across: int, down: int, bits: int = 8) -> Canvas:
    """A picture, (H, W, 3) uint8 RGB, as planes in full range."""
    colours = Colours.of(BT709, True, bits, 1080)
    stored = pixels / 255 @ colours.matrix.T + colours.zero
    kind = np.uint8 if bits == 8 else np.uint16
    height, width = pixels.shape[:2]
    chroma = stored[..., 1:].reshape(height // down, down, width // across, across, 2)
    small = chroma.mean(axis=(1, 3))
    planes = (stored[..., 0], small[..., 0], small[..., 1])
    kept = [np.clip(np.rint(plane), 0, 2**bits - 1).astype(kind) for plane in planes]
    return Canvas((kept[0], kept[1], kept[2]), across, down, bits, colours)


def as_rgb(made: Canvas) -> np.ndarray:
    luma, *chroma = made.planes
    chroma = [plane.repeat(made.down, 0).repeat(made.across, 1) for plane in chroma]
    return made.colours.to_rgb(np.stack([luma, *chroma], axis=-1))


def some_change(size: int) -> Change:
    """Moves and colours a disc, and leaves the rest of the crop."""
    y, x = (np.indices((size, size)) + 0.5 - size / 2) / size
    disc = np.clip((0.4 - np.hypot(x, y)) / 0.1, 0, 1).astype(np.float32)[..., None]
    waves = np.stack([np.sin(9 * y), np.cos(8 * x)], axis=-1).astype(np.float32)
    tint = np.stack([0.1 + 0 * x, 0.06 * np.sin(9 * x), -0.08 * np.cos(7 * y)], axis=-1)
    return Change(disc * tint.astype(np.float32), disc * waves * 2)


PLACES = {
    "inside": similarity_from_eyes(np.array([[130.0, 100.0], [190.0, 108.0]]), Frame(), 64),
    "small": similarity_from_eyes(np.array([[150.0, 100.0], [164.0, 98.0]]), Frame(), 64),
    "cut by the corner": Similarity(2.5, 0.2, -61.0, -40.0),
    "upside down": Similarity(-2.0, 0.3, 221.0, 199.0),
}


@pytest.mark.parametrize(("across", "down", "bits"), [(1, 1, 8), (2, 2, 8), (2, 1, 8), (2, 2, 10)])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_crop_and_paste_agree_with_those_of_a_photo(place, across, down, bits) -> None:
    made = canvas(texture(2), across, down, bits)
    before = as_rgb(made)
    cut, wanted = made.crop(place, 64).astype(int), crop(before, place, 64)
    assert np.abs(cut - wanted).max() <= 5
    assert np.abs((cut - wanted).mean()) < 0.8
    change = some_change(64)
    wanted = paste_change(before, change, place, 0.8)
    Paster().paste(made, change, place, 0.8)
    difference = np.abs(as_rgb(made).astype(int) - wanted)
    changed = (wanted != before).any(axis=-1)
    assert changed.mean() > 0.01
    assert np.abs(before.astype(int) - wanted)[changed].mean() > 8
    if across == 1:
        assert difference.max() <= 3
    else:  # half-sized chroma is not moved as the blocks that it is in RGB
        assert difference[changed].mean() < 2.5
    luma = made.planes[0] / (2**bits - 1) * 255 - wanted @ [0.2126, 0.7152, 0.0722]
    assert np.quantile(np.abs(luma)[changed], 0.99) < 2


def rig_like(width: int, height: int) -> Change:
    """Moves, shades and covers parts of a rectangle that touch each other, and leaves its rim."""
    y, x = np.indices((height, width), dtype=np.float32)
    disc = np.clip((0.42 - np.hypot(x / width - 0.5, y / height - 0.5)) / 0.1, 0, 1)
    steps = np.stack([3 * np.sin(y / 9), 2 * np.cos(x / 8)], axis=-1) * disc[..., None]
    gain = 1 + 0.3 * disc * np.sin(x / 11)
    cover = np.clip((0.16 - np.hypot(x / width - 0.5, y / height - 0.6)) / 0.04, 0, 1)
    layer = np.stack([0.8 * cover, 0.3 * cover, 0.25 * cover, cover], axis=-1)
    return Change(np.zeros((height, width, 3), np.float32), steps, gain, layer, -0.5)


@pytest.fixture(params=["numpy", "numba"])
def loops(request: pytest.FixtureRequest) -> Any:
    """The compiled loops, and none."""
    if request.param == "numba":
        pytest.importorskip("numba")
    return compiled_loops("loops_rig") if request.param == "numba" else None


@pytest.mark.parametrize(("across", "down", "bits"), [(1, 1, 8), (2, 2, 8), (2, 1, 8), (2, 2, 10)])
@pytest.mark.parametrize(
    "place",
    [
        Similarity(1.0, 0.0, 60.0, 40.0),
        Similarity(1.0, 0.0, 61.0, 33.0),
        Similarity(2.0, 0.0, 31.0, 10.0),
        Similarity(3.0, 0.0, -40.0, -21.0),
        Similarity(1.3, 0.2, 90.0, 30.0),
    ],
    ids=["whole", "odd", "twice", "three times, cut by the corner", "turned"],
)
def test_light_and_layers_agree_with_those_of_a_photo(place, across, down, bits, loops) -> None:
    made = canvas(texture(2), across, down, bits)
    before, change = as_rgb(made), rig_like(110, 90)
    wanted = paste_change(before, change, place)
    Paster(loops).paste(made, change, place, 1.0)
    changed = (wanted != before).any(axis=-1)
    assert np.abs(before.astype(int) - wanted)[changed].mean() > 8
    difference = np.abs(as_rgb(made).astype(int) - wanted)
    if across == 1:
        assert difference[~changed].max() <= 2
        assert np.quantile(difference[changed], 0.999) <= 3
    else:  # a chroma pixel has one colour, and the edge of a layer has two
        assert difference[changed].mean() < 2.5
    luma = made.planes[0] / (2**bits - 1) * 255 - wanted @ [0.2126, 0.7152, 0.0722]
    # What is clipped in RGB is not in luma.
    unclipped = changed & (wanted.max(axis=-1) < 255) & (wanted.min(axis=-1) > 0)
    assert np.quantile(np.abs(luma)[unclipped], 0.99) < 2


def test_a_layer_alone_and_light_alone_are_laid_on() -> None:
    whole, zeros = rig_like(110, 90), np.zeros((90, 110, 3), np.float32)
    for change in (Change(zeros, gain=whole.gain), Change(zeros, layer=whole.layer)):
        made = canvas(texture(2), 1, 1)
        before, place = as_rgb(made), Similarity(1.0, 0.0, 60.0, 40.0)
        wanted = paste_change(before, change, place)
        Paster().paste(made, change, place, 1.0)
        assert (wanted != before).any()
        assert np.quantile(np.abs(as_rgb(made).astype(int) - wanted), 0.999) <= 3


def test_what_is_away_from_the_change_keeps_its_bits() -> None:
    made, place = canvas(texture(3), 2, 2), PLACES["inside"]
    before = [plane.copy() for plane in made.planes]
    Paster().paste(made, some_change(64), place, 1.0)
    for scale, old, new in zip((1, 2, 2), before, made.planes, strict=True):
        y, x = (np.indices(new.shape) + 0.5) * scale
        inside = place.to_crop(np.stack([x, y], axis=-1)) / 64 - 0.5
        away = np.hypot(inside[..., 0], inside[..., 1]) > 0.44
        assert (old == new)[away].all()
        assert not (old == new)[~away].all()


@pytest.mark.parametrize(
    ("place", "strength"),
    [
        (PLACES["inside"], 0.0),
        (Similarity(1, 0, 400, 20), 1.0),
        (Similarity(1, 0, -200, -200), 1.0),
    ],
)
def test_no_strength_and_a_crop_outside_the_frame_change_nothing(place, strength) -> None:
    made = canvas(texture(3), 2, 2)
    before = [plane.copy() for plane in made.planes]
    Paster().paste(made, some_change(64), place, strength)
    assert all((a == b).all() for a, b in zip(before, made.planes, strict=True))


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv422p", "yuv420p10le", "yuvj420p"])
@pytest.mark.parametrize("size", [(320, 240), (322, 241)])
def test_the_planes_of_a_frame_are_seen_as_they_are(form, size) -> None:
    if size[1] % 2 and "420" in form:
        size = (322, 242)
    frame = av.VideoFrame.from_ndarray(texture(4, size), "rgb24").reformat(format=form)
    made = canvas_of(frame)
    wanted = frame.reformat(format="rgb24").to_ndarray().astype(int)
    whole = Similarity(1.0, 0.0, 20.0, 10.0)
    got = made.crop(whole, 128)
    difference = np.abs(got - wanted[10:138, 20:148])
    assert np.quantile(difference, 0.99) <= 6  # the reference blends chroma between its pixels
    assert difference.mean() < 2
    made.planes[0][:5] = 0
    assert (frame.to_ndarray(format="gray")[:5] <= 1).all()


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 2), (2, 1)])
def test_turned_planes_are_those_of_the_turned_picture(quarters, across, down) -> None:
    made = canvas(texture(5), across, down)
    turned = made.turned(quarters)
    upright = np.ascontiguousarray(np.rot90(as_rgb(made), quarters))
    assert turned.size == (upright.shape[1], upright.shape[0])
    assert (turned.luma == np.rot90(made.luma, quarters)).all()
    assert (turned.cut(31, 12, 150, 141) == upright[12:141, 31:150]).all()
    place = Similarity(0.9, 0.3, 60.0, 20.0)
    assert np.abs(turned.crop(place, 64).astype(int) - crop(upright, place, 64)).max() <= 5
    wanted = paste_change(upright, some_change(64), place)
    Paster().paste(turned, some_change(64), place, 1.0)
    after = np.rot90(as_rgb(made), quarters)
    changed = (wanted != upright).any(axis=-1)
    difference = np.abs(after.astype(int) - wanted)[changed]
    assert difference.mean() < (0.5 if across == 1 else 2.5)


# ------------------------------------------------------------------------------- running ahead


def test_items_come_in_order_from_another_thread_and_not_too_many() -> None:
    made: list[int] = []
    threads = set()

    def count() -> Iterator[int]:
        for k in range(30):
            made.append(k)
            threads.add(threading.get_ident())
            yield k

    with closing(ahead(count(), 3)) as items:
        assert next(items) == 0
        time.sleep(0.2)
        assert len(made) <= 1 + 3 + 1
        assert [0, *items] == list(range(30))
    assert threads == threads - {threading.get_ident()}


def test_an_error_comes_after_the_items_before_it() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ImageError("broken")

    got = []
    with pytest.raises(ImageError, match="broken"):
        got.extend(ahead(ahead(fail(), 2), 2))
    items = ahead(fail(), 2)
    assert next(items) == 1
    with pytest.raises(ImageError, match="broken"):
        next(items)


def test_closing_ends_all_stages_and_their_threads() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    before = threading.active_count()
    items = ahead(ahead(endless(), 2), 2)
    assert next(items) == 1
    assert threading.active_count() == before + 2
    items.close()
    assert ended.is_set()
    assert threading.active_count() == before


# ----------------------------------------------------------------------------- following faces


@pytest.fixture(scope="module")
def truth(portraits) -> list[Face]:
    """The faces of the portraits, in their own pixels."""
    return [BundledDetector().detect(portrait)[0] for portrait in portraits]


def placed(face: Face, place: Similarity) -> Face:
    return face_from_points(place.to_photo(face.points))


def follow(
    pictures: Iterable[np.ndarray], found: Callable[[int], list[Face]], which: str = "largest"
) -> Iterator[list[Track]]:
    """The tracks frame by frame, where a detector finds ``found(k)`` in frame k."""
    follower = Follower(Locator(which=which), Frame(), 128)
    for k, picture in enumerate(pictures):
        luma = np.asarray(Image.fromarray(picture).convert("L"))
        yield follower(luma, k * STEP, lambda how, k=k: choose_faces(found(k), how.which))


def test_a_face_is_followed_between_looks(portraits, truth) -> None:
    asked: list[int] = []
    first = placed(truth[0], moving(0))
    pictures = (scene(portraits[0], moving(k), seed=k) for k in range(40))
    wrong = []
    for k, (track,) in enumerate(follow(pictures, lambda k: asked.append(k) or [first])):
        assert track.found
        assert track.presence == 1
        eyes = placed(truth[0], moving(k)).eyes
        want = similarity_from_eyes(eyes, Frame(), 128)
        corners = np.array([[30.0, 30.0], [98.0, 30.0], [64.0, 110.0]])
        off = track.similarity.to_photo(corners) - want.to_photo(corners)
        wrong.append(np.linalg.norm(off, axis=1) / np.hypot(*(eyes[1] - eyes[0])))
    assert len(asked) <= 2 + 40 * STEP / LOOK
    assert np.mean(wrong) < 0.03
    assert np.max(wrong) < 0.1


def test_a_still_face_does_not_jitter(portraits, truth) -> None:
    corner = np.array([64.0, 100.0])
    pictures = (scene(portraits[0], STILL, seed=k) for k in range(50))
    mouth, raw = [], []
    for (track,) in follow(pictures, lambda k: [placed(truth[0], STILL)]):
        mouth.append(track.similarity.to_photo(corner))
        raw.append(similarity_from_eyes(track.face.eyes, Frame(), 128).to_photo(corner))
    quick, unsmoothed = (np.diff(points[10:], axis=0).std() for points in (mouth, raw))
    assert quick < 0.06  # pixels of a frame of 320 x 240
    assert quick < 0.4 * unsmoothed


def test_a_face_that_goes_fades_and_one_that_comes_is_found_soon(portraits, truth) -> None:
    there = [k < 10 or k >= 40 for k in range(60)]
    pictures = [scene(portraits[0], STILL, seed=k) for k in range(60)]
    for k in range(10, 40):  # something before the face, and no new scene
        pictures[k][60:200, 100:220] = 150
    seen = placed(truth[0], STILL)
    presence = [
        sum(track.presence for track in tracks)
        for tracks in follow(pictures, lambda k: [seen] * there[k])
    ]
    fading = int(FADE / STEP) + 1
    assert presence[0] == 1
    assert all(1 > presence[k] > presence[k + 1] for k in range(10, 10 + fading - 2))
    assert not any(presence[10 + fading : 40])
    assert 0 < presence[43] < 1
    assert presence[-1] == 1


def test_a_new_scene_begins_at_full_strength(portraits, truth) -> None:
    pictures = [np.zeros((240, 320, 3), np.uint8)] * 5
    pictures += [scene(portraits[0], STILL, seed=k) for k in range(5)]
    tracks = follow(pictures, lambda k: [placed(truth[0], STILL)] * (k >= 5), "all")
    presence = [[track.presence for track in found] for found in tracks]
    assert presence == [[]] * 5 + [[1.0]] * 5


def two_faces(portraits, truth, small: float) -> tuple[np.ndarray, list[Face]]:
    left = Similarity(0.36, 0.0, -4.0, 40.0)
    right = Similarity(small, 0.0, 165.0, 60.0)
    whole = Image.fromarray(scene(portraits[0], left))
    width = round(450 * small)
    whole.paste(Image.fromarray(portraits[1]).resize((width, width)), (165, 60))
    return np.asarray(whole), [placed(truth[0], left), placed(truth[1], right)]


@pytest.mark.parametrize(
    ("which", "wanted"), [("largest", slice(1)), ("all", slice(2)), ("2", slice(1, 2))]
)
def test_the_faces_that_are_asked_for_are_followed(portraits, truth, which, wanted) -> None:
    picture, found = two_faces(portraits, truth, 0.3)
    for tracks in follow([picture] * 3, lambda k: found, which):
        for track, face in zip(tracks, found[wanted], strict=True):
            assert np.abs(track.face.eyes - face.eyes).max() < 0.1 * face.eye_distance


def test_the_largest_face_stays_the_same_one_until_another_is_much_larger(portraits, truth) -> None:
    picture, found = two_faces(portraits, truth, 0.34)
    # From frame 1 on, the detector has it the other way round.
    seen = [list(tracks) for tracks in follow([picture] * 40, lambda k: found[k > 0 :][:1])]
    assert len(seen[0]) == 1
    assert all(tracks == seen[0] for tracks in seen)
    follower = Follower(Locator(), Frame(), 128)
    follower._begin(placed(truth[1], Similarity(0.3, 0.0, 10.0, 10.0)), True)
    follower._begin(placed(truth[1], Similarity(0.52, 0.0, 40.0, 10.0)), False)
    assert [track.wanted for track in follower.tracks] == [False, True]


# --------------------------------------------------------------------------------- whole clips


SLOTS = [0, 1, 3, 4, 9, 10, 11, 12, 20, 21, 22, 23, 24, 30, 31, 32, 33, 34, 35, 37]
UNTITLED = ("3gp", "mts", "mpg")
MILLISECONDS = [40 * k for k in range(20)]
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mp4": ("a.mp4", "b.mp4", {}),
    "variable rate": (
        "a.mp4",
        "b.mp4",
        {"times": [512 * k + 7 * (k % 2) for k in SLOTS], "base": Fraction(1, 12800)},
    ),
    "variable rate in Matroska": (
        "a.mkv",
        "b.mkv",
        {"times": [40 * k for k in SLOTS], "base": Fraction(1, 1000)},
    ),
    "10 bits": ("a.mp4", "b.mp4", {"form": "yuv420p10le"}),
    "4:4:4": ("a.mov", "b.mov", {"form": "yuv444p"}),
    "full range": ("a.mkv", "b.mkv", {"form": "yuvj420p"}),
    "turned": ("a.mp4", "b.mp4", {"rotation": -90}),
    "upside down": ("a.mkv", "b.mp4", {"rotation": 180}),
    "webm": ("a.webm", "b.webm", {"codec": "libvpx-vp9", "sound": "libopus"}),
    "webm to mp4": ("a.webm", "b.mp4", {"codec": "libvpx-vp9", "sound": "libopus"}),
    "avi": ("a.avi", "b.avi", {"codec": "mpeg4", "sound": "pcm_s16le"}),
    "m4v": ("a.m4v", "b.m4v", {}),
    "QuickTime": ("a.mov", "b.qt", {}),
    "3gp": ("a.3gp", "b.3gp", {}),
    "Windows Media": (
        "a.wmv",
        "b.wmv",
        {"codec": "wmv2", "sound": "mp2", "base": Fraction(1, 1000), "times": MILLISECONDS},
    ),
    "transport stream": ("a.mts", "b.mts", {"sound": "ac3"}),
    "MPEG-2": ("a.mpg", "b.mpg", {"codec": "mpeg2video", "sound": "mp2"}),
    "PCM": ("a.mov", "b.mov", {"sound": "pcm_s16le"}),
    "silent": ("a.mp4", "b.mkv", {"sound": None}),
    "RGB": ("a.mkv", "b.mkv", {"codec": "ffv1", "form": "bgr0", "options": {"level": "3"}}),
}


@pytest.mark.parametrize(("given", "made", "options"), KINDS.values(), ids=KINDS)
def test_everything_but_the_face_stays(given, made, options, crop_model, command, tmp_path) -> None:
    source = write_clip(tmp_path / given, rolling(), **options)
    target = tmp_path / made
    arguments = ("--expr", "smile", "--model", crop_model, "--no-align", "-o", target)
    result = command("apply", source, *arguments)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"wrote {target}: 20 frames, 0 of them without a face\n"
    with av.open(str(source)) as old, av.open(str(target)) as new:
        before, after = next(old.decode(video=0)), next(new.decode(video=0))
        told = old.metadata.get("title")  # some containers hold no title
        assert new.metadata.get("title") == told == (None if given[2:] in UNTITLED else "a clip")
        assert (after.width, after.height) == (before.width, before.height) == SIZE
        assert abs(after.rotation) == abs(before.rotation) == abs(options.get("rotation", 0))
        assert after.rotation == before.rotation or abs(after.rotation) == 180
        # RGB is not encoded; 4:4:4 is its family.
        rgb = before.format.is_rgb
        assert after.format.name == ("yuv444p" if rgb else before.format.name)
        assert (after.color_range == FULL) == (before.color_range == FULL)
        sound = [stream.codec_context.name for stream in new.streams.audio]
        assert sound == [stream.codec_context.name for stream in old.streams.audio]
        assert abs(new.duration - old.duration) < 40_000  # microseconds: one frame
    times = [[frame.time for frame in frames_of(path)] for path in (target, source)]
    # MPEG's frames come at whole multiples of a frame's length, by up to half of one moved.
    np.testing.assert_allclose(*times, atol=0.5 / RATE + 1e-6 if given.endswith("mpg") else 1e-6)
    if sound:
        (packets, at), (wanted, wanted_at) = sound_of(target), sound_of(source)
        assert packets == wanted
        np.testing.assert_allclose(at, wanted_at, atol=1e-3)
    for old_picture, new_picture in zip(pictures_of(source), pictures_of(target), strict=True):
        share = new_picture[:, 42:278].mean() / old_picture[:, 42:278].mean()
        assert share == pytest.approx(0.75, abs=0.015)
        beside = np.abs(new_picture[:, :38].astype(int) - old_picture[:, :38])
        assert beside.mean() < 3  # what encoding costs


@pytest.mark.parametrize(
    ("given", "made"),
    [("clip.xyz", "clip-happy.mkv"), ("clip", "clip-happy.mkv"), ("clip.png", "clip-happy.mkv")],
)
def test_a_video_is_one_by_its_content(given, made, clip, crop_model, command, tmp_path) -> None:
    (tmp_path / given).write_bytes(clip.read_bytes())
    options = ("--expr", "happy", "--model", crop_model, "--no-align")
    assert command("apply", tmp_path / given, *options).code == 0
    assert files_in(tmp_path) == {given, made}
    assert len(pictures_of(tmp_path / made)) == 20


def test_a_picture_with_a_videos_name_is_a_picture(crop_model, command, tmp_path) -> None:
    Image.new("RGB", (32, 32), "grey").save(tmp_path / "a.mp4", "PNG")
    options = ("--expr", "happy", "--model", crop_model, "--no-align")
    assert command("apply", tmp_path / "a.mp4", *options).code == 0
    assert files_in(tmp_path) == {"a.mp4", "a-happy.png"}


def test_a_video_is_written_over_only_where_that_is_asked_for(
    clip, crop_model, command, tmp_path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes())
    options = ("--expr", "happy", "--model", crop_model, "--no-align")
    result = command("apply", path, *options, "-o", path)
    assert (result.code, "--in-place" in result.error) == (2, True)
    assert path.read_bytes() == clip.read_bytes()
    assert command("apply", path, *options, "--in-place").code == 0
    assert pictures_of(path)[5].mean() < 0.9 * pictures_of(clip)[5].mean()
    (tmp_path / "b.mp4").write_bytes(b"mine")
    result = command("apply", clip, *options, "--no-overwrite", "-o", tmp_path / "b.mp4")
    assert (result.code, "exists" in result.error) == (2, True)


def test_what_is_for_pictures_alone_is_refused(clip, crop_model, command) -> None:
    for option in ("--strip-metadata", "--strip-gps"):
        result = command("apply", clip, "--expr", "happy", "--model", crop_model, option)
        assert (result.code, "for pictures" in result.error) == (2, True)


def test_reported_names(reported: Path, crop_model, command, tmp_path) -> None:
    options = ("--expr", "happy", "--model", crop_model, "--no-align", "-o", tmp_path / "a.m4v")
    assert command("apply", reported / "13-video-names" / "clip.m4v", *options).code == 0
    assert len(pictures_of(tmp_path / "a.m4v")) == 5


def test_strength_and_the_default_name(clip, crop_model, command, tmp_path) -> None:
    source = tmp_path / "My clip.mp4"
    source.write_bytes(clip.read_bytes())
    options = ("--expr", "happy", "--model", crop_model, "--no-align")
    assert command("apply", source, *options, "--strength", 0.4).code == 0
    assert files_in(tmp_path) == {"My clip.mp4", "My clip-happy.mp4"}
    made, given = (pictures_of(tmp_path / n)[5] for n in ("My clip-happy.mp4", "My clip.mp4"))
    middle = made[:, 45:275].mean() / given[:, 45:275].mean()
    assert middle == pytest.approx(1 - 0.4 * 0.25, abs=0.01)
    assert command("apply", source, *options, "-o", f"{tmp_path}/out/").code == 0
    assert (tmp_path / "out" / "My clip.mp4").is_file()


def test_frames_without_a_face_pass_and_are_counted(clip, portraits, tmp_path) -> None:
    translator = load(locator=Locator("bundled"))
    source = write_clip(tmp_path / "a.mp4", [*rolling(), *[scene(portraits[0], STILL)] * 3])
    done = []
    report = change_video(
        translator, source, "happy", tmp_path / "b.mp4", progress=lambda *at: done.append(at)
    )
    assert (report.frames, report.without_face) == (23, 20)
    assert done == [(k, 23) for k in range(1, 24)]
    passed = zip(pictures_of(source)[:20], pictures_of(tmp_path / "b.mp4"), strict=False)
    for old, new in passed:
        assert np.abs(old.astype(int) - new).mean() < 1.5
    # They keep their bits until they are encoded.
    changer = FrameChanger(translator, "happy")
    for frame in frames_of(clip):
        before = frame.to_ndarray()
        assert not changer(frame)
        assert (frame.to_ndarray() == before).all()


def test_a_video_without_any_face_is_refused_as_a_picture_is(clip, command, tmp_path) -> None:
    target = tmp_path / "out.mp4"
    result = command("apply", clip, "--expr", "happy", "--detector", "bundled", "-o", target)
    assert result.code == 1
    assert "no face was found in any of the 20 frames" in result.error
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_a_face_smiles_however_the_clip_is_stored(rotation, portraits, command, tmp_path) -> None:
    """And the smile does not tremble: the mouth moves from frame to frame as the input's does."""
    upright = [scene(portraits[0], STILL, seed=k) for k in range(20)]
    quarters = rotation // 90 % 4
    stored = [np.ascontiguousarray(np.rot90(picture, -quarters)) for picture in upright]
    source = write_clip(tmp_path / "in.mp4", stored, rotation=rotation)
    target = tmp_path / "out.mp4"
    options = ("--expr", "happy", "--detector", "bundled", "--model", bundled_model())
    result = command("apply", source, *options, "-o", target)
    assert result.code == 0, result.err
    assert "20 frames, 0 of them without a face" in result.err
    old, new = ([np.rot90(p, quarters) for p in pictures_of(path)] for path in (source, target))
    translator = load(bundled_model(), locator=Locator("bundled"))
    wanted = np.asarray(translator.translate(np.ascontiguousarray(old[10]), "happy"))
    asked, got = wanted.astype(float) - old[10], new[10].astype(float) - old[10]
    assert np.abs(asked).max() > 40
    assert np.corrcoef(asked.ravel(), got.ravel())[0, 1] > 0.9
    assert trembling(new) < 1.3 * trembling(old) + 0.2


def trembling(pictures: list[np.ndarray]) -> float:
    """Mean difference of grey levels around the mouth between one frame and the next."""
    mouth = np.stack(pictures)[:, 140:190, 130:190].astype(float)
    return float(np.abs(np.diff(mouth, axis=0)).mean())


# ------------------------------------------------------------------------------------- bad ends


@pytest.fixture
def options(crop_model) -> tuple[object, ...]:
    return ("--expr", "happy", "--model", crop_model)


def no_video(file: Path) -> None:
    file.write_bytes(b"this is no video" * 100)


def sound_alone(file: Path) -> None:
    with av.open(str(file), "w") as container:
        write_tone(container, container.add_stream("aac", rate=48000, layout="stereo"), 0.5)


def no_frames(file: Path) -> None:
    with av.open(str(file), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        write_tone(container, container.add_stream("aac", rate=48000, layout="stereo"), 0.2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_video, "cannot be read as a video: "),
        (sound_alone, "has no video stream"),
        (no_frames, "holds no frames"),
    ],
)
def test_what_has_no_pictures_is_refused(make, words, command, options, tmp_path) -> None:
    file = tmp_path / "a.mkv"
    make(file)
    result = command("apply", file, *options)
    assert result.code == 1
    assert result.error.startswith(f"{file} {words}")
    assert command("apply", tmp_path / "nosuch.mp4", *options).code == 2
    assert files_in(tmp_path) == {"a.mkv"}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Whole clips of 1.6 seconds; the MP4 has its index in front, as on the web."""
    folder = tmp_path_factory.mktemp("wholes")
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 80, 3), dtype=np.uint8)
    pictures = list(noise.repeat(4, 1).repeat(4, 2))
    write_clip(folder / "plain.mp4", pictures)
    with (
        av.open(str(folder / "plain.mp4")) as old,
        av.open(str(folder / "a.mp4"), "w", options={"movflags": "faststart"}) as new,
    ):
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    write_clip(folder / "a.mkv", pictures)
    write_clip(folder / "a.avi", pictures, codec="mpeg4", sound="pcm_s16le")
    return {kind: folder / f"a{kind}" for kind in (".mp4", ".mkv", ".avi")}


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".avi"])
def test_a_truncated_video_is_refused(kind, wholes, command, options, tmp_path) -> None:
    content = wholes[kind].read_bytes()
    for share in (0.6, 0.3, 0.02):
        cut = tmp_path / f"cut{kind}"
        cut.write_bytes(content[: int(share * len(content))])
        result = command("apply", cut, *options)
        assert result.code == 1, share
        broken = "not whole: it breaks off after", "cannot be read as a video", "holds no frames"
        assert any(words in result.error for words in broken)
        assert files_in(tmp_path) == {cut.name}
    assert command("apply", wholes[kind], *options, "-o", tmp_path / f"whole{kind}").code == 0


def test_ctrl_c_in_a_terminal_ends_it_and_leaves_nothing(portraits, tmp_path) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(portraits[0], STILL, seed=0)] * 400)

    def at_work(_: Iterator[str]) -> None:
        until = time.monotonic() + 30
        while not any(name.startswith(".a") for name in files_in(tmp_path)):
            assert time.monotonic() < until
            time.sleep(0.01)

    options = ("--expr", "happy", "--detector", "bundled", "--model", bundled_model())
    interrupted(("apply", source, *options), at_work, wait=0.3)
    assert files_in(tmp_path) == {"a.mp4"}


def test_without_pyav_the_extra_is_named(clip, monkeypatch, command, options, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    result = command("apply", clip, *options, "-o", tmp_path / "b.mp4")
    assert result.code == 1
    assert "pixelreg[video]" in result.error
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        *((words, "a video stands alone") for words in ("--strength 0,1", "--animate smile.gif")),
        *((words, "a video stands alone") for words in ("--debug-crop crop.png", "another.mp4")),
        ("-o clip.gif", "a video's name must end in .mp4"),
        ("-o -", "a video's name must end in .mp4"),
        ("--strength 11", "strength"),
        ("--eyes 1,2,3,4", "are for pictures"),
        ("--box 1,2,30,40", "are for pictures"),
        ("--expr nosuch", "nosuch"),
        ("-o b.webm", ".webm cannot hold the aac sound"),
    ],
)
def test_what_makes_no_sense_for_a_video_is_a_usage_error(
    more, words, clip, command, options, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("apply", clip, *options, *more.split())
    assert result.code == 2
    assert words in result.err
    assert files_in(tmp_path) == set()


def test_a_wrong_face_is_a_usage_error(clip, command, tmp_path) -> None:
    options = ("--expr", "happy", "--detector", "bundled", "--face", "no", "-o", tmp_path / "b.mp4")
    assert command("apply", clip, *options).code == 2
    assert files_in(tmp_path) == set()


def test_stopping_leaves_what_was_there(clip, crop_model, tmp_path) -> None:
    target = tmp_path / "b.mp4"
    target.write_bytes(b"before")
    translator = load(crop_model, locator=Locator(align=False))
    threads = threading.active_count()

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_video(translator, clip, "happy", target, progress=stop)
    assert files_in(tmp_path) == {"b.mp4"}
    assert target.read_bytes() == b"before"
    assert threading.active_count() == threads


def test_a_failing_model_is_told_and_leaves_nothing(clip, tmp_path, monkeypatch) -> None:
    plan = FlowPlan(*(np.zeros((16, 16, k), np.float32) for k in (2, 3, 3)), np.ones(1, np.float32))
    translator = PlanTranslator(Model({"happy": plan}), Locator(align=False))

    def fail(*_: Any) -> None:
        raise FaceError("no such luck")

    monkeypatch.setattr(Paster, "paste", fail)
    with pytest.raises(FaceError, match="no such luck"):
        change_video(translator, clip, "happy", tmp_path / "b.mp4")
    assert files_in(tmp_path) == set()
