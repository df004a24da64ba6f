"""What raters' answers come to: shares with their intervals, and how far raters agree."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelreg.errors import DataError
from pixelreg.files import read_regular, why
from pixelreg.study.agreement import fleiss_kappa, krippendorff_alpha, wilson
from pixelreg.study.build import FORMAT

MAX_BYTES = 2**26  # of a key or of answers
ALL = "all"  # questions together, as the paper's Table II counts them


@dataclass(frozen=True)
class Answer:
    """Whose picture a rater chose."""

    rater: str
    trial: int
    question: str
    model: str


@dataclass(frozen=True)
class Share:
    """How often a model's picture was chosen; low, high : Wilson's 95 % interval."""

    question: str
    model: str
    chosen: int
    asked: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """What a study came to.

    alpha, kappa : agreement by question, Krippendorff's and Fleiss'; None where it has no value.
    missing : answers that raters left out.
    """

    raters: int
    answers: int
    missing: int
    shares: tuple[Share, ...]
    alpha: Mapping[str, float | None]
    kappa: Mapping[str, float | None]

    def facts(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return asdict(self)


def read_key(path: Path) -> dict[str, Any]:
    """A study's key."""
    key = _read(path)
    if not _is_key(key):
        raise DataError(f"{path} is no key of a study; pixelreg study build wrote it as key.json")
    return key


def read_answers(path: Path, key: Mapping[str, Any]) -> list[Answer]:
    """One rater's answers."""
    told = _read(path)
    if told.get("study") != key["study"]:
        raise DataError(f"{path} answers another study than this key's")
    try:
        rater = str(told["rater"])
        return [_answer(rater, each, key) for each in told["answers"] if each is not None]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!r} in its answers") from error


def tally(answers: Sequence[Answer], key: Mapping[str, Any]) -> Tally:
    """Count answers by question and model."""
    raters = {one.rater for one in answers}
    wanted = len(raters) * len(key["trials"]) * len(key["questions"])
    groups = {name: [a for a in answers if a.question == name] for name in key["questions"]}
    groups[ALL] = list(answers)
    units = {name: _units(group) for name, group in groups.items()}
    return Tally(
        len(raters),
        len(answers),
        wanted - len(answers),
        tuple(share for name, group in groups.items() for share in _shares(name, group, key)),
        {name: krippendorff_alpha(each) for name, each in units.items()},
        {name: fleiss_kappa(each) for name, each in units.items()},
    )


def once_each(answers: Iterable[tuple[Path, list[Answer]]]) -> list[Answer]:
    """All answers; a rater who comes twice is refused, as nobody knows which file is meant."""
    found: dict[str, Path] = {}
    kept = []
    for path, some in answers:
        for rater in {one.rater for one in some}:
            if rater in found:
                raise DataError(
                    f"{found[rater]} and {path} are by the same rater; keep one of them"
                )
            found[rater] = path
        kept += some
    return kept


def _answer(rater: str, each: Mapping[str, Any], key: Mapping[str, Any]) -> Answer:
    trial, choice, question = each["trial"], each["choice"], each["question"]
    if not (isinstance(trial, int) and isinstance(choice, int) and min(trial, choice) >= 0):
        raise ValueError(f"trial {trial!r}, choice {choice!r}")
    if question not in key["questions"]:
        raise ValueError(f"question {question!r}")
    return Answer(rater, trial, question, key["trials"][trial]["order"][choice])


def _shares(question: str, group: Sequence[Answer], key: Mapping[str, Any]) -> Iterable[Share]:
    for model in key["models"]:
        chosen = sum(one.model == model for one in group)
        share = chosen / len(group) if group else 0.0
        yield Share(question, model, chosen, len(group), share, *wilson(chosen, len(group)))


def _units(group: Sequence[Answer]) -> list[list[str]]:
    """The models chosen, of every trial and question."""
    units: dict[tuple[int, str], list[str]] = {}
    for one in group:
        units.setdefault((one.trial, one.question), []).append(one.model)
    return list(units.values())


def _is_key(told: Mapping[str, Any]) -> bool:
    trials, models, questions = (told.get(key) for key in ("trials", "models", "questions"))
    return (
        isinstance(told.get("study"), str)
        and _names(models)
        and _names(questions)
        and isinstance(trials, list)
        and all(isinstance(each, dict) and _names(each.get("order")) for each in trials)
    )


def _names(told: Any) -> bool:
    return isinstance(told, list) and all(isinstance(name, str) for name in told)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(read_regular(path, MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {why(error)}") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise DataError(f"{path} is no file of a study")
    return told
