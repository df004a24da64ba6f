"""Make the bundled FaceMesh from MediaPipe's network as ONNX (Apache-2.0) and the London set.

    python -m examples.convert_facemesh facemesh.onnx LONDON_FOLDER -o facemesh.safetensors

The network's weights are rounded to int8. A map from its 468 points to the 82 is fitted to the
London set's hand-placed landmarks, and to its faces bent by the rig. With --folds the map is fitted
as often to all people but a part of them, the errors on that part are told, and the files written
end in .fold0, .fold1 and so on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from examples.detector.data import london_photos
from examples.detector.material import backgrounds, shipped_pictures
from examples.landmarks.bend import photographs, spread_of
from examples.landmarks.network import read_network, rounded
from examples.landmarks.scenes import render_scenes
from examples.train_landmarks import material, say
from pixelreg.errors import FaceError
from pixelreg.faces.dense import POINTS as DENSE
from pixelreg.faces.dense import read_dense
from pixelreg.faces.facemesh import FORMAT, POINTS, FaceMesh, FaceMeshFinder, _assemble, frame_of
from pixelreg.faces.landmarks import Face, face_from_eyes
from pixelreg.models import store

RANK = 48
RIDGE = 3e-4  # squared eye distances
ATTRIBUTION = {
    "made_from": "face_landmark.tflite of mediapipe 0.10.14, The MediaPipe Authors; changed",
    "licence": "Apache-2.0",
    "training_data": "Face Research Lab London Set, DeBruine and Jones (2017), 80 people, "
    "https://doi.org/10.6084/m9.figshare.5047666.v5",
    "training_data_licence": "CC BY 4.0",
}
BY_HAND = 12.0  # what a photograph counts whose points were placed by hand


class Sample(NamedTuple):
    """One face: the mesh and the 82 points in the mesh's frame, and what it counts."""

    person: str
    mesh: np.ndarray
    points: np.ndarray
    weight: float


def sample(finder: FaceMeshFinder, person: str, pixels: np.ndarray, points: np.ndarray) -> Sample:
    mesh = finder.mesh(pixels, face_from_eyes(points[[0, 17]]))
    frame = frame_of(mesh)
    return Sample(person, frame.to_crop(mesh), frame.to_crop(points), 1.0)


def samples_of(finder: FaceMeshFinder, london: Path, bends: int, seed: int) -> list[Sample]:
    """Every photograph as it is, and as scenes of the expressions that the rig gives it."""
    found = []
    for person, neutral, _ in london_photos(london):
        points = np.asarray(read_dense(neutral.with_suffix(".tem")))
        with Image.open(neutral) as file:
            one = sample(finder, person, np.asarray(file.convert("RGB")), points)
        found.append(one._replace(weight=BY_HAND))
    portraits = material(photographs(london), bends, seed)
    scenes = render_scenes(portraits, backgrounds(list(shipped_pictures().values()), seed), 1, seed)
    for grey, points, k in zip(scenes.grey, scenes.points, scenes.portrait, strict=True):
        try:
            found.append(sample(finder, portraits[k].person, np.dstack([grey] * 3), points))
        except FaceError:
            continue
    # Where the network sees another face than there is, there is nothing to learn.
    near = [one for one in found if np.abs(one.mesh).max() < 6 and np.abs(one.points).max() < 4]
    say(f"{len(near)} of {len(found)} faces are looked at")
    return near


def fitted(samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """The ridge map, kept to `RANK` directions: those that explain most of its answers."""
    weight = np.array([one.weight for one in samples])[:, None]
    x = np.array([one.mesh.reshape(-1) for one in samples])
    y = np.array([one.points.reshape(-1) for one in samples])
    mean_x, mean_y = ((weight * each).sum(axis=0) / weight.sum() for each in (x, y))
    x, y = x - mean_x, y - mean_y
    square = x.T @ (weight * x)
    square += RIDGE * weight.sum() * np.eye(len(square))
    map_ = np.linalg.solve(square, x.T @ (weight * y))
    _, _, kept = np.linalg.svd(np.sqrt(weight) * (x @ map_), full_matrices=False)
    up = kept[:RANK]
    down = map_ @ up.T
    return {"map.mean": mean_x, "map.down": down, "map.up": up, "map.offset": mean_y}


def network_of(tensors: dict[str, np.ndarray], map_: dict[str, np.ndarray]) -> FaceMesh:
    return _assemble({}, tensors | map_)


def no_map() -> dict[str, np.ndarray]:
    """A map that says nothing, for a network whose mesh alone is wanted."""
    down, up = np.zeros((2 * POINTS, 1)), np.zeros((1, 2 * len(DENSE)))
    return {"map.mean": down[:, 0], "map.down": down, "map.up": up, "map.offset": up[0]}


def finder_of(network: FaceMesh) -> FaceMeshFinder:
    finder = FaceMeshFinder()
    finder.__dict__["network"] = network
    return finder


def held_out(
    tensors: dict[str, np.ndarray], samples: list[Sample], run: argparse.Namespace
) -> np.ndarray:
    """(n, 82) errors in eye distances on the photographs of people that the map has not seen."""
    photos, errors = london_photos(run.london), []
    for fold in range(run.folds):
        away = {person for person, *_ in photos[fold :: run.folds]}
        map_ = fitted([one for one in samples if one.person not in away])
        file = run.output.with_suffix(f".fold{fold}")
        write(file, tensors, map_)
        finder = FaceMeshFinder(file)
        for person, neutral, _ in photos:
            if person in away:
                points = np.asarray(read_dense(neutral.with_suffix(".tem")))
                face: Face = face_from_eyes(points[[0, 17]])
                with Image.open(neutral) as opened:
                    seen = finder.find(np.asarray(opened.convert("RGB")), face).points
                errors.append(np.linalg.norm(seen - points, axis=1) / face.eye_distance)
    return np.array(errors)


def write(path: Path, tensors: dict[str, np.ndarray], map_: dict[str, np.ndarray]) -> int:
    """Write the rounded network with its map, and return the size in bytes."""
    return store.write(path, FORMAT, store.wide_first(tensors | rounded_map(map_)), ATTRIBUTION)


def rounded_map(map_: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The map as it is kept: like the network, but its answers as float16, its means as float32."""
    kept = rounded({"map.down": map_["map.down"].astype(np.float32)})
    kept["map.up"] = map_["map.up"].astype(np.float16)
    means = {name: map_[name].astype(np.float32) for name in ("map.mean", "map.offset")}
    return kept | means


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path, help="MediaPipe's face_landmark as ONNX")
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("facemesh.safetensors"))
    parser.add_argument("--bends", type=int, default=12, help="expressions of each photograph")
    parser.add_argument("--folds", type=int, default=0, help="tell errors on people left out")
    parser.add_argument("--seed", type=int, default=5)
    run = parser.parse_args(arguments)
    tensors = rounded(read_network(run.network))
    looking = finder_of(network_of(tensors, no_map()))
    samples = samples_of(looking, run.london, run.bends, run.seed)
    if run.folds:
        errors = held_out(tensors, samples, run)
        parts = ", ".join(f"{part} {100 * e:.2f}" for part, e in spread_of(errors).items())
        say(f"people left out: {100 * errors.mean():.2f} % of the eye distance; {parts}")
        return
    say(f"wrote {run.output}, {write(run.output, tensors, fitted(samples))} bytes")


if __name__ == "__main__":
    main()
