"""Expression names: one canonical English word for each, whatever a data set calls it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

CANONICAL = (
    "neutral",
    "happy",
    "sad",
    "angry",
    "afraid",
    "disgusted",
    "surprised",
    "contemptuous",
)

# Two-letter codes are those of KDEF and JAFFE; "a" and "b" are the two sides of an A/B set.
_SYNONYMS = {
    "neutral": "ne neu normal neutrality",
    "happy": "ha hap happiness smile smiling joy joyful",
    "sad": "sa sadness unhappy",
    "angry": "an ang anger",
    "afraid": "af fe fea fear fearful scared",
    "disgusted": "di dis disgust",
    "surprised": "su sur surprise",
    "contemptuous": "co con contempt",
    "A": "a",
    "B": "b",
}
LONGEST_CODE = 2  # letters; shorter words may be initials
_NAMES = {word: name for name, words in _SYNONYMS.items() for word in words.split()}


def canonical(name: str) -> str:
    """The canonical name of an expression.

    name : a canonical name, a data set's own code (``"HA"``, ``"NE"``) or a common synonym
        (``"happiness"``, ``"smile"``), in any case and Unicode form, perhaps behind a number
        (``"0_neutral"``).

    Returns: One of :data:`CANONICAL`, or ``"A"``/``"B"`` for the sides of an A/B set. A name that
    is neither is returned in lower case, blanks and underscores as hyphens (``"Big_Smile"`` gives
    ``"big-smile"``), because a folder may show anything: ``"photo"``, ``"sketch"``.
    """
    lowered = unicodedata.normalize("NFC", name.lower())
    word = re.sub(r"[\s_-]+", "-", lowered).strip("-")
    bare = re.sub(r"^\d+[-.]+", "", word)
    return _NAMES.get(word) or _NAMES.get(bare) or (bare if bare in CANONICAL else word) or lowered


def synonyms() -> Mapping[str, str]:
    """Every word and code of a data set that stands for a canonical name."""
    return _NAMES


def words_of(name: str) -> list[str]:
    """The words that mean an expression: its canonical name and synonyms, codes left out."""
    words = [name, *_SYNONYMS.get(name, "").split()]
    return [word for word in words if len(word) > LONGEST_CODE]


def in_order(names: set[str]) -> list[str]:
    """Expression names in the order of :data:`CANONICAL`, the others after them by alphabet."""
    return [n for n in CANONICAL if n in names] + sorted(names - set(CANONICAL))
