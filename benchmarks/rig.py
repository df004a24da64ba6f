"""What the rig makes of photographs: pictures for judges from outside, sharpness, and time.

    python -m benchmarks.rig LONDON_FOLDER -o rig/ [--people N]

Faces and landmarks are found by pixelreg itself. ``rig/EXPRESSION/PERSON.jpg`` are whole photos;
an expression network and a face descriptor may judge them against ``rig/untouched/PERSON.jpg``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pixelreg.arrays import Pixels
from pixelreg.faces.landmarks import Face
from pixelreg.pictures.image import read_file, write_file
from pixelreg.rig.expressions import EXPRESSIONS
from pixelreg.rig.translator import RigTranslator


def sharpness(pixels: Pixels, face: Face) -> float:
    """Mean magnitude of the Laplacian of the luminance over a face."""
    (x, y), unit = face.eyes.mean(axis=0), face.eye_distance
    box = np.array([x - unit, y - 0.6 * unit, x + unit, y + 1.6 * unit]).astype(int)
    grey = np.asarray(Image.fromarray(pixels).convert("L").crop(tuple(box)), np.float64)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(4 * inner - around).mean())


def measured(rig: RigTranslator, photo: Path, folder: Path) -> dict[str, list[float]]:
    """Change a photo to every expression; sharpness against the untouched one, and seconds."""
    picture, rows = read_file(photo), {}
    name = f"{photo.stem.split('_')[0]}.jpg"
    (folder / "untouched").mkdir(parents=True, exist_ok=True)
    write_file(picture, folder / "untouched" / name)
    for expression in EXPRESSIONS:
        start = time.perf_counter()
        prepared = rig.prepare(picture, expression)
        made = prepared.at(1.0)
        seconds = time.perf_counter() - start
        face = prepared.parts[0][0].face
        assert face is not None
        ratio = sharpness(made.pixels, face) / sharpness(picture.pixels, face)
        (folder / expression).mkdir(exist_ok=True)
        write_file(made, folder / expression / name)
        rows[expression] = [ratio, seconds]
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("rig"))
    parser.add_argument("--people", type=int, default=0, help="first people only; 0 for all")
    run = parser.parse_args(arguments)
    found = sorted((run.london / "neutral_front").glob("[!.]*_03.jpg"))  # no hidden ones
    photos = found[: run.people or None]
    rig = RigTranslator()
    rows = [measured(rig, photo, run.output) for photo in photos]
    table = {}
    for expression in EXPRESSIONS:
        ratios, seconds = np.array([row[expression] for row in rows]).T
        table[expression] = {
            "sharpness": round(float(np.median(ratios)), 3),
            "ms": round(1000 * float(np.median(seconds)), 1),
        }
        print(f"{expression:13s}", table[expression])
    (run.output / "rig.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
