"""Models as .safetensors files: tensors, and metadata as strings. Nothing is ever executed.

Layout: tensor ``<target>/<field>`` holds a plan's field; metadata ``format`` is ``pixelreg`` and
``format_version`` is ``1``; everything else of the metadata is JSON. Tensors stored as int8 have
companions ``<target>/<field>.scale`` and ``.offset`` (one number for each entry of the first
axis): value = offset + scale * stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import ModelFileError, UnknownNameError, UsageError
from pixelreg.files import why
from pixelreg.models import store
from pixelreg.models.model import Model
from pixelreg.models.plans import Plan, plan_class
from pixelreg.models.store import (
    frame_of,
    provenance_of,
    settings_of,
    targets_and_size,
    text_of,
)

FORMAT = store.Format("pixelreg", "1", "a model")
COLOUR = "sRGB"
DTYPES = ("float32", "float16", "int8")
MAX_BYTES = 2**31


def save(model: Model, path: Path, dtype: str = "float32") -> int:
    """Write ``model`` to ``path``, whole or not at all, and return the file's size in bytes."""
    return store.write(path, FORMAT, _tensors(model, dtype), _facts(model))


def load(path: Path) -> Model:
    """Read a model file and check all of it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFileError(f"{path} is larger than any model of pixelreg")
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {path}: {why(error)}") from error
    return store.read_as(path, FORMAT, _assemble)


def to_bytes(model: Model, dtype: str = "float32") -> bytes:
    """A model file's bytes; see `save`."""
    return store.as_bytes(FORMAT, _tensors(model, dtype), _facts(model))


def from_bytes(content: bytes, name: str) -> Model:
    """Read a model file's bytes; ``name`` stands for the file in errors. See `load`."""
    return store.read_as(content, FORMAT, _assemble, name)


def _tensors(model: Model, dtype: str) -> dict[str, Array]:
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    tensors: dict[str, Array] = {}
    for target, plan in model.plans.items():
        for name, array in plan.tensors().items():
            tensors.update(_pack(f"{target}/{name}", array, dtype))
    return store.wide_first(tensors)


def rounding_error(model: Model, dtype: str) -> float:
    """The largest error, in grey levels (0..255), that storing as ``dtype`` costs.

    Every plan is run on all-equal pictures of 16 grey levels, with and without rounding.
    """
    stored = from_bytes(to_bytes(model, dtype), "the rounded model")
    worst = 0.0
    for target, plan in model.plans.items():
        for level in range(0, 256, 17):
            picture = np.full(plan.shape, level, np.uint8)
            gap = stored.plans[target].predict(picture) - plan.predict(picture)
            worst = max(worst, float(np.abs(gap).max()) * 255.0)
    return worst


def _facts(model: Model) -> dict[str, Any]:
    return {
        "source": model.source,
        "targets": list(model.targets),
        "plans": {target: plan.kind for target, plan in model.plans.items()},
        "model": model.kind,
        "settings": {target: dict(values) for target, values in model.settings.items()},
        "size": model.size,
        "colour": COLOUR,
        "frame": None if model.frame is None else asdict(model.frame),
        "provenance": asdict(model.provenance),
    }


def _assemble(metadata: Mapping[str, Any], tensors: Mapping[str, Array]) -> Model:
    targets, size = targets_and_size(metadata)
    if metadata["colour"] != COLOUR:
        raise ValueError(f"colour must be {COLOUR!r}, not {metadata['colour']!r}")
    left = dict(tensors)
    plans: dict[str, Plan] = {}
    for target in targets:
        cls = plan_class(metadata["plans"][target])
        plans[target] = cls.from_tensors(
            {item.name: _unpack(left, f"{target}/{item.name}") for item in fields(cls)}
        )
    if empty := [name for name, array in tensors.items() if 0 in array.shape]:
        raise ValueError(f"{empty[0]} holds no numbers")
    if left:
        raise ValueError(f"unknown tensors {sorted(left)[:3]}")
    model = Model(
        plans,
        text_of(metadata, "source"),
        text_of(metadata, "model"),
        settings_of(metadata["settings"]),
        frame_of(metadata["frame"]),
        provenance_of(metadata["provenance"]),
    )
    if model.size != size:
        raise ValueError(f"the plans are for size {model.size}, the metadata says {size}")
    return model


def _pack(key: str, array: Array, dtype: str) -> dict[str, Array]:
    if dtype == "float32" or not np.issubdtype(array.dtype, np.floating):
        return {key: np.ascontiguousarray(array)}
    if dtype == "float16":
        if np.abs(array).max() > np.finfo(np.float16).max:
            raise UsageError(f"{key} holds values too large for float16; keep float32")
        return {key: array.astype(np.float16)}
    rows = array.reshape(len(array), -1)
    low, high = rows.min(axis=1), rows.max(axis=1)
    scale = np.maximum((high - low) / 255.0, np.finfo(np.float32).tiny).astype(np.float32)
    offset = (low + 128.0 * scale).astype(np.float32)
    steps = np.rint((rows - offset[:, None]) / scale[:, None])
    stored = np.clip(steps, -128, 127).astype(np.int8).reshape(array.shape)
    return {key: stored, f"{key}.scale": scale, f"{key}.offset": offset}


def _unpack(tensors: dict[str, Array], key: str) -> Array:
    """Take a field out of ``tensors``, as float32 unless it is a field of integers."""
    array = tensors.pop(key)
    if f"{key}.scale" in tensors:
        scale, offset = tensors.pop(f"{key}.scale"), tensors.pop(f"{key}.offset")
        if array.ndim == 0 or not scale.shape == offset.shape == (len(array),):
            raise ValueError(f"{key} has a scale or offset of the wrong shape")
        wide = (len(array),) + (1,) * (array.ndim - 1)
        with np.errstate(over="ignore", invalid="ignore"):  # plans refuse what is not finite
            return array.astype(np.float32) * scale.reshape(wide) + offset.reshape(wide)
    if array.dtype not in (np.float32, np.float16, np.int8):
        raise ValueError(f"{key} has type {array.dtype}")
    return array.astype(np.float32) if array.dtype == np.float16 else array
