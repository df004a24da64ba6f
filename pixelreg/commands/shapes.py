"""``pixelreg blendshape``: sparse components of expressions from a folder."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pixelreg import __version__
from pixelreg.arrays import Pixels
from pixelreg.commands import options
from pixelreg.commands.console import progress, report, report_problems, say, show_found
from pixelreg.data.crops import load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import Pairing
from pixelreg.data.photos import Listing
from pixelreg.errors import UsageError
from pixelreg.evaluation.comparison import format_table
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import choose_frame, choose_pairings, provenance
from pixelreg.models.model import Frame, Provenance
from pixelreg.pictures.image import Picture, write_file
from pixelreg.shapes.components import Blendshapes
from pixelreg.shapes.file import save
from pixelreg.shapes.flow import flow_lattice, lattice, shapes_of_flow
from pixelreg.shapes.folders import (
    Shapes,
    mesh_files,
    read_landmark_pairs,
    read_mesh_folder,
)
from pixelreg.shapes.learning import explained, learn
from pixelreg.shapes.picture import component_sheet


@dataclass(frozen=True, eq=False)
class Learnt:
    """Components, and what is told of them.

    Attributes
    ----------
    shapes : the components.
    share : the share of the squared movement that they explain.
    face : the first person's neutral crop, (S, S, 3) uint8; None where there are no photographs.
    """

    shapes: Blendshapes
    share: float
    face: Pixels | None = None


@click.command()
@click.argument("data", type=options.FOLDER)
@click.option(
    "-o",
    "--output",
    type=options.Output(".safetensors", "the file of components"),
    default="blendshapes.safetensors",
    show_default=True,
    help="File of the components.",
)
@click.option(
    "--of",
    "kind",
    type=click.Choice(["auto", "flow", "landmarks", "mesh"]),
    default="auto",
    show_default=True,
    help="Learn from the flow between photographs, from the .tem landmarks beside them, or from "
    "OBJ and PLY meshes; auto takes meshes where there are any, else flow.",
)
@click.option(
    "--components",
    type=click.IntRange(1, 1000),
    default=6,
    show_default=True,
    help="How many components.",
)
@click.option(
    "--sparsity",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="How few vertices a component moves: 0 moves all of them.",
)
@click.option(
    "--picture",
    type=options.Output(".png", "the picture"),
    help="Write a sheet of every component at -1, 0 and 1 to this PNG.",
)
@click.option(
    "--on-face",
    is_flag=True,
    help="Show the flow of --picture on the first person's neutral face instead of drawing it.",
)
@options.layout
@options.source
@options.expressions
@click.option(
    "--size",
    type=click.IntRange(32, 2048),
    default=128,
    show_default=True,
    help="Side of the crops in pixels, for flow and landmarks.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Pixels between two points of the lattice, for flow; it must divide the size.",
)
@options.locating
@options.as_json
def blendshape(
    data: Path,
    output: Path,
    kind: str,
    components: int,
    sparsity: float,
    picture: Path | None,
    on_face: bool,
    layout: str,
    source: str | None,
    expressions: tuple[str, ...],
    size: int,
    step: int,
    locator: Locator,
    as_json: bool,
) -> None:
    """Learn sparse components of expressions from DATA.

    DATA is a folder of photographs in any layout that pixelreg fit takes, or a folder of meshes
    that correspond vertex by vertex: neutral/NAME.obj with happy/NAME.obj. Photographs have no
    mesh: a coarse lattice that the optical flow from target to neutral moves stands for it.

    \b
    Examples:
      pixelreg blendshape london/ -o smile.safetensors --picture sheet.png
      pixelreg blendshape KDEF/ --components 12 --picture sheet.png --on-face
      pixelreg blendshape scans/ --of mesh --sparsity 0.2 -o scans.safetensors
    """
    if kind == "auto":
        kind = "mesh" if mesh_files(data) else "flow"
    if on_face and (picture is None or kind != "flow"):
        raise UsageError("--on-face shows the --picture of flow: give --picture, and photographs")
    if kind == "mesh":
        learnt = _from_meshes(data, source or "neutral", expressions, components, sparsity)
    else:
        listing = scan(data, layout)
        pairings = choose_pairings(listing, source or listing.source, expressions)
        show_found(listing, pairings)
        if kind == "landmarks":
            learnt = _from_landmarks(listing, pairings, size, components, sparsity)
        else:
            learnt = _from_flow(listing, pairings, locator, size, step, components, sparsity)
    size_bytes = save(learnt.shapes, output)
    if picture is not None:
        sheet = component_sheet(learnt.shapes, face=learnt.face if on_face else None)
        write_file(Picture(sheet), picture)
    _report(learnt, output, size_bytes, picture, as_json)


def _from_meshes(
    folder: Path, source: str, expressions: Sequence[str], count: int, sparsity: float
) -> Learnt:
    found = read_mesh_folder(folder, source, expressions)
    say(f"{folder}: {len(found.people)} meshes of {len(set(found.people))} people")
    origin = Provenance(
        folder.resolve().name,
        len(set(found.people)),
        len(found.people),
        pixelreg_version=__version__,
        date=datetime.date.today().isoformat(),
    )
    shapes, share = _components(found, count, sparsity)
    return Learnt(replace(shapes, faces=found.faces, provenance=origin), share)


def _from_landmarks(
    listing: Listing, pairings: dict[str, Pairing], size: int, count: int, sparsity: float
) -> Learnt:
    pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
    shapes, share = _components(read_landmark_pairs(pairs, Frame(), size), count, sparsity)
    origin = provenance(listing, pairs)
    return Learnt(
        replace(shapes, kind="landmarks", size=size, frame=Frame(), provenance=origin), share
    )


def _components(found: Shapes, count: int, sparsity: float) -> tuple[Blendshapes, float]:
    shapes = learn(
        found.vertices, found.neutral, count, sparsity=sparsity, expressions=found.expressions
    )
    return shapes, explained(shapes, found.vertices, found.neutral)


def _from_flow(
    listing: Listing,
    pairings: dict[str, Pairing],
    locator: Locator,
    size: int,
    step: int,
    count: int,
    sparsity: float,
) -> Learnt:
    resting = lattice(size, step)  # a step that does not fit must not wait for the pictures
    pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
    frame = choose_frame(listing, pairs, locator)
    with progress("reading") as update:
        stack = load_stack(pairs, size, frame, locator, update)
    report_problems(stack.problems)
    say("finding the flow")
    vertices = flow_lattice(stack.sources, stack.targets, step)
    say("learning the components")
    expressions = [pair.target.expression for pair in stack.pairs]
    shapes = shapes_of_flow(
        vertices, size, count, sparsity=sparsity, expressions=expressions, frame=frame
    )
    shapes = replace(shapes, provenance=provenance(listing, stack.pairs))
    return Learnt(shapes, explained(shapes, vertices, resting), stack.sources[0])


def _report(
    learnt: Learnt, output: Path, size_bytes: int, picture: Path | None, as_json: bool
) -> None:
    """What each component moves on stdout, what was written on stderr; or all as JSON."""
    shapes = learnt.shapes
    facts = {
        "blendshapes": str(output),
        "bytes": size_bytes,
        "picture": None if picture is None else str(picture),
        "kind": shapes.kind,
        "vertices": len(shapes.mean),
        "explained": learnt.share,
        "ranges": dict(zip(shapes.names, shapes.ranges.tolist(), strict=True)),
        "expressions": {name: list(p) for name, p in shapes.expressions.items()},
    }
    moved = (shapes.components != 0).any(axis=2).mean(axis=1)
    head = ("component", "reach", "vertices moved", *(f"mean p, {e}" for e in shapes.expressions))
    rows = [
        (name, f"{reach:.3g}", f"{part:.0%}", *(f"{p[k]:.2f}" for p in shapes.expressions.values()))
        for k, (name, reach, part) in enumerate(
            zip(shapes.names, shapes.ranges, moved, strict=True)
        )
    ]
    notes = [
        f"{shapes.count} components explain {learnt.share:.1%} of the squared movement",
        f"wrote {output} ({size_bytes / 1024:.0f} KiB)",
        *([] if picture is None else [f"wrote {picture}"]),
    ]
    report(facts, as_json, format_table([head, *rows]), *notes)
