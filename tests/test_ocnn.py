"""OCNN: Eq. 4 and Eq. 15 against NumPy, training on drawn faces, and what is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")
pytest.importorskip("sklearn")

from deep_onnx.architectures.ocnn import OCNN, OCNNArguments, attention_loss
from deep_onnx.architectures.pair_parameters import (
    given_parameters,
    lattice_step,
    learn_parameters,
    mirrored_lattice,
)
from deep_onnx.architectures.tuned_weights import search_layers, search_start
from deep_onnx.architectures.two_head import SCALES, Generator, applied, multiple_of
from deep_onnx.training import checkpoint
from deep_onnx.training.checkpoint import Progress
from deep_onnx.training.data import Examples
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.data.synthetic import pairs_array
from pixelreg.errors import DataError, UnknownNameError, UsageError
from pixelreg.models.model import Frame, Provenance
from pixelreg.shapes.file import save
from pixelreg.shapes.flow import flow_lattice
from pixelreg.shapes.learning import learn as learn_shapes

SIZE = 32
LEARNT: dict[object, object] = {}
SMALL = OCNNArguments(
    size=SIZE, width=8, blocks=1, components=3, batch=4, learning_rate=4e-3, scale=1
)


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(autouse=True)
def learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pictures give the same parameters: they need not be found again by every test."""

    def remembered(sources: np.ndarray, targets: np.ndarray, *rest: object) -> object:
        key = (sources.tobytes(), targets.tobytes(), repr(rest))
        if key not in LEARNT:
            LEARNT[key] = learn_parameters(sources, targets, *rest)  # type: ignore[arg-type]
        return LEARNT[key]

    monkeypatch.setattr("deep_onnx.architectures.ocnn.learn_parameters", remembered)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return faces(12, ("happy", "surprised"), seed=1)


@pytest.fixture(scope="module")
def held_out() -> Examples:
    return faces(4, ("happy", "surprised"), seed=2)


def faces(people: int, expressions: tuple[str, ...], seed: int) -> Examples:
    who = tuple(f"person {k}" for k in range(people))
    stacks: dict[str, Stack] = {}
    pictures, labels = [], []
    for expression in expressions:
        sources, targets = pairs_array(people, expression, SIZE, seed)
        pairs = tuple(Pair(p, "", Photo("a", p, "neutral"), Photo("b", p, expression)) for p in who)
        stacks[expression] = Stack(pairs, sources, targets)
        pictures.append(targets)
        labels += [expression] * people
    pictures.append(sources)
    labels += ["neutral"] * people
    return Examples(
        "neutral", stacks, np.concatenate(pictures), tuple(labels),
        who * (len(expressions) + 1), Frame(), Provenance(),
    )  # fmt: skip


def unit(pictures: np.ndarray) -> torch.Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) on [-1, 1]."""
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1


def trained(arguments: OCNNArguments, examples: Examples, steps: int) -> OCNN:
    torch.manual_seed(arguments.seed)
    algorithm = OCNN(arguments, examples)
    learn(algorithm, 0, steps, steps)
    return algorithm


def learn(algorithm: OCNN, first: int, last: int, total: int) -> list[dict[str, float]]:
    losses = []
    for step in range(first, last):
        torch.manual_seed(1000 + step)
        items = torch.randperm(algorithm.items)[: algorithm.arguments.batch].tolist()
        losses.append(algorithm.step(items, step / total))
    return losses


def unlike_new(generator: Generator) -> Generator:
    """Heads far from where training starts."""
    with torch.no_grad():
        generator.heads.weight.normal_(0.0, 60.0)
    return generator.eval()


# ---------------------------------------------------------------- the network


def test_equation_4_by_hand() -> None:
    torch.manual_seed(0)
    generator = unlike_new(Generator(3, width=4, blocks=1, scale=1))
    image, p = torch.rand(2, 3, 16, 24) * 2 - 1, torch.rand(2, 3) * 2 - 1
    with torch.no_grad():
        mask, picture = (value.double().numpy() for value in generator.masks(image, p))
        made = generator(image, p).numpy()
    expected = mask * picture + (1 - mask) * image.double().numpy()
    np.testing.assert_allclose(made, expected, atol=1e-6)
    assert np.abs(made - image.numpy()).max() > 0.01


@pytest.mark.parametrize("scale", SCALES)
def test_the_mask_is_a_share_and_the_picture_a_picture(scale: int) -> None:
    torch.manual_seed(1)
    generator = unlike_new(Generator(3, width=4, blocks=1, scale=scale))
    with torch.no_grad():
        image, p = torch.rand(2, 3, 32, 48) * 2 - 1, torch.rand(2, 3) * 2 - 1
        mask, picture = generator.masks(image, p)
        made = generator(image, p)
    assert mask.shape == (2, 1, 32 // scale, 48 // scale)
    assert picture.shape == (2, 3, 32 // scale, 48 // scale)
    assert 0 <= mask.min() < 0.2
    assert 0.8 < mask.max() <= 1
    assert -1 <= picture.min() < -0.8
    assert 0.8 < picture.max() <= 1
    assert made.shape == image.shape
    assert made.abs().max() <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_a_constant_change_is_exact_at_every_scale(scale: int) -> None:
    torch.manual_seed(2)
    image = torch.rand(1, 3, 16, 16) - 0.5
    small = torch.nn.functional.avg_pool2d(image, scale)
    mask, change = torch.full_like(small[:, :1], 0.25), 0.4
    made = applied(image, small, mask, small + change, scale)
    np.testing.assert_allclose(made.numpy(), image.numpy() + 0.1, atol=1e-6)


def test_a_reduced_change_is_enlarged_bilinearly() -> None:
    image = torch.zeros(1, 3, 2, 8)
    small = torch.zeros(1, 3, 1, 4)
    picture = torch.tensor([0.0, 0.2, 0.6, 0.4]).expand(1, 3, 1, 4)
    made = applied(image, small, torch.ones(1, 1, 1, 4), picture, 2)
    places = (np.arange(8) + 0.5) / 2 - 0.5
    expected = np.interp(places, np.arange(4), [0.0, 0.2, 0.6, 0.4])
    np.testing.assert_allclose(made[0, 0, 0].numpy(), expected, atol=1e-6)


def test_a_new_generator_keeps_the_picture_with_an_open_mask() -> None:
    torch.manual_seed(3)
    generator = Generator(2, width=16, scale=2).eval()
    image = 1.9 * torch.rand(1, 3, 32, 32) - 0.95
    with torch.no_grad():
        np.testing.assert_allclose(generator(image, torch.ones(1, 2)), image, atol=1e-5)
        masks = [generator.masks(image, torch.full((1, 2), value))[0] for value in (-1.0, 1.0)]
    assert all(0.1 < mask.mean() < 0.9 for mask in masks)
    assert (masks[0] - masks[1]).abs().max() > 1e-3


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale is 3"):
        Generator(2, scale=3)


# ---------------------------------------------------------------- losses and parameters


def test_equation_15_by_hand() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 4, 1, 6, 8))
    by_hand = np.mean(
        [(np.abs(a).sum() + np.abs(b).sum()) / (8 * 6) for a, b in zip(first, second, strict=True)]
    )
    found = attention_loss(torch.from_numpy(first), torch.from_numpy(second))
    assert float(found) == pytest.approx(by_hand)


def test_the_losses_go_there_and_back(examples: Examples) -> None:
    torch.manual_seed(0)
    algorithm = OCNN(SMALL, examples)
    batch = algorithm.draw([0, 1], changed=False)
    source, target, wanted, shown = batch
    with torch.no_grad():
        generator = unlike_new(algorithm.generator)
        made, losses = algorithm.losses(*batch)
        mask = generator.masks(source, wanted)[0].numpy()
        back = generator.masks(made, shown)[0].numpy()
        again = generator(made, shown).numpy()
    reconstruction = _huber(made.numpy() - target.numpy())
    assert float(losses["reconstruction"]) == pytest.approx(reconstruction, rel=1e-5)
    recovered = _huber(again - source.numpy())
    assert float(losses["recovered"]) == pytest.approx(recovered, rel=1e-5)
    assert float(losses["attention"]) == pytest.approx(mask.mean() + back.mean(), rel=1e-5)


def _huber(difference: np.ndarray) -> float:
    size = np.abs(difference.astype(np.float64))
    return float(np.where(size < 0.2, size**2 / 0.4, size - 0.1).mean())


def test_pairs_are_learnt_both_ways(examples: Examples) -> None:
    algorithm = OCNN(replace(SMALL, across=False), examples)
    count = 24
    assert algorithm.items == 2 * count
    there = algorithm.draw([3], changed=False)
    back = algorithm.draw([3 + count], changed=False)
    assert torch.equal(there[0], back[1])
    assert torch.equal(there[1], back[0])
    assert torch.equal(there[2], algorithm.parameters.own[3:4])
    assert torch.equal(there[2], back[3])
    assert not there[3].any()
    assert not back[2].any()


def test_one_expression_is_learnt_from_another_of_the_same_person(examples: Examples) -> None:
    algorithm = OCNN(SMALL, examples)
    assert algorithm.items == 2 * 24 + 2 * 12
    own = algorithm.parameters.own
    found = [algorithm.draw([item], changed=False) for item in range(48, 72)]
    for row, (source, target, wanted, shown) in enumerate(found):
        other = (row + 12) % 24
        for stack, number in ((source, row), (target, other)):
            name = ("happy", "surprised")[number // 12]
            face = unit(examples.stacks[name].targets[number % 12][None])
            torch.testing.assert_close(stack, face)
        assert torch.equal(shown, own[row : row + 1])
        assert torch.equal(wanted, own[other : other + 1])


def test_parameters_may_come_from_a_file(examples: Examples, tmp_path: Path) -> None:
    learnt = OCNN(SMALL, examples).parameters
    save(learnt.shapes, tmp_path / "flow.safetensors")
    again = OCNN(replace(SMALL, shapes=str(tmp_path / "flow.safetensors")), examples)
    assert torch.equal(again.parameters.own, learnt.own)
    assert torch.equal(again.parameters.mirrored, learnt.mirrored)
    rng = np.random.default_rng(0)
    still = rng.normal(size=(20, 3))
    meshes = still + rng.normal(size=(4, 20, 3))
    mesh = learn_shapes(meshes, still, 2, expressions=("happy", "happy", "surprised", "surprised"))
    save(mesh, tmp_path / "mesh.safetensors")
    told = OCNN(replace(SMALL, shapes=str(tmp_path / "mesh.safetensors")), examples)
    assert told.parameters.own.shape == (24, 2)
    for name, rows in (("happy", slice(12)), ("surprised", slice(12, 24))):
        expected = np.tile(np.float32(mesh.expressions[name]), (12, 1))
        np.testing.assert_array_equal(told.parameters.own[rows].numpy(), expected)
    sad = faces(2, ("sad",), 5)
    with pytest.raises(UnknownNameError, match="sad"):
        OCNN(replace(SMALL, shapes=str(tmp_path / "mesh.safetensors")), sad)
    big, sources = replace(learnt.shapes, size=64), examples.stacks["happy"].sources
    with pytest.raises(UsageError, match="--size 32"):
        given_parameters(big, sources, sources, ["happy"] * 12)


def test_mirrored_pictures_come_with_mirrored_parameters(examples: Examples) -> None:
    algorithm = OCNN(SMALL, examples)
    plain = algorithm.draw([5], changed=False)[0]
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        picture, _, p, _ = algorithm.draw([5], changed=True)
        turned = _apart(picture, plain.flip(3)) < _apart(picture, plain)
        seen.add(turned)
        parameters = algorithm.parameters
        expected = parameters.mirrored if turned else parameters.own
        assert torch.equal(p, expected[5:6])
    assert seen == {True, False}


def _apart(some: torch.Tensor, other: torch.Tensor) -> float:
    """Mean difference of two pictures that may be shifted."""
    inner = slice(4, -4)
    shifts = [
        (torch.roll(some, (y, x), (2, 3)) - other)[:, :, inner, inner].abs().mean()
        for y in range(-2, 3)
        for x in range(-2, 3)
    ]
    return float(min(shifts))


def test_parameters_tell_expressions_apart(examples: Examples) -> None:
    stacks = examples.stacks.values()
    sources, targets = (
        np.concatenate([getattr(stack, side) for stack in stacks])
        for side in ("sources", "targets")
    )
    labels = [name for name, stack in examples.stacks.items() for _ in stack.sources]
    found = learn_parameters(sources, targets, labels, 3, 0.1, Frame())
    assert found.own.shape == found.mirrored.shape == (24, 3)
    assert found.own.abs().max() <= 1
    # The parameters of a picture that was seen are those that are found again.
    again = found.of(sources, targets, "happy").numpy()
    np.testing.assert_allclose(again, found.own.numpy(), atol=1e-5)
    happy, surprised = (np.array(found.expressions[name]) for name in ("happy", "surprised"))
    nearer = np.linalg.norm(found.own.numpy() - happy, axis=1) < np.linalg.norm(
        found.own.numpy() - surprised, axis=1
    )
    assert nearer[:12].mean() >= 0.8
    assert nearer[12:].mean() <= 0.2
    both = torch.cat([found.own[:12], found.mirrored[:12]]).numpy()
    np.testing.assert_allclose(happy, both.mean(axis=0), atol=1e-6)


def test_the_lattice_of_mirrored_pictures() -> None:
    sources, targets = pairs_array(2, "happy", SIZE, 4)
    found = mirrored_lattice(flow_lattice(sources, targets, 2), SIZE)
    expected = flow_lattice(sources[:, :, ::-1].copy(), targets[:, :, ::-1].copy(), 2)
    still = flow_lattice(sources, sources, 2)
    assert np.abs(found - expected).mean() < 0.3 * np.abs(expected - still).mean()
    assert [lattice_step(size) for size in (32, 40, 64, 72, 128)] == [2, 2, 4, 4, 8]


# ---------------------------------------------------------------- training


def test_training_falls_and_generalises(examples: Examples, held_out: Examples) -> None:
    algorithm = trained(replace(SMALL, batch=8, augment=False, across=False), examples, 240)
    found = algorithm.validate(held_out)
    assert list(found) == ["own", "l1", "untouched", "mask", "p error", "p spread"]
    assert found["p error"] < 0.75 * found["p spread"]  # of people who were not learnt from
    assert found["own"] < found["untouched"]
    assert 0.005 < found["mask"] < 0.4
    for name, stack in held_out.stacks.items():
        source, truth = (unit(side) for side in (stack.sources, stack.targets))
        p = torch.tensor(algorithm.parameters.expressions[name]).expand(4, -1)
        with torch.no_grad():
            made = algorithm.generator.eval()(source, p)
        assert (made - truth).square().mean() < 0.85 * (source - truth).square().mean()
    _sliders_move_faces(algorithm, held_out)
    columns = algorithm.sample(held_out)
    assert [label for label, _ in columns][:4] == ["neutral", "made happy", "happy", "mask"]
    assert {len(pictures) for _, pictures in columns} == {4}


def _sliders_move_faces(algorithm: OCNN, held_out: Examples) -> None:
    """The further p goes towards an expression, the more of it there is."""
    stack = held_out.stacks["surprised"]
    p = torch.tensor(algorithm.parameters.expressions["surprised"])
    source = unit(stack.sources)
    amounts = []
    with torch.no_grad():
        still = algorithm.generator(source, torch.zeros(4, 3))
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            made = algorithm.generator(source, share * p.expand(4, -1))
            amounts.append(float((made - still).abs().mean()))
    assert amounts == sorted(amounts)
    assert amounts[-1] > 0.01


def test_a_resumed_training_is_the_same(examples: Examples, tmp_path: Path) -> None:
    arguments = replace(SMALL, adversarial=0.01)
    whole = trained(arguments, examples, 6)
    torch.manual_seed(arguments.seed)
    first = OCNN(arguments, examples)
    learn(first, 0, 3, 6)
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, first, Progress(step=3), "mark")
    torch.manual_seed(99)
    second = OCNN(arguments, examples)
    second.parameters = replace(second.parameters, own=torch.zeros_like(second.parameters.own))
    checkpoint.load(path, second, "mark")
    assert torch.equal(second.parameters.own, first.parameters.own)
    learn(second, 3, 6, 6)
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, second.networks[name].state_dict()[key]), key
    with pytest.raises(ValueError, match="other pairs"):
        first.load_state(trained(SMALL, faces(5, ("happy",), 3), 0).state())


@pytest.mark.parametrize("penguins", ["initial", "head"])
def test_penguins_search_once_and_are_remembered(examples: Examples, penguins: str) -> None:
    arguments = replace(SMALL, penguins=penguins, penguin_evaluations=40)
    torch.manual_seed(0)
    algorithm = OCNN(arguments, examples)
    cost = algorithm._cost()
    learn(algorithm, 0, 1, 10)
    if penguins == "head":
        assert algorithm.search is None
        learn(algorithm, 1, 9, 10)
        before = cost()
        untouched = [value.clone() for value in algorithm.generator.middle.parameters()]
        learn(algorithm, 9, 10, 10)
    found = algorithm.search
    assert found is not None
    assert found.evaluations <= 41
    assert found.after <= found.before
    if penguins == "head":
        assert found.dimensions == 8 * 9 * 4 + 4
        assert found.before == pytest.approx(before)
        after = [value.clone() for value in algorithm.generator.heads.parameters()]
        learn(algorithm, 9, 10, 10)
        assert all(map(torch.equal, after, algorithm.generator.heads.parameters()))
        changed = zip(untouched, algorithm.generator.middle.parameters(), strict=True)
        assert not any(torch.equal(a, b) for a, b in changed)
    else:
        assert found.dimensions == 2 * 9
    assert algorithm.search == found
    other = OCNN(arguments, examples)
    other.load_state(algorithm.state())
    assert other.search == found
    assert algorithm.exports()[0].card.notes["search"]["evaluations"] == found.evaluations


def test_short_trainings_search_at_their_end_and_cards_say_what_was_done(
    examples: Examples,
) -> None:
    arguments = replace(SMALL, penguins="head", penguin_evaluations=40)
    torch.manual_seed(0)
    algorithm = OCNN(arguments, examples)
    learn(algorithm, 0, 2, 4)
    assert algorithm.exports()[0].card.notes["penguins"] == "none"
    algorithm.finish()
    found = algorithm.search
    assert found is not None
    assert found.after <= found.before
    algorithm.finish()
    assert algorithm.search == found
    notes = algorithm.exports()[0].card.notes
    assert (notes["penguins"], notes["search"]["evaluations"]) == ("head", found.evaluations)


def test_searches_lower_the_cost_and_leave_the_best_behind() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Conv2d(2, 1, 1))
    image = torch.rand(1, 1, 8, 8)

    def cost() -> float:
        return float((network(image) - 0.5).square().mean().detach())

    for search in (
        search_start(network, cost, 300),
        search_layers([network[1]], cost, 300),
    ):
        assert search.after < search.before
        assert search.evaluations <= 301
    assert cost() == pytest.approx(search.after)


# ---------------------------------------------------------------- export and errors


@pytest.mark.parametrize("scale", [1, 4])
def test_export(examples: Examples, tmp_path: Path, scale: int) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from deep_onnx.export import export_onnx

    torch.manual_seed(0)
    algorithm = OCNN(replace(SMALL, scale=scale), examples)
    export, regressor = algorithm.exports()
    assert (regressor.suffix, regressor.card.task) == ("-parameters", "measure")
    assert regressor.card.notes["entries"] == list(export.card.condition)
    card = export.card
    assert (card.architecture, card.target_kind) == ("ocnn", "blendshapes")
    assert card.condition == ("K0", "K1", "K2")
    assert card.condition_range == (-1.0, 1.0)
    assert list(card.targets) == ["happy", "surprised", "neutral"]
    assert card.targets["neutral"] == (0.0, 0.0, 0.0)
    assert card.targets["happy"] == algorithm.parameters.expressions["happy"]
    assert card.multiple == multiple_of(scale) == 4 * scale
    made = export_onnx(export, tmp_path / "m.onnx", Provenance(), None, examples.pictures)
    assert made.parity < 1e-5
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, 48, 16 * scale) * 2 - 1
    p = torch.rand(1, 3) * 2 - 1
    (found,) = session.run(None, {"image": image.numpy(), "condition": p.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, export.module(image, p).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scale": 3}, "--scale is 3"),
        ({"size": 36, "scale": 2}, "multiple of 8"),
        ({"size": 16}, "32 at the least"),
        ({"components": 0}, "--components is 0"),
        ({"penguins": "all"}, "--penguins is 'all'"),
        ({"penguins": "head", "penguin_evaluations": 8}, "--penguin-evaluations"),
        ({"recovered": -1.0}, "--recovered"),
    ],
)
def test_bad_arguments(examples: Examples, changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OCNN(replace(SMALL, **changed), examples)  # type: ignore[arg-type]


def test_no_pairs(examples: Examples) -> None:
    with pytest.raises(DataError, match="there are none"):
        OCNN(SMALL, replace(examples, stacks={}))
