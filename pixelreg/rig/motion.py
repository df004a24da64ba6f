"""From weights to pixels: where each is fetched from, how it is shaded, what the mouth shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pixelreg.arrays import Array, Floats
from pixelreg.models.plans import Change
from pixelreg.rig.head import Mesh
from pixelreg.rig.raster import Seen, rasterise
from pixelreg.rig.sitter import FLIP, Sitter, harmonics, vertex_normals
from pixelreg.rig.teeth import LOWERED, inside
from pixelreg.rig.wrinkles import FINE, LEFT, TOP, draw_wrinkles, folded, look_up, wrinkled

STEEPNESS = -0.5  # of the look-up: skin is as sharp as before
SHADE = 1.15  # exponent of the ratio of shadings
DARKEST, BRIGHTEST = 0.6, 1.4
LEAST = 0.25  # of the skin's brightness; below this, ratios of shadings mean nothing
BEHIND = np.float32(-5.0)  # cm, where eyeballs lie
DEPTH = 0.14  # of wrinkles
THIN = 0.05  # cm, half of what an open mouth measures at least
SEAM = 3  # pixels around a crack from which it takes its motion
BARED = 0.15  # of an open jaw, from which more of the lower teeth shows
PARTS = 0.08  # cm that closed lips part until all that lies behind them shows
FOLD = 0.8  # cm around hidden skin
CALM, CALM_GAIN = 0.1, 0.004  # pixels and a share of the brightness that are no change


@dataclass(frozen=True, eq=False)
class Rig:
    """A mesh with what its expressions are drawn by.

    loops : `pixelreg.backends.loops_rig` for many pictures, or None.
    """

    mesh: Mesh
    loops: Any = None

    @cached_property
    def corners(self) -> Array:
        """(t, 3) the triangles of the skin and of the eyeballs behind the lids."""
        start, found = len(self.mesh.rest), [self.mesh.triangles]
        for lid in self.mesh.lids:
            count = len(lid)
            rim = start + np.arange(count)
            following, middle = np.roll(rim, -1), start + 2 * count
            found += [
                np.stack([rim, following, rim + count], axis=1),
                np.stack([following, following + count, rim + count], axis=1),
                np.stack([rim + count, following + count, np.full(count, middle)], axis=1),
            ]
            start = middle + 1
        return np.concatenate(found).astype(np.int32)

    @cached_property
    def folding(self) -> Array:
        """(t,) bool, the triangles near hidden skin and around the mouth.

        They lie before or behind others, or what they leave open is the inside of the mouth.
        """
        hidden = self.mesh.sources != np.arange(len(self.mesh.rest))
        cells = np.floor((self.mesh.rest[:, :2] + 20) / FOLD).astype(int)
        near = np.zeros((cells.max() + 2, cells.max() + 2), bool)
        for across in (-1, 0, 1):
            for down in (-1, 0, 1):
                near[tuple((cells[hidden] + [across, down]).T)] = True
        x, y, _ = self.mesh.rest.T
        mouth = (np.abs(x) < 4) & (y > -6.5) & (y < -1)
        triangles = (near[tuple(cells.T)] | mouth)[self.mesh.triangles].any(axis=1)
        return np.concatenate([triangles, np.zeros(len(self.corners) - len(triangles), bool)])

    @cached_property
    def wrinkles(self) -> dict[str, Floats]:
        """The maps of `pixelreg.rig.wrinkles`."""
        return draw_wrinkles()

    @cached_property
    def creased(self) -> Array:
        """(t,) bool, the triangles on which a wrinkle may lie."""
        vertices = wrinkled(self.wrinkles, self.mesh.rest)
        triangles = self.mesh.triangles
        more = len(self.corners) - len(triangles)
        return np.concatenate([vertices[triangles].any(axis=1), np.zeros(more, bool)])


@dataclass(frozen=True)
class Look:
    """How deep wrinkles are and how strong shading is, against what is usual."""

    wrinkles: float = 1.0
    shading: float = 1.0


USUAL = Look()


def change(rig: Rig, sitter: Sitter, weights: Mapping[str, float], look: Look = USUAL) -> Change:
    """What a sitter's picture becomes when its face shows shapes at ``weights``."""
    steps = _steps(rig.mesh, sitter, weights)
    skin = sitter.places + np.einsum("nij,nj->ni", sitter.slopes, steps[:, :2] * FLIP)
    gains = _gains(rig.mesh, sitter, steps, look.shading)
    places, sources, depth = _with_eyes(rig.mesh, sitter, skin, (sitter.base + steps)[:, 2])
    gains = np.concatenate([gains, np.ones(len(places) - len(gains), np.float32)])
    shape = sitter.picture.shape[:2]
    calm = (np.abs(places - sources).max(axis=1) < CALM) & (np.abs(gains - 1) < CALM_GAIN)
    busy = np.flatnonzero(~calm[rig.corners].all(axis=1) | rig.folding)
    if not busy.size:
        return Change(_nothing(shape))
    seen = rasterise(places, depth, rig.corners[busy], shape, rig.loops)
    # Plane by plane, as all that follows reads them.
    moved = np.concatenate([sources - places, gains[:, None]], axis=1)
    fields = seen.filled(moved, (0.0, 0.0, 1.0))
    _fold(rig, sitter, seen, rig.creased[busy], weights, DEPTH * look.wrinkles, fields[2])
    covered = seen.shown >= 0
    mouth = _mouth(rig.mesh, covered, skin)
    layer = None
    if mouth is not None:
        hole, box = mouth
        wide = _wide(hole, sitter)
        _sew(hole & ~wide, fields[:, box[0], box[1]], rig.loops)
        covered[box] = True
        if wide.any():
            cover = _parting(rig.mesh, sitter, steps)
            layer = _filled(rig.mesh, sitter, wide, (box[1].start, box[0].start), weights, cover)
    _sew(_cracks(covered, rig.loops), fields, rig.loops)
    return Change(_nothing(shape), np.moveaxis(fields[:2], 0, 2), fields[2], layer, STEEPNESS)


def _nothing(shape: tuple[int, int]) -> Floats:
    """(H, W, 3) zeros that take no room."""
    return np.broadcast_to(np.float32(0), (*shape, 3))


def _steps(mesh: Mesh, sitter: Sitter, weights: Mapping[str, float]) -> Floats:
    """(n, 3) cm from the face as it is shown; eyes move as far as they are open."""
    steps = np.zeros_like(mesh.rest)
    for name in dict.fromkeys((*weights, *sitter.shown)):
        more = weights.get(name, 0.0) - sitter.shown.get(name, 0.0)
        if name.startswith("eye"):
            more *= sitter.eyes[name.endswith("_L")]
        if more:
            steps += np.float32(more) * mesh.shapes[name]
    return steps


def _gains(mesh: Mesh, sitter: Sitter, steps: Floats, shading: float) -> Floats:
    """(n,) the ratio of the skin's shading after and before, none on the skirt."""
    normals = vertex_normals(sitter.base + steps, mesh.triangles)
    least = np.float32(LEAST * sitter.palette.skin)
    before, after = (
        np.maximum(harmonics(n) @ sitter.light, least) for n in (sitter.normals, normals)
    )
    return np.clip(after / before, DARKEST, BRIGHTEST) ** (np.float32(SHADE * shading) * mesh.firm)


def _with_eyes(
    mesh: Mesh, sitter: Sitter, skin: Floats, depth: Floats
) -> tuple[Floats, Floats, Floats]:
    """Places, sources and depths of the skin and of the eyeballs, which stay where they are.

    The outermost ring of an eyeball follows its lids outwards only.
    """
    places, sources, depths = [skin], [sitter.places[mesh.sources]], [depth]
    for lid in mesh.lids:
        before, after = sitter.places[lid], skin[lid]
        middle = before.mean(axis=0)
        outwards = before - middle
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True) + 1e-9
        along = ((after - before) * outwards).sum(axis=1, keepdims=True)
        ring = (before + middle) / 2
        places += [before + np.maximum(along, 0) * outwards, ring, middle[None]]
        sources += [before, ring, middle[None]]
        depths.append(np.full(2 * len(lid) + 1, BEHIND))
    return np.concatenate(places), np.concatenate(sources), np.concatenate(depths)


def _fold(
    rig: Rig,
    sitter: Sitter,
    seen: Seen,
    creased: Array,
    weights: Mapping[str, float],
    depth: float,
    gain: Floats,
) -> None:
    """Multiply what is seen by what wrinkles do to its brightness.

    creased : (t,) bool, the triangles on which there may be any. gain : (H, W), changed in place.
    """
    names = dict.fromkeys((*weights, *sitter.shown))
    newly = {n: weights.get(n, 0.0) - max(sitter.shown.get(n, 0.0), 0.0) for n in names}
    total = folded(rig.wrinkles, newly)
    if total is None:
        return
    rest = rig.mesh.rest[:, :2]
    away = np.full((rig.corners.max() + 1 - len(rest), 2), 99, np.float32)
    at_rest = np.concatenate([rest, away])
    if rig.loops is not None:
        frame = np.array([LEFT, TOP, FINE, depth], np.float32)
        rig.loops.fold(seen.shown, seen.corners, seen.planes, creased, at_rest, total, frame, gain)
        return
    pixels = seen.pixels[creased[seen.shown.reshape(-1)[seen.pixels]]]
    x, y = seen.spread(at_rest, pixels).T
    gain.reshape(-1)[pixels] *= np.exp(np.float32(depth) * look_up(total, x, y))


def _mouth(mesh: Mesh, covered: Array, skin: Floats) -> tuple[Array, tuple[slice, slice]] | None:
    """What no skin covers between the lips, (h, w) bool, and where in the picture that is."""
    height, width = covered.shape
    lips = skin[np.concatenate([mesh.head.lips, mesh.mirrored[mesh.head.lips]])]
    left, top = np.maximum(lips.min(axis=0).astype(int), 0)
    right, bottom = np.minimum(lips.max(axis=0).astype(int) + 1, [width, height])
    if left >= right or top >= bottom:
        return None
    hole = ~covered[top:bottom, left:right]
    if not hole.any():
        return None
    return hole, np.s_[top:bottom, left:right]


def _wide(hole: Array, sitter: Sitter) -> Array:
    """A hole without what is too thin to be an open mouth: cracks between lips that touch."""
    side = 2 * round(THIN * _pixels_a_cm(sitter)) + 1
    if side < 3:
        return hole
    image = Image.fromarray(np.pad(hole, side).astype(np.uint8) * 255)
    opened = image.filter(ImageFilter.MinFilter(side)).filter(ImageFilter.MaxFilter(side))
    return hole & (np.asarray(opened)[side:-side, side:-side] > 0)


def _cracks(covered: Array, loops: Any) -> Array:
    """Pixels that no skin covers, but most of those around them."""
    if loops is not None:
        cracks = np.zeros(covered.shape, np.bool_)
        loops.cracks(covered, SEAM, cracks)
        return cracks
    image = Image.fromarray(covered.astype(np.uint8) * 255)
    around = np.asarray(image.filter(ImageFilter.BoxBlur(SEAM)))
    return ~covered & (around > 127)


def _sew(cracks: Array, fields: Floats, loops: Any) -> None:
    """Give cracks the motion and the shading, (3, h, w), of the skin around them."""
    if loops is not None:
        loops.sew(cracks, SEAM, fields)
        return
    rows, columns = np.nonzero(cracks)
    if not len(rows):
        return
    height, width = cracks.shape
    total, count = np.zeros((3, len(rows)), np.float32), np.zeros(len(rows), np.float32)
    near = range(-SEAM, SEAM + 1)
    for i, j in product(near, near):
        row, column = rows + i, columns + j
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = np.where(inside, row, 0), np.where(inside, column, 0)
        known = (inside & ~cracks[row, column]).astype(np.float32)
        total += known * fields[:, row, column]
        count += known
    mean = total / np.maximum(count, 1)
    mean[2] = np.maximum(mean[2], 0.5)
    fields[:, rows, columns] = mean


def _parting(mesh: Mesh, sitter: Sitter, steps: Floats) -> float:
    """How much of the mouth's inside shows, 0 to 1: none while closed lips have not parted.

    The lips of the head itself do not touch, those of a face do.
    """
    if sitter.mouth is not None:
        return 1.0
    upper, lower = mesh.inner_lips
    return float(np.clip((steps[upper, 1] - steps[lower, 1]).max() / PARTS, 0, 1))


def _filled(
    mesh: Mesh,
    sitter: Sitter,
    hole: Array,
    corner: tuple[int, int],
    weights: Mapping[str, float],
    cover: float,
) -> Floats:
    """(H, W, 4) the inside of a mouth, as far as a share of it shows."""
    height, width = sitter.picture.shape[:2]
    unit = _pixels_a_cm(sitter) / 23
    soft, wide = (_blurred(hole, sigma * unit) for sigma in (0.7, 4.0))
    rim = np.clip(2 * wide - 0.55, 0, 1)[..., None]
    rows, columns = np.indices(hole.shape, dtype=np.float32)
    pixels = np.stack([columns + (corner[0] + 0.5), rows + (corner[1] + 0.5)], axis=-1)
    jaw = (weights.get("jawOpen", 0.0) * mesh.head.jaw[:2]).astype(np.float32)
    further = weights.get("jawOpen", 0.0) - sitter.shown.get("jawOpen", 0.0)
    # Who shows teeth already gets no others beside them, but lower ones that a jaw bares.
    rows_of_teeth = (1, 0) if sitter.mouth is None else (1,) if further > BARED else ()
    places = _on_head(mesh, sitter, pixels)
    drawn = inside(mesh.head.teeth, sitter.palette, places, jaw, rows_of_teeth)
    # Lips shade what lies behind them.
    colour = np.clip(drawn * (0.62 + 0.38 * rim) / np.float32(255), 0, 1)
    colour = _own_teeth(sitter, colour, corner)
    layer = np.zeros((height, width, 4), np.float32)
    part = layer[corner[1] : corner[1] + len(hole), corner[0] : corner[0] + hole.shape[1]]
    part[..., :3], part[..., 3] = colour * soft[..., None], soft
    part *= np.float32(cover)
    return layer


def _own_teeth(sitter: Sitter, colour: Floats, corner: tuple[int, int]) -> Floats:
    """What was open before shows what it did: a person's own teeth."""
    if sitter.mouth is None:
        return colour
    left, top = corner
    height, width = colour.shape[:2]
    mask = Image.new("L", (width, height))
    border = [(float(x) - left - 0.5, float(y) - top - 0.5) for x, y in sitter.mouth]
    ImageDraw.Draw(mask).polygon(border, fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(_pixels_a_cm(sitter) / 23))
    share = np.clip(2 * (np.asarray(soft) / np.float32(255)) - 1, 0, 1)[..., None]
    own = sitter.picture[top : top + height, left : left + width] / np.float32(255)
    return colour + share * (own - colour)


def _on_head(mesh: Mesh, sitter: Sitter, pixels: Floats) -> Floats:
    """Where pixels of the mouth lie on the head at rest, cm with y up, by the mouth's slopes."""
    inner = mesh.mouth
    middle = sitter.base[inner, :2].mean(axis=0)
    slopes = sitter.slopes[inner].mean(axis=0)
    at = sitter.places[inner].mean(axis=0)
    steps = (pixels - at) @ np.linalg.inv(slopes).T.astype(np.float32)
    return middle + steps * FLIP + np.array([0, LOWERED], np.float32)


def _pixels_a_cm(sitter: Sitter) -> float:
    return float(np.sqrt(np.abs(np.linalg.det(sitter.slopes.mean(axis=0)))))


def _blurred(mask: Array, sigma: float) -> Floats:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma))) / np.float32(255)
