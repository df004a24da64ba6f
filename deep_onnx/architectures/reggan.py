"""``reggan``: masked ridge regression shows the expression, a network makes it look real.

After RegGAN (Akram, Khan and Mahmood 2026, arXiv 2603.15648), of which the abstract was read: a
regression layer with local receptive fields that minimises a ridge loss, and a refinement network
that learns against a critic. Decided by us are all sizes, and that

- the layer is masked ridge in closed form, one for each expression, and stays as it was solved;
- the refinement is US-GAN's generator, which adds to the regressed picture;
- it learns from regressions that have not seen the person in question (by folds), as it will meet
  people like that;
- its losses are pix2pix's: a PatchGAN that sees the regressed picture beside what was made of it,
  and the distance to the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures import usgan
from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.architectures.stargan import MULTIPLE
from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument
from deep_onnx.training.data import Examples, Learns
from pixelreg.arrays import Pixels
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import grouped_folds
from pixelreg.errors import DataError, UsageError
from pixelreg.models.plans import SparsePlan
from pixelreg.regression.masked import MaskedRidge

BETAS = (0.5, 0.999)
FOLDS = 4


class Regression(nn.Module):
    """Masked ridge regressions of several targets as a layer; a condition says which.

    plans : one a target, all of one field and shape.
    """

    def __init__(self, plans: Sequence[SparsePlan]) -> None:
        super().__init__()
        self.offsets = [(int(down), int(right)) for down, right in plans[0].offsets]
        weights, bias = (
            torch.tensor(np.stack([np.moveaxis(getattr(plan, name), -1, -3) for plan in plans]))
            for name in ("weights", "bias")
        )
        self.weights = nn.Parameter(weights, requires_grad=False)  # (T, k, 3, S, S)
        self.bias = nn.Parameter(bias, requires_grad=False)  # (T, 3, S, S)

    @property
    def multiply_adds(self) -> int:
        """Of a picture: every layer weighed by the condition, and the one that this makes."""
        return self.weights.numel() + self.bias.numel() + self.weights[0].numel()

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """(N, 3, S, S) on [-1, 1] and (N, T) one-hot -> the same pictures, regressed."""
        reach = max(abs(step) for offset in self.offsets for step in offset)
        unit, side = (image + 1) / 2, self.bias.shape[-1]
        padded = functional.pad(unit, (reach,) * 4)
        weights = torch.einsum("nt,tkchw->nkchw", condition, self.weights)
        total = torch.einsum("nt,tchw->nchw", condition, self.bias)
        for k, (down, right) in enumerate(self.offsets):
            rows, columns = reach + down, reach + right
            total = (
                total + weights[:, k] * padded[..., rows : rows + side, columns : columns + side]
            )
        return total.clamp(0, 1) * 2 - 1


class Generator(nn.Module):
    """A picture regressed to what the condition asks for, then refined."""

    def __init__(self, regression: Regression, width: int, blocks: int) -> None:
        super().__init__()
        self.regression = regression
        self.refinement = usgan.Generator(len(regression.bias), width, blocks)
        tools.normal_weights(self.refinement)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """(N, 3, S, S) on [-1, 1], S the plans' own, and (N, T) one-hot -> (N, 3, S, S)."""
        return self.refinement(self.regression(image, condition), condition)


@dataclass(frozen=True)
class RegGANArguments(algorithm.Arguments):
    """What RegGAN can be told."""

    batch: int = argument(4, "Pictures a step.")
    blocks: int = argument(1, "Residual blocks of the refinement.")
    penalty: float = argument(0.4, "Ridge penalty of the regression, the lambda of its loss.")
    field: int = argument(3, "Side of what a pixel of the regression sees, odd.")
    l1: float = argument(100.0, "Weight of the distance to the truth.")


class RegGAN(Algorithm):
    """Learns one layer and one refinement for all targets, from pairs.

    stack : target's number and the pair of each item; sources, regressed, targets are (N, S, S, 3).
    """

    Arguments = RegGANArguments
    learns = Learns.SEVERAL
    examples_of_use = (
        "--size 64 --width 16 --minutes 15",
        "--expr happy --steps 5000 -o happy.onnx",
    )

    def __init__(self, arguments: RegGANArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        _check(arguments)
        self.stacks = {name: stack for name, stack in examples.stacks.items() if stack.pairs}
        if not self.stacks:
            raise DataError("RegGAN learns from pairs, and there are none")
        self.names = tuple(self.stacks)
        plans = [self._ridge(stack).to_plan(self._shape) for stack in self.stacks.values()]
        self.generator = Generator(Regression(plans), arguments.width, arguments.blocks)
        self.regressed = np.concatenate([self._crossed(each) for each in self.stacks.values()])
        self.truths = np.concatenate([stack.targets for stack in self.stacks.values()])
        counts = [len(stack.pairs) for stack in self.stacks.values()]
        self.shown = torch.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]
        discriminator = PatchDiscriminator(6, arguments.width)
        self.networks = {"generator": self.generator, "discriminator": discriminator}
        self.adam(BETAS)

    @property
    def items(self) -> int:
        """All pairs of all targets."""
        return len(self.truths)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """One step of the critic, then one of the refinement."""
        for network in self.networks.values():
            network.train()
        rows = list(items)
        sides: Sequence[Pixels] = [self.regressed[rows], self.truths[rows]]
        regressed, truth = map(
            self.tensor, tools.augment(sides) if self.arguments.augment else sides
        )
        made = self.generator.refinement(regressed, self.shown[rows].to(self.device))
        against = tools.discrimination(
            self._verdict(regressed, truth), self._verdict(regressed, made.detach())
        )
        tools.descend(self.optimisers["discriminator"], {"discriminator": against}, {})
        with tools.still(self.networks["discriminator"]):
            losses = {
                "l1": functional.l1_loss(made, truth),
                "adversarial": tools.adversarial(self._verdict(regressed, made), True),
            }
            tools.descend(self.optimisers["generator"], losses, {"l1": self.arguments.l1})
        return tools.numbers({**losses, "discriminator": against})

    def validate(self, held_out: Examples) -> dict[str, float]:
        """L1 to the truth of what is made, of the regression alone, and of untouched pictures."""
        found: dict[str, list[Tensor]] = {"l1": [], "regression": [], "untouched": []}
        for pairs in tools.judged(held_out, self.names):
            source, truth = (self.tensor(side) for side in (pairs.sources, pairs.truths))
            regressed, made = self._both(source, pairs.target)
            for name, one in zip(found, (made, regressed, source), strict=True):
                found[name].append((one - truth).abs().mean((1, 2, 3)))
        return {name: float(torch.cat(rows).mean()) for name, rows in found.items() if rows}

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """What is given, and for every target the regression, what is made of it and the truth."""
        columns: list[tuple[str, Sequence[Pixels]]] = []
        for pairs in tools.judged(held_out, self.names):
            sources, truths = (side[: tools.SHOWN] for side in (pairs.sources, pairs.truths))
            regressed, made = self._both(self.tensor(sources), pairs.target)
            columns += [] if columns else [(held_out.source, list(sources))]
            columns += [
                (f"regressed {pairs.target}", list(tools.to_pixels(regressed.cpu()))),
                (f"made {pairs.target}", list(tools.to_pixels(made.cpu()))),
                (pairs.target, list(truths)),
            ]
        shown = min((len(rows) for _, rows in columns), default=0)
        return [(label, rows[:shown]) for label, rows in columns]

    def exports(self) -> list[Export]:
        """The regression and its refinement in one network, of one size."""
        size, rows = self.arguments.size, torch.eye(len(self.names))
        card = self.card(
            "reggan",
            target_kind=tools.target_kind(self.names),
            targets=dict(zip(self.names, map(tuple, rows.tolist()), strict=True)),
            condition=self.names,
            condition_input="condition",
            multiple=size,
        )
        inputs = {
            card.image_input: torch.zeros(2, 3, size, size),
            card.condition_input: rows[:1].expand(2, -1).contiguous(),
        }
        return [Export(tools.frozen(self.generator), card, inputs)]

    def _both(self, values: Tensor, target: str) -> tuple[Tensor, Tensor]:
        """Pictures regressed to a target, and refined."""
        row = torch.eye(len(self.names), device=self.device)[self.names.index(target)]
        condition = row.expand(len(values), -1)
        with tools.evaluating([self.generator]):
            regressed = tools.in_parts(self.generator.regression, values, condition)
            return regressed, tools.in_parts(self.generator.refinement, regressed, condition)

    def _verdict(self, regressed: Tensor, picture: Tensor) -> Tensor:
        return self.networks["discriminator"](torch.cat([regressed, picture], 1))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.arguments.size, self.arguments.size, 3

    def _ridge(self, stack: Stack) -> MaskedRidge:
        chosen = self.arguments
        model = MaskedRidge(chosen.penalty, chosen.field, self._shape)
        return model.fit(*stack.rows())

    def _crossed(self, stack: Stack) -> Pixels:
        """Every source regressed by a layer that has not seen the person, (N, S, S, 3)."""
        people = sorted(set(stack.people))
        folds = [frozenset(people)]
        if len(people) > 1:
            folds = grouped_folds(people, min(FOLDS, len(people)), self.arguments.seed)
        made = np.empty_like(stack.targets)
        for fold in folds:
            there = np.array([person in fold for person in stack.people])
            others = stack.select(frozenset(people) - fold)
            model = self._ridge(others if others.pairs else stack)
            values = model.predict(stack.sources[there].reshape(there.sum(), -1))
            made[there] = np.rint(values.clip(0, 1) * 255).reshape(-1, *self._shape)
        return made


def _check(chosen: RegGANArguments) -> None:
    """Raise UsageError for arguments that nothing can be made with."""
    tools.check(chosen, MULTIPLE, smallest_side())
    if chosen.penalty <= 0:
        raise UsageError(f"--penalty is {chosen.penalty:g}; it must be above 0")
    if chosen.field not in range(1, 16, 2):
        raise UsageError(f"--field is {chosen.field}; it must be odd, 1 to 15")
