"""FaceMesh in NumPy: 468 points by a small network, and a linear map from them to the 82.

The network is MediaPipe's ``face_landmark`` (Kartynnik et al., "Real-time Facial Surface Geometry
from Monocular Video on Mobile GPUs", 2019), changed: its weights are rounded to int8. Its licence
and what was changed lie beside the weights, which ``examples/convert_facemesh.py`` makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pixelreg.arrays import Array, Float64, Floats, Pixels
from pixelreg.errors import FaceError
from pixelreg.faces.align import Similarity, crop
from pixelreg.faces.dense import PARTS, DenseFace, mirror, of_two_looks
from pixelreg.faces.dense import POINTS as POINTS_82
from pixelreg.faces.landmarks import Face
from pixelreg.models import store

FORMAT = store.Format("pixelreg-facemesh", "1", "a FaceMesh network")
SIDE = 192  # pixels of what the network looks at
POINTS = 468
# Steps of the blocks, and of those of both heads: the mesh, and whether there is a face.
BODY = (1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1)
HEADS: Mapping[str, tuple[int, ...]] = {"mesh": (2, 1, 1), "flag": (2,)}
# Where the first look is: its middle and its side, in eye distances from the middle of the eyes.
FIRST_MIDDLE, FIRST_SIDE = 0.45, 4.0
AT_ONCE = 1 << 14  # values that a convolution sums at once, so that they stay in the cache
AROUND = 1.5  # the side of later looks, in sides of the mesh; as MediaPipe has it
# Corners of the eye on the picture's left, and of the other: the mesh's own frame.
CORNERS = ((33, 133), (362, 263))
# The same among the 82, and the chin.
EYES = tuple(tuple(POINTS_82.index(n) for n in pair) for pair in ((18, 22), (23, 27)))
CHIN = POINTS_82.index(129)


class Block(NamedTuple):
    """One residual block: a depthwise 3 x 3 convolution, then one over channels.

    deep : (3, 3, C) float32. wide : (C, D) float32. offset : (D,) float32, of both. slope : (D,),
    of PReLU.
    """

    deep: Floats
    wide: Floats
    offset: Floats
    slope: Floats

    def __call__(self, x: Floats, step: int, loops: Any = None) -> Floats:
        """(H, W, C) -> (H / step, W / step, D)."""
        y: Floats = _depthwise(x, self.deep, step, loops) @ self.wide
        if loops is not None:
            loops.finish(y, self.offset, x, step, self.slope)
            return y
        if step > 1:
            x = np.maximum(
                np.maximum(x[::2, ::2], x[1::2, ::2]), np.maximum(x[::2, 1::2], x[1::2, 1::2])
            )
        _add(y, self.offset)
        y[..., : x.shape[2]] += x
        return _prelu(y, self.slope)


class Dense(NamedTuple):
    """A convolution as a product: ``weight`` (K, D), ``offset`` (D,) and ``slope`` (D,) or (0,)."""

    weight: Floats
    offset: Floats
    slope: Floats

    def __call__(self, x: Floats) -> Floats:
        """(..., K) -> (..., D)."""
        y = x @ self.weight
        _add(y, self.offset)
        return _prelu(y, self.slope) if self.slope.size else y


class Head(NamedTuple):
    """Blocks, fewer channels, one more block, and a product over all that is left."""

    blocks: Sequence[Block]
    narrow: Dense
    block: Block
    last: Dense

    def __call__(self, x: Floats, steps: Sequence[int], loops: Any = None) -> Floats:
        """(6, 6, C) -> (D,)."""
        for block, step in zip(self.blocks, steps, strict=True):
            x = block(x, step, loops)
        return self.last(self.block(self.narrow(x), 1, loops).reshape(-1))


@dataclass(frozen=True)
class FaceMesh:
    """The network, and the way from its points to the 82.

    mean : (936,) float32, of the points in the mesh's frame.
    down, up, offset : (936, r), (r, 164), (164,) float32; a map of what differs from the mean.
    """

    first: Dense
    body: Sequence[Block]
    heads: Mapping[str, Head]
    mean: Floats
    down: Floats
    up: Floats
    offset: Floats

    def look(self, picture: Floats, loops: Any = None) -> tuple[Float64, float]:
        """The (468, 2) points in pixels of a (192, 192, 3) float32 RGB picture in [0, 1].

        The second number is the logit of there being a face.
        loops : `pixelreg.backends.loops_faces`, which are quicker and give the same bits, or None.
        """
        x = self.first(_patches(picture))
        for block, step in zip(self.body, BODY, strict=True):
            x = block(x, step, loops)
        mesh, flag = (self.heads[name](x, steps, loops) for name, steps in HEADS.items())
        return mesh.reshape(POINTS, 3)[:, :2].astype(np.float64), float(flag[0])

    def mapped(self, mesh: Float64) -> Float64:
        """(82, 2) points of (468, 2) ones."""
        place = frame_of(mesh)
        return place.to_photo(self.answer(place.to_crop(mesh).reshape(-1)))

    def answer(self, local: Array) -> Float64:
        """(82, 2) points of (936,) ones, both in the mesh's frame."""
        differs = local.astype(np.float32) - self.mean
        moved = (differs @ self.down) @ self.up + self.offset
        return moved.reshape(-1, 2).astype(np.float64)


def frame_of(mesh: Float64) -> Similarity:
    """From the face frame, whose unit is between the eyes, to where a mesh lies."""
    left, right = (mesh[list(corners)].mean(axis=0) for corners in CORNERS)
    (a, b), (c, d) = right - left, (left + right) / 2
    if not a and not b:
        raise FaceError("FaceMesh sees no face here; give the eyes, or take the cascade")
    return Similarity(float(a), float(b), float(c), float(d))


@dataclass(frozen=True)
class FaceMeshFinder:
    """FaceMesh as a finder of dense landmarks.

    file : its weights; None for those that come with pixelreg.
    loops : see `FaceMesh.look`.
    """

    unsure: ClassVar[float] = 0.035
    file: Path | None = field(default=None)
    loops: Any = None

    @cached_property
    def network(self) -> FaceMesh:
        """The weights, read when first needed."""
        return load_facemesh(self.file)

    def find(self, pixels: Pixels, face: Face, twice: bool = True) -> DenseFace:
        """See `pixelreg.faces.dense.DenseFinder.find`."""
        mesh = self.mesh(pixels, face)
        unit = float(np.hypot(frame_of(mesh).a, frame_of(mesh).b))
        points, doubt = self.network.mapped(mesh), 0.0
        if twice:
            place = around(mesh)
            seen = self._seen(pixels, place, mirrored=True)
            other = self.network.mapped(seen) * [-1.0, 1.0] + [SIDE, 0.0]
            other = place.to_photo(other[mirror()])
            points, doubt = of_two_looks(points, other, unit)
        return DenseFace(points, doubt, "facemesh")

    def mesh(self, pixels: Pixels, face: Face) -> Float64:
        """(468, 2) points of a face in pixels of the photo: a first look, and a better one."""
        place = _first(face)
        for _ in range(2):
            mesh = place.to_photo(self._seen(pixels, place))
            place = around(mesh)
        return mesh

    def look_at(self, pixels: Pixels, points: Float64) -> Float64:
        """(82, 2) points by one look, where (82, 2) points tell where to look."""
        place = _place_of(points)
        return self.network.mapped(place.to_photo(self._seen(pixels, place)))

    def _seen(self, pixels: Pixels, place: Similarity, mirrored: bool = False) -> Float64:
        picture = crop(pixels, place, SIDE)
        picture = picture[:, ::-1] if mirrored else picture
        return self.network.look(picture.astype(np.float32) / np.float32(255), self.loops)[0]


def _first(face: Face) -> Similarity:
    """From the network's picture to the photo, by the eyes."""
    left, right = face.eyes
    axis = right - left
    middle = (left + right) / 2 + FIRST_MIDDLE * np.array([-axis[1], axis[0]])
    return _square(axis, middle, FIRST_SIDE * face.eye_distance)


def _place_of(points: Float64) -> Similarity:
    """About the square that `around` gives, by dense points: a turned nose leads the mesh."""
    left, right = (points[list(corners)].mean(axis=0) for corners in EYES)
    (a, b), (c, d) = right - left, (left + right) / 2
    frame = Similarity(float(a), float(b), float(c), float(d))
    local = frame.to_crop(points)
    nose, jaw, chin = local[PARTS["nose"], 0].mean(), local[PARTS["jaw"], 0].mean(), local[CHIN, 1]
    middle = frame.to_photo(np.array([[0.37 * jaw - 1.27 * nose, FIRST_MIDDLE]]))[0]
    size = max(1.65 + 0.6 * float(chin), 1.0)
    return _square(right - left, middle, AROUND * size * frame.scale)


def around(mesh: Float64) -> Similarity:
    """The square around a mesh, as level as its eyes."""
    frame = frame_of(mesh)
    local = frame.to_crop(mesh)
    low, high = local.min(axis=0), local.max(axis=0)
    middle = frame.to_photo((low + high)[None] / 2)[0]
    axis = np.array([frame.a, frame.b])
    return _square(axis, middle, AROUND * float((high - low).max() * np.hypot(*axis)))


def _square(axis: Float64, middle: Float64, side: float) -> Similarity:
    a, b = axis / np.hypot(*axis) * side / SIDE
    half = SIDE / 2
    c, d = middle[0] - (a - b) * half, middle[1] - (a + b) * half
    return Similarity(float(a), float(b), float(c), float(d))


def _patches(picture: Floats) -> Floats:
    """(96, 96, 27): what the first convolution, of 3 x 3 and step 2, sees at each place."""
    lines = np.pad(picture, ((0, 1), (0, 1), (0, 0))).reshape(SIDE + 1, -1)
    # Three pixels of a row lie together, two further on for every place.
    rows = sliding_window_view(lines, 9, axis=1)[:, ::6]
    return np.concatenate([rows[row : row + SIDE - 1 : 2] for row in range(3)], axis=-1)


def _depthwise(x: Floats, weight: Floats, step: int, loops: Any) -> Floats:
    """A 3 x 3 convolution of each channel; zeros around, of step 2 below and right only."""
    height, width, channels = x.shape
    before = 1 if step == 1 else 0
    padded = np.zeros((height + 1 + before, width + 1 + before, channels), np.float32)
    padded[before : before + height, before : before + width] = x
    out: Floats = np.empty((height // step, width // step, channels), np.float32)
    if loops is not None:
        loops.depthwise(padded, weight, step, out)
        return out
    high, wide = out.shape[:2]
    # Every other column lies together, and weights are as long as a row, so that NumPy's loops are.
    columns = [padded[:, first::step].reshape(len(padded), -1) for first in range(step)]
    shares, made = np.tile(weight, wide), out.reshape(high, -1)
    some = max(1, AT_ONCE // made.shape[1])
    part = np.empty((some, made.shape[1]), np.float32)
    for first in range(0, high, some):
        total = made[first : first + some]
        for row in range(3):
            rows = slice(first * step + row, (first + len(total)) * step + row, step)
            for column in range(3):
                start = column // step * channels
                seen = columns[column % step][rows, start : start + made.shape[1]][: len(total)]
                product = part[: len(total)] if row or column else total
                np.multiply(seen, shares[row, column], out=product)
                if row or column:
                    total += product
    return out


def _rows(x: Floats) -> Floats:
    """(..., W, D) as rows (n, W D), which NumPy goes through in longer loops."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if x.ndim > 1 else x


def _add(x: Floats, offset: Floats) -> None:
    rows = _rows(x)
    rows += np.tile(offset, rows.shape[-1] // len(offset))


def _prelu(x: Floats, slope: Floats) -> Floats:
    """max(x, 0) + slope min(x, 0), in place."""
    rows = _rows(x)
    low = np.minimum(rows, 0)
    low *= np.tile(slope - 1, rows.shape[-1] // len(slope))
    rows += low
    return x


def load_facemesh(path: Path | None = None) -> FaceMesh:
    """Read the network, or the one that comes with pixelreg."""
    packaged = Path(__file__).parent / "weights" / "facemesh.safetensors"
    source = packaged.read_bytes() if path is None else path
    return store.read_as(source, FORMAT, _assemble, str(path or "the bundled FaceMesh"))


def _assemble(values: dict[str, Any], tensors: dict[str, Array]) -> FaceMesh:
    def real(name: str) -> Floats:
        whole = tensors[name]
        step = tensors[f"{name}.step"] if whole.dtype == np.int8 else np.float32(1)
        return whole.astype(np.float32) * np.float32(step)

    def block(name: str) -> Block:
        return Block(*(real(f"{name}.{part}") for part in Block._fields))

    def dense(name: str) -> Dense:
        return Dense(*(real(f"{name}.{part}") for part in Dense._fields))

    def head(name: str) -> Head:
        blocks = [block(f"{name}{k}") for k in range(len(HEADS[name]))]
        ends = dense(f"{name}.narrow"), block(f"{name}.block"), dense(f"{name}.last")
        return Head(blocks, *ends)

    network = FaceMesh(
        dense("first"),
        [block(f"body{k:02}") for k in range(len(BODY))],
        {name: head(name) for name in HEADS},
        *(real(f"map.{part}") for part in ("mean", "down", "up", "offset")),
    )
    # Layers that do not fit are told here, of the file, and not of the first photo.
    network.look(np.zeros((SIDE, SIDE, 3), np.float32))
    network.answer(network.mean)
    return network
