"""Portraits with landmarks for training: photographs, and their faces bent by the rig.

A bent face's landmarks are known exactly: they go where the skin that they lie on goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from examples.detector.data import _backdrop, london_photos
from pixelreg.faces.align import UNMOVED, crop, similarity_from_eyes
from pixelreg.faces.dense import PARTS, POINTS, read_dense
from pixelreg.faces.paste import paste_change
from pixelreg.models.model import Frame
from pixelreg.rig.expressions import EXPRESSIONS, Vocabulary
from pixelreg.rig.motion import Rig, change
from pixelreg.rig.sitter import FLIP, Sitter, fit_sitter

SIDE = 400  # pixels of a portrait
FRAME = Frame((0.39, 0.40), (0.61, 0.40))
UPPER = [POINTS.index(n) for n in (*range(88, 93), *range(94, 99))]
LOWER = [POINTS.index(n) for n in range(99, 109)]
# Muscles that are drawn at random, how often, and the most of each.
MUSCLES: Mapping[str, tuple[float, float]] = {
    **{"jawOpen": (0.35, 0.7), "mouthSmile": (0.35, 0.9), "mouthFrown": (0.2, 0.7)},
    **{"mouthFunnel": (0.15, 0.6), "mouthPucker": (0.15, 0.7), "mouthUpperUp": (0.2, 0.5)},
    **{"mouthLowerDown": (0.25, 0.6), "mouthStretch": (0.2, 0.6), "mouthPress": (0.15, 0.6)},
    **{"mouthRollLower": (0.12, 0.6), "mouthRollUpper": (0.12, 0.6)},
    **{"mouthShrugLower": (0.12, 0.5), "mouthDimple": (0.15, 0.6), "mouthLeft": (0.08, 0.5)},
    **{"mouthRight": (0.08, 0.5), "jawLeft": (0.06, 0.5), "jawRight": (0.06, 0.5)},
    **{"cheekPuff": (0.08, 0.8), "cheekSquint": (0.25, 0.7), "eyeBlink": (0.3, 1.0)},
    **{"eyeSquint": (0.3, 0.8), "eyeWide": (0.2, 0.8), "browDown": (0.3, 0.9)},
    **{"browInnerUp": (0.3, 0.9), "browOuterUp": (0.3, 0.9), "noseSneer": (0.2, 0.6)},
}
EXPRESSIVE = 0.45  # share of the faces that show a whole expression, beside muscles


@dataclass(frozen=True)
class Portrait:
    """A face cut out: grey, and 1 where a plain backdrop shows, (S, S) float32; (82, 2) points."""

    person: str
    grey: np.ndarray
    backdrop: np.ndarray
    points: np.ndarray


def photographs(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(person, (S, S, 3) uint8, (82, 2) points) of the London set's neutral faces."""
    found = []
    for person, neutral, _ in london_photos(folder):
        points = read_dense(neutral.with_suffix(".tem"))
        with Image.open(neutral) as file:
            found.append((person, *cut(np.asarray(file.convert("RGB")), np.asarray(points))))
    return found


def cut(pixels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A face and its dense landmarks as a portrait holds them."""
    place = similarity_from_eyes(points[[0, 17]], FRAME, SIDE)
    return crop(pixels, place, SIDE), place.to_crop(points)


def portrait(person: str, pixels: np.ndarray, points: np.ndarray) -> Portrait:
    """A portrait of (S, S, 3) uint8 pixels."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / np.float32(255)
    return Portrait(person, grey, _backdrop(grey), points)


def bent(
    rig: Rig, photo: tuple[str, np.ndarray, np.ndarray], count: int, seed: int
) -> list[Portrait]:
    """A photograph with ``count`` random expressions."""
    person, pixels, points = photo
    sitter, rng = fit_sitter(rig.mesh, pixels, points, {}), np.random.default_rng(seed)
    vertices = _attached(rig, sitter, points)
    made = []
    for _ in range(count):
        weights = expression(Vocabulary(rig.mesh.shapes), rng)
        changed = paste_change(pixels, change(rig, sitter, weights), UNMOVED)
        steps = rig.mesh.moved(_as_open(weights, sitter))[:, :2] * FLIP
        moved = np.einsum("nij,nj->ni", sitter.slopes, steps)[vertices]
        moved[[0, 17]] = 0  # pupils stay
        made.append(portrait(person, changed, points + moved))
    return made


def expression(vocabulary: Vocabulary, rng: np.random.Generator) -> dict[str, float]:
    """Random weights by whole names: whole expressions, single muscles, uneven sides."""
    bare: dict[str, float] = {}
    if rng.random() < EXPRESSIVE:
        shown = list(EXPRESSIONS)[int(rng.integers(len(EXPRESSIONS)))]
        share = rng.uniform(0.3, 1.1)
        bare = {name: weight * share for name, weight in EXPRESSIONS[shown].weights.items()}
    if not bare or rng.random() < 0.5:
        for name, (often, most) in MUSCLES.items():
            if rng.random() < 0.75 * often:
                bare[name] = bare.get(name, 0.0) + most * rng.beta(1.1, 1.3)
    whole = vocabulary.spread(bare)
    tilt = {name[:-2]: rng.normal(0, 0.2) for name in whole if name.endswith("_L")}
    sides = {"_L": 1.0, "_R": -1.0}
    uneven = {n: w * (1 + sides.get(n[-2:], 0.0) * tilt.get(n[:-2], 0.0)) for n, w in whole.items()}
    return {n: min(w, 1.0) if n.startswith("eyeBlink") else w for n, w in uneven.items()}


def _as_open(weights: Mapping[str, float], sitter: Sitter) -> dict[str, float]:
    """Weights as they move the lids of these eyes."""
    return {
        name: weight * (sitter.eyes[name.endswith("_L")] if name.startswith("eye") else 1)
        for name, weight in weights.items()
    }


def _attached(rig: Rig, sitter: Sitter, points: np.ndarray) -> np.ndarray:
    """The vertex that each landmark goes with: its anchor, or the nearest one that is seen.

    Lips that touch are told apart by how far the jaw takes them.
    """
    mesh = rig.mesh
    jaw = -mesh.shapes["jawOpen"][:, 1]
    upper, lower = jaw < 0.25 * jaw.max(), jaw > 0.45 * jaw.max()
    vertices = np.empty(len(points), np.intp)
    for k, point in enumerate(points):
        fits = mesh.seen & (mesh.firm == 1)
        fits &= upper if k in UPPER else lower if k in LOWER else True
        candidates = np.flatnonzero(fits)
        far = np.linalg.norm(sitter.places[candidates] - point, axis=1)
        vertices[k] = candidates[far.argmin()]
    for anchor, row in zip(mesh.anchors, mesh.head.mixing, strict=True):
        if np.count_nonzero(row) == 1:
            vertices[int(row.argmax())] = anchor
    return vertices


def spread_of(errors: np.ndarray) -> dict[str, float]:
    """Mean errors (n, 82) of each part of the face."""
    return {part: float(errors[:, where].mean()) for part, where in PARTS.items()}


def people_of(portraits: Sequence[Portrait]) -> np.ndarray:
    """(n,) the number of each portrait's person."""
    names = sorted({one.person for one in portraits})
    return np.array([names.index(one.person) for one in portraits])
