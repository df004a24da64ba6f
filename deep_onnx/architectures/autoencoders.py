"""The auto-encoders of Face2Sketch (III A-C): from a picture to its pair by way of a few numbers.

The losses are the paper's: mean squared error, mean absolute error and binary cross-entropy, all on
[0, 1], and so is Adam. Rates and batch are ours, for the paper gives none: Adam's usual 1e-3, and
less for dense layers, which it makes waver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from deep_onnx.training import algorithm
from deep_onnx.training.algorithm import Export, PairedAlgorithm, argument, papers
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import PIXELWISE, divergence, kaiming_weights
from pixelreg.errors import DataError, UsageError

HALVINGS = 6
MULTIPLE = 2**HALVINGS
SLOPE = 0.2


class DenseNetwork(nn.Module):
    """A fully connected auto-encoder.

    The paper gives no sizes. Here: all values of a picture -> ``width`` -> ``width`` / 4 ->
    ``latent`` -> ``width`` / 4 -> ``width`` -> all values, leaky ReLU (0.2) between, sigmoid at
    the end.

    size : side of the pictures, which is fixed.
    width : units of the widest hidden layers, 4 or more.
    latent : units of the innermost layer.

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


class ConvolutionalNetwork(nn.Module):
    """Six 4x4 convolutions of stride 2 and six transposed ones.

    "Except for the second layer in encoder", which has leaky ReLU only, every layer of the encoder
    has batch norm and leaky ReLU; the decoder has leaky ReLU without batch norm. Its last layer has
    a sigmoid instead, without which binary cross-entropy, one of the paper's losses, would not be
    defined. The paper gives no channels; here they are 1, 2, 4, 8, 8, 8 times the width, and back.

    plain_layer : which layer of the encoder has no batch norm, 1 to 6; 2 is what the paper says, 1
        what is usual elsewhere.

    Takes (N, channels, H, W) on [0, 1], H and W multiples of 64; gives the same.
    """

    def __init__(self, width: int = 32, plain_layer: int = 2, channels: int = 3) -> None:
        super().__init__()
        self.encoder = convolutional_encoder(width, plain_layer, channels)
        self.decoder = convolutional_decoder(width, channels)
        kaiming_weights(self, SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) on [0, 1] -> the same."""
        return self.decoder(self.encoder(image))


class VariationalNetwork(nn.Module):
    """The convolutional encoder, a Gaussian of a few numbers, and the transposed convolutions.

    The encoder's output is flattened and becomes the mean and the logarithm of the variance of a
    diagonal Gaussian. Training draws from it (`draw`); calling the network takes its mean.

    size : side of the pictures, a multiple of 64, which is fixed.
    latent : numbers that a picture becomes; 2, 4 and 12 in the paper.
    width, plain_layer, channels : as of `ConvolutionalNetwork`.

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
        return self.decoder(values.view(-1, *self.shape))

    def draw(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A picture from a latent drawn at random, with the mean and log variance it came from."""
        mean, log_variance = self.encode(image)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decode(latent), mean, log_variance

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, size, size) on [0, 1] -> the same, from the mean."""
        return self.decode(self.encode(image)[0])


def convolutional_encoder(width: int, plain_layer: int, channels: int) -> nn.Sequential:
    """(N, channels, H, W) -> (N, 8 width, H / 64, W / 64); see `ConvolutionalNetwork`."""
    layers: list[nn.Module] = []
    for number, (before, now) in enumerate(pairwise([channels, *_widths(width)]), 1):
        plain = number == plain_layer
        layers.append(nn.Conv2d(before, now, 4, 2, 1, bias=plain))
        layers += [nn.LeakyReLU(SLOPE)] if plain else [nn.BatchNorm2d(now), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def convolutional_decoder(width: int, channels: int) -> nn.Sequential:
    """(N, 8 width, h, w) -> (N, channels, 64 h, 64 w) on [0, 1]; see `ConvolutionalNetwork`."""
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


@dataclass(frozen=True)
class _Common(algorithm.Arguments):
    batch: int = argument(8, "Pictures a step.")
    learning_rate: float = argument(1e-3, "Step size of Adam.")


@dataclass(frozen=True)
class DenseArguments(_Common):
    """What the fully connected auto-encoder can be told."""

    size: int = argument(64, "Side of the pictures in pixels, which the model is bound to.")
    width: int = argument(256, "Units of the widest hidden layers; the paper gives none.")
    latent: int = argument(64, "Units of the innermost layer; the paper gives none.")
    learning_rate: float = argument(3e-4, "Step size of Adam.")
    loss: str = argument("mse", "What is minimised.", choices=tuple(PIXELWISE))


@dataclass(frozen=True)
class ConvolutionalArguments(_Common):
    """What the convolutional auto-encoder can be told."""

    size: int = argument(256, "Side of the pictures in pixels, a multiple of 64.")
    width: int = argument(32, "Channels of the first layer; the paper gives none.")
    loss: str = argument("mse", "What is minimised.", choices=tuple(PIXELWISE))
    plain_layer: int = argument(
        2, "The encoder's layer without batch norm: 2 in the paper, 1 elsewhere."
    )


@dataclass(frozen=True)
class VariationalArguments(_Common):
    """What the variational auto-encoder can be told."""

    size: int = argument(256, "Side of the pictures in pixels, a multiple of 64.")
    width: int = argument(32, "Channels of the first layer; the paper gives none.")
    latent: int = argument(12, "Numbers that a picture becomes; 2, 4 and 12 in the paper.")
    kl_weight: float = argument(
        1.0, "Weight of the KL divergence beside the sum of squared errors."
    )
    plain_layer: int = argument(
        2, "The encoder's layer without batch norm: 2 in the paper, 1 elsewhere."
    )


class _Autoencoder(PairedAlgorithm):
    """One network, one optimiser, pictures on [0, 1]."""

    range = (0.0, 1.0)

    def teach(self, network: nn.Module) -> None:
        self.networks = {"generator": network}
        self.adam()


class _ByPixels(_Autoencoder):
    """An auto-encoder whose only loss compares pixels."""

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        source, target = self.draw(items)
        loss = PIXELWISE[self.arguments.loss](self.networks["generator"].train()(source), target)
        self.descend("generator", loss)
        return {self.arguments.loss: loss.item()}

    def judge(self, source: Tensor, target: Tensor) -> dict[str, float]:
        made = self.networks["generator"](source)
        return {self.arguments.loss: PIXELWISE[self.arguments.loss](made, target).item()}


class DenseAutoencoder(_ByPixels):
    """``dense-ae``: fully connected layers (Face2Sketch III-A, which gives no sizes)."""

    Arguments = DenseArguments
    paper = papers(epochs=500)  # of the convolutional one; it gives this one no numbers
    examples_of_use = ("--expr happy --minutes 5",)

    def __init__(self, arguments: DenseArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        if arguments.width < 4 or arguments.latent < 1:
            raise UsageError("dense-ae needs --width 4 or more and --latent 1 or more")
        self.teach(DenseNetwork(arguments.size, arguments.width, arguments.latent))

    def exports(self) -> list[Export]:
        return [self.export("dense-ae", 0, loss=self.arguments.loss, latent=self.arguments.latent)]


class ConvolutionalAutoencoder(_ByPixels):
    """``cae``: six convolutions, six transposed ones (Face2Sketch III-B).

    The paper's sentence is taken at its word: batch norm follows every layer of the encoder "except
    for the second". ``plain_layer`` 1 gives the usual arrangement, from the second layer on. At run
    time the norms use the statistics gathered in training.
    """

    Arguments = ConvolutionalArguments
    paper = papers(size=256, epochs=500)
    examples_of_use = (
        "--expr sketch --size 128 --minutes 15",
        "--expr sketch --from photo --loss mae",
    )

    def __init__(self, arguments: ConvolutionalArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check("cae", arguments, self.items)
        self.teach(ConvolutionalNetwork(arguments.width, arguments.plain_layer))

    def exports(self) -> list[Export]:
        return [self.export("cae", MULTIPLE, loss=self.arguments.loss)]


class VariationalAutoencoder(_Autoencoder):
    """``cvae``: the same encoder, a Gaussian latent, KL + MSE (Face2Sketch III-C).

    The loss is the MSE plus KL over the number of values in a picture. That is, up to a constant
    factor, the sum of squares plus KL, so ``kl_weight`` 1 is the evidence bound of a Gaussian with
    variance 1/2 a value. The exported network takes the latent's mean: it always gives the same.
    """

    Arguments = VariationalArguments
    paper = papers(size=256, latent=12, epochs=500)
    examples_of_use = (
        "--expr sketch --size 128 --minutes 15",
        "--expr happy --latent 2 --epochs 50",
    )

    def __init__(self, arguments: VariationalArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check("cvae", arguments, self.items)
        if arguments.latent < 1 or arguments.kl_weight < 0:
            raise UsageError("cvae needs --latent 1 or more and --kl-weight 0 or more")
        self.network = VariationalNetwork(
            arguments.size, arguments.latent, arguments.width, arguments.plain_layer
        )
        self.teach(self.network)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        source, target = self.draw(items)
        loss, losses = self._losses(*self.network.train().draw(source), target)
        self.descend("generator", loss)
        return losses

    def judge(self, source: Tensor, target: Tensor) -> dict[str, float]:
        mean, log_variance = self.network.encode(source)
        return self._losses(self.network.decode(mean), mean, log_variance, target)[1]

    def _losses(
        self, made: Tensor, mean: Tensor, log_variance: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        mse, kl = PIXELWISE["mse"](made, target), divergence(mean, log_variance)
        loss = mse + self.arguments.kl_weight * kl / target[0].numel()
        return loss, {"loss": loss.item(), "mse": mse.item(), "kl": kl.item()}

    def exports(self) -> list[Export]:
        chosen = self.arguments
        return [self.export("cvae", 0, latent=chosen.latent, kl_weight=chosen.kl_weight)]


def _check(name: str, arguments: ConvolutionalArguments | VariationalArguments, pairs: int) -> None:
    if arguments.size < 1 or arguments.size % MULTIPLE:
        raise UsageError(f"{name} needs a --size that is a multiple of {MULTIPLE}")
    if arguments.batch < 2:
        raise UsageError(f"{name} has batch norm, which needs a --batch of two pictures or more")
    if pairs < 2:
        raise DataError(f"{name} needs at least two pairs to learn from, and there is {pairs}")
    if not 1 <= arguments.plain_layer <= HALVINGS:
        raise UsageError(f"--plain-layer is 1 to {HALVINGS}, not {arguments.plain_layer}")
