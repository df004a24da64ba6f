"""The portrait framework: equations, windows, phases, training, and what its file does."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from portrait_tools import drawn_portrait, write_portraits
from safetensors.numpy import load_file as load_arrays

torch = pytest.importorskip("torch")
for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

from deep_onnx.export import parity
from deep_onnx.file import read
from deep_onnx.portrait import parts as windows
from deep_onnx.portrait import training as losses
from deep_onnx.portrait.editing import fading, swapped, tidied
from deep_onnx.portrait.labels import COMPONENTS, LABELS, read_mask, write_mask
from deep_onnx.portrait.measured import window_slices
from deep_onnx.portrait.network import MultiscaleDiscriminator, PortraitNetwork
from deep_onnx.portrait.parts import down, folded, up
from deep_onnx.portrait.portraits import augmented, load_portrait_examples
from deep_onnx.portrait.running import NAMES, Seen
from deep_onnx.portrait.training import Portrait, PortraitArguments
from deep_onnx.portrait.translator import PortraitTarget, PortraitTranslator, open_portrait
from deep_onnx.portrait.windows import grown, window_centres
from deep_onnx.session import Session
from deep_onnx.training.data import Examples, split
from deep_onnx.translator import load
from pixelreg.commands.main import main
from pixelreg.errors import DataError, FaceError, InvalidArrayError, UnknownNameError, UsageError
from pixelreg.models.model import Provenance
from pixelreg.pictures.image import Picture, encode, read_file
from pixelreg.translator import PreparedFaces

SIZE, WIDTH, STEPS = 64, 4, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("portraits")
    write_portraits(made, {name: name for name in map("p{:02d}".format, range(8))})
    return made


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few steps, made by the command line."""
    file = tmp_path_factory.mktemp("model") / "portrait.onnx"
    small = ("--size", SIZE, "--width", WIDTH, "--batch", 2, "--learning-rate", 0.01)
    often = ("--steps", STEPS, "--validate-every", STEPS, "--threads", 1, "--keep", "last")
    words = ("train", "portrait", "--data", folder, *small, *often, "--device", "cpu", "-o", file)
    assert main([str(word) for word in words]) == 0
    return file


@pytest.fixture(scope="module")
def model(trained: Path) -> PortraitTranslator:
    return open_portrait(trained, provider="cpu", threads=1)


def seen(seed: int) -> Seen:
    image, mask = drawn_portrait(seed, SIZE)
    return Seen(image, mask, window_centres(mask))


def algorithm(folder: Path, **options) -> Portrait:
    torch.manual_seed(0)
    examples = load_portrait_examples(folder, SIZE).examples
    return Portrait(PortraitArguments(size=SIZE, width=WIDTH, batch=2, **options), examples)


def learning(made: Portrait) -> None:
    for network in made.networks.values():
        network.train()
    made.parser.eval()


def stacked(portraits: list[Seen]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, masks and centres as the networks take them."""
    pictures = np.stack([each.image for each in portraits]).transpose(0, 3, 1, 2) / 127.5 - 1
    masks = np.stack([each.mask for each in portraits]).astype(np.int64)
    return pictures.astype(np.float32), masks, np.stack([each.centres for each in portraits])


def tensors(*seeds: int) -> tuple:
    return tuple(map(torch.from_numpy, stacked([seen(seed) for seed in seeds])))


def parts_of(network: PortraitNetwork, pictures, masks, centres) -> list:
    return network.components([pictures] * 5, [masks] * 5, centres)


# -- equations -----------------------------------------------------------------------------------


def drawn(*shapes: tuple[int, ...]) -> list:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def half_squares(pairs) -> float:
    return sum(0.5 * float(np.mean((a.numpy() - b.numpy()) ** 2)) for a, b in pairs)


def test_equations_3_1_3_2_and_3_5_are_half_mean_squares() -> None:
    shapes = ((2, 3, 4, 6), (2, 3, 10, 18))
    one = drawn(*shapes)
    other = [each.flip(0) * 0.3 + 1 for each in one]
    wanted = half_squares(zip(one, other, strict=True))
    assert float(losses.local_loss(one, other)) == pytest.approx(wanted, rel=1e-12)
    assert float(losses.matching_loss(one, other)) == pytest.approx(wanted, rel=1e-12)
    first = half_squares([(one[0], other[0])])
    assert float(losses.global_loss(one[0], other[0])) == pytest.approx(first, rel=1e-12)


def test_equations_3_3_and_3_4_sum_over_the_scales() -> None:
    real, made = drawn((2, 1, 6, 6), (2, 1, 2, 2)), drawn((1,), (2, 1, 6, 6), (2, 1, 2, 2))[1:]

    def odds(each):
        return 1.0 / (1.0 + np.exp(-each.numpy()))

    judged = sum(-np.log(odds(a)).mean() for a in real)
    judged += sum(-np.log(1.0 - odds(b)).mean() for b in made)
    assert float(losses.discriminator_loss(real, made)) == pytest.approx(judged, rel=1e-10)
    fooled = sum(-np.log(odds(b)).mean() for b in made)
    assert float(losses.sigmoid_loss(made)) == pytest.approx(fooled, rel=1e-10)


def test_equations_3_7_and_3_8_are_the_cross_entropy_of_every_pixel() -> None:
    (logits,) = drawn((2, 11, 3, 3))
    mask = np.arange(18).reshape(2, 3, 3) % 11
    scores = logits.numpy() - np.log(np.exp(logits.numpy()).sum(axis=1, keepdims=True))
    picked = np.take_along_axis(scores, mask[:, None], axis=1)
    found = losses.parsing_loss(logits, torch.from_numpy(mask))
    assert float(found) == pytest.approx(-picked.mean(), rel=1e-12)


def test_equations_3_9_and_3_10_weigh_ten_and_one() -> None:
    names = ("local", "global", "adversarial", "matching", "parsing")
    found = {name: torch.tensor(float(2**k)) for k, name in enumerate(names)}
    weights = PortraitArguments(matching_weight=3.0)
    assert float(losses.paired_loss(found, weights)) == 10 * 1 + 2 + (4 + 3 * 8) + 16
    assert float(losses.unpaired_loss(found, weights)) == 10 * 1 + 4 + 16


# -- windows -------------------------------------------------------------------------------------


def test_products_cut_and_set_in_bit_for_bit_what_slices_do() -> None:
    pictures, _, centres = tensors(0, 1)
    centres[1] = torch.tensor([0, 0, 63, 63, 63, 0])  # clamped
    parts = [
        windows.crop(pictures, *corner, window)
        for corner, window in zip(
            windows.corners(centres, SIZE), windows.windows_of(SIZE), strict=False
        )
    ]
    for k in range(2):
        for part, place in zip(parts, window_slices(centres[k].numpy(), SIZE), strict=True):
            assert torch.equal(part[k], pictures[k][:, place[0], place[1]])
    top, left = windows.corners(centres, SIZE)[2]
    back = windows.paste(parts[2], top, left, SIZE)
    assert torch.equal(windows.crop(back, top, left, windows.windows_of(SIZE)[2]), parts[2])
    assert back.count_nonzero() == parts[2].count_nonzero()


def test_components_are_what_the_paper_cuts() -> None:
    pictures, masks, centres = tensors(2)
    parts = dict(
        zip(NAMES, parts_of(PortraitNetwork(SIZE, WIDTH), pictures, masks, centres), strict=True)
    )
    shapes = [tuple(part.shape[2:]) for part in parts.values()]
    assert shapes == [(8, 12), (8, 12), (20, 36), (64, 64), (64, 64)]
    skin = np.isin(masks[0].numpy(), COMPONENTS["skin"])
    assert np.array_equal(parts["skin"][0].numpy(), pictures[0].numpy() * skin)
    tight = parts_of(PortraitNetwork(SIZE, WIDTH, eye_crop="tight"), pictures, masks, centres)
    place = window_slices(centres[0].numpy(), SIZE)[0]
    eye = (masks[0].numpy() == LABELS.index("left-eye"))[place]
    assert np.array_equal(tight[0][0].numpy(), parts["left-eye"][0].numpy() * eye)
    assert torch.equal(tight[2], parts["mouth"])


def test_only_the_background_of_the_target_is_seen() -> None:
    network = PortraitNetwork(SIZE, WIDTH).eval()
    pictures, masks, centres = tensors(3)
    embeddings, _ = network.local.encode(parts_of(network, pictures, masks, centres))
    head = (masks != 0)[:, None].float()
    with torch.no_grad():
        first = network.compose(embeddings, pictures, masks, centres)
        other_face = network.compose(embeddings, pictures + head, masks, centres)
        other_wall = network.compose(embeddings, pictures + (1 - head), masks, centres)
    assert torch.equal(first, other_face)
    assert not torch.equal(first, other_wall)


def test_five_encoders_see_their_own_components() -> None:
    network = PortraitNetwork(SIZE, WIDTH, mask_encoder="multi").eval()
    assert len(network.masks) == 5
    assert [encoder.model[0].in_channels for encoder in network.masks] == [1, 1, 3, 4, 1]
    pictures, masks, centres = tensors(4)
    embeddings, _ = network.local.encode(parts_of(network, pictures, masks, centres))
    assert network.compose(embeddings, pictures, masks, centres).shape == pictures.shape


@pytest.mark.parametrize("size", [128, 256])
def test_the_design_scales_with_the_size(size) -> None:
    with torch.device("meta"):
        network = PortraitNetwork(size, 2)
        pictures = torch.empty(1, 3, size, size)
        masks = torch.empty(1, size, size, dtype=torch.int64)
        centres = torch.empty(1, 6, dtype=torch.int64)
        network.eval()
        parts = parts_of(network, pictures, masks, centres)
        embeddings, _ = network.local.encode(parts)
        assert [tuple(each.shape) for each in embeddings] == [(1, 32)] * 5
        rebuilt = network.local.rebuild(embeddings)
        assert [each.shape for each in rebuilt] == [each.shape for each in parts]
        assert network.compose(embeddings, pictures, masks, centres).shape == pictures.shape


def test_variational_embeddings_are_drawn_only_while_learning() -> None:
    network = PortraitNetwork(SIZE, WIDTH, variational=True)
    pictures, masks, centres = tensors(5, 6)
    parts = parts_of(network, pictures, masks, centres)
    means, spreads = network.local.encode(parts)
    assert means[0].shape == spreads[0].shape == (2, 16 * WIDTH)
    assert not torch.equal(network.local.draw(means, spreads)[0], means[0])
    assert network.eval().local.draw(means, spreads) is means


def test_discriminators_judge_two_scales_and_the_mask() -> None:
    judge = MultiscaleDiscriminator(WIDTH)
    pictures, masks, _ = tensors(0, 1)
    verdicts, features = judge(pictures, windows.one_hot(masks))
    assert len(verdicts) == len(features) == 2
    assert verdicts[0].shape[2] > verdicts[1].shape[2]
    again, _ = judge(pictures, windows.one_hot(masks.flip(0)))
    assert not torch.equal(verdicts[0], again[0])


def test_folding_norms_changes_nothing() -> None:
    layers = torch.nn.Sequential(*down(3, 6), *up(6, 4))
    with torch.no_grad():
        for _ in range(3):
            layers(torch.randn(4, 3, 8, 8) + 2)
        for norm in (layers[1], layers[4]):
            norm.weight.uniform_(0.5, 2)
            norm.bias.uniform_(-1, 1)
        layers.eval()
        values = torch.randn(2, 3, 8, 8)
        before = layers(values)
        after = folded(layers)(values)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in layers.modules())
    assert float((before - after).abs().max()) < 1e-5


# -- learning ------------------------------------------------------------------------------------


def test_augmented_portraits_keep_mask_picture_and_windows_together() -> None:
    masks = np.stack([seen(seed).mask for seed in range(12)])
    # A picture that shows its own labels tells whether both were moved alike.
    marked = np.repeat(masks[..., None], 3, axis=3) * 20
    centres = np.stack([window_centres(mask) for mask in masks])
    torch.manual_seed(1)
    moved, labels, places = augmented(marked, masks, centres)
    mirror = np.array([0, 1, 3, 2, 5, 4, 6, 7, 8, 9, 10])
    same = (moved[..., 0] == labels * 20).all(axis=(1, 2))
    swapped = (moved[..., 0] == mirror[labels] * 20).all(axis=(1, 2))
    assert (same | swapped).all()
    assert same.any()
    assert swapped.any()
    found = np.stack([window_centres(mask) for mask in labels])
    assert np.abs(found - places).max() <= 1  # the middle of a box rounds down before mirroring
    assert not np.array_equal(labels, masks)


def test_the_phases_update_what_they_should(folder) -> None:
    made = algorithm(folder)
    source, target = made._drawn([0, 1]), made._drawn([2, 3])
    learning(made)

    def weights() -> dict:
        networks = made.networks.items()
        return {name: torch.cat([p.flatten() for p in n.parameters()]) for name, n in networks}

    before = {name: values.clone() for name, values in weights().items()}
    paired = made._phase(target, target, True, paired=True)
    both = {"local", "adversarial", "parsing", "discriminator"}
    assert set(paired) == both | {"global", "matching"}
    moved = {name for name, values in weights().items() if not torch.equal(values, before[name])}
    assert moved == {"framework", "discriminators"}, "its losses must not teach the parser"
    unpaired = made._phase(source, target, True, paired=False)
    assert set(unpaired) == both


def test_the_parser_is_heard_late_and_made_faces_are_parsed_against_grown_masks(folder) -> None:
    made = algorithm(folder)
    batch = made._drawn([0, 1])
    for mask, larger in zip(batch.masks, batch.grown, strict=True):
        assert np.array_equal(grown(mask.numpy().astype(np.uint8)), larger.numpy())
    learning(made)
    torch.nn.init.constant_(made.parser.last.weight, 1.0)

    def update(listens: bool) -> torch.Tensor:
        twin = algorithm(folder)
        twin.parser.load_state_dict(made.parser.state_dict())
        twin.parser.eval()
        twin._phase(batch, batch, listens, paired=True)
        return next(twin.framework.background.generator.parameters()).detach()

    assert not torch.equal(update(True), update(False))


def test_a_single_portrait_batch_meets_another_portrait(folder) -> None:
    made = algorithm(folder)
    batch = made._drawn([3])
    torch.manual_seed(0)
    for _ in range(6):
        other = made._others([3], batch)
        assert not torch.equal(other.masks, batch.masks)


def test_losses_of_the_options(folder) -> None:
    made = algorithm(folder, embedding="vae", mask_encoder="multi", eye_crop="tight")
    found = made.step([0, 1], 0.5)
    assert found["divergence"] >= 0
    assert found["unpaired divergence"] >= 0
    assert all(np.isfinite(value) for value in found.values())


def test_training_needs_masks(folder, drawn, command, tmp_path) -> None:
    for words, code, says in (
        (("--data", drawn), 1, "no portraits with masks"),
        (("--data", folder, "--expr", "happy"), 2, "leave out"),
        (("--data", folder, "--size", 96), 2, "64, 128, 256, 512"),
    ):
        small = ("--size", 64, "--width", 4, "--steps", 1, "-o", tmp_path / "m.onnx")
        result = command("train", "portrait", *small, *words)
        assert result.code == code
        assert says in result.err
    maskless = Examples("a", {}, seen(0).image[None], ("a",), ("p",), None, Provenance())
    with pytest.raises(DataError, match="with their masks"):
        Portrait(PortraitArguments(size=64), maskless)


def test_training_teaches(trained) -> None:
    with (trained.parent / "portrait-run" / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("validation parser", "validation local"):
        assert float(rows[-1][name]) < float(rows[0][name])
    assert (trained.parent / "portrait-sheet.png").is_file()


# -- the exported file ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(trained: Path) -> Session:
    return Session(read(trained), "cpu", threads=1)


@pytest.fixture
def given(session: Session) -> dict[str, np.ndarray]:
    """What the file takes: one portrait, its components from five others."""
    image, mask, centres = stacked([seen(0)])
    sources, masks, places = stacked([seen(k) for k in range(1, 6)])
    noises = next(value for value in session.contents.inputs if value.name == "noise").dims[1]
    return {
        "image": image,
        "mask": mask,
        "centres": centres,
        "sources": sources[None],
        "source_masks": masks[None],
        "source_centres": np.concatenate([places[k, 2 * k : 2 * k + 2] for k in range(3)])[None],
        "invented": np.zeros((1, 5), np.float32),
        "noise": np.zeros((1, noises), np.float32),
    }


def test_windows_follow_the_centres_in_the_exported_file(session, given) -> None:
    (first,) = session.run(given)
    # A source moved with its window's centre shows the window the same.
    moved = {name: value.copy() for name, value in given.items()}
    for k, (right, below) in enumerate(((3, 2), (-4, 1), (2, -3))):
        moved["sources"][:, k] = np.roll(given["sources"][:, k], (below, right), axis=(-2, -1))
        moved["source_centres"][:, 2 * k : 2 * k + 2] += (right, below)
    assert np.array_equal(session.run(moved)[0], first)
    # Only one of both moved shows something else.
    for name in ("sources", "source_centres"):
        assert not np.array_equal(session.run({**given, name: moved[name]})[0], first)
    elsewhere = {**given, "centres": given["centres"] + np.array([[0, 8, 0, 8, 0, -8]])}
    assert not np.array_equal(session.run(elsewhere)[0], first)


@pytest.mark.parametrize("k", range(5))
def test_every_component_has_a_portrait_of_its_own(session, given, k) -> None:
    (first,) = session.run(given)
    other = {name: value.copy() for name, value in given.items()}
    other["sources"][:, k] = -other["sources"][:, k]
    assert not np.array_equal(session.run(other)[0], first)
    # What is invented does not look at it.
    for each in (given, other):
        each["invented"] = np.eye(5, dtype=np.float32)[k : k + 1]
    assert np.array_equal(session.run(given)[0], session.run(other)[0])


def test_the_file_computes_what_the_networks_do_wherever_the_windows_are(folder, trained) -> None:
    """Parity with centres that were never traced, on the networks of the last checkpoint."""
    examples, _ = split(load_portrait_examples(folder, SIZE).examples, 0.2, 0)
    made = Portrait(PortraitArguments(size=SIZE, width=WIDTH, batch=2), examples)
    kept = load_arrays(trained.parent / "portrait-run" / "last.safetensors")
    weights = {name.partition("network/framework/")[2]: value for name, value in kept.items()}
    weights.pop("")
    made.framework.load_state_dict({name: torch.from_numpy(v) for name, v in weights.items()})
    export = made.exports()[0]
    inputs = {name: value.clone() for name, value in export.inputs.items()}
    inputs["centres"] += 7
    inputs["source_centres"] -= 5
    assert parity(replace(export, inputs=inputs), read(trained)) < 1e-5


# -- on pictures ---------------------------------------------------------------------------------


def test_the_file_loads_as_a_portrait_translator(trained, model) -> None:
    loaded = load(trained, provider="cpu", threads=1)
    assert isinstance(loaded, PortraitTranslator)
    assert loaded.parser is not None
    facts = loaded.describe()
    assert (facts["task"], facts["size"]) == ("portrait", SIZE)
    assert facts["notes"]["parity"] < 1e-4
    with pytest.raises(UsageError, match="pixelreg portrait"):
        loaded.canonical("happy")


def test_an_edit_changes_where_the_mask_does_and_nothing_else(model) -> None:
    one = seen(0)
    mask = one.mask.copy()
    mask[44:52, 20:44][mask[44:52, 20:44] == 1] = LABELS.index("mouth")
    made = model.translate(one.image, PortraitTarget(mask=mask, own_mask=one.mask))
    changed = (made != one.image).any(axis=2)
    assert changed[mask != one.mask].mean() > 0.9
    assert not changed[fading(mask != one.mask) == 0].any()
    unchanged = model.translate(one.image, PortraitTarget(mask=one.mask, own_mask=one.mask))
    assert np.array_equal(unchanged, one.image)
    whole = model.translate(one.image, PortraitTarget(own_mask=one.mask, whole=True))
    assert (whole != one.image).any(axis=2).mean() > 0.5


def test_style_adds_the_difference_that_another_look_makes(model) -> None:
    one, other = seen(0), seen(1)
    same = PortraitTarget(looks={"hair": one}, own_mask=one.mask)
    assert np.array_equal(model.translate(one.image, same, strength=10), one.image)
    target = PortraitTarget(looks={"hair": other}, own_mask=one.mask)
    prepared = model.prepare(Picture(one.image), target)
    assert isinstance(prepared, PreparedFaces)
    colour = prepared.parts[0][1].colour
    hair = one.mask == LABELS.index("hair")
    inner = hair & (fading(hair) == 1)
    mine, theirs = (
        model.network.portraits([one], [(one, one, one, one, look)])[0] for look in (one, other)
    )
    assert np.abs(theirs - mine)[inner].max() > 0
    assert np.allclose(colour[inner], (theirs - mine)[inner], rtol=0, atol=1e-6)
    assert not colour[fading(hair) == 0].any()


@pytest.fixture
def runs(model, monkeypatch) -> list[dict[str, np.ndarray]]:
    """What the model's file is given from now on."""
    given: list[dict] = []
    run = model.session.run
    monkeypatch.setattr(model.session, "run", lambda inputs: given.append(inputs) or run(inputs))
    return given


def test_the_network_is_given_each_component_of_its_portrait(model, runs) -> None:
    one, other = seen(0), seen(1)
    target = PortraitTarget(looks={"right-eye": other, "hair": other}, own_mask=one.mask)
    model.run(target, one.image[None])
    pictures, masks, _ = stacked([one, other, one, one, other])
    assert np.allclose(runs[0]["sources"][0], pictures, atol=1e-6)
    assert np.array_equal(runs[0]["source_masks"][0], masks)
    wanted = [*one.centres[:2], *other.centres[2:4], *one.centres[4:]]
    assert runs[0]["source_centres"][0].tolist() == wanted
    assert np.array_equal(runs[0]["mask"][0], one.mask)
    model.run(PortraitTarget(shapes={"mouth": other}, own_mask=one.mask), one.image[None])
    assert np.array_equal(runs[1]["mask"][0], swapped(one.mask, other.mask, "mouth"))


def test_targets_may_be_masks_portraits_and_mappings(model, tmp_path) -> None:
    one, other = seen(0), seen(1)
    write_mask(tmp_path / "mask.png", other.mask)
    assert np.array_equal(model._wish(tmp_path / "mask.png").mask, other.mask)
    assert model._wish(other.mask).mask is other.mask
    assert set(model._wish(other.image).looks) == set(NAMES)
    assert model._wish({"mouth": other}).looks == {"mouth": other}
    with pytest.raises(UnknownNameError, match="left-eye"):
        model.translate(one.image, {"nose": other})
    with pytest.raises(InvalidArrayError, match="photo's size"):
        model.translate(one.image, PortraitTarget(mask=one.mask[:50], own_mask=one.mask))
    blind = np.where(one.mask == 4, 1, one.mask)
    with pytest.raises(FaceError, match="no left eye"):
        model.translate(one.image, PortraitTarget(own_mask=blind))


def test_without_a_parser_masks_must_be_given(trained, tmp_path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(trained.read_bytes())
    lonely = open_portrait(alone, provider="cpu", threads=1)
    one = seen(0)
    assert lonely.describe()["parser"] is None
    with pytest.raises(UsageError, match=r"alone-parser\.onnx"):
        lonely.translate(one.image, one.mask)
    lonely.translate(one.image, PortraitTarget(mask=one.mask, own_mask=one.mask))


def test_synthesised_portraits_follow_seed_and_portraits(model, runs) -> None:
    mask = seen(2).mask
    made = model.synthesise(mask, 3, seed=5)
    assert made.shape == (3, SIZE, SIZE, 3)
    model.synthesise(mask, 2, seed=5)
    model.synthesise(mask, 2, seed=6)
    noise = [inputs["noise"] for inputs in runs]
    assert np.array_equal(noise[0][:2], noise[1])
    assert not np.array_equal(noise[1], noise[2])
    assert (runs[0]["invented"] == 1).all()

    looks = [seen(k) for k in range(3)]
    model.synthesise(mask, 4, 0, looks, background=looks[2])
    assert (runs[3]["invented"] == 0).all()
    shown = [tuple(values.tobytes() for values in five) for five in runs[3]["sources"]]
    assert all(len(set(five)) == 1 for five in shown)
    assert len(set(shown[:3])) == 3, "everybody once before anybody twice"
    assert (runs[3]["mask"] == mask).all()


def test_the_parser_gives_shares_and_photo_masks(model) -> None:
    one = seen(0)
    shares = model.parser.shares(one.image[None])
    assert shares.shape == (1, 11, SIZE, SIZE)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(model.mask(one.image), tidied(model.parser.masks(one.image[None])[0]))
    with pytest.raises(InvalidArrayError):
        model.parser.masks(one.image[None, :32])


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, folder: Path) -> dict[str, Path]:
    """Two portraits and their masks; the first also stands in a larger photo."""
    photo = np.full((150, 120, 3), 200, np.uint8)
    large, mask = drawn_portrait(0, 96)
    photo[30:126, 12:108] = large
    wide = np.zeros((150, 120), np.uint8)
    wide[30:126, 12:108] = mask
    (tmp_path / "photo.png").write_bytes(encode(Picture(photo), "PNG"))
    write_mask(tmp_path / "photo-mask.png", wide)
    found = {"photo": tmp_path / "photo.png", "photo-mask": tmp_path / "photo-mask.png"}
    for k in range(2):
        found[f"p{k}"] = folder / "images" / f"p{k:02d}.png"
        found[f"m{k}"] = folder / "masks" / f"p{k:02d}.png"
    return found


EYES = f"{12 + 0.38 * 96},{30 + 0.49 * 96},{12 + 0.62 * 96},{30 + 0.49 * 96}"


def test_edit_a_crop_and_a_photo(command, files, trained, tmp_path) -> None:
    out = tmp_path / "out.png"
    words = ("--model", trained, "--mask", files["m1"], "--own-mask", files["m0"])
    result = command("portrait", "edit", files["p0"], *words, "-o", out)
    assert result.code == 0, result.err
    assert not np.array_equal(read_file(out).pixels, read_file(files["p0"]).pixels)

    own = ("--own-mask", files["photo-mask"], "--eyes", EYES)
    words = ("--model", trained, "--mask", files["m1"], *own, "--whole", "-o", out)
    assert command("portrait", "edit", files["photo"], *words).code == 0
    before, after = read_file(files["photo"]).pixels, read_file(out).pixels
    inside = np.zeros(before.shape[:2], bool)
    inside[30:126, 12:108] = True
    assert np.array_equal(before[~inside], after[~inside])
    assert (before != after).any(axis=2)[inside].mean() > 0.5
    nothing = command("portrait", "edit", files["photo"], *words, "--strength", 0)
    assert nothing.code == 0
    assert np.array_equal(read_file(out).pixels, before)


@pytest.mark.parametrize("verb", ["swap", "style"])
def test_swap_and_style(command, files, trained, tmp_path, verb) -> None:
    made = {}
    for name in ("mouth", "hair"):
        other = ("--component", name, "--from", files["p1"], "--from-mask", files["m1"])
        words = ("--model", trained, "--own-mask", files["m0"], *other, "--strength", 10)
        result = command("portrait", verb, files["p0"], *words, "-o", tmp_path / "out.png")
        assert result.code == 0, result.err
        changed = read_file(tmp_path / "out.png").pixels != read_file(files["p0"]).pixels
        made[name] = changed.any(axis=2)
    assert not made["mouth"][:30].any()
    assert not made["hair"][56:].any()
    if verb == "swap":  # another look alone changes little after so little training
        assert made["mouth"][40:56].any()
        assert made["hair"][:20].any()


def test_synthesise_and_mask(command, files, folder, trained, tmp_path) -> None:
    out = tmp_path / "sheet.png"
    words = ("--model", trained, "--mask", files["m0"], "--count", 3, "-o", out)
    assert command("portrait", "synthesise", *words).code == 0
    invented = read_file(out).pixels.shape
    result = command("portrait", "synthesise", *words, "--from", folder)
    assert result.code == 0, result.err
    assert read_file(out).pixels.shape == invented

    found = tmp_path / "found.png"
    words = ("--model", trained, "--eyes", EYES, "-o", found, "--overlay", tmp_path / "o.png")
    assert command("portrait", "mask", files["photo"], *words).code == 0
    mask = read_mask(found)
    assert mask.shape == (150, 120)
    assert not mask[:25].any()
    assert not mask[:, :10].any()
    assert read_file(tmp_path / "o.png").pixels.shape == (150, 120, 3)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("edit {p0} --model none.onnx --mask {m0}", 1, "train portrait"),
        ("edit {p0} --model {model} --mask {p1}", 1, "label"),
        ("style {p0} --model {model} --component nose --from {p1}", 2, "nose"),
        ("mask {p0} --model {model} -o mask.jpg", 2, ".png"),
        ("edit {p0} --model {parser} --mask {m0}", 1, "no portrait model"),
        ("edit {p0} --model {model} --parser {model} --mask {m0}", 1, "parts"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    command, files, trained, tmp_path, monkeypatch, words, code, says
) -> None:
    monkeypatch.chdir(tmp_path)
    beside = trained.with_name("portrait-parser.onnx")
    filled = [word.format(**files, model=trained, parser=beside) for word in words.split()]
    result = command("portrait", *filled)
    assert result.code == code
    assert says in result.err
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) == 1
