"""The served page in a browser: it shows by itself, and saves what the server behind it makes."""

from __future__ import annotations

import io
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from browser_tools import WAIT, Visit, browser
from browser_tools import pytestmark as pytestmark
from cli_tools import CLI
from PIL import Image

import pixelreg

for package in ("uvicorn", "starlette", "python_multipart"):
    pytest.importorskip(package, reason=f"{package} is absent; the extra 'serve' brings it")
PHOTO = Path(__file__).parents[1] / "examples" / "pictures" / "face.jpg"
ABOUT, MAKER = 0x010E, 0x010F  # tags of EXIF
CORNER = 4  # pixels of a large face's edges that no expression reaches


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator:
    film = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    film.write_bytes(PHOTO.read_bytes() * 4)
    with browser(film) as opened:
        yield opened


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of the rig and another model, of at most a MiB a picture."""
    words = ["serve", "--port", "0", "--model", "rig", "--model", "flow", "--max-mb", "1"]
    with subprocess.Popen([*CLI, *words], stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        yield re.search(r"at (http://127\.0\.0\.1:\d+);", line)[1] + "/"
        process.kill()


@pytest.fixture
def visit(chromium, address) -> Iterator[Visit]:
    made = Visit(chromium, address)
    yield made
    assert made.wrong == []
    made.context.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    """A photo that tells something, and is no page's own kind of file."""
    made, about = tmp_path / "me.jpeg", Image.Exif()
    about[ABOUT], about[MAKER] = "at home", "a camera"
    with Image.open(PHOTO) as image:
        image.save(made, "JPEG", quality=93, exif=about)
    return made


def saved(visit: Visit) -> tuple[str, bytes, str]:
    """What *Save* makes: a file's name and bytes, and what the page says of it."""
    file, content = visit.download(lambda: visit.page.click("#save"))
    visit.until("document.getElementById('status').textContent.includes('Saved as')")
    return file, content, visit.says


def test_what_is_saved_is_the_photos_file_changed_by_the_server(visit, photo) -> None:
    visit.choose(photo)
    assert "nothing is kept" in visit.page.inner_text(".promise")
    visit.page.fill("#strength", "0.8")
    file, content = visit.download(lambda: visit.page.click("#save"))
    assert file == "me-happy.jpeg"
    assert content == pixelreg.translate(photo.read_bytes(), "happy", "rig", 0.8)
    visit.page.click("#muscles summary")
    visit.page.get_by_label("surprised").fill("0.7")
    visit.page.locator("#groups summary").get_by_text("Mouth").click()
    visit.page.get_by_label("smile", exact=True).fill("0.25")
    visit.settle()
    shown = visit.shown()
    file, content, said = saved(visit)
    assert said == f"Saved as {file} by this server's pixelreg."
    wish = {"happy": 1, "surprised": 0.7, "mouthSmile": 0.25}
    assert content == pixelreg.translate(photo.read_bytes(), wish, "rig", 0.8)
    with Image.open(io.BytesIO(content)) as made:
        assert made.format == "JPEG"
        assert made.getexif()[ABOUT] == "at home"
        assert np.abs(shown.astype(int) - np.asarray(made)).mean() < 2  # JPEG's own, once more


def test_where_the_server_refuses_the_page_saves_its_own_and_says_so(
    visit, photo, tmp_path
) -> None:
    large = tmp_path / "large.png"
    with Image.open(photo) as image:
        image.resize((620, 620)).save(large, compress_level=0)
    visit.choose(large)
    file, content, said = saved(visit)
    assert file == "large-happy.png"
    assert "by this page, not by its server: the request is longer than 1,048,576" in said
    assert Image.open(io.BytesIO(content)).size == (620, 620)
    visit.choose(photo)
    visit.context.set_offline(True)
    file, content, said = saved(visit)
    assert file == "me-happy.jpg"
    assert "by this page, not by its server: that does not answer" in said
    assert Image.open(io.BytesIO(content)).format == "JPEG"
    told, visit.wrong[:] = list(visit.wrong), []
    assert all("413" in line or "ERR_INTERNET_DISCONNECTED" in line for line in told)  # browser's


def test_what_the_server_could_not_make_as_shown_the_page_saves(visit, photo) -> None:
    visit.choose(photo)
    visit.page.select_option("#format", "image/png")
    file, content, said = saved(visit)
    assert (file, said) == ("me-happy.png", "Saved as me-happy.png.")
    assert Image.open(io.BytesIO(content)).format == "PNG"
    visit.page.select_option("#format", "served")
    visit.page.click("#eyes")
    visit.page.locator("#mark-left").press("ArrowRight")
    visit.settle()
    assert "not by its server: that looks for eyes by itself" in saved(visit)[2]
    visit.choose(photo)
    visit.page.click("#muscles summary")
    visit.page.click("#reset")
    visit.settle()
    assert "not by its server: nothing is changed" in saved(visit)[2]


def test_the_served_page_reaches_its_server_and_nobody_else(visit) -> None:
    asked = "fetch('{}').then((it) => it.status, () => 'kept')"
    assert visit.page.evaluate(asked.format("/api/models")) == 200
    assert visit.page.evaluate(asked.format("https://example.com")) == "kept"
    assert visit.wrong
    assert all("Content Security Policy" in line for line in visit.wrong)
    visit.wrong.clear()
    visit.page.goto(visit.page.url + "form")
    visit.page.wait_for_selector("#go:not([disabled])", timeout=WAIT)
    names = visit.page.locator("#model option").all_inner_texts()
    assert names == ["rig", "flow"]


class Foreign(BaseHTTPRequestHandler):
    """Another site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *told: object) -> None:
        """Say nothing."""


SEND = """async ([address, kind, mode]) => {
  const body = new Blob(["x"], { type: "text/plain" });
  const given = { method: "POST", body, mode, headers: kind ? { "Content-Type": kind } : {} };
  return fetch(`${address}api/apply?expression=happy`, given).then((it) => it.type, () => "kept");
}"""
POST = """(address) => {
  const form = document.createElement("form");
  Object.assign(form, { action: `${address}api/apply`, method: "POST" });
  form.enctype = "multipart/form-data";
  document.body.append(form);
  form.submit();
}"""
FRAME = """async (address) => {
  const frame = document.createElement("iframe");
  frame.src = address;
  await new Promise((loaded) => { frame.onload = loaded; document.body.append(frame); });
  try { return frame.contentDocument !== null; } catch { return false; }
}"""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_cannot_use_it(chromium, address, name) -> None:
    with HTTPServer(("127.0.0.1", 0), Foreign) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, args=(0.01,), daemon=True).start()
        page = chromium.new_page()
        page.goto(f"http://{name}:{elsewhere.server_port}/")
        for kind in ("", "application/octet-stream"):
            for mode in ("cors", "no-cors"):
                assert page.evaluate(SEND, [address, kind, mode]) == "kept"
        assert page.evaluate(f"fetch('{address}').then(() => 'read', () => 'kept')") == "kept"
        assert not page.evaluate(FRAME, address)
        with page.expect_response("**/api/apply") as waited:
            page.evaluate(POST, address)
        assert waited.value.status == 403
        page.close()
        elsewhere.shutdown()
