"""The generator of CycleGAN: two halvings, residual blocks, two doublings.

Names and shapes of the parameters are those of the authors' code, so that their weights load.
"""

from __future__ import annotations

from torch import Tensor, nn

MULTIPLE = 4  # height and width of a picture must be divisible by this


class ResidualBlock(nn.Module):
    """R{channels}: x + two 3x3 convolutions of x, padded by reflection."""

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        first = [*_padded(channels), nn.ReLU(inplace=True)]
        between = [nn.Dropout(dropout)] if dropout else []
        self.conv_block = nn.Sequential(*first, *between, *_padded(channels))

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        changed: Tensor = values + self.conv_block(values)
        return changed


class ResNetGenerator(nn.Module):
    """C7S1-k, D2k, D4k, R4k x blocks, U2k, Uk, C7S1-3 (Zhu et al., ICCV 2017, section 7.1).

    Instance norms have no learnt scale and shift. The first and last convolutions are padded by
    reflection, so that edges do not darken.

    Parameters
    ----------
    width : k, channels of the first layer; 64 in the paper.
    blocks : residual blocks; 9 in the paper from 256 x 256 on, 6 for 128 x 128.
    dropout : share of values dropped inside a block while training; 0 builds no such layer.
    """

    def __init__(self, width: int = 64, blocks: int = 9, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7)]
        layers += _normalised(width)
        for channels in (width, 2 * width):
            layers.append(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1))
            layers += _normalised(2 * channels)
        layers += [ResidualBlock(4 * width, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers.append(_doubling(channels, channels // 2))
            layers += _normalised(channels // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Translate pictures.

        Parameters
        ----------
        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.

        Returns
        -------
        (N, 3, H, W) on [-1, 1].
        """
        made: Tensor = self.model(image)
        return made


def _padded(channels: int) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(1),
        nn.Conv2d(channels, channels, 3),
        nn.InstanceNorm2d(channels),
    ]


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def _doubling(channels: int, out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1)
