"""Make the head of the rig from the ICT-FaceKit's 3D face (MIT) and the London set's landmarks.

    python examples/make_head.py ict_face_light.npz LONDON_FOLDER -o head.safetensors.xz

The archive holds ``vertices``, ``triangles``, ``material``, ``expression_names``, ``expressions``,
``identities`` and ``multipie68`` of the face. Of the London set only the landmark files are read:
they say where neutral faces differ from the 3D face.
"""

from __future__ import annotations

import argparse
import lzma
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from examples.rig.face import Face, read_face
from examples.rig.frontal import frontal_mesh
from examples.rig.teeth import teeth_sprites
from examples.rig.usual import usual_levels, usual_places
from pixelreg.faces.dense import read_dense
from pixelreg.files import write_atomically
from pixelreg.models import store
from pixelreg.rig.head import FORMAT, TENSORS, Head, Mesh


def make(face: Face, neutrals: Sequence[np.ndarray]) -> Head:
    """The head: half of the frontal skin, its shapes, where its colours come from, and teeth."""
    teeth, jaw = teeth_sprites(face)
    parts = frontal_mesh(face)
    parts |= {"usual": np.zeros((len(parts["anchors"]), 2), np.int8)}
    parts |= {"levels": np.zeros(len(parts["names"]), np.float32)}
    head = Head(**parts, teeth=teeth, jaw=jaw)
    usual = np.rint(usual_places(Mesh(head), neutrals) * 100).clip(-127, 127).astype(np.int8)
    head = replace(head, usual=usual)
    levels = usual_levels(Mesh(head), neutrals)
    bare = [levels.get(name.removesuffix("_"), 0.0) for name in head.names]
    return replace(head, levels=np.array(bare, np.float32))


def save_head(head: Head, path: Path) -> None:
    """Write a head, packed, whole or not at all."""
    tensors = {name: getattr(head, name) for name in TENSORS}
    plain = store.as_bytes(FORMAT, tensors, {"names": list(head.names)})
    packed = lzma.compress(plain, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
    write_atomically(path, lambda file: file.write(packed) and None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("face", type=Path, help="the 3D face's archive")
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("head.safetensors.xz"))
    run = parser.parse_args(arguments)
    marks = [read_dense(path) for path in sorted(run.london.rglob("*.tem"))]
    head = make(read_face(run.face), [points for points in marks if points is not None])
    save_head(head, run.output)
    counts = head.vertices.shape[1], head.triangles.shape[1], len(head.shapes), len(marks)
    sys.stderr.write("{} vertices, {} triangles, {} shapes, {} faces\n".format(*counts))
    sys.stderr.write(f"wrote {run.output}, {run.output.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
