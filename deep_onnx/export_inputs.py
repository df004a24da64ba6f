"""Inputs to try an exported network on: real ones, random ones, other batches and sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from deep_onnx.training.algorithm import Export, to_tensor
from pixelreg.arrays import Pixels
from pixelreg.errors import PixelregError


def feeds(export: Export, pictures: Pixels | None) -> list[dict[str, Tensor]]:
    """Inputs to compare on, in the module's order of arguments; see `deep_onnx.export.parity`."""
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
                other: real if other == name else repeated(value, len(real))
                for other, value in examples.items()
            }
        )
    if export.card.dynamic:
        height, width = base(export)
        size = (height + export.card.multiple, width)
        made.append({other: tiled(value, size) for other, value in made[-1].items()})
        made.append(drawn(2, size))
    return made


def _random(
    export: Export, name: str, batch: int, size: tuple[int, int] | None, generator: torch.Generator
) -> Tensor:
    example, card = export.inputs[name], export.card
    if not example.is_floating_point():
        return tiled(repeated(example, batch), size)
    shape = [batch, *example.shape[1:]]
    if size is not None and example.ndim == 4:
        shape[2:] = size
    if name not in (card.image_input, card.condition_input) or card.target_kind == "noise":
        return torch.randn(shape, generator=generator)
    low, high = card.value_range if name == card.image_input else card.condition_range
    return torch.rand(shape, generator=generator) * (high - low) + low


def repeated(value: Tensor, batch: int) -> Tensor:
    """The first ``batch`` rows, from the start again where there are too few."""
    return value[torch.arange(batch) % len(value)]


def tiled(value: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Pictures of another size: their pixels again and again, or fewer of them."""
    if size is None or value.ndim != 4:
        return value
    rows, columns = (torch.arange(n) % m for n, m in zip(size, value.shape[2:], strict=True))
    return value[:, :, rows][:, :, :, columns].contiguous()


def base(export: Export) -> tuple[int, int]:
    """Height and width of the examples' pictures."""
    for value in export.inputs.values():
        if value.ndim == 4:
            return int(value.shape[2]), int(value.shape[3])
    raise PixelregError(f"{export.card.architecture} has no picture whose size could be dynamic")
