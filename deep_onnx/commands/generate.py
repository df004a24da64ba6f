"""``pixelreg generate``: new pictures from noise."""

from __future__ import annotations

from pathlib import Path

import click

from deep_onnx.model import MOST, open_generator
from pixelreg.commands import options
from pixelreg.commands.console import say, say_once
from pixelreg.errors import UsageError
from pixelreg.files import write_bytes
from pixelreg.pictures.image import SUFFIX_FORMATS, Picture, encode
from pixelreg.pictures.sheet import grid


@click.command()
@click.option(
    "--model", required=True, type=options.FILE, help="ONNX file of pixelreg train dcgan."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones.")
@options.integer("--count", 1, MOST, 16, "How many.")
@click.option(
    "--columns", type=click.IntRange(1), help="Pictures in a row. [default: about a square]"
)
@click.option(
    "--separate",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write every picture to this folder too, as 0000.png and so on.",
)
@options.provider("What runs the model")
@click.option("--threads", type=click.IntRange(1), help="Threads to use. [default: one a core]")
@options.trust
@options.output(options.NEW_FILE, "sheet.png", "Picture file of all of them.")
def generate(
    model: Path,
    seed: int,
    count: int,
    columns: int | None,
    separate: Path | None,
    provider: str,
    threads: int | None,
    trust: bool,
    output: Path,
) -> None:
    """Make new pictures from noise, with a model that learnt to.

    The same seed gives the same pictures; more of them begin with the same ones.

    \b
    Examples:
      pixelreg generate --model dcgan.onnx
      pixelreg generate --model dcgan.onnx --seed 7 --count 64 -o faces.png
      pixelreg generate --model dcgan.onnx --count 100 --separate faces/
    """
    file_format = SUFFIX_FORMATS.get(output.suffix.lower())
    if file_format is None:
        raise UsageError(f"{output} must end in {', '.join(SUFFIX_FORMATS)}")
    generator = open_generator(
        model, provider=provider, threads=threads, say=say_once, trusted=trust
    )
    pictures = generator.invent(generator.noise(count, seed))
    write_bytes(output, encode(Picture(grid(pictures, columns)), file_format))
    if separate is not None:
        for number, picture in enumerate(pictures):
            write_bytes(separate / f"{number:04d}.png", encode(Picture(picture), "PNG"))
        say(f"wrote {count} pictures to {separate}")
    say(f"wrote {output} ({count} pictures, seed {seed})")
