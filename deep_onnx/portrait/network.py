"""The whole framework G (§3.1): components and a mask to a face, a face and a background to a
portrait."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.architectures.patchgan import PatchDiscriminator
from deep_onnx.portrait.labels import COMPONENTS, LABELS
from deep_onnx.portrait.parts import (
    COARSER,
    MOST_WIDE,
    NAMES,
    WINDOWED,
    LocalEmbedding,
    Residual,
    coarser,
    corners,
    crop,
    down,
    one_hot,
    paste,
    same,
    up,
    vary,
    widths,
    windows_of,
)
from deep_onnx.training.tools import normal_weights

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
        return self.last(values)


class ParserGraph(nn.Module):
    """The parser as it is exported: probabilities instead of log odds."""

    def __init__(self, parser: FaceParser) -> None:
        super().__init__()
        self.parser = parser

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) on [-1, 1] -> (N, 11, S, S), the share of every label."""
        return torch.softmax(self.parser(image), dim=1)


GLOBAL_BLOCKS, LOCAL_BLOCKS = 9, 3  # §4.3.1
EYE_CROPS = ("window", "tight")
MASK_ENCODERS = ("single", "multi")
ENCODER_NORMS = ("batch", "instance")
SIZES = (64, 128, 256, 512)


class MaskEncoder(nn.Module):
    """E_m: a mask's channels to features a quarter of its size."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *same(channels, width, 7), *down(width, 2 * width), *down(2 * width, COARSER * width)
        )

    def forward(self, mask: Tensor) -> Tensor:
        """(N, channels, S, S) -> (N, 4 width, S / 4, S / 4)."""
        return self.model(mask)


class ForegroundGenerator(nn.Module):
    """G_m: features of the mask and of the components to those of the face.

    With E_m before it there are three halvings to an eighth, then nine residual blocks.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        quarter, wide = COARSER * width, MOST_WIDE * width
        self.model = nn.Sequential(
            *same(channels, quarter),
            *down(quarter, wide),
            *(Residual(wide) for _ in range(GLOBAL_BLOCKS)),
            *up(wide, quarter),
            *up(quarter, 2 * width),
            *up(2 * width, width),
        )

    def forward(self, fused: Tensor) -> Tensor:
        """(N, channels, S / 4, S / 4) -> (N, width, S, S)."""
        return self.model(fused)


class BackgroundGenerator(nn.Module):
    """E_b and G_b: a background around a face."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*same(3, width, 7), *same(width, width))
        self.generator = nn.Sequential(
            *down(2 * width, 2 * width),
            *(Residual(2 * width) for _ in range(LOCAL_BLOCKS)),
            *up(2 * width, width),
            nn.Conv2d(width, 3, 7, 1, 3),
            nn.Tanh(),
        )

    def forward(self, face: Tensor, image: Tensor, background: Tensor) -> Tensor:
        """Features (N, width, S, S), picture (N, 3, S, S), where its background is (N, 1, S, S).

        Neither the picture's own face, nor anything that the encoder's windows carry over from it
        or to it, reaches the generator.
        """
        around = self.encoder(image * background) * background
        return self.generator(torch.cat([face, around], dim=1))


class PortraitNetwork(nn.Module):
    """G(x_s, m_s, x_t, m_t), and the parts that its losses need.

    Pictures are (N, 3, S, S) on [-1, 1], masks (N, S, S) int64 labels, centres (N, 6) int64 as of
    `deep_onnx.portrait.windows`; those outside the picture are clamped.

    size : S, one of `SIZES`.
    width : channels of the first layers; the paper's is 64.
    eye_crop : ``"window"`` keeps the skin in the eyes' windows, ``"tight"`` does not (§4.5.1).
    mask_encoder : ``"single"``, or ``"multi"`` for one a component (§4.5.2).
    variational : auto-encoders are variational (§4.5.3).
    encoder_norm : ``"batch"``, or ``"instance"`` in the auto-encoders' encoders (ch. 5).
    dropout : share dropped after the same encoders' layers, in training only (ch. 5).
    """

    def __init__(
        self,
        size: int,
        width: int,
        eye_crop: str = "window",
        mask_encoder: str = "single",
        variational: bool = False,
        encoder_norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size, self.tight = size, eye_crop == "tight"
        self.local = LocalEmbedding(size, width, variational)
        vary(self.local.encoders, encoder_norm == "instance", dropout)
        self.seen: tuple[tuple[int, ...], ...] = (
            tuple(COMPONENTS.values()) if mask_encoder == "multi" else (tuple(range(len(LABELS))),)
        )
        self.masks = nn.ModuleList(MaskEncoder(len(labels), width) for labels in self.seen)
        self.foreground = ForegroundGenerator(
            (len(NAMES) + len(self.seen)) * COARSER * width, width
        )
        self.background = BackgroundGenerator(width)
        normal_weights(self)

    def components(
        self, sources: list[Tensor], masks: list[Tensor], centres: Tensor
    ) -> list[Tensor]:
        """The five pictures x_i, each of a source of its own, with 0 where it is not.

        sources, masks : five pictures and their masks, in the components' order.
        centres : (N, 6): each window's in its own source.
        """
        places = corners(centres, self.size)
        made = []
        for index, window in enumerate(windows_of(self.size)):
            picture = sources[index]
            if index >= WINDOWED or (self.tight and NAMES[index] != "mouth"):
                picture = picture * _covered(masks[index], COMPONENTS[NAMES[index]])
            if index < WINDOWED:
                picture = crop(picture, *places[index], window)
            made.append(picture)
        return made

    def compose(
        self, embeddings: list[Tensor], image: Tensor, mask: Tensor, centres: Tensor
    ) -> Tensor:
        """A portrait of a mask's shape with a picture's background, (N, 3, S, S)."""
        parts = self.local.features(embeddings)
        fused = parts[WINDOWED:]
        for part, (top, left) in zip(parts, corners(centres, self.size), strict=False):
            fused.append(paste(part, coarser(top), coarser(left), self.size // COARSER))
        channels = one_hot(mask)
        for encoder, labels in zip(self.masks, self.seen, strict=True):
            fused.append(encoder(channels[:, list(labels)]))
        face = self.foreground(torch.cat(fused, dim=1))
        return self.background(face, image, channels[:, :1])


class PortraitGraph(nn.Module):
    """The framework as it is exported: every component from a portrait of its own.

    Inputs, in order: ``image`` (N, 3, S, S), whose background is kept; ``mask`` (N, S, S) int64,
    the shape to take; ``centres`` (N, 6) int64 of it; ``sources`` (N, 5, 3, S, S),
    ``source_masks`` (N, 5, S, S) int64 and ``source_centres`` (N, 6) int64: the portraits that
    give left eye, right eye, mouth, skin and hair their appearance, and the centre of each window
    in its own; ``invented`` (N, 5) in [0, 1]: how much of each appearance is invented instead;
    ``noise`` (N, K): what is invented, from N(0, 1).

    mean : (5 latent,) the mean embedding of the learning portraits.
    axes : (K, 5 latent) the axes along which they vary, as long as their standard deviations.
    """

    def __init__(self, network: PortraitNetwork, mean: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.axes: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("axes", axes)

    def forward(
        self,
        image: Tensor,
        mask: Tensor,
        centres: Tensor,
        sources: Tensor,
        source_masks: Tensor,
        source_centres: Tensor,
        invented: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """The portrait, (N, 3, S, S) on [-1, 1]."""
        count = range(len(NAMES))
        parts = self.network.components(
            [sources[:, k] for k in count], [source_masks[:, k] for k in count], source_centres
        )
        found, _ = self.network.local.encode(parts)
        drawn = (self.mean + noise @ self.axes).reshape(-1, len(NAMES), self.network.local.latent)
        share = invented[:, :, None]
        mixed = (1.0 - share) * torch.stack(found, dim=1) + share * drawn
        return self.network.compose([mixed[:, k] for k in count], image, mask, centres)


def _covered(mask: Tensor, labels: tuple[int, ...]) -> Tensor:
    """(N, S, S) -> (N, 1, S, S) float32: 1 where a mask has one of some labels."""
    return one_hot(mask)[:, list(labels)].sum(dim=1, keepdim=True)
