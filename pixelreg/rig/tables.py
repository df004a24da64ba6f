"""What a page needs of the rig and of the landmark cascade, packed for its scripts.

Numbers stay as they are stored: int8 shapes and maps, float16 where the cascade has them.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np

from pixelreg.arrays import Array
from pixelreg.data.expressions import synonyms
from pixelreg.faces import facemesh
from pixelreg.faces.densecascade import FORMAT, MIRROR
from pixelreg.models import store
from pixelreg.rig.expressions import ACTION_UNITS, EXPRESSIONS
from pixelreg.rig.head import STEP, TENSORS, Mesh
from pixelreg.rig.shown import READ
from pixelreg.rig.wrinkles import WRINKLES


def rig_arrays(mesh: Mesh, second_look: bool = False) -> tuple[dict[str, Array], dict[str, Any]]:
    """The head, the bundled cascade, and what names stand for: arrays and values by name.

    second_look : FaceMesh too, as `apply` looks for landmarks; once packed, as many bytes again.
    """
    landmarks, stages = landmark_tables()
    head = {name: _narrow(name, getattr(mesh.head, name)) for name in TENSORS}
    more = second_look_arrays() if second_look else {}
    return {**head, **landmarks, **more}, {**stages, **_names(mesh)}


def landmark_tables() -> tuple[dict[str, Array], dict[str, Any]]:
    """The bundled cascade's arrays as its file holds them, and its numbers of stages."""
    source = files("pixelreg.faces") / "weights" / "landmarks.safetensors"
    values, tensors = store.read(source.read_bytes(), FORMAT, "the bundled landmark cascade")
    counts = {"cropStages": int(values["crops"]), "patchStages": int(values["patches"])}
    return {**tensors, "mirror": np.array(MIRROR, np.uint8)}, counts


def second_look_arrays() -> dict[str, Array]:
    """FaceMesh's arrays as its file holds them, less what a page does not ask it: how deep points
    lie, and whether there is a face."""
    source = files("pixelreg.faces") / "weights" / "facemesh.safetensors"
    _, tensors = store.read(source.read_bytes(), facemesh.FORMAT, "the bundled FaceMesh")
    wanted = {name: each for name, each in tensors.items() if not name.startswith("flag")}
    flat = np.arange(3 * facemesh.POINTS) % 3 < 2
    for part in ("weight", "weight.step", "offset"):
        wanted[f"mesh.last.{part}"] = wanted[f"mesh.last.{part}"][..., flat]
    return {f"facemesh.{name}": each for name, each in wanted.items()}


def _narrow(name: str, array: Array) -> Array:
    """Numbers of the head that are small, as int16."""
    small = array.dtype == np.int32 and np.abs(array).max(initial=0) < 2**15
    return array.astype(np.int16) if small else array


def _names(mesh: Mesh) -> dict[str, Any]:
    return {
        "step": STEP,
        "names": list(mesh.head.names),
        "read": list(READ),
        "expressions": {name: asdict(known) for name, known in EXPRESSIONS.items()},
        "synonyms": dict(synonyms()),
        "actionUnits": {name: dict(unit) for name, unit in ACTION_UNITS.items()},
        "wrinkles": {name: asdict(wrinkle) for name, wrinkle in WRINKLES.items()},
    }
