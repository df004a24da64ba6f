"""A loss that compares pictures as VGG-19 sees them, where its weights are given.

Source: *Conditional GAN based Mask Guided Portrait Editing*, Eq. 2.12 (after Johnson et al. 2016):
the mean squared difference of feature maps after a convolution's ReLU. No weights come along: those
of torchvision (``vgg19``), or any file with the same names and shapes, are read, never executed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep_onnx.weights import read_tables, under
from pixelreg.errors import ModelFileError

# Convolutions of VGG-19 (Simonyan & Zisserman 2015, E), by the blocks that poolings end.
BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
TAKEN = 5  # the first convolution of so many blocks is compared, as is usual
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures on [0, 1]
LAST = "features.28"  # the fifth block's first convolution, in torchvision's numbering


class Perceptual:
    """VGG-19 up to the first convolution of its fifth block, as a loss.

    file : its weights, ``features.0.weight`` to ``features.28.bias``.
    """

    def __init__(self, file: Path) -> None:
        self.layers = _layers()
        wanted = {name: value.shape for name, value in self.layers.state_dict().items()}
        ends = [f"features.{name}" for name in wanted]
        for table in under(read_tables(file), ends[:1]):
            state = {name.removeprefix("features."): each for name, each in table.state.items()}
            if all(name in state and state[name].shape == wanted[name] for name in wanted):
                self.layers.load_state_dict({name: state[name].float() for name in wanted})
                break
        else:
            raise ModelFileError(
                f"{file} does not hold VGG-19: features.0.weight to {LAST}.bias, as torchvision "
                "names them, are needed"
            )
        self.layers.eval().requires_grad_(False)

    def loss(self, made: Tensor, truth: Tensor) -> Tensor:
        """Eq. 2.12, summed over the layers; pictures (N, 3, H, W) on [-1, 1]."""
        with torch.no_grad():
            wanted = self.features(truth)
        found = self.features(made)
        each = [functional.mse_loss(a, b) for a, b in zip(found, wanted, strict=True)]
        return torch.stack(each).sum()

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What the network sees after the first ReLU of every block."""
        self.layers.to(pictures.device)
        mean, spread = (pictures.new_tensor(each)[:, None, None] for each in (MEAN, SPREAD))
        values, found, begins = ((pictures + 1) / 2 - mean) / spread, [], True
        for layer in self.layers:
            values = layer(values)
            if isinstance(layer, nn.ReLU) and begins:
                found.append(values)
                begins = False
            begins = begins or isinstance(layer, nn.MaxPool2d)
        return found


def _layers() -> nn.Sequential:
    """Its convolutions in torchvision's numbering, to the last one that is compared."""
    layers: list[nn.Module] = []
    before = 3
    for number, widths in enumerate(BLOCKS[:TAKEN], 1):
        for width in widths if number < TAKEN else widths[:1]:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        if number < TAKEN:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
