"""Blendshapes: sparse components, their files, the meshes, the flow, the command."""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, pixels, places_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelreg.data.synthetic import synthesise
from pixelreg.errors import (
    DataError,
    InvalidArrayError,
    MissingExtraError,
    ModelFileError,
    PixelregError,
    UsageError,
)
from pixelreg.models import store
from pixelreg.models.model import Frame
from pixelreg.shapes import file
from pixelreg.shapes.components import Blendshapes
from pixelreg.shapes.file import load, save, to_bytes
from pixelreg.shapes.flow import (
    dense_flow,
    flow_lattice,
    flow_parameters,
    lattice,
    shapes_of_flow,
)
from pixelreg.shapes.folders import aligned_landmarks
from pixelreg.shapes.learning import explained, learn
from pixelreg.shapes.meshes import read_mesh
from pixelreg.shapes.picture import component_sheet, draw, moved_face

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]])
HALVES = [[0, 1, 2], [0, 2, 3]]


@pytest.fixture(autouse=True, scope="module")
def solver() -> None:
    pytest.importorskip("sklearn")


@cache
def known(count: int = 60, vertices: int = 40, k: int = 3) -> tuple[np.ndarray, ...]:
    """Shapes made of sparse components: vertices, neutral, components (max 1), weights."""
    rng = np.random.default_rng(0)
    components = np.zeros((k, vertices, 3))
    for j in range(k):  # each moves vertices of its own, the largest by 1
        own = components[j, 10 * j + 2 : 10 * j + 9]
        own[:] = rng.uniform(-0.8, 0.8, own.shape)
        own[2, 1] = 1.0
    weights = rng.normal(size=(count, k)) * [3.0, 2.0, 1.0] + [2.0, 1.0, 0.5]
    neutral = rng.normal(size=(count, vertices, 3))
    shapes = neutral + np.tensordot(weights, components, 1)
    return shapes, neutral, components, weights


@cache
def learnt() -> Blendshapes:
    shapes, neutral, _, _ = known()
    return learn(shapes, neutral, 3, sparsity=0.01, expressions=["happy", "sad"] * 30)


@cache
def flow_shapes() -> Blendshapes:
    """A flow of 64 x 64 made by hand: c1 moves the left half right, c2 the lower half down."""
    resting = lattice(64, 8)
    components = np.zeros((2, 64, 2), np.float32)
    components[0, resting[:, 0] < 32, 0] = 1
    components[1, resting[:, 1] > 32, 1] = 1
    return Blendshapes(
        resting.astype(np.float32), components, np.array([3.0, 2.0], np.float32), ("c1", "c2"),
        "flow", size=64, frame=Frame(), expressions={"happy": (0.5, -0.25)},
    )  # fmt: skip


# ---------------------------------------------------------------- components


def test_sparse_components_are_found_again() -> None:
    _, neutral, components, weights = known()
    made = learnt()
    order = [int(np.abs(c).sum(axis=1)[2:].argmax() + 2) // 10 for c in made.components]
    assert sorted(order) == [0, 1, 2]
    for k, j in enumerate(order):
        sign = np.sign(weights[:, j].mean())
        np.testing.assert_allclose(sign * made.components[k], components[j], atol=0.05)
        np.testing.assert_allclose(made.ranges[k], np.abs(weights[:, j]).max(), rtol=0.03)
    moves_nothing = ~components.any(axis=(0, 2))
    assert moves_nothing.sum() == 40 - 21
    assert not made.components[:, moves_nothing].any()  # exactly zero
    np.testing.assert_allclose(made.mean, neutral.mean(axis=0), atol=1e-6)


def test_it_is_sparse_pca_without_its_centring() -> None:
    from sklearn.decomposition import SparsePCA

    shapes, neutral, _, _ = known()
    rows = (shapes - neutral).reshape(len(shapes), -1)
    # Differences and their negatives have mean zero, so that centring takes nothing off.
    penalty = 0.01 * np.linalg.norm(rows, axis=0).max() * np.sqrt(2)
    reference = SparsePCA(3, alpha=penalty, random_state=0, max_iter=1000, tol=1e-8)
    theirs = reference.fit(np.concatenate([rows, -rows])).components_
    theirs = theirs / np.abs(theirs).max(axis=1, keepdims=True)
    ours = learnt().components.reshape(3, -1)
    match = np.abs(ours @ theirs.T) / np.linalg.norm(theirs, axis=1) ** 2
    assert sorted(match.argmax(axis=1)) == [0, 1, 2]
    np.testing.assert_allclose(match.max(axis=1), 1, atol=0.02)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    d=st.sampled_from([2, 3]),
    count=st.integers(1, 3),
    sparsity=st.sampled_from([0.0, 0.02, 0.2]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_laws(seed: int, d: int, count: int, sparsity: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    neutral = rng.normal(size=(9, d)) * scale
    shapes = neutral + rng.normal(size=(8, 9, d)) * scale
    made = learn(shapes, neutral, count, sparsity=sparsity)
    np.testing.assert_allclose(np.abs(made.components).max(axis=(1, 2)), 1, atol=1e-6)
    p = made.project(shapes, clip=False)
    np.testing.assert_allclose(np.abs(p).max(axis=0), 1, atol=1e-3)
    assert (p.mean(axis=0) >= -1e-6).all()  # a component points where shapes go on the average
    assert (np.abs(made.project(shapes)) <= 1).all()
    wanted = rng.uniform(-1, 1, (5, count))
    np.testing.assert_allclose(made.project(made.shape(wanted)), wanted, atol=1e-4)
    np.testing.assert_array_equal(made.shape(np.zeros(count)), made.mean)
    assert -1e-9 <= explained(made, shapes, neutral) <= 1
    # Scaled shapes have the same components: sparsity has no unit.
    other = learn(2 * shapes, 2 * neutral, count, sparsity=sparsity)
    np.testing.assert_allclose(other.components, made.components, atol=1e-4)
    np.testing.assert_allclose(other.ranges, 2 * made.ranges, rtol=1e-3)


def test_projection_is_least_squares_and_clips() -> None:
    made = learnt()
    rng = np.random.default_rng(1)
    vertices = made.mean + rng.normal(size=made.mean.shape)
    basis = made.components.reshape(3, -1).T * made.ranges.astype(float)
    normal = np.linalg.solve(basis.T @ basis, basis.T @ (vertices - made.mean).ravel())
    np.testing.assert_allclose(made.project(vertices, clip=False), normal, rtol=1e-5)
    beyond = made.shape([2.0, -3.0, 0.5])
    np.testing.assert_allclose(made.project(beyond), [1, -1, 0.5], atol=1e-5)
    np.testing.assert_allclose(made.project(beyond, clip=False), [2, -3, 0.5], atol=1e-5)


def test_same_input_same_components() -> None:
    shapes, neutral, _, _ = known()
    again = learn(shapes, neutral, 3, sparsity=0.01, expressions=["happy", "sad"] * 30)
    assert to_bytes(again) == to_bytes(learnt())


def test_large_meshes_are_learnt_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelreg.shapes import learning

    monkeypatch.setattr(learning, "COORDINATES", 40)  # of the 63 that move
    shapes, neutral, _, _ = known()
    made = learn(shapes, neutral, 3, sparsity=0.01)
    assert made.components.any(axis=(0, 2)).sum() > 40 / 3
    np.testing.assert_allclose(made.components, learnt().components, atol=0.03)


def test_more_sparsity_moves_fewer_vertices_and_explains_less() -> None:
    shapes, neutral, _, _ = known()
    rng = np.random.default_rng(2)
    shapes = shapes + rng.normal(size=shapes.shape) * 0.2
    found = [learn(shapes, neutral, 3, sparsity=s) for s in (0.0, 0.05, 0.15)]
    moved = [(made.components != 0).mean() for made in found]
    shares = [explained(made, shapes, neutral) for made in found]
    assert moved[0] == 1
    assert moved == sorted(moved, reverse=True)
    assert len(set(moved)) == 3
    assert shares == sorted(shares, reverse=True)
    # Without sparsity it is the plain decomposition.
    values = np.linalg.svd((shapes - neutral).reshape(60, -1), compute_uv=False) ** 2
    assert shares[0] == pytest.approx(values[:3].sum() / values.sum(), abs=1e-3)


def test_reach_leaves_one_strange_shape_out_of_the_scale() -> None:
    shapes, neutral, _, _ = known()
    strange = shapes.copy()
    strange[0] = neutral[0] + 20 * (shapes[0] - neutral[0])
    all_of_them = learn(strange, neutral, 3, sparsity=0.01)
    most = learn(strange, neutral, 3, sparsity=0.01, reach=0.9)
    assert (most.ranges < 0.6 * all_of_them.ranges).all()
    p = most.project(strange - neutral + most.mean, clip=False)
    np.testing.assert_array_less((np.abs(p) <= 1 + 1e-5).mean(axis=0), 0.95)
    np.testing.assert_array_less(0.89, (np.abs(p) <= 1 + 1e-5).mean(axis=0))


@pytest.mark.parametrize("bad", [[1, 2], [1, 2, np.nan], [[[1, 2, 3]]], ["a", "b", "c"]])
def test_parameters_that_are_none(bad: list) -> None:
    with pytest.raises(InvalidArrayError):
        learnt().shape(bad)
    with pytest.raises(InvalidArrayError, match="vertices"):
        learnt().project(bad)


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"count": 0}, UsageError, "give 1 to 60 components"),
        ({"count": 61}, UsageError, "give 1 to 60 components"),
        ({"sparsity": 1.0}, UsageError, "sparsity must be"),
        ({"sparsity": np.nan}, UsageError, "sparsity must be"),
        ({"reach": 0.0}, UsageError, "reach must be"),
        ({"expressions": ["happy"]}, InvalidArrayError, "1 expressions for 60"),
        ({"vertices": np.zeros((60, 40))}, InvalidArrayError, r"\(N, n, 2 or 3\)"),
        ({"neutral": np.zeros((3, 40, 3))}, InvalidArrayError, "neutral must be"),
        ({"neutral": np.full((40, 3), np.inf)}, InvalidArrayError, "NaN or infinite"),
        ({"sparsity": 0.97}, DataError, "of 3 components are left at sparsity 0.97"),
        ({"vertices": known()[1]}, DataError, "nothing moves"),
    ],
)
def test_what_cannot_be_learnt(options: dict, error: type[PixelregError], reason: str) -> None:
    shapes, neutral, _, _ = known()
    given_ = {"vertices": shapes, "neutral": neutral, "count": 3, **options}
    with pytest.raises(error, match=reason):
        learn(**given_)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*pixelreg\[shapes\]"):
        learn(known()[0], known()[1], 3)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("make", [learnt, flow_shapes])
def test_files_keep_everything(make: Callable[[], Blendshapes], tmp_path: Path) -> None:
    shapes = make()
    if shapes.kind == "mesh":
        shapes = replace(shapes, faces=np.array(HALVES, np.int32))
    path = tmp_path / "deep" / "x.safetensors"
    size = save(shapes, path)
    assert size == path.stat().st_size == len(to_bytes(shapes))
    back = load(path)
    for name in ("mean", "components", "ranges", "faces"):
        np.testing.assert_array_equal(getattr(back, name), getattr(shapes, name))
    for name in ("names", "kind", "size", "frame", "provenance"):
        assert getattr(back, name) == getattr(shapes, name)
    assert dict(back.expressions) == dict(shapes.expressions)
    assert to_bytes(back) == to_bytes(shapes)
    with pytest.raises(ValueError, match="read-only"):
        back.mean[:] = 0


def rewritten(**changes: object) -> bytes:
    """A file of blendshapes with other tensors, facts, or form; None leaves one out."""
    form = changes.pop("form", file.FORMAT)
    given = {**file._tensors(learnt()), **file._facts(learnt()), **changes}
    kept = {name: value for name, value in given.items() if value is not None}
    tensors = {name: kept.pop(name) for name in [*kept] if isinstance(kept[name], np.ndarray)}
    return store.as_bytes(form, tensors, {"frame": None, **kept})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"form": file.FORMAT._replace(name="pixelreg")}, "is not a file of blendshapes"),
        ({"form": file.FORMAT._replace(version="2")}, "format version 2.*newer pixelreg"),
        ({"mean": None}, "no 'mean'"),
        ({"extra": np.zeros(3)}, "unknown tensors"),
        ({"mean": np.zeros((40, 3))}, "mean must be float32"),
        ({"mean": np.zeros((41, 3), np.float32)}, "components must be"),
        ({"components": np.ones((3, 40, 3), np.float32) * 2}, "largest of each component"),
        ({"components": np.full((3, 40, 3), np.nan, np.float32)}, "NaN"),
        ({"ranges": np.zeros(3, np.float32)}, "ranges must be"),
        ({"faces": np.array([[0, 1, 40]], np.int32)}, "vertices 0 to 39"),
        ({"names": ["a", "a", "b"]}, "3 different names"),
        ({"names": "abc"}, "list of names"),
        ({"kind": "cloud"}, "unknown kind"),
        ({"kind": "flow", "size": 64}, "must have 2 coordinates"),
        ({"size": 1.5}, "whole number"),
        ({"expressions": {"happy": [1]}}, "happy must have 3 numbers"),
        ({"expressions": [1]}, "must be a table"),
        ({"frame": {"left_eye": [0, 0]}}, "no 'right_eye'"),
        ({"provenance": {"people": "many"}}, "wrong type"),
        ({"names": None}, "no 'names'"),
    ],
)
def test_files_that_are_wrong(changes: dict, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(rewritten(**changes))
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# ---------------------------------------------------------------- meshes

OBJ = b"""# a square, as exporters write it
mtllib square.mtl
o Square
v 0 0 0
v 1.0 0 0.0 0.5 0.5 0.5
v 1e0 1 .5  # with a remark
v 0 1 0 1.0
vt 0 0
vn 0 0 1
s off
f 1/1/1 2/1/1 3//1 4
"""
NEGATIVE = OBJ.replace(b"f 1/1/1 2/1/1 3//1 4", b"f -4 -3 -2\r\nf 1 3 4")
PLY_HEAD = "ply\nformat {} 1.0\ncomment by hand\nelement vertex 4\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
ASCII = (
    PLY_HEAD.format("ascii") + XYZ + "property uchar red\nelement face 1\n"
    "property list uchar int vertex_index\nend_header\n"
    "0 0 0 255\n1 0 0 0\n1 1 0.5 0\n0 1 0 7\n4 0 1 2 3\n"
).encode()


def binary(order: str, polygons: list[list[int]]) -> bytes:
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    head = PLY_HEAD.format(name) + "property uchar red\n" + XYZ.replace("float z", "double z")
    head += "element edge 1\nproperty int a\nproperty list ushort float lengths\n"
    head += f"element face {len(polygons)}\nproperty list uchar uint vertex_indices\n"
    body = b"".join(struct.pack(f"{order}Bffd", 9, *row) for row in SQUARE.tolist())
    body += struct.pack(f"{order}iHff", 5, 2, 0.5, 0.25)
    for polygon in polygons:
        body += struct.pack(f"{order}B{len(polygon)}I", len(polygon), *polygon)
    return (head + "end_header\n").encode() + body


MESHES = {
    "quad.obj": OBJ,
    "negative.obj": NEGATIVE,
    "ascii.ply": ASCII,
    "dos.ply": ASCII.replace(b"\n", b"\r\n"),
    "little.ply": binary("<", HALVES),
    "quad.ply": binary("<", [[0, 1, 2, 3]]),
    "mixed.PLY": binary("<", [[0, 1, 2], [0, 2, 3], [0, 1]]),
    "big.ply": binary(">", HALVES),
}


@pytest.mark.parametrize("name", MESHES)
def test_meshes_written_by_hand(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(MESHES[name])
    mesh = read_mesh(tmp_path / name)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    np.testing.assert_array_equal(mesh.faces, HALVES)
    assert mesh.faces.dtype == np.int32


def write_obj(vertices: np.ndarray, faces: np.ndarray | list, path: Path) -> None:
    rows = [f"v {x!r} {y!r} {z!r}" for x, y, z in np.asarray(vertices).tolist()]
    rows += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in np.asarray(faces).tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def test_meshes_are_read_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-9, 9, (50, 3))
    faces = rng.integers(0, 50, (80, 3)).astype(np.int32)
    for chosen in (faces, faces[:0]):
        write_obj(vertices, chosen, tmp_path / "m.obj")
        back = read_mesh(tmp_path / "m.obj")
        np.testing.assert_array_equal(back.vertices, vertices)
        np.testing.assert_array_equal(back.faces, chosen)


BAD_MESHES = {
    "none.obj": (None, "cannot read"),
    "empty.obj": (b"", "holds no vertex"),
    "short.obj": (b"v 1 2\n", "line 1 is not understood: 'v 1 2'"),
    "words.obj": (b"v 0 0 0\nv a b c\n", "line 2 is not understood"),
    "nan.obj": (b"v 0 0 0\nv 0 nan 0\n", "vertex 1 is not finite"),
    "zero.obj": (OBJ + b"f 0 1 2\n", "line 12 is not understood"),
    "two.obj": (OBJ + b"f 1 2\n", "line 12"),
    "beyond.obj": (OBJ + b"f 1 2 5\n", "a vertex that is not among the 4"),
    "before.obj": (OBJ + b"f -5 1 2\n", "a vertex that is not among the 4"),
    "huge.obj": (OBJ + b"f 1 2 99999999999\n", "line 12"),
    "empty.ply": (b"", "not a PLY file"),
    "other.ply": (b"plywood", "not a PLY file"),
    "cut.ply": (ASCII[:-12], "cut short"),
    "row.ply": (ASCII.replace(b"1 0 0 0", b"1 0 zero 0"), "a vertex is not understood: '1 0 zero"),
    "few.ply": (ASCII.replace(b"4 0 1 2 3", b"4 0 1 2"), "a face is not understood"),
    "half.ply": (ASCII.replace(b"4 0 1 2 3", b"4 0 1 2.5 3"), "a vertex that is not among"),
    "minus.ply": (ASCII.replace(b"4 0 1 2 3", b"-1"), "a face is not understood"),
    "format.ply": (ASCII.replace(b"ascii", b"morse"), "not understood: 'format morse"),
    "formless.ply": (ASCII.replace(b"format ascii 1.0\n", b""), "no line 'format'"),
    "type.ply": (ASCII.replace(b"uchar red", b"colour red"), "not understood: 'property colour"),
    "flat.ply": (ASCII.replace(b"float z", b"float w"), "no property z"),
    "faceless.ply": (ASCII.replace(b"vertex_index", b"corners"), "no list vertex_indices"),
    "bare.ply": (ASCII.replace(XYZ.encode() + b"property uchar red\n", b""), "has no property"),
    "binary.ply": (binary("<", HALVES)[:-1], "cut short"),
    "many.ply": (binary("<", HALVES).replace(b"vertex 4", b"vertex 999999999"), "cut short"),
    "far.ply": (binary("<", [[0, 1, 4]]), "a vertex that is not among the 4"),
    "mesh.stl": (b"solid", r"end in .obj or .ply"),
}


@pytest.mark.parametrize("name", BAD_MESHES)
def test_bad_meshes_get_one_line(name: str, tmp_path: Path) -> None:
    content, reason = BAD_MESHES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_mesh(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(MESHES)))
def test_damaged_meshes_never_crash(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(MESHES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    file = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    for part in (bytes(content), bytes(content[:cut])):
        file.write_bytes(part)
        try:
            mesh = read_mesh(file)
        except DataError:
            continue
        assert np.isfinite(mesh.vertices).all()
        assert not mesh.faces.size or mesh.faces.max() < len(mesh.vertices)


# ---------------------------------------------------------------- flow


@pytest.fixture(scope="module")
def opencv() -> None:
    pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Drawn faces of 64 x 64, and the same seen through known flows."""
    folder = tmp_path_factory.mktemp("crops")
    synthesise(folder, 8, ("neutral",), size=64, seed=1)
    faces = np.stack([pixels(path) for path in sorted(folder.rglob("*NES.JPG"))])
    shares = np.random.default_rng(0).uniform(-0.6, 1.0, (len(faces), 2))
    moved = [moved_face(flow_shapes(), p, face) for p, face in zip(shares, faces, strict=True)]
    return faces, np.stack(moved)


def test_a_lattice_rests_in_the_middles_of_squares() -> None:
    points = lattice(32, 16)
    np.testing.assert_array_equal(points, [[8, 8], [24, 8], [8, 24], [24, 24]])
    for step in (0, 7, -8, 2.0):
        with pytest.raises(UsageError, match="must divide"):
            lattice(32, step)  # type: ignore[arg-type]


def test_without_opencv_the_extra_for_blendshapes_is_named(
    monkeypatch: pytest.MonkeyPatch, crops: tuple
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(PixelregError, match=r"learning blendshapes needs OpenCV.*\[shapes\]"):
        flow_lattice(crops[0], crops[0])


def test_flow_of_nothing_and_of_a_shift(opencv: None, crops: tuple) -> None:
    faces, _ = crops
    same = flow_lattice(faces[:2], faces[:2], 8)
    np.testing.assert_allclose(same, np.stack([lattice(64, 8)] * 2), atol=1e-6)
    shifted = np.roll(faces, (2, 3), axis=(1, 2))  # 2 down, 3 to the right
    found = flow_lattice(faces, shifted, 8) - lattice(64, 8)
    inner = np.linalg.norm(lattice(64, 8) - 32, axis=1) < 12
    came_from = np.median(found[:, inner].reshape(-1, 2), axis=0)
    np.testing.assert_allclose(came_from, [-3, -2], atol=0.5)


def test_flow_is_the_same_in_one_piece_and_in_chunks(
    opencv: None, crops: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelreg.shapes import flow

    whole = flow_lattice(*crops, step=4)
    monkeypatch.setattr(flow, "CHUNK", 3)
    np.testing.assert_array_equal(flow_lattice(*crops, step=4), whole)


def test_dense_flow_and_the_moved_face(crops: tuple) -> None:
    shapes = flow_shapes()
    dense = dense_flow(shapes, [1.0, -1.0])
    assert dense.shape == (64, 64, 2)
    np.testing.assert_allclose(dense[:20, :20], [[[3, 0]] * 20] * 20, atol=1e-5)
    np.testing.assert_allclose(dense[-20:, -20:], [[[0, -2]] * 20] * 20, atol=1e-5)
    face = crops[0][0]
    np.testing.assert_array_equal(moved_face(shapes, np.zeros(2), face), face)
    moved = moved_face(shapes, np.array([1.0, 0.0]), face)
    np.testing.assert_array_equal(moved[:, 2:20], face[:, 5:23])  # from 3 pixels to the right


def test_what_moved_drawn_faces_is_learnt_and_projected(opencv: None, crops: tuple) -> None:
    vertices = flow_lattice(*crops)
    made = shapes_of_flow(vertices, 64, 2, frame=Frame(), expressions=["happy"] * 8)
    assert (made.kind, made.size, made.frame) == ("flow", 64, Frame())
    np.testing.assert_array_equal(made.mean, lattice(64, 8))
    assert np.abs(made.components).max(axis=(1, 2)).tolist() == [1, 1]
    assert explained(made, vertices, lattice(64, 8)) > 0.5
    p = flow_parameters(made, *crops)
    np.testing.assert_array_equal(p, made.project(vertices))
    np.testing.assert_allclose(p.mean(axis=0), made.expressions["happy"], atol=1e-5)
    np.testing.assert_allclose(flow_parameters(made, crops[0], crops[0]), 0, atol=1e-6)
    with pytest.raises(InvalidArrayError, match="64 pixels wide"):
        flow_parameters(made, *(np.zeros((1, 32, 32, 3), np.uint8),) * 2)
    with pytest.raises(InvalidArrayError, match="kind flow are needed, not mesh"):
        flow_parameters(learnt(), *crops)


@pytest.mark.parametrize(
    ("shapes", "dtype", "reason"),
    [
        (((2, 64, 60, 3), (2, 64, 60, 3)), np.uint8, r"\(N, S, S, 3\)"),
        (((2, 64, 64, 3), (3, 64, 64, 3)), np.uint8, "but targets"),
        (((2, 64, 64, 3), (2, 64, 64, 3)), float, "uint8"),
        (((0, 64, 64, 3), (0, 64, 64, 3)), np.uint8, "uint8"),
        (((1, 16, 16, 3), (1, 16, 16, 3)), np.uint8, "32 x 32 or more"),
    ],
)
def test_crops_that_are_none(shapes: tuple, dtype: type, reason: str) -> None:
    with pytest.raises(InvalidArrayError, match=reason):
        flow_lattice(*(np.zeros(shape, dtype) for shape in shapes))


# ---------------------------------------------------------------- pictures


def coloured(picture: np.ndarray) -> np.ndarray:
    """Where something moves: pixels that are not grey."""
    return np.ptp(picture.astype(int), axis=2) > 12


def test_drawings_show_what_moves() -> None:
    shapes = flow_shapes()
    assert not coloured(draw(shapes, np.zeros(2), 128)).any()
    left, low = (coloured(draw(shapes, p, 128)) for p in np.eye(2))
    assert left[:, :72].sum() > 200
    assert not left[:, 72:].any()
    assert low[56:].sum() > 200
    assert not low[:56].any()


def test_meshes_are_drawn_from_the_front_with_their_edges() -> None:
    components = np.zeros((1, 4, 3), np.float32)
    components[0, 2, 1] = 1  # the upper right corner moves up
    shapes = Blendshapes(
        SQUARE.astype(np.float32), components, np.array([0.1], np.float32), ("up",),
        faces=np.array(HALVES, np.int32),
    )  # fmt: skip
    still, moved = draw(shapes, np.zeros(1), 100), draw(shapes, np.ones(1), 100)
    assert still.min() < 220  # edges
    assert still[50, 3:8].min() < 240
    where = np.argwhere(coloured(moved))
    assert where[:, 0].min() < 20
    assert where[:, 1].max() > 80


def test_a_sheet_has_every_component_at_every_value(crops: tuple) -> None:
    shapes = flow_shapes()
    sheet = component_sheet(shapes, cell=96)
    for p in ([-1, 0], [1, 0], [0, -1], [0, 1]):
        assert len(places_of(draw(shapes, np.array(p, float), 96), sheet)) == 1
    assert len(places_of(draw(shapes, np.zeros(2), 96), sheet)) == 2
    face = crops[0][0]
    on_face = component_sheet(shapes, (-0.5, 0.0), face, 64)
    assert len(places_of(face, on_face)) == 2
    assert len(places_of(moved_face(shapes, np.array([0, -0.5]), face), on_face)) == 1
    with pytest.raises(InvalidArrayError, match="the face must be"):
        component_sheet(shapes, face=face[:32])
    with pytest.raises(InvalidArrayError, match="kind flow"):
        component_sheet(learnt(), face=face)


# ---------------------------------------------------------------- the command


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Twelve people's meshes, neutral and with two expressions."""
    shapes, neutral, _, _ = known()
    folder = tmp_path / "scans"
    for k in range(12):
        for name, vertices in (("neutral", neutral[k]), ("HA", shapes[k]), ("sad", shapes[k + 20])):
            moved = vertices if name != "sad" else neutral[k] + shapes[k + 20] - neutral[k + 20]
            write_obj(moved, HALVES, folder / name / f"p{k}.obj")
    return folder


def test_command_on_meshes(command: Command, scans: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "x.safetensors", tmp_path / "sheet.png"
    options = ("--components", 3, "--sparsity", 0.01, "-o", out, "--picture", sheet)
    done = command("blendshape", scans, *options, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    shapes = load(out)
    assert told["kind"] == shapes.kind == "mesh"
    assert told["explained"] > 0.99
    assert told["bytes"] == out.stat().st_size
    assert list(told["expressions"]) == list(shapes.expressions) == ["happy", "sad"]
    assert (shapes.provenance.people, shapes.provenance.pairs) == (12, 24)
    np.testing.assert_array_equal(shapes.faces, HALVES)
    np.testing.assert_array_equal(pixels(sheet), component_sheet(shapes))
    text = command("blendshape", scans, "--expr", "happy", *options)
    assert text.code == 0
    assert re.search(r"c1 +\d.*%", text.out)
    assert "3 components explain" in text.err


def test_command_on_meshes_that_do_not_fit(command: Command, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    (scans / "HA" / "p3.obj").unlink()
    for content, reason in ((MESHES["big.ply"], "4 vertices but"), (b"ply", "not a PLY file")):
        (scans / "HA" / "p3.ply").write_bytes(content)
        wrong = command("blendshape", scans, "-o", out)
        assert wrong.code == 1
        assert re.search(f"p3.ply.*{reason}", wrong.error)
    assert not out.exists()


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Six people's landmark templates beside small pictures, laid out as the London set."""
    rng = np.random.default_rng(0)
    base = rng.uniform(20, 80, (189, 2))
    base[:2] = [[36, 39], [64, 39]]
    smile = np.zeros((189, 2))
    smile[87:94, 1] = np.linspace(-4, -2, 7)
    folder = tmp_path / "templates"
    for k in range(6):
        turn = np.exp(0.05j * (k - 3)) * (1 + 0.1 * k)
        for name, points in (("neutral_front/{:03}_03", base), ("smiling_front/{:03}_08", None)):
            shown = base + (0.2 + 0.16 * k) * smile if points is None else points
            placed = (shown @ np.array([1, 1j])) * turn + 5 + 3j
            file = folder / name.format(k)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (128, 128), (200, 150, 120)).save(file.with_suffix(".jpg"))
            rows = [f"{z.real:.6f}\t{z.imag:.6f}" for z in placed]
            file.with_suffix(".tem").write_text("\n".join(["189", *rows]) + "\n")
    return folder


def test_command_on_landmarks(command: Command, templates: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    options = ("--of", "landmarks", "--components", 1, "--size", 100, "-o", out)
    done = command("blendshape", templates, *options, "--sparsity", 0.02)
    assert done.code == 0, done.err
    shapes = load(out)
    assert (shapes.kind, shapes.size, shapes.frame) == ("landmarks", 100, Frame())
    # Turned and scaled faces come to lie on one another: the smile alone is left.
    np.testing.assert_allclose(shapes.mean[:2], [[36, 39], [64, 39]], atol=1e-4)
    moved = np.flatnonzero((np.abs(shapes.components[0]) > 1e-3).any(axis=1))
    np.testing.assert_array_equal(moved, range(87, 94))
    assert shapes.ranges[0] == pytest.approx(4, rel=0.02)
    next((templates / "smiling_front").glob("*.tem")).unlink()
    assert "has no landmark file" in command("blendshape", templates, *options).error


def test_landmark_files_of_the_london_set(london: Path) -> None:
    file = min((london / "neutral_front").glob("[0-9]*.tem"))
    points = aligned_landmarks(file, Frame(), 128)
    assert points.shape == (189, 2)
    np.testing.assert_allclose(points[:2], np.array(Frame().eyes) * 128, atol=1e-9)


def test_command_on_london(command: Command, london: Path, opencv: None, tmp_path: Path) -> None:
    data, out, sheet = tmp_path / "london", tmp_path / "x.safetensors", tmp_path / "sheet.png"
    for path in sorted(london.glob("*_front/00[1-9]_0[38].*")):
        (data / path.parent.name).mkdir(parents=True, exist_ok=True)
        (data / path.parent.name / path.name).symlink_to(path)
    people = len(list((data / "neutral_front").glob("*.jpg")))
    assert people >= 5
    options = ("--components", 3, "--size", 64, "--picture", sheet, "--on-face")
    done = command("blendshape", data, "-o", out, "--detector", "bundled", *options)
    assert done.code == 0, done.err
    shapes = load(out)
    assert (shapes.kind, shapes.count, shapes.size) == ("flow", 3, 64)
    assert shapes.provenance.people == people
    assert shapes.provenance.licence.startswith("CC BY")
    # The mean smile moves the mouth's corners up and apart; flow points back to neutral.
    flow = dense_flow(shapes, shapes.expressions["happy"])
    left, right = flow[42:48, 22:26].mean(axis=(0, 1)), flow[42:48, 38:42].mean(axis=(0, 1))
    assert left[1] > 0.2
    assert right[1] > 0.2
    assert left[0] > right[0]
    assert pixels(sheet).shape[2] == 3
