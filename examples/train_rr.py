"""How the Pixel-RR model that comes with pixelreg was made: seven expressions, from the London set.

    pixelreg data download london london/
    python examples/train_rr.py london/

Three quarters of the people, chosen by their names, are posed by the rig and learnt from; the rest
stays for judging, see ``benchmarks/posed.py``. The photographs are CC BY 4.0, the rig's shapes MIT;
both are told in the model file. 128 x 128 pixels, int8, and no change where the face ends.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from pixelreg.commands.main import main
from pixelreg.data.download import data_source
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_holdout
from pixelreg.data.photos import Photo
from pixelreg.faces.paste import face_mask
from pixelreg.models import BUNDLED, NAMED
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model, Provenance
from pixelreg.models.plans import AffinePlan, Plan

HELD_OUT = 0.25
FIT = ("--model", "rr", "--lambda", "0.4", "--prior", "identity", "--holdout", "0")


def neutral_photos(london: Path) -> tuple[list[Photo], list[Photo]]:
    """The photographs to learn from, and those to judge on."""
    photos = [photo for photo in scan(london, "london").photos if photo.expression == "neutral"]
    learning, _ = grouped_holdout([photo.person for photo in photos], HELD_OUT, 0)
    return (
        [photo for photo in photos if photo.person in learning],
        [photo for photo in photos if photo.person not in learning],
    )


def within_the_face(plan: Plan) -> AffinePlan:
    """The plan that changes nothing where `pixelreg.faces.paste` would not carry it."""
    assert isinstance(plan, AffinePlan)
    mask = (face_mask(plan.shape[0]) > 0)[..., None]
    return AffinePlan(np.where(mask, plan.weight, 1), np.where(mask, plan.bias, 0))


def attributed(model: Model) -> Provenance:
    """Whose photographs and whose shapes it was made from."""
    london = data_source("london")
    return replace(
        model.provenance,
        training_set=f"{london.title}, posed by pixelreg's rig",
        licence=f"{london.licence} (photographs); MIT (ICT-FaceKit)",
        attribution=f"{london.attribution}; ICT-FaceKit, University of Southern California",
    )


def make(london: Path, output: Path) -> None:
    """Pose, fit, keep to the face, attribute, store."""
    learning, _ = neutral_photos(london)
    with tempfile.TemporaryDirectory() as folder:
        posed, fitted = Path(folder) / "set", Path(folder) / "rr.safetensors"
        paths = [str(photo.path) for photo in learning]
        for words in (
            ("data", "pose", *paths, "-o", str(posed)),
            ("fit", "--data", str(posed), *FIT, "-o", str(fitted)),
        ):
            if main(words):
                sys.exit(1)
        model = modelfile.load(fitted)
    plans = {target: within_the_face(plan) for target, plan in model.plans.items()}
    model = replace(model, plans=plans, provenance=attributed(model))
    size = modelfile.save(model, output, "int8")
    off = modelfile.rounding_error(model, "int8")
    print(f"{output}: {size} bytes, off by at most {off:.2f} grey levels")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/train_rr.py LONDON_FOLDER")
    make(Path(sys.argv[1]), BUNDLED / NAMED["rr"])
