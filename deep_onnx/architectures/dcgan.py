"""``dcgan``: new faces from noise (Face generation with DCGANs, after Radford et al. 2016).

All pictures of the learning people are learnt from, whatever they show. One step updates the
discriminator, then the generator, each once. Adam with beta1 0.5, weights from N(0, 0.02²).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument, papers
from deep_onnx.training.data import Examples, Learns
from pixelreg.arrays import Pixels
from pixelreg.errors import DataError, UsageError

SMALLEST = 4  # side of the pictures that the noise becomes first
SLOPE = 0.2
BLOCKS = 3  # of the discriminator
DROPOUT = 0.2


class Generator(nn.Module):
    """A dense layer and fractionally strided convolutions, batch norm, leaky ReLU, sigmoid.

    At 64 x 64 and width 64: 4x4x512 - 8x8x256 - 16x16x128 - 32x32x64 - 64x64x3.

    size : side of the pictures, a power of two from 16 up.

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
        tools.normal_weights(self)

    def forward(self, noise: Tensor) -> Tensor:
        """(N, latent) -> (N, channels, size, size) on [0, 1]."""
        return self.layers(self.dense(noise).view(-1, *self.shape))


class Discriminator(nn.Module):
    """Three strided convolutions, then flatten, dropout, and a dense layer with a sigmoid.

    4x4 convolutions of stride 2 with 1, 2 and 4 times the width, leaky ReLU (0.2), batch norm on
    all but the first.

    size : side of the pictures, a multiple of 8.
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
        tools.normal_weights(self)

    def logits(self, image: Tensor) -> Tensor:
        """(N, 1), the log odds of being real; losses are computed from these."""
        return self.dense(self.layers(image * 2.0 - 1.0))

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, size, size) on [0, 1] -> (N, 1), the probability of being real."""
        return torch.sigmoid(self.logits(image))


BETAS = (0.5, 0.999)
ROWS, COLUMNS = 4, 6  # of a sample sheet
MOST = 256  # pictures that made ones are compared with
NOISE = (-4.0, 4.0)  # where all but one in 16,000 numbers from N(0, 1) lie


@dataclass(frozen=True)
class DCGANArguments(algorithm.Arguments):
    """What DCGAN can be told."""

    size: int = argument(64, "Side of the pictures in pixels, a power of two from 16 up.")
    batch: int = argument(16, "Pictures a step.")
    latent: int = argument(128, "Numbers of noise that make a picture; the paper gives none.")


class DCGAN(Algorithm):
    """Generator and discriminator, both exported.

    The discriminator sees real and made pictures in batches of their own. On drawn faces, 600 steps
    that way came to half the energy distance of steps with both in one batch, and its probabilities
    at run time, where batch norms use the statistics of both, still told them apart.
    """

    Arguments = DCGANArguments
    paper = papers(size=64, epochs=5)
    aligned = False  # the article resizes pictures, and looks for no face
    learns = Learns.PICTURES
    examples_of_use = ("--minutes 15", "--expr neutral --epochs 5 -o faces.onnx")
    keep = "last"
    sample_every = 100
    range = (0.0, 1.0)

    def __init__(self, arguments: DCGANArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check(arguments, len(examples.pictures))
        self.generator = Generator(arguments.size, arguments.latent, arguments.width)
        self.discriminator = Discriminator(arguments.size, arguments.width)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.adam(BETAS)

    @property
    def items(self) -> int:
        """The pictures."""
        return len(self.examples.pictures)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        self.generator.train()
        self.discriminator.train()
        pictures = self.examples.pictures[list(items)]
        if self.arguments.augment:
            [pictures] = tools.augment([pictures])
        real = self.tensor(pictures)
        made = self.generator(torch.randn(len(real), self.arguments.latent).to(real.device))

        judge = self.discriminator.logits
        against = tools.discrimination(judge(real), judge(made.detach()))
        self.descend("discriminator", against)

        with tools.still(self.discriminator):
            fooling = tools.adversarial(judge(made), True)
            self.descend("generator", fooling)
        return {"generator": fooling.item(), "discriminator": against.item()}

    def validate(self, held_out: Examples) -> dict[str, float]:
        """The energy distance between held-out and made pictures, and both losses on them.

        The losses of a GAN do not tell how good its pictures are. The energy distance does: it is
        zero only where both sets are distributed alike (Székely & Rizzo 2013).
        """
        real = self.tensor(held_out.pictures[:MOST])
        with tools.evaluating(self.networks.values()):
            made = self.generator(self._noise(len(real)).to(real.device))
            answer, answer_made = map(self.discriminator.logits, (real, made))
            return {
                "energy_distance": energy_distance(real, made),
                "generator": tools.adversarial(answer_made, True).item(),
                "discriminator": tools.discrimination(answer, answer_made).item(),
            }

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Some held-out pictures, and what is made of noise that the seed alone decides."""
        shown = held_out.pictures[:ROWS]
        rows = len(shown)
        with tools.evaluating(self.networks.values()):
            made = self.generator(self._noise(rows * COLUMNS).to(self.device))
        pictures = tools.to_pixels(made.cpu(), 0.0, 1.0)
        columns = [list(pictures[k * rows : (k + 1) * rows]) for k in range(COLUMNS)]
        return [("held out", list(shown)), *((f"made {k}", c) for k, c in enumerate(columns, 1))]

    def exports(self) -> list[Export]:
        """The generator, noise in and pictures out, and the discriminator the other way."""
        size, latent = self.arguments.size, self.arguments.latent
        generator = self.card(
            "dcgan",
            task="generate",
            target_kind="noise",
            condition=tuple(f"z{k}" for k in range(latent)),
            condition_range=NOISE,
            image_input="",
            condition_input="noise",
            multiple=size,
            notes={"noise": "normal, mean 0, variance 1"},
        )
        discriminator = self.card(
            "dcgan",
            task="discriminate",
            target_kind="domain",
            output="probability",
            multiple=size,
            notes={"output": "probability of being a photograph, (N, 1)"},
        )
        made = {"noise": self._noise(2)}
        shown = {"image": torch.linspace(0.0, 1.0, 6 * size * size).reshape(2, 3, size, size)}
        return [
            Export(tools.frozen(self.generator), generator, made),
            Export(tools.frozen(self.discriminator), discriminator, shown, "-discriminator"),
        ]

    def _noise(self, count: int) -> Tensor:
        """(count, latent), the same for the same seed."""
        generator = torch.Generator().manual_seed(self.arguments.seed)
        return torch.randn(count, self.arguments.latent, generator=generator)


def energy_distance(some: Tensor, others: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two sets of pictures, (N, ...) and (M, ...).

    The norm is the root of the mean square over a picture's values, so that the distance does not
    depend on their number. It is 0 for equal sets and never less.
    """
    x, y = (pictures.flatten(1) / pictures[0].numel() ** 0.5 for pictures in (some, others))
    return float(2.0 * _distance(x, y) - _distance(x, x) - _distance(y, y))


def _distance(x: Tensor, y: Tensor) -> Tensor:
    # By a product of matrices, equal pictures would come out some distance apart.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").mean()


def _check(arguments: DCGANArguments, pictures: int) -> None:
    size = arguments.size
    if size < 2 ** (BLOCKS + 1) or size & (size - 1):
        raise UsageError(f"dcgan needs a --size that is a power of two from 16 up, not {size}")
    if arguments.batch < 2 or arguments.latent < 1:
        raise UsageError("dcgan needs a --batch of 2 or more and --latent 1 or more")
    if pictures < 2:
        raise DataError(f"dcgan needs at least two pictures to learn from, and there is {pictures}")
