"""GANimation: faces moved by action units, through a mask of where they change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures import action_units
from deep_onnx.architectures import stargan as conditional
from deep_onnx.architectures.action_units import Units
from deep_onnx.architectures.stargan import MULTIPLE, ConditionalAlgorithm, joined, trunk
from deep_onnx.training import tools
from deep_onnx.training.algorithm import Export, argument, papers
from deep_onnx.training.data import Examples
from pixelreg.arrays import Pixels
from pixelreg.errors import DataError

__all__ = ["MULTIPLE", "Generator", "composed"]


class Generator(nn.Module):
    """A face with other action units (Pumarola et al., ECCV 2018, Eq. 1).

    units : action units, the length of the condition.
    width : channels of the first layer; 64 in the paper.
    blocks : residual blocks; 6 in the paper.
    """

    def __init__(self, units: int = 17, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.main = nn.Sequential(*trunk(3 + units, width, blocks))
        self.img_reg = nn.Sequential(nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh())
        self.attetion_reg = nn.Sequential(
            nn.Conv2d(width, 1, 7, padding=3, bias=False), nn.Sigmoid()
        )

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Animate faces: attention x picture + (1 - attention) x colours.

        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.
        condition : (N, units) float32 on [0, 1]: OpenFace's intensities over 5.

        Returns: (N, 3, H, W) on [-1, 1].
        """
        colour, attention = self.masks(image, condition)
        return composed(image, colour, attention)

    def masks(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` composes.

        Returns: New colours (N, 3, H, W) on [-1, 1], and attention (N, 1, H, W) on [0, 1]: 1 where
        the picture stays as it is.
        """
        features = self.main(joined(image, condition))
        return self.img_reg(features), self.attetion_reg(features)


def composed(image: Tensor, colour: Tensor, attention: Tensor) -> Tensor:
    """attention x image + (1 - attention) x colour."""
    return attention * image + (1 - attention) * colour


@dataclass(frozen=True)
class Arguments(conditional.Arguments):
    """The paper's choices: Pumarola et al., ECCV 2018, sections 4 and 5.

    The paper's weight of the action units is 4000; its authors' code divides their mean squared
    error by the batch of 25 once more, and 4000 / 25 is what they weigh here, at any batch.
    """

    batch: int = argument(25, "Pictures of every update.")
    action_units: str = argument(
        "",
        "OpenFace's CSV file, or folder of them; empty: what each expression stands for.",
        local=True,  # a path on this computer is not for the model's file
    )
    variation: float = argument(0.1, "Wanted action units vary by up to this, each way.")
    condition: float = argument(160.0, "Weight of showing the wanted action units.")
    attention: float = argument(0.1, "Weight of keeping the attention mask low and smooth.")
    smoothness: float = argument(1e-4, "Weight, times the attention's, of smoothness.")


class GANimation(ConditionalAlgorithm):
    """Learns to give any of the pictures' action units to a face."""

    Arguments = Arguments
    paper = papers(size=128, epochs=30)
    examples_of_use = (
        "--size 64 --width 16 --minutes 15",
        "--action-units openface.csv --steps 20000 -o units.onnx",
    )
    fades = 2 / 3
    generator: Generator

    @property
    def weights(self) -> dict[str, float]:
        """What losses weigh, by name."""
        return super().weights | {"attention": self.arguments.attention}

    def describe(self) -> None:
        """One entry an action unit."""
        self.entries = action_units.NAMES
        path = self.arguments.action_units
        shown = _units_of(path, self.examples)
        self.shown = torch.tensor(shown)
        self.targets = _targets(self.examples, shown, every=bool(path))

    def make_generator(self) -> nn.Module:
        """From pictures and action units to pictures."""
        return Generator(len(self.entries), self.arguments.width, self.arguments.blocks)

    def wanted(self, count: int) -> Tensor:
        """Action units of pictures at random, varied at random."""
        drawn = self.shown[torch.randint(self.items, (count,))]
        varied: Tensor = drawn + self.arguments.variation * (2 * torch.rand_like(drawn) - 1)
        return varied.clamp(0.0, 1.0)

    def told(self, seen: Tensor, condition: Tensor) -> Tensor:
        """Mean squared error of the action units (Eq. 4)."""
        return functional.mse_loss(seen, condition)

    def learn_generator(self, values: Tensor, shown: Tensor) -> dict[str, float]:
        """Eq. 6: look real, show the wanted units, lead back, and change little."""
        wanted = self.drawn(len(values))
        with tools.still(self.critic):
            colour, attention = self.generator.masks(values, wanted)
            made = composed(values, colour, attention)
            back_colour, back_attention = self.generator.masks(made, shown)
            again = composed(made, back_colour, back_attention)
            verdicts, seen = self.critic(made)
            smoothness = self.arguments.smoothness
            masks = mask_loss(attention, smoothness) + mask_loss(back_attention, smoothness)
            losses = {
                "generator": -verdicts.mean(),
                "condition": self.told(seen, wanted),
                "cycle": functional.l1_loss(again, values),
                "attention": masks,
            }
            tools.descend(self.optimisers["generator"], losses, self.weights)
        return tools.numbers(losses)

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Pictures of the source, what is made of them, and the attention of the last target:
        white where the picture stays as it is."""
        columns = super().sample(held_out)
        if not columns:
            return []
        values = self.tensor(held_out.showing(self.examples.source)[: tools.SHOWN])
        attention = self.attention(values, self.learnt()[-1]).expand(-1, 3, -1, -1)
        return [*columns, ("kept", list(tools.to_pixels(attention.cpu(), 0.0, 1.0)))]

    def attention(self, values: Tensor, target: str) -> Tensor:
        """How much of every pixel is kept, (N, 1, S, S) on [0, 1]."""
        condition = self.condition(target, len(values))
        return tools.in_parts(lambda *part: self.generator.masks(*part)[1], values, condition)

    def exports(self) -> list[Export]:
        """The generator, which composes the picture itself."""
        return [self.export("ganimation", "action-units")]


def mask_loss(attention: Tensor, smoothness: float) -> Tensor:
    """What keeps attention from saturating at "keep all", and its edges soft (Eq. 3).

    attention : (N, 1, H, W) on [0, 1].
    smoothness : weight of the total variation: squared differences of neighbours, summed over a
        picture.

    Returns: The mean attention + ``smoothness`` x total variation, averaged over the pictures. The
    paper writes the first term as a norm; the mean keeps its weight the same at all sizes.
    """
    down = (attention[:, :, 1:] - attention[:, :, :-1]).square().sum()
    across = (attention[:, :, :, 1:] - attention[:, :, :, :-1]).square().sum()
    return attention.mean() + smoothness * (down + across) / len(attention)


def _units_of(path: str, examples: Examples) -> list[Units]:
    """The action units of every picture: measured, or those of its expression."""
    if path:
        return _measured(Path(path), examples)
    known = action_units.prototypes()
    for label in tools.labels(examples):
        if label not in known:
            raise DataError(
                f"GANimation knows no action units of {label!r}; measure the pictures with "
                "OpenFace and give its CSV file with --action-units"
            )
    return [known[label] for label in examples.labels]


def _measured(path: Path, examples: Examples) -> list[Units]:
    """Measured action units; several pictures of one person and label share their mean."""
    measured = action_units.read(path)
    found: dict[tuple[str, str], list[Units]] = {}
    for stack in examples.stacks.values():
        for photo in {photo for pair in stack.pairs for photo in (pair.source, pair.target)}:
            units = action_units.of_picture(measured, photo.path)
            if units is not None:
                found.setdefault((photo.person, photo.expression), []).append(units)
    who = list(zip(examples.people, examples.labels, strict=True))
    missing = [shown for shown in who if shown not in found]
    if missing:
        person, label = missing[0]
        raise DataError(
            f"{path} has no action units for {len(missing)} of {len(who)} pictures, the first "
            f"that of {person}, {label}"
        )
    means = {shown: _mean(units) for shown, units in found.items()}
    return [means[shown] for shown in who]


def _mean(rows: Sequence[Units]) -> Units:
    return tuple(math.fsum(column) / len(rows) for column in zip(*rows, strict=True))


def _targets(examples: Examples, shown: Sequence[Units], every: bool) -> Mapping[str, Units]:
    """Names -> action units: the mean of each label's pictures, the source's last.

    ``every`` adds the canonical expressions that no picture shows: action units that were measured
    picture by picture let a network learn each of them by itself.
    """
    chosen: dict[str, Units] = action_units.prototypes() if every else {}
    for label in tools.labels(examples):
        rows = zip(shown, examples.labels, strict=True)
        chosen[label] = _mean([units for units, name in rows if name == label])
    return dict(sorted(chosen.items(), key=lambda item: item[0] == examples.source))
