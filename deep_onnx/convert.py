"""From other people's PyTorch checkpoints to ONNX.

Weights of yunjey/stargan, albertpumarola/GANimation and junyanz/pytorch-CycleGAN-and-pix2pix load
into the networks of `deep_onnx.architectures`, whose parameters have the same names. How these
repositories test their models decides what the norms do:

- StarGAN's test script never leaves training mode, so its instance norms use the statistics of the
  picture; the running ones in the file are not used, and dropped.
- pix2pix is tested in training mode too: its batch norms use the statistics of the batch, which is
  one picture. Instance norms do the same, and take their place. With ``statistics="running"`` the
  stored ones are used instead, as ``test.py --eval`` does.
- In training mode dropout stays random as well. It is left out here: the same picture always
  gives the same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_onnx.architectures import action_units
from deep_onnx.card import Card
from deep_onnx.checkpoints import SHOWN, State, fill, read_checkpoint
from pixelreg.data.expressions import canonical
from pixelreg.errors import ModelFileError, UnknownNameError, UsageError
from pixelreg.models.model import Frame, Provenance

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deep_onnx.export import Exported

STATISTICS = ("batch", "running")
REPOSITORIES = {
    "stargan": "yunjey/stargan",
    "ganimation": "albertpumarola/GANimation",
    "pix2pix": "junyanz/pytorch-CycleGAN-and-pix2pix",
    "cyclegan": "junyanz/pytorch-CycleGAN-and-pix2pix",
}


@dataclass(frozen=True)
class Conversion:
    """What a checkpoint does not say.

    Attributes
    ----------
    targets : names: StarGAN's classes in their order in training; for GANimation those of the
        expressions to offer; for pix2pix and CycleGAN the one that the generator makes.
    source : what the model starts from; empty for the architecture's default.
    size : side of the pictures it was trained on; None for the default of its repository.
    placement : one of `deep_onnx.card.PLACEMENTS`; None for the architecture's default.
    frame : where the eyes stand in the crops of the placement ``"face"``.
    statistics : what batch norms use: ``"batch"``, or the ``"running"`` ones of the file.
    provenance : for the card.
    """

    targets: tuple[str, ...] = ()
    source: str = ""
    size: int | None = None
    placement: str | None = None
    frame: Frame = field(default_factory=Frame)
    statistics: str = "batch"
    provenance: Provenance = field(default_factory=Provenance)


def convert(architecture: str, checkpoint: Path, output: Path, options: Conversion) -> Exported:
    """Write a checkpoint as an ONNX file that `pixelreg` runs.

    Parameters
    ----------
    architecture : one of `ARCHITECTURES`.
    checkpoint : a file of ``torch.save`` with the generator's state dict.
    output : the ONNX file.
    options : what the checkpoint does not say.
    """
    if architecture not in ARCHITECTURES:
        raise UnknownNameError("architecture", architecture, ARCHITECTURES)
    if options.statistics not in STATISTICS:
        raise UnknownNameError("statistics", options.statistics, STATISTICS)
    if options.statistics == "running" and architecture in ("stargan", "ganimation"):
        raise UsageError(f"{architecture} has no batch norms whose statistics could be used")
    state = read_checkpoint(checkpoint)
    try:
        module, card = ARCHITECTURES[architecture](state, options)
        fill(module, state, options.statistics)
    except ValueError as error:
        raise ModelFileError(f"{checkpoint} is no {architecture} generator: {error}") from error
    from deep_onnx.export import export_onnx
    from deep_onnx.training.algorithm import Export, to_tensor
    from pixelreg.data.synthetic import pairs_array

    if card.size % card.multiple:
        raise UsageError(f"--size must be a multiple of {card.multiple}, not {card.size}")
    faces = pairs_array(2, "happy", card.size)[1]
    inputs = {card.image_input: to_tensor(faces)}
    if card.condition:
        vectors = [card.targets[name] for name in (*card.targets, *card.targets)[:2]]
        inputs[card.condition_input] = _tensor(vectors)
    notes = {"repository": REPOSITORIES[architecture], "norm_statistics": options.statistics}
    return export_onnx(Export(module.eval(), card, inputs), output, options.provenance, notes)


def _stargan(state: State, options: Conversion) -> tuple[nn.Module, Card]:
    from deep_onnx.architectures.stargan_networks import MULTIPLE, Generator

    width, classes, blocks = _trunk(state)
    names = options.targets
    if len(names) != classes:
        given = f"{len(names)} were given" if names else "none was given"
        raise UsageError(
            f"name the {classes} classes of this checkpoint with --targets a,b,..., {given}; in "
            "the order of training: folder names sorted, or --selected_attrs"
        )
    card = Card(
        "stargan",
        target_kind="expression",
        targets=_one_hot(names),
        condition=names,
        source=options.source or "neutral",
        condition_input="condition",
        **_picture(options, 128, MULTIPLE, "face"),
    )
    return Generator(classes, width, blocks), card


def _ganimation(state: State, options: Conversion) -> tuple[nn.Module, Card]:
    from deep_onnx.architectures.ganimation_networks import MULTIPLE, Generator

    width, units, blocks = _trunk(state)
    _shape(state, "attetion_reg.0.weight")  # StarGAN's weights are the same but for the end
    names: tuple[str, ...] = action_units.NAMES
    targets: dict[str, tuple[float, ...]] = action_units.prototypes()
    if units != len(names):
        if len(options.targets) != units:
            raise UsageError(f"name the {units} action units of this checkpoint with --targets")
        names, targets = options.targets, _one_hot(options.targets)
    elif options.targets:
        chosen = [canonical(name) for name in options.targets]
        for name in chosen:
            if name not in targets:
                raise UnknownNameError("expression", name, targets)
        targets = {name: targets[name] for name in chosen}
    card = Card(
        "ganimation",
        target_kind="action-units",
        targets=targets,
        condition=names,
        source=options.source or "neutral",
        condition_input="condition",
        **_picture(options, 128, MULTIPLE, "face"),
    )
    return Generator(units, width, blocks), card


def _unpaired_or_paired(name: str) -> Callable[[State, Conversion], tuple[nn.Module, Card]]:
    """pix2pix and CycleGAN share their generators: a U-Net or a ResNet, whichever was trained."""

    def build(state: State, options: Conversion) -> tuple[nn.Module, Card]:
        if len(options.targets) > 1:
            raise UsageError(f"{name} makes one thing; --targets takes one name")
        module, multiple = _unet(state) if "model.model.0.weight" in state else _resnet(state)
        card = Card(
            name,
            target_kind="domain",
            targets={(options.targets or ("B",))[0]: ()},
            source=options.source or "A",
            **_picture(options, 256, multiple, "square"),
        )
        return module, card

    return build


def _unet(state: State) -> tuple[nn.Module, int]:
    from deep_onnx.architectures.unet import UNet

    inner = re.compile(r"model\.model\.1(\.model\.3)*\.model\.1\.weight")
    depth = 1 + sum(bool(inner.fullmatch(name)) for name in state)
    width, channels = _shape(state, "model.model.0.weight")[:2]
    if depth < 2:
        raise ValueError("it has no layer inside its outermost one")
    if channels != 3:
        raise ValueError(f"it takes pictures of {channels} channels, not 3")
    return UNet(width=width, depth=depth), 2**depth


def _resnet(state: State) -> tuple[nn.Module, int]:
    from deep_onnx.architectures.resnet import MULTIPLE, ResNetGenerator

    width = _shape(state, "model.1.weight")[0]
    blocks = _count(state, r"model\.\d+\.conv_block\.1\.weight")
    # Dropout, which has no weights, moves the second convolution of a block from place 5 to 6.
    moved = _count(state, r"model\.\d+\.conv_block\.6\.weight", 4)
    return ResNetGenerator(width, blocks, dropout=0.5 if moved else 0.0), MULTIPLE


def _trunk(state: State) -> tuple[int, int, int]:
    """Width, length of the condition, and residual blocks of StarGAN and GANimation."""
    width, channels = _shape(state, "main.0.weight")[:2]
    if channels <= 3:
        raise ValueError(f"main.0.weight takes {channels} channels, which leaves no condition")
    return width, channels - 3, _count(state, r"main\.\d+\.main\.0\.weight")


def _shape(state: State, name: str) -> tuple[int, ...]:
    if name not in state or state[name].ndim != 4:
        held = ", ".join(list(state)[:SHOWN])
        raise ValueError(f"there is no convolution {name}; it holds {held}, ...")
    return tuple(state[name].shape)


def _count(state: State, pattern: str, axes: int = 4) -> int:
    matches = re.compile(pattern).fullmatch
    return sum(value.ndim == axes for name, value in state.items() if matches(name))


def _picture(options: Conversion, size: int, multiple: int, placement: str) -> dict[str, Any]:
    """What a card says of the pictures."""
    placement = options.placement or placement
    return {
        "size": options.size or size,
        "dynamic": True,
        "multiple": multiple,
        "placement": placement,
        "frame": options.frame if placement == "face" else None,
    }


def _one_hot(names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    if len(set(names)) != len(names):
        raise UsageError(f"--targets names something twice: {', '.join(names)}")
    return {name: tuple(float(name == other) for other in names) for name in names}


def _tensor(vectors: Sequence[Sequence[float]]) -> Tensor:
    import torch

    return torch.tensor(vectors, dtype=torch.float32)


ARCHITECTURES: dict[str, Callable[[State, Conversion], tuple[nn.Module, Card]]] = {
    "stargan": _stargan,
    "ganimation": _ganimation,
    "pix2pix": _unpaired_or_paired("pix2pix"),
    "cyclegan": _unpaired_or_paired("cyclegan"),
}
