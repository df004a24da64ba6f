"""The 3D face that photographs are moved by: half a mesh, expression shapes, teeth; stored whole.

Made from the ICT-FaceKit's face (MIT, see ``head.LICENSE``) by ``examples/make_head.py``. Lengths
are in cm, x to the right of the picture (the person's left), y up, z towards the viewer.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Floats
from pixelreg.errors import ModelFileError
from pixelreg.models import store

HEAD = Path(__file__).parent / "head.safetensors.xz"
FORMAT = store.Format("pixelreg-head", "1", "a head of the rig")
STEP = 2e-3  # cm between stored positions
NEEDED = 20  # shapes of a half that expressions are made of
MIRROR = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True, eq=False)
class Head:
    """The right half of a face as the picture shows it, from which the other half is mirrored.

    vertices : (3, h) int32 in steps of `STEP` cm, x >= 0.
    triangles : (3, t) int32, of this half alone: the first corner less that of the triangle before,
        and how far the two others' numbers are from it, which packs best.
    names : of the shapes; those of one side bear no ``_L`` or ``Left``.
    shapes : (s, 2, 3, h) int8: what a shape does to its own half, and to the other one, mirrored.
        A shape of both sides does the same to both.
    scales : (s,) float32, cm of one step of each shape.
    sources : (h,) int32, the vertex where each one takes its colour from: itself, or for a hidden
        one the nearest along the mesh that can be seen.
    seen : (h,) uint8, 1 where a vertex can be seen from the front.
    firm : (h,) uint8, 255 on the face, less on the skirt around it where motion fades out.
    lid : (l,) int32, the vertices around an eye, in order.
    lips, mouth : int32, the vertices of the lips' outer and inner borders that landmarks mark.
    anchors : (a, 2) int32, the vertex and the side (0 own, 1 mirrored) that landmarks tell of.
    mixing : (a, 82) int8, 60ths of each landmark in an anchor's place.
    people : (m, a, 3) int8 how people differ, at the anchors; hundredths of a cm a deviation.
    usual : (a, 2) int8, hundredths of a cm that anchors of neutral photographs lie off the head's.
    levels : (s,) float32, the weight of each shape that neutral photographs seem to show.
    teeth : (2, H, W, 3) uint8, upper and lower: tooth, gum, cover.
    jaw : (3,) float32 cm, how far an open jaw takes the lower teeth.
    """

    vertices: Array
    triangles: Array
    names: tuple[str, ...]
    shapes: Array
    scales: Array
    sources: Array
    seen: Array
    firm: Array
    lid: Array
    lips: Array
    mouth: Array
    anchors: Array
    mixing: Array
    people: Array
    usual: Array
    levels: Array
    teeth: Array
    jaw: Array


TENSORS = tuple(n for n in Head.__dataclass_fields__ if n != "names")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Both halves of a `Head`, ready for use; n vertices, t triangles.

    rest : (n, 3) float32 cm.
    """

    head: Head
    rest: Floats = field(init=False)

    def __post_init__(self) -> None:
        half = self.head.vertices.T.astype(np.float32) * np.float32(STEP)
        object.__setattr__(self, "rest", np.concatenate([half, half[self.twins] * MIRROR]))

    @cached_property
    def twins(self) -> Array:
        """The vertices of the half that have a mirrored one; those of the middle have none."""
        return np.flatnonzero(self.head.vertices[0] > 0)

    @cached_property
    def mirrored(self) -> Array:
        """(h,) the number of each vertex' mirrored one."""
        numbers = np.arange(self.head.vertices.shape[1])
        numbers[self.twins] = len(numbers) + np.arange(len(self.twins))
        return numbers

    @cached_property
    def triangles(self) -> Array:
        """(t, 3) int32."""
        steps = self.head.triangles
        first = np.cumsum(steps[0])
        half = np.stack([first, first + steps[1], first + steps[2]], axis=1)
        return np.concatenate([half, self.mirrored[half][:, ::-1]]).astype(np.int32)

    @cached_property
    def sources(self) -> Array:
        """(n,) the vertex where each one takes its colour from."""
        half = self.head.sources
        return np.concatenate([half, self.mirrored[half][self.twins]])

    @cached_property
    def seen(self) -> Array:
        """(n,) bool."""
        return self.both(self.head.seen) > 0

    @cached_property
    def firm(self) -> Floats:
        """(n,) float32, 1 on the face."""
        return self.both(self.head.firm) / np.float32(255)

    @cached_property
    def lids(self) -> tuple[Array, Array]:
        """The vertices around the eye on the picture's left, and around the other."""
        return self.mirrored[self.head.lid], self.head.lid

    @cached_property
    def mouth(self) -> Array:
        """The vertices of the inner lips that landmarks mark, both sides."""
        return np.concatenate([self.head.mouth, self.mirrored[self.head.mouth]])

    @cached_property
    def inner_lips(self) -> tuple[Array, Array]:
        """Vertices of the upper inner lip, and those of the lower one that touch them."""
        middle, aside, _, below, under = self.head.mouth
        upper, lower = np.array([middle, aside]), np.array([under, below])
        both = np.concatenate
        return both([upper, self.mirrored[upper]]), both([lower, self.mirrored[lower]])

    @cached_property
    def anchors(self) -> Array:
        """(a,) the vertices that landmarks tell of."""
        vertex, side = self.head.anchors.T
        return np.where(side == 1, self.mirrored[vertex], vertex)

    @cached_property
    def shapes(self) -> Mapping[str, Floats]:
        """What each shape moves, (n, 3) float32 cm, by its whole name."""
        found = {}
        for name, steps, scale in zip(
            self.head.names, self.head.shapes, self.head.scales, strict=True
        ):
            own, other = (steps.astype(np.float32) * scale).transpose(0, 2, 1)
            for side, (here, there) in _sides(name, own, other).items():
                found[side] = np.concatenate([here, there[self.twins] * MIRROR])
        return found

    @cached_property
    def levels(self) -> Mapping[str, float]:
        """`Head.levels` by whole names."""
        found = {}
        for name, level in zip(self.head.names, self.head.levels.tolist(), strict=True):
            found.update(dict.fromkeys(_sides(name, self.rest, self.rest), level))
        return found

    def both(self, half: Array) -> Array:
        """Values of the half for both."""
        return np.concatenate([half, half[self.twins]])

    def moved(self, weights: Mapping[str, float]) -> Floats:
        """(n, 3) float32 cm, how far shapes at these weights take every vertex."""
        steps = np.zeros_like(self.rest)
        for name, weight in weights.items():
            if weight:
                steps += np.float32(weight) * self.shapes[name]
        return steps


def unsided(name: str) -> str:
    """The name of a shape without its side, such as ``mouthSmile`` of ``mouthSmile_L``."""
    return name.removesuffix("_L").removesuffix("_R")


def _sides(name: str, own: Floats, other: Floats) -> dict[str, tuple[Floats, Floats]]:
    if name in ("jaw", "mouth"):
        return {name + "Left": (own, other), name + "Right": (other, own)}
    if name.endswith("_"):
        return {name + "L": (own, other), name + "R": (other, own)}
    return {name: (own, own)}


def load_mesh(path: Path | None = None) -> Mesh:
    """The head of a file, or the one that comes with pixelreg, both halves."""
    file = HEAD if path is None else path
    try:
        plain = lzma.decompress(file.read_bytes())
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ModelFileError(f"{file} cannot be read as a head of the rig: {error}") from error
    return Mesh(store.read_as(plain, FORMAT, _assemble, file.name))


def _assemble(values: dict[str, Any], tensors: dict[str, Array]) -> Head:
    head = Head(names=tuple(values["names"]), **{name: tensors[name] for name in TENSORS})
    count = head.vertices.shape[1]
    first = np.cumsum(head.triangles[0])
    corners = np.concatenate([first, first + head.triangles[1], first + head.triangles[2]])
    vertices = (corners, head.sources, head.lid, head.lips, head.mouth, head.anchors[:, 0])
    if any(part.min() < 0 or part.max() >= count for part in vertices):
        raise ValueError("it names vertices that it does not have")
    if head.shapes.shape != (len(head.names), 2, 3, count) or len(set(head.names)) < NEEDED:
        raise ValueError("its shapes do not fit its vertices and names")
    if not all(np.isfinite(part).all() for part in (head.scales, head.levels, head.jaw)):
        raise ValueError("it holds numbers that are not finite")
    if not {"jawOpen", "mouthSmile_", "browInnerUp_"} <= set(head.names):
        raise ValueError("it lacks shapes that expressions need")
    return head
