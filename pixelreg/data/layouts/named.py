"""Sets whose file names tell all: each is an entry of a table, a pattern and what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelreg.data.expressions import CANONICAL, canonical
from pixelreg.data.layouts.reading import Layout, Reading, Tree, folder_of, picture_size, stem_of
from pixelreg.data.photos import Photo
from pixelreg.errors import ImageError


@dataclass(frozen=True)
class NamedSet:
    """How a set names its pictures. Patterns fit a whole name without its suffix, in any case.

    name : pattern of a picture with the groups ``person`` and perhaps ``session``, ``expression``
        (without it, a picture is neutral) and ``view``.
    left_out : reason -> pattern of pictures that are known and left out.
    expressions : the set's words in lower case; None where `canonical` knows them.
    look : says what is wrong with a picture whose name fits, if anything.
    views : codes of ``view``, the front first; others are left out for the reason ``side``, unless
        they are asked for.
    view : the code of ``view`` where the name does not give it plainly.
    """

    name: str
    left_out: Mapping[str, str] = field(default_factory=dict)
    expressions: Mapping[str, str] | None = None
    person: Callable[[str], str] = str.upper
    folder: str | None = None
    landmarks: str = ""
    look: Callable[[str], str | None] | None = None
    views: tuple[str, ...] = ()
    side: str = ""
    view: Callable[[re.Match[str]], str] | None = None

    def fill(self, tree: Tree, reading: Reading) -> None:
        """Every picture as its name says."""
        others = frozenset(tree.others if self.landmarks else ())
        for file in tree.pictures:
            match, reason = self._match(file)
            view = self._view(match) if match is not None and reason is None else ""
            if view and view not in (reading.views or self.views[:1]):
                reason = self.side
            if match is None:
                reading.strange(file)
            elif reason is not None:
                reading.skipped[reason] += 1
            elif wrong := self.look and self.look(file):
                reading.problems.append((file, wrong))
            else:
                beside = file.rpartition(".")[0] + self.landmarks
                marks = self.landmarks if beside in others else ""
                turned = view if view not in self.views[:1] else ""
                reading.photos.append(self._photo(match, file, marks, turned))
        reading.recognised = len(reading.photos) + reading.skipped.total()

    def _view(self, match: re.Match[str]) -> str:
        """The side from which a picture shows somebody; "" for sets that know no sides."""
        if not self.views:
            return ""
        return self.view(match) if self.view else match["view"].upper()

    def _match(self, file: str) -> tuple[re.Match[str] | None, str | None]:
        """How a name fits, and the reason to leave the picture out."""
        if self.folder and not re.fullmatch(self.folder, folder_of(file), re.IGNORECASE):
            return None, None
        name = stem_of(file)
        for reason, pattern in ((None, self.name), *self.left_out.items()):
            match = re.fullmatch(pattern, name, re.IGNORECASE)
            if match is not None and self._expression(match):
                return match, reason
        return None, None

    def _photo(self, match: re.Match[str], file: str, marks: str, turned: str) -> Photo:
        """A photo; those from a side are a session of their own, so that sides make pairs."""
        person, session = self.person(match["person"]), match.groupdict().get("session", "")
        session = "-".join(filter(None, (session.upper(), turned)))
        return Photo(person, self._expression(match), file, session, marks)

    def _expression(self, match: re.Match[str]) -> str:
        """What is shown; "" for a word that the set does not use."""
        word = match.groupdict().get("expression")
        if word is None:
            return "neutral"
        if self.expressions is not None:
            return self.expressions.get(word.lower(), "")
        return canonical(word) if canonical(word) in CANONICAL else ""


# Files of KDEF under this size need a look inside: it holds a few that are all black, which take
# less than 10 kB at 562x762 pixels, and a photograph takes several times as much.
_BLACK_BYTES = 20_000
_BLACK_PIXELS = 4_000_000  # the set has 428,244; a small file may hide far more


def _black(file: str) -> str | None:
    """What is wrong with a small file that shows nothing but black; a damaged one is let by."""
    from pixelreg.pictures.image import content_of
    from pixelreg.pictures.kinds import open_picture, told_clearly

    path = Path(file)
    try:
        width, height = picture_size(path) or (0, 0)
        if path.stat().st_size > _BLACK_BYTES or not 0 < width * height <= _BLACK_PIXELS:
            return None
        with told_clearly(str(path)), open_picture(content_of(path), str(path)) as picture:
            brightest = picture.convert("L").getextrema()[1]
    except (OSError, ImageError):
        return None
    # JPEG may leave a level or two of noise on black.
    return "all black" if isinstance(brightest, int) and brightest <= 2 else None


_CODE = "(?P<expression>AF|AN|DI|HA|NE|SA|SU)"
_SIDES = ("S", "FL", "HL", "HR", "FR")  # straight; full left to full right
_VIEW = f"{_CODE}(?P<view>FL|HL|S|HR|FR)"
_POSED = _VIEW.replace("SU", "SU|CO")
_RAFD = r"(?P<person>\d+)_[A-Za-z]+_(?:fe)?male_(?P<expression>[A-Za-z]+)"
_PLAIN = ("neutral", "happy", "sad", "afraid", "angry", "surprised", "disgusted")
_CATEGORIES = (*_PLAIN, *(f"compound-{number:02}" for number in range(8, 27)))


def _named(example: str, name: str, **more: Any) -> Layout:
    return Layout(example, NamedSet(name, **more).fill, views=more.get("views", ()), codes=True)


def _london_view(match: re.Match[str]) -> str:
    """1 to 5, left to right: 01 to 05 are neutral, 06 to 10 smile."""
    return str((int(match["expression"]) - 1) % 5 + 1)


SETS = {
    # The averages of KDEF: the two "people" are all women (F) and all men (M).
    "akdef": _named(
        "FHAS.JPG",
        f"(?P<person>[FM]){_VIEW}",
        views=_SIDES,
        side="not a straight view",
    ),
    # Karolinska Directed Emotional Faces: sitting, sex and number, expression, angle; and posed
    # pictures, whose people have P for the sex and whose expressions are one more.
    "kdef": _named(
        "KDEF/AF01/AF01NES.JPG",
        rf"(?P<session>[A-Z])(?P<person>[FM]\d\d|P\d{{2,7}}){_POSED}",
        left_out={"an average face of AKDEF": f"[FM]{_CODE}(FL|HL|S|HR|FR)"},
        views=_SIDES,
        side="not a straight view",
        look=_black,
        landmarks=".pts",
    ),
    # Radboud Faces Database: angle (090 is from the front), person, group, sex, expression, gaze.
    "rafd": _named(
        "Rafd090_28_Caucasian_male_angry_frontal.jpg",
        rf"Rafd(?P<view>\d\d\d)_{_RAFD}_frontal",
        left_out={
            "gaze to the side": f"Rafd090_{_RAFD}_(left|right)",
            "not from the frontal camera": rf"Rafd\d\d\d_{_RAFD}_(left|right)",
        },
        views=("090", "000", "045", "135", "180"),
        side="not from the frontal camera",
    ),
    # Bosphorus: person, kind of picture (N neutral, E expression), its name, take.
    "bosphorus": _named(
        "bs000/bs000_E_HAPPY_0.png",
        r"(?P<person>bs\d{3})_(N_\w+|E_(?P<expression>\w+))_(?P<session>\d+)",
        left_out={"action unit, pose or occlusion": r"bs\d{3}_(?![NE]_)[A-Z]+_\w+_\d+"},
        person=str.lower,
    ),
    # Japanese Female Facial Expression: person, expression and take, number in the whole set.
    "jaffe": _named(
        "KA.AN1.39.tiff",
        r"(?P<person>[A-Z]{2})\.(?P<expression>AN|DI|FE|HA|NE|SA|SU)(?P<session>\d)\.\d+",
    ),
}

# Sets whose names are numbers, which pictures of other sets may have too.
NUMBERED = {
    # Face Research Lab London Set: person, view; with WebMorph templates of 189 landmarks.
    "london": _named(
        "neutral_front/001_03.jpg",
        r"(?P<person>\d{3})_(?P<expression>\d\d)",
        left_out={"not a frontal view": r"\d{3}_\d\d"},
        expressions={f"{n:02}": "neutral" if n < 6 else "happy" for n in range(1, 11)},
        views=("3", "1", "2", "4", "5"),
        side="not a frontal view",
        view=_london_view,
        folder=r"(neutral|smiling)_\w+",
        landmarks=".tem",
    ),
    # Compound Facial Expressions of Emotion: category, person, shot (which a few files lack).
    "cfee": _named(
        "Images1/01_126_3963.jpg",
        r"(?P<expression>\d\d)_(?P<person>\d{3})(_\d+)?",
        expressions={f"{number:02}": name for number, name in enumerate(_CATEGORIES, 1)},
    ),
    # FEI, frontal part: a is neutral, b smiles.
    "fei": _named(
        "12a.jpg with 12b.jpg",
        r"(?P<person>\d{1,3})(?P<expression>[ab])",
        expressions={"a": "neutral", "b": "happy"},
    ),
}
