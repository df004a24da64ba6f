"""From photo to crop and back: similarities, crops, and changes carried to full resolution."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelreg.errors import FaceError
from pixelreg.faces.align import (
    Similarity,
    crop,
    similarity_from_eyes,
    similarity_from_square,
)
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import FINER, _finer, face_mask, paste_change
from pixelreg.models.model import Frame
from pixelreg.models.plans import Change

IDENTITY = Similarity(1.0, 0.0, 0.0, 0.0)


def turned(scale: float, degrees: float, centre: tuple[float, float], size: int) -> Similarity:
    """A crop of ``size`` laid over a photo around ``centre``."""
    a = scale * math.cos(math.radians(degrees))
    b = scale * math.sin(math.radians(degrees))
    half = size / 2
    return Similarity(a, b, centre[0] - a * half + b * half, centre[1] - b * half - a * half)


def blobs(height: int, width: int, places: np.ndarray, radius: float) -> np.ndarray:
    """Dark Gaussian spots on a light ground, (H, W, 3) uint8; places are (x, y)."""
    y, x = np.indices((height, width)) + 0.5
    ground = np.full((height, width), 220.0)
    for px, py in places:
        ground -= 180 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))
    return np.rint(ground).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def centroid(picture: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    """The centre (x, y) of the dark spot near a place."""
    y, x = np.indices(picture.shape[:2]) + 0.5
    dark = np.clip(215.0 - picture[..., 0], 0, None)
    dark[np.hypot(x - near[0], y - near[1]) > reach] = 0
    return np.array([(dark * x).sum(), (dark * y).sum()]) / dark.sum()


# ---- similarities


coordinates = st.floats(-5e3, 5e3)
similarities = st.builds(
    lambda scale, angle, c, d: Similarity(scale * math.cos(angle), scale * math.sin(angle), c, d),
    st.floats(0.05, 50),
    st.floats(-math.pi, math.pi),
    coordinates,
    coordinates,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(similarities, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_there_and_back_is_where_it_began(similarity, points) -> None:
    given_points = np.array(points)
    np.testing.assert_allclose(
        similarity.to_crop(similarity.to_photo(given_points)), given_points, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        similarity.to_photo(similarity.to_crop(given_points)), given_points, rtol=0, atol=1e-6
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(similarities, st.integers(16, 512))
def test_eyes_fix_the_similarity(similarity, size) -> None:
    frame = Frame()
    eyes = similarity.to_photo(np.array(frame.eyes) * size)
    if np.hypot(*(eyes[1] - eyes[0])) < 1:
        return
    found = similarity_from_eyes(eyes, frame, size)
    for name in "abcd":
        assert getattr(found, name) == pytest.approx(getattr(similarity, name), abs=1e-6)
    distance = np.hypot(*(eyes[1] - eyes[0]))
    assert found.scale == pytest.approx(distance / (0.28 * size))


def test_eyes_that_say_nothing_are_refused() -> None:
    for other in ([3, 3], [3.5, 3], [math.nan, 3]):
        with pytest.raises(FaceError, match="different places"):
            similarity_from_eyes(np.array([[3, 3], other]), Frame(), 64)


def test_the_centre_square_is_centred() -> None:
    wide = similarity_from_square(300, 100, 50)
    np.testing.assert_allclose(
        wide.to_photo(np.array([[0, 0], [50, 50], [25, 25]])), [[100, 0], [200, 100], [150, 50]]
    )
    assert similarity_from_square(64, 64, 64) == IDENTITY


# ---- crops


@pytest.mark.parametrize("degrees", [0, 7, -30, 90, 180])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7, 2.0, 3.3, 6.0])
def test_eyes_land_on_the_frame(scale, degrees) -> None:
    size = 96
    photo_side = int(size * scale * 2)
    overlay = turned(scale, degrees, (photo_side * 0.49, photo_side * 0.53), size)
    frame_eyes = np.array(Frame().eyes) * size
    eyes = overlay.to_photo(frame_eyes)
    photo = blobs(photo_side, photo_side, eyes, 3 * scale)
    made = crop(photo, similarity_from_eyes(eyes, Frame(), size), size)
    assert made.shape == (size, size, 3)
    assert made.dtype == np.uint8
    for eye in frame_eyes:
        assert np.abs(centroid(made, eye, 12) - eye).max() < 0.1


def test_the_identity_crop_is_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(crop(picture, IDENTITY, 40), picture)
    assert np.array_equal(crop(picture, Similarity(1.0, 0.0, 7.0, 5.0), 30), picture[5:35, 7:37])


@pytest.mark.parametrize("quarter", range(4))
def test_quarter_turns_are_right_to_a_grey_level(quarter) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    overlay = turned(1.0, 90.0 * quarter, (16, 16), 32)
    off = crop(picture, overlay, 32).astype(int) - np.rot90(picture, quarter)
    assert np.abs(off).max() <= 1


def test_shrinking_averages() -> None:
    stripes = np.zeros((160, 160, 3), np.uint8)
    stripes[::2] = 255
    for scale in (4.0, 4.7, 8.0):
        made = crop(stripes, Similarity(scale, 0.0, 0.0, 0.0), int(160 / scale))
        assert np.abs(made[2:-2].astype(float) - 127.5).max() <= 1
    blocks = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    photo = blocks.repeat(8, axis=0).repeat(8, axis=1)[..., None].repeat(3, axis=2)
    assert np.array_equal(crop(photo, Similarity(8.0, 0.0, 0.0, 0.0), 4)[..., 0], blocks)


def test_a_scale_that_rounding_left_under_a_whole_number_averages_as_the_number() -> None:
    photo = np.random.default_rng(9).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    whole = crop(photo, Similarity(4.0, 0.0, 0.0, 0.0), 40).astype(int)
    assert np.abs(crop(photo, Similarity(4.0 - 1e-9, 0.0, 0.0, 0.0), 40) - whole).max() <= 1


@pytest.mark.parametrize(("scale", "turn"), [(1.0, 0.0), (1.0, 0.4), (2.0, 0.0), (2.0, 1.0)])
def test_a_larger_crop_holds_the_smaller_one(scale, turn) -> None:
    # At its edges a crop must see the photo around it, or they would differ.
    photo = np.random.default_rng(6).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    small = Similarity(scale, turn, 50.5, 30.25)
    corner = small.to_photo(np.array([-4.0, -4.0]))
    large = Similarity(scale, turn, float(corner[0]), float(corner[1]))
    off = crop(photo, large, 28)[4:-4, 4:-4].astype(int) - crop(photo, small, 20)
    assert np.abs(off).max() <= 1


def test_beyond_the_border_the_border_repeats() -> None:
    rng = np.random.default_rng(2)
    photo = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    made = crop(photo, Similarity(1.0, 0.0, -10.0, -5.0), 50)
    padded = np.pad(photo, ((5, 25), (10, 10), (0, 0)), mode="edge")
    assert np.array_equal(made, padded)
    turned_over = crop(photo, turned(2.0, 33, (15, 10), 50), 50)
    assert turned_over.shape == (50, 50, 3)


def test_a_crop_outside_the_photo_is_refused() -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    for shift in (500.0, -500.0):
        with pytest.raises(FaceError, match="outside"):
            crop(photo, Similarity(1.0, 0.0, shift, 0.0), 30)
        with pytest.raises(FaceError, match="outside"):
            crop(photo, Similarity(1.0, 0.0, 0.0, shift), 30)


def test_crops_leave_the_photo_alone() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    photo.flags.writeable = False
    before = photo.copy()
    for overlay in (IDENTITY, turned(0.7, 12, (30, 30), 40), turned(3, -12, (30, 30), 40)):
        crop(photo, overlay, 40)
    assert np.array_equal(photo, before)


# ---- masks


@pytest.mark.parametrize("size", [64, 128, 255])
def test_the_mask_covers_the_face_and_fades(size) -> None:
    mask = face_mask(size)
    assert mask.shape == (size, size)
    assert mask.dtype == np.float32
    assert mask.min() == 0.0
    assert mask.max() == 1.0
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert edge.max() < 0.01
    for x, y in (*Frame().eyes, (0.5, 0.55), (0.5, 0.75)):  # eyes, nose, mouth
        assert mask[int(y * size), int(x * size)] > 0.7
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-6)
    assert np.abs(np.diff(mask, axis=1)).max() < 13 / size


# ---- pasting


def photos() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "uint8": rng.integers(0, 256, (90, 110, 3), dtype=np.uint8),
        "float64": rng.random((90, 110, 3)),
    }


OVERLAYS = {
    "identity": Similarity(1.0, 0.0, 0.0, 0.0),
    "shifted": Similarity(1.0, 0.0, 20.0, 11.0),
    "grown": turned(2.3, 0, (50, 45), 24),
    "turned": turned(1.6, 30, (55, 45), 24),
    "shrunk": turned(0.4, -70, (55, 45), 24),
    "over the border": turned(4.0, 15, (5, 80), 24),
    "around the photo": turned(20.0, 15, (55, 45), 24),
    "outside": turned(1.0, 0, (900, 900), 24),
}
overlays = pytest.mark.parametrize("overlay", OVERLAYS.values(), ids=OVERLAYS)
kinds = pytest.mark.parametrize("kind", ["uint8", "float64"])


@overlays
@kinds
def test_no_change_changes_no_bit(kind, overlay) -> None:
    photo = photos()[kind]
    nothing = np.zeros((24, 24, 3), np.float32)
    still = np.zeros((24, 24, 2), np.float32)
    for change in (Change(nothing), Change(nothing, still)):
        made = paste_change(photo, change, overlay)
        assert made.tobytes() == photo.tobytes()
        assert made.dtype == photo.dtype
        assert not np.shares_memory(made, photo)
    rng = np.random.default_rng(0)
    some = Change(rng.random((24, 24, 3), np.float32), rng.random((24, 24, 2), np.float32))
    assert paste_change(photo, some, overlay, 0.0).tobytes() == photo.tobytes()


@pytest.mark.parametrize("moves", [False, True])
@overlays
@kinds
def test_outside_the_crop_every_bit_stays(kind, overlay, moves) -> None:
    photo = photos()[kind]
    rng = np.random.default_rng(1)
    displacement = rng.normal(0, 3, (24, 24, 2)).astype(np.float32) if moves else None
    change = Change(rng.normal(0, 1, (24, 24, 3)).astype(np.float32), displacement)
    made = paste_change(photo, change, overlay)
    y, x = np.indices(photo.shape[:2]) + 0.5
    places = overlay.to_crop(np.stack([x, y], axis=-1))
    outside = ((places < 0) | (places > 24)).any(axis=-1)
    assert np.array_equal(made[outside], photo[outside])
    if (~outside).any():
        assert (made[~outside] != photo[~outside]).any(axis=-1).mean() > 0.8


@kinds
def test_outside_the_mask_every_bit_stays(kind) -> None:
    photo = photos()[kind]
    change = Change(np.full((48, 48, 3), 0.3, np.float32)).masked(face_mask(48))
    made = paste_change(photo, change, Similarity(1.0, 0.0, 30.0, 20.0))
    untouched = np.ones(photo.shape[:2], bool)
    untouched[20:68, 30:78] = face_mask(48) == 0
    assert np.array_equal(made[untouched], photo[untouched])
    assert untouched[20:68, 30:78].sum() > 300


@pytest.mark.parametrize("strength", [1.0, 0.5, 2.0, -1.0])
@pytest.mark.parametrize("shift", [(0, 0), (20, 11)])
@kinds
def test_at_scale_one_the_change_is_simply_added(kind, shift, strength) -> None:
    photo = photos()[kind]
    colour = np.random.default_rng(2).normal(0, 0.3, (24, 24, 3)).astype(np.float32)
    overlay = Similarity(1.0, 0.0, float(shift[0]), float(shift[1]))
    made = paste_change(photo, Change(colour), overlay, strength)
    window = (slice(shift[1], shift[1] + 24), slice(shift[0], shift[0] + 24))
    if kind == "uint8":
        exact = np.clip(photo[window] + strength * 255.0 * colour, 0, 255)
        assert np.abs(made[window] - exact).max() <= 0.5 + 1e-3
    else:
        exact = np.clip(photo[window] + strength * colour, 0, 1)
        np.testing.assert_allclose(made[window], exact, atol=1e-6)
    if shift == (0, 0) and kind == "uint8":
        whole = photo[:24, :24].copy()
        assert np.array_equal(paste_change(whole, Change(colour), overlay, strength), made[window])


@pytest.mark.parametrize("overlay", [turned(3.0, 25, (60, 50), 24), turned(0.5, -80, (60, 50), 96)])
def test_a_smooth_change_is_carried_to_its_place(overlay) -> None:
    # A ramp across the crop is a ramp across the photo.
    size = 24 if overlay.scale > 1 else 96
    y, x = (np.indices((size, size)) + 0.5) / size
    colour = np.stack([x, y, x - y], axis=-1).astype(np.float32) * np.float32(0.4)
    photo = np.full((100, 120, 3), 0.25)
    made = paste_change(photo, Change(colour), overlay)
    rows, columns = np.indices((100, 120)) + 0.5
    places = overlay.to_crop(np.stack([columns, rows], axis=-1)) / size
    well_inside = ((places > 2.5 / size) & (places < 1 - 2.5 / size)).all(axis=-1)
    u, v = places[..., 0], places[..., 1]
    expected = np.clip(0.25 + 0.4 * np.stack([u, v, u - v], axis=-1), 0, 1)
    assert well_inside.sum() > 1000
    np.testing.assert_allclose(made[well_inside], expected[well_inside], atol=1e-5)


@pytest.mark.parametrize("strength", [1.0, 0.5, -1.0])
@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0), (3.0, 0), (3.0, 30), (2.0, -110)])
@kinds
def test_a_displacement_moves_a_blob_the_right_way(kind, scale, degrees, strength) -> None:
    # New colours are fetched from (dx, dy) further on, so what is there moves the other way.
    size, move = 40, np.array([2.0, 1.0])
    overlay = turned(scale, degrees, (75.0, 70.0), size)
    spot = np.array([75.0, 70.0])
    photo = blobs(140, 150, [spot], 4)
    values = photo / 255 if kind == "float64" else photo
    change = Change(
        np.zeros((size, size, 3), np.float32),
        np.broadcast_to(move, (size, size, 2)).astype(np.float32),
    )
    made = paste_change(values, change, overlay, strength)
    radians = math.radians(degrees)
    turn = np.array(
        [[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]]
    )
    expected = spot - strength * scale * turn @ move
    grey = made * 255 if kind == "float64" else made
    # Between pixels the look-up sharpens, which shifts by an eighth of a pixel at most.
    assert np.abs(centroid(grey.astype(float), expected, 16) - expected).max() < 0.15


@pytest.mark.parametrize(("scale", "degrees"), [(1.3, 10), (3.0, 20), (6.0, -15)])
def test_carrying_a_smooth_bump_keeps_its_shape(scale, degrees) -> None:
    def bump(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.5 * np.exp(-((x - 21) ** 2 + (y - 18) ** 2) / (2 * 2.5**2))

    size, side = 40, int(40 * scale * 1.5)
    overlay = turned(scale, degrees, (side / 2, side / 2), size)
    y, x = np.indices((size, size)) + 0.5
    colour = bump(x, y).astype(np.float32)[..., None].repeat(3, axis=2)
    made = paste_change(np.zeros((side, side, 3)), Change(colour), overlay)[..., 0]
    rows, columns = np.indices((side, side)) + 0.5
    places = overlay.to_crop(np.stack([columns, rows], axis=-1))
    assert np.abs(made - bump(places[..., 0], places[..., 1])).max() < 0.004


def test_movement_and_colour_come_together() -> None:
    photo = blobs(60, 60, [(30, 30)], 4)
    move = np.broadcast_to(np.float32([3, 0]), (60, 60, 2)).copy()
    colour = np.full((60, 60, 3), 0.1, np.float32)
    made = paste_change(photo, Change(colour, move), IDENTITY)
    expected = np.clip(np.rint(photo[:, 3:].astype(float) + 25.5), 0, 255)
    assert np.abs(made[:, :-3] - expected).max() <= 1


def test_movement_beyond_the_photo_takes_its_border() -> None:
    photo = photos()["uint8"]
    far = np.full((110, 110, 2), 1000, np.float32)
    made = paste_change(photo, Change(np.zeros((110, 110, 3), np.float32), far), IDENTITY)
    assert (made == photo[-1, -1]).all()


@pytest.mark.parametrize("shape", [(3, 7), (8, 16), (61, 50), (1, 1)])
def test_fields_are_made_finer_as_by_pillows_resize(shape) -> None:
    field = np.random.default_rng(4).normal(0, 3, (1, *shape)).astype(np.float32)
    made = np.swapaxes(_finer(np.ascontiguousarray(np.swapaxes(_finer(field), 1, 2))), 1, 2)
    size = FINER * shape[1], FINER * shape[0]
    wanted = Image.fromarray(field[0]).resize(size, Image.Resampling.BICUBIC)
    np.testing.assert_allclose(made[0], np.asarray(wanted), atol=1e-5)


def test_what_changes_at_one_pixel_is_found_wherever_the_crop_lies() -> None:
    # Strips leave out what cannot change: a lone pixel must not be left out, nor cut.
    photo = np.full((220, 240, 3), 0.35)
    for place in (turned(4.3, 33, (110, 100), 40), turned(3.0, 0, (110, 100), 40)):
        for at in ((3, 4), (20, 31), (37, 5)):
            colour = np.zeros((40, 40, 3), np.float32)
            colour[at] = 0.4
            made = (paste_change(photo, Change(colour), place) - photo).sum(axis=2)
            there = place.to_photo(np.array([at[1] + 0.5, at[0] + 0.5]))
            far = np.indices(photo.shape[:2])[::-1] + 0.5 - there[:, None, None]
            assert made[np.hypot(*far) < 1].min() > 0.8
            # The kernel's volume is one pixel of the crop.
            assert made.sum() == pytest.approx(3 * 0.4 * place.scale**2, rel=0.05)


# ---- where the crop lies


def test_a_photo_of_the_models_size_is_a_crop() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    (placement,) = Locator().placements(picture, Frame(), 64)
    assert placement.face is None
    assert placement.similarity == IDENTITY


@pytest.mark.parametrize("locator", [Locator(), Locator(align=False)])
def test_without_a_frame_or_alignment_the_centre_square_is_taken(locator) -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    frame = Frame() if not locator.align else None
    (placement,) = locator.placements(picture, frame, 30)
    assert placement.face is None
    assert placement.similarity == similarity_from_square(100, 60, 30)


def test_eyes_given_by_hand_are_taken_even_in_a_crop() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    (placement,) = Locator(eyes=(20, 30, 44, 30)).placements(picture, Frame(), 64)
    eyes = placement.similarity.to_photo(np.array(Frame().eyes) * 64)
    np.testing.assert_allclose(eyes, [[20, 30], [44, 30]], atol=1e-9)
    assert placement.face is not None
    (boxed,) = Locator(box=(10, 10, 40, 50)).placements(picture, Frame(), 64)
    between = boxed.similarity.to_photo(np.array(Frame().eyes) * 64).mean(axis=0)
    assert between[0] == pytest.approx(30)
    assert 10 < between[1] < 35


def test_landmarks_beside_the_photo_are_taken(tmp_path) -> None:
    path = tmp_path / "face.jpg"
    points = "\n".join(f"{x} {y}" for x, y in [(30, 40), (70, 42), (50, 60), (35, 75), (65, 76)])
    path.with_suffix(".pts").write_text(f"version: 1\nn_points: 5\n{{\n{points}\n}}\n")
    picture = np.zeros((100, 100, 3), np.uint8)
    (placement,) = Locator().placements(picture, Frame(), 64, path)
    eyes = placement.similarity.to_photo(np.array(Frame().eyes) * 64)
    np.testing.assert_allclose(eyes, [[30, 40], [70, 42]], atol=1e-9)
    (by_hand,) = Locator(eyes=(1, 2, 30, 2)).placements(picture, Frame(), 64, path)
    assert by_hand.similarity != placement.similarity


def test_london_crops_put_pupils_where_the_frame_says(london) -> None:
    from pixelreg.faces.landmarks import landmarks_beside, read_landmarks
    from pixelreg.pictures.image import read

    path = london / "neutral_front" / "001_03.jpg"
    face = read_landmarks(landmarks_beside(path))
    overlay = similarity_from_eyes(face.eyes, Frame(), 128)
    made = crop(read(path).pixels, overlay, 128).astype(float)
    luma = made.mean(axis=-1)
    for x, y in np.array(Frame().eyes) * 128:  # a pupil is darker than its surroundings
        row, column = int(y), int(x)
        pupil = luma[row - 1 : row + 2, column - 1 : column + 2].mean()
        assert pupil < luma[row - 12 : row + 13, column - 12 : column + 13].mean() - 20


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
@pytest.mark.parametrize("fields", ["displacement", "gain layer", "colour", "displacement gain "])
@pytest.mark.parametrize("strength", [0.8, -0.4])
@pytest.mark.parametrize(
    "similarity",
    [
        turned(2.7, 20, (70, 60), 32), turned(3, 0, (40, 90), 32), turned(0.8, -80, (5, 5), 32),
        Similarity(1.0, 0.0, 30.0, -8.0), Similarity(2.0, 0.0, -11.0, 70.0),
    ],
)  # fmt: skip
def test_compiled_loops_paste_the_same_bytes(fields, similarity, strength, monkeypatch) -> None:
    from pixelreg.backends import loops_faces

    rng = np.random.default_rng(len(fields))
    photo = rng.integers(0, 256, (130, 111, 3), dtype=np.uint8)
    some = {
        "displacement": rng.normal(0, 3, (32, 32, 2)),
        "gain": rng.uniform(0.5, 1.5, (32, 32)),
        "layer": rng.uniform(0, 0.6, (32, 32, 4)) * (rng.random((32, 32, 1)) > 0.7),
        "colour": rng.normal(0, 0.2, (32, 32, 3)),
    }
    given = {name: some[name].astype(np.float32) for name in fields.split()}
    for field in given.values():
        field[10:20] = 1 if field.ndim == 2 else 0  # where nothing is done
    change = Change(**{"colour": np.zeros((32, 32, 3), np.float32), **given})
    monkeypatch.setattr("pixelreg.faces.paste.exact_loops", lambda: None)
    made = [paste_change(photo, change, similarity, strength, each) for each in (None, loops_faces)]
    assert (made[0] != photo).any()
    np.testing.assert_array_equal(*made)
