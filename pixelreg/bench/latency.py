"""Table 3 of the OCNN paper: how long one picture takes, by every model in turn.

Each round asks every model once, so that a slow minute of the machine is everybody's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from pixelreg.arrays import Pixels
from pixelreg.bench.models import Contender, Ready, contender
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Table
from pixelreg.bench.timing import Taken, alone, in_turn
from pixelreg.data.crops import Stack
from pixelreg.errors import PixelregError
from pixelreg.models.model import Frame
from pixelreg.pictures.image import Picture
from pixelreg.translator import Translator

WIDTH, HEIGHT, FACE = 1280, 720, 560  # the paper's photo; the side of the crop shown in it
DEEP = "deep_onnx.counting:write_networks"
ROUNDS, QUICK_ROUNDS = 31, 9
SLOW = 0.5  # seconds from which a call is made but a few times
CROP, PHOTO = "crop", f"{WIDTH} x {HEIGHT}"
GREY = 127
COLUMNS = (
    Column("model"),
    Column("runs on"),
    Column("picture"),
    Column("first ms", 1),
    Column("median ms", 2),
    Column("quartiles ms"),
    Column("load s", 2),
    Column("peak MB"),
)
NOTES = (
    f"{CROP} S: one crop of the model's own side S. {PHOTO}: the whole call on a photo whose eyes "
    "are told: crop, change and paste back; a model that takes whole pictures takes all of it, "
    "and the rig looks for its 82 landmarks.",
    "First: the first call in this process. Median and quartiles: of the calls after it, all "
    "models in turn; what takes over half a second is asked three times only.",
    "Load, peak: in a process of its own that imports, loads and changes one crop; peak is what "
    "that process took at most, with Python and NumPy in it.",
    "Networks of papers, asked for by --networks, have random weights at the papers' widths: no "
    "weights change their times.",
    "The OCNN paper's Table 3, on a machine that it does not name, at 1280 x 720: GAN 954 ms, "
    "CNN 1,256 ms, its own 506 ms.",
)


def measure(setting: Setting) -> Table:
    """Time every model, and every provider that can be had."""
    learning = setting.learning()
    notes = [setting.told(), _machine(), *NOTES, *setting.absent]
    works: dict[str, Callable[[], Any]] = {}
    labels: dict[str, tuple[str, str, str]] = {}
    parts = (*setting.taking_part, *_networks(setting))
    for one in parts:
        for where, model in _running(one, learning, setting, notes):
            works_of = _works(one, model, setting)
            if setting.quick and one not in setting.taking_part:
                works_of = works_of[:1]  # a network at the size of the photo takes seconds
            for picture, work in works_of:
                key = f"{one.name}/{where}/{picture}"
                works[key], labels[key] = work, (one.name, where, picture)
    rounds = QUICK_ROUNDS if setting.quick else ROUNDS
    taken = in_turn(works, rounds, slow=SLOW)
    costs = {one.name: _alone(one, learning, setting, notes) for one in parts}
    rows = [_row(labels[key], Taken.of(times[0], times[1:]), costs) for key, times in taken.items()]
    return Table(
        "latency",
        "Time and memory of one picture",
        "On this machine, by every model in turn (the OCNN paper, Table 3).",
        COLUMNS,
        tuple(rows),
        tuple(dict.fromkeys(notes)),
    )


def _networks(setting: Setting) -> list[Contender]:
    """The papers' networks, with random weights, where they are asked for."""
    if not setting.networks:
        return []
    module, _, function = DEEP.partition(":")
    files = getattr(import_module(module), function)(setting.scratch, setting.target)
    return [contender(str(file), setting.size, None, setting.target) for file in files]


def _machine() -> str:
    threads = os.environ.get("OMP_NUM_THREADS")
    return f"{os.cpu_count()} cores; OMP_NUM_THREADS is {threads or 'not set'}."


def _running(
    one: Contender, learning: Stack, setting: Setting, notes: list[str]
) -> list[tuple[str, Translator]]:
    """The model on the processor, and on CUDA where it can be had."""
    locator = replace(setting.locator, eyes=_eyes(one.frame), box=None, align=True)
    found = []
    for provider in one.providers:
        try:
            model = one.translator(learning, locator, provider)
        except PixelregError as error:
            who = one.name if isinstance(one, Ready) else "What is fitted here"
            told = f"{who} is not timed on {provider}: {error}"
            notes.append(setting.miss(one.name, error) if provider == one.providers[0] else told)
        else:
            found.append((model.computed_by(one.target), model))
    return found


def _works(
    one: Contender, model: Translator, setting: Setting
) -> list[tuple[str, Callable[[], Any]]]:
    judged = setting.split(setting.folds()[0], one.size, one.frame)[1]
    crop = judged.sources[:1]
    photo = Picture(_photo(judged.sources[0]))
    return [
        (f"{CROP} {one.size}", lambda: model.run(one.target, crop)),
        (PHOTO, lambda: model.translate_picture(photo, one.target)),
    ]


def _photo(crop: Pixels) -> Pixels:
    """A crop shown in the middle of a grey photo, (720, 1280, 3)."""
    photo = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    shown = Image.fromarray(crop).resize((FACE, FACE), Image.Resampling.BICUBIC)
    top, left = _corner()
    photo[top : top + FACE, left : left + FACE] = np.asarray(shown)
    return photo


def _corner() -> tuple[int, int]:
    return (HEIGHT - FACE) // 2, (WIDTH - FACE) // 2


def _eyes(frame: Frame | None) -> tuple[float, float, float, float]:
    top, left = _corner()
    places = np.array((frame or Frame()).eyes) * FACE + (left, top)
    x1, y1, x2, y2 = places.ravel().tolist()
    return x1, y1, x2, y2


def _alone(
    one: Contender, learning: Stack, setting: Setting, notes: list[str]
) -> tuple[float | None, int | None]:
    """Seconds to load, and bytes at most."""
    setting.scratch.mkdir(parents=True, exist_ok=True)
    crop = setting.split(setting.folds()[0], one.size, one.frame)[1].sources[0]
    file = setting.scratch / "crop.npy"
    np.save(file, crop)
    try:
        path = one.file(learning, setting.scratch)
        return alone(path, one.target, one.size, str(file))
    except PixelregError as error:
        notes.append(str(error))
        return None, None


def _row(
    label: tuple[str, str, str],
    taken: Taken,
    costs: dict[str, tuple[float | None, int | None]],
) -> tuple[Cell, ...]:
    load, peak = costs[label[0]]
    spread = f"{1e3 * taken.low:.2f} to {1e3 * taken.high:.2f}"
    megabytes = None if peak is None else round(peak / 1e6)
    return (*label, 1e3 * taken.first, 1e3 * taken.middle, spread, load, megabytes)
