"""From one picture to its blendshape parameters.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model*, whose
conclusion names "a regression network that maps the image into various blend shape boundaries" and
tells nothing of its form. Here: four convolutions of stride 2, and a dense layer with tanh, which
sees where in the aligned face a thing is. It learns beside the generator, from the same pictures,
the parameters that flow gave them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

HALVINGS = 4
WIDEST = 4  # times the channels of the first layer


class Regressor(nn.Module):
    """Blendshape parameters p of faces.

    components : length k of p.
    size : side of the pictures in pixels, which is fixed.
    width : channels of the first layer.
    """

    def __init__(self, components: int, size: int, width: int) -> None:
        super().__init__()
        channels = [3, *(width * min(2**level, WIDEST) for level in range(HALVINGS))]
        layers: list[nn.Module] = []
        for before, now in pairwise(channels):
            layers += [nn.Conv2d(before, now, 3, 2, 1, bias=False), nn.BatchNorm2d(now), nn.ReLU()]
        side = -(-size // 2**HALVINGS)
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(channels[-1] * side * side, components)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) on [-1, 1] -> (N, k) on [-1, 1]."""
        return torch.tanh(self.last(self.features(image).flatten(1)))


def regression_loss(
    regressor: nn.Module, source: Tensor, target: Tensor, shown: Tensor, wanted: Tensor
) -> Tensor:
    """Mean squared error of p of both pictures, which go through the norms together.

    source, target : (N, 3, S, S) on [-1, 1]; shown, wanted : (N, k), p of the one and the other.
    """
    found = regressor(torch.cat([source, target]))
    return functional.mse_loss(found, torch.cat([shown, wanted]))


def regression_errors(found: Tensor, truth: Tensor) -> dict[str, float]:
    """Mean |error| of p, and that of somebody who always says the mean of the truths, both (N, k).

    The second is what a regressor has to be better than.
    """
    return {
        "p error": float((found - truth).abs().mean()),
        "p spread": float((truth.mean(0) - truth).abs().mean()),
    }
