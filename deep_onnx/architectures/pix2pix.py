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

from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.training import algorithm
from deep_onnx.training.algorithm import Export, PairedAlgorithm, argument, papers
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import adversarial, discrimination, normal_weights, still
from pixelreg.errors import UsageError

MOST_WIDE = 8  # the widest layers have this many times the channels of the first
SLOPE = 0.2


class UNet(nn.Module):
    """U-Net with 4x4 convolutions of stride 2 (Isola et al. 2017; Face2Sketch III-D).

    The encoder is C64-C128-C256-C512-C512-C512-C512 for width 64 and depth 7, leaky ReLU (0.2), no
    norm on the first layer; the decoder has ReLU and ends in tanh. The innermost layer has no norm
    either: at 1x1 a norm over one value would make it zero. Names and shapes of the parameters are
    those of the well-known checkpoints, if the decoder mirrors the encoder.

    Norms are instance norms with learnt scale and shift and no running statistics. At batch 1 they
    do what batch norm does on the statistics of its batch, which is how pix2pix trains and tests;
    at larger batches and in evaluation they still do, and they survive the export to ONNX.

    depth : how often the picture is halved, 2 or more. 8 and width 64 make 54,413,955 parameters.
    dropout : share dropped at random in the decoder's inner layers, in training mode only; at depth
        5 or less no layer has it. Parameters and their names do not depend on it.
    decoder : one of `DECODERS`. ``"mirrored"`` is Isola's: every layer gives back the channels
        that its opposite took, the last one the picture. ``"listed"`` is what Face2Sketch lists,
        C512-C512-C512-C512-C256-C128-C64: one layer more, as wide as what its opposite made, and
        a convolution to the picture at full size.

    Takes (N, channels, H, W) on [-1, 1], H and W multiples of ``2 ** depth``; gives the same.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 7,
        dropout: float = 0.0,
        channels: int = 3,
        decoder: str = "mirrored",
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, MOST_WIDE) for level in range(depth)]
        listed = decoder == "listed"
        block: _Skip | None = None
        for level in range(depth - 1, 0, -1):
            # Inner layers are those between two of the greatest width, but not the innermost.
            dropped = dropout if 3 < level < depth - 1 else 0.0
            outer, inner = widths[level - 1], widths[level]
            made = inner if listed else outer
            block = _Skip(_inner(outer, inner, block, made, dropped), made)
        self.model = _Block(_outer(channels, widths[0], block, listed))
        normal_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) on [-1, 1] -> the same."""
        return self.model(image)


class _Block(nn.Module):
    """Layers on the way down, what lies below, and layers on the way up."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        return self.model(values)


class _Skip(_Block):
    """A block that also hands on what it was given, beside ``made`` channels of its own."""

    def __init__(self, layers: list[nn.Module], made: int) -> None:
        super().__init__(layers)
        self.made = made

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([values, self.model(values)], dim=1)


def _outer(channels: int, inner: int, below: _Skip | None, listed: bool) -> list[nn.Module]:
    down = nn.Conv2d(channels, inner, 4, 2, 1, bias=False)
    layers: list[nn.Module] = [down, *([below] if below else []), nn.ReLU()]
    given = inner + (below.made if below else 0)
    if not listed:
        return [*layers, nn.ConvTranspose2d(given, channels, 4, 2, 1), nn.Tanh()]
    up = nn.ConvTranspose2d(given, inner, 4, 2, 1, bias=False)
    norm = nn.InstanceNorm2d(inner, affine=True)
    return [*layers, up, norm, nn.ReLU(), nn.Conv2d(inner, channels, 3, 1, 1), nn.Tanh()]


def _inner(
    outer: int, inner: int, below: _Skip | None, made: int, dropout: float
) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.LeakyReLU(SLOPE), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
    if below is not None:
        layers += [nn.InstanceNorm2d(inner, affine=True), below]
    given = inner + (below.made if below else 0)
    up = nn.ConvTranspose2d(given, made, 4, 2, 1, bias=False)
    layers += [nn.ReLU(), up, nn.InstanceNorm2d(made, affine=True)]
    return [*layers, nn.Dropout(dropout)] if dropout else layers


BETAS = (0.5, 0.999)
DEEPEST = 7  # the paper's generator halves seven times
DECODERS = ("mirrored", "listed")


@dataclass(frozen=True)
class Pix2PixArguments(algorithm.Arguments):
    """What pix2pix can be told."""

    depth: int = argument(0, "Halvings in the U-Net; 0 takes 7, or as many as the size allows.")
    decoder: str = argument(
        "mirrored",
        "The U-Net's way up: Isola's, or as Face2Sketch lists it, a layer more and slower.",
        choices=DECODERS,
    )
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
    paper = papers(size=256, decoder="listed", epochs=100)
    examples_of_use = (
        "--expr happy --size 64 --width 16 --minutes 2",
        "--from sketch --expr photo --epochs 200 -o sketch2photo.onnx",
    )

    def __init__(self, arguments: Pix2PixArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        halvings = (arguments.size & -arguments.size).bit_length() - 1  # into whole pixels
        self.depth = arguments.depth or min(DEEPEST, halvings)
        _check(arguments, self.depth)
        generator = UNet(arguments.width, self.depth, arguments.dropout, decoder=arguments.decoder)
        discriminator = PatchDiscriminator(6, arguments.width)
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.adam(BETAS)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        generator, discriminator = (network.train() for network in self.networks.values())
        source, target = self.draw(items)
        made = generator(source)

        real, fake = (_judged(discriminator, source, it) for it in (target, made.detach()))
        against = discrimination(real, fake)
        self.descend("discriminator", against)

        with still(discriminator):
            fooling = adversarial(_judged(discriminator, source, made), True)
            l1 = functional.l1_loss(made, target)
            self.descend("generator", fooling + self.arguments.l1 * l1)
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
                "pix2pix",
                2**self.depth,
                depth=self.depth,
                decoder=chosen.decoder,
                l1=chosen.l1,
                dropout=chosen.dropout,
            )
        ]


def _judged(discriminator: nn.Module, source: Tensor, picture: Tensor) -> Tensor:
    return discriminator(torch.cat([source, picture], dim=1))


def _named(l1: Tensor, fooling: Tensor, against: Tensor) -> dict[str, float]:
    return {"l1": l1.item(), "adversarial": fooling.item(), "discriminator": against.item()}


def _check(arguments: Pix2PixArguments, depth: int) -> None:
    if arguments.size < smallest_side():
        raise UsageError(f"pix2pix needs a --size of {smallest_side()} pixels or more")
    if depth < 2 or arguments.size % 2**depth:
        raise UsageError(
            f"a U-Net of depth {depth} needs a --size that is a multiple of {2 ** max(2, depth)}"
        )
    if arguments.decoder not in DECODERS:
        raise UsageError(f"--decoder is {arguments.decoder!r}; choose from {', '.join(DECODERS)}")
    if not 0.0 <= arguments.dropout < 1.0:
        raise UsageError(f"--dropout must be 0 or more and less than 1, not {arguments.dropout}")
