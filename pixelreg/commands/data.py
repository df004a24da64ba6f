"""``pixelreg data``: list, draw, pose, sketch and download training pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixelreg.commands import options
from pixelreg.commands.console import problem_facts, problem_lines, progress, report, say, summed_up
from pixelreg.commands.main import LazyGroup
from pixelreg.data.expressions import canonical
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import Pair, no_pairs, pair, targets
from pixelreg.data.photos import Listing, Photo
from pixelreg.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from pixelreg.data.crops import Cutter
    from pixelreg.faces.locate import Locator

# As in the main command: portraits' masks are known as a string only.
COMMANDS = {
    "download": (
        "pixelreg.commands.data:download",
        "Fetch the public set NAME (london) into FOLDER, checking every file.",
    ),
    "list": (
        "pixelreg.commands.data:list_",
        "Show what FOLDER holds: layout, people, expressions, pairs, problems.",
    ),
    "masks": (
        "deep_onnx.commands.masks:masks",
        "Make portraits and masks of eleven labels from FOLDER, and write them into OUT.",
    ),
    "pose": (
        "pixelreg.commands.data:pose",
        "Give the faces in neutral PHOTOS every expression, and write pairs in the KDEF layout.",
    ),
    "sketch": (
        "pixelreg.commands.data:sketch",
        "Draw pencil sketches of the photographs in FOLDER, and write pairs into OUT.",
    ),
    "synthesise": (
        "pixelreg.commands.data:synthesise",
        "Draw faces with the seven expressions of KDEF into FOLDER, in the KDEF layout.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """List, draw or download training pictures."""


@click.command("list")
@click.argument("folder", type=options.FOLDER)
@options.layout
@options.source
@options.as_json
def list_(
    folder: Path, layout: str, views: tuple[str, ...], source: str | None, as_json: bool
) -> None:
    """Show what FOLDER holds: layout, people, expressions, pairs, problems.

    Without any pair it fails, and says why and what to do, unless the layout is of single pictures.

    \b
    Example:
      pixelreg data list KDEF/
    """
    listing = scan(folder, layout, views=views)
    start = canonical(source or listing.source)
    pairings = {}
    if start in listing.expressions:
        names = targets(listing, start)
        pairings = {name: pair(listing, start, name) for name in names}
    facts = {
        "layout": listing.layout,
        "people": len(listing.people),
        "photos": len(listing.photos),
        "expressions": listing.expressions,
        "source": start,
        "pairs": {name: len(pairing.pairs) for name, pairing in pairings.items()},
        "unpaired": {name: len(p.unpaired) for name, p in pairings.items() if p.unpaired},
        "left_out": dict(listing.skipped),
        "problems": problem_facts(listing.problems),
    }
    text = "\n".join(_listed(listing, start, facts["pairs"]))
    failed = listing.paired and not pairings
    if failed and not as_json:
        say(text)
    else:
        report(facts, as_json, text)
    if failed:
        raise no_pairs(listing, start)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.integer("--people", 1, 198, 40, "How many people to draw.")
@options.integer("--size", 16, 2048, 256, "Side of the pictures in pixels.")
@options.integer("--sessions", 1, 2, 1, "Takes of each person; the second moves a little.")
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds, other people.")
def synthesise(folder: Path, people: int, size: int, sessions: int, seed: int) -> None:
    """Draw faces with the seven expressions of KDEF into FOLDER, in the KDEF layout.

    Each comes with its landmarks (.pts), as detectors are made for photographs.

    \b
    Example:
      pixelreg data synthesise drawn/ --people 60
    """
    from pixelreg.data.synthetic import synthesise as draw

    with progress("drawing") as update:
        count = draw(folder, people, size=size, seed=seed, sessions=sessions, progress=update)
    say(f"wrote {count} pictures of {people} people into {folder}")


@click.command()
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", help="Fetch only paths like this, such as 'neutral_front/*'.")
@click.option("--base-url", help="Fetch from another address, such as a mirror.")
def download(name: str, folder: Path, only: str | None, base_url: str | None) -> None:
    """Fetch the public set NAME (london) into FOLDER, checking every file.

    \b
    Example:
      pixelreg data download london london/
    """
    from pixelreg.data.download import data_source
    from pixelreg.data.download import download as fetch

    source = data_source(name)
    files = fetch(name, folder, base_url=base_url, only=only, progress=True)
    say(f"{len(files)} files in {folder}")
    say(f"{source.title}, {source.licence}. {source.attribution}")


@click.command()
@click.argument("photos", nargs=-1, required=True, type=options.FOLDER)
@options.layout
@click.option(
    "--expr",
    "expressions",
    multiple=True,
    default=["all"],
    show_default=True,
    help="Expression to give; may be repeated; all for the seven.",
)
@options.integer("--size", 32, 2048, 512, "Side of the pictures in pixels.")
@click.option(
    "--strength",
    type=click.FloatRange(0.0, 10.0),
    default=1.0,
    show_default=True,
    help="How much of each expression.",
)
@click.option(
    "--jitter",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="How far amounts may lie from the strength, as a share of it, by chance.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds, other amounts.")
@options.output(
    click.Path(file_okay=False, path_type=Path),  # type: ignore[type-var,unused-ignore]
    "posed",
    "Folder to write.",
)
@options.as_json
@options.locating
def pose(
    photos: tuple[Path, ...],
    layout: str,
    views: tuple[str, ...],
    expressions: tuple[str, ...],
    size: int,
    strength: float,
    jitter: float,
    seed: int,
    output: Path,
    as_json: bool,
    locator: Locator,
) -> None:
    """Give the faces in neutral PHOTOS every expression, and write pairs in the KDEF layout.

    PHOTOS are files and folders. Of a folder with a known layout the neutral photographs are taken,
    of another all pictures, each as a person of its own. Faces are cut out upright; the landmarks
    that are written beside them let fit and train align both pictures of a pair alike. Photographs
    that cannot be used are left out and named at the end.

    \b
    Examples:
      pixelreg data pose photos/ --expr all -o set/
      pixelreg fit --data set/ --model rr
      pixelreg data pose me.jpg --expr happy --expr sad --jitter 0.3
    """
    from pixelreg.rig.posing import EXPRESSIONS, Poses, find_photos, write_poses
    from pixelreg.rig.translator import RigTranslator

    names = EXPRESSIONS if "all" in expressions else expressions
    poses = Poses(names, size, strength, jitter, seed)
    chosen: list[Photo] = []
    for path in photos:
        found, how = find_photos(path, layout, views)
        chosen += [replace(p, person=f"{path}: {p.person}") for p in found] if photos[1:] else found
        if how:
            say(f"{path}: {how}")
    with progress("posing") as update:
        done = write_poses(chosen, output, RigTranslator(locator), poses, update)
    facts = {
        "photos": len(done.photos),
        "pictures": done.pictures,
        "folder": str(output),
        "problems": problem_facts(done.problems),
    }
    written = f"wrote {done.pictures} pictures of {len(done.photos)} photographs into {output}"
    lost = [f"problem      {line}" for line in summed_up(done.problems)]
    report(facts, as_json, "\n".join(lost), written)


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
    views: tuple[str, ...],
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
    from pixelreg.data.sketch import write_sketches

    listing = scan(folder, layout, pairs=False, views=views)
    photos = _chosen(listing, expressions)
    cutter = _cutter(listing, photos, size, locator)
    with progress("drawing") as update:
        done = write_sketches(photos, out, cutter, blur, update)
    count, people = len(done.written), len({photo.person for photo in done.written})
    facts = {"pairs": count, "folder": str(out), "problems": problem_facts(done.problems)}
    written = f"wrote {count} photographs of {people} people, and their sketches, into {out}"
    lost = [f"problem      {line}" for line in summed_up(done.problems)]
    report(facts, as_json, "\n".join(lost), written)


def _listed(listing: Listing, start: str, pairs: Any) -> Iterator[str]:
    yield f"layout       {listing.layout}"
    yield f"people       {len(listing.people)}"
    yield f"photos       {len(listing.photos)}"
    for name, count in listing.expressions.items():
        note = f"{pairs.get(name, 0)} pairs"
        if not listing.paired:
            note = "without partners"
        elif name == start:
            note = "start"
        yield f"  {name.ljust(14)} {count} photos, {note}"
    for reason, count in listing.skipped:
        yield f"left out     {count}: {reason}"
    yield from problem_lines(listing.problems)


def _chosen(listing: Listing, expressions: Sequence[str]) -> list[Photo]:
    """The photographs of some expressions, or of the one that the layout starts from."""
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
    from pixelreg.fitting.recipe import choose_frame

    pairs = [Pair(photo.person, photo.session, photo, photo) for photo in photos]
    frame = choose_frame(listing, pairs, locator)
    say("aligned by the eyes" if frame else "no faces looked for: the centre squares")
    return Cutter(size, frame, locator)
