"""The U-Net generator of pix2pix: an encoder and a decoder with a skip at every size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deep_onnx.training.tools import normal_weights

MOST_WIDE = 8  # the widest layers have this many times the channels of the first
SLOPE = 0.2


class UNet(nn.Module):
    """U-Net with 4x4 convolutions of stride 2 (Isola et al. 2017; Face2Sketch III-D).

    The encoder is C64-C128-C256-C512-C512-C512-C512 for width 64 and depth 7, leaky ReLU (0.2), no
    norm on the first layer; the decoder mirrors it with ReLU and ends in tanh. The innermost layer
    has no norm either: at 1x1 a norm over one value would make it zero. Names and shapes of the
    parameters are those of the well-known checkpoints.

    Norms are instance norms with learnt scale and shift and no running statistics. At batch 1 they
    do what batch norm does on the statistics of its batch, which is how pix2pix trains and tests;
    at larger batches and in evaluation they still do, and they survive the export to ONNX.

    Parameters
    ----------
    width : channels of the first layer.
    depth : how often the picture is halved, 2 or more. 8 and width 64 make 54,413,955 parameters.
    dropout : share dropped at random in the decoder's inner layers, in training mode only; at depth
        5 or less no layer has it. Parameters and their names do not depend on it.
    channels : of the pictures in and out.

    Takes (N, channels, H, W) on [-1, 1], H and W multiples of ``2 ** depth``; gives the same.
    """

    def __init__(
        self, width: int = 64, depth: int = 7, dropout: float = 0.0, channels: int = 3
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, MOST_WIDE) for level in range(depth)]
        block: nn.Module | None = None
        for level in range(depth - 1, 0, -1):
            # Inner layers are those between two of the greatest width, but not the innermost.
            dropped = dropout if 3 < level < depth - 1 else 0.0
            block = _Skip(_inner(widths[level - 1], widths[level], block, dropped))
        self.model = _Block(_outer(channels, widths[0], block))
        normal_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) on [-1, 1] -> the same."""
        made: Tensor = self.model(image)
        return made


class _Block(nn.Module):
    """Layers on the way down, what lies below, and layers on the way up."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        made: Tensor = self.model(values)
        return made


class _Skip(_Block):
    """A block that also hands on what it was given."""

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([values, self.model(values)], dim=1)


def _outer(channels: int, inner: int, below: nn.Module | None) -> list[nn.Module]:
    down = nn.Conv2d(channels, inner, 4, 2, 1, bias=False)
    up = nn.ConvTranspose2d(inner * 2 if below else inner, channels, 4, 2, 1)
    return [down, *([below] if below else []), nn.ReLU(), up, nn.Tanh()]


def _inner(outer: int, inner: int, below: nn.Module | None, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.LeakyReLU(SLOPE), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
    if below is not None:
        layers += [nn.InstanceNorm2d(inner, affine=True), below]
    up = nn.ConvTranspose2d(inner * 2 if below else inner, outer, 4, 2, 1, bias=False)
    layers += [nn.ReLU(), up, nn.InstanceNorm2d(outer, affine=True)]
    return [*layers, nn.Dropout(dropout)] if dropout else layers
