"""Five facial landmarks: what they are, and the files that hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelreg.errors import DataError, InvalidArrayError, UnknownTemplateError
from pixelreg.files import is_file, read_regular

SUFFIXES = (".tem", ".pts")
_MOST = 2**20  # bytes of a file
FARTHEST = 1e7  # pixels; beyond there are no pictures

# Which points of a file average to each of the five landmarks. The London template has no point
# on the nose tip: 54 and 60 lie on its sides and 55 under it, and their mean falls on the tip.
PUPILS = (0, 1)  # in the 189 points of the London set
_TEM_189 = ((0,), (1,), (54, 55, 60), (87,), (93,))
# The 68-point mark-up outlines each eye with six points and puts the nose tip at 30 (from 0).
_PTS_68 = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))
# The same without the jaw, which has the first 17 points.
_PTS_51 = tuple(tuple(point - 17 for point in points) for points in _PTS_68)
_FIVE = ((0,), (1,), (2,), (3,), (4,))
# The 82 of the 189 that `pixelreg landmarks` writes, and two templates of web services that
# webmorph takes: of 106 points, the pupils first, and of 83, in which each eye has a pupil and a
# middle.
_TEM_82 = ((0,), (17,), (60, 61, 62), (34,), (40,))
_TEM_106 = ((0,), (1,), (74,), (86,), (92,))
_TEM_83 = ((57, 63), (50, 81), (35,), (29,), (45,))
_LAYOUTS: dict[str, dict[int, tuple[tuple[int, ...], ...]]] = {
    ".tem": {189: _TEM_189, 106: _TEM_106, 83: _TEM_83, 82: _TEM_82},
    ".pts": {68: _PTS_68, 51: _PTS_51, 5: _FIVE},
}
# Those that are wanted where points themselves are, not the five landmarks.
_WHOLE = {".tem": (189,), ".pts": (68, 5)}

# Where the eyes of an upright frontal face lie in its box (hairline to chin, cheek to cheek), and
# how large that box is in eye distances: mean over the London set's templates.
_BOX_WIDTH, _BOX_HEIGHT = 2.2, 3.0
_BOX_EYES = np.array([[0.5 - 0.5 / _BOX_WIDTH, 0.39], [0.5 + 0.5 / _BOX_WIDTH, 0.39]])


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    points : (5, 2) float64, pixel coordinates (x, y): image-left eye (pupil), image-right eye,
        nose tip, image-left mouth corner, image-right mouth corner. The last three are NaN where
        only the eyes are known. Points may lie outside the picture where its border cuts the face.
    box : x, y, width, height in pixels; it may reach beyond the picture.
    score : confidence in [0, 1]; 1 for a face that was given, not found.
    """

    points: np.ndarray
    box: tuple[float, float, float, float]
    score: float = 1.0

    @property
    def eyes(self) -> np.ndarray:
        """(2, 2) float64: the image-left and the image-right eye."""
        return self.points[:2]

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes in pixels."""
        return float(np.hypot(*(self.points[1] - self.points[0])))

    @property
    def angle(self) -> float:
        """Roll in degrees: 0 when the eyes are level, positive when the right one is lower."""
        dx, dy = self.points[1] - self.points[0]
        return math.degrees(math.atan2(dy, dx))


def face_from_points(points: np.ndarray, score: float = 1.0) -> Face:
    """A face from its five landmarks; the box follows from the eyes.

    points : (5, 2), pixel coordinates (x, y); rows 2 to 4 may be NaN.
    score : confidence in [0, 1].
    """
    points = np.array(points, dtype=np.float64)
    if points.shape != (5, 2):
        raise InvalidArrayError(
            f"a face needs five landmarks as an array of shape (5, 2); got {points.shape}"
        )
    eyes = points[:2]
    if not np.isfinite(eyes).all():
        raise InvalidArrayError(f"eye coordinates must be finite numbers; got {eyes.tolist()}")
    across = eyes[1] - eyes[0]
    distance = float(np.hypot(*across))
    if distance <= 0:
        raise InvalidArrayError(
            f"the two eyes are in one place ({eyes[0, 0]:g}, {eyes[0, 1]:g}); "
            "give the image-left and the image-right pupil"
        )
    down = np.array([-across[1], across[0]])
    centre = eyes.mean(axis=0) + (0.5 - _BOX_EYES[0, 1]) * _BOX_HEIGHT * down
    width, height = _BOX_WIDTH * distance, _BOX_HEIGHT * distance
    box = (float(centre[0] - width / 2), float(centre[1] - height / 2), width, height)
    return Face(points, box, float(score))


def face_from_eyes(eyes: np.ndarray | list[float] | tuple[float, ...]) -> Face:
    """A face of which only the eyes are known.

    eyes : four numbers x1, y1, x2, y2 or an array (2, 2), in pixels: the image-left pupil, then
        the image-right one.
    """
    given = _numbers(eyes, "eyes", "x1,y1,x2,y2")
    points = np.full((5, 2), np.nan)
    points[:2] = given.reshape(2, 2)
    return face_from_points(points)


def face_from_box(box: np.ndarray | list[float] | tuple[float, ...]) -> Face:
    """A face of which only the box is known; the eyes are put where they usually lie in it.

    box : x, y, width, height in pixels, from hairline to chin and from cheek to cheek.
    """
    x, y, width, height = _numbers(box, "box", "x,y,width,height").ravel().tolist()
    if width <= 0 or height <= 0:
        raise InvalidArrayError(f"a face box needs positive width and height; got {width}x{height}")
    points = np.full((5, 2), np.nan)
    points[:2] = np.array([x, y]) + _BOX_EYES * np.array([width, height])
    return Face(points, (x, y, width, height), 1.0)


def _numbers(values: object, what: str, form: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.size != 4 or not np.isfinite(array).all():
        raise InvalidArrayError(f"{what} must be four finite numbers {form}; got {values!r}")
    return array


def landmarks_beside(photo: str | Path) -> Path | None:
    """The landmark file (.tem or .pts) of the same stem in the photo's folder, or None."""
    for suffix in SUFFIXES:
        candidate = Path(photo).with_suffix(suffix)
        if is_file(candidate):
            return candidate
    return None


def read_landmarks(path: str | Path) -> Face:
    """Read a face from a landmark file.

    ``.tem`` is webmorph's: the number of points, one ``x<TAB>y`` line a point, then contours, which
    are not needed; the 189 points of the Face Research Lab London Set, 106, 83, or our own 82.
    ``.pts`` is the ibug form: ``version: 1``, ``n_points: 68``, and the points between braces; 68,
    51 (without the jaw) or 5 points. Any other number raises `UnknownTemplateError`.
    """
    path = Path(path)
    points = read_points(path, {suffix: tuple(counts) for suffix, counts in _LAYOUTS.items()})
    five = np.stack(
        [points[list(w)].mean(axis=0) for w in _LAYOUTS[path.suffix.lower()][len(points)]]
    )
    try:
        return face_from_points(five)
    except InvalidArrayError as error:
        raise DataError(f"{path}: {error}") from error


def read_points(path: Path, counts: Mapping[str, Sequence[int]] = _WHOLE) -> np.ndarray:
    """All points of a landmark file, (n, 2) float64, (x, y) in pixels; see `read_landmarks`.

    counts : the numbers of points that are wanted, by the file's suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: landmark files end in {' or '.join(SUFFIXES)}")
    try:
        lines = read_regular(path, _MOST).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    count, rows = (_tem_lines if suffix == ".tem" else _pts_lines)(path, lines)
    if count not in counts.get(suffix, ()):
        known = " or ".join(str(n) for n in counts.get(suffix, ())) or "none"
        raise UnknownTemplateError(
            f"{path}: holds {count} points; a {suffix} file of {known} is needed"
        )
    return _parse_rows(path, rows, count)


def text_of_points(points: np.ndarray) -> str:
    """A .pts file of points (n, 2), as `read_points` reads it."""
    rows = [f"{x:.3f} {y:.3f}" for x, y in points]
    return "\n".join(["version: 1", f"n_points: {len(rows)}", "{", *rows, "}"]) + "\n"


def _tem_lines(path: Path, lines: list[str]) -> tuple[int, list[str]]:
    head = lines[0].strip() if lines else ""
    count = _count(head)
    if count is None:
        raise DataError(f"{path}: line 1 must be the number of points; found {head[:40]!r}")
    return count, lines[1 : count + 1]


def _count(text: str) -> int | None:
    """A number of points; ``isdigit`` alone takes what ``int`` does not."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _pts_lines(path: Path, lines: list[str]) -> tuple[int, list[str]]:
    text = [line.strip() for line in lines]
    if "{" not in text or "}" not in text:
        raise DataError(f"{path}: the points must stand between lines '{{' and '}}'")
    start, end = text.index("{"), text.index("}")
    named = [line.partition(":")[2].strip() for line in text[:start] if line.startswith("n_points")]
    count = _count(named[0]) if named else None
    if count is None:
        raise DataError(f"{path}: no line 'n_points: N' before the points")
    return count, [line for line in text[start + 1 : end] if line]


def _parse_rows(path: Path, rows: list[str], count: int) -> np.ndarray:
    if len(rows) != count:
        raise DataError(f"{path}: {count} points are promised, {len(rows)} are there")
    points = np.empty((count, 2))
    for i, row in enumerate(rows):
        parts = row.split()
        try:
            points[i] = [float(part) for part in parts[:2]]
        except ValueError:
            points[i] = np.nan
        if len(parts) != 2 or not (np.abs(points[i]) < FARTHEST).all():
            raise DataError(f"{path}: point {i} is not two numbers: {row[:40]!r}")
    return points
