"""The networks of auto-encoders, pix2pix and DCGAN: sizes, names, structure, what they see."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from deep_onnx.architectures import autoencoders, dcgan
from deep_onnx.architectures.patchgan import PatchDiscriminator, smallest_side
from deep_onnx.architectures.pix2pix import UNet
from deep_onnx.training.tools import kaiming_weights, normal_weights

ENCODER_CHANNELS = [3, 4, 8, 16, 32, 32, 32]  # at width 4


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


# The parameters of the well-known 256 x 256 generator: place, and shape of the weight.
# "d" is a convolution on the way down, "u" on the way up, "n" a norm; the number is the level.
UNET = [
    ("model.model.0", (64, 3, 4, 4)),
    ("model.model.1.model.1", (128, 64, 4, 4)),
    ("model.model.1.model.2", (128,)),
    ("model.model.1.model.3.model.1", (256, 128, 4, 4)),
    ("model.model.1.model.3.model.2", (256,)),
    ("model.model.1.model.3.model.3.model.1", (512, 256, 4, 4)),
    ("model.model.1.model.3.model.3.model.2", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.1", (512, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.2", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.1", (512, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.2", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.1", (512, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.2", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.1", (512, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.3", (512, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.4", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.5", (1024, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.3.model.6", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.5", (1024, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.3.model.6", (512,)),
    ("model.model.1.model.3.model.3.model.3.model.5", (1024, 512, 4, 4)),
    ("model.model.1.model.3.model.3.model.3.model.6", (512,)),
    ("model.model.1.model.3.model.3.model.5", (1024, 256, 4, 4)),
    ("model.model.1.model.3.model.3.model.6", (256,)),
    ("model.model.1.model.3.model.5", (512, 128, 4, 4)),
    ("model.model.1.model.3.model.6", (128,)),
    ("model.model.1.model.5", (256, 64, 4, 4)),
    ("model.model.1.model.6", (64,)),
    ("model.model.3", (128, 3, 4, 4)),
]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_unet_has_the_parameters_of_the_well_known_checkpoints(dropout: float) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for place, shape in UNET:
        expected[f"{place}.weight"] = shape
        if len(shape) == 1:
            expected[f"{place}.bias"] = shape
    expected["model.model.3.bias"] = (3,)
    with torch.device("meta"):
        network = UNet(64, 8, dropout)
    assert shapes(network) == expected
    assert list(shapes(network)) == list(expected)
    assert count(network) == 54_413_955


def test_seven_halvings_are_the_channels_of_the_paper() -> None:
    with torch.device("meta"):
        network = UNet()
    down = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert down == [64, 128, 256, 512, 512, 512, 512]
    up = [m.out_channels for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert up == [512, 512, 512, 256, 128, 64, 3]
    assert sum(isinstance(m, nn.InstanceNorm2d) for m in network.modules()) == 5 + 6


def test_the_listed_decoder_is_that_of_face2sketch() -> None:
    """Encoder C64-128-256-512-512-512-512, decoder C512-512-512-512-256-128-64, then to 3."""
    with torch.device("meta"):
        network = UNet(decoder="listed")
    plain = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert plain == [64, 128, 256, 512, 512, 512, 512, 3]
    up = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in up] == [512, 512, 512, 512, 256, 128, 64]
    assert [m.in_channels for m in up] == [512, 1024, 1024, 1024, 768, 384, 192]  # with skips
    small = UNet(2, 3, decoder="listed").eval()
    image = torch.rand(1, 3, 16, 8) * 2 - 1
    assert small(image).shape == image.shape
    assert 1 >= small(image).abs().max() > 0


@pytest.mark.parametrize(("depth", "dropped"), [(8, 3), (7, 2), (6, 1), (5, 0), (2, 0)])
def test_dropout_is_in_the_inner_layers_and_in_training_only(depth: int, dropped: int) -> None:
    network = UNet(2, depth, dropout=0.5)
    assert sum(isinstance(m, nn.Dropout) for m in network.modules()) == dropped
    image = torch.rand(1, 3, 2**depth, 2**depth) * 2 - 1
    assert torch.equal(network.train()(image), network(image)) == (not dropped)
    network.eval()
    assert torch.equal(network(image), network(image))
    plain = UNet(2, depth)
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain.train()(image), network(image))


def with_batch_norm(network: nn.Module) -> nn.Module:
    """The same network with batch norm on the statistics of its batch."""
    for part in network.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                norm = nn.BatchNorm2d(child.num_features, track_running_stats=False)
                norm.load_state_dict(child.state_dict())
                setattr(part, name, norm)
    return network


@pytest.mark.parametrize("make", [lambda: UNet(4, 5), lambda: PatchDiscriminator(3, 4)])
def test_instance_norms_are_batch_norms_at_batch_one(make) -> None:
    network = make()
    images = torch.rand(3, 3, 32, 64) * 2 - 1
    one_by_one = torch.cat([network.eval()(image[None]) for image in images])
    torch.testing.assert_close(network(images), one_by_one, rtol=0, atol=1e-6)
    batch_norm = with_batch_norm(network)
    torch.testing.assert_close(
        torch.cat([batch_norm(image[None]) for image in images]), one_by_one, rtol=0, atol=1e-6
    )
    assert (batch_norm(images) - one_by_one).abs().max() > 1e-3


def test_the_unet_takes_any_multiple_and_every_skip_matters() -> None:
    network = UNet(4, 4).eval()
    for height, width in ((16, 16), (32, 48)):
        made = network(torch.rand(2, 3, height, width) * 2 - 1)
        assert made.shape == (2, 3, height, width)
        assert made.abs().max() <= 1
    # Without what lies below the outermost block, the picture still gets through the skips.
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    before = network(image)
    for level in range(1, 4):
        block = network.model
        for _ in range(level):
            block = next(c for c in block.model if hasattr(c, "model"))
        up = next(m for m in block.model if isinstance(m, nn.ConvTranspose2d))
        kept = up.weight.detach().clone()
        with torch.no_grad():
            up.weight[up.in_channels // 2 if level < 3 else 0 :] *= -2.0
        assert (network(image) - before).abs().max() > 1e-4
        with torch.no_grad():
            up.weight.copy_(kept)
    assert torch.equal(network(image), before)


def test_patchgan_has_the_known_size_and_names() -> None:
    network = PatchDiscriminator(6)
    assert count(network) == 2_768_705
    assert shapes(network) == {
        "model.0.weight": (64, 6, 4, 4), "model.0.bias": (64,),
        "model.2.weight": (128, 64, 4, 4),
        "model.3.weight": (128,), "model.3.bias": (128,),
        "model.5.weight": (256, 128, 4, 4),
        "model.6.weight": (256,), "model.6.bias": (256,),
        "model.8.weight": (512, 256, 4, 4),
        "model.9.weight": (512,), "model.9.bias": (512,),
        "model.11.weight": (1, 512, 4, 4), "model.11.bias": (1,),
    }  # fmt: skip
    assert count(PatchDiscriminator(3, affine=False)) == 2_764_737


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_patches_are_as_large_as_they_should_be(layers: int, field: int) -> None:
    network = PatchDiscriminator(3, 2, layers).eval()
    for part in list(network.model):  # a norm would mix all pixels in
        if isinstance(part, nn.InstanceNorm2d):
            network.model[list(network.model).index(part)] = nn.Identity()
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    verdicts = network(image)
    verdicts[0, 0, verdicts.shape[2] // 2, verdicts.shape[3] // 2].backward()
    seen = image.grad[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field
    assert int(columns.max() - columns.min()) + 1 == field


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_pictures_for_a_discriminator(layers: int) -> None:
    network, side = PatchDiscriminator(3, 2, layers), smallest_side(layers)
    assert network(torch.rand(1, 3, side, side)).isfinite().all()
    with pytest.raises((ValueError, RuntimeError)):
        network(torch.rand(1, 3, side // 2, side // 2))


def test_gan_weights_are_normal() -> None:
    network = nn.Sequential(
        nn.Conv2d(8, 64, 4), nn.BatchNorm2d(4096), nn.ConvTranspose2d(64, 8, 4), nn.Linear(64, 64)
    )
    normal_weights(network)
    for layer, mean in zip(network, (0, 1, 0, 0), strict=True):
        weight = layer.weight.detach()
        assert float(weight.mean()) == pytest.approx(mean, abs=2e-3)
        assert float(weight.std()) == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()


def kinds(network: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in network]


@pytest.mark.parametrize("plain", [2, 1])
def test_the_convolutional_encoder_is_that_of_the_paper(plain: int) -> None:
    network = autoencoders.ConvolutionalNetwork(4, plain)
    layers = kinds(network.encoder)
    for number in range(1, 7):
        norm = [] if number == plain else ["BatchNorm2d"]
        expected = ["Conv2d", *norm, "LeakyReLU"]
        assert layers[: len(expected)] == expected, number
        layers = layers[len(expected) :]
    assert not layers
    assert kinds(network.decoder) == ["ConvTranspose2d", "LeakyReLU"] * 5 + [
        "ConvTranspose2d", "Sigmoid",
    ]  # fmt: skip
    down = [layer for layer in network.encoder if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in network.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert {(c.kernel_size, c.stride) for c in down + up} == {((4, 4), (2, 2))}
    assert [3, *(c.out_channels for c in down)] == ENCODER_CHANNELS
    assert [c.in_channels for c in up] == ENCODER_CHANNELS[:0:-1]


def test_the_convolutional_autoencoder_takes_multiples_of_64() -> None:
    network = autoencoders.ConvolutionalNetwork(4).eval()
    for height, width in ((64, 64), (128, 192)):
        image = torch.rand(2, 3, height, width)
        assert network.encoder(image).shape == (2, 32, height // 64, width // 64)
        made = network(image)
        assert made.shape == image.shape
        assert made.min() >= 0
        assert made.max() <= 1


def test_batch_norm_uses_running_statistics_at_run_time() -> None:
    network = autoencoders.ConvolutionalNetwork(4)
    images = torch.rand(4, 3, 64, 64)
    for _ in range(3):
        network.train()(images)
    network.eval()
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("latent", [2, 4, 12])
def test_the_variational_autoencoder(latent: int) -> None:
    network = autoencoders.VariationalNetwork(128, latent, 4).eval()
    images = torch.rand(5, 3, 128, 128)
    mean, log_variance = network.encode(images)
    assert mean.shape == log_variance.shape == (5, latent)
    assert torch.equal(network(images), network.decode(mean))
    assert torch.equal(network(images), network(images))
    made, again, _ = network.draw(images)
    assert torch.equal(again, mean)
    assert made.shape == images.shape
    assert not torch.equal(made, network(images))
    assert kinds(network.encoder) == kinds(autoencoders.ConvolutionalNetwork(4).encoder)


def test_latents_are_drawn_with_the_variance_that_was_said() -> None:
    network = autoencoders.VariationalNetwork(64, 2, 4).eval()
    seen = []
    network.decode = lambda latent: seen.append(latent) or latent
    with torch.no_grad():
        network.log_variance.bias.copy_(torch.tensor([0.0, 4.0]))
        network.log_variance.weight.zero_()
        _, mean, _ = network.draw(torch.rand(1, 3, 64, 64).expand(20_000, -1, -1, -1)[:2000])
    spread = (seen[0] - mean).std(0)
    torch.testing.assert_close(spread, torch.tensor([1.0, torch.e**2]), rtol=0.06, atol=0)


def test_the_dense_autoencoder_is_dense() -> None:
    network = autoencoders.DenseNetwork(16, 32, 8)
    sizes = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(768, 32), (32, 8), (8, 8), (8, 8), (8, 32), (32, 768)]
    image = torch.rand(3, 3, 16, 16, requires_grad=True)
    made = network(image)
    assert made.shape == image.shape
    made[0, 0, 0, 0].backward()
    assert (image.grad[0] != 0).all()
    assert not image.grad[1:].any()


def test_the_dcgan_generator() -> None:
    with torch.device("meta"):
        network = dcgan.Generator()
    up = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(c.in_channels, c.out_channels) for c in up] == [
        (512, 256), (256, 128), (128, 64), (64, 3),
    ]  # fmt: skip
    assert {(c.kernel_size, c.stride) for c in up} == {((4, 4), (2, 2))}
    assert kinds(network.layers) == [
        *("BatchNorm2d", "LeakyReLU"),
        *("ConvTranspose2d", "BatchNorm2d", "LeakyReLU") * 3,
        *("ConvTranspose2d", "Sigmoid"),
    ]
    made = dcgan.Generator(32, 8, 4)(torch.randn(3, 8))
    assert made.shape == (3, 3, 32, 32)
    assert made.min() >= 0
    assert made.max() <= 1


def test_the_dcgan_discriminator() -> None:
    network = dcgan.Discriminator(64, 8)
    assert kinds(network.layers) == [
        *("Conv2d", "LeakyReLU"),
        *("Conv2d", "BatchNorm2d", "LeakyReLU") * 2,
        *("Flatten", "Dropout"),
    ]
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [8, 16, 32]
    assert {(c.kernel_size, c.stride) for c in convolutions} == {((4, 4), (2, 2))}
    assert network.dense.in_features == 32 * 8 * 8
    images = torch.rand(5, 3, 64, 64)
    network.eval()
    probability = network(images)
    assert probability.shape == (5, 1)
    assert ((probability > 0) & (probability < 1)).all()
    torch.testing.assert_close(torch.logit(probability), network.logits(images))
    assert not torch.equal(network.train()(images), network(images))  # dropout


def test_weights_for_leaky_relus_keep_the_variance() -> None:
    up = [nn.ConvTranspose2d(24, 24, 4, 2, 1) for _ in range(4)]
    down = [nn.Conv2d(24, 24, 4, 2, 1) for _ in range(4)]
    dense = [nn.Linear(500, 500) for _ in range(4)]
    for layers, values in (
        (up, torch.randn(2, 24, 12, 12)),
        (down, torch.randn(2, 24, 160, 160)),
        (dense, torch.randn(200, 500)),
    ):
        network = nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(0.2))))
        kaiming_weights(network, 0.2)
        with torch.no_grad():
            made = network(values)
        inner = made[..., 4:-4, 4:-4] if made.ndim == 4 and made.shape[-1] > 20 else made
        assert 0.5 < float(inner.square().mean()) < 2.0
        assert not any(layer.bias.any() for layer in layers)
