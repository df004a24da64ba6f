"""``pixelreg data``: list, draw and download training pictures."""

from __future__ import annotations

from pathlib import Path

import click

from pixelreg.commands import options
from pixelreg.commands.console import give, give_json, progress, say
from pixelreg.commands.main import LazyGroup
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair, targets
from pixelreg.data.photos import Listing

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
    "sketch": (
        "pixelreg.commands.data_sketch:sketch",
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
@options.as_json
def list_(folder: Path, layout: str, as_json: bool) -> None:
    """Show what FOLDER holds: layout, people, expressions, pairs, problems.

    \b
    Example:
      pixelreg data list KDEF/
    """
    listing = scan(folder, layout)
    pairings = {}
    if listing.source in listing.expressions:
        names = targets(listing, listing.source)
        pairings = {name: pair(listing, listing.source, name) for name in names}
    facts = {
        "layout": listing.layout,
        "people": len(listing.people),
        "photos": len(listing.photos),
        "expressions": listing.expressions,
        "source": listing.source,
        "pairs": {name: len(pairing.pairs) for name, pairing in pairings.items()},
        "unpaired": {name: len(p.unpaired) for name, p in pairings.items() if p.unpaired},
        "left_out": dict(listing.skipped),
        "problems": [{"path": str(p.path), "reason": p.reason} for p in listing.problems],
    }
    if as_json:
        give_json(facts)
    else:
        _print(listing, facts)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--people",
    type=click.IntRange(1, 198),
    default=40,
    show_default=True,
    help="How many people to draw.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 2048),
    default=256,
    show_default=True,
    help="Side of the pictures in pixels.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Takes of each person; the second moves a little.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds, other people.")
def synthesise(folder: Path, people: int, size: int, sessions: int, seed: int) -> None:
    """Draw faces with the seven expressions of KDEF into FOLDER, in the KDEF layout.

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


def _print(listing: Listing, facts: dict[str, object]) -> None:
    give(f"layout       {listing.layout}")
    give(f"people       {len(listing.people)}")
    give(f"photos       {len(listing.photos)}")
    for name, count in listing.expressions.items():
        pairs = facts["pairs"]
        assert isinstance(pairs, dict)
        note = "start" if name == listing.source else f"{pairs.get(name, 0)} pairs"
        give(f"  {name.ljust(14)} {count} photos, {note}")
    for reason, count in listing.skipped:
        give(f"left out     {count}: {reason}")
    for problem in listing.problems:
        give(f"problem      {problem.path}: {problem.reason}")
