"""The files of a page: scripts put together, its security policy, whose things are in it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template
from typing import Any, BinaryIO

from pixelreg import __version__
from pixelreg.export.tables import Packed

# What computes, in a Worker or in a script of one's own; and what shows it.
ENGINE = (
    "tables",
    "looks",
    "align",
    "paste",
    "planes",
    "detector",
    "turned",
    "steady",
    "follower",
    "engine",
)
# Scripts of a kind of model, and which of their functions makes one.
KINDS = {
    "plans": (("plans", "planmodel"), "planModel"),
    "rig": (
        (
            *("landmarks", "secondlook", "algebra", "filters", "head", "spline", "sitter", "shown"),
            *("wrinkles", "teeth", "raster", "motion", "mouth", "expressions", "rig", "following"),
            "rigmodel",
        ),
        "rigModel",
    ),
}
PAGE = ("ask", "photo", "stage", "faces", "controls", "keeping", "camera", "listen", "page")
SERVING = "serving"  # the one script that reaches a network; no page has it without a server
HEAD = "// pixelreg {version}; SPDX-License-Identifier: MIT\n"
ENGINE_TEXT = """const pixelregEngine = function () {{
"use strict";
{scripts}
const makeModel = {maker};
return {{ open: openEngine, answerMessages, bytesOfText, scaledFace, within }};
}};
const pixelreg = pixelregEngine();
if (typeof module !== "undefined") module.exports = pixelreg;
"""
PAGE_TEXT = """(() => {{
"use strict";
const {{ bytesOfText, scaledFace, within }} = pixelreg;
{scripts}
const source = `(${{pixelregEngine}})().answerMessages(self);`;
startPage(source, pixelregModel, pixelregExample, {server})
  .catch((error) => {{
    const said = `This browser is too old for this page: ${{error.message}}.`;
    document.getElementById("status").textContent = said;
  }});
}})();
"""
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {style}; img-src data:; "
    "worker-src blob:; connect-src {reach}; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Home:
    """Where a page is opened from: what it may reach there, and what it says of that.

    promise : what becomes of pictures, in a line.
    about : the same at length, HTML; ``{size}`` stands for the page's.
    reach : what it may connect to, in its security policy's words.
    model : what the server calls the model; None where no server is behind the page.
    """

    promise: str
    about: str
    reach: str = "'none'"
    model: str | None = None


ALONE = Home(
    "Nothing leaves this device",
    "It changes the expression of a face in a photo by arithmetic that is all in this file: "
    "{size}. There is no server. Photos and the camera's picture are computed with here, and the "
    "page's own security policy forbids it to reach any network.",
)


@dataclass(frozen=True)
class Credit:
    """What a page was made from, and whose it is."""

    what: str
    whose: str
    licence: str
    holder: str = ""  # of the copyright, where the licence asks for a notice


CODE = Credit("The code", "pixelreg", "MIT", "2026 the pixelreg authors")
EXAMPLE = Credit(
    "The face it opens with",
    "an average of several people, who is no one: DeBruine, L. (2016). Young adult composite "
    "faces. figshare. https://doi.org/10.6084/m9.figshare.4055130.v1; cut out, reduced and changed",
    "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
)
EXAMPLE_LINE = "Composite face: DeBruine (2016), CC BY 4.0"


def page_text(name: str) -> str:
    """A file of the page's folder."""
    return (files("pixelreg.export") / "page" / name).read_text(encoding="utf-8")


def example_picture() -> BinaryIO:
    """The picture that a page opens with, a JPEG file."""
    return BytesIO((files("pixelreg.export") / "page" / "face.jpg").read_bytes())


def engine_text(packed: Packed) -> str:
    """The engine of a model's kind as one script, which makes `pixelreg`."""
    stems, maker = KINDS[packed.index["values"]["model"]["kind"]]
    return _script(ENGINE_TEXT, (*ENGINE, *stems), maker=maker)


def model_text(packed: Packed) -> str:
    """A model as one script, which makes `pixelregModel`."""
    model = {"text": _base64(packed.deflated), "index": packed.index}
    return _head() + f"const pixelregModel = {_json(model)};\n"


def scripts_of(packed: Packed, home: Home = ALONE) -> dict[str, str]:
    """The page's scripts by file name, in the order in which they are run."""
    example = {"text": _base64(example_picture().read()), "credit": EXAMPLE_LINE}
    return {
        "engine.js": engine_text(packed),
        "model.js": model_text(packed),
        "page.js": f"const pixelregExample = {_json(example)};\n" + _shower(home.model),
    }


def _shower(server: str | None) -> str:
    """The script that shows, with the one that asks a server where there is one."""
    if server is None:
        return _script(PAGE_TEXT, PAGE, server="null")
    return _script(PAGE_TEXT, (SERVING, *PAGE), server=f"served({_json(server)})")


def single_page(scripts: Mapping[str, str], credits: Sequence[Credit], home: Home = ALONE) -> str:
    """All in one HTML file, which may run what is in it and nothing else."""
    style = page_text("page.css")
    inline = {name: _bare(text) for name, text in scripts.items()}
    policy = POLICY.format(
        scripts=" ".join(map(_hash, inline.values())),
        style=_hash(style),
        reach=home.reach,
    )
    size = len(style) + sum(map(len, inline.values()))
    tags = "\n".join(f"<script>{text}</script>" for text in inline.values())
    return _page(policy, f"<style>{style}</style>", tags, size, credits, home)


def folder_page(scripts: Mapping[str, str], credits: Sequence[Credit]) -> str:
    """The HTML file of a folder: scripts and style lie beside it."""
    policy = POLICY.format(scripts="'self'", style="'self'", reach=ALONE.reach)
    size = len(page_text("page.css")) + sum(map(len, scripts.values()))
    tags = "\n".join(f'<script src="{name}"></script>' for name in scripts)
    return _page(policy, '<link rel="stylesheet" href="page.css">', tags, size, credits, ALONE)


def _page(
    policy: str, style: str, scripts: str, size: int, credits: Sequence[Credit], home: Home
) -> str:
    items = "\n".join(
        f"<li><b>{escape(each.what)}</b>: {escape(each.whose)}. {escape(each.licence)}.</li>"
        for each in (*credits, CODE)
    )
    return Template(page_text("page.html")).substitute(
        policy=policy,
        style=style,
        scripts=scripts,
        promise=home.promise,
        about=home.about.format(size=f"{size / 1000:,.0f} kB"),
        credits=f"<ul>\n{items}\n</ul>",
        version=__version__,
        licence=escape(licence_text(credits)),
    )


def licence_text(credits: Sequence[Credit]) -> str:
    """The MIT licence with everybody's notice."""
    holders = [f"Copyright (c) {each.holder}" for each in (CODE, *credits) if each.holder]
    return "\n".join(["MIT License", "", *holders, "", page_text("MIT.txt")])


def _script(text: str, stems: Sequence[str], **more: str) -> str:
    parts = "\n".join(page_text(f"{stem}.js") for stem in stems)
    return _head() + text.format(scripts=parts, **more)


def _head() -> str:
    return HEAD.format(version=__version__)


def _bare(script: str) -> str:
    """A script without its lines of comment and its indents, which readers find in the folder."""
    kept, inside = [], False
    for line in map(str.strip, script.splitlines()):
        inside = inside or line.startswith("/*")
        if line and not inside and not line.startswith("//"):
            kept.append(line)
        inside = inside and not line.endswith("*/")
    return "\n".join(kept)


def _hash(text: str) -> str:
    return f"'sha256-{_base64(sha256(text.encode()).digest())}'"


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _json(value: Any) -> str:
    """JSON that cannot end the script that it lies in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
