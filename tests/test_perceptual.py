"""The portraits' options of chapter 5 and Eq. 2.12, against references of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn import functional

from deep_onnx.portrait.network import PortraitNetwork
from deep_onnx.portrait.parts import folded
from deep_onnx.training.perceptual import Perceptual
from deep_onnx.training.tools import stepped
from pixelreg.errors import ModelFileError

pytestmark = pytest.mark.usefixtures("one_torch_thread")

# torchvision's vgg19().features: the convolutions' numbers, their channels, and the poolings.
CONVOLUTIONS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 16: 256}
CONVOLUTIONS |= {19: 512, 21: 512, 23: 512, 25: 512, 28: 512}
POOLINGS = (4, 9, 18, 27)
COMPARED = (0, 5, 10, 19, 28)  # the first convolution after the start and after each pooling


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator, before, state = torch.Generator().manual_seed(0), 3, {}
    for number, channels in CONVOLUTIONS.items():
        shape = (channels, before, 3, 3)
        scale = (2 / (9 * before)) ** 0.5
        state[f"features.{number}.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"features.{number}.bias"] = 0.1 * torch.randn(channels, generator=generator)
        before = channels
    state["classifier.0.weight"] = torch.zeros(4, 4)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_equation_2_12_layer_by_layer(weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = ((pictures + 1) / 2 - mean[:, None, None]) / spread[:, None, None]
    expected = 0.0
    for number in range(29):
        if number in POOLINGS:
            values = functional.max_pool2d(values, 2)
        elif number in CONVOLUTIONS:
            kernel, bias = (state[f"features.{number}.{part}"] for part in ("weight", "bias"))
            values = functional.conv2d(values, kernel, bias, padding=1).clamp(min=0)
        if number in COMPARED:
            one, other = values.double().numpy()
            expected += ((one - other) ** 2).sum() / one.size  # 1 / (W H), and the mean of channels
    found = Perceptual(weights).loss(pictures[:1].requires_grad_(True), pictures[1:])
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)
    found.backward()
    assert float(Perceptual(weights).loss(pictures, pictures)) == 0


def test_other_files_are_no_vgg(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "small.pth")
    with pytest.raises(ModelFileError, match="does not hold VGG-19"):
        Perceptual(tmp_path / "small.pth")


def test_the_rate_steps_down_every_ten_of_55_epochs() -> None:
    epochs = np.arange(0, 55)
    rates = [2e-4 * (1 - stepped(epoch / 55, 10 / 55)) for epoch in epochs]
    by_paper = [2e-4 * (1 - 10 * (epoch // 10) / 55) for epoch in epochs]
    np.testing.assert_allclose(rates, by_paper)
    assert stepped(0.3, 0.0) == 0.3


def test_encoders_may_have_instance_norms_and_dropout() -> None:
    plain = PortraitNetwork(64, 4)
    varied = PortraitNetwork(64, 4, encoder_norm="instance", dropout=0.5)
    encoders = list(varied.local.encoders.modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in encoders)
    count = sum(isinstance(part, nn.InstanceNorm2d) for part in encoders)
    assert count == sum(isinstance(p, nn.BatchNorm2d) for p in plain.local.encoders.modules())
    assert sum(isinstance(part, nn.Dropout) for part in encoders) == count
    assert not any(isinstance(part, nn.Dropout) for part in varied.local.sub.modules())
    names = {name: value.shape for name, value in varied.named_parameters()}
    assert names == {name: value.shape for name, value in plain.named_parameters()}
    faces = [torch.randn(2, 3, *window) for window in ((8, 12), (8, 12), (20, 36))]
    faces += [torch.randn(2, 3, 64, 64)] * 2
    assert not torch.equal(varied.local.encode(faces)[0][3], varied.local.encode(faces)[0][3])
    varied.eval()
    before = varied.local.encode(faces)[0]
    after = folded(varied).local.encode(faces)[0]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, after, strict=True))
