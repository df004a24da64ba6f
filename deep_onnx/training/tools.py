"""What several algorithms need: first weights, augmenting, losses, optimisers, sheets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.training.data import Examples
from pixelreg.arrays import Pixels
from pixelreg.data.expressions import CANONICAL, in_order
from pixelreg.errors import DataError, InvalidArrayError, UsageError
from pixelreg.models.model import Frame

STD = 0.02


def normal_weights(module: nn.Module) -> None:
    """Draw every weight of a network as the GAN papers do, from torch's global generator.

    Convolutions and dense layers: N(0, 0.02²), biases 0. Norms with learnt scales: N(1, 0.02²) and
    shifts 0.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0.0, STD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, (nn.BatchNorm2d, nn.InstanceNorm2d)) and part.affine:
            nn.init.normal_(part.weight, 1.0, STD)
            nn.init.zeros_(part.bias)


def kaiming_weights(module: nn.Module, slope: float) -> None:
    """Draw weights so that leaky ReLUs keep the signal's variance, biases 0 (He et al. 2015).

    From torch's global generator. Decoders without norms need it: with N(0, 0.02²), or Glorot's
    rule, the signal fades on its way through six layers, and training is long content with a
    picture of one colour. A value that a transposed convolution makes comes from as many weights
    as the kernel has, over the square of the stride.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            fan = part.weight[0].numel()
            if isinstance(part, nn.ConvTranspose2d):
                fan = part.in_channels * part.weight[0, 0].numel() // math.prod(part.stride)
            nn.init.normal_(part.weight, 0.0, math.sqrt(2.0 / ((1.0 + slope**2) * fan)))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


SHARE = 16  # a shift is at most this part of the side


def augment(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Mirror and shift pictures at random, those that belong together alike.

    Picture b of every stack is mirrored with probability 1/2, and moved by up to S // 16 pixels
    each way; its edge is repeated outside. The random numbers are drawn from torch's global
    generator, which the training loop seeds at every step.

    pictures : stacks of one shape (B, S, S, 3) uint8.

    Returns: New stacks of the same shapes.
    """
    shapes = {stack.shape for stack in pictures}
    if len(shapes) != 1 or any(len(shape) != 4 for shape in shapes):
        raise InvalidArrayError(
            f"pictures to augment must be stacks of one shape, not {sorted(shapes)}"
        )
    count, height, width, _ = shapes.pop()
    mirrored = torch.randint(2, (count,)).tolist()
    moves = [
        torch.randint(-(side // SHARE), side // SHARE + 1, (count,)) for side in (height, width)
    ]
    rows, columns = (
        np.clip(np.arange(side) - move.numpy()[:, None], 0, side - 1)
        for side, move in zip((height, width), moves, strict=True)
    )
    for b in range(count):
        if mirrored[b]:
            columns[b] = columns[b][::-1]
    places = np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    return [stack[places] for stack in pictures]


#: What a picture on [0, 1] can be compared with another by (Face2Sketch IV-A).
PIXELWISE: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "bce": functional.binary_cross_entropy,
}


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of log odds, any shape: -log D if they should be real, else -log(1 - D).

    The mean over a PatchGAN's patches is the average of its answers that the paper speaks of.
    """
    wanted = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return functional.binary_cross_entropy_with_logits(logits, wanted)


def discrimination(real: Tensor, made: Tensor) -> Tensor:
    """What a discriminator minimises: the negative of Eq. 2 of Face2Sketch, halved.

    Halving slows it down relative to the generator (Isola et al. 2017).
    """
    return 0.5 * (adversarial(real, True) + adversarial(made, False))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of a diagonal Gaussian from N(0, 1), summed over the latent, mean over N.

    Both are (N, latent). Kingma & Welling 2014, Appendix B.
    """
    each = 1.0 + log_variance - mean.square() - log_variance.exp()
    return -0.5 * each.sum(dim=1).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor) -> Tensor:
    """How far a critic's slope is from 1 between real and made pictures.

    The mean of (||grad critic(x)|| - 1)^2 over x = a real + (1 - a) made, one uniform a a picture
    (Gulrajani et al., 2017, Eq. 3). It can be differentiated for the critic's parameters.

    critic : (N, C, H, W) -> values, N first; where there are several for a picture, the slope is
        that of their sum, as in the code of StarGAN's authors.
    real, made : (N, C, H, W); neither is differentiated.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real.detach() + (1 - share) * made.detach()).requires_grad_(True)
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slopes.flatten(1).norm(dim=1) - 1).square().mean()


def fading(rate: float, progress: float, start: float) -> float:
    """A learning rate that stays until ``start`` and then goes straight to 0 at 1."""
    return rate * min(1.0, max(0.0, 1.0 - progress) / (1.0 - start))


def stepped(progress: float, share: float) -> float:
    """The progress when the last whole ``share`` of a training was over; for 0 as it is."""
    return progress if share <= 0 else math.floor(progress / share + 1e-9) * share


def set_rate(optimisers: Mapping[str, torch.optim.Optimizer], rate: float) -> None:
    """Give all optimisers one learning rate."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = rate


@contextmanager
def still(*networks: nn.Module) -> Iterator[None]:
    """Networks that gradients pass through, without being computed for their own parameters."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


def descend(
    optimiser: torch.optim.Optimizer, losses: Mapping[str, Tensor], weights: Mapping[str, float]
) -> None:
    """One step down the weighted sum of some losses; those without a weight count as they are."""
    optimiser.zero_grad(set_to_none=True)
    total: Any = sum(weights.get(name, 1.0) * loss for name, loss in losses.items())
    total.backward()
    optimiser.step()


def numbers(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Losses as they are reported."""
    return {name: float(loss.detach()) for name, loss in losses.items()}


JUDGED = 32  # held-out pairs a target, at most, that a validation looks at
SHOWN = 6  # rows of a contact sheet
AT_ONCE = 8  # pictures
COUNTS = ("width", "batch", "layers", "critic_steps")  # arguments that must not be 0


def labels(examples: Examples) -> tuple[str, ...]:
    """What the pictures show, canonical expressions first."""
    return tuple(in_order(set(examples.labels)))


def showing(examples: Examples, label: str) -> Pixels:
    """The pictures with a label, (K, S, S, 3) uint8."""
    pictures = examples.showing(label)
    if not len(pictures):
        known = ", ".join(labels(examples)) or "nothing"
        raise DataError(f"no picture to learn from shows {label!r}; they show {known}")
    return pictures


def check(arguments: Any, multiple: int, smallest: int) -> None:
    """Refuse arguments that no network can be made with."""
    size = arguments.size
    if size % multiple or size < smallest:
        raise UsageError(
            f"pictures of {size} pixels do not suit this architecture; choose a --size that is a "
            f"multiple of {multiple}, {smallest} at the least"
        )
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        least = 1 if field.name in COUNTS else 0
        if field.name == "seed" or isinstance(value, (str, bool)):
            continue
        if not least <= value < math.inf:
            option = field.name.replace("_", "-")
            raise UsageError(f"--{option} is {value:g}; it must be {least} or more")


def target_kind(names: Iterable[str]) -> str:
    """What labels stand for, for a card."""
    return "expression" if set(names) <= set(CANONICAL) else "domain"


class Judged(NamedTuple):
    """Held-out pairs of one target, (N, S, S, 3) uint8."""

    target: str
    sources: Pixels
    truths: Pixels


def judged(held_out: Examples, targets: Iterable[str]) -> list[Judged]:
    """The first held-out pairs of each target that has some."""
    stacks = {name: held_out.stacks[name] for name in targets if name in held_out.stacks}
    return [
        Judged(name, stack.sources[:JUDGED], stack.targets[:JUDGED])
        for name, stack in stacks.items()
        if len(stack.sources)
    ]


def in_parts(function: Callable[..., Tensor], *stacks: Tensor) -> Tensor:
    """``function(*stacks)`` a few rows at a time, without gradients."""
    starts = range(0, len(stacks[0]), AT_ONCE)
    with torch.no_grad():
        return torch.cat([function(*(stack[k : k + AT_ONCE] for stack in stacks)) for k in starts])


def to_tensor(pictures: Pixels, low: float = -1.0, high: float = 1.0) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 on [low, high]."""
    values = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    return values.float() * ((high - low) / 255.0) + low


def to_pixels(values: Tensor, low: float = -1.0, high: float = 1.0) -> Pixels:
    """(N, 3, H, W) on [low, high] -> (N, H, W, 3) uint8, clipped."""
    scaled = (values.detach() - low) * (255.0 / (high - low))
    return scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def placement(frame: Frame | None, dynamic: bool) -> str:
    """Which part of a photograph a model takes."""
    if frame is not None:
        return "face"
    return "whole" if dynamic else "square"


def chunks(count: int) -> Iterator[slice]:
    """0 … count, a few at a time."""
    for start in range(0, count, AT_ONCE):
        yield slice(start, min(start + AT_ONCE, count))


@contextmanager
def evaluating(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Networks in evaluation mode, nothing learnt; afterwards in the mode that they were in."""
    before = [(network, network.training) for network in networks]
    try:
        for network, _ in before:
            network.eval()
        with torch.no_grad():
            yield
    finally:
        for network, training in before:
            network.train(training)


Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """A copy on the CPU in evaluation mode, which further training does not change."""
    return deepcopy(network).cpu().eval().requires_grad_(False)
