"""README and docs/ tell the truth: what their code blocks say is run, and its outcome looked at.

Each block runs in a fresh folder. What a command names and nothing before it has made comes from
the pantry of `doc_inputs`: the composite photo that comes along, drawn faces, tiny models. A
command that nothing here knows how to judge fails, as does one whose inputs nobody makes.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
from cli_tools import CLI, ROOT
from conftest import SHARED
from doc_inputs import WITH_TEMPLATES, Pantry
from doc_outcomes import PICTURES, WRITTEN, Done, check_of, files_of, same_as
from doc_tools import (
    PYTHON,
    README,
    SHELL,
    Block,
    Command,
    blocks,
    commands,
    pages,
)
from PIL import Image

from pixelreg.commands.main import cli, main

LONDON = SHARED / "data" / "london"


class More(NamedTuple):
    """What is written behind a command of the pages before it is run, and why."""

    command: str  # a pattern that the command begins with
    words: str
    why: str


PAINTED = "painted.png"
NO_PARSER = "a parser that learnt for a second sees no mouth"
# Everything in which what runs differs from what stands on the pages. All of it are documented
# options, which stand behind those of the page and so overrule them.
SHORTER = (
    More("train portrait", "--size 64 --width 4 --batch 2 --minutes 0.01", "minutes of training"),
    More("train ocnn", "--size 32 --width 4 --components 2 --minutes 0.02", "minutes of training"),
    More("train dcgan", "--size 32 --width 4 --minutes 0.02", "minutes of training"),
    More("train", "--size 32 --width 4 --minutes 0.02", "minutes of training"),
    More("fit .*--cv", "--size 32", "half a minute of cross-validation"),
    More("fit .*--model lsrf", "--size 48", "every pixel searches its window"),
    More("blendshape", "--components 2", "six drawn people smile in fewer ways than real ones"),
    More("portrait edit", f"--own-mask {PAINTED} --mask {PAINTED}", NO_PARSER),
    More("portrait style", f"--own-mask {PAINTED} --from-mask {PAINTED}", NO_PARSER),
    More("quantise", "--pictures 6 --force", "a net of two steps is noise: 38 dB is not to be had"),
    More("data synthesise", "--people 6 --size 64", "60 people take their time"),
    More("data pose", "--size 128", "512 pixels a side take their time"),
    More(
        "data download", "--base-url {server} --only neutral_front/001_*", "100 MB from elsewhere"
    ),
    More("demo", "--people 8 --size 64", "60 people take their time"),
    More("export-torch", "--size 32", "the test's weights are of a narrow net"),
)
# Lines that are not run at all; what is looked at instead stands behind them.
NOT_RUN = {
    r"python -m pip install": "asks the network; the extras it names are compared with pyproject",
    r"pixelreg serve": "runs until it is stopped; tests/test_server.py starts it and asks it",
    r"python -m pytest": "is what runs this test; CI reads that line and runs it",
}
# Pages whose commands have tests of their own: here, their options are looked at.
ELSEWHERE = (
    "benchmarks.md",
    "behind-an-api.md",
    "gpu.md",
    "microcontroller.md",
    "onnx-export.md",
    "web-page.md",
)
OPTIONS_ONLY = dict.fromkeys(ELSEWHERE, "what they make is run by tests of their own")
# What people have at hand in the blocks of Python.
AT_HAND = {
    "array": lambda: np.asarray(Image.open(ROOT / "examples/pictures/face.jpg").resize((128, 128))),
    "pixels": lambda: np.asarray(Image.open(ROOT / "examples/pictures/face.jpg")),
    "arrays": lambda: np.stack([AT_HAND["pixels"](), AT_HAND["pixels"]()[:, ::-1]]),
    "X": lambda: np.random.default_rng(0).integers(0, 256, (6, 48), dtype=np.uint8),
    "T": lambda: np.random.default_rng(1).integers(0, 256, (6, 48), dtype=np.uint8),
}
# Lines that print nothing and make nothing are asked after what they did.
ASKED_AFTER = {"eval": "complete -p pixelreg"}
INTO_LAST = ("data masks", "data sketch", "data synthesise", "data download")
SLOW = re.compile(r"pixelreg (train|quantise|blendshape|portrait)")


# ---- running


def bash(folder: Path, line: str) -> str:
    """Run a line as people do; ``pixelreg`` is this checkout's."""
    tools = folder.parent / f"{folder.name}-bin"
    tools.mkdir(exist_ok=True)
    program = tools / "pixelreg"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(CLI)} "$@"\n')
    program.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-ec", line],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr.decode()}"
    return done.stdout.decode(errors="replace")


@pytest.fixture(scope="module")
def pantry(tmp_path_factory: pytest.TempPathFactory) -> Pantry:
    return Pantry(tmp_path_factory.mktemp("pantry"), LONDON if LONDON.is_dir() else None)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The London set's address, here."""
    handler = partial(Silent, directory=str(LONDON))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


class Silent(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


def shopping(command: Command, more: list[str], pantry: Pantry, folder: Path) -> None:
    """Fetch what a command reads and nothing before it has made."""
    words = [*(command.words[:-1] if command.name in INTO_LAST else command.words), *more]
    names = [pantry.names_in(word) for word in words]
    if command.name == "data masks":
        names = [WITH_TEMPLATES]  # drawn people have no landmarks to make masks of
    if command.name == "data download":
        names = []  # its word is the name of a set
    if command.name.startswith("portrait"):
        names.append("portrait.onnx")
    written = [pantry.names_in(words[k + 1]) for k, w in enumerate(words[:-1]) if w in WRITTEN]
    for name in filter(None, names):
        if name not in written and not (folder / name).exists():
            pantry.fetch(name, folder)
    for word in words:
        if word.startswith("examples/"):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).write_bytes((ROOT / word).read_bytes())


def more_words(command: Command, server: str) -> list[str]:
    for more in SHORTER:
        if re.match(f"pixelreg {more.command}( |$)", command.text):
            return more.words.format(server=server).split()
    return []


def run(command: Command, folder: Path, request: pytest.FixtureRequest) -> None:
    """Run one command of a page and look at what came of it."""
    check = check_of(command)
    more = more_words(command, request.getfixturevalue("server"))
    shopping(command, more, request.getfixturevalue("pantry"), folder)
    before = files_of(folder)
    capfd = request.getfixturevalue("capfd")
    capfd.readouterr()
    if command.needs_a_shell:
        assert not more, f"what a shell runs is run as it stands: {command.text}"
        out = bash(folder, f"{command.text}\n{ASKED_AFTER.get(command.name, '')}")
    else:
        code = main([*command.words[1:], *more])
        out, err = capfd.readouterr()
        assert code == 0, f"{command.text}\n{err}"
    after = files_of(folder)
    made = {path for path, content in after.items() if before.get(path) != content}
    done = Done(command.words, folder, out, before, made)
    assert made or out
    for option in WRITTEN:
        for path in done.after(option):
            there = [each for each in made if each == path or path in each.parents]
            named = [each for each in made if each.stem == path.name]
            assert there or named, f"{command.text} wrote no {path.name}"
    for path in done.ending(*PICTURES):
        assert same_as(after[path][1]), f"{path.name} does not open"
    for file in command.files_told:
        assert [path for path in after if path.name == file], f"there is no {file}"
    check(done)


# ---- the tests


def blocks_in(*languages: str) -> list[Any]:
    found = [block for page in pages() for block in blocks(page) if block.language in languages]
    return [
        pytest.param(block, id=str(block), marks=[pytest.mark.slow] * bool(SLOW.search(block.text)))
        for block in found
        if block.page.name not in OPTIONS_ONLY
    ]


def not_run(command: Command) -> bool:
    return any(re.match(pattern, command.text) for pattern in NOT_RUN)


@pytest.mark.parametrize("block", blocks_in(*SHELL))
def test_what_a_page_says_is_what_happens(
    block: Block, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = list(commands(block.text))
    assert found, f"{block} holds no command"
    for command in found:
        if not not_run(command) and can_run(command):
            run(command, folder, request)


def can_run(command: Command) -> bool:
    """False, after a look at its options, for what needs the London set where that is absent."""
    if command.name in ("data download", "data masks") and not LONDON.is_dir():
        parsed(command)
        return False
    return True


@pytest.mark.parametrize("block", blocks_in(*PYTHON))
def test_what_a_page_says_in_python_is_what_happens(
    block: Block, pantry: Pantry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements run one by one; where a note behind one is a value, that is its value."""
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'"([^"\n]+)"', block.text):
        if pantry.names_in(name):
            pantry.fetch(name, tmp_path)
    names = {name: make() for name, make in AT_HAND.items()}
    lines = block.text.splitlines()
    for node in ast.parse(block.text).body:
        if isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), str(block), "eval"), names)
            note = lines[(node.end_lineno or 1) - 1][node.end_col_offset or 0 :]
            told = literal(note.lstrip(" #"))
            assert told is None or value == told, f"{ast.unparse(node)} is {value!r}"
        else:
            exec(compile(ast.Module([node], []), str(block), "exec"), names)
    known = [same_as(path.read_bytes()) for path in tmp_path.iterdir()]
    for name, value in names.items():
        if isinstance(value, Image.Image):
            made = value.size, value.convert("RGBA").tobytes()
            assert made not in known, f"{name} is the photo as it was"


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


def parsed(command: Command) -> None:
    """A command and every option of it exist; nothing is run."""
    words = command.words[command.words.index("pixelreg") + 1 :]
    group: click.Command = cli
    context = click.Context(cli, info_name="pixelreg")
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        found = group.get_command(context, words.pop(0))
        assert found, command.text
        group = found
    known = {
        name for each in group.get_params(context) for name in (*each.opts, *each.secondary_opts)
    }
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in known, f"{command.text}: there is no {word}"


def test_commands_that_run_elsewhere_or_seldom_name_options_that_there_are() -> None:
    for page in pages():
        for block in blocks(page):
            seldom = page.name in OPTIONS_ONLY or SLOW.search(block.text)
            if seldom and block.language in SHELL:
                for command in commands(block.text):
                    if command.text.startswith("pixelreg "):
                        parsed(command)


def test_options_in_the_text_exist() -> None:
    """``pixelreg ...`` between backquotes."""
    for page in pages():
        for span in re.findall(r"`(pixelreg [a-z][^`\n]*)`", page.read_text(encoding="utf-8")):
            parsed(Command(span))


def test_extras_that_pages_name_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    known = set(re.findall(r"^([\w-]+) = \[", table, re.MULTILINE))
    assert {"test", "all"} <= known
    for page in pages():
        named = re.findall(r"pip install [^\n`]*?\[([\w,-]+)\]", page.read_text(encoding="utf-8"))
        for extras in named:
            assert set(extras.split(",")) <= known, f"{page.name} names the extra {extras}"


def test_the_test_command_is_where_ci_reads_it() -> None:
    after = README.read_text(encoding="utf-8").partition("<!-- test command -->\n```\n")[2]
    assert after.startswith('python -m pip install -e ".[test]" && python -m pytest ')


def test_no_exception_is_stale() -> None:
    every = [
        c for page in pages() for b in blocks(page) if b.language in SHELL for c in commands(b.text)
    ]
    for more in SHORTER:
        assert any(more.words == " ".join(more_words(c, "{server}")) for c in every), more
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command.text) for command in every), pattern


FALSE = {
    "pixelreg dream in.jpg": "does not know how to judge",
    "make coffee": "does not know how to judge",
    "pixelreg apply in.jpg --exprs happy": "No such option",
    "pixelreg apply nowhere.jpg --expr happy": "no such file or folder: nowhere.jpg",
    "cat in.jpg | pixelreg apply - --expression happy > out.jpg": "No such option",
    "pixelreg apply in.jpg --expr happy --strength 0 -o same.png": "same.png is what it was",
    "pixelreg landmarks photo.jpg -o marks/   # photo.tem, photo.csv": "there is no photo.csv",
}


@pytest.mark.parametrize("line", FALSE)
def test_what_is_not_so_fails(
    line: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that nothing covers, options and files that are not there, empty promises."""
    monkeypatch.chdir(tmp_path)
    (command,) = commands(line)
    with pytest.raises(AssertionError, match=FALSE[line]):
        run(command, tmp_path, request)
