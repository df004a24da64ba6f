"""What StarGAN and GANimation share: a generator told what to show, against a Wasserstein critic.

The critic judges pictures, and tells what they show; the generator learns without pairs to show
what it is told, and to lead back to the picture that it started from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.paired import frozen, placement
from deep_onnx.architectures.stargan_networks import MULTIPLE, Discriminator
from deep_onnx.card import Card
from deep_onnx.training import algorithm
from deep_onnx.training import tools as pictures
from deep_onnx.training.algorithm import Algorithm, Export, argument, to_pixels
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import augment, descend, fading, gradient_penalty, numbers, set_rate
from pixelreg.arrays import Pixels

SMALLEST = 16  # side of the pictures: two positions each way are left after the third halving
BETAS = (0.5, 0.999)

Condition = tuple[float, ...]


@dataclass(frozen=True)
class Arguments(algorithm.Arguments):
    """What both papers chose alike, but for the number of pictures."""

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

    Attributes
    ----------
    entries : names of the condition's entries.
    shown : (M, C) float32, the condition that each picture shows.
    targets : label -> its condition; the source's last, because pictures show it already.
    fades : the share of the training after which the learning rate falls to 0.
    """

    entries: tuple[str, ...]
    shown: Tensor
    targets: Mapping[str, Condition]
    fades: ClassVar[float] = 0.5

    def __init__(self, arguments: Any, examples: Examples) -> None:
        super().__init__(arguments, examples)
        pictures.check(arguments, MULTIPLE, SMALLEST)
        self.known = pictures.labels(examples)
        self.describe()
        self.generator = self.make_generator()
        layers = halvings(arguments.size, arguments.layers)
        count = len(self.entries)
        self.critic = Discriminator(arguments.size, count, arguments.width, layers)
        self.networks = {"generator": self.generator, "critic": self.critic}
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), arguments.learning_rate, BETAS)
            for name, network in self.networks.items()
        }

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
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.generator.parameters()).device

    @property
    def items(self) -> int:
        """All pictures."""
        return len(self.examples.pictures)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """Several steps of the critic, the last one on the items, then one of the generator."""
        set_rate(self.optimisers, fading(self.arguments.learning_rate, progress, self.fades))
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
        slope = gradient_penalty(lambda between: self.critic(between)[0], values, made)
        losses = {
            "critic": self.critic(made)[0].mean() - real.mean(),
            "penalty": slope,
            "critic-condition": self.told(seen, shown),
        }
        descend(self.optimisers["critic"], losses, self.weights)
        return numbers(losses)

    def batch(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures on [-1, 1], and what they show."""
        chosen = self.examples.pictures[list(items)]
        if self.arguments.augment:
            (chosen,) = augment([chosen])
        return self.tensor(chosen), self.shown[list(items)].to(self.device)

    def tensor(self, chosen: Pixels) -> Tensor:
        """Pictures as the networks take them, where the networks are."""
        return pictures.tensor_for(self.generator, chosen)

    def condition(self, target: str, count: int) -> Tensor:
        """A target's condition for several pictures, (count, C)."""
        values = torch.tensor(self.targets[target], device=self.device)
        return values.expand(count, -1)

    def drawn(self, count: int) -> Tensor:
        """`wanted`, where the networks are."""
        return self.wanted(count).to(self.device)

    def made(self, values: Tensor, target: str) -> Tensor:
        """Pictures (N, 3, S, S) turned into a target, without gradients."""
        return pictures.in_parts(self.generator, values, self.condition(target, len(values)))

    def learnt(self) -> list[str]:
        """The labels that pictures show, but the source."""
        return [name for name in self.known if name != self.examples.source] or list(self.known)

    def validate(self, held_out: Examples) -> dict[str, float]:
        """L1 to the truth where there are pairs, what coming back loses, and how far the critic
        sees something else than wanted."""
        losses: dict[str, float] = {}
        pairs = pictures.judged(held_out, self.targets)
        if pairs:
            made = [self.made(self.tensor(each.sources), each.target) for each in pairs]
            truths = torch.cat([self.tensor(each.truths) for each in pairs])
            losses["l1"] = float(functional.l1_loss(torch.cat(made), truths))
        found = held_out.showing(self.examples.source)[: pictures.JUDGED]
        if len(found) and self.examples.source in self.targets:
            losses |= self._there_and_back(self.tensor(found))
        return losses

    def _there_and_back(self, start: Tensor) -> dict[str, float]:
        lost, unlike = [], []
        for target in self.learnt():
            made = self.made(start, target)
            again = self.made(made, self.examples.source)
            lost.append(functional.l1_loss(again, start))
            seen = pictures.in_parts(lambda part: self.critic(part)[1], made)
            unlike.append(self.told(seen, self.condition(target, len(seen))))
        means = {"cycle": torch.stack(lost).mean(), "condition": torch.stack(unlike).mean()}
        return numbers(means)

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Pictures of the source, and what is made of them."""
        source = self.examples.source
        found = held_out.showing(source)[: pictures.SHOWN]
        if not len(found):
            return []
        columns: list[tuple[str, Sequence[Pixels]]] = [(source, list(found))]
        made = values = self.tensor(found)
        for label in self.learnt():
            made = self.made(values, label)
            columns.append((f"made {label}", list(to_pixels(made.cpu()))))
        if source in self.targets:
            columns.append((f"{source} again", list(to_pixels(self.made(made, source).cpu()))))
        return columns

    def export(self, architecture: str, target_kind: str) -> Export:
        """The generator, with its targets by name."""
        size, frame = self.arguments.size, self.examples.frame
        card = Card(
            architecture=architecture,
            target_kind=target_kind,
            targets=self.targets,
            condition=self.entries,
            source=self.examples.source,
            condition_input="condition",
            size=size,
            dynamic=True,
            multiple=MULTIPLE,
            placement=placement(frame, dynamic=True),
            frame=frame,
        )
        inputs = {
            card.image_input: torch.zeros(2, 3, size, size),
            card.condition_input: self.condition(next(iter(self.targets)), 2).cpu(),
        }
        return Export(frozen(self.generator), card, inputs)


def halvings(size: int, most: int) -> int:
    """How often a critic halves pictures: at most ``most`` times, and two positions stay."""
    return max(1, min(most, size.bit_length() - 2))
