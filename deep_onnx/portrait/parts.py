"""Parts of the portrait networks: layers, windows, and the five local auto-encoders."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.windows import window_sizes
from deep_onnx.training.tools import Network

MOST_WIDE = 8  # the widest layers have this many times the channels of the first


def same(inside: int, outside: int, kernel: int = 3) -> list[nn.Module]:
    """Convolution that keeps the size, norm, ReLU."""
    convolution = nn.Conv2d(inside, outside, kernel, 1, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def down(inside: int, outside: int) -> list[nn.Module]:
    """Convolution that halves the size, norm, ReLU."""
    convolution = nn.Conv2d(inside, outside, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def up(inside: int, outside: int) -> list[nn.Module]:
    """Transposed convolution that doubles the size, norm, ReLU."""
    convolution = nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions whose result is added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.model = nn.Sequential(*same(channels, channels), last, nn.BatchNorm2d(channels))

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return values + self.model(values)


def widths(width: int, count: int) -> list[int]:
    """Channels of ``count`` layers that double until they are the widest."""
    return [width * min(2**level, MOST_WIDE) for level in range(count)]


def folded(network: Network) -> Network:
    """The same network in evaluation mode with its batch norms folded into their convolutions.

    A norm that follows a convolution multiplies and adds per channel what the convolution's own
    weights and bias can do. It is changed in place.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            for index, (layer, norm) in enumerate(pairwise(list(part))):
                if not isinstance(norm, nn.BatchNorm2d):
                    continue
                if isinstance(layer, nn.Conv2d):
                    part[index] = fuse_conv_bn_eval(layer, norm)
                elif isinstance(layer, nn.ConvTranspose2d):
                    part[index] = fuse_conv_bn_eval(layer, norm, transpose=True)
                else:
                    continue
                part[index + 1] = nn.Identity()
    return network


def vary(network: nn.Module, instance: bool, dropout: float) -> None:
    """Give a network instance norms in place of batch norms, and dropout after its ReLUs.

    Its parameters keep their names and shapes.
    """
    for part in list(network.modules()):
        for name, child in list(part.named_children()):
            if instance and isinstance(child, nn.BatchNorm2d):
                setattr(part, name, nn.InstanceNorm2d(child.num_features, affine=True))
            elif dropout and isinstance(child, nn.ReLU):
                setattr(part, name, nn.Sequential(child, nn.Dropout(dropout)))


NAMES = tuple(COMPONENTS)  # left eye, right eye, mouth, skin, hair
WINDOWED = 3  # so many of them are windows; the others are as large as the picture
COARSER = 4  # of the feature maps that windows are set into


def windows_of(size: int) -> tuple[tuple[int, int], ...]:
    """Height and width of all five components' pictures, in portraits of a side."""
    return (*window_sizes(size), (size, size), (size, size))


def one_hot(mask: Tensor) -> Tensor:
    """(N, H, W) int64 labels -> (N, 11, H, W) float32 of 0 and 1."""
    labels = torch.arange(len(LABELS), device=mask.device)
    return (mask[:, None] == labels[:, None, None]).float()


def corners(centres: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Top and left, (N,) int64 each, of the three windows inside the picture.

    centres : (N, 6) int64, x and y of left eye, right eye and mouth; clamped first.
    """
    found = []
    for index, (height, width) in enumerate(window_sizes(size)):
        left = centres[:, 2 * index] - width // 2
        top = centres[:, 2 * index + 1] - height // 2
        found.append((top.clamp(0, size - height), left.clamp(0, size - width)))
    return found


def crop(pictures: Tensor, top: Tensor, left: Tensor, window: tuple[int, int]) -> Tensor:
    """(N, C, H, W) and a corner for each -> (N, C, *window)."""
    down = _selection(top, window[0], pictures.shape[2])
    across = _selection(left, window[1], pictures.shape[3])
    return down @ pictures @ across.transpose(-1, -2)


def paste(windows: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """(N, C, h, w) in a (N, C, size, size) of zeros, each at its corner."""
    down = _selection(top, windows.shape[2], size)
    across = _selection(left, windows.shape[3], size)
    return down.transpose(-1, -2) @ windows @ across


def coarser(corner: Tensor) -> Tensor:
    """A corner on the grid of the feature maps, to the nearest, half a pixel upwards."""
    return torch.div(corner + COARSER // 2, COARSER, rounding_mode="floor")


def _selection(start: Tensor, length: int, side: int) -> Tensor:
    """(N, 1, length, side): row r is 1 at start + r, and 0 elsewhere."""
    wanted = start[:, None, None] + torch.arange(length, device=start.device)[:, None]
    return (wanted == torch.arange(side, device=start.device)).float()[:, None]


SMALLEST = 16  # eyes and mouth are halved until a side of 16 would be left of the whole picture
DEEPER = 2  # skin and hair are halved twice more (Fig. 2.2 has six layers for 256 x 256)
LATENT = 16  # times the width: 1024 numbers for 64 channels (Fig. 2.2)


class LocalEncoder(nn.Module):
    """E_local: a component's picture to its embedding."""

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
        return self.model(picture)


class LocalDecoder(nn.Module):
    """From an embedding back to a picture (D_local), or to features (D_sub).

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
        return self.model(embedding)


class LocalEmbedding(nn.Module):
    """Five encoders and their ten decoders.

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
