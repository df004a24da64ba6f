"""One contract for every deep architecture in the registry; what is each one's own is elsewhere."""

from __future__ import annotations

import math
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from portrait_tools import write_portraits

from deep_onnx.card import card_from_json
from deep_onnx.portrait.portraits import load_portrait_examples
from deep_onnx.registry import ARCHITECTURES
from deep_onnx.training import checkpoint
from deep_onnx.training.checkpoint import Progress
from deep_onnx.training.data import Examples, Learns
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.data.synthetic import pairs_array
from pixelreg.errors import UsageError
from pixelreg.models.model import Frame, Provenance

PEOPLE = tuple(f"p{k}" for k in range(6))
LEARNT, HELD_OUT = frozenset(PEOPLE[:4]), frozenset(PEOPLE[4:])
# What makes each one small enough to learn in a moment.
TINY: dict[str, dict[str, Any]] = {
    "dense-ae": {"size": 16, "width": 64, "latent": 16, "batch": 2},
    "cae": {"size": 64, "width": 4, "batch": 2},
    "cvae": {"size": 64, "width": 4, "latent": 4, "batch": 2},
    "pix2pix": {"size": 32, "width": 4, "batch": 2},
    "cyclegan": {"size": 32, "width": 4, "batch": 2, "blocks": 1, "buffer": 3},
    "stargan": {"size": 32, "width": 4, "batch": 2, "blocks": 1, "critic_steps": 2},
    "usgan": {"size": 32, "width": 4, "batch": 2, "critic_steps": 2},
    "ganimation": {"size": 32, "width": 4, "batch": 2, "blocks": 1, "critic_steps": 2},
    "reggan": {"size": 32, "width": 4, "batch": 2},
    "ocnn": {"size": 32, "width": 4, "blocks": 1, "batch": 2, "components": 2, "adversarial": 0.01},
    "portrait": {"size": 64, "width": 4, "batch": 2},
    "dcgan": {"size": 16, "width": 4, "latent": 8, "batch": 4},
}
WRONG = {"dense-ae": {"width": 2}, "dcgan": {"size": 48}}  # elsewhere a size of 34


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@cache
def kind(name: str) -> Any:
    module, _, attribute = ARCHITECTURES[name].home.partition(":")
    return getattr(import_module(module), attribute)


@cache
def drawn(size: int, frame: Frame | None) -> Examples:
    """Six drawn people, neutral, happy and in one order."""
    sources, targets = pairs_array(len(PEOPLE), "happy", size, seed=1)
    photos = [[Photo(p, e, f"{e}/{p}.png") for p in PEOPLE] for e in ("neutral", "happy")]
    pairs = tuple(Pair(p, "", *both) for p, both in zip(PEOPLE, zip(*photos), strict=True))  # noqa: B905
    labels = ("neutral",) * len(PEOPLE) + ("happy",) * len(PEOPLE)
    stacks = {"happy": Stack(pairs, sources, targets)}
    pictures = np.concatenate([sources, targets])
    return Examples("neutral", stacks, pictures, labels, PEOPLE * 2, frame, Provenance())


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("portraits")
    write_portraits(folder, dict(zip(PEOPLE, PEOPLE, strict=True)))
    found = load_portrait_examples(folder, TINY["portrait"]["size"]).examples
    return found


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def examples(name: str, request: pytest.FixtureRequest) -> Examples:
    if kind(name).learns is Learns.MASKS:
        return request.getfixturevalue("portraits")
    return drawn(TINY[name]["size"], Frame())


def made(name: str, examples: Examples, seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    arguments = kind(name).Arguments(**{**TINY[name], "augment": False, **changes})
    return kind(name)(arguments, examples.only(LEARNT))


def learn(algorithm: Any, first: int, last: int, total: int = 6) -> list[dict[str, float]]:
    """The loop's law in short: random numbers depend on the step alone."""
    losses = []
    for step in range(first, last):
        torch.manual_seed(1000 + step)
        items = torch.randperm(algorithm.items)[: algorithm.arguments.batch].tolist()
        losses.append(algorithm.step(items, step / total))
    return losses


def weights(algorithm: Any) -> dict[str, Any]:
    return {
        f"{name}.{key}": values.clone()
        for name, network in algorithm.networks.items()
        for key, values in network.state_dict().items()
    }


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_no_architecture_is_forgotten() -> None:
    assert set(TINY) == set(ARCHITECTURES)
    for each in ARCHITECTURES:
        assert kind(each).examples_of_use
        assert kind(each).keep in ("best", "last")


def test_losses_are_finite_keep_their_names_and_depend_on_the_seed(name, examples) -> None:
    runs = [made(name, examples, seed) for seed in (1, 1, 2)]
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))
    first, again, other = (learn(run, 0, 2) for run in runs)
    assert all(entry.keys() == first[0].keys() for entry in first)
    assert all(math.isfinite(value) for entry in first for value in entry.values())
    assert first == again != other
    assert same(weights(runs[0]), weights(runs[1]))


def test_going_on_from_a_checkpoint_changes_no_bit(name, examples, tmp_path) -> None:
    whole, begun = made(name, examples), made(name, examples)
    learn(whole, 0, 4)
    learn(begun, 0, 2)
    checkpoint.save(tmp_path / "last.safetensors", begun, Progress(step=2), "mark")
    resumed = made(name, examples, seed=9)
    assert checkpoint.load(tmp_path / "last.safetensors", resumed, "mark").step == 2
    learn(resumed, 2, 4)
    assert same(weights(whole), weights(resumed))


def test_judging_showing_and_exporting_change_nothing(name, examples) -> None:
    algorithm = made(name, examples)
    learn(algorithm, 0, 2)
    before, people = weights(algorithm), examples.only(HELD_OUT)
    losses = algorithm.validate(people)
    assert losses
    assert all(math.isfinite(value) for value in losses.values())
    assert algorithm.validate(people) == losses
    columns = algorithm.sample(people)
    exports = algorithm.exports()
    assert same(weights(algorithm), before)
    size = algorithm.arguments.size
    assert len({len(pictures) for _, pictures in columns}) == 1
    for _, pictures in columns:
        assert all(p.shape == (size, size, 3) and p.dtype == np.uint8 for p in pictures)
    kept = [dict(export.module.state_dict()) for export in exports]
    copies = [{key: value.clone() for key, value in each.items()} for each in kept]
    learn(algorithm, 2, 3)  # exported networks are copies
    assert all(same(a, b) for a, b in zip(kept, copies, strict=True))


def test_exports_say_what_they_take_and_give(name, examples) -> None:
    exports = made(name, examples).exports()
    assert exports[0].suffix == ""
    assert len({export.suffix for export in exports}) == len(exports)
    for export in exports:
        card = export.card
        assert card_from_json(card.to_json(), "x.onnx") == card
        assert card.architecture.startswith(name)
        assert (card.placement, card.frame is None) == ("face", False)
        assert not export.module.training
        assert {len(values) for values in export.inputs.values()} == {2}
        with torch.no_grad():
            found = export.module(*export.inputs.values())
        assert len(found) == 2
        assert bool(torch.isfinite(found).all())
        if card.does.pictures and card.task != "parse":
            assert found.shape == (2, 3, card.size, card.size)


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n != "portrait"], indirect=True)
def test_pictures_that_are_no_faces_have_no_frame(name) -> None:
    for export in made(name, drawn(TINY[name]["size"], None)).exports():
        card = export.card
        assert (card.placement, card.frame) == ("whole" if card.dynamic else "square", None)


def test_what_no_network_can_be_made_with_is_refused(name, examples) -> None:
    with pytest.raises(UsageError):
        made(name, examples, **WRONG.get(name, {"size": 34}))
