"""All expressions that the data have, on people who were not learnt from, model beside model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.bench.models import Contender, Fitted
from pixelreg.bench.quality import SURE, TRUTH, asked, scores
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.errors import PixelregError
from pixelreg.evaluation.comparison import UNTOUCHED
from pixelreg.evaluation.faces import Expressions, recognised
from pixelreg.models.model import Frame
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.rig.posing import TABLE as POSED

CELL, SHOWN = 96, 2  # of the sheet: side of a picture, people
COLUMNS = (
    Column("model"),
    Column("settings"),
    Column("expressions"),
    Column("n"),
    Column("PSNR dB", 2),
    Column("PSNR gain", 2),
    Column("± 95 %", 2),
    Column("SSIM", 4),
    Column("MAE", 2),
    Column("sharp", 2),
    Column("person", 2),
    Column("seen", 2),
)
NOTES = (
    "Means over all pictures of all expressions. Gain: over the untouched input of the same crops; "
    "± is 1.96 standard errors of the people's mean gains. Sharp: as in the table of quality.",
    "Seen: share of pictures that a classifier gives the right name, one of the expressions and "
    "the source; ridge regression on histograms of gradients of the true pictures of the people "
    "learnt from. The row of truth tells how good it is, that of the input what is seen by chance.",
    "Person: share whose nearest untouched input, of all judged people, is the same person's, by "
    "the same histograms around eyes and nose. Hair and background do not count.",
    "Both judges are weak ones: no network comes along; give your own by --judge.",
)
BY_RIG = (
    "The truth of {names} was made by the rig from neutral photographs (pixelreg data pose): it is "
    "the rig's idea of each expression, and what is measured is who comes near to that. A row "
    "of the rig is the rig against itself, on crops of its own, and no contest."
)


@dataclass
class Kept:
    """A model's scores, (n,) a part and expression, and its pictures by expression and person."""

    settings: str = ""
    scores: dict[str, list[Float64]] = field(default_factory=lambda: defaultdict(list))
    people: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    shown: dict[str, dict[str, Pixels]] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        """A score's mean over everything."""
        return float(np.concatenate(self.scores[name]).mean())

    def spread(self) -> float | None:
        """How far the mean gain may be off: people differ, and a person's pictures are alike."""
        gains, people = np.concatenate(self.scores["psnr gain"]), np.array(self.people)
        means = [gains[people == one].mean() for one in sorted(set(self.people))]
        return float(SURE * np.std(means, ddof=1) / len(means) ** 0.5) if means[1:] else None


class Judges:
    """Classifiers of expressions, one for each size and frame of crops, made when asked for."""

    def __init__(self, settings: Mapping[str, Setting], fold: frozenset[str]) -> None:
        self.settings, self.fold = settings, fold
        self.made: dict[tuple[int, Frame | None], Expressions] = {}

    def of(self, size: int, frame: Frame | None) -> Expressions:
        """What judges crops of a size in a frame."""
        if (size, frame) not in self.made:
            pictures: list[Pixels] = []
            labels: list[str] = []
            for target, setting in self.settings.items():
                learning, _ = setting.split(self.fold, size, frame)
                sides = [(target, learning.targets)]
                if not labels:
                    sides.append((setting.pairs[0].source.expression, learning.sources))
                pictures += [side for _, side in sides]
                labels += [name for name, side in sides for _ in side]
            self.made[size, frame] = Expressions(np.concatenate(pictures), labels)
        return self.made[size, frame]


def measure(setting: Setting) -> Table:
    """Fit every model to every expression on all but a fold, judge it on the fold."""
    settings = {
        name: setting if name == setting.target else replace(setting, target=name, kept={})
        for name in setting.targets
    }
    kept: dict[str, Kept] = defaultdict(Kept)
    notes = [_told(setting, settings), *_truths(setting), *NOTES]
    for fold in setting.folds():
        judges = Judges(settings, fold)
        for done, (target, one) in enumerate(settings.items()):
            setting.update(done, len(settings))
            _judge(one, target, fold, judges, kept, notes)
    setting.update(1, 1)
    rows = [_row(name, each, settings, setting) for name, each in kept.items()]
    extra = [Column(name, 3) for name in setting.judges] + [Column(t, 2) for t in settings]
    return Table(
        "expressions",
        "All expressions, on people who were not learnt from",
        "Every model, every expression; the last columns are what is seen, by expression.",
        (*COLUMNS, *extra),
        tuple(rows),
        tuple(dict.fromkeys(notes)),
        (_sheet(kept, settings),),
    )


def _judge(
    setting: Setting,
    target: str,
    fold: frozenset[str],
    judges: Judges,
    kept: dict[str, Kept],
    notes: list[str],
) -> None:
    """One expression on one fold: the input, every model, and the truth."""
    learning, held_out = setting.split(fold, setting.size, setting.frame)
    _keep(kept[UNTOUCHED], held_out.sources, held_out, setting, judges)
    for one in _able(setting, notes):
        try:
            own = setting.split(fold, one.size, one.frame)[1]
            made = one.made(learning, own.sources)
        except PixelregError as error:
            notes.append(setting.miss(f"{one.name}, {target}", error))
            continue
        kept[one.name].settings = "" if isinstance(one, Fitted) else one.settings
        _keep(kept[one.name], made, own, setting, judges, one)
    _keep(kept[TRUTH], held_out.targets, held_out, setting, judges)


def _able(setting: Setting, notes: list[str]) -> list[Contender]:
    """The models that have an expression; why others have not goes to the notes."""
    found: dict[str, Contender] = {}
    for word in setting.models:
        try:
            made, absent = setting.meant(word)
        except PixelregError as error:
            notes.append(f"{word}, {setting.target}: {error}")
            continue
        notes += absent
        found.update({one.name: one for one in made if one.name not in found})
    return list(found.values())


def _keep(
    kept: Kept,
    made: Pixels,
    own: Any,
    setting: Setting,
    judges: Judges,
    one: Contender | None = None,
) -> None:
    size, frame = (one.size, one.frame) if one else (setting.size, setting.frame)
    target = setting.target
    named = np.array([name == target for name in judges.of(size, frame).named(made)], float)
    found = {
        **scores(made, own.sources, own.targets),
        "person": recognised(made, own.sources).astype(float),
        "seen": named,
        **{
            name: asked(name, judge, made, own.targets, own.sources)
            for name, judge in setting.judges.items()
        },
    }
    for name, values in found.items():
        kept.scores[name].append(values)
    kept.scores[f"seen {target}"].append(named)
    kept.people += list(own.people)
    kept.shown.setdefault(target, dict(zip(own.people, made, strict=True)))


def _row(
    name: str, kept: Kept, settings: Mapping[str, Setting], setting: Setting
) -> tuple[Cell, ...]:
    own = name in (UNTOUCHED, TRUTH)
    return (
        name,
        kept.settings,
        len(kept.shown),
        len(kept.people),
        None if name == TRUTH else kept.mean("psnr"),
        None if own else kept.mean("psnr gain"),
        None if own else kept.spread(),
        kept.mean("ssim"),
        kept.mean("mae"),
        kept.mean("sharp"),
        kept.mean("person"),
        kept.mean("seen"),
        *(kept.mean(judge) for judge in setting.judges),
        *(kept.mean(f"seen {target}") if target in kept.shown else None for target in settings),
    )


def _told(setting: Setting, settings: Mapping[str, Setting]) -> str:
    first = next(iter(settings.values()))
    return first.told().replace(f"to {first.target}", f"to {', '.join(settings)}")


def _truths(setting: Setting) -> list[str]:
    """That the truth is the rig's own, where it is."""
    posed = [path.name or str(path) for path in setting.data if (path / POSED).exists()]
    return [BY_RIG.format(names=", ".join(posed))] if posed else []


def _sheet(kept: Mapping[str, Kept], settings: Mapping[str, Setting]) -> Figure:
    """Expressions and people down, models across."""
    people = list(dict.fromkeys(kept[UNTOUCHED].people))[:SHOWN]
    blank = np.full((CELL, CELL, 3), 255, np.uint8)
    labels = [f"{target} {person}" for target in settings for person in people]
    columns = [
        (
            name,
            [
                each.shown.get(target, {}).get(person, blank)
                for target in settings
                for person in people
            ],
        )
        for name, each in kept.items()
    ]
    caption = f"{len(people)} people who were not learnt from, and every model's picture of them."
    return Figure.sheet("expressions-sheet", caption, contact_sheet(columns, labels, CELL))
