"""``pixelreg portrait``: edit, swap, restyle and synthesise portraits with a trained framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from deep_onnx.portrait.labels import COMPONENTS
from pixelreg.commands import options
from pixelreg.commands.console import say, say_once
from pixelreg.errors import ModelFileError, UsageError
from pixelreg.files import write_bytes
from pixelreg.pictures.image import Picture, encode, format_of, read_file
from pixelreg.pictures.sheet import grid
from pixelreg.translator import check_strength

if TYPE_CHECKING:
    from deep_onnx.portrait.running import Seen
    from deep_onnx.portrait.translator import PortraitTarget, PortraitTranslator
    from pixelreg.faces.locate import Locator

MODEL = Path("portrait.onnx")
MOST = 1024  # portraits at a time


@click.group()
def portrait() -> None:
    """Change a portrait by its mask, or by other portraits.

    A mask is a PNG in the colours of eleven labels: `pixelreg portrait mask` makes one of a photo,
    any paint program changes it (with smoothing off). It has the photo's size, or is the square
    crop that the model sees.

    \b
    Examples:
      pixelreg data masks london/ portraits/
      pixelreg train portrait --data portraits/ --size 128 --width 16 --minutes 15
      pixelreg portrait mask in.png -o mask.png
      pixelreg portrait edit in.png --mask painted.png
      pixelreg portrait swap in.png --component mouth --from other.png
      pixelreg portrait style in.png --component hair --from other.png
      pixelreg portrait synthesise --mask mask.png --count 8
    """


_changing = options.stacked(
    click.argument("input", type=options.FILE, metavar="INPUT"),
    click.option(
        "--own-mask", type=options.FILE, help="INPUT's own mask, instead of the parser's."
    ),
    click.option(
        "--strength", type=float, default=1.0, show_default=True, help="0 changes nothing."
    ),
    click.option(
        "--whole", is_flag=True, help="Give all of the portrait back, not only what was asked for."
    ),
    click.option(
        "-o", "--output", type=options.NEW_FILE, help="Picture file. [default: beside INPUT]"
    ),
)
_parts_of_another = options.stacked(
    click.option(
        "--component",
        "components",
        multiple=True,
        required=True,
        type=click.Choice(list(COMPONENTS)),
        help="Which part; may be repeated.",
    ),
    click.option(
        "--from", "other", type=options.FILE, required=True, help="The portrait that gives it."
    ),
    click.option(
        "--from-mask", type=options.FILE, help="That portrait's mask, instead of the parser's."
    ),
)


def _load(
    model: Path,
    parser: Path | None,
    provider: str,
    threads: int | None,
    trust: bool,
    locator: Locator,
) -> Callable[[], PortraitTranslator]:
    def load() -> PortraitTranslator:
        from deep_onnx.portrait.translator import open_portrait

        if not model.is_file():
            raise ModelFileError(f"there is no {model}; make one with: pixelreg train portrait")
        running = {"provider": provider, "threads": threads, "say": say_once, "trusted": trust}
        return open_portrait(model, locator=locator, parser=parser, **running)

    return load


# The model's options, given to a command as ``load``, which loads it when it is called.
_loading = options.given_as(
    "load",
    _load,
    click.option(
        "--model",
        type=options.NEW_FILE,
        default=MODEL,
        show_default=True,
        help="Model file of pixelreg train portrait.",
    ),
    click.option(
        "--parser",
        type=options.FILE,
        help="Face parser, for masks that are not given. [default: NAME-parser.onnx beside it]",
    ),
    options.provider("What runs the model"),
    click.option("--threads", type=click.IntRange(1), help="Threads to use. [default: one a core]"),
    options.trust,
    options.locating_faces,
)


@portrait.command()
@_changing
@click.option("--mask", type=options.FILE, required=True, help="The shape that the face takes.")
@_loading
def edit(input: Path, mask: Path, load: Callable[[], PortraitTranslator], **values: Any) -> None:
    """Give the face of INPUT the shape of a mask, in its own look.

    Figures 4.8 and 4.9 of the paper are masks changed in part; for figure 4.10, another portrait's
    whole mask, make that mask with `pixelreg portrait mask`.

    \b
    Examples:
      pixelreg portrait edit in.png --mask painted.png -o out.png
      pixelreg portrait edit in.png --mask painted.png --own-mask mask.png --whole
    """
    _change(load(), input, "edit", lambda model: {"mask": mask}, **values)


@portrait.command()
@_changing
@_parts_of_another
@click.option("--shape-only", is_flag=True, help="Keep INPUT's own look.")
@_loading
def swap(
    input: Path,
    components: tuple[str, ...],
    other: Path,
    from_mask: Path | None,
    shape_only: bool,
    load: Callable[[], PortraitTranslator],
    **values: Any,
) -> None:
    """Give INPUT parts of another portrait: shape and look.

    With --shape-only these are figures 4.8 and 4.9 of the paper: another mouth's shape is another
    expression.

    \b
    Examples:
      pixelreg portrait swap in.png --component mouth --from other.png -o out.png
      pixelreg portrait swap in.png --component mouth --from smiling.png --shape-only
    """

    def asked(model: PortraitTranslator) -> dict[str, Any]:
        parts = dict.fromkeys(components, model.seen(other, from_mask))
        return {"shapes": parts, "looks": {} if shape_only else parts}

    _change(load(), input, "swap", asked, **values)


@portrait.command()
@_changing
@_parts_of_another
@_loading
def style(
    input: Path,
    components: tuple[str, ...],
    other: Path,
    from_mask: Path | None,
    load: Callable[[], PortraitTranslator],
    **values: Any,
) -> None:
    """Give parts of INPUT the look of another portrait's, in their own shape.

    This is figure 4.11 of the paper. Figure 4.13 is the skin's look with a model as it is, figure
    4.14 with one that was trained with --eye-crop tight.

    \b
    Examples:
      pixelreg portrait style in.png --component hair --from other.png -o out.png
      pixelreg portrait style in.png --component skin --component left-eye --from other.png
    """

    def asked(model: PortraitTranslator) -> dict[str, Any]:
        return {"looks": dict.fromkeys(components, model.seen(other, from_mask))}

    _change(load(), input, "style", asked, **values)


@portrait.command()
@click.option("--mask", type=options.FILE, required=True, help="The shape of all portraits.")
@options.integer("--count", 1, MOST, 8, "How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones.")
@click.option(
    "--from",
    "others",
    type=options.FOLDER,
    help="Portraits with masks whose looks they take: a folder of pixelreg data masks. "
    "[default: looks are invented]",
)
@click.option("--background", type=options.FILE, help="Photo whose background they take.")
@_loading
@options.output(options.NEW_FILE, "sheet.png", "Picture file of all of them.")
def synthesise(
    mask: Path,
    count: int,
    seed: int,
    others: Path | None,
    background: Path | None,
    load: Callable[[], PortraitTranslator],
    output: Path,
) -> None:
    """Make different portraits of one mask: figure 4.7 of the paper.

    The mask is square, as the crop that the model sees; so are those of `pixelreg data masks`.

    \b
    Examples:
      pixelreg portrait synthesise --mask mask.png --count 8
      pixelreg portrait synthesise --mask mask.png --from portraits/ --background in.png
    """
    format_of(output)
    model = load()
    looks = [] if others is None else _portraits(others, model.size)
    behind = None if background is None else model.seen(background)
    made = model.synthesise(mask, count, seed, looks, behind)
    write_bytes(output, encode(Picture(grid(made), edited=True), format_of(output)))
    say(f"wrote {output} ({count} portraits, seed {seed})")


@portrait.command()
@click.argument("input", type=options.FILE, metavar="INPUT")
@click.option("--overlay", type=options.NEW_FILE, help="Also write INPUT under the mask's colours.")
@click.option("--crop", is_flag=True, help="The square crop that the model sees, not all of INPUT.")
@_loading
@click.option(
    "-o", "--output", type=options.NEW_FILE, help="PNG file. [default: INPUT-mask.png beside it]"
)
def mask(
    input: Path,
    overlay: Path | None,
    crop: bool,
    load: Callable[[], PortraitTranslator],
    output: Path | None,
) -> None:
    """Find the parts of the face in INPUT, and write them as a mask.

    \b
    Examples:
      pixelreg portrait mask in.png -o mask.png
      pixelreg portrait mask in.png --crop -o mask.png --overlay seen.png
    """
    from deep_onnx.portrait.labels import write_mask
    from deep_onnx.portrait.making import overlay as laid_over

    output = output or input.with_name(f"{input.stem}-mask.png")
    if output.suffix.lower() != ".png":
        raise UsageError(f"{output} must end in .png: other formats change a mask's colours")
    model = load()
    if crop:
        seen = model.seen(input)
        picture, found = seen.image, seen.mask
    else:
        picture, found = read_file(input).pixels, model.mask(input)
    write_mask(output, found)
    say(f"wrote {output}")
    if overlay is not None:
        shown = Picture(laid_over(picture, found))
        write_bytes(overlay, encode(shown, format_of(overlay)))
        say(f"wrote {overlay}")


def _change(
    model: PortraitTranslator,
    path: Path,
    verb: str,
    asked: Callable[[PortraitTranslator], dict[str, Any]],
    own_mask: Path | None,
    strength: float,
    whole: bool,
    output: Path | None,
) -> None:
    from deep_onnx.portrait.translator import PortraitTarget

    output = output or path.with_name(f"{path.stem}-{verb}{path.suffix}")
    file_format = format_of(output)
    check_strength(strength)
    target: PortraitTarget = PortraitTarget(**asked(model), own_mask=own_mask, whole=whole)
    changed = model.translate_picture(read_file(path), cast(Any, target), strength, path)
    write_bytes(output, encode(changed, file_format))
    say(f"wrote {output}")


def _portraits(folder: Path, size: int) -> list[Seen]:
    from deep_onnx.portrait.folders import load_portraits
    from deep_onnx.portrait.running import Seen

    stack = load_portraits(folder, size)
    return [Seen(*each) for each in zip(stack.images, stack.masks, stack.centres, strict=True)]
