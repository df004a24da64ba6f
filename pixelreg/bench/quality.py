"""How good models are on people whom they have not seen, each against the untouched input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.bench.models import Contender
from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.errors import DataError, PixelregError, UsageError
from pixelreg.evaluation.comparison import UNTOUCHED
from pixelreg.evaluation.features import frechet, kernel_distance
from pixelreg.evaluation.metrics import mae, psnr, sharpness, ssim
from pixelreg.pictures.image import Picture, write_file
from pixelreg.pictures.sheet import contact_sheet

SHOWN = 8  # people on the sheet
CELL = 128
MOST_PSNR = 99.0  # dB; that of equal pictures is infinite, and no mean can be taken of it
SURE = 1.96  # standard errors each way that hold the mean in 95 of 100 cases
TRUTH = "truth"
DISTANCES = ("FID", "KID x 1000", "± KID", "features of")
FEATURES_PER_PICTURE = 10  # pictures for each feature, below which FID ranks nothing

COLUMNS = (
    Column("model"),
    Column("settings"),
    Column("n"),
    Column("PSNR dB", 2),
    Column("PSNR gain", 2),
    Column("± 95 %", 2),
    Column("SSIM", 4),
    Column("SSIM gain", 4),
    Column("MAE", 2),
    Column("sharp", 2),
)
NOTES = (
    "PSNR, SSIM, MAE (grey levels): against the true picture, means over pictures. Gain: over the "
    "untouched input of the same crops; ± is 1.96 standard errors of the gain's mean.",
    "A model with crops of its own, of another size or frame, is judged on those: compare its "
    "gain, not its PSNR, with others'.",
    "Sharp: variance of the Laplacian over the input's; 1 keeps what detail there was, and a true "
    "picture has its own.",
    "The nearest picture is not the best one: everybody changes in a way of their own, and what "
    "moves less is nearer in the mean. Look at the sheet.",
)
NO_JUDGE = (
    "Identity and expression are not judged: no weights come along; give a judge with --judge. "
    "FID, KID: give features with --features; LPIPS: a judge."
)

Scores = Mapping[str, Float64]


@dataclass
class Kept:
    """A model's scores so far, (n,) a part, and its pictures by person."""

    scores: dict[str, list[Float64]] = field(default_factory=lambda: defaultdict(list))
    pictures: list[tuple[str, Pixels]] = field(default_factory=list)

    def all(self, name: str) -> Float64:
        """A score of every picture, (N,)."""
        return np.concatenate(self.scores[name])


def measure(setting: Setting) -> Table:
    """Fit on all but a fold, judge on the fold."""
    kept: dict[str, Kept] = defaultdict(Kept)
    names = {one.name: one for one in setting.taking_part}
    notes = [setting.told(), *NOTES, *setting.absent]
    for fold in setting.folds():
        _judge_fold(setting, fold, kept, notes)
    rows = [_row(name, names.get(name), each, setting) for name, each in kept.items()]
    distances = DISTANCES if setting.features else ()
    extra = tuple(Column(name, 3) for name in (*setting.judges, *distances))
    notes += [] if setting.judges or setting.features else [NO_JUDGE]
    rows = [(*row, *_apart(row[0], setting)) for row in rows]
    notes += _carried(setting)
    return Table(
        "quality",
        "Quality on people who were not learnt from",
        "Every model against the untouched input and the truth.",
        (*COLUMNS, *extra),
        tuple(rows),
        tuple(dict.fromkeys(notes)),
        (_sheet(setting, kept),),
    )


def _judge_fold(
    setting: Setting, fold: frozenset[str], kept: dict[str, Kept], notes: list[str]
) -> None:
    learning, held_out = setting.split(fold, setting.size, setting.frame)
    sources, truth = held_out.sources, held_out.targets
    people = list(held_out.people)
    _keep(kept[UNTOUCHED], sources, sources, truth, people, setting)
    for done, one in enumerate(setting.taking_part):
        setting.update(done, len(setting.taking_part))
        own = setting.split(fold, one.size, one.frame)[1]
        try:
            made = one.made(learning, own.sources)
        except PixelregError as error:
            notes.append(setting.miss(one.name, error))
            continue
        _keep(kept[one.name], made, own.sources, own.targets, list(own.people), setting)
    setting.update(1, 1)
    _keep(kept[TRUTH], truth, sources, truth, people, setting)


def _keep(
    kept: Kept, made: Pixels, sources: Pixels, truth: Pixels, people: list[str], setting: Setting
) -> None:
    for name, values in scores(made, sources, truth).items():
        kept.scores[name].append(values)
    for name, judge in setting.judges.items():
        kept.scores[name].append(asked(name, judge, made, truth, sources))
    kept.pictures += list(zip(people, made, strict=True))


def scores(made: Pixels, sources: Pixels, truth: Pixels) -> Scores:
    """Scores of each picture; all are (N, H, W, 3) uint8."""
    near = np.minimum(psnr(made, truth), MOST_PSNR)
    like = ssim(made, truth)
    return {
        "psnr": near,
        "psnr gain": near - np.minimum(psnr(sources, truth), MOST_PSNR),
        "ssim": like,
        "ssim gain": like - ssim(sources, truth),
        "mae": mae(made, truth),
        "sharp": sharpness(made) / np.maximum(sharpness(sources), 1e-9),
    }


def asked(name: str, judge: Any, *pictures: Pixels) -> Float64:
    """What a judge says of each picture."""
    try:
        said = np.asarray(judge(*pictures), np.float64)
    except Exception as error:  # it is somebody else's, and may raise anything
        reason = " ".join(str(error).split())  # it is somebody else's, of any number of lines
        raise UsageError(f"--judge {name} failed: {type(error).__name__}: {reason}") from error
    if said.shape != (len(pictures[0]),):
        raise UsageError(
            f"--judge {name} gave {said.shape}; one number for each of {len(pictures[0])} "
            "pictures is needed"
        )
    return said


def _row(name: str, one: Contender | None, kept: Kept, setting: Setting) -> tuple[Cell, ...]:
    def mean(score: str) -> float:
        return float(kept.all(score).mean())

    gains = kept.all("psnr gain")
    spread = float(gains.std(ddof=1)) if len(gains) > 1 else float("nan")
    own = name in (UNTOUCHED, TRUTH)
    return (
        name,
        one.settings if one else "",
        len(gains),
        None if name == TRUTH else mean("psnr"),
        None if own else mean("psnr gain"),
        None if own else SURE * spread / len(gains) ** 0.5,
        mean("ssim"),
        None if own else mean("ssim gain"),
        mean("mae"),
        mean("sharp"),
        *(mean(judge) for judge in setting.judges),
    )


def _apart(name: Cell, setting: Setting) -> tuple[Cell, ...]:
    """FID and KID of a model's features, and how many pictures carry them."""
    if not setting.features:
        return ()
    own, truth = setting.features.get(str(name)), setting.features.get(TRUTH)
    if own is None or truth is None or name == TRUTH:
        return (None,) * 4
    near, spread = kernel_distance(own, truth, setting.seed)
    return frechet(own, truth), 1000 * near, 1000 * spread, len(own)


def _carried(setting: Setting) -> list[str]:
    if not setting.features:
        return []
    if TRUTH not in setting.features:
        raise DataError(f"--features has no array {TRUTH!r}, which the others are compared with")
    count, width = np.shape(setting.features[TRUTH])
    enough = count >= FEATURES_PER_PICTURE * width
    return [
        f"FID and KID: {width} features of {count} true pictures"
        + ("." if enough else "; so few pictures carry no FID: do not rank by it.")
    ]


def _sheet(setting: Setting, kept: Mapping[str, Kept]) -> Figure:
    """People down, models across."""
    people = [person for person, _ in kept[UNTOUCHED].pictures][:SHOWN]
    columns = []
    for name, each in kept.items():
        made = dict(each.pictures)
        blank = np.full((CELL, CELL, 3), 255, np.uint8)
        columns.append((name, [made.get(person, blank) for person in people]))
    caption = f"The first {len(people)} people who were not learnt from, and every model's picture."
    return Figure.sheet("quality-sheet", caption, contact_sheet(columns, people, CELL))


def write_pictures(setting: Setting, folder: Any) -> int:
    """Write what every model makes of all judged people, so that others may judge it.

    Returns: how many files were written; ``folder/MODEL/PERSON.png``.
    """
    count = 0
    for fold in setting.folds():
        learning, held_out = setting.split(fold, setting.size, setting.frame)
        sides = {UNTOUCHED: (held_out.people, held_out.sources)}
        sides[TRUTH] = held_out.people, held_out.targets
        for one in setting.taking_part:
            own = setting.split(fold, one.size, one.frame)[1]
            sides[one.name] = own.people, one.made(learning, own.sources)
        for name, (people, pictures) in sides.items():
            for person, pixels in zip(people, pictures, strict=True):
                file = folder / _safe(name) / f"{_safe(person)}.png"
                write_file(Picture(pixels, edited=name not in (UNTOUCHED, TRUTH)), file)
                count += 1
    return count


def _safe(name: str) -> str:
    return "".join(each if each.isalnum() or each in "-_.=" else "-" for each in name)
