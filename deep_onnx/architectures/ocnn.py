"""``ocnn``: faces moved by blendshape parameters, a mask and a picture from one network.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model* (OCNN).
The parameter vector p of a photograph is the flow from it to the same person's neutral one,
projected on components that were learnt from such flows; p of the neutral one is 0. Every pair is
learnt both ways with its own p, and back again: I_gen = G(I_org, p_trg), I_rec = G(I_gen, p_org);
so are one person's expressions among themselves. A regressor beside learns p from one picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.blendshape_regressor import (
    Regressor,
    regression_errors,
    regression_loss,
)
from deep_onnx.architectures.pair_parameters import (
    PairParameters,
    given_parameters,
    learn_parameters,
)
from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.architectures.told_faces import told_faces
from deep_onnx.architectures.tuned_weights import LEAST, Cost, Search, search_layers, search_start
from deep_onnx.architectures.two_head import SCALES, Generator, multiple_of
from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument, papers
from deep_onnx.training.data import Examples, Learns
from pixelreg.arrays import Pixels
from pixelreg.errors import UsageError
from pixelreg.shapes.file import load
from pixelreg.shapes.picture import draw

SMALLEST = 32  # side of pictures in which flow can be found
SMOOTH = 0.2  # on [-1, 1]
TUNED = ("none", "initial", "head")


@dataclass(frozen=True)
class OCNNArguments(algorithm.Arguments):
    """What OCNN can be told. The paper gives no number, but five blendshapes."""

    width: int = argument(16, "Channels of the generator's first layer.")
    batch: int = argument(8, "Pictures a step.")
    learning_rate: float = argument(2e-3, "Step size of Adam.")
    blocks: int = argument(4, "Residual blocks in the middle of the generator.")
    scale: int = argument(
        1, "Mask and picture are made at one over this size: 2 and 4 are faster.", choices=SCALES
    )
    components: int = argument(5, "Blendshapes, the numbers that a face is made from.")
    sparsity: float = argument(0.1, "How sparse blendshapes are: 0 is dense, under 1.")
    shapes: str = argument(
        "",
        "File of pixelreg blendshape (flow, landmarks or meshes), whatever --components says; "
        "empty: learnt here.",
        local=True,
    )
    across: bool = argument(True, "Learn from one expression to another as well.")
    reconstruction: float = argument(1.0, "Weight of the distance to the target.")
    recovered: float = argument(0.2, "Weight of coming back to the same picture.")
    attention: float = argument(0.001, "Weight of small masks, Eq. 15.")
    adversarial: float = argument(0.0, "Weight of deceiving a PatchGAN; 0 makes none.")
    penguins: str = argument(
        "none", "Penguins search the first weights, or the last layers.", choices=TUNED
    )
    penguin_evaluations: int = argument(256, "How many networks penguins may try.")


def distance(made: Tensor, truth: Tensor) -> Tensor:
    """L1 of differences above `SMOOTH`, squares of smaller ones (Huber), mean of all.

    An expression leaves most of a face as it is. Under plain L1 all those pixels pull as strongly
    as the few that should change, and the mask soon closes for ever.
    """
    return functional.smooth_l1_loss(made, truth, beta=SMOOTH)


def attention_loss(mask: Tensor, mask_back: Tensor) -> Tensor:
    """Eq. 15: (||G_m(I_org, p_trg)||_1 + ||G_m(I_gen, p_org)||_1) / (W H), mean over the batch.

    Both masks are (N, 1, h, w) on [0, 1]; W and H are the masks' own, so that the weight means the
    same at every scale.
    """
    return mask.abs().mean() + mask_back.abs().mean()


def check(chosen: OCNNArguments) -> None:
    """Raise UsageError for arguments that nothing can be made with."""
    if chosen.scale not in SCALES:
        raise UsageError(f"--scale is {chosen.scale}; it must be 1, 2 or 4")
    if chosen.components < 1:
        raise UsageError(f"--components is {chosen.components}; it must be 1 or more")
    if chosen.penguins not in TUNED:
        raise UsageError(f"--penguins is {chosen.penguins!r}; choose from {', '.join(TUNED)}")
    if chosen.penguins != "none" and chosen.penguin_evaluations < LEAST:
        raise UsageError(f"--penguin-evaluations must be {LEAST} or more")
    smallest = max(SMALLEST, smallest_side() if chosen.adversarial else 0)
    tools.check(chosen, multiple_of(chosen.scale), smallest)


BETAS = (0.5, 0.999)
OPEN = 0.5  # the share in which masks may stay open; Eq. 15 gains its weight little by little
FADES = 0.5  # the share of the training after which the learning rate falls to 0
HEADS_AT = 0.9  # the share after which penguins take the heads over
LOOKED_AT = 16  # pairs that penguins judge weights on
SLID = 3  # components that a sample sheet shows at -1 and 1


class OCNN(Algorithm):
    """Learns to give a face the blendshape parameters that it is told.

    told : the pairs of all targets.
    search : what penguins did, or None so far.
    """

    Arguments = OCNNArguments
    paper = papers(components=5, penguins="head", keep="last")
    learns = Learns.SEVERAL
    examples_of_use = (
        "--size 128 --width 16 --minutes 15",
        "--expr happy --penguins head --steps 2000 -o happy.onnx",
    )

    def __init__(self, arguments: OCNNArguments, examples: Examples) -> None:
        super().__init__(arguments, examples)
        check(arguments)
        shapes = load(Path(arguments.shapes)) if arguments.shapes else None
        count = shapes.count if shapes else arguments.components
        self.generator = Generator(count, arguments.width, arguments.blocks, arguments.scale)
        self.told = told_faces(examples, arguments.across)
        sides = self.told.sources, self.told.targets, self.told.labels
        self.parameters: PairParameters = (
            given_parameters(shapes, *sides)
            if shapes
            else learn_parameters(*sides, count, arguments.sparsity, examples.frame)
        )
        self.search: Search | None = None
        self.networks: dict[str, nn.Module] = {"generator": self.generator}
        if arguments.adversarial:
            self.networks["discriminator"] = PatchDiscriminator(6, arguments.width)
        self.networks["regressor"] = Regressor(count, arguments.size, arguments.width)
        self.adam(BETAS)
        self._own: tuple[Examples, dict[str, Tensor]] | None = None

    @property
    def items(self) -> int:
        """All pairs there, then all pairs back, then those between a person's expressions."""
        return len(self.told.ways)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        tools.set_rate(self.optimisers, tools.fading(self.arguments.learning_rate, progress, FADES))
        self._send_penguins(progress >= HEADS_AT)
        for network in self.networks.values():
            network.train()
        source, target, wanted, shown = self.draw(items, bool(self.arguments.augment))
        guess = regression_loss(self.networks["regressor"], source, target, shown, wanted)
        tools.descend(self.optimisers["regressor"], {"parameters": guess}, {})
        made, losses = self.losses(source, target, wanted, shown)
        weights = self.weights
        weights["attention"] *= min(1.0, progress / OPEN)
        told = {"parameters": guess}
        if "discriminator" in self.networks:
            told |= {"discriminator": self._learn_discriminator(source, target, made.detach())}
            with tools.still(self.networks["discriminator"]):
                losses["adversarial"] = tools.adversarial(self._verdict(source, made), True)
                tools.descend(self.optimisers["generator"], losses, weights)
        else:
            tools.descend(self.optimisers["generator"], losses, weights)
        return tools.numbers(losses | told)

    def losses(
        self, source: Tensor, target: Tensor, wanted: Tensor, shown: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What pictures become, and what the generator minimises, before weights.

        source, target : (N, 3, S, S) on [-1, 1].
        wanted, shown : (N, k), p of the target and of the source.
        """
        made, mask = self.generator.composed(source, wanted)
        again, mask_back = self.generator.composed(made, shown)
        return made, {
            "reconstruction": distance(made, target),
            "recovered": distance(again, source),
            "attention": attention_loss(mask, mask_back),
        }

    @property
    def weights(self) -> dict[str, float]:
        """What the generator's losses weigh."""
        names = ("reconstruction", "recovered", "attention", "adversarial")
        return {name: getattr(self.arguments, name) for name in names}

    def draw(self, items: Sequence[int], changed: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pictures, what they are to become, p of the latter, p of the former.

        ``changed`` mirrors and shifts the pictures at random; see `ToldFaces.draw`.
        """
        source, target, wanted, shown = self.told.draw(items, self.parameters, changed)
        to = self.device
        return self.tensor(source), self.tensor(target), wanted.to(to), shown.to(to)

    def finish(self) -> None:
        """Penguins that were not asked yet, as in a short training, search now."""
        self._send_penguins(True)

    def validate(self, held_out: Examples) -> dict[str, float]:
        """L1 to the truth with everybody's own p, with the names' mean p, and of untouched
        pictures; how much of the pictures is masked; and how far the regressor's p is off."""
        own = self._own_parameters(held_out)
        found: dict[str, list[Tensor]] = {"own": [], "l1": [], "untouched": [], "mask": []}
        for pairs in tools.judged(held_out, own):
            source, truth = (self.tensor(side) for side in (pairs.sources, pairs.truths))
            mean = self._condition(pairs.target, len(source))
            for name, p in (("l1", mean), ("own", own[pairs.target].to(mean))):
                made = self._in_parts(source, p)
                found[name].append((made - truth).abs().mean((1, 2, 3)))
            found["untouched"].append((source - truth).abs().mean((1, 2, 3)))
            masks = self._in_parts(source, mean, masks=True)
            found["mask"].append(masks.mean((1, 2, 3)))
        means = {name: float(torch.cat(rows).mean()) for name, rows in found.items() if rows}
        return means | self._regression(held_out, own)

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Every target made and true, its mask (white: the picture changes), its p drawn, and the
        first components at -1 and 1."""
        columns: list[tuple[str, Sequence[Pixels]]] = []
        for pairs in tools.judged(held_out, self.parameters.expressions):
            sources, truths = (side[: tools.SHOWN] for side in (pairs.sources, pairs.truths))
            values = self.tensor(sources)
            p = self._condition(pairs.target, len(values))
            masks = self._in_parts(values, p, masks=True)
            large = functional.interpolate(masks, values.shape[2:]).expand(-1, 3, -1, -1)
            columns += [
                (held_out.source, list(sources)),
                (f"made {pairs.target}", self._made(values, p)),
                (pairs.target, list(truths)),
                ("mask", list(tools.to_pixels(large.cpu(), 0.0, 1.0))),
                (
                    "p",
                    [draw(self.parameters.shapes, row.cpu().numpy(), len(sources[0])) for row in p],
                ),
            ]
        if columns:
            for k, name in enumerate(self.parameters.shapes.names[:SLID]):
                for value in (-1.0, 1.0):
                    alone = torch.zeros_like(p)
                    alone[:, k] = value
                    columns.append((f"{name} {value:+.0f}", self._made(values, alone)))
        return columns

    def exports(self) -> list[Export]:
        """The generator, with the names' mean p; the source's, 0, is last."""
        size, shapes = self.arguments.size, self.parameters.shapes
        expressions = self.parameters.expressions
        source = self.examples.source
        card = self.card(
            "ocnn",
            target_kind="blendshapes",
            targets={**expressions, source: (0.0,) * shapes.count},
            condition=shapes.names,
            condition_range=(-1.0, 1.0),
            condition_input="condition",
            dynamic=True,
            multiple=self.generator.multiple,
            notes=self._notes(),
        )
        image = torch.zeros(2, 3, size, size)
        wanted = torch.tensor(next(iter(expressions.values()))).expand(2, -1)
        inputs = {card.image_input: image, card.condition_input: wanted}
        facts = {"task": "measure", "target_kind": "blendshapes", "output": "parameters"}
        entries = {"entries": list(shapes.names)}
        told = self.card("ocnn", **facts, multiple=size, notes=entries)
        face = torch.linspace(-1, 1, 6 * size * size).reshape(2, 3, size, size)
        return [
            Export(tools.frozen(self.generator), card, inputs),
            Export(tools.frozen(self.networks["regressor"]), told, {"image": face}, "-parameters"),
        ]

    def state(self) -> dict[str, Tensor]:
        """The pairs' parameters, and what penguins did."""
        state = {f"parameters/{k}": value for k, value in self.parameters.state().items()}
        if self.search is not None:
            row = tuple(asdict(self.search).values())
            state["search"] = torch.tensor(row, dtype=torch.float64)
        return state

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        found = {key.removeprefix("parameters/"): value.cpu() for key, value in tensors.items()}
        self.parameters = self.parameters.restored(found)
        if "search" in found:
            dimensions, evaluations, before, after = found["search"].tolist()
            self.search = Search(int(dimensions), int(evaluations), before, after)
            self._hold_heads()

    def _learn_discriminator(self, source: Tensor, target: Tensor, made: Tensor) -> Tensor:
        against = tools.discrimination(self._verdict(source, target), self._verdict(source, made))
        tools.descend(self.optimisers["discriminator"], {"discriminator": against}, {})
        return against

    def _verdict(self, source: Tensor, picture: Tensor) -> Tensor:
        return self.networks["discriminator"](torch.cat([source, picture], 1))

    def _send_penguins(self, late: bool) -> None:
        """Let penguins search, once: before all gradients, or after most of them (``late``).

        The heads then stay as penguins leave them, while gradients go on in all other layers.
        """
        chosen = self.arguments
        if self.search is not None or chosen.penguins == "none":
            return
        if chosen.penguins == "initial":
            cost = self._cost(fresh=True)
            self.search = search_start(self.generator, cost, chosen.penguin_evaluations)
        elif late:
            self.search = search_layers(self._heads, self._cost(), chosen.penguin_evaluations)
            self._hold_heads()

    def _cost(self, fresh: bool = False) -> Cost:
        """Of the generator as it is: its weighted losses on some pairs, always the same.

        ``fresh`` takes the norms' statistics from those pairs, as they have not learnt any yet.
        """
        spread = np.linspace(0, self.items - 1, min(LOOKED_AT, self.items)).round().astype(int)
        batch = self.draw(spread.tolist(), changed=False)

        def cost() -> float:
            with tools.evaluating([self.generator]):
                self.generator.train(fresh)
                losses = self.losses(*batch)[1]
                return float(sum(self.weights[name] * loss for name, loss in losses.items()))

        return cost

    @property
    def _heads(self) -> list[nn.Module]:
        return [self.generator.heads]

    def _hold_heads(self) -> None:
        if self.arguments.penguins == "head":
            for head in self._heads:
                head.requires_grad_(False)
                for parameter in head.parameters():
                    parameter.grad = None

    def _condition(self, target: str, count: int) -> Tensor:
        p = torch.tensor(self.parameters.expressions[target], device=self.device)
        return p.expand(count, -1)

    def _made(self, values: Tensor, p: Tensor) -> list[Pixels]:
        return list(tools.to_pixels(self._in_parts(values, p).cpu()))

    def _in_parts(self, values: Tensor, p: Tensor, masks: bool = False) -> Tensor:
        """Pictures made, or their masks, as the exported network makes them."""
        generator = self.generator
        with tools.evaluating([generator]):
            if masks:
                return tools.in_parts(lambda *part: generator.masks(*part)[0], values, p)
            return tools.in_parts(generator, values, p)

    def _own_parameters(self, held_out: Examples) -> dict[str, Tensor]:
        """p of other people's pairs, by target; flow takes long, so it is found once."""
        if self._own is None or self._own[0] is not held_out:
            known = self.parameters.expressions
            own = {
                pairs.target: self.parameters.of(pairs.sources, pairs.truths, pairs.target)
                for pairs in tools.judged(held_out, known)
            }
            self._own = held_out, own
        return self._own[1]

    def _regression(self, held_out: Examples, own: Mapping[str, Tensor]) -> dict[str, float]:
        """How far p of other people's faces is off, by one picture alone."""
        rows = [(each.truths, own[each.target]) for each in tools.judged(held_out, own)]
        rows += [
            (each.sources, torch.zeros_like(own[each.target]))
            for each in tools.judged(held_out, own)
        ]
        if not rows:
            return {}
        regressor = self.networks["regressor"]
        with tools.evaluating([regressor]):
            found = [tools.in_parts(regressor, self.tensor(faces)).cpu() for faces, _ in rows]
        return regression_errors(torch.cat(found), torch.cat([p for _, p in rows]))

    def _notes(self) -> dict[str, object]:
        chosen, shapes = self.arguments, self.parameters.shapes
        return {
            "scale": chosen.scale,
            "blocks": chosen.blocks,
            "ranges_px": [round(float(value), 3) for value in shapes.ranges],
            "explained": self.parameters.explained and round(self.parameters.explained, 4),
            "penguins": "none" if self.search is None else chosen.penguins,
            **({} if self.search is None else {"search": asdict(self.search)}),
        }
