"""The three auto-encoders of Face2Sketch (III A-C). Pictures are on [0, 1] here."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from deep_onnx.training.weights import kaiming_weights

HALVINGS = 6
MULTIPLE = 2**HALVINGS
SLOPE = 0.2


class DenseAutoencoder(nn.Module):
    """A fully connected auto-encoder.

    The paper gives no sizes. Here: all values of a picture -> ``width`` -> ``width`` / 4 ->
    ``latent`` -> ``width`` / 4 -> ``width`` -> all values, leaky ReLU (0.2) between, sigmoid at
    the end.

    Parameters
    ----------
    size : side of the pictures, which is fixed.
    width : units of the widest hidden layers, 4 or more.
    latent : units of the innermost layer.
    channels : of the pictures.

    Takes (N, channels, size, size) on [0, 1]; gives the same.
    """

    def __init__(
        self, size: int = 64, width: int = 256, latent: int = 64, channels: int = 3
    ) -> None:
        super().__init__()
        values = channels * size * size
        self.shape = (channels, size, size)
        self.encoder = _dense([values, width, width // 4, latent])
        self.decoder = _dense([latent, width // 4, width, values])[:-1]
        kaiming_weights(self, SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, size, size) on [0, 1] -> the same."""
        made = self.decoder(self.encoder(image.flatten(1)))
        return torch.sigmoid(made.view(-1, *self.shape))


class ConvolutionalAutoencoder(nn.Module):
    """Six 4x4 convolutions of stride 2 and six transposed ones.

    "Except for the second layer in encoder", which has leaky ReLU only, every layer of the encoder
    has batch norm and leaky ReLU; the decoder has leaky ReLU without batch norm. Its last layer has
    a sigmoid instead, without which binary cross-entropy, one of the paper's losses, would not be
    defined. The paper gives no channels; here they are 1, 2, 4, 8, 8, 8 times the width, and back.

    Parameters
    ----------
    width : channels of the first layer.
    plain_layer : which layer of the encoder has no batch norm, 1 to 6; 2 is what the paper says, 1
        what is usual elsewhere.
    channels : of the pictures.

    Takes (N, channels, H, W) on [0, 1], H and W multiples of 64; gives the same.
    """

    def __init__(self, width: int = 32, plain_layer: int = 2, channels: int = 3) -> None:
        super().__init__()
        self.encoder = convolutional_encoder(width, plain_layer, channels)
        self.decoder = convolutional_decoder(width, channels)
        kaiming_weights(self, SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) on [0, 1] -> the same."""
        made: Tensor = self.decoder(self.encoder(image))
        return made


class VariationalAutoencoder(nn.Module):
    """The convolutional encoder, a Gaussian of a few numbers, and the transposed convolutions.

    The encoder's output is flattened and becomes the mean and the logarithm of the variance of a
    diagonal Gaussian. Training draws from it (`draw`); calling the network takes its mean.

    Parameters
    ----------
    size : side of the pictures, a multiple of 64, which is fixed.
    latent : numbers that a picture becomes; 2, 4 and 12 in the paper.
    width, plain_layer, channels : as of `ConvolutionalAutoencoder`.

    Takes (N, channels, size, size) on [0, 1]; gives the same.
    """

    def __init__(
        self,
        size: int = 256,
        latent: int = 12,
        width: int = 32,
        plain_layer: int = 2,
        channels: int = 3,
    ) -> None:
        super().__init__()
        side = size // MULTIPLE
        self.shape = (_widths(width)[-1], side, side)
        values = self.shape[0] * side * side
        self.encoder = convolutional_encoder(width, plain_layer, channels)
        self.mean = nn.Linear(values, latent)
        self.log_variance = nn.Linear(values, latent)
        self.expand = nn.Linear(latent, values)
        self.decoder = convolutional_decoder(width, channels)
        kaiming_weights(self, SLOPE)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, size, size) -> mean and log variance, (N, latent) each."""
        features = self.encoder(image).flatten(1)
        return self.mean(features), self.log_variance(features)

    def decode(self, latent: Tensor) -> Tensor:
        """(N, latent) -> (N, channels, size, size) on [0, 1]."""
        values = nn.functional.leaky_relu(self.expand(latent), SLOPE)
        made: Tensor = self.decoder(values.view(-1, *self.shape))
        return made

    def draw(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A picture from a latent drawn at random, with the mean and log variance it came from."""
        mean, log_variance = self.encode(image)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decode(latent), mean, log_variance

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, size, size) on [0, 1] -> the same, from the mean."""
        return self.decode(self.encode(image)[0])


def convolutional_encoder(width: int, plain_layer: int, channels: int) -> nn.Sequential:
    """(N, channels, H, W) -> (N, 8 width, H / 64, W / 64); see `ConvolutionalAutoencoder`."""
    layers: list[nn.Module] = []
    for number, (before, now) in enumerate(pairwise([channels, *_widths(width)]), 1):
        plain = number == plain_layer
        layers.append(nn.Conv2d(before, now, 4, 2, 1, bias=plain))
        layers += [nn.LeakyReLU(SLOPE)] if plain else [nn.BatchNorm2d(now), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def convolutional_decoder(width: int, channels: int) -> nn.Sequential:
    """(N, 8 width, h, w) -> (N, channels, 64 h, 64 w) on [0, 1]; see `ConvolutionalAutoencoder`."""
    layers: list[nn.Module] = []
    for before, now in pairwise([*reversed(_widths(width)), channels]):
        layers += [nn.ConvTranspose2d(before, now, 4, 2, 1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


def _widths(width: int) -> list[int]:
    return [width * min(2**layer, 8) for layer in range(HALVINGS)]


def _dense(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, now in pairwise(sizes):
        layers += [nn.Linear(before, now), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)
