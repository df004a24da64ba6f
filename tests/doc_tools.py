"""The pages for people: their code blocks, the commands in them, and where their links lead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli_tools import ROOT

README, DOCS = ROOT / "README.md", ROOT / "docs"
MADE = ("commands.md", "api.md")  # by docs/make_reference.py, from what the product says of itself
SHELL, PYTHON = ("", "bash", "sh", "shell"), ("python",)
GROUPS = ("data", "train", "portrait", "study")  # commands that have commands
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)\[[^\]\[]*(?:\[[^\]]*\])?[^\]\[]*\]\(<?([^)\s>]+)>?\)")
_NOTE = re.compile(r"(?:^|\s)#\s.*$")
_FOR_THE_SHELL = re.compile(r"[|<>&$`*;]|^\w+=|^\.")
_FILE = re.compile(
    r"(?<![\w./-])[\w-]+\.(?:tem|pts|json|png|jpe?g|gif|webp|csv|mp4|c|h|onnx|html)\b"
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page: where it begins, in which language, and what it says."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command as it stands on a page, without the note behind it, which may name files."""

    text: str
    note: str = ""

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def needs_a_shell(self) -> bool:
        bare = re.sub(r"'[^']*'", "", self.text)
        return self.words[0] != "pixelreg" or bool(_FOR_THE_SHELL.search(bare))

    @property
    def name(self) -> str:
        """Such as ``apply`` or ``data pose``; the program's where it is not ours."""
        words = [*self.words, ""]
        if words[0] != "pixelreg":
            return words[0]
        return " ".join(words[1 : 3 if words[1] in GROUPS else 2])

    @property
    def files_told(self) -> set[str]:
        """Files that the note behind the command names."""
        return set(_FILE.findall(self.note))


def pages() -> list[Path]:
    """README and all of docs/ that somebody wrote."""
    return [README, *(page for page in sorted(DOCS.glob("*.md")) if page.name not in MADE)]


def blocks(page: Path) -> Iterator[Block]:
    """Every block of code on a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])


def commands(text: str) -> Iterator[Command]:
    """The commands of a block: a line each, ``\\`` goes on, ``&&`` parts two."""
    for line in text.replace("\\\n", " ").splitlines():
        note = _NOTE.search(line)
        told = line[: note.start()] if note else line
        parts = [part.strip() for part in told.split(" && ")]
        for part in filter(None, parts):
            yield Command(part, note[0].strip() if note else "")


def links(page: Path) -> set[str]:
    """What a page links to, outside its code."""
    return set(_LINK.findall(_without_code(page.read_text(encoding="utf-8"))))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have, as GitHub and MkDocs both make them."""
    text = _without_code(page.read_text(encoding="utf-8"), spans=False)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def _without_code(text: str, spans: bool = True) -> str:
    text = _FENCE.sub("", text)
    return re.sub(r"`[^`\n]+`", "", text) if spans else text
