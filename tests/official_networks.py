"""Checkpoints as the authors' code saves them, and what that code computes with them.

Written from the papers' tables with functions of `torch.nn.functional` alone, straight from the
state dict, so that comparisons are with nothing of ours. Weights are random.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


class Maker:
    """Draws weights by name."""

    def __init__(self, seed: int = 0) -> None:
        self.state: State = {}
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def convolution(self, name: str, *shape: int, bias: int = 0) -> None:
        self.state[f"{name}.weight"] = self.draw(*shape) * 0.15
        if bias:
            self.state[f"{name}.bias"] = self.draw(bias) * 0.3

    def norm(self, name: str, channels: int, affine: bool = True, running: bool = False) -> None:
        if affine:
            self.state[f"{name}.weight"] = 1 + 0.2 * self.draw(channels)
            self.state[f"{name}.bias"] = 0.2 * self.draw(channels)
        if running:
            self.state[f"{name}.running_mean"] = self.draw(channels)
            self.state[f"{name}.running_var"] = 1 + self.draw(channels) ** 2
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(200)


def stargan(classes: int, width: int = 4, blocks: int = 2, running: bool = True) -> State:
    """StarGAN's generator; its instance norms save running statistics."""
    make = Maker()
    after = _trunk(make, 3 + classes, width, blocks, running)
    make.convolution(f"main.{after}", 3, width, 7, 7)
    return make.state


def ganimation(units: int, width: int = 4, blocks: int = 2) -> State:
    """GANimation's generator."""
    make = Maker()
    _trunk(make, 3 + units, width, blocks, running=False)
    make.convolution("img_reg.0", 3, width, 7, 7)
    make.convolution("attetion_reg.0", 1, width, 7, 7)
    return make.state


def _trunk(make: Maker, channels: int, width: int, blocks: int, running: bool) -> int:
    make.convolution("main.0", width, channels, 7, 7)
    make.norm("main.1", width, running=running)
    for place, wide in ((3, 2 * width), (6, 4 * width)):
        make.convolution(f"main.{place}", wide, wide // 2, 4, 4)
        make.norm(f"main.{place + 1}", wide, running=running)
    for block in range(9, 9 + blocks):
        for place in (0, 3):
            make.convolution(f"main.{block}.main.{place}", 4 * width, 4 * width, 3, 3)
            make.norm(f"main.{block}.main.{place + 1}", 4 * width, running=running)
    for place, wide in ((9 + blocks, 4 * width), (12 + blocks, 2 * width)):
        make.convolution(f"main.{place}", wide, wide // 2, 4, 4)
        make.norm(f"main.{place + 1}", wide // 2, running=running)
    return 15 + blocks


def run_stargan(state: State, image: Tensor, condition: Tensor) -> Tensor:
    """The picture that StarGAN's test script makes: norms on the picture's own statistics."""
    values, after = _run_trunk(state, image, condition)
    return torch.tanh(F.conv2d(values, state[f"main.{after}.weight"], padding=3))


def run_ganimation(state: State, image: Tensor, condition: Tensor) -> Tensor:
    """Attention keeps the picture, the rest is painted."""
    values, _ = _run_trunk(state, image, condition)
    colour = torch.tanh(F.conv2d(values, state["img_reg.0.weight"], padding=3))
    attention = torch.sigmoid(F.conv2d(values, state["attetion_reg.0.weight"], padding=3))
    return attention * image + (1 - attention) * colour


def _run_trunk(state: State, image: Tensor, condition: Tensor) -> tuple[Tensor, int]:
    def normed(values: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.instance_norm(values, weight=weight, bias=bias)

    height, width = image.shape[2:]
    planes = condition[:, :, None, None].repeat(1, 1, height, width)
    values = F.conv2d(torch.cat([image, planes], 1), state["main.0.weight"], padding=3)
    values = F.relu(normed(values, "main.1"))
    for place in (3, 6):
        values = F.conv2d(values, state[f"main.{place}.weight"], stride=2, padding=1)
        values = F.relu(normed(values, f"main.{place + 1}"))
    block = 9
    while f"main.{block}.main.0.weight" in state:
        inner = F.conv2d(values, state[f"main.{block}.main.0.weight"], padding=1)
        inner = F.relu(normed(inner, f"main.{block}.main.1"))
        inner = F.conv2d(inner, state[f"main.{block}.main.3.weight"], padding=1)
        values = values + normed(inner, f"main.{block}.main.4")
        block += 1
    for place in (block, block + 3):
        values = F.conv_transpose2d(values, state[f"main.{place}.weight"], stride=2, padding=1)
        values = F.relu(normed(values, f"main.{place + 1}"))
    return values, block + 6


def resnet(
    width: int = 4,
    blocks: int = 3,
    dropout: bool = False,
    norm: str = "instance",
    old: bool = False,
) -> State:
    """CycleGAN's generator; ``old`` files save the running statistics of instance norms."""
    make, batch = Maker(), norm == "batch"

    def layer(name: str, at: int, *shape: int, out: int) -> None:
        make.convolution(f"{name}.{at}", *shape, bias=0 if batch else out)
        make.norm(f"{name}.{at + 1}", out, affine=batch, running=batch or old)

    layer("model", 1, width, 3, 7, 7, out=width)
    layer("model", 4, 2 * width, width, 3, 3, out=2 * width)
    layer("model", 7, 4 * width, 2 * width, 3, 3, out=4 * width)
    for block in range(10, 10 + blocks):
        for at in (1, 6 if dropout else 5):
            layer(f"model.{block}.conv_block", at, 4 * width, 4 * width, 3, 3, out=4 * width)
    layer("model", 10 + blocks, 4 * width, 2 * width, 3, 3, out=2 * width)
    layer("model", 13 + blocks, 2 * width, width, 3, 3, out=width)
    make.convolution(f"model.{17 + blocks}", 3, width, 7, 7, bias=3)
    return make.state


def run_resnet(state: State, image: Tensor, running: bool = False) -> Tensor:
    """CycleGAN's test script, dropout apart."""

    def normed(values: Tensor, name: str) -> Tensor:
        return _norm(state, values, name, running)

    def conv(values: Tensor, name: str, **options: Any) -> Tensor:
        return F.conv2d(values, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    values = conv(F.pad(image, (3, 3, 3, 3), "reflect"), "model.1")
    values = F.relu(normed(values, "model.2"))
    for place in (4, 7):
        values = conv(values, f"model.{place}", stride=2, padding=1)
        values = F.relu(normed(values, f"model.{place + 1}"))
    block = 10
    while f"model.{block}.conv_block.1.weight" in state:
        name = f"model.{block}.conv_block"
        second = next(
            at for at in (5, 6) if getattr(state.get(f"{name}.{at}.weight"), "ndim", 0) == 4
        )
        inner = conv(F.pad(values, (1, 1, 1, 1), "reflect"), f"{name}.1")
        inner = F.relu(normed(inner, f"{name}.2"))
        inner = conv(F.pad(inner, (1, 1, 1, 1), "reflect"), f"{name}.{second}")
        values = values + normed(inner, f"{name}.{second + 1}")
        block += 1
    for place in (block, block + 3):
        weight, bias = state[f"model.{place}.weight"], state.get(f"model.{place}.bias")
        values = F.conv_transpose2d(values, weight, bias, stride=2, padding=1, output_padding=1)
        values = F.relu(normed(values, f"model.{place + 1}"))
    return torch.tanh(conv(F.pad(values, (3, 3, 3, 3), "reflect"), f"model.{block + 7}"))


def unet(depth: int, width: int = 4, norm: str = "batch") -> State:
    """pix2pix's generator, named by nesting: every level holds the next one."""
    make, batch = Maker(), norm == "batch"
    widths = [width * min(2**level, 8) for level in range(depth)]

    def layer(name: str, *shape: int, out: int) -> None:
        make.convolution(name, *shape, bias=0 if batch else out)

    layer("model.model.0", width, 3, 4, 4, out=width)
    prefix = "model.model.1"
    for level in range(1, depth):
        outer, inner, last = widths[level - 1], widths[level], level == depth - 1
        layer(f"{prefix}.model.1", inner, outer, 4, 4, out=inner)
        up = 3 if last else 5
        if not last:
            make.norm(f"{prefix}.model.2", inner, affine=batch, running=batch)
        layer(f"{prefix}.model.{up}", inner * (1 if last else 2), outer, 4, 4, out=outer)
        make.norm(f"{prefix}.model.{up + 1}", outer, affine=batch, running=batch)
        prefix += ".model.3"
    make.convolution("model.model.3", 2 * width, 3, 4, 4, bias=3)
    return make.state


def run_unet(state: State, image: Tensor, running: bool = False) -> Tensor:
    """pix2pix's test script, dropout apart."""

    def conv(values: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        return F.conv2d(values, weight, bias, stride=2, padding=1)

    def grown(values: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        return F.conv_transpose2d(F.relu(values), weight, bias, stride=2, padding=1)

    def level(values: Tensor, prefix: str) -> Tensor:
        inner = conv(F.leaky_relu(values, 0.2), f"{prefix}.model.1")
        up = 5 if f"{prefix}.model.5.weight" in state else 3
        if up == 5:
            inner = level(_norm(state, inner, f"{prefix}.model.2", running), f"{prefix}.model.3")
        made = _norm(
            state, grown(inner, f"{prefix}.model.{up}"), f"{prefix}.model.{up + 1}", running
        )
        return torch.cat([values, made], 1)

    return torch.tanh(grown(level(conv(image, "model.model.0"), "model.model.1"), "model.model.3"))


def _norm(state: State, values: Tensor, name: str, running: bool) -> Tensor:
    """Batch norm in training mode as the test script leaves it, or in evaluation; or no scale."""
    if f"{name}.weight" not in state:
        return F.instance_norm(values)
    statistics = (state[f"{name}.running_mean"].clone(), state[f"{name}.running_var"].clone())
    scale = (state[f"{name}.weight"], state[f"{name}.bias"])
    return F.batch_norm(values, *statistics, *scale, training=not running)
