"""From a PyTorch module to one ONNX file that says what it is, compared with the module first.

PyTorch's exporter has habits that this module guards against. It exports batch norm in training
mode as if it were in evaluation mode, leaves dropout in training mode random, raises the opset
without a word, writes weights to a second file, and leaves stack traces with local paths in every
node. Instance norms with running statistics compute something else in evaluation mode than in the
training that made them; they are refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_onnx.file import Contents, finish, first_line, quiet
from deep_onnx.session import Session
from deep_onnx.training.algorithm import Export
from deep_onnx.training.tools import to_tensor
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import MissingExtraError, PixelregError, need
from pixelreg.files import write_bytes
from pixelreg.models.model import Provenance

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
TOLERANCE = 1e-4  # on values in [-1, 1]
PURPOSE = "exporting to ONNX"
RANDOM_NODES = ("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomUniform")
SWITCHED = (  # modules that do something else while training
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._NormBase,
)


@dataclass(frozen=True)
class Exported:
    """An ONNX file that was written, how large it is, and how far from the module; see `parity`.

    weights : where they lay in a file that held more; empty where that was all of it.
    """

    path: Path
    parameters: int
    bytes: int
    parity: float
    weights: str = ""


def export_onnx(
    export: Export,
    path: Path,
    provenance: Provenance,
    notes: Mapping[str, Any] | None = None,
    pictures: Pixels | None = None,
) -> Exported:
    """Write a network as ONNX, once it is known to compute what the module computes.

    The batch is dynamic, and so are height and width where the card says so. The file holds the
    card, with some more notes, and nothing of the machine that it was made on. It is compared on
    the examples, and on real pictures (N, H, W, 3) uint8 where there are any.
    """
    need("onnx", "onnx", "train", PURPOSE)
    refuse_training_mode(export.module)
    export = _on_cpu(export)
    parameters = sum(parameter.numel() for parameter in export.module.parameters())
    card = replace(
        export.card,
        parameters=parameters,
        provenance=provenance,
        notes={**export.card.notes, **(notes or {})},
    )
    model = trace(export)
    difference = parity(export, finish(model, card), pictures)
    if not difference <= TOLERANCE:
        raise PixelregError(
            f"{path} was not written: ONNX and PyTorch differ by {difference:.1e} "
            f"(at most {TOLERANCE:g} is allowed) for {card.architecture}"
        )
    data = finish(model, replace(card, notes={**card.notes, "parity": difference})).data
    write_bytes(path, data)
    return Exported(path, parameters, len(data), difference)


def refuse_training_mode(module: nn.Module) -> None:
    """Raise PixelregError for a module that would not be exported as what it computes."""
    for name, part in module.named_modules():
        where = f"{name} ({type(part).__name__})" if name else type(part).__name__
        if part.training and (isinstance(part, SWITCHED) or part is module):
            raise PixelregError(f"{where} is in training mode: call eval() before exporting")
        instance = isinstance(part, nn.modules.instancenorm._InstanceNorm)
        if instance and part.running_mean is not None:
            raise PixelregError(
                f"{where} has running statistics, which evaluation mode would use instead of the "
                "picture's own: build it with track_running_stats=False"
            )


def trace(export: Export) -> ModelProto:
    """The module's graph at opset 18, with names and dynamic sizes as its card says."""
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                export.module,
                tuple(_enlarged(export, name) for name in export.inputs),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(export.inputs),
                output_names=[export.card.output],
                dynamic_shapes=_dynamic_shapes(export),
            )
    except ImportError as error:
        raise MissingExtraError("onnxscript", "train", PURPOSE) from error
    except Exception as error:  # every stage of the exporter has errors of its own
        cause = error.__cause__ or error
        raise PixelregError(
            f"PyTorch cannot export {export.card.architecture}: {first_line(cause)}"
        ) from error
    assert program is not None
    model = program.model_proto
    _refuse_surprises(model, export)
    _name_sizes(model, export)
    del model.graph.value_info[:]
    return model


def _refuse_surprises(model: ModelProto, export: Export) -> None:
    """Raise PixelregError for what the exporter does without a word."""
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if opsets != {"": OPSET}:
        raise PixelregError(f"the exporter wrote operators of {opsets}, not of opset {OPSET} alone")
    chance = sorted({n.op_type for n in model.graph.node if n.op_type.startswith(RANDOM_NODES)})
    if chance:
        raise PixelregError(
            f"{export.card.architecture} still draws random numbers when exported "
            f"({', '.join(chance)}): build it without dropout and noise"
        )
    used = {name for node in model.graph.node for name in node.input}
    lost = [name for name in export.inputs if name not in used]
    if lost:
        raise PixelregError(
            f"{export.card.architecture} does not depend on its input {lost[0]!r} when exported: "
            "its value was taken for a constant, or it is not used"
        )


def parity(export: Export, model: Contents, pictures: Pixels | None = None) -> float:
    """Largest absolute difference between the module and ONNX Runtime, values on [-1, 1].

    Both see the examples, real pictures (N, H, W, 3) uint8 where given, and random numbers; at
    batches of 1 and 3, and where sizes are dynamic also at one that is not square. None of these
    was traced.
    """
    export = _on_cpu(export)
    session = Session(replace(model, name="the exported model"), "cpu", trusted=True)
    return max(_difference(export, session, feed) for feed in _feeds(export, pictures))


def _on_cpu(export: Export) -> Export:
    tensors = (*export.module.state_dict().values(), *export.inputs.values())
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return export
    inputs = {name: value.cpu() for name, value in export.inputs.items()}
    return replace(export, module=copy.deepcopy(export.module).cpu(), inputs=inputs)


def _difference(export: Export, session: Session, feed: dict[str, Tensor]) -> float:
    with torch.no_grad():
        expected = export.module(*feed.values()).numpy()
    (found,) = session.run({name: value.numpy() for name, value in feed.items()})
    if found.shape != expected.shape or not np.isfinite(expected).all():
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max() / _unit(export, expected))


def _unit(export: Export, expected: Array) -> float:
    """What counts as 1: half the range of pictures, or the largest of other outputs."""
    if not export.card.does.pictures:
        return max(1.0, float(np.abs(expected).max()))
    low, high = export.card.value_range
    return (high - low) / 2


def _enlarged(export: Export, name: str) -> Tensor:
    """An example of the sizes to trace at: the tracer would take 1 for a constant."""
    value, card = export.inputs[name], export.card
    value = _repeated(value, max(2, len(value)))
    if not card.dynamic:
        return value
    height, width = (max(2, -(-side // card.multiple)) for side in _base(export))
    return _tiled(value, (height * card.multiple, (width + 1) * card.multiple))


def _dynamic_shapes(export: Export) -> tuple[dict[int, Any], ...]:
    batch = torch.export.Dim("batch")
    height, width = (torch.export.Dim(name, min=2) for name in ("units_down", "units_across"))
    multiple = export.card.multiple
    sizes = {} if not export.card.dynamic else {2: multiple * height, 3: multiple * width}
    return tuple(
        {0: batch, **(sizes if value.ndim == 4 else {})} for value in export.inputs.values()
    )


def _name_sizes(model: ModelProto, export: Export) -> None:
    """Call the graph's dynamic sizes batch, height and width."""
    names: dict[str, str] = {}
    for value in model.graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_param"):
                names[size.dim_param] = ("batch", "channels", "height", "width")[axis]
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_param"):
                size.dim_param = names.get(size.dim_param, size.dim_param)


def _feeds(export: Export, pictures: Pixels | None) -> list[dict[str, Tensor]]:
    """Inputs to compare on, in the module's order of arguments; see `parity`."""
    generator = torch.Generator().manual_seed(0)
    examples = dict(export.inputs)

    def drawn(batch: int, size: tuple[int, int] | None) -> dict[str, Tensor]:
        return {name: _random(export, name, batch, size, generator) for name in examples}

    made = [drawn(1, None), drawn(3, None)]
    name = export.card.image_input
    # Norms make noise of the rounding errors of a picture of one colour, wherever it is computed.
    if name not in examples or float(examples[name].std()) > 0:
        made.append(examples)
    if pictures is not None and len(pictures) and name in examples:
        real = to_tensor(pictures[:3], *export.card.value_range)
        made.append(
            {
                other: real if other == name else _repeated(value, len(real))
                for other, value in examples.items()
            }
        )
    if export.card.dynamic:
        height, width = _base(export)
        size = (height + export.card.multiple, width)
        made.append({other: _tiled(value, size) for other, value in made[-1].items()})
        made.append(drawn(2, size))
    return made


def _random(
    export: Export, name: str, batch: int, size: tuple[int, int] | None, generator: torch.Generator
) -> Tensor:
    example, card = export.inputs[name], export.card
    if not example.is_floating_point():
        return _tiled(_repeated(example, batch), size)
    shape = [batch, *example.shape[1:]]
    if size is not None and example.ndim == 4:
        shape[2:] = size
    if name not in (card.image_input, card.condition_input) or card.target_kind == "noise":
        return torch.randn(shape, generator=generator)
    low, high = card.value_range if name == card.image_input else card.condition_range
    return torch.rand(shape, generator=generator) * (high - low) + low


def _repeated(value: Tensor, batch: int) -> Tensor:
    """The first ``batch`` rows, from the start again where there are too few."""
    return value[torch.arange(batch) % len(value)]


def _tiled(value: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Pictures of another size: their pixels again and again, or fewer of them."""
    if size is None or value.ndim != 4:
        return value
    rows, columns = (torch.arange(n) % m for n, m in zip(size, value.shape[2:], strict=True))
    return value[:, :, rows][:, :, :, columns].contiguous()


def _base(export: Export) -> tuple[int, int]:
    """Height and width of the examples' pictures."""
    for value in export.inputs.values():
        if value.ndim == 4:
            return int(value.shape[2]), int(value.shape[3])
    raise PixelregError(f"{export.card.architecture} has no picture whose size could be dynamic")
