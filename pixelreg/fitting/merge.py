"""Sums that were made apart, put together."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pixelreg import __version__
from pixelreg.backends.array import ArrayBackend
from pixelreg.errors import UsageError
from pixelreg.fitting.solving import solve_sums
from pixelreg.fitting.sumsfile import MAX_PAIRS, Sums, TrainingSums, pixel_sums_of
from pixelreg.models.model import Model, Provenance

# The parameters that each kind of model is solved with, and their names on the command line.
PARAMETERS = {
    "rr": {"alpha": "--lambda", "prior": "--prior"},
    "kr": {"alpha": "--lambda", "sigma": "--sigma"},
}
DEFAULTS: Mapping[str, Any] = {"alpha": 0.4, "sigma": 3.0, "prior": "zero"}


def as_kind(training: TrainingSums, name: str, kind: str) -> TrainingSums:
    """The same sums for another kind of model: those of kr hold those of rr."""
    if training.kind == kind:
        return training
    if kind == "kr":
        raise UsageError(
            f"{name} holds sums of rr, which are not enough for kr; fit it with --model kr"
        )
    sums: dict[str, Sums] = {t: pixel_sums_of(each) for t, each in training.sums.items()}
    return replace(training, sums=sums, kind=kind)


def merge_sums(parts: Mapping[str, TrainingSums]) -> TrainingSums:
    """Add up the sums of several files, target by target.

    Parameters
    ----------
    parts : by file name, which stands for them in errors.
    """
    (first_name, first), *others = parts.items()
    sums: dict[str, Sums] = dict(first.sums)
    for name, part in others:
        for what in ("kind", "size", "source", "frame"):
            one, other = getattr(first, what), getattr(part, what)
            if one != other:
                raise UsageError(
                    f"cannot merge {first_name} and {name}: their {what}s differ "
                    f"({_shown(one)} and {_shown(other)})"
                )
        for target, more in part.sums.items():
            sums[target] = _added(sums[target], more) if target in sums else more
    for target, each in sums.items():
        if each.count > MAX_PAIRS:
            raise UsageError(f"{target} has more pairs than the {MAX_PAIRS:,} that sums can hold")
    every = list(parts.values())
    people = np.unique(np.concatenate([part.people for part in every]))
    settings = {t: part.settings[t] for part in reversed(every) for t in part.sums}
    provenance = Provenance(
        training_set=_joined([part.provenance.training_set for part in every], " + "),
        people=len(people),
        pairs=sum(each.count for each in sums.values()),
        licence=_joined([part.provenance.licence for part in every], "; "),
        attribution=_joined([part.provenance.attribution for part in every], "; "),
        pixelreg_version=__version__,
        date=datetime.date.today().isoformat(),
    )
    return replace(first, sums=sums, people=people, settings=settings, provenance=provenance)


def overlaps(parts: Mapping[str, TrainingSums]) -> list[tuple[str, str, int]]:
    """Every two files that share people, and how many."""
    names = list(parts)
    found = []
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            count = np.intersect1d(parts[name].people, parts[other].people).size
            if count:
                found.append((name, other, int(count)))
    return found


def choose_settings(
    parts: Mapping[str, TrainingSums], kind: str, given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The parameters for every target: those given, else those that the files were fitted with."""
    chosen: dict[str, dict[str, Any]] = {}
    origin: dict[tuple[str, str], str] = {}
    for name, part in parts.items():
        for target in part.sums:
            values = chosen.setdefault(target, dict(given))
            for parameter, option in PARAMETERS[kind].items():
                if parameter in given:
                    continue
                value = part.settings[target].get(parameter, DEFAULTS[parameter])
                if values.setdefault(parameter, value) != value:
                    raise UsageError(
                        f"{target} has {option[2:]} {values[parameter]} in "
                        f"{origin[target, parameter]} and {value} in {name}; "
                        f"choose with {option}"
                    )
                origin.setdefault((target, parameter), name)
    return chosen


def solve_model(
    training: TrainingSums, settings: Mapping[str, Mapping[str, Any]], backend: ArrayBackend
) -> Model:
    """The model of sums."""
    plans = {}
    for target, sums in training.sums.items():
        if not sums.count:
            raise UsageError(f"{target} has no pairs, so there is nothing to fit")
        plans[target] = solve_sums(sums, settings[target], training.size, backend)
    return Model(
        plans, training.source, training.kind, settings, training.frame, training.provenance
    )


def _added(one: Any, other: Any) -> Sums:
    total: Sums = one + other
    return total


def _joined(texts: Sequence[str], by: str) -> str:
    return by.join(dict.fromkeys(text for text in texts if text))


def _shown(value: Any) -> str:
    return "none" if value is None else str(getattr(value, "eyes", value))
