"""Checkpoints of the authors' own code become ONNX files that compute the same."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import official_networks as official
from cli_tools import Command
from onnx_tools import by_onnxruntime, refused

from deep_onnx.architectures import action_units
from deep_onnx.card import Card
from deep_onnx.convert import ARCHITECTURES, Conversion, convert, fill, read_checkpoint
from deep_onnx.file import read_card
from pixelreg.errors import MissingExtraError, ModelFileError, UnknownNameError, UsageError
from pixelreg.models.model import Frame

SMALL = Conversion(size=32)


def saved(state: Any, folder: Path, **options: Any) -> Path:
    path = folder / "net_G.pth"
    torch.save(state, path, **options)
    return path


def picture(batch: int = 1, height: int = 32, width: int = 32) -> Any:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


def made_by(path: Path, **inputs: Any) -> Any:
    return torch.from_numpy(by_onnxruntime(path, **inputs))


def converted(
    architecture: str, state: Any, folder: Path, options: Conversion = SMALL
) -> tuple[Any, Card]:
    """A function of tensors by name that runs the file, and the file's card."""
    done = convert(architecture, saved(state, folder), folder / "m.onnx", options)
    assert done.parity <= 1e-4
    return lambda **inputs: made_by(done.path, **inputs), read_card(done.path)


def loaded(architecture: str, state: Any, statistics: str = "batch") -> Any:
    """The network that `convert` exports."""
    module, _ = ARCHITECTURES[architecture].build(state, SMALL)
    fill(module, state, statistics)
    return module.eval()


def same(made: Any, expected: Any) -> None:
    assert 0.1 < float(expected.std()) < 0.99  # neither flat nor all at the ends
    torch.testing.assert_close(made.detach(), expected, rtol=0, atol=1e-4)


def test_stargan_drops_its_running_statistics(tmp_path) -> None:
    state = official.stargan(3, blocks=1)
    assert "main.1.running_mean" in state
    run, card = converted("stargan", state, tmp_path, Conversion(("mad", "glad", "sad"), size=32))
    condition = torch.tensor([[0.0, 1.0, 0.0]])
    for image in (picture(), picture(1, 40, 24)):
        made = run(image=image, condition=condition)
        same(made, official.run_stargan(state, image, condition))
    assert card.condition == ("mad", "glad", "sad")
    assert card.targets["glad"] == (0.0, 1.0, 0.0)
    assert (card.size, card.multiple, card.placement, card.frame) == (32, 4, "face", Frame())
    assert (card.architecture, card.source, card.target_kind) == (
        "stargan",
        "neutral",
        "expression",
    )
    counted = sum(v.numel() for k, v in state.items() if "running" not in k and "num" not in k)
    assert card.parameters == counted


def test_ganimation_takes_action_units_and_keeps_the_picture_where_attention_is_one(
    tmp_path,
) -> None:
    plain = official.ganimation(17, blocks=1)
    state = {f"module.{name}": value for name, value in plain.items()}
    run, card = converted("ganimation", state, tmp_path)
    condition = torch.rand(2, 17, generator=torch.Generator().manual_seed(0))
    made = run(image=picture(2), condition=condition)
    same(made, official.run_ganimation(plain, picture(2), condition))
    assert card.condition == action_units.NAMES
    assert card.targets == action_units.prototypes()
    assert card.target_kind == "action-units"


def test_cyclegan_with_dropout(tmp_path) -> None:
    state = official.resnet(blocks=1, dropout=True)
    assert state["model.10.conv_block.6.weight"].ndim == 4
    run, card = converted("cyclegan", state, tmp_path, Conversion(("sketch",), "photo", 32))
    for image in (picture(), picture(1, 36, 48)):
        same(run(image=image), official.run_resnet(state, image))
    assert (card.targets, card.source, card.placement) == ({"sketch": ()}, "photo", "square")
    assert (card.multiple, card.dynamic, card.target_kind) == (4, True, "domain")


def test_pix2pix_uses_the_statistics_of_the_picture(tmp_path) -> None:
    state = official.unet(3)
    run, card = converted("pix2pix", state, tmp_path)
    for image in (picture(), picture(1, 64, 96)):
        same(run(image=image), official.run_unet(state, image))
    assert card.multiple == 8
    assert card.notes["norm_statistics"] == "batch"
    assert card.targets == {"B": ()}


@pytest.mark.parametrize("blocks", [1, 6, 9])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize(
    ("norm", "old"), [("instance", False), ("instance", True), ("batch", True)]
)
def test_every_kind_of_resnet_loads(blocks, dropout, norm, old) -> None:
    state = official.resnet(blocks=blocks, dropout=dropout, norm=norm, old=old)
    same(loaded("cyclegan", state)(picture()), official.run_resnet(state, picture()))
    if norm == "batch":
        made = loaded("cyclegan", state, "running")(picture())
        same(made, official.run_resnet(state, picture(), running=True))


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_every_kind_of_unet_loads(depth, norm) -> None:
    state = official.unet(depth, norm=norm)
    for architecture in ("pix2pix", "cyclegan"):
        same(loaded(architecture, state)(picture()), official.run_unet(state, picture()))


@pytest.mark.parametrize("wrapping", ["state_dict", "nested module.", "legacy"])
def test_files_are_read_however_they_were_saved(tmp_path, wrapping) -> None:
    state = official.unet(2)
    legacy = wrapping == "legacy"
    if wrapping == "state_dict":
        held: Any = {"epoch": 3, "state_dict": OrderedDict(state)}
    else:
        held = {f"module.module.{n}": v for n, v in state.items()} if not legacy else state
    read = read_checkpoint(saved(held, tmp_path, _use_new_zipfile_serialization=not legacy))
    assert set(read) == set(state)
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_half_precision_weights_are_widened(tmp_path) -> None:
    path = saved({n: v.half() for n, v in official.unet(2).items()}, tmp_path)
    assert {v.dtype for v in read_checkpoint(path).values()} <= {torch.float32, torch.int64}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("plain", [False, True])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, plain) -> None:
    struck = tmp_path / "struck"
    path = tmp_path / "net_G.pth"
    payload = {**official.unet(2), "extra": Payload(struck)}
    if plain:
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path)
    with pytest.raises(ModelFileError, match=r"net_G\.pth holds Python objects .* nothing was run"):
        convert("pix2pix", path, tmp_path / "m.onnx", SMALL)
    assert not struck.exists()
    torch.load(path, weights_only=False) if not plain else pickle.loads(path.read_bytes())
    assert struck.exists()  # it would have struck


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_file_is_one_clear_line(tmp_path, share, legacy) -> None:
    path = saved(official.unet(3), tmp_path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with refused(ModelFileError, "is no checkpoint of torch.save, or damaged"):
        convert("pix2pix", path, tmp_path / "m.onnx", SMALL)


def test_other_contents_are_one_clear_line(tmp_path) -> None:
    broken = official.unet(2)
    broken["model.model.0.weight"][0, 0, 0, 0] = float("nan")
    for held, complaint in (
        ([1, 2], "holds no table of weights"),
        ({}, "holds no table of weights"),
        (broken, r"model\.model\.0\.weight holds numbers that are not finite"),
    ):
        with pytest.raises(ModelFileError, match=complaint):
            convert("pix2pix", saved(held, tmp_path), tmp_path / "m.onnx", SMALL)
    with pytest.raises(ModelFileError, match="cannot read"):
        convert("pix2pix", tmp_path / "absent.pth", tmp_path / "m.onnx", SMALL)


def test_torch_is_asked_for_by_its_extra(tmp_path, monkeypatch) -> None:
    (tmp_path / "net_G.pth").write_bytes(b"\x80\x02")  # a pickle: only PyTorch tells more
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"needs torch, .*pixelreg\[train\]"):
        convert("pix2pix", tmp_path / "net_G.pth", tmp_path / "m.onnx", SMALL)


def test_missing_and_unknown_names_are_listed(tmp_path) -> None:
    state = official.ganimation(17)
    state["main.99.weight"] = state.pop("main.7.weight")
    for name in [name for name in state if ".main." in name and name.endswith("bias")]:
        del state[name]
    with pytest.raises(
        ModelFileError,
        match=r"net_G\.pth is no ganimation generator: missing main\.7\.weight, main\.9.*1 more"
        r"; unknown main\.99\.weight$",
    ):
        convert("ganimation", saved(state, tmp_path), tmp_path / "m.onnx", SMALL)
    assert not (tmp_path / "m.onnx").exists()


def test_weights_of_another_architecture_and_shape_are_refused(tmp_path) -> None:
    for architecture, state, complaint in (
        ("stargan", official.unet(2), r"no convolution main\.0\.weight; it holds model\.model\.0"),
        ("pix2pix", official.stargan(3), r"no convolution model\.1\.weight"),
        (
            "ganimation",
            official.stargan(17),
            r"no convolution attetion_reg\.0\.weight; it holds",
        ),
    ):
        with pytest.raises(ModelFileError, match=complaint):
            convert(architecture, saved(state, tmp_path), tmp_path / "m.onnx", SMALL)
    state = official.resnet(blocks=1)
    state["model.4.weight"] = torch.zeros(8, 4, 5, 5)
    with pytest.raises(
        ModelFileError, match=r"model\.4\.weight is \(8, 4, 5, 5\), not \(8, 4, 3, 3"
    ):
        convert("cyclegan", saved(state, tmp_path), tmp_path / "m.onnx", SMALL)
    bare = {n: v for n, v in official.unet(3).items() if v.ndim == 4 or n == "model.model.3.bias"}
    with pytest.raises(ModelFileError, match=r"missing model\.model\.1\.model\.2\.weight, .*more$"):
        convert("pix2pix", saved(bare, tmp_path), tmp_path / "m.onnx", SMALL)


def test_options_that_do_not_suit_the_checkpoint(tmp_path) -> None:
    star, pair = saved(official.stargan(3), tmp_path), tmp_path / "pair.pth"
    torch.save(official.unet(3), pair)
    instance = tmp_path / "instance.pth"
    torch.save(official.unet(3, norm="instance"), instance)
    cases: list[tuple[str, Path, Conversion, str]] = [
        ("stargan", star, SMALL, "name the 3 classes .* none was given"),
        ("stargan", star, Conversion(("a", "b")), "name the 3 classes .* 2 were given"),
        ("stargan", star, Conversion(("a", "b", "a")), "twice"),
        ("stargan", star, Conversion(statistics="running"), "no batch norms"),
        ("pix2pix", pair, Conversion(("a", "b")), "takes one name"),
        ("pix2pix", pair, Conversion(size=36), "--size must be a multiple of 8, not 36"),
        ("pix2pix", instance, Conversion(statistics="running"), "no running statistics"),
    ]
    for architecture, path, options, complaint in cases:
        with pytest.raises(UsageError, match=complaint):
            convert(architecture, path, tmp_path / "m.onnx", options)
    with pytest.raises(UnknownNameError, match="unknown architecture 'vae'"):
        convert("vae", pair, tmp_path / "m.onnx", SMALL)


def test_the_full_sizes_have_the_published_numbers_of_parameters() -> None:
    for architecture, state, names, count in (
        ("stargan", official.stargan(5, width=64, blocks=6), tuple("abcde"), 8_430_528),
        ("ganimation", official.ganimation(17, width=64, blocks=6), (), 8_471_296),
        ("cyclegan", official.resnet(width=64, blocks=9), (), 11_378_179),
        ("pix2pix", official.unet(8, width=64), (), 54_413_955),
    ):
        module, _ = ARCHITECTURES[architecture].build(state, Conversion(names))
        fill(module, state)
        assert sum(parameter.numel() for parameter in module.parameters()) == count


def test_ganimation_offers_the_expressions_that_are_asked_for() -> None:
    state = official.ganimation(17, blocks=1)
    _, card = ARCHITECTURES["ganimation"].build(state, Conversion(("smile", "sad")))
    known = action_units.prototypes()
    assert card.targets == {"happy": known["happy"], "sad": known["sad"]}
    with pytest.raises(UnknownNameError, match="unknown expression 'purple'"):
        ARCHITECTURES["ganimation"].build(state, Conversion(("purple",)))


def test_the_command_with_stored_statistics(command: Command, tmp_path) -> None:
    state, output = official.unet(2), tmp_path / "m.onnx"
    arguments = ["pix2pix", "--checkpoint", saved(state, tmp_path), "--targets", "happy"]
    arguments += ["--size", "32", "--norm-statistics", "running", "--frame", "0.3,0.4,0.7,0.4"]
    arguments += ["--licence", "CC0", "-o", output]
    run = command("export-torch", *arguments)
    assert run.code == 0, run.err
    assert "m.onnx: " in run.out
    assert "parameters" in run.out
    assert run.err == ""
    card = read_card(output)
    assert list(card.targets) == ["happy"]
    assert card.frame == Frame((0.3, 0.4), (0.7, 0.4))
    assert card.provenance.licence == "CC0"
    assert card.notes["norm_statistics"] == "running"
    made = made_by(output, image=picture(2))
    same(made, official.run_unet(state, picture(2), running=True))
    assert (made - official.run_unet(state, picture(2))).abs().max() > 0.1
    wrong = command("export-torch", *arguments[:-1], "m.pb")
    assert wrong.code == 2
    assert "must end in .onnx" in wrong.error
