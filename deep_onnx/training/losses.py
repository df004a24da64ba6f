"""Losses that several algorithms share. Batches come first; every result is one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

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
