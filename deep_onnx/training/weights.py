"""How networks start: the first weights of the papers."""

from __future__ import annotations

import math

from torch import nn

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
