"""What judges portraits: the discriminators at two scales (§3.2.3) and the face parser (§3.2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.patchgan import PatchDiscriminator
from deep_onnx.portrait.labels import LABELS
from deep_onnx.portrait.layers import down, same, up, widths
from deep_onnx.training.weights import normal_weights

SCALES = 2
HALVINGS = 5  # Fig. 2.8: 512 channels of 8 x 8 innermost, for 256 x 256


class MultiscaleDiscriminator(nn.Module):
    """Two equal PatchGANs on portrait and mask: one at full size, one at half of it.

    Their norms are instance norms: real and made portraits are not judged in one batch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(3 + len(LABELS), width) for _ in range(SCALES)
        )

    def forward(self, picture: Tensor, channels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(N, 3, S, S) and its mask (N, 11, S, S) -> log odds, and the layer before, by scale."""
        both, verdicts, features = torch.cat([picture, channels], dim=1), [], []
        for scale in self.scales:
            layers = scale.model
            assert isinstance(layers, nn.Sequential)
            features.append(layers[:-1](both))
            verdicts.append(layers[-1](features[-1]))
            both = functional.avg_pool2d(both, 2)
        return verdicts, features


class FaceParser(nn.Module):
    """P_F: a U-Net that finds the eleven labels.

    Takes (N, 3, S, S) on [-1, 1], S a multiple of 32 and at least 64; gives (N, 11, S, S) log odds.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = widths(width, HALVINGS)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        self.first = nn.Sequential(*same(3, width))
        for before, now in zip([width, *channels], channels, strict=False):
            self.downs.append(nn.Sequential(*down(before, now)))
        before = channels[-1]
        for skipped in [*channels[-2::-1], width]:
            self.ups.append(nn.Sequential(*up(before, skipped)))
            before = 2 * skipped
        self.last = nn.Conv2d(before, len(LABELS), 3, 1, 1)
        normal_weights(self)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 11, S, S)."""
        skips = [self.first(picture)]
        for layer in self.downs:
            skips.append(layer(skips[-1]))
        values = skips.pop()
        for layer in self.ups:
            values = torch.cat([layer(values), skips.pop()], dim=1)
        made: Tensor = self.last(values)
        return made

    def innermost(self, picture: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, C): the innermost layer, averaged over its places."""
        values = self.first(picture)
        for layer in self.downs:
            values = layer(values)
        mean: Tensor = values.mean(dim=(2, 3))
        return mean


class ParserGraph(nn.Module):
    """The parser as it is exported: probabilities instead of log odds."""

    def __init__(self, parser: FaceParser) -> None:
        super().__init__()
        self.parser = parser

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) on [-1, 1] -> (N, 11, S, S), the share of every label."""
        return torch.softmax(self.parser(image), dim=1)
