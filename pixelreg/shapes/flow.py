"""Blendshapes of photographs: the vertices are a coarse lattice that the expression flow moves.

Photographs have no mesh. What stands for the vertices of a face is where each point of a lattice
over the aligned crop comes from: its own place for the neutral face, moved by the optical flow from
target to neutral for the others. The parameter vector of a face is this flow, projected on the
components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import InvalidArrayError, UsageError, need
from pixelreg.models.model import Frame
from pixelreg.pictures.warp import fetch_linear
from pixelreg.regression.flow import training_flows
from pixelreg.shapes.components import FLOW, Blendshapes
from pixelreg.shapes.learning import learn

STEP = 8  # pixels of the crop between two points of the lattice
CHUNK = 16  # pairs whose dense flow is held at once
REACH = 0.95  # of the faces; the flow of some is that of their hair
SMALLEST = 32  # side of a crop that flow can be found in


def lattice(size: int, step: int = STEP) -> Float64:
    """The resting points of a lattice: the middles of ``step`` x ``step`` squares.

    Returns: (n, 2) float64, n = (size / step)², row by row; (x, y) in pixels with centres at i +
    0.5.
    """
    if type(step) is not int or step < 1 or size % step:
        raise UsageError(f"the step must divide the crops' side {size}, and {step!r} does not")
    centres = np.arange(size // step) * step + step / 2
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def flow_lattice(sources: Pixels, targets: Pixels, step: int = STEP) -> Float64:
    """Where in each source the points of a lattice over its target come from.

    sources, targets : (N, S, S, 3) uint8, aligned crops; S is 32 or more.
    step : pixels between two points; it must divide S.

    Returns: (N, n, 2) float64 in pixels of the crop; equal pictures give `lattice` itself. The
    flow is the one that flow models learn from, averaged over each square of the lattice, and
    fades out around the face.
    """
    _check_crops(sources, targets)
    size = sources.shape[1]
    resting = lattice(size, step)
    side = size // step
    need("cv2", "OpenCV", "shapes", "learning blendshapes")  # the extra brings all that it takes
    result = np.empty((len(sources), *resting.shape))
    for first in range(0, len(sources), CHUNK):
        part = slice(first, first + CHUNK)
        flows = training_flows(sources[part] / 255.0, targets[part] / 255.0)
        squares = flows.reshape(-1, side, step, side, step, 2).mean(axis=(2, 4))
        result[part] = resting + squares.reshape(-1, *resting.shape)
    return result


def shapes_of_flow(
    vertices: Float64,
    size: int,
    count: int = 6,
    *,
    sparsity: float = 0.1,
    reach: float = REACH,
    expressions: Sequence[str] = (),
    frame: Frame | None = None,
) -> Blendshapes:
    """Learn components from what `flow_lattice` gave of crops of ``size``; see `learn`.

    ``frame`` says where the eyes stand in the crops, and is kept with the components.
    """
    resting = lattice(size, size // round(vertices.shape[1] ** 0.5))
    shapes = learn(
        vertices, resting, count, sparsity=sparsity, reach=reach, expressions=expressions
    )
    return replace(shapes, kind="flow", size=size, frame=frame)


def flow_parameters(
    shapes: Blendshapes, sources: Pixels, targets: Pixels, clip: bool = True
) -> Float64:
    """The parameter vector of each target face, given the same person's neutral one.

    sources, targets : (N, S, S, 3) uint8, aligned crops of the size that was learnt from.
    clip : as of `Blendshapes.project`.

    Returns: (N, k) float64.
    """
    step = _step(shapes)
    _check_crops(sources, targets)
    if sources.shape[1] != shapes.size:
        raise InvalidArrayError(f"crops must be {shapes.size} pixels wide, not {sources.shape[1]}")
    return shapes.project(flow_lattice(sources, targets, step), clip)


def dense_flow(shapes: Blendshapes, p: ArrayLike) -> Float64:
    """The flow of a parameter vector at every pixel, from the new picture to the neutral one.

    Returns: (S, S, 2) float64 in pixels (x, y), as `pixelreg.pictures.warp` looks pictures up by
    it.
    """
    step = _step(shapes)
    side = shapes.size // step
    moved = (shapes.shape(p) - shapes.mean).reshape(side, side, 2)
    places = (np.arange(shapes.size) + 0.5) / step - 0.5
    return fetch_linear(moved, *np.meshgrid(places, places)).astype(np.float64)


def _step(shapes: Blendshapes) -> int:
    if shapes.kind != FLOW:
        raise InvalidArrayError(f"blendshapes of kind flow are needed, not {shapes.kind}")
    side: int = round(len(shapes.mean) ** 0.5)
    return shapes.size // side


def _check_crops(sources: Pixels, targets: Pixels) -> None:
    for name, crops in (("sources", sources), ("targets", targets)):
        square = crops.ndim == 4 and crops.shape[1] == crops.shape[2] and crops.shape[3] == 3
        if not square or crops.dtype != np.uint8 or not len(crops):
            raise InvalidArrayError(
                f"{name} must be (N, S, S, 3) uint8, not {crops.shape} {crops.dtype}"
            )
    if sources.shape != targets.shape:
        raise InvalidArrayError(f"sources are {sources.shape} but targets {targets.shape}")
    if sources.shape[1] < SMALLEST:
        raise InvalidArrayError(f"crops must be {SMALLEST} x {SMALLEST} or more for flow")
