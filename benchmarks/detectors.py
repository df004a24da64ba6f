"""Error, detection rate, false alarms and time of the face detectors, on people held out.

    python benchmarks/detectors.py LONDON_FOLDER --yunet face_detection_yunet.onnx

Four folds by person: the bundled detector is trained anew on 60 people and on three quarters of the
pictures without a face, and judged on the other 20 people and the other pictures. YuNet, which has
seen neither, is judged on the same. Errors are fractions of the eye distance. The truth of neutral
photos is the London set's hand-placed templates; of the smiling ones, for which there are none, the
irises found by `find_iris` (whose own error against the templates of the neutral photos is printed)
and the nose and mouth that YuNet gives on average over twelve runs. Times are processor time, all
threads together.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from examples.detector.data import Portrait, load_portraits, textures
from examples.detector.fit import save_weights
from examples.detector.material import (
    find_iris,
    shipped_pictures,
    smiling_landmarks,
    train_from,
)
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.detect import Detector
from pixelreg.faces.yunet import YuNetDetector

FOLDS = 4


@dataclass
class Tally:
    """What one detector did with one kind of picture."""

    errors: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    missed: int = 0
    extra: int = 0


def judge(detector: Detector, image: np.ndarray, truth: np.ndarray, tally: Tally) -> None:
    begin = time.process_time()
    faces = detector.detect(image)
    tally.seconds.append(time.process_time() - begin)
    unit = float(np.hypot(*(truth[1] - truth[0])))
    near = [np.linalg.norm(face.points - truth, axis=1) / unit for face in faces]
    hits = [k for k, error in enumerate(near) if error[:2].max() < 0.25]
    tally.extra += len(faces) - len(hits[:1])
    if hits:
        tally.errors.append(near[hits[0]])
        tally.scores.append(faces[hits[0]].score)
    else:
        tally.missed += 1


def variations(image: np.ndarray, truth: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The photo as it is and turned, shrunk (eye distance about 20 pixels in 1280x720) and cut."""
    turned = {"as it is": (image, truth)}
    height, width = image.shape[:2]
    centre = np.array([width, height]) / 2
    for degrees in (-25, 25):
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        rotated = Image.fromarray(image).rotate(-degrees, Image.Resampling.BILINEAR)
        turned[f"roll {degrees:+d}"] = (np.asarray(rotated), (truth - centre) @ turn + centre)
    small = Image.new("RGB", (1280, 720), (90, 90, 90))
    small.paste(Image.fromarray(image).resize((135, 135), Image.Resampling.LANCZOS), (700, 300))
    turned["20 pixels in 1280x720"] = (np.asarray(small), truth / 10 + [700, 300])
    tiny = Image.fromarray(image).resize((200, 200), Image.Resampling.LANCZOS)
    turned["200x200"] = (np.asarray(tiny), truth * 200 / width)
    _x, y = (int(v) for v in truth[2])
    unit = float(np.hypot(*(truth[1] - truth[0])))
    low = y + int(0.3 * unit)
    turned["cut at the mouth"] = (image[:low], truth)
    left = int(truth[0, 0] - 0.3 * unit)
    turned["cut beside the eye"] = (np.ascontiguousarray(image[:, left:]), truth - [left, 0])
    return turned


def row(name: str, what: str, tally: Tally) -> str:
    total = len(tally.errors) + tally.missed
    if not tally.errors:
        return f"| {name} | {what} | 0/{total} | | | | | {tally.extra} | |"
    errors = np.stack(tally.errors)
    eyes = errors[:, :2]
    return (
        f"| {name} | {what} | {len(errors)}/{total} | {eyes.mean():.4f} | "
        f"{np.quantile(eyes, 0.95):.4f} | {errors[:, 2].mean():.4f} | {errors[:, 3:].mean():.4f} | "
        f"{tally.extra} | {1000 * float(np.median(tally.seconds)):.0f} |"
    )


def photo_of(london: Path, portrait: Portrait) -> np.ndarray:
    name = "smiling_front/{}_08.jpg" if portrait.smiling else "neutral_front/{}_03.jpg"
    with Image.open(london / name.format(portrait.person)) as file:
        return np.asarray(file.convert("RGB"))


def truth_of(portrait: Portrait) -> np.ndarray:
    return portrait.points * 4


def colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def iris_error(london: Path, portraits: Sequence[Portrait]) -> float:
    """Mean error of `find_iris` on neutral photos, started 0.05 eye distances off."""
    rng = np.random.default_rng(0)
    errors = []
    for portrait in portraits:
        if not portrait.smiling:
            grey = np.asarray(Image.fromarray(photo_of(london, portrait)).convert("L"))
            truth = truth_of(portrait)
            unit = float(np.hypot(*(truth[1] - truth[0])))
            for eye in truth[:2]:
                found = find_iris(grey, eye + rng.normal(0, 0.03, 2) * unit, unit)
                errors.append(np.linalg.norm(found - eye) / unit)
    return float(np.mean(errors))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=25)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the four to run")
    parser.add_argument("--keep", type=Path, help="folder for the folds' weights")
    run = parser.parse_args(arguments)
    say: Callable[[str], object] = lambda line: sys.stderr.write(line + "\n")  # noqa: E731
    out = sys.stdout.write

    smiling = smiling_landmarks(run.london, run.yunet)
    portraits = load_portraits(run.london, smiling)
    people = sorted({portrait.person for portrait in portraits})
    pictures = shipped_pictures()
    plain = YuNetDetector(run.yunet, refined=False)
    tallies: dict[tuple[str, str], Tally] = {}
    alarms: dict[str, list[tuple[str, float]]] = {}
    for fold in range(run.folds):
        held = set(people[fold::FOLDS])
        kept = [p for name, p in pictures.items() if sorted(pictures).index(name) % FOLDS != fold]
        seen = [p for p in portraits if p.person not in held]
        begin = time.perf_counter()
        weights = train_from(seen, kept, run.scenes, 20 + fold, lambda line: say(line) and None)
        say(f"fold {fold}: trained in {time.perf_counter() - begin:.0f} s")
        if run.keep:
            save_weights(weights, run.keep / f"fold{fold}.safetensors")
        refined = YuNetDetector(run.yunet)
        refined.weights = weights
        detectors: dict[str, Detector] = {
            "bundled": BundledDetector(weights),
            "YuNet": plain,
            "YuNet, refined": refined,
        }
        for portrait in portraits:
            if portrait.person in held:
                image = photo_of(run.london, portrait)
                kind = "smiling" if portrait.smiling else "neutral"
                shown_as = variations(image, truth_of(portrait))
                if portrait.smiling:
                    shown_as = {"as it is": shown_as["as it is"]}
                for what, (shown, truth) in shown_as.items():
                    for name, detector in detectors.items():
                        tally = tallies.setdefault((name, f"{kind}, {what}"), Tally())
                        judge(detector, shown, truth, tally)
        others = {n: p for n, p in pictures.items() if sorted(pictures).index(n) % FOLDS == fold}
        others |= {f"drawn {fold}.{k}": colour(t) for k, t in enumerate(textures(60, 900 + fold))}
        for name, detector in detectors.items():
            for title, picture in others.items():
                worst = max((face.score for face in detector.detect(picture)), default=0.0)
                alarms.setdefault(name, []).append((title, worst))

    out(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ")
    out(f"NumPy {np.__version__}\n")
    out(f"error of find_iris on neutral photos: {iris_error(run.london, portraits):.4f}\n\n")
    out("| detector | held-out photos | found | eyes, mean | eyes, 95 % | nose | mouth | ")
    out("elsewhere | CPU ms |\n|---|---|---|---|---|---|---|---|---|\n")
    for (name, what), tally in sorted(tallies.items(), key=lambda item: item[0][1]):
        out(row(name, what, tally) + "\n")
    out("\n| detector | held-out pictures without a face | with a false face |\n|---|---|---|\n")
    for name, scored in alarms.items():
        false = [title for title, score in scored if score > 0]
        out(f"| {name} | {len(scored)} | {len(false)} {', '.join(false)} |\n")


if __name__ == "__main__":
    main()
