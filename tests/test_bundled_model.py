"""The models inside the package: small, attributed, symmetric, and what their names say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cli_tools import pixels
from photo_tools import PUBLISHED, photo, truth
from PIL import Image

import pixelreg
from pixelreg.api import bundled_model
from pixelreg.backends import get_backend
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.detect import make_detector
from pixelreg.faces.locate import Locator
from pixelreg.faces.paste import RADII, face_mask
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import AffinePlan, FlowPlan

ROOT = Path(__file__).resolve().parents[1]
SIZE = 128
CORNERS = np.s_[84:94, 44:52], np.s_[84:94, 76:84]  # of the mouth: rows, columns in the crop


@pytest.fixture(scope="module")
def model() -> Model:
    return modelfile.load(bundled_model())


@pytest.fixture(scope="module")
def plan(model: Model) -> FlowPlan:
    found = model.plan("happy")
    assert isinstance(found, FlowPlan)
    return found


def test_it_is_small_and_says_where_it_comes_from(model: Model) -> None:
    assert bundled_model().is_relative_to(Path(pixelreg.__file__).parent)
    assert bundled_model().stat().st_size <= 500 * 1024
    assert (model.kind, model.source, model.targets) == ("flow", "neutral", ("happy",))
    assert model.size == SIZE
    assert model.frame == Frame()
    assert model.parameters == 8 * SIZE * SIZE
    origin = model.provenance
    assert (origin.people, origin.pairs) == (80, 80)
    assert "London" in origin.training_set
    assert origin.licence.startswith("CC BY 4.0")
    assert "DeBruine" in origin.attribution
    assert "10.6084/m9.figshare.5047666" in origin.attribution
    assert origin.date
    assert origin.pixelreg_version


def test_it_is_what_load_gives_by_its_name() -> None:
    translator = pixelreg.load("flow")
    assert translator.targets == ("happy",)
    facts = translator.describe()
    assert facts["attribution"] == modelfile.load(bundled_model()).provenance.attribution
    assert facts["parameters"] == 8 * SIZE * SIZE


def test_it_leaves_alone_what_is_around_the_face(plan: FlowPlan) -> None:
    centres = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    outside = np.hypot(centres[None, :] / RADII[0], centres[:, None] / RADII[1]) >= 1
    for field in (plan.displacement, plan.weight, plan.bias):
        assert (field[outside] == 0).all()
    assert (plan.weight[~outside] != 0).mean() > 0.5
    pictures = np.random.default_rng(0).integers(0, 256, (2, *plan.shape), np.uint8)
    made = get_backend("numpy").apply(plan, pictures)
    np.testing.assert_array_equal(made[:, outside], pictures[:, outside])


def test_its_fields_are_of_sensible_size(plan: FlowPlan) -> None:
    steps = np.linalg.norm(plan.displacement, axis=-1)
    assert 2 < steps.max() < 10  # pixels of 128
    assert np.abs(plan.weight).max() < 1
    assert np.abs(plan.bias).max() < 0.5
    # Neighbours go neighbouring ways: nothing is folded or torn.
    for axis in (0, 1):
        assert np.abs(np.diff(plan.displacement, axis=axis)).max() < 1


def test_both_halves_of_the_face_smile_alike(plan: FlowPlan) -> None:
    mirrored = plan.displacement[:, ::-1] * np.array([-1, 1], np.float32)
    assert np.abs(plan.displacement - mirrored).max() < 0.25
    for field in (plan.weight, plan.bias):
        assert np.abs(field - field[:, ::-1]).max() < 0.1 * np.abs(field).max()


def test_the_corners_of_the_mouth_go_up_and_out(plan: FlowPlan) -> None:
    # The displacement says where a pixel comes from: from further down and further in.
    left, right = (plan.displacement[corner].reshape(-1, 2).mean(axis=0) for corner in CORNERS)
    assert left[1] > 1
    assert right[1] > 1
    assert left[0] > 1
    assert right[0] < -1
    eyes = plan.displacement[40:60, 30:98]
    assert np.linalg.norm(eyes, axis=-1).mean() < 0.4 * np.linalg.norm(left)


@cache
def crops(london: Path, person: str) -> tuple[np.ndarray, np.ndarray]:
    """A person's neutral and smiling photograph as the model sees them, (128, 128, 3)."""
    smiling = pixels(london / "smiling_front" / f"{person}_08.jpg")  # without a template
    (found,) = make_detector("bundled").detect(smiling, largest=True)
    whole = photo(london, person, PUBLISHED), truth(london, person, PUBLISHED)[:2]
    sides = whole, (smiling, found.eyes)
    neutral, happy = (crop(p, similarity_from_eyes(e, Frame(), SIZE), SIZE) for p, e in sides)
    return neutral, happy


def test_its_change_is_that_of_a_smile(london: Path, plan: FlowPlan) -> None:
    """These people were learnt from: this finds a broken model, it does not rate a good one."""
    people = [path.name[:3] for path in sorted((london / "neutral_front").glob("0*.jpg"))][::5]
    neutral, smiling = (
        np.stack(side)[:, 78:104, 36:92] / 255.0  # the mouth and what is around it
        for side in zip(*(crops(london, person) for person in people), strict=True)
    )
    whole = np.stack([crops(london, person)[0] for person in people])
    made = get_backend("numpy").apply(plan, whole)[:, 78:104, 36:92] / 255.0

    def likeness(ours: np.ndarray, theirs: np.ndarray) -> float:
        return float((ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum()))

    each = [likeness(*pair) for pair in zip(made - neutral, smiling - neutral, strict=True)]
    assert min(each) > 0
    assert np.mean(each) > 0.4
    ours, theirs = (made - neutral).mean(axis=0), (smiling - neutral).mean(axis=0)
    assert likeness(ours, theirs) > 0.6
    assert 0.7 < np.abs(ours).mean() / np.abs(theirs).mean() < 1.4


def test_it_keeps_the_sharpness_of_a_face(london: Path, plan: FlowPlan) -> None:
    from scipy import ndimage

    neutral, _ = crops(london, "001")
    made = get_backend("numpy").apply(plan, neutral)
    inside = face_mask(SIZE) > 0.5

    def detail(picture: np.ndarray) -> float:
        return float(ndimage.laplace(picture.mean(axis=-1))[inside].var())

    assert 0.85 < detail(made) / detail(neutral) < 1.2


def test_translate_takes_it_by_its_name(london: Path) -> None:
    file = london / "neutral_front" / "001_03.jpg"  # its landmarks lie beside it
    made = pixelreg.translate(file, "smile", "flow")
    assert isinstance(made, Image.Image)
    change = np.abs(np.asarray(made).astype(int) - photo(london, side=PUBLISHED))
    assert 0.5 < change.mean() < 5
    eyes = truth(london, side=PUBLISHED)[:2]
    by_hand = pixelreg.load("flow", locator=Locator(eyes=tuple(eyes.ravel())))
    np.testing.assert_array_equal(np.asarray(by_hand.translate(file, "happy")), np.asarray(made))


# Pixel-RR, learnt from posed people.

UNSEEN = "005"  # not among the 60
SEVEN = {"happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous"}


@pytest.fixture(scope="module")
def ridge() -> Model:
    return modelfile.load(BUNDLED / NAMED["rr"])


def test_pixel_rr_is_small_and_says_where_it_comes_from(ridge: Model) -> None:
    assert (BUNDLED / NAMED["rr"]).stat().st_size <= 7 * 100 * 1024
    assert (ridge.kind, ridge.source, set(ridge.targets)) == ("rr", "neutral", SEVEN)
    assert (ridge.size, ridge.frame) == (SIZE, Frame())
    assert ridge.parameters == 7 * 6 * SIZE * SIZE
    origin = ridge.provenance
    assert (origin.people, origin.pairs) == (60, 7 * 60)
    assert origin.licence.startswith("CC BY 4.0")
    assert "MIT" in origin.licence
    for name in ("DeBruine", "10.6084/m9.figshare.5047666", "ICT-FaceKit"):
        assert name in origin.attribution
    assert set(pixelreg.load("rr").targets) == SEVEN


def test_pixel_rr_leaves_alone_what_is_around_the_face(ridge: Model) -> None:
    centres = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    outside = np.hypot(centres[None, :] / RADII[0], centres[:, None] / RADII[1]) >= 1
    pictures = np.random.default_rng(0).integers(0, 256, (2, *ridge.shape), np.uint8)
    for plan in ridge.plans.values():
        assert isinstance(plan, AffinePlan)
        made = get_backend("numpy").apply(plan, pictures).astype(int)
        assert np.abs(made - pictures)[:, outside].max() <= 1  # stored in 255 steps
        assert np.abs(made - pictures)[:, ~outside].mean() > 1


def test_each_expression_of_pixel_rr_is_nearest_to_the_rigs_own(ridge: Model, london: Path) -> None:
    """On somebody whom it has not learnt from: seven changes, told apart by what they change."""
    file = london / "neutral_front" / f"{UNSEEN}_03.jpg"
    rig, ours = pixelreg.load("rig"), pixelreg.load("rr")
    place = similarity_from_eyes(truth(london, UNSEEN, PUBLISHED)[:2], Frame(), SIZE)
    before = crop(photo(london, UNSEEN, PUBLISHED), place, SIZE).astype(float)

    def change(translator: pixelreg.Translator, target: str) -> np.ndarray:
        made = np.asarray(translator.translate(file, target))
        part = (crop(made, place, SIZE) - before)[30:112, 20:108].reshape(-1)
        return part / np.linalg.norm(part)

    names = sorted(SEVEN)
    theirs = np.stack([change(rig, name) for name in names])
    likeness = np.stack([change(ours, name) for name in names]) @ theirs.T
    assert likeness.diagonal().min() > 0.2
    np.testing.assert_array_equal(likeness.argmax(axis=1), np.arange(len(names)))


@pytest.mark.parametrize("side", [128, 129, 140])
def test_a_small_face_is_found_in_a_picture_of_the_models_own_size_too(side: int) -> None:
    with Image.open(ROOT / "examples" / "pictures" / "face.jpg") as file:
        small = file.convert("RGB").resize((72, 72), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (side, side), (200, 200, 200))
    picture.paste(small, (9, 14))
    made = pixelreg.load("flow").translate(np.asarray(picture), "happy")
    rows, columns = np.nonzero((made != np.asarray(picture)).any(axis=2))
    low, high = (columns.min(), rows.min()), (columns.max(), rows.max())
    assert 9 <= low[0] < high[0] < 9 + 72
    assert 14 <= low[1] < high[1] < 14 + 76


def test_a_crop_stays_one_whose_eyes_are_where_a_crop_has_them() -> None:
    model = pixelreg.load("flow")
    with Image.open(ROOT / "examples" / "pictures" / "face.jpg") as file:
        whole = np.asarray(file.convert("RGB"))
    (place,) = model.place(whole)
    cut = crop(whole, place.similarity, model.size)
    assert model.place(cut)[0].face is None
    wanted = get_backend("numpy").apply(model.plan("happy"), cut, 1.0)
    assert np.abs(model.translate(cut, "happy").astype(int) - wanted).max() <= 1
