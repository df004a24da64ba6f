"""PatchGAN: a discriminator that judges every patch of a picture by itself."""

from __future__ import annotations

from torch import Tensor, nn

from deep_onnx.training.tools import normal_weights

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512 and a convolution to one number a patch (Face2Sketch III-D).

    4x4 convolutions; the first ``layers`` have stride 2, so that with three of them each number
    sees 70 x 70 pixels. Leaky ReLU (0.2), no norm on the first layer. Norms are instance norms, as
    in `deep_onnx.architectures.pix2pix.UNet`.

    channels : of the pictures; 6 where an input and an output are judged together. With width 64
        these make 2,768,705 parameters.
    layers : convolutions of stride 2.
    affine : whether the norms learn scale and shift; without, the convolutions learn biases.

    Takes (N, channels, H, W) on [-1, 1]; gives (N, 1, h, w), high where a patch looks real: the
    logarithm of the odds, before any sigmoid.
    """

    def __init__(
        self, channels: int, width: int = 64, layers: int = 3, affine: bool = True
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        before = width
        for layer in range(1, layers + 1):
            now, stride = width * min(2**layer, 8), 2 if layer < layers else 1
            parts += [
                nn.Conv2d(before, now, 4, stride, 1, bias=not affine),
                nn.InstanceNorm2d(now, affine=affine),
                nn.LeakyReLU(SLOPE),
            ]
            before = now
        self.model = nn.Sequential(*parts, nn.Conv2d(before, 1, 4, 1, 1))
        normal_weights(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 1, h, w) log odds."""
        return self.model(pictures)


def smallest_side(layers: int = 3) -> int:
    """The smallest pictures that a discriminator can judge: one number, norms over 2 x 2 values."""
    return 2**layers * 4 if layers else 3
