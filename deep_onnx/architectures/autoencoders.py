"""The auto-encoders of Face2Sketch (III A-C): from a picture to its pair by way of a few numbers.

The losses are the paper's: mean squared error, mean absolute error and binary cross-entropy, all on
[0, 1], and so is Adam. Rates and batch are ours, for the paper gives none: Adam's usual 1e-3, and
less for dense layers, which it makes waver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deep_onnx.architectures import autoencoder_networks as networks
from deep_onnx.architectures.paired import PairedAlgorithm
from deep_onnx.training import algorithm
from deep_onnx.training.algorithm import Export, argument
from deep_onnx.training.examples import Examples
from deep_onnx.training.losses import PIXELWISE, divergence
from pixelreg.errors import DataError, UsageError


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

    def learns(self, network: nn.Module) -> None:
        self.networks = {"generator": network}
        rate = self.arguments.learning_rate
        self.optimisers = {"generator": torch.optim.Adam(network.parameters(), rate)}

    def descend(self, loss: Tensor) -> None:
        optimiser = self.optimisers["generator"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


class _ByPixels(_Autoencoder):
    """An auto-encoder whose only loss compares pixels."""

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        source, target = self.draw(items)
        loss = PIXELWISE[self.arguments.loss](self.networks["generator"].train()(source), target)
        self.descend(loss)
        return {self.arguments.loss: loss.item()}

    def judge(self, source: Tensor, target: Tensor) -> dict[str, float]:
        made = self.networks["generator"](source)
        return {self.arguments.loss: PIXELWISE[self.arguments.loss](made, target).item()}


class DenseAutoencoder(_ByPixels):
    """``dense-ae``: fully connected layers (Face2Sketch III-A, which gives no sizes)."""

    Arguments = DenseArguments

    def __init__(self, arguments: DenseArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        if arguments.width < 4 or arguments.latent < 1:
            raise UsageError("dense-ae needs --width 4 or more and --latent 1 or more")
        self.learns(networks.DenseAutoencoder(arguments.size, arguments.width, arguments.latent))

    def exports(self) -> list[Export]:
        return [self.export("dense-ae", 0, loss=self.arguments.loss, latent=self.arguments.latent)]


class ConvolutionalAutoencoder(_ByPixels):
    """``cae``: six convolutions, six transposed ones (Face2Sketch III-B).

    The paper's sentence is taken at its word: batch norm follows every layer of the encoder "except
    for the second". ``plain_layer`` 1 gives the usual arrangement, from the second layer on. At run
    time the norms use the statistics gathered in training.
    """

    Arguments = ConvolutionalArguments

    def __init__(self, arguments: ConvolutionalArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check("cae", arguments, self.items)
        self.learns(networks.ConvolutionalAutoencoder(arguments.width, arguments.plain_layer))

    def exports(self) -> list[Export]:
        return [self.export("cae", networks.MULTIPLE, loss=self.arguments.loss)]


class VariationalAutoencoder(_Autoencoder):
    """``cvae``: the same encoder, a Gaussian latent, KL + MSE (Face2Sketch III-C).

    The loss is the MSE plus KL over the number of values in a picture. That is, up to a constant
    factor, the sum of squares plus KL, so ``kl_weight`` 1 is the evidence bound of a Gaussian with
    variance 1/2 a value. The exported network takes the latent's mean: it always gives the same.
    """

    Arguments = VariationalArguments

    def __init__(self, arguments: VariationalArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check("cvae", arguments, self.items)
        if arguments.latent < 1 or arguments.kl_weight < 0:
            raise UsageError("cvae needs --latent 1 or more and --kl-weight 0 or more")
        self.network = networks.VariationalAutoencoder(
            arguments.size, arguments.latent, arguments.width, arguments.plain_layer
        )
        self.learns(self.network)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        source, target = self.draw(items)
        loss, losses = self._losses(*self.network.train().draw(source), target)
        self.descend(loss)
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
    if arguments.size < 1 or arguments.size % networks.MULTIPLE:
        raise UsageError(f"{name} needs a --size that is a multiple of {networks.MULTIPLE}")
    if arguments.batch < 2:
        raise UsageError(f"{name} has batch norm, which needs a --batch of two pictures or more")
    if pairs < 2:
        raise DataError(f"{name} needs at least two pairs to learn from, and there is {pairs}")
    if not 1 <= arguments.plain_layer <= networks.HALVINGS:
        raise UsageError(f"--plain-layer is 1 to {networks.HALVINGS}, not {arguments.plain_layer}")
