"""Sums of training pairs as files: made apart, merged later, solved at any time.

A ``.sums`` file is a .safetensors file. Tensor ``<target>/<field>`` holds a field of `PixelSums`
(kind rr) or `LevelSums` (kind kr); ``people`` holds a hash of every person's name, so that people
in two files are noticed without being named. Metadata ``format`` is ``pixelreg-sums`` and
``format_version`` is ``1``; everything else of the metadata is JSON. Nothing is ever executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray

from pixelreg.arrays import Array
from pixelreg.errors import ModelFileError, PixelregError
from pixelreg.files import write_atomically
from pixelreg.models.metadata import (
    as_text,
    frame_of,
    provenance_of,
    settings_of,
    targets_and_size,
    text_of,
)
from pixelreg.models.model import Frame, Provenance
from pixelreg.models.plans import GREY_LEVELS
from pixelreg.models.sums import LevelSums, PixelSums

Sums = Union[PixelSums, LevelSums]

FORMAT, FORMAT_VERSION = "pixelreg-sums", "1"
KINDS = ("rr", "kr")
MAX_PAIRS = 11_900_000  # N * sum of squares still fits 64 bits
_FIELDS = {"rr": ("x", "xx", "t", "xt"), "kr": ("inputs", "targets")}
_NAMES = {"<i8": "I64", "<u4": "U32", "<u8": "U64"}


@dataclass(frozen=True, eq=False)
class TrainingSums:
    """What is left of a training set once it is summed, and what is to be known of it.

    Attributes
    ----------
    sums : of every target, all of one kind.
    people : sorted uint64, `person_hashes` of everybody.
    kind : rr or kr.
    settings : the estimator's parameters by name, for every target.
    size : side of the crops.
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


def no_sums(kind: str, size: int) -> Sums:
    """The sums of no pair."""
    pixels = size * size * 3
    if kind == "rr":
        return PixelSums(0, *(np.zeros(pixels, np.int64) for _ in range(4)))
    return LevelSums(0, *(np.zeros((pixels, GREY_LEVELS), np.uint32) for _ in range(2)))


def pixel_sums_of(sums: Sums) -> PixelSums:
    """The sums of Pixel-RR, which those of Pixel-KR hold: both are of the same grey levels."""
    if isinstance(sums, PixelSums):
        return sums
    level = np.arange(GREY_LEVELS, dtype=np.int64)
    x, xx = (np.einsum("pg,g->p", sums.inputs, power) for power in (level, level**2))
    xt = np.einsum("pg,g->p", sums.targets, level)
    return PixelSums(sums.count, x, xx, sums.targets.sum(axis=1, dtype=np.int64), xt)


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
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, **as_text(values)}
    write_atomically(path, lambda file: write_tensors(file, tensors, metadata))


def load(path: Path) -> TrainingSums:
    """Read a ``.sums`` file and check all of it."""
    metadata, tensors = read_tensors(path, FORMAT, FORMAT_VERSION, "a file of sums")
    try:
        return _assemble(metadata, tensors)
    except (PixelregError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(f"{path} is not a usable file of sums: {reason}") from error


def tensors_of(prefix: str, sums: Sums) -> dict[str, Array]:
    """The arrays of sums by name: ``prefix/field``."""
    names = _FIELDS["rr" if isinstance(sums, PixelSums) else "kr"]
    return {f"{prefix}/{name}": getattr(sums, name) for name in names}


def sums_from(
    tensors: dict[str, Array], prefix: str, kind: str, size: int, count: Any
) -> PixelSums | LevelSums:
    """Take sums out of ``tensors`` and check that they can be sums of ``count`` 8-bit pairs."""
    if type(count) is not int or not 0 <= count <= MAX_PAIRS:
        raise ValueError(f"{prefix}: the number of pairs must be 0 to {MAX_PAIRS}, not {count!r}")
    empty = no_sums(kind, 1)
    arrays = {}
    for name in _FIELDS[kind]:
        like: Array = getattr(empty, name)
        array = tensors.pop(f"{prefix}/{name}")
        shape = (size * size * 3, *like.shape[1:])
        if array.shape != shape or array.dtype != like.dtype:
            raise ValueError(f"{prefix}/{name} must be {like.dtype} {shape}")
        arrays[name] = array
    sums: Sums = (PixelSums if kind == "rr" else LevelSums)(count, **arrays)
    if not _possible(sums):
        raise ValueError(f"{prefix}: these are not the sums of {count} pairs")
    return sums


def write_tensors(
    file: BinaryIO, tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a .safetensors file, in order and without a copy of the tensors in memory."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    arrays = [np.ascontiguousarray(tensors[name]) for name in tensors]
    end = 0
    for name, array in zip(tensors, arrays, strict=True):
        start, end = end, end + array.nbytes
        kind = _NAMES[array.dtype.newbyteorder("<").str]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        file.write(little.reshape(-1).view(np.uint8).data)


def read_tensors(
    path: Path, format: str, version: str, what: str
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The metadata, from JSON, and the tensors of a file of ``format``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            texts = dict(file.metadata() or {})
            if texts.pop("format", None) != format:
                raise ModelFileError(f"{path} is not {what} of pixelreg")
            if (found := texts.pop("format_version", None)) != version:
                raise ModelFileError(
                    f"{path} has format version {found}, but this pixelreg reads {version}; "
                    "install a newer pixelreg"
                )
            metadata = {key: json.loads(value) for key, value in texts.items()}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} is damaged, or is not {what}: {error}") from error


def _possible(sums: Sums) -> bool:
    n = sums.count
    if isinstance(sums, PixelSums):
        arrays = (sums.x, sums.xx, sums.t, sums.xt)
        largest = (255 * n, 255**2 * n, 255 * n, 255**2 * n)
        inside = all(
            (a >= 0).all() and (a <= top).all() for a, top in zip(arrays, largest, strict=True)
        )
        # N times the sum of squares is never below the square of the sum.
        return inside and bool((n * sums.xx >= sums.x * sums.x).all())
    counted = (sums.inputs.sum(axis=1, dtype=np.int64) == n).all()
    return bool(counted and (sums.targets <= 255 * sums.inputs.astype(np.int64)).all())


def _assemble(metadata: Mapping[str, Any], tensors: dict[str, Array]) -> TrainingSums:
    targets, size = targets_and_size(metadata)
    kind = metadata["kind"]
    if kind not in KINDS:
        raise ValueError(f"kind must be rr or kr, not {kind!r}")
    source = text_of(metadata, "source")
    people = tensors.pop("people")
    if people.dtype != np.uint64 or people.ndim != 1 or (people[1:] <= people[:-1]).any():
        raise ValueError("people must be sorted uint64")
    counts = metadata["counts"]
    sums = {t: sums_from(tensors, t, kind, size, counts[t]) for t in targets}
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
