"""Auto-encoders, pix2pix and DCGAN learn, by the losses that the papers write down."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deep_onnx.architectures.autoencoders import (
    ConvolutionalArguments,
    ConvolutionalAutoencoder,
    DenseArguments,
    DenseAutoencoder,
    VariationalArguments,
    VariationalAutoencoder,
)
from deep_onnx.architectures.dcgan import DCGAN, DCGANArguments, energy_distance
from deep_onnx.architectures.pix2pix import Pix2Pix, Pix2PixArguments
from deep_onnx.card import card_from_json
from deep_onnx.training import tools as objectives
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import to_pixels
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.data.synthetic import draw_face, random_identity
from pixelreg.errors import DataError, UsageError
from pixelreg.models.model import Frame, Provenance

PEOPLE = [f"p{k}" for k in range(6)]


def photo(person: str, expression: str) -> Photo:
    return Photo(person, expression, f"{expression}/{person}.png")


@cache
def faces(size: int, target: str = "happy", frame: Frame | None = None) -> Examples:
    """Six drawn people, neutral and with another expression."""
    drawn = [
        [draw_face(random_identity(k), name, size=size) for k in range(len(PEOPLE))]
        for name in ("neutral", "happy")
    ]
    sources, targets = map(np.stack, drawn)
    pairs = tuple(Pair(p, "", photo(p, "neutral"), photo(p, target)) for p in PEOPLE)
    return Examples(
        "neutral",
        {target: Stack(pairs, sources, targets)},
        np.concatenate([sources, targets]),
        ("neutral",) * len(PEOPLE) + (target,) * len(PEOPLE),
        tuple(PEOPLE) * 2,
        frame,
        Provenance(),
    )


CASES = {
    "dense-ae": (DenseAutoencoder, DenseArguments(size=16, width=64, latent=16)),
    "cae": (ConvolutionalAutoencoder, ConvolutionalArguments(size=64, width=4)),
    "cae 1": (ConvolutionalAutoencoder, ConvolutionalArguments(size=64, width=4, plain_layer=1)),
    "cvae": (VariationalAutoencoder, VariationalArguments(size=64, width=4, latent=4)),
    "pix2pix": (Pix2Pix, Pix2PixArguments(size=32, width=4, batch=2)),
    "dcgan": (DCGAN, DCGANArguments(size=16, width=4, latent=8, batch=4)),
}
PAIRED = [name for name in CASES if name != "dcgan"]


def start(name: str, examples: Examples | None = None, **changes):
    kind, arguments = CASES[name]
    arguments = replace(arguments, **changes)
    torch.manual_seed(arguments.seed)
    return kind(arguments, examples or faces(arguments.size).only(frozenset(PEOPLE[:4])))


def held_out(algorithm) -> Examples:
    return faces(algorithm.arguments.size).only(frozenset(PEOPLE[4:]))


def learn(algorithm, steps: int) -> list[dict[str, float]]:
    losses = []
    for step in range(steps):
        torch.manual_seed(1000 + step)
        items = [(step * 2 + k) % algorithm.items for k in range(algorithm.arguments.batch)]
        losses.append(algorithm.step(items[: algorithm.items], step / steps))
    return losses


def weights(algorithm) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in algorithm.networks.items()
        for key, value in network.state_dict().items()
    }


def test_the_papers_numbers_are_the_defaults() -> None:
    assert Pix2PixArguments().l1 == 100
    assert Pix2PixArguments().batch == 1
    assert Pix2PixArguments().width == 64
    assert ConvolutionalArguments().size == VariationalArguments().size == 256
    assert VariationalArguments().latent == 12
    assert DCGANArguments().size == 64
    pix2pix = Pix2Pix(Pix2PixArguments(size=256, width=1), faces(32))
    assert pix2pix.depth == 7
    assert all(o.defaults["betas"] == (0.5, 0.999) for o in pix2pix.optimisers.values())


@pytest.mark.parametrize("name", PAIRED)
def test_losses_fall_and_the_seed_decides(name: str) -> None:
    one = start(name, augment=False, learning_rate=2e-3)
    losses = learn(one, 60)
    first = next(iter(losses[0]))
    early, late = (np.mean([loss[first] for loss in part]) for part in (losses[:5], losses[-5:]))
    assert late < 0.8 * early
    assert all(np.isfinite(list(loss.values())).all() for loss in losses)
    assert {tuple(loss) for loss in losses} == {tuple(losses[0])}
    same, other = (start(name, seed=seed, augment=False, learning_rate=2e-3) for seed in (0, 1))
    assert learn(same, 3) == losses[:3]
    assert learn(other, 3) != losses[:3]


def test_dcgan_learns_what_faces_look_like() -> None:
    examples = faces(16)
    settings = {"learning_rate": 1e-3, "width": 16, "batch": 8, "augment": False}
    one = start("dcgan", examples, **settings)
    before = one.validate(examples)
    losses = learn(one, 120)
    after = one.validate(examples)
    assert after["energy_distance"] < 0.5 * before["energy_distance"]
    assert after["discriminator"] < before["discriminator"]  # running statistics serve as well
    assert {tuple(loss) for loss in losses} == {("generator", "discriminator")}
    assert learn(start("dcgan", examples, **settings), 3) == losses[:3]


@pytest.mark.parametrize("name", PAIRED)
def test_exports_are_the_networks_in_evaluation_mode(name: str) -> None:
    one = start(name)
    learn(one, 3)
    people = held_out(one)
    [export] = one.exports()
    card = card_from_json(export.card.to_json(), "here")
    assert card == export.card
    assert card.architecture == name.split()[0]
    assert (card.source, list(card.targets), card.target_kind) == (
        "neutral", ["happy"], "expression",
    )  # fmt: skip
    assert list(export.inputs) == ["image"]
    low, high = card.value_range
    sources = people.stacks["happy"].sources
    image = torch.from_numpy(sources).permute(0, 3, 1, 2).float() / 255 * (high - low) + low
    with torch.no_grad():
        made = export.module(image)
    shown = dict(one.sample(people))
    told = np.stack(shown["made"]).astype(int)  # rounded from another batch: off by one at most
    assert np.abs(to_pixels(made, low, high) - told).max() <= 1
    np.testing.assert_array_equal(np.stack(shown["happy"]), people.stacks["happy"].targets)
    assert export.module(export.inputs["image"]).shape == export.inputs["image"].shape
    # Each picture is made by itself, whatever else is in the batch.
    torch.testing.assert_close(export.module(image[:1]), made[:1], rtol=0, atol=1e-5)
    if card.dynamic:
        wide = torch.rand(1, 3, card.multiple, 2 * card.multiple)
        assert export.module(wide).shape == wide.shape
    else:
        assert card.multiple == card.size == one.arguments.size


def test_sketches_are_a_domain() -> None:
    [export] = start("pix2pix", faces(32, "sketch")).exports()
    assert export.card.target_kind == "domain"
    assert list(export.card.targets) == ["sketch"]
    assert export.card.multiple == 32
    [shallow] = start("pix2pix", faces(32, "sketch"), depth=3).exports()
    assert shallow.card.multiple == 8


def test_dcgan_exports_both_networks() -> None:
    one = start("dcgan")
    learn(one, 3)
    generator, discriminator = one.exports()
    assert (generator.suffix, discriminator.suffix) == ("", "-discriminator")
    card = generator.card
    assert (card.task, card.target_kind, card.condition_input) == ("generate", "noise", "noise")
    assert card.condition == tuple(f"z{k}" for k in range(8))
    assert card.image_input == ""
    assert discriminator.card.task == "discriminate"
    assert discriminator.card.image_input == "image"
    for export in (generator, discriminator):
        assert card_from_json(export.card.to_json(), "here") == export.card
    noise = torch.Generator().manual_seed(one.arguments.seed)
    with torch.no_grad():
        made = generator.module(torch.randn(12, 8, generator=noise))
        probability = discriminator.module(made)
    shown = one.sample(held_out(one))
    assert [label for label, _ in shown] == ["held out", *(f"made {k}" for k in range(1, 7))]
    pictures = np.concatenate([np.stack(pictures) for _, pictures in shown[1:]])
    np.testing.assert_array_equal(to_pixels(made, 0, 1), pictures[: len(made)][:12])
    assert probability.shape == (12, 1)
    assert ((probability > 0) & (probability < 1)).all()
    assert [list(e.inputs) for e in (generator, discriminator)] == [["noise"], ["image"]]


def test_dcgan_learns_from_all_pictures() -> None:
    assert start("dcgan").items == 8
    assert start("pix2pix").items == 4


# The losses by hand.


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def as_float64(values: torch.Tensor) -> np.ndarray:
    return values.detach().numpy().astype(np.float64)


def test_the_adversarial_losses_are_equation_2() -> None:
    real, made = (
        torch.randn(3, 1, 4, 5, generator=g) for g in [torch.Generator().manual_seed(2)] * 2
    )
    D, G = sigmoid(as_float64(real)), sigmoid(as_float64(made))
    value = np.log(D).mean() + np.log(1 - G).mean()
    assert float(objectives.discrimination(real, made)) == pytest.approx(-value / 2, rel=1e-5)
    fooled = float(objectives.adversarial(made, True))
    assert fooled == pytest.approx(-np.log(G).mean(), rel=1e-5)
    assert np.isfinite(float(objectives.adversarial(torch.tensor([500.0]), False)))


def test_pixelwise_losses_and_divergence() -> None:
    g = torch.Generator().manual_seed(1)
    made, wanted = torch.rand(2, 3, 4, 4, generator=g), torch.rand(2, 3, 4, 4, generator=g)
    p, t = as_float64(made), as_float64(wanted)
    by_hand = {
        "mse": ((p - t) ** 2).mean(),
        "mae": np.abs(p - t).mean(),
        "bce": -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(),
    }
    assert by_hand.keys() == objectives.PIXELWISE.keys()
    for name, value in by_hand.items():
        assert float(objectives.PIXELWISE[name](made, wanted)) == pytest.approx(value, rel=1e-5)
    mean, log_variance = torch.randn(5, 3, generator=g), torch.randn(5, 3, generator=g)
    m, v = as_float64(mean), np.exp(as_float64(log_variance))
    kl = (0.5 * (m**2 + v - 1 - np.log(v))).sum(1).mean()
    assert float(objectives.divergence(mean, log_variance)) == pytest.approx(kl, rel=1e-5)
    # The same by drawing: E log q - E log p.
    z = m[..., None] + np.sqrt(v)[..., None] * np.random.default_rng(0).normal(size=(5, 3, 20_000))
    log_q = -0.5 * ((z - m[..., None]) ** 2 / v[..., None] + np.log(v)[..., None])
    assert kl == pytest.approx((log_q + 0.5 * z**2).mean(-1).sum(1).mean(), rel=0.03)


def test_a_step_of_pix2pix_is_equations_2_to_4() -> None:
    one = start("pix2pix", augment=False, dropout=0.0, l1=7.0)
    generator, discriminator = one.networks["generator"], one.networks["discriminator"]
    x, y = one.draw([0, 2])
    before = weights(one)
    told = one.step([0, 2], 0.0)
    after = weights(one)

    def put(values: dict[str, torch.Tensor], name: str, network: torch.nn.Module) -> None:
        start = f"{name}."
        state = {k[len(start) :]: v for k, v in values.items() if k.startswith(start)}
        network.load_state_dict(state)

    put(before, "generator", generator)
    put(before, "discriminator", discriminator)
    made = generator(x)
    D, G = (sigmoid(as_float64(discriminator(torch.cat([x, p], 1)))) for p in (y, made))
    assert told["discriminator"] == pytest.approx(-(np.log(D) + np.log(1 - G)).mean() / 2, rel=1e-4)
    assert told["l1"] == pytest.approx(np.abs(as_float64(y) - as_float64(made)).mean(), rel=1e-5)
    # The generator meets the discriminator that has just learnt.
    put(after, "discriminator", discriminator)
    answers = discriminator(torch.cat([x, made], 1))
    assert told["adversarial"] == pytest.approx(
        -np.log(sigmoid(as_float64(answers))).mean(), rel=1e-4
    )
    # The first step of Adam moves every weight by the rate, against the gradient of
    # -log D + 7 L1 for the generator alone.
    generator.zero_grad()
    (-torch.sigmoid(answers).log().mean() + 7.0 * (made - y).abs().mean()).backward()
    for name, value in generator.named_parameters():
        gradient, key = value.grad, f"generator.{name}"
        clear = gradient.abs() > 1e-5
        moved = (after[key] - before[key])[clear]
        torch.testing.assert_close(
            moved, -one.arguments.learning_rate * gradient[clear].sign(), rtol=2e-2, atol=0
        )


def test_a_step_of_the_variational_autoencoder_by_hand() -> None:
    one = start("cvae", augment=False, kl_weight=3.0)
    x, y = one.draw([0, 1, 2])
    torch.manual_seed(5)
    told = one.step([0, 1, 2], 0.0)
    one = start("cvae", augment=False, kl_weight=3.0)
    torch.manual_seed(5)
    made, mean, log_variance = one.network.train().draw(x)
    mse = ((as_float64(made) - as_float64(y)) ** 2).mean()
    m, v = as_float64(mean), np.exp(as_float64(log_variance))
    kl = (0.5 * (m**2 + v - 1 - np.log(v))).sum(1).mean()
    assert told["mse"] == pytest.approx(mse, rel=1e-4)
    assert told["kl"] == pytest.approx(kl, rel=1e-3)
    assert told["loss"] == pytest.approx(mse + 3.0 * kl / (3 * 64 * 64), rel=1e-4)


@pytest.mark.parametrize("loss", ["mse", "mae", "bce"])
def test_the_loss_of_the_autoencoders_can_be_chosen(loss: str) -> None:
    one = start("dense-ae", loss=loss, augment=False)
    x, y = one.draw([0, 1])
    made, t = as_float64(one.networks["generator"](x)), as_float64(y)
    by_hand = {
        "mse": (made - t) ** 2,
        "mae": np.abs(made - t),
        "bce": -(t * np.log(made) + (1 - t) * np.log(1 - made)),
    }
    assert one.step([0, 1], 0.0) == {loss: pytest.approx(by_hand[loss].mean(), rel=1e-4)}


def test_validation_is_the_mean_over_all_pairs() -> None:
    examples = faces(16)
    stack = examples.stacks["happy"]
    many = replace(
        stack,
        pairs=stack.pairs * 3,
        sources=np.concatenate([stack.sources] * 3),
        targets=np.concatenate([stack.targets, stack.sources, 255 - stack.targets]),
    )
    one = start("dense-ae", examples)
    found = one.validate(replace(examples, stacks={"happy": many}))
    x, y = one.tensor(many.sources), one.tensor(many.targets)
    with torch.no_grad():
        made = one.networks["generator"](x)
    wanted = ((as_float64(made) - as_float64(y)) ** 2).mean()
    assert found == {"mse": pytest.approx(wanted, rel=1e-5)}


def test_energy_distance_by_hand() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((4, 3, 5, 5)), rng.random((6, 3, 5, 5)) ** 2

    def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([[np.sqrt(((p - q) ** 2).mean()) for q in b] for p in a]))

    wanted = 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
    a, b = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    assert energy_distance(a, b) == pytest.approx(wanted, rel=1e-4)
    assert energy_distance(a, a) == pytest.approx(0, abs=1e-7)
    assert energy_distance(a, b) > 0.01


def test_source_and_target_are_augmented_alike() -> None:
    examples = faces(32)
    twins = replace(examples.stacks["happy"], targets=examples.stacks["happy"].sources)
    one = start("pix2pix", replace(examples, stacks={"happy": twins}))
    draws = [one.draw([0, 1, 2, 3]) for _ in range(4)]
    assert all(torch.equal(x, y) for x, y in draws)
    assert not torch.equal(draws[0][0], draws[1][0])


def test_only_one_target_is_learnt() -> None:
    examples = faces(32)
    two = replace(examples, stacks={**examples.stacks, "sad": examples.stacks["happy"]})
    with pytest.raises(UsageError, match="one target, not happy, sad"):
        start("pix2pix", two)
    with pytest.raises(UsageError, match="one target, not none"):
        start("pix2pix", replace(examples, stacks={}))
    with pytest.raises(DataError, match="'neutral' and 'happy'"):
        start("pix2pix", examples.only(frozenset()))


def test_nobody_held_out_is_no_failure() -> None:
    one = start("pix2pix")
    nobody = faces(32).only(frozenset())
    assert one.validate(nobody) == {}
    assert one.sample(nobody) == []


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("pix2pix", {"size": 24}, "32 pixels or more"),
        ("pix2pix", {"depth": 6}, "multiple of 64"),
        ("pix2pix", {"depth": 1}, "multiple of 4"),
        ("pix2pix", {"dropout": 1.0}, "less than 1"),
        ("cae", {"size": 96}, "multiple of 64"),
        ("cae", {"batch": 1}, "two pictures"),
        ("cae", {"plain_layer": 7}, "1 to 6"),
        ("cvae", {"latent": 0}, "--latent 1"),
        ("cvae", {"kl_weight": -1.0}, "--kl-weight 0"),
        ("dense-ae", {"width": 2}, "--width 4"),
        ("dcgan", {"size": 48}, "power of two"),
        ("dcgan", {"size": 8}, "power of two"),
        ("dcgan", {"batch": 1}, "--batch of 2"),
    ],
)
def test_wrong_arguments_are_told(name: str, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        start(name, faces(64), **changes)


@pytest.mark.parametrize("name", ["cae", "cvae", "dcgan"])
def test_batch_norm_needs_two_pictures(name: str) -> None:
    examples = faces(CASES[name][1].size).only(frozenset(PEOPLE[:1]))
    if name == "dcgan":
        examples = replace(examples, pictures=examples.pictures[:1])
    with pytest.raises(DataError, match="at least two"):
        start(name, examples)
