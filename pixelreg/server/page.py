"""The page at /: one HTML file, and what of it a browser may run.

Any file that holds its scripts and styles within itself will do: what it may do is seen from it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files

PAGE = "page.html"
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' blob: data:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Page:
    """A page and its Content-Security-Policy: its own scripts and styles run, and nothing else."""

    html: str

    @classmethod
    def own(cls) -> Page:
        """The page that comes with the server."""
        file = files("pixelreg.server") / "templates" / PAGE
        return cls(file.read_text(encoding="utf-8"))

    @property
    def policy(self) -> str:
        """The page's Content-Security-Policy."""
        found = _Inline()
        found.feed(self.html)
        found.close()
        parts = {name: " ".join(map(_hash, texts)) for name, texts in found.texts.items()}
        return POLICY.format(**{name: text or "'none'" for name, text in parts.items()})


class _Inline(HTMLParser):
    """What stands in a page's script and style elements, to the letter."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.texts:
            self._inside = tag
            self.texts[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.replace("\r\n", "\n").encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
