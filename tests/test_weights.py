"""Weights are found wherever other people's code put them, and nothing false is said of a file."""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import official_networks as official
from onnx_tools import by_onnxruntime, identity, refused
from safetensors.torch import save_file

from deep_onnx.convert import Conversion, convert, find_generator
from deep_onnx.file import read_card
from pixelreg.errors import ModelFileError, UsageError

REPORTED = Path(__file__).parents[2] / "shared" / "data" / "reported"
SMALL = Conversion(size=32)


def shared(name: str) -> Path:
    if not (REPORTED / name).is_file():
        pytest.skip("needs the reported cases in ../shared")
    return REPORTED / name


def picture(seed: int = 3) -> Any:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


UNET, OTHER = official.unet(2), {n: v + 0.01 for n, v in official.unet(2).items()}
CRITIC = {"netD.model.0.weight": torch.ones(4, 6, 4, 4), "netD.model.0.bias": torch.ones(4)}
ADAM = {"state": {0: {"exp_avg": torch.ones(4, 3, 4, 4)}}, "param_groups": [{"lr": 1e-4}]}
PLACES = {
    "alone": UNET,
    "compiled": prefixed(UNET, "_orig_mod."),
    "compiled and parallel": prefixed(UNET, "module._orig_mod."),
    "compiled inside": {n.replace("model.model.1.", "model.model.1._orig_mod."): v
                        for n, v in UNET.items()},
    "any prefix": prefixed(UNET, "my.face-maker."),
    "prefix without a dot": prefixed(UNET, "netG_"),
    "lightning": {
        "epoch": 3,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {**prefixed(UNET, "netG."), **CRITIC, "loss.vgg.weight": torch.ones(3)},
        "optimizer_states": [ADAM],
        "hyper_parameters": {"lr": 1e-4},
    },
    "tutorial": {"model_state_dict": UNET, "optimizer_state_dict": ADAM, "loss": 0.25},
    "average alone": {"params_ema": UNET},
    "average beside": {"params": OTHER, "params_ema": UNET},
    "average of another style": {"g": OTHER, "g_ema": UNET, "d": CRITIC, "g_optim": ADAM},
    "average in one table": {**prefixed(OTHER, "G."), **prefixed(UNET, "G_ema.")},
    "deep": {"models": {"generator": {"weights": UNET}}, "step": torch.tensor(3)},
    "among numbers": {**UNET, "epoch": 3, "best": 0.5},
    "options": {"model": UNET, "args": argparse.Namespace(lr=1e-4, name="x")},
    "numbers of NumPy": {"model": UNET, "loss": np.float64(0.25), "step": np.int64(3)},
    "arrays and paths": {"model": UNET, "losses": np.ones(3), "folder": Path("a") / "b"},
    "lucidrains": {**prefixed(OTHER, "online_model."), **prefixed(UNET, "ema_model.module.")},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_generator_is_found_wherever_it_lies(tmp_path, place) -> None:
    torch.save(PLACES[place], tmp_path / "net.pth")
    found, network, _ = find_generator("pix2pix", tmp_path / "net.pth", SMALL)
    expected = official.run_unet(UNET, picture())
    made = network.eval()(picture())
    torch.testing.assert_close(made.detach(), expected, rtol=0, atol=1e-5)
    other = official.run_unet(OTHER, picture())
    assert (other - expected).abs().max() > 1e-3  # the weights that are not to be taken tell
    if "average" in place:
        assert "ema" in found


@pytest.mark.parametrize("core", ["core", "_core"])
def test_numbers_of_older_and_newer_numpy_are_read(tmp_path, core) -> None:
    file = io.BytesIO(torch_file({"model": UNET, "loss": np.float64(0.25)}))
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "net.pth", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, re.sub(rb"numpy\._?core", f"numpy.{core}".encode(), content))
    found, _, _ = find_generator("pix2pix", tmp_path / "net.pth", SMALL)
    assert found == "model"


def test_of_several_generators_one_is_asked_for(tmp_path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": {**prefixed(OTHER, "netG_A."), **prefixed(UNET, "netG_B.")}}, path)
    with refused(UsageError, "state_dict netG_A., state_dict netG_B.; choose with --part"):
        convert("pix2pix", path, tmp_path / "m.onnx", SMALL)
    done = convert("pix2pix", path, tmp_path / "m.onnx", Conversion(size=32, part="netG_B"))
    assert done.weights == read_card(done.path).notes["weights"] == "state_dict netG_B."
    made = torch.from_numpy(by_onnxruntime(done.path, image=picture()))
    torch.testing.assert_close(made, official.run_unet(UNET, picture()), rtol=0, atol=1e-4)
    with refused(UsageError, "no weights whose place has 'netG_C' in its name"):
        convert("pix2pix", path, tmp_path / "m.onnx", Conversion(size=32, part="netG_C"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_are_read(tmp_path, dtype) -> None:
    state = {n: v.to(dtype) for n, v in UNET.items() if v.is_floating_point()}
    save_file(prefixed(state, "unet."), tmp_path / "net.safetensors")
    done = convert("pix2pix", tmp_path / "net.safetensors", tmp_path / "m.onnx", SMALL)
    made = torch.from_numpy(by_onnxruntime(done.path, image=picture()))
    expected = official.run_unet({n: v.float() for n, v in state.items()}, picture())
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["compiled.ckpt", "tutorial.pt", "generator.safetensors"])
def test_reported_checkpoints_are_exported(tmp_path, name) -> None:
    options = Conversion(("happy", "sad"), size=32)
    done = convert("stargan", shared(f"07-checkpoints/{name}"), tmp_path / "k.onnx", options)
    made = by_onnxruntime(done.path, image=picture(), condition=np.array([[1, 0]], np.float32))
    assert made.shape == (1, 3, 32, 32)
    assert done.parameters == 11_440


def test_the_reported_grey_network_is_exported(tmp_path) -> None:
    path = shared("22-one-channel/unet-output1.pth")
    done = convert("pix2pix", path, tmp_path / "g.onnx", Conversion(size=64))
    made = by_onnxruntime(done.path, image=torch.cat([picture()] * 4).reshape(1, 3, 64, 64))
    assert np.array_equal(made[:, 0], made[:, 1])
    assert made[:, 0].std() > 1e-3


def grey(state: dict[str, Any], first: str, last: str, axis: int) -> dict[str, Any]:
    """A network that takes and gives one channel: the first of the coloured one's."""
    cut = dict(state)
    cut[f"{first}.weight"] = state[f"{first}.weight"][:, :1]
    cut[f"{last}.weight"] = state[f"{last}.weight"].narrow(axis, 0, 1)
    if f"{last}.bias" in state:
        cut[f"{last}.bias"] = state[f"{last}.bias"][:1]
    return cut


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_grey_networks_see_grey_and_give_it_to_every_colour(tmp_path, kind) -> None:
    state, run, ends = {
        "unet": (UNET, official.run_unet, ("model.model.0", "model.model.3", 1)),
        "resnet": (official.resnet(blocks=1), official.run_resnet, ("model.1", "model.18", 0)),
    }[kind]
    if f"{ends[1]}.weight" not in state:
        last = max(int(n.split(".")[1]) for n in state)
        ends = (ends[0], f"model.{last}", ends[2])
    cut = grey(state, *ends)
    torch.save(cut, tmp_path / "net.pth")
    done = convert("cyclegan", tmp_path / "net.pth", tmp_path / "m.onnx", SMALL)
    image = picture()
    luma = (image * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    made = torch.from_numpy(by_onnxruntime(done.path, image=image))
    torch.testing.assert_close(made, run(cut, luma).repeat(1, 3, 1, 1), rtol=0, atol=1e-4)


def test_a_grey_stargan_is_told_from_its_classes(tmp_path) -> None:
    state = official.stargan(3, blocks=1)
    last = max((n for n in state if n.endswith(".weight")), key=lambda n: int(n.split(".")[1]))
    state["main.0.weight"] = state["main.0.weight"][:, 2:]  # one channel and three classes
    state[last] = state[last][:1]
    torch.save(state, tmp_path / "net.pth")
    options = Conversion(("a", "b", "c"), size=32)
    done = convert("stargan", tmp_path / "net.pth", tmp_path / "m.onnx", options)
    grey_picture = picture()[:, :1].repeat(1, 3, 1, 1)
    condition = torch.tensor([[0.0, 1.0, 0.0]])
    made = torch.from_numpy(by_onnxruntime(done.path, image=grey_picture, condition=condition))
    expected = official.run_stargan(state, grey_picture[:, :1], condition)
    torch.testing.assert_close(made, expected.repeat(1, 3, 1, 1), rtol=0, atol=1e-4)


def test_two_channels_are_refused_as_such(tmp_path) -> None:
    state = {**UNET, "model.model.0.weight": UNET["model.model.0.weight"][:, :2]}
    torch.save(state, tmp_path / "net.pth")
    with refused(ModelFileError, "takes pictures of 2 channels, not 3 or 1"):
        convert("pix2pix", tmp_path / "net.pth", tmp_path / "m.onnx", SMALL)


def torch_file(held: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(held, file, **options)
    return file.getvalue()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.ones(1, 3, 4, 4)), file)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, weights=np.ones(3))
    return file.getvalue()


FILES = {
    "empty": (lambda: b"", "is empty (0 bytes)"),
    "text": (lambda: b"hello world, this is a text", "is no checkpoint of torch.save, or damaged"),
    "page": (lambda: b"<!DOCTYPE html><html>404</html>", "is a web page, not the file"),
    "pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), "is an HDF5 file"),
    "onnx": (lambda: identity().SerializeToString(), "is an ONNX model already"),
    "npz": (npz, "is a zip archive that torch.save did not write (it holds weights.npy"),
    "script": (script, "is a TorchScript archive"),
    "network": (lambda: torch_file(torch.nn.Conv2d(3, 3, 1)), "(torch.nn.modules.conv.Conv2d)"),
    "protocol": (lambda: torch_file(UNET, pickle_protocol=4), "pickle's protocol 4 instead of 2"),
    "safetensors": (
        lambda: (10).to_bytes(8, "little") + b'{"a":1}   ' + bytes(9),
        "is a damaged .safetensors file",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
def test_nothing_false_is_said_of_a_file(tmp_path, kind) -> None:
    made, says = FILES[kind]
    path = tmp_path / "net.pth"
    path.write_bytes(made())
    with refused(ModelFileError, says) as _:
        convert("pix2pix", path, tmp_path / "m.onnx", SMALL)
    assert not (tmp_path / "m.onnx").exists()
    with pytest.raises(ModelFileError) as caught:
        convert("pix2pix", path, tmp_path / "m.onnx", SMALL)
    objects = "Python objects" in str(caught.value)
    assert objects == (kind in ("network", "protocol"))
