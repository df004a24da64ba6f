"""A film of a photo whose face does what the face in a video does."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.errors import FaceError, UsageError
from pixelreg.faces.align import Similarity
from pixelreg.faces.paste import paste_change
from pixelreg.files import write_atomically, write_bytes
from pixelreg.models.model import Frame
from pixelreg.pictures.image import Picture
from pixelreg.pictures.sheet import ANIMATED, ANIMATION_SIDE, animated, reduced
from pixelreg.rig.head import Mesh
from pixelreg.rig.motion import change
from pixelreg.rig.moving import FaceReader
from pixelreg.rig.shown import LEAST, read_weights
from pixelreg.rig.sitter import Sitter
from pixelreg.rig.translator import SIZE, Goal, RigTranslator
from pixelreg.translator import NO_LIKENESS, Translator, check_strength
from pixelreg.video.container import Source, opened, pyav
from pixelreg.video.convert import (
    AHEAD,
    Progress,
    Report,
    ahead,
    faces_of,
    is_frame,
    pump,
    turns_of,
)
from pixelreg.video.follow import Follower
from pixelreg.video.frames import canvas_of
from pixelreg.video.names import CONTAINERS, container_of

Weights = Mapping[str, float]
FILM_SIDE = 1280  # pixels, of the longest side of a film
# What of a shape a driver shows all the time but for a fifth is the face at rest, up to twice what
# neutral faces show. The median would take a smile that fills more than half of a clip for a face
# at rest, and without a limit one that never ends would be lost.
AT_REST, MOST_AT_REST = 0.2, 2.0
BT709 = 1


def film_of(photo: Path, clip: Path, output: str | None) -> Path:
    """Where a film goes: ``output``, into the folder ``output``, or beside the photo."""
    suffix = clip.suffix if clip.suffix.lower() in CONTAINERS else ".mp4"
    name = f"{photo.stem}-like-{clip.stem}{suffix}"
    made = photo.with_name(name) if output is None else Path(output)
    if output is not None and (made.is_dir() or output.endswith("/")):
        made = made / name
    if made.suffix.lower() not in ANIMATED:
        container_of(made)
    return made


def drive(
    translator: Translator,
    photo: Picture,
    path: Path | None,
    clip: Path,
    output: Path,
    strength: float = 1.0,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Write a film in which a photo's faces show what the largest face of a video shows.

    It has as many frames as the video, at the same times, with its sound; a .gif or .webp has no
    sound. What the driver's face shows at rest is taken off first, and all of what the photo's
    faces show is let go of.

    translator : a rig.
    path : the photo's file, beside which landmarks may lie.
    """
    if not isinstance(translator, RigTranslator):
        raise UsageError(NO_LIKENESS)
    film = Film.of(translator, photo, path, check_strength(strength))
    report = Report(notes=film.notes)
    roles = driven(translator, clip, report, progress)

    def second(done: int, _: int) -> None:
        progress(len(roles) + done, 2 * len(roles))

    def write(file: BinaryIO) -> None:
        with opened(clip) as video, closing(ahead(film.items(video, roles), AHEAD)) as items:
            pump(video, items, lambda *_: lambda: lambda: True, file, output, report, second)

    if output.suffix.lower() in ANIMATED:
        with opened(clip) as video:
            write_bytes(output, film.animation(video, roles, output.suffix.lower()))
        report.frames = len(roles)
    else:
        write_atomically(output, write)
    return report


def driven(
    translator: RigTranslator, clip: Path, report: Report, progress: Progress
) -> list[dict[str, float]]:
    """The weights of every frame of a video, less what its face shows at rest."""
    locator = translator.locator.anywhere()
    follower = Follower(locator, Frame(), SIZE)
    read: list[dict[str, float] | None] = []
    with opened(clip) as video, closing(ahead(video.items(), AHEAD)) as items:
        for item in items:
            if is_frame(item):
                read.append(_read(translator, item, follower))
                progress(len(read), 2 * max(video.count, len(read)))
    report.without_face = read.count(None)
    if report.without_face == len(read):
        raise FaceError(f"no face was found in any of the {len(read)} frames of {clip}")
    return less_rest(translator.mesh, read)


def _read(translator: RigTranslator, frame: Any, follower: Follower) -> dict[str, float] | None:
    """What the largest face of a frame shows; None where there is no face."""
    quarters = turns_of(frame.rotation)
    plain = frame.reformat(format="yuv420p")
    canvas = canvas_of(plain).turned(quarters)
    time = float(frame.pts * frame.time_base)
    tracks = follower(canvas.luma, time, lambda how: faces_of(plain, quarters, how))
    seen = [track for track in tracks if track.found and track.wanted]
    if not seen:
        return None
    track = seen[0]
    track.kept = track.kept or FaceReader(translator.quick_rig, translator.quick_finder)
    read: dict[str, float] | None = track.kept.read(canvas, track.face, follower.step, read_weights)
    return read


def less_rest(mesh: Mesh, read: Sequence[Weights | None]) -> list[dict[str, float]]:
    """Weights above what is there at rest; a frame without a face is as the one before."""
    seen = [weights for weights in read if weights is not None]
    names = sorted({name for weights in seen for name in weights})
    rest = {}
    for name in names:
        usual = max(mesh.levels.get(name, 0.0), LEAST)
        calm = float(np.quantile([weights.get(name, 0.0) for weights in seen], AT_REST))
        rest[name] = min(calm, MOST_AT_REST * usual)
    found: list[dict[str, float]] = []
    for weights in read:
        if weights is not None:
            found.append({n: max(weights.get(n, 0.0) - rest[n], 0.0) for n in names})
        else:
            found.append(found[-1] if found else {})
    return found


@dataclass(frozen=True, eq=False)
class Film:
    """A photo ready to be moved.

    pixels : (H, W, 3) uint8, not larger than a film, with even sides.
    faces : where each sits, and the head fitted to it.
    notes : which faces are left alone, and why.
    mark : whether an animated picture says that it was changed.
    """

    translator: RigTranslator
    pixels: Pixels
    faces: Sequence[tuple[Similarity, Sitter]]
    strength: float
    notes: tuple[str, ...] = ()
    mark: bool = False

    @classmethod
    def of(
        cls, translator: RigTranslator, photo: Picture, path: Path | None, strength: float
    ) -> Film:
        """Find a photo's faces, and make it as small as a film."""
        found, notes = translator.found(photo.pixels, path)
        height, width = photo.pixels.shape[:2]
        small = np.asarray(reduced(photo.pixels, FILM_SIDE))
        scale = np.array([small.shape[1] / width, small.shape[0] / height])
        pixels = small[: len(small) // 2 * 2, : small.shape[1] // 2 * 2]
        faces = [translator.seated(pixels, dense.points * scale) for _, dense in found]
        return cls(translator, pixels, faces, strength, notes, photo.mark)

    def at(self, weights: Weights) -> Pixels:
        """(H, W, 3) uint8, the photo with its faces at these weights."""
        goal, pixels = Goal(weights, let_go=1.0), self.pixels
        for place, sitter in self.faces:
            moved = goal.weights(sitter.shown, self.strength)
            pixels = paste_change(pixels, change(self.translator.quick_rig, sitter, moved), place)
        return pixels

    def items(self, video: Source, roles: Sequence[Weights]) -> Generator[Any, None, None]:
        """A video's items with frames of the photo in the place of its own."""
        left = iter(roles)
        for item in video.items():
            yield self._frame(item, next(left)) if is_frame(item) else item

    def _frame(self, frame: Any, weights: Weights) -> Any:
        picture = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(self.at(weights)), "rgb24")
        made = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        made.colorspace = BT709
        made.pts, made.time_base = frame.pts, frame.time_base
        return made

    def animation(self, video: Source, roles: Sequence[Weights], suffix: str) -> bytes:
        """The encoded bytes of an animated picture, endless."""
        times = [float(f.pts * f.time_base) for f in video.items() if is_frame(f)]
        ends = [*times[1:], times[-1] + 1 / float(video.rate)]
        # Rounded so that what is lost in one frame comes back in the next.
        ticks = np.rint(100 * (np.array([times[0], *ends]) - times[0])).astype(int) * 10
        pictures = [reduced(self.at(weights), ANIMATION_SIDE) for weights in roles]
        return animated(pictures, suffix, np.diff(ticks).tolist(), self.mark)
