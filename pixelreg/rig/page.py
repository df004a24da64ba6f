"""The rig as a web page: its tables with the detector's, compared in node, written by `export`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pixelreg import __version__
from pixelreg.errors import UsageError
from pixelreg.export import Exported, Options
from pixelreg.export.measure import Difference, difference
from pixelreg.export.pagefiles import EXAMPLE, Credit, example_picture, licence_text
from pixelreg.export.tables import Packed, pack
from pixelreg.export.web import (
    DETECTOR,
    NO_NODE,
    WebExporter,
    check_output,
    detector_arrays,
    how_to,
    in_node,
    list_of,
    page_files,
    written,
)
from pixelreg.faces.dense import DenseFinder
from pixelreg.faces.locate import Locator
from pixelreg.rig.head import load_mesh
from pixelreg.rig.tables import rig_arrays
from pixelreg.rig.translator import RigTranslator

CREDITS = (
    Credit(
        "The face that moves yours",
        "made from ICT-FaceKit of the USC Institute for Creative Technologies, "
        "https://github.com/ICT-VGL/ICT-FaceKit, changed",
        "MIT",
        "2020 USC Institute for Creative Technologies",
    ),
    Credit(
        "What finds 82 points of a face",
        "trained on the Face Research Lab London Set, bent by ICT-FaceKit's shapes: DeBruine, L., "
        "& Jones, B. (2017), https://doi.org/10.6084/m9.figshare.5047666.v5",
        "CC BY 4.0",
    ),
    DETECTOR,
    EXAMPLE,
)
# What is run to compare: expressions that open the mouth, shut it, move brows and noses.
JOBS = (("happy", 1.0), ("surprised", 1.0), ("disgusted", 0.8))
PAGE = """# {name}

Any expression on any face, by a 3D face's shapes: buttons, sliders of muscles, mixtures.
Made by pixelreg {version}.

{files}

## How to call it

{how}

## Numbers

Learnt numbers: {learnt:,} bytes. {measured}

## Whose it is

The code is under the MIT licence (SPDX-License-Identifier: MIT). What else is in it:

{credits}

{licence}"""


def write(output: Path, options: Options, targets: tuple[str, ...] = ()) -> Exported:
    """Write the rig as a page, after it was run on the picture that it opens with."""
    if targets or options != Options(layout=options.layout):
        raise UsageError("the rig's page has all expressions as they are: it takes --single alone")
    layout = options.layout or WebExporter.layouts[0]
    if layout not in WebExporter.layouts:
        raise UsageError(f"--layout {layout}: --to web has {', '.join(WebExporter.layouts)}")
    check_output(output, layout)
    packed = packed_rig()
    found, ran_by = _compared(packed)
    texts = page_files(packed, CREDITS, output, layout)
    about = PAGE.format(
        name=output.stem,
        version=__version__,
        files="\n".join(f"- `{line.replace(': ', '`: ', 1)}" for line in list_of(texts)),
        how=how_to(texts),
        learnt=len(packed.data),
        measured=_measured(found, ran_by),
        credits="\n".join(f"- {each.what}: {each.whose}; {each.licence}" for each in CREDITS),
        licence=licence_text(CREDITS),
    )
    files = written(texts, about.encode(), output, layout)
    return Exported.of(files, len(packed.data), ran_by, found)


def packed_rig(second_look: bool = False) -> Packed:
    """The head, the landmark cascade and the detector, as ``page/rigmodel.js`` takes them.

    second_look : FaceMesh too, with which the page finds landmarks as `apply` does.
    """
    arrays, values = rig_arrays(load_mesh(), second_look)
    return pack({**arrays, **detector_arrays()}, {**values, "model": {"kind": "rig"}})


def _compared(packed: Packed) -> tuple[Difference | None, str]:
    """The engine in node against the rig, on the picture that the page opens with.

    Landmarks are the cascade's on both sides: a page holds no second finder.
    """
    picture = np.asarray(Image.open(example_picture()).convert("RGB"))
    said = in_node(packed, JOBS, picture[None])
    if said is None:
        return None, NO_NODE
    made = np.frombuffer(said, np.uint8).reshape(len(JOBS), *picture.shape)
    rig = RigTranslator(Locator(detector="bundled"), DenseFinder("cascade"))
    wanted = [np.asarray(rig.translate(picture, target, strength)) for target, strength in JOBS]
    return difference(made, np.stack(wanted)), "run in node"


def _measured(found: Difference | None, ran_by: str) -> str:
    if found is None:
        return f"It was not run: {ran_by}."
    return (
        f"Against `pixelreg apply`, on the picture that it opens with ({ran_by}): "
        f"{found.decibels:.1f} dB, {found.share:.3%} of the numbers off by more than one grey "
        f"level, at most by {found.largest}."
    )
