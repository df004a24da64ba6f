"""Several sets of pictures as one, as Pixel-based Facial Expression Synthesis pools four."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pixelreg.data.layouts import scan, tells_people
from pixelreg.data.photos import Listing, Photo
from pixelreg.errors import DataError, UsageError


def scan_all(
    roots: Sequence[Path], layout: str = "auto", pairs: bool = True, views: Sequence[str] = ()
) -> Listing:
    """What one folder holds, or several together; see `pixelreg.data.layouts.scan`.

    People of different sets are different people, though both are called 1. Where file names tell
    by the codes of a published set who it is, two folders of that set know the same people.
    """
    parts = [scan(root, layout, pairs, views) for root in roots]
    return parts[0] if len(parts) == 1 else pooled(parts)


def pooled(parts: Sequence[Listing]) -> Listing:
    """Several listings as one."""
    _refuse_shared_files(parts)
    sources = dict.fromkeys(part.source for part in parts)
    if len(sources) > 1:
        named = ", ".join(f"{part.root} from {part.source!r}" for part in parts)
        raise UsageError(f"these sets start from different things: {named}; use them apart")
    names = [_set_name(part, parts) for part in parts]
    return Listing(
        layout=" + ".join(dict.fromkeys(part.layout for part in parts)),
        root=Path(os.path.commonpath([part.root.absolute() for part in parts])),
        photos=tuple(
            photo for name, part in zip(names, parts, strict=True) for photo in _renamed(part, name)
        ),
        problems=tuple(problem for part in parts for problem in part.problems),
        source=parts[0].source,
        aligned=all(part.aligned for part in parts),
        skipped=tuple(item for part in parts for item in part.skipped),
        paired=any(part.paired for part in parts),
        parts=tuple(parts),
    )


def _set_name(part: Listing, parts: Sequence[Listing]) -> str:
    """What stands before the names of a set's people."""
    if tells_people(part.layout):
        return part.layout
    alike = [other for other in parts if other.root.name == part.root.name]
    return part.root.name if len(alike) == 1 else str(part.root)


def _renamed(part: Listing, name: str) -> list[Photo]:
    return [replace(photo, person=f"{name}/{photo.person}") for photo in part.photos]


def _refuse_shared_files(parts: Sequence[Listing]) -> None:
    owners: dict[Path, Path] = {}
    for part in parts:
        for path in {photo.path.resolve() for photo in part.photos}:
            if path in owners:
                raise DataError(f"{owners[path]} and {part.root} hold the same picture, {path}")
            owners[path] = part.root
