"""The exported page: its engine in node against Python, and the page itself in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from page_tools import NODE, PAGE, needs_node, off, rgba, run_page
from PIL import Image
from test_exporters import model_of

import pixelreg
from pixelreg.errors import UsageError
from pixelreg.export import Options, export
from pixelreg.export.coding import coded
from pixelreg.export.pagefiles import ENGINE, KINDS, SERVING
from pixelreg.export.pagefiles import PAGE as SHOWING
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.cascade import load_weights
from pixelreg.faces.locate import Locator
from pixelreg.models import BUNDLED
from pixelreg.models.file import load
from pixelreg.models.model import Frame
from pixelreg.translator import PlanTranslator

FACE = PAGE / "face.jpg"
FLOW = BUNDLED / "london-happy.safetensors"
DETECTING = ("looks", "align", "planes", "detector", "turned")


def face_at(width: int, height: int, side: int, left: int, top: int, turn: float = 0) -> np.ndarray:
    """The composite face, reduced and turned, on a plain ground with some grain."""
    with Image.open(FACE) as image:
        small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (width, height), (150, 155, 160))
    ground.paste(
        small.rotate(turn, Image.Resampling.BICUBIC, fillcolor=(150, 155, 160)), (left, top)
    )
    grain = np.random.default_rng(side).normal(0, 2, (height, width, 1))
    return np.clip(np.rint(np.asarray(ground) + grain), 0, 255).astype(np.uint8)


PHOTOS = {
    "small": face_at(300, 260, 200, 60, 30),
    "turned": face_at(640, 480, 360, 150, 60, 12),
    "cut by the border": face_at(420, 500, 420, -20, 50),
    "large": face_at(1700, 1300, 1000, 400, 150, -7),
    "middling": face_at(900, 700, 420, 300, 150, -4),
    "no face": face_at(320, 240, 8, 3, 3),
}


@pytest.fixture(scope="module")
def one_file(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("page") / "page.html"
    made = export(load(FLOW), "web", output, (), Options(layout="single"))
    assert made.largest_error in (None, 0, 1)
    return output


def python_makes(photo: np.ndarray, target: str, file: Path, strength: float = 1) -> np.ndarray:
    """What Python makes of a photo whose face the same detector finds."""
    locator = Locator(detector="bundled")
    return pixelreg.load(file, locator=locator).translate(photo, target, strength)


# The engine, in node


@needs_node
@pytest.mark.parametrize(
    ("name", "is_all"),
    [*((name, False) for name in PHOTOS), ("middling", True), ("small", True), ("no face", True)],
)
def test_faces_are_where_python_finds_them(name, is_all, tmp_path) -> None:
    photo, weights = PHOTOS[name], load_weights()
    wanted = BundledDetector(weights).detect(photo, largest=not is_all)
    body = """
      return { faces: findFaces(photoOf("photo"), arrays, values.isAll) };
    """
    arrays = {**vars(weights), "photo": rgba(photo)}
    made = run_page(tmp_path, DETECTING, body, arrays, {"isAll": is_all})["faces"]
    assert len(made) == len(wanted)
    assert (len(wanted) > 0) == (name != "no face")
    for mine, face in zip(made, wanted, strict=True):
        np.testing.assert_allclose(np.reshape(mine["points"], (5, 2)), face.points, atol=1e-3)
        assert mine["score"] == pytest.approx(face.score, abs=1e-4)


@needs_node
@pytest.mark.parametrize("turn", [-90])
def test_turned_heads_are_where_python_finds_them(turn, tmp_path) -> None:
    photo = face_at(330, 300, 240, 40, 30, turn)
    wanted = Locator(detector="bundled").faces(photo)
    body = """return { faces: facesAtAnyRoll(photoOf("photo"), arrays) };"""
    arrays = {**vars(load_weights()), "photo": rgba(photo)}
    made = run_page(tmp_path, DETECTING, body, arrays)["faces"]
    assert len(made) == len(wanted) == 1
    np.testing.assert_allclose(np.reshape(made[0]["points"], (5, 2)), wanted[0].points, atol=1e-3)


@needs_node
def test_crops_are_pillows_to_the_bit(tmp_path) -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (260, 340, 3), np.uint8)
    cases = []
    for _ in range(25):
        apart, angle = np.exp(rng.uniform(np.log(12), np.log(300))), rng.uniform(-1, 1)
        across = apart * np.array([np.cos(angle), np.sin(angle)])
        middle = rng.uniform(0, 1, 2) * [340, 260]
        cases.append([*(middle - across / 2), *(middle + across / 2)])
    cases.append([46.08, 49.92, 81.92, 49.92])  # upright, a crop pixel a pixel
    body = """
      const made = values.cases.map((eyes) =>
        cropOf(photoOf("photo"), similarityFromEyes(eyes, values.frame, 128), 128));
      return { crops: Uint8Array.from(made.flatMap((each) => Array.from(each))) };
    """
    frame = [*Frame().left_eye, *Frame().right_eye]
    values = {"cases": np.array(cases).tolist(), "frame": frame}
    made = run_page(tmp_path, ("align",), body, {"photo": rgba(photo)}, values)["crops"]
    for eyes, mine in zip(cases, made.reshape(-1, 128, 128, 3), strict=True):
        place = similarity_from_eyes(np.reshape(eyes, (2, 2)), Frame(), 128)
        np.testing.assert_array_equal(mine, crop(photo, place, 128))


def engine_on(folder: Path, photo: np.ndarray, wish: dict, strength: float) -> np.ndarray:
    """What a folder's engine makes of a photo, called as docs/web-page.md says."""
    script = """
      const fs = require("fs"), vm = require("vm");
      const load = (name) => vm.runInThisContext(fs.readFileSync(name, "utf8"));
      ["engine.js", "model.js"].forEach(load);
      const { width, height, wish, strength } = JSON.parse(process.argv[2]);
      (async () => {
        const engine = await vm.runInThisContext("pixelreg.open(pixelregModel)");
        const photo = { data: new Uint8ClampedArray(fs.readFileSync(0)), width, height };
        const face = engine.findFaces(photo)[0];
        const made = engine.change(engine.prepare(photo, face), wish, strength);
        for (let y = 0; y < made.height; y++) {
          const row = made.data.subarray(4 * y * made.width, 4 * (y + 1) * made.width);
          photo.data.set(row, 4 * ((made.y + y) * width + made.x));
        }
        fs.writeSync(1, photo.data);
      })();
    """
    (folder / "run.js").write_text(script, encoding="utf-8")
    height, width = photo.shape[:2]
    asked = {"width": width, "height": height, "wish": wish, "strength": strength}
    words = [str(NODE), "run.js", json.dumps(asked)]
    done = subprocess.run(words, cwd=folder, input=rgba(photo).tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.uint8).reshape(height, width, 4)[..., :3]


@needs_node
@pytest.mark.parametrize("file", ["london-happy.safetensors", "london-rr.safetensors"])
def test_a_photo_is_changed_as_python_changes_it(file, tmp_path) -> None:
    export(load(BUNDLED / file), "web", tmp_path, ["happy"])
    for name, strength in (("turned", 1.0), ("cut by the border", 0.6), ("large", 1.4)):
        wanted = python_makes(PHOTOS[name], "happy", BUNDLED / file, strength)
        made = engine_on(tmp_path, PHOTOS[name], {"happy": 1}, strength)
        worst, share = off(made, wanted)
        assert worst <= 1, name
        assert share <= 1e-3, name
        assert off(made, PHOTOS[name])[0] > 20


@needs_node
def test_a_crop_is_taken_as_one(tmp_path) -> None:
    model = model_of("kernel")
    export(model, "web", tmp_path / "page")
    photo = np.random.default_rng(2).integers(0, 256, model.shape, np.uint8)
    made = engine_on(tmp_path / "page", photo, {"very sad": 1}, 0.8)
    wanted = PlanTranslator(model).translate(photo, "very sad", 0.8)
    assert off(made, wanted)[0] <= 1


@needs_node
@pytest.mark.parametrize("place", [(16, 10), (30, 30)])
def test_a_face_in_a_picture_of_the_models_size_is_where_it_is(place, tmp_path) -> None:
    """In the first as a crop has it, in the second elsewhere."""
    export(load(FLOW), "web", tmp_path)
    photo = face_at(128, 128, 96, *place)
    made = engine_on(tmp_path, photo, {"happy": 1}, 1)
    assert off(made, python_makes(photo, "happy", FLOW))[0] <= 1


@needs_node
@pytest.mark.parametrize(("kind", "options"), [
    ("flow", Options("int8", detail=4)), ("kernel", Options("int8", mask="face")),
    ("affine", Options("int8")),
])  # fmt: skip
def test_codes_are_decoded_as_python_decodes_them(kind, options, tmp_path) -> None:
    model = model_of(kind, 64)
    export(model, "web", tmp_path / "page", (), options)
    photo = np.random.default_rng(4).integers(0, 256, (64, 64, 3), np.uint8)
    made = engine_on(tmp_path / "page", photo, {"happy": 1}, 1.2)
    decoded = PlanTranslator(coded(model, options).decoded)
    assert off(made, decoded.translate(photo, "happy", 1.2))[0] <= 1
    assert off(made, photo)[0] > 20


# The files


def test_every_script_is_in_the_page_and_no_name_is_declared_twice() -> None:
    kinds = [stem for scripts, _ in KINDS.values() for stem in scripts]
    stems = {path.stem for path in PAGE.glob("*.js")}
    assert stems == {*ENGINE, *kinds, *SHOWING, SERVING}
    for part in ((*ENGINE, *kinds), (SERVING, *SHOWING)):
        text = "\n".join((PAGE / f"{stem}.js").read_text(encoding="utf-8") for stem in part)
        names = re.findall(r"^(?:async )?(?:function\*?|const|let|class) (\w+)", text, re.M)
        assert sorted(set(names)) == sorted(names)


def test_one_file_holds_all_and_may_reach_nothing(one_file) -> None:
    text = one_file.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    policy = re.search(r'Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    assert "connect-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|eval)\b", text)
    assert "Nothing leaves this device" in text
    about = one_file.with_suffix(".README.txt").read_text(encoding="utf-8")
    for part in (text.replace("&amp;", "&"), about):
        assert "DeBruine, L., & Jones, B. (2017)" in part
        assert "CC BY 4.0" in part
    assert "4055130" in text  # the composite that it opens with


def test_a_script_in_a_name_stays_a_name(tmp_path) -> None:
    model = model_of("affine")
    plans = {"</script><b>": model.plans["happy"]}
    output = tmp_path / "page.html"
    export(type(model)(plans, frame=model.frame), "web", output, (), Options(layout="single"))
    assert "</script><b>" not in output.read_text(encoding="utf-8")


def test_where_it_goes_is_checked(tmp_path, monkeypatch) -> None:
    model = model_of("affine")
    (tmp_path / "file").write_text("here before")
    for name, layout, said in (
        ("page.txt", "single", "writes NAME.html"),
        ("page.html", "folder", "add --single"),
        ("file", "folder", "is a file"),
    ):
        with pytest.raises(UsageError, match=said):
            export(model, "web", tmp_path / name, (), Options(layout=layout))
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    monkeypatch.setattr("pixelreg.export.web.which", lambda name: None)
    made = export(model, "web", tmp_path / "page")
    assert (made.largest_error, made.ran_by) == (None, "there is no node here")
