"""``portrait``: Conditional GAN based Mask Guided Portrait Editing, §3 and §4.

A step has two phases (§3.3), each with an update of the discriminators and one of the framework:
the first on portraits and their own masks, the second on one portrait's components and another's
mask and background. The parser learns alongside, on real portraits only; what it says of made ones
counts for the framework once it has learnt a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deep_onnx.card import Card
from deep_onnx.portrait.folders import PORTRAIT_FRAME
from deep_onnx.portrait.labels import painted
from deep_onnx.portrait.losses import (
    discriminator_loss,
    global_loss,
    local_loss,
    matching_loss,
    paired_loss,
    parsing_loss,
    sigmoid_loss,
    unpaired_loss,
)
from deep_onnx.portrait.network import (
    ENCODER_NORMS,
    EYE_CROPS,
    MASK_ENCODERS,
    SIZES,
    FaceParser,
    MultiscaleDiscriminator,
    ParserGraph,
    PortraitGraph,
    PortraitNetwork,
)
from deep_onnx.portrait.parts import NAMES, folded, one_hot
from deep_onnx.portrait.portraits import (
    Batch,
    PortraitExamples,
    augmented,
    batch_of,
    first,
    portraits_of,
)
from deep_onnx.portrait.windows import Centres
from deep_onnx.training import algorithm, tools
from deep_onnx.training.algorithm import Algorithm, Export, argument, papers
from deep_onnx.training.data import Examples, Learns
from deep_onnx.training.perceptual import Perceptual
from pixelreg.arrays import Pixels
from pixelreg.errors import UsageError

BETAS = (0.5, 0.999)
EMBEDDINGS = ("ae", "vae")
JUDGED, SHOWN, AT_ONCE = 32, 6, 8  # held-out portraits
PARSER_STEPS = 3  # for each of the framework's; it is small, and what it says guides the rest
AXES = 16  # at most, along which new appearances are invented


@dataclass(frozen=True)
class PortraitArguments(algorithm.Arguments):
    """What the portrait framework can be told."""

    batch: int = argument(4, "Portraits a phase; the paper's is 12.")
    rate_step: float = argument(
        0.0,
        "Share of the training between two steps of the learning rate down to 0; 0 lowers it all "
        "the time; the paper's is 10 of 55 epochs.",
    )
    encoder_norm: str = argument(
        "batch", "Norms of the components' encoders (ch. 5).", choices=ENCODER_NORMS
    )
    dropout: float = argument(0.0, "Share dropped after the encoders' layers while training.")
    eye_crop: str = argument(
        "window",
        "Whether the eyes' pictures keep the skin around them (§4.5.1).",
        choices=EYE_CROPS,
    )
    mask_encoder: str = argument(
        "single",
        "One encoder for the mask, or one for each component (§4.5.2).",
        choices=MASK_ENCODERS,
    )
    embedding: str = argument(
        "ae", "Plain or variational auto-encoders of the components (§4.5.3).", choices=EMBEDDINGS
    )
    local_weight: float = argument(10.0, "Weight of the local reconstruction, Eq. 3.1.")
    global_weight: float = argument(
        1.0, "Weight of the global reconstruction, Eq. 3.2; short trainings want 100 or more."
    )
    gan_weight: float = argument(1.0, "Weight of the adversarial losses, Eq. 3.6.")
    parsing_weight: float = argument(1.0, "Weight of the face parsing loss, Eq. 3.8.")
    matching_weight: float = argument(
        10.0, "Weight of the feature matching in Eq. 3.6, which the paper does not tell."
    )
    kl_weight: float = argument(1.0, "Weight of the divergence of variational auto-encoders.")
    perceptual: str = argument(
        "",
        "Weights of VGG-19, of torch.save or safetensors: compare portraits by its layers too.",
        local=True,
    )
    perceptual_weight: float = argument(1.0, "Weight of that loss, Eq. 2.12.")
    parser_start: float = argument(
        0.1, "Share of the training before the parser's word counts for the framework."
    )


class Portrait(Algorithm):
    """The framework, its two discriminators and the face parser.

    Made portraits are parsed against masks whose eyes and mouth are grown by a tenth (§4.2.2); the
    parser itself learns the masks as they are.
    """

    Arguments = PortraitArguments
    paper = papers(size=256, width=64, batch=12, epochs=55, rate_step=10 / 55)
    learns = Learns.MASKS
    examples_of_use = (
        "--size 128 --width 16 --minutes 15",
        "--size 64 --eye-crop tight --mask-encoder multi -o tight.onnx",
    )

    def __init__(self, arguments: PortraitArguments, examples: Examples) -> None:
        super().__init__(arguments, portraits_of(examples))
        _check(arguments)
        self.framework = PortraitNetwork(
            arguments.size,
            arguments.width,
            arguments.eye_crop,
            arguments.mask_encoder,
            arguments.embedding == "vae",
            arguments.encoder_norm,
            arguments.dropout,
        )
        self.seen = Perceptual(Path(arguments.perceptual)) if arguments.perceptual else None
        self.judge = MultiscaleDiscriminator(arguments.width)
        self.parser = FaceParser(arguments.width)
        self.networks = {
            "framework": self.framework,
            "discriminators": self.judge,
            "parser": self.parser,
        }
        self.adam(BETAS)

    @property
    def items(self) -> int:
        """The portraits."""
        return len(self.examples.pictures)

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        """Both phases, and the parser's step."""
        for network in self.networks.values():
            network.train()
        rate = self.arguments.learning_rate
        tools.set_rate(
            self.optimisers,
            tools.fading(rate, tools.stepped(progress, self.arguments.rate_step), 0.0),
        )
        target = self._drawn(items)
        parser = self._parsing(target)
        listens = progress >= self.arguments.parser_start
        same = self._phase(target, target, listens, paired=True)
        other = self._phase(self._others(items, target), target, listens, paired=False)
        losses = {**same, **{f"unpaired {name}": value for name, value in other.items()}}
        return tools.numbers({**losses, **parser})

    def validate(self, held_out: Examples) -> dict[str, float]:
        """How well held-out portraits are rebuilt, and parsed."""
        found: dict[str, list[Tensor]] = {}
        with tools.evaluating(self.networks.values()):
            for batch in self._batches(first(portraits_of(held_out), JUDGED)):
                for name, value in self._judged(batch).items():
                    found.setdefault(name, []).append(value * len(batch.pictures))
        count = min(JUDGED, len(held_out.pictures))
        return {name: float(torch.stack(values).sum()) / count for name, values in found.items()}

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Pixels]]]:
        """Portraits, masks, both again, and each portrait's appearance in the next one's mask."""
        shown = first(portraits_of(held_out), SHOWN)
        if not len(shown.pictures):
            return []
        with tools.evaluating(self.networks.values()):
            batch = self._tensors(shown.pictures, shown.masks, shown.centres)
            again, _, _ = self._made(batch, batch)
            mixed, _, _ = self._made(batch.rolled(), batch)
            parsed = self.parser(batch.pictures).argmax(1).cpu().numpy().astype(np.uint8)
        return [
            ("portrait", list(shown.pictures)),
            ("mask", list(painted(shown.masks))),
            ("parsed", list(painted(parsed))),
            ("again", list(tools.to_pixels(again.cpu()))),
            ("look of", list(np.roll(shown.pictures, 1, axis=0))),
            ("in this mask", list(tools.to_pixels(mixed.cpu()))),
        ]

    def exports(self) -> list[Export]:
        """The framework, and the parser."""
        examples = first(portraits_of(self.examples), 2)
        batch = batch_of(examples.pictures, examples.masks, examples.centres)
        mean, axes = self._appearances()
        count = len(NAMES)
        inputs = {
            "image": batch.pictures,
            "mask": batch.masks,
            "centres": batch.centres,
            "sources": batch.pictures.flip(0)[:, None].expand(-1, count, -1, -1, -1).contiguous(),
            "source_masks": batch.masks.flip(0)[:, None].expand(-1, count, -1, -1).contiguous(),
            "source_centres": batch.centres.flip(0),
            "invented": torch.full((len(batch.pictures), count), 0.25),
            "noise": torch.ones(len(batch.pictures), len(axes)),
        }
        framework = tools.frozen(self.framework)
        framework.local.local = nn.ModuleList()  # only learning needs the pictures rebuilt
        graph = PortraitGraph(folded(framework), mean, axes).eval()
        parser = ParserGraph(folded(tools.frozen(self.parser))).eval()
        return [
            Export(graph, self._card("portrait", "portrait"), inputs),
            Export(
                parser, self._card("portrait-parser", "parse"), {"image": batch.pictures}, "-parser"
            ),
        ]

    def _card(self, architecture: str, task: str) -> Card:
        frame = self.examples.frame or PORTRAIT_FRAME
        facts = {"target_kind": "mask", "source": "portrait", "placement": "face", "frame": frame}
        return self.card(architecture, task=task, **facts)

    def _phase(
        self, source: Batch, target: Batch, listens: bool, paired: bool
    ) -> dict[str, Tensor]:
        """Teach the discriminators, then the framework; the losses."""
        made, rebuilt, extra = self._made(source, target)
        channels = one_hot(target.masks)
        against, _ = self.judge(made.detach(), channels)
        real, wanted = self.judge(target.pictures, channels)
        judging = {"discriminator": discriminator_loss(real, against)}
        tools.descend(self.optimisers["discriminators"], judging, {})
        with tools.still(self.judge, self.parser):
            verdicts, features = self.judge(made, channels)
            losses = {
                "local": local_loss(*rebuilt),
                "adversarial": sigmoid_loss(verdicts),
                "parsing": parsing_loss(self.parser(made), target.grown),
            }
            if paired:
                losses["global"] = global_loss(made, source.pictures)
                losses["matching"] = matching_loss(features, wanted)
                if self.seen is not None:
                    extra = {**extra, "perceptual": self.seen.loss(made, target.pictures)}
            counted = {**losses} if listens else {**losses, "parsing": torch.zeros(())}
            total = (paired_loss if paired else unpaired_loss)(counted, self.arguments)
            weighed = [self._weight(name) * value for name, value in extra.items()]
            tools.descend(self.optimisers["framework"], {"total": total + sum(weighed)}, {})
        return {**losses, **extra, **judging}

    def _weight(self, extra: str) -> float:
        chosen = self.arguments
        return float({"perceptual": chosen.perceptual_weight}.get(extra, chosen.kl_weight))

    def _parsing(self, batch: Batch) -> dict[str, Tensor]:
        """Teach the parser, on this batch and on others; the loss of this one."""
        found = []
        for k in range(PARSER_STEPS):
            if k:
                batch = self._drawn(torch.randint(self.items, (len(batch.pictures),)).tolist())
            found.append({"parser": parsing_loss(self.parser(batch.pictures), batch.masks)})
            tools.descend(self.optimisers["parser"], found[-1], {})
        self.parser.eval()
        return found[0]

    def _made(
        self, source: Batch, target: Batch
    ) -> tuple[Tensor, tuple[list[Tensor], list[Tensor]], dict[str, Tensor]]:
        """Portraits; the components, rebuilt and true; the variational part, if there is one."""
        net = self.framework
        parts, means, spreads = self._encoded(source)
        drawn = net.local.draw(means, spreads)
        made = net.compose(drawn, target.pictures, target.masks, target.centres)
        each = [
            tools.divergence(mean, spread) for mean, spread in zip(means, spreads, strict=False)
        ]
        extra = {"divergence": torch.stack(each).sum()} if each else {}
        return made, (net.local.rebuild(drawn), parts), extra

    def made(self, source: Batch, target: Batch) -> Tensor:
        """Portraits of one's look and the other's mask and background, (N, 3, S, S)."""
        return self._made(source, target)[0]

    def with_skin_of(self, one: Batch, other: Batch) -> Tensor:
        """Portraits again, with the skin of others."""
        parts, skin = (self._encoded(each)[1] for each in (one, other))
        at = NAMES.index("skin")
        mixed = [*parts[:at], skin[at], *parts[at + 1 :]]
        return self.framework.compose(mixed, one.pictures, one.masks, one.centres)

    def _encoded(self, source: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Portraits' components, their means, and log variances where they are variational."""
        net, count = self.framework, len(NAMES)
        parts = net.components([source.pictures] * count, [source.masks] * count, source.centres)
        return parts, *net.local.encode(parts)

    def _judged(self, batch: Batch) -> dict[str, Tensor]:
        made, rebuilt, _ = self._made(batch, batch)
        mixed, _, _ = self._made(batch.rolled(), batch)
        logits = self.parser(batch.pictures)
        seen = {} if self.seen is None else {"perceptual": self.seen.loss(made, batch.pictures)}
        return {
            "global": global_loss(made, batch.pictures),
            "local": local_loss(*rebuilt),
            "parser": parsing_loss(logits, batch.masks),
            "parser error": (logits.argmax(1) != batch.masks).float().mean(),
            "unpaired parsing": parsing_loss(self.parser(mixed), batch.masks),
            **seen,
        }

    def _batches(self, portraits: PortraitExamples) -> Iterator[Batch]:
        """Portraits as they are, some at a time."""
        for start in range(0, len(portraits.pictures), AT_ONCE):
            p = slice(start, start + AT_ONCE)
            yield self._tensors(portraits.pictures[p], portraits.masks[p], portraits.centres[p])

    def _drawn(self, items: Sequence[int]) -> Batch:
        """Portraits by their numbers, changed at random if wanted."""
        examples, chosen = portraits_of(self.examples), list(items)
        arrays = examples.pictures[chosen], examples.masks[chosen], examples.centres[chosen]
        return self._tensors(*(augmented(*arrays) if self.arguments.augment else arrays))

    def _others(self, items: Sequence[int], batch: Batch) -> Batch:
        """For every portrait another one, where there is one."""
        if len(items) > 1 or self.items == 1:
            return batch.rolled()
        further = int(torch.randint(1, self.items, ()))
        return self._drawn([(items[0] + further) % self.items])

    def _tensors(self, pictures: Pixels, masks: Pixels, centres: Centres) -> Batch:
        return batch_of(pictures, masks, centres, self.device)

    def _appearances(self) -> tuple[Tensor, Tensor]:
        """The mean embedding of the learning portraits, and the axes along which they vary.

        All five components' embeddings are taken together, so that an invented portrait's eyes
        suit its skin.
        """
        rows = []
        with tools.evaluating(self.networks.values()):
            for batch in self._batches(portraits_of(self.examples)):
                rows.append(torch.cat(self._encoded(batch)[1], dim=1).cpu())
        all_rows = torch.cat(rows)
        mean = all_rows.mean(0)
        _, values, axes = torch.linalg.svd(all_rows - mean, full_matrices=False)
        kept = max(1, min(AXES, self.items - 1))
        scale = values[:kept] / max(1, self.items - 1) ** 0.5
        return mean, scale[:, None] * axes[:kept]


def _check(arguments: PortraitArguments) -> None:
    if arguments.size not in SIZES:
        raise UsageError(
            f"portraits must have a --size of {', '.join(map(str, SIZES))}, not {arguments.size}"
        )
    tools.check(arguments, 16, SIZES[0])
    if arguments.rate_step > 1 or arguments.dropout >= 1:
        raise UsageError("--rate-step is a share, 0 to 1, and --dropout one below 1")
    if arguments.parser_start > 1:
        raise UsageError(f"--parser-start is a share, 0 to 1, not {arguments.parser_start:g}")
