"""The one reader and writer of .safetensors files: tensors, and metadata as JSON texts.

Every stored format has a name and a version among its metadata. Headers are checked before anything
else of a file is believed, files are written whole or not at all, and nothing is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import ModelFileError, PixelregError
from pixelreg.files import mistaken, open_regular, why, write_atomically
from pixelreg.models.model import Frame, Provenance

T = TypeVar("T")

MAX_SIDE = 4096
MAX_HEADER_BYTES = 2**20
MAX_DEPTH = 16  # of tables in metadata
# In the order in which the safetensors library writes them.
_NAMES = {
    **{"<u8": "U64", "<i8": "I64", "<f8": "F64", "<f4": "F32", "<u4": "U32", "<i4": "I32"},
    **{"<f2": "F16", "|i1": "I8", "|u1": "U8", "|b1": "BOOL"},
}


class Format(NamedTuple):
    """A stored format: its name and version in the metadata, and what it is to people."""

    name: str
    version: str
    what: str
    most: int = MAX_HEADER_BYTES  # of a header


def write(
    path: Path,
    format: Format,
    tensors: Mapping[str, Array],
    values: Mapping[str, Any],
    scratch: Path | None = None,
) -> int:
    """Write a file, whole or not at all, and return its size in bytes.

    ``scratch`` is as of `pixelreg.files.write_atomically`.
    """
    sizes: list[int] = []

    def fill(file: BinaryIO) -> None:
        sizes.append(write_to(file, format, tensors, values))

    write_atomically(path, fill, scratch)
    return sizes[0]


def as_bytes(format: Format, tensors: Mapping[str, Array], values: Mapping[str, Any]) -> bytes:
    """A file's bytes; the same for the same content."""
    file = BytesIO()
    write_to(file, format, tensors, values)
    return file.getvalue()


def write_to(
    file: BinaryIO, format: Format, tensors: Mapping[str, Array], values: Mapping[str, Any]
) -> int:
    """Write tensors in their order, without a copy of them in memory, and return the size."""
    metadata = {"format": format.name, "format_version": format.version, **as_text(values)}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    arrays = {name: np.require(array, requirements="C") for name, array in tensors.items()}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        kind = _NAMES[_code(array)]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        file.write(little.reshape(-1).view(np.uint8).data)
    return 8 + len(text) + end


def wide_first(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors as the safetensors library orders them: by their type, then by name."""
    ranks = list(_NAMES)
    order = sorted(tensors, key=lambda name: (ranks.index(_code(tensors[name])), name))
    return {name: tensors[name] for name in order}


def _code(array: Array) -> str:
    return str(array.dtype.newbyteorder("<").str)


def read(
    source: Path | bytes, format: Format, name: str = ""
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The metadata and the tensors of a file, or of its bytes with a ``name`` for messages."""
    name = name or str(source)
    metadata = read_metadata(source, format, name)
    return metadata, read_tensors(source, f"{name} is damaged, or is not {format.what}")


def read_as(
    source: Path | bytes,
    format: Format,
    assemble: Callable[[dict[str, Any], dict[str, Array]], T],
    name: str = "",
) -> T:
    """What ``assemble`` makes of a file's metadata and tensors; see `read`.

    What it finds wrong, an error of ours or of a value's type or range, is told of the file.
    """
    name = name or str(source)
    metadata, tensors = read(source, format, name)
    try:
        return assemble(metadata, tensors)
    except (PixelregError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        usable = format.what.removeprefix("a ")
        line = " ".join(reason.split())  # a name in the file may hold what ends a line
        raise ModelFileError(f"{name} is not a usable {usable}: {line}") from error


def read_tensors(source: Path | bytes, complaint: str, kind: str = "numpy") -> dict[str, Array]:
    """The tensors of a file or of its bytes; ``complaint`` begins the error.

    ``kind`` is ``"pt"`` for PyTorch's tensors of a file: NumPy has no bfloat16.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    try:
        if isinstance(source, bytes):
            return load(source)
        with safe_open(source, kind) as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelFileError(f"{complaint}: {error}") from error
    except (OverflowError, RuntimeError, MemoryError) as error:
        raise ModelFileError(f"{complaint}: it is too large to be read") from error


def read_metadata(source: Path | bytes, format: Format, name: str = "") -> dict[str, Any]:
    """What a file says of itself, before anything else of it is believed."""
    name = name or str(source)
    length, text = _header(source, name, format.most)
    if says := mistaken(length.to_bytes(8, "little") + text):
        raise ModelFileError(f"{name} {says}")
    if not 2 <= length <= format.most or len(text) < length:
        raise ModelFileError(f"{name} is not a .safetensors file, or is cut short")
    try:
        header = json.loads(text)
        texts = header["__metadata__"]
        kind, version = texts.pop("format"), texts.pop("format_version")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{name} is not {format.what} of pixelreg") from error
    if kind != format.name:
        raise ModelFileError(f"{name} is not {format.what} of pixelreg")
    if version != format.version:
        raise ModelFileError(
            f"{name} has format version {version}, but this pixelreg reads {format.version}; "
            "install a newer pixelreg"
        )
    try:
        _check_tensors(header)
        values = {key: json.loads(value) for key, value in texts.items()}
        check_depth(values)
        return values
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ModelFileError(f"{name} has damaged metadata: {error}") from error


def check_depth(values: Any) -> None:
    """Raise ValueError for tables within tables beyond `MAX_DEPTH`: to write them would not end."""
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list, tuple))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError("its tables are nested too deeply")


def _check_tensors(header: Mapping[str, Any]) -> None:
    """Raise ValueError for tensors of types that are never written."""
    known = set(_NAMES.values())
    for name, tensor in header.items():
        if name != "__metadata__" and tensor["dtype"] not in known:
            raise ValueError(f"{name} is of type {tensor['dtype']!r}, which no model is stored in")


def _header(source: Path | bytes, name: str, most: int) -> tuple[int, bytes]:
    """The header's length as the file states it, and its bytes, as many as there are."""
    if isinstance(source, bytes):
        length = int.from_bytes(source[:8], "little")
        return length, source[8 : 8 + min(length, most)]
    try:
        with open_regular(source) as file:
            length = int.from_bytes(file.read(8), "little")
            return length, file.read(min(length, most))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {name}: {why(error)}") from error


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as JSON texts."""
    return {key: json.dumps(value, sort_keys=True) for key, value in values.items()}


def targets_and_size(metadata: Mapping[str, Any]) -> tuple[list[str], int]:
    """The targets' names and the side of the crops."""
    targets, size = metadata["targets"], metadata["size"]
    if not (isinstance(targets, list) and targets and all(isinstance(t, str) for t in targets)):
        raise ValueError("targets must be a list of names")
    if type(size) is not int or not 1 <= size <= MAX_SIDE:
        raise ValueError(f"size must be 1 to {MAX_SIDE}, not {size!r}")
    return targets, size


def text_of(metadata: Mapping[str, Any], key: str) -> str:
    """A value that must be text, or ValueError."""
    value = metadata[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text, not {value!r}")
    return value


def settings_of(value: Any) -> dict[str, dict[str, Any]]:
    """The estimators' parameters by target, or ValueError."""
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise ValueError("settings must be tables by target")
    return value


def provenance_of(value: Any) -> Provenance:
    """Where the pictures come from, or ValueError."""
    provenance = Provenance(**value)
    for item in fields(Provenance):
        if type(getattr(provenance, item.name)) is not type(item.default):
            raise ValueError(f"provenance: {item.name} has the wrong type")
    return provenance


def frame_of(value: Any) -> Frame | None:
    """Where the eyes stand, or None for pictures without faces."""
    if value is None:
        return None
    (x1, y1), (x2, y2) = value["left_eye"], value["right_eye"]
    return Frame((float(x1), float(y1)), (float(x2), float(y2)))
