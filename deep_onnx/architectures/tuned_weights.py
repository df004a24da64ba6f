"""Weights of a network found by penguins instead of gradients (paper 000, §4.2.2).

The paper lets Improved Penguin Optimisation choose "the weight values" of its convolutions, without
saying of which layers or how many. Half a million numbers cannot be searched by some hundred
evaluations, so there are two smaller searches: of how a network starts, in two numbers a layer, and
of the last layers, in all of their weights. The fitness is Eq. 9-10: how little the output differs
from the target, on pictures that are the same for all penguins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deep_onnx.architectures.penguin import minimise
from pixelreg.arrays import Float64

PENGUINS, GROUPS = 16, 4
LEAST = 2 * PENGUINS  # evaluations
RADIUS = 0.5  # of the last layers' weights, in their standard deviations

Cost = Callable[[], float]


@dataclass(frozen=True)
class Search:
    """What penguins found.

    before, after : the cost with the weights that were there, and with those that are now.
    """

    dimensions: int
    evaluations: int
    before: float
    after: float


def search_start(network: nn.Module, cost: Cost, evaluations: int) -> Search:
    """Choose the weights that gradient descent starts from.

    Every convolution's weights W become cos a W + sin a (cos b V1 + sin b V2), where V1 and V2 are
    two more draws of the size of W: two angles for each layer. The size itself is not searched,
    for norms take it away. One penguin starts at W, so that nothing gets worse on the pictures of
    ``cost``. Norms forget the statistics that the search gave them.

    evaluations : at most; `LEAST` or more.
    """
    kept = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d)]
    first = [weight.detach().clone() for weight in kept]
    others = [torch.randn(2, *weight.shape).to(weight) * weight.std() for weight in first]

    def put(place: Float64) -> None:
        angles = place.reshape(-1, 2)
        for weight, w, (v1, v2), (a, b) in zip(kept, first, others, angles, strict=True):
            turned = math.cos(b) * v1 + math.sin(b) * v2
            weight.copy_(math.cos(a) * w + math.sin(a) * turned)

    count = 2 * len(kept)
    bounds = np.tile([-math.pi, math.pi], (count, 1))
    found = _search(put, cost, np.zeros(count), bounds, evaluations)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    return found


def search_layers(layers: Sequence[nn.Module], cost: Cost, evaluations: int) -> Search:
    """Improve all weights of some layers, each by up to half its tensor's standard deviation.

    One penguin starts at the weights that are there, so that nothing gets worse on the pictures
    of ``cost``.

    evaluations : at most; `LEAST` or more.
    """
    kept = [value for layer in layers for value in layer.parameters()]
    start = nn.utils.parameters_to_vector(kept).detach().double().cpu().numpy()
    spread = [np.full(value.numel(), _spread(value)) for value in kept]
    radius = RADIUS * np.concatenate(spread)

    def put(place: Float64) -> None:
        nn.utils.vector_to_parameters(torch.from_numpy(place).to(kept[0]), kept)

    bounds = np.column_stack([start - radius, start + radius])
    return _search(put, cost, start, bounds, evaluations)


def _search(
    put: Callable[[Float64], None], cost: Cost, start: Float64, bounds: Float64, evaluations: int
) -> Search:
    def function(place: Float64) -> float:
        put(place)
        return cost()

    with torch.no_grad():
        before = function(start)
        found = minimise(
            function,
            bounds,
            groups=GROUPS,
            penguins=PENGUINS,
            evaluations=evaluations,
            seed=int(torch.randint(2**31, ())),
            start=start,
        )
        put(found.x)
    return Search(len(start), found.evaluations + 1, before, found.fun)


def _spread(value: Tensor) -> float:
    """Standard deviation; of a single number, its size."""
    return float(value.detach().std()) if value.numel() > 1 else float(value.detach().abs())
