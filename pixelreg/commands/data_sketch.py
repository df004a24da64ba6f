"""``pixelreg data sketch``: pairs of photograph and pencil sketch, made from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixelreg.commands import options
from pixelreg.commands.console import give, give_json, progress, say
from pixelreg.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixelreg.data.crops import Cutter
    from pixelreg.data.photos import Listing, Photo
    from pixelreg.faces.locate import Locator


@click.command()
@click.argument("folder", type=options.FOLDER)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@options.layout
@click.option(
    "--expr",
    "expressions",
    multiple=True,
    help="Expression to draw; may be repeated. [default: the layout's, mostly neutral]",
)
@click.option(
    "--size",
    type=click.IntRange(11, 2048),
    help="Cut out squares of this side in pixels: faces, aligned by the eyes, or centre squares "
    "where there are none. [default: whole pictures]",
)
@click.option(
    "--blur",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.02,
    show_default=True,
    help="Width of the strokes: the blur's standard deviation as a share of the shorter side.",
)
@options.as_json
@options.locating
def sketch(
    folder: Path,
    out: Path,
    layout: str,
    expressions: tuple[str, ...],
    size: int | None,
    blur: float,
    as_json: bool,
    locator: Locator,
) -> None:
    """Draw pencil sketches of the photographs in FOLDER, and write pairs into OUT.

    OUT gets photo/PERSON/TAKE.png and sketch/PERSON/TAKE.png, which every command reads with
    --from photo --expr sketch, or the other way round. Pictures that cannot be used are left out
    and named at the end.

    \b
    Examples:
      pixelreg data sketch london/ sketches/ --size 256
      pixelreg fit --data sketches/ --expr sketch
    """
    from pixelreg.data.layouts import scan
    from pixelreg.data.sketch import write_sketches

    listing = scan(folder, layout)
    photos = _chosen(listing, expressions)
    cutter = _cutter(listing, photos, size, locator)
    with progress("drawing") as update:
        done = write_sketches(photos, out, cutter, blur, update)
    count, people = len(done.written), len({photo.person for photo in done.written})
    if as_json:
        problems = [{"path": str(p.path), "reason": p.reason} for p in done.problems]
        give_json({"pairs": count, "folder": str(out), "problems": problems})
        return
    for problem in done.problems:
        give(f"problem      {problem.path}: {problem.reason}")
    say(f"wrote {count} photographs of {people} people, and their sketches, into {out}")


def _chosen(listing: Listing, expressions: Sequence[str]) -> list[Photo]:
    """The photographs of some expressions, or of the one that the layout starts from."""
    from pixelreg.data.expressions import canonical

    names = [canonical(name) for name in expressions]
    for name in names:
        if name not in listing.expressions:
            raise UnknownNameError("expression", name, listing.expressions)
    wanted = names or [listing.source]
    photos = [photo for photo in listing.photos if photo.expression in wanted]
    if not photos:
        known = ", ".join(listing.expressions)
        raise DataError(
            f"{listing.root} shows nobody {listing.source!r}; choose with --expr: {known}"
        )
    return photos


def _cutter(
    listing: Listing, photos: Sequence[Photo], size: int | None, locator: Locator
) -> Cutter | None:
    if size is None:
        return None
    from pixelreg.data.crops import Cutter
    from pixelreg.data.pairs import Pair
    from pixelreg.fitting.recipe import choose_frame

    pairs = [Pair(photo.person, photo.session, photo, photo) for photo in photos]
    frame = choose_frame(listing, pairs, locator)
    say("aligned by the eyes" if frame else "no faces looked for: the centre squares")
    return Cutter(size, frame, locator)
