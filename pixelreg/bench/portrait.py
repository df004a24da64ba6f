"""Table 4.1 of the mask-guided portraits: the experiments, each trained alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from pixelreg.bench.setting import Setting
from pixelreg.bench.table import Cell, Column, Figure, Table
from pixelreg.bench.taught import NOT_CHOSEN, SIZE, length
from pixelreg.errors import DataError
from pixelreg.pictures.sheet import contact_sheet

MEASURE = "deep_onnx.measured:portraits"
STEPS, QUICK_STEPS = 300, 6
WIDTH, BATCH = 8, 4
BASELINE = "baseline"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    BASELINE: {},
    "eye crop tight (4.5.1)": {"eye_crop": "tight"},
    "five mask encoders (4.5.2)": {"mask_encoder": "multi"},
    "variational (4.5.3)": {"embedding": "vae"},
    "instance norm, dropout (ch. 5)": {"encoder_norm": "instance", "dropout": 0.2},
}
FIDS = (26.54, 26.04, 28.48, None, None)  # of Table 4.1; learning stopped, and no figure given
# A stronger whole, a weaker critic and larger steps than the paper's, for so few of them.
SHARED = {"learning_rate": 1e-3, "global_weight": 200.0, "gan_weight": 0.2}
CELL = 112
COLUMNS = (
    Column("experiment"),
    Column("paper: FID", 2),
    Column("steps"),
    Column("seconds", 1),
    Column("parameters"),
    Column("KID", 2),
    Column("± KID", 2),
    Column("FID", 1),
    Column("shape kept", 3),
    Column("eyes' skin follows", 3),
    Column("local loss", 4),
    Column("global loss", 4),
    Column("parser error", 4),
)
NOTES = (
    "The paper's FIDs are of 2,048 Inception features on thousands of CelebA-HQ faces. Neither "
    "those weights nor those pictures come along: KID and FID here are of the features of the "
    "baseline's own face parser, on few portraits, and cannot be compared with the paper's.",
    "Shape kept: share of pixels that the baseline's parser finds where the mask wanted them. "
    "Eyes' skin follows: how much the skin around the eyes changes with the skin of another "
    "portrait, over how much all other skin does; 1 is what 4.5.1 is after.",
    "Of chapter 5 the paper gives no figures: instance norm and dropout in the encoders, it says, "
    "made pictures worse. Its learning with variational encoders stopped before an epoch's end.",
)


def measure(setting: Setting) -> Table:
    """Train the experiments for the same steps on the same portraits."""
    steps = length(setting, STEPS, QUICK_STEPS)
    try:
        found = _found(setting, steps)
    except DataError as error:
        blank = (None,) * (len(COLUMNS) - 2)
        rows = [(*each, *blank) for each in zip(VARIANTS, FIDS, strict=True)]
        return _table(rows, [f"Not measured: {error}", *NOTES])
    measured = [_row(one, said) for one, said in zip(found.experiments, FIDS, strict=True)]
    kid, spread, fid = found.floor
    measured.append(("true portraits, others", *(None,) * 4, kid, spread, fid, *(None,) * 5))
    notes = [
        f"{found.learning} portraits learnt from, {found.held_out} of others judged; {SIZE} x "
        f"{SIZE} pixels, width {WIDTH}, {BATCH} a phase, {steps} steps each, seed {setting.seed}; "
        + ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in SHARED.items())
        + ".",
        f"{found.features} features: FID and KID of so few portraits rank nothing by themselves; "
        "see ± KID, and the row of true portraits.",
        NOT_CHOSEN,
        *NOTES,
    ]
    return _table(measured, notes, (_sheet(found),))


def _found(setting: Setting, steps: int) -> Any:
    root = setting.portraits or (setting.data[0] if setting.data else None)
    if root is None:
        raise DataError("drawn faces have no masks; give --portraits, or --data with landmarks")
    module, _, function = MEASURE.partition(":")
    setting.scratch.mkdir(parents=True, exist_ok=True)
    return getattr(import_module(module), function)(
        root,
        setting.scratch,
        VARIANTS,
        steps,
        setting.seed,
        setting.update,
        size=SIZE,
        width=WIDTH,
        batch=BATCH,
        **SHARED,
    )


def _row(one: Any, fid: float | None) -> tuple[Cell, ...]:
    losses = one.losses
    return (
        *(one.name, fid, one.steps, one.seconds, one.parameters),
        *(one.kid, one.spread, one.fid, one.kept, one.follows),
        *(losses["local"], losses["global"], losses["parser error"]),
    )


def _table(
    rows: Sequence[tuple[Cell, ...]], notes: list[str], figures: tuple[Figure, ...] = ()
) -> Table:
    return Table(
        "portrait",
        "Portraits by their masks",
        "The experiments of Conditional GAN based Mask Guided Portrait Editing (Table 4.1).",
        COLUMNS,
        tuple(rows),
        tuple(notes),
        figures,
    )


def _sheet(found: Any) -> Figure:
    first = found.experiments[0].columns
    made = [(one.name, dict(one.columns)["made"]) for one in found.experiments]
    caption = "Held-out people: the look of one in the mask and before the background of another."
    sheet = contact_sheet([*first[:2], *made], cell=CELL)
    return Figure.sheet("portrait-sheet", caption, sheet)
