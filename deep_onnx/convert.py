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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deep_onnx.architectures import action_units
from deep_onnx.card import Card
from deep_onnx.file import first_line
from deep_onnx.weights import (
    State,
    check_state,
    in_colour,
    is_average,
    read_checkpoint,
    read_tables,
    under,
)
from pixelreg.data.expressions import canonical
from pixelreg.errors import ModelFileError, UnknownNameError, UsageError
from pixelreg.models.model import Frame, Provenance

if TYPE_CHECKING:
    from torch import nn

    from deep_onnx.export import Exported

__all__ = ["ARCHITECTURES", "Conversion", "convert", "fill", "read_checkpoint"]

STATISTICS = ("batch", "running")
SHOWN = 4  # names that a message lists
_COUNTED = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Conversion:
    """What a checkpoint does not say.

    targets : names: StarGAN's classes in their order in training; for GANimation those of the
        expressions to offer; for pix2pix and CycleGAN the one that the generator makes.
    source : what the model starts from; empty for the architecture's default.
    size : side of the pictures it was trained on; None for the default of its repository.
    placement : one of `deep_onnx.card.PLACEMENTS`; None for the architecture's default.
    frame : where the eyes stand in the crops of the placement ``"face"``.
    statistics : what batch norms use: ``"batch"``, or the ``"running"`` ones of the file.
    part : where the generator's weights lie in a file that holds several, such as ``"netG_A"``.
    """

    targets: tuple[str, ...] = ()
    source: str = ""
    size: int | None = None
    placement: str | None = None
    frame: Frame = field(default_factory=Frame)
    statistics: str = "batch"
    part: str = ""
    provenance: Provenance = field(default_factory=Provenance)


def convert(architecture: str, checkpoint: Path, output: Path, options: Conversion) -> Exported:
    """Write a checkpoint, the generator's state dict by ``torch.save``, as an ONNX file."""
    if architecture not in ARCHITECTURES:
        raise UnknownNameError("architecture", architecture, ARCHITECTURES)
    if options.statistics not in STATISTICS:
        raise UnknownNameError("statistics", options.statistics, STATISTICS)
    theirs = ARCHITECTURES[architecture]
    if options.statistics == "running" and not theirs.batch_norms:
        raise UsageError(f"{architecture} has no batch norms whose statistics could be used")
    place, module, card = find_generator(architecture, checkpoint, options)
    import torch

    from deep_onnx.export import export_onnx
    from deep_onnx.training.algorithm import Export
    from deep_onnx.training.tools import to_tensor
    from pixelreg.data.synthetic import pairs_array

    if card.size % card.multiple:
        raise UsageError(f"--size must be a multiple of {card.multiple}, not {card.size}")
    faces = pairs_array(2, "happy", card.size)[1]
    inputs = {card.image_input: to_tensor(faces)}
    if card.condition:
        vectors = [card.targets[name] for name in (*card.targets, *card.targets)[:2]]
        inputs[card.condition_input] = torch.tensor(vectors, dtype=torch.float32)
    notes = {"repository": theirs.repository, "norm_statistics": options.statistics}
    notes |= {"weights": place} if place else {}
    done = export_onnx(Export(module.eval(), card, inputs), output, options.provenance, notes)
    return replace(done, weights=place)


def find_generator(
    architecture: str, checkpoint: Path, options: Conversion
) -> tuple[str, nn.Module, Card]:
    """The one generator of a file: where it lies, its network with its weights, and its card."""
    theirs = ARCHITECTURES[architecture]
    tables = under(read_tables(checkpoint), theirs.ends)
    import torch

    matches: dict[str, tuple[nn.Module, Card]] = {}
    faults: list[Exception] = []
    for table in tables:
        if options.part not in table.place:
            continue
        try:
            check_state(table.state)
            state = theirs.coloured(table.state)
            # Shapes alone, until the weights are seen to fit: a width may be any number.
            with torch.device("meta"):
                module, card = theirs.build(state, options)
            fill(module, state, options.statistics)
        except (ValueError, UsageError) as error:
            faults.append(error)
        except (RuntimeError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
            faults.append(ValueError(first_line(error)))  # of sizes that torch refuses
        else:
            matches[table.place] = module, card
    place = _chosen(checkpoint, list(matches), options.part, faults, architecture)
    module, card = matches[place]
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ModelFileError(f"{checkpoint}: {name} holds numbers that are not finite")
    return place, module, card


def _chosen(
    checkpoint: Path, places: list[str], part: str, faults: list[Exception], architecture: str
) -> str:
    """The one place of several where a generator was found; of two, the moving average's."""
    averaged = [place for place in places if is_average(place)]
    if len(places) == 1 or (len(averaged) == 1 and len(places) == 2):
        return (averaged or places)[0]
    if places:
        raise UsageError(
            f"{checkpoint} holds {len(places)} {architecture} generators: "
            f"{', '.join(place or 'one under no name' for place in places)}; choose with --part"
        )
    if not faults:
        raise UsageError(f"{checkpoint} holds no weights whose place has {part!r} in its name")
    # What was asked wrongly is asked of weights that fit; else the largest table is told of.
    asked = [error for error in faults if isinstance(error, UsageError)]
    if asked:
        raise asked[0]
    raise ModelFileError(f"{checkpoint} is no {architecture} generator: {faults[0]}") from faults[0]


def _stargan(state: State, options: Conversion) -> tuple[nn.Module, Card]:
    from deep_onnx.architectures.stargan import MULTIPLE, Generator

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
    from deep_onnx.architectures.ganimation import MULTIPLE, Generator

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
    from deep_onnx.architectures.pix2pix import UNet

    inner = re.compile(r"model\.model\.1(\.model\.3)*\.model\.1\.weight")
    depth = 1 + sum(bool(inner.fullmatch(name)) for name in state)
    width, channels = _shape(state, "model.model.0.weight")[:2]
    if depth < 2:
        raise ValueError("it has no layer inside its outermost one")
    _check_channels(channels)
    return UNet(width=width, depth=depth), 2**depth


def _resnet(state: State) -> tuple[nn.Module, int]:
    from deep_onnx.architectures.cyclegan import MULTIPLE, ResNetGenerator

    width, channels = _shape(state, "model.1.weight")[:2]
    _check_channels(channels)
    blocks = _count(state, r"model\.\d+\.conv_block\.1\.weight")
    # Dropout, which has no weights, moves the second convolution of a block from place 5 to 6.
    moved = _count(state, r"model\.\d+\.conv_block\.6\.weight", 4)
    return ResNetGenerator(width, blocks, dropout=0.5 if moved else 0.0), MULTIPLE


def _check_channels(channels: int) -> None:
    if channels != 3:
        raise ValueError(f"it takes pictures of {channels} channels, not 3 or 1")


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


def _grey_trunk(state: State) -> State:
    """StarGAN's or GANimation's weights in colour; what goes in has what comes out, and more."""
    last = "img_reg.0"
    if f"{last}.weight" not in state:
        numbers = [int(m[1]) for m in map(re.compile(r"main\.(\d+)\.weight").fullmatch, state) if m]
        last = f"main.{max(numbers, default=0)}"
    out = state.get(f"{last}.weight")
    if out is None or out.ndim != 4 or out.shape[0] != 1:
        return state
    return in_colour(state, "main.0", last, condition=_shape(state, "main.0.weight")[1] - 1)


def _grey_pair(state: State) -> State:
    """pix2pix's or CycleGAN's weights in colour, on whichever side they are grey."""
    if "model.model.0.weight" in state:
        return in_colour(state, "model.model.0", "model.model.3", axis=1)
    numbers = [int(m[1]) for m in map(re.compile(r"model\.(\d+)\.weight").fullmatch, state) if m]
    _shape(state, "model.1.weight")
    return in_colour(state, "model.1", f"model.{max(numbers)}")


class Theirs(NamedTuple):
    """Somebody else's code that trains an architecture.

    build : from a checkpoint's weights to a network for them, and its card.
    ends : names by which its weights are known wherever they lie in a file.
    coloured : from weights of a network for grey pictures to those of one for coloured ones.
    """

    repository: str
    build: Callable[[State, Conversion], tuple[nn.Module, Card]]
    ends: tuple[str, ...]
    coloured: Callable[[State], State]
    batch_norms: bool = True


_PAIRED = "junyanz/pytorch-CycleGAN-and-pix2pix"
_TRUNK = (("main.0.weight",), _grey_trunk, False)
_PAIR = (("model.model.0.weight", "model.1.weight"), _grey_pair)
ARCHITECTURES = {
    "stargan": Theirs("yunjey/stargan", _stargan, *_TRUNK),
    "ganimation": Theirs("albertpumarola/GANimation", _ganimation, *_TRUNK),
    "pix2pix": Theirs(_PAIRED, _unpaired_or_paired("pix2pix"), *_PAIR),
    "cyclegan": Theirs(_PAIRED, _unpaired_or_paired("cyclegan"), *_PAIR),
}


def fill(module: nn.Module, state: State, statistics: str = "batch") -> None:
    """Load weights into a network, whose norms and biases are made to suit them.

    The repositories give convolutions before instance norms a bias and those norms no scale, and
    the other way round for batch norms; which of the two it was shows in the first convolution.
    Running statistics are dropped, unless they are asked for: ``"running"`` makes batch norms of
    the norms that have them as well as a scale.
    """
    from torch.nn import BatchNorm2d, InstanceNorm2d
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd

    parts = dict(module.named_modules())
    norms = {name: part for name, part in parts.items() if isinstance(part, _NormBase)}
    convolutions = {name: part for name, part in parts.items() if isinstance(part, _ConvNd)}
    first, *others = convolutions
    biased = f"{first}.bias" in state
    for name in (first, *others[:-1]):
        _set_bias(convolutions[name], biased)
    stored = {name for name in norms if {f"{name}.weight", f"{name}.running_var"} <= set(state)}
    running = stored if statistics == "running" else set()
    if statistics == "running" and (biased or not running):
        raise UsageError("the checkpoint has no running statistics of batch norms to use")
    for name, part in norms.items():
        if name in running:
            _put(module, name, BatchNorm2d(part.num_features))
        else:
            _put(module, name, InstanceNorm2d(part.num_features, affine=not biased))
    expected = module.state_dict()
    dropped = {f"{name}.{what}" for name in norms for what in _COUNTED} - set(expected)
    kept = {name: value for name, value in state.items() if name not in dropped}
    _check_names(expected, kept)
    if any(value.is_meta for value in expected.values()):
        module.to_empty(device="cpu")
    module.load_state_dict(kept)


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)


def _set_bias(convolution: Any, wanted: bool) -> None:
    import torch

    if not wanted:
        convolution.bias = None
    elif convolution.bias is None:
        convolution.bias = torch.nn.Parameter(torch.zeros(convolution.out_channels))


def _check_names(expected: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    faults = []
    for what, names in (
        ("missing", [name for name in expected if name not in given]),
        ("unknown", [name for name in given if name not in expected]),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            faults.append(f"{what} {', '.join(names[:SHOWN])}{more}")
    faults += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in given and given[name].shape != value.shape
    ][:1]
    if faults:
        raise ValueError("; ".join(faults))
