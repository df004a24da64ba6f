"""What came of a command that a page tells people to run, and whether it is what was promised."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from cli_tools import ROOT, pixels
from doc_tools import GROUPS, Command
from PIL import Image

import pixelreg

# Options that name what is written.
WRITTEN = ("-o", "--output", "--picture", "--sheet", "--animate", "--sliders", "--sums")
WRITTEN += ("--debug-crop", "--overlay")
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


@dataclass
class Done:
    """A command that was run: what it printed, and what it made in its folder."""

    words: list[str]
    folder: Path
    out: str
    before: dict[Path, tuple[int, bytes]]
    made: set[Path] = field(default_factory=set)

    def after(self, option: str) -> list[Path]:
        """The values of an option, as paths in the folder."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return [self.folder / value for word, value in pairs if word == option]

    def ending(self, *suffixes: str) -> list[Path]:
        return sorted(path for path in self.made if path.suffix.lower() in suffixes)


def files_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """When every file was written, and what it holds."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def changed(done: Done) -> None:
    """Pictures and videos open, and none of them is a picture that was there before."""
    moving = done.ending(".mp4")
    assert moving or done.ending(*PICTURES)
    known = [same_as(content) for _, content in done.before.values()]
    for path in done.ending(*PICTURES):
        assert same_as(path.read_bytes()) not in known, f"{path.name} is what it was"
    for path in moving:
        assert frames_in(path) >= 2
    if not {*WRITTEN, "--in-place", ">"} & {*done.words}:
        where_it_is_said(done)


def where_it_is_said(done: Done) -> None:
    """in.png becomes in-happy.png beside it, photos/ becomes photos-happy/ with its sub-folders."""
    first = 3 if done.words[1] in GROUPS else 2
    source = Path(next(word for word in done.words[first:] if not word.startswith("-")))
    for path in done.made:
        assert path.relative_to(done.folder).parts[0].startswith(f"{source.stem}-")
    if "--expr" in done.words:
        label = done.words[done.words.index("--expr") + 1]
        assert (done.folder / f"{source.stem}-{label}{source.suffix}").exists()


def same_as(content: bytes) -> tuple[tuple[int, int], bytes] | None:
    """What makes a picture the same as another; None for what is no picture."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return picture.size, picture.convert("RGBA").tobytes()
    except OSError:
        return None


def frames_in(path: Path) -> int:
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def model_made(done: Done) -> None:
    runs = [path for path in done.made if path.parent.name.endswith("-run")]
    files = [path for path in done.ending(".safetensors", ".onnx") if path not in runs]
    file = min(files, key=lambda path: len(path.stem))
    assert all(path.stem.startswith(f"{file.stem}-") for path in {*files} - {file})
    assert pixelreg.load(file)
    if "--data" in done.words:
        assert file.with_name(f"{file.stem}-sheet.png") in done.made
    assert bool(runs) == (file.suffix == ".onnx")


def made(*suffixes: str) -> Callable[[Done], None]:
    """A check that files of each kind were made."""

    def check(done: Done) -> None:
        for suffix in suffixes:
            assert done.ending(suffix), f"no file {suffix} was made"

    return check


def exported(done: Done) -> None:
    """What is named by --to was made."""
    kinds = {"c": (".c", ".h"), "onnx": (".onnx", ".md"), "web": (".html", ".txt")}
    made(*kinds[done.words[done.words.index("--to") + 1]])(done)


def printed(*texts: str) -> Callable[[Done], None]:
    """A check that these were printed, whatever their case."""

    def check(done: Done) -> None:
        for text in texts:
            assert text.lower() in done.out.lower(), f"{text!r} was not printed"

    return check


def compared(done: Done) -> None:
    page = done.ending(".html")
    assert done.ending(*PICTURES) or (page and "<img" in page[0].read_text(encoding="utf-8"))
    for path in done.ending(*PICTURES):
        shown = ROOT / "examples" / "pictures" / path.name
        if shown.exists() and any(word.startswith("examples/") for word in done.words):
            apart = np.abs(pixels(path).astype(int) - pixels(shown))
            assert apart.mean() < 0.1, f"{path.name} is not what the page shows"


def pairs_made(done: Done) -> None:
    assert len(done.ending(*PICTURES)) >= 2


CHECKS: dict[str, Callable[[Done], None]] = {
    "apply": changed,
    "cat": changed,
    "compare": compared,
    "fit": model_made,
    "merge": model_made,
    "train": model_made,
    "evaluate": printed("PSNR", "untouched input"),
    "bench": printed("untouched input", "truth", "usgan", "reggan"),
    "info": printed("target"),
    "landmarks": made(".tem"),
    "export": exported,
    "export-torch": made(".onnx"),
    "quantise": made(".onnx"),
    "generate": made(".png"),
    "blendshape": made(".safetensors", ".png"),
    "demo": made(".safetensors", ".png"),
    "data list": printed("people", "pairs"),
    "data pose": pairs_made,
    "data synthesise": pairs_made,
    "data sketch": pairs_made,
    "data masks": pairs_made,
    "data download": made(".jpg"),
    "portrait mask": made(".png"),
    "portrait edit": changed,
    # A net that learnt for a second knows no hair: what it changes is less than a grey level.
    "portrait style": where_it_is_said,
    "portrait swap": where_it_is_said,
    "portrait synthesise": made(".png"),
    "eval": printed("_pixelreg_completion pixelreg"),
    "--version": printed(f"version {pixelreg.__version__}"),
}


def check_of(command: Command) -> Callable[[Done], None]:
    if {"--help", "-h"} & {*command.words}:
        return printed("Usage: pixelreg", "Options")
    check = CHECKS.get(command.name) or CHECKS.get(command.name.split()[0])
    assert check, f"tests/doc_outcomes.py does not know how to judge: {command.text}"
    return check
