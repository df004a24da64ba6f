"""Sums that were made apart, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pixelreg import __version__
from pixelreg.backends.array import ArrayBackend
from pixelreg.errors import UsageError
from pixelreg.fitting.sumsfile import TrainingSums
from pixelreg.models.model import Model, Provenance, made_on
from pixelreg.models.sums import MAX_PAIRS, LevelSums, PixelSums, Sums
from pixelreg.regression import estimator_class


def as_kind(training: TrainingSums, name: str, kind: str) -> TrainingSums:
    """The same sums for another kind of model: histograms hold the sums of Pixel-RR."""
    if training.kind == kind:
        return training
    sums: dict[str, Sums] = {}
    for target, each in training.sums.items():
        if estimator_class(kind).sums is not PixelSums or not isinstance(each, LevelSums):
            raise UsageError(
                f"{name} holds sums of {training.kind}, which are not enough for {kind}; "
                f"fit it with --model {kind}"
            )
        sums[target] = PixelSums.of_levels(each)
    return replace(training, sums=sums, kind=kind)


def merge_sums(parts: Mapping[str, TrainingSums]) -> TrainingSums:
    """Add up the sums of several files, target by target.

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
            sums[target] = sums[target] + more if target in sums else more
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
        date=made_on(),
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
    cls = estimator_class(kind)
    defaults = cls().get_params()
    chosen: dict[str, dict[str, Any]] = {}
    origin: dict[tuple[str, str], str] = {}
    for name, part in parts.items():
        for target in part.sums:
            values = chosen.setdefault(target, dict(given))
            for parameter, option in cls.options.items():
                if parameter in given:
                    continue
                value = part.settings[target].get(parameter, defaults[parameter])
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
        model = estimator_class(training.kind)(**settings[target]).from_sums(sums, backend)
        plans[target] = model.to_plan((training.size, training.size, 3))
    return Model(
        plans, training.source, training.kind, settings, training.frame, training.provenance
    )


def _joined(texts: Sequence[str], by: str) -> str:
    return by.join(dict.fromkeys(text for text in texts if text))


def _shown(value: Any) -> str:
    return "none" if value is None else str(getattr(value, "eyes", value))
