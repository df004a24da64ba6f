"""Train the bundled landmark cascade on the London set, its faces bent by the rig.

    python -m examples.train_landmarks LONDON_FOLDER -o landmarks.safetensors

With --folds it trains as often on all people but a part of them, and tells the errors on that part;
no file is written then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.detector.material import backgrounds, shipped_pictures
from examples.landmarks.bend import Portrait, bent, people_of, photographs, portrait, spread_of
from examples.landmarks.file import save_cascade
from examples.landmarks.fit import Samples, Settings, fit_cascade
from examples.landmarks.scenes import render_scenes
from pixelreg.errors import FaceError
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.densecascade import Cascade, DenseCascade, load_cascade
from pixelreg.rig.head import load_mesh
from pixelreg.rig.motion import Rig

Photo = tuple[str, np.ndarray, np.ndarray]


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def material(photos: Sequence[Photo], bends: int, seed: int) -> list[Portrait]:
    """Every photograph as it is, and with ``bends`` random expressions."""
    rig, made = Rig(load_mesh()), []
    for number, photo in enumerate(photos):
        made += [portrait(*photo), *bent(rig, photo, bends, seed + number)]
    return made


def trained(portraits: Sequence[Portrait], each: int, seed: int) -> Cascade:
    """A cascade trained on ``each`` scenes of every portrait."""
    behind = backgrounds(list(shipped_pictures().values()), seed)
    scenes = render_scenes(portraits, behind, each, seed)
    people = people_of(portraits)[scenes.portrait]
    say(f"{len(scenes.grey)} scenes of {people.max() + 1} people")
    settings = Settings(seed=seed)
    return fit_cascade(Samples(scenes.grey, scenes.points, people, settings), settings, say)


def errors_on(cascade: DenseCascade, photos: Sequence[Photo]) -> np.ndarray:
    """(n, 82) errors in eye distances, from where the bundled detector finds the faces."""
    detector, found = BundledDetector(), []
    for person, pixels, points in photos:
        try:
            face = detector.detect(pixels)[0]
        except (FaceError, IndexError):
            say(f"{person}: no face is found")
            continue
        far = np.linalg.norm(cascade.find(pixels, face).points - points, axis=1)
        found.append(far / np.linalg.norm(points[17] - points[0]))
    return np.array(found)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("landmarks.safetensors"))
    parser.add_argument("--bends", type=int, default=11, help="expressions of each photograph")
    parser.add_argument("--scenes", type=int, default=9, help="scenes of each expression")
    parser.add_argument("--people", type=int, default=0, help="first people only; 0 for all")
    parser.add_argument("--folds", type=int, default=0, help="tell errors on people left out")
    parser.add_argument("--seed", type=int, default=3)
    run = parser.parse_args(arguments)
    photos = photographs(run.london)[: run.people or None]
    portraits = material(photos, run.bends, run.seed)
    if not run.folds:
        save_cascade(trained(portraits, run.scenes, run.seed), run.output)
        say(f"wrote {run.output}, {run.output.stat().st_size} bytes")
        return
    errors = [_held_out(photos, portraits, k, run) for k in range(run.folds)]
    _tell("people left out", np.concatenate(errors))


def _held_out(
    photos: Sequence[Photo], portraits: Sequence[Portrait], fold: int, run: argparse.Namespace
) -> np.ndarray:
    """Errors on every ``folds``th person by a cascade that has not seen them."""
    away = {photo[0] for photo in photos[fold :: run.folds]}
    kept = [one for one in portraits if one.person not in away]
    file = run.output.with_suffix(f".fold{fold}")
    save_cascade(trained(kept, run.scenes, run.seed), file)
    errors = errors_on(DenseCascade(file), [photo for photo in photos if photo[0] in away])
    _tell(f"fold {fold}", errors)
    assert load_cascade(file).crops
    return errors


def _tell(what: str, errors: np.ndarray) -> None:
    parts = ", ".join(f"{part} {100 * error:.2f}" for part, error in spread_of(errors).items())
    bad = (errors.mean(axis=1) > 0.08).mean()
    say(f"{what}: {100 * errors.mean():.2f} % of the eye distance; {parts}; over 8 %: {bad:.1%}")


if __name__ == "__main__":
    main()
