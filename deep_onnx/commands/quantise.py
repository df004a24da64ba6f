"""``pixelreg quantise``: a smaller ONNX file that still makes the same pictures."""

from __future__ import annotations

from pathlib import Path

import click

from deep_onnx.quantise import KINDS, LEAST_PSNR, card_to_quantise, read_pictures
from deep_onnx.quantise import quantise as write_quantised
from pixelreg.commands import options
from pixelreg.commands.console import progress, report, report_problems, say
from pixelreg.errors import UsageError
from pixelreg.faces.locate import Locator


@click.command("quantise")
@click.argument("model", metavar="MODEL.onnx", type=options.FILE)
@click.option(
    "--to",
    type=click.Choice(list(KINDS)),
    required=True,
    help="int8: the convolutions, about a third of the bytes and twice as fast on processors; "
    "fp16: half the bytes, faster on GPUs only.",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=options.FOLDER,
    help="Folder of pictures, or data set, such as the model will be given; may be repeated.",
)
@click.option(
    "--pictures",
    type=click.IntRange(2, 1000),
    default=48,
    show_default=True,
    help="How many pictures to read; two thirds to measure on (int8), the others to judge by.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which pictures.")
@click.option("--force", is_flag=True, help=f"Write it even below {LEAST_PSNR:g} dB.")
@options.trust
@options.locating
@click.option(
    "-o", "--output", required=True, type=options.ONNX_FILE, help="The ONNX file to write."
)
@options.as_json
def quantise(
    model: Path,
    to: str,
    data: tuple[Path, ...],
    pictures: int,
    seed: int,
    force: bool,
    trust: bool,
    locator: Locator,
    output: Path,
    as_json: bool,
) -> None:
    """Make an ONNX model smaller, and tell what that costs.

    int8 takes in all convolutions but the first and the last ones, with ranges measured on
    pictures. The smaller model's pictures are then compared with the fp32 model's, on people who
    were not measured on: below 38 dB it is not written. The figure is kept in the file.

    \b
    Examples:
      pixelreg quantise stargan.onnx --to int8 --data faces/ -o stargan-int8.onnx
      pixelreg quantise stargan.onnx --to fp16 --data faces/ -o stargan-fp16.onnx
    """
    if output.resolve() == model.resolve():
        raise UsageError("--output is the model itself; the fp32 model is worth keeping")
    card = card_to_quantise(model)
    with progress("reading pictures") as update:
        calibration = read_pictures(data, card, locator, pictures, seed, update)
    count = len(calibration.measured) + len(calibration.judged) + len(calibration.problems)
    report_problems(calibration.problems, count, "pictures")
    done = write_quantised(model, output, to, calibration, force, trust)
    if done.psnr < LEAST_PSNR:
        say(f"written all the same: {done.psnr:.1f} dB is less than {LEAST_PSNR:g}")
    facts = {
        "output": str(done.path),
        "to": to,
        "bytes": done.bytes,
        "bytes_before": done.bytes_before,
        "psnr_to_fp32": done.psnr,
        "worst_psnr_to_fp32": done.worst,
        "pictures_judged": done.judged,
    }
    sizes = f"{done.bytes / 1e6:.1f} MB as {to}, {done.bytes_before / 1e6:.1f} MB before"
    psnr = f"{done.psnr:.1f} dB to fp32 on {done.judged} pictures, the worst {done.worst:.1f} dB"
    report(facts, as_json, f"{done.path}: {sizes}; {psnr}")
