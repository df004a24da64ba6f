"""The blendshape parameters of every pair, learnt from how its pixels move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pixelreg.arrays import Float64, Pixels
from pixelreg.errors import DataError, UnknownNameError, UsageError
from pixelreg.models.model import Frame
from pixelreg.shapes.components import FLOW, Blendshapes
from pixelreg.shapes.flow import flow_lattice, flow_parameters, lattice, shapes_of_flow
from pixelreg.shapes.learning import explained

POINTS = 16  # of the lattice, each way, at the most


@dataclass(frozen=True, eq=False)
class PairParameters:
    """Parameters p of many pairs, and of their mirror images.

    shapes : the components, learnt from the pairs and their mirror images.
    own : (N, k) float32 on [-1, 1], p of each target picture; that of its neutral one is 0.
    mirrored : (N, k), p of the same pictures mirrored.
    labels : what each target shows, length N.
    explained : the share of all movement that the components carry; None where it was not asked.
    """

    shapes: Blendshapes
    own: Tensor
    mirrored: Tensor
    labels: tuple[str, ...]
    explained: float | None

    @property
    def expressions(self) -> dict[str, tuple[float, ...]]:
        """What each label shows: the mean p of its pairs and of their mirror images."""
        means = {}
        for label in dict.fromkeys(self.labels):
            rows = [k for k, shown in enumerate(self.labels) if shown == label]
            both = torch.cat([self.own[rows], self.mirrored[rows]])
            means[label] = tuple(both.double().mean(0).tolist())
        return means

    def state(self) -> dict[str, Tensor]:
        """All of it that flow and solver computed, for a checkpoint."""
        shapes = self.shapes
        arrays = {"components": shapes.components, "ranges": shapes.ranges}
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return tensors | {"own": self.own, "mirrored": self.mirrored}

    def restored(self, state: Mapping[str, Tensor]) -> PairParameters:
        """The same with what `state` gave; another machine rounds differently."""
        own, mirrored = state["own"], state["mirrored"]
        if own.shape != self.own.shape or mirrored.shape != own.shape:
            raise ValueError("the parameters of other pairs")
        components, ranges = (state[name].numpy() for name in ("components", "ranges"))
        shapes = replace(self.shapes, components=components, ranges=ranges)
        return replace(self, shapes=shapes, own=own, mirrored=mirrored)

    def of(self, sources: Pixels, targets: Pixels, label: str) -> Tensor:
        """p of other people's targets, which show ``label``: (M, k) float32."""
        if self.shapes.kind != FLOW:
            return _by_label(self.shapes, [label] * len(targets))
        found = flow_parameters(self.shapes, sources, targets)
        return torch.from_numpy(found.astype(np.float32))


def learn_parameters(
    sources: Pixels,
    targets: Pixels,
    labels: Sequence[str],
    components: int,
    sparsity: float,
    frame: Frame | None,
) -> PairParameters:
    """Learn components from the flow between pairs, and project the pairs on them.

    The same pictures give the same parameters.

    sources, targets : (N, S, S, 3) uint8, aligned crops.
    labels : what each target shows, length N.
    components : k, at most 2 N.
    sparsity : see `pixelreg.shapes.learning.learn`.
    frame : where the eyes stand.
    """
    size, count = sources.shape[1], len(sources)
    if not count:
        raise DataError("there is no pair to learn blendshapes from")
    step = lattice_step(size)
    vertices = flow_lattice(sources, targets, step)
    both = np.concatenate([vertices, mirrored_lattice(vertices, size)])
    shapes = shapes_of_flow(both, size, components, sparsity=sparsity, frame=frame)
    shapes = replace(shapes, names=tuple(f"K{k}" for k in range(components)))
    p = torch.from_numpy(shapes.project(both).astype(np.float32))
    share = explained(shapes, both, lattice(size, step))
    return PairParameters(shapes, p[:count], p[count:], tuple(labels), share)


def given_parameters(
    shapes: Blendshapes, sources: Pixels, targets: Pixels, labels: Sequence[str]
) -> PairParameters:
    """Parameters of components that were learnt before, such as of meshes.

    Flow of the pictures is projected on components of flow. Meshes and landmarks have nothing that
    a crop could be projected on: there, every picture has its expression's mean parameters, and so
    has its mirror image.

    shapes : of flow, of crops of the same size; or of another kind, which knows all labels.
    sources, targets, labels : as of `learn_parameters`.
    """
    if shapes.kind != FLOW:
        p = _by_label(shapes, labels)
        return PairParameters(shapes, p, p, tuple(labels), None)
    size, count = sources.shape[1], len(sources)
    if shapes.size != size:
        raise UsageError(
            f"the blendshapes are of crops of {shapes.size} pixels, the pictures {size}: "
            f"train with --size {shapes.size}, or learn them with --size {size}"
        )
    step = size // round(len(shapes.mean) ** 0.5)
    vertices = flow_lattice(sources, targets, step)
    both = np.concatenate([vertices, mirrored_lattice(vertices, size)])
    p = torch.from_numpy(shapes.project(both).astype(np.float32))
    share = explained(shapes, both, lattice(size, step))
    return PairParameters(shapes, p[:count], p[count:], tuple(labels), share)


def _by_label(shapes: Blendshapes, labels: Sequence[str]) -> Tensor:
    for label in labels:
        if label not in shapes.expressions:
            raise UnknownNameError(f"expression of the {shapes.kind}", label, shapes.expressions)
    rows = [shapes.expressions[label] for label in labels]
    return torch.tensor(rows, dtype=torch.float32)


def lattice_step(size: int) -> int:
    """Pixels between two points of a lattice that a side can be divided into."""
    return next(step for step in range(max(1, size // POINTS), 0, -1) if size % step == 0)


def mirrored_lattice(vertices: Float64, size: int) -> Float64:
    """What `flow_lattice` gives of mirrored crops, (N, n, 2), but for the flow's own roundings."""
    side = round(vertices.shape[1] ** 0.5)
    rows = vertices.reshape(-1, side, side, 2)[:, :, ::-1]
    turned = np.stack([size - rows[..., 0], rows[..., 1]], axis=-1)
    return turned.reshape(vertices.shape)
