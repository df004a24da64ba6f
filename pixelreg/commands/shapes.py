"""``pixelreg blendshape``: sparse components of expressions from a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from pixelreg import __version__
from pixelreg.arrays import Float64, Pixels
from pixelreg.commands import options
from pixelreg.commands.console import progress, report, report_problems, say, show_found
from pixelreg.data.crops import load_stack
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Listing
from pixelreg.errors import UsageError
from pixelreg.evaluation.comparison import format_table
from pixelreg.faces.locate import Locator
from pixelreg.fitting.recipe import choose_frame, choose_pairings, provenance
from pixelreg.models.model import Frame, Provenance, made_on
from pixelreg.pictures.image import Picture, write_file
from pixelreg.shapes.components import FLOW, LANDMARKS, MESH, Blendshapes
from pixelreg.shapes.file import save
from pixelreg.shapes.flow import REACH, flow_lattice, lattice
from pixelreg.shapes.folders import mesh_files, read_landmark_pairs, read_mesh_folder
from pixelreg.shapes.learning import explained, learn
from pixelreg.shapes.picture import component_sheet


@dataclass(frozen=True, eq=False)
class Found:
    """What components are learnt from.

    vertices : (N, n, d) float64, the shapes.
    neutral : (N, n, d) float64, each one's person at rest; or (n, d), all of them.
    expressions : what each shows, length N.
    reach : see `pixelreg.shapes.learning.learn`.
    face : the first person's neutral crop, (S, S, 3) uint8; None where there are no photographs.
    """

    vertices: Float64
    neutral: Float64
    expressions: Sequence[str]
    traits: Mapping[str, Any]
    reach: float = 1.0
    face: Pixels | None = None


@click.command()
@click.argument("data", type=options.FOLDER)
@options.output(
    options.Output(".safetensors", "the file of components"),
    "blendshapes.safetensors",
    "File of the components.",
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
@options.integer("--components", 1, 1000, 6, "How many components.")
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
@options.integer("--size", 32, 2048, 128, "Side of the crops in pixels, for flow and landmarks.")
@options.integer(
    "--step",
    1,
    256,
    8,
    "Pixels between two points of the lattice, for flow; it must divide the size.",
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
    views: tuple[str, ...],
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
    if on_face and (picture is None or kind != FLOW):
        raise UsageError("--on-face shows the --picture of flow: give --picture, and photographs")
    if kind == MESH:
        found = _meshes(data, source or "neutral", expressions)
    else:
        listing = scan(data, layout, views=views)
        pairings = choose_pairings(listing, source or listing.source, expressions)
        show_found(listing, pairings)
        pairs = [pair for pairing in pairings.values() for pair in pairing.pairs]
        if kind == LANDMARKS:
            found = _landmarks(listing, pairs, size)
        else:
            found = _flow(listing, pairs, locator, size, step)
    learnt = learn(
        found.vertices,
        found.neutral,
        components,
        sparsity=sparsity,
        reach=found.reach,
        expressions=found.expressions,
    )
    shapes = replace(learnt, **found.traits)
    share = explained(shapes, found.vertices, found.neutral)
    size_bytes = save(shapes, output)
    if picture is not None:
        sheet = component_sheet(shapes, face=found.face if on_face else None)
        write_file(Picture(sheet), picture)
    _report(shapes, share, output, size_bytes, picture, as_json)


def _meshes(folder: Path, source: str, expressions: Sequence[str]) -> Found:
    found = read_mesh_folder(folder, source, expressions)
    people = len(set(found.people))
    say(f"{folder}: {len(found.people)} meshes of {people} people")
    origin = Provenance(
        folder.resolve().name,
        people,
        len(found.people),
        pixelreg_version=__version__,
        date=made_on(),
    )
    traits = {"faces": found.faces, "provenance": origin}
    return Found(found.vertices, found.neutral, found.expressions, traits)


def _landmarks(listing: Listing, pairs: Sequence[Pair], size: int) -> Found:
    found = read_landmark_pairs(pairs, Frame(), size)
    traits = {"kind": "landmarks", "size": size, "frame": Frame()}
    traits["provenance"] = provenance(listing, pairs)
    return Found(found.vertices, found.neutral, found.expressions, traits)


def _flow(listing: Listing, pairs: Sequence[Pair], locator: Locator, size: int, step: int) -> Found:
    resting = lattice(size, step)  # a step that does not fit must not wait for the pictures
    frame = choose_frame(listing, pairs, locator)
    with progress("reading") as update:
        stack = load_stack(pairs, size, frame, locator, update)
    report_problems(stack.problems, len(pairs))
    say("finding the flow")
    vertices = flow_lattice(stack.sources, stack.targets, step)
    say("learning the components")
    expressions = [pair.target.expression for pair in stack.pairs]
    traits = {"kind": "flow", "size": size, "frame": frame}
    traits["provenance"] = provenance(listing, stack.pairs)
    return Found(vertices, resting, expressions, traits, REACH, stack.sources[0])


def _report(
    shapes: Blendshapes,
    share: float,
    output: Path,
    size_bytes: int,
    picture: Path | None,
    as_json: bool,
) -> None:
    """What each component moves on stdout, what was written on stderr; or all as JSON."""
    facts = {
        "blendshapes": str(output),
        "bytes": size_bytes,
        "picture": None if picture is None else str(picture),
        "kind": shapes.kind,
        "vertices": len(shapes.mean),
        "explained": share,
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
        f"{shapes.count} components explain {share:.1%} of the squared movement",
        f"wrote {output} ({size_bytes / 1024:.0f} KiB)",
        *([] if picture is None else [f"wrote {picture}"]),
    ]
    report(facts, as_json, format_table([head, *rows]), *notes)
