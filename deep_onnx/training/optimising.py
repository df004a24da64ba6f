"""What adversarial algorithms share: gradient penalty, learning rates, networks held still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor) -> Tensor:
    """How far a critic's slope is from 1 between real and made pictures.

    The mean of (||grad critic(x)|| - 1)^2 over x = a real + (1 - a) made, one uniform a a picture
    (Gulrajani et al., 2017, Eq. 3). It can be differentiated for the critic's parameters.

    Parameters
    ----------
    critic : (N, C, H, W) -> values, N first; where there are several for a picture, the slope is
        that of their sum, as in the code of StarGAN's authors.
    real, made : (N, C, H, W); neither is differentiated.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real.detach() + (1 - share) * made.detach()).requires_grad_(True)
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def fading(rate: float, progress: float, start: float) -> float:
    """A learning rate that stays until ``start`` and then goes straight to 0 at 1."""
    return rate * min(1.0, max(0.0, 1.0 - progress) / (1.0 - start))


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
