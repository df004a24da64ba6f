"""How well dense landmarks are found where faces are turned, hidden, dark, small or moving.

    python -m benchmarks.landmarks LONDON_FOLDER [--cascades NAME.fold] [--meshes NAME.fold]

Every neutral face of the London set is changed in one way at a time, so that its hand-placed points
stay exact: drawn upon, turned over a generic head's depth, or bent by the rig. All finders start at
the same five points, as far beside the true ones as detectors' are; the first row starts where the
bundled detector sees the face. Errors are means over the 82 points, in % of the eye distance; in
brackets the share of faces above 8 %.

--cascades names the files of ``examples.train_landmarks --folds 4`` without their numbers, --meshes
those of ``examples.convert_facemesh --folds 4``: each person is then looked at by what has not seen
them. Without them the bundled ones look at people that they were made from, and their figures
flatter them. --others takes folders of other photos with webmorph templates beside them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.detector.data import _draw_glasses, _turn, _unturn
from examples.landmarks.bend import _as_open, _attached, photographs
from pixelreg.arrays import Float64, Floats, Pixels
from pixelreg.errors import FaceError
from pixelreg.faces.align import UNMOVED
from pixelreg.faces.bundled import BundledDetector
from pixelreg.faces.cascade import Poses, Pyramid
from pixelreg.faces.dense import PARTS, POINTS, DenseFace, DenseMethod, five_of
from pixelreg.faces.densecascade import DenseCascade
from pixelreg.faces.facemesh import FaceMeshFinder
from pixelreg.faces.landmarks import Face, face_from_points, read_points
from pixelreg.faces.paste import paste_change
from pixelreg.faces.secondlook import DOUBT, SecondLook
from pixelreg.rig.expressions import Vocabulary
from pixelreg.rig.head import load_mesh
from pixelreg.rig.motion import Rig, change
from pixelreg.rig.sitter import FLIP, fit_sitter

SIDE = 420  # pixels of a scene
UNIT = 88.0  # pixels between its eyes
SMALL = 14.0
ASIDE = 0.04  # eye distances that each of the five points lies beside its place
FAR = 0.08  # an error that spoils what is made of the points
WAYS = ("cascade", "facemesh", "auto")
# Numbers of the London template, and those of the same places in others: of 106 and of 83 points.
SHARED: Mapping[int, Mapping[int, int]] = {
    189: {n: n for n in POINTS},
    106: {
        **{0: 0, 1: 1, 18: 35, 20: 37, 22: 39, 23: 44, 25: 46, 27: 48, 55: 80},
        **{87: 86, 88: 87, 89: 88, 90: 89, 91: 90, 92: 91, 93: 92},
        **{104: 101, 105: 102, 106: 103, 107: 104, 108: 105},
    },
    83: {
        **{18: 44, 20: 56, 22: 79, 23: 61, 25: 38, 27: 40, 55: 37},
        **{87: 29, 88: 0, 89: 3, 90: 26, 91: 72, 92: 42, 93: 45},
        **{104: 10, 105: 39, 106: 12, 107: 2, 108: 75},
    },
}
Photo = tuple[str, Pixels, Float64]


class Seen(NamedTuple):
    """A face in the face frame: its colours there, (h, w, 3) float32 in [0, 1], and where."""

    colours: Floats
    at: Floats
    points: Float64


Touch = Callable[[Seen, np.random.Generator], Floats]


class Case(NamedTuple):
    """One way to change a face."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    unit: float = UNIT
    muscles: Mapping[str, float] = {}
    touch: Touch | None = None
    aside: float = ASIDE


def glasses(seen: Seen, rng: np.random.Generator) -> Floats:
    """Spectacles, the same in every colour."""
    seed = int(rng.integers(2**31))
    drawn = [
        _draw_glasses(seen.colours[..., k], seen.at, np.random.default_rng(seed)) for k in range(3)
    ]
    return np.stack(drawn, axis=-1)


def dark(seen: Seen, rng: np.random.Generator) -> Floats:
    """A twelfth of the light, and what a sensor adds to it."""
    noise = rng.normal(0, 0.01, seen.colours.shape)
    return (seen.colours / 12 + noise).astype(np.float32)


def beard(seen: Seen, rng: np.random.Generator) -> Floats:
    """A dense beard and moustache: dark speckle over all below the nose but the lips."""
    x, y = seen.at[..., 0], seen.at[..., 1]
    below = np.clip((y - 0.8) * 5, 0, 1) * (np.hypot(x, (y - 0.4) / 1.35) < 1.05)
    mouth = Image.new("L", seen.at.shape[1::-1])
    lips = seen.points[PARTS["mouth"]][[*range(7), *range(21, 16, -1)]]
    ImageDraw.Draw(mouth).polygon([tuple(p) for p in lips.tolist()], fill=255)
    bare = np.asarray(mouth.filter(ImageFilter.GaussianBlur(2)), np.float32) / 255
    hair = 0.12 + 0.06 * rng.normal(0, 1, x.shape)
    cover = (below * (1 - bare) * 0.9)[..., None]
    return (seen.colours + cover * (hair[..., None] - seen.colours)).astype(np.float32)


def covered(seen: Seen, rng: np.random.Generator) -> Floats:
    """Something plain before mouth and chin, as a mask or a scarf."""
    colour = rng.uniform(0.1, 0.9, 3)
    hidden = (seen.at[..., 1] > 0.72) & (np.abs(seen.at[..., 0]) < 1.1)
    return np.where(hidden[..., None], colour, seen.colours).astype(np.float32)


def halved(seen: Seen, rng: np.random.Generator) -> Floats:
    """A flat thing before one side of the face, from beside the nose on."""
    side, colour = rng.choice([-1, 1]), rng.uniform(0.1, 0.9, 3)
    hidden = seen.at[..., 0] * side > 0.2
    return np.where(hidden[..., None], colour, seen.colours).astype(np.float32)


CASES: Mapping[str, Case] = {
    "plain": Case(),
    "glasses": Case(touch=glasses),
    "a twelfth of the light": Case(touch=dark),
    "eyes 14 px apart": Case(unit=SMALL),
    "roll 40": Case(roll=40),
    **{f"yaw {angle}": Case(yaw=angle) for angle in (15, 25, 35, 45)},
    "pitch 20": Case(pitch=20),
    "pitch -20": Case(pitch=-20),
    "mouth wide open": Case(muscles={"jawOpen": 0.9}),
    "smile": Case(muscles={"mouthSmile": 0.9, "cheekSquint": 0.5, "mouthUpperUp": 0.4}),
    "frown": Case(muscles={"browDown": 1.0, "eyeSquint": 0.5, "mouthFrown": 0.6}),
    "eyes shut": Case(muscles={"eyeBlink": 1.0}),
    "full beard": Case(touch=beard),
    "mouth and chin covered": Case(touch=covered),
    "glasses, frown": Case(muscles={"browDown": 1.0, "eyeSquint": 0.5}, touch=glasses),
    "beard, yaw 35": Case(yaw=35, touch=beard),
    "half a face covered": Case(touch=halved),
    "dark, small, yaw 35": Case(yaw=35, unit=SMALL, touch=dark),
    "begun far aside": Case(aside=0.2),
}


class Bender:
    """The rig, for photographs of portraits."""

    def __init__(self) -> None:
        self.rig = Rig(load_mesh())

    def __call__(self, photo: Photo, muscles: Mapping[str, float]) -> Photo:
        """The face with these muscles moved, and where its points go with them."""
        person, pixels, points = photo
        if not muscles:
            return photo
        mesh = self.rig.mesh
        sitter = fit_sitter(mesh, pixels, points, {})
        weights = Vocabulary(mesh.shapes).spread(dict(muscles))
        changed = paste_change(pixels, change(self.rig, sitter, weights), UNMOVED)
        steps = mesh.moved(_as_open(weights, sitter))[:, :2] * FLIP
        vertices = _attached(self.rig, sitter, points)
        moved = np.einsum("nij,nj->ni", sitter.slopes, steps)[vertices]
        moved[[0, 17]] = 0
        return person, changed, points + moved


def scene(photo: Photo, case: Case, rng: np.random.Generator) -> tuple[Pixels, Float64]:
    """A picture of the case, (SIDE, SIDE, 3) uint8, and its (82, 2) points."""
    _, pixels, points = photo
    eyes = points[[0, 17]]
    frame = Poses(eyes.mean(axis=0)[None], (eyes[1] - eyes[0])[None])
    yaw, pitch, roll = np.deg2rad([case.yaw * rng.choice([-1, 1]), case.pitch, case.roll])
    axis = case.unit * np.array([[np.cos(roll), np.sin(roll)]])
    place = Poses(np.array([[SIDE / 2, SIDE / 2 - 0.5 * case.unit]]), axis)
    lattice = np.stack(np.meshgrid(*[np.arange(SIDE) + 0.5] * 2), axis=-1)
    seen = place.to_frame(lattice.reshape(1, -1, 2))[0].astype(np.float32)
    source = frame.to_picture(_unturn(seen, yaw, pitch))
    stack = Pyramid.of(np.moveaxis(pixels, -1, 0).astype(np.float32) / 255)
    step = np.repeat(frame.unit / case.unit, 3)
    colours = stack.sample(np.arange(3), np.repeat(source, 3, axis=0), step)
    colours = np.moveaxis(colours.reshape(3, SIDE, SIDE), 0, -1)
    truth = place.to_picture(_turn(frame.to_frame(points[None])[0], yaw, pitch))[0]
    if case.touch:
        colours = case.touch(Seen(colours, seen.reshape(SIDE, SIDE, 2), truth), rng)
    return (colours * 255 + 0.5).clip(0, 255).astype(np.uint8), truth


def started(points: Float64, rng: np.random.Generator, far: float) -> Face:
    """A face as detectors tell of it, its points ``far`` eye distances beside their places."""
    unit = np.hypot(*(points[17] - points[0]))
    aside = rng.normal(0, far / np.sqrt(2), (5, 2)) * unit
    return face_from_points(five_of(points) + aside)


class Finders:
    """The finders for each person: with folds those of files that have not seen them."""

    def __init__(self, cascades: str | None, meshes: str | None, folds: int) -> None:
        self.cascades = [DenseCascade(file) for file in _files(cascades, folds)]
        self.meshes = [FaceMeshFinder(file) for file in _files(meshes, folds)]

    def look(self, number: int, pixels: Pixels, face: Face) -> dict[str, DenseFace]:
        """What each finder sees, for the person of this number."""
        auto = SecondLook()
        cascade = auto.__dict__["cascade"] = self.cascades[number % len(self.cascades)]
        mesh = auto.__dict__["facemesh"] = self.meshes[number % len(self.meshes)]
        ways = {"cascade": cascade, "facemesh": mesh, "auto": auto}
        return {name: way.find(pixels, face) for name, way in ways.items()}


def _files(name: str | None, folds: int) -> list[Path | None]:
    """One file a fold, or None for the bundled one."""
    return [None] if name is None else [Path(f"{name}{k}") for k in range(folds)]


class Looked(NamedTuple):
    """The faces of a case.

    truth : (n, 82, 2). found : by finder, (n, 82, 2). doubts : by finder, (n,).
    """

    truth: Float64
    found: dict[str, Float64]
    doubts: dict[str, Float64]

    def errors(self, found: Float64) -> Float64:
        """(n, 82) in eye distances."""
        unit = np.linalg.norm(self.truth[:, 17] - self.truth[:, 0], axis=1)
        far: Float64 = np.linalg.norm(found - self.truth, axis=2) / unit[:, None]
        return far


def measure(
    name: str,
    photos: Sequence[tuple[int, Photo]],
    bend: Bender,
    finders: Finders,
    detector: bool = False,
) -> Looked:
    """All faces of a case."""
    made: list[tuple[Float64, dict[str, DenseFace]]] = []
    for number, photo in photos:
        rng = np.random.default_rng([7, number])
        pixels, truth = scene(bend(photo, CASES[name].muscles), CASES[name], rng)
        try:
            face = (
                BundledDetector().detect(pixels)[0]
                if detector
                else started(truth, rng, CASES[name].aside)
            )
        except (FaceError, IndexError):
            print(f"  {photo[0]}: the detector finds no face")
            continue
        made.append((truth, finders.look(number, pixels, face)))
    return Looked(
        np.array([truth for truth, _ in made]),
        {way: np.array([seen[way].points for _, seen in made]) for way in WAYS},
        {way: np.array([seen[way].doubt for _, seen in made]) for way in WAYS},
    )


def row(label: str, looked: Looked) -> str:
    """A line of the table."""
    cells = [label]
    for found in looked.found.values():
        each = looked.errors(found).mean(axis=1)
        cells.append(f"{100 * each.mean():.1f} ({100 * (each > FAR).mean():.0f})")
    mouth = looked.errors(looked.found["auto"])[:, PARTS["mouth"]].mean()
    second = (looked.doubts["auto"] > DOUBT).mean()
    return "| " + " | ".join([*cells, f"{100 * mouth:.1f}", f"{100 * second:.0f} %"]) + " |"


def doubts(looks: Sequence[Looked]) -> None:
    """What ``auto`` makes of faces by its doubt, over all cases, and the bad answers it tells."""
    found = {way: [look.errors(look.found[way]).mean(axis=1) for look in looks] for way in WAYS}
    mean = [(look.found["cascade"] + look.found["facemesh"]) / 2 for look in looks]
    found["mean"] = [look.errors(one).mean(axis=1) for look, one in zip(looks, mean, strict=True)]
    whole = {way: np.concatenate(parts) for way, parts in found.items()}
    doubt = np.concatenate([look.doubts["auto"] for look in looks])
    bad = whole["auto"] > FAR
    print("\n| doubt above | of the faces | " + " | ".join(whole) + " | bad ones among them |")
    print("|---" * (len(whole) + 3) + "|")
    for limit in (0, 0.015, 0.025, 0.035, 0.05, 0.07, 0.1):
        which = doubt >= limit
        if which.any():
            cells = [f"{100 * limit:.1f} %", f"{100 * which.mean():.1f} %"]
            cells += [f"{100 * one[which].mean():.1f}" for one in whole.values()]
            print("| " + " | ".join([*cells, f"{(bad & which).sum()} of {bad.sum()}"]) + " |")


def others(folder: Path, finders: Finders) -> None:
    """Photos of a folder with templates beside them, by the points that these share with ours."""
    print(f"\n| {folder.name} | points | cascade | FaceMesh | auto | mean | doubt |")
    print("|---|---|---|---|---|---|---|")
    for photo in sorted(folder.glob("*.jpg")):
        with Image.open(photo) as file:
            pixels = np.asarray(file.convert("RGB"))
        given = read_points(photo.with_suffix(".tem"), {".tem": tuple(SHARED)})
        shared = SHARED[len(given)]
        ours, theirs = [POINTS.index(n) for n in shared], list(shared.values())
        seen = finders.look(0, pixels, BundledDetector().detect(pixels)[0])
        found = [seen[way].points for way in WAYS]
        found.append((found[0] + found[1]) / 2)
        unit = np.hypot(*(found[0][17] - found[0][0]))
        far = [np.linalg.norm(p[ours] - given[theirs], axis=1).mean() / unit for p in found]
        cells = [photo.name, str(len(ours)), *(f"{100 * one:.1f}" for one in far)]
        print("| " + " | ".join([*cells, f"{100 * seen['auto'].doubt:.1f} %"]) + " |")


def pace(photo: Photo, finders: Finders) -> None:
    """Milliseconds a face, processor time of both looks, the weights read already."""
    pixels, truth = scene(photo, CASES["plain"], np.random.default_rng(7))
    face = started(truth, np.random.default_rng(7), ASIDE)
    auto = SecondLook()
    auto.__dict__ |= {"cascade": finders.cascades[0], "facemesh": finders.meshes[0]}
    ways: Mapping[str, DenseMethod] = dict(
        zip(WAYS, (finders.cascades[0], finders.meshes[0], auto), strict=True)
    )
    for name, way in ways.items():
        way.find(pixels, face)
        took = []
        for _ in range(15):
            start = time.process_time()
            way.find(pixels, face)
            took.append(time.process_time() - start)
        print(f"{name}: {1000 * np.median(took):.0f} ms a face, best {1000 * min(took):.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("--cascades", help="files of the folds, but for their numbers")
    parser.add_argument("--meshes", help="FaceMesh's files of the folds, but for their numbers")
    parser.add_argument("--folds", type=int, default=4, help="how many there are")
    parser.add_argument("--only", type=int, help="people of this fold only")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of photos")
    run = parser.parse_args(arguments)
    photos = list(enumerate(photographs(run.london)))
    if run.only is not None:
        photos = photos[run.only :: run.folds]
    bend, finders = Bender(), Finders(run.cascades, run.meshes, run.folds)
    print("| case | cascade | FaceMesh | auto | its mouth | in doubt |")
    print("|---|---|---|---|---|---|")
    print(row("plain, from the detector", measure("plain", photos, bend, finders, True)))
    looks = []
    for name in CASES:
        looks.append(measure(name, photos, bend, finders))
        print(row(name, looks[-1]), flush=True)
    doubts(looks)
    for folder in run.others:
        others(folder, finders)
    pace(photos[0][1], finders)


if __name__ == "__main__":
    main()
