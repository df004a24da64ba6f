"""StarGAN's networks: one generator for all labels, one critic that also tells the label.

Names and shapes of the parameters are those of the authors' code, so that their weights load. Their
instance norms keep running statistics, and their test script leaves the network in training mode,
where those are not used: here the norms keep none, which gives the very same pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MULTIPLE = 4  # height and width of a picture must be divisible by this
SLOPE = 0.01  # of the critic's leaky ReLU


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        changed: Tensor = values + self.main(values)
        return changed


class Generator(nn.Module):
    """A picture in another expression (Choi et al., CVPR 2018, table 4).

    Parameters
    ----------
    classes : length of the condition.
    width : channels of the first layer; 64 in the paper.
    blocks : residual blocks; 6 in the paper.
    """

    def __init__(self, classes: int, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        last = [nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*trunk(3 + classes, width, blocks), *last)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Translate pictures.

        Parameters
        ----------
        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.
        condition : (N, classes) float32, one-hot.

        Returns
        -------
        (N, 3, H, W) on [-1, 1].
        """
        made: Tensor = self.main(joined(image, condition))
        return made


class Discriminator(nn.Module):
    """A critic of realness that also tells the condition (Choi et al., table 5).

    Parameters
    ----------
    size : side of the pictures; the layer that tells the condition looks at all of them at once.
    classes : length of the condition.
    width : channels of the first layer; 64 in the paper.
    layers : halvings; 6 in the paper.
    """

    def __init__(self, size: int, classes: int, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        if size < 2**layers:
            raise ValueError(f"pictures of {size} pixels cannot be halved {layers} times")
        halvings: list[nn.Module] = []
        channels = 3
        for layer in range(layers):
            wider = width * 2**layer
            halvings += [nn.Conv2d(channels, wider, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            channels = wider
        self.main = nn.Sequential(*halvings)
        self.conv1 = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, classes, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Judge pictures.

        Parameters
        ----------
        image : (N, 3, size, size) float32 on [-1, 1].

        Returns
        -------
        Realness (N, 1, size / 2**layers, size / 2**layers), unbounded, and condition (N, classes):
        logits or values, as it is trained.
        """
        features = self.main(image)
        return self.conv1(features), self.conv2(features).flatten(1)


def trunk(channels: int, width: int, blocks: int) -> list[nn.Module]:
    """The layers that StarGAN and GANimation share: all but the last convolution.

    Parameters
    ----------
    channels : of the input.
    width : channels of the first and of the last layer; twice and four times as many between.
    blocks : residual blocks in the middle.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 7, padding=3, bias=False)]
    layers += _normalised(width)
    for inner in (width, 2 * width):
        layers.append(nn.Conv2d(inner, 2 * inner, 4, stride=2, padding=1, bias=False))
        layers += _normalised(2 * inner)
    layers += [ResidualBlock(4 * width) for _ in range(blocks)]
    for inner in (4 * width, 2 * width):
        layers.append(nn.ConvTranspose2d(inner, inner // 2, 4, stride=2, padding=1, bias=False))
        layers += _normalised(inner // 2)
    return layers


def joined(image: Tensor, condition: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) with their condition (N, C) at every pixel, (N, 3 + C, H, W)."""
    everywhere = condition[:, :, None, None].expand(-1, -1, image.shape[2], image.shape[3])
    return torch.cat([image, everywhere], dim=1)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True), nn.ReLU(inplace=True)]
