"""US-GAN's skip and size, RegGAN's layer and whom it has learnt from."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deep_onnx.architectures import reggan, stargan, usgan
from deep_onnx.training.data import Examples
from pixelreg.backends import get_backend
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.data.synthetic import pairs_array
from pixelreg.errors import UsageError
from pixelreg.fitting.recipe import Recipe
from pixelreg.models.model import Provenance

PEOPLE, SIZE = tuple(f"p{k}" for k in range(8)), 32


def count(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


@pytest.fixture(scope="module")
def examples() -> Examples:
    stacks = {}
    for target in ("happy", "sad"):
        sources, targets = pairs_array(len(PEOPLE), target, SIZE, seed=1)
        photos = [[Photo(p, e, f"{e}{p}") for p in PEOPLE] for e in ("neutral", target)]
        pairs = tuple(Pair(a.person, "", a, b) for a, b in zip(*photos, strict=True))
        stacks[target] = Stack(pairs, sources, targets)
    pictures = np.concatenate([each.targets for each in stacks.values()])
    labels = ("happy",) * len(PEOPLE) + ("sad",) * len(PEOPLE)
    return Examples("neutral", stacks, pictures, labels, PEOPLE * 2, None, Provenance())


def trained(examples: Examples, **changes: object) -> reggan.RegGAN:
    torch.manual_seed(0)
    chosen = {"size": SIZE, "width": 4, "augment": False, **changes}
    return reggan.RegGAN(reggan.RegGANArguments(**chosen), examples)


def test_usgan_is_three_times_smaller_than_stargan() -> None:
    assert 3 < count(stargan.Generator(7)) / count(usgan.Generator(7)) < 3.5
    assert count(usgan.Generator(7, 8, blocks=6)) == count(stargan.Generator(7, 8, 6))


def test_usgan_adds_to_the_picture() -> None:
    network = usgan.Generator(2, 4).eval()
    picture, condition = torch.rand(2, 3, 16, 16), torch.eye(2)
    with torch.no_grad():
        made = network(picture, condition)
        assert not torch.allclose(made, picture)
        network.main[-2].weight.zero_()
        assert torch.equal(network(picture, condition), picture)


def test_the_layer_is_masked_ridge_of_the_target_asked_for(examples) -> None:
    layer = trained(examples).generator.regression
    backend = get_backend("numpy")
    for number, (_, stack) in enumerate(examples.stacks.items()):
        plan = Recipe("mr", size=SIZE).fit(stack)
        wanted = backend.predict(plan, stack.sources).clip(0, 1)
        values = torch.from_numpy(stack.sources).permute(0, 3, 1, 2) / 127.5 - 1
        condition = torch.eye(2)[number].expand(len(values), -1)
        with torch.no_grad():
            made = (layer(values.float(), condition) + 1) / 2
        np.testing.assert_allclose(made.permute(0, 2, 3, 1).numpy(), wanted, atol=1e-5)


def test_nobody_is_regressed_by_a_layer_that_has_seen_them(examples) -> None:
    before = trained(examples).regressed
    stack = examples.stacks["happy"]
    other = Stack(stack.pairs, stack.sources, stack.targets.copy())
    other.targets[0] = 255 - other.targets[0]  # what the first person should become
    changed = Examples(
        examples.source, {**examples.stacks, "happy": other}, examples.pictures,
        examples.labels, examples.people, None, Provenance(),
    )  # fmt: skip
    after = trained(changed).regressed
    moved = (before != after).any(axis=(1, 2, 3))
    assert not moved[0]
    assert not moved[len(PEOPLE) :].any()  # the other target has a layer of its own
    assert moved[1 : len(PEOPLE)].any()


def test_the_layer_stays_as_it_was_solved_and_the_refinement_learns(examples) -> None:
    algorithm = trained(examples, batch=4)
    layer = {k: v.clone() for k, v in algorithm.generator.regression.state_dict().items()}
    start = algorithm.validate(examples)
    for step in range(30):
        torch.manual_seed(step)
        algorithm.step(torch.randperm(algorithm.items)[:4].tolist(), step / 30)
    for name, values in algorithm.generator.regression.state_dict().items():
        assert torch.equal(values, layer[name])
    end = algorithm.validate(examples)
    assert end["regression"] == start["regression"]
    assert end["l1"] < start["l1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"penalty": 0.0}, "--penalty"), ({"field": 4}, "--field"), ({"field": 17}, "--field")],
)
def test_what_no_layer_can_be_solved_with_is_refused(examples, changes, said) -> None:
    with pytest.raises(UsageError, match=said):
        trained(examples, **changes)
