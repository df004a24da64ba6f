"""CK+, the extended Cohn-Kanade set: sequences that go from neutral to the peak of an expression.

``S005/001/S005_001_00000011.png`` is person, sequence and frame; the text file
``Emotion/S005/001/S005_001_00000011_emotion.txt`` holds the number of the sequence's expression.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pixelreg.data.layouts.reading import Layout, Reading, Tree
from pixelreg.data.photos import Photo, Problem

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
        (match[1].upper(), match[2]): tree.root / path
        for path in tree.others
        if (match := _LABEL.fullmatch(path.name))
    }
    sequences: dict[_Sequence, list[Path]] = defaultdict(list)
    for path, _ in tree.pictures:
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            reading.strange(path)
        else:
            sequences[match[1].upper(), match[2]].append(path)
    if labels:
        for sequence, frames in sequences.items():
            _read_sequence(sequence, frames, labels.get(sequence), reading)


def _read_sequence(
    sequence: _Sequence, frames: list[Path], label: Path | None, reading: Reading
) -> None:
    reading.recognised += len(frames)
    if label is None:
        reading.skipped["frame of a sequence without a label"] += len(frames)
        return
    expression = _expression(label)
    if expression is None:
        reading.problems.append(Problem(label, "no expression number from 1 to 7 in it"))
    elif len(frames) == 1:
        reading.problems.append(Problem(frames[0], "a sequence of one frame has no neutral start"))
    else:
        person, session = sequence
        first, *between, last = sorted(frames, key=lambda path: path.stem)
        reading.skipped["frame between neutral and peak"] += len(between)
        reading.photos.append(Photo(person, "neutral", first, session))
        reading.photos.append(Photo(person, expression, last, session))


def _expression(label: Path) -> str | None:
    """The expression in a label file, which holds one number such as ``3.0000000e+00``."""
    try:
        return dict(enumerate(_EXPRESSIONS, start=1)).get(int(float(label.read_text("ascii"))))
    except (OSError, ValueError, OverflowError):
        return None


SETS = {
    "ckplus": Layout(
        "S005/001/S005_001_00000011.png with S005_001_00000011_emotion.txt", _fill, codes=True
    )
}
