"""Equations 3.1 to 3.10 of Conditional GAN based Mask Guided Portrait Editing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from deep_onnx.training.tools import adversarial

if TYPE_CHECKING:
    from deep_onnx.portrait.training import PortraitArguments


def local_loss(rebuilt: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    """Eq. 3.1: 1/2 |x_i - D_i(E_i(x_i))|^2, summed over the components; pictures (N, 3, h, w)."""
    each = [0.5 * functional.mse_loss(a, b) for a, b in zip(rebuilt, parts, strict=True)]
    return torch.stack(each).sum()


def global_loss(made: Tensor, source: Tensor) -> Tensor:
    """Eq. 3.2: 1/2 |G - x_s|^2."""
    return 0.5 * functional.mse_loss(made, source)


def discriminator_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Eq. 3.3: -E log D(x) - E log(1 - D(G)), summed over the scales; log odds of any shape."""
    each = [adversarial(a, True) + adversarial(b, False) for a, b in zip(real, made, strict=True)]
    return torch.stack(each).sum()


def sigmoid_loss(made: Sequence[Tensor]) -> Tensor:
    """Eq. 3.4: -E log D(G), summed over the scales."""
    return torch.stack([adversarial(each, True) for each in made]).sum()


def matching_loss(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Eq. 3.5: 1/2 |f(G) - f(x)|^2, summed over the scales.

    The paper calls f both an intermediate and the last layer; here it is the last one before the
    verdict.
    """
    each = [0.5 * functional.mse_loss(a, b.detach()) for a, b in zip(made, real, strict=True)]
    return torch.stack(each).sum()


def parsing_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Eq. 3.7 and 3.8: -E log P(m | P_F(x)); (N, 11, S, S) log odds, (N, S, S) int64 labels."""
    return functional.cross_entropy(logits, mask)


def paired_loss(losses: Mapping[str, Tensor], weights: PortraitArguments) -> Tensor:
    """Eq. 3.6 in Eq. 3.9, of the losses local, global, adversarial, matching and parsing."""
    against = losses["adversarial"] + weights.matching_weight * losses["matching"]
    return (
        weights.local_weight * losses["local"]
        + weights.global_weight * losses["global"]
        + weights.gan_weight * against
        + weights.parsing_weight * losses["parsing"]
    )


def unpaired_loss(losses: Mapping[str, Tensor], weights: PortraitArguments) -> Tensor:
    """Eq. 3.10, of the losses local, adversarial and parsing."""
    return (
        weights.local_weight * losses["local"]
        + weights.gan_weight * losses["adversarial"]
        + weights.parsing_weight * losses["parsing"]
    )
