"""Blendshapes as .safetensors files: tensors, and metadata as JSON. Nothing is ever executed.

Tensors ``mean``, ``components``, ``ranges`` (float32) and ``faces`` (int32); metadata ``format`` is
``pixelreg-blendshapes`` and ``format_version`` is ``1``; everything else of the metadata is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelreg.arrays import Array
from pixelreg.models import store
from pixelreg.models.store import frame_of, provenance_of, text_of
from pixelreg.shapes.components import Blendshapes

FORMAT = store.Format("pixelreg-blendshapes", "1", "a file of blendshapes")
TENSORS = ("mean", "components", "ranges", "faces")


def save(shapes: Blendshapes, path: Path) -> int:
    """Write blendshapes to ``path``, whole or not at all, and return the file's size in bytes."""
    return store.write(Path(path), FORMAT, _tensors(shapes), _facts(shapes))


def to_bytes(shapes: Blendshapes) -> bytes:
    """The file's bytes; the same for the same blendshapes."""
    return store.as_bytes(FORMAT, _tensors(shapes), _facts(shapes))


def load(path: Path) -> Blendshapes:
    """Read a file of blendshapes and check all of it."""
    return store.read_as(Path(path), FORMAT, _assemble)


def _tensors(shapes: Blendshapes) -> dict[str, Array]:
    return store.wide_first({name: getattr(shapes, name) for name in TENSORS})


def _facts(shapes: Blendshapes) -> dict[str, Any]:
    return {
        "names": list(shapes.names),
        "kind": shapes.kind,
        "size": shapes.size,
        "frame": None if shapes.frame is None else asdict(shapes.frame),
        "expressions": {name: list(p) for name, p in shapes.expressions.items()},
        "provenance": asdict(shapes.provenance),
    }


def _assemble(metadata: Mapping[str, Any], tensors: Mapping[str, Array]) -> Blendshapes:
    if unknown := sorted(set(tensors) - set(TENSORS)):
        raise ValueError(f"unknown tensors {unknown[:3]}")
    names, expressions, size = (metadata[key] for key in ("names", "expressions", "size"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names must be a list of names")
    if type(size) is not int:
        raise ValueError(f"size must be a whole number, not {size!r}")
    if not isinstance(expressions, dict):
        raise ValueError("expressions must be a table")
    return Blendshapes(
        **{name: tensors[name] for name in TENSORS},
        names=tuple(names),
        kind=text_of(metadata, "kind"),
        size=size,
        frame=frame_of(metadata["frame"]),
        expressions={name: tuple(map(float, p)) for name, p in expressions.items()},
        provenance=provenance_of(metadata["provenance"]),
    )
