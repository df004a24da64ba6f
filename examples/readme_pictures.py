"""The pictures of the README: drawn faces, and the London set's mean face.

    python examples/readme_pictures.py LONDON_FOLDER

An average of 80 people shows no one. The set is CC BY 4.0; see the README for its attribution.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import pixelreg
import pixelreg.backends
from pixelreg.api import bundled_model
from pixelreg.data.crops import Stack, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.synthetic import EXPRESSIONS, draw_face, random_identity
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import Recipe
from pixelreg.models.model import Frame
from pixelreg.pictures.sheet import contact_sheet

FOLDER = Path(__file__).parent / "pictures"
LEARN, SHOW, SIZE = 80, 4, 128
STRENGTHS = (0.5, 1.0, 1.5)
LARGE = 320


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


def mean_face(london: Path) -> np.ndarray:
    """The set's mean neutral face, what the bundled model makes of it, and the mean smile."""
    pairs = pair(scan(london), "neutral", "happy").pairs
    stack = load_stack(pairs, LARGE, Frame(), Locator())
    neutral, smiling = (
        np.rint(side.mean(axis=0)).astype(np.uint8) for side in (stack.sources, stack.targets)
    )
    eyes = tuple(np.ravel(Frame().eyes) * LARGE)
    model = pixelreg.load(bundled_model(), locator=Locator(eyes=eyes))
    columns = [("mean neutral face", [neutral])]
    for strength in STRENGTHS:
        made = np.asarray(model.translate(neutral, "happy", strength))
        columns.append((f"made happy, strength {strength:g}", [made]))
    return contact_sheet([*columns, ("mean smiling face", [smiling])])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/readme_pictures.py LONDON_FOLDER")
    FOLDER.mkdir(exist_ok=True)
    Image.fromarray(drawn_faces()).save(FOLDER / "drawn-faces.png")
    Image.fromarray(mean_face(Path(sys.argv[1]))).save(FOLDER / "mean-face.png")
