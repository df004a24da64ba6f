"""StarGAN: one generator that shows whichever label it is told, one-hot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument, papers
from deep_onnx.training.data import Examples, Learns
from pixelreg.arrays import Pixels
from pixelreg.errors import DataError

MULTIPLE = 4  # height and width of a picture must be divisible by this
SLOPE = 0.01  # of the critic's leaky ReLU


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return values + self.main(values)


class Generator(nn.Module):
    """A picture in another expression (Choi et al., CVPR 2018, table 4).

    width : channels of the first layer; 64 in the paper.
    blocks : residual blocks; 6 in the paper.
    """

    def __init__(self, classes: int, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        last = [nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*trunk(3 + classes, width, blocks), *last)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Translate pictures.

        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.
        condition : (N, classes) float32, one-hot.

        Returns: (N, 3, H, W) on [-1, 1].
        """
        return self.main(joined(image, condition))


class Discriminator(nn.Module):
    """A critic of realness that also tells the condition (Choi et al., table 5).

    It has no norms, and by PyTorch's own first weights of its layers pictures would differ by less
    than a thousandth in what it says, with a slope of 0.005 where its penalty wants 1: it learnt
    nothing for minutes. He's keep the signal; the paper names none.

    size : side of the pictures; the layer that tells the condition looks at all of them at once.
    width : channels of the first layer; 64 in the paper.
    layers : halvings; 6 in the paper.
    """

    def __init__(self, size: int, classes: int, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        if size < 2**layers:
            raise ValueError(f"pictures of {size} pixels cannot be halved {layers} times")
        halvings: list[nn.Module] = []
        channels = 3
        for layer in range(layers):
            wider = width * 2**layer
            halvings += [nn.Conv2d(channels, wider, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            channels = wider
        self.main = nn.Sequential(*halvings)
        tools.kaiming_weights(self.main, SLOPE)
        self.conv1 = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, classes, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Judge pictures.

        image : (N, 3, size, size) float32 on [-1, 1].

        Returns: Realness (N, 1, size / 2**layers, size / 2**layers), unbounded, and condition (N,
        classes): logits or values, as it is trained.
        """
        features = self.main(image)
        return self.conv1(features), self.conv2(features).flatten(1)


def trunk(channels: int, width: int, blocks: int) -> list[nn.Module]:
    """The layers that StarGAN and GANimation share: all but the last convolution.

    width : channels of the first and of the last layer; twice and four times as many between.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 7, padding=3, bias=False)]
    layers += _normalised(width)
    for inner in (width, 2 * width):
        layers.append(nn.Conv2d(inner, 2 * inner, 4, stride=2, padding=1, bias=False))
        layers += _normalised(2 * inner)
    layers += [ResidualBlock(4 * width) for _ in range(blocks)]
    for inner in (4 * width, 2 * width):
        layers.append(nn.ConvTranspose2d(inner, inner // 2, 4, stride=2, padding=1, bias=False))
        layers += _normalised(inner // 2)
    return layers


def joined(image: Tensor, condition: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) with their condition (N, C) at every pixel, (N, 3 + C, H, W)."""
    everywhere = condition[:, :, None, None].expand(-1, -1, image.shape[2], image.shape[3])
    return torch.cat([image, everywhere], dim=1)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True), nn.ReLU(inplace=True)]


SMALLEST = 16  # side of the pictures: two positions each way are left after the third halving
BETAS = (0.5, 0.999)

Condition = tuple[float, ...]


@dataclass(frozen=True)
class Arguments(algorithm.Arguments):
    """What both papers chose alike, but for the number of pictures: Choi et al., CVPR 2018,
    sections 3 and 5 and appendix, and Pumarola et al., ECCV 2018."""

    batch: int = argument(16, "Pictures of every update.")
    learning_rate: float = argument(1e-4, "Step size of Adam.")
    blocks: int = argument(6, "Residual blocks of the generator.")
    layers: int = argument(6, "Halvings of the critic; fewer where pictures are small.")
    critic_steps: int = argument(5, "Updates of the critic for one of the generator.")
    penalty: float = argument(10.0, "Weight of the critic's gradient penalty.")
    cycle: float = argument(10.0, "Weight of coming back to the same picture.")
    condition: float = argument(1.0, "Weight of showing what is wanted.")


class ConditionalAlgorithm(Algorithm):
    """Learns one generator for all targets.

    shown : (M, C) float32, the condition that each picture shows.
    targets : label -> its condition; the source's last, because pictures show it already.
    fades : the share of the training after which the learning rate falls to 0.
    """

    entries: tuple[str, ...]
    shown: Tensor
    targets: Mapping[str, Condition]
    fades: ClassVar[float] = 0.5
    learns = Learns.LABELS
    keep = "last"

    def __init__(self, arguments: Any, examples: Examples) -> None:
        super().__init__(arguments, examples)
        tools.check(arguments, MULTIPLE, SMALLEST)
        self.known = tools.labels(examples)
        self.describe()
        self.generator = self.make_generator()
        layers = halvings(arguments.size, arguments.layers)
        count = len(self.entries)
        self.critic = Discriminator(arguments.size, count, arguments.width, layers)
        self.networks = {"generator": self.generator, "critic": self.critic}
        self.adam(BETAS)

    @abstractmethod
    def describe(self) -> None:
        """Set ``entries``, ``shown`` and ``targets``."""

    @abstractmethod
    def make_generator(self) -> nn.Module:
        """From pictures and conditions to pictures."""

    @abstractmethod
    def wanted(self, count: int) -> Tensor:
        """Conditions to show, drawn at random, (count, C)."""

    @abstractmethod
    def told(self, seen: Tensor, condition: Tensor) -> Tensor:
        """The loss of what the critic sees, (N, C), against what is (to be) shown."""

    @abstractmethod
    def learn_generator(self, values: Tensor, shown: Tensor) -> dict[str, float]:
        """One step of the generator."""

    @property
    def weights(self) -> dict[str, float]:
        """What losses weigh, by name; 1 where nothing is said."""
        chosen = self.arguments
        weights = {"penalty": chosen.penalty, "cycle": chosen.cycle}
        return weights | {"condition": chosen.condition, "critic-condition": chosen.condition}

    @property
    def items(self) -> int:
        """All pictures."""
        return len(self.examples.pictures)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """Several steps of the critic, the last one on the items, then one of the generator."""
        tools.set_rate(
            self.optimisers, tools.fading(self.arguments.learning_rate, progress, self.fades)
        )
        for _ in range(self.arguments.critic_steps - 1):
            drawn = torch.randint(self.items, (len(items),)).tolist()
            self.learn_critic(*self.batch(drawn))
        values, shown = self.batch(items)
        losses = self.learn_critic(values, shown)
        return losses | self.learn_generator(values, shown)

    def learn_critic(self, values: Tensor, shown: Tensor) -> dict[str, float]:
        """One step of the critic: Wasserstein distance, its gradient penalty, and telling what
        real pictures show."""
        with torch.no_grad():
            made = self.generator(values, self.drawn(len(values)))
        real, seen = self.critic(values)
        slope = tools.gradient_penalty(lambda between: self.critic(between)[0], values, made)
        losses = {
            "critic": self.critic(made)[0].mean() - real.mean(),
            "penalty": slope,
            "critic-condition": self.told(seen, shown),
        }
        tools.descend(self.optimisers["critic"], losses, self.weights)
        return tools.numbers(losses)

    def batch(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures on [-1, 1], and what they show."""
        chosen = self.examples.pictures[list(items)]
        if self.arguments.augment:
            (chosen,) = tools.augment([chosen])
        return self.tensor(chosen), self.shown[list(items)].to(self.device)

    def condition(self, target: str, count: int) -> Tensor:
        """A target's condition for several pictures, (count, C)."""
        values = torch.tensor(self.targets[target], device=self.device)
        return values.expand(count, -1)

    def drawn(self, count: int) -> Tensor:
        """`wanted`, where the networks are."""
        return self.wanted(count).to(self.device)

    def made(self, values: Tensor, target: str) -> Tensor:
        """Pictures (N, 3, S, S) turned into a target, without gradients."""
        return tools.in_parts(self.generator, values, self.condition(target, len(values)))

    def learnt(self) -> list[str]:
        """The labels that pictures show, but the source."""
        return [name for name in self.known if name != self.examples.source] or list(self.known)

    def validate(self, held_out: Examples) -> dict[str, float]:
        """L1 to the truth where there are pairs, what coming back loses, and how far the critic
        sees something else than wanted."""
        losses: dict[str, float] = {}
        pairs = tools.judged(held_out, self.targets)
        if pairs:
            made = [self.made(self.tensor(each.sources), each.target) for each in pairs]
            truths = torch.cat([self.tensor(each.truths) for each in pairs])
            losses["l1"] = float(functional.l1_loss(torch.cat(made), truths))
        found = held_out.showing(self.examples.source)[: tools.JUDGED]
        if len(found) and self.examples.source in self.targets:
            losses |= self._there_and_back(self.tensor(found))
        return losses

    def _there_and_back(self, start: Tensor) -> dict[str, float]:
        lost, unlike = [], []
        for target in self.learnt():
            made = self.made(start, target)
            again = self.made(made, self.examples.source)
            lost.append(functional.l1_loss(again, start))
            seen = tools.in_parts(lambda part: self.critic(part)[1], made)
            unlike.append(self.told(seen, self.condition(target, len(seen))))
        means = {"cycle": torch.stack(lost).mean(), "condition": torch.stack(unlike).mean()}
        return tools.numbers(means)

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Pictures of the source, and what is made of them."""
        source = self.examples.source
        found = held_out.showing(source)[: tools.SHOWN]
        if not len(found):
            return []
        columns: list[tuple[str, Sequence[Pixels]]] = [(source, list(found))]
        made = values = self.tensor(found)
        for label in self.learnt():
            made = self.made(values, label)
            columns.append((f"made {label}", list(tools.to_pixels(made.cpu()))))
        if source in self.targets:
            columns.append(
                (f"{source} again", list(tools.to_pixels(self.made(made, source).cpu())))
            )
        return columns

    def export(self, architecture: str, target_kind: str) -> Export:
        """The generator, with its targets by name."""
        size = self.arguments.size
        card = self.card(
            architecture,
            target_kind=target_kind,
            targets=self.targets,
            condition=self.entries,
            condition_input="condition",
            dynamic=True,
            multiple=MULTIPLE,
        )
        inputs = {
            card.image_input: torch.zeros(2, 3, size, size),
            card.condition_input: self.condition(next(iter(self.targets)), 2).cpu(),
        }
        return Export(tools.frozen(self.generator), card, inputs)


def halvings(size: int, most: int) -> int:
    """How often a critic halves pictures: at most ``most`` times, and two positions stay."""
    return max(1, min(most, size.bit_length() - 2))


class StarGAN(ConditionalAlgorithm):
    """Learns to show any of the labels, the source's included."""

    Arguments = Arguments
    paper = papers(size=128, steps=40_000)  # 200,000 updates of the critic
    examples_of_use = (
        "--size 64 --width 16 --minutes 15",
        "--expr happy --expr sad --steps 20000 -o faces.onnx",
    )

    def describe(self) -> None:
        """One entry a label."""
        if len(self.known) < 2:
            shown = ", ".join(self.known) or "nothing"
            raise DataError(f"all pictures show {shown}; StarGAN needs two labels")
        self.entries = self.known
        rows = torch.eye(len(self.known))
        self.shown = rows[[self.known.index(label) for label in self.examples.labels]]
        last = self.examples.source
        self.targets = {
            label: tuple(rows[self.known.index(label)].tolist())
            for label in sorted(self.known, key=lambda label: label == last)
        }

    def make_generator(self) -> nn.Module:
        """From pictures and one-hot labels to pictures."""
        return Generator(len(self.entries), self.arguments.width, self.arguments.blocks)

    def wanted(self, count: int) -> Tensor:
        """Labels drawn evenly, whatever the pictures show."""
        drawn = torch.randint(len(self.entries), (count,))
        return functional.one_hot(drawn, len(self.entries)).float()

    def told(self, seen: Tensor, condition: Tensor) -> Tensor:
        """Cross-entropy (Eq. 2-3)."""
        return functional.cross_entropy(seen, condition)

    def learn_generator(self, values: Tensor, shown: Tensor) -> dict[str, float]:
        """Eq. 6: look real, show the wanted label, and lead back to the picture."""
        condition = self.drawn(len(values))
        with tools.still(self.critic):
            made = self.generator(values, condition)
            again = self.generator(made, shown)
            verdicts, seen = self.critic(made)
            losses = {
                "generator": -verdicts.mean(),
                "condition": self.told(seen, condition),
                "cycle": functional.l1_loss(again, values),
            }
            tools.descend(self.optimisers["generator"], losses, self.weights)
        return tools.numbers(losses)

    def exports(self) -> list[Export]:
        """The generator."""
        return [self.export("stargan", tools.target_kind(self.known))]
