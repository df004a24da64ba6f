"""Networks of CycleGAN, StarGAN and GANimation: the sizes and names of the authors' own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional

from deep_onnx.architectures import ganimation, stargan
from deep_onnx.architectures.cyclegan import ResNetGenerator
from deep_onnx.architectures.patchgan import PatchDiscriminator


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def count(network) -> int:
    return sum(values.numel() for values in network.parameters())


def shapes(network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape) for name, values in network.state_dict().items()}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def trunk(inputs: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes that the published weights of StarGAN and GANimation share."""
    expected = {"main.0.weight": (64, inputs, 7, 7), **norm("main.1", 64)}
    expected |= {"main.3.weight": (128, 64, 4, 4), **norm("main.4", 128)}
    expected |= {"main.6.weight": (256, 128, 4, 4), **norm("main.7", 256)}
    for block in range(9, 15):
        for convolution in (0, 3):
            expected[f"main.{block}.main.{convolution}.weight"] = (256, 256, 3, 3)
            expected |= norm(f"main.{block}.main.{convolution + 1}", 256)
    expected |= {"main.15.weight": (256, 128, 4, 4), **norm("main.16", 128)}
    return expected | {"main.18.weight": (128, 64, 4, 4), **norm("main.19", 64)}


@pytest.mark.parametrize(("classes", "parameters"), [(5, 8_430_528), (8, 8_439_936)])
def test_stargan_has_the_published_weights(classes: int, parameters: int) -> None:
    network = stargan.Generator(classes)
    assert count(network) == parameters
    assert shapes(network) == trunk(3 + classes) | {"main.21.weight": (3, 64, 7, 7)}


def test_ganimation_has_the_published_weights() -> None:
    network = ganimation.Generator()
    last = {"img_reg.0.weight": (3, 64, 7, 7), "attetion_reg.0.weight": (1, 64, 7, 7)}
    assert count(network) == 8_471_296
    assert shapes(network) == trunk(20) | last


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_resnet_has_the_published_weights(dropout: float) -> None:
    network = ResNetGenerator(dropout=dropout)

    def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
        transposed = name in ("model.19", "model.22")
        return {f"{name}.weight": shape, f"{name}.bias": (shape[1 if transposed else 0],)}

    expected = layer("model.1", 64, 3, 7, 7) | layer("model.4", 128, 64, 3, 3)
    expected |= layer("model.7", 256, 128, 3, 3)
    for block in range(10, 19):
        for convolution in (1, 6 if dropout else 5):
            expected |= layer(f"model.{block}.conv_block.{convolution}", 256, 256, 3, 3)
    expected |= layer("model.19", 256, 128, 3, 3) | layer("model.22", 128, 64, 3, 3)
    expected |= layer("model.26", 3, 64, 7, 7)
    assert count(network) == 11_378_179
    assert shapes(network) == expected


@pytest.mark.parametrize("size", [64, 128])
def test_stargan_critic_has_the_published_layers(size: int) -> None:
    network = stargan.Discriminator(size, 5)
    wide = {f"main.{2 * k}": (64 * 2**k, 3 if k == 0 else 32 * 2**k, 4, 4) for k in range(6)}
    expected = {f"{name}.weight": shape for name, shape in wide.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in wide.items()}
    expected |= {"conv1.weight": (1, 2048, 3, 3), "conv2.weight": (5, 2048, size // 64, size // 64)}
    assert shapes(network) == expected
    verdicts, seen = network(torch.zeros(2, 3, size, size))
    assert verdicts.shape == (2, 1, size // 64, size // 64)
    assert seen.shape == (2, 5)


@pytest.mark.parametrize("width", [16, 64])
def test_a_critic_begins_near_the_slope_that_its_penalty_wants(width: int) -> None:
    """PyTorch's own first weights give 0.005, and a critic that guesses for minutes."""
    torch.manual_seed(0)
    network = stargan.Discriminator(64, 8, width, 5)
    pictures = torch.rand(8, 3, 64, 64, generator=torch.manual_seed(1)) * 2 - 1
    pictures.requires_grad_(True)
    (slopes,) = torch.autograd.grad(network(pictures)[0].sum(), pictures)
    assert 0.2 < float(slopes.flatten(1).norm(dim=1).mean()) < 2


def test_a_critic_refuses_pictures_that_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="32 pixels cannot be halved 6 times"):
        stargan.Discriminator(32, 5)


@pytest.mark.parametrize("shape", [(16, 16), (20, 36)])
def test_generators_keep_the_shape_of_pictures(shape: tuple[int, int]) -> None:
    picture = torch.rand(2, 3, *shape) * 2 - 1
    made = [
        ResNetGenerator(4, 1)(picture),
        stargan.Generator(3, 4, 1)(picture, torch.eye(3)[:2]),
        ganimation.Generator(5, 4, 1)(picture, torch.rand(2, 5)),
    ]
    for values in made:
        assert values.shape == picture.shape
        assert values.abs().max() <= 1


def test_norms_judge_every_picture_by_itself_at_test_time() -> None:
    network = stargan.Generator(2, 4, 1).train()
    pictures, condition = torch.rand(3, 3, 16, 16), torch.eye(2)[[0, 1, 1]]
    training = network(pictures, condition)
    assert not [name for name, _ in network.named_buffers()]  # no running statistics
    torch.testing.assert_close(network.eval()(pictures, condition), training)
    alone = network(pictures[1:2], condition[1:2])
    torch.testing.assert_close(alone, training[1:2])


def test_the_condition_is_an_input_at_every_pixel() -> None:
    picture, condition = torch.rand(2, 3, 4, 8), torch.rand(2, 5)
    joined = stargan.joined(picture, condition)
    assert torch.equal(joined[:, :3], picture)
    for b in range(2):
        for entry in range(5):
            assert (joined[b, 3 + entry] == condition[b, entry]).all()


def test_ganimation_keeps_the_picture_where_attention_is_one() -> None:
    network = ganimation.Generator(4, 4, 1).eval()
    picture, condition = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 4)
    colour, attention = network.masks(picture, condition)
    assert attention.shape == (2, 1, 16, 16)
    assert ((attention > 0) & (attention < 1)).all()
    expected = picture.clone()
    for b in range(2):
        for channel in range(3):
            m = attention[b, 0]
            expected[b, channel] = m * picture[b, channel] + (1 - m) * colour[b, channel]
    torch.testing.assert_close(network(picture, condition), expected)
    everything, nothing = torch.ones_like(attention), torch.zeros_like(attention)
    assert torch.equal(ganimation.composed(picture, colour, everything), picture)
    assert torch.equal(ganimation.composed(picture, colour, nothing), colour)


def test_a_residual_block_adds_two_padded_convolutions() -> None:
    """Against the same sum written with functions: reflected edges, norms without scale."""
    network = ResNetGenerator(2, 1).double()
    block = network.model[10]
    values = torch.rand(1, 8, 6, 6, dtype=torch.float64)

    def convolved(values, layer):
        padded = functional.pad(values, (1, 1, 1, 1), mode="reflect")
        raw = functional.conv2d(padded, layer.weight, layer.bias)
        centred = raw - raw.mean((2, 3), keepdim=True)
        return centred / (raw.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    inner = convolved(values, block.conv_block[1]).clamp(min=0)
    expected = values + convolved(inner, block.conv_block[5])
    torch.testing.assert_close(block(values), expected)


def test_a_patch_of_the_discriminator_is_70_pixels_wide() -> None:
    """Norms look at the whole picture: they are taken out, to see the convolutions alone."""
    network = PatchDiscriminator(3, 2, affine=False)
    layers = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    picture = torch.rand(1, 3, 142, 142, requires_grad=True)
    values = picture
    for layer in layers:
        torch.nn.init.uniform_(layer.weight, 0.1, 1.0)  # nothing can cancel
        values = layer(values)
    middle = values.shape[2] // 2
    values[0, 0, middle, middle].backward()
    seen = picture.grad.abs().sum((0, 1))
    rows, columns = (seen.sum(axis).nonzero() for axis in (1, 0))
    assert len(rows) == len(columns) == 70
    assert rows.max() - rows.min() == 69


def test_discriminators_of_cyclegan_have_norms_without_scale() -> None:
    network = PatchDiscriminator(3, 8, affine=False)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.InstanceNorm2d)]
    assert len(norms) == 3
    assert not any(list(part.parameters()) for part in norms)
