"""A browser for the tests of the exported page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import io
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
WAIT = 20_000  # ms
SHOWN = """id => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 8192) {
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  }
  return [canvas.width, canvas.height, btoa(text)];
}"""
GIVE = """([kind, text, name, type, others]) => {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const given = new DataTransfer();
  for (let k = 0; k < others; k++) given.items.add(new File(["no picture"], `${k}.txt`));
  given.items.add(new File([bytes], name, { type }));
  const about = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...about, clipboardData: given })
    : new DragEvent("drop", { ...about, dataTransfer: given });
  document.body.dispatchEvent(event);
}"""


@contextmanager
def browser(camera: Path | None = None) -> Iterator[Any]:
    """Chromium, whose camera shows a film of JPEGs one after the other, or a test pattern."""
    film = [f"--use-file-for-fake-video-capture={camera}"] if camera else []
    arguments = [*ARGUMENTS, *film]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


class Visit:
    """A page that is open, and what went wrong on it."""

    def __init__(
        self, opened: Any, file: Path | str, width: int = 1280, height: int = 800, before: str = ""
    ) -> None:
        address = file if isinstance(file, str) else file.as_uri()  # of a server, or a file's
        self.own = ("blob:", "data:", address if isinstance(file, str) else "file:")
        self.context = opened.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.add_init_script(before)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda it: self.wrong.append(f"error: {it}"))
        self.page.on("request", self._asked)
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]", timeout=WAIT)

    def _told(self, message: Any) -> None:
        if message.type == "error":
            self.wrong.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.own):
            self.wrong.append(f"request: {request.url}")

    def shown(self, name: str = "after") -> np.ndarray:
        """(H, W, 3) of a canvas."""
        width, height, text = self.page.evaluate(SHOWN, name)
        bytes_ = np.frombuffer(b64decode(text), np.uint8)
        return bytes_.reshape(height, width, 4)[..., :3]

    def give(
        self, kind: str, content: bytes, name: str, type: str = "image/png", others: int = 0
    ) -> None:
        """Drop or paste a file, with others that are no pictures, and wait until it is shown."""
        self.page.evaluate(GIVE, [kind, b64encode(content).decode(), name, type, others])
        self.settle()

    def choose(self, file: Path) -> None:
        """Choose a file, and wait until it is shown."""
        self.page.set_input_files("#file", file)
        self.settle()

    def settle(self) -> None:
        """Wait until the picture is shown as it is wished."""
        idle = "document.documentElement.dataset.busy === '0'"
        self.until(f"document.getElementById('wait').hidden && {idle}")

    def until(self, holds: str) -> None:
        """Wait until a JavaScript expression is true; the page's policy lets no other way do it."""
        end = time.monotonic() + WAIT / 1000
        while not self.page.evaluate(holds):
            assert time.monotonic() < end, f"{holds} has not come true; the page says {self.says!r}"
            self.page.wait_for_timeout(50)

    def download(self, act: Any) -> tuple[str, bytes]:
        """The name and bytes of what is downloaded when ``act`` is called."""
        with self.page.expect_download(timeout=WAIT) as waited:
            act()
        return waited.value.suggested_filename, Path(waited.value.path()).read_bytes()

    @property
    def says(self) -> str:
        """The status line."""
        return str(self.page.inner_text("#status"))


def png(pixels: np.ndarray) -> bytes:
    """A PNG's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
