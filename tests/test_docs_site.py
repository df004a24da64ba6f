"""The pages hold together: links lead somewhere, the reference is fresh, the site builds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from cli_tools import ROOT
from doc_tools import DOCS, MADE, README, anchors, blocks, commands, links

PAGES = (
    *(README, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"),
    *(ROOT / "benchmarks" / "README.md", *sorted(DOCS.glob("*.md"))),
)
CONFIG = DOCS / "mkdocs.yml"
README_LINES = 130  # a newcomer's patience


def reference() -> Any:
    """docs/make_reference.py as a module."""
    spec = spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert ROOT in target.parents, f"{page.name} links to {link}, outside of the project"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


def test_the_reference_says_what_the_product_says() -> None:
    pytest.importorskip("torch", reason="the commands that train need PyTorch to be listed")
    made = reference().pages()
    assert set(made) == set(MADE)
    for name, text in made.items():
        there = (DOCS / name).read_text(encoding="utf-8")
        assert there == text, f"docs/{name} is old: run python docs/make_reference.py"


def test_examples_of_the_help_name_options_that_there_are() -> None:
    pytest.importorskip("torch", reason="the commands that train need PyTorch to be listed")
    from test_docs import parsed

    found = [
        command
        for block in blocks(DOCS / "commands.md")
        if not block.language
        for command in commands(block.text)
        if "pixelreg" in command.words  # the server's help shows how others ask it
    ]
    assert len(found) > 50
    for command in found:
        parsed(command)


def test_every_page_is_in_the_site() -> None:
    named = {word for line in CONFIG.read_text().splitlines() for word in line.split()}
    for page in DOCS.glob("*.md"):
        assert f"docs/{page.name}" in named, f"docs/mkdocs.yml names no docs/{page.name}"


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_the_site_builds(tmp_path: Path) -> None:
    """Without a warning."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "-f", CONFIG, "-d", tmp_path, "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "docs/rig.html", "docs/commands.html", "benchmarks/index.html"):
        assert "<h1" in (tmp_path / page).read_text(encoding="utf-8")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    asked = re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"([^\"]+)\"", page)
    assert {"css/theme.css", "search/main.js", "examples/pictures/expressions.png"} <= {*asked}
    missing = [file for file in asked if not (tmp_path / file).exists()]
    assert not missing, "asked of another server, or left out of the site"
    assert not (tmp_path / "pyproject.toml").exists()
