"""GANimation's generator: a picture of new colours, and a mask of where the old ones stay.

Its critic is `deep_onnx.architectures.stargan_networks.Discriminator` with action units for
classes. Names and shapes of the parameters are those of the authors' code, spelling included, so
that their weights load.
"""

from __future__ import annotations

from torch import Tensor, nn

from deep_onnx.architectures.stargan_networks import MULTIPLE, joined, trunk

__all__ = ["MULTIPLE", "Generator", "composed"]


class Generator(nn.Module):
    """A face with other action units (Pumarola et al., ECCV 2018, Eq. 1).

    Parameters
    ----------
    units : action units, the length of the condition.
    width : channels of the first layer; 64 in the paper.
    blocks : residual blocks; 6 in the paper.
    """

    def __init__(self, units: int = 17, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.main = nn.Sequential(*trunk(3 + units, width, blocks))
        self.img_reg = nn.Sequential(nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh())
        self.attetion_reg = nn.Sequential(
            nn.Conv2d(width, 1, 7, padding=3, bias=False), nn.Sigmoid()
        )

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Animate faces: attention x picture + (1 - attention) x colours.

        Parameters
        ----------
        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `MULTIPLE`.
        condition : (N, units) float32 on [0, 1]: OpenFace's intensities over 5.

        Returns
        -------
        (N, 3, H, W) on [-1, 1].
        """
        colour, attention = self.masks(image, condition)
        return composed(image, colour, attention)

    def masks(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` composes.

        Returns
        -------
        New colours (N, 3, H, W) on [-1, 1], and attention (N, 1, H, W) on [0, 1]: 1 where the
        picture stays as it is.
        """
        features = self.main(joined(image, condition))
        return self.img_reg(features), self.attetion_reg(features)


def composed(image: Tensor, colour: Tensor, attention: Tensor) -> Tensor:
    """attention x image + (1 - attention) x colour."""
    return attention * image + (1 - attention) * colour
