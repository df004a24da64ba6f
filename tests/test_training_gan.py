"""CycleGAN, StarGAN and GANimation learn: losses, histories, seeds, states, exports."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deep_onnx.architectures import action_units, cyclegan, ganimation, stargan
from deep_onnx.architectures.cyclegan import CycleGAN, History
from deep_onnx.architectures.ganimation import GANimation
from deep_onnx.architectures.stargan import StarGAN
from deep_onnx.training import tools as optimising
from deep_onnx.training.data import Examples
from deep_onnx.training.tools import to_tensor
from pixelreg.data.crops import Stack
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.errors import DataError, UsageError
from pixelreg.models.model import Frame, Provenance

SIZE, PEOPLE = 32, 4
ALL = {"cyclegan": CycleGAN, "stargan": StarGAN, "ganimation": GANimation}
TINY = {
    "cyclegan": cyclegan.Arguments(size=SIZE, width=4, batch=2, blocks=1, buffer=3),
    "stargan": stargan.Arguments(size=SIZE, width=4, batch=2, blocks=1, critic_steps=2),
    "ganimation": ganimation.Arguments(size=SIZE, width=4, batch=2, blocks=1, critic_steps=2),
}


def examples(*targets: str, frame: Frame | None = None, pairs: bool = True) -> Examples:
    """People as grey levels with a texture; a target brightens a part of its own, low down."""
    texture = np.random.default_rng(0).integers(0, 12, (SIZE, SIZE, 3))
    names = ("neutral", *targets)
    people = tuple(f"person-{k}" for k in range(PEOPLE))
    shown = {name: np.empty((PEOPLE, SIZE, SIZE, 3), np.uint8) for name in names}
    for number, name in enumerate(names):
        for k in range(PEOPLE):
            shown[name][k] = 60 + 20 * k + texture
            if number:
                shown[name][k, 16 : 16 + 8 * number, 8:24] = 230
    photos = {
        (person, name): Photo(person, name, f"set/{person}/{name}.jpg")
        for person in people
        for name in names
    }
    stacks = {
        name: Stack(
            tuple(Pair(p, "", photos[p, "neutral"], photos[p, name]) for p in people),
            shown["neutral"],
            shown[name],
        )
        for name in targets
    }
    return Examples(
        "neutral",
        stacks if pairs else {},
        np.concatenate([shown[name] for name in names]),
        tuple(name for name in names for _ in people),
        people * len(names),
        frame,
        Provenance(),
    )


def made(name: str, data: Examples, seed: int = 0):
    torch.manual_seed(seed)
    return ALL[name](TINY[name], data)


def trained(algorithm, steps: int, start: int = 0) -> list[dict[str, float]]:
    """The loop's law in short: random numbers depend on the step alone."""
    losses = []
    for step in range(start, start + steps):
        torch.manual_seed(step)
        items = torch.randperm(algorithm.items)[: algorithm.arguments.batch].tolist()
        losses.append(algorithm.step(items, 0.0))
    return losses


def weights(algorithm) -> dict[str, object]:
    return {
        f"{name}.{key}": values.clone()
        for name, network in algorithm.networks.items()
        for key, values in network.state_dict().items()
    }


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# All three


@pytest.mark.parametrize("name", ALL)
def test_coming_back_is_learnt(name: str) -> None:
    """What the generators lose there and back falls well below what it was, where that is what
    weighs most."""
    data = examples("happy")
    algorithm = made(name, data)
    for optimiser in algorithm.optimisers.values():
        assert optimiser.defaults["betas"] == (0.5, 0.999)
    weighed = {**vars(algorithm.arguments), "learning_rate": 2e-3, "cycle": 1e4}
    algorithm.arguments = type(algorithm.arguments)(**weighed)
    (cycle,) = [key for key in ("cycle", "cycle-forth") if key in algorithm.validate(data)]
    before = algorithm.validate(data)[cycle]
    trained(algorithm, 25)
    assert algorithm.validate(data)[cycle] < 0.6 * before


@pytest.mark.parametrize("name", ALL)
def test_validation_is_led_by_the_distance_to_the_truth(name: str) -> None:
    data = examples("happy")
    algorithm = made(name, data)
    losses = algorithm.validate(data)
    assert next(iter(losses)) == "l1"
    (export, *_) = algorithm.exports()
    inputs = [to_tensor(data.stacks["happy"].sources)]
    if export.card.condition:
        condition = export.card.targets["happy"]
        inputs.append(torch.tensor(condition).expand(PEOPLE, -1))
    with torch.no_grad():
        off = export.module(*inputs) - to_tensor(data.stacks["happy"].targets)
    assert losses["l1"] == pytest.approx(off.abs().mean().item(), rel=1e-5)
    before = weights(algorithm)
    algorithm.sample(data)
    assert same(weights(algorithm), before)


@pytest.mark.parametrize("name", ALL)
def test_pictures_without_pairs_are_enough(name: str) -> None:
    data = examples("happy", pairs=False)
    algorithm = made(name, data)
    trained(algorithm, 1)
    losses = algorithm.validate(data)
    assert next(iter(losses)).startswith("cycle")
    columns = algorithm.sample(data)
    assert {len(pictures) for _, pictures in columns} == {PEOPLE}
    assert all(p.shape == (SIZE, SIZE, 3) for _, pictures in columns for p in pictures)
    nobody = data.only(frozenset())
    assert algorithm.validate(nobody) == {}
    assert algorithm.sample(nobody) == []


@pytest.mark.parametrize(
    ("name", "argument", "value", "message"),
    [
        ("cyclegan", "buffer", -1, "--buffer is -1; it must be 0 or more"),
        ("cyclegan", "dropout", 1.0, "--dropout is 1; it must be below 1"),
        ("cyclegan", "width", 0, "--width is 0; it must be 1 or more"),
        ("stargan", "critic_steps", 0, "--critic-steps is 0; it must be 1 or more"),
        ("ganimation", "variation", math.nan, "--variation is nan; it must be 0 or more"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    name: str, argument: str, value: float, message: str
) -> None:
    arguments = type(TINY[name])(**{**vars(TINY[name]), argument: value})
    with pytest.raises(UsageError, match=message):
        ALL[name](arguments, examples("happy"))


@pytest.mark.parametrize("name", ALL)
def test_the_learning_rate_fades(name: str) -> None:
    algorithm = made(name, examples("happy"))
    rates = []
    for progress in (0.0, 0.4, 0.9, 1.0):
        algorithm.step([0, 1], progress)
        rates.append([g["lr"] for o in algorithm.optimisers.values() for g in o.param_groups])
    full = algorithm.arguments.learning_rate
    share = {"ganimation": 0.3}.get(name, 0.2)  # of the last third, of the last half
    for rate, expected in zip(rates, (full, full, full * share, 0.0), strict=True):
        assert rate == pytest.approx([expected] * 2)


# Gradient penalty


def test_the_penalty_of_a_linear_critic_is_its_slope() -> None:
    """critic(x) = c sum(x): its gradient has norm c sqrt(n) everywhere."""
    real, false = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    for slope in (0.0, 0.1, 1.0):
        penalty = optimising.gradient_penalty(lambda x, c=slope: c * x.sum((1, 2, 3)), real, false)
        assert penalty.item() == pytest.approx((slope * math.sqrt(32) - 1) ** 2, rel=1e-5)


def test_the_penalty_lies_between_and_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(1, 2, 3, padding=1).double()

    def critic(x):
        return torch.tanh(layer(x)).square()

    real, false = torch.rand(2, 1, 4, 4).double(), -torch.rand(2, 1, 4, 4).double()
    torch.manual_seed(5)
    penalty = optimising.gradient_penalty(critic, real, false)
    torch.manual_seed(5)
    share = torch.rand(2, 1, 1, 1)
    between = share * real + (1 - share) * false
    slopes = torch.zeros(2, 16, dtype=torch.float64)
    for pixel in range(16):
        step = torch.zeros(1, 1, 16, dtype=torch.float64)
        step[..., pixel] = 1e-5
        up, down = (
            critic(between + sign * step.view(1, 1, 4, 4)).flatten(1).sum(1) for sign in (1, -1)
        )
        slopes[:, pixel] = (up - down) / 2e-5
    expected = (slopes.norm(dim=1) - 1).square().mean()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-6)
    penalty.backward()
    assert layer.weight.grad.abs().sum() > 0  # the penalty teaches the critic


def test_a_still_network_passes_gradients_without_keeping_any() -> None:
    network, values = torch.nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with optimising.still(network):
        network(values).sum().backward()
    assert values.grad.abs().sum() > 0
    assert network.weight.grad is None
    assert network.weight.requires_grad


# CycleGAN


def test_the_history_keeps_its_law() -> None:
    """Full after as many pictures as it holds; then every second one, by chance, is an old one,
    and takes the place of what is given back."""
    torch.manual_seed(0)
    history, seen, swapped, total = History(50), set(), 0, 600
    for start in range(0, total, 2):
        batch = torch.arange(start, start + 2.0).view(2, 1, 1, 1)
        before = {int(picture) for picture in history.kept}
        shown = history.exchanged(batch)
        for new, given in zip(batch, shown, strict=True):
            if new == given:
                continue
            swapped += 1
            assert int(given) in before
            assert int(given) not in {int(picture) for picture in history.kept}
            assert int(new) in {int(picture) for picture in history.kept}
        seen |= {int(picture) for picture in shown}
        assert len(history.kept) == min(50, start + 2)
        if start < 50:
            assert torch.equal(shown, batch)
    share = swapped / (total - 50)
    assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(total - 50)


def test_a_history_of_nothing_shows_what_is_new() -> None:
    history = History(0)
    batch = torch.rand(4, 3, 2, 2)
    assert torch.equal(history.exchanged(batch), batch)
    assert history.kept == []


def test_what_a_history_keeps_is_its_own() -> None:
    batch = torch.zeros(1, 1, 1, 1)
    history = History(2)
    history.exchanged(batch)
    batch += 1
    assert history.kept[0].item() == 0


def test_the_state_of_cyclegan_is_its_histories() -> None:
    algorithm = made("cyclegan", examples("happy"))
    assert {tuple(v.shape) for v in algorithm.state().values()} == {(0, 3, SIZE, SIZE)}
    trained(algorithm, 2)
    assert {tuple(v.shape) for v in algorithm.state().values()} == {(3, 3, SIZE, SIZE)}
    with pytest.raises(ValueError, match="nothing"):
        algorithm.load_state({})


def test_cyclegan_exports_both_directions() -> None:
    algorithm = made("cyclegan", examples("happy"))
    forth, back = algorithm.exports()
    assert (forth.suffix, back.suffix) == ("", "-back")
    assert (forth.card.source, list(forth.card.targets)) == ("neutral", ["happy"])
    assert (back.card.source, list(back.card.targets)) == ("happy", ["neutral"])
    picture = torch.rand(1, 3, SIZE, SIZE)
    for export, name in ((forth, "forth"), (back, "back")):
        assert torch.equal(export.module(picture), algorithm.networks[name](picture))
    assert not torch.equal(forth.module(picture), back.module(picture))


def test_cyclegan_learns_one_target() -> None:
    with pytest.raises(UsageError, match=r"one target, not happy, sad; give it with --expr"):
        made("cyclegan", examples("happy", "sad"))
    with pytest.raises(UsageError, match=r"one target, not none"):
        made("cyclegan", examples())


def test_cyclegan_leaves_out_the_identity_where_it_weighs_nothing() -> None:
    arguments = cyclegan.Arguments(**{**vars(TINY["cyclegan"]), "identity": 0.0})
    algorithm = CycleGAN(arguments, examples("happy"))
    assert "identity" not in trained(algorithm, 1)[0]
    assert "identity" in trained(made("cyclegan", examples("happy")), 1)[0]


# StarGAN


def test_stargan_learns_every_label() -> None:
    algorithm = made("stargan", examples("happy", "sad"))
    (export,) = algorithm.exports()
    assert export.card.condition == ("neutral", "happy", "sad")
    assert list(export.card.targets) == ["happy", "sad", "neutral"]
    for number, label in enumerate(export.card.condition):
        assert export.card.targets[label].index(1.0) == number
        assert sum(export.card.targets[label]) == 1.0
    for picture, row in zip(algorithm.examples.labels, algorithm.shown, strict=True):
        assert export.card.condition[int(row.argmax())] == picture


def test_the_critic_of_stargan_learns_the_labels() -> None:
    data = examples("happy", "sad")
    chosen = {"width": 8, "learning_rate": 2e-3, "augment": False, "batch": 6}
    torch.manual_seed(0)
    algorithm = StarGAN(stargan.Arguments(**{**vars(TINY["stargan"]), **chosen}), data)
    losses = [loss["critic-condition"] for loss in trained(algorithm, 25)]
    assert losses[0] == pytest.approx(math.log(3), rel=0.1)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_stargan_needs_two_labels() -> None:
    with pytest.raises(DataError, match="all pictures show neutral"):
        made("stargan", examples())


# GANimation


def test_ganimation_takes_what_expressions_stand_for() -> None:
    algorithm = made("ganimation", examples("happy"))
    (export,) = algorithm.exports()
    card = export.card
    assert card.target_kind == "action-units"
    assert card.condition == action_units.NAMES
    assert list(card.targets) == ["happy", "neutral"]
    active = {
        unit for unit, value in zip(card.condition, card.targets["happy"], strict=True) if value
    }
    assert active == {"AU6", "AU12", "AU25"}
    assert not any(card.targets["neutral"])
    wanted = algorithm.wanted(500)
    assert wanted.min() >= 0
    assert wanted.max() <= 1
    smile = torch.tensor(card.targets["happy"])
    nearest = torch.minimum((wanted - smile).abs().amax(1), wanted.abs().amax(1))
    assert nearest.max() <= 0.1 + 1e-6
    assert 0.3 < (wanted[:, 4] > 0.3).float().mean() < 0.7


def test_ganimation_says_which_label_it_does_not_know() -> None:
    with pytest.raises(DataError, match=r"no action units of 'sketch'.*--action-units"):
        made("ganimation", examples("sketch"))


def test_the_mask_loss_is_mean_and_total_variation() -> None:
    attention = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]], [[[0.2, 0.2], [0.2, 0.2]]]])
    variation = (1.0 + 0.0) + (0.25 + 0.25)  # across, down; the second mask is flat
    expected = (0.5 + 0.2) / 2 + 0.1 * variation / 2
    assert ganimation.mask_loss(attention, 0.1).item() == pytest.approx(expected)


HEADER = "frame, face_id, confidence, success, " + ", ".join(
    f"AU{number:02d}_r" for number in action_units.NUMBERS
)


def line(confidence: float = 0.9, success: int = 1, **units: float) -> str:
    values = [units.get(name, 0.0) for name in action_units.NAMES]
    return f"1, 0, {confidence}, {success}, " + ", ".join(f"{value:.2f}" for value in values)


def measured(folder: Path, data: Examples) -> Path:
    """OpenFace's files for all pictures: AU12 is 1 to 4 for people who smile."""
    for number, (person, label) in enumerate(zip(data.people, data.labels, strict=True)):
        file = folder / person / f"{label}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        strength = 1.0 + number % PEOPLE if label == "happy" else 0.0
        file.write_text(f"{HEADER}\n{line(AU12=strength)}\n")
    return folder


def test_ganimation_takes_what_openface_measured(tmp_path: Path) -> None:
    data = examples("happy")
    path = measured(tmp_path / "csv", data)
    arguments = ganimation.Arguments(**{**vars(TINY["ganimation"]), "action_units": str(path)})
    algorithm = GANimation(arguments, data)
    smiles = algorithm.shown[:, action_units.NAMES.index("AU12")]
    assert smiles.tolist() == pytest.approx([0.0] * PEOPLE + [0.2, 0.4, 0.6, 0.8])
    (export,) = algorithm.exports()
    assert export.card.targets["happy"][action_units.NAMES.index("AU12")] == pytest.approx(0.5)
    assert "surprised" in export.card.targets
    (path / "person-2" / "happy.csv").unlink()
    with pytest.raises(DataError, match="for 1 of 8 pictures, the first that of person-2, happy"):
        GANimation(arguments, data)


# Action units


def test_prototypes_are_canonical_and_in_range() -> None:
    from pixelreg.data.expressions import CANONICAL

    found = action_units.prototypes()
    assert tuple(found) == CANONICAL
    assert {len(units) for units in found.values()} == {17}
    assert all(0 <= value <= 1 for units in found.values() for value in units)
    assert len(set(found.values())) == len(CANONICAL)


def test_a_csv_file_with_the_pictures_names(tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    rows = [
        f"{line(AU1=5.0, AU45=2.5)}, a/one.jpg",
        f"{line(0.5, AU12=1.0)}, ./two.png",
        f"{line(0.8, AU12=2.0)}, two.png",  # the surest face of a picture counts
        f"{line(success=0, AU12=4.0)}, three.png",
    ]
    file.write_text("\n".join([f"{HEADER}, path", *rows]))
    found = action_units.read(file)
    assert set(found) == {"a/one", "two"}
    assert found["a/one"] == (1.0, *[0.0] * 15, 0.5)
    assert found["two"][8] == 0.4
    assert action_units.of_picture(found, Path("/data/set/a/one.jpg")) == found["a/one"]
    assert action_units.of_picture(found, Path("elsewhere/two.jpeg")) == found["two"]
    assert action_units.of_picture(found, Path("b/one.jpg")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column AU01_r"),
        (HEADER.replace("AU12_r", "AU12_c"), "has no column AU12_r"),
        (HEADER, "no column that names the pictures"),
        (f"{HEADER}, path\n{line(AU12=7)}, a.jpg", "line 2: AU12_r is 7.00, not from 0 to 5"),
        (f"{HEADER}, path\n{line()}, a.jpg\n1, 2", "line 3: 2 values for 22 columns"),
        (f"{HEADER}, path\n{line().replace('0.00', 'x', 1)}, a.jpg", "AU01_r is 'x', which is no"),
        (f"{HEADER}, path\n{line().replace('0.00', 'nan', 1)}, a.jpg", "AU01_r is 'nan', which"),
        (f"{HEADER}, path\n{line()}, ", "line 2: '' names no picture"),
        (f"{HEADER}, path\n", "no line with measured action units"),
        ("\xff\xfe", "cannot be read as a CSV file"),
    ],
)
def test_a_bad_csv_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "units.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        action_units.read(file)
    assert message in str(caught.value)
    assert "units.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_csv_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv cannot be read: No such file"):
        action_units.read(tmp_path / "absent.csv")
