"""StarGAN: one generator that shows whichever label it is told, one-hot."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures import conditional
from deep_onnx.architectures.conditional import ConditionalAlgorithm
from deep_onnx.architectures.stargan_networks import Generator
from deep_onnx.training import tools as pictures
from deep_onnx.training.algorithm import Export
from deep_onnx.training.tools import descend, numbers, still
from pixelreg.errors import DataError


@dataclass(frozen=True)
class Arguments(conditional.Arguments):
    """The paper's choices: Choi et al., CVPR 2018, sections 3 and 5 and appendix."""


class StarGAN(ConditionalAlgorithm):
    """Learns to show any of the labels, the source's included. Weights start as PyTorch's do."""

    Arguments = Arguments

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
        with still(self.critic):
            made = self.generator(values, condition)
            again = self.generator(made, shown)
            verdicts, seen = self.critic(made)
            losses = {
                "generator": -verdicts.mean(),
                "condition": self.told(seen, condition),
                "cycle": functional.l1_loss(again, values),
            }
            descend(self.optimisers["generator"], losses, self.weights)
        return numbers(losses)

    def exports(self) -> list[Export]:
        """The generator."""
        return [self.export("stargan", pictures.target_kind(self.known))]
