"""Half of the face's frontal skin: which vertices, what they do, where their colours come from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Delaunay, cKDTree

from examples.rig.anchors import ANCHORS, MIXTURES
from examples.rig.face import SKIN_VERTICES, Face, draw, vertex_normals
from pixelreg.faces.dense import POINTS
from pixelreg.rig.head import STEP

SIDE, TOP = 7.5, 10.5  # cm: without ears and crown
SMALLEST = 0.02  # cm; shapes that move less are left out
LEVELS, NOTHING = 100, 0.006  # steps of a shape, and cm that are none: both for the file's size
ROLL = 0.07  # cm of the inner lips that may roll out
CENTRE, SECTORS = np.array([0.0, -1.0]), 60  # around which the outermost vertices are found
LIDS = 8.0  # cm; what lies further in front may fold over
NECK, CHIN = 4.6, -5.5  # cm: what lies deeper is neck, and from this height on even more
HOLES = (5.0, -5.5, 5.0)  # cm: right of, below and above the face's own openings
SKIRT = ((1.2, 0.62), (2.8, 0.22), (4.5, 0.0))  # cm beyond the face, and the motion left there
NOSE = (2.0, 2.0)  # cm of the nose's tip around which its motion is damped


def frontal_mesh(face: Face) -> dict[str, Any]:
    """The tensors of a `pixelreg.rig.head.Head`, but for its teeth."""
    face = _calm_nose(face)
    triangles = _frontal_triangles(face)
    _, seen, _ = _visible_sources(face, triangles)
    aside = face.vertices[:, 2] < LIDS
    triangles = triangles[(seen | ~aside)[triangles].all(axis=1)]
    sources, seen, far = _visible_sources(face, triangles)
    lips = (np.abs(face.vertices[:, 0]) < 2.9) & (np.abs(face.vertices[:, 1] + 3.5) < 1.1)
    triangles = triangles[~(lips & (far > ROLL))[triangles].any(axis=1)]
    half = _Half(face, triangles)
    names, shapes, scales = half.shapes()
    vertices = np.rint(half.vertices / STEP).astype(np.int32)
    vertices[half.middle, 0] = 0
    return {
        "vertices": np.ascontiguousarray(vertices.T),
        "triangles": _packed(half.triangles),
        "names": names,
        "shapes": shapes,
        "scales": scales,
        "sources": half.numbered(sources),
        "seen": half.skirted(seen[half.use].astype(np.uint8), 0),
        "firm": half.firm,
        "lid": half.lid().astype(np.int32),
        "lips": half.numbers[_on_half(face, face.landmarks[48:60])].astype(np.int32),
        "mouth": half.numbers[_on_half(face, face.landmarks[60:68])].astype(np.int32),
        **half.anchored(),
    }


def _on_half(face: Face, vertices: np.ndarray) -> np.ndarray:
    return vertices[face.vertices[vertices, 0] > -1e-3]


def _calm_nose(face: Face) -> Face:
    """From the front, the tip of the nose does not rise: its motion is damped, most at the tip."""
    x, y, _ = face.vertices.T
    tip = face.vertices[face.landmarks[30]]
    near = np.exp(-((x / NOSE[0]) ** 4) - ((y - tip[1] - 0.2) / NOSE[1]) ** 4)
    shapes = {}
    for name, steps in face.shapes.items():
        across = 0.5 if name.startswith("mouth") else 0.3
        along = 0.9 if name.startswith("mouth") else 0.6 if name.startswith("nose") else 0.5
        shapes[name] = steps * (1 - near[:, None] * np.array([across, along, along]))
    return Face(face.vertices, face.triangles, face.material, shapes, face.people, face.landmarks)


def _frontal_triangles(face: Face) -> np.ndarray:
    skin = (face.material <= 1) & (face.triangles.max(axis=1) < SKIN_VERTICES)
    triangles = face.triangles[skin]
    x, y, z = face.vertices.T
    lips = (np.abs(x) < 4) & (y > -8.5) & (y < -3) & (z > 4)
    slant = vertex_normals(face.vertices, triangles)[:, 2]
    # What turns away at the sides is outline, not skin, and the neck belongs to the skirt.
    forward = slant > np.where(z > LIDS, -0.5, 0.1)
    forward &= (z > NECK + np.clip(1.2 * (CHIN - y), 0, 1.8)) | (y > -0.5)
    keep = (forward | lips) & (np.abs(x) < SIDE) & (y < TOP) & (z > 0)
    return triangles[keep[triangles].all(axis=1)]


def _visible_sources(
    face: Face, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every vertex the nearest one along the mesh that can be seen, if it can, how far it is."""
    vertices = face.vertices
    size, scale = 1024, 28.0
    points = vertices[:, :2] * [scale, -scale] + size / 2
    depth, _, _ = draw(points, vertices[:, 2], triangles, (size, size))
    at = np.clip(np.rint(points - 0.5).astype(int), 0, size - 1)
    front = vertex_normals(vertices, triangles)[:, 2] > 0.02
    used = np.isin(np.arange(len(vertices)), triangles)
    seen = used & front & (vertices[:, 2] > depth[at[:, 1], at[:, 0]] - 0.12)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    edges, first = np.unique(np.sort(edges, axis=1), axis=0, return_index=True)
    graph = csr_matrix((lengths[first], edges.T), shape=(len(vertices),) * 2)
    far, _, sources = dijkstra(
        graph, directed=False, indices=np.flatnonzero(seen), min_only=True, return_predecessors=True
    )
    return np.where(sources < 0, np.arange(len(vertices)), sources), seen, far


class _Half:
    """The half with x >= 0, numbered anew, and the skirt around it."""

    def __init__(self, face: Face, triangles: np.ndarray) -> None:
        self.face = face
        right = (face.vertices[triangles][..., 0] > -1e-3).all(axis=1)
        inner = triangles[right]
        self.use = np.unique(inner)
        self.numbers = np.full(len(face.vertices), -1)
        self.numbers[self.use] = np.arange(len(self.use))
        twin = face.vertices * [-1, 1, 1]
        front = np.flatnonzero(np.arange(len(face.vertices)) < SKIN_VERTICES)
        self.twins = front[cKDTree(face.vertices[front]).query(twin[self.use])[1]]
        self.inner = self.numbers[inner]
        self._sew_skirt()

    def _sew_skirt(self) -> None:
        """Rings around the outer border on which motion fades out, and what joins them to it."""
        place, border = self.face.vertices[self.use], self._outermost()
        rest, firm = [place], [np.full(len(self.use), 255)]
        for out, left in SKIRT:
            ring = place[border].copy()
            across = ring[:, :2] - CENTRE
            # Below the chin, which moves farthest, the skirt is wider.
            wider = out * (1 + 0.5 * np.clip((-2 - ring[:, 1:2]) / 4, 0, 1))
            ring[:, :2] += across / np.linalg.norm(across, axis=1, keepdims=True) * wider
            ring[np.abs(place[border][:, 0]) < 1e-3, 0] = 0
            ring[:, 2] -= out
            rest.append(ring)
            firm.append(np.full(len(border), round(255 * left)))
        self.border, self.vertices = border, np.concatenate(rest)
        self.firm = np.concatenate(firm).astype(np.uint8)
        self.triangles = np.concatenate([self.inner, self._between()])
        self.middle = np.abs(self.vertices[:, 0]) < 1e-3

    def _between(self) -> np.ndarray:
        """Triangles that fill the plane between the face's ragged border and the rings."""
        x, y, _ = self.vertices.T
        edges = _open_edges(self.inner)
        holes = (x < HOLES[0]) & (y > HOLES[1]) & (y < HOLES[2])  # eye, nostril and mouth are open
        joined = np.union1d(edges[~holes[edges]], np.arange(len(self.use), len(self.vertices)))
        found = joined[Delaunay(self.vertices[joined, :2]).simplices]
        scale, shift = 40.0, np.array([2.0, 20.0])
        points = self.vertices[:, :2] * [scale, -scale] + shift * scale
        _, covered, _ = draw(points, self.vertices[:, 2], self.inner, (1600, 800))
        middle = points[found].mean(axis=1).astype(int).clip(0, [799, 1599])
        return found[covered[middle[:, 1], middle[:, 0]] < 0]

    def _outermost(self) -> np.ndarray:
        """The outermost vertices all around, from the middle of the forehead to the chin's."""
        x, y, _ = self.face.vertices[self.use].T
        middle = np.abs(x) < 1e-3
        angle = np.arctan2(np.where(middle, 0, x), y - CENTRE[1])
        sector = np.minimum((angle / np.pi * SECTORS).astype(int), SECTORS - 1)
        far = np.hypot(x, y - CENTRE[1])
        outermost = [
            int(np.flatnonzero(sector == k)[far[sector == k].argmax()]) for k in range(SECTORS)
        ]
        ends = [int(np.where(middle, side * y, -np.inf).argmax()) for side in (1, -1)]
        chain = list(dict.fromkeys([ends[0], *outermost, ends[1]]))
        return np.array(sorted(chain, key=lambda vertex: angle[vertex]))

    def lid(self) -> np.ndarray:
        """The border around the eye, in order."""
        centre = self.face.vertices[_on_half(self.face, self.face.landmarks[36:48])].mean(axis=0)
        near = lambda c: np.abs(self.face.vertices[self.use[c]] - centre).max() < 2.4  # noqa: E731
        return max((c for c in _chains(self.inner) if near(c)), key=len)

    def numbered(self, sources: np.ndarray) -> np.ndarray:
        own = self.numbers[sources[self.use]]
        own[own < 0] = np.flatnonzero(own < 0)
        return np.concatenate([own, np.arange(len(own), len(self.vertices))]).astype(np.int32)

    def skirted(self, values: np.ndarray, fill: int) -> np.ndarray:
        more = np.full((len(self.vertices) - len(values), *values.shape[1:]), fill, values.dtype)
        return np.concatenate([values, more])

    def shapes(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        names, steps, scales = [], [], []
        for name in _halves(self.face.shapes):
            whole = self._whole(name)
            moves = self.face.shapes[whole]
            own, other = moves[self.use], moves[self.twins] * [-1, 1, 1]
            both = np.stack([self._faded(own), self._faded(other)])
            if np.abs(both).max() < SMALLEST:
                continue
            scale = np.abs(both).max() / LEVELS
            both[np.abs(both) < NOTHING] = 0
            rounded = np.rint(both / scale).astype(np.int8).transpose(0, 2, 1)
            if whole == name:
                rounded[1] = 0  # the same as its own half
            names.append(name)
            steps.append(rounded)
            scales.append(scale)
        return tuple(names), np.stack(steps), np.array(scales, np.float32)

    def _whole(self, name: str) -> str:
        return name + ("L" if name.endswith("_") else "Left" if name in ("jaw", "mouth") else "")

    def _faded(self, moves: np.ndarray) -> np.ndarray:
        rings = [moves[self.border] * left for _, left in SKIRT]
        return np.concatenate([moves, *rings])

    def anchored(self) -> dict[str, np.ndarray]:
        face = self.face
        vertices = np.array([self._anchor(name) for name in ANCHORS])
        side = (face.vertices[vertices, 0] < -1e-3).astype(int)
        own = np.where(side == 1, self._twin_of(vertices), vertices)
        mixing = np.zeros((len(ANCHORS), len(POINTS)), np.int8)
        for row, marks in enumerate(MIXTURES):
            for mark in marks:
                mixing[row, POINTS.index(mark)] = 60 // len(marks)
        people = np.rint(face.people[:, vertices] * 100).clip(-127, 127).astype(np.int8)
        return {
            "anchors": np.stack([self.numbers[own], side], axis=1).astype(np.int32),
            "mixing": mixing,
            "people": people,
        }

    def _anchor(self, name: int | str) -> int:
        """The vertex of a Multi-PIE number, or of a lid's middle such as ``"upper left"``."""
        if isinstance(name, int):
            return int(self.face.landmarks[name])
        up, right = name.startswith("upper"), name.endswith("right")
        corners = [43, 44] if up else [46, 47]
        at = self.face.vertices[self.face.landmarks[corners], 0].mean()
        loop = self.use[self.lid()]
        place = self.face.vertices[loop]
        middle = self.face.vertices[self.face.landmarks[42:48], 1].mean()
        fits = (place[:, 1] > middle) == up
        vertex = loop[fits][np.argmin(np.abs(place[fits, 0] - at))]
        return int(vertex if right else self._twin_of(np.array([vertex]))[0])

    def _twin_of(self, vertices: np.ndarray) -> np.ndarray:
        place = self.face.vertices[:SKIN_VERTICES]
        return cKDTree(place).query(self.face.vertices[vertices] * [-1, 1, 1])[1]


def _halves(names: Any) -> list[str]:
    """The names of the shapes without their sides, each once."""
    bare = []
    for name in names:
        for ending in ("_L", "_R"):
            if name.endswith(ending):
                name = name[:-1]
        if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            name = name.removesuffix("Left").removesuffix("Right")
        if name not in bare:
            bare.append(name)
    return bare


def _open_edges(triangles: np.ndarray) -> np.ndarray:
    """(e, 2) the edges that belong to one triangle alone."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in edges}
    return np.array([(a, b) for a, b in known if (b, a) not in known])


def _chains(triangles: np.ndarray) -> list[np.ndarray]:
    """The closed borders of a mesh, each in order."""
    following = dict(_open_edges(triangles).tolist())
    chains = []
    while following:
        start, here = next(iter(following.items()))
        chain = [start]
        del following[start]
        while here != start and here in following:
            chain.append(here)
            here = following.pop(here)
        chains.append(np.array(chain))
    return chains


def _packed(triangles: np.ndarray) -> np.ndarray:
    """Differences as `Head.triangles` holds them, every triangle from its lowest corner on."""
    turned = np.array([np.roll(t, -int(t.argmin())) for t in triangles])
    a, b, c = turned[np.lexsort(turned.T[::-1])].T
    return np.stack([np.diff(a, prepend=0), b - a, c - a]).astype(np.int32)
