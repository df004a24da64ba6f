"""``pixelreg export-torch``: from a PyTorch checkpoint of somebody else's code to an ONNX file."""

from __future__ import annotations

from pathlib import Path

import click

from deep_onnx.card import PLACEMENTS
from deep_onnx.convert import ARCHITECTURES, STATISTICS, Conversion, convert
from pixelreg.commands import options
from pixelreg.commands.console import report
from pixelreg.errors import UsageError
from pixelreg.models.model import Frame, Provenance


@click.command("export-torch")
@click.argument("architecture", metavar="ARCH", type=click.Choice(list(ARCHITECTURES)))
@click.option(
    "--checkpoint",
    required=True,
    type=options.FILE,
    help="The generator's weights (.pth, .pt, .ckpt, .safetensors), also among others in one file.",
)
@click.option(
    "--targets",
    help="Names, separated by commas: StarGAN's classes in their order in training; the "
    "expressions that GANimation is to offer; what pix2pix or CycleGAN makes.",
)
@click.option(
    "--from", "source", default="", help="What the model starts from. [default: neutral; A]"
)
@click.option(
    "--size",
    type=click.IntRange(16, 2048),
    help="Side of the pictures that it was trained on. [default: 128; pix2pix, cyclegan: 256]",
)
@click.option(
    "--placement",
    type=click.Choice(PLACEMENTS),
    help="What the model sees of a photo: the aligned face, the centre square, or all of it. "
    "[default: face; pix2pix, cyclegan: square]",
)
@click.option(
    "--frame",
    type=options.Numbers(4),
    help="x1,y1,x2,y2 of the pupils in its training pictures, as fractions of their size. "
    "[default: 0.36,0.39,0.64,0.39]",
)
@click.option(
    "--norm-statistics",
    "statistics",
    type=click.Choice(STATISTICS),
    default="batch",
    show_default=True,
    help="What batch norms use: the picture's own, as in the original test script, or those that "
    "were stored in training.",
)
@click.option(
    "--part",
    default="",
    help="Which of several generators in one file: a part of its name, such as netG_A.",
)
@click.option(
    "--training-set", default="", help="Name of the training pictures, for pixelreg info."
)
@click.option("--licence", default="", help="Licence of the weights, for pixelreg info.")
@click.option(
    "-o", "--output", required=True, type=options.ONNX_FILE, help="The ONNX file to write."
)
@options.as_json
def export_torch(
    architecture: str,
    checkpoint: Path,
    targets: str | None,
    source: str,
    size: int | None,
    placement: str | None,
    frame: tuple[float, float, float, float] | None,
    statistics: str,
    part: str,
    training_set: str,
    licence: str,
    output: Path,
    as_json: bool,
) -> None:
    """Convert weights that were trained with the authors' own code to ONNX.

    ARCH is stargan (yunjey/stargan), ganimation (albertpumarola/GANimation), pix2pix or cyclegan
    (junyanz/pytorch-CycleGAN-and-pix2pix; U-Net or ResNet, batch or instance norm). Widths, depth
    and classes are read from the weights. Nothing in the checkpoint is executed. The file is
    compared with PyTorch before it is written.

    \b
    Examples:
      pixelreg export-torch stargan --checkpoint 200000-G.ckpt --targets angry,happy,sad -o s.onnx
      pixelreg export-torch ganimation --checkpoint net_epoch_30_id_G.pth -o animate.onnx
      pixelreg export-torch cyclegan --checkpoint latest_net_G_A.pth --targets sketch -o g.onnx
    """
    if frame is not None:
        if placement not in (None, "face"):
            raise UsageError("--frame goes with --placement face")
        placement = "face"
    conversion = Conversion(
        targets=tuple(filter(None, (name.strip() for name in (targets or "").split(",")))),
        source=source,
        size=size,
        placement=placement,
        frame=Frame() if frame is None else Frame(frame[:2], frame[2:]),
        statistics=statistics,
        part=part,
        provenance=Provenance(training_set=training_set, licence=licence),
    )
    done = convert(architecture, checkpoint, output, conversion)
    facts = {
        "output": str(done.path),
        "architecture": architecture,
        "parameters": done.parameters,
        "bytes": done.bytes,
        "parity": done.parity,
        "weights": done.weights,
    }
    weight = f"{done.parameters:,} parameters, {done.bytes / 1e6:.1f} MB"
    chosen = f" (weights under {done.weights})" if done.weights else ""
    report(facts, as_json, f"{done.path}: {weight}, within {done.parity:.0e} of PyTorch{chosen}")
