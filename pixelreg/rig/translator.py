"""The rig as a `Translator`: any expression, on any face whose landmarks are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pixelreg.arrays import Array, Pixels
from pixelreg.backends import compiled_loops, exact_loops, loops_by, quickest
from pixelreg.errors import FaceError, UsageError
from pixelreg.faces.align import Similarity
from pixelreg.faces.dense import DenseFace, DenseFinder, find_dense
from pixelreg.faces.followed import OneFace
from pixelreg.faces.landmarks import Face, face_from_eyes
from pixelreg.faces.locate import SMALLEST_EYE_DISTANCE, Locator, Placement
from pixelreg.faces.prepared import ChangeAt, Changer, PreparedFaces
from pixelreg.models.model import Frame
from pixelreg.models.plans import Change
from pixelreg.pictures.image import ImageLike, Picture, read
from pixelreg.pictures.stored import as_bytes
from pixelreg.rig.expressions import EXPRESSIONS, Vocabulary, bare, expression_of
from pixelreg.rig.head import HEAD, Mesh, load_mesh
from pixelreg.rig.motion import USUAL, Look, Rig, change
from pixelreg.rig.moving import MOST_TURNED, PUPILS, MovingFace, smaller, times_smaller, window_of
from pixelreg.rig.shown import example_weights, misfit_of, moved_towards, shown_weights, turn_of
from pixelreg.rig.sitter import Sitter, fit_sitter
from pixelreg.translator import Target, Translator

SIZE = 256  # of crops, where pictures come as crops
# A share of landmarks; cm that they may lie off a face's; times what is whole of a target's name,
# and of a shape: more would tear the skin.
MOST_INSIDE, MOST_MISFIT, MOST_SHARE, MOST_WEIGHT = 0.5, 0.35, 3.0, 2.5
BLANK = 2.0  # grey levels of spread below which there is nothing to see
LOOKED_AT = 64  # rows and columns of pixels, which tell that
# Times the doubt above which a finder's landmarks should be looked at.
TOO_UNSURE = 2.0


@dataclass(frozen=True)
class RigTranslator(Translator):
    """A 3D face's expression shapes on photos; nothing is trained and nothing downloaded.

    Attributes
    ----------
    locator : how faces are found in photos.
    finder : how their dense landmarks are found.
    file : the head's file; None for the one that comes with pixelreg.
    backend : what looks and draws: auto, numpy or numba. Numba is quicker once it is compiled, and
        off by a grey level here and there; auto is NumPy, so that a photo gives the same bytes
        everywhere.
    """

    locator: Locator = field(default_factory=Locator)
    finder: DenseFinder = field(default_factory=DenseFinder)
    file: Path | None = None
    backend: str = "auto"
    takes_crops: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.backend != "auto":
            for name in ("locator", "finder"):
                told = replace(getattr(self, name), backend=self.backend)
                object.__setattr__(self, name, told)

    @property
    def rig(self) -> Rig:
        """The head, ready for use."""
        return _rig_of(self.file, loops_by(self.backend, "loops_rig"))

    @property
    def quick_rig(self) -> Rig:
        """The head for films, with compiled loops where they can be had."""
        return _rig_of(self.file, compiled_loops("loops_rig"))

    @cached_property
    def quick_finder(self) -> DenseFinder:
        """The finder for films, as `quick_rig` is the head."""
        return replace(self.finder, backend=quickest())

    @property
    def mesh(self) -> Mesh:
        """The head's mesh."""
        return self.rig.mesh

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What targets may be called."""
        return Vocabulary(self.mesh.shapes)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(EXPRESSIONS)

    @property
    def source(self) -> str:
        return ""

    @property
    def size(self) -> int:
        return SIZE

    @property
    def frame(self) -> Frame | None:
        return Frame()

    @property
    def sliders(self) -> Mapping[str, tuple[float, float]]:
        """Expressions and muscles, both sides together, from rest to full."""
        names = (*EXPRESSIONS, *bare(self.mesh.shapes))
        return {name: (0.0, 1.0) for name in names if name != "neutral"}

    @property
    def file_bytes(self) -> int:
        """Bytes of the head's file."""
        return (self.file or HEAD).stat().st_size

    def goal(self, target: Target) -> Goal:
        """What a target asks of a face, whatever that shows."""
        if isinstance(target, str):
            target = {target: 1.0}
        if not isinstance(target, Mapping):
            raise UsageError("the rig takes the name of an expression, or numbers by name")
        return Goal.of(self.vocabulary, target)

    def prepare(self, picture: Picture, target: Target, path: Path | None = None) -> PreparedFaces:
        """Find the faces and what they show once, to be given back at any strength."""
        self.goal(target)  # a wrong target must not wait for the faces
        return self.ready(picture, path)(target)

    def ready(
        self, picture: Picture, path: Path | None = None
    ) -> Callable[[Target], PreparedFaces]:
        """Find the faces and what they show once, for any target."""
        faces, notes = self.found(picture.pixels, path)
        seats = [(face, *self.seated(picture.pixels, dense.points)) for face, dense in faces]

        def prepared(target: Target) -> PreparedFaces:
            goal = self.goal(target)
            parts: list[tuple[Placement, ChangeAt]] = [
                (Placement(place, face), self._changing(sitter, goal))
                for face, place, sitter in seats
            ]
            return PreparedFaces(picture, tuple(parts), notes, exact_loops(self.backend))

        return prepared

    def _unfit(self, pixels: Pixels, face: Face, dense: DenseFace) -> str | None:
        """Why a face cannot be changed, or None."""
        height, width = pixels.shape[:2]
        inside = (dense.points > 0).all(axis=1) & (dense.points < [width, height]).all(axis=1)
        apart = float(np.linalg.norm(np.subtract(*dense.points[list(PUPILS)])))
        if not inside.mean() > MOST_INSIDE:
            return "most of its landmarks lie outside the picture"
        if apart < SMALLEST_EYE_DISTANCE:
            return f"its eyes are {apart:.0f} pixels apart, {SMALLEST_EYE_DISTANCE:.0f} are needed"
        if misfit_of(self.mesh, dense.points) > MOST_MISFIT:
            return f"the landmarks by {dense.source} do not lie as those of a face do"
        if turn_of(self.mesh, dense.points) > MOST_TURNED:
            return "it is turned too far to the side; about 45 degrees work"
        if dense.covered is not None and face.score < 1:  # who says where a face is may be believed
            return (
                f"its {dense.covered} cannot be seen well enough (covered, or cut off?); say where "
                "the face is, by --eyes or a landmark file, to change it nevertheless"
            )
        if dense.doubt > TOO_UNSURE * self.finder.unsure:
            return "its landmarks are not found with certainty; give them in a landmark file"
        return "there is nothing but one colour" if _is_blank(pixels, dense.points) else None

    def likeness(self, image: ImageLike) -> dict[str, float]:
        """The expression of the largest face of a picture, as a target.

        Returns: Weights by the names of shapes; and neutral, so that what another face shows
        besides is let go of.
        """
        path = Path(image) if isinstance(image, (str, Path)) else None
        other = replace(self, locator=self.locator.anywhere())
        try:
            faces, _ = other.found(read(image).pixels, path)
        except FaceError as error:
            raise FaceError(f"{path or 'the example'}: {error}") from error
        return {"neutral": 1.0, **example_weights(self.mesh, faces[0][1].points)}

    def changer(self, target: Target) -> Changer:
        goal = self.goal(target)

        def made(crop: Any) -> Change:
            pixels = crop if crop.dtype == np.uint8 else as_bytes(crop)
            face = face_from_eyes(np.asarray(Frame().eyes) * len(crop))
            sitter = self.sitter(pixels, self.finder.find(pixels, face).points)
            return change(self.rig, sitter, goal.weights(sitter.shown, 1.0), goal.look)

        return Changer(made, SIZE, masked=True)

    def following(self, target: Target) -> Callable[[], OneFace]:
        goal, rig, finder = self.goal(target), self.quick_rig, self.quick_finder
        return lambda: MovingFace(rig, finder, goal.weights, goal.look)

    def run(self, target: Target, crops: Pixels) -> Pixels:
        from pixelreg.faces.align import UNMOVED
        from pixelreg.faces.paste import paste_change

        changer = self.changer(target)
        flat = crops.reshape(-1, *crops.shape[-3:])
        made = [paste_change(crop, changer(crop, True), UNMOVED) for crop in flat]
        return np.array(made, np.uint8).reshape(crops.shape)

    def computed_by(self, target: Target, pictures: int = 1) -> str:
        return "numpy" if self.rig.loops is None else "numba"

    def describe(self) -> dict[str, Any]:
        """Parameters, bytes and provenance of the head, ready for JSON."""
        head = self.mesh.head
        return {
            "name": "rig",
            "model": "rig",
            "source": "any",
            "targets": list(self.targets),
            "size": SIZE,
            "parameters": int(head.vertices.size + head.shapes.size),
            "shapes": list(self.mesh.shapes),
            "attribution": "ICT-FaceKit, University of Southern California",
            "licence": "MIT",
            "backend": self.computed_by("neutral"),
        }

    def sitter(self, pixels: Pixels, points: Array) -> Sitter:
        """The head fitted to a face; points (82, 2) in pixels."""
        return fit_sitter(self.mesh, pixels, points, shown_weights(self.mesh, points))

    def found(
        self, pixels: Pixels, path: Path | None = None
    ) -> tuple[list[tuple[Face, DenseFace]], tuple[str, ...]]:
        """The wanted faces of a photo that can be changed, the largest first, and their landmarks;
        and why others cannot.
        """
        faces, notes = [], []
        for face in self.locator.faces(pixels, path):
            dense = find_dense(self.finder, self.locator, pixels, face, path)
            reason = self._unfit(pixels, face, dense)
            if reason is None:
                faces.append((face, dense))
            else:
                notes.append(f"the face at {_where(face)} is left alone: {reason}")
        if not faces:
            raise FaceError("; ".join(notes))
        return faces, tuple(notes)

    def seated(self, pixels: Pixels, points: Array) -> tuple[Similarity, Sitter]:
        """The head fitted to the part of a photo around a face, and where this part lies."""
        apart = float(np.linalg.norm(np.subtract(*points[list(PUPILS)])))
        window, place = _window(pixels, points, times_smaller(apart))
        return place, self.sitter(window, place.to_crop(points))

    def _changing(self, sitter: Sitter, goal: Goal) -> ChangeAt:
        return lambda strength: change(
            self.rig, sitter, goal.weights(sitter.shown, strength), goal.look
        )


@dataclass(frozen=True)
class Goal:
    """A target as weights.

    given : what shapes are to be set to, by whole names.
    let_go : the share, 0 to 1, of what the face shows besides that goes.
    look : of its wrinkles and shading.
    """

    given: Mapping[str, float]
    let_go: float
    look: Look = USUAL

    @classmethod
    def of(cls, vocabulary: Vocabulary, target: Mapping[str, float]) -> Goal:
        """The goal of a mixture: expressions let go of what is shown, muscles leave the rest."""
        given: dict[str, float] = {}
        let_go, wrinkles, shading = 0.0, 1.0, 1.0
        for name, share in target.items():
            asked: Any = name, share
            if not isinstance(asked[0], str):
                raise UsageError(f"a muscle is called by a name, not {name!r}")
            if not isinstance(asked[1], Real) or not abs(share) <= MOST_SHARE:
                raise UsageError(
                    f"{name} must be a number from -{MOST_SHARE:g} to {MOST_SHARE:g}, not {share!r}"
                )
            for shape, weight in vocabulary.weights(name).items():
                given[shape] = given.get(shape, 0.0) + share * weight
            whole = expression_of(name)
            if whole is not None:
                let_go += abs(share)
                wrinkles += abs(share) * (whole.wrinkles - 1)
                shading += abs(share) * (whole.shading - 1)
        return cls(given, min(let_go, 1.0), Look(max(wrinkles, 0.0), max(shading, 0.0)))

    def weights(self, shown: Mapping[str, float], strength: float) -> dict[str, float]:
        """The weights ``strength`` of the way from what is shown, none more than skin bears."""
        kept = {n: w * (1 - self.let_go) for n, w in shown.items() if n not in self.given}
        moved = moved_towards(shown, {**kept, **self.given}, strength)
        return {n: min(max(w, -MOST_WEIGHT), MOST_WEIGHT) for n, w in moved.items()}


@lru_cache(maxsize=2)
def _rig_of(file: Path | None, loops: Any = None) -> Rig:
    """One rig a file: it takes a while to unpack, and nothing of it changes."""
    return Rig(load_mesh(file)) if loops is None else Rig(_rig_of(file).mesh, loops)


def _is_blank(pixels: Pixels, points: Array) -> bool:
    """Whether a picture shows one colour alone where a face should be."""
    low, high = np.maximum(points.min(axis=0), 0).astype(int), points.max(axis=0).astype(int) + 1
    part = pixels[low[1] : high[1], low[0] : high[0]]
    down, across = (max(1, side // LOOKED_AT) for side in part.shape[:2])
    return bool(part[::down, ::across].std(axis=(0, 1)).max() < BLANK)


def _where(face: Face) -> str:
    x, y = np.rint(face.eyes.mean(axis=0)).astype(int).tolist()
    return f"{x},{y}"


def _window(pixels: Pixels, points: Array, times: int) -> tuple[Pixels, Similarity]:
    """The part of a photo around a face, ``times`` smaller, and the way from it to the photo."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = window_of(points[list(PUPILS)], (width, height), times)
    if right - left < times or bottom - top < times:
        raise FaceError("the face lies outside the picture")
    window = smaller(pixels[top:bottom, left:right], times)
    return window, Similarity(float(times), 0.0, float(left), float(top))
