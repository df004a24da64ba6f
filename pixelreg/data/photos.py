"""Records: one photograph, one file that could not be used, and what a folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelreg.data.expressions import in_order

NO_FACE = "no face was found"


@dataclass(frozen=True, slots=True)  # there may be a hundred thousand
class Photo:
    """One picture of one person.

    person : who it shows; all pictures of one person carry the same text.
    expression : what it shows, a canonical name (see :mod:`pixelreg.data.expressions`).
    file : where it is; a text, as a `Path` takes five times as much memory.
    session : the sitting or take, where the set tells; "" otherwise.
    marks : suffix of the landmark file beside the picture, where the set has one; "" otherwise.
    half : the half of the file that is this picture, for side-by-side files; None for all of it.
    """

    person: str
    expression: str
    file: str
    session: str = ""
    marks: str = ""
    half: Literal["left", "right"] | None = None

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.file)

    @property
    def landmarks(self) -> Path | None:
        """The landmark file beside it, if any."""
        return self.path.with_suffix(self.marks) if self.marks else None


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be used, and why."""

    path: Path
    reason: str


def first_reason(problems: Sequence[Problem]) -> str:
    """How the message of an error ends that these problems are behind.

    Advice is left out, as it may be another command's, but for what all that read pairs take.
    """
    if not problems:
        return ""
    reason = problems[0].reason.partition("; ")[0]
    advice = "; take face crops as they are with --no-align" if NO_FACE in reason else ""
    return f"; the first reason: {reason}{advice}"


@dataclass(frozen=True)
class Listing:
    """What one folder of training pictures holds.

    layout : the layout by which the folder was read, such as ``"kdef"``.
    root : the folder (or the CSV file) that was read.
    photos : the usable pictures, sorted by path.
    problems : files that look like pictures but could not be placed.
    aligned : True where the pictures of a pair lie pixel on pixel as published.
    skipped : (reason, count) of pictures left out on purpose, such as views from the side.
    paired : whether such sets have pairs at all.
    parts : the sets of a pool, see `pixelreg.data.pools`; empty for one folder.
    """

    layout: str
    root: Path
    photos: tuple[Photo, ...]
    problems: tuple[Problem, ...]
    source: str = "neutral"
    aligned: bool = False
    skipped: tuple[tuple[str, int], ...] = ()
    paired: bool = True
    parts: tuple[Listing, ...] = ()

    @property
    def people(self) -> dict[str, int]:
        """Each person's number of photos, sorted by person."""
        counts = Counter(photo.person for photo in self.photos)
        return {person: counts[person] for person in sorted(counts)}

    @property
    def expressions(self) -> dict[str, int]:
        """Each expression's number of photos: canonical names first, then by alphabet."""
        counts = Counter(photo.expression for photo in self.photos)
        return {name: counts[name] for name in in_order(set(counts))}
