"""DCGAN: faces from noise, and the network that tells them from photographs.

Pictures are on [0, 1] here. The paper (Face generation with DCGANs) gives the kinds of the layers
and 64 x 64 pixels; channels are those of Radford et al. 2016, scaled by ``width``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from deep_onnx.training.weights import normal_weights

SMALLEST = 4  # side of the pictures that the noise becomes first
SLOPE = 0.2
BLOCKS = 3  # of the discriminator
DROPOUT = 0.2


class Generator(nn.Module):
    """A dense layer and fractionally strided convolutions, batch norm, leaky ReLU, sigmoid.

    At 64 x 64 and width 64: 4x4x512 - 8x8x256 - 16x16x128 - 32x32x64 - 64x64x3.

    Parameters
    ----------
    size : side of the pictures, a power of two from 16 up.
    latent : numbers of noise that make a picture.
    width : channels of the last hidden layer.
    channels : of the pictures.

    Takes (N, latent) drawn from N(0, 1); gives (N, channels, size, size) on [0, 1].
    """

    def __init__(
        self, size: int = 64, latent: int = 128, width: int = 64, channels: int = 3
    ) -> None:
        super().__init__()
        doublings = (size // SMALLEST).bit_length() - 1
        widths = [width * min(2**k, 8) for k in reversed(range(doublings))]
        self.shape = (widths[0], SMALLEST, SMALLEST)
        self.dense = nn.Linear(latent, widths[0] * SMALLEST**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.LeakyReLU(SLOPE)]
        for before, now in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, now, 4, 2, 1, bias=False),
                nn.BatchNorm2d(now),
                nn.LeakyReLU(SLOPE),
            ]
        last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        self.layers = nn.Sequential(*layers, last, nn.Sigmoid())
        normal_weights(self)

    def forward(self, noise: Tensor) -> Tensor:
        """(N, latent) -> (N, channels, size, size) on [0, 1]."""
        made: Tensor = self.layers(self.dense(noise).view(-1, *self.shape))
        return made


class Discriminator(nn.Module):
    """Three strided convolutions, then flatten, dropout, and a dense layer with a sigmoid.

    4x4 convolutions of stride 2 with 1, 2 and 4 times the width, leaky ReLU (0.2), batch norm on
    all but the first.

    Parameters
    ----------
    size : side of the pictures, a multiple of 8.
    width : channels of the first layer.
    channels : of the pictures.
    dropout : share of the flattened values dropped in training.

    Takes (N, channels, size, size) on [0, 1]; gives (N, 1), the probability of being real.
    """

    def __init__(
        self, size: int = 64, width: int = 64, channels: int = 3, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(BLOCKS)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for before, now in pairwise(widths):
            layers += [
                nn.Conv2d(before, now, 4, 2, 1, bias=False),
                nn.BatchNorm2d(now),
                nn.LeakyReLU(SLOPE),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.dense = nn.Linear(widths[-1] * (size // 2**BLOCKS) ** 2, 1)
        normal_weights(self)

    def logits(self, image: Tensor) -> Tensor:
        """(N, 1), the log odds of being real; losses are computed from these."""
        made: Tensor = self.dense(self.layers(image * 2.0 - 1.0))
        return made

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, size, size) on [0, 1] -> (N, 1), the probability of being real."""
        return torch.sigmoid(self.logits(image))
