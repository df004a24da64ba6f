"""Sums of training pairs as files: made apart, merged later, solved at any time.

A ``.sums`` file is a .safetensors file. Tensor ``<target>/<field>`` holds a field of `PixelSums`
(kind rr) or `LevelSums` (kind kr); ``people`` holds a hash of every person's name, so that people
in two files are noticed without being named. Metadata ``format`` is ``pixelreg-sums`` and
``format_version`` is ``1``; everything else of the metadata is JSON. Nothing is ever executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Array
from pixelreg.models import store
from pixelreg.models.model import Frame, Provenance
from pixelreg.models.store import (
    frame_of,
    provenance_of,
    settings_of,
    targets_and_size,
    text_of,
)
from pixelreg.models.sums import MAX_PAIRS, Sums
from pixelreg.regression import ESTIMATORS, estimator_class

FORMAT = store.Format("pixelreg-sums", "1", "a file of sums")


@dataclass(frozen=True, eq=False)
class TrainingSums:
    """What is left of a training set once it is summed, and what is to be known of it.

    sums : of every target, all of one kind.
    people : sorted uint64, `person_hashes` of everybody.
    settings : the estimator's parameters by name, for every target.
    source, frame, provenance : as of a `Model`.
    """

    sums: Mapping[str, Sums]
    people: NDArray[np.uint64]
    kind: str
    settings: Mapping[str, Mapping[str, Any]]
    size: int
    source: str
    frame: Frame | None
    provenance: Provenance


def person_hashes(people: Iterable[str]) -> NDArray[np.uint64]:
    """The first eight bytes of each name's SHA-256, sorted, each once."""
    digests = (hashlib.sha256(name.encode("utf-8", "surrogateescape")) for name in people)
    return np.unique(np.array([int.from_bytes(d.digest()[:8], "little") for d in digests], "<u8"))


def save(training: TrainingSums, path: Path) -> None:
    """Write a ``.sums`` file, whole or not at all."""
    tensors: dict[str, Array] = {"people": training.people}
    for target, sums in training.sums.items():
        tensors.update(tensors_of(target, sums))
    values = {
        "source": training.source,
        "targets": list(training.sums),
        "counts": {target: sums.count for target, sums in training.sums.items()},
        "kind": training.kind,
        "settings": {target: dict(values) for target, values in training.settings.items()},
        "size": training.size,
        "frame": None if training.frame is None else asdict(training.frame),
        "provenance": asdict(training.provenance),
    }
    store.write(path, FORMAT, tensors, values)


def load(path: Path) -> TrainingSums:
    """Read a ``.sums`` file and check all of it."""
    return store.read_as(path, FORMAT, _assemble)


def tensors_of(prefix: str, sums: Sums) -> dict[str, Array]:
    """The arrays of sums by name: ``prefix/field``."""
    return {f"{prefix}/{name}": array for name, array in sums.arrays().items()}


def sums_from(
    tensors: dict[str, Array], prefix: str, cls: type[Sums], size: int, count: Any
) -> Sums:
    """Take sums out of ``tensors`` and check that they can be sums of ``count`` 8-bit pairs."""
    if type(count) is not int or not 0 <= count <= MAX_PAIRS:
        raise ValueError(f"{prefix}: the number of pairs must be 0 to {MAX_PAIRS}, not {count!r}")
    arrays = {}
    for name, like in cls.empty(1).arrays().items():
        array = tensors.pop(f"{prefix}/{name}")
        shape = (size * size * 3, *like.shape[1:])
        if array.shape != shape or array.dtype != like.dtype:
            raise ValueError(f"{prefix}/{name} must be {like.dtype} {shape}")
        arrays[name] = array
    sums = cls(count, **arrays)
    if not sums.possible():
        raise ValueError(f"{prefix}: these are not the sums of {count} pairs")
    return sums


def _assemble(metadata: Mapping[str, Any], tensors: dict[str, Array]) -> TrainingSums:
    targets, size = targets_and_size(metadata)
    kind = metadata["kind"]
    cls = estimator_class(kind).sums if kind in ESTIMATORS else None
    if cls is None:
        raise ValueError(f"kind must be one that keeps sums, not {kind!r}")
    source = text_of(metadata, "source")
    people = tensors.pop("people")
    if people.dtype != np.uint64 or people.ndim != 1 or (people[1:] <= people[:-1]).any():
        raise ValueError("people must be sorted uint64")
    counts = metadata["counts"]
    sums = {t: sums_from(tensors, t, cls, size, counts[t]) for t in targets}
    if tensors:
        raise ValueError(f"unknown tensors {sorted(tensors)[:3]}")
    settings = settings_of(metadata["settings"])
    if missing := [target for target in targets if target not in settings]:
        raise KeyError(missing[0])
    return TrainingSums(
        sums,
        people,
        kind,
        settings,
        size,
        source,
        frame_of(metadata["frame"]),
        provenance_of(metadata["provenance"]),
    )
