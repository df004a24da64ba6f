"""Heads that look aside, which no model here has learnt from: how much of a smile is still right.

    OMP_NUM_THREADS=1 python -m benchmarks.turned ../shared/data/london

Models learn from three quarters of the London set, seen from the front. The others' neutral and
smiling photographs are turned alike over a generic head's depth, to a side by chance, and aligned
by the eyes where they are then; what models make of the one is compared with the other. Gains are
over the untouched turned face. A turned photograph is stretched and shows nothing of what was
hidden: real side views are taken by ``--views`` where a set has them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.landmarks import Case, scene
from examples.landmarks.bend import cut
from pixelreg.arrays import Float64, Pixels
from pixelreg.bench.models import Fitted
from pixelreg.bench.quality import SURE, scores
from pixelreg.bench.setting import Setting
from pixelreg.data.crops import read_photo
from pixelreg.data.photos import Photo
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.dense import read_dense
from pixelreg.faces.secondlook import SecondLook
from pixelreg.models.model import Frame

YAWS = (0, 15, 25, 35, 45)
MODELS = ("rr", "kr", "kr:sigma=1", "mr", "lsrf", "full", "flow")


def face_of(photo: Photo, finder: SecondLook) -> tuple[str, Pixels, Float64]:
    """A photograph's person, face, and 82 points: placed by hand, or found where there are none."""
    pixels = read_photo(photo)
    points = read_dense(photo.landmarks) if photo.landmarks else None
    if points is None:
        points = finder.find(pixels, BundledDetector().detect(pixels)[0]).points
    return photo.person, *cut(pixels, points)


def turned(face: tuple[str, Pixels, Float64], yaw: float, seed: int, size: int) -> Pixels:
    """The aligned crop of a face turned aside, (size, size, 3) uint8."""
    seen, points = scene(face, Case(yaw=yaw), np.random.default_rng(seed))
    return crop(seen, similarity_from_eyes(points[[0, 17]], Frame(), size), size)


def main() -> None:
    """A row a model, a column a yaw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="the London set")
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        setting = Setting(Path(scratch), (arguments.data,), MODELS, size=arguments.size, quick=True)
        learning, judged = setting.learning(), setting.judged()
        finder = SecondLook()
        sides = [
            [face_of(photo, finder) for photo in side]
            for side in zip(*((one.source, one.target) for one in judged.pairs), strict=True)
        ]
        views = {
            yaw: [
                np.stack([turned(face, yaw, k, setting.size) for k, face in enumerate(side)])
                for side in sides
            ]
            for yaw in YAWS
        }
        print(f"{setting.told()}\n\nPSNR gain in dB ± 1.96 standard errors (PSNR, sharpness).\n")
        print("| | " + " | ".join(f"yaw {yaw}" for yaw in YAWS) + " |")
        print("|---" * (len(YAWS) + 1) + "|")
        for one in setting.taking_part:
            assert isinstance(one, Fitted)
            cells = []
            for sources, truth in views.values():
                found = scores(one.made(learning, sources), sources, truth)
                gain, near, sharp = (found[k] for k in ("psnr gain", "psnr", "sharp"))
                sure = SURE * gain.std(ddof=1) / len(gain) ** 0.5
                told = f"{near.mean():.2f}, {sharp.mean():.2f}"
                cells.append(f"{gain.mean():+.2f} ± {sure:.2f} ({told})")
            print(f"| {one.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
