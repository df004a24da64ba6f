"""Unfinished trainings on disk, to go on from after an interruption.

Tensors are named ``network/NAME/…``, ``optimiser/NAME/PARAMETER/…``, ``state/…`` and ``losses/…``;
everything that is no tensor is JSON among the metadata. Nothing is ever unpickled.
"""

from __future__ import annotations

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
from pixelreg.arrays import Array
from pixelreg.errors import ModelFileError
from pixelreg.files import scratch_of
from pixelreg.models import store

FORMAT = store.Format("pixelreg-training", "2", "a checkpoint of a training")
DAMAGE = (  # what wrong values raise, here and in PyTorch
    *(KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError, OverflowError),
)


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a training is.

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
    """Write a checkpoint, whole or not at all; no training goes on from one without optimisers."""
    tensors: dict[str, Tensor] = {}
    for name, network in algorithm.networks.items():
        tensors.update(_named(f"network/{name}", network.state_dict()))
    groups: dict[str, Any] = {}
    losses: Mapping[str, Any] = {}
    if optimisers:
        for name, optimiser in algorithm.optimisers.items():
            held = optimiser.state_dict()
            groups[name] = held["param_groups"]
            for place, values in held["state"].items():
                tensors.update(_named(f"optimiser/{name}/{place}", values))
        tensors.update(_named("state", algorithm.state()))
        losses = progress.losses
    facts = {key: value for key, value in asdict(progress).items() if key != "losses"}
    arrays = {key: value.detach().cpu().numpy() for key, value in tensors.items()}
    arrays.update({f"losses/{part}": rows for part, rows in losses.items()})
    values = {"fingerprint": fingerprint, "optimisers": groups, **facts}
    store.write(path, FORMAT, arrays, values, scratch_of(path))


def load(path: Path, algorithm: Algorithm, fingerprint: str) -> Progress:
    """Put what a checkpoint holds into an algorithm, and say how far it is."""
    described, arrays = _read(path, fingerprint)
    try:
        _fill_networks(algorithm, arrays)
        for name, optimiser in algorithm.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(f"optimiser/{name}", arrays).items():
                place, _, field = key.partition("/")
                state.setdefault(int(place), {})[field] = value
            if len({frozenset(values) for values in state.values()}) > 1:
                raise ValueError(f"the optimiser {name} lacks numbers")
            groups = described["optimisers"][name]
            optimiser.load_state_dict({"state": state, "param_groups": groups})
        device = algorithm.device if algorithm.networks else torch.device("cpu")
        kept = _below("state", arrays)
        algorithm.load_state({key: value.to(device) for key, value in kept.items()})
        return _progress(described, arrays)
    except DAMAGE as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)}); start anew") from error


def load_networks(path: Path, algorithm: Algorithm, fingerprint: str) -> int:
    """Put the networks of a checkpoint into an algorithm, and return their step."""
    described, arrays = _read(path, fingerprint)
    try:
        _fill_networks(algorithm, arrays)
        return int(described["step"])
    except DAMAGE as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)})") from error


def peek(path: Path) -> tuple[int, bool]:
    """The step of a checkpoint, and whether its training has finished."""
    described = store.read_metadata(path, FORMAT)
    try:
        return int(described["step"]), bool(described["finished"])
    except DAMAGE as error:
        raise ModelFileError(f"{path} is damaged ({_line(error)})") from error


def _read(path: Path, fingerprint: str) -> tuple[dict[str, Any], dict[str, Array]]:
    if not path.exists():
        raise ModelFileError(
            f"there is no checkpoint {path} to resume from; leave out --resume to start"
        )
    described, arrays = store.read(path, FORMAT)
    if described.get("fingerprint") != fingerprint:
        raise ModelFileError(
            f"{path} is of a training with other options or other pictures; repeat its command "
            "to go on, or remove its folder to start anew"
        )
    return described, arrays


def _progress(described: Mapping[str, Any], arrays: Mapping[str, Array]) -> Progress:
    best = described["best"]
    return Progress(
        step=int(described["step"]),
        seconds=float(described["seconds"]),
        finished=bool(described["finished"]),
        best=None if best is None else float(best),
        best_step=int(described["best_step"]),
        losses={name: value.numpy() for name, value in _below("losses", arrays).items()},
        names={str(part): list(names) for part, names in described["names"].items()},
    )


def _fill_networks(algorithm: Algorithm, arrays: Mapping[str, Array]) -> None:
    for name, network in algorithm.networks.items():
        network.load_state_dict(_below(f"network/{name}", arrays))


def _named(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{key}": value for key, value in values.items()}


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {
        key[len(start) :]: torch.from_numpy(value.copy())
        for key, value in arrays.items()
        if key.startswith(start)
    }


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
