"""Unfinished trainings on disk, to go on from after an interruption.

A checkpoint is a .safetensors file. Tensors are named ``network/NAME/…``, ``optimiser/NAME/…``,
``state/…`` and ``losses/…``; its one metadata entry ``pixelreg`` is JSON and holds everything that
is no tensor. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deep_onnx.training.algorithm import Algorithm
from deep_onnx.training.data import Examples
from pixelreg.errors import ModelFileError, PixelregError

FORMAT, VERSION = "pixelreg-training", 1
_TENSOR, _TUPLE, _TABLE = "tensor", "tuple", "table"


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a training is.

    step : steps done.
    seconds : time spent on them.
    finished : whether its schedule has ended.
    best : lowest validation value, or None; best_step : its step.
    losses : name -> float64, what `deep_onnx.training.losses_file.History` keeps.
    names : the losses' names, part by part.
    """

    step: int = 0
    seconds: float = 0.0
    finished: bool = False
    best: float | None = None
    best_step: int = 0
    losses: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)


def fingerprint(name: str, arguments: Any, examples: Examples, held_out: Examples) -> str:
    """A hash of all that the weights depend on, but for the training's length.

    name : of the algorithm.
    arguments : its dataclass.
    examples, held_out : the pictures; their pixels, labels and people count.
    """
    digest = hashlib.sha256(json.dumps([name, asdict(arguments)], sort_keys=True).encode())
    for part in (examples, held_out):
        words = [part.source, part.labels, part.people]
        digest.update(json.dumps(words).encode())
        for item in fields(part):
            value = getattr(part, item.name)
            if isinstance(value, np.ndarray):
                digest.update(np.ascontiguousarray(value).data)
        for target, stack in part.stacks.items():
            digest.update(json.dumps([target, stack.people]).encode())
            for side in (stack.sources, stack.targets):
                digest.update(np.ascontiguousarray(side).data)
    return digest.hexdigest()


def save(
    path: Path, algorithm: Algorithm, progress: Progress, fingerprint: str, optimisers: bool = True
) -> None:
    """Write a checkpoint, whole or not at all.

    path : the file.
    algorithm, progress, fingerprint : what it holds.
    optimisers : leave them out of files that no training goes on from.
    """
    from safetensors.torch import save as as_bytes

    tensors: dict[str, Tensor] = {}
    for name, network in algorithm.networks.items():
        for key, value in network.state_dict().items():
            tensors[f"network/{name}/{key}"] = value
    values: dict[str, Any] = {}
    if optimisers:
        values = {
            name: _flattened(optimiser.state_dict(), f"optimiser/{name}", tensors)
            for name, optimiser in algorithm.optimisers.items()
        }
        tensors.update({f"state/{key}": value for key, value in algorithm.state().items()})
        for name, rows in progress.losses.items():
            tensors[f"losses/{name}"] = torch.from_numpy(np.ascontiguousarray(rows))
    facts = asdict(progress)
    del facts["losses"]
    described = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "optimisers": values,
        **facts,
    }
    whole = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    _write(path, as_bytes(whole, {"pixelreg": json.dumps(described, sort_keys=True)}))


def load(path: Path, algorithm: Algorithm, fingerprint: str) -> Progress:
    """Put what a checkpoint holds into an algorithm, and say how far it is."""
    described, tensors = _read(path)
    if described.get("fingerprint") != fingerprint:
        raise ModelFileError(
            f"{path} is of a training with other options or other pictures; repeat its command "
            "to go on, or remove its folder to start anew"
        )
    try:
        _fill_networks(algorithm, tensors)
        for name, optimiser in algorithm.optimisers.items():
            optimiser.load_state_dict(_restored(described["optimisers"][name], tensors))
        where = next(iter(algorithm.networks.values()), torch.nn.Module()).parameters()
        device = next(where, torch.empty(0)).device
        state = _below("state", tensors)
        algorithm.load_state({key: value.to(device) for key, value in state.items()})
        return _progress(described, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)}); start anew") from error


def load_networks(path: Path, algorithm: Algorithm, fingerprint: str) -> int:
    """Put the networks of a checkpoint into an algorithm, and return their step."""
    described, tensors = _read(path)
    if described.get("fingerprint") != fingerprint:
        raise ModelFileError(f"{path} is of a training with other options or other pictures")
    try:
        _fill_networks(algorithm, tensors)
        return int(described["step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)})") from error


def peek(path: Path) -> tuple[int, bool]:
    """The step of a checkpoint, and whether its training has finished."""
    described, _ = _read(path, tensors=False)
    try:
        return int(described["step"]), bool(described["finished"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)})") from error


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {}).get("pixelreg", "null"))
            if not isinstance(described, dict) or described.get("format") != FORMAT:
                raise ModelFileError(f"{path} is not a checkpoint of a training")
            if described.get("version") != VERSION:
                raise ModelFileError(
                    f"{path} has version {described.get('version')}, but this pixelreg reads "
                    f"{VERSION}; start anew"
                )
            names = list(file.keys()) if tensors else []
            return described, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise ModelFileError(
            f"there is no checkpoint {path} to resume from; leave out --resume to start"
        ) from error
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} is damaged, or is no checkpoint: {_line(error)}") from error


def _progress(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Progress:
    best = described["best"]
    return Progress(
        step=int(described["step"]),
        seconds=float(described["seconds"]),
        finished=bool(described["finished"]),
        best=None if best is None else float(best),
        best_step=int(described["best_step"]),
        losses={name: value.numpy() for name, value in _below("losses", tensors).items()},
        names={str(part): list(names) for part, names in described["names"].items()},
    )


def _fill_networks(algorithm: Algorithm, tensors: Mapping[str, Tensor]) -> None:
    for name, network in algorithm.networks.items():
        network.load_state_dict(_below(f"network/{name}", tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def _flattened(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A nested value ready for JSON; its tensors go to ``tensors``, their names stay behind."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):  # keys may be numbers, which JSON's cannot
        pairs = [[key, _flattened(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        return {_TABLE: pairs}
    if isinstance(value, (list, tuple)):
        items = [_flattened(item, f"{name}/{k}", tensors) for k, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: a checkpoint cannot hold a {type(value).__name__}")


def _restored(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The nested value that `_flattened` was given."""
    if isinstance(value, list):
        return [_restored(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == _TENSOR:
        return tensors[inner]
    if kind == _TUPLE:
        return tuple(_restored(item, tensors) for item in inner)
    if kind == _TABLE:
        return {key: _restored(item, tensors) for key, item in inner}
    raise ValueError(f"unknown kind {kind!r}")


def _write(path: Path, content: bytes) -> None:
    # One name for all times, so that a process killed while it writes leaves one file.
    unfinished = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise PixelregError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
