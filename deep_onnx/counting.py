"""What the papers' networks store and compute, counted from the networks themselves.

They stand on PyTorch's device without memory, so that even the largest take none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.errors import need
from pixelreg.files import write_bytes
from pixelreg.models.plans import SparsePlan
from pixelreg.regression.masked import patch_offsets

FLOAT = 4  # bytes
# What sides must be multiples of in networks that are timed.
TIMED = {"StarGAN, 5 classes": 4, "GANimation": 4, "OCNN": 4, "OCNN, width 64": 4}


@dataclass(frozen=True)
class Counted:
    """A network at a size.

    parameters : learnt numbers; multiply_adds, bytes_moved : of one picture, see `count`.
    """

    name: str
    what: str
    size: int
    parameters: int
    multiply_adds: int
    bytes_moved: int


@dataclass(frozen=True)
class Subject:
    """A network that is counted: what makes it, and what it takes besides a picture.

    entries : numbers of its condition; 0 for none.
    """

    what: str
    size: int
    make: Callable[[], Any]
    entries: int = 0


def subjects() -> Mapping[str, Subject]:
    """The papers' networks that turn pictures into pictures, at the papers' own widths."""
    need("torch", "PyTorch", "train", "counting the papers' networks")
    from deep_onnx.architectures import (
        cyclegan,
        ganimation,
        ocnn,
        pix2pix,
        reggan,
        stargan,
        two_head,
        usgan,
    )

    narrow = ocnn.OCNNArguments()
    parts = narrow.components

    def two_heads(width: int, scale: int) -> Callable[[], Any]:
        return lambda: two_head.Generator(parts, width, narrow.blocks, scale)

    def regressed() -> Any:
        still = np.zeros((9, 128, 128, 3), np.float32)
        plan = SparsePlan(patch_offsets(3), still, still[0])
        return reggan.Generator(reggan.Regression([plan] * 7), 64, 1)

    return {
        "StarGAN, 5 classes": Subject("generator, width 64", 128, lambda: stargan.Generator(5), 5),
        "StarGAN, 7 classes": Subject("generator, width 64", 128, lambda: stargan.Generator(7), 7),
        "GANimation": Subject("generator, 17 units", 128, ganimation.Generator, 17),
        "US-GAN, 7 classes": Subject("generator, width 64", 128, lambda: usgan.Generator(7), 7),
        "RegGAN, 7 classes": Subject("ridge 3 x 3, then width 64", 128, regressed, 7),
        "CycleGAN": Subject("one generator, 9 blocks", 128, cyclegan.ResNetGenerator),
        "pix2pix, depth 7": Subject("U-Net, width 64", 128, lambda: pix2pix.UNet(64, 7)),
        "pix2pix, depth 8": Subject("U-Net, width 64", 256, lambda: pix2pix.UNet(64, 8)),
        "OCNN": Subject(f"two heads, width {narrow.width}", 128, two_heads(narrow.width, 1), parts),
        "OCNN, width 64": Subject("two heads", 128, two_heads(64, 1), parts),
    }


def counted() -> list[Counted]:
    """Every network of `subjects`, and the portrait framework."""
    known, found = subjects(), []  # says where PyTorch is missing, so that it comes first
    import torch

    with torch.device("meta"):
        for name, one in known.items():
            picture = torch.zeros(1, 3, one.size, one.size)
            given = (picture, torch.zeros(1, one.entries)) if one.entries else (picture,)
            found.append(Counted(name, one.what, one.size, *count(one.make(), *given)))
    return [*found, _portrait()]


def count(module: Any, *inputs: Any) -> tuple[int, int, int]:
    """A module's parameters, multiply-adds and bytes moved for some inputs of a batch of one.

    Multiply-adds are those of convolutions, transposed ones and fully connected layers. Bytes
    moved are its parameters once, and the input and output of every layer, as float32.
    """
    import torch

    work = {"adds": 0, "values": 0}
    hooks = [
        part.register_forward_hook(_look(work))
        for part in module.modules()
        if not list(part.children())
    ]
    try:
        with torch.no_grad():
            module.eval()(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(each.numel() for each in module.parameters())
    return parameters, work["adds"], FLOAT * (parameters + work["values"])


def write_networks(folder: Path, target: str) -> list[Path]:
    """Networks that the OCNN paper times, as ONNX files with random weights, which take any size.

    Whatever the weights, they take the same time. ``target`` is what they are to be asked for.
    """
    known, written = subjects(), []  # as above
    import torch

    from deep_onnx.card import Card
    from deep_onnx.export import trace
    from deep_onnx.file import finish
    from deep_onnx.training.algorithm import Export

    for name, multiple in TIMED.items():
        one = known[name]
        torch.manual_seed(0)
        network = one.make().eval()
        card = Card(
            "timed",
            targets={target: (0.0,) * one.entries},
            condition=tuple(f"c{k}" for k in range(one.entries)),
            condition_range=(-1.0, 1.0),
            condition_input="condition",
            size=one.size,
            dynamic=True,
            multiple=multiple,
            placement="whole",
            parameters=sum(each.numel() for each in network.parameters()),
        )
        inputs = {"image": torch.zeros(2, 3, 64, 64), "condition": torch.zeros(2, one.entries)}
        model = trace(Export(network, card, inputs))
        written.append(folder / f"{name}.onnx")
        write_bytes(written[-1], finish(model, card).data)
    return written


def _look(work: dict[str, int]) -> Callable[[Any, Any, Any], None]:
    from torch import Tensor

    def look(part: Any, given: Any, made: Any) -> None:
        came = sum(each.numel() for each in given if isinstance(each, Tensor))
        work["values"] += came + made.numel()
        work["adds"] += _multiply_adds(part, given[0], made)

    return look


def _multiply_adds(part: Any, given: Any, made: Any) -> int:
    from torch import nn

    if isinstance(part, nn.Linear):
        return int(made.numel()) * part.in_features
    if not isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
        return int(getattr(part, "multiply_adds", 0))  # of the house's own layers
    taps = part.kernel_size[0] * part.kernel_size[1]
    if isinstance(part, nn.ConvTranspose2d):  # every value given is spread by the kernel
        return int(given.numel()) * taps * part.out_channels // part.groups
    return int(made.numel()) * taps * part.in_channels // part.groups


def _portrait() -> Counted:
    """The mask-guided portraits' generator, as it is exported, at the paper's 256 and width 64."""
    import torch

    from deep_onnx.portrait.network import PortraitGraph, PortraitNetwork

    size, parts = 256, 5
    with torch.device("meta"):
        network = PortraitNetwork(size, 64)
        numbers = parts * network.local.latent
        graph = PortraitGraph(network, torch.zeros(numbers), torch.zeros(1, numbers))
        labels = torch.zeros(1, size, size, dtype=torch.int64)
        centres = torch.zeros(1, 6, dtype=torch.int64)
        given = (
            *(torch.zeros(1, 3, size, size), labels, centres),
            torch.zeros(1, parts, 3, size, size),
            *(labels[:, None].expand(1, parts, size, size), centres),
            *(torch.zeros(1, parts), torch.zeros(1, 1)),
        )
        counts = count(graph, *given)
    return Counted("mask-guided portraits", "generator, width 64", size, *counts)
