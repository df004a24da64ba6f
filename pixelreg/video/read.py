"""Reading a video: its frames in order, and the packets that go through as they are."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from pixelreg.errors import ImageError, MissingExtraError

COPIED = ("audio", "subtitle")  # kinds of streams that go through as they are
MISSING = 0.5, 0.05  # seconds, and share of the whole, that may be missing at the end


def pyav() -> ModuleType:
    """PyAV."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "video", "changing a video") from error
    return av


@dataclass(frozen=True, eq=False)
class Source:
    """A video that is open.

    Attributes
    ----------
    path : its file.
    container : PyAV's, open for reading.
    video : the stream of pictures.
    copied : streams of sound and text.
    """

    path: Path
    container: Any
    video: Any
    copied: tuple[Any, ...]

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return Fraction(self.video.average_rate or self.video.guessed_rate or 25)

    @property
    def count(self) -> int:
        """About how many frames there are; 0 where the file does not say."""
        if self.video.frames:
            return int(self.video.frames)
        return round(self._promised() * self.rate)

    def items(self) -> Generator[Any, None, None]:
        """Frames (``VideoFrame``) and packets of the copied streams (``Packet``), as they come.

        Frames have timestamps in the stream's time base that always rise.
        """
        av = pyav()
        frames, last, end = 0, None, 0.0
        try:
            for packet in self.container.demux(self.video, *self.copied):
                if packet.is_corrupt:
                    raise ImageError(self._broken(frames))
                if packet.pts is not None and packet.time_base is not None:
                    length = packet.duration or 0
                    end = max(end, float((packet.pts + length) * packet.time_base))
                if packet.stream_index != self.video.index:
                    if packet.dts is not None:  # the empty ones end a stream
                        yield packet
                    continue
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise ImageError(self._broken(frames))
                    last = self._stamp(frame, last)
                    frames += 1
                    yield frame
        except av.FFmpegError as error:
            raise ImageError(self._broken(frames)) from error
        if not frames:
            raise ImageError(f"{self.path} holds no frames")
        self._check_end(end, frames)

    def last_duration(self, frame: Any) -> int:
        """How long the last frame is shown, in the stream's time base.

        A frame's own duration is not to be trusted where frames are stored out of order.
        """
        video = self.video
        if video.duration:
            left = int((video.start_time or 0) + video.duration - frame.pts)
            if left > 0:
                return left
        return int(frame.duration or round(1 / (self.rate * video.time_base)))

    def _stamp(self, frame: Any, last: int | None) -> int:
        """Give a frame a timestamp after the last one's."""
        base = self.video.time_base
        if frame.pts is None:
            frame.pts = 0 if last is None else last + max(1, round(1 / (self.rate * base)))
        frame.time_base = base
        if last is not None and frame.pts <= last:
            frame.pts = last + 1
        return int(frame.pts)

    def _promised(self) -> Fraction:
        """Seconds that the file says it lasts, 0 where it does not say."""
        return Fraction(self.container.duration or 0, 1_000_000)

    def _check_end(self, end: float, frames: int) -> None:
        whole = float(self._promised())
        missing = whole + (self.container.start_time or 0) / 1e6 - end
        if missing > max(MISSING[0], MISSING[1] * whole):
            raise ImageError(self._broken(frames))

    def _broken(self, frames: int) -> str:
        return (
            f"{self.path} is damaged or not whole: it breaks off after {frames} frames"
            + (f" of about {self.count}" if self.count > frames else "")
            + "; repair it, or copy it anew"
        )


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a video for reading."""
    av = pyav()
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path} cannot be read as a video: {reason}") from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise ImageError(f"{path} has no video stream")
        video = streams[0]
        if video.codec_context is None:
            raise ImageError(f"{path} holds video of a kind that cannot be decoded here")
        video.thread_type = "AUTO"
        copied = [s for s in container.streams if s.type in COPIED and s.codec_context is not None]
        yield Source(path, container, video, tuple(copied))
