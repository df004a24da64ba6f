"""The papers' networks at full width as ONNX files that a zip makes small, to be carried.

    python -m benchmarks.networks -o networks.zip [--only "OCNN" ...]

No weights change what a network costs, so these are drawn once and repeated inside every tensor:
a zip finds the repetitions, and 0.8 GB become a few MB. Each network comes as float32 and as
float16. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_onnx.card import Card
from deep_onnx.counting import Subject, subjects

REPEATED = 4096  # numbers: 16 KB, which DEFLATE's window of 32 KB holds twice
# Of those that are counted, the ones that are run; StarGAN as the OCNN paper has it.
NAMES = ("StarGAN, 5 classes", "GANimation", "CycleGAN", "pix2pix, depth 8", "OCNN")
PORTRAIT = "portrait"
PORTRAIT_SIZE, PORTRAIT_WIDTH, PARTS = 256, 64, 5
FLOAT16 = "-fp16"


@dataclass(frozen=True)
class Network:
    """A network, ready to be exported: what makes it, and examples of what it takes.

    size : of the pictures that it is run on.
    """

    size: int
    make: Callable[[], Any]
    inputs: Callable[[], dict[str, Any]]


def networks() -> Mapping[str, Network]:
    """All of them, by name."""
    known = subjects()
    return {**{name: _of(known[name]) for name in NAMES}, PORTRAIT: _portrait()}


def _of(subject: Subject) -> Network:
    import torch

    def inputs() -> dict[str, Any]:
        made = {"image": torch.zeros(2, 3, subject.size, subject.size)}
        return made | ({"condition": torch.zeros(2, subject.entries)} if subject.entries else {})

    return Network(subject.size, subject.make, inputs)


def _portrait() -> Network:
    import torch

    def make() -> Any:
        from deep_onnx.portrait.network import PortraitGraph, PortraitNetwork
        from deep_onnx.portrait.parts import folded
        from deep_onnx.training.tools import frozen

        network = frozen(PortraitNetwork(PORTRAIT_SIZE, PORTRAIT_WIDTH).eval())
        network.local.local = torch.nn.ModuleList()  # only learning needs it
        numbers = PARTS * network.local.latent
        return PortraitGraph(folded(network), torch.zeros(numbers), torch.zeros(1, numbers))

    def inputs() -> dict[str, Any]:
        side, middle = PORTRAIT_SIZE, PORTRAIT_SIZE // 2
        labels = torch.zeros(2, side, side, dtype=torch.int64)
        centres = torch.full((2, 6), middle, dtype=torch.int64)
        return {
            "image": torch.zeros(2, 3, side, side),
            "mask": labels,
            "centres": centres,
            "sources": torch.zeros(2, PARTS, 3, side, side),
            "source_masks": labels[:, None].expand(2, PARTS, side, side).contiguous(),
            "source_centres": centres,
            "invented": torch.zeros(2, PARTS),
            "noise": torch.zeros(2, 1),
        }

    return Network(PORTRAIT_SIZE, make, inputs)


def module(network: Network) -> Any:
    """The network in evaluation mode, with its repeated weights."""
    import torch

    made = network.make().eval()
    for number, (name, weights) in enumerate(made.named_parameters()):
        if weights.dim() < 2 or "norm" in name:
            continue  # scales and biases as they start
        drawn = torch.randn(REPEATED, generator=torch.Generator().manual_seed(number))
        times = -(-weights.numel() // REPEATED)
        fan_in = weights[0].numel()
        values = drawn.repeat(times)[: weights.numel()].reshape(weights.shape) / fan_in**0.5
        weights.data.copy_(values)
    return made


def exported(name: str, network: Network) -> Iterator[tuple[str, bytes]]:
    """The files of a network: their names, and what is in them."""
    from deep_onnx.export import trace
    from deep_onnx.file import finish
    from deep_onnx.quantise import KINDS
    from deep_onnx.training.algorithm import Export

    inputs = network.inputs()
    entries = inputs["condition"].shape[1] if "condition" in inputs else 0
    task = {"task": PORTRAIT, "target_kind": "mask", "source": PORTRAIT} if name == PORTRAIT else {}
    card = Card(
        "timed",
        **{"targets": {"there": (0.0,) * entries}, "placement": "square", **task},
        condition=tuple(f"c{k}" for k in range(entries)),
        condition_range=(-1.0, 1.0),
        condition_input="condition" if entries else "",
        size=network.size,
    )
    model = trace(Export(module(network), card, inputs))
    yield f"{name}.onnx", finish(model, card).data
    half = KINDS["fp16"].convert(model, [])
    yield f"{name}{FLOAT16}.onnx", half.SerializeToString()


def write(output: Path, names: list[str]) -> None:
    """Export networks into a zip."""
    known = networks()
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in names:
            for file, content in exported(name, known[name]):
                archive.writestr(file, content)
                packed = archive.getinfo(file).compress_size
                print(f"{file}: {len(content) / 1e6:.1f} MB, {packed / 1e6:.2f} in the zip")


def main() -> None:
    """Export all, or some."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=[*NAMES, PORTRAIT])
    parser.add_argument("-o", "--output", type=Path, default=Path("networks.zip"))
    options = parser.parse_args()
    write(options.output, options.only or [*NAMES, PORTRAIT])


if __name__ == "__main__":
    main()
