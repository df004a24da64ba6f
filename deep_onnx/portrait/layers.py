"""Layers that the portrait networks share. Norms are batch norms, as in §4.3.1."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MOST_WIDE = 8  # the widest layers have this many times the channels of the first


def same(inside: int, outside: int, kernel: int = 3) -> list[nn.Module]:
    """Convolution that keeps the size, norm, ReLU."""
    convolution = nn.Conv2d(inside, outside, kernel, 1, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def down(inside: int, outside: int) -> list[nn.Module]:
    """Convolution that halves the size, norm, ReLU."""
    convolution = nn.Conv2d(inside, outside, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def up(inside: int, outside: int) -> list[nn.Module]:
    """Transposed convolution that doubles the size, norm, ReLU."""
    convolution = nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions whose result is added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.model = nn.Sequential(*same(channels, channels), last, nn.BatchNorm2d(channels))

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        made: Tensor = values + self.model(values)
        return made


def widths(width: int, count: int) -> list[int]:
    """Channels of ``count`` layers that double until they are the widest."""
    return [width * min(2**level, MOST_WIDE) for level in range(count)]


Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """The same network in evaluation mode with its batch norms folded into their convolutions.

    A norm that follows a convolution multiplies and adds per channel what the convolution's own
    weights and bias can do. It is changed in place.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            for index, (layer, norm) in enumerate(pairwise(list(part))):
                if not isinstance(norm, nn.BatchNorm2d):
                    continue
                if isinstance(layer, nn.Conv2d):
                    part[index] = fuse_conv_bn_eval(layer, norm)
                elif isinstance(layer, nn.ConvTranspose2d):
                    part[index] = fuse_conv_bn_eval(layer, norm, transpose=True)
                else:
                    continue
                part[index + 1] = nn.Identity()
    return network
