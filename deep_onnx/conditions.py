"""From what is asked for to the numbers that a network's condition input takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from deep_onnx.card import Card
from pixelreg.data.expressions import canonical, in_order
from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.protocol import Target


def targets_of(card: Card) -> tuple[str, ...]:
    """The names of a card's targets: expressions in their usual order, others by alphabet."""
    return tuple(in_order(set(card.targets)))


def name_of(card: Card, target: str) -> str:
    """The card's own name for a target: the same, or one that means the same."""
    known = {canonical(name): name for name in card.targets}
    name = target if target in card.targets else known.get(canonical(target))
    if name is None:
        raise UnknownNameError("target", target, targets_of(card))
    return name


def condition_of(card: Card, target: Target) -> tuple[float, ...]:
    """The values of the condition input.

    Parameters
    ----------
    target : a name or a synonym of one; all values in order; or some by the entries' names, the
        others as in the card's vector for its source, or 0 where it has none.

    Returns
    -------
    One number for every entry of ``card.condition``; empty where the network takes none.
    """
    if isinstance(target, str):
        return card.targets[name_of(card, target)]
    if not card.condition:
        raise UsageError(
            f"this model takes no numbers; ask for one of: {', '.join(targets_of(card))}"
        )
    if isinstance(target, Mapping):
        return _over_source(card, target)
    return _checked(card, target)


def _over_source(card: Card, given: Mapping[str, float]) -> tuple[float, ...]:
    start = card.targets.get(card.source, (0.0,) * len(card.condition))
    values = dict(zip(card.condition, start, strict=True))
    entries = {entry.lower(): entry for entry in card.condition}
    for name, value in given.items():
        entry = name if name in values else entries.get(str(name).lower())
        if entry is None:
            raise UnknownNameError("number", str(name), card.condition)
        values[entry] = value
    return _checked(card, values.values())


def _checked(card: Card, given: Iterable[float] | Sequence[float]) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        raise UsageError(
            f"{given!r} is no target: give a name, {len(card.condition)} numbers, or some by name"
        ) from None
    if len(values) != len(card.condition):
        raise UsageError(
            f"this model takes {len(card.condition)} numbers "
            f"({', '.join(card.condition)}), not {len(values)}"
        )
    low, high = card.condition_range
    for entry, value in zip(card.condition, values, strict=True):
        if not math.isfinite(value) or not low <= value <= high:
            raise UsageError(f"{entry} = {value:g} is out of range: {low:g} to {high:g}")
    return values
