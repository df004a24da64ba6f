"""Weights that people trained elsewhere: read without running anything, put into our networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_onnx.onnxfile import quiet
from pixelreg.errors import MissingExtraError, ModelFileError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

State = dict[str, "Tensor"]

SHOWN = 4  # names that a message lists
WRAPPERS = ("state_dict", "model", "netG", "G", "generator")  # keys that a state dict may lie under
_COUNTED = ("running_mean", "running_var", "num_batches_tracked")


def read_checkpoint(path: Path) -> State:
    """The tensors of a checkpoint by name, without the prefix ``module.`` of data parallelism."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "train", "reading a checkpoint") from error
    try:
        file = path.open("rb")
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        try:
            with quiet():
                loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch each have several errors
            raise ModelFileError(f"{path} {_fault(error)}") from error
    state = _unwrapped(loaded)
    if not state:
        raise ModelFileError(f"{path} holds no table of weights: save model.state_dict()")
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    broken = [n for n, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise ModelFileError(f"{path}: {broken[0]} holds numbers that are not finite")
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def _fault(error: Exception) -> str:
    from pickle import UnpicklingError

    if isinstance(error, UnpicklingError) and "Unsupported" in str(error):
        return (
            "holds Python objects beside weights, which could run any code; nothing was run. "
            "Save model.state_dict() instead"
        )
    return "is no checkpoint of torch.save, or damaged"


def _unwrapped(loaded: Any) -> State:
    """The state dict, which may lie one table deeper."""
    import torch

    for found in (loaded, *(loaded.get(key) for key in WRAPPERS if isinstance(loaded, dict))):
        if isinstance(found, dict) and found:
            names_and_tensors = (
                isinstance(name, str) and isinstance(value, torch.Tensor)
                for name, value in found.items()
            )
            if all(names_and_tensors):
                return dict(found)
    return {}


def fill(module: nn.Module, state: State, statistics: str = "batch") -> None:
    """Load weights into a network, whose norms and biases are made to suit them.

    The repositories give convolutions before instance norms a bias and those norms no scale, and
    the other way round for batch norms; which of the two it was shows in the first convolution.
    Running statistics are dropped, unless they are asked for.

    Parameters
    ----------
    module : as its repository builds it, but for norms and biases.
    state : weights by name.
    statistics : ``"running"`` makes batch norms of the norms that have running statistics as well
        as a scale.
    """
    from torch.nn import BatchNorm2d, InstanceNorm2d
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd

    parts = dict(module.named_modules())
    norms = {name: part for name, part in parts.items() if isinstance(part, _NormBase)}
    convolutions = {name: part for name, part in parts.items() if isinstance(part, _ConvNd)}
    first, *others = convolutions
    biased = f"{first}.bias" in state
    for name in (first, *others[:-1]):
        _set_bias(convolutions[name], biased)
    stored = {name for name in norms if {f"{name}.weight", f"{name}.running_var"} <= set(state)}
    running = stored if statistics == "running" else set()
    if statistics == "running" and (biased or not running):
        raise UsageError("the checkpoint has no running statistics of batch norms to use")
    for name, part in norms.items():
        if name in running:
            _put(module, name, BatchNorm2d(part.num_features))
        else:
            _put(module, name, InstanceNorm2d(part.num_features, affine=not biased))
    expected = module.state_dict()
    dropped = {f"{name}.{what}" for name in norms for what in _COUNTED} - set(expected)
    kept = {name: value for name, value in state.items() if name not in dropped}
    _check_names(expected, kept)
    module.load_state_dict(kept)


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)


def _set_bias(convolution: Any, wanted: bool) -> None:
    import torch

    if not wanted:
        convolution.bias = None
    elif convolution.bias is None:
        convolution.bias = torch.nn.Parameter(torch.zeros(convolution.out_channels))


def _check_names(expected: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    faults = []
    for what, names in (
        ("missing", [name for name in expected if name not in given]),
        ("unknown", [name for name in given if name not in expected]),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            faults.append(f"{what} {', '.join(names[:SHOWN])}{more}")
    faults += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in given and given[name].shape != value.shape
    ][:1]
    if faults:
        raise ValueError("; ".join(faults))
