"""Pages: each one HTML file, and what of it a browser may run.

Any file that holds its scripts and styles within itself will do: what it may do is seen from it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files

from pixelreg.errors import UsageError
from pixelreg.export import form_of
from pixelreg.export.pagefiles import Credit, Home, scripts_of, single_page
from pixelreg.export.tables import Packed
from pixelreg.export.web import credits_of, packed_form
from pixelreg.rig.page import CREDITS, packed_rig
from pixelreg.rig.translator import RigTranslator
from pixelreg.translator import PlanTranslator, Translator

FORM = "form.html"
LARGEST = 16 * 2**20  # bytes of a model's numbers in a page, which everybody who opens it loads
PROMISE = "Pictures go to this server only; nothing is kept"
ABOUT = (
    "It changes the expression of a face in a photo. What is shown is computed on this device, by "
    "arithmetic that is all in this page: {size}. Save, with <b>As it is</b> beside it, sends the "
    "photo's file to the server that the page came from, which changes it at its full size, "
    "leaves in it what it tells besides (such as date and place), gives it back and keeps nothing. "
    "Nothing else is sent: not what is saved as PNG or JPEG, copied or filmed, nor what the camera "
    "sees. The page's own security policy forbids it to reach any other server. "
    '<a href="/form">A plain form</a> has all models of this one.'
)
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' blob: data:; "
    "media-src blob:; worker-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Page:
    """A page and its Content-Security-Policy: its own scripts and styles run, and nothing else."""

    html: str

    @classmethod
    def form(cls) -> Page:
        """A form, for any models."""
        file = files("pixelreg.server") / "templates" / FORM
        return cls(file.read_text(encoding="utf-8"))

    @classmethod
    def of(cls, models: Mapping[str, Translator]) -> Page:
        """The exported page of the first model that a page can hold; the form where none can be.

        models : by the names that the server knows them by.
        """
        for name, translator in models.items():
            held = _held(translator)
            if held is not None:
                home = Home(PROMISE, ABOUT, "'self'", name)
                packed, credits = held
                return cls(single_page(scripts_of(packed, home), credits, home))
        return cls.form()

    @property
    def policy(self) -> str:
        """The page's Content-Security-Policy."""
        found = _Inline()
        found.feed(self.html)
        found.close()
        parts = {name: " ".join(map(_hash, texts)) for name, texts in found.texts.items()}
        return POLICY.format(**{name: text or "'none'" for name, text in parts.items()})


def _held(translator: Translator) -> tuple[Packed, Sequence[Credit]] | None:
    """A model's numbers for a page, and whose they are; None for what no page can hold."""
    if isinstance(translator, RigTranslator) and translator.file is None:
        return packed_rig(second_look=True), CREDITS
    if not isinstance(translator, PlanTranslator):
        return None
    try:
        form = form_of(translator.model, "web")
    except UsageError:
        return None
    packed = packed_form(form)
    return (packed, credits_of(form)) if len(packed.deflated) <= LARGEST else None


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
