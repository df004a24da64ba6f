"""What ``pixelreg fit`` shows of what it fitted: scores, a contact sheet, the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pixelreg.commands.console import report, say
from pixelreg.evaluation.comparison import as_json as scores_as_json
from pixelreg.evaluation.comparison import format_table, table
from pixelreg.fitting import sumsfile
from pixelreg.fitting.recipe import Fitted
from pixelreg.models.model import Model
from pixelreg.pictures.image import Picture, write_file
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.regression.estimator import Score
from pixelreg.regression.validation import best

SHEET_ROWS = 8


def cv_table(target: str, scores: Sequence[Score]) -> str:
    """The scores of cross-validation as text, the chosen parameters marked."""
    chosen = best(scores)
    cells = [(target, "parameters", "RMSE (0..255)")]
    for score in scores:
        params = ", ".join(f"{_shown(name)}={value:g}" for name, value in score.params.items())
        mark = "*" if score is chosen else ""
        cells.append((mark, params, f"{255 * score.error**0.5:.3f}"))
    return format_table(cells)


def write_sheet(fitted: Mapping[str, Fitted], output: Path) -> Path | None:
    """The contact sheet of held-out people beside a model file, if there are any."""
    rows = [
        (f"{target} {judged.person}", judged.source, judged.made, judged.truth)
        for target, done in fitted.items()
        for judged in done.judged[:SHEET_ROWS]
    ]
    if not rows:
        return None
    labels, sources, made, truth = zip(*rows, strict=True)
    sheet = contact_sheet([("input", sources), ("made", made), ("truth", truth)], labels)
    path = output.with_name(f"{output.stem}-sheet.png")
    write_file(Picture(sheet), path)
    return path


def tell(
    fitted: Mapping[str, Fitted],
    parameters: int,
    size_bytes: int,
    output: Path,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Scores on stdout, what was written on stderr; or all as JSON."""
    rows = [row for done in fitted.values() for row in done.scores]
    facts = {
        "model": str(output),
        "bytes": size_bytes,
        "parameters": parameters,
        "sheet": None if sheet is None else str(sheet),
        "pairs": {target: len(done.pairs) for target, done in fitted.items()},
        "settings": {t: done.recipe.parameters() for t, done in fitted.items()},
        "held_out": scores_as_json(rows),
    }
    if rows and not as_json:
        say("held-out people:")
    notes = [f"wrote {output} ({parameters:,} parameters, {size_bytes / 1024:.0f} KiB)"]
    if sheet is not None:
        notes.append(f"wrote {sheet}")
    report(facts, as_json, table(rows) if rows else "", *notes)


def save_sums(path: Path, model: Model, fitted: Mapping[str, Fitted]) -> None:
    """Write the sums of a fitted model."""
    people = {pair.person for done in fitted.values() for pair in done.pairs}
    training = sumsfile.TrainingSums(
        {target: done.sums for target, done in fitted.items() if done.sums is not None},
        sumsfile.person_hashes(people),
        model.kind,
        model.settings,
        model.size,
        model.source,
        model.frame,
        model.provenance,
    )
    sumsfile.save(training, path)
    say(f"wrote {path} ({path.stat().st_size / 1024:.0f} KiB)")


def _shown(name: str) -> str:
    return "lambda" if name == "alpha" else name
