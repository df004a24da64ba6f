"""The server: what it answers is what it describes, and what it refuses it refuses unharmed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import CLI
from PIL import Image

pytest.importorskip("uvicorn", reason="uvicorn is absent; the extra 'serve' brings it")
pytest.importorskip("starlette", reason="starlette is absent; the extra 'serve' brings it")
pytest.importorskip("python_multipart", reason="python-multipart is absent, of the extra 'serve'")
pytest.importorskip("httpx2", reason="httpx2 is absent; the extra 'test' brings it")
from starlette.testclient import TestClient

from pixelreg.api import load
from pixelreg.commands.main import main
from pixelreg.export import export
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model, Provenance
from pixelreg.models.plans import AffinePlan, SparsePlan
from pixelreg.rig.translator import RigTranslator
from pixelreg.server.app import Service
from pixelreg.server.description import described
from pixelreg.server.guard import HEADERS, Guard
from pixelreg.server.limits import MOST_FRAMES, Limits
from pixelreg.server.menu import Menu
from pixelreg.server.page import Page
from pixelreg.translator import Changer, PlanTranslator

FACE = Path(__file__).parents[1] / "examples" / "pictures" / "face.jpg"
SIZE = 16
HERE = "http://127.0.0.1:8000"
APPLY = "/api/apply"


def plan_of(target: float) -> AffinePlan:
    ones = np.ones((SIZE, SIZE, 3), np.float32)
    return AffinePlan(ones * np.float32(0.5), ones * np.float32(target))


MODEL = Model(
    {"happy": plan_of(0.1), "sad": plan_of(0.3)},
    provenance=Provenance(licence="CC BY 4.0", attribution="DeBruine 2016"),
)


@dataclass(frozen=True)
class Held(PlanTranslator):
    """A model that computes only once it is let go."""

    free: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def changer(self, target: Any) -> Changer:
        made = super().changer(target)

        def wait(crop: Any) -> Any:
            self.begun.set()
            assert self.free.wait(20)
            return made.change(crop)

        return replace(made, change=wait)


def encoded(format: str = "PNG", size: tuple[int, int] = (SIZE, SIZE), **options: Any) -> bytes:
    rng = np.random.default_rng(7)
    buffer = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def matches(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether a value is as a JSON schema says, of the words that ours use."""
    if "$ref" in schema:
        return matches(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
    assert set(schema) <= {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "const",
    }
    if "const" in schema:
        return bool(value == schema["const"])
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(matches(item, schema["items"], schemas) for item in value)
    if isinstance(value, dict) and "properties" in schema:
        inside = schema["properties"]
        return set(schema["required"]) <= set(value) <= set(inside) and all(
            matches(item, inside[name], schemas) for name, item in value.items()
        )
    return True


class Asked:
    """A client that finds every answer in the server's own description."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.client = TestClient(service.application(), base_url=HERE)
        self.described = described(service.menu, service.limits)

    def __call__(self, method: str, path: str, **given: Any) -> Any:
        answer = self.client.request(method, path, **given)
        assert all(answer.headers[name] for name in HEADERS)
        assert "Traceback" not in answer.text
        if answer.status_code not in (404, 405):
            self._found(answer, method, path.partition("?")[0])
        return answer

    def apply(self, content: bytes, words: str = "?expression=happy", **headers: str) -> Any:
        return self("POST", APPLY + words, content=content, headers=headers)

    def refused(self, status: int, *args: Any, **given: Any) -> str:
        answer = self.apply(*args, **given)
        assert answer.status_code == status, answer.text[:500]
        told = answer.json()
        assert told["error"]
        assert told["remedy"]
        return str(told["error"])

    def _found(self, answer: Any, method: str, path: str) -> None:
        operation = self.described["paths"][path][method.lower()]
        said = operation["responses"][str(answer.status_code)]
        assert {name.lower() for name in said.get("headers", {})} <= set(answer.headers)
        media = answer.headers["content-type"].partition(";")[0]
        schema = said["content"][media].get("schema", {})
        if media == "application/json":
            assert matches(answer.json(), schema, self.described["components"]["schemas"])


def asked_of(translator: PlanTranslator | None = None, **limits: Any) -> Asked:
    menu = Menu(
        {"grey": translator or PlanTranslator(MODEL, name="/secret/place/grey.safetensors")}
    )
    return Asked(Service(menu, replace(Limits(), **limits), Guard(("faces.example.org", ""))))


@pytest.fixture
def ask() -> Asked:
    return asked_of()


# What it does.


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF"])
def test_a_picture_comes_back_as_translate_makes_it_and_of_its_own_kind(ask, format) -> None:
    content = encoded(format)
    answer = ask.apply(content, "?expression=sad&strength=0.5", **{"Content-Type": "image/x"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == Image.MIME[format]
    assert Image.open(io.BytesIO(answer.content)).format == format
    assert answer.content == PlanTranslator(MODEL).translate(content, "sad", 0.5)


def test_forms_and_raw_bodies_say_the_same(ask) -> None:
    raw = ask.apply(encoded(), "?expression=happy&strength=2&model=grey")
    fields = {"expression": "happy", "strength": "2", "model": "grey"}
    form = ask("POST", APPLY, files={"image": ("../../etc/passwd", encoded())}, data=fields)
    mixed = ask(
        "POST", APPLY + "?strength=2", files={"image": encoded()}, data={"expression": "happy"}
    )
    assert raw.content == form.content == mixed.content
    assert raw.content != ask.apply(encoded()).content


def test_every_frame_of_an_animation_is_changed(ask) -> None:
    levels = (0, 100, 200)
    frames = [Image.new("RGB", (SIZE, SIZE), (level,) * 3) for level in levels]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], duration=50)
    made = Image.open(io.BytesIO(ask.apply(buffer.getvalue()).content))
    assert made.n_frames == 3
    for number, level in enumerate(levels):
        made.seek(number)
        assert made.convert("RGB").getpixel((3, 3)) == (round(level / 2 + 25.5),) * 3


def test_faces_and_notes_are_told_in_headers() -> None:
    frame = Asked(Service(Menu({"m": PlanTranslator(replace(MODEL, frame=Frame()))})))
    answer = frame.apply(FACE.read_bytes())
    assert answer.headers["pixelreg-faces"] == "1"
    assert json.loads(answer.headers["pixelreg-notes"]) == []
    crop = frame.apply(encoded())
    assert crop.headers["pixelreg-faces"] == "0"
    assert "taken as a face crop" in json.loads(crop.headers["pixelreg-notes"])[0]


def test_notes_are_told_whatever_stands_in_them() -> None:
    note = 'Grüße: "\x7f\r\nSet-Cookie: x" \u2603'

    class Noting(PlanTranslator):
        def prepare(self, *given: Any) -> Any:
            return replace(super().prepare(*given), notes=(note,))

    answer = asked_of(Noting(MODEL)).apply(encoded())
    told = answer.headers["pixelreg-notes"]
    assert json.loads(told) == [note]
    assert all(" " <= letter <= "~" for letter in told)
    assert "set-cookie" not in answer.headers


def test_models_are_named_and_their_files_are_not(ask) -> None:
    answer = ask("GET", "/api/models")
    told = answer.json()["models"][0]
    assert (told["name"], told["targets"], told["size"]) == ("grey", ["happy", "sad"], SIZE)
    assert (told["licence"], told["attribution"]) == ("CC BY 4.0", "DeBruine 2016")
    assert "secret" not in answer.text


def test_the_description_names_every_route_and_no_other(ask) -> None:
    routes = {
        (route.path, method)
        for route in ask.service.application().app.routes
        for method in route.methods - {"HEAD"}
    }
    told = ask("GET", "/openapi.json").json()
    assert told == json.loads(json.dumps(ask.described))
    assert {(p, m.upper()) for p, methods in told["paths"].items() for m in methods} == routes
    parameters = told["paths"][APPLY]["post"]["parameters"]
    by_name = {each["name"]: each["schema"] for each in parameters}
    assert by_name["model"]["enum"] == ["grey"]
    for strength in (by_name["strength"]["minimum"], by_name["strength"]["maximum"]):
        assert ask.apply(encoded(), f"?expression=happy&strength={strength}").status_code == 200


def test_the_form_runs_its_own_scripts_and_no_others(ask) -> None:
    answer = ask("GET", "/form")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    changed = Page(answer.text.replace("</script>", "alert(1)</script>"))
    assert changed.policy != policy
    assert not re.search(r"https?://|\bon\w+=|\bstyle=", answer.text)
    assert "'none'" in Page("<p>plain").policy


def test_the_page_is_the_exported_one_and_may_ask_its_server(ask) -> None:
    answer = ask("GET", "/")
    told = re.search(r'Policy" content="([^"]*)"', answer.text)[1]
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(s.encode()).digest()).decode()}'" for s in scripts]
    for policy in (answer.headers["content-security-policy"], told):
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert re.search("script-src ([^;]*)", policy)[1].split() == hashes
    assert 'served("grey")' in answer.text
    assert answer.text.count("nothing is kept") >= 1
    assert "Nothing leaves this device" not in answer.text
    assert not re.search(r"\b(src|href)=\"(?!data:|/form)", answer.text)


def sparse_model() -> PlanTranslator:
    """A model of a kind that no page can hold."""
    plan = SparsePlan(
        np.zeros((1, 2), np.int8),
        np.ones((1, SIZE, SIZE, 3), np.float32),
        np.zeros((SIZE, SIZE, 3), np.float32),
    )
    return PlanTranslator(Model({"happy": plan}))


def test_the_page_is_that_of_the_first_model_that_it_can_hold(monkeypatch, ask) -> None:
    second = {"sparse": sparse_model(), "</script>": PlanTranslator(MODEL)}
    assert 'served("\\u003c/script>")' in Page.of(second).html
    assert Page.of({"sparse": sparse_model()}) == Page.form()
    monkeypatch.setattr("pixelreg.server.page.LARGEST", 1000)
    assert Page.of(second) == Page.form()
    other = Service(ask.service.menu, page=Page("<p>mine"))
    assert TestClient(other.application(), base_url=HERE).get("/").text == "<p>mine"


def test_onnx_models_have_the_form(tmp_path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is absent; the extra 'onnx' brings it")
    export(MODEL, "onnx", tmp_path / "grey.onnx")
    only = Asked(Service(Menu({"grey": load(tmp_path / "grey.onnx")})))
    assert only("GET", "/").text == only("GET", "/form").text == Page.form().html


def test_it_is_well_and_says_so(ask) -> None:
    assert ask("GET", "/healthz").json() == {"status": "ok", "inside": 0}


# Mixtures.


@pytest.fixture(scope="module")
def rig() -> Asked:
    return Asked(Service(Menu({"rig": RigTranslator(), "grey": PlanTranslator(MODEL)})))


def test_sliders_are_set_in_the_address_or_in_the_form(rig) -> None:
    wanted = RigTranslator().translate(FACE.read_bytes(), {"happy": 0.5, "AU2": 1}, 0.8)
    given = rig.apply(FACE.read_bytes(), "?slides=happy%3D0.5&slides=AU2=1&strength=0.8")
    assert given.content == wanted
    fields = {"slides": ["happy=0.5", "AU2=1"], "strength": "0.8"}
    form = rig("POST", APPLY, files={"image": FACE.read_bytes()}, data=fields)
    assert form.content == wanted
    half = {"slides": ["happy=0.5"], "strength": "1"}  # what the address says holds
    mixed = rig(
        "POST",
        APPLY + "?slides=happy=0.5&slides=AU2=1&strength=0.8",
        files={"image": FACE.read_bytes()},
        data=half,
    )
    assert mixed.content == wanted


def test_sliders_are_told_with_the_models(rig) -> None:
    told, plain = rig("GET", "/api/models").json()["models"]
    assert {"name": "surprised", "lowest": 0, "highest": 1} in told["sliders"]
    assert plain["sliders"] == []
    every = [f"slides={each['name']}={each['highest'] / 50}" for each in told["sliders"]]
    assert rig.apply(FACE.read_bytes(), "?" + "&".join(every)).status_code == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("slides=happy", "no number"),
        ("slides=happy=", "no number"),
        ("slides=", "no number"),
        ("slides=happy=x", "no number"),
        ("slides=happy=nan", "no number"),
        ("slides=happy=-inf", "no number"),
        ("slides=happy=1=1", "no number"),
        ("slides=happy=3.01", "from -3 to 3"),
        ("slides=%7B%22happy%22%3A1%7D", "no number"),
        ("slides==1", "unknown"),
        ("slides=hapy=1", "unknown"),
        ("slides=happy=1&slides=happy=0.5", "twice"),
        ("slides=happy=1&expression=sad", "both say"),
        ("slides=happy=1&strength=nan", "strength"),
        ("slides=happy=1&model=grey", "no sliders"),
        ("slide=happy=1", "unknown parameter"),
    ],
)
def test_mixtures_that_make_no_sense(rig, words, said) -> None:
    told = rig.refused(422, b"not even looked at", f"?{words}")
    assert said in told
    assert len(told) < 200


# What it refuses.


@pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "1e9", "x", "1,5", "0x1", "10.01"])
def test_strengths_that_make_no_sense(ask, strength) -> None:
    assert "strength" in ask.refused(422, encoded(), f"?expression=happy&strength={strength}")


def test_unknown_names_are_answered_with_those_that_are_known(ask) -> None:
    for words, choices in (
        ("?expression=hapy", ["happy", "sad"]),
        ("", ["happy", "sad"]),
        ("?expression=happy&model=../../etc/passwd", ["grey"]),
        ("?expr=happy", ["expression", "strength", "slides", "model"]),
    ):
        answer = ask.apply(encoded(), words)
        assert (answer.status_code, answer.json()["choices"]) == (422, choices)
    assert "twice" in ask.refused(422, encoded(), "?expression=happy&expression=sad")


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"x" * 5000, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"]
)
def test_what_is_no_picture(ask, content) -> None:
    ask.refused(415, content)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_pictures(ask) -> None:
    for format in ("PNG", "JPEG", "GIF", "TIFF", "BMP"):
        content = encoded(format)
        for cut in (content[:9], content[: len(content) // 2]):
            assert ask.apply(cut).status_code in (415, 422)


def test_bodies_of_the_wrong_kind(ask) -> None:
    for media in ("text/html", "application/json", "image"):
        ask.refused(415, encoded(), **{"Content-Type": media})
    ask.refused(415, zlib.compress(encoded()), **{"Content-Encoding": "deflate"})
    for media in ("multipart/form-data", "multipart/form-data; boundary=x"):
        ask.refused(400, encoded(), **{"Content-Type": media})
    answer = ask("POST", APPLY + "?expression=happy", files={"photo": encoded()})
    assert (answer.status_code, "image" in answer.json()["error"]) == (422, True)
    several = [("image", encoded())] * 30
    assert ask("POST", APPLY, files=several).status_code == 413
    assert ask("POST", APPLY, files=several[:2]).status_code == 422


def test_other_addresses_and_other_methods(ask) -> None:
    for path in (
        "/../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/api",
        "/static/",
        "/api/apply/",
    ):
        assert ask("GET", path).status_code == 404
    for method, path in (("GET", APPLY), ("POST", "/"), ("DELETE", "/healthz"), ("PUT", APPLY)):
        answer = ask(method, path)
        assert answer.status_code == 405
        assert set(answer.json()) == {"error", "remedy"}


def test_bytes_are_counted_as_they_arrive_whatever_was_declared() -> None:
    ask, large = asked_of(bytes=2000), encoded(size=(64, 64))
    assert len(large) > 2000
    assert "2,000 bytes" in ask.refused(413, large)
    unread: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in range(100_000):
            unread.append(number)
            yield b"x" * 1000

    ask.refused(413, endless())  # chunked: no length is declared
    ask.refused(413, b"x", **{"Content-Length": "99999999999999999999"})
    ask.refused(413, b"x", **{"Content-Length": "-1"})
    answer = ask("POST", APPLY, files={"image": large})
    assert answer.status_code == 413


def png_of(width: int, height: int, rows: bytes) -> bytes:
    """A PNG that says a size and holds what it likes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_pictures_that_say_that_they_are_huge_are_not_decoded() -> None:
    ask = asked_of(pixels=1_000_000)
    for size in ((1001, 1000), (50_000, 50_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)):
        assert ask.apply(png_of(*size, b"\0" * 10_000_000)).status_code in (413, 422)
    frames = [Image.new("RGB", (600, 600), (80 * number,) * 3) for number in range(4)]
    for format in ("GIF", "TIFF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        many = {"save_all": True, "append_images": frames[1:]}
        frames[0].save(buffer, format, **many)
        assert "pixels" in ask.refused(413, buffer.getvalue()), format
    buffer = io.BytesIO()  # the second page is the large one
    Image.new("L", (1, 1)).save(
        buffer, "TIFF", save_all=True, append_images=[Image.new("L", (1001, 1000))]
    )
    assert "pixels" in ask.refused(413, buffer.getvalue())


def test_animations_of_too_many_frames() -> None:
    frame = b"\x2c" + struct.pack("<4H", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    gif = b"GIF89a" + struct.pack("<2H", 1, 1) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    start = time.monotonic()
    assert "frames" in asked_of().refused(413, gif + frame * 1_000_000 + b"\x3b")
    assert time.monotonic() - start < 5
    assert str(MOST_FRAMES) in asked_of().refused(413, gif + frame * (MOST_FRAMES + 1) + b"\x3b")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.com"}, 421),
        ({"Host": "evil.com:8000"}, 421),
        ({"Host": ""}, 421),
        ({"Host": ":80"}, 421),
        ({"Host": "localhost.evil.com"}, 421),
        ({"Host": "127.0.0.1.evil.com"}, 421),
        ({"Host": "evil.com@localhost"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.com"}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "http://127.0.0.1:8000.evil.com"}, 403),
        ({"Origin": "//["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": HERE}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.com"}, 403),
        ({"Origin": HERE}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, 200),
        ({"Host": "192.168.1.7"}, 200),
        ({"Host": "faces.example.org", "Origin": "https://faces.example.org"}, 200),
        ({"Host": "127.0.0.1:8000", "Origin": "https://Faces.example.org"}, 200),
    ],
)
def test_who_may_ask(ask, headers, status) -> None:
    assert ask.apply(encoded(), **headers).status_code == status
    seen = ask("GET", "/api/models", headers=headers).status_code
    assert seen == (421 if status == 421 else 200)


# Where there is no room, or no time.


def in_background(call: Callable[[], Any]) -> Any:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_who_finds_no_place_is_told_when_to_come_again() -> None:
    translator = Held(MODEL)
    ask = asked_of(translator, workers=1, waiting=1)
    first = in_background(lambda: ask.apply(encoded()))
    assert translator.begun.wait(10)
    second = in_background(lambda: ask.apply(encoded()))
    until(lambda: ask.service.places.taken == 2)
    third = ask.apply(encoded())
    assert third.status_code == 503
    assert int(third.headers["retry-after"]) >= 1
    assert ask("GET", "/healthz").json()["inside"] == 2
    translator.free.set()
    assert first.result(10).status_code == second.result(10).status_code == 200
    assert ask.service.places.taken == 0


def test_what_takes_too_long_keeps_its_place_until_it_is_done() -> None:
    translator = Held(MODEL)
    ask = asked_of(translator, workers=1, waiting=1, seconds=0.3)
    first = in_background(lambda: ask.apply(encoded()))
    assert translator.begun.wait(10)
    second = ask.apply(encoded())
    assert second.status_code == 503  # it never began
    assert first.result(10).status_code == 504
    assert ask.service.places.taken == 1
    translator.free.set()
    until(lambda: ask.service.places.taken == 0)
    assert ask.apply(encoded()).status_code == 200


def test_an_error_of_ours_is_told_here_and_not_there(caplog) -> None:
    class Broken(PlanTranslator):
        def prepare(self, *given: Any) -> Any:
            raise RuntimeError("/secret/place is broken")

    ask = asked_of(Broken(MODEL))
    answer = ask.apply(encoded())
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "/secret/place is broken" in caplog.text
    assert ask.service.places.taken == 0


# The command, as it runs.


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    process: Any
    port: int

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

    def raw(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """What comes back for bytes that are sent one part after the other."""
        with self.connected() as there:
            for part in parts:
                try:
                    there.sendall(part)
                except OSError:
                    break
                time.sleep(pause)
            return read_all(there)

    def apply(self, content: bytes) -> tuple[int, bytes]:
        head = f"POST {APPLY}?expression=happy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        answer = self.raw(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        first, _, body = answer.partition(b"\r\n\r\n")
        return int(first.split()[1]), body


def read_all(there: socket.socket) -> bytes:
    parts = []
    try:
        while part := there.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.fixture
def running(tmp_path) -> Iterator[Callable[..., Running]]:
    modelfile.save(MODEL, tmp_path / "grey.safetensors")
    processes = []

    def start(*options: object) -> Running:
        (tmp_path / "tmp").mkdir()
        words = ["serve", "--port", 0, "--model", tmp_path / "grey.safetensors", *options]
        process = subprocess.Popen(
            [*CLI, *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        )
        processes.append(process)
        line = process.stderr.readline()
        assert "serving grey at http://127.0.0.1:" in line, line
        return Running(process, int(re.search(r":(\d+);", line)[1]))

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_leaves_nothing(running, tmp_path, number) -> None:
    server = running()
    content = encoded("PNG", (700, 700))  # over a megabyte, which forms are spooled to disk from
    boundary = b"--x\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
    body = boundary + content + b"\r\n--x--\r\n"
    head = f"POST {APPLY}?expression=sad HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    assert len(content) > 2**20
    assert server.raw(head.encode() + body).startswith(b"HTTP/1.1 200")
    assert list((tmp_path / "tmp").iterdir()) == []
    with server.connected():
        server.process.send_signal(number)
        assert server.process.wait(15) == 0
    assert server.process.stderr.read() == ""


def test_two_hundred_at_once_are_answered_or_told_to_come_again(running) -> None:
    server = running("--workers", 2, "--waiting", 8)
    content = encoded("PNG", (300, 300))
    expected = PlanTranslator(MODEL).translate(content, "happy")
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(server.apply, [content] * 200))
    counts = {status: [a for a in answers if a[0] == status] for status in {a[0] for a in answers}}
    assert set(counts) <= {200, 503}, {status: len(found) for status, found in counts.items()}
    assert len(counts[200]) >= 10
    assert all(body == expected for _, body in counts[200])
    assert server.apply(content) == (200, expected)


def test_slow_and_endless_and_broken_off_requests(running) -> None:
    server = running("--time-limit", 1, "--max-mb", 1, "--workers", 1, "--waiting", 1)
    head = f"POST {APPLY}?expression=happy HTTP/1.1\r\nHost: localhost\r\n".encode()
    slow = server.raw(head + b"Content-Length: 1000\r\n\r\n", b"x", pause=0.1)
    assert slow.startswith(b"HTTP/1.1 408")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    endless = server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40)
    assert endless.startswith(b"HTTP/1.1 413")
    declared = server.raw(head + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")
    assert declared.startswith(b"HTTP/1.1 413")
    assert server.raw(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    for _ in range(5):  # who leave before they are answered, or before they have said all
        with server.connected() as there:
            there.sendall(head + b"Content-Length: 1000\r\n\r\nxxx")
    until(lambda: server.apply(encoded())[0] == 200)
    assert b'"inside":0' in server.raw(
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )


def test_a_port_that_is_taken_is_told_in_a_line(command, tmp_path) -> None:
    modelfile.save(MODEL, tmp_path / "grey.safetensors")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = command("serve", "--model", tmp_path / "grey.safetensors", "--port", port)
    assert ended.code == 1
    assert f"port {port}" in ended.error


def test_two_models_of_one_name_are_refused(command, tmp_path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        modelfile.save(MODEL, tmp_path / folder / "m.safetensors")
    ended = command("serve", *(f"--model={tmp_path / f / 'm.safetensors'}" for f in "ab"))
    assert "two models are called m" in ended.error


def test_without_its_packages_it_says_how_to_get_them(command, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pixelreg[serve]" in command("serve").error
    assert main(["serve", "--help"]) == 0
