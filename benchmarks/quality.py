"""How good the smiles are, on people whom the model has not seen.

    python -m benchmarks.quality --data ../shared/data/london

Four folds by person. In each, models and smile classifiers learn from three quarters of the people
and are judged on the others. Results are pasted into the faces at 512 x 512, four times the
models' size, and judged there (sharpness) and at 128 x 128 (everything else). Classifiers: a
logistic regression on histograms of gradients around the mouth, three crops and cell sizes, since
one classifier alone can be fooled. Identity: is the true smiling photo of the same person the
nearest one in the region of eyes and nose?
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import laplace
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import store
from pixelreg.data.crops import Stack, load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_folds, pair
from pixelreg.evaluation.comparison import format_table
from pixelreg.evaluation.metrics import psnr, ssim
from pixelreg.faces.detect import asked_for
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import Recipe
from pixelreg.models.model import Frame, Model
from pixelreg.pictures.image import Picture
from pixelreg.pictures.sheet import contact_sheet
from pixelreg.translator import PlanTranslator

SIZE, LARGE, FOLDS, SEED = 128, 512, 4, 0
GREY = np.array([0.299, 0.587, 0.114])
# (top, bottom, left, right) of the mouth's surroundings at 128, and the side of a gradient cell.
CLASSIFIERS = {
    "A": ((72, 108, 32, 96), 10),
    "B": ((76, 106, 36, 92), 7),
    "C": ((60, 110, 28, 100), 10),
}
EYES_AND_NOSE = np.s_[36:80, 28:100]
FACE = np.s_[16:120, 22:106]

Method = Callable[[Stack, Stack], np.ndarray]


def shrink(pictures: np.ndarray) -> np.ndarray:
    """(N, 512, 512, 3) uint8 -> (N, 128, 128, 3) uint8 by averaging."""
    return np.stack([np.asarray(Image.fromarray(p).reduce(LARGE // SIZE)) for p in pictures])


def pasted(recipe: Recipe, strength: float = 1.0) -> Method:
    """Fit a recipe, then put its change into the large faces."""

    def run(train: Stack, test: Stack) -> np.ndarray:
        small = replace(train, sources=shrink(train.sources), targets=shrink(train.targets))
        model = Model({"happy": recipe.fit(small)}, frame=Frame())
        eyes = tuple(np.ravel(Frame().eyes) * LARGE)
        translator = PlanTranslator(model, Locator(eyes=eyes))
        made = [translator.translate_picture(Picture(p), "happy", strength) for p in test.sources]
        return np.stack([picture.pixels for picture in made])

    return run


METHODS: dict[str, Method] = {
    "untouched input": lambda train, test: test.sources,
    "Pixel-RR, pasted back": pasted(Recipe("rr", {"alpha": 0.4})),
    "Pixel-KR (sigma 1), pasted back": pasted(Recipe("kr", {"alpha": 0.4, "sigma": 1.0})),
    "flow + ridge, mean style": pasted(
        Recipe("flow", {"opening": 0.0, "amount": 0.0, "gain": 1.0})
    ),
    "flow + ridge": pasted(Recipe("flow")),
    "flow + ridge, strength 1.5": pasted(Recipe("flow"), 1.5),
    "the true smile": lambda train, test: test.targets,
}


def main() -> None:
    """Measure, print a table, and write JSON and a sheet of all held-out people."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the London set")
    parser.add_argument("--detector", default="auto")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("benchmarks/results/quality.json")
    )
    parser.add_argument("--sheet", type=Path, help="contact sheet of all held-out people")
    arguments = parser.parse_args()
    listing = scan(arguments.data)
    locator = Locator(*asked_for(arguments.detector))
    stack = load_stack(pair(listing, "neutral", "happy").pairs, LARGE, Frame(), locator)
    made, scores = measure(stack)
    head = (
        "method",
        "",
        "smile A",
        "B",
        "C",
        "sharp 128",
        "512",
        "face 512",
        "SSIM",
        "PSNR",
        "identity",
    )
    rows = [head] + [(name, "", *cells(values)) for name, values in scores.items()]
    print(format_table(rows))
    store(arguments.output, people=len(stack.pairs), folds=FOLDS, scores=scores)
    if arguments.sheet:
        columns = [(name, list(pictures)) for name, pictures in made.items()]
        Image.fromarray(contact_sheet(columns, list(stack.people), 256)).save(arguments.sheet)


def measure(stack: Stack) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Every method's pictures and mean scores over the held-out people of all folds."""
    made = {name: np.empty_like(stack.sources) for name in METHODS}
    scores: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in METHODS}
    people = np.array(stack.people)
    for fold in grouped_folds(sorted(stack.people), FOLDS, SEED):
        held_out = np.isin(people, sorted(fold))
        train, test = (stack.select(frozenset(people[m].tolist())) for m in (~held_out, held_out))
        classifiers = {name: train_classifier(name, train) for name in CLASSIFIERS}
        for name, method in METHODS.items():
            large = method(train, test)
            made[name][held_out] = large
            for key, values in judge(large, test, classifiers).items():
                scores[name][key] += list(values)
    means = {
        name: {key: float(np.mean(values)) for key, values in each.items()}
        for name, each in scores.items()
    }
    return made, means


def judge(large: np.ndarray, test: Stack, classifiers: dict[str, Any]) -> dict[str, np.ndarray]:
    """Scores of each of a fold's pictures."""
    small, truth = shrink(large), shrink(test.targets)
    scores = {
        f"smile {name}": model.predict([mouth(name, p) for p in small])
        for name, model in classifiers.items()
    }
    face = tuple(slice(s.start * 4, s.stop * 4) for s in FACE)
    scores["sharp 128"] = sharpness(small) / sharpness(shrink(test.sources))
    scores["sharp 512"] = sharpness(large) / sharpness(test.sources)
    scores["sharp face 512"] = sharpness(large, face) / sharpness(test.sources, face)
    scores["ssim"], scores["psnr"] = ssim(small, truth), np.minimum(psnr(small, truth), 99.0)
    scores["identity"] = same_person(small, truth)
    return scores


def train_classifier(name: str, train: Stack) -> Any:
    """A smile classifier of neutral and smiling photos, mirrored ones included."""
    sides = [shrink(side) for side in (train.sources, train.targets)]
    pictures = [p for side in sides for one in side for p in (one, one[:, ::-1])]
    labels = np.repeat([0, 1], [2 * len(side) for side in sides])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=3000))
    return model.fit([mouth(name, picture) for picture in pictures], labels)


def mouth(name: str, picture: np.ndarray) -> np.ndarray:
    """Histograms of gradients around the mouth."""
    (top, bottom, left, right), cell = CLASSIFIERS[name]
    part = (picture @ GREY)[top:bottom, left:right] / 255
    return hog(part, orientations=8, pixels_per_cell=(cell, cell), cells_per_block=(2, 2))


def sharpness(pictures: np.ndarray, part: Any = np.s_[:, :]) -> np.ndarray:
    """Variance of the Laplacian of each picture."""
    return np.array([laplace(picture @ GREY)[part].var() for picture in pictures])


def same_person(made: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether each picture's nearest true smile, by eyes and nose, is the same person's."""

    def features(pictures: np.ndarray) -> np.ndarray:
        flat = (pictures @ GREY)[:, EYES_AND_NOSE[0], EYES_AND_NOSE[1]].reshape(len(pictures), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        return flat / flat.std(axis=1, keepdims=True)

    distance = ((features(made)[:, None] - features(truth)[None]) ** 2).sum(axis=2)
    return (distance.argmin(axis=1) == np.arange(len(made))).astype(float)


def cells(values: dict[str, float]) -> list[str]:
    """A row of the table."""
    keys = ["smile A", "smile B", "smile C", "sharp 128", "sharp 512", "sharp face 512"]
    shown = [f"{values[key]:.2f}" for key in keys]
    return [*shown, f"{values['ssim']:.4f}", f"{values['psnr']:.2f}", f"{values['identity']:.3f}"]


if __name__ == "__main__":
    main()
