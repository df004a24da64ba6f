"""A video in, the same video with another expression out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from pixelreg.errors import UsageError
from pixelreg.faces.align import Similarity, similarity_from_square
from pixelreg.faces.landmarks import Face
from pixelreg.faces.locate import Locator
from pixelreg.files import write_atomically
from pixelreg.translator import Target, Translator, check_strength
from pixelreg.video.container import Sink, Source, opened, sink
from pixelreg.video.follow import Follower
from pixelreg.video.frames import Canvas, Paster, Turn, canvas_of

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


@dataclass
class Report:
    """What happened to a video.

    without_face : how many of them had no face, and went through unchanged.
    """

    frames: int = 0
    without_face: int = 0


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
    output : the file to write, whole or not at all; its suffix chooses the container.
    """
    changer = FrameChanger(translator, target, check_strength(strength))
    report = Report()

    def write(file: BinaryIO) -> None:
        with opened(source) as video, closing(ahead(video.items(), AHEAD)) as items:
            _pump(video, items, changer, file, output, report, progress)

    write_atomically(output, write)
    return report


def _pump(
    video: Source,
    items: Generator[Any, None, None],
    changer: FrameChanger,
    file: BinaryIO,
    output: Path,
    report: Report,
    progress: Progress,
) -> None:
    early = []
    for item in items:  # sound may come before the first frame, which decides how to encode
        early.append(item)
        if _is_frame(item):
            break
    with sink(file, output, video, early[-1]) as made:
        changed = _changed(chain(early, items), changer, made, report)
        with closing(ahead(changed, AHEAD)) as results:
            for item in results:
                made.write(item)
                if _is_frame(item):
                    report.frames += 1
                    progress(report.frames, max(video.count, report.frames))
        made.finish()


def _changed(
    items: Any, changer: FrameChanger, made: Sink, report: Report
) -> Generator[Any, None, None]:
    for item in items:
        if not _is_frame(item):
            yield item
            continue
        frame = made.prepared(item)
        report.without_face += not changer(frame, item.rotation)
        yield frame


def _is_frame(item: Any) -> bool:
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
        self.strength = strength
        self.size = self._changer.size
        self._paster = Paster()
        frame = translator.frame if locator.align else None
        self._follower = None if frame is None else Follower(locator, frame, self.size)

    def __call__(self, frame: Any, rotation: float = 0) -> bool:
        """Change one frame, a PyAV ``VideoFrame``, in place; whether there was a face in it.

        frame : in one of the formats of `pixelreg.video.frames.FORMATS`.
        rotation : degrees to the left by which it is turned to be shown.
        """
        turn = Turn(round(rotation / 90) % 4, frame.width, frame.height)
        canvas = canvas_of(frame)
        if self._follower is None or turn.upright_size == (self.size, self.size):
            whole = similarity_from_square(*turn.upright_size, self.size)
            self._change(canvas, turn.similarity(whole), False, self.strength)
            return True
        tracks = self._follower(
            canvas.luma, float(frame.pts * frame.time_base), lambda how: _faces(frame, turn, how)
        )
        for track in tracks:
            self._change(canvas, track.similarity, True, self.strength * track.presence)
        return bool(tracks)

    def _change(
        self, canvas: Canvas, similarity: Similarity, is_face: bool, strength: float
    ) -> None:
        change = self._changer(canvas.crop(similarity, self.size), is_face)
        self._paster.paste(canvas, change, similarity, strength)


def _faces(frame: Any, turn: Turn, locator: Locator) -> list[Face]:
    """The wanted faces of a frame as it is stored, looked for in the frame as it is shown."""
    factor = max(1.0, max(frame.width, frame.height) / SEARCHED)
    size = (round(frame.width / factor), round(frame.height / factor))
    small = frame.reformat(*size, "rgb24").to_ndarray()
    found = locator.faces(turn.upright(small))
    scale = np.array([frame.width / size[0], frame.height / size[1]])
    turned = Turn(turn.quarters, *size)
    return [Face(turned.points(face.points) * scale, face.box, face.score) for face in found]
