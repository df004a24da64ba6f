"""OCNN's generator: a mask of where a face changes, a picture of what it changes to.

Source: *An Efficient Automatic Image-to-Image Transformation using a Deep Learning Model*, §4.2.
The paper names the parts (convolution, ReLU and tanh, 2x2 max pooling, two parallel output layers)
and no sizes; what is decided here:

- **Form.** Each pooling doubles the channels, residual blocks follow, a convolution and nearest
  upsampling go back, and what was pooled away is added again, for the heads are as large as the
  picture (G_m in R^(H x W)). Batch norms, which the paper does not name, make training several
  times faster, and cost nothing in use, where they become part of the convolutions.
- **Condition.** p joins in the middle, each number spread over a constant plane, before a
  convolution without norm: a norm would take a constant away again. With it come two planes that
  say where a place is, as aligned faces have their mouths in one place.
- **Start.** Against a picture head that starts with noise the old picture wins everywhere: soon the
  mask is 0 all over, and no gradient leads back. So G_i starts as I_org itself: it is
  tanh(c + artanh I_org), where c is the head's convolution and starts as 0, computed by the
  addition theorem. Both heads are scaled down, which slows them.
- **Reduced size.** Mask and picture may be made at a half or a quarter of the size. Eq. 4 is then
  applied as what it adds to the picture, G_m (G_i - I_org), enlarged; skin keeps its detail, and
  the convolutions, which take nearly all of the time, see a quarter or a sixteenth of the pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (1, 2, 4)
POOLINGS = 2
MOST = 0.98  # that the picture head starts from: from 1 nothing leads back
LITTLE = 0.1  # of what the heads' convolutions give


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(*_normed(channels, channels), *_normed(channels, channels)[:-1])

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return values + self.main(values)


class Generator(nn.Module):
    """A face with other blendshape parameters (Eq. 4).

    components : length k of the parameter vector p, the condition.
    scale : the heads see the picture at one over this size: 1, 2 or 4.
    """

    def __init__(self, components: int, width: int = 16, blocks: int = 4, scale: int = 1) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale is {scale}, not one of {', '.join(map(str, SCALES))}")
        self.scale = scale
        self.multiple = multiple_of(scale)
        widths = [width * 2**level for level in range(POOLINGS + 1)]
        last = widths[-1]
        self.first = nn.Sequential(*_normed(3, width))
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), *_normed(inner, 2 * inner)) for inner in widths[:-1]
        )
        self.told = nn.Conv2d(last + components + 2, last, 3, padding=1)
        self.middle = nn.Sequential(*(ResidualBlock(last) for _ in range(blocks)))
        self.up = nn.ModuleList(
            nn.Sequential(*_normed(2 * inner, inner), nn.Upsample(scale_factor=2.0))
            for inner in reversed(widths[:-1])
        )
        self.heads = nn.Conv2d(width, 1 + 3, 3, padding=1)
        self._draw_weights()

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Give faces other parameters.

        image : (N, 3, H, W) float32 on [-1, 1], H and W multiples of ``multiple``.
        condition : (N, k) float32 on [-1, 1], the wanted p.

        Returns: (N, 3, H, W) on [-1, 1].
        """
        return self.composed(image, condition)[0]

    def masks(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The two heads, at one over ``scale`` of the picture's size.

        Returns: G_m, (N, 1, H / scale, W / scale) on [0, 1], 1 where the picture changes; and G_i,
        (N, 3, H / scale, W / scale) on [-1, 1].
        """
        return self._heads(self._reduced(image), condition)

    def composed(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the mask G_m, for Eq. 15."""
        small = self._reduced(image)
        mask, picture = self._heads(small, condition)
        return applied(image, small, mask, picture, self.scale), mask

    def _draw_weights(self) -> None:
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        nn.init.zeros_(self.heads.weight[1:])

    def _reduced(self, image: Tensor) -> Tensor:
        return image if self.scale == 1 else functional.avg_pool2d(image, self.scale)

    def _heads(self, small: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        values = self.first(small)
        kept = []
        for pool in self.down:
            kept.append(values)
            values = pool(values)
        values = self.middle(functional.relu(self.told(with_planes(values, condition))))
        for enlarge in self.up:
            values = enlarge(values) + kept.pop()
        mask, change = (LITTLE * self.heads(values)).split((1, 3), dim=1)
        old, new = small.clamp(-MOST, MOST), torch.tanh(change)
        return torch.sigmoid(mask), (new + old) / (1 + new * old)


def multiple_of(scale: int) -> int:
    """What height and width of a picture must be divisible by."""
    return scale * 2**POOLINGS


def with_planes(values: Tensor, condition: Tensor) -> Tensor:
    """Append constant planes, and the places' coordinates.

    values : (N, C, H, W).
    condition : (N, k).

    Returns: (N, C + k + 2, H, W): the values, every number of the condition all over, and x and y
    of the pixels' centres, from -1 to 1 between the borders.
    """
    count, _, height, width = values.shape
    planes = condition[:, :, None, None].expand(-1, -1, height, width)
    x, y = (
        (2 * torch.arange(side, device=values.device) + 1).to(values) / side - 1
        for side in (width, height)
    )
    across = x[None, None, None, :].expand(count, 1, height, width)
    down = y[None, None, :, None].expand(count, 1, height, width)
    return torch.cat([values, planes, across, down], dim=1)


def _normed(channels: int, made: int) -> list[nn.Module]:
    """A 3x3 convolution, its norm, ReLU."""
    return [
        nn.Conv2d(channels, made, 3, padding=1, bias=False),
        nn.BatchNorm2d(made),
        nn.ReLU(inplace=True),
    ]


def applied(image: Tensor, small: Tensor, mask: Tensor, picture: Tensor, scale: int) -> Tensor:
    """Eq. 4, G_m G_i + (1 - G_m) I_org, as I_org + enlarged G_m (G_i - I_org).

    image : I_org, (N, 3, H, W) on [-1, 1].
    small : the same at one over ``scale`` of the size.
    mask, picture : G_m and G_i, of that size.
    scale : 1 gives Eq. 4 as it stands; else the change is enlarged bilinearly, and what leaves
        [-1, 1] is clipped.
    """
    change = mask * (picture - small)
    if scale == 1:
        return image + change
    larger = functional.interpolate(
        change, scale_factor=float(scale), mode="bilinear", align_corners=False
    )
    return (image + larger).clamp(-1, 1)
