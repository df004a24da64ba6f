"""The README's picture of drawn faces; the one above it is made by the command under it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import pixelreg.backends
from pixelreg.data.crops import Stack
from pixelreg.data.synthetic import EXPRESSIONS, draw_face, random_identity
from pixelreg.fitting.recipe import Recipe
from pixelreg.pictures.sheet import contact_sheet

FOLDER = Path(__file__).parent / "pictures"
LEARN, SHOW, SIZE = 80, 4, 128


def drawn_faces() -> np.ndarray:
    """Pixel-RR on drawn people whom it has not seen: the input, then every expression."""
    people = [random_identity(seed) for seed in range(LEARN + SHOW)]
    neutral = np.stack([draw_face(person, size=SIZE) for person in people])
    columns = [("input", list(neutral[LEARN:]))]
    for expression in EXPRESSIONS[1:]:
        target = np.stack([draw_face(person, expression, size=SIZE) for person in people])
        seen = Stack((), neutral[:LEARN], target[:LEARN])
        plan = Recipe("rr", {"alpha": 0.04, "prior": "identity"}, SIZE).fit(seen)
        made = pixelreg.backends.get_backend().apply(plan, neutral[LEARN:])
        columns.append((expression, list(made)))
    return contact_sheet(columns)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    Image.fromarray(drawn_faces()).save(FOLDER / "drawn-faces.png")
