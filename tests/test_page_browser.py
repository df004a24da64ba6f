"""The exported page in a browser: photos in and out, hands, keys, the camera, small screens."""

from __future__ import annotations

import io
import re
import time
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from browser_tools import GIVE, WAIT, Visit, browser, png
from browser_tools import pytestmark as pytestmark
from page_tools import off, rgba
from PIL import Image
from test_page import FACE, FLOW, PHOTOS, face_at, python_makes

from pixelreg.export import Options, export, export_other
from pixelreg.faces.dense import DenseFinder
from pixelreg.faces.locate import Locator
from pixelreg.models import BUNDLED
from pixelreg.models.file import load
from pixelreg.models.model import Model
from pixelreg.rig.expressions import EXPRESSIONS, bare
from pixelreg.rig.head import load_mesh
from pixelreg.rig.translator import RigTranslator

FEW_OFF = 1e-3
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    film = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    calm = [face_at(640, 480, 380, 130 + 4 * k, 60) for k in (0, 1, 2, 3, 2, 1)]
    rig = RigTranslator(Locator(detector="bundled"), DenseFinder("cascade"), backend="numpy")
    stirred = [rig.translate(frame, "surprised") for frame in calm]
    with film.open("wb") as file:
        for frame in (*calm, *calm, *stirred, *stirred):
            Image.fromarray(frame).save(file, "JPEG", quality=90)
    with browser(film) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """flow.html, and the folder rr."""
    folder = tmp_path_factory.mktemp("pages")
    export(load(FLOW), "web", folder / "flow.html", (), Options(layout="single"))
    export(load(BUNDLED / "london-rr.safetensors"), "web", folder / "rr")
    return folder


@pytest.fixture
def visit(chromium, pages):
    """The page of one file, which must have gone well in the end."""
    made = Visit(chromium, pages / "flow.html")
    yield made
    assert made.wrong == []
    made.context.close()


def test_it_opens_with_a_face_that_smiles_and_cannot_send_anything(visit) -> None:
    before, after = visit.shown("before"), visit.shown("after")
    with Image.open(FACE) as image:
        assert before.shape == (*image.size[::-1], 3)
    assert off(after[330:420, 150:360], before[330:420, 150:360])[0] > 20  # the mouth
    assert off(after[:40], before[:40])[0] == 0
    assert visit.page.get_by_text("Nothing leaves this device").is_visible()
    assert "CC BY 4.0" in visit.page.inner_text("#credit")
    sent = "fetch('https://example.com').then(() => 'sent', () => 'kept')"
    assert visit.page.evaluate(sent) == "kept"
    assert all("Content Security Policy" in line for line in visit.wrong)
    visit.wrong.clear()  # the browser's own word on that


@pytest.mark.parametrize("name", ["turned", "large"])
def test_what_is_saved_is_pythons_at_full_size(name, visit, tmp_path) -> None:
    photo = tmp_path / "me.png"
    photo.write_bytes(png(PHOTOS[name]))
    visit.choose(photo)
    file, content = visit.download(lambda: visit.page.click("#save"))
    assert file == "me-happy.png"
    made = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    worst, share = off(made, python_makes(PHOTOS[name], "happy", FLOW))
    assert worst <= 1
    assert share <= FEW_OFF
    visit.page.select_option("#format", "image/jpeg")
    file, content = visit.download(lambda: visit.page.keyboard.press("s"))
    assert file == "me-happy.jpg"
    assert Image.open(io.BytesIO(content)).size == PHOTOS[name].shape[1::-1]


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(kind, visit) -> None:
    visit.give(kind, png(PHOTOS["turned"]), "photo.png")
    assert off(visit.shown("before"), PHOTOS["turned"])[0] == 0
    assert off(visit.shown("after"), python_makes(PHOTOS["turned"], "happy", FLOW))[0] <= 1
    visit.give(kind, b"no picture", "notes.txt", "text/plain")
    assert "no picture that the browser can read" in visit.says
    assert off(visit.shown("before"), PHOTOS["turned"])[0] == 0


def test_of_many_files_it_is_said_which_is_shown(visit) -> None:
    visit.give("drop", png(PHOTOS["no face"]), "blank.png", others=2)
    assert "Of 3 files blank.png is shown" in visit.says
    assert off(visit.shown("before"), PHOTOS["no face"])[0] == 0


def test_eyes_are_moved_by_hand_and_by_arrows(visit) -> None:
    visit.give("drop", png(PHOTOS["no face"]), "blank.png")
    assert "drag the two marks" in visit.says
    marks = [visit.page.locator(f"#mark-{side}") for side in ("left", "right")]
    view = visit.page.locator("#view").bounding_box()
    goals = [(0.4, 0.45), (0.62, 0.5)]
    for mark, (x, y) in zip(marks, goals, strict=True):
        box = mark.bounding_box()
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        visit.page.mouse.down()
        visit.page.mouse.move(view["x"] + x * view["width"], view["y"] + y * view["height"])
        visit.page.mouse.up()
    marks[0].focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Shift+ArrowDown")
    told = [mark.get_attribute("aria-label") for mark in marks]
    eyes = [float(part) for text in told for part in text.split(", at ")[1].split(", ")]
    np.testing.assert_allclose(eyes, [129, 118, 198.4, 120], atol=1.5)
    visit.until("document.getElementById('status').textContent === ''")
    _, content = visit.download(lambda: visit.page.click("#save"))
    made = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    ys, xs = np.nonzero((made != PHOTOS["no face"]).any(axis=2))
    assert abs(xs.mean() - np.mean(eyes[::2])) < 15
    assert ys.mean() > np.mean(eyes[1::2])


def test_strength_by_slider_and_keys_and_before_while_held(visit) -> None:
    full = visit.shown()
    visit.page.fill("#strength", "0.5")
    visit.settle()
    half = visit.shown()
    before = visit.shown("before")
    apart = [np.abs(each - before.astype(float)).mean() for each in (half, full)]
    assert 0.3 < apart[0] / apart[1] < 0.7
    assert visit.page.inner_text("#strength-told") == "50 %"
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.inner_text("#strength-told") == "45 %"
    clip = "getComputedStyle(document.getElementById('before')).clipPath"
    shut = visit.page.evaluate(clip)
    visit.page.keyboard.down("Space")
    assert visit.page.evaluate(clip) == "none"
    visit.page.keyboard.up("Space")
    assert visit.page.evaluate(clip) == shut


def test_the_divider_follows_hands_and_keys(visit) -> None:
    divider = visit.page.locator("#divider")
    box, view = divider.bounding_box(), visit.page.locator("#view").bounding_box()
    visit.page.mouse.move(box["x"] + 22, box["y"] + box["height"] / 2)
    visit.page.mouse.down()
    visit.page.mouse.move(view["x"] + view["width"] / 2, box["y"] + 50)
    visit.page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "50"
    divider.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "55"
    divider.press("Home")
    assert divider.get_attribute("aria-valuenow") == "0"


def test_it_is_copied_and_filmed(visit) -> None:
    visit.page.click("#copy")
    visit.until("document.getElementById('status').textContent !== ''")
    assert visit.says.startswith("Copied")
    kinds = "navigator.clipboard.read().then((items) => items[0].types)"
    assert "image/png" in visit.page.evaluate(kinds)
    name, content = visit.download(lambda: visit.page.click("#film"))
    assert name.startswith("face-happy.")
    assert content[:4] == b"\x1a\x45\xdf\xa3" or content[4:8] == b"ftyp"
    assert len(content) > 20_000
    assert visit.page.inner_text("#strength-told") == "100 %"


def test_the_camera_is_a_mirror(visit) -> None:
    visit.page.click("#camera")
    visit.until(
        "document.documentElement.dataset.frames > 5"
        " && document.getElementById('status').textContent.includes('mirror')"
    )
    visit.page.wait_for_timeout(800)  # the change fades in
    before, after = visit.shown("before"), visit.shown("after")
    assert before.shape == (480, 640, 3)
    assert off(after, before)[0] > 20
    visit.page.click("#take")
    visit.settle()
    assert visit.page.inner_text("#camera") == "Camera"
    photo = visit.shown("before")
    assert off(visit.shown("after"), python_makes(photo, "happy", FLOW))[0] <= 1
    frames = visit.page.evaluate("document.documentElement.dataset.frames")
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("document.documentElement.dataset.frames") == frames


def test_a_camera_asked_for_twice_is_one_and_ends(visit) -> None:
    press = "document.getElementById('camera').click();"
    visit.page.evaluate(f"() => {{ {press} {press} {press} }}")
    visit.until("document.documentElement.dataset.frames > 2")
    visit.page.wait_for_timeout(500)
    visit.page.click("#camera")
    visit.settle()
    visit.page.wait_for_timeout(200)
    frames = visit.page.evaluate("document.documentElement.dataset.frames")
    visit.page.wait_for_timeout(600)
    assert visit.page.evaluate("document.documentElement.dataset.frames") == frames


def test_of_photos_given_one_after_the_other_the_last_is_shown(visit) -> None:
    """Though the first takes longer to be read."""
    visit.page.evaluate(
        """() => {
          const read = window.createImageBitmap;
          window.createImageBitmap = async (file, how) => {
            if (file.size > 9999) await new Promise((go) => setTimeout(go, 700));
            return read(file, how);
          };
        }"""
    )
    blank = np.full((240, 320, 3), 150, np.uint8)
    large, small = png(PHOTOS["turned"]), png(blank)
    assert len(small) < 9999 < len(large)
    for content, name in ((large, "large.png"), (small, "small.png")):
        text = b64encode(content).decode()
        visit.page.evaluate(GIVE, ["drop", text, name, "image/png"])
    visit.page.wait_for_timeout(1000)
    visit.settle()
    assert off(visit.shown("before"), blank)[0] == 0


def test_several_faces_are_chosen_among(visit) -> None:
    photo = np.hstack([face_at(400, 420, 320, 40, 40), face_at(400, 420, 300, 50, 50)])
    visit.give("drop", png(photo), "two.png")
    rings = visit.page.locator(".ring")
    rings.nth(1).wait_for(timeout=WAIT)
    only = visit.shown("after")
    sides = [off(only[:, :400], photo[:, :400])[0], off(only[:, 400:], photo[:, 400:])[0]]
    assert min(sides) == 0 < max(sides)
    rings.nth(1).click()
    visit.settle()
    both = visit.shown("after")
    assert off(both[:, :400], photo[:, :400])[0] > 20 < off(both[:, 400:], photo[:, 400:])[0]


def test_a_folder_has_a_button_for_every_expression(chromium, pages) -> None:
    visit = Visit(chromium, pages / "rr" / "index.html")
    buttons = visit.page.locator("#expressions button")
    assert buttons.all_inner_texts()[:3] == ["happy", "sad", "angry"]
    happy = visit.shown()
    visit.page.keyboard.press("2")
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    visit.settle()
    assert off(visit.shown(), happy)[0] > 20
    name, _ = visit.download(lambda: visit.page.click("#save"))
    assert name == "face-sad.png"
    assert visit.wrong == []
    visit.context.close()


def test_the_script_in_the_documentation_runs(chromium, pages) -> None:
    page = (ROOT / "docs" / "web-page.md").read_text(encoding="utf-8")
    script = next(part for part in re.findall("```html\n(.*?)```", page, re.S) if "open(" in part)
    photo = PHOTOS["turned"]
    height, width = photo.shape[:2]
    given = f"""<!doctype html><canvas id="before"></canvas>
      <canvas id="after" width="{width}" height="{height}"></canvas><script>
      const bytes = atob("{b64encode(rgba(photo).tobytes()).decode()}");
      const data = Uint8ClampedArray.from(bytes, (each) => each.charCodeAt(0));
      const canvas = document.getElementById("after");
      canvas.getContext("2d").putImageData(new ImageData(data, {width}, {height}), 0, 0);
      document.documentElement.dataset.ready = "yes";</script>
      {script.replace('querySelector("canvas")', 'querySelector("#after")')}"""
    (pages / "rr" / "mine.html").write_text(given, encoding="utf-8")
    visit = Visit(chromium, pages / "rr" / "mine.html")
    wanted = python_makes(photo, "happy", BUNDLED / "london-rr.safetensors", 0.8)
    end = time.monotonic() + 10
    while off(visit.shown(), photo)[0] == 0:
        assert time.monotonic() < end
    assert off(visit.shown(), wanted)[0] <= 1
    assert visit.wrong == []
    visit.context.close()


@pytest.mark.parametrize("way", ["throw new Error('none')", "setTimeout(() => this.onerror())"])
def test_without_workers_the_page_computes_by_itself(way, chromium, pages) -> None:
    none = (
        f"window.Worker = class {{ constructor() {{ {way}; }}"
        " postMessage() {} terminate() {} }"
    )
    visit = Visit(chromium, pages / "flow.html", before=none)
    visit.give("drop", png(PHOTOS["turned"]), "photo.png")
    wanted = python_makes(PHOTOS["turned"], "happy", FLOW)
    assert off(visit.shown("after"), wanted)[0] <= 1
    assert visit.wrong == []
    visit.context.close()


def test_any_name_is_a_button(chromium, tmp_path) -> None:
    """Also one that every object in JavaScript has."""
    plan = next(iter(load(FLOW).plans.values()))
    names = ("toString", '</script><b>"', "__proto__")
    export(Model(dict.fromkeys(names, plan)), "web", tmp_path / "page")
    visit = Visit(chromium, tmp_path / "page" / "index.html", 320, 568)
    assert visit.page.locator("#expressions button").all_inner_texts() == list(names)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert visit.wrong == []
    visit.context.close()


def test_small_screens_and_names_for_those_who_listen(chromium, pages) -> None:
    visit = Visit(chromium, pages / "rr" / "index.html", 360, 720)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    sizes = visit.page.evaluate(
        "[...document.querySelectorAll('button, select, #choose')].filter((it) => it.offsetParent)"
        ".map((it) => [it.id || it.textContent, it.offsetHeight])"
    )
    assert len(sizes) > 12
    assert min(height for _, height in sizes) >= 40, sizes
    for name in ("save", "strength", "choose", "camera"):
        box = visit.page.locator(f"#{name}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 720
    unnamed = visit.page.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=slider]')].filter((it) =>"
        "!it.hidden && !it.ariaLabel && !it.textContent.trim() && !it.labels?.length)"
        ".map((it) => it.id)"
    )
    assert unnamed == []
    assert visit.wrong == []
    visit.context.close()


@pytest.fixture(scope="module")
def rig_page(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("rig") / "rig.html"
    made = export_other("rig", "web", output, (), Options(layout="single"))
    assert made.largest_error is None or made.decibels > 60
    return output


def test_the_rig_has_buttons_sliders_and_mixtures(chromium, rig_page, tmp_path) -> None:
    visit = Visit(chromium, rig_page)
    buttons = visit.page.locator("#expressions button").all_inner_texts()
    assert buttons == list(EXPRESSIONS)
    with Image.open(FACE) as image:
        photo = np.asarray(image.convert("RGB"))
    (tmp_path / "face.png").write_bytes(png(photo))
    visit.choose(tmp_path / "face.png")
    _, content = visit.download(lambda: visit.page.click("#save"))
    rig = RigTranslator(Locator(detector="bundled"), DenseFinder("cascade"), backend="numpy")
    made = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert more_than_one_off(made, rig.translate(photo, "happy")) < FEW_OFF
    visit.page.click("#muscles summary")
    happy = visit.shown()
    sliders = visit.page.locator("#groups input")
    assert sliders.count() == len(EXPRESSIONS) - 1 + len(bare(load_mesh().shapes))
    visit.page.get_by_label("surprised").fill("0.7")
    assert visit.page.locator("#expressions [aria-pressed=true]").count() == 0
    visit.settle()
    both = visit.shown()
    assert off(both, happy)[0] > 20
    wanted = rig.translate(photo, {"happy": 1, "surprised": 0.7})
    assert more_than_one_off(both, wanted) < FEW_OFF
    visit.page.click("#reset")
    visit.settle()
    assert off(visit.shown(), visit.shown("before"))[0] == 0
    visit.page.keyboard.press("3")
    visit.settle()
    name, _ = visit.download(lambda: visit.page.click("#save"))
    assert name == "face-sad.png"
    assert visit.wrong == []
    visit.context.close()


def test_the_rig_says_why_a_face_is_left_alone(chromium, rig_page) -> None:
    visit = Visit(chromium, rig_page)
    visit.give("drop", png(np.full((240, 320, 3), 150, np.uint8)), "blank.png")
    assert "drag the two marks" in visit.says
    visit.page.locator("#mark-left").press("ArrowRight")
    visit.until("document.getElementById('status').textContent.includes('one colour')")
    assert visit.wrong == []
    visit.context.close()


# How far the mouth of the page's own face is from what it was, grey levels in the mean.
MOUTH_APART = """() => {
  const [one, other] = ["before", "after"].map((id) =>
    document.getElementById(id).getContext("2d").getImageData(150, 330, 210, 150).data);
  return one.reduce((sum, value, k) => sum + Math.abs(value - other[k]), 0) / one.length;
}"""


def test_the_photo_does_what_the_face_in_the_camera_does(chromium, rig_page) -> None:
    visit = Visit(chromium, rig_page)
    size = visit.shown("before").shape
    visit.page.click("#camera")
    visit.until("document.documentElement.dataset.frames > 3")
    visit.page.wait_for_timeout(500)  # the change fades in
    assert off(visit.shown("after"), visit.shown("before"))[0] > 20
    visit.page.click("#imitate")
    visit.until("document.getElementById('status').textContent.includes('photo does')")
    apart = []
    for _ in range(40):
        visit.page.wait_for_timeout(50)
        apart.append(visit.page.evaluate(MOUTH_APART))
    assert max(apart) > 3
    assert min(apart) < max(apart) / 2
    visit.page.click("#camera")
    visit.settle()
    assert visit.page.locator("#imitate").is_hidden()
    assert visit.shown("before").shape == size
    assert visit.wrong == []
    visit.context.close()


def more_than_one_off(made: np.ndarray, wanted: np.ndarray) -> float:
    """The share of values that are further apart than a grey level."""
    return float((np.abs(made.astype(int) - wanted) > 1).mean())
