"""The models that come with pixelreg beside each other, on people whom none has learnt from.

    python -m benchmarks.posed --data ../shared/data/london --pictures posed/

The 20 people of the London set that ``examples/train_rr.py`` leaves out. Every model changes the
whole photograph; faces are then cut out at 512 x 512. *sharp*: variance of the face's Laplacian
against the untouched one's, at 512 and at 128. *PSNR rig*: to what the rig makes, which Pixel-RR
learnt from. *PSNR true*: to the photograph of the true smile; both at 128 x 128. Flow is fitted
anew on the other 60 people, as the one that comes with pixelreg has seen all of them. The
photographs go into a folder for each model and expression, for other judges.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import store
from benchmarks.quality import FACE, LARGE, SIZE, sharpness, shrink
from examples.train_rr import neutral_photos
from pixelreg.api import load
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Cutter, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.photos import Photo
from pixelreg.evaluation.comparison import format_table
from pixelreg.evaluation.metrics import psnr
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import read_landmarks
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import Recipe
from pixelreg.models.model import Frame, Model
from pixelreg.pictures.image import read_file
from pixelreg.translator import PlanTranslator, Translator

PART = tuple(slice(s.start * LARGE // SIZE, s.stop * LARGE // SIZE) for s in FACE)
UNTOUCHED, TRUE = "untouched", "true smile"


def main() -> None:
    """Measure, print a table, and write JSON and the photographs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the London set")
    parser.add_argument("--pictures", type=Path, help="folder for the changed photographs")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/posed.json"))
    arguments = parser.parse_args()
    learning, judging = neutral_photos(arguments.data)
    models: dict[str, Translator] = {"rig": load("rig"), "rr": load("rr")}
    models["flow"] = fitted_flow(arguments.data, {photo.person for photo in learning})
    made = {
        (name, target): [changed(model, target, photo) for photo in judging]
        for name, model in models.items()
        for target in model.changes
        if target != "neutral"
    }
    made[UNTOUCHED, "neutral"] = [read_file(photo.path).pixels for photo in judging]
    if arguments.pictures:
        write_pictures(made, judging, arguments.pictures)
    faces = {
        key: np.stack(
            [face_of(picture, photo) for picture, photo in zip(row, judging, strict=True)]
        )
        for key, row in made.items()
    }
    faces[TRUE, "happy"] = true_smiles(arguments.data, judging)
    scores = measure(faces)
    rows = [("model", "", "expression", "sharp 512", "128", "PSNR rig", "PSNR true")]
    rows += [(name, "", *cells) for (name, cells) in scores]
    print(format_table(rows))
    store(arguments.output, people=len(judging), rows=[[name, *cells] for name, cells in scores])


def fitted_flow(london: Path, people: set[str]) -> Translator:
    """The flow model of true smiles, learnt from these people alone."""
    pairs = pair(scan(london), "neutral", "happy").pairs
    stack = load_stack([p for p in pairs if p.person in people], SIZE, Frame(), Locator())
    return PlanTranslator(Model({"happy": Recipe("flow").fit(stack)}, frame=Frame()))


def changed(model: Translator, target: str, photo: Photo) -> Pixels:
    """The whole photograph, changed by a model."""
    return model.translate_picture(read_file(photo.path), target, 1.0, photo.path).pixels


def write_pictures(
    made: dict[tuple[str, str], list[Pixels]], judging: Sequence[Photo], folder: Path
) -> None:
    """``MODEL-EXPRESSION/PERSON.png``, at half the size."""
    for (name, target), row in made.items():
        place = folder / f"{name}-{target}"
        place.mkdir(parents=True, exist_ok=True)
        for picture, photo in zip(row, judging, strict=True):
            Image.fromarray(picture).reduce(2).save(place / f"{photo.person}.png")


def face_of(picture: Pixels, photo: Photo) -> Pixels:
    """The face, (512, 512, 3), where it lies in the untouched photograph."""
    assert photo.landmarks is not None
    eyes = read_landmarks(photo.landmarks).eyes
    return crop(picture, similarity_from_eyes(eyes, Frame(), LARGE), LARGE)


def true_smiles(london: Path, judging: Sequence[Photo]) -> Pixels:
    """The same people's smiling photographs, cut out by the detector's eyes."""
    smiles = {p.person: p for p in scan(london).photos if p.expression == "happy"}
    cutter = Cutter(LARGE, Frame(), Locator())
    return np.stack([cutter.single(smiles[photo.person]) for photo in judging])


def measure(faces: dict[tuple[str, str], Pixels]) -> list[tuple[str, list[str]]]:
    """A row for each model and expression; the untouched photographs are held against each."""
    small = {key: shrink(pictures) for key, pictures in faces.items()}
    start = (UNTOUCHED, "neutral")
    fine, coarse = sharpness(faces[start], PART), sharpness(small[start], FACE)
    rows = []
    for name, target in [*faces, *((UNTOUCHED, t) for n, t in faces if n == "rig")]:
        key = (name, target) if (name, target) in faces else start
        cells = [
            f"{np.mean(sharpness(faces[key], PART) / fine):.2f}",
            f"{np.mean(sharpness(small[key], FACE) / coarse):.2f}",
        ]
        for other in ("rig", TRUE):
            known = (other, target) in small and other != name
            score = np.mean(psnr(small[key], small[other, target])) if known else None
            cells.append("" if score is None else f"{score:.2f}")
        if target != "neutral":
            rows.append((name, [target, *cells]))
    return rows


if __name__ == "__main__":
    main()
