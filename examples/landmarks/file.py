"""The file of a landmark cascade, which `pixelreg.faces.densecascade` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelreg.faces.densecascade import FORMAT, Cascade, Map
from pixelreg.models import store

MADE_FROM = {
    "training_data": "Face Research Lab London Set, DeBruine and Jones (2017), 80 people, "
    "https://doi.org/10.6084/m9.figshare.5047666.v5, bent by the shapes of ICT-FaceKit (MIT)",
    "training_data_licence": "CC BY 4.0",
}
# Features of a part that are of its points' places, not of the picture.
SHAPES = {"eye": 34, "mouth": 44, "nose": 34, "jaw": 18}


def save_cascade(cascade: Cascade, path: Path) -> int:
    """Write a cascade and return its size: int8 by columns, float16 for features of shape."""
    tensors: dict[str, np.ndarray] = {"mean": cascade.mean.astype(np.float32)}
    for name, (map_, shapes) in _named(cascade).items():
        images = len(map_.down) - shapes
        step = np.abs(map_.down[:images]).max(axis=0) / 127
        tensors[f"{name}.images"] = np.rint(map_.down[:images] / step).astype(np.int8)
        tensors[f"{name}.step"] = step.astype(np.float32)
        tensors[f"{name}.shapes"] = map_.down[images:].astype(np.float16)
        tensors[f"{name}.up"] = map_.up.astype(np.float16)
        tensors[f"{name}.offset"] = map_.offset.astype(np.float32)
    stages = {"crops": len(cascade.crops), "patches": len(cascade.patches)}
    return store.write(path, FORMAT, store.wide_first(tensors), {**stages, **MADE_FROM})


def _named(cascade: Cascade) -> dict[str, tuple[Map, int]]:
    """Every map by its name in the file, and how many of its rows are of the shape."""
    named = {f"crop{k}": (map_, 0) for k, map_ in enumerate(cascade.crops)}
    for k, maps in enumerate(cascade.patches):
        named |= {f"{kind}{k}": (map_, SHAPES[kind]) for kind, map_ in maps.items()}
    return named
