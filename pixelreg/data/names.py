"""Names as people and file systems write them, compared: Unicode forms, letter case, blanks."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pixelreg.data.photos import Photo
from pixelreg.files import is_file


def composed(text: str) -> str:
    """A text in one Unicode form (NFC), its blanks single: a Mac writes "e" and an accent apart."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key(text: str) -> str:
    """What names have in common that differ in Unicode form, letter case and blanks alone."""
    folded = unicodedata.normalize("NFC", composed(text).casefold())
    return re.sub(r"\s*/\s*", "/", folded)


def one_spelling(photos: Sequence[Photo]) -> list[Photo]:
    """Photos with every person spelt in one way: the first of those whose keys are equal.

    Spellings stay apart where two of them show one expression in one session: they are two people.
    """
    known: dict[str, str] = {}
    spelt: dict[str, set[str]] = defaultdict(set)  # of the few who are spelt in several ways
    for person in {photo.person for photo in photos}:
        other = known.setdefault(key(person), person)
        if other != person:
            spelt[key(person)] |= {other, person}
    keys = {name: person for person, names in spelt.items() for name in names}
    shown: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for photo in photos:
        if photo.person in keys:
            shown[keys[photo.person], photo.expression, photo.session].add(photo.person)
    apart = {person for (person, *_), names in shown.items() if len(names) > 1}
    first = {
        name: name if person in apart else composed(min(spelt[person]))
        for name, person in keys.items()
    }
    made = []
    for photo in photos:
        person = first.get(photo.person) or composed(photo.person)
        made.append(photo if person == photo.person else replace(photo, person=person))
    return made


class Finder:
    """Finds files below a folder by names that another system, or a table of one, wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path:
        """The file of a name with backslashes, or in another letter case or Unicode form.

        Of several files that it may mean it means none but the one spelt alike. Where there is no
        such file, the path as it stands.
        """
        plain = self._folder / name
        if is_file(plain):
            return plain
        here = self._folder
        for part in name.replace("\\", "/").split("/"):
            here = self._inside(here, part)
        return here if is_file(here) else plain

    def _inside(self, folder: Path, part: str) -> Path:
        exact = folder / part
        if part == ".." or os.path.exists(exact):  # noqa: PTH110 (it takes any name)
            return exact
        alike = self._entries(folder).get(key(part), [])
        return alike[0] if len(alike) == 1 else exact

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            found = self._listed[folder] = defaultdict(list)
            with contextlib.suppress(OSError, ValueError):
                for path in sorted(folder.iterdir()):
                    found[key(path.name)].append(path)
        return self._listed[folder]


def without_words(stem: str, words: Iterable[str]) -> str:
    """A name without one of some words at its beginning or end; as it is where nothing is left."""
    alternatives = "|".join(re.escape(word) for word in words)
    found = re.fullmatch(
        rf"(?:(?:{alternatives})[\s_.-]+)?(.*?)(?:[\s_.-]+(?:{alternatives}))?", stem, re.IGNORECASE
    )
    return found[1] if found and found[1] else stem
