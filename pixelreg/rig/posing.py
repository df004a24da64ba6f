"""Neutral photographs made into pairs: each person with every expression, in the KDEF layout.

Faces are cut out as upright squares before they are posed, so that a pair's two pictures are equal
to the bit wherever the expression moves nothing. Beside each lies a ``.pts`` file with the five
landmarks of the neutral face, by which `pixelreg.data.layouts` aligns both alike.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelreg.arrays import Float64, Pixels
from pixelreg.data.crops import Progress, read_all, read_photo
from pixelreg.data.expressions import canonical
from pixelreg.data.layouts import scan
from pixelreg.data.photos import Listing, Photo, Problem, first_reason
from pixelreg.data.synthetic import KDEF_CODES
from pixelreg.errors import DataError, FaceError, PixelregError, UnknownNameError, UsageError
from pixelreg.faces.align import UNMOVED, crop, similarity_from_eyes
from pixelreg.faces.dense import five_of
from pixelreg.faces.paste import paste_change
from pixelreg.files import write_bytes
from pixelreg.models.model import Frame
from pixelreg.pictures.image import Picture, encode
from pixelreg.rig.motion import change
from pixelreg.rig.translator import RigTranslator
from pixelreg.translator import check_strength

#: The whole head: all that the rig moves, and the hair.
HEAD = Frame((0.4, 0.42), (0.6, 0.42))
#: Expressions with KDEF's codes for them; CO is not KDEF's own.
CODES = {**KDEF_CODES, canonical("CO"): "CO"}
EXPRESSIONS = tuple(name for name in CODES if name != "neutral")
SESSIONS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TABLES = (".csv", ".tsv", ".txt")  # of photographs, which are no photographs themselves
TABLE = "posed.csv"  # what the pictures were made from


@dataclass(frozen=True)
class Poses:
    """What every face is made to show.

    expressions : names out of `EXPRESSIONS`, or synonyms of them.
    size : side of the pictures in pixels.
    strength : how much of each expression; 1 is all of it.
    jitter : 0 to 1, how far amounts may lie from ``strength``, as a share of it.
    seed : seeds the amounts.
    """

    expressions: tuple[str, ...] = EXPRESSIONS
    size: int = 512
    strength: float = 1.0
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"--jitter must be from 0 to 1, not {self.jitter}")
        names = dict.fromkeys(map(canonical, self.expressions))
        for name in names:
            if name not in EXPRESSIONS:
                raise UnknownNameError("expression", name, ("all", *EXPRESSIONS))
        object.__setattr__(self, "expressions", tuple(names))

    def amounts(self, code: str) -> dict[str, float]:
        """How much of each expression a person shows in one session, such as ``"AP01"``.

        The same for the same seed, whatever other people and expressions there are.
        """
        found = {}
        for name in self.expressions:
            key = [abs(self.seed), self.seed < 0, *f"{code}{CODES[name]}".encode()]
            about = 1 + self.jitter * np.random.default_rng(key).uniform(-1, 1)
            found[name] = self.strength * float(about)
        return found


@dataclass(frozen=True, eq=False)
class Posed:
    """One person's pictures.

    pictures : by expression, the neutral one first, (S, S, 3) uint8.
    points : (5, 2) float64, the neutral face's landmarks in them; see `pixelreg.faces.landmarks`.
    """

    pictures: Mapping[str, Pixels]
    points: Float64


@dataclass(frozen=True)
class Written:
    """The photographs that were posed, and why others could not be used."""

    photos: tuple[Photo, ...]
    pictures: int
    problems: tuple[Problem, ...]


def find_photos(
    path: Path, layout: str = "auto", views: Sequence[str] = ()
) -> tuple[list[Photo], str]:
    """The photographs to start from in a file or folder, and how the folder was read.

    Of a set whose layout is known, those of people with a neutral face; else every picture, each
    of them a person. See `pixelreg.data.layouts.scan`.
    """
    if path.is_file() and path.suffix.lower() not in TABLES:
        return [Photo(path.stem, "neutral", str(path))], ""
    listing = scan(path, layout, pairs=False, views=views)
    if not listing.paired:
        how = "every picture is taken as neutral, each of somebody else"
        return list(listing.photos), how + _left_out(listing)
    photos = [photo for photo in listing.photos if photo.expression == "neutral"]
    if not photos:
        raise DataError(
            f"{path} is read by layout {listing.layout} and shows nobody neutral, only "
            f"{', '.join(listing.expressions)}; --layout flat takes every picture as neutral"
        )
    how = f"layout {listing.layout}, {len(photos)} neutral of {len(listing.photos)} photos"
    return photos, how + _left_out(listing)


def pose(pixels: Pixels, translator: RigTranslator, photo: Photo, code: str, poses: Poses) -> Posed:
    """A photograph's face, upright, neutral and with every expression.

    pixels : (H, W, 3) uint8, what ``photo`` holds.
    """
    path = photo.path if photo.half is None else None
    try:
        (_, dense), *_ = translator.found(pixels, path)[0]
    except FaceError as error:
        raise FaceError(f"{photo.path}: {error}") from error
    place = similarity_from_eyes(five_of(dense.points)[:2], HEAD, poses.size)
    points = place.to_crop(dense.points)
    square = crop(pixels, place, poses.size)
    sitter = translator.sitter(square, points)
    pictures = {"neutral": square}
    for name, amount in poses.amounts(code).items():
        goal = translator.goal(name)
        made = change(translator.rig, sitter, goal.weights(sitter.shown, amount), goal.look)
        pictures[name] = paste_change(square, made, UNMOVED)
    return Posed(pictures, five_of(points))


def write_poses(
    photos: Sequence[Photo],
    folder: Path,
    translator: RigTranslator,
    poses: Poses,
    progress: Progress | None = None,
) -> Written:
    """Write every photograph's face, neutral and posed, as ``KDEF/AP01/AP01HAS.png``.

    People are numbered in the order in which they come; a person's second photograph is session B.
    The table ``posed.csv`` says what each picture was made from. A photograph that cannot be used
    is left out and reported. ``progress`` is called with (done, total) photographs.
    """
    _refuse_mixing(folder)
    coded, problems = _coded(photos)
    total = len(photos)

    def work(item: tuple[str, Photo]) -> tuple[list[tuple[str, bytes]], str]:
        code, photo = item
        made = pose(read_photo(photo), translator, photo, code, poses)
        named = ((f"{code}{CODES[n]}S", encode(Picture(p))) for n, p in made.pictures.items())
        return list(named), _pts(made.points)

    rows: list[tuple[str, ...]] = []
    used: list[Photo] = []
    for (code, photo), outcome in read_all(coded, work):
        if isinstance(outcome, PixelregError):
            problems.append(Problem(photo.path, str(outcome)))
        else:
            pictures, points = outcome
            place = folder / "KDEF" / code
            for name, content in pictures:
                write_bytes(place / f"{name}.pts", points.encode())
                write_bytes(place / f"{name}.png", content)
            rows += _rows(code, photo, poses)
            used.append(photo)
        if progress is not None:
            progress(len(used) + len(problems), total)
    if not used:
        raise DataError(f"none of the {total} photographs can be used{first_reason(problems)}")
    write_bytes(folder / TABLE, _table(rows))
    return Written(tuple(used), len(rows), tuple(problems))


def _left_out(listing: Listing) -> str:
    """What was not read of a folder, as the end of a line."""
    parts = [f"; {count} left out: {reason}" for reason, count in listing.skipped]
    strange = len(listing.problems)
    return "".join(parts) + (f"; {strange} not understood (pixelreg data list)" if strange else "")


def _refuse_mixing(folder: Path) -> None:
    """Numbers of other people's pictures must not pass for those of these."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; posed pictures need a folder to go to")
    if (folder / "KDEF").exists():
        raise UsageError(f"{folder} holds pictures already; write into another folder")


def _coded(photos: Sequence[Photo]) -> tuple[list[tuple[str, Photo]], list[Problem]]:
    """Every photograph with KDEF's name for its person and session, and those beyond session Z."""
    people = {person: k for k, person in enumerate(dict.fromkeys(p.person for p in photos), 1)}
    digits = max(2, len(str(len(people))))
    sessions: Counter[str] = Counter()
    coded, problems = [], []
    for photo in photos:
        session = sessions[photo.person]
        sessions[photo.person] += 1
        if session < len(SESSIONS):
            coded.append((f"{SESSIONS[session]}P{people[photo.person]:0{digits}}", photo))
        else:
            many = f"{photo.person} has more than {len(SESSIONS)} photographs"
            problems.append(Problem(photo.path, many))
    return coded, problems


def _pts(points: Float64) -> str:
    """Landmarks as a ``.pts`` file."""
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points.tolist())
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n"


def _rows(code: str, photo: Photo, poses: Poses) -> Iterator[tuple[str, ...]]:
    shares = {"neutral": 0.0, **poses.amounts(code)}
    for name, share in shares.items():
        picture = f"KDEF/{code}/{code}{CODES[name]}S.png"
        yield picture, name, f"{share:.4f}", photo.person, str(photo.path)


def _table(rows: Sequence[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("picture", "expression", "strength", "who", "photo"))
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
