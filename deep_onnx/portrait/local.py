"""The local embedding sub-network (§3.1.1): an auto-encoder for each of the five components."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deep_onnx.portrait.layers import down, same, up, widths
from deep_onnx.portrait.network_windows import COARSER, WINDOWED, windows_of

SMALLEST = 16  # eyes and mouth are halved until a side of 16 would be left of the whole picture
DEEPER = 2  # skin and hair are halved twice more (Fig. 2.2 has six layers for 256 x 256)
LATENT = 16  # times the width: 1024 numbers for 64 channels (Fig. 2.2)


class LocalEncoder(nn.Module):
    """E_local: a component's picture to its embedding.

    Parameters
    ----------
    window : height and width of the picture.
    width : channels of the first layer.
    depth : halvings.
    numbers : that come out.
    """

    def __init__(self, window: tuple[int, int], width: int, depth: int, numbers: int) -> None:
        super().__init__()
        channels = widths(width, depth)
        layers: list[nn.Module] = []
        for before, now in zip([3, *channels], channels, strict=False):
            layers += down(before, now)
        rows, columns = (side // 2**depth for side in window)
        self.model = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels[-1] * rows * columns, numbers)
        )

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, h, w) -> (N, numbers)."""
        made: Tensor = self.model(picture)
        return made


class LocalDecoder(nn.Module):
    """From an embedding back to a picture (D_local), or to features (D_sub).

    Parameters
    ----------
    window : height and width of the component's picture.
    width, depth, numbers : as of its encoder.
    coarser : 1 for pictures of the window's size, else so many times smaller features.
    """

    def __init__(
        self, window: tuple[int, int], width: int, depth: int, numbers: int, coarser: int = 1
    ) -> None:
        super().__init__()
        channels = widths(width, depth)[::-1]
        rows, columns = (side // 2**depth for side in window)
        ups = depth - (coarser.bit_length() - 1)
        layers: list[nn.Module] = [
            nn.Linear(numbers, channels[0] * rows * columns),
            nn.Unflatten(1, (channels[0], rows, columns)),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        before = channels[0]
        for now in [*channels[1:], width][:ups]:
            layers += up(before, now)
            before = now
        if coarser == 1:
            layers += [nn.Conv2d(before, 3, 3, 1, 1), nn.Tanh()]
        else:
            layers += same(before, COARSER * width)
        self.model = nn.Sequential(*layers)

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, numbers) -> (N, 3, h, w) on [-1, 1], or (N, 4 width, h / 4, w / 4)."""
        made: Tensor = self.model(embedding)
        return made


class LocalEmbedding(nn.Module):
    """Five encoders and their ten decoders.

    Parameters
    ----------
    size : side of the portraits: 64, 128, 256 or 512.
    width : channels of the first layers; the paper's is 64.
    variational : encoders give means and log variances (§4.5.3).
    """

    def __init__(self, size: int, width: int, variational: bool = False) -> None:
        super().__init__()
        self.latent, self.variational = LATENT * width, variational
        depth = (size // SMALLEST).bit_length() - 1
        numbers = self.latent * (2 if variational else 1)
        encoders, local, sub = [], [], []
        for index, window in enumerate(windows_of(size)):
            deep = depth if index < WINDOWED else depth + DEEPER
            encoders.append(LocalEncoder(window, width, deep, numbers))
            local.append(LocalDecoder(window, width, deep, self.latent))
            sub.append(LocalDecoder(window, width, deep, self.latent, COARSER))
        self.encoders, self.local = nn.ModuleList(encoders), nn.ModuleList(local)
        self.sub = nn.ModuleList(sub)

    def encode(self, pictures: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Five pictures (N, 3, h, w) -> means (N, latent) and log variances, if variational."""
        made = [encoder(each) for encoder, each in zip(self.encoders, pictures, strict=True)]
        if not self.variational:
            return made, []
        halves = [each.chunk(2, dim=1) for each in made]
        return [mean for mean, _ in halves], [spread for _, spread in halves]

    def draw(self, means: list[Tensor], spreads: list[Tensor]) -> list[Tensor]:
        """Embeddings to decode: drawn while a variational network learns, else the means."""
        if not (self.training and spreads):
            return means
        return [
            mean + torch.exp(0.5 * spread) * torch.randn_like(mean)
            for mean, spread in zip(means, spreads, strict=True)
        ]

    def rebuild(self, embeddings: list[Tensor]) -> list[Tensor]:
        """D_local: the components' pictures again."""
        return [decoder(each) for decoder, each in zip(self.local, embeddings, strict=True)]

    def features(self, embeddings: list[Tensor]) -> list[Tensor]:
        """D_sub: what the generator is given of every component."""
        return [decoder(each) for decoder, each in zip(self.sub, embeddings, strict=True)]
