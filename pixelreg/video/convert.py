"""A video in, the same video with another expression out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from pixelreg.backends import compiled_loops
from pixelreg.errors import FaceError, UsageError
from pixelreg.faces.align import similarity_from_square
from pixelreg.faces.followed import Followed, Laid
from pixelreg.faces.landmarks import Face
from pixelreg.faces.locate import Locator
from pixelreg.files import write_atomically
from pixelreg.translator import Target, Translator, check_strength
from pixelreg.video.container import Sink, Source, opened, sink
from pixelreg.video.follow import Follower, Track
from pixelreg.video.frames import Canvas, canvas_of
from pixelreg.video.paste import Paster

Item = TypeVar("Item")
PATIENCE = 0.05  # seconds after which a waiting thread looks whether it is still wanted


@dataclass(frozen=True)
class _End:
    """The last thing that a stage hands on: how it ended."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None], depth: int) -> Generator[Item, None, None]:
    """Run a generator in a thread, at most ``depth`` items ahead of whoever takes them.

    An error of the generator is raised where its next item would have come. Closing the result
    closes the generator, in its own thread, and waits for that.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(item: Any) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put(item, timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    if not put(item):
                        return
        except BaseException as error:  # handed on to the thread that takes the items
            put(_End(error))
        else:
            put(_End())

    thread = threading.Thread(target=work, name="pixelreg-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                break
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join()


AHEAD = 4  # frames between two stages
SEARCHED = 1280  # longest side of the picture in which faces are looked for

Progress = Callable[[int, int], None]
# A frame goes through three steps, each of which gives the next one, and each of which may have a
# thread of its own, in the order of the frames: a look at it, given how it is turned; what is to be
# done to its faces; that it is done, which says whether there was a face.
Paste = Callable[[], bool]
Look = Callable[[Any, float], Callable[[], Paste]]


@dataclass
class Report:
    """What happened to a video.

    without_face : how many of them had no face, and went through unchanged.
    notes : what could not be done, and why.
    """

    frames: int = 0
    without_face: int = 0
    notes: tuple[str, ...] = ()


def change_video(
    translator: Translator,
    source: Path,
    target: Target,
    output: Path,
    strength: float = 1.0,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Change the expression in a video.

    Size, frame times, rotation, colours and metadata stay; sound and subtitles are copied. Only
    the planes' part under a face is changed before encoding.

    translator : the model, and how faces are found.
    target : one of the model's targets, or a synonym of one.
    output : the file to write, whole or not at all; its suffix chooses the container. None is
        written of a video that shows no face.
    """
    changer = FrameChanger(translator, target, check_strength(strength))
    report = Report()

    def write(file: BinaryIO) -> None:
        with opened(source) as video, closing(ahead(video.items(), AHEAD)) as items:
            pump(video, items, changer.look, file, output, report, progress)
        if report.without_face == report.frames:
            raise FaceError(
                f"no face was found in any of the {report.frames} frames of {source}; use "
                "--no-align if they are face crops already"
            )

    write_atomically(output, write)
    return report


def pump(
    video: Source,
    items: Generator[Any, None, None],
    look: Look,
    file: BinaryIO,
    output: Path,
    report: Report,
    progress: Progress,
) -> None:
    """Write a video of items as they come; every step of `Look` has a thread of its own."""
    early = []
    for item in items:  # sound may come before the first frame, which decides how to encode
        early.append(item)
        if is_frame(item):
            break
    with sink(file, output, video, early[-1]) as made:
        looked = ahead(_looked(chain(early, items), look, made), AHEAD)
        changed = ahead(_changed(looked), AHEAD)
        with closing(ahead(_pasted(changed, report), AHEAD)) as results:
            for item in results:
                made.write(item)
                if is_frame(item):
                    report.frames += 1
                    progress(report.frames, max(video.count, report.frames))
        made.finish()


def _looked(items: Any, look: Look, made: Sink) -> Generator[tuple[Any, Any], None, None]:
    for item in items:
        if is_frame(item):
            frame = made.prepared(item)
            yield frame, look(frame, item.rotation)
        else:
            yield item, None


def _changed(
    looked: Generator[tuple[Any, Any], None, None],
) -> Generator[tuple[Any, Any], None, None]:
    with closing(looked):
        for item, change in looked:
            yield item, change and change()


def _pasted(
    changed: Generator[tuple[Any, Any], None, None], report: Report
) -> Generator[Any, None, None]:
    with closing(changed):
        for item, paste in changed:
            if paste is not None:
                report.without_face += not paste()
            yield item


def is_frame(item: Any) -> bool:
    """Whether an item of a source is a frame, and no packet."""
    return hasattr(item, "planes")


class FrameChanger:
    """Changes the faces of a video's frames, which must come in order.

    translator, target, strength : see `change_video`.
    """

    def __init__(self, translator: Translator, target: Target, strength: float = 1.0) -> None:
        locator = translator.locator
        if locator.eyes is not None or locator.box is not None:
            raise UsageError("--eyes and --box are for pictures: the faces of a video move")
        self._changer = translator.changer(target)
        self._following = translator.following(target)
        self.strength = strength
        self.size = self._changer.size
        self._crop_size = (self.size, self.size) if translator.takes_crops else None
        self._paster = Paster(compiled_loops("loops_rig"))
        frame = translator.frame if locator.align else None
        self._follower = None if frame is None else Follower(locator, frame, self.size)

    def __call__(self, frame: Any, rotation: float = 0) -> bool:
        """Change one frame, a PyAV ``VideoFrame``, in place; whether there was a face in it.

        frame : in one of the formats of `pixelreg.video.frames.FORMATS`.
        rotation : degrees to the left by which it is turned to be shown.
        """
        return self.look(frame, rotation)()()

    def look(self, frame: Any, rotation: float = 0) -> Callable[[], Paste]:
        """The first step of a call; see `Look`."""
        quarters = turns_of(rotation)
        canvas = canvas_of(frame).turned(quarters)
        follower = self._follower
        if follower is None or canvas.size == self._crop_size:
            return lambda: self._lay(canvas, [self._whole(canvas)])
        time = float(frame.pts * frame.time_base)
        tracks = follower(canvas.luma, time, lambda how: faces_of(frame, quarters, how))
        changes = [self._look_at(canvas, track, follower.step) for track in tracks]
        return lambda: self._lay(canvas, [change() for change in changes])

    def _look_at(self, canvas: Canvas, track: Track, step: float) -> Callable[[], Laid | None]:
        track.kept = track.kept or self._following()
        strength = self.strength * track.presence
        change: Callable[[], Laid | None] = track.kept(
            Followed(canvas, track.face, track.similarity, step, strength)
        )
        return change

    def _whole(self, canvas: Canvas) -> Laid:
        whole = similarity_from_square(*canvas.size, self.size)
        return Laid(self._changer(canvas.crop(whole, self.size), False), whole, self.strength)

    def _lay(self, canvas: Canvas, faces: Sequence[Laid | None]) -> Paste:
        def paste() -> bool:
            for laid in faces:
                if laid is not None:
                    self._paster.paste(canvas, laid.change, laid.similarity, laid.strength)
            return bool(faces)

        return paste


def turns_of(rotation: float) -> int:
    """Quarters to the left of a rotation in degrees."""
    return round(rotation / 90) % 4


def faces_of(frame: Any, quarters: int, locator: Locator) -> list[Face]:
    """The wanted faces of a frame in pixels of it as it is shown, ``quarters`` turned left."""
    factor = max(1.0, max(frame.width, frame.height) / SEARCHED)
    size = (round(frame.width / factor), round(frame.height / factor))
    small = frame.reformat(*size, "rgb24").to_ndarray()
    found = locator.faces(np.ascontiguousarray(np.rot90(small, quarters)), turned=False)
    scale = np.array([frame.width / size[0], frame.height / size[1]])
    upright = scale[::-1] if quarters % 2 else scale
    return [Face(face.points * upright, face.box, face.score) for face in found]
