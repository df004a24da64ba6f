"""CycleGAN: two generators that undo each other, learnt from pictures that are not paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument, papers
from deep_onnx.training.data import Examples, Learns
from pixelreg.arrays import Pixels
from pixelreg.errors import UsageError

MULTIPLE = 4  # height and width of a picture must be divisible by this


class ResidualBlock(nn.Module):
    """R{channels}: x + two 3x3 convolutions of x, padded by reflection."""

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        first = [*_padded(channels), nn.ReLU(inplace=True)]
        between = [nn.Dropout(dropout)] if dropout else []
        self.conv_block = nn.Sequential(*first, *between, *_padded(channels))

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return values + self.conv_block(values)


class ResNetGenerator(nn.Module):
    """C7S1-k, D2k, D4k, R4k x blocks, U2k, Uk, C7S1-3 (Zhu et al., ICCV 2017, section 7.1).

    Instance norms have no learnt scale and shift. The first and last convolutions are padded by
    reflection, so that edges do not darken.

    width : k, channels of the first layer; 64 in the paper.
    blocks : residual blocks; 9 in the paper from 256 x 256 on, 6 for 128 x 128.
    dropout : share of values dropped inside a block while training; 0 builds no such layer.
    """

    def __init__(self, width: int = 64, blocks: int = 9, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7)]
        layers += _normalised(width)
        for channels in (width, 2 * width):
            layers.append(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1))
            layers += _normalised(2 * channels)
        layers += [ResidualBlock(4 * width, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            half = channels // 2
            layers.append(nn.ConvTranspose2d(channels, half, 3, 2, padding=1, output_padding=1))
            layers += _normalised(channels // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Translate pictures.

        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.

        Returns: (N, 3, H, W) on [-1, 1].
        """
        return self.model(image)


def _padded(channels: int) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(1),
        nn.Conv2d(channels, channels, 3),
        nn.InstanceNorm2d(channels),
    ]


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


@dataclass(frozen=True)
class Arguments(algorithm.Arguments):
    """The paper's choices: Zhu et al., ICCV 2017, sections 3 and 4 and appendix 7."""

    blocks: int = argument(9, "Residual blocks of a generator.")
    layers: int = argument(3, "Halvings of a discriminator; 3 judge patches of 70 x 70 pixels.")
    dropout: float = argument(0.0, "Share of values dropped in residual blocks while training.")
    cycle: float = argument(10.0, "Weight of coming back to the same picture.")
    identity: float = argument(
        0.5, "Weight, times that of the cycle, of leaving alone what shows the target already."
    )
    buffer: int = argument(50, "Earlier pictures kept to train each discriminator on.")


class History:
    """Pictures made before, so that a discriminator does not forget them (section 4)."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.kept: list[Tensor] = []

    def exchanged(self, made: Tensor) -> Tensor:
        """What to train the discriminator on instead of ``made``, (N, C, H, W).

        Until it is full, the history keeps every picture and gives it back. Then it keeps each
        picture with a chance of one half, and gives the one back whose place it takes.
        """
        shown = []
        for picture in made.detach():
            if len(self.kept) < self.capacity:
                self.kept.append(picture.clone())
            elif self.capacity and torch.rand(()).item() < 0.5:
                place = int(torch.randint(self.capacity, ()))
                picture, self.kept[place] = self.kept[place], picture.clone()
            shown.append(picture)
        return torch.stack(shown)


class CycleGAN(Algorithm):
    """Learns source -> target ("forth") and target -> source ("back") at once."""

    Arguments = Arguments
    paper = papers(size=256, epochs=200)  # Zhu et al.; Face2Sketch tells of no number
    learns = Learns.UNPAIRED
    examples_of_use = (
        "--expr happy --size 64 --width 16 --minutes 15",
        "--from A --expr B --epochs 200 -o horse2zebra.onnx",
    )
    keep = "last"

    def __init__(self, arguments: Any, examples: Examples) -> None:
        super().__init__(arguments, examples)
        tools.check(arguments, MULTIPLE, smallest_side(arguments.layers))
        if arguments.dropout >= 1:
            raise UsageError(f"--dropout is {arguments.dropout:g}; it must be below 1")
        self.source, self.target = examples.source, _only_target(examples)
        self.start = {"forth": self.source, "back": self.target}
        self.shown = {name: tools.showing(examples, name) for name in (self.source, self.target)}
        self.networks = {
            "forth": self._generator(),
            "back": self._generator(),
            "target-critic": self._critic(),
            "source-critic": self._critic(),
        }
        for network in self.networks.values():
            tools.normal_weights(network)
        self.optimisers = {
            "generators": self._adam("forth", "back"),
            "critics": self._adam("target-critic", "source-critic"),
        }
        self.histories = {
            "target-critic": History(arguments.buffer),
            "source-critic": History(arguments.buffer),
        }

    @property
    def items(self) -> int:
        """Pictures of the label that has more."""
        return max(map(len, self.shown.values()))

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """One step of both generators, then one of both discriminators."""
        tools.set_rate(
            self.optimisers, tools.fading(self.arguments.learning_rate, progress, start=0.5)
        )
        for network in self.networks.values():
            network.train()
        sources, targets = self._draw(items)
        losses, made_targets, made_sources = self._learn_generators(sources, targets)
        shown = {"target-critic": (targets, made_targets), "source-critic": (sources, made_sources)}
        return losses | self._learn_critics(shown)

    def validate(self, held_out: Examples) -> dict[str, float]:
        """L1 to the truth where there are pairs, and what coming back loses."""
        losses = {}
        with tools.evaluating(self.networks.values()):
            for pairs in tools.judged(held_out, [self.target]):
                made = self._made("forth", self.tensor(pairs.sources))
                losses["l1"] = functional.l1_loss(made, self.tensor(pairs.truths))
            for there, back in (("forth", "back"), ("back", "forth")):
                found = held_out.showing(self.start[there])[: tools.JUDGED]
                if len(found):
                    values = self.tensor(found)
                    again = self._made(back, self._made(there, values))
                    losses[f"cycle-{there}"] = functional.l1_loss(again, values)
        return tools.numbers(losses)

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """There and back again, both ways."""
        columns: list[tuple[str, Sequence[Pixels]]] = []
        with tools.evaluating(self.networks.values()):
            for there, again in (("forth", "back"), ("back", "forth")):
                before, after = self.start[there], self.start[again]
                found = held_out.showing(before)[: tools.SHOWN]
                if len(found):
                    made = self._made(there, self.tensor(found))
                    returned = self._made(again, made)
                    columns.append((before, list(found)))
                    columns.append((f"made {after}", list(tools.to_pixels(made.cpu()))))
                    columns.append((f"{before} again", list(tools.to_pixels(returned.cpu()))))
        rows = min((len(column) for _, column in columns), default=0)
        return [(label, column[:rows]) for label, column in columns]

    def exports(self) -> list[Export]:
        """Both directions."""
        return [
            self._export("forth", ""),
            self._export("back", "-back"),
        ]

    def state(self) -> dict[str, Tensor]:
        """The histories, (count, 3, S, S) each."""
        size = self.arguments.size
        empty = torch.empty(0, 3, size, size)
        return {
            name: torch.stack(history.kept) if history.kept else empty
            for name, history in self.histories.items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if set(tensors) != set(self.histories):
            raise ValueError(f"the state holds {', '.join(sorted(tensors)) or 'nothing'}")
        for name, history in self.histories.items():
            history.kept = list(tensors[name].clone())

    def _generator(self) -> nn.Module:
        arguments = self.arguments
        return ResNetGenerator(arguments.width, arguments.blocks, arguments.dropout)

    def _critic(self) -> nn.Module:
        return PatchDiscriminator(3, self.arguments.width, self.arguments.layers, affine=False)

    def _adam(self, *names: str) -> torch.optim.Adam:
        learnt = chain.from_iterable(self.networks[name].parameters() for name in names)
        return torch.optim.Adam(learnt, self.arguments.learning_rate, betas=(0.5, 0.999))

    def _draw(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The items' sources, and targets at random: nobody's pair."""
        sources, targets = self.shown[self.source], self.shown[self.target]
        drawn = torch.randint(len(targets), (len(items),)).tolist()
        chosen = [sources[[item % len(sources) for item in items]], targets[drawn]]
        if self.arguments.augment:
            chosen = [tools.augment([found])[0] for found in chosen]
        return self.tensor(chosen[0]), self.tensor(chosen[1])

    def _made(self, name: str, values: Tensor) -> Tensor:
        return tools.in_parts(self.networks[name], values)

    def _learn_generators(
        self, sources: Tensor, targets: Tensor
    ) -> tuple[dict[str, float], Tensor, Tensor]:
        forth, back = self.networks["forth"], self.networks["back"]
        judges = [self.networks[name] for name in ("target-critic", "source-critic")]
        cycle, identity = self.arguments.cycle, self.arguments.identity
        weights = {"cycle-forth": cycle, "cycle-back": cycle, "identity": cycle * identity}
        with tools.still(*judges):
            made_targets, made_sources = forth(sources), back(targets)
            losses = {
                "forth": _verdict(judges[0](made_targets), real=True),
                "back": _verdict(judges[1](made_sources), real=True),
                "cycle-forth": functional.l1_loss(back(made_targets), sources),
                "cycle-back": functional.l1_loss(forth(made_sources), targets),
            }
            if identity:
                kept = functional.l1_loss(forth(targets), targets)
                kept = kept + functional.l1_loss(back(sources), sources)
                losses["identity"] = kept
            tools.descend(self.optimisers["generators"], losses, weights)
        return tools.numbers(losses), made_targets, made_sources

    def _learn_critics(self, shown: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
        losses = {}
        for name, (real, made) in shown.items():
            judge, earlier = self.networks[name], self.histories[name].exchanged(made)
            verdicts = _verdict(judge(real), real=True) + _verdict(judge(earlier), real=False)
            losses[name] = verdicts / 2
        tools.descend(self.optimisers["critics"], losses, {})
        return tools.numbers(losses)

    def _export(self, name: str, suffix: str) -> Export:
        source, size = self.start[name], self.arguments.size
        (target,) = {self.source, self.target} - {source}
        card = self.card(
            "cyclegan",
            target_kind=tools.target_kind((source, target)),
            targets={target: ()},
            source=source,
            dynamic=True,
            multiple=MULTIPLE,
        )
        inputs = {card.image_input: torch.zeros(2, 3, size, size)}
        return Export(tools.frozen(self.networks[name]), card, inputs, suffix)


def _verdict(values: Tensor, real: bool) -> Tensor:
    """The least-squares loss of a discriminator's values against 1 or 0 (section 4)."""
    return functional.mse_loss(values, torch.full_like(values, float(real)))


def _only_target(examples: Examples) -> str:
    """The label to translate to: the one that has pairs, or that is there besides the source."""
    others = list(examples.stacks)
    if len(others) != 1:
        others = [name for name in tools.labels(examples) if name != examples.source]
    if len(others) != 1:
        names = ", ".join(others) or "none"
        raise UsageError(f"CycleGAN learns one target, not {names}; give it with --expr")
    return others[0]
