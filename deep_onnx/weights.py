"""Other people's checkpoints: the tables of weights in a file, wherever they lie in it.

Training code saves a bare state dict, or one among epochs, losses and optimisers; under names that
``DataParallel``, ``torch.compile``, Lightning or a class of one's own put before every other; once
as trained and once as a moving average. So all tables of a file are listed, and `under` gives
their parts whose names end as those of a network do. Nothing in a file is executed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deep_onnx.file import HEAD, check, quiet
from pixelreg.errors import ModelFileError, need
from pixelreg.files import mistaken, open_regular, why
from pixelreg.models import store

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]

COMPILED = "_orig_mod."  # what torch.compile puts before the names of any part
DEEPEST = 4  # tables within tables
MOST_TABLES = 1000
_NUMBERS = (
    *("float64", "float32", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
MOST_PREFIXES = 64  # networks in one table
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, ITU-R BT.601
_KINDS = (
    (b"\x89HDF", "is an HDF5 file, as Keras writes; only checkpoints of PyTorch are read"),
    (b"GGUF", "is a GGUF file; only checkpoints of PyTorch are read"),
    (b"\x93NUMPY", "is an array of NumPy; only checkpoints of PyTorch are read"),
)
_DAMAGED = "is no checkpoint of torch.save, or damaged"
_RESAVE = "Save model.state_dict() with torch.save instead"


class Table(NamedTuple):
    """Weights by name, and where in the file they lie: empty for all of it."""

    place: str
    state: State


def is_average(place: str) -> bool:
    """Whether weights that lie there are said to be a moving average of others."""
    return bool(re.search(r"(^|[^a-z])ema([^a-z]|$)", place.lower()))


def read_checkpoint(path: Path) -> State:
    """The largest table of a checkpoint, without the prefixes of data parallelism."""
    state = read_tables(path)[0].state
    try:
        check_state(state)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def read_tables(path: Path) -> list[Table]:
    """All tables of weights in a file of torch.save or safetensors, the largest first."""
    tables = list(islice(_tables(_loaded(path)), MOST_TABLES + 1))
    if len(tables) > MOST_TABLES:
        raise ModelFileError(
            f"{path} holds more than {MOST_TABLES} tables: save model.state_dict()"
        )
    if not tables:
        raise ModelFileError(f"{path} holds no table of weights: save model.state_dict()")
    return sorted(tables, key=lambda table: -len(table.state))


def under(tables: Sequence[Table], ends: Sequence[str]) -> list[Table]:
    """The parts of tables that hold one of the names ``ends``, without what stands before it.

    The largest come first. Where no table holds one, the largest table as it is.
    """
    found = []
    for table in tables:
        prefixes = {
            name.removesuffix(end): None
            for end in ends
            for name in table.state
            if re.search(r"(^|[\W_])" + re.escape(end) + "$", name)
        }
        for prefix in list(prefixes)[:MOST_PREFIXES]:
            part = {
                name.removeprefix(prefix): value
                for name, value in table.state.items()
                if name.startswith(prefix)
            }
            found.append(Table(" ".join(filter(None, (table.place, prefix))), part))
    return sorted(found, key=lambda table: -len(table.state)) or [tables[0]]


def in_colour(state: State, first: str, last: str, axis: int = 0, condition: int = 0) -> State:
    """Weights of a network for grey pictures, made to take and to give three equal channels.

    The first convolution then weighs red, green and blue as grey does, and the last one gives its
    one channel three times, so that the network computes what it did.

    first, last : names of the two convolutions; axis : of the last one's output channels;
    condition : how many of the first one's input channels are no picture.
    """
    changed = dict(state)
    weight = state[f"{first}.weight"]
    if weight.shape[1] - condition == 1:
        grey = weight[:, :1] * weight.new_tensor(LUMA)[None, :, None, None]
        changed[f"{first}.weight"] = _joined([grey, weight[:, 1:]])
    end = state.get(f"{last}.weight")
    if end is not None and end.ndim == 4 and end.shape[axis] == 1:
        changed[f"{last}.weight"] = end.repeat_interleave(3, axis)
        if f"{last}.bias" in state:
            changed[f"{last}.bias"] = state[f"{last}.bias"].repeat(3)
    return changed


def check_state(state: State) -> None:
    """Raise ValueError for tensors that hold no plain numbers, or fewer than their shape says."""
    for name, tensor in state.items():
        if reason := _odd(tensor):
            raise ValueError(f"{name} {reason}")


def _odd(tensor: Tensor) -> str:
    """Why a tensor is none of a trained network's; empty for those that are."""
    import torch

    if tensor.is_nested:
        return "is a nested tensor"
    if tensor.layout is not torch.strided:
        return "is a sparse tensor"
    if tensor.is_meta:
        return "is a tensor without numbers (meta)"
    if tensor.is_quantized or tensor.dtype not in [getattr(torch, kind) for kind in _NUMBERS]:
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not plain numbers"
    if 0 in tensor.shape:
        return f"is {tuple(tensor.shape)}, which holds no number"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"is {tuple(tensor.shape)}, of which the file holds only a part"
    return ""


def _joined(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(parts, 1)


def _tables(held: Any, place: str = "", depth: int = 0) -> Iterator[Table]:
    import torch

    if not isinstance(held, dict) or depth > DEEPEST:
        return
    named = {name: value for name, value in held.items() if isinstance(name, str)}
    state = {
        name.replace(COMPILED, ""): value
        for name, value in named.items()
        if isinstance(value, torch.Tensor)
    }
    if state:
        yield Table(place, state)
    for name, value in named.items():
        yield from _tables(value, f"{place}.{name}" if place else name, depth + 1)


def _loaded(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            head = file.read(HEAD)
            size = file.seek(0, 2)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {path}: {why(error)}") from error
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return store.read_tensors(path, f"{path} is a damaged .safetensors file", "pt")
    says = mistaken(head) or next((says for magic, says in _KINDS if head.startswith(magic)), "")
    if says:
        raise ModelFileError(f"{path} {says}")
    if head[:2] == b"PK" and (says := _archive(path) or _packed(path)):
        raise ModelFileError(f"{path} {says}")
    # PyTorch takes over a second to import: what a file says by its head, it says without.
    if not head.startswith((b"PK", b"\x80")):
        raise ModelFileError(f"{path} {_fault(path, head)}")
    torch = need("torch", "torch", "train", "reading a checkpoint")
    try:
        with quiet(), torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have several errors
        raise ModelFileError(f"{path} {_fault(path, head, error)}") from error


def _harmless() -> list[Any]:
    """What training code keeps beside weights, and which does nothing when it is read."""
    import argparse
    from collections import defaultdict
    from types import SimpleNamespace

    import numpy as np

    # Numbers and arrays of NumPy, by the names that its versions before and since 2 write.
    makers = [np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    named = [
        (maker, f"numpy.{core}.multiarray.{maker.__name__}")
        for maker in makers
        for core in ("core", "_core")
    ]
    kinds = {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}
    plain = [argparse.Namespace, SimpleNamespace, defaultdict, dict, list, type(Path())]
    return [*named, *kinds, *plain, np.dtype, np.ndarray]


def _fault(path: Path, head: bytes, error: Exception | None = None) -> str:
    """What a file is that torch.load refuses; nothing is said of it that was not seen."""
    from pickle import UnpicklingError

    if not head:
        return f"{_DAMAGED}: it is empty (0 bytes)"
    if head[:2] == b"PK":
        archive = _archive(path)
        if archive:
            return archive
    text = str(error) if isinstance(error, UnpicklingError) else ""
    named = re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", text)
    if named:
        return (
            f"holds Python objects beside weights ({named[1]}), which could run any code; "
            f"nothing was run. {_RESAVE}"
        )
    protocol = re.search(rb"^\x80([\x03-\x05])", _pickled(path, head))
    if text and protocol:
        return (
            f"holds Python objects in pickle's protocol {protocol[1][0]} instead of 2, which could "
            f"run any code; nothing was run. {_RESAVE}"
        )
    with contextlib.suppress(ModelFileError, OSError):
        check(path.read_bytes(), str(path))
        return "is an ONNX model already: run it with pixelreg apply --model"
    return _DAMAGED


def _packed(path: Path) -> str:
    """What is wrong with an archive that would grow as it is read; torch.save packs nothing."""
    import zipfile

    with contextlib.suppress(Exception), zipfile.ZipFile(path) as file:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.infolist()):
            return "is a zip archive that torch.save did not write: what it holds is packed"
    return ""


def _archive(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except Exception:  # of a damaged one zipfile raises what it likes
        return f"{_DAMAGED}: its zip archive cannot be read"
    if any(name.endswith("constants.pkl") for name in names):
        return f"is a TorchScript archive, which holds code; nothing was run. {_RESAVE}"
    if not any(name.endswith("data.pkl") for name in names):
        held = ", ".join(names[:2]) or "nothing"
        return f"is a zip archive that torch.save did not write (it holds {held})"
    return ""


def _pickled(path: Path, head: bytes) -> bytes:
    """The first bytes of what was pickled."""
    import zipfile

    if head[:2] != b"PK":
        return head[:2]
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as file:
        for name in file.namelist():
            if name.endswith("data.pkl"):
                with file.open(name) as data:
                    return data.read(2)
    return b""
