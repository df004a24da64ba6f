"""CK+, the extended Cohn-Kanade set: sequences that go from neutral to the peak of an expression.

``S005/001/S005_001_00000011.png`` is person, sequence and frame; the text file
``Emotion/S005/001/S005_001_00000011_emotion.txt`` holds the number of the sequence's expression.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pixelreg.data.layouts.reading import Layout, Reading, Tree, name_of, stem_of
from pixelreg.data.photos import Photo

_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.IGNORECASE)
_LABEL = re.compile(r"(S\d{3})_(\d{3})_(\d{8})_emotion\.txt", re.IGNORECASE)
_EXPRESSIONS = ("angry", "contemptuous", "disgusted", "afraid", "happy", "sad", "surprised")

_Sequence = tuple[str, str]


def _fill(tree: Tree, reading: Reading) -> None:
    """The first (neutral) and last (labelled) frame of every labelled sequence, one session each.

    Without any label file nothing is recognised: the same names occur in copies of the set that
    are sorted into folders by expression.
    """
    labels = {
        (match[1].upper(), match[2]): file
        for file in tree.others
        if (match := _LABEL.fullmatch(name_of(file)))
    }
    sequences: dict[_Sequence, list[str]] = defaultdict(list)
    for file in tree.pictures:
        match = _FRAME.fullmatch(stem_of(file))
        if match is None:
            reading.strange(file)
        else:
            sequences[match[1].upper(), match[2]].append(file)
    if labels:
        for sequence, frames in sequences.items():
            _read_sequence(sequence, frames, labels.get(sequence), reading)


def _read_sequence(
    sequence: _Sequence, frames: list[str], label: str | None, reading: Reading
) -> None:
    reading.recognised += len(frames)
    if label is None:
        reading.skipped["frame of a sequence without a label"] += len(frames)
        return
    expression = _expression(label)
    if expression is None:
        reading.problems.append((label, "no expression number from 1 to 7 in it"))
    elif len(frames) == 1:
        reading.problems.append((frames[0], "a sequence of one frame has no neutral start"))
    else:
        person, session = sequence
        first, *between, last = sorted(frames, key=stem_of)
        reading.skipped["frame between neutral and peak"] += len(between)
        reading.photos.append(Photo(person, "neutral", first, session))
        reading.photos.append(Photo(person, expression, last, session))


def _expression(label: str) -> str | None:
    """The expression in a label file, which holds one number such as ``3.0000000e+00``."""
    try:
        number = int(float(Path(label).read_text("ascii")))
    except (OSError, ValueError, OverflowError):
        return None
    return dict(enumerate(_EXPRESSIONS, start=1)).get(number)


SETS = {
    "ckplus": Layout(
        "S005/001/S005_001_00000011.png with S005_001_00000011_emotion.txt", _fill, codes=True
    )
}
