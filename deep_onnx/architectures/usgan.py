"""``usgan``: StarGAN made small by a long skip, the input added to what the network makes.

US-GAN (Akram and Khan, Multimedia Tools and Applications 2023, arXiv 2112.13002): an encoder, one
residual block where StarGAN has six, a decoder, and an *ultimate skip* from the input picture to
the output, so that the layers between make the change of expression alone. Critic, losses and
schedule are StarGAN's; the authors weigh coming back by 1 instead of 10 and learn from one picture
at a time, which are the defaults here.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from deep_onnx.architectures import stargan
from deep_onnx.architectures.stargan import StarGAN, joined, trunk
from deep_onnx.training import tools
from deep_onnx.training.algorithm import Export, argument


class Generator(nn.Module):
    """A picture in another expression: the picture itself, and what the network adds to it.

    classes : length of the condition.
    width : channels of the first layer; 64 in the authors' code.
    blocks : residual blocks; one in the paper.
    """

    def __init__(self, classes: int, width: int = 64, blocks: int = 1) -> None:
        super().__init__()
        last = [nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*trunk(3 + classes, width, blocks), *last)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Translate pictures.

        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of `stargan.MULTIPLE`.
        condition : (N, classes) float32, one-hot.

        Returns: (N, 3, H, W), which may leave [-1, 1]; pixels are clipped where they are stored.
        """
        return image + self.main(joined(image, condition))


@dataclass(frozen=True)
class Arguments(stargan.Arguments):
    """What the authors' code chooses, where it differs from StarGAN's paper."""

    batch: int = argument(1, "Pictures of every update.")
    blocks: int = argument(1, "Residual blocks of the generator.")
    cycle: float = argument(1.0, "Weight of coming back to the same picture.")


class USGAN(StarGAN):
    """Learns to show any of the labels, the source's included, by what is added to a picture."""

    Arguments = Arguments
    examples_of_use = (
        "--size 64 --width 16 --minutes 15",
        "--expr happy --expr sad --steps 20000 -o faces.onnx",
    )

    def make_generator(self) -> nn.Module:
        """From pictures and one-hot labels to pictures."""
        return Generator(len(self.entries), self.arguments.width, self.arguments.blocks)

    def exports(self) -> list[Export]:
        """The generator."""
        return [self.export("usgan", tools.target_kind(self.known))]
