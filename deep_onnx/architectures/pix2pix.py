"""``pix2pix``: a U-Net that turns one picture into its pair, against a PatchGAN.

Face2Sketch III-D (after Isola et al. 2017). One step updates the discriminator, then the generator,
each once. Adam with beta1 0.5, weights from N(0, 0.02²), batch 1 with instance statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.paired import PairedAlgorithm
from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.architectures.unet import UNet
from deep_onnx.training import algorithm
from deep_onnx.training.algorithm import Export, argument
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import adversarial, discrimination, still
from pixelreg.errors import UsageError

BETAS = (0.5, 0.999)
DEEPEST = 7  # the paper's generator halves seven times


@dataclass(frozen=True)
class Pix2PixArguments(algorithm.Arguments):
    """What pix2pix can be told."""

    depth: int = argument(0, "Halvings in the U-Net; 0 takes 7, or as many as the size allows.")
    l1: float = argument(100.0, "Weight of the L1 loss, the paper's lambda.")
    dropout: float = argument(0.5, "Share dropped in the decoder while training.")


class Pix2Pix(PairedAlgorithm):
    """Losses of Eq. 2-4: the discriminator sees input and output together.

    The generator minimises -log D instead of log(1 - D), as the authors of pix2pix do; both have
    the same fixed point, and the former has a gradient from the start.

    Dropout is the paper's noise z. It is on while training and off when judging and exporting:
    the exported network gives the same picture every time, where the paper's varies slightly from
    call to call. Nothing else changes at test time, because the instance norms have no running
    statistics.
    """

    Arguments = Pix2PixArguments

    def __init__(self, arguments: Pix2PixArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        self.depth = arguments.depth or min(DEEPEST, _halvings(arguments.size))
        _check(arguments, self.depth)
        generator = UNet(arguments.width, self.depth, arguments.dropout)
        discriminator = PatchDiscriminator(6, arguments.width)
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), arguments.learning_rate, BETAS)
            for name, network in self.networks.items()
        }

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        generator, discriminator = (network.train() for network in self.networks.values())
        source, target = self.draw(items)
        made = generator(source)

        real, fake = (_judged(discriminator, source, it) for it in (target, made.detach()))
        against = discrimination(real, fake)
        self._descend("discriminator", against)

        with still(discriminator):
            fooling = adversarial(_judged(discriminator, source, made), True)
            l1 = functional.l1_loss(made, target)
            self._descend("generator", fooling + self.arguments.l1 * l1)
        return _named(l1, fooling, against)

    def judge(self, source: Tensor, target: Tensor) -> dict[str, float]:
        generator, discriminator = self.networks.values()
        made = generator(source)
        real, fake = (_judged(discriminator, source, it) for it in (target, made))
        l1 = functional.l1_loss(made, target)
        return _named(l1, adversarial(fake, True), discrimination(real, fake))

    def exports(self) -> list[Export]:
        chosen = self.arguments
        return [
            self.export(
                "pix2pix", 2**self.depth, depth=self.depth, l1=chosen.l1, dropout=chosen.dropout
            )
        ]

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[name].step()


def _judged(discriminator: nn.Module, source: Tensor, picture: Tensor) -> Tensor:
    logits: Tensor = discriminator(torch.cat([source, picture], dim=1))
    return logits


def _named(l1: Tensor, fooling: Tensor, against: Tensor) -> dict[str, float]:
    return {"l1": l1.item(), "adversarial": fooling.item(), "discriminator": against.item()}


def _halvings(size: int) -> int:
    """How often a side can be halved into whole pixels."""
    return (size & -size).bit_length() - 1


def _check(arguments: Pix2PixArguments, depth: int) -> None:
    if arguments.size < smallest_side():
        raise UsageError(f"pix2pix needs a --size of {smallest_side()} pixels or more")
    if depth < 2 or arguments.size % 2**depth:
        raise UsageError(
            f"a U-Net of depth {depth} needs a --size that is a multiple of {2 ** max(2, depth)}"
        )
    if not 0.0 <= arguments.dropout < 1.0:
        raise UsageError(f"--dropout must be 0 or more and less than 1, not {arguments.dropout}")
